/*-------------------------------------------------------------------------
 *
 * vs_emit.c
 *	  The changes of a batch, written to the output.
 *
 * A table is changed in place.  A stream gets one more row for every change:
 * the columns of the query, then what happened (_op), its place in the order
 * (_offset) and when (_timestamp: the time of the batch's transaction).
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/xact.h"
#include "process/vs_run.h"
#include "utils/builtins.h"
#include "utils/timestamp.h"

#define STREAM_COLUMNS	3		/* _op, _offset, _timestamp */

static void set_columns(VsRun *run, const Datum *values, const bool *nulls);
static void append_to_stream(VsRun *run, const char *op, const Datum *values, const bool *nulls);
static void emitted(VsRun *run, char op, TupleTableSlot *slot);

/* Delete a row that a scan has found, of the output or the state. */
static void
delete_scanned(VsTarget *target, void *arg)
{
	VsRun	   *run = arg;
	ItemPointerData tid = target->oldslot->tts_tid;
	MemoryContext old = MemoryContextSwitchTo(run->rowcxt);

	if (target == run->output)
		emitted(run, 'd', target->oldslot);
	vs_target_delete(target, &tid);
	MemoryContextSwitchTo(old);
	MemoryContextReset(run->rowcxt);
}

/*
 * Before a rebuild: what stands in the output is void.  A table is emptied; a
 * stream, which never takes back what it said, says so in a row of its own
 * (_op = reset), and what follows is the whole content again.
 */
void
vs_emit_reset(VsRun *run)
{
	if (run->state)
		vs_target_scan(run->state, delete_scanned, run);
	if (run->plan->entry.kind == VS_KIND_STREAM)
	{
		int			n = run->plan->ncolumns;
		Datum	   *values = palloc0(n * sizeof(Datum));
		bool	   *nulls = palloc(n * sizeof(bool));

		memset(nulls, true, n * sizeof(bool));
		append_to_stream(run, "reset", values, nulls);
		emitted(run, 'r', run->output->slot);
	}
	else
		vs_target_scan(run->output, delete_scanned, run);
}

/* A row that is new in the output. */
void
vs_emit_insert(VsRun *run, const Datum *values, const bool *nulls)
{
	if (run->plan->entry.kind == VS_KIND_STREAM)
		append_to_stream(run, "insert", values, nulls);
	else
	{
		set_columns(run, values, nulls);
		vs_target_insert(run->output);
	}
	emitted(run, 'i', run->output->slot);
}

/*
 * A row with new values.  For a table, tid is the row's place and
 * output->oldslot holds it; nothing is written if it already has these values.
 */
void
vs_emit_update(VsRun *run, ItemPointer tid, const Datum *values, const bool *nulls)
{
	if (run->plan->entry.kind == VS_KIND_STREAM)
		append_to_stream(run, "update", values, nulls);
	else
	{
		set_columns(run, values, nulls);
		if (vs_target_unchanged(run->output))
		{
			run->output->slot->tts_tid = *tid;
			return;
		}
		vs_target_update(run->output, tid);
	}
	emitted(run, 'u', run->output->slot);
}

/*
 * A row of a table with new values that are known to differ from its old ones,
 * where nothing else wants to know these.
 */
void
vs_emit_replace(VsRun *run, ItemPointer tid, const Datum *values, const bool *nulls)
{
	set_columns(run, values, nulls);
	vs_target_update(run->output, tid);
	emitted(run, 'u', run->output->slot);
}

/*
 * A row that is no more.  For a table, output->oldslot holds it; for a stream
 * values are its last ones.
 */
void
vs_emit_delete(VsRun *run, ItemPointer tid, const Datum *values, const bool *nulls)
{
	if (run->plan->entry.kind == VS_KIND_STREAM)
	{
		append_to_stream(run, "delete", values, nulls);
		emitted(run, 'd', run->output->slot);
		return;
	}
	emitted(run, 'd', run->output->oldslot);
	vs_target_delete(run->output, tid);
}

static void
set_columns(VsRun *run, const Datum *values, const bool *nulls)
{
	TupleTableSlot *slot = run->output->slot;
	int			n = run->plan->ncolumns;

	ExecClearTuple(slot);
	memcpy(slot->tts_values, values, n * sizeof(Datum));
	memcpy(slot->tts_isnull, nulls, n * sizeof(bool));
}

static void
append_to_stream(VsRun *run, const char *op, const Datum *values, const bool *nulls)
{
	TupleTableSlot *slot = run->output->slot;
	VsBatch    *batch = run->batch;
	int			n = run->plan->ncolumns;

	set_columns(run, values, nulls);
	slot->tts_values[n] = CStringGetTextDatum(op);
	slot->tts_values[n + 1] = Int64GetDatum(batch->row.changes + (int64) batch->changes + 1);
	slot->tts_values[n + 2] = TimestampTzGetDatum(GetCurrentTransactionStartTimestamp());
	memset(slot->tts_isnull + n, false, STREAM_COLUMNS * sizeof(bool));
	vs_target_insert(run->output);
}

static void
emitted(VsRun *run, char op, TupleTableSlot *slot)
{
	run->batch->changes++;
	if (run->batch->options->emit)
		run->batch->options->emit(op, slot, run->batch->options->emit_arg);
}
