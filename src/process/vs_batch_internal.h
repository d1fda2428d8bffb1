/*-------------------------------------------------------------------------
 *
 * vs_batch_internal.h
 *	  What the files of process/ share.
 *
 *-------------------------------------------------------------------------
 */
#ifndef VS_BATCH_INTERNAL_H
#define VS_BATCH_INTERNAL_H

#include "executor/execdesc.h"
#include "functions/vs_window_funcs.h"
#include "process/vs_run.h"
#include "vs_compat.h"

/* Receives the rows of a plan. */
typedef void (*VsRowReceiver) (VsRun *run, TupleTableSlot *slot);

extern void vs_run_plan(VsRun *run, PlannedStmt *stmt, QueryEnvironment *env,
						VsRowReceiver receiver);

/* vs_groups.c */
extern void vs_groups_begin(VsRun *run);
extern void vs_groups_merge(VsRun *run, TupleTableSlot *slot);
extern void vs_groups_turn(VsRun *run); /* what comes now comes later */
extern void vs_groups_finish(VsRun *run);	/* recomputes what must be */

/* vs_close.c */
extern void vs_close_windows(VsBatch *batch, TimestampTz from, TimestampTz to);
extern void vs_close_between(VsRun *run, TimestampTz from, TimestampTz to);
extern bool vs_window_is_closed(VsRun *run, const Datum *keys); /* before this step */
extern TimestampTz vs_next_close(VsBatch *batch);

/* vs_rows.c */
extern void vs_rows_begin(VsRun *run);
extern void vs_rows_merge(VsRun *run, TupleTableSlot *slot);
extern void vs_rows_finish(VsRun *run);
pg_noreturn extern void vs_report_missing_row(VsRun *run);	/* the output has not
															 * what it must have */

/* vs_clock.c */
#define VS_LATE_SQLSTATE	"VS001" /* of the dead letters of late rows */
#define VS_TIMELESS_SQLSTATE	"VS002" /* of those without an event time that
										 * counts */
extern void vs_clock_start(VsBatch *batch); /* before the first execution */
extern void vs_clock_attach(VsBatch *batch);	/* admit() works for this
												 * batch; NULL: for none */
extern TimestampTz vs_clock_watermark(VsBatch *batch);	/* after the rows seen
														 * so far */
extern void vs_clock_step(VsBatch *batch);	/* the watermark moves on, windows
											 * close */
extern void vs_clock_go_ahead(VsBatch *batch);
extern void vs_clock_turn(VsRun *run, int64 bucket);
extern void vs_window_first(const VsWindow *window, TimestampTz time, TimestampTz *start,
							TimestampTz *end);
extern void vs_window_next(const VsWindow *window, TimestampTz *start, TimestampTz *end);
extern Datum vs_window_key(const VsWindow *window, TimestampTz start, TimestampTz end);
extern TimestampTz vs_window_first_end(const VsWindow *window, TimestampTz time);
extern TimestampTz vs_window_last_end(const VsWindow *window, TimestampTz time);

/* vs_top.c */
extern void vs_top_finish(VsRun *run);	/* what was taken, to the output */
extern void vs_top_complete(VsBatch *batch);	/* at the end of the delta */

/* vs_row_buffers.c */
extern void vs_row_windows_execute(VsBatch *batch, uint64 first, uint64 last);

/* vs_dead_letter.c */
extern void vs_execute_isolating(VsBatch *batch);
extern void vs_replay_begin(VsBatch *batch);	/* the delta is open, nothing
												 * was read yet */
extern void vs_replay_end(VsBatch *batch);

/* vs_correct.c */
extern const char *vs_correct_why_not(VsBatch *batch, int64 letters);

/* vs_batch.c */
extern VsHasher *vs_key_hasher(VsPlan *plan);
extern VsRun *vs_run_begin(VsBatch *batch);
extern void vs_run_end(VsRun *run);
extern void vs_execute_window(VsBatch *batch, uint64 first, uint64 last);
extern bool vs_divisible(VsBatch *batch);
extern void vs_probe_window(VsBatch *batch, uint64 first, uint64 last);
extern void vs_execute_delta(VsBatch *batch);	/* as options->batch_rows says */
extern void vs_batch_enter(void);
extern void vs_batch_leave(void);
extern void vs_batch_fix_settings(void);

/* vs_process_sql.c */
extern Datum vs_slot_to_jsonb(TupleTableSlot *slot);

#endif							/* VS_BATCH_INTERNAL_H */
