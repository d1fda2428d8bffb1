/*-------------------------------------------------------------------------
 *
 * vs_process.h
 *	  One batch of a query, in the caller's transaction.
 *
 *-------------------------------------------------------------------------
 */
#ifndef VS_PROCESS_H
#define VS_PROCESS_H

#include "postgres.h"

#include "capture/vs_capture.h"
#include "executor/tuptable.h"
#include "nodes/parsenodes.h"
#include "velostream.h"

/* Called for every emitted change; slot has the output's columns (the new row; for a delete, the old one). */
typedef void (*VsEmitCallback) (char op /* i, u, d */ , TupleTableSlot *slot, void *arg);

typedef struct VsBatchOptions
{
	bool		nowait;			/* give up if another process runs a batch of
								 * it, or has locked output or source against
								 * it */
	bool		immediate_flush;	/* do not wait for others to flush the WAL */
	uint64		batch_rows;		/* emit after each so many rows; 0: once */
	bool		replay;			/* try dead letters again */
	VsEmitCallback emit;		/* or NULL */
	void	   *emit_arg;
} VsBatchOptions;

typedef struct VsBatchResult
{
	bool		busy;			/* nowait, and we had to wait */
	bool		skipped;		/* paused or stopped or gone */
	uint64		rows;			/* input rows of this batch */
	uint64		changes;		/* emitted */
	FullTransactionId frontier_xmin;

	/* options->replay: what became of the dead letters */
	int64		replayed;		/* rows that count now */
	int64		restored;		/* kept: they came from a dump */
	int64		late;			/* kept: late, and why: */
	const char *late_because;
	int64		timeless;		/* kept: without an event time */
	int64		lost;			/* kept: the row version is not there any more
								 * (append) */
} VsBatchResult;

/*
 * Run one batch: everything that changed in the sources up to now goes into
 * the output, with state and frontier, in the current transaction.  Runs as
 * the output's owner in a security-restricted operation.  Errors propagate
 * after on_error = dead_letter had its say.
 */
extern void vs_batch_run(Oid output, const VsBatchOptions *options, VsBatchResult *result);

/*
 * Run a query once, over the rows that the active snapshot sees, in the order
 * of the delta scan, and hand every row that it emits to options->emit: the
 * columns of its select list come first in the slot, and group keys that are
 * not in it behind them.  query is as parse analysis left it, and not changed;
 * source is the text that its positions refer to, or NULL.  options->batch_rows
 * as for process(); 0: each group is emitted once, at the end.  A group that
 * HAVING turns away after it was emitted comes as 'd'.  With EMIT FINAL a
 * window is emitted when the rows let the watermark pass its end; rows that no
 * window takes are counted in a NOTICE.
 *
 * It runs as the caller, in the caller's session; nothing is written, nothing
 * remains.
 */
extern void vs_query_run(Query *query, const char *source, const VsTimeOptions *time,
						 const VsBatchOptions *options);
extern bool vs_release_horizon(void);	/* up to the oldest frontier; false:
										 * another time */
extern void vs_release_before_batch(void);	/* the same in a user's session,
											 * if there is something */
extern bool vs_batch_running(void); /* in this process, now */

/* vs_yield.c */
extern void vs_yield_begin(Oid output);
extern void vs_yield_for(const List *relids);
extern void vs_yield_end(void);
extern void vs_yield_look(void);

/*
 * Called wherever a batch may pass many times: if it is a worker's, and somebody
 * waits for an exclusive lock on its output or a source, it ends here with an
 * error.
 */
static inline void
vs_yield(void)
{
	if (unlikely(vs_delta_report_due))
		vs_yield_look();
}

/*
 * The test suite stops a batch here: waits while the advisory-like gate named
 * velostream.stop_at (superuser GUC, "" by default) equals "point".  Where
 * interrupts are held, as at commit, they are not served meanwhile.
 */
extern void vs_wait_point(const char *point);

#endif							/* VS_PROCESS_H */
