/*-------------------------------------------------------------------------
 *
 * vs_dead_letter.c
 *	  on_error = dead_letter: put failing rows aside, process the others.
 *
 * A window of the delta is processed in a subtransaction.  If that fails, the
 * row the scan delivered last is the first suspect (an expression over a row
 * fails while that row passes, unless its group had to wait on disk); else the
 * window is halved until one row is left.  The row goes into
 * velostream.dead_letters with its error, in the batch's own transaction.
 *
 * Errors that no row is to blame for (deadlocks, cancelled statements, lack of
 * resources, missing privileges, bugs) are not isolated: the batch fails and
 * is tried again.
 *
 * Replay: such a row was never counted, so that it counts once if a batch takes
 * it for new.  The letters whose row version S2 sees are dropped, and their
 * rows delivered with what else there is to do; what fails again becomes a
 * letter again.  So are late rows, where the windows they missed can be
 * corrected (vs_correct.c).
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

static bool isolate_all(VsBatch *batch, bool keep);
static bool isolate(VsBatch *batch, uint64 first, uint64 last, bool keep);
static ErrorData *try_window(VsBatch *batch, uint64 first, uint64 last, bool keep);
static ErrorData *take_error(MemoryContext context);
static void expect_row_error(ErrorData *error);
static void hold_changes(HeldChanges *held, VsBatchOptions *options);
static void hold_change(char op, TupleTableSlot *slot, void *arg);
static void release_changes(HeldChanges *held, const VsBatchOptions *options);
static bool try_again(void *arg, Oid source, ItemPointer tid, TransactionId xmin,
					  const char *sqlstate);
static void drop_gone(VsBatch *batch, Oid source, ItemPointer tid, TransactionId xmin, bool late,
					  bool timeless);
static bool count_late(void *arg, Oid source, ItemPointer tid, TransactionId xmin,
					   const char *sqlstate);
static void count_again(void *arg, Oid source, ItemPointer tid, TransactionId xmin);
static void bury(VsBatch *batch, ErrorData *error);

/*
 * Process the whole delta; failing rows become dead letters.
 *
 * What cannot be processed in parts is tried as a whole.  When that fails,
 * rows that are known by a key are processed in parts after all: first those
 * that go, then those that come.  Groups computed again come out as they are
 * after the whole delta: there the rows to blame are looked for.
 */
void
vs_execute_isolating(VsBatch *batch)
{
	ErrorData  *error;

	if (vs_divisible(batch))
	{
		(void) isolate_all(batch, true);
		return;
	}
	error = try_window(batch, 0, PG_UINT64_MAX, true);
	if (error == NULL)
		return;
	expect_row_error(error);
	if (batch->plan->strategy == VS_STRATEGY_ROWS)
	{
		FreeErrorData(error);
		for (int weight = -1; weight <= 1; weight += 2)
		{
			vs_delta_only_weight(batch->delta, weight);
			(void) isolate_all(batch, true);
		}
		vs_delta_only_weight(batch->delta, 0);
		return;
	}
	if (!isolate_all(batch, false))
		ReThrowError(error);
	FreeErrorData(error);
	vs_execute_window(batch, 0, PG_UINT64_MAX);
}

/*
 * Process the delta in windows, and bury the rows that fail; without "keep",
 * only look for these.  Returns whether there was one.
 */
static bool
isolate_all(VsBatch *batch, bool keep)
{
	uint64		first = 0;
	bool		found = false;

	for (;;)
	{
		ErrorData  *error = try_window(batch, first, PG_UINT64_MAX, keep);
		uint64		next;

		if (error == NULL)
			return found;
		expect_row_error(error);
		next = vs_delta_next_ordinal(batch->delta);
		if (next <= first)
			ReThrowError(error);	/* not even one row was read */
		FreeErrorData(error);

		/* all before the suspect, then the suspect itself, then on */
		found |= isolate(batch, first, next - 1, keep);
		found |= isolate(batch, next - 1, next, keep);
		first = next;
	}
}

/* The same with [first, last): what fails is halved until single rows are left. */
static bool
isolate(VsBatch *batch, uint64 first, uint64 last, bool keep)
{
	ErrorData  *error;
	uint64		middle;
	bool		found;

	if (first >= last)
		return false;
	error = try_window(batch, first, last, keep);
	if (error == NULL)
		return false;
	expect_row_error(error);
	if (last - first == 1)
	{
		bury(batch, error);
		return true;
	}
	FreeErrorData(error);
	middle = first + (last - first) / 2;
	found = isolate(batch, first, middle, keep);
	return isolate(batch, middle, last, keep) || found;
}

/*
 * Process [first, last) in a subtransaction.  Returns NULL if that went well;
 * else nothing of it is left, and the error is returned.  Without "keep" the
 * rows are only read, and nothing is left in either case.
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
	bool		top_short = batch->top_short;
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
		if (keep)
		{
			vs_execute_window(batch, first, last);
			ReleaseCurrentSubTransaction();
		}
		else
			vs_probe_window(batch, first, last);
	}
	PG_CATCH();
	{
		error = take_error(context);
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
		batch->top_short = top_short;
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

/*
 * A copy of the error that is being handled, in a memory context.  Where there
 * is no memory for it the subtransaction is ended all the same: an error that
 * leaves it open would leave the session in a failed transaction.
 */
static ErrorData *
take_error(MemoryContext context)
{
	ErrorData  *volatile error = NULL;

	MemoryContextSwitchTo(context);
	PG_TRY();
	{
		error = CopyErrorData();
	}
	PG_CATCH();
	{
		RollbackAndReleaseCurrentSubTransaction();
		PG_RE_THROW();
	}
	PG_END_TRY();
	FlushErrorState();
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

/*
 * VsDeadLetterChoice: is this letter to be dropped, and perhaps its row to be
 * delivered?
 *
 * A row that failed was never counted, nor read as far as the statistics tell.
 * One that was turned away by the clock was read; if it is delivered once more,
 * it is not to be counted as read once more.  That of a row without an event
 * time stays: the time will not change.
 */
static bool
try_again(void *arg, Oid source, ItemPointer tid, TransactionId xmin, const char *sqlstate)
{
	VsBatch    *batch = arg;
	VsBatchResult *result = batch->replay;
	bool		late = batch->plan->timed && strcmp(sqlstate, VS_LATE_SQLSTATE) == 0;
	bool		timeless = strcmp(sqlstate, VS_TIMELESS_SQLSTATE) == 0;

	if (tid == NULL)
		result->restored++;
	else if (!vs_delta_sees(batch->delta, source, tid, xmin))
	{
		if (batch->plan->entry.mode == VS_SOURCE_CHANGES)
		{
			drop_gone(batch, source, tid, xmin, late, timeless);
			return true;
		}
		result->lost++;
	}
	else if (timeless)
		result->timeless++;
	else if (late && !batch->corrects)
		result->late++;
	else
	{
		vs_delta_revive(batch->delta, source, tid);
		if (late)
		{
			batch->row.late--;
			batch->row.rows_in--;
		}
		result->replayed++;
		return true;
	}
	return false;
}

/*
 * A letter whose row was deleted, or has a newer version; perhaps since S1: then
 * that version would be taken away.  With on_error = dead_letter versions of
 * letters never are; else those that the clock turned away are, as they were
 * read.
 */
static void
drop_gone(VsBatch *batch, Oid source, ItemPointer tid, TransactionId xmin, bool late,
		  bool timeless)
{
	if (batch->plan->entry.on_error == VS_ON_ERROR_DEAD_LETTER)
	{
		vs_delta_bury(batch->delta, source, tid, xmin);
		if (late || timeless)
			batch->row.rows_in--;
		if (late)
			batch->row.late--;
	}
	else if (late && batch->corrects)
		batch->row.late--;		/* it went since S1, which is not ignored */
}

/* VsDeadLetterChoice: count the late rows, drop none. */
static bool
count_late(void *arg, Oid source, ItemPointer tid, TransactionId xmin, const char *sqlstate)
{
	int64	   *letters = arg;

	if (tid != NULL && strcmp(sqlstate, VS_LATE_SQLSTATE) == 0)
		(*letters)++;
	return false;
}

/* In a rebuild, which tries all rows again, there is nothing left to do. */
void
vs_replay_begin(VsBatch *batch)
{
	int64		letters = 0;

	if (batch->fresh)
		return;
	if (batch->plan->timed)
	{
		(void) vs_dead_letter_take(batch->outputid, count_late, &letters);
		batch->replay->late_because = vs_correct_why_not(batch, letters);
		batch->corrects = batch->replay->late_because == NULL;
	}
	batch->row.dead -= vs_dead_letter_take(batch->outputid, try_again, batch);
	vs_delta_add_revived(batch->delta);
}

/* A row that was delivered, and is a letter again. */
static void
count_again(void *arg, Oid source, ItemPointer tid, TransactionId xmin)
{
	VsBatch    *batch = arg;

	if (vs_delta_is_revived(batch->delta, source, tid))
		batch->replay->replayed--;
}

void
vs_replay_end(VsBatch *batch)
{
	vs_dead_letter_scan(batch->outputid, count_again, batch);
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

/* Raise an error that no row is to blame for: could another row have gone well there? */
static void
expect_row_error(ErrorData *error)
{
	switch (ERRCODE_TO_CATEGORY(error->sqlerrcode))
	{
		case ERRCODE_DATA_EXCEPTION:
		case ERRCODE_INTEGRITY_CONSTRAINT_VIOLATION:
		case ERRCODE_CARDINALITY_VIOLATION:
		case ERRCODE_PLPGSQL_ERROR:
		case ERRCODE_EXTERNAL_ROUTINE_EXCEPTION:
		case ERRCODE_PROGRAM_LIMIT_EXCEEDED:
			break;
		default:
			ReThrowError(error);
	}
}
