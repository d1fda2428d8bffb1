/*-------------------------------------------------------------------------
 *
 * vs_dead_letter.c
 *	  on_error = dead_letter: put failing rows aside, process the others.
 *
 * A window of the delta is processed in a subtransaction.  If that fails, the
 * row the scan delivered last is the first suspect (an expression over a row
 * fails while that row passes); else the window is halved until one row is
 * left.  The row goes into velostream.dead_letters with its error, in the
 * batch's own transaction.
 *
 * Errors that no row is to blame for (deadlocks, cancelled statements, lack of
 * resources, missing privileges, bugs) are not isolated: the batch fails and
 * is tried again.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/xact.h"
#include "lib/stringinfo.h"
#include "miscadmin.h"
#include "process/vs_batch_internal.h"
#include "utils/memutils.h"
#include "utils/resowner.h"

/* Changes that a window emitted; they count when all of it went well. */
typedef struct HeldChanges
{
	TupleDesc	desc;
	Tuplestorestate *rows;
	StringInfoData ops;
} HeldChanges;

static void bury_before(VsBatch *batch);
static ErrorData *try_window(VsBatch *batch, uint64 first, uint64 last, bool keep);
static void hold_changes(HeldChanges *held, VsBatchOptions *options);
static void hold_change(char op, TupleTableSlot *slot, void *arg);
static void release_changes(HeldChanges *held, const VsBatchOptions *options);
static void isolate(VsBatch *batch, uint64 first, uint64 last);
static void bury(VsBatch *batch, ErrorData *error);
static bool is_about_a_row(int sqlstate);

/* Process the whole delta; failing rows become dead letters. */
void
vs_execute_isolating(VsBatch *batch)
{
	uint64		first = 0;

	if (batch->change && batch->plan->recompute)
	{
		bury_before(batch);
		return;
	}

	for (;;)
	{
		ErrorData  *error = try_window(batch, first, PG_UINT64_MAX, true);
		uint64		next;

		if (error == NULL)
			return;
		if (!is_about_a_row(error->sqlerrcode))
			ReThrowError(error);
		next = vs_delta_next_ordinal(batch->delta);
		if (next <= first)
			ReThrowError(error);	/* not even one row was read */
		FreeErrorData(error);

		/* all before the suspect, then the suspect itself, then on */
		isolate(batch, first, next - 1);
		isolate(batch, next - 1, next);
		first = next;
	}
}

/* Process [first, last); what fails is halved until single rows are left. */
static void
isolate(VsBatch *batch, uint64 first, uint64 last)
{
	ErrorData  *error;
	uint64		middle;

	if (first >= last)
		return;
	error = try_window(batch, first, last, true);
	if (error == NULL)
		return;
	if (!is_about_a_row(error->sqlerrcode))
		ReThrowError(error);
	if (last - first == 1)
	{
		bury(batch, error);
		return;
	}
	FreeErrorData(error);
	middle = first + (last - first) / 2;
	isolate(batch, first, middle);
	isolate(batch, middle, last);
}

/*
 * Groups computed again come out as they are after the whole delta, so that is
 * processed at once.  Before, the rows that fail are looked for: a first
 * failure tells the first of them, and what comes after it is tried without
 * keeping anything.  A failure after the last row was read is no row's.
 */
static void
bury_before(VsBatch *batch)
{
	uint64		first = 0;

	for (;;)
	{
		ErrorData  *error = try_window(batch, first, PG_UINT64_MAX, first == 0);
		uint64		next = vs_delta_next_ordinal(batch->delta);

		if (error == NULL && first == 0)
			return;
		if (error != NULL && is_about_a_row(error->sqlerrcode) && next > first &&
			!vs_delta_exhausted(batch->delta))
		{
			bury(batch, error);
			first = next;
		}
		else if (first > 0)
			first = 0;			/* all are found: now for good */
		else
			ReThrowError(error);
		if (error)
			FreeErrorData(error);
	}
}

/*
 * Process [first, last) in a subtransaction.  Returns NULL if that went well;
 * else nothing of it is left, and the error is returned.  Without "keep",
 * nothing is left of it in either case.
 */
static ErrorData *
try_window(VsBatch *batch, uint64 first, uint64 last, bool keep)
{
	MemoryContext context = CurrentMemoryContext;
	MemoryContext window = AllocSetContextCreate(context, "velostream window",
												 ALLOCSET_SMALL_SIZES);
	ResourceOwner owner = CurrentResourceOwner;
	ErrorData  *volatile error = NULL;
	bool		fresh = batch->fresh;
	uint64		changes = batch->changes;
	uint64		recomputed = batch->recomputed;
	uint64		dead = batch->dead;
	VsClock		clock = batch->clock;
	VsDeltaCounters counters;
	const VsBatchOptions *options = batch->options;
	VsBatchOptions holding = *options;
	HeldChanges held = {0};

	if (options->emit)
	{
		hold_changes(&held, &holding);
		batch->options = &holding;
	}
	vs_delta_counters(batch->delta, &counters);
	BeginInternalSubTransaction(NULL);
	/* a window that fails leaves its run behind: there may be many */
	MemoryContextSwitchTo(window);
	PG_TRY();
	{
		vs_execute_window(batch, first, last);
		if (keep)
			ReleaseCurrentSubTransaction();
	}
	PG_CATCH();
	{
		MemoryContextSwitchTo(context);
		error = CopyErrorData();
		FlushErrorState();
		keep = false;
	}
	PG_END_TRY();
	if (!keep)
	{
		RollbackAndReleaseCurrentSubTransaction();
		batch->fresh = fresh;
		batch->changes = changes;
		batch->recomputed = recomputed;
		batch->dead = dead;
		batch->clock = clock;
		vs_delta_restore_counters(batch->delta, &counters);
	}
	MemoryContextSwitchTo(context);
	MemoryContextDelete(window);
	CurrentResourceOwner = owner;
	batch->options = options;
	if (held.rows != NULL)
	{
		if (keep)
			release_changes(&held, options);
		tuplestore_end(held.rows);
		pfree(held.ops.data);
	}
	return error;
}

static void
hold_changes(HeldChanges *held, VsBatchOptions *options)
{
	held->rows = tuplestore_begin_heap(false, false, work_mem);
	initStringInfo(&held->ops);
	options->emit = hold_change;
	options->emit_arg = held;
}

static void
hold_change(char op, TupleTableSlot *slot, void *arg)
{
	HeldChanges *held = arg;

	if (held->desc == NULL)
	{
		MemoryContext old = MemoryContextSwitchTo(GetMemoryChunkContext(held->ops.data));

		held->desc = CreateTupleDescCopy(slot->tts_tupleDescriptor);
		MemoryContextSwitchTo(old);
	}
	appendStringInfoChar(&held->ops, op);
	tuplestore_puttupleslot(held->rows, slot);
}

/* Hand on what was held, in the same order. */
static void
release_changes(HeldChanges *held, const VsBatchOptions *options)
{
	TupleTableSlot *slot;

	if (held->ops.len == 0)
		return;
	slot = MakeSingleTupleTableSlot(held->desc, &TTSOpsMinimalTuple);
	for (int i = 0; i < held->ops.len; i++)
	{
		if (!tuplestore_gettupleslot(held->rows, true, false, slot))
			elog(ERROR, "a held change is missing");
		options->emit(held->ops.data[i], slot, options->emit_arg);
	}
	ExecDropSingleTupleTableSlot(slot);
}

/* Keep the row that the failed window of one row delivered, with its error. */
static void
bury(VsBatch *batch, ErrorData *error)
{
	Oid			relid;
	ItemPointerData tid;
	TransactionId xmin;
	int			weight;
	TupleTableSlot *slot;

	/* the horizon is held, so a version that went is still there */
	vs_delta_last_row(batch->delta, &relid, &tid, &xmin, &weight, &slot);
	if (slot == NULL)
		ReThrowError(error);

	/* a row that was counted and cannot be taken away again */
	if (weight < 0)
		ReThrowError(error);
	vs_dead_letter_insert(batch->outputid, relid, &tid, xmin, vs_slot_to_jsonb(slot),
						  error->sqlerrcode, error->message);
	vs_delta_bury(batch->delta, relid, &tid, xmin);
	batch->dead++;
	ExecDropSingleTupleTableSlot(slot);
}

/* Could another row have gone well where this error was raised? */
static bool
is_about_a_row(int sqlstate)
{
	switch (ERRCODE_TO_CATEGORY(sqlstate))
	{
		case ERRCODE_DATA_EXCEPTION:
		case ERRCODE_INTEGRITY_CONSTRAINT_VIOLATION:
		case ERRCODE_CARDINALITY_VIOLATION:
		case ERRCODE_PLPGSQL_ERROR:
		case ERRCODE_EXTERNAL_ROUTINE_EXCEPTION:
		case ERRCODE_PROGRAM_LIMIT_EXCEEDED:
			return true;
		default:
			return false;
	}
}
