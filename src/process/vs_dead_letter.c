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
#include "process/vs_batch_internal.h"
#include "utils/memutils.h"
#include "utils/resowner.h"

static ErrorData *try_window(VsBatch *batch, uint64 first, uint64 last);
static void isolate(VsBatch *batch, uint64 first, uint64 last);
static void bury(VsBatch *batch, ErrorData *error);
static bool is_about_a_row(int sqlstate);

/* Process the whole delta; failing rows become dead letters. */
void
vs_execute_isolating(VsBatch *batch)
{
	uint64		first = 0;

	/* groups computed again would meet the failing rows again: all or nothing */
	if (batch->change && batch->plan->recompute)
	{
		vs_execute_window(batch, 0, PG_UINT64_MAX);
		return;
	}

	for (;;)
	{
		ErrorData  *error = try_window(batch, first, PG_UINT64_MAX);
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
	error = try_window(batch, first, last);
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
 * Process [first, last) in a subtransaction.  Returns NULL if that went well;
 * else nothing of it is left, and the error is returned.
 */
static ErrorData *
try_window(VsBatch *batch, uint64 first, uint64 last)
{
	MemoryContext context = CurrentMemoryContext;
	MemoryContext window = AllocSetContextCreate(context, "velostream window",
												 ALLOCSET_SMALL_SIZES);
	ResourceOwner owner = CurrentResourceOwner;
	ErrorData  *volatile error = NULL;
	bool		fresh = batch->fresh;
	uint64		changes = batch->changes;
	uint64		recomputed = batch->recomputed;
	VsDeltaCounters counters;

	vs_delta_counters(batch->delta, &counters);
	BeginInternalSubTransaction(NULL);
	/* a window that fails leaves its run behind: there may be many */
	MemoryContextSwitchTo(window);
	PG_TRY();
	{
		vs_execute_window(batch, first, last);
		ReleaseCurrentSubTransaction();
	}
	PG_CATCH();
	{
		MemoryContextSwitchTo(context);
		error = CopyErrorData();
		FlushErrorState();
		RollbackAndReleaseCurrentSubTransaction();
		batch->fresh = fresh;
		batch->changes = changes;
		batch->recomputed = recomputed;
		vs_delta_restore_counters(batch->delta, &counters);
	}
	PG_END_TRY();
	MemoryContextSwitchTo(context);
	MemoryContextDelete(window);
	CurrentResourceOwner = owner;
	return error;
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

	/* a row that goes and that never was counted is nothing new */
	if (weight > 0 || !vs_dead_letter_exists(batch->outputid, relid, &tid, xmin))
	{
		vs_dead_letter_insert(batch->outputid, relid, &tid, xmin, vs_slot_to_jsonb(slot),
							  error->sqlerrcode, error->message);
		batch->dead++;
	}
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
