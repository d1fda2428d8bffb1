/*-------------------------------------------------------------------------
 *
 * vs_close.c
 *	  Windows that the watermark passes: their rows are emitted (EMIT FINAL),
 *	  and their state is freed when they take no more rows.
 *
 * With EMIT FINAL a group lives in the state table while its window is open,
 * and in the output from the moment it closes; both change hands in the
 * batch's transaction, so every window is emitted exactly once.  A group that
 * a batch touches and closes never enters the state table.
 *
 * Windows that are put together from panes are closed in vs_panes.c.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/xact.h"
#include "process/vs_groups_internal.h"
#include "utils/memutils.h"

static TimestampTz window_end(VsPlan *plan, Datum window);
static void emit_closed(VsRun *run, const Datum *values, const bool *nulls);
static bool passes_end(VsPlan *plan, TimestampTz from, TimestampTz to);
static VsRangeScan *scan_ended(VsRun *run, TimestampTz from, TimestampTz to);
static void close_tumbling(VsRun *run, TimestampTz from, TimestampTz to);
static void close_groups(VsRun *run, TimestampTz from, TimestampTz to);
static void expire_groups(VsRun *run, TimestampTz from, TimestampTz to);
static TimestampTz next_end(VsRun *run, TimestampTz after);

/* When a tumbling window that starts there ends. */
static TimestampTz
window_end(VsPlan *plan, Datum window)
{
	TimestampTz start;

	/* rows without a finite time were not admitted */
	if (!vs_event_time(plan->window.type, window, &start))
		elog(ERROR, "window without a time");
	return vs_time_plus(start, plan->window.size);
}

/* Had the window of a group with these keys closed before this step? */
bool
vs_window_is_closed(VsRun *run, const Datum *keys)
{
	VsPlan	   *plan = run->plan;

	return run->batch->clock.closed != VS_NO_TIME &&
		window_end(plan, keys[plan->window.key]) <= run->batch->clock.closed;
}

/*
 * Is the window of a group with these keys not the latest one, nor the one
 * before?  Then it will hardly change any more.
 */
bool
vs_window_is_past(VsRun *run, const Datum *keys)
{
	VsPlan	   *plan = run->plan;

	return plan->window.kind == VS_WINDOW_TUMBLE && run->batch->clock.seen != VS_NO_TIME &&
		window_end(plan, keys[plan->window.key]) <=
		vs_time_plus(run->batch->clock.seen, -plan->window.size);
}

/*
 * Did the window of a group with these keys, or all windows that a pane is in,
 * take no more rows before this step?
 */
bool
vs_window_is_over(VsRun *run, const Datum *keys)
{
	const VsWindow *window = &run->plan->window;
	const VsClock *clock = &run->batch->clock;
	TimestampTz start;

	if (!vs_event_time(window->type, keys[window->key], &start))
		elog(ERROR, "window without a time");
	return clock->closed != VS_NO_TIME &&
		vs_time_plus(vs_window_last_end(window, start), clock->allowed) <= clock->closed;
}

/*
 * EMIT FINAL: a group has changed whose window was open.  If it closes with
 * this step, emit its row.  True if nothing of the group need be kept.
 */
bool
vs_close_group(VsRun *run, VsMergeGroup *group)
{
	VsPlan	   *plan = run->plan;
	VsBatch    *batch = run->batch;
	TimestampTz end = window_end(plan, group->values[plan->window.key]);

	if (!batch->at_once || end > vs_clock_watermark(batch))
		return false;
	if (batch->clock.allowed > 0 || plan->top.active)
		return false;			/* vs_close_windows will find it, with others
								 * of its window */
	emit_closed(run, group->values, group->nulls);
	if (ItemPointerIsValid(&group->state_tid))
	{
		vs_target_delete(run->state, &group->state_tid);
		batch->clock.opened--;
	}
	if (group->cache_index >= 0)
		vs_cache_remove(batch->shared, group->hash, group->cache_index);
	return true;
}

/* The row of a window that closes, if it passes HAVING. */
static void
emit_closed(VsRun *run, const Datum *values, const bool *nulls)
{
	Datum	   *row;
	bool	   *row_nulls;

	if (vs_group_output_row(run, values, nulls, &row, &row_nulls))
		vs_emit_append(run, row, row_nulls);
}

/*
 * The watermark moves on, from "from" (VS_NO_TIME: there was none) to "to":
 * emit the windows that end in between, and forget those that take no more
 * rows.
 */
void
vs_close_windows(VsBatch *batch, TimestampTz from, TimestampTz to)
{
	VsRun	   *run;

	if (batch->plan->state_in_output)
		return;
	CommandCounterIncrement();
	run = vs_run_begin(batch);
	vs_groups_begin(run);
	vs_close_between(run, from, to);
	vs_groups_finish(run);
	vs_run_end(run);
}

/* The same in a run that is merging, between two groups. */
void
vs_close_between(VsRun *run, TimestampTz from, TimestampTz to)
{
	if (run->plan->panes)
		vs_panes_close(run, from, to);
	else if (run->state != NULL)
		close_tumbling(run, from, to);
}

static void
close_tumbling(VsRun *run, TimestampTz from, TimestampTz to)
{
	VsPlan	   *plan = run->plan;
	int64		allowed = run->batch->clock.allowed;
	MemoryContext old = MemoryContextSwitchTo(run->context);

	if (plan->final && passes_end(plan, from, to))
		close_groups(run, from, to);
	if (allowed != PG_INT64_MAX)
	{
		from = from == VS_NO_TIME ? from : vs_time_plus(from, -allowed);
		to = vs_time_plus(to, -allowed);
		if (passes_end(plan, from, to))
			expire_groups(run, from, to);
	}
	MemoryContextSwitchTo(old);
}

/* Does some window end after "from" (VS_NO_TIME: ever) and up to "to"? */
static bool
passes_end(VsPlan *plan, TimestampTz from, TimestampTz to)
{
	return from == VS_NO_TIME ||
		vs_window_floor(from, plan->window.size) != vs_window_floor(to, plan->window.size);
}

/* The groups that are kept of tumbling windows that end after "from" up to "to". */
static VsRangeScan *
scan_ended(VsRun *run, TimestampTz from, TimestampTz to)
{
	VsWindow   *window = &run->plan->window;
	TimestampTz last = vs_window_floor(vs_time_plus(to, -window->size), window->size);
	Datum		low = 0;
	Datum		high = vs_event_datum(window->type, last + window->size);

	if (from != VS_NO_TIME)
		low = vs_event_datum(window->type,
							 vs_window_floor(vs_time_plus(from, -window->size),
											 window->size) + window->size);
	return vs_range_begin(run->state, false, 0, from == VS_NO_TIME ? NULL : &low, &high,
						  ForwardScanDirection);
}

/* Emit groups that are kept, of tumbling windows that end after "from" up to "to". */
static void
close_groups(VsRun *run, TimestampTz from, TimestampTz to)
{
	int			natts = run->plan->groupdesc->natts;
	Datum	   *values = palloc(sizeof(Datum) * natts);
	bool	   *nulls = palloc(sizeof(bool) * natts);
	VsRangeScan *scan = scan_ended(run, from, to);

	while (vs_range_next(scan))
	{
		MemoryContext old = MemoryContextSwitchTo(run->rowcxt);

		vs_group_read_state(run, values, nulls);
		emit_closed(run, values, nulls);
		MemoryContextSwitchTo(old);
		MemoryContextReset(run->rowcxt);
		vs_agg_reset(run->aggs);
	}
	vs_range_end(scan);
	pfree(values);
	pfree(nulls);
}

/*
 * Forget groups of tumbling windows that end at "to" or before.  Those that end
 * at "from" or before are forgotten already: a scan that began with them would
 * pass all that the transaction has deleted before.
 */
static void
expire_groups(VsRun *run, TimestampTz from, TimestampTz to)
{
	VsRangeScan *scan = scan_ended(run, from, to);

	while (vs_range_next(scan))
		vs_group_forget(run);
	vs_range_end(scan);
}

/* ----------
 * When there is something to do
 * ----------
 */

/*
 * Where the watermark has to be for windows to close, or to be forgotten, the
 * next time: for queries that close windows by the clock.  It may be too early
 * for sessions, which other rows have made longer.  VS_NO_TIME: nothing will
 * close before other rows come.
 */
TimestampTz
vs_next_close(VsBatch *batch)
{
	VsPlan	   *plan = batch->plan;
	int64		allowed = batch->clock.allowed;
	TimestampTz watermark = batch->row.watermark;
	TimestampTz result = PG_INT64_MAX;
	VsRun	   *run;

	if (!plan->timed || plan->entry.time.idle_timeout < 0 || plan->state_in_output)
		return VS_NO_TIME;
	CommandCounterIncrement();
	run = vs_run_begin(batch);
	if (plan->final)
		result = next_end(run, watermark);
	if (allowed != PG_INT64_MAX && !(plan->final && allowed == 0))
		result = Min(result, vs_time_plus(next_end(run, watermark == VS_NO_TIME ? VS_NO_TIME :
												   vs_time_plus(watermark, -allowed)), allowed));
	vs_run_end(run);
	/* the watermark never comes beyond the last time */
	return result >= END_TIMESTAMP ? VS_NO_TIME : result;
}

/*
 * When the first window ends after some time (VS_NO_TIME: ever) that has rows
 * which are kept; of sessions, perhaps before.  PG_INT64_MAX: none does.
 */
static TimestampTz
next_end(VsRun *run, TimestampTz after)
{
	const VsWindow *window = &run->plan->window;
	TimestampTz result = PG_INT64_MAX;
	Datum		low = 0;
	VsRangeScan *scan;

	if (after != VS_NO_TIME)
		low = vs_event_datum(window->type, vs_time_plus(after, -window->size - window->pane));
	scan = vs_range_begin(run->state, false, 0, after == VS_NO_TIME ? NULL : &low, NULL,
						  ForwardScanDirection);
	while (vs_range_next(scan))
	{
		bool		session = window->kind == VS_WINDOW_SESSION;
		TimestampTz time = vs_kept_time(run, window->key);
		TimestampTz end;

		/* what begins later ends later, but for sessions not by as much */
		if (result != PG_INT64_MAX && (!session || vs_time_plus(time, window->size) >= result))
			break;
		end = session ? vs_kept_time(run, run->plan->nkeys + run->plan->last_time_agg) : time;
		end = vs_window_last_end(window, end);
		if (end <= after)
			continue;
		if (!session)
			end = Max(vs_window_first_end(window, time), vs_window_end_after(window, after));
		result = Min(result, end);
	}
	vs_range_end(scan);
	return result;
}

/* A time in the row of the state table in oldslot: the window, or what min or max has. */
TimestampTz
vs_kept_time(VsRun *run, int column)
{
	bool		null;
	Datum		value = slot_getattr(run->state->oldslot, column + 1, &null);
	TimestampTz time;

	if (null || !vs_event_time(run->plan->window.type, value, &time))
		elog(ERROR, "window without a time");
	return time;
}

/* When the first window ends after some time, whether it has rows or not. */
TimestampTz
vs_window_end_after(const VsWindow *window, TimestampTz after)
{
	if (after == VS_NO_TIME)
		return PG_INT64_MIN;
	if (window->kind == VS_WINDOW_HOP)
		after = vs_time_plus(after, -window->size);
	after = vs_time_plus(vs_window_floor(after, window->advance), window->advance);
	return window->kind == VS_WINDOW_HOP ? vs_time_plus(after, window->size) : after;
}
