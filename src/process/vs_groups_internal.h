/*-------------------------------------------------------------------------
 *
 * vs_groups_internal.h
 *	  What the files that keep groups share: merging, panes, closing.
 *
 *-------------------------------------------------------------------------
 */
#ifndef VS_GROUPS_INTERNAL_H
#define VS_GROUPS_INTERNAL_H

#include "process/vs_batch_internal.h"

/* A group while it is worked on; everything in the run's row context. */
typedef struct VsMergeGroup
{
	uint64		hash;			/* once "hashed" */
	bool		hashed;
	bool		found;
	int			cache_index;	/* entry in the cache, or -1 */
	ItemPointerData output_tid;
	ItemPointerData state_tid;
	Datum	   *values;			/* keys and transition values */
	bool	   *nulls;
	bool		changed;		/* the output row is another one for certain */
	Datum	   *old_values;		/* transition values before, for streams and
								 * panes */
	bool	   *old_nulls;
	struct VsCorrection *correction;	/* its window is over, see
										 * vs_correct.c; or NULL */
} VsMergeGroup;

/* vs_groups.c */
extern bool vs_group_output_row(VsRun *run, const Datum *values, const bool *nulls,
								Datum **row, bool **row_nulls);
extern void vs_group_read_state(VsRun *run, Datum *values, bool *nulls);
extern void vs_group_forget(VsRun *run);
extern void vs_group_add(VsRun *run, VsMergeGroup *group, const Datum *values, const bool *nulls);
extern void vs_group_read_output(VsRun *run, VsMergeGroup *group, TupleTableSlot *slot);

/* vs_panes.c */
extern void vs_panes_begin(VsRun *run);
extern void vs_panes_touch(VsRun *run, VsMergeGroup *group);
extern void vs_panes_turn(VsRun *run);	/* windows of what was touched */
extern void vs_panes_finish(VsRun *run);	/* the same, and no more */
extern void vs_panes_emit(VsRun *run, Datum window_key);
extern void vs_panes_close(VsRun *run, TimestampTz from, TimestampTz to);

/* vs_close.c */
extern bool vs_window_is_past(VsRun *run, const Datum *keys);
extern bool vs_window_is_over(VsRun *run, const Datum *keys);
extern TimestampTz vs_kept_time(VsRun *run, int column);
extern TimestampTz vs_window_end_after(const VsWindow *window, TimestampTz after);
extern bool vs_close_group(VsRun *run, VsMergeGroup *group);

/* vs_correct.c: replay() corrects windows that are over */
extern void vs_correct_begin(VsRun *run);
extern bool vs_correct_later(VsRun *run, TupleTableSlot *slot);
extern void vs_correct_merge(VsRun *run);	/* the delta is through */
extern bool vs_correct_load(VsRun *run, VsMergeGroup *group, const Datum *keys, const bool *nulls);
extern void vs_correct_write(VsRun *run, VsMergeGroup *group);
extern void vs_correct_finish(VsRun *run);

#endif							/* VS_GROUPS_INTERNAL_H */
