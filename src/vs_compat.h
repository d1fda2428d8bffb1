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

#endif							/* VS_COMPAT_H */
