/*-------------------------------------------------------------------------
 *
 * vs_batch.c
 *	  One batch of a query: the query processor.
 *
 * Everything that a batch does, it does in the caller's transaction:
 *
 *	1. lock the query (no other batch of it until the transaction ends);
 *	2. read its frontier (S1), take a new snapshot (S2), find the pages that
 *	   may differ;
 *	3. run the delta plan, merge its rows, write output and state;
 *	4. write the frontier;
 *	5. tell the shared context what becomes true at commit.
 *
 * A crash or an error before the commit record leaves nothing of it; after
 * it, everything.  What a batch put into the shared cache is thrown away by
 * an abort (state/vs_context.c).
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/xact.h"
#include "executor/executor.h"
#include "miscadmin.h"
#include "pgstat.h"
#include "postmaster/interrupt.h"
#include "portability/instr_time.h"
#include "process/vs_batch_internal.h"
#include "storage/latch.h"
#include "storage/lmgr.h"
#include "tcop/dest.h"
#include "utils/guc.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/rel.h"
#include "utils/snapmgr.h"
#include "utils/timestamp.h"
#include "vs_compat.h"

/*
 * A frontier of a query at rest is written again after so long, in us: less
 * than the pause between a worker's attempts, of which none may be in vain.
 */
#define IDLE_ADVANCE_US	INT64CONST(500000)

/*
 * Batches of so many rows or more are run one by one: then to start the
 * executor for each costs less than to sort the rows of each by their keys.
 */
#define MAX_BUCKET_ROWS	150

/* Fewer rows tell nothing about those of the next batches. */
#define LEARN_ROWS		1000

/* So many rows are looked at before a first batch of so many pages. */
#define SAMPLE_ROWS		100000
#define SAMPLE_PAGES	4000

/* Does this process run a batch? */
static bool running = false;

static void run_as_owner(VsBatch *batch, const VsQueryEntry *entry, VsBatchResult *result);
static bool run_batch(VsBatch *batch);
static void report_progress(void *arg, uint64 pages);
static void bury_again(void *arg, Oid source, ItemPointer tid, TransactionId xmin);
static void open_delta(VsBatch *batch);
static void hold_horizon(VsBatch *batch);
static void start_over(VsBatch *batch, const char *reason);
static void clear_output(VsBatch *batch);
static void sweep_output(VsBatch *batch);
static bool is_first(VsBatch *batch);
static bool must_write_frontier(VsBatch *batch);
static void write_frontier(VsBatch *batch, instr_time start);
static void ignore_row(VsRun *run, TupleTableSlot *slot);
static bool can_bucket(VsPlan *plan);
static void execute_buckets(VsBatch *batch, uint64 rows);
static void merge_in_bucket(VsRun *run, TupleTableSlot *slot);
static void begin_in_memory(VsRun *run);
static PlannedStmt *delta_plan(VsBatch *batch);
static void run_groups_plan(VsRun *run, PlannedStmt *stmt);
static void learn_from(VsRun *run, uint64 rows);
static void take_sample(VsBatch *batch);
static int	compare_int64(const void *a, const void *b);
static void sample_row(VsRun *run, TupleTableSlot *slot);
static bool sort_rows(VsBatch *batch);

bool
vs_batch_running(void)
{
	return running;
}

/* One inside another would read the same delta again: there is one active delta only. */
static void
refuse_nested(void)
{
	if (running)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_IN_USE),
				 errmsg("cannot run a batch of a continuous query inside another one"),
				 errhint("Triggers on an output, and functions that a query calls, must not call velostream.process() or velostream.query().")));
}

/* From here to vs_batch_leave, also in an error, this process runs a batch. */
void
vs_batch_enter(void)
{
	refuse_nested();
	running = true;
}

void
vs_batch_leave(void)
{
	running = false;
}

/* See vs_process.h.  The locks are those of all batches, in this order: output, query. */
void
vs_batch_run(Oid output, const VsBatchOptions *options, VsBatchResult *result)
{
	VsBatch		batch = {0};
	VsQueryEntry entry;

	refuse_nested();
	memset(result, 0, sizeof(VsBatchResult));
	batch.outputid = output;
	batch.options = options;
	batch.replay = options->replay ? result : NULL;
	/* the relation first, as commands that alter or drop it */
	if (!options->nowait)
		LockRelationOid(output, RowExclusiveLock);
	else if (!ConditionalLockRelationOid(output, RowExclusiveLock))
	{
		result->busy = true;
		return;
	}
	batch.shared = vs_context_attach(output);
	if (!vs_context_begin_batch(batch.shared, options->nowait))
	{
		result->busy = true;
		return;
	}
	if (!vs_registry_read(output, &entry) || !entry.adopted ||
		entry.status != VS_STATUS_RUNNING)
	{
		vs_context_no_answer(batch.shared);
		result->skipped = true;
		return;
	}
	vs_wait_point("batch-begin");
	running = true;
	if (options->nowait)
		vs_yield_begin(output);
	PG_TRY();
	{
		run_as_owner(&batch, &entry, result);
	}
	PG_CATCH();
	{
		running = false;
		vs_yield_end();
		vs_clock_attach(NULL);
		if (batch.delta != NULL && vs_delta_deceived(batch.delta))
			vs_context_distrust(batch.shared);
		PG_RE_THROW();
	}
	PG_END_TRY();
	running = false;
	vs_yield_end();
	vs_wait_point("batch-end");
}

/*
 * Run the batch as the output's owner, in a security-restricted operation,
 * with settings that no one else chose.  An error restores them with the
 * transaction.
 */
static void
run_as_owner(VsBatch *batch, const VsQueryEntry *entry, VsBatchResult *result)
{
	VsRunAs		before;
	MemoryContext context;
	MemoryContext old;
	VsDeltaCounters counters;

	vs_run_as_begin(&before, entry->owner);
	vs_batch_fix_settings();

	context = AllocSetContextCreate(CurrentMemoryContext, "velostream batch",
									ALLOCSET_DEFAULT_SIZES);
	old = MemoryContextSwitchTo(context);
	batch->context = context;
	if (run_batch(batch))
	{
		vs_delta_counters(batch->delta, &counters);
		result->rows = counters.rows_in + counters.rows_out;
		result->changes = batch->changes;
		result->frontier_xmin = batch->row.frontier.snapshot->xmin;

		vs_delta_activate(NULL);
		vs_delta_end(batch->delta);
		batch->delta = NULL;
		PopActiveSnapshot();
		UnregisterSnapshot(batch->snapshot);
	}
	else
	{
		vs_context_no_answer(batch->shared);
		result->busy = true;
	}
	MemoryContextSwitchTo(old);
	MemoryContextDelete(context);

	vs_run_as_end(&before);
}

/*
 * In this GUC nest level: compiling costs more than a batch; and a delta plan
 * must not be split again.
 */
void
vs_batch_fix_settings(void)
{
	set_config_option("jit", "off", PGC_USERSET, PGC_S_SESSION,
					  GUC_ACTION_SAVE, true, 0, false);
	set_config_option("enable_partitionwise_aggregate", "off", PGC_USERSET, PGC_S_SESSION,
					  GUC_ACTION_SAVE, true, 0, false);
}

/*
 * Lock what the query read last.  False if that would have to wait: a worker
 * that waits for a lock holds up all queries, those of its transaction first.
 */
static bool
lock_sources(const VsFrontier *frontier)
{
	for (int i = 0; i < frontier->nsources; i++)
		if (!ConditionalLockRelationOid(frontier->sources[i].relid, AccessShareLock))
			return false;
	return true;
}

/* False: nothing was done, as a source is locked and we are not to wait. */
static bool
run_batch(VsBatch *batch)
{
	instr_time	start;

	INSTR_TIME_SET_CURRENT(start);
	if (!vs_frontier_read(batch->outputid, &batch->row))
		elog(ERROR, "no frontier for relation %u", batch->outputid);
	if (batch->row.damaged)
		ereport(ERROR,
				(errcode(ERRCODE_DATA_CORRUPTED),
				 errmsg("what velostream.frontier says about continuous query \"%s\" is damaged",
						get_rel_name(batch->outputid)),
				 errhint("Use velostream.rebuild().")));
	if (batch->options->nowait && !lock_sources(&batch->row.frontier))
		return false;
	batch->plan = vs_plan_get(batch->outputid, batch->options->nowait);
	if (batch->plan == NULL)
		return false;
	if (batch->options->nowait)
		vs_yield_for(lcons_oid(batch->plan->source, list_copy(batch->plan->leaves)));

	/*
	 * S2.  Rows of our own transaction count as in progress, whatever the
	 * command that wrote them: the stored frontier could not tell those
	 * already there from those that come later.
	 */
	batch->snapshot = RegisterSnapshot(GetLatestSnapshot());
	batch->snapshot->curcid = FirstCommandId;
	PushActiveSnapshot(batch->snapshot);

	vs_delta_flush_at_once(batch->options->immediate_flush);
	open_delta(batch);
	if (batch->replay)
		vs_replay_begin(batch);
	if (batch->plan->entry.on_error == VS_ON_ERROR_DEAD_LETTER && !batch->fresh)
		vs_dead_letter_scan(batch->outputid, bury_again, batch->delta);
	if (batch->fresh || vs_delta_degraded(batch->delta))
		hold_horizon(batch);
	vs_context_progress(batch->shared, 0, vs_delta_pages_total(batch->delta));
	vs_delta_report_to(batch->delta, report_progress, batch);
	vs_wait_point("delta-open");

	vs_clock_start(batch);
	if (batch->fresh || !vs_delta_is_empty(batch->delta) || is_first(batch))
	{
		vs_delta_activate(batch->delta);
		batch->change = vs_delta_may_retract(batch->delta) &&
			batch->plan->entry.mode == VS_SOURCE_CHANGES && !batch->fresh;
		if (batch->plan->entry.on_error == VS_ON_ERROR_DEAD_LETTER)
			vs_execute_isolating(batch);
		else
			vs_execute_delta(batch);
	}
	vs_clock_step(batch);
	vs_top_complete(batch);
	if (batch->replay)
		vs_replay_end(batch);

	if (batch->kept)
		sweep_output(batch);

	vs_wait_point("before-frontier");
	if (must_write_frontier(batch))
	{
		batch->row.next_close = vs_next_close(batch);
		write_frontier(batch, start);
	}
	vs_wait_point("after-frontier");
	vs_context_publish(batch->shared, batch->row.frontier.snapshot->xmin,
					   batch->row.frontier.lsn, batch->row.updated_at);
	return true;
}

/* Tell the others how far it is. */
static void
report_progress(void *arg, uint64 pages)
{
	VsBatch    *batch = arg;

	vs_context_progress(batch->shared, pages, vs_delta_pages_total(batch->delta));
	vs_yield();
	vs_wait_point("delta-scan");
}

/* A row that was never counted must not be taken away, either. */
static void
bury_again(void *arg, Oid source, ItemPointer tid, TransactionId xmin)
{
	vs_delta_bury(arg, source, tid, xmin);
}

/* Find what differs; start over from nothing if the frontier is of no use. */
static void
open_delta(VsBatch *batch)
{
	VsPlan	   *plan = batch->plan;
	VsFrontierRow *row = &batch->row;
	const char *reason = NULL;

	if (row->frontier.snapshot != NULL)
	{
		if (row->rebuild)
			reason = row->rebuild_reason ? row->rebuild_reason : "asked for";
		else if (row->fingerprint != 0 && row->fingerprint != plan->fingerprint)
			reason = "a view, a row security policy, a primary key or an aggregate that the query uses has changed";
	}
	if (reason == NULL)
	{
		batch->fresh = row->frontier.snapshot == NULL;
		vs_delta_trust_hints(!vs_context_distrusted(batch->shared));
		batch->delta = vs_delta_begin(batch->outputid, &row->frontier, plan->entry.mode,
									  plan->leaves, batch->snapshot);

		vs_delta_arrives_after(batch->delta, row->arrived);
		reason = vs_delta_rebuild_reason(batch->delta);
		if (reason)
		{
			reason = pstrdup(reason);
			vs_delta_end(batch->delta);
			batch->delta = NULL;
		}
	}
	if (reason)
		start_over(batch, reason);
	else if (batch->fresh && row->rebuild)
		clear_output(batch);	/* restored from a dump: rows of old */
}

/*
 * From now on, not only from the commit on, nothing may remove what S2 sees:
 * after the commit, S2 is the frontier.  Until then our own snapshot protects
 * it, and so makes lowering the horizon sound.
 */
static void
hold_horizon(VsBatch *batch)
{
	VsFrontier *frontier = vs_delta_frontier(batch->delta);

	frontier->horizon = vs_horizon_lower(frontier->snapshot->xmin);
}

/* Compute all anew: what output, state and counters tell of the rows is void. */
static void
start_over(VsBatch *batch, const char *reason)
{
	VsFrontierRow *row = &batch->row;

	ereport(LOG,
			(errmsg("continuous query \"%s\" is rebuilt: %s",
					get_rel_name(batch->outputid), reason)));
	clear_output(batch);
	memset(&row->frontier, 0, sizeof(row->frontier));
	row->event_time = row->watermark = row->event_at = VS_NO_TIME;
	row->late = row->partly_late = row->open_windows = 0;
	vs_capture_forget(batch->outputid);
	vs_dead_letter_clear(batch->outputid);	/* each gets another chance */
	row->dead = row->ignored = 0;
	row->rows_out = row->rows_in;	/* what was counted is taken out, and in
									 * again */
	row->rebuilds++;
	batch->fresh = true;
	batch->delta = vs_delta_begin(batch->outputid, &row->frontier, batch->plan->entry.mode,
								  batch->plan->leaves, batch->snapshot);
	/* shown by the views until the next rebuild */
	row->rebuild_reason = pstrdup(reason);
}

/* What output and state hold is void; readers see that with the new rows. */
static void
clear_output(VsBatch *batch)
{
	VsRun	   *run = vs_run_begin(batch);

	vs_emit_reset(run);
	vs_run_end(run);
	vs_cache_clear(batch->shared);
	CommandCounterIncrement();
}

/*
 * A query without GROUP BY has one row, also where WITH NO DATA left it
 * nothing to read: its first batch writes it.
 */
static bool
is_first(VsBatch *batch)
{
	return batch->plan->single_group && batch->row.batches == 0;
}

/* The rebuild is through: rows of old that it did not meet go. */
static void
sweep_output(VsBatch *batch)
{
	VsRun	   *run;

	CommandCounterIncrement();
	run = vs_run_begin(batch);
	vs_emit_sweep(run);
	vs_run_end(run);
}

/*
 * An empty delta need not be remembered, except now and then, so that a query
 * at rest does not hold back the horizon.
 */
static bool
must_write_frontier(VsBatch *batch)
{
	VsFrontier *next = vs_delta_frontier(batch->delta);
	VsFrontierRow *row = &batch->row;

	if (row->frontier.snapshot == NULL || !vs_delta_is_empty(batch->delta) ||
		is_first(batch) || row->fingerprint != batch->plan->fingerprint ||
		row->watermark != batch->old_watermark || batch->replay)
		return true;
	return FullTransactionIdPrecedes(row->frontier.snapshot->xmin, next->snapshot->xmin) &&
		GetCurrentTimestamp() - row->updated_at >= IDLE_ADVANCE_US;
}

/* Write the new frontier, with the counters of this batch added. */
static void
write_frontier(VsBatch *batch, instr_time start)
{
	VsFrontierRow *row = &batch->row;
	VsDeltaCounters counters;
	instr_time	duration;
	bool		first = row->frontier.snapshot == NULL;

	INSTR_TIME_SET_CURRENT(duration);
	INSTR_TIME_SUBTRACT(duration, start);
	vs_delta_counters(batch->delta, &counters);

	row->frontier = *vs_delta_frontier(batch->delta);
	row->fingerprint = batch->plan->fingerprint;
	row->rebuild = false;
	row->updated_at = GetCurrentTimestamp();
	if (first || !vs_delta_is_empty(batch->delta) || is_first(batch) ||
		row->watermark != batch->old_watermark)
		row->batches++;
	row->rows_in += counters.rows_in;
	row->arrived = vs_delta_arrived(batch->delta);
	row->rows_out += counters.rows_out;
	row->ignored += counters.ignored;
	row->changes += batch->changes;
	row->recomputed += batch->recomputed;
	row->dead += batch->dead;
	row->busy_us += INSTR_TIME_GET_MICROSEC(duration);
	vs_frontier_write(batch->outputid, row);
}

/* ----------
 * Running a delta plan
 * ----------
 */

/*
 * Process the whole delta, options->batch_rows at a time: each so many rows
 * are merged and emitted by themselves.  Where rows do not meet, as no two have
 * to do with one another, that is so in any case.  Where groups are computed
 * again from the source, it is done once.
 */
void
vs_execute_delta(VsBatch *batch)
{
	uint64		rows = batch->options->batch_rows;
	uint64		first = 0;

	if (batch->fresh && rows == 0 && batch->shared != NULL &&
		vs_plan_orders_groups(batch->plan) &&
		vs_delta_pages_total(batch->delta) >= SAMPLE_PAGES)
		take_sample(batch);
	if (rows == 0 || !vs_divisible(batch) ||
		(!batch->change && batch->plan->strategy != VS_STRATEGY_GROUPS &&
		 !batch->plan->top.active))
		vs_execute_window(batch, 0, PG_UINT64_MAX);
	else if (!batch->change && rows < MAX_BUCKET_ROWS && can_bucket(batch->plan))
		execute_buckets(batch, rows);
	else
	{
		do
		{
			vs_execute_window(batch, first, first + rows);
			vs_clock_step(batch);
			first += rows;
		} while (!vs_delta_exhausted(batch->delta));
	}
}

/*
 * Where windows close, rows of several tables would not be admitted in the
 * order of the buckets, and the window of a late row that is to be counted in
 * an open one is asked for when others were admitted.
 */
static bool
can_bucket(VsPlan *plan)
{
	if (plan->strategy != VS_STRATEGY_GROUPS)
		return false;
	return !plan->timed ||
		(list_length(plan->leaves) == 1 && plan->entry.time.late != VS_LATE_NEXT);
}

/* Merge so many rows at a time, all of them in one execution of a plan. */
static void
execute_buckets(VsBatch *batch, uint64 rows)
{
	VsPlan	   *plan = batch->plan;
	PlannedStmt *stmt = vs_plan_buckets(plan, rows > 1);
	VsRun	   *run;
	bool		none;

	vs_delta_set_window(batch->delta, 0, PG_UINT64_MAX);
	vs_delta_set_bucket(batch->delta, rows);
	batch->fresh = false;
	batch->at_once = false;
	run = vs_run_begin(batch);
	run->bucket = -1;
	if (plan->timed)
		vs_clock_go_ahead(batch);
	vs_clock_attach(batch);
	vs_groups_begin(run);
	vs_run_plan(run, stmt, NULL, merge_in_bucket);
	vs_wait_point("after-merge");
	vs_groups_finish(run);
	vs_clock_attach(NULL);
	none = run->bucket < 0;
	vs_run_end(run);

	/* the one group of a query without GROUP BY is there even without a row */
	if (none && plan->single_group)
		vs_execute_window(batch, 0, 0);
}

/* A row of the bucket plan. */
static void
merge_in_bucket(VsRun *run, TupleTableSlot *slot)
{
	VsPlan	   *plan = run->plan;
	bool		null;
	int64		bucket = DatumGetInt64(slot_getattr(slot, plan->nkeys +
													plan->delta_column[plan->naggs] + 1,
													&null));

	if (bucket != run->bucket && run->bucket >= 0)
	{
		/* its groups may come again */
		vs_target_look_again(run->output);
		if (run->state)
			vs_target_look_again(run->state);
		vs_groups_turn(run);
		/* a command cannot update a row that it has written itself */
		vs_top_finish(run);
		vs_target_write(run->output);
		CommandCounterIncrement();
		if (plan->timed)
		{
			vs_clock_turn(run, bucket);
			vs_top_finish(run);
			vs_target_write(run->output);
			CommandCounterIncrement();
		}
	}
	run->bucket = bucket;
	vs_groups_merge(run, slot);
}

/*
 * Process the rows [first, last) of the delta and write what follows from
 * them; the effects are visible to a later call in the same transaction.
 */
void
vs_execute_window(VsBatch *batch, uint64 first, uint64 last)
{
	PlannedStmt *stmt;
	VsRun	   *run;
	VsDeltaCounters before;
	VsDeltaCounters after;

	if (batch->plan->strategy == VS_STRATEGY_ROW_WINDOW)
	{
		vs_row_windows_execute(batch, first, last);
		return;
	}
	stmt = delta_plan(batch);
	vs_delta_set_window(batch->delta, first, last);
	batch->at_once = first == 0 && last == PG_UINT64_MAX;
	run = vs_run_begin(batch);
	if (batch->plan->strategy == VS_STRATEGY_GROUPS)
	{
		vs_clock_attach(batch);
		vs_groups_begin(run);
		vs_delta_counters(batch->delta, &before);
		run_groups_plan(run, stmt);
		vs_delta_counters(batch->delta, &after);
		learn_from(run, after.rows_in - before.rows_in);
		vs_wait_point("after-merge");
		vs_groups_finish(run);
		vs_clock_attach(NULL);
	}
	else
	{
		vs_rows_begin(run);
		vs_run_plan(run, stmt, NULL, vs_rows_merge);
		vs_wait_point("after-merge");
		vs_rows_finish(run);
	}
	vs_run_end(run);
	batch->fresh = false;
}

/*
 * Can the delta be processed in parts?  Not where groups may be computed again
 * from the source as it is after all of it; nor where rows are known by a key,
 * of which the new version may come in an earlier part than the old one.
 */
bool
vs_divisible(VsBatch *batch)
{
	return !batch->corrects &&
		(!batch->change ||
		 !(batch->plan->recompute || batch->plan->strategy == VS_STRATEGY_ROWS));
}

/* Read the rows [first, last) of the delta through its plan, for the errors only. */
void
vs_probe_window(VsBatch *batch, uint64 first, uint64 last)
{
	PlannedStmt *stmt = delta_plan(batch);
	VsRun	   *run;

	vs_delta_set_window(batch->delta, first, last);
	run = vs_run_begin(batch);
	vs_clock_attach(batch);
	vs_run_plan(run, stmt, NULL, ignore_row);
	vs_clock_attach(NULL);
	vs_run_end(run);
}

static void
ignore_row(VsRun *run, TupleTableSlot *slot)
{
}

/* A hasher over the keys of a plan, in CurrentMemoryContext. */
VsHasher *
vs_key_hasher(VsPlan *plan)
{
	Oid		   *types = palloc(sizeof(Oid) * Max(plan->nkeys, 1));
	Oid		   *collations = palloc(sizeof(Oid) * Max(plan->nkeys, 1));

	for (int i = 0; i < plan->nkeys; i++)
	{
		types[i] = plan->keys[i].type;
		collations[i] = plan->keys[i].collation;
	}
	return vs_hasher_make(plan->nkeys, types, collations, false);
}

/*
 * Open output and state for writing.  From here to vs_run_end the current
 * memory context is the run's own: a batch may be made of any number of runs.
 */
VsRun *
vs_run_begin(VsBatch *batch)
{
	MemoryContext context = AllocSetContextCreate(CurrentMemoryContext, "velostream run",
												  ALLOCSET_DEFAULT_SIZES);
	MemoryContext old = MemoryContextSwitchTo(context);
	VsPlan	   *plan = batch->plan;
	VsRun	   *run = palloc0(sizeof(VsRun));
	RelFileNode none = {0};
	bool		stream = plan->entry.kind == VS_KIND_STREAM;
	bool		image;
	List	   *lookup = vs_plan_locator_columns(plan, &image);
	Oid			locator = InvalidOid;
	Oid			panes;
	Oid			windows;

	run->batch = batch;
	run->plan = plan;
	run->context = context;
	run->caller = old;
	run->rowcxt = AllocSetContextCreate(context, "velostream row", ALLOCSET_DEFAULT_SIZES);

	if (batch->shared == NULL)
	{
		begin_in_memory(run);
		return run;
	}
	if (lookup != NIL)
		locator = vs_registry_locator(batch->outputid, lookup, image,
									  vs_plan_locator_window(plan, false), true);
	run->output = vs_target_begin(batch->outputid, plan->ncolumns + (stream ? 3 : 0),
								  lookup, image, locator, batch->snapshot);
	if (OidIsValid(plan->entry.state))
	{
		bool		buffers = plan->strategy == VS_STRATEGY_ROW_WINDOW;

		lookup = vs_plan_state_keys(plan);
		if (buffers)
			lookup = lappend_int(lookup, plan->nkeys + 1);
		locator = lookup == NIL || plan->panes || buffers ? InvalidOid :
			vs_registry_locator(plan->entry.state, lookup, false,
								vs_plan_locator_window(plan, true), true);
		vs_registry_window_indexes(plan->entry.state, plan, &panes, &windows);
		run->state = vs_target_begin(plan->entry.state, plan->groupdesc->natts,
									 lookup, false, locator, batch->snapshot);
		if (vs_plan_window_column(plan) != 0)
			vs_target_use_windows(run->state, vs_plan_window_column(plan), panes, windows);
	}
	vs_cache_check_files(batch->shared, run->output->rel->rd_node,
						 run->state ? run->state->rel->rd_node : none);
	return run;
}

/* A query that is run once writes to memory. */
static void
begin_in_memory(VsRun *run)
{
	VsPlan	   *plan = run->plan;
	List	   *lookup = NIL;
	bool		image;

	/* all rows of buffers are in one step, which needs no state */
	if (plan->top.standing)
		lookup = vs_plan_locator_columns(plan, &image);
	else
		for (int i = 0; i < plan->nkeys && plan->strategy != VS_STRATEGY_ROW_WINDOW; i++)
			lookup = lappend_int(lookup, plan->keys[i].output_attno);
	run->output = vs_target_begin_memory(run->batch->output_rows,
										 ExecCleanTypeFromTL(plan->query->targetList), lookup);
	if (vs_plan_state_columns(plan) == NIL || plan->strategy == VS_STRATEGY_ROW_WINDOW)
		return;
	run->state = vs_target_begin_memory(run->batch->state_rows, plan->groupdesc,
										vs_plan_state_keys(plan));
	if (vs_plan_window_column(plan) != 0)
		vs_target_use_windows(run->state, vs_plan_window_column(plan), InvalidOid, InvalidOid);
}

void
vs_run_end(VsRun *run)
{
	if (run->state)
		vs_target_end(run->state);
	vs_target_end(run->output);
	MemoryContextSwitchTo(run->caller);
	MemoryContextDelete(run->context);
}

/*
 * Run a plan over groups.  Where rows are sorted, nothing is hashed: the sort
 * may have the memory of both.
 */
static void
run_groups_plan(VsRun *run, PlannedStmt *stmt)
{
	int			nestlevel = NewGUCNestLevel();

	if (stmt == run->plan->sorted_plan)
	{
		double		kilobytes = work_mem + get_hash_memory_limit() / 1024.0;

		set_config_option("work_mem", psprintf("%.0f", Min(kilobytes, MAX_KILOBYTES)),
						  PGC_USERSET, PGC_S_SESSION, GUC_ACTION_SAVE, true, 0, false);
	}
	vs_run_plan(run, stmt, NULL, vs_groups_merge);
	AtEOXact_GUC(true, nestlevel);
}

/*
 * So many rows have come in the groups that this run has merged.  The next ones
 * will be of the same kind.
 */
static void
learn_from(VsRun *run, uint64 rows)
{
	if (rows >= LEARN_ROWS && !run->batch->change && vs_plan_orders_groups(run->plan))
		run->plan->alone_rows = run->ngroups > rows / 2 ? rows : 0;
}

/* The same from the first rows, before a large delta is read. */
static void
take_sample(VsBatch *batch)
{
	VsDeltaCounters counters;
	VsRun	   *run;

	vs_delta_counters(batch->delta, &counters);
	vs_delta_set_window(batch->delta, 0, SAMPLE_ROWS);
	run = vs_run_begin(batch);
	run->sample = palloc(SAMPLE_ROWS * sizeof(int64));
	batch->clock.sampling = true;
	vs_clock_attach(batch);
	vs_run_plan(run, vs_plan_sample(batch->plan), NULL, sample_row);
	vs_clock_attach(NULL);
	batch->clock.sampling = false;
	qsort(run->sample, run->nsample, sizeof(int64), compare_int64);
	for (int i = 0; i < run->nsample; i++)
		run->ngroups += i == 0 || run->sample[i] != run->sample[i - 1];
	learn_from(run, run->nsample);
	vs_run_end(run);
	vs_delta_restore_counters(batch->delta, &counters);
}

static void
sample_row(VsRun *run, TupleTableSlot *slot)
{
	bool		null;
	Datum		order = slot_getattr(slot, 1, &null);

	Assert(run->nsample < SAMPLE_ROWS);
	run->sample[run->nsample++] = null ? 0 : DatumGetInt64(order);
}

static int
compare_int64(const void *a, const void *b)
{
	int64		first = *(const int64 *) a;
	int64		second = *(const int64 *) b;

	return first < second ? -1 : first > second;
}

/*
 * Are most rows of this delta groups of their own, as far as one can tell?  Not
 * if it is much larger than what one has seen: groups that are met once among
 * a thousand rows may still be few.
 */
static bool
sort_rows(VsBatch *batch)
{
	uint64		rows = vs_delta_pages_total(batch->delta) * 100;
	uint64		seen = batch->plan->alone_rows;

	return !batch->change && seen > 0 && (seen >= SAMPLE_ROWS / 2 || rows / 4 <= seen);
}

/*
 * The plan for this delta.  Hash tables are sized for the delta at hand, not
 * for the one that was there when the plan was made.
 */
static PlannedStmt *
delta_plan(VsBatch *batch)
{
	VsPlan	   *plan = batch->plan;
	PlannedStmt *stmt;

	if (sort_rows(batch))
		return vs_plan_sorted(plan);
	stmt = batch->change ? vs_plan_change(plan) : vs_plan_insert(plan);
	if (plan->strategy == VS_STRATEGY_GROUPS && vs_plan_agg(stmt) != NULL)
	{
		Agg		   *agg = vs_plan_agg(stmt);
		double		rows = vs_delta_pages_total(batch->delta) * 100.0;

		agg->numGroups = (long) Max(1, Min(rows, plan->planned_groups[batch->change]));
	}
	return stmt;
}

/* A receiver that hands each row to a function, in the run's row context. */
typedef struct RunReceiver
{
	DestReceiver pub;
	VsRun	   *run;
	VsRowReceiver receive;
} RunReceiver;

static bool
receive_row(TupleTableSlot *slot, DestReceiver *self)
{
	RunReceiver *receiver = (RunReceiver *) self;
	VsRun	   *run = receiver->run;
	MemoryContext old = MemoryContextSwitchTo(run->rowcxt);

	CHECK_FOR_INTERRUPTS();
	vs_yield();
	receiver->receive(run, slot);
	MemoryContextSwitchTo(old);
	MemoryContextReset(run->rowcxt);
	if (run->aggs)
		vs_agg_reset(run->aggs);
	return true;
}

static void
receiver_startup(DestReceiver *self, int operation, TupleDesc typeinfo)
{
}

static void
receiver_noop(DestReceiver *self)
{
}

/* Run a plan under the batch's snapshot and hand its rows to "receive". */
void
vs_run_plan(VsRun *run, PlannedStmt *stmt, QueryEnvironment *env, VsRowReceiver receive)
{
	RunReceiver receiver = {
		.pub = {
			.receiveSlot = receive_row,
			.rStartup = receiver_startup,
			.rShutdown = receiver_noop,
			.rDestroy = receiver_noop,
			.mydest = DestNone
		},
		.run = run,
		.receive = receive
	};
	QueryDesc  *desc;

	desc = CreateQueryDesc(stmt, "velostream delta", run->batch->snapshot, InvalidSnapshot,
						   &receiver.pub, NULL, env, 0);
	ExecutorStart(desc, 0);
	vs_executor_run(desc);
	ExecutorFinish(desc);
	ExecutorEnd(desc);
	FreeQueryDesc(desc);
}

/* Stand still here while velostream.stop_at names this point; see vs_process.h. */
void
vs_wait_point(const char *point)
{
	bool		said = false;
	int			events;

	while (unlikely(vs_stop_at[0] != '\0' && strcmp(vs_stop_at, point) == 0))
	{
		if (!said)
			ereport(LOG, (errmsg("velostream stopped at \"%s\"", point)));
		said = true;
		events = WaitLatch(MyLatch, WL_LATCH_SET | WL_TIMEOUT | WL_POSTMASTER_DEATH, 10,
						   PG_WAIT_EXTENSION);
		ResetLatch(MyLatch);
		CHECK_FOR_INTERRUPTS();
		/* interrupts are held off, or this is a commit: it ends later */
		if (ProcDiePending || (events & WL_POSTMASTER_DEATH))
			break;
		if (ConfigReloadPending)
		{
			ConfigReloadPending = false;
			ProcessConfigFile(PGC_SIGHUP);
		}
	}
}
