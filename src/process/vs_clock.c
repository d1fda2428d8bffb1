/*-------------------------------------------------------------------------
 *
 * vs_clock.c
 *	  Event time: the watermark of a query, and rows that come too late.
 *
 * The watermark is the greatest event time of all earlier steps, less the
 * disorder that the query allows for.  A window is closed when the watermark
 * has reached its end.  A step is a batch, or one of those that
 * process(batch_rows) makes of it: rows of one step are never late for one
 * another.
 *
 * The delta plan of a query with a window calls velostream.admit() for each
 * row that passes WHERE, after all other conditions.  It notes the greatest
 * time and turns rows away that no window takes: those without a time, or with
 * one so early or late that a bound of their windows is none, become dead
 * letters; what becomes of late ones is the query's choice.  Since an
 * aggregation reads all its input before its first group is merged, the new
 * watermark is known by then.
 *
 * All times are microseconds here, as in a timestamptz: event times of type
 * date and int8 are converted.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "executor/tuptable.h"
#include "fmgr.h"
#include "functions/vs_window_funcs.h"
#include "process/vs_batch_internal.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/timestamp.h"
#include "vs_compat.h"

/* SQLSTATEs of a class of ours, which no error of a row has. */
#define ERRCODE_LATE_ROW	MAKE_SQLSTATE('V', 'S', '0', '0', '1')	/* VS_LATE_SQLSTATE */
#define ERRCODE_NO_TIME		MAKE_SQLSTATE('V', 'S', '0', '0', '2')	/* VS_TIMELESS_SQLSTATE */

/* The batch whose delta plan runs in this process, if it has a window. */
static VsBatch *attached = NULL;

static TimestampTz watermark_of_row(VsBatch *batch);
static TimestampTz first_open(VsBatch *batch);
static bool take_late_row(VsBatch *batch, TimestampTz time, TimestampTz end, TimestampTz closed);
static void turn_away(VsBatch *batch, int sqlstate, const char *message);
static bool went(VsBatch *batch);
static bool is_replayed(VsBatch *batch);
static VsBatch *require_attached(FunctionCallInfo fcinfo);
static char *show_time(Oid type, TimestampTz time);
static TimestampTz idle_watermark(VsBatch *batch);

PG_FUNCTION_INFO_V1(velostream_admit);
PG_FUNCTION_INFO_V1(velostream_open_time);

/* ----------
 * Times
 * ----------
 */

/* Of hop and cumulate, the first window with this time in it, or after it. */
void
vs_window_first(const VsWindow *window, TimestampTz time, TimestampTz *start, TimestampTz *end)
{
	if (window->kind == VS_WINDOW_CUMULATE)
	{
		*start = vs_window_floor(time, window->size);
		*end = vs_window_floor(time, window->advance) + window->advance;
		return;
	}
	*start = vs_window_floor(vs_time_plus(time, -window->size), window->advance) + window->advance;
	*end = vs_time_plus(*start, window->size);
}

/* The window after one; of a cumulating window, the next longer one or the first of the next. */
void
vs_window_next(const VsWindow *window, TimestampTz *start, TimestampTz *end)
{
	if (window->kind == VS_WINDOW_HOP)
		*start += window->advance;
	else if (*end == *start + window->size)
		*start += window->size;
	*end = vs_time_plus(*end, window->advance);
}

/* By which of these the window is known. */
Datum
vs_window_key(const VsWindow *window, TimestampTz start, TimestampTz end)
{
	return vs_event_datum(window->type, window->kind == VS_WINDOW_HOP ? start : end);
}

/*
 * When the last window with this time in it closes; for a session, that of the
 * row alone, or of its pane.
 */
TimestampTz
vs_window_last_end(const VsWindow *window, TimestampTz time)
{
	switch (window->kind)
	{
		case VS_WINDOW_HOP:
			return vs_time_plus(vs_window_floor(time, window->advance), window->size);
		case VS_WINDOW_SESSION:
			if (window->by_pane)
				time = vs_time_plus(vs_window_floor(time, window->pane), window->pane);
			return vs_time_plus(time, window->size);
		default:
			return vs_time_plus(vs_window_floor(time, window->size), window->size);
	}
}

/* When the first one does. */
TimestampTz
vs_window_first_end(const VsWindow *window, TimestampTz time)
{
	if (window->kind == VS_WINDOW_HOP)
		return vs_window_floor(vs_time_plus(time, -window->size), window->advance) +
			window->advance + window->size;
	if (window->kind == VS_WINDOW_CUMULATE)
		return vs_window_floor(time, window->advance) + window->advance;
	return vs_window_last_end(window, time);
}

/* ----------
 * Rows
 * ----------
 */

/*
 * The batch that calls one of the functions below.  Its argument must be the
 * event time: users' functions, too, run in a batch and can call them.
 */
static VsBatch *
require_attached(FunctionCallInfo fcinfo)
{
	if (attached == NULL ||
		get_fn_expr_argtype(fcinfo->flinfo, 0) != attached->plan->window.type)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("this function can only be used by velostream itself, in a batch of a continuous query")));
	return attached;
}

/* Prepare the clock of a batch whose delta is open. */
void
vs_clock_start(VsBatch *batch)
{
	const VsTimeOptions *options = &batch->plan->entry.time;
	VsClock    *clock = &batch->clock;

	batch->old_watermark = batch->row.watermark;
	clock->closed = batch->plan->timed ? batch->row.watermark : VS_NO_TIME;
	clock->seen = batch->row.event_time;
	clock->limit = options->max_future_skew < 0 ? PG_INT64_MAX :
		vs_time_plus(GetCurrentTimestamp(), options->max_future_skew);
	clock->allowed = options->retention >= 0 ? options->retention :
		options->late == VS_LATE_UPDATE ? PG_INT64_MAX : 0;
}

void
vs_clock_attach(VsBatch *batch)
{
	attached = batch;
}

/* Each bucket of the delta is a step, from now to the next vs_clock_step. */
void
vs_clock_go_ahead(VsBatch *batch)
{
	VsClock    *clock = &batch->clock;

	clock->ahead = true;
	clock->bucket = -1;
	clock->watermark = clock->closed;
	clock->nturns = clock->next_turn = 0;
}

/* The watermark by which the row that the delta scan delivered last is judged. */
static TimestampTz
watermark_of_row(VsBatch *batch)
{
	VsClock    *clock = &batch->clock;
	int64		bucket;
	TimestampTz watermark;

	if (!clock->ahead)
		return clock->closed;
	bucket = vs_delta_last_bucket(batch->delta);
	if (bucket == clock->bucket)
		return clock->watermark;

	watermark = clock->bucket < 0 ? clock->watermark : vs_clock_watermark(batch);
	if (watermark > clock->watermark)
	{
		if (clock->nturns == clock->max_turns)
		{
			clock->max_turns = Max(64, 2 * clock->max_turns);
			clock->turns = clock->turns ?
				repalloc_huge(clock->turns, clock->max_turns * sizeof(VsTurn)) :
				MemoryContextAlloc(batch->context, clock->max_turns * sizeof(VsTurn));
		}
		clock->turns[clock->nturns].bucket = clock->bucket;
		clock->turns[clock->nturns++].watermark = watermark;
		clock->watermark = watermark;
	}
	clock->bucket = bucket;
	return clock->watermark;
}

/*
 * velostream.admit(anyelement) returns boolean: does a row with this event
 * time count?
 */
Datum
velostream_admit(PG_FUNCTION_ARGS)
{
	VsBatch    *batch = require_attached(fcinfo);
	VsClock    *clock = &batch->clock;
	const VsWindow *window = &batch->plan->window;
	TimestampTz closed = watermark_of_row(batch);
	TimestampTz time;
	TimestampTz end;

	if (clock->sampling)
		PG_RETURN_BOOL(!PG_ARGISNULL(0) &&
					   vs_event_time(window->type, PG_GETARG_DATUM(0), &time) &&
					   time >= window->first && time < window->limit);
	if (PG_ARGISNULL(0))
	{
		turn_away(batch, ERRCODE_NO_TIME, "the event time is null");
		PG_RETURN_BOOL(false);
	}
	if (!vs_event_time(window->type, PG_GETARG_DATUM(0), &time))
	{
		turn_away(batch, ERRCODE_NO_TIME, "the event time is infinite or out of range");
		PG_RETURN_BOOL(false);
	}
	if (time < window->first || time >= window->limit)
	{
		turn_away(batch, ERRCODE_NO_TIME, "a window of the event time begins or ends out of range");
		PG_RETURN_BOOL(false);
	}

	clock->rows = true;
	if (time > clock->seen && time <= clock->limit)
		clock->seen = time;
	if (window->kind == VS_WINDOW_HOP && vs_window_last_end(window, time) <= time)
		PG_RETURN_BOOL(false);	/* between two windows: in none */
	if (time > closed || closed == VS_NO_TIME)
		PG_RETURN_BOOL(true);

	end = vs_window_last_end(window, time);
	if (vs_time_plus(end, clock->allowed) <= closed && !batch->corrects)
		PG_RETURN_BOOL(take_late_row(batch, time, end, closed));
	if (window->kind != VS_WINDOW_TUMBLE && window->kind != VS_WINDOW_SESSION &&
		vs_time_plus(vs_window_first_end(window, time), clock->allowed) <= closed && !went(batch))
		clock->partly_late++;
	PG_RETURN_BOOL(true);
}

/* The first time at which a window is open. */
static TimestampTz
first_open(VsBatch *batch)
{
	const VsWindow *window = &batch->plan->window;
	TimestampTz open = vs_window_floor(batch->clock.closed, window->pane);

	if (vs_window_last_end(window, open) <= open)
		open = vs_time_plus(vs_window_floor(open, window->advance), window->advance);	/* between two windows */
	return open;
}

/*
 * velostream.open_time(anyelement) returns anyelement: the event time, or for
 * a late row the first one at which a window is open.
 */
Datum
velostream_open_time(PG_FUNCTION_ARGS)
{
	VsBatch    *batch = require_attached(fcinfo);
	const VsWindow *window = &batch->plan->window;
	TimestampTz time;

	if (batch->clock.closed == VS_NO_TIME ||
		!vs_event_time(window->type, PG_GETARG_DATUM(0), &time) || time > batch->clock.closed ||
		vs_time_plus(vs_window_last_end(window, time), batch->clock.allowed) > batch->clock.closed)
		PG_RETURN_DATUM(PG_GETARG_DATUM(0));
	PG_RETURN_DATUM(vs_event_datum(window->type, first_open(batch)));
}

/* A row whose windows, the last of which ended at "end", are closed.  True: it counts nevertheless. */
static bool
take_late_row(VsBatch *batch, TimestampTz time, TimestampTz end, TimestampTz closed)
{
	const VsWindow *window = &batch->plan->window;

	if (went(batch))
	{
		batch->clock.ignored++;
		return false;
	}
	batch->clock.late++;
	if (window->by_pane)
		end = vs_time_plus(time, window->size);
	if (batch->plan->entry.time.late == VS_LATE_NEXT && first_open(batch) < window->limit)
		return true;
	if (batch->plan->entry.time.late != VS_LATE_DROP || is_replayed(batch))
		turn_away(batch, ERRCODE_LATE_ROW,
				  psprintf("row of %s is late: its last window ended at %s, and the watermark is at %s",
						   show_time(window->type, time), show_time(window->type, end),
						   show_time(window->type, closed)));
	return false;
}

/* Is the row that the delta scan delivered last one that went? */
static bool
went(VsBatch *batch)
{
	return batch->change && vs_delta_last_weight(batch->delta) < 0;
}

/* Is it a dead letter that is tried again?  It is not to vanish. */
static bool
is_replayed(VsBatch *batch)
{
	Oid			relid;
	ItemPointerData tid;
	TransactionId xmin;
	int			weight;
	TupleTableSlot *slot;

	if (batch->replay == NULL)
		return false;
	vs_delta_last_row(batch->delta, &relid, &tid, &xmin, &weight, &slot);
	if (slot != NULL)
		ExecDropSingleTupleTableSlot(slot);
	return vs_delta_is_revived(batch->delta, relid, &tid);
}

/* Keep the row that the delta scan delivered last as a dead letter. */
static void
turn_away(VsBatch *batch, int sqlstate, const char *message)
{
	Oid			relid;
	ItemPointerData tid;
	TransactionId xmin;
	int			weight;
	TupleTableSlot *slot;

	if (batch->shared == NULL)
	{
		batch->dead++;			/* vs_query.c tells */
		return;
	}
	vs_delta_last_row(batch->delta, &relid, &tid, &xmin, &weight, &slot);
	if (slot == NULL || weight < 0)
		return;
	vs_dead_letter_insert(batch->outputid, relid, &tid, xmin, vs_slot_to_jsonb(slot),
						  sqlstate, message);
	batch->dead++;
	ExecDropSingleTupleTableSlot(slot);
}

/* An event time as its type shows it. */
static char *
show_time(Oid type, TimestampTz time)
{
	Oid			output;
	bool		varlena;

	getTypeOutputInfo(type, &output, &varlena);
	return OidOutputFunctionCall(output, vs_event_datum(type, time));
}

/* ----------
 * The watermark
 * ----------
 */

/*
 * Where the watermark is when the rows seen so far are through.  It never
 * goes back.
 */
TimestampTz
vs_clock_watermark(VsBatch *batch)
{
	VsClock    *clock = &batch->clock;
	int64		delay = Max(batch->plan->entry.time.delay, 0);
	TimestampTz result = clock->seen;

	if (!batch->plan->timed)
		return VS_NO_TIME;

	/*
	 * it is shown: no time is earlier than the first, and no window ends
	 * there or before
	 */
	if (result != VS_NO_TIME)
		result = Max(vs_time_plus(result, -delay), MIN_TIMESTAMP);
	result = Max(result, idle_watermark(batch));
	return Max(result, clock->closed);
}

/*
 * Where nothing came for long enough, the watermark moves on with the wall
 * clock.
 */
static TimestampTz
idle_watermark(VsBatch *batch)
{
	const VsTimeOptions *options = &batch->plan->entry.time;
	TimestampTz now;
	TimestampTz moved;

	if (options->idle_timeout < 0 || batch->clock.rows || batch->row.event_at == VS_NO_TIME ||
		batch->row.event_time == VS_NO_TIME)
		return VS_NO_TIME;
	now = GetCurrentTimestamp();
	if (now - batch->row.event_at < options->idle_timeout)
		return VS_NO_TIME;
	moved = vs_time_plus(batch->row.event_time,
						 now - batch->row.event_at - Max(options->delay, 0));
	/* all windows end before the last time that can be shown, or then */
	return Min(Max(moved, MIN_TIMESTAMP), END_TIMESTAMP - 1);
}

/*
 * The buckets before this one are merged: the watermark moves on as far as
 * their rows let it, and windows close.
 */
void
vs_clock_turn(VsRun *run, int64 bucket)
{
	VsClock    *clock = &run->batch->clock;
	TimestampTz watermark = clock->closed;

	while (clock->next_turn < clock->nturns && clock->turns[clock->next_turn].bucket < bucket)
		watermark = clock->turns[clock->next_turn++].watermark;
	if (clock->next_turn == clock->nturns)
		clock->next_turn = clock->nturns = 0;
	if (watermark == clock->closed)
		return;
	vs_close_between(run, clock->closed, watermark);
	run->batch->row.watermark = clock->closed = watermark;
}

/*
 * A step is through: the watermark moves on, and the windows that it passes
 * close.  Counters go to the frontier row, which is written by the batch.
 */
void
vs_clock_step(VsBatch *batch)
{
	VsClock    *clock = &batch->clock;
	VsFrontierRow *row = &batch->row;
	TimestampTz watermark = vs_clock_watermark(batch);

	clock->ahead = false;
	/* sessions that lost rows may end before a watermark that stands still */
	if (watermark > clock->closed ||
		(batch->change && watermark != VS_NO_TIME && batch->plan->window.kind == VS_WINDOW_SESSION))
	{
		vs_close_windows(batch, clock->closed, watermark);
		row->watermark = clock->closed = watermark;
	}
	row->event_time = clock->seen;
	if (clock->rows)
		row->event_at = GetCurrentTimestamp();
	row->late += clock->late;
	row->partly_late += clock->partly_late;
	row->ignored += clock->ignored;
	if (batch->plan->panes || batch->plan->final)
		row->open_windows += clock->opened;
	clock->late = clock->partly_late = clock->ignored = 0;
	clock->opened = 0;
	clock->rows = false;
}
