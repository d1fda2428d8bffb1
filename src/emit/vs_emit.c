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
#include "storage/bufmgr.h"
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

/* A bit for each line pointer that a page can have. */
#define KEPT_BYTES		((MaxHeapTuplesPerPage + 7) / 8)

/* The bit of a row, and the byte it is in; NULL for pages that are new. */
static uint8 *
kept_byte(VsBatch *batch, ItemPointer tid, uint8 *bit)
{
	int			n = ItemPointerGetOffsetNumber(tid) - 1;

	if (ItemPointerGetBlockNumber(tid) >= batch->kept_blocks)
		return NULL;
	*bit = 1 << (n % 8);
	return batch->kept + (Size) ItemPointerGetBlockNumber(tid) * KEPT_BYTES + n / 8;
}

/* In a rebuild: this row of the output is right. */
static void
keep_row(VsRun *run, ItemPointer tid)
{
	uint8		bit;
	uint8	   *byte = run->batch->kept ? kept_byte(run->batch, tid, &bit) : NULL;

	if (byte)
		*byte |= bit;
}

bool
vs_emit_is_void(VsBatch *batch, ItemPointer tid)
{
	uint8		bit;
	uint8	   *byte = kept_byte(batch, tid, &bit);

	return byte && !(*byte & bit);
}

/* Delete a row of the output, unless it was kept or is new. */
static void
sweep_row(VsTarget *target, void *arg)
{
	VsRun	   *run = arg;

	if (vs_emit_is_void(run->batch, &target->oldslot->tts_tid))
		delete_scanned(target, arg);
}

void
vs_emit_sweep(VsRun *run)
{
	vs_target_scan(run->output, sweep_row, run);
}

/*
 * Can a rebuild of this table find the rows that are there?  (Isolating
 * failing rows takes back what it did, but not the bits.)
 */
static bool
can_keep(VsPlan *plan)
{
	return plan->entry.on_error != VS_ON_ERROR_DEAD_LETTER && !plan->final &&
		!plan->top.active &&
		(plan->strategy == VS_STRATEGY_GROUPS ||
		 (plan->strategy == VS_STRATEGY_ROWS && plan->entry.mode == VS_SOURCE_CHANGES));
}

/*
 * Before a rebuild: what stands in the output is void.  Of a table whose rows
 * have a key, only what turns out to be wrong is changed, so that those who
 * refer to the others, and columns added to them, are left alone.  A bag is
 * emptied.  A stream, which never takes back what it said, says so in a row of
 * its own (_op = reset), and what follows is the whole content again.
 */
void
vs_emit_reset(VsRun *run)
{
	if (run->state)
		vs_target_scan(run->state, delete_scanned, run);
	if (run->plan->entry.kind == VS_KIND_TABLE && can_keep(run->plan))
	{
		VsBatch    *batch = run->batch;

		batch->kept_blocks = RelationGetNumberOfBlocks(run->output->rel);
		batch->kept = MemoryContextAllocExtended(batch->context,
												 Max(batch->kept_blocks, 1) * (Size) KEPT_BYTES,
												 MCXT_ALLOC_HUGE | MCXT_ALLOC_ZERO);
	}
	else if (run->plan->entry.kind == VS_KIND_STREAM)
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

/* ----------
 * What a query emits: written as it is, or first chosen from by ORDER BY and LIMIT
 * ----------
 */

void
vs_emit_append(VsRun *run, const Datum *values, const bool *nulls)
{
	if (run->plan->top.active)
		vs_top_take(run, 1, values, nulls);
	else
		vs_output_append(run, values, nulls);
}

void
vs_emit_insert(VsRun *run, const Datum *values, const bool *nulls)
{
	if (run->plan->top.active)
		vs_top_take(run, 1, values, nulls);
	else
		vs_output_insert(run, values, nulls);
}

void
vs_emit_update(VsRun *run, ItemPointer tid, const Datum *values, const bool *nulls,
			   const Datum *old_values, const bool *old_nulls)
{
	if (run->plan->top.active)
	{
		vs_top_take(run, -1, old_values, old_nulls);
		vs_top_take(run, 1, values, nulls);
	}
	else
		vs_output_update(run, tid, values, nulls);
}

void
vs_emit_delete(VsRun *run, ItemPointer tid, const Datum *values, const bool *nulls)
{
	if (run->plan->top.active)
		vs_top_take(run, -1, values, nulls);
	else
		vs_output_delete(run, tid, values, nulls);
}

/* ----------
 * Writing
 * ----------
 */

/* A row that is new in the output, and whose place there nobody asks for. */
void
vs_output_append(VsRun *run, const Datum *values, const bool *nulls)
{
	if (run->plan->entry.kind == VS_KIND_STREAM || run->batch->kept)
	{
		vs_output_insert(run, values, nulls);
		return;
	}
	set_columns(run, values, nulls);
	vs_target_append(run->output);
	emitted(run, 'i', run->output->slot);
}

/* A row that is new in the output. */
void
vs_output_insert(VsRun *run, const Datum *values, const bool *nulls)
{
	if (run->plan->entry.kind == VS_KIND_STREAM)
		append_to_stream(run, "insert", values, nulls);
	else
	{
		set_columns(run, values, nulls);
		vs_target_insert(run->output);
		keep_row(run, &run->output->slot->tts_tid);
	}
	emitted(run, 'i', run->output->slot);
}

/*
 * A row with new values.  For a table, tid is the row's place and
 * output->oldslot holds it; nothing is written if it already has these values.
 */
void
vs_output_update(VsRun *run, ItemPointer tid, const Datum *values, const bool *nulls)
{
	if (run->plan->entry.kind == VS_KIND_STREAM)
		append_to_stream(run, "update", values, nulls);
	else
	{
		set_columns(run, values, nulls);
		if (vs_target_unchanged(run->output))
		{
			run->output->slot->tts_tid = *tid;
			keep_row(run, tid);
			return;
		}
		vs_target_update(run->output, tid);
		keep_row(run, &run->output->slot->tts_tid);
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
	keep_row(run, &run->output->slot->tts_tid);
	emitted(run, 'u', run->output->slot);
}

/*
 * A row that is no more.  For a table, output->oldslot holds it; for a stream
 * values are its last ones.
 */
void
vs_output_delete(VsRun *run, ItemPointer tid, const Datum *values, const bool *nulls)
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
	vs_target_append(run->output);
}

static void
emitted(VsRun *run, char op, TupleTableSlot *slot)
{
	vs_yield();
	run->batch->changes++;
	if (run->batch->options->emit)
		run->batch->options->emit(op, slot, run->batch->options->emit_arg);
}
