/*-------------------------------------------------------------------------
 *
 * vs_run.h
 *	  A batch, and one run over its delta.
 *
 *-------------------------------------------------------------------------
 */
#ifndef VS_RUN_H
#define VS_RUN_H

#include "capture/vs_capture.h"
#include "emit/vs_target.h"
#include "executor/execdesc.h"
#include "plan/vs_plan.h"
#include "process/vs_process.h"
#include "registry/vs_registry.h"
#include "state/vs_agg.h"
#include "state/vs_context.h"
#include "utils/tuplestore.h"

/*
 * The event time of a batch.  Times and lengths are in microseconds, whatever
 * the type of the source's event times; VS_NO_TIME: none yet.
 */
typedef struct VsTurn
{
	int64		bucket;
	TimestampTz watermark;		/* when its rows are through */
} VsTurn;

typedef struct VsClock
{
	TimestampTz closed;			/* windows that end here or before had closed
								 * before this step */
	TimestampTz seen;			/* greatest time that moves the watermark */
	TimestampTz limit;			/* later times do not move it */
	int64		allowed;		/* a window takes rows for so long after it
								 * has closed; PG_INT64_MAX: for ever */
	bool		rows;			/* some row was admitted */
	bool		sampling;		/* rows are only looked at: none is late, and
								 * nothing is remembered */
	uint64		late;
	uint64		partly_late;
	uint64		ignored;		/* late rows that went */
	int64		opened;			/* states of open windows, more or less */

	/*
	 * Each bucket is a step, and rows of later ones are admitted before it is
	 * merged: what is to happen then.
	 */
	bool		ahead;
	int64		bucket;			/* of the row admitted last; -1: none yet */
	TimestampTz watermark;		/* by which its rows are judged */
	VsTurn	   *turns;			/* where the watermark moves on, in order */
	int			nturns;
	int			next_turn;
	int			max_turns;
} VsClock;

typedef struct VsBatch
{
	Oid			outputid;
	const VsBatchOptions *options;
	MemoryContext context;		/* of this batch */
	VsContext  *shared;			/* the query's shared context; NULL: it is run
								 * once, see vs_query.c */
	VsPlan	   *plan;
	VsFrontierRow row;			/* as read; then as it will be written */
	Snapshot	snapshot;		/* S2 */
	VsDelta    *delta;
	bool		fresh;			/* the output is empty: no group exists yet */
	bool		change;			/* run the change plan */
	uint64		changes;		/* emitted so far */
	uint64		recomputed;
	uint64		dead;
	VsBatchResult *replay;		/* dead letters are tried again; or NULL */
	bool		corrects;		/* ... and no row is late: see vs_correct.c */
	VsClock		clock;
	TimestampTz old_watermark;	/* before this batch */
	bool		at_once;		/* the execution that runs is its whole step */
	bool		top_short;		/* ORDER BY and LIMIT: the output is to be
								 * computed from the source at the end */

	/*
	 * Rebuild of a table whose rows can be looked up: a bit for each row that
	 * was written or found right, on the pages that were there before.  What
	 * has none at the end goes.  NULL: no such rebuild.
	 */
	uint8	   *kept;
	BlockNumber kept_blocks;

	/*
	 * of a query that is run once: what its output and state would hold, or
	 * NULL
	 */
	VsMemory   *output_rows;
	VsMemory   *state_rows;
} VsBatch;

/* Keys of groups to compute again, with NULLs in the same columns. */
typedef struct VsTouched
{
	Bitmapset  *null_keys;
	Tuplestorestate *keys;
	uint64		count;
} VsTouched;

/* One run of a delta plan over (a window of) the delta. */
typedef struct VsRun
{
	VsBatch    *batch;
	VsPlan	   *plan;
	MemoryContext context;		/* of this run */
	MemoryContext caller;		/* the current one when it began */
	MemoryContext rowcxt;		/* of one group or row */
	VsTarget   *output;
	VsTarget   *state;			/* or NULL */

	/* groups */
	VsHasher   *hasher;			/* over the keys */
	VsAggContext *aggs;
	ExprContext *econtext;
	TupleTableSlot *finalslot;	/* keys and final values */
	int64		bucket;			/* that is being merged; -1: none yet */
	uint64		ngroups;		/* merged so far */
	int64	   *sample;			/* what tells the groups of rows apart */
	int			nsample;
	ProjectionInfo *projection; /* output row from finalslot */
	ExprState  *having;
	List	   *touched;		/* of VsTouched */
	TupleDesc	keydesc;
	TupleTableSlot *keyslot;
	struct VsPanes *panes;		/* touched by this run, or NULL */
	struct VsCorrections *corrections;	/* or NULL: windows that are over
										 * remain as they are */

	struct VsRowBuffers *buffers;	/* row windows */
	struct VsTopRows *top;		/* changes of the result, before ORDER BY and
								 * LIMIT; or NULL */

	/* rows: a row of weight -1 that waits for its successor */
	TupleTableSlot *pending;
	bool		has_pending;
} VsRun;

/* emit/vs_emit.c: write a change to the output; the first ncolumns values */
extern void vs_emit_insert(VsRun *run, const Datum *values, const bool *nulls);
extern void vs_emit_append(VsRun *run, const Datum *values, const bool *nulls);
extern void vs_emit_update(VsRun *run, ItemPointer tid, const Datum *values, const bool *nulls,
						   const Datum *old_values, const bool *old_nulls); /* output->oldslot holds
																			 * the old row, or, of a
																			 * changelog, old_values */
extern void vs_emit_replace(VsRun *run, ItemPointer tid, const Datum *values, const bool *nulls);
extern void vs_emit_reset(VsRun *run);	/* everything the output holds is void */
extern bool vs_emit_is_void(VsBatch *batch, ItemPointer tid);	/* in a rebuild: a row
																 * from before that was
																 * not yet met */
extern void vs_emit_sweep(VsRun *run);	/* rows that a rebuild did not keep go */
extern void vs_emit_delete(VsRun *run, ItemPointer tid, const Datum *values, const bool *nulls);

/* the same, whatever ORDER BY and LIMIT say */
extern void vs_output_insert(VsRun *run, const Datum *values, const bool *nulls);
extern void vs_output_append(VsRun *run, const Datum *values, const bool *nulls);
extern void vs_output_update(VsRun *run, ItemPointer tid, const Datum *values, const bool *nulls);
extern void vs_output_delete(VsRun *run, ItemPointer tid, const Datum *values, const bool *nulls);

/* process/vs_top.c: a row that comes (weight 1) or goes (-1) in the result */
extern void vs_top_take(VsRun *run, int weight, const Datum *values, const bool *nulls);

#endif							/* VS_RUN_H */
