/*-------------------------------------------------------------------------
 *
 * vs_capture.h
 *	  What changed between two snapshots: the delta of a batch.
 *
 *-------------------------------------------------------------------------
 */
#ifndef VS_CAPTURE_H
#define VS_CAPTURE_H

#include "postgres.h"

#include <signal.h>

#include "access/sysattr.h"
#include "capture/vs_frontier.h"
#include "executor/tuptable.h"
#include "nodes/parsenodes.h"
#include "nodes/plannodes.h"
#include "velostream.h"

/*
 * The weight of a delta row, +1 or -1, is read as this system attribute of
 * the source (an int4 Var with this varattno); a user's query may not use it.
 */
#define VS_WEIGHT_ATTNO		MinCommandIdAttributeNumber

/*
 * In the same way: the number of the bucket that a row is in (an int8 Var).
 * Buckets are of so many rows each, in the order of their ordinals.
 */
#define VS_BUCKET_ATTNO		MaxCommandIdAttributeNumber

/*
 * And: its place in the order of arrival (an int8 Var): greater than those of
 * all rows of earlier batches.
 */
#define VS_ARRIVAL_ATTNO	MaxTransactionIdAttributeNumber

typedef struct VsDelta VsDelta;

/*
 * vs_delta_begin: find the pages that may differ between *from and s2.
 *
 * "output" names the query (the process keeps what it carries over from batch
 * to batch by it).  "leaves" are the OIDs of all heaps of the source; the
 * caller holds AccessShareLock on them.  s2 was taken after those locks and
 * before this call; the WAL is flushed as far as needed here.  s2 must be
 * a registered copy with curcid = 0, so that rows of the caller's own
 * transaction count as in progress.
 *
 * from->snapshot == NULL: everything visible in s2 is new.
 *
 * Never fails because WAL is gone: it sweeps instead.  When the frontier
 * cannot be continued (changes mode: a source's relfilenode is another one,
 * a leaf is gone; either mode: see vs_horizon_holds), vs_delta_rebuild_reason
 * says why (a translated phrase), and the caller starts again from an empty frontier.
 */
extern VsDelta *vs_delta_begin(Oid output, const VsFrontier *from, VsSourceMode mode,
							   List *leaves, Snapshot s2);

/*
 * The same for everything that a snapshot sees, rows of the caller's own
 * transaction among it, as a sequential scan would: for a query that is run
 * once.  It needs no WAL and writes nothing, and there is no frontier after it.
 */
extern VsDelta *vs_delta_begin_once(List *leaves, Snapshot snapshot);
extern const char *vs_delta_rebuild_reason(VsDelta *delta);
extern bool vs_delta_is_empty(VsDelta *delta);	/* no page to look at */
extern bool vs_delta_may_retract(VsDelta *delta);	/* a row of weight -1 is
													 * possible */
extern uint64 vs_delta_pages_total(VsDelta *delta); /* pages this delta looks
													 * at */
extern VsFrontier *vs_delta_frontier(VsDelta *delta);	/* the frontier after it */
extern void vs_delta_end(VsDelta *delta);
extern bool vs_delta_degraded(VsDelta *delta);	/* append mode, horizon
												 * contract broken: goes by
												 * raw xmin */
extern bool vs_delta_deceived(VsDelta *delta);	/* failed, as a hint was
												 * missing: trust none next
												 * time */
extern void vs_delta_trust_hints(bool on);	/* with false, vs_delta_begin
											 * looks at all pages; until end
											 * of transaction */
extern void vs_delta_flush_at_once(bool on);	/* vs_delta_begin does not
												 * wait for others to flush;
												 * until end of transaction */

/* The delta that delta scans executed from now on read (NULL: none). */
extern void vs_delta_activate(VsDelta *delta);

/* Make a delta plan of a query: scans of those heaps become CustomScans. */
extern PlannedStmt *vs_delta_plan(Query *query, List *leaves);

/*
 * Only rows with first <= ordinal < last, counted from 0 in the order the
 * scans deliver them, are delivered by the next execution.  The order is the
 * same for every execution of one delta.
 */
extern void vs_delta_set_window(VsDelta *delta, uint64 first, uint64 last);
extern void vs_delta_set_bucket(VsDelta *delta, uint64 rows);	/* so many in each */
extern int64 vs_delta_last_bucket(VsDelta *delta);	/* of the row delivered
													 * last */
extern uint64 vs_delta_next_ordinal(VsDelta *delta);	/* one past the last row
														 * delivered */
extern bool vs_delta_exhausted(VsDelta *delta); /* the last execution came to
												 * the end */

/* Deliver only rows of this weight, which keep their ordinals; 0: all. */
extern void vs_delta_only_weight(VsDelta *delta, int weight);

/* Identity of the row delivered last (for dead letters). */
extern void vs_delta_last_row(VsDelta *delta, Oid *relid, ItemPointer tid,
							  TransactionId *xmin, int *weight,
							  TupleTableSlot **slot);

extern int	vs_delta_last_weight(VsDelta *delta);	/* its weight alone */

/*
 * Versions that no execution delivers, whichever way they go: those of dead
 * letters.  They keep their ordinals.
 */
extern void vs_delta_bury(VsDelta *delta, Oid relid, ItemPointer tid, TransactionId xmin);
extern bool vs_delta_is_dead(VsDelta *delta, Oid relid, ItemPointer tid, TransactionId xmin);

/*
 * Versions that s2 sees, and that are to be delivered with weight +1 although
 * s1 has seen them, too: dead letters that are tried again.  All of them are
 * told before the first execution, then vs_delta_add_revived.
 */
extern bool vs_delta_sees(VsDelta *delta, Oid relid, ItemPointer tid, TransactionId xmin);	/* does s2 see this
																							 * version? */
extern void vs_delta_revive(VsDelta *delta, Oid relid, ItemPointer tid);
extern void vs_delta_add_revived(VsDelta *delta);
extern bool vs_delta_is_revived(VsDelta *delta, Oid relid, ItemPointer tid);

/*
 * Places in the order of arrival: the rows of this delta get those from "place"
 * on.  And the first one that no row has got so far.
 */
extern void vs_delta_arrives_after(VsDelta *delta, int64 place);
extern int64 vs_delta_arrived(VsDelta *delta);

/* Counters of the executions so far (window-skipped rows are not in them). */
typedef struct VsDeltaCounters
{
	uint64		rows_in;		/* rows of weight +1 */
	uint64		rows_out;		/* rows of weight -1 */
	uint64		ignored;		/* append mode: versions updated or deleted,
								 * not retracted */
	uint64		pages;			/* pages looked at */
} VsDeltaCounters;

/* Called now and then while the pages are read for the first time; no lock is held. */
typedef void (*VsDeltaProgress) (void *arg, uint64 pages);
extern void vs_delta_report_to(VsDelta *delta, VsDeltaProgress progress, void *arg);
extern volatile sig_atomic_t vs_delta_report_due;	/* not only after so many
													 * pages: at the next one */

extern void vs_delta_counters(VsDelta *delta, VsDeltaCounters *counters);
extern void vs_delta_restore_counters(VsDelta *delta, const VsDeltaCounters *counters); /* an execution was
																						 * rolled back */

/*
 * Is there something to do for this query?  Reads WAL hints (shared by all
 * processes) up to now; true when a source was touched after the frontier or
 * a carried transaction has ended.  Cheap: no snapshot, no catalog.
 */
extern bool vs_capture_due(Oid output, const VsFrontier *frontier);
extern void vs_capture_forget(Oid output);	/* drop what this process carries */
extern XLogRecPtr vs_capture_read_wal(void);	/* read hints up to the
												 * flushed end; returns it */
extern bool vs_capture_unflushed(void); /* WAL was written that no hints can
										 * be read from yet */

/*
 * XLogFlush up to an insert position.  (XLogFlush(GetXLogInsertRecPtr()) is
 * an error when the next record would start right after a page header.)
 */
extern void vs_hints_flush(XLogRecPtr upto);
extern bool vs_hints_flushed(XLogRecPtr upto);	/* is it flushed already? */

/*
 * A position, by the last checkpoint, before which neither this transaction nor
 * any with a higher id left a trace.  Invalid: unknown.
 */
extern XLogRecPtr vs_wal_before_xid(FullTransactionId xid);

/* The horizon contract: one physical slot per database. */
extern void vs_horizon_ensure(void);	/* create this database's slot if
										 * there is none */
extern XLogRecPtr vs_horizon_lower(FullTransactionId xmin); /* hold at least this,
															 * now; returns the
															 * slot's life */
extern bool vs_horizon_try_lock(void);	/* before all frontiers are looked at
										 * ... */
extern void vs_horizon_advance(FullTransactionId xmin); /* ... and are found to
														 * be at or past this */
extern void vs_horizon_unlock(void);
extern bool vs_horizon_holds(FullTransactionId xmin, XLogRecPtr life);	/* was xmin held, ever
																		 * since that life? */
extern void vs_horizon_drop(Oid dbid);	/* database or extension is gone */
extern List *vs_horizon_databases(void);	/* OIDs for which slots exist */

extern Size vs_capture_shmem_size(void);
extern void vs_capture_shmem_init(void);
extern void vs_capture_init(void);	/* hooks, custom scan methods */

#endif							/* VS_CAPTURE_H */
