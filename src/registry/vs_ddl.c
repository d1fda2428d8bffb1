/*-------------------------------------------------------------------------
 *
 * vs_ddl.c
 *	  Continuous queries in PostgreSQL's own commands: CREATE TABLE ... WITH
 *	  (velostream.continuous) AS, and what other commands may do to outputs
 *	  and sources.
 *
 * The output table is made by PostgreSQL from the very command, with our
 * options taken out and without data; what belongs to the query besides is
 * made around it, in the same transaction.
 *
 * Nothing is done when an output is dropped but to remember it.  Before the
 * commit, outputs that are really gone (a savepoint may have brought them
 * back) lose their rows in the extension's tables; after the commit, what is
 * not transactional goes: shared contexts, and the horizon's slot when the
 * extension itself is gone.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/genam.h"
#include "access/htup_details.h"
#include "access/relation.h"
#include "access/table.h"
#include "access/tableam.h"
#include "access/xact.h"
#include "access/xlog.h"
#include "capture/vs_capture.h"
#include "catalog/dependency.h"
#include "catalog/indexing.h"
#include "catalog/namespace.h"
#include "catalog/objectaccess.h"
#include "catalog/partition.h"
#include "catalog/pg_depend.h"
#include "catalog/pg_extension.h"
#include "catalog/pg_inherits.h"
#include "catalog/pg_rewrite.h"
#include "catalog/pg_trigger.h"
#include "catalog/pg_type.h"
#include "commands/createas.h"
#include "commands/defrem.h"
#include "commands/event_trigger.h"
#include "commands/extension.h"
#include "commands/trigger.h"
#include "common/int.h"
#include "executor/executor.h"
#include "miscadmin.h"
#include "nodes/makefuncs.h"
#include "nodes/nodeFuncs.h"
#include "parser/parse_node.h"
#include "plan/vs_plan.h"
#include "registry/vs_options.h"
#include "registry/vs_registry.h"
#include "state/vs_context.h"
#include "storage/lwlock.h"
#include "tcop/utility.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/rel.h"
#include "utils/snapmgr.h"
#include "utils/syscache.h"
#include "utils/timestamp.h"
#include "utils/varlena.h"
#include "vs_compat.h"
#include "worker/vs_worker.h"

#define HINT_CREATE			"Use CREATE TABLE ... WITH (velostream.continuous) AS SELECT ...."

/* Everything ProcessUtility is called with. */
typedef struct UtilityCall
{
	PlannedStmt *pstmt;
	const char *source;
	bool		read_only_tree;
	ProcessUtilityContext context;
	ParamListInfo params;
	QueryEnvironment *env;
	DestReceiver *dest;
	QueryCompletion *qc;
} UtilityCall;

/* A query that this transaction created. */
typedef struct CreatedQuery
{
	Oid			output;
	SubTransactionId subid;
} CreatedQuery;

/* Columns that a stream has after those of its query. */
static const struct
{
	const char *name;
	Oid			type;
}			stream_columns[] = {
	{"_op", TEXTOID}, {"_offset", INT8OID}, {"_timestamp", TIMESTAMPTZOID}
};

static ProcessUtility_hook_type next_ProcessUtility = NULL;
static object_access_hook_type next_object_access = NULL;

/* Of the current transaction; lists are in TopTransactionContext. */
static List *created = NIL;		/* of CreatedQuery */
static List *dropped = NIL;		/* OIDs of tables */
static Oid	dropped_extension = InvalidOid;
static bool extension_gone = false;
static bool extension_made = false;

static void utility_hook(PlannedStmt *pstmt, const char *queryString, bool readOnlyTree,
						 ProcessUtilityContext context, ParamListInfo params,
						 QueryEnvironment *queryEnv, DestReceiver *dest, QueryCompletion *qc);
static void call_next(UtilityCall *call);
static bool utility_is_ours(Node *parsetree);
static void create_table_as(UtilityCall *call);
static void check_target(ParseState *pstate, IntoClause *into, VsOptions *options);
static Oid	target_namespace(ParseState *pstate, RangeVar *target);
static void set_column_names(Query *query, IntoClause *into);
static void add_stream_columns(ParseState *pstate, Query *query);
static Oid	create_output(UtilityCall *call, CreateTableAsStmt *stmt, Query *query,
						  VsOptions *options, Oid nspid);
static void create_query(Oid output, Query *query, VsOptions *options, bool with_data);
static bool check_permissions_below(Node *node, void *context);
static void remember_created(Oid output);
static void start_frontier(VsPlan *plan, VsContext *cxt, VsFrontierRow *row);
static void list_sources(VsPlan *plan, VsFrontier *frontier);
static void check_other_command(Node *parsetree, const char *source);
static void check_alter_table(AlterTableStmt *stmt, const char *source);
static void check_alter_output(Oid output, AlterTableCmd *cmd);
static void check_alter_source(Oid source, AlterTableCmd *cmd);
static void check_parent(RangeVar *parent);
static void check_trigger(CreateTrigStmt *stmt);
static bool is_guard(const char *name);
static bool is_source(Oid relid);
static List *views_over(Oid relid);
static void object_access(ObjectAccessType access, Oid classId, Oid objectId,
						  int subId, void *arg);
static void xact_callback(XactEvent event, void *arg);
static void subxact_callback(SubXactEvent event, SubTransactionId mySubid,
							 SubTransactionId parentSubid, void *arg);
static void forget_dropped(void);
static void refuse_prepare(void);
static void after_commit(void);
static void drop_horizon(void);
static void after_abort(void);
static void end_transaction(void);

PG_FUNCTION_INFO_V1(velostream_guard);
PG_FUNCTION_INFO_V1(velostream_on_table_rewrite);

/* Install the hooks; called once in each process that loads the library. */
void
vs_ddl_init(void)
{
	next_ProcessUtility = ProcessUtility_hook;
	ProcessUtility_hook = utility_hook;
	next_object_access = object_access_hook;
	object_access_hook = object_access;
	RegisterXactCallback(xact_callback, NULL);
	RegisterSubXactCallback(subxact_callback, NULL);
}

/* ----------
 * Utility commands
 * ----------
 */

static void
utility_hook(PlannedStmt *pstmt, const char *queryString, bool readOnlyTree,
			 ProcessUtilityContext context, ParamListInfo params,
			 QueryEnvironment *queryEnv, DestReceiver *dest, QueryCompletion *qc)
{
	UtilityCall call = {pstmt, queryString, readOnlyTree, context, params, queryEnv, dest, qc};

	/* pg_upgrade brings back what was there, in ways of its own */
	if (IsBinaryUpgrade)
		call_next(&call);
	else if (utility_is_ours(pstmt->utilityStmt))
		create_table_as(&call);
	else
	{
		check_other_command(pstmt->utilityStmt, queryString);
		call_next(&call);
	}
}

static void
call_next(UtilityCall *call)
{
	ProcessUtility_hook_type next = next_ProcessUtility ? next_ProcessUtility :
	standard_ProcessUtility;

	next(call->pstmt, call->source, call->read_only_tree, call->context,
		 call->params, call->env, call->dest, call->qc);
}

/* CREATE TABLE ... WITH (velostream...) AS, that is. */
static bool
utility_is_ours(Node *parsetree)
{
	CreateTableAsStmt *stmt = (CreateTableAsStmt *) parsetree;

	return IsA(parsetree, CreateTableAsStmt) &&
		stmt->objtype == OBJECT_TABLE &&
		vs_options_are_ours(stmt->into->options);
}

/*
 * CREATE TABLE ... WITH (velostream...) AS: the output by PostgreSQL, the rest
 * by us.
 */
static void
create_table_as(UtilityCall *call)
{
	CreateTableAsStmt *stmt = copyObject((CreateTableAsStmt *) call->pstmt->utilityStmt);
	IntoClause *into = stmt->into;
	Query	   *query = castNode(Query, stmt->query);
	ParseState *pstate = make_parsestate(NULL);
	bool		with_data = !into->skipData;
	bool		satisfy_spi = call->context != PROCESS_UTILITY_TOPLEVEL &&
	with_data && !stmt->if_not_exists;
	VsOptions	options;
	Oid			nspid;
	Oid			output;

	pstate->p_sourcetext = call->source;
	into->options = vs_options_read(pstate, into->options, &options);
	if (!options.continuous)
	{
		UtilityCall plain = *call;

		plain.pstmt = copyObject(call->pstmt);
		plain.pstmt->utilityStmt = (Node *) stmt;
		plain.read_only_tree = false;
		call_next(&plain);
		return;
	}

	vs_require_preload();
	(void) vs_registry_extension_owner();	/* errors out if not installed */
	check_target(pstate, into, &options);
	nspid = target_namespace(pstate, into->rel);
	if (CreateTableAsRelExists(stmt))
		return;
	if (query->commandType == CMD_UTILITY)
		ereport(ERROR,
				(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
				 errmsg("CREATE TABLE ... AS EXECUTE cannot create a continuous query"),
				 errhint("Write the SELECT in the place of EXECUTE.")));

	vs_check_permissions(query);
	vs_flatten_groups(query);
	set_column_names(query, into);
	query->stmt_location = call->pstmt->stmt_location;
	vs_query_check(query, options.kind, options.mode, &options.time, call->source);
	query = vs_query_normalize(query, options.kind, options.mode);

	stmt->query = (Node *) copyObject(query);
	if (options.kind == VS_KIND_STREAM)
		add_stream_columns(pstate, (Query *) stmt->query);
	output = create_output(call, stmt, query, &options, nspid);
	create_query(output, query, &options, with_data);

	/*
	 * SPI takes any other tag for IF NOT EXISTS or WITH NO DATA, and asserts
	 * it
	 */
	if (satisfy_spi && call->qc)
		SetQueryCompletion(call->qc, CMDTAG_SELECT, 0);
	free_parsestate(pstate);
}

/* ----------
 * The output
 * ----------
 */

/* Refuse what an output cannot be. */
static void
check_target(ParseState *pstate, IntoClause *into, VsOptions *options)
{
	if (into->onCommit != ONCOMMIT_NOOP)
		ereport(ERROR,
				(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
				 errmsg("the output of a continuous query cannot have ON COMMIT"),
				 errhint("Remove ON COMMIT: the output is a permanent table."),
				 parser_errposition(pstate, into->rel->location)));
	if (into->skipData && options->mode != VS_SOURCE_APPEND)
		ereport(ERROR,
				(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
				 errmsg("WITH NO DATA needs %s.source_mode = append", VS_OPTION_NAMESPACE),
				 errdetail("In the mode \"changes\" the output always equals the query, rows that are already there included."),
				 errhint("Remove WITH NO DATA, or read the source in the mode \"append\"."),
				 parser_errposition(pstate, into->rel->location)));
}

/* The schema the output goes to; errors out unless it is a permanent one. */
static Oid
target_namespace(ParseState *pstate, RangeVar *target)
{
	RangeVar   *rel = copyObject(target);
	Oid			nspid = RangeVarGetCreationNamespace(rel);

	RangeVarAdjustRelationPersistence(rel, nspid);
	if (rel->relpersistence != RELPERSISTENCE_PERMANENT)
		ereport(ERROR,
				(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
				 rel->relpersistence == RELPERSISTENCE_TEMP ?
				 errmsg("the output of a continuous query cannot be a temporary table") :
				 errmsg("the output of a continuous query cannot be an unlogged table"),
				 rel->relpersistence == RELPERSISTENCE_TEMP ?
				 errdetail("Other processes keep it up to date.") :
				 errdetail("It would be empty after a crash, while the query goes on where it was."),
				 errhint("Remove TEMPORARY or UNLOGGED, and name a permanent schema."),
				 parser_errposition(pstate, target->location)));
	if (nspid == get_namespace_oid(VS_SCHEMA_NAME, true))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_SCHEMA_NAME),
				 errmsg("the output of a continuous query cannot be in schema \"%s\"", VS_SCHEMA_NAME),
				 errdetail("That schema belongs to the extension."),
				 errhint("Name another schema."),
				 parser_errposition(pstate, target->location)));
	return nspid;
}

/* Give the query the column names of CREATE TABLE name (column, ...). */
static void
set_column_names(Query *query, IntoClause *into)
{
	ListCell   *name = list_head(into->colNames);
	ListCell   *lc;

	foreach(lc, query->targetList)
	{
		TargetEntry *tle = lfirst_node(TargetEntry, lc);

		if (name == NULL)
			break;
		if (tle->resjunk)
			continue;
		tle->resname = strVal(lfirst(name));
		name = lnext(into->colNames, name);
	}
	if (name != NULL)
		ereport(ERROR,
				(errcode(ERRCODE_SYNTAX_ERROR),
				 errmsg("too many column names were specified")));
	into->colNames = NIL;
}

/* Add _op, _offset and _timestamp to the query that the output is made from. */
static void
add_stream_columns(ParseState *pstate, Query *query)
{
	for (int i = 0; i < lengthof(stream_columns); i++)
	{
		Oid			type = stream_columns[i].type;
		ListCell   *lc;

		foreach(lc, query->targetList)
		{
			TargetEntry *tle = lfirst_node(TargetEntry, lc);

			if (!tle->resjunk && strcmp(tle->resname, stream_columns[i].name) == 0)
				ereport(ERROR,
						(errcode(ERRCODE_DUPLICATE_COLUMN),
						 errmsg("column name \"%s\" is reserved in a stream", tle->resname),
						 errhint("Give the column another name with AS."),
						 parser_errposition(pstate, exprLocation((Node *) tle->expr))));
		}
		query->targetList =
			lappend(query->targetList,
					makeTargetEntry((Expr *) makeNullConst(type, -1, get_typcollation(type)),
									list_length(query->targetList) + 1,
									pstrdup(stream_columns[i].name), false));
	}
}

/*
 * Let PostgreSQL create the output: stmt is a copy without our options, whose
 * query has the output's columns.  Returns the table's OID.
 */
static Oid
create_output(UtilityCall *call, CreateTableAsStmt *stmt, Query *query,
			  VsOptions *options, Oid nspid)
{
	IntoClause *into = stmt->into;
	UtilityCall output_call = *call;
	bool		has_fillfactor = false;
	VsWindow	window;
	ListCell   *lc;
	Oid			output;
	Relation	rel;

	foreach(lc, into->options)
	{
		DefElem    *def = lfirst_node(DefElem, lc);

		if (def->defnamespace == NULL && strcmp(def->defname, "fillfactor") == 0)
			has_fillfactor = true;
	}

	/*
	 * rows of a stream, and final ones, are never updated, those of a
	 * projection as its source's
	 */
	if (!has_fillfactor && options->kind == VS_KIND_TABLE &&
		options->time.emit != VS_EMIT_FINAL &&
		(query->hasAggs || query->groupClause != NIL))
		into->options = lappend(into->options,
								makeDefElem("fillfactor",
											(Node *) makeInteger(vs_window_find(query, &window) ?
																 VS_WINDOW_FILLFACTOR :
																 VS_GROUP_FILLFACTOR), -1));
	into->skipData = true;

	output_call.pstmt = copyObject(call->pstmt);
	output_call.pstmt->utilityStmt = (Node *) stmt;
	output_call.read_only_tree = false;
	call_next(&output_call);
	CommandCounterIncrement();

	/* by its schema: a temporary table of that name would come first */
	output = get_relname_relid(into->rel->relname, nspid);
	if (!OidIsValid(output))
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_TABLE),
				 errmsg("table \"%s\" disappeared while it was created", into->rel->relname)));
	rel = table_open(output, AccessExclusiveLock);
	if (rel->rd_tableam != GetHeapamTableAmRoutine())
		ereport(ERROR,
				(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
				 errmsg("the output of a continuous query must be a heap"),
				 errhint("Add USING heap to the command.")));
	table_close(rel, NoLock);
	return output;
}

/* ----------
 * The query
 * ----------
 */

/* May the user read what a query reads, through views as well? */
static bool
check_permissions_below(Node *node, void *context)
{
	if (node == NULL)
		return false;
	if (IsA(node, Query))
	{
		vs_check_permissions((Query *) node);
		return query_tree_walker((Query *) node, check_permissions_below, context, 0);
	}
	return expression_tree_walker(node, check_permissions_below, context);
}

/* Make all that belongs to a query whose output was just created. */
static void
create_query(Oid output, Query *query, VsOptions *options, bool with_data)
{
	VsQueryEntry entry = {0};
	VsFrontierRow row;
	VsPlan	   *plan;
	VsContext  *cxt;
	Relation	rel;

	entry.output = output;
	entry.kind = options->kind;
	entry.mode = options->mode;
	entry.on_error = options->on_error;
	entry.time = options->time;
	entry.status = VS_STATUS_RUNNING;
	entry.with_data = with_data;
	entry.owner = GetUserId();
	entry.adopted = true;
	entry.view = vs_registry_create_view(output, query);
	vs_registry_insert(&entry);
	CommandCounterIncrement();

	plan = vs_plan_make(&entry, CurrentMemoryContext);
	(void) check_permissions_below((Node *) plan->query, NULL);
	vs_registry_equip(&entry, plan);
	vs_registry_update(&entry);
	vs_registry_link(&entry);

	remember_created(output);
	cxt = vs_context_attach(output);
	vs_horizon_ensure();
	vs_frontier_init(&row);
	if (!with_data)
		start_frontier(plan, cxt, &row);
	rel = table_open(output, NoLock);
	row.output_node = rel->rd_node;
	table_close(rel, NoLock);
	vs_frontier_write(output, &row);
	CommandCounterIncrement();

	MemoryContextDelete(plan->context);
}

/* Its context has to go if the (sub)transaction is rolled back. */
static void
remember_created(Oid output)
{
	MemoryContext old = MemoryContextSwitchTo(TopTransactionContext);
	CreatedQuery *query = palloc(sizeof(CreatedQuery));

	query->output = output;
	query->subid = GetCurrentSubTransactionId();
	created = lappend(created, query);
	MemoryContextSwitchTo(old);
}

/*
 * WITH NO DATA: the query starts now, as if a batch had just read everything
 * that is visible.  This transaction's own rows are not: they will be counted
 * when it has committed, even those from before this command, which the
 * stored snapshot cannot tell from later ones.
 *
 * The context exists already, so the horizon cannot move on; it is held at the
 * snapshot before the snapshot is let go.
 */
static void
start_frontier(VsPlan *plan, VsContext *cxt, VsFrontierRow *row)
{
	VsFrontier *frontier = &row->frontier;
	Snapshot	snapshot;

	/*
	 * All that the snapshot does not see as committed has an xid from xmin
	 * on, this transaction included; what it wrote so far is before "lsn".
	 */
	frontier->lsn = GetXLogInsertRecPtr();
	snapshot = RegisterSnapshot(GetLatestSnapshot());
	frontier->snapshot = vs_snapshot_capture(snapshot, NULL);
	/* if it is not known, the first batch will sweep the sources */
	frontier->restart_lsn = vs_wal_before_xid(frontier->snapshot->xmin);
	list_sources(plan, frontier);

	frontier->horizon = vs_horizon_lower(frontier->snapshot->xmin);
	row->updated_at = GetCurrentTimestamp();
	row->fingerprint = plan->fingerprint;
	vs_context_set_frontier(cxt, frontier->snapshot->xmin, frontier->lsn, row->updated_at);
	UnregisterSnapshot(snapshot);
}

/* The heaps a plan reads, on which it holds locks, with their files. */
static void
list_sources(VsPlan *plan, VsFrontier *frontier)
{
	ListCell   *lc;

	frontier->nsources = 0;
	frontier->sources = palloc0(sizeof(VsSource) * Max(list_length(plan->leaves), 1));
	foreach(lc, plan->leaves)
	{
		VsSource   *source = &frontier->sources[frontier->nsources++];
		Relation	rel = table_open(lfirst_oid(lc), NoLock);

		source->relid = RelationGetRelid(rel);
		source->node = rel->rd_node;
		table_close(rel, NoLock);
	}
	vs_frontier_sort(frontier);
}

/* ----------
 * Other commands, on outputs and sources
 * ----------
 */

/* The relation, if it is there and is the output of a query; else InvalidOid. */
static Oid
find_output(RangeVar *relation)
{
	Oid			relid;

	if (relation == NULL)
		return InvalidOid;
	relid = RangeVarGetRelid(relation, NoLock, true);
	return OidIsValid(relid) && vs_registry_is_output(relid) ? relid : InvalidOid;
}

/* "message" has a place for the output's name. */
static void
refuse_on_output(Oid output, const char *message, const char *hint)
{
	ereport(ERROR,
			(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
			 errmsg(message, get_rel_name(output)),
			 errdetail("It is the output of a continuous query."),
			 errhint("%s", hint)));
}

/*
 * Error out if a command would break a query, or uses our options where they
 * mean nothing.
 */
static void
check_other_command(Node *parsetree, const char *source)
{
	ParseState	pstate = {.p_sourcetext = source};
	Oid			output;

	switch (nodeTag(parsetree))
	{
		case T_CreateTableAsStmt:
			vs_options_refuse(&pstate, ((CreateTableAsStmt *) parsetree)->into->options,
							  "a materialized view cannot be a continuous query",
							  HINT_CREATE);
			break;
		case T_ViewStmt:
			vs_options_refuse(&pstate, ((ViewStmt *) parsetree)->options,
							  "a view cannot be a continuous query", HINT_CREATE);
			break;
		case T_CreateStmt:
		case T_CreateForeignTableStmt:	/* begins with a CreateStmt */
			vs_options_refuse(&pstate, ((CreateStmt *) parsetree)->options,
							  "CREATE TABLE without AS SELECT cannot create a continuous query",
							  HINT_CREATE);
			if (((CreateStmt *) parsetree)->partbound == NULL)
			{
				ListCell   *lc;

				foreach(lc, ((CreateStmt *) parsetree)->inhRelations)
					check_parent(lfirst_node(RangeVar, lc));
			}
			break;
		case T_ExplainStmt:
			{
				Query	   *query = castNode(Query, ((ExplainStmt *) parsetree)->query);

				if (query->commandType == CMD_UTILITY &&
					IsA(query->utilityStmt, CreateTableAsStmt))
					vs_options_refuse(&pstate,
									  ((CreateTableAsStmt *) query->utilityStmt)->into->options,
									  "cannot EXPLAIN the creation of a continuous query",
									  "Create the query, and use velostream.explain().");
			}
			break;
		case T_AlterTableStmt:
			check_alter_table((AlterTableStmt *) parsetree, source);
			break;
		case T_AlterObjectSchemaStmt:
			if (strcmp(((AlterObjectSchemaStmt *) parsetree)->newschema, VS_SCHEMA_NAME) == 0 &&
				OidIsValid(output = find_output(((AlterObjectSchemaStmt *) parsetree)->relation)))
				refuse_on_output(output, "cannot move table \"%s\" into the schema of the extension",
								 "Name another schema.");
			break;
		case T_CreateTrigStmt:
			check_trigger((CreateTrigStmt *) parsetree);
			break;
		case T_RenameStmt:
			if (((RenameStmt *) parsetree)->renameType == OBJECT_TRIGGER &&
				is_guard(((RenameStmt *) parsetree)->subname) &&
				OidIsValid(output = find_output(((RenameStmt *) parsetree)->relation)))
				refuse_on_output(output, "cannot rename a guard trigger of \"%s\"",
								 "It is known by its name.");
			break;
		case T_RuleStmt:
			if (OidIsValid(output = find_output(((RuleStmt *) parsetree)->relation)))
				refuse_on_output(output, "cannot create a rule on \"%s\"", "Use an AFTER trigger.");
			break;
		default:
			break;
	}
}

/*
 * The part of check_other_command for CREATE TRIGGER.  A restore creates the
 * guard triggers as it found them; after that they are not to be replaced.
 */
static void
check_trigger(CreateTrigStmt *stmt)
{
	bool		guard = is_guard(stmt->trigname);
	Oid			output;

	if (guard ? !stmt->replace : !(stmt->row && stmt->timing == TRIGGER_TYPE_BEFORE))
		return;
	output = find_output(stmt->relation);
	if (!OidIsValid(output))
		return;
	if (guard)
		refuse_on_output(output, "cannot replace a guard trigger of \"%s\"",
						 "Give your own trigger another name.");
	refuse_on_output(output, "cannot create a BEFORE row trigger on \"%s\"",
					 "Use an AFTER trigger: one that runs before could change the rows.");
}

static bool
is_guard(const char *name)
{
	return strcmp(name, VS_GUARD_TRIGGER) == 0 || strcmp(name, VS_GUARD_ROW_TRIGGER) == 0;
}

/* The part of check_other_command for ALTER TABLE on outputs and sources. */
static void
check_alter_table(AlterTableStmt *stmt, const char *source)
{
	ParseState	pstate = {.p_sourcetext = source};
	Oid			relid;
	bool		is_output;
	ListCell   *lc;

	foreach(lc, stmt->cmds)
	{
		AlterTableCmd *cmd = lfirst_node(AlterTableCmd, lc);

		if (cmd->subtype == AT_SetRelOptions || cmd->subtype == AT_ResetRelOptions ||
			cmd->subtype == AT_ReplaceRelOptions)
			vs_options_refuse(&pstate, castNode(List, cmd->def),
							  "options of a continuous query cannot be changed",
							  "Drop the query and create it again.");
	}

	if (!vs_registry_exists())
		return;
	relid = RangeVarGetRelid(stmt->relation, NoLock, true);
	if (!OidIsValid(relid))
		return;
	is_output = vs_registry_is_output(relid);
	foreach(lc, stmt->cmds)
	{
		AlterTableCmd *cmd = lfirst_node(AlterTableCmd, lc);
		Oid			partition;

		if (cmd->subtype == AT_AddInherit)
			check_parent(castNode(RangeVar, cmd->def));
		if (cmd->subtype == AT_AttachPartition &&
			OidIsValid(partition = find_output(castNode(PartitionCmd, cmd->def)->name)))
			refuse_on_output(partition, "cannot attach \"%s\" as a partition",
							 "Partition the query's source, or read the output through a view.");
		if (is_output)
			check_alter_output(relid, cmd);
		check_alter_source(relid, cmd);
	}
}

/* How many columns of an output are the query's (and, of a stream, ours). */
static int
query_columns(Oid output)
{
	VsQueryEntry entry;
	Relation	view;
	int			result;

	if (!vs_registry_read(output, &entry))
		return 0;
	view = try_relation_open(entry.view, AccessShareLock);
	if (view == NULL)
		return 0;
	result = RelationGetNumberOfAttributes(view);
	relation_close(view, AccessShareLock);
	return result + (entry.kind == VS_KIND_STREAM ? lengthof(stream_columns) : 0);
}

/* Refuse what would make an output unfit for the rows that we write. */
static void
check_alter_output(Oid output, AlterTableCmd *cmd)
{
	AttrNumber	attno;

	switch (cmd->subtype)
	{
		case AT_SetUnLogged:
			refuse_on_output(output, "cannot make table \"%s\" unlogged",
							 "It would be empty after a crash, while the query goes on where it was.");
			break;
		case AT_SetAccessMethod:
			if (cmd->name == NULL || strcmp(cmd->name, "heap") != 0)
				refuse_on_output(output, "cannot change the access method of \"%s\"", "Outputs must be heaps.");
			break;
		case AT_AddInherit:
			refuse_on_output(output, "cannot make \"%s\" inherit from another table",
							 "Read both tables through a view with UNION ALL.");
			break;
		case AT_DropColumn:
		case AT_AlterColumnType:
			attno = get_attnum(output, cmd->name);
			if (attno > 0 && attno <= query_columns(output))
				refuse_on_output(output,
								 cmd->subtype == AT_DropColumn ?
								 "cannot drop a column of the query from \"%s\"" :
								 "cannot change the type of a column of the query in \"%s\"",
								 "Its columns are those of the query: drop it and create another one, or use a view over it.");
			break;
		case AT_EnableTrigAll:
		case AT_EnableTrigUser:
			refuse_on_output(output, "cannot enable all triggers of \"%s\"",
							 "Name your own triggers one by one: others guard the table in every session_replication_role.");
			break;
		case AT_DisableTrigAll:
		case AT_DisableTrigUser:
			refuse_on_output(output, "cannot disable all triggers of \"%s\"",
							 "Name your own triggers one by one: another one guards the table.");
			break;
		case AT_DisableTrig:
		case AT_EnableTrig:
		case AT_EnableReplicaTrig:
			if (is_guard(cmd->name))
				refuse_on_output(output, "cannot disable a guard trigger of \"%s\"",
								 "Change the rows that the query reads instead of its output.");
			break;
		default:
			break;
	}
}

/* Refuse what would make a source one whose changes cannot be captured. */
static void
check_alter_source(Oid source, AlterTableCmd *cmd)
{
	bool		unlogged = cmd->subtype == AT_SetUnLogged;

	/* without a name: to the default one */
	if (!unlogged &&
		!(cmd->subtype == AT_SetAccessMethod &&
		  strcmp(cmd->name ? cmd->name : default_table_access_method, "heap") != 0))
		return;
	if (!is_source(source))
		return;
	ereport(ERROR,
			(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
			 unlogged ?
			 errmsg("cannot make table \"%s\" unlogged", get_rel_name(source)) :
			 errmsg("cannot change the access method of table \"%s\"", get_rel_name(source)),
			 errdetail("It is the source of a continuous query, and its changes could not be seen any more."),
			 errhint("Drop the query first.")));
}

/*
 * An output must not get children, nor a source its first one: after that the
 * source's primary key would not identify the rows of an output any more.
 */
static void
check_parent(RangeVar *parent)
{
	Oid			relid = RangeVarGetRelid(parent, NoLock, true);

	if (!OidIsValid(relid) || !vs_registry_exists())
		return;
	if (vs_registry_is_output(relid))
		refuse_on_output(relid, "cannot inherit from \"%s\"", "Use LIKE instead of INHERITS.");
	if (get_rel_relkind(relid) == RELKIND_RELATION && !has_subclass(relid) && is_source(relid))
		ereport(ERROR,
				(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
				 errmsg("cannot inherit from table \"%s\"", get_rel_name(relid)),
				 errdetail("It is the source of a continuous query, and nothing inherits from it yet."),
				 errhint("Use a partitioned table as the source, or LIKE instead of INHERITS.")));
}

static int
list_position_oid(List *list, Oid oid)
{
	ListCell   *lc;

	foreach(lc, list)
	{
		if (lfirst_oid(lc) == oid)
			return foreach_current_index(lc);
	}
	return -1;
}

/* Does a query read this table: itself, as a partition, or through views? */
static bool
is_source(Oid relid)
{
	List	   *outputs = NIL;
	List	   *views = NIL;	/* of those */
	List	   *relids = list_make1_oid(relid);
	ListCell   *lc;

	foreach(lc, vs_registry_list())
	{
		VsQueryEntry entry;

		if (!vs_registry_read(lfirst_oid(lc), &entry))
			continue;
		outputs = lappend_oid(outputs, entry.output);
		views = lappend_oid(views, entry.view);
	}
	if (views == NIL)
		return false;

	if (get_rel_relispartition(relid))
		relids = list_concat(relids, get_partition_ancestors(relid));
	foreach(lc, relids)			/* grows on the way */
	{
		ListCell   *lc2;

		foreach(lc2, views_over(lfirst_oid(lc)))
		{
			int			i = list_position_oid(views, lfirst_oid(lc2));

			if (i < 0)
				relids = list_append_unique_oid(relids, lfirst_oid(lc2));
			/* a query's view depends on its own output as well */
			else if (list_nth_oid(outputs, i) != lfirst_oid(lc))
				return true;
		}
	}
	return false;
}

/* The relation that a rule belongs to. */
static Oid
rule_relation(Oid rule)
{
	Relation	rel = table_open(RewriteRelationId, AccessShareLock);
	ScanKeyData key;
	SysScanDesc scan;
	HeapTuple	tuple;
	Oid			result = InvalidOid;

	ScanKeyInit(&key, Anum_pg_rewrite_oid, BTEqualStrategyNumber, F_OIDEQ,
				ObjectIdGetDatum(rule));
	scan = systable_beginscan(rel, RewriteOidIndexId, true, NULL, 1, &key);
	if (HeapTupleIsValid(tuple = systable_getnext(scan)))
		result = ((Form_pg_rewrite) GETSTRUCT(tuple))->ev_class;
	systable_endscan(scan);
	table_close(rel, AccessShareLock);
	return result;
}

/* OIDs of the relations whose rules (views, that is) name this relation. */
static List *
views_over(Oid relid)
{
	Relation	rel = table_open(DependRelationId, AccessShareLock);
	ScanKeyData key[2];
	SysScanDesc scan;
	HeapTuple	tuple;
	List	   *result = NIL;

	ScanKeyInit(&key[0], Anum_pg_depend_refclassid, BTEqualStrategyNumber, F_OIDEQ,
				ObjectIdGetDatum(RelationRelationId));
	ScanKeyInit(&key[1], Anum_pg_depend_refobjid, BTEqualStrategyNumber, F_OIDEQ,
				ObjectIdGetDatum(relid));
	scan = systable_beginscan(rel, DependReferenceIndexId, true, NULL, 2, key);
	while (HeapTupleIsValid(tuple = systable_getnext(scan)))
	{
		Form_pg_depend depend = (Form_pg_depend) GETSTRUCT(tuple);
		Oid			view;

		if (depend->classid != RewriteRelationId)
			continue;
		view = rule_relation(depend->objid);
		if (OidIsValid(view) && view != relid)
			result = list_append_unique_oid(result, view);
	}
	systable_endscan(scan);
	table_close(rel, AccessShareLock);
	return result;
}

/*
 * velostream.on_table_rewrite() RETURNS event_trigger
 *
 * A table is about to be rewritten, which gives every row a new xmin: in
 * append mode they would all count again.  (Queries in the mode "changes" see
 * the new file and rebuild.)  What was not read yet may be rewritten.
 */
Datum
velostream_on_table_rewrite(PG_FUNCTION_ARGS)
{
	Oid			relid;
	ListCell   *lc;

	if (!CALLED_AS_EVENT_TRIGGER(fcinfo))
		ereport(ERROR,
				(errcode(ERRCODE_E_R_I_E_EVENT_TRIGGER_PROTOCOL_VIOLATED),
				 errmsg("function \"%s\" was not called by an event trigger",
						"velostream.on_table_rewrite")));

	relid = DatumGetObjectId(OidFunctionCall0(F_PG_EVENT_TRIGGER_TABLE_REWRITE_OID));
	foreach(lc, vs_registry_list())
	{
		Oid			output = lfirst_oid(lc);
		VsQueryEntry entry;
		VsFrontierRow row;

		if (!vs_registry_read(output, &entry) || entry.mode != VS_SOURCE_APPEND ||
			!vs_frontier_read(output, &row) || row.frontier.snapshot == NULL)
			continue;
		for (int i = 0; i < row.frontier.nsources; i++)
			if (row.frontier.sources[i].relid == relid)
				ereport(ERROR,
						(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
						 errmsg("cannot rewrite table \"%s\"", get_rel_name(relid)),
						 errdetail("Continuous query \"%s\" reads it in the mode \"append\", and would count every row again.",
								   get_rel_name(output)),
						 errhint("Change the table without rewriting it (add a column without a volatile default and fill it with UPDATE), or drop the query first.")));
	}
	PG_RETURN_NULL();
}

/*
 * velostream.guard() RETURNS trigger
 *
 * Trigger on outputs, for statements and before rows: users do not write to
 * them.  (Our own writes fire neither.)
 */
Datum
velostream_guard(PG_FUNCTION_ARGS)
{
	TriggerData *trigger = (TriggerData *) fcinfo->context;
	const char *verb;

	if (!CALLED_AS_TRIGGER(fcinfo))
		ereport(ERROR,
				(errcode(ERRCODE_E_R_I_E_TRIGGER_PROTOCOL_VIOLATED),
				 errmsg("function \"%s\" was not called by trigger manager", "velostream.guard")));

	if (TRIGGER_FIRED_BY_INSERT(trigger->tg_event))
		verb = "insert into";
	else if (TRIGGER_FIRED_BY_UPDATE(trigger->tg_event))
		verb = "update";
	else if (TRIGGER_FIRED_BY_DELETE(trigger->tg_event))
		verb = "delete from";
	else
		verb = "truncate";
	ereport(ERROR,
			(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
			 errmsg("cannot %s table \"%s\"", verb,
					RelationGetRelationName(trigger->tg_relation)),
			 errdetail("It is the output of a continuous query."),
			 errhint("Change the rows that the query reads, or use velostream.rebuild() to compute it again.")));
	PG_RETURN_NULL();
}

/* ----------
 * Drops, and the ends of transactions
 * ----------
 */

static void
object_access(ObjectAccessType access, Oid classId, Oid objectId, int subId, void *arg)
{
	if (next_object_access)
		next_object_access(access, classId, objectId, subId, arg);

	if (classId == ExtensionRelationId && access == OAT_POST_CREATE)
		extension_made = true;
	if (access != OAT_DROP || subId != 0)
		return;
	if (classId == ExtensionRelationId)
	{
		char	   *name = get_extension_name(objectId);

		if (name && strcmp(name, VS_EXTENSION_NAME) == 0)
			dropped_extension = objectId;
	}
	else if (classId == RelationRelationId &&
			 get_rel_relkind(objectId) == RELKIND_RELATION &&
			 get_rel_persistence(objectId) == RELPERSISTENCE_PERMANENT)
	{
		MemoryContext old = MemoryContextSwitchTo(TopTransactionContext);

		dropped = lappend_oid(dropped, objectId);
		MemoryContextSwitchTo(old);
	}
}

/* Catalogs are put right before the commit, shared memory after it. */
static void
xact_callback(XactEvent event, void *arg)
{
	switch (event)
	{
		case XACT_EVENT_PRE_COMMIT:
			forget_dropped();
			break;
		case XACT_EVENT_PRE_PREPARE:
			forget_dropped();
			refuse_prepare();
			break;
		case XACT_EVENT_COMMIT:
			after_commit();
			end_transaction();
			break;
		case XACT_EVENT_ABORT:
			after_abort();
			end_transaction();
			break;
		case XACT_EVENT_PREPARE:
			end_transaction();
			break;
		default:
			break;
	}
}

/* Contexts of queries that were created in a savepoint go with it. */
static void
subxact_callback(SubXactEvent event, SubTransactionId mySubid,
				 SubTransactionId parentSubid, void *arg)
{
	ListCell   *lc;

	if (event != SUBXACT_EVENT_ABORT_SUB && event != SUBXACT_EVENT_COMMIT_SUB)
		return;
	foreach(lc, created)
	{
		CreatedQuery *query = lfirst(lc);

		if (query->subid != mySubid)
			continue;
		if (event == SUBXACT_EVENT_COMMIT_SUB)
			query->subid = parentSubid;
		else
		{
			vs_context_drop(query->output);
			created = foreach_delete_current(created, lc);
		}
	}
}

/*
 * Before the end: remove what the extension's tables say about outputs that
 * were dropped, and leave in "dropped" only tables that do not exist any more.
 */
static void
forget_dropped(void)
{
	ListCell   *lc;

	if (OidIsValid(dropped_extension))
		extension_gone = get_extension_oid(VS_EXTENSION_NAME, true) != dropped_extension;
	foreach(lc, dropped)
	{
		Oid			relid = lfirst_oid(lc);

		if (SearchSysCacheExists1(RELOID, ObjectIdGetDatum(relid)))
			dropped = foreach_delete_current(dropped, lc);
		else
			vs_registry_delete(relid);
	}
}

/*
 * Who ends a prepared transaction runs none of our callbacks: a context whose
 * query is gone would hold back the horizon for good.
 */
static void
refuse_prepare(void)
{
	bool		refused = created != NIL || extension_gone;
	ListCell   *lc;

	if (!vs_preloaded)
		return;
	foreach(lc, dropped)
		refused |= vs_context_find(lfirst_oid(lc)) != NULL;
	if (refused)
		ereport(ERROR,
				(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
				 errmsg("cannot PREPARE a transaction that has created or dropped a continuous query"),
				 errhint("Use COMMIT, or create and drop continuous queries in transactions of their own.")));
}

/* What is not transactional, now that the rest is committed.  Raises no error. */
static void
after_commit(void)
{
	ListCell   *lc;

	if (!vs_preloaded)
		return;
	foreach(lc, dropped)
	{
		vs_context_drop(lfirst_oid(lc));
		vs_capture_forget(lfirst_oid(lc));
	}
	if (extension_gone)
	{
		vs_context_drop_database(MyDatabaseId);
		drop_horizon();
	}
	if (extension_gone || extension_made)
		vs_launcher_wake();
	if (created != NIL)
		vs_doorbell_ring();
}

/*
 * Drop this database's slot.  That writes files and can fail, which must not
 * become a failure of the committed transaction: a slot that stays is noticed
 * by the launcher.
 */
static void
drop_horizon(void)
{
	uint32		holdoff = InterruptHoldoffCount;
	MemoryContext context = CurrentMemoryContext;

	PG_TRY();
	{
		vs_horizon_drop(MyDatabaseId);
	}
	PG_CATCH();
	{
		ErrorData  *edata;

		MemoryContextSwitchTo(context);
		edata = CopyErrorData();
		FlushErrorState();
		LWLockReleaseAll();
		InterruptHoldoffCount = holdoff;
		ereport(WARNING,
				(errcode(edata->sqlerrcode),
				 errmsg("could not drop the replication slot of extension \"%s\": %s",
						VS_EXTENSION_NAME, edata->message),
				 errhint("Drop it with pg_drop_replication_slot('velostream_%u').",
						 MyDatabaseId)));
		FreeErrorData(edata);
	}
	PG_END_TRY();
}

static void
after_abort(void)
{
	ListCell   *lc;

	foreach(lc, created)
		vs_context_drop(((CreatedQuery *) lfirst(lc))->output);
}

/* The lists went with TopTransactionContext, or will. */
static void
end_transaction(void)
{
	created = NIL;
	dropped = NIL;
	dropped_extension = InvalidOid;
	extension_gone = false;
	extension_made = false;
}
