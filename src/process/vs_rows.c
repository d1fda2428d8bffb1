/*-------------------------------------------------------------------------
 *
 * vs_rows.c
 *	  Filter and projection: a row of the source is a row of the output.
 *
 * The delta plan delivers output columns and, where rows may go away, their
 * weight.  With a key, an update arrives as -1 and +1 of the same key, in this
 * order, next to one another, and becomes an update of the output row, or
 * nothing if the columns that changed are not selected.  In a
 * bag all -1 come first; each takes one output row with the same bytes away.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "process/vs_batch_internal.h"
#include "utils/lsyscache.h"

static void apply_keyed(VsRun *run, TupleTableSlot *slot, int weight);
static bool same_key(VsRun *run, TupleTableSlot *a, TupleTableSlot *b);
static void flush_pending(VsRun *run);
static void delete_row(VsRun *run, TupleTableSlot *slot);
static void keep_or_insert(VsRun *run, TupleTableSlot *slot);
static bool look_up_output_row(VsRun *run, TupleTableSlot *slot);
static void find_output_row(VsRun *run, TupleTableSlot *slot);

void
vs_rows_begin(VsRun *run)
{
	run->hasher = vs_key_hasher(run->plan);
}

/* One row of the delta plan. */
void
vs_rows_merge(VsRun *run, TupleTableSlot *slot)
{
	int			weight = 1;

	slot_getallattrs(slot);
	if (run->batch->change)
		weight = DatumGetInt32(slot->tts_values[run->plan->ncolumns]);

	if (run->batch->change && run->plan->strategy == VS_STRATEGY_ROWS)
		apply_keyed(run, slot, weight);
	else if (weight > 0 && run->batch->kept)
		keep_or_insert(run, slot);
	else if (weight > 0)
		vs_emit_append(run, slot->tts_values, slot->tts_isnull);
	else
		delete_row(run, slot);
}

/* A row of a rebuild: it may be there still, with these values or others. */
static void
keep_or_insert(VsRun *run, TupleTableSlot *slot)
{
	if (look_up_output_row(run, slot))
	{
		ItemPointerData tid = run->output->oldslot->tts_tid;

		vs_emit_update(run, &tid, slot->tts_values, slot->tts_isnull, NULL, NULL);
	}
	else
		vs_emit_insert(run, slot->tts_values, slot->tts_isnull);
}

void
vs_rows_finish(VsRun *run)
{
	flush_pending(run);
	vs_top_finish(run);
	if (run->pending)
		ExecDropSingleTupleTableSlot(run->pending);
	run->pending = NULL;
}

/* Pair -1 and +1 of the same key. */
static void
apply_keyed(VsRun *run, TupleTableSlot *slot, int weight)
{
	if (run->pending == NULL)
	{
		MemoryContext old = MemoryContextSwitchTo(run->context);

		/* it outlives the executor that delivers the rows */
		run->pending = MakeSingleTupleTableSlot(CreateTupleDescCopy(slot->tts_tupleDescriptor),
												&TTSOpsMinimalTuple);
		MemoryContextSwitchTo(old);
	}

	if (weight < 0)
	{
		flush_pending(run);
		ExecCopySlot(run->pending, slot);
		run->has_pending = true;
		return;
	}
	if (run->has_pending && same_key(run, run->pending, slot))
	{
		run->has_pending = false;
		slot_getallattrs(run->pending);
		if (vs_same_row(slot->tts_tupleDescriptor, run->plan->ncolumns,
						run->pending->tts_values, run->pending->tts_isnull,
						slot->tts_values, slot->tts_isnull))
			return;				/* what changed is not selected */
		if (run->plan->changelog)
			vs_emit_update(run, NULL, slot->tts_values, slot->tts_isnull,
						   run->pending->tts_values, run->pending->tts_isnull);
		else
		{
			ItemPointerData tid;

			find_output_row(run, slot);
			tid = run->output->oldslot->tts_tid;
			vs_emit_update(run, &tid, slot->tts_values, slot->tts_isnull, NULL, NULL);
		}
		return;
	}
	flush_pending(run);
	vs_emit_insert(run, slot->tts_values, slot->tts_isnull);
}

static void
flush_pending(VsRun *run)
{
	if (!run->has_pending)
		return;
	run->has_pending = false;
	slot_getallattrs(run->pending);
	delete_row(run, run->pending);
}

static void
collect_key(VsRun *run, TupleTableSlot *slot, Datum *values, bool *nulls)
{
	for (int i = 0; i < run->plan->nkeys; i++)
		values[i] = slot_getattr(slot, run->plan->keys[i].output_attno, &nulls[i]);
}

static bool
same_key(VsRun *run, TupleTableSlot *a, TupleTableSlot *b)
{
	int			n = run->plan->nkeys;
	Datum	   *av = palloc(sizeof(Datum) * n);
	Datum	   *bv = palloc(sizeof(Datum) * n);
	bool	   *an = palloc(sizeof(bool) * n);
	bool	   *bn = palloc(sizeof(bool) * n);

	collect_key(run, a, av, an);
	collect_key(run, b, bv, bn);
	return vs_hasher_equal(run->hasher, av, an, bv, bn);
}

/* Put the output row of a delta row into output->oldslot; false if there is none. */
static bool
look_up_output_row(VsRun *run, TupleTableSlot *slot)
{
	VsPlan	   *plan = run->plan;
	uint64		hash;

	if (plan->strategy == VS_STRATEGY_ROWS)
	{
		Datum	   *values = palloc(sizeof(Datum) * plan->nkeys);
		bool	   *nulls = palloc(sizeof(bool) * plan->nkeys);

		collect_key(run, slot, values, nulls);
		hash = vs_hasher_hash(run->output->hasher, values, nulls);
		return vs_target_find(run->output, hash, values, nulls);
	}
	hash = vs_hasher_hash(run->output->hasher, slot->tts_values, slot->tts_isnull);
	return vs_target_find(run->output, hash, slot->tts_values, slot->tts_isnull);
}

/* The same, but an error if there is none. */
static void
find_output_row(VsRun *run, TupleTableSlot *slot)
{
	if (!look_up_output_row(run, slot))
		vs_report_missing_row(run);
}

void
vs_report_missing_row(VsRun *run)
{
	const char *name = get_rel_name(run->batch->outputid);

	ereport(ERROR,
			(errcode(ERRCODE_DATA_CORRUPTED),
			 errmsg("a row of continuous query \"%s\" is missing in its output", name),
			 errhint("Run velostream.rebuild('%s'), and check that nothing but velostream wrote to its tables.",
					 name)));
}

static void
delete_row(VsRun *run, TupleTableSlot *slot)
{
	ItemPointerData tid;

	if (run->plan->changelog)
	{
		vs_emit_delete(run, NULL, slot->tts_values, slot->tts_isnull);
		return;
	}
	find_output_row(run, slot);
	tid = run->output->oldslot->tts_tid;
	vs_emit_delete(run, &tid, NULL, NULL);
}
