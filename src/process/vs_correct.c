/*-------------------------------------------------------------------------
 *
 * vs_correct.c
 *	  Rows of windows that take no more rows, corrected by velostream.replay().
 *
 * The state of such a window is gone.  What it was is known all the same where
 * either
 *
 *	- the source is in the mode "changes", none of its rows went from a window
 *	  that was over, and every late row is a dead letter: then a window has what
 *	  the source has of it, less those letters.  All of them are tried again at
 *	  once, and none becomes a letter in the batch that does so.  The window is
 *	  computed from the source again; or
 *	- nothing ever goes (mode "append"), and its row in the output shows the
 *	  whole state.  The rows that came are added to it: of a pane, to all the
 *	  windows that it is in.  (A row that was late for some of them only is no
 *	  dead letter, and counts in the others.)
 *
 * Outputs of final rows have no index by which a row is found, and streams have
 * none at all.  So the groups to correct are put aside until the delta is
 * through; then the output is read, once, for what it has of them.
 *
 * Not for sessions, which late rows may join, and not for other windows made
 * of panes where they would have to be computed again.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "process/vs_groups_internal.h"
#include "utils/builtins.h"
#include "utils/memutils.h"
#include "utils/rel.h"
#include "vs_compat.h"

/* A group of a window that is over, to which rows came. */
typedef struct VsCorrection
{
	uint64		hash;			/* of its keys; must be first */
	struct VsCorrection *next;	/* of the same hash */
	MinimalTuple partial;		/* the row of the delta plan; of a window made
								 * of panes, keys and transition values */
	HeapTuple	shown;			/* its row in the output, or NULL */
	int64		offset;			/* of that in a stream */
	bool		removed;		/* a stream: which took it away */
	bool		met;			/* it has rows now */
} VsCorrection;

typedef struct VsCorrections
{
	HTAB	   *groups;			/* VsCorrectionList */
	MemoryContext context;
	bool		ready;			/* what the output has of them is known */
	TupleTableSlot *partial;	/* to merge a row of the delta plan */
	TupleTableSlot *other;		/* to compare one */
	TupleTableSlot *shown;		/* to read a row of the output */
	int64		reset;			/* offset of the last reset of a stream */
} VsCorrections;

typedef struct VsCorrectionList
{
	uint64		hash;
	VsCorrection *first;
} VsCorrectionList;

static void put_aside(VsRun *run, uint64 hash, const Datum *values, const bool *nulls);
static void put_windows_aside(VsRun *run, TupleTableSlot *slot);
static void new_group(VsRun *run, VsMergeGroup *group, const Datum *keys, const bool *nulls);
static void add_states(VsRun *run, VsMergeGroup *group, const Datum *values, const bool *nulls);
static MinimalTuple form_partial(VsRun *run, const Datum *values, const bool *nulls);
static void correct_window(VsRun *run, VsCorrection *correction);
static VsCorrection *find_correction(VsRun *run, uint64 hash, const Datum *keys,
									 const bool *nulls);
static void take_shown(VsTarget *target, void *arg);
static bool is_shown(VsRun *run, const VsCorrection *correction);
static void delete_shown(VsRun *run, VsCorrection *correction);

/*
 * Why can late rows not be counted into the windows of this query that are over?
 * NULL: they can.  letters: how many of them are dead letters.
 */
const char *
vs_correct_why_not(VsBatch *batch, int64 letters)
{
	VsPlan	   *plan = batch->plan;

	if (plan->top.active)
		return gettext_noop("With ORDER BY and LIMIT, those that come first in a window that is over cannot be corrected.");
	if (plan->window.kind == VS_WINDOW_SESSION)
		return gettext_noop("Sessions cannot be corrected once they are over.");
	if (plan->entry.time.late == VS_LATE_DROP || plan->entry.time.late == VS_LATE_NEXT)
		return gettext_noop("Where late rows are dropped, or counted in the next window, it is not known which rows have been counted in which window.");
	if (plan->entry.mode == VS_SOURCE_APPEND)
		return plan->state_in_row ? NULL :
			gettext_noop("The rows of closed windows do not show enough to add to them, and a source that is read in the mode \"append\" may not have all rows any more.");
	if (plan->panes)
		return gettext_noop("Windows that overlap can be corrected only where nothing ever goes, which is so in the mode \"append\".");
	if (batch->row.ignored > 0)
		return gettext_noop("Rows of closed windows have been updated or deleted, so that the source does not tell which rows have been counted.");
	if (batch->row.late != letters)
		return gettext_noop("Some late rows are not in velostream.dead_letters any more, so that it is not known which rows have been counted.");
	return NULL;
}

/* Begin to collect what is to be corrected. */
void
vs_correct_begin(VsRun *run)
{
	VsCorrections *corrections = palloc0(sizeof(VsCorrections));
	HASHCTL		ctl = {
		.keysize = sizeof(uint64),
		.entrysize = sizeof(VsCorrectionList),
		.hcxt = run->context
	};

	corrections->context = run->context;
	corrections->groups = hash_create("velostream corrections", 64, &ctl,
									  HASH_ELEM | HASH_BLOBS | HASH_CONTEXT);
	run->corrections = corrections;
}

/* Is this row of the delta plan of a window that is over?  Then it is put aside. */
bool
vs_correct_later(VsRun *run, TupleTableSlot *slot)
{
	VsCorrections *corrections = run->corrections;
	bool		panes = run->plan->panes;

	if (corrections->ready || !vs_window_is_over(run, slot->tts_values))
		return false;
	if (corrections->partial == NULL)
	{
		MemoryContext old = MemoryContextSwitchTo(corrections->context);
		TupleDesc	desc = CreateTupleDescCopy(panes ? run->plan->groupdesc :
											   slot->tts_tupleDescriptor);

		corrections->partial = MakeSingleTupleTableSlot(desc, &TTSOpsMinimalTuple);
		corrections->other = MakeSingleTupleTableSlot(desc, &TTSOpsMinimalTuple);
		MemoryContextSwitchTo(old);
	}
	if (panes)
		put_windows_aside(run, slot);
	else
		put_aside(run, vs_hasher_hash(run->hasher, slot->tts_values, slot->tts_isnull),
				  slot->tts_values, slot->tts_isnull);
	return true;
}

/* A group that is not there yet; values and nulls as corrections->partial has them. */
static void
put_aside(VsRun *run, uint64 hash, const Datum *values, const bool *nulls)
{
	VsCorrections *corrections = run->corrections;
	MemoryContext old = MemoryContextSwitchTo(corrections->context);
	VsCorrection *correction = palloc0(sizeof(VsCorrection));
	VsCorrectionList *list;
	bool		found;

	correction->hash = hash;
	correction->partial = form_partial(run, values, nulls);
	list = hash_search(corrections->groups, &hash, HASH_ENTER, &found);
	correction->next = found ? list->first : NULL;
	list->first = correction;
	MemoryContextSwitchTo(old);
}

/* A pane came: what it has is added to all windows that it is in. */
static void
put_windows_aside(VsRun *run, TupleTableSlot *slot)
{
	VsPlan	   *plan = run->plan;
	const VsWindow *window = &plan->window;
	TupleTableSlot *other = run->corrections->other;
	VsMergeGroup pane = {0};
	VsMergeGroup group = {0};
	TimestampTz time;
	TimestampTz start;
	TimestampTz end;

	pane.values = palloc0(plan->groupdesc->natts * sizeof(Datum));
	pane.nulls = palloc0(plan->groupdesc->natts * sizeof(bool));
	memcpy(pane.values, slot->tts_values, plan->nkeys * sizeof(Datum));
	memcpy(pane.nulls, slot->tts_isnull, plan->nkeys * sizeof(bool));
	vs_group_add(run, &pane, slot->tts_values + plan->nkeys, slot->tts_isnull + plan->nkeys);
	if (!vs_event_time(window->type, slot->tts_values[window->key], &time))
		elog(ERROR, "pane without a time");
	vs_window_first(window, time, &start, &end);
	for (; start <= time; vs_window_next(window, &start, &end))
	{
		uint64		hash;
		VsCorrection *correction;

		pane.values[window->key] = vs_window_key(window, start, end);
		hash = vs_hasher_hash(run->hasher, pane.values, pane.nulls);
		correction = find_correction(run, hash, pane.values, pane.nulls);
		if (correction == NULL)
		{
			put_aside(run, hash, pane.values, pane.nulls);
			continue;
		}
		new_group(run, &group, other->tts_values, other->tts_isnull);
		add_states(run, &group, pane.values, pane.nulls);
		pfree(correction->partial);
		correction->partial = form_partial(run, group.values, group.nulls);
		vs_agg_reset(run->aggs);
	}
}

/* A group with these keys and transition values. */
static void
new_group(VsRun *run, VsMergeGroup *group, const Datum *values, const bool *nulls)
{
	int			natts = run->plan->groupdesc->natts;

	group->values = palloc(natts * sizeof(Datum));
	group->nulls = palloc(natts * sizeof(bool));
	memcpy(group->values, values, natts * sizeof(Datum));
	memcpy(group->nulls, nulls, natts * sizeof(bool));
}

/* Add the transition values behind these keys to those of a group. */
static void
add_states(VsRun *run, VsMergeGroup *group, const Datum *values, const bool *nulls)
{
	VsPlan	   *plan = run->plan;

	for (int i = plan->nkeys; i < plan->groupdesc->natts; i++)
		group->values[i] = vs_agg_combine(run->aggs, plan->aggs[i - plan->nkeys],
										  group->values[i], group->nulls[i],
										  values[i], nulls[i], &group->nulls[i]);
}

static MinimalTuple
form_partial(VsRun *run, const Datum *values, const bool *nulls)
{
	VsCorrections *corrections = run->corrections;
	MemoryContext old = MemoryContextSwitchTo(corrections->context);
	MinimalTuple result = vs_form_minimal_tuple(corrections->partial->tts_tupleDescriptor,
												(Datum *) values, (bool *) nulls);

	MemoryContextSwitchTo(old);
	return result;
}

/*
 * The delta is through: merge what was put aside.  Where the source tells what
 * the groups are, they are then put aside once more, to be computed again.
 */
void
vs_correct_merge(VsRun *run)
{
	VsCorrections *corrections = run->corrections;
	HASH_SEQ_STATUS status;
	VsCorrectionList *list;

	if (corrections->partial != NULL)
	{
		corrections->shown = MakeSingleTupleTableSlot(run->output->desc, &TTSOpsHeapTuple);
		vs_target_scan(run->output, take_shown, run);
	}
	corrections->ready = true;
	hash_seq_init(&status, corrections->groups);
	while ((list = hash_seq_search(&status)) != NULL)
		for (VsCorrection *c = list->first; c != NULL; c = c->next)
		{
			MemoryContext old = MemoryContextSwitchTo(run->rowcxt);

			ExecStoreMinimalTuple(c->partial, corrections->partial, false);
			if (run->plan->panes)
				correct_window(run, c);
			else
				vs_groups_merge(run, corrections->partial);
			MemoryContextSwitchTo(old);
			MemoryContextReset(run->rowcxt);
			vs_agg_reset(run->aggs);
		}
}

/* Add what corrections->partial has to a window made of panes. */
static void
correct_window(VsRun *run, VsCorrection *correction)
{
	TupleTableSlot *partial = run->corrections->partial;
	VsMergeGroup group = {.correction = correction};

	slot_getallattrs(partial);
	new_group(run, &group, partial->tts_values, partial->tts_isnull);
	if (is_shown(run, correction))
	{
		vs_group_read_output(run, &group, run->corrections->shown);
		add_states(run, &group, partial->tts_values, partial->tts_isnull);
	}
	vs_correct_write(run, &group);
}

/* The one with these keys, or NULL. */
static VsCorrection *
find_correction(VsRun *run, uint64 hash, const Datum *keys, const bool *nulls)
{
	VsCorrections *corrections = run->corrections;
	VsCorrectionList *list = hash_search(corrections->groups, &hash, HASH_FIND, NULL);

	for (VsCorrection *c = list ? list->first : NULL; c != NULL; c = c->next)
	{
		ExecStoreMinimalTuple(c->partial, corrections->other, false);
		slot_getallattrs(corrections->other);
		if (vs_hasher_equal(run->hasher, corrections->other->tts_values,
							corrections->other->tts_isnull, keys, nulls))
			return c;
	}
	return NULL;
}

/* VsRowCallback: keep a row of the output, if it is of a group that is corrected. */
static void
take_shown(VsTarget *target, void *arg)
{
	VsRun	   *run = arg;
	VsPlan	   *plan = run->plan;
	VsCorrections *corrections = run->corrections;
	MemoryContext old = MemoryContextSwitchTo(run->rowcxt);
	Datum	   *keys = palloc(sizeof(Datum) * plan->nkeys);
	bool	   *nulls = palloc(sizeof(bool) * plan->nkeys);
	int64		offset = 0;
	bool		removed = false;
	VsCorrection *correction;

	if (plan->entry.kind == VS_KIND_STREAM)
	{
		bool		null;
		char	   *op = TextDatumGetCString(slot_getattr(target->oldslot, plan->ncolumns + 1,
														  &null));

		offset = DatumGetInt64(slot_getattr(target->oldslot, plan->ncolumns + 2, &null));
		removed = strcmp(op, "delete") == 0;
		if (strcmp(op, "reset") == 0)
			corrections->reset = Max(corrections->reset, offset);
	}
	for (int i = 0; i < plan->nkeys; i++)
		keys[i] = slot_getattr(target->oldslot, plan->keys[i].output_attno, &nulls[i]);
	correction = find_correction(run, vs_hasher_hash(run->hasher, keys, nulls), keys, nulls);
	MemoryContextSwitchTo(corrections->context);
	if (correction != NULL && (correction->shown == NULL || correction->offset < offset))
	{
		if (correction->shown != NULL)
			heap_freetuple(correction->shown);
		correction->shown = ExecCopySlotHeapTuple(target->oldslot);
		correction->offset = offset;
		correction->removed = removed;
	}
	MemoryContextSwitchTo(old);
	MemoryContextReset(run->rowcxt);
}

/* Has the output a row of this group, as things are?  It is in corrections->shown then. */
static bool
is_shown(VsRun *run, const VsCorrection *correction)
{
	VsCorrections *corrections = run->corrections;

	if (correction->shown == NULL || correction->removed ||
		correction->offset < corrections->reset)
		return false;
	ExecStoreHeapTuple(correction->shown, corrections->shown, false);
	slot_getallattrs(corrections->shown);
	return true;
}

/*
 * Is the group with these keys one that is corrected?  "found" is set, and its
 * values, where its row in the output is what it was.
 */
bool
vs_correct_load(VsRun *run, VsMergeGroup *group, const Datum *keys, const bool *nulls)
{
	if (!run->corrections->ready || !vs_window_is_over(run, keys))
		return false;
	group->correction = find_correction(run, group->hash, keys, nulls);
	if (group->correction == NULL)
		elog(ERROR, "group of a window that is over was not put aside");
	if (run->plan->entry.mode == VS_SOURCE_APPEND && is_shown(run, group->correction))
	{
		vs_group_read_output(run, group, run->corrections->shown);
		group->found = true;
	}
	return true;
}

/* Bring the output in line with a group that is corrected.  No state of it is kept. */
void
vs_correct_write(VsRun *run, VsMergeGroup *group)
{
	bool		had = is_shown(run, group->correction);
	bool		stream = run->plan->entry.kind == VS_KIND_STREAM;
	TupleTableSlot *shown = run->corrections->shown;
	ItemPointerData tid;
	Datum	   *row;
	bool	   *row_nulls;

	group->correction->met = true;
	if (!vs_group_output_row(run, group->values, group->nulls, &row, &row_nulls))
	{
		if (had)
			delete_shown(run, group->correction);
	}
	else if (!had)
		vs_emit_insert(run, row, row_nulls);
	else if (stream)
	{
		if (!vs_same_row(run->output->desc, run->plan->ncolumns, row, row_nulls,
						 shown->tts_values, shown->tts_isnull))
			vs_emit_update(run, NULL, row, row_nulls, shown->tts_values, shown->tts_isnull);
	}
	else
	{
		tid = shown->tts_tid;
		if (!vs_target_fetch(run->output, &tid))
			elog(ERROR, "a row of the output is missing");
		vs_emit_update(run, &tid, row, row_nulls, NULL, NULL);
	}
}

static void
delete_shown(VsRun *run, VsCorrection *correction)
{
	TupleTableSlot *shown = run->corrections->shown;
	ItemPointerData tid = correction->shown->t_self;

	if (run->plan->entry.kind == VS_KIND_STREAM)
		vs_emit_delete(run, NULL, shown->tts_values, shown->tts_isnull);
	else
	{
		if (!vs_target_fetch(run->output, &tid))
			elog(ERROR, "a row of the output is missing");
		vs_emit_delete(run, &tid, NULL, NULL);
	}
}

/* What was computed again is written: groups of which the source has no row go. */
void
vs_correct_finish(VsRun *run)
{
	VsCorrections *corrections = run->corrections;
	HASH_SEQ_STATUS status;
	VsCorrectionList *list;

	hash_seq_init(&status, corrections->groups);
	while ((list = hash_seq_search(&status)) != NULL)
		for (VsCorrection *c = list->first; c != NULL; c = c->next)
			if (!c->met && is_shown(run, c))
				delete_shown(run, c);
	if (corrections->partial != NULL)
	{
		ExecDropSingleTupleTableSlot(corrections->partial);
		ExecDropSingleTupleTableSlot(corrections->other);
		ExecDropSingleTupleTableSlot(corrections->shown);
	}
}
