/*-------------------------------------------------------------------------
 *
 * vs_stat.c
 *	  What one can see: functions under the monitoring views.
 *
 * Permissions are checked here and not in the views, as a function in a view
 * is called with the rights of whoever reads the view.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "access/transam.h"
#include "catalog/pg_authid.h"
#include "catalog/pg_class.h"
#include "fmgr.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "replication/slot.h"
#include "utils/acl.h"
#include "utils/builtins.h"
#include "utils/pg_lsn.h"
#include "utils/syscache.h"
#include "utils/timestamp.h"
#include "utils/tuplestore.h"
#include "utils/xid8.h"

#include "state/vs_context.h"

#define VS_CONTEXTS_COLUMNS 21
#define VS_HORIZON_COLUMNS	5

/* A row of velostream_contexts. */
typedef struct ContextRow
{
	int			n;				/* columns so far */
	Datum		values[VS_CONTEXTS_COLUMNS];
	bool		nulls[VS_CONTEXTS_COLUMNS];
} ContextRow;

static bool may_see(Oid output, bool *owns);
static void fill_row(ContextRow *row, const VsContextInfo *info, bool owns);

PG_FUNCTION_INFO_V1(velostream_contexts);

/*
 * One row for each context of this database whose output the caller owns; all
 * of them for a member of pg_read_all_stats.
 */
Datum
velostream_contexts(PG_FUNCTION_ARGS)
{
	ReturnSetInfo *rsinfo = (ReturnSetInfo *) fcinfo->resultinfo;

	vs_require_preload();
	InitMaterializedSRF(fcinfo, 0);
	if (rsinfo->setDesc->natts != VS_CONTEXTS_COLUMNS)
		elog(ERROR, "velostream_contexts returns %d columns", VS_CONTEXTS_COLUMNS);

	for (int slot = 0; slot < vs_max_queries; slot++)
	{
		VsContextInfo info;
		ContextRow	row;
		bool		owns;

		CHECK_FOR_INTERRUPTS();
		if (!vs_context_read_slot(slot, &info) || !may_see(info.output, &owns))
			continue;
		fill_row(&row, &info, owns);
		tuplestore_putvalues(rsinfo->setResult, rsinfo->setDesc,
							 row.values, row.nulls);
	}
	return (Datum) 0;
}

/*
 * May the current user see the state of this query?  Not of one that is gone.
 * "owns" is set if all of it: detail and context of an error can have values of rows.
 */
static bool
may_see(Oid output, bool *owns)
{
	HeapTuple	tuple = SearchSysCache1(RELOID, ObjectIdGetDatum(output));

	if (!HeapTupleIsValid(tuple))
		return false;
	*owns = has_privs_of_role(GetUserId(), ((Form_pg_class) GETSTRUCT(tuple))->relowner);
	ReleaseSysCache(tuple);
	return *owns || has_privs_of_role(GetUserId(), ROLE_PG_READ_ALL_STATS);
}

/* The next column of a row. */
static inline void
add(ContextRow *row, Datum value, bool isnull)
{
	Assert(row->n < VS_CONTEXTS_COLUMNS);
	row->values[row->n] = isnull ? (Datum) 0 : value;
	row->nulls[row->n++] = isnull;
}

/* The columns of velostream_contexts; what is not known is NULL. */
static void
fill_row(ContextRow *row, const VsContextInfo *info, bool owns)
{
	bool		fine = info->failures == 0;

	row->n = 0;
	add(row, ObjectIdGetDatum(info->output), false);
	add(row, FullTransactionIdGetDatum(info->frontier_xmin),
		!FullTransactionIdIsValid(info->frontier_xmin));
	add(row, LSNGetDatum(info->frontier_lsn), XLogRecPtrIsInvalid(info->frontier_lsn));
	add(row, TimestampTzGetDatum(info->frontier_time), info->frontier_time == 0);
	add(row, Int64GetDatum(info->request_seq), false);
	add(row, Int64GetDatum(info->done_seq), false);
	add(row, Int32GetDatum(info->runner_pid), info->runner_pid == 0);
	add(row, Int64GetDatum(info->pages_done), info->runner_pid == 0);
	add(row, Int64GetDatum(info->pages_total), info->runner_pid == 0);
	add(row, Int64GetDatum(info->cache_groups), false);
	add(row, Int64GetDatum(info->cache_bytes), false);
	add(row, Int64GetDatum(info->cache_hits), false);
	add(row, Int64GetDatum(info->cache_misses), false);
	add(row, Int32GetDatum(info->failures), false);
	add(row, TimestampTzGetDatum(info->failed_at), fine);
	add(row, TimestampTzGetDatum(info->retry_at), fine);
	add(row, CStringGetTextDatum(unpack_sql_state(info->sqlstate)), fine);
	add(row, CStringGetTextDatum(info->message), fine);
	add(row, CStringGetTextDatum(info->detail), fine || !owns || info->detail[0] == '\0');
	add(row, CStringGetTextDatum(info->hint), fine || info->hint[0] == '\0');
	add(row, CStringGetTextDatum(info->context), fine || !owns || info->context[0] == '\0');
	Assert(row->n == VS_CONTEXTS_COLUMNS);
}

/* The xmin of the physical slot of this name; false if there is none. */
static bool
slot_xmin(const char *name, TransactionId *xmin)
{
	bool		found = false;

	LWLockAcquire(ReplicationSlotControlLock, LW_SHARED);
	for (int i = 0; i < max_replication_slots && !found; i++)
	{
		ReplicationSlot *slot = &ReplicationSlotCtl->replication_slots[i];

		if (!slot->in_use || strcmp(NameStr(slot->data.name), name) != 0)
			continue;
		found = true;
		SpinLockAcquire(&slot->mutex);
		*xmin = slot->data.xmin;
		SpinLockRelease(&slot->mutex);
	}
	LWLockRelease(ReplicationSlotControlLock);
	return found;
}

PG_FUNCTION_INFO_V1(velostream_horizon);

/*
 * One row: how far this database's slot holds back the cleanup of dead rows,
 * and how much of the cache is in use, by all databases.  The first three
 * columns are NULL if there is no slot.
 */
Datum
velostream_horizon(PG_FUNCTION_ARGS)
{
	TupleDesc	desc;
	Datum		values[VS_HORIZON_COLUMNS];
	bool		nulls[VS_HORIZON_COLUMNS] = {0};
	char		name[NAMEDATALEN];
	TransactionId xmin = InvalidTransactionId;
	uint64		used;
	uint64		total;
	bool		found;

	vs_require_preload();
	if (get_call_result_type(fcinfo, NULL, &desc) != TYPEFUNC_COMPOSITE ||
		desc->natts != VS_HORIZON_COLUMNS)
		elog(ERROR, "velostream_horizon returns %d columns", VS_HORIZON_COLUMNS);

	snprintf(name, sizeof(name), "velostream_%u", MyDatabaseId);
	found = slot_xmin(name, &xmin);
	vs_cache_usage(&used, &total);

	nulls[0] = !found;
	nulls[1] = nulls[2] = !TransactionIdIsNormal(xmin);
	values[0] = CStringGetTextDatum(name);
	values[1] = TransactionIdGetDatum(xmin);
	values[2] = Int64GetDatum((int64) (int32) (ReadNextTransactionId() - xmin));
	values[3] = Int64GetDatum(used);
	values[4] = Int64GetDatum(total);
	return HeapTupleGetDatum(heap_form_tuple(BlessTupleDesc(desc), values, nulls));
}
