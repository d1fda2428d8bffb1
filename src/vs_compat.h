/*-------------------------------------------------------------------------
 *
 * vs_compat.h
 *	  Differences between the supported versions of PostgreSQL, all of them.
 *
 *-------------------------------------------------------------------------
 */
#ifndef VS_COMPAT_H
#define VS_COMPAT_H

#include "postgres.h"

#if PG_VERSION_NUM >= 180000
#include "commands/explain_format.h"
#include "optimizer/optimizer.h"
#endif
#if PG_VERSION_NUM >= 160000
#include "varatt.h"
#endif

/* Before the declaration of a function that does not return. */
#ifndef pg_noreturn
#define pg_noreturn __attribute__((noreturn))
#endif

#if PG_VERSION_NUM >= 160000
#include "storage/relfilelocator.h"
typedef RelFileLocator RelFileNode;
#define rd_node rd_locator
#define RelFileNodeEquals(a, b) RelFileLocatorEquals(a, b)
#define pg_proc_aclcheck(proc, role, mode) object_aclcheck(ProcedureRelationId, proc, role, mode)
#define VS_FILE_TABLESPACE(file) ((file).spcOid)
#define VS_FILE_DATABASE(file) ((file).dbOid)
#define VS_FILE_NUMBER(file) ((file).relNumber)
#else
#include "storage/relfilenode.h"
#define VS_FILE_TABLESPACE(file) ((file).spcNode)
#define VS_FILE_DATABASE(file) ((file).dbNode)
#define VS_FILE_NUMBER(file) ((file).relNode)
#endif

static inline RelFileNode
vs_make_file(Oid tablespace, Oid database, Oid number)
{
	RelFileNode file;

	VS_FILE_TABLESPACE(file) = tablespace;
	VS_FILE_DATABASE(file) = database;
	VS_FILE_NUMBER(file) = number;
	return file;
}

/* DefineIndex as this extension calls it: no checks of rights, quietly. */
#if PG_VERSION_NUM >= 160000
#define VS_DEFINE_INDEX(relid, stmt) \
	DefineIndex(relid, stmt, InvalidOid, InvalidOid, InvalidOid, -1, false, false, false, false, true)
#else
#define VS_DEFINE_INDEX(relid, stmt) \
	DefineIndex(relid, stmt, InvalidOid, InvalidOid, InvalidOid, false, false, false, false, true)
#endif

/* Range table entries of the view itself (OLD, NEW) that start a stored view query. */
#if PG_VERSION_NUM >= 160000
#define VS_VIEW_EXTRA_RTES	0
#else
#define VS_VIEW_EXTRA_RTES	2
#endif

/* May the current user do what a query does to the relations it names?  Errors out if not. */
#if PG_VERSION_NUM >= 160000
#define vs_check_permissions(query) \
	((void) ExecCheckPermissions((query)->rtable, (query)->rteperminfos, true))
#else
#define vs_check_permissions(query) ((void) ExecCheckRTPerms((query)->rtable, true))
#endif

/* The setting that makes plans parallel without need. */
#if PG_VERSION_NUM >= 160000
#define VS_FORCE_PARALLEL	"debug_parallel_query"
#else
#define VS_FORCE_PARALLEL	"force_parallel_mode"
#endif

/* The kind of a custom scan's slot, where it can be named at creation. */
#if PG_VERSION_NUM >= 160000
#define vs_set_custom_scan_slot_ops(state, ops) ((state)->slotOps = (ops))
#else
#define vs_set_custom_scan_slot_ops(state, ops) ((void) 0)
#endif

/* In a RelOptInfo: draw no conclusions from NOT NULL constraints. */
#if PG_VERSION_NUM >= 170000
#define vs_forget_not_null(rel) ((rel)->notnullattnums = NULL)
#else
#define vs_forget_not_null(rel) ((void) 0)
#endif

/* Before 17, intervals were finite; a caller includes "datatype/timestamp.h". */
#if PG_VERSION_NUM >= 170000
#define vs_interval_is_finite(interval) (!INTERVAL_NOT_FINITE(interval))
#else
#define vs_interval_is_finite(interval) true
#endif

/* The order of an expression of one relation, if it is of use to the query. */
#if PG_VERSION_NUM >= 160000
#define vs_build_expression_pathkey(root, expr, op, relids) \
	build_expression_pathkey(root, expr, op, relids, false)
#else
#define vs_build_expression_pathkey(root, expr, op, relids) \
	build_expression_pathkey(root, expr, NULL, op, relids, false)
#endif

/* An error if old_snapshot_threshold has let rows go that the snapshot sees. */
#if PG_VERSION_NUM >= 170000
#define vs_test_for_old_snapshot(snapshot, rel, page) ((void) 0)
#else
#define vs_test_for_old_snapshot(snapshot, rel, page) TestForOldSnapshot(snapshot, rel, page)
#endif

/* Ownership, by the names of PostgreSQL 15. */
#if PG_VERSION_NUM >= 160000
#include "catalog/pg_class.h"
#include "catalog/pg_database.h"
#ifndef pg_class_ownercheck
#define pg_class_ownercheck(relid, role) object_ownercheck(RelationRelationId, relid, role)
#endif
#define pg_database_ownercheck(dbid, role) object_ownercheck(DatabaseRelationId, dbid, role)
#endif

/* Replication slots; a caller includes "replication/slot.h". */
#if PG_VERSION_NUM >= 160000
#define VS_SLOT_INVALIDATED(slot) ((slot)->data.invalidated != RS_INVAL_NONE)
#else
#define VS_SLOT_INVALIDATED(slot) (!XLogRecPtrIsInvalid((slot)->data.invalidated_at))
#endif
#if PG_VERSION_NUM >= 170000
#define vs_create_physical_slot(name, persistency) \
	ReplicationSlotCreate(name, false, persistency, false, false, false)
#else
#define vs_create_physical_slot(name, persistency) \
	ReplicationSlotCreate(name, false, persistency, false)
#endif

/*
 * Transactions with an xid that have ended so far.  Read without a lock: a
 * single aligned word, of which any recent value will do.
 */
#if PG_VERSION_NUM >= 170000
#define vs_xact_completion_count() (TransamVariables->xactCompletionCount)
#else
#define vs_xact_completion_count() (ShmemVariableCache->xactCompletionCount)
#endif

/* The oldest transaction id of which the commit log is kept. */
#if PG_VERSION_NUM >= 170000
#define vs_oldest_clog_xid() (TransamVariables->oldestClogXid)
#else
#define vs_oldest_clog_xid() (ShmemVariableCache->oldestClogXid)
#endif

/* The files that a commit record removes. */
#if PG_VERSION_NUM >= 160000
#define VS_COMMIT_FILES(parsed) ((parsed).xlocators)
#else
#define VS_COMMIT_FILES(parsed) ((parsed).xnodes)
#endif

/* Does this process hold a lock in just this mode? */
#if PG_VERSION_NUM >= 170000
#define vs_holds_lock(tag, mode) LockHeldByMe(tag, mode, false)
#else
#define vs_holds_lock(tag, mode) LockHeldByMe(tag, mode)
#endif

/* Acquire a slot, whether invalidated or not. */
#if PG_VERSION_NUM >= 180000
#define vs_acquire_slot(name, nowait) ReplicationSlotAcquire(name, nowait, false)
#else
#define vs_acquire_slot(name, nowait) ReplicationSlotAcquire(name, nowait)
#endif

/* Scan a relation by an index with so many keys. */
#if PG_VERSION_NUM >= 180000
#define vs_beginscan(heap, index, snapshot, nkeys) \
	index_beginscan(heap, index, snapshot, NULL, nkeys, 0)
#else
#define vs_beginscan(heap, index, snapshot, nkeys) \
	index_beginscan(heap, index, snapshot, nkeys, 0)
#endif

/* The index entries of a new row, none of which can be put off. */
#if PG_VERSION_NUM >= 160000
#define vs_insert_index_entries(relinfo, slot, estate) \
	list_free(ExecInsertIndexTuples(relinfo, slot, estate, false, false, NULL, NIL, false))
#else
#define vs_insert_index_entries(relinfo, slot, estate) \
	list_free(ExecInsertIndexTuples(relinfo, slot, estate, false, false, NULL, NIL))
#endif

/* Run a plan to its end. */
#if PG_VERSION_NUM >= 180000
#define vs_executor_run(desc) ExecutorRun(desc, ForwardScanDirection, 0)
#else
#define vs_executor_run(desc) ExecutorRun(desc, ForwardScanDirection, 0, true)
#endif

#if PG_VERSION_NUM >= 180000
#define vs_form_minimal_tuple(desc, values, nulls) heap_form_minimal_tuple(desc, values, nulls, 0)
#else
#define vs_form_minimal_tuple(desc, values, nulls) heap_form_minimal_tuple(desc, values, nulls)
#endif

/*
 * The range table of an executor that writes to one table, whose entry has the
 * index 1.  From PostgreSQL 16 on, the columns that an UPDATE sets (none are
 * named here: triggers and generated columns are to take any for changed) are
 * looked for in RTEPermissionInfos.  The caller includes "executor/executor.h"
 * and "parser/parse_relation.h".
 */
#if PG_VERSION_NUM >= 160000
#define VS_INIT_RANGE_TABLE(estate, rte) \
	do { \
		List	   *perminfos_ = NIL; \
		addRTEPermissionInfo(&perminfos_, rte); \
		VS_INIT_RANGE_TABLE_(estate, rte, perminfos_); \
	} while (0)
#if PG_VERSION_NUM >= 180000
#define VS_INIT_RANGE_TABLE_(estate, rte, perminfos) \
	ExecInitRangeTable(estate, list_make1(rte), perminfos, bms_make_singleton(1))
#else
#define VS_INIT_RANGE_TABLE_(estate, rte, perminfos) \
	ExecInitRangeTable(estate, list_make1(rte), perminfos)
#endif
#define vs_init_no_epq(epqstate, estate) EvalPlanQualInit(epqstate, estate, NULL, NIL, -1, NIL)
#else
#define VS_INIT_RANGE_TABLE(estate, rte) ExecInitRangeTable(estate, list_make1(rte))
#define vs_init_no_epq(epqstate, estate) EvalPlanQualInit(epqstate, estate, NULL, NIL, -1)
#endif

/*
 * From PostgreSQL 18 on, a query that groups names its group keys by the
 * columns of a range table entry of their own, the last one.  Put the
 * expressions there instead, as before: a query is checked, normalized and
 * kept in that form.
 */
#if PG_VERSION_NUM >= 180000
#define vs_flatten_groups(query) vs_flatten_groups_(query)
static inline void
vs_flatten_groups_(Query *query)
{
	if (!query->hasGroupRTE)
		return;
	query->targetList = (List *)
		flatten_group_exprs(NULL, query, (Node *) query->targetList);
	query->havingQual = flatten_group_exprs(NULL, query, query->havingQual);
	if (llast_node(RangeTblEntry, query->rtable)->rtekind != RTE_GROUP)
		elog(ERROR, "the group keys of a query are not its last range table entry");
	query->rtable = list_truncate(query->rtable, list_length(query->rtable) - 1);
	query->hasGroupRTE = false;
}
#else
#define vs_flatten_groups(query) ((void) 0)
#endif

/*
 * Has a column no NULL, in any row that a current snapshot sees?  From
 * PostgreSQL 18 on, attnotnull alone does not say so: the constraint may be
 * NOT VALID.
 */
#if PG_VERSION_NUM >= 180000
#define VS_COLUMN_NOT_NULL(desc, attno) \
	(TupleDescCompactAttr(desc, (attno) - 1)->attnullability == ATTNULLABLE_VALID)
#else
#define VS_COLUMN_NOT_NULL(desc, attno) (TupleDescAttr(desc, (attno) - 1)->attnotnull)
#endif

/*
 * Columns that are not stored but computed whenever they are read: the planner
 * puts their expressions into a query, but who looks at tuples finds NULL.
 */
#if PG_VERSION_NUM >= 180000
#define VS_COLUMN_IS_VIRTUAL(att) ((att)->attgenerated == ATTRIBUTE_GENERATED_VIRTUAL)
#define vs_drop_column(desc, i) \
	(TupleDescAttr(desc, i)->attisdropped = true, populate_compact_attribute(desc, i))
#else
#define VS_COLUMN_IS_VIRTUAL(att) false
#define vs_drop_column(desc, i) (TupleDescAttr(desc, i)->attisdropped = true)
#endif

#endif							/* VS_COMPAT_H */
