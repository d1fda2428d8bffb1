/*-------------------------------------------------------------------------
 *
 * vs_panes.c
 *	  Windows that are put together from panes: hop, cumulate, session.
 *
 * The groups of such a query are panes (plan/vs_window.c); its output has a
 * row for each window.  The panes that a run changes are noted with the values
 * they had before.  When the delta is merged, each of them is met again, key by
 * key and in the order of time, and the windows around it are put together
 * twice: from the panes as they were and as they are now.  What differs is
 * emitted.  For every key the panes stream by once, from the state table and
 * from the notes, so memory does not grow with the number of either.
 *
 * A window that slides keeps its panes in two stacks, one of which has the
 * combination of all panes above each, the other that of all its panes:
 * whatever the length of a window, a pane is combined about three times.  (No
 * inverse is needed, and the order of the panes is kept.)
 *
 * A session is a chain of panes, each beginning within the gap after the last
 * row of the one before.  Around a pane that changed, the chain is followed
 * back in the state table as far as it goes, before or now.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "access/xact.h"
#include "catalog/pg_operator.h"
#include "catalog/pg_type.h"
#include "executor/executor.h"
#include "miscadmin.h"
#include "parser/parse_oper.h"
#include "process/vs_groups_internal.h"
#include "utils/datum.h"
#include "utils/memutils.h"
#include "utils/rel.h"
#include "utils/tuplesort.h"
#include "vs_compat.h"

/* The transition values of a pane or window; each one allocated by itself. */
typedef struct States
{
	Datum	   *values;			/* NULL: there are no rows */
	bool	   *nulls;
} States;

#define BEFORE	0
#define NOW		1

typedef struct Pane
{
	TimestampTz start;
	bool		touched;
	States		states[2];		/* before, and now */
} Pane;

/* A pane in a stack. */
typedef struct Piece
{
	TimestampTz start;
	States		own;
	States		above;			/* in "front": all from this one on */
} Piece;

/* The panes of a window that slides: the oldest on top of front, the newest of back. */
typedef struct Slider
{
	int			nfront;
	int			nback;
	int			size[2];
	Piece	   *front;
	Piece	   *back;
	States		sum;			/* of back */
} Slider;

/* A session that is being put together. */
typedef struct Chain
{
	bool		open;
	TimestampTz first;
	TimestampTz last;
	States		states;
} Chain;

/* A session that is complete. */
typedef struct Session
{
	TimestampTz first;
	TimestampTz last;
	States		states;
} Session;

/* Which windows count. */
typedef struct Interest
{
	bool		closing;		/* those that end after "from" up to "to", to
								 * be emitted for the first time; else those
								 * that are different and end after "from" up
								 * to "to" */
	bool		emit;
	bool		expire;			/* sessions: their panes are forgotten */
	TimestampTz from;
	TimestampTz to;
} Interest;

typedef struct VsPanes
{
	MemoryContext whole;		/* of all this */
	MemoryContext context;		/* of one key */
	Tuplesortstate *touched;	/* (hash of other keys, keys, known, values
								 * before) */
	TupleDesc	desc;
	TupleTableSlot *slot;		/* the note at which we are */
	bool		more;			/* there is one */
	bool		noted;			/* there are notes that were not read */
	TupleTableSlot *noteslot;	/* to write one */
	Interest	interest;

	/* the key at hand */
	uint64		hash;
	Datum	   *keys;
	bool	   *nulls;
	TimestampTz reached;		/* sessions: panes before are done with */
	VsRangeScan *scan;			/* of its panes, from some time on */
	bool		have_state;		/* state->oldslot has the next one */
	Datum	   *row;			/* work space: a row of the state table */
	bool	   *row_nulls;
} VsPanes;

static void end_panes(VsRun *run);
static void begin_notes(VsRun *run);
static void note_pane(VsRun *run, const Datum *keys, const bool *nulls, bool known,
					  const Datum *values, const bool *values_null);
static void read_notes(VsRun *run);
static void next_note(VsPanes *panes);
static void take_key(VsRun *run);
static bool same_key(VsRun *run, TupleTableSlot *slot, int first);
static TimestampTz note_start(VsRun *run);
static void open_panes(VsRun *run, TimestampTz from);
static void close_panes(VsRun *run);
static void next_state(VsRun *run);
static TimestampTz peek_pane(VsRun *run);
static void take_pane(VsRun *run, Pane *pane);
static void slide(VsRun *run);
static void slide_region(VsRun *run, Slider *sliders);
static void push(VsRun *run, Slider *slider, TimestampTz start, States *states);
static void evict(VsRun *run, Slider *slider, TimestampTz before);
static States total(VsRun *run, Slider *slider);
static void clear_slider(VsRun *run, Slider *slider);
static void sessions(VsRun *run);
static TimestampTz chain_start(VsRun *run);
static void session_region(VsRun *run, TimestampTz from);
static void peek_times(VsRun *run, TimestampTz *first);
static bool linked(VsRun *run, TimestampTz last, TimestampTz first);
static void lengthen(VsRun *run, Chain *chain, States *states, List **finished);
static void end_chain(Chain *chain, List **finished);
static bool concerns(VsRun *run, const Session *session);
static void emit_sessions(VsRun *run, List *before, List *now);
static void forget_session(VsRun *run, const Session *session);
static void emit_window(VsRun *run, Datum window, const States *before, const States *now);
static bool window_row(VsRun *run, Datum window, const States *states, Datum **row, bool **nulls);
static void drop_standing(VsRun *run, Datum window);
static bool find_window_row(VsRun *run, Datum window);
static States copy_states(VsRun *run, const Datum *values, const bool *nulls);
static States combine(VsRun *run, const States *a, const States *b);
static void free_states(VsRun *run, States *states);
static TimestampTz state_time(VsRun *run, const States *states, int agg);
static void note_panes(VsRun *run, const Datum *low, const Datum *high, TimestampTz from,
					   TimestampTz to);
static void close_panes_between(VsRun *run, TimestampTz from, TimestampTz to);
static void forget_panes(VsRun *run, TimestampTz from, TimestampTz to);

/* ----------
 * Notes: what was touched
 * ----------
 */

void
vs_panes_begin(VsRun *run)
{
	VsPlan	   *plan = run->plan;
	MemoryContext whole = AllocSetContextCreate(run->context, "velostream panes",
												ALLOCSET_DEFAULT_SIZES);
	MemoryContext old = MemoryContextSwitchTo(whole);
	VsPanes    *panes = palloc0(sizeof(VsPanes));

	run->panes = panes;
	panes->whole = whole;
	panes->context = AllocSetContextCreate(whole, "velostream panes of a key",
										   ALLOCSET_DEFAULT_SIZES);
	panes->keys = palloc0(sizeof(Datum) * plan->nkeys);
	panes->nulls = palloc0(sizeof(bool) * plan->nkeys);
	panes->row = palloc(sizeof(Datum) * plan->groupdesc->natts);
	panes->row_nulls = palloc(sizeof(bool) * plan->groupdesc->natts);
	begin_notes(run);
	MemoryContextSwitchTo(old);
}

static void
end_panes(VsRun *run)
{
	VsPanes    *panes = run->panes;

	tuplesort_end(panes->touched);
	ExecDropSingleTupleTableSlot(panes->slot);
	ExecDropSingleTupleTableSlot(panes->noteslot);
	MemoryContextDelete(panes->whole);
	run->panes = NULL;
}

/* Notes are sorted by the hash of the keys, the keys where they can be, and time. */
static void
begin_notes(VsRun *run)
{
	VsPlan	   *plan = run->plan;
	VsPanes    *panes = run->panes;
	int			natts = 1 + plan->nkeys + 1 + plan->naggs;
	AttrNumber *attnos = palloc(sizeof(AttrNumber) * natts);
	Oid		   *operators = palloc(sizeof(Oid) * natts);
	Oid		   *collations = palloc(sizeof(Oid) * natts);
	bool	   *nulls_first = palloc0(sizeof(bool) * natts);
	int			n = 0;

	panes->desc = CreateTemplateTupleDesc(natts);
	TupleDescInitEntry(panes->desc, 1, "hash", INT8OID, -1, 0);
	for (int i = 0; i < plan->groupdesc->natts; i++)
		TupleDescCopyEntry(panes->desc, i < plan->nkeys ? i + 2 : i + 3, plan->groupdesc, i + 1);
	TupleDescInitEntry(panes->desc, plan->nkeys + 2, "known", BOOLOID, -1, 0);

	/* the window comes last */
	for (int i = 0; i <= plan->nkeys + 1; i++)
	{
		int			att = i == 0 ? 1 : i == plan->nkeys + 1 ? plan->window.key + 2 : i + 1;
		Form_pg_attribute attr = TupleDescAttr(panes->desc, att - 1);
		Oid			operator;

		if (i > 0 && i <= plan->nkeys && i - 1 == plan->window.key)
			continue;
		get_sort_group_operators(attr->atttypid, false, false, false, &operator, NULL, NULL, NULL);
		if (!OidIsValid(operator))
			continue;			/* its hash will do */
		attnos[n] = att;
		operators[n] = operator;
		collations[n++] = attr->attcollation;
	}
	panes->touched = tuplesort_begin_heap(panes->desc, n, attnos, operators, collations,
										  nulls_first, work_mem, NULL, TUPLESORT_NONE);
	panes->slot = MakeSingleTupleTableSlot(panes->desc, &TTSOpsMinimalTuple);
	panes->noteslot = MakeSingleTupleTableSlot(panes->desc, &TTSOpsVirtual);
}

/* A pane has changed: its values now are in group, those before in old_values. */
void
vs_panes_touch(VsRun *run, VsMergeGroup *group)
{
	VsPlan	   *plan = run->plan;

	/* nothing is emitted of windows that are open */
	if (plan->final && !plan->corrects)
		return;
	note_pane(run, group->values, group->nulls, group->found,
			  group->found ? group->old_values + plan->nkeys : NULL,
			  group->found ? group->old_nulls + plan->nkeys : NULL);
}

/*
 * Note a pane.  "known": it was there before, with these values; else they are
 * not looked at.
 */
static void
note_pane(VsRun *run, const Datum *keys, const bool *nulls, bool known,
		  const Datum *values, const bool *values_null)
{
	VsPlan	   *plan = run->plan;
	TupleTableSlot *slot = run->panes->noteslot;
	int			n = plan->nkeys;

	ExecClearTuple(slot);
	slot->tts_values[0] = Int64GetDatum((int64) vs_target_hash_others(run->state, keys, nulls));
	memcpy(slot->tts_values + 1, keys, sizeof(Datum) * n);
	memset(slot->tts_isnull, false, sizeof(bool) * slot->tts_tupleDescriptor->natts);
	memcpy(slot->tts_isnull + 1, nulls, sizeof(bool) * n);
	slot->tts_values[n + 1] = BoolGetDatum(known);
	if (known)
	{
		memcpy(slot->tts_values + n + 2, values, sizeof(Datum) * plan->naggs);
		memcpy(slot->tts_isnull + n + 2, values_null, sizeof(bool) * plan->naggs);
	}
	else
		memset(slot->tts_isnull + n + 2, true, sizeof(bool) * plan->naggs);
	ExecStoreVirtualTuple(slot);
	tuplesort_puttupleslot(run->panes->touched, slot);
	run->panes->noted = true;
}

/* All windows around what was touched: emit what differs. */
void
vs_panes_finish(VsRun *run)
{
	vs_panes_turn(run);
	end_panes(run);
}

/* The same in a run that goes on. */
void
vs_panes_turn(VsRun *run)
{
	VsPlan	   *plan = run->plan;
	VsPanes    *panes = run->panes;
	VsClock    *clock = &run->batch->clock;
	Interest   *interest = &panes->interest;

	interest->closing = interest->expire = false;
	interest->emit = true;
	/* a session may have lost its last rows, and end where none can any more */
	interest->from = clock->closed == VS_NO_TIME || clock->allowed == PG_INT64_MAX ||
		plan->window.kind == VS_WINDOW_SESSION ?
		PG_INT64_MIN : vs_time_plus(clock->closed, -clock->allowed);
	interest->to = plan->final ? clock->closed : PG_INT64_MAX;
	read_notes(run);
}

/* Go through the notes, and forget them. */
static void
read_notes(VsRun *run)
{
	VsPanes    *panes = run->panes;
	MemoryContext old;

	if (!panes->noted)
		return;
	CommandCounterIncrement();
	old = MemoryContextSwitchTo(panes->context);
	tuplesort_performsort(panes->touched);
	next_note(panes);
	while (panes->more)
	{
		take_key(run);
		if (run->plan->window.kind == VS_WINDOW_SESSION)
			sessions(run);
		else
			slide(run);
		MemoryContextReset(panes->context);
	}
	MemoryContextSwitchTo(old);
	ExecClearTuple(panes->slot);
	tuplesort_reset(panes->touched);
	panes->noted = false;
}

static void
next_note(VsPanes *panes)
{
	panes->more = tuplesort_gettupleslot(panes->touched, true, false, panes->slot, NULL);
	if (panes->more)
		slot_getallattrs(panes->slot);
}

/* Make the key of the note at which we are the key at hand. */
static void
take_key(VsRun *run)
{
	VsPlan	   *plan = run->plan;
	VsPanes    *panes = run->panes;

	panes->hash = (uint64) DatumGetInt64(panes->slot->tts_values[0]);
	for (int i = 0; i < plan->nkeys; i++)
	{
		panes->nulls[i] = panes->slot->tts_isnull[i + 1];
		panes->keys[i] = panes->nulls[i] ? (Datum) 0 :
			datumCopy(panes->slot->tts_values[i + 1], plan->keys[i].typbyval, plan->keys[i].typlen);
	}
	panes->reached = PG_INT64_MIN;
}

/* Do columns of a slot, from "first" on, have the keys at hand, whatever the window? */
static bool
same_key(VsRun *run, TupleTableSlot *slot, int first)
{
	VsPlan	   *plan = run->plan;
	VsPanes    *panes = run->panes;
	int			window = plan->window.key;

	/* the window compares equal with itself */
	for (int i = 0; i < plan->nkeys; i++)
		panes->row[i] = slot_getattr(slot, first + i, &panes->row_nulls[i]);
	panes->row[window] = panes->keys[window];
	panes->row_nulls[window] = panes->nulls[window];
	return vs_hasher_equal(run->hasher, panes->row, panes->row_nulls, panes->keys, panes->nulls);
}

/* When the pane of the note at which we are starts; PG_INT64_MAX: there is none of this key. */
static TimestampTz
note_start(VsRun *run)
{
	VsPanes    *panes = run->panes;
	TimestampTz time;

	if (!panes->more || (uint64) DatumGetInt64(panes->slot->tts_values[0]) != panes->hash ||
		!same_key(run, panes->slot, 2))
		return PG_INT64_MAX;
	(void) vs_event_time(run->plan->window.type,
						 panes->slot->tts_values[1 + run->plan->window.key], &time);
	return time;
}

/* ----------
 * The panes of the key at hand, in the order of time
 * ----------
 */

static void
open_panes(VsRun *run, TimestampTz from)
{
	Datum		low = vs_event_datum(run->plan->window.type, from);

	run->panes->scan = vs_range_begin(run->state, true, run->panes->hash, &low, NULL,
									  ForwardScanDirection);
	next_state(run);
}

static void
close_panes(VsRun *run)
{
	vs_range_end(run->panes->scan);
}

/* Go to the next row of the state table that has the key at hand. */
static void
next_state(VsRun *run)
{
	VsPanes    *panes = run->panes;

	do
		panes->have_state = vs_range_next(panes->scan);
	while (panes->have_state && !same_key(run, run->state->oldslot, 1));
}

static TimestampTz
state_start(VsRun *run)
{
	return run->panes->have_state ? vs_kept_time(run, run->plan->window.key) : PG_INT64_MAX;
}

/* When the next pane starts; PG_INT64_MAX: there is none. */
static TimestampTz
peek_pane(VsRun *run)
{
	return Min(state_start(run), note_start(run));
}

/* The states of the row of the state table at which we are. */
static States
read_states(VsRun *run)
{
	VsPanes    *panes = run->panes;
	int			nkeys = run->plan->nkeys;
	MemoryContext old = MemoryContextSwitchTo(run->rowcxt);
	States		result;

	vs_group_read_state(run, panes->row, panes->row_nulls);
	MemoryContextSwitchTo(old);
	result = copy_states(run, panes->row + nkeys, panes->row_nulls + nkeys);
	MemoryContextReset(run->rowcxt);
	return result;
}

/* Take the next pane, which is there. */
static void
take_pane(VsRun *run, Pane *pane)
{
	VsPanes    *panes = run->panes;
	TimestampTz in_state = state_start(run);
	TimestampTz in_note = note_start(run);
	int			n = run->plan->nkeys;

	CHECK_FOR_INTERRUPTS();
	vs_yield();
	memset(pane, 0, sizeof(Pane));
	pane->start = Min(in_state, in_note);
	if (in_state == pane->start)
	{
		pane->states[NOW] = read_states(run);
		next_state(run);
	}
	if (in_note == pane->start)
	{
		pane->touched = true;
		if (DatumGetBool(panes->slot->tts_values[n + 1]))
			pane->states[BEFORE] = copy_states(run, panes->slot->tts_values + n + 2,
											   panes->slot->tts_isnull + n + 2);
		next_note(panes);
	}
	else if (!panes->interest.closing)
		pane->states[BEFORE] = copy_states(run, pane->states[NOW].values,
										   pane->states[NOW].nulls);
}

/* ----------
 * Windows that slide or grow
 * ----------
 */

/* The windows of the key at hand around what was touched of it. */
static void
slide(VsRun *run)
{
	Slider		sliders[2] = {0};

	while (note_start(run) != PG_INT64_MAX)
		slide_region(run, sliders);
}

/* The windows around the next pane that was touched, and those that overlap them. */
static void
slide_region(VsRun *run, Slider *sliders)
{
	const VsWindow *window = &run->plan->window;
	const Interest *interest = &run->panes->interest;
	TimestampTz touched = note_start(run);
	TimestampTz start;
	TimestampTz end;

	vs_window_first(window, touched, &start, &end);
	open_panes(run, start);
	for (;; vs_window_next(window, &start, &end))
	{
		while (peek_pane(run) < end)
		{
			Pane		pane;

			take_pane(run, &pane);
			if (pane.touched)
				touched = pane.start;
			for (int i = BEFORE; i <= NOW; i++)
				if (pane.states[i].values != NULL)
					push(run, &sliders[i], pane.start, &pane.states[i]);
		}
		if (touched < start)
			break;				/* it and all that follow are as they were */
		for (int i = BEFORE; i <= NOW; i++)
			evict(run, &sliders[i], start);
		if (end > interest->from && end <= interest->to)
		{
			States		totals[2];

			for (int i = BEFORE; i <= NOW; i++)
				totals[i] = total(run, &sliders[i]);
			emit_window(run, vs_window_key(window, start, end), &totals[BEFORE], &totals[NOW]);
			for (int i = BEFORE; i <= NOW; i++)
				free_states(run, &totals[i]);
		}
	}
	close_panes(run);
	for (int i = BEFORE; i <= NOW; i++)
		clear_slider(run, &sliders[i]);
}

/* Add a pane, whose states the slider takes over. */
static void
push(VsRun *run, Slider *slider, TimestampTz start, States *states)
{
	States		sum = combine(run, &slider->sum, states);
	Piece	   *piece;

	if (slider->nback == slider->size[1])
	{
		slider->size[1] = Max(slider->size[1] * 2, 16);
		slider->back = slider->back == NULL ? palloc(sizeof(Piece) * slider->size[1]) :
			repalloc(slider->back, sizeof(Piece) * slider->size[1]);
	}
	piece = &slider->back[slider->nback++];
	memset(piece, 0, sizeof(Piece));
	piece->start = start;
	piece->own = *states;
	free_states(run, &slider->sum);
	slider->sum = sum;
}

/* Turn the stack of new panes over: the oldest come to the top. */
static void
turn_over(VsRun *run, Slider *slider)
{
	States		none = {0};

	if (slider->size[0] < slider->nback)
	{
		slider->size[0] = slider->nback;
		slider->front = slider->front == NULL ? palloc(sizeof(Piece) * slider->size[0]) :
			repalloc(slider->front, sizeof(Piece) * slider->size[0]);
	}
	while (slider->nback > 0)
	{
		Piece	   *piece = &slider->front[slider->nfront];

		*piece = slider->back[--slider->nback];
		piece->above = combine(run, &piece->own,
							   slider->nfront == 0 ? &none : &slider->front[slider->nfront - 1].above);
		slider->nfront++;
	}
	free_states(run, &slider->sum);
}

static void
free_piece(VsRun *run, Piece *piece)
{
	free_states(run, &piece->own);
	free_states(run, &piece->above);
}

/* Remove panes that start before some time. */
static void
evict(VsRun *run, Slider *slider, TimestampTz before)
{
	for (;;)
	{
		while (slider->nfront > 0 && slider->front[slider->nfront - 1].start < before)
			free_piece(run, &slider->front[--slider->nfront]);
		if (slider->nfront > 0 || slider->nback == 0 || slider->back[0].start >= before)
			break;
		turn_over(run, slider);
	}
}

/* All panes together; a copy. */
static States
total(VsRun *run, Slider *slider)
{
	States		none = {0};

	return combine(run, slider->nfront > 0 ? &slider->front[slider->nfront - 1].above : &none,
				   &slider->sum);
}

static void
clear_slider(VsRun *run, Slider *slider)
{
	evict(run, slider, PG_INT64_MAX);
	if (slider->front)
		pfree(slider->front);
	if (slider->back)
		pfree(slider->back);
	memset(slider, 0, sizeof(Slider));
}

/* ----------
 * Sessions
 * ----------
 */

/* The sessions of the key at hand around what was touched of it. */
static void
sessions(VsRun *run)
{
	while (note_start(run) != PG_INT64_MAX)
		session_region(run, chain_start(run));
}

/*
 * The first event times of the next pane, PG_INT64_MAX where it has none:
 * before, and now.
 */
static void
peek_times(VsRun *run, TimestampTz *first)
{
	VsPlan	   *plan = run->plan;
	VsPanes    *panes = run->panes;
	TimestampTz in_state = state_start(run);
	TimestampTz in_note = note_start(run);
	int			known = plan->nkeys + 1;
	bool		null;

	first[BEFORE] = first[NOW] = PG_INT64_MAX;
	if (in_state <= in_note && in_state != PG_INT64_MAX)
		(void) vs_event_time(plan->window.type,
							 slot_getattr(run->state->oldslot,
										  plan->nkeys + plan->first_time_agg + 1, &null),
							 &first[NOW]);
	if (in_state < in_note)
		first[BEFORE] = first[NOW];
	else if (in_note != PG_INT64_MAX && DatumGetBool(panes->slot->tts_values[known]))
		(void) vs_event_time(plan->window.type,
							 panes->slot->tts_values[known + 1 + plan->first_time_agg],
							 &first[BEFORE]);
}

/* Does a pane with this first time belong to what ends with this last one? */
static bool
linked(VsRun *run, TimestampTz last, TimestampTz first)
{
	return first != PG_INT64_MAX && first <= vs_time_plus(last, run->plan->window.size);
}

/*
 * Follow the chain of panes back from the next one that was touched, as long
 * as they belong together, before or now.  Those that come before are
 * untouched, up to where we were last.
 */
static TimestampTz
chain_start(VsRun *run)
{
	VsPlan	   *plan = run->plan;
	VsPanes    *panes = run->panes;
	TimestampTz time = note_start(run);
	TimestampTz first[2];
	Datum		low = vs_event_datum(plan->window.type, panes->reached);
	Datum		high = vs_event_datum(plan->window.type, time);
	VsRangeScan *scan;

	open_panes(run, time);
	peek_times(run, first);
	close_panes(run);
	scan = vs_range_begin(run->state, true, panes->hash,
						  panes->reached == PG_INT64_MIN ? NULL : &low, &high,
						  BackwardScanDirection);
	while (vs_range_next(scan))
	{
		States		states;
		TimestampTz last;

		if (!same_key(run, run->state->oldslot, 1))
			continue;
		states = read_states(run);
		last = state_time(run, &states, plan->last_time_agg);
		if (!linked(run, last, first[BEFORE]) && !linked(run, last, first[NOW]))
		{
			free_states(run, &states);
			break;
		}
		first[BEFORE] = first[NOW] = state_time(run, &states, plan->first_time_agg);
		time = vs_window_floor(first[NOW], plan->window.pane);
		free_states(run, &states);
	}
	vs_range_end(scan);
	return time;
}

/*
 * Put the sessions together that begin with the pane at "from", as long as one
 * follows on the other, before or now.
 */
static void
session_region(VsRun *run, TimestampTz from)
{
	VsPanes    *panes = run->panes;
	Chain		chains[2] = {0};
	List	   *finished[2] = {NIL, NIL};

	open_panes(run, from);
	while (peek_pane(run) != PG_INT64_MAX)
	{
		Pane		pane;
		TimestampTz first[2];

		peek_times(run, first);
		if ((chains[BEFORE].open || chains[NOW].open) &&
			!(chains[BEFORE].open && linked(run, chains[BEFORE].last, first[BEFORE])) &&
			!(chains[NOW].open && linked(run, chains[NOW].last, first[NOW])))
			break;
		take_pane(run, &pane);
		panes->reached = pane.start + run->plan->window.pane;
		for (int i = BEFORE; i <= NOW; i++)
		{
			if (pane.states[i].values != NULL)
				lengthen(run, &chains[i], &pane.states[i], &finished[i]);
		}
	}
	close_panes(run);
	for (int i = BEFORE; i <= NOW; i++)
		end_chain(&chains[i], &finished[i]);
	emit_sessions(run, finished[BEFORE], finished[NOW]);
}

/* Add a pane, whose states are taken over, to a session, or begin another one. */
static void
lengthen(VsRun *run, Chain *chain, States *states, List **finished)
{
	States		sum;

	if (!chain->open ||
		!linked(run, chain->last, state_time(run, states, run->plan->first_time_agg)))
	{
		end_chain(chain, finished);
		chain->open = true;
		chain->first = state_time(run, states, run->plan->first_time_agg);
		chain->last = state_time(run, states, run->plan->last_time_agg);
		chain->states = *states;
		return;
	}
	chain->last = Max(chain->last, state_time(run, states, run->plan->last_time_agg));
	sum = combine(run, &chain->states, states);
	free_states(run, &chain->states);
	free_states(run, states);
	chain->states = sum;
}

static void
end_chain(Chain *chain, List **finished)
{
	Session    *session;

	if (!chain->open)
		return;
	session = palloc(sizeof(Session));
	session->first = chain->first;
	session->last = chain->last;
	session->states = chain->states;
	*finished = lappend(*finished, session);
	chain->open = false;
	memset(&chain->states, 0, sizeof(States));
}

/* Is this a session that counts? */
static bool
concerns(VsRun *run, const Session *session)
{
	const Interest *interest = &run->panes->interest;
	TimestampTz end = vs_window_last_end(&run->plan->window, session->last);

	return end > interest->from && end <= interest->to;
}

/* Emit what differs between the sessions before and now, both in the order of time. */
static void
emit_sessions(VsRun *run, List *before, List *now)
{
	const VsWindow *window = &run->plan->window;
	const Interest *interest = &run->panes->interest;
	ListCell   *b = list_head(before);
	ListCell   *n = list_head(now);

	while (b != NULL || n != NULL)
	{
		Session    *old = b ? lfirst(b) : NULL;
		Session    *new = n ? lfirst(n) : NULL;
		States		none = {0};
		bool		was;
		bool		is;

		if (old && new && old->first != new->first)
		{
			if (old->first < new->first)
				new = NULL;
			else
				old = NULL;
		}
		/* one that was closed may be part of one that is open now */
		was = old && concerns(run, old);
		is = new && concerns(run, new);
		if (interest->emit && (was || is))
			emit_window(run, vs_event_datum(window->type, new ? new->first : old->first),
						was ? &old->states : &none, is ? &new->states : &none);
		if (interest->expire && is)
			forget_session(run, new);
		if (old)
		{
			free_states(run, &old->states);
			b = lnext(before, b);
		}
		if (new)
		{
			free_states(run, &new->states);
			n = lnext(now, n);
		}
	}
	list_free_deep(before);
	list_free_deep(now);
}

/* Forget the panes of a session that takes no more rows. */
static void
forget_session(VsRun *run, const Session *session)
{
	VsPlan	   *plan = run->plan;
	Datum		low = vs_event_datum(plan->window.type,
									 vs_window_floor(session->first, plan->window.pane));
	Datum		high = vs_event_datum(plan->window.type,
									  vs_window_floor(session->last, plan->window.pane) +
									  plan->window.pane);
	VsRangeScan *scan = vs_range_begin(run->state, true, run->panes->hash, &low, &high,
									   ForwardScanDirection);

	while (vs_range_next(scan))
	{
		if (same_key(run, run->state->oldslot, 1))
			vs_group_forget(run);
	}
	vs_range_end(scan);
}

/* ----------
 * Emission
 * ----------
 */

/*
 * A window of the key at hand, as it was and as it is (without states: it was
 * not, or is not).
 */
static void
emit_window(VsRun *run, Datum window, const States *before, const States *now)
{
	MemoryContext old = MemoryContextSwitchTo(run->rowcxt);
	VsPlan	   *plan = run->plan;
	bool		table = !plan->changelog;
	bool		existed = !run->panes->interest.closing && before->values != NULL;
	Datum	   *row = NULL;
	Datum	   *old_row = NULL;
	bool	   *nulls = NULL;
	bool	   *old_nulls = NULL;
	bool		is = window_row(run, window, now, &row, &nulls);
	bool		was = false;
	bool		same = false;

	/*
	 * What HAVING made of the window before is told by the output.  The panes
	 * do not tell: put together in another order, sums of float8 need not be
	 * the same to the last bit.  (So a row that is missing there cannot be
	 * told from one that was turned away.)
	 */
	if (run->batch->kept || (existed && table && plan->having != NULL))
		was = find_window_row(run, window); /* a rebuild finds rows of old */
	else if (existed && plan->top.standing && plan->having != NULL)
		drop_standing(run, window);
	else if (existed && window_row(run, window, before, &old_row, &old_nulls))
	{
		was = true;
		same = is && vs_same_row(run->output->desc, plan->ncolumns,
								 row, nulls, old_row, old_nulls);
		if (!same && table && !find_window_row(run, window))
			ereport(ERROR,
					(errcode(ERRCODE_DATA_CORRUPTED),
					 errmsg("a window of continuous query \"%s\" is missing in its output",
							RelationGetRelationName(run->output->rel)),
					 errhint("Run velostream.rebuild('%s'), and check that nothing but velostream wrote to its tables.",
							 RelationGetRelationName(run->output->rel))));
	}

	if (is && !was)
		vs_emit_append(run, row, nulls);
	else if (was && !same)
	{
		ItemPointerData tid = run->output->oldslot->tts_tid;

		if (is)
			vs_emit_update(run, table ? &tid : NULL, row, nulls, old_row, old_nulls);
		else
			vs_emit_delete(run, table ? &tid : NULL, old_row, old_nulls);
	}
	MemoryContextSwitchTo(old);
	MemoryContextReset(run->rowcxt);
	vs_agg_reset(run->aggs);
}

/* The output row of a window; false if there is none. */
static bool
window_row(VsRun *run, Datum window, const States *states, Datum **row, bool **nulls)
{
	VsPlan	   *plan = run->plan;
	VsPanes    *panes = run->panes;

	if (states->values == NULL)
		return false;
	memcpy(panes->row, panes->keys, sizeof(Datum) * plan->nkeys);
	memcpy(panes->row_nulls, panes->nulls, sizeof(bool) * plan->nkeys);
	panes->row[plan->window.key] = window;
	memcpy(panes->row + plan->nkeys, states->values, sizeof(Datum) * plan->naggs);
	memcpy(panes->row_nulls + plan->nkeys, states->nulls, sizeof(bool) * plan->naggs);
	return vs_group_output_row(run, panes->row, panes->row_nulls, row, nulls);
}

/* The keys at hand, with this window. */
static Datum *
window_keys(VsRun *run, Datum window)
{
	int			n = run->plan->nkeys;
	Datum	   *keys = palloc(sizeof(Datum) * n);

	memcpy(keys, run->panes->keys, sizeof(Datum) * n);
	keys[run->plan->window.key] = window;
	return keys;
}

/* If the window is among those that come first, it goes: it is known by its key. */
static void
drop_standing(VsRun *run, Datum window)
{
	VsPlan	   *plan = run->plan;
	Datum	   *keys = window_keys(run, window);
	Datum	   *row = palloc0(sizeof(Datum) * plan->ncolumns);
	bool	   *nulls = palloc(sizeof(bool) * plan->ncolumns);

	memset(nulls, true, sizeof(bool) * plan->ncolumns);
	for (int i = 0; i < plan->nkeys; i++)
	{
		row[plan->keys[i].output_attno - 1] = keys[i];
		nulls[plan->keys[i].output_attno - 1] = run->panes->nulls[i];
	}
	vs_top_take(run, -1, row, nulls);
}

/* Look for the row of a window in the output table. */
static bool
find_window_row(VsRun *run, Datum window)
{
	VsPanes    *panes = run->panes;
	Datum	   *keys = window_keys(run, window);

	return vs_target_find(run->output, vs_hasher_hash(run->hasher, keys, panes->nulls), keys,
						  panes->nulls);
}

/* ----------
 * States
 * ----------
 */

static States
copy_states(VsRun *run, const Datum *values, const bool *nulls)
{
	VsPlan	   *plan = run->plan;
	States		result;

	result.values = palloc(sizeof(Datum) * Max(plan->naggs, 1));
	result.nulls = palloc(sizeof(bool) * Max(plan->naggs, 1));
	for (int i = 0; i < plan->naggs; i++)
	{
		result.nulls[i] = nulls[i];
		result.values[i] = nulls[i] ? (Datum) 0 :
			datumCopy(values[i], plan->aggs[i]->storebyval, plan->aggs[i]->storelen);
	}
	return result;
}

/* Both together, the first being the older; a copy. */
static States
combine(VsRun *run, const States *a, const States *b)
{
	VsPlan	   *plan = run->plan;
	States		result = {0};

	if (a->values == NULL && b->values == NULL)
		return result;
	if (a->values == NULL)
		return copy_states(run, b->values, b->nulls);
	if (b->values == NULL)
		return copy_states(run, a->values, a->nulls);

	result.values = palloc(sizeof(Datum) * Max(plan->naggs, 1));
	result.nulls = palloc(sizeof(bool) * Max(plan->naggs, 1));
	for (int i = 0; i < plan->naggs; i++)
	{
		VsAgg	   *agg = plan->aggs[i];
		Datum		value = vs_agg_combine(run->aggs, agg, a->values[i], a->nulls[i],
										   b->values[i], b->nulls[i], &result.nulls[i]);

		result.values[i] = result.nulls[i] ? (Datum) 0 :
			datumCopy(value, agg->storebyval, agg->storelen);
	}
	vs_agg_reset(run->aggs);
	return result;
}

static void
free_states(VsRun *run, States *states)
{
	VsPlan	   *plan = run->plan;

	if (states->values == NULL)
		return;
	for (int i = 0; i < plan->naggs; i++)
		if (!states->nulls[i] && !plan->aggs[i]->storebyval)
			pfree(DatumGetPointer(states->values[i]));
	pfree(states->values);
	pfree(states->nulls);
	memset(states, 0, sizeof(States));
}

/* The event time that min or max, one of the aggregates, has as its state. */
static TimestampTz
state_time(VsRun *run, const States *states, int agg)
{
	TimestampTz time;

	if (states->nulls[agg] ||
		!vs_event_time(run->plan->window.type, states->values[agg], &time))
		elog(ERROR, "pane of a session without a time");
	return time;
}

/* ----------
 * Closing
 * ----------
 */

/*
 * Emit the windows that end after "from" (VS_NO_TIME: ever) up to "to", for
 * EMIT FINAL, and forget panes that are in no window that takes rows.
 */
void
vs_panes_close(VsRun *run, TimestampTz from, TimestampTz to)
{
	VsPlan	   *plan = run->plan;
	const VsWindow *window = &plan->window;
	Interest   *interest = &run->panes->interest;
	int64		allowed = run->batch->clock.allowed;
	bool		session = window->kind == VS_WINDOW_SESSION;
	bool		shrunk = session && run->batch->change;
	MemoryContext old = MemoryContextSwitchTo(run->panes->context);

	if (plan->final)
	{
		interest->closing = interest->emit = true;
		interest->expire = session && allowed == 0;
		interest->from = interest->expire ? PG_INT64_MIN : from;
		interest->to = to;
		close_panes_between(run, shrunk ? VS_NO_TIME : from, to);
	}
	if (session && allowed != PG_INT64_MAX && !(plan->final && allowed == 0))
	{
		interest->closing = interest->expire = true;
		interest->emit = false;
		interest->from = PG_INT64_MIN;
		interest->to = vs_time_plus(to, -allowed);
		close_panes_between(run, from == VS_NO_TIME || shrunk ? VS_NO_TIME : vs_time_plus(from, -allowed),
							interest->to);
	}
	else if (!session && allowed != PG_INT64_MAX)
		forget_panes(run, from == VS_NO_TIME ? from : vs_time_plus(from, -allowed),
					 vs_time_plus(to, -allowed));
	MemoryContextSwitchTo(old);
	MemoryContextReset(run->panes->context);
}

/* Put the windows together that end after "from" (VS_NO_TIME: ever) up to "to". */
static void
close_panes_between(VsRun *run, TimestampTz from, TimestampTz to)
{
	const VsWindow *window = &run->plan->window;
	Datum		low = 0;
	Datum		high = vs_event_datum(window->type, to);

	if (window->kind != VS_WINDOW_SESSION && vs_window_end_after(window, from) > to)
		return;
	if (from != VS_NO_TIME)
		low = vs_event_datum(window->type, vs_time_plus(from, -window->size - window->pane));
	note_panes(run, from == VS_NO_TIME ? NULL : &low, &high, from, to);
	read_notes(run);
}

/*
 * Note all panes from "low" (NULL: ever) on that start before "high"; of sessions,
 * those with which one may end after "from" up to "to".
 */
static void
note_panes(VsRun *run, const Datum *low, const Datum *high, TimestampTz from, TimestampTz to)
{
	VsPlan	   *plan = run->plan;
	VsPanes    *panes = run->panes;
	VsRangeScan *scan = vs_range_begin(run->state, false, 0, low, high, ForwardScanDirection);

	while (vs_range_next(scan))
	{
		MemoryContext old = MemoryContextSwitchTo(run->rowcxt);
		TimestampTz end = to;

		if (plan->window.kind == VS_WINDOW_SESSION)
			end = vs_window_last_end(&plan->window, vs_kept_time(run, plan->nkeys + plan->last_time_agg));
		if (end <= to && (from == VS_NO_TIME || end > from))
		{
			vs_group_read_state(run, panes->row, panes->row_nulls);
			note_pane(run, panes->row, panes->row_nulls, false, NULL, NULL);
		}
		MemoryContextSwitchTo(old);
		MemoryContextReset(run->rowcxt);
	}
	vs_range_end(scan);
}

/*
 * Emit a window of every key, as if it closed: the one that is known by this
 * key, or (sessions) those that start there or that have a row soon after.
 */
void
vs_panes_emit(VsRun *run, Datum window_key)
{
	const VsWindow *window = &run->plan->window;
	VsPanes    *others = run->panes;
	TimestampTz start;
	TimestampTz end;
	Datum		low;
	Datum		high;
	Interest   *interest;

	if (!vs_event_time(window->type, window_key, &start))
		elog(ERROR, "window without a time");
	if (window->kind == VS_WINDOW_CUMULATE)
		start = vs_window_floor(start - 1, window->size);
	if (window->kind == VS_WINDOW_SESSION)
		end = start + 1;
	else if (window->kind == VS_WINDOW_HOP)
		end = start + window->size;
	else
		(void) vs_event_time(window->type, window_key, &end);

	vs_panes_begin(run);
	interest = &run->panes->interest;
	interest->closing = interest->emit = true;
	interest->expire = false;
	interest->from = window->kind == VS_WINDOW_SESSION ? PG_INT64_MIN : end - 1;
	interest->to = window->kind == VS_WINDOW_SESSION ? PG_INT64_MAX : end;
	low = vs_event_datum(window->type, vs_window_floor(start, window->pane));
	high = vs_event_datum(window->type, vs_window_floor(end - 1, window->pane) + window->pane);
	note_panes(run, &low, &high, VS_NO_TIME, PG_INT64_MAX);
	read_notes(run);
	end_panes(run);
	run->panes = others;
}

/*
 * Forget the panes whose last window ends at "to" or before; those where it
 * ends at "from" or before (VS_NO_TIME: none) are forgotten already.
 */
static void
forget_panes(VsRun *run, TimestampTz from, TimestampTz to)
{
	VsPlan	   *plan = run->plan;
	Datum		low = 0;
	Datum		high = vs_event_datum(plan->window.type, to);
	VsRangeScan *scan;

	if (vs_window_end_after(&plan->window, from) > to)
		return;

	/*
	 * where a scan began at the first pane, it would pass all that it deleted
	 * before
	 */
	if (from != VS_NO_TIME)
		low = vs_event_datum(plan->window.type, vs_time_plus(from, -plan->window.size));
	scan = vs_range_begin(run->state, false, 0, from == VS_NO_TIME ? NULL : &low, &high,
						  ForwardScanDirection);
	while (vs_range_next(scan))
	{
		if (vs_window_last_end(&plan->window, vs_kept_time(run, run->plan->window.key)) > to)
			break;
		vs_group_forget(run);
	}
	vs_range_end(scan);
}
