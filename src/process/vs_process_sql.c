/*-------------------------------------------------------------------------
 *
 * vs_process_sql.c
 *	  velostream.process() and replay(): a batch in the caller's session and transaction.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/xact.h"
#include "fmgr.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "process/vs_batch_internal.h"
#include "utils/guc.h"
#include "utils/builtins.h"
#include "utils/fmgrprotos.h"
#include "utils/lsyscache.h"
#include "vs_compat.h"
#include "vs_guc.h"

typedef struct Emitted
{
	Tuplestorestate *store;
	TupleDesc	desc;
	MemoryContext context;		/* of one change */
} Emitted;

static void require_running(Oid output, const VsQueryEntry *entry);
static void require_writable(const char *function);
static void run_now(VsQueryEntry *entry, const VsBatchOptions *options, VsBatchResult *result);
static void store_change(char op, TupleTableSlot *slot, void *arg);

PG_FUNCTION_INFO_V1(velostream_process);
PG_FUNCTION_INFO_V1(velostream_replay);

/*
 * velostream.process(query regclass, batch_rows bigint) returns table(op text,
 * "row" jsonb): run one batch now and return what it emitted, in order: insert
 * and update with the new row, delete with the old one.  With batch_rows, changes are emitted
 * after each so many input rows (except where groups are computed again from
 * the source: those are always processed at once).  Everything is rolled back
 * with the transaction.
 */
Datum
velostream_process(PG_FUNCTION_ARGS)
{
	ReturnSetInfo *rsinfo = (ReturnSetInfo *) fcinfo->resultinfo;
	VsBatchOptions options = {0};
	VsBatchResult result;
	VsQueryEntry entry;
	Emitted		emitted;

	InitMaterializedSRF(fcinfo, 0);
	vs_registry_argument(fcinfo, false, &entry);
	require_running(entry.output, &entry);
	require_writable("velostream.process()");

	emitted.store = rsinfo->setResult;
	emitted.desc = rsinfo->setDesc;
	emitted.context = AllocSetContextCreate(CurrentMemoryContext, "velostream change",
											ALLOCSET_DEFAULT_SIZES);
	options.immediate_flush = true;
	options.emit = store_change;
	options.emit_arg = &emitted;
	if (!PG_ARGISNULL(1))
	{
		if (PG_GETARG_INT64(1) <= 0)
			ereport(ERROR,
					(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
					 errmsg("batch_rows must be greater than zero")));
		options.batch_rows = PG_GETARG_INT64(1);
	}
	run_now(&entry, &options, &result);
	return (Datum) 0;
}

static void
require_writable(const char *function)
{
	PreventCommandIfReadOnly(function);
	PreventCommandDuringRecovery(function);
}

/* Run a batch of a query that is running, waiting for our turn. */
static void
run_now(VsQueryEntry *entry, const VsBatchOptions *options, VsBatchResult *result)
{
	Oid			output = entry->output;
	int			nestlevel;

	vs_release_before_batch();
	if (!entry->adopted)
		(void) vs_registry_adopt(output, true); /* restored from a dump */
	nestlevel = NewGUCNestLevel();
	vs_guc_fix_planner(false);
	vs_batch_run(output, options, result);
	AtEOXact_GUC(false, nestlevel);
	if (result->busy || result->skipped)
	{
		/* something happened to the query while we waited for our turn */
		if (!vs_registry_read(output, entry))
			ereport(ERROR,
					(errcode(ERRCODE_UNDEFINED_OBJECT),
					 errmsg("continuous query was dropped by another session")));
		require_running(output, entry);
	}
}

/*
 * velostream.replay(query regclass) returns bigint: run one batch now, in which
 * dead letters are tried again, and return how many rows count that did not
 * before.
 */
Datum
velostream_replay(PG_FUNCTION_ARGS)
{
	VsBatchOptions options = {.immediate_flush = true,.replay = true};
	VsBatchResult result;
	VsQueryEntry entry;
	int64		kept;

	vs_registry_argument(fcinfo, false, &entry);
	require_running(entry.output, &entry);
	require_writable("velostream.replay()");
	run_now(&entry, &options, &result);
	kept = result.restored + result.late + result.timeless + result.lost;
	if (kept > 0)
		ereport(NOTICE,
				(errmsg_plural("%lld dead letter of continuous query \"%s\" was not tried again",
							   "%lld dead letters of continuous query \"%s\" were not tried again",
							   (unsigned long) kept, (long long) kept, get_rel_name(entry.output)),
				 errdetail("Late: %lld; without an event time: %lld; updated or deleted since: %lld; from a dump: %lld.%s%s",
						   (long long) result.late, (long long) result.timeless,
						   (long long) result.lost, (long long) result.restored,
						   result.late > 0 ? " " : "",
						   result.late > 0 ? _(result.late_because) : ""),
				 errhint("velostream.rebuild() counts all rows again that the sources have, and only these.")));
	PG_RETURN_INT64(result.replayed);
}

static void
require_running(Oid output, const VsQueryEntry *entry)
{
	if (entry->status != VS_STATUS_RUNNING)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("continuous query \"%s\" is %s", get_rel_name(output),
						entry->status == VS_STATUS_PAUSED ? "paused" : "stopped"),
				 errhint("Run velostream.resume('%s') first.", get_rel_name(output))));
}

/* Keep a change as a row of the result. */
static void
store_change(char op, TupleTableSlot *slot, void *arg)
{
	Emitted    *emitted = arg;
	Datum		values[2];
	bool		nulls[2] = {false, false};
	MemoryContext old = MemoryContextSwitchTo(emitted->context);

	values[0] = CStringGetTextDatum(op == 'i' ? "insert" :
									op == 'u' ? "update" :
									op == 'd' ? "delete" : "reset");
	values[1] = vs_slot_to_jsonb(slot);
	tuplestore_putvalues(emitted->store, emitted->desc, values, nulls);
	MemoryContextSwitchTo(old);
	MemoryContextReset(emitted->context);
}

/* A row as jsonb, its columns by name. */
Datum
vs_slot_to_jsonb(TupleTableSlot *slot)
{
	HeapTuple	tuple = ExecCopySlotHeapTuple(slot);
	Datum		composite = heap_copy_tuple_as_datum(tuple, slot->tts_tupleDescriptor);
	Datum		json = DirectFunctionCall1(row_to_json, composite);

	return DirectFunctionCall1(jsonb_in, CStringGetDatum(TextDatumGetCString(json)));
}
