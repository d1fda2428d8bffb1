/*-------------------------------------------------------------------------
 *
 * vs_delta_internal.h
 *	  What vs_delta.c, which knows the life of a delta, shares with
 *	  vs_delta_scan.c, which reads it.
 *
 *-------------------------------------------------------------------------
 */
#ifndef VS_DELTA_INTERNAL_H
#define VS_DELTA_INTERNAL_H

#include "capture/vs_capture_internal.h"
#include "nodes/pathnodes.h"

/* Verdicts on a transaction id, or on a tuple: who sees it. */
#define VS_SEEN_S1			0x01
#define VS_SEEN_S2			0x02
#define VS_SEEN_BOTH		(VS_SEEN_S1 | VS_SEEN_S2)

/* The verdict on a transaction id is fixed for the whole delta. */
#define VS_XID_CACHE_SIZE	1024	/* a power of 2 */
typedef struct VsXidVerdict
{
	TransactionId xid;
	uint32		seen;
} VsXidVerdict;

/* The ordinal of the first row of every so many pages is remembered. */
#define VS_CHECKPOINT_PAGES 32

/*
 * One heap of the source.  Pages are numbered 0 .. npages - 1 in the order
 * they are looked at; ordinals here are relative to the leaf, and become
 * those of the delta by adding "base".
 */
typedef struct VsLeaf
{
	Oid			relid;

	/* what to look at */
	BlockNumber nblocks;		/* size of the file, as far as it is read */
	BlockNumber npages;
	BlockNumber *blocks;		/* npages of them, ascending; NULL: all blocks */
	XLogRecPtr	sweep_lsn;		/* skip pages with an older LSN */

	/* how to judge a tuple */
	bool		inserts_only;	/* by its inserter alone (append mode) */
	bool		frozen_seen;	/* a frozen tuple was seen by S1 */
	uint32		mask;			/* VS_SEEN_S2: S1 has seen nothing here */

	/* what is known of its ordinals */
	bool		ordered;		/* has its place in the order, and its base */
	uint64		base;
	BlockNumber reached;		/* pages before this one were looked at */
	uint64		reached_first;	/* ordinal of the first row of that page */
	BlockNumber stop_page;		/* the page looked at last, */
	uint64		stop_first;		/* and the ordinal of its first row */
	uint64	   *checkpoints;	/* first ordinal of every so many pages */
	BlockNumber ncheckpoints;
	BlockNumber max_checkpoints;
} VsLeaf;

#define VsLeafIsComplete(leaf) ((leaf)->reached == (leaf)->npages)

struct VsDelta
{
	MemoryContext context;
	VsSourceMode mode;
	FullTransactionId from_xmin;	/* of S1; invalid if there is no S1 */
	Snapshot	s1;				/* NULL: nothing was read yet */
	Snapshot	s2;				/* the caller's */
	const char *rebuild_reason; /* translated, or NULL */
	bool		degraded;
	bool		once;			/* whatever s2 sees, by the rules of a plain
								 * scan */
	bool		may_retract;
	bool		deceived;		/* a row of weight -1 was found nevertheless */
	VsFrontier *frontier;
	uint64		pages_total;
	int			nleaves;
	VsLeaf	   *leaves;			/* sorted by relid */

	VsXidVerdict xids[VS_XID_CACHE_SIZE];

	/* window, and the order in which the leaves were first scanned */
	uint64		first;
	uint64		last;
	uint64		bucket_rows;	/* rows in a bucket */
	int64		arrival;		/* place of the row with the ordinal 0 */
	int64		arrived;		/* places before this one were given */
	VsLeaf	  **order;
	int			norder;

	/* the current execution */
	uint64		execution;		/* counts up */
	int			nrunning;		/* scans that have begun, not come to an end */
	bool		cut;			/* some scan was ended by the window */

	HTAB	   *dead;			/* row versions not to be delivered, or NULL */
	HTAB	   *revived;		/* row versions to be delivered again, or NULL */
	int			only_weight;	/* rows of the other weight are left out; 0:
								 * none are */

	/* the row delivered last: its page, its number there, offset and weight */
	VsLeaf	   *last_leaf;		/* NULL: none yet */
	BlockNumber last_block;
	uint64		last_first;		/* ordinal of the page's first row */
	int			last_row;		/* one past it, on the page */
	int			last_code;		/* offset, negative if the weight is */

	VsDeltaProgress progress;	/* or NULL */
	void	   *progress_arg;
	VsDeltaCounters counters;
};

/* vs_delta.c */
extern VsDelta *vs_delta_active(void);	/* or NULL */
extern VsLeaf *vs_delta_find_leaf(VsDelta *delta, Oid relid);	/* or NULL */
extern bool vs_delta_is_planning(PlannerInfo *root);	/* is it a delta plan? */
extern bool vs_delta_plans(PlannerInfo *root, Oid relid);	/* ... and a scan of it
															 * to be a delta scan? */

/* vs_delta_scan.c */
extern void vs_delta_scan_init(void);

#endif							/* VS_DELTA_INTERNAL_H */
