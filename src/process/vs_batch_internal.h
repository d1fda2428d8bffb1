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
#include "process/vs_run.h"

/* Receives the rows of a plan. */
typedef void (*VsRowReceiver) (VsRun *run, TupleTableSlot *slot);

extern void vs_run_plan(VsRun *run, PlannedStmt *stmt, QueryEnvironment *env,
						VsRowReceiver receiver);

/* vs_groups.c */
extern void vs_groups_begin(VsRun *run);
extern void vs_groups_merge(VsRun *run, TupleTableSlot *slot);
extern void vs_groups_finish(VsRun *run);	/* recomputes what must be */

/* vs_rows.c */
extern void vs_rows_begin(VsRun *run);
extern void vs_rows_merge(VsRun *run, TupleTableSlot *slot);
extern void vs_rows_finish(VsRun *run);

/* vs_dead_letter.c */
extern void vs_execute_isolating(VsBatch *batch);

/* vs_batch.c */
extern void vs_execute_window(VsBatch *batch, uint64 first, uint64 last);

/* vs_process_sql.c */
extern Datum vs_slot_to_jsonb(TupleTableSlot *slot);

#endif							/* VS_BATCH_INTERNAL_H */
