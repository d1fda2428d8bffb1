/*-------------------------------------------------------------------------
 *
 * vs_create.c
 *	  CREATE STREAM and CREATE TABLE of the dialect, as CREATE TABLE ... WITH
 *	  (velostream.continuous) AS.
 *
 * OR REPLACE makes the new output under another name, fills it, drops the old
 * one and takes its name, all in one transaction.  Who has read the old one
 * before keeps it from being dropped until his transaction ends; who comes
 * later waits for our commit, and finds the new one.  His snapshot may be
 * older than that (he took it before he had to wait), so rows of the first
 * batch are frozen, as COPY FREEZE does it: every snapshot sees them.  What
 * depends on the old output would have to go with it, so there must be
 * nothing; its privileges are kept.  What was named after the other name is
 * renamed with it.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "access/table.h"
#include "access/xact.h"
#include "access/xloginsert.h"
#include "catalog/dependency.h"
#include "catalog/indexing.h"
#include "catalog/namespace.h"
#include "catalog/pg_class.h"
#include "commands/defrem.h"
#include "dialect/vs_dialect_internal.h"
#include "miscadmin.h"
#include "nodes/makefuncs.h"
#include "plan/vs_plan.h"
#include "process/vs_process.h"
#include "registry/vs_registry.h"
#include "storage/bufmgr.h"
#include "tcop/utility.h"
#include "utils/acl.h"
#include "utils/builtins.h"
#include "utils/guc.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/rel.h"
#include "utils/snapmgr.h"
#include "utils/syscache.h"
#include "vs_compat.h"
#include "vs_guc.h"

static void create_output(VsCreate *create);
static Oid	find_replaced(VsCreate *create, Oid nspid);
static void refuse_itself(VsCreate *create, Oid old);
static void replace_output(VsCreate *create, Oid old);
static Oid	make_replacement(VsCreate *create, Oid old);
static void tell_replaced(void *arg);
static void fill_output(Oid output);
static void freeze_rows(Oid output);
static void copy_privileges(Oid from, Oid to);
static void drop_replaced(VsStatement *stmt, Oid old);
static void dependents_error(void *arg);
static void add_primary_key(VsCreate *create);
static void check_primary_key(VsCreate *create, Oid output);

/* Create the output and its query. */
void
vs_create(VsCreate *create)
{
	VsSelect   *sel = create->sel;
	RangeVar   *name = create->name;
	Oid			nspid = RangeVarGetCreationNamespace(name);
	Oid			old = create->replace ? find_replaced(create, nspid) : InvalidOid;
	bool		skipped = create->if_not_exists &&
	OidIsValid(get_relname_relid(name->relname, nspid));

	/* by its name alone, a temporary table could be found in its place */
	name->schemaname = get_namespace_name(nspid);
	if (sel->emit == VS_EMIT_FINAL && sel->window == VS_WINDOW_NONE)
		ereport(ERROR,
				(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
				 errmsg("EMIT FINAL needs a window in a continuous query"),
				 errdetail("Without one, there is no time at which a result is final."),
				 errhint("Add WINDOW TUMBLING (...), or use EMIT CHANGES."),
				 vs_position(sel->stmt, sel->emit_location)));
	if (sel->primary_key != NIL && create->stream)
		ereport(ERROR,
				(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
				 errmsg("a stream has no primary key"),
				 errdetail("It has a row for each change."),
				 errhint("Use CREATE TABLE, or remove PRIMARY KEY."),
				 vs_position(sel->stmt, sel->primary_key_location)));
	vs_lower_select(sel);
	if (OidIsValid(old))
		replace_output(create, old);
	else
		create_output(create);
	if (sel->primary_key != NIL && !skipped)
		add_primary_key(create);
}

/* Run a command whose parse analysis is done. */
void
vs_run_utility(VsStatement *stmt, Node *utility)
{
	PlannedStmt *pstmt = makeNode(PlannedStmt);

	pstmt->commandType = CMD_UTILITY;
	pstmt->canSetTag = true;
	pstmt->utilityStmt = utility;
	PushActiveSnapshot(GetTransactionSnapshot());
	ProcessUtility(pstmt, stmt->parsed ? stmt->parsed : stmt->text, false,
				   PROCESS_UTILITY_QUERY, NULL, NULL, None_Receiver, NULL);
	PopActiveSnapshot();
	CommandCounterIncrement();
}

/* CREATE TABLE name WITH (velostream.continuous ...) AS the query */
static void
create_output(VsCreate *create)
{
	VsStatement *stmt = create->sel->stmt;
	CreateTableAsStmt *ctas = makeNode(CreateTableAsStmt);

	ctas->query = (Node *) create->sel->select;
	ctas->into = makeNode(IntoClause);
	ctas->into->rel = create->name;
	ctas->into->options = vs_output_options(create->sel, create->stream);
	ctas->into->onCommit = ONCOMMIT_NOOP;
	ctas->objtype = OBJECT_TABLE;
	ctas->if_not_exists = create->if_not_exists;

	PushActiveSnapshot(GetTransactionSnapshot());
	ctas = castNode(CreateTableAsStmt, vs_analyze(create->sel, (Node *) ctas)->utilityStmt);
	PopActiveSnapshot();
	stmt->parsed = create->sel->text;
	vs_run_utility(stmt, (Node *) ctas);
	stmt->parsed = NULL;
}

static DefElem *
option(const char *name, const char *value, int location)
{
	return makeDefElemExtended(pstrdup(VS_SCHEMA_NAME), pstrdup(name),
							   value ? (Node *) makeString(pstrdup(value)) : NULL,
							   DEFELEM_UNSPEC, location);
}

/*
 * The velostream.* options (DefElem) of a CREATE TABLE that makes a query's
 * output.
 */
List *
vs_output_options(VsSelect *sel, bool stream)
{
	List	   *result = list_make1(option("continuous", NULL, -1));
	int			location;

	if (stream)
		result = lappend(result, option("kind", "stream", -1));
	if (sel->emit == VS_EMIT_FINAL)
		result = lappend(result, option("emit", "final", sel->emit_said ?
										sel->emit_location : sel->window_location));
	if (sel->buffers != NIL && vs_property(sel, "source.mode", &location) == NULL)
		result = lappend(result, option("source_mode", "append", -1));
	return list_concat(result, vs_property_options(sel));
}

/* ----------
 * OR REPLACE
 * ----------
 */

/* The output that is to be replaced, or InvalidOid. */
static Oid
find_replaced(VsCreate *create, Oid nspid)
{
	VsStatement *stmt = create->sel->stmt;
	const char *name = create->name->relname;
	Oid			relid = get_relname_relid(name, nspid);
	HeapTuple	tuple;
	Form_pg_class form;

	if (!OidIsValid(relid))
		return InvalidOid;
	if (!pg_class_ownercheck(relid, GetUserId()))
		aclcheck_error(ACLCHECK_NOT_OWNER, OBJECT_TABLE, name);
	if (!vs_registry_is_output(relid))
		ereport(ERROR,
				(errcode(ERRCODE_WRONG_OBJECT_TYPE),
				 errmsg("\"%s\" is not the output of a continuous query", name),
				 errhint("Choose another name, or drop it first."),
				 vs_position(stmt, create->name->location)));
	tuple = SearchSysCache1(RELOID, ObjectIdGetDatum(relid));
	if (!HeapTupleIsValid(tuple))
		elog(ERROR, "cache lookup failed for relation %u", relid);
	form = (Form_pg_class) GETSTRUCT(tuple);
	if (form->relowner != GetUserId())
		ereport(ERROR,
				(errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
				 errmsg("table \"%s\" belongs to another role", name),
				 errdetail("The new one would belong to you."),
				 errhint("Use SET ROLE %s first.", quote_identifier(GetUserNameFromId(form->relowner, false))),
				 vs_position(stmt, create->name->location)));
	if (form->relrowsecurity)
		ereport(ERROR,
				(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
				 errmsg("table \"%s\" has row-level security", name),
				 errdetail("Of the new one, all who may read it would see all rows."),
				 errhint("Drop it first, and create it again, with its policies."),
				 vs_position(stmt, create->name->location)));
	ReleaseSysCache(tuple);
	return relid;
}

/* The table that is replaced goes before the new one has its name. */
static void
refuse_itself(VsCreate *create, Oid old)
{
	ListCell   *lc;

	foreach(lc, create->sel->select->fromClause)
	{
		RangeVar   *from = lfirst(lc);

		if (IsA(from, RangeVar) && RangeVarGetRelid(from, NoLock, true) == old)
			ereport(ERROR,
					(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
					 errmsg("table \"%s\" cannot be replaced by a query that reads it",
							create->name->relname),
					 errhint("Give the new query another name."),
					 vs_position(create->sel->stmt, from->location)));
	}
}

/* Create the output under another name, fill it, and let it take the place of the old one. */
static void
replace_output(VsCreate *create, Oid old)
{
	VsStatement *stmt = create->sel->stmt;
	ErrorContextCallback context;
	char	   *name = create->name->relname;
	Oid			nspid = get_rel_namespace(old);
	RenameStmt *rename = makeNode(RenameStmt);
	Oid			output;

	refuse_itself(create, old);
	create->name->relname = ChooseRelationName(name, NULL, "new", nspid, false);
	context.callback = tell_replaced;
	context.arg = name;
	context.previous = error_context_stack;
	error_context_stack = &context;
	output = make_replacement(create, old);
	drop_replaced(stmt, old);
	error_context_stack = context.previous;

	rename->renameType = OBJECT_TABLE;
	rename->relationType = OBJECT_TABLE;
	rename->relation = copyObject(create->name);
	rename->newname = name;
	vs_run_utility(stmt, (Node *) rename);
	vs_registry_rename(output);
	create->name->relname = name;
}

/* The new output, filled. */
static Oid
make_replacement(VsCreate *create, Oid old)
{
	Oid			output;

	create_output(create);
	output = get_relname_relid(create->name->relname, get_rel_namespace(old));
	fill_output(output);
	freeze_rows(output);
	copy_privileges(old, output);
	return output;
}

/* Errors may name the new table as it is called until it is there. */
static void
tell_replaced(void *arg)
{
	errcontext("making the table that replaces \"%s\"", (char *) arg);
}

/* Run the first batch of a query, here and now. */
static void
fill_output(Oid output)
{
	VsBatchOptions options = {.immediate_flush = true};
	VsBatchResult result;
	int			nestlevel;

	vs_release_before_batch();
	nestlevel = NewGUCNestLevel();
	vs_guc_fix_planner(false);
	vs_batch_run(output, &options, &result);
	AtEOXact_GUC(false, nestlevel);
	if (result.busy || result.skipped)
		elog(ERROR, "the first batch of a new query did not run");
	CommandCounterIncrement();
}

/* Is a tuple of a table that we have made one of its rows, for this transaction? */
static bool
is_row(HeapTupleHeader tuple)
{
	return TransactionIdIsCurrentTransactionId(HeapTupleHeaderGetRawXmin(tuple)) &&
		((tuple->t_infomask & HEAP_XMAX_INVALID) ||
		 !TransactionIdIsCurrentTransactionId(HeapTupleHeaderGetRawXmax(tuple)));
}

/*
 * Let every snapshot see the rows of an output that this transaction has made.
 * Nobody else can see the table before the commit, and after an abort it is
 * gone.
 */
static void
freeze_rows(Oid output)
{
	Relation	rel = table_open(output, AccessExclusiveLock);
	BlockNumber nblocks = RelationGetNumberOfBlocks(rel);

	for (BlockNumber block = 0; block < nblocks; block++)
	{
		Buffer		buffer;
		Page		page;

		CHECK_FOR_INTERRUPTS();
		buffer = ReadBuffer(rel, block);
		LockBuffer(buffer, BUFFER_LOCK_EXCLUSIVE);
		page = BufferGetPage(buffer);

		START_CRIT_SECTION();
		for (OffsetNumber i = FirstOffsetNumber; i <= PageGetMaxOffsetNumber(page); i++)
		{
			ItemId		item = PageGetItemId(page, i);

			if (ItemIdIsNormal(item) && is_row((HeapTupleHeader) PageGetItem(page, item)))
				HeapTupleHeaderSetXminFrozen((HeapTupleHeader) PageGetItem(page, item));
		}
		MarkBufferDirty(buffer);
		if (RelationNeedsWAL(rel))
			log_newpage_buffer(buffer, true);
		END_CRIT_SECTION();
		UnlockReleaseBuffer(buffer);
	}
	table_close(rel, NoLock);
}

/* Give a table the privileges that another one of the same owner has. */
static void
copy_privileges(Oid from, Oid to)
{
	Relation	rel = table_open(RelationRelationId, RowExclusiveLock);
	HeapTuple	source = SearchSysCache1(RELOID, ObjectIdGetDatum(from));
	HeapTuple	target = SearchSysCacheCopy1(RELOID, ObjectIdGetDatum(to));
	Oid			owner;
	Datum		acl;
	Datum		default_acl;
	bool		isnull;
	bool		default_isnull;

	if (!HeapTupleIsValid(source) || !HeapTupleIsValid(target))
		elog(ERROR, "cache lookup failed for relation %u or %u", from, to);
	owner = ((Form_pg_class) GETSTRUCT(target))->relowner;
	acl = SysCacheGetAttr(RELOID, source, Anum_pg_class_relacl, &isnull);
	default_acl = SysCacheGetAttr(RELOID, target, Anum_pg_class_relacl, &default_isnull);
	if (!isnull || !default_isnull)
	{
		Datum		values[Natts_pg_class] = {0};
		bool		nulls[Natts_pg_class] = {false};
		bool		replaces[Natts_pg_class] = {false};
		Oid		   *before = NULL;
		Oid		   *after = NULL;
		int			nbefore = default_isnull ? 0 : aclmembers(DatumGetAclP(default_acl), &before);
		int			nafter = isnull ? 0 : aclmembers(DatumGetAclP(acl), &after);

		values[Anum_pg_class_relacl - 1] = acl;
		nulls[Anum_pg_class_relacl - 1] = isnull;
		replaces[Anum_pg_class_relacl - 1] = true;
		target = heap_modify_tuple(target, RelationGetDescr(rel), values, nulls, replaces);
		CatalogTupleUpdate(rel, &target->t_self, target);
		updateAclDependencies(RelationRelationId, to, 0, owner, nbefore, before, nafter, after);
	}
	ReleaseSysCache(source);
	table_close(rel, RowExclusiveLock);
	CommandCounterIncrement();
}

static void
drop_replaced(VsStatement *stmt, Oid old)
{
	DropStmt   *drop = makeNode(DropStmt);
	ErrorContextCallback callback = {error_context_stack, dependents_error, NULL};

	drop->objects = list_make1(list_make2(makeString(get_namespace_name(get_rel_namespace(old))),
										  makeString(get_rel_name(old))));
	drop->removeType = OBJECT_TABLE;
	drop->behavior = DROP_RESTRICT;
	error_context_stack = &callback;
	vs_run_utility(stmt, (Node *) drop);
	error_context_stack = callback.previous;
}

/* Dropping it with CASCADE is not what the user is to do. */
static void
dependents_error(void *arg)
{
	if (geterrcode() == ERRCODE_DEPENDENT_OBJECTS_STILL_EXIST)
		errhint("CREATE OR REPLACE makes a new table: drop what depends on the old one first, and create it again afterwards.");
}

/* ----------
 * PRIMARY KEY
 * ----------
 */

/* ALTER TABLE name ADD PRIMARY KEY (...) */
static void
add_primary_key(VsCreate *create)
{
	VsStatement *stmt = create->sel->stmt;
	Oid			output = RangeVarGetRelid(create->name, NoLock, false);
	AlterTableStmt *alter = makeNode(AlterTableStmt);
	AlterTableCmd *cmd = makeNode(AlterTableCmd);
	Constraint *constraint = makeNode(Constraint);
	ListCell   *lc;

	check_primary_key(create, output);
	constraint->contype = CONSTR_PRIMARY;
	constraint->location = -1;
	foreach(lc, create->sel->primary_key)
		constraint->keys = lappend(constraint->keys,
								   makeString(get_attname(output, lfirst_int(lc) + 1, false)));
	cmd->subtype = AT_AddConstraint;
	cmd->def = (Node *) constraint;
	alter->relation = copyObject(create->name);
	alter->cmds = list_make1(cmd);
	alter->objtype = OBJECT_TABLE;
	vs_run_utility(stmt, (Node *) alter);
}

/* Are the columns just those that identify a row? */
static void
check_primary_key(VsCreate *create, Oid output)
{
	VsSelect   *sel = create->sel;
	Bitmapset  *given = NULL;
	Bitmapset  *needed = NULL;
	StringInfoData names;
	VsQueryEntry entry;
	VsPlan	   *plan;
	VsRunAs		before;
	ListCell   *lc;

	if (!vs_registry_read(output, &entry))
		elog(ERROR, "relation %u is not the output of a continuous query", output);
	vs_run_as_begin(&before, entry.owner);
	plan = vs_plan_make(&entry, CurrentMemoryContext);
	vs_run_as_end(&before);

	initStringInfo(&names);
	foreach(lc, sel->primary_key)
		given = bms_add_member(given, lfirst_int(lc) + 1);
	for (int i = 0; i < plan->nkeys; i++)
	{
		needed = bms_add_member(needed, plan->keys[i].output_attno);
		appendStringInfo(&names, "%s%s", i == 0 ? "" : ", ",
						 get_attname(output, plan->keys[i].output_attno, false));
	}
	if (!bms_equal(given, needed))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_TABLE_DEFINITION),
				 errmsg("PRIMARY KEY must name just the columns that identify a row"),
				 plan->nkeys == 0 ?
				 errdetail("No columns identify the rows of this query.") :
				 errdetail("Rows of this query are identified by: %s.", names.data),
				 errhint(plan->nkeys == 0 ? "Add GROUP BY, or select the primary key of the source." :
						 "Select each of them with PRIMARY KEY, and no other column."),
				 vs_position(sel->stmt, sel->primary_key_location)));
	MemoryContextDelete(plan->context);
}
