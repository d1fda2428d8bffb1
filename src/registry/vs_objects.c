/*-------------------------------------------------------------------------
 *
 * vs_objects.c
 *	  The objects that belong to a query: the view with its definition, the
 *	  state table, the locator indexes, the guard trigger, and the
 *	  dependencies that hold them together.
 *
 * All of them hang on the output table:
 *
 *	  view		INTERNAL on the output.  Whatever the definition rests on is
 *				a dependency of the view's rule, so dropping a source (column,
 *				function, type, ...) is refused naming the output; CASCADE
 *				takes the output along, because the output owns the view.
 *	  rule		NORMAL on each column of the output that we write, so that
 *				these can be renamed, but neither dropped nor given another
 *				type.
 *	  state		INTERNAL on the output.
 *	  locator	INTERNAL on the output: cannot be dropped alone.
 *	  guard		the same.  It is an ordinary trigger, not one of PostgreSQL's
 *				internal ones, so that pg_dump writes it out, after the data:
 *				its presence tells that a restore is through with the output.
 *	  output	NORMAL on the extension: DROP EXTENSION needs CASCADE and
 *				then drops the outputs as well.
 *
 * View and state table belong to the extension's owner, and nobody else has
 * a privilege on them, whatever the default privileges say.  The view is a
 * security_invoker view: it gives nobody the rights of its owner.
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
#include "catalog/dependency.h"
#include "catalog/index.h"
#include "catalog/indexing.h"
#include "catalog/namespace.h"
#include "catalog/pg_am.h"
#include "catalog/pg_class.h"
#include "catalog/pg_extension.h"
#include "catalog/pg_namespace.h"
#include "catalog/pg_proc.h"
#include "catalog/pg_rewrite.h"
#include "catalog/pg_trigger.h"
#include "catalog/pg_type.h"
#include "catalog/toasting.h"
#include "commands/defrem.h"
#include "commands/extension.h"
#include "commands/tablecmds.h"
#include "commands/tablespace.h"
#include "commands/trigger.h"
#include "commands/view.h"
#include "miscadmin.h"
#include "nodes/makefuncs.h"
#include "nodes/nodeFuncs.h"
#include "parser/parse_collate.h"
#include "plan/vs_plan.h"
#include "registry/vs_registry.h"
#include "state/vs_hash.h"
#include "rewrite/rewriteDefine.h"
#include "rewrite/rewriteHandler.h"
#include "rewrite/rewriteManip.h"
#include "rewrite/rewriteSupport.h"
#include "storage/lmgr.h"
#include "utils/acl.h"
#include "utils/builtins.h"
#include "utils/guc.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"
#include "utils/snapmgr.h"
#include "utils/syscache.h"
#include "vs_compat.h"

#define STREAM_COLUMNS	3		/* _op, _offset, _timestamp */

/* The user id to go back to. */
typedef struct Identity
{
	Oid			userid;
	int			sec_context;
} Identity;

static void become_extension_owner(Identity *before);
static void become(const Identity *who);
static RangeVar *choose_name(const char *prefix, Oid output);
static List *view_columns(Oid output, Query *query);
static Oid	define_relation(RangeVar *name, char relkind, List *columns, List *options,
							char *tablespace);
static void clear_acl(Oid relid);
static int64 last_offset(Oid output);
static Oid	own_function(const char *name, int nargs, Oid argtype);
static List *hashed_columns(List *attnums);
static Node *index_expression(Relation index);
static Oid	find_locator(Relation rel, Oid func, List *attnums, AttrNumber window);
static bool matches_hash(Node *expr, Oid func, List *attnums);
static IndexElem *column_element(Oid relation, AttrNumber column);
static IndexElem *hash_element(Relation rel, Oid func, List *attnums, const char *name);
static Oid	create_index(Relation rel, List *elements);
static Oid	window_index(Oid state, List *hashed, AttrNumber column);
static Oid	find_window_index(Relation rel, Oid func, List *hashed, AttrNumber column);
static void equip_output(const VsQueryEntry *entry, struct VsPlan *plan);
static void equip_upgraded(const VsQueryEntry *entry, struct VsPlan *plan);
static void drop_restored_state(VsQueryEntry *entry);
static void depend_internally(Oid classid, Oid objid, Oid output);
static void link_rule(const VsQueryEntry *entry);
static void link_guard(Oid output, const char *name, bool row);
static bool restored_as_expected(const VsQueryEntry *entry);

/*
 * Store a query as a view in our schema, owned by the extension's owner.  Its
 * columns are named like those of the output.  Ends with the new view visible.
 */
Oid
vs_registry_create_view(Oid output, Query *query)
{
	Identity	before;
	Oid			view;
	List	   *columns;
	List	   *options;
	ListCell   *lc;
	int			i = 0;

	query = copyObject(query);
	columns = view_columns(output, query);
	foreach(lc, query->targetList)
	{
		TargetEntry *tle = lfirst_node(TargetEntry, lc);

		if (!tle->resjunk)
			tle->resname = list_nth_node(ColumnDef, columns, i++)->colname;
	}

	become_extension_owner(&before);
	options = list_make1(makeDefElem("security_invoker", (Node *) makeString("true"), -1));
	view = define_relation(choose_name("query", output), RELKIND_VIEW, columns, options, NULL);
	StoreViewQuery(view, query, false);
	CommandCounterIncrement();
	clear_acl(view);
	become(&before);
	return view;
}

/*
 * A copy of the query that a view stores, as parse analysis made it: without
 * the entries of the view itself in its range table, and to be executed with
 * the privileges of whoever runs it.  The relations in it are not locked
 * (AcquireRewriteLocks does that).
 */
Query *
vs_registry_query(Oid view)
{
	Relation	rel = relation_open(view, AccessShareLock);
	Query	   *query;

	if (rel->rd_rel->relkind != RELKIND_VIEW)
		ereport(ERROR,
				(errcode(ERRCODE_WRONG_OBJECT_TYPE),
				 errmsg("\"%s\" is not a view", RelationGetRelationName(rel))));
	query = copyObject(get_view_query(rel));
	relation_close(rel, AccessShareLock);

	if (VS_VIEW_EXTRA_RTES > 0)
	{
		query->rtable = list_copy_tail(query->rtable, VS_VIEW_EXTRA_RTES);
		OffsetVarNodes((Node *) query, -VS_VIEW_EXTRA_RTES, 0);
	}
	vs_flatten_groups(query);
	setRuleCheckAsUser((Node *) query, InvalidOid);
	return query;
}

/*
 * Create the state table of a query, and the index by which its rows are
 * found if it has keys.  Owned by the extension's owner.
 */
Oid
vs_registry_create_state(Oid output, List *columns, int nkeys, AttrNumber window, int fillfactor)
{
	Identity	before;
	Oid			state;
	Oid			tablespace = get_rel_tablespace(output);
	List	   *options;

	become_extension_owner(&before);
	options = list_make1(makeDefElem("fillfactor", (Node *) makeInteger(fillfactor), -1));
	state = define_relation(choose_name("state", output), RELKIND_RELATION, columns, options,
							OidIsValid(tablespace) ? get_tablespace_name(tablespace) : NULL);
	NewRelationCreateToastTable(state, (Datum) 0);
	clear_acl(state);
	CommandCounterIncrement();
	if (nkeys > 0)
	{
		List	   *attnums = NIL;

		for (int i = 1; i <= nkeys; i++)
			attnums = lappend_int(attnums, i);
		(void) vs_registry_locator(state, attnums, false, window, true);
	}
	become(&before);
	return state;
}

/* velostream.key_hash(VARIADIC "any") */
Oid
vs_registry_key_hash(void)
{
	return own_function("key_hash", 1, ANYOID);
}

/* velostream.key_order(VARIADIC "any") */
Oid
vs_registry_key_order(void)
{
	return own_function("key_order", 1, ANYOID);
}

/*
 * The index over the hash of some columns by which rows are found, behind the
 * column "window" if it is not 0: looked for by what it indexes, whatever its
 * name.  If there is none: made when "create" says so (with ShareLock on the
 * table), else InvalidOid.
 */
Oid
vs_registry_locator(Oid relation, List *attnums, bool image, AttrNumber window, bool create)
{
	Relation	rel = table_open(relation, AccessShareLock);
	Oid			func = own_function(image ? "row_hash" : "key_hash", 1, ANYOID);
	Oid			index;

	attnums = hashed_columns(attnums);
	index = find_locator(rel, func, attnums, window);
	if (!OidIsValid(index) && create)
	{
		List	   *elements = list_make1(hash_element(rel, func, attnums,
													   image ? "row_hash" : "key_hash"));

		if (window != 0)
			elements = lcons(column_element(relation, window), elements);
		index = create_index(rel, elements);
		depend_internally(RelationRelationId, index, relation);
		CommandCounterIncrement();
	}
	table_close(rel, AccessShareLock);
	return index;
}

/*
 * The index of a state table on the column with the windows, or panes, behind
 * the hash of the columns "hashed" (NIL: of nothing).  Made if there is none.
 */
static Oid
window_index(Oid state, List *hashed, AttrNumber column)
{
	Relation	rel = table_open(state, AccessShareLock);
	Oid			func = own_function("key_hash", 1, ANYOID);
	Oid			result;

	hashed = hashed_columns(hashed);
	result = find_window_index(rel, func, hashed, column);
	if (!OidIsValid(result))
	{
		List	   *elements = NIL;

		if (hashed != NIL)
			elements = list_make1(hash_element(rel, func, hashed, "key_hash"));
		result = create_index(rel, lappend(elements, column_element(state, column)));
		depend_internally(RelationRelationId, result, state);
		CommandCounterIncrement();
	}
	table_close(rel, AccessShareLock);
	return result;
}

/*
 * The indexes of a plan's state table by which panes, or the rows of buffers,
 * and closed windows, the groups of a window, or idle buffers, are found;
 * InvalidOid where the plan needs none.
 */
void
vs_registry_window_indexes(Oid state, struct VsPlan *plan, Oid *panes, Oid *windows)
{
	bool		buffers = plan->strategy == VS_STRATEGY_ROW_WINDOW;
	AttrNumber	column = vs_plan_window_column(plan);
	bool		by_window = plan->timed || (plan->top.standing && plan->top.window != 0);

	*panes = *windows = InvalidOid;
	if (plan->panes || buffers)
	{
		List	   *hashed = NIL;

		for (int i = 1; i <= plan->nkeys; i++)
			if (i != column)
				hashed = lappend_int(hashed, i);
		*panes = window_index(state, hashed, column);
	}
	if (by_window && !plan->panes)
		*windows = vs_registry_locator(state, vs_plan_state_keys(plan), false, column, true);
	else if (by_window)
		*windows = window_index(state, NIL, column);
	else if (buffers && plan->row_window.expire >= 0)
		*windows = window_index(state, NIL, column + 1);
}

/*
 * Create what a plan needs beside the output: the state table (entry->state
 * is set) and the locator of the output.
 */
void
vs_registry_equip(VsQueryEntry *entry, struct VsPlan *plan)
{
	List	   *columns = vs_plan_state_columns(plan);
	Oid			panes;
	Oid			windows;

	entry->state = InvalidOid;
	/* rows of buffers are never updated */
	if (columns != NIL && plan->strategy == VS_STRATEGY_ROW_WINDOW)
		entry->state = vs_registry_create_state(entry->output, columns, 0, 0,
												HEAP_DEFAULT_FILLFACTOR);
	else if (columns != NIL)
		entry->state = vs_registry_create_state(entry->output, columns,
												plan->panes ? 0 : plan->nkeys,
												vs_plan_locator_window(plan, true),
												VS_GROUP_FILLFACTOR);
	if (columns != NIL)
		vs_registry_window_indexes(entry->state, plan, &panes, &windows);
	equip_output(entry, plan);
}

/* Give the indexes of a table the names they would have if they were new. */
static void
rename_indexes(Oid relation)
{
	Relation	rel = table_open(relation, AccessShareLock);
	List	   *indexes = RelationGetIndexList(rel);
	ListCell   *lc;

	table_close(rel, NoLock);
	foreach(lc, indexes)
	{
		Relation	index = index_open(lfirst_oid(lc), AccessExclusiveLock);
		StringInfoData columns;
		char	   *name;

		initStringInfo(&columns);
		for (int i = 0; i < RelationGetNumberOfAttributes(index); i++)
			appendStringInfo(&columns, "%s%s", i == 0 ? "" : "_",
							 NameStr(TupleDescAttr(RelationGetDescr(index), i)->attname));
		name = ChooseRelationName(get_rel_name(relation), columns.data, "idx",
								  get_rel_namespace(relation), false);
		index_close(index, NoLock);
		RenameRelationInternal(lfirst_oid(lc), name, true, true);
		CommandCounterIncrement();
	}
}

/*
 * The output has got another name: what is named after it follows.  (Who renames
 * an output of his leaves these names as they are: they are found without.)
 */
void
vs_registry_rename(Oid output)
{
	VsQueryEntry entry;

	if (!vs_registry_read(output, &entry))
		elog(ERROR, "relation %u is not the output of a continuous query", output);
	rename_indexes(output);
	RenameRelationInternal(entry.view, choose_name("query", output)->relname, true, false);
	CommandCounterIncrement();
	if (!OidIsValid(entry.state))
		return;
	RenameRelationInternal(entry.state, choose_name("state", output)->relname, true, false);
	CommandCounterIncrement();
	rename_indexes(entry.state);
}

/* The locator of the output, made if there is none, belongs to the output. */
static void
equip_output(const VsQueryEntry *entry, struct VsPlan *plan)
{
	bool		image;
	List	   *attnums = vs_plan_locator_columns(plan, &image);

	if (attnums != NIL)
		depend_internally(RelationRelationId,
						  vs_registry_locator(entry->output, attnums, image,
											  vs_plan_locator_window(plan, false), true),
						  entry->output);
}

/*
 * The same for a query that came with pg_upgrade, whose state table has its
 * indexes.
 */
static void
equip_upgraded(const VsQueryEntry *entry, struct VsPlan *plan)
{
	if (OidIsValid(entry->state))
	{
		Relation	state = table_open(entry->state, AccessShareLock);
		ListCell   *lc;

		foreach(lc, RelationGetIndexList(state))
			depend_internally(RelationRelationId, lfirst_oid(lc), entry->state);
		table_close(state, AccessShareLock);
	}
	equip_output(entry, plan);
}

/*
 * Record the dependencies of a query's objects and create the guard trigger.
 * Can be repeated for the output and the guard, not for view and state.
 */
void
vs_registry_link(const VsQueryEntry *entry)
{
	ObjectAddress output;
	ObjectAddress extension;

	depend_internally(RelationRelationId, entry->view, entry->output);
	if (OidIsValid(entry->state))
		depend_internally(RelationRelationId, entry->state, entry->output);
	link_rule(entry);
	link_guard(entry->output, VS_GUARD_TRIGGER, false);
	link_guard(entry->output, VS_GUARD_ROW_TRIGGER, true);

	ObjectAddressSet(output, RelationRelationId, entry->output);
	ObjectAddressSet(extension, ExtensionRelationId,
					 get_extension_oid(VS_EXTENSION_NAME, false));
	deleteDependencyRecordsForSpecific(RelationRelationId, entry->output, DEPENDENCY_NORMAL,
									   ExtensionRelationId, extension.objectId);
	recordDependencyOn(&output, &extension, DEPENDENCY_NORMAL);
	CommandCounterIncrement();
}

/*
 * Is a state table with keys still without its index?  pg_restore makes that
 * when the data is there; with several jobs the output may be ready before.
 */
static bool
is_loading(Oid state)
{
	Relation	rel = OidIsValid(state) ? try_relation_open(state, AccessShareLock) : NULL;
	bool		result;

	if (rel == NULL)
		return false;
	result = RelationGetIndexList(rel) == NIL &&
		get_attnum(state, "key_1") != InvalidAttrNumber;
	relation_close(rel, AccessShareLock);
	return result;
}

/*
 * Make a query that came out of a dump whole again: state table, locator,
 * guard, dependencies, and a frontier that asks for a rebuild.  True if that
 * was done, or is not necessary.
 *
 * What pg_upgrade brings has all its tables and its frontier, but not the
 * dependencies; and its fingerprint tells nothing here, where trees look
 * different and functions have other OIDs.  In append mode, it goes on.
 *
 * False, without "force", while the guard is missing: then the restore is not
 * yet through with the output (triggers come last), and guarding it now would
 * make the restore fail.  "force" is for users who know.
 */
bool
vs_registry_adopt(Oid output, bool force)
{
	VsQueryEntry entry;
	VsFrontierRow frontier;
	struct VsPlan *plan;
	VsRunAs		before;
	bool		upgraded;
	bool		goes_on;

	if (!vs_registry_read(output, &entry) || entry.adopted)
		return true;
	if (!force && !(OidIsValid(get_trigger_oid(output, VS_GUARD_TRIGGER, true)) &&
					OidIsValid(get_trigger_oid(output, VS_GUARD_ROW_TRIGGER, true))))
		return false;
	if (!force && vs_registry_read(output, &entry) && is_loading(entry.state))
		return false;
	LockRelationOid(output, ShareRowExclusiveLock);
	if (!vs_registry_read(output, &entry) || entry.adopted)
		return true;			/* dropped, or adopted by another process */
	if (!restored_as_expected(&entry))
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("continuous query \"%s\" was not restored completely",
						get_rel_name(output)),
				 errdetail("Its definition or its state table is missing."),
				 errhint("Drop the table and create the query again.")));

	upgraded = vs_frontier_read(output, &frontier);
	goes_on = upgraded && !frontier.damaged && entry.mode == VS_SOURCE_APPEND;
	if (!goes_on)
		drop_restored_state(&entry);
	clear_acl(entry.view);
	/* the worker that adopts is a superuser, and planning runs functions */
	vs_run_as_begin(&before, entry.owner);
	plan = vs_plan_make(&entry, CurrentMemoryContext);
	vs_run_as_end(&before);
	if (goes_on)
		equip_upgraded(&entry, plan);
	else
		vs_registry_equip(&entry, plan);
	vs_registry_link(&entry);
	vs_registry_update(&entry);

	if (!upgraded)
	{
		vs_frontier_init(&frontier);
		vs_dead_letter_detach(output);
		/* what is appended to a stream comes after what was restored */
		if (entry.kind == VS_KIND_STREAM)
			frontier.changes = last_offset(output);
	}
	if (goes_on)
		frontier.fingerprint = plan->fingerprint;
	else
	{
		frontier.rebuild = true;
		frontier.rebuild_reason = upgraded ? "brought by pg_upgrade" : "restored from a dump";
	}
	vs_frontier_write(output, &frontier);
	CommandCounterIncrement();
	return true;
}

/* Drop the state table that a restored query names: it is made anew. */
static void
drop_restored_state(VsQueryEntry *entry)
{
	ObjectAddress state;

	if (!OidIsValid(entry->state))
		return;
	ObjectAddressSet(state, RelationRelationId, entry->state);
	entry->state = InvalidOid;
	vs_registry_update(entry);
	/* of the output, if only the frontier was lost */
	deleteDependencyRecordsForSpecific(RelationRelationId, state.objectId, DEPENDENCY_INTERNAL,
									   RelationRelationId, entry->output);
	CommandCounterIncrement();
	performDeletion(&state, DROP_CASCADE, PERFORM_DELETION_INTERNAL | PERFORM_DELETION_QUIETLY);
	CommandCounterIncrement();
}

/* The greatest _offset in a stream, 0 if it is empty. */
static int64
last_offset(Oid output)
{
	Relation	rel = table_open(output, AccessShareLock);
	AttrNumber	attno = get_attnum(output, "_offset");
	TupleTableSlot *slot = table_slot_create(rel, NULL);
	Snapshot	snapshot = RegisterSnapshot(GetLatestSnapshot());
	TableScanDesc scan = table_beginscan(rel, snapshot, 0, NULL);
	int64		last = 0;

	while (attno != InvalidAttrNumber &&
		   table_scan_getnextslot(scan, ForwardScanDirection, slot))
	{
		bool		null;
		Datum		value = slot_getattr(slot, attno, &null);

		CHECK_FOR_INTERRUPTS();
		if (!null)
			last = Max(last, DatumGetInt64(value));
	}
	table_endscan(scan);
	UnregisterSnapshot(snapshot);
	ExecDropSingleTupleTableSlot(slot);
	table_close(rel, NoLock);
	return last;
}

/* Become the owner of a query, for what runs its functions. */
void
vs_run_as_begin(VsRunAs *before, Oid owner)
{
	before->nestlevel = NewGUCNestLevel();
	GetUserIdAndSecContext(&before->userid, &before->sec_context);
	SetUserIdAndSecContext(owner, before->sec_context | SECURITY_RESTRICTED_OPERATION);
	set_config_option("search_path", "pg_catalog, pg_temp", PGC_USERSET, PGC_S_SESSION,
					  GUC_ACTION_SAVE, true, 0, false);
	set_config_option("row_security", "on", PGC_USERSET, PGC_S_SESSION,
					  GUC_ACTION_SAVE, true, 0, false);
}

/* Go back, and undo all settings made since. */
void
vs_run_as_end(const VsRunAs *before)
{
	AtEOXact_GUC(false, before->nestlevel);
	SetUserIdAndSecContext(before->userid, before->sec_context);
}

/*
 * Objects of ours are created as the extension's owner.  An error restores
 * the identity with the (sub)transaction.
 */
static void
become_extension_owner(Identity *before)
{
	GetUserIdAndSecContext(&before->userid, &before->sec_context);
	SetUserIdAndSecContext(vs_registry_extension_owner(),
						   before->sec_context | SECURITY_LOCAL_USERID_CHANGE);
}

static void
become(const Identity *who)
{
	SetUserIdAndSecContext(who->userid, who->sec_context);
}

/*
 * A free name in our schema that tells the output.  The OID in it keeps two
 * transactions from choosing the same.
 */
static RangeVar *
choose_name(const char *prefix, Oid output)
{
	char	   *label = psprintf("%u", output);
	Oid			nsp = get_namespace_oid(VS_SCHEMA_NAME, false);
	char	   *name = ChooseRelationName(prefix, get_rel_name(output), label, nsp, false);
	RangeVar   *result = makeRangeVar(pstrdup(VS_SCHEMA_NAME), name, -1);

	result->relpersistence = RELPERSISTENCE_PERMANENT;
	return result;
}

/*
 * ColumnDefs of the view, from the select list.  Names are the output's, as
 * CREATE TABLE t (a, b) AS can give others than the query does.
 */
static List *
view_columns(Oid output, Query *query)
{
	Relation	rel = table_open(output, AccessShareLock);
	TupleDesc	desc = RelationGetDescr(rel);
	List	   *result = NIL;
	ListCell   *lc;
	int			i = 0;

	foreach(lc, query->targetList)
	{
		TargetEntry *tle = lfirst_node(TargetEntry, lc);
		Node	   *expr = (Node *) tle->expr;
		char	   *name = tle->resname;
		ColumnDef  *column;

		if (tle->resjunk)
			continue;
		if (i < desc->natts && !TupleDescAttr(desc, i)->attisdropped)
			name = pstrdup(NameStr(TupleDescAttr(desc, i)->attname));
		i++;
		column = makeColumnDef(name, exprType(expr), exprTypmod(expr), exprCollation(expr));
		if (type_is_collatable(exprType(expr)) && !OidIsValid(column->collOid))
			ereport(ERROR,
					(errcode(ERRCODE_INDETERMINATE_COLLATION),
					 errmsg("could not determine which collation to use for column \"%s\"", name),
					 errhint("Use the COLLATE clause to set the collation explicitly.")));
		result = lappend(result, column);
	}
	table_close(rel, NoLock);
	return result;
}

/* Create a relation as the current user; visible to what follows. */
static Oid
define_relation(RangeVar *name, char relkind, List *columns, List *options, char *tablespace)
{
	CreateStmt *stmt = makeNode(CreateStmt);
	ObjectAddress address;

	stmt->relation = name;
	stmt->tableElts = columns;
	stmt->options = options;
	stmt->oncommit = ONCOMMIT_NOOP;
	stmt->tablespacename = tablespace;
	if (relkind == RELKIND_RELATION)
		stmt->accessMethod = "heap";
	address = DefineRelation(stmt, relkind, InvalidOid, NULL, NULL);
	CommandCounterIncrement();
	return address.objectId;
}

/* Take away what ALTER DEFAULT PRIVILEGES gave to others on a new relation. */
static void
clear_acl(Oid relid)
{
	Relation	rel = table_open(RelationRelationId, RowExclusiveLock);
	HeapTuple	tuple = SearchSysCacheCopy1(RELOID, ObjectIdGetDatum(relid));
	bool		isnull;
	Datum		acl;

	if (!HeapTupleIsValid(tuple))
		elog(ERROR, "cache lookup failed for relation %u", relid);
	acl = SysCacheGetAttr(RELOID, tuple, Anum_pg_class_relacl, &isnull);
	if (!isnull)
	{
		Datum		values[Natts_pg_class] = {0};
		bool		nulls[Natts_pg_class] = {false};
		bool		replace[Natts_pg_class] = {false};
		Oid		   *members;
		int			nmembers = aclmembers(DatumGetAclP(acl), &members);
		HeapTuple	newtup;

		nulls[Anum_pg_class_relacl - 1] = replace[Anum_pg_class_relacl - 1] = true;
		newtup = heap_modify_tuple(tuple, RelationGetDescr(rel), values, nulls, replace);
		CatalogTupleUpdate(rel, &newtup->t_self, newtup);
		updateAclDependencies(RelationRelationId, relid, 0,
							  ((Form_pg_class) GETSTRUCT(newtup))->relowner,
							  nmembers, members, 0, NULL);
		heap_freetuple(newtup);
		CommandCounterIncrement();
	}
	heap_freetuple(tuple);
	table_close(rel, RowExclusiveLock);
}

/* One of our SQL functions, without a look at search_path or privileges. */
static Oid
own_function(const char *name, int nargs, Oid argtype)
{
	oidvector  *args = buildoidvector(&argtype, nargs);
	Oid			nsp = get_namespace_oid(VS_SCHEMA_NAME, false);
	Oid			func = GetSysCacheOid3(PROCNAMEARGSNSP, Anum_pg_proc_oid, CStringGetDatum(name),
									   PointerGetDatum(args), ObjectIdGetDatum(nsp));

	if (!OidIsValid(func))
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_FUNCTION),
				 errmsg("function %s.%s does not exist", VS_SCHEMA_NAME, name),
				 errhint("Run ALTER EXTENSION %s UPDATE.", VS_EXTENSION_NAME)));
	return func;
}

/*
 * The hash functions take as many arguments as a function can, a table may
 * have more columns: the first ones must do.  A locator only finds candidates.
 */
static List *
hashed_columns(List *attnums)
{
	return list_truncate(list_copy(attnums), VS_HASH_COLUMNS);
}

/*
 * The first expression of an index as it is stored.  The relcache would
 * evaluate it where it is constant, which calls the functions of whoever owns
 * the table as whoever we are: a superuser, in a worker that adopts.
 */
static Node *
index_expression(Relation index)
{
	bool		isnull;
	Datum		exprs = SysCacheGetAttr(INDEXRELID, index->rd_indextuple,
										Anum_pg_index_indexprs, &isnull);

	Assert(!isnull);
	return linitial((List *) stringToNode(TextDatumGetCString(exprs)));
}

/* A usable index on just func(columns), behind "window" unless that is 0, or InvalidOid. */
static Oid
find_locator(Relation rel, Oid func, List *attnums, AttrNumber window)
{
	List	   *indexes = RelationGetIndexList(rel);
	int			last = window != 0 ? 1 : 0;
	Oid			result = InvalidOid;
	ListCell   *lc;

	foreach(lc, indexes)
	{
		Relation	index = index_open(lfirst_oid(lc), AccessShareLock);

		if (index->rd_rel->relam == BTREE_AM_OID &&
			index->rd_index->indnatts == last + 1 &&
			index->rd_index->indkey.values[0] == window &&
			index->rd_index->indkey.values[last] == 0 &&
			index->rd_indoption[0] == 0 &&	/* the last window is at its end */
			index->rd_index->indisvalid &&
			index->rd_index->indisready &&
			heap_attisnull(index->rd_indextuple, Anum_pg_index_indpred, NULL) &&
			matches_hash(index_expression(index), func, attnums))
			result = RelationGetRelid(index);
		index_close(index, AccessShareLock);
		if (OidIsValid(result))
			break;
	}
	list_free(indexes);
	return result;
}

/* See window_index. */
static Oid
find_window_index(Relation rel, Oid func, List *hashed, AttrNumber column)
{
	List	   *indexes = RelationGetIndexList(rel);
	int			last = hashed != NIL ? 1 : 0;
	Oid			result = InvalidOid;
	ListCell   *lc;

	foreach(lc, indexes)
	{
		Relation	index = index_open(lfirst_oid(lc), AccessShareLock);

		if (index->rd_rel->relam == BTREE_AM_OID &&
			index->rd_index->indnatts == last + 1 &&
			index->rd_index->indkey.values[last] == column &&
			index->rd_index->indisvalid && index->rd_index->indisready &&
			(hashed == NIL || (index->rd_index->indkey.values[0] == 0 &&
							   matches_hash(index_expression(index), func, hashed))))
			result = RelationGetRelid(index);
		index_close(index, AccessShareLock);
	}
	list_free(indexes);
	return result;
}

/*
 * Is this a call of the function with just these columns?  Collations are not
 * compared: the parser that restored an index might have chosen another one
 * for the call, and the hash looks at those of the columns.
 */
static bool
matches_hash(Node *expr, Oid func, List *attnums)
{
	FuncExpr   *call = (FuncExpr *) expr;
	ListCell   *arg,
			   *attno;

	if (!IsA(expr, FuncExpr) || call->funcid != func ||
		list_length(call->args) != list_length(attnums))
		return false;
	forboth(arg, call->args, attno, attnums)
	{
		if (!IsA(lfirst(arg), Var) || ((Var *) lfirst(arg))->varattno != lfirst_int(attno))
			return false;
	}
	return true;
}

/* A column of a table, as one of an index. */
static IndexElem *
column_element(Oid relation, AttrNumber column)
{
	IndexElem  *elem = makeNode(IndexElem);

	elem->name = get_attname(relation, column, false);
	elem->ordering = SORTBY_DEFAULT;
	elem->nulls_ordering = SORTBY_NULLS_DEFAULT;
	return elem;
}

/* The hash of some columns, as the column of an index. */
static IndexElem *
hash_element(Relation rel, Oid func, List *attnums, const char *name)
{
	IndexElem  *elem = makeNode(IndexElem);
	List	   *vars = NIL;
	ListCell   *lc;

	foreach(lc, attnums)
	{
		Form_pg_attribute att = TupleDescAttr(RelationGetDescr(rel), lfirst_int(lc) - 1);

		vars = lappend(vars, makeVar(1, att->attnum, att->atttypid, att->atttypmod,
									 att->attcollation, 0));
	}
	elem->expr = (Node *) makeFuncExpr(func, INT8OID, vars, InvalidOid, InvalidOid,
									   COERCE_EXPLICIT_CALL);
	assign_expr_collations(NULL, elem->expr);
	elem->indexcolname = pstrdup(name);
	elem->ordering = SORTBY_DEFAULT;
	elem->nulls_ordering = SORTBY_NULLS_DEFAULT;
	return elem;
}

static Oid
create_index(Relation rel, List *elements)
{
	IndexStmt  *stmt = makeNode(IndexStmt);

	stmt->relation = makeRangeVar(get_namespace_name(RelationGetNamespace(rel)),
								  pstrdup(RelationGetRelationName(rel)), -1);
	stmt->accessMethod = "btree";
	stmt->indexParams = elements;
	stmt->transformed = true;
	if (OidIsValid(rel->rd_rel->reltablespace))
		stmt->tableSpace = get_tablespace_name(rel->rd_rel->reltablespace);
	return VS_DEFINE_INDEX(RelationGetRelid(rel), stmt).objectId;
}

/* Let an object belong to the output.  Can be repeated. */
static void
depend_internally(Oid classid, Oid objid, Oid output)
{
	ObjectAddress object;
	ObjectAddress owner;

	ObjectAddressSet(object, classid, objid);
	ObjectAddressSet(owner, RelationRelationId, output);
	deleteDependencyRecordsForSpecific(classid, objid, DEPENDENCY_INTERNAL,
									   RelationRelationId, output);
	recordDependencyOn(&object, &owner, DEPENDENCY_INTERNAL);
}

/*
 * The definition holds on to the columns of the output that we fill: its own
 * ones, in order from 1, and behind them what a stream adds.
 */
static void
link_rule(const VsQueryEntry *entry)
{
	ObjectAddress rule;
	Relation	rel = relation_open(entry->view, AccessShareLock);
	int			ncolumns = RelationGetNumberOfAttributes(rel);

	relation_close(rel, AccessShareLock);
	if (entry->kind == VS_KIND_STREAM)
		ncolumns += STREAM_COLUMNS;
	ObjectAddressSet(rule, RewriteRelationId,
					 get_rewrite_oid(entry->view, ViewSelectRuleName, false));
	for (int attno = 1; attno <= ncolumns; attno++)
	{
		ObjectAddress column;

		ObjectAddressSubSet(column, RelationRelationId, entry->output, attno);
		recordDependencyOn(&rule, &column, DEPENDENCY_NORMAL);
	}
}

/*
 * Refuse whatever is not ours: triggers on the output, firing in every
 * session_replication_role.  The one for statements speaks first.  Logical
 * replication fires row triggers only; so do our own writes, but not BEFORE.
 */
static void
link_guard(Oid output, const char *name, bool row)
{
	Oid			guard = get_trigger_oid(output, name, true);

	if (!OidIsValid(guard))
	{
		CreateTrigStmt *stmt = makeNode(CreateTrigStmt);
		Identity	before;

		stmt->trigname = pstrdup(name);
		stmt->row = row;
		stmt->timing = TRIGGER_TYPE_BEFORE;
		stmt->events = TRIGGER_TYPE_INSERT | TRIGGER_TYPE_UPDATE | TRIGGER_TYPE_DELETE;
		if (!row)
			stmt->events |= TRIGGER_TYPE_TRUNCATE;
		become_extension_owner(&before);
		guard = CreateTriggerFiringOn(stmt, NULL, output, InvalidOid, InvalidOid, InvalidOid,
									  own_function("guard", 0, InvalidOid), InvalidOid, NULL,
									  false, false, TRIGGER_FIRES_ALWAYS).objectId;
		become(&before);
	}
	depend_internally(TriggerRelationId, guard, output);
}

/*
 * OIDs in a restored entry were names in the dump, but numbers where there
 * was nothing to name: make sure that they are what they should be before
 * anything is dropped.
 */
static bool
restored_as_expected(const VsQueryEntry *entry)
{
	Oid			nsp = get_namespace_oid(VS_SCHEMA_NAME, false);

	if (get_rel_relkind(entry->output) != RELKIND_RELATION ||
		get_rel_relkind(entry->view) != RELKIND_VIEW ||
		get_rel_namespace(entry->view) != nsp ||
		strncmp(get_rel_name(entry->view), "query_", strlen("query_")) != 0)
		return false;
	return !OidIsValid(entry->state) ||
		(get_rel_relkind(entry->state) == RELKIND_RELATION &&
		 get_rel_namespace(entry->state) == nsp &&
		 strncmp(get_rel_name(entry->state), "state_", strlen("state_")) == 0);
}
