/*-------------------------------------------------------------------------
 *
 * vs_frontier.c
 *	  A snapshot that outlives the server process.
 *
 * A SnapshotData is good for its own transaction only: it may leave
 * subtransactions to pg_subtrans (which a restart empties), it leaves out the
 * transaction that took it, and its transaction ids wrap around.  The stored
 * form has none of these: every transaction and subtransaction in
 * [xmin, xmax) that was in progress is listed, as a full transaction id.
 *
 * The transaction that takes the snapshot counts as in progress with all its
 * subtransactions: what it has written and what it will write are one to the
 * next batch, which sees both or none.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/subtrans.h"
#include "access/transam.h"
#include "access/xact.h"
#include "capture/vs_capture_internal.h"
#include "miscadmin.h"
#include "port/atomics.h"
#include "storage/proc.h"
#include "utils/memutils.h"

/* The array of a snapshot under construction, in 32 bits, sorted at the end. */
typedef struct XidList
{
	TransactionId *xids;
	int			n;
	int			max;
} XidList;

static int	collect_xids(Snapshot snapshot, const VsSnapshot *previous,
						 FullTransactionId next, XidList *list);
static void collect_range(Snapshot snapshot, const VsSnapshot *previous,
						  FullTransactionId next, XidList *list,
						  const TransactionId *tops, int ntops);
static void collect_own(Snapshot snapshot, XidList *list, bool *scan);
static bool in_progress_now(TransactionId xid, const TransactionId *tops, int ntops);
static void add_xid(XidList *list, TransactionId xid);
static int	compare_xid(const void *a, const void *b);
static int	compare_full(const void *a, const void *b);

/*
 * Widen a transaction id that is less than 2^31 away from "next".
 */
FullTransactionId
vs_full_xid(TransactionId xid, FullTransactionId next)
{
	int32		behind;

	if (!TransactionIdIsNormal(xid))
		return FullTransactionIdFromEpochAndXid(0, xid);
	behind = (int32) (XidFromFullTransactionId(next) - xid);
	return FullTransactionIdFromU64(U64FromFullTransactionId(next) - (int64) behind);
}

/*
 * vs_snapshot_capture: the stored form of "snapshot", in CurrentMemoryContext.
 *
 * The snapshot must still be held (registered or active), so that pg_subtrans
 * knows the subtransactions from its xmin on.  "previous", or NULL, is an
 * earlier stored snapshot of this cluster: what had ended then need not be
 * looked up again, which keeps a snapshot with overflowed subtransactions
 * cheap however long its range of transaction ids is.
 */
VsSnapshot *
vs_snapshot_capture(Snapshot snapshot, const VsSnapshot *previous)
{
	VsSnapshot *stored = (VsSnapshot *) palloc0(sizeof(VsSnapshot));
	FullTransactionId next = ReadNextFullTransactionId();
	XidList		list;

	if (snapshot->snapshot_type != SNAPSHOT_MVCC || snapshot->takenDuringRecovery)
		elog(ERROR, "unexpected kind of snapshot: %d", (int) snapshot->snapshot_type);

	list.max = snapshot->xcnt + Max(snapshot->subxcnt, 0) + 16;
	list.n = 0;
	list.xids = (TransactionId *)
		MemoryContextAllocHuge(CurrentMemoryContext, list.max * sizeof(TransactionId));

	stored->xmin = vs_full_xid(snapshot->xmin, next);
	stored->xmax = vs_full_xid(snapshot->xmax, next);
	(void) collect_xids(snapshot, previous, next, &list);

	stored->xip = (FullTransactionId *)
		MemoryContextAllocHuge(CurrentMemoryContext,
							   (list.n + 1) * sizeof(FullTransactionId));
	for (int i = 0; i < list.n; i++)
	{
		FullTransactionId full = vs_full_xid(list.xids[i], next);

		if (FullTransactionIdPrecedes(full, stored->xmin) ||
			!FullTransactionIdPrecedes(full, stored->xmax))
			continue;
		stored->xip[stored->nxip++] = full;
	}
	pfree(list.xids);

	qsort(stored->xip, stored->nxip, sizeof(FullTransactionId), compare_full);
	if (stored->nxip > 1)
	{
		int			n = 1;

		for (int i = 1; i < stored->nxip; i++)
			if (!FullTransactionIdEquals(stored->xip[i], stored->xip[n - 1]))
				stored->xip[n++] = stored->xip[i];
		stored->nxip = n;
	}
	return stored;
}

/*
 * Put all transaction ids that are in progress in the snapshot into the list,
 * unordered, perhaps some twice.
 */
static int
collect_xids(Snapshot snapshot, const VsSnapshot *previous,
			 FullTransactionId next, XidList *list)
{
	bool		scan = false;

	for (uint32 i = 0; i < snapshot->xcnt; i++)
		add_xid(list, snapshot->xip[i]);
	/* a copy of an overflowed snapshot has a subxcnt, but no subxip */
	if (snapshot->suboverflowed)
		scan = true;
	else
	{
		for (int32 i = 0; i < snapshot->subxcnt; i++)
			add_xid(list, snapshot->subxip[i]);
	}
	collect_own(snapshot, list, &scan);

	if (scan)
	{
		TransactionId *tops;
		int			ntops = snapshot->xcnt;

		tops = (TransactionId *) palloc((ntops + 1) * sizeof(TransactionId));
		if (ntops > 0)
			memcpy(tops, snapshot->xip, ntops * sizeof(TransactionId));
		qsort(tops, ntops, sizeof(TransactionId), compare_xid);
		collect_range(snapshot, previous, next, list, tops, ntops);
		pfree(tops);
	}
	return list->n;
}

/*
 * Our own transaction and its subtransactions, which GetSnapshotData leaves
 * out.  *scan is set when only a scan of the range finds them all.
 */
static void
collect_own(Snapshot snapshot, XidList *list, bool *scan)
{
	TransactionId top = GetTopTransactionIdIfAny();

	if (!TransactionIdIsValid(top))
		return;
	add_xid(list, top);
	if (MyProc->subxidStatus.overflowed)
		*scan = true;
	else
	{
		for (int i = 0; i < MyProc->subxidStatus.count; i++)
			add_xid(list, MyProc->subxids.xids[i]);
	}
}

/*
 * Look up every transaction id of [xmin, xmax) that may be a subtransaction
 * in progress.  Those below the xmax of the previous snapshot can only be if
 * they were already.
 */
static void
collect_range(Snapshot snapshot, const VsSnapshot *previous,
			  FullTransactionId next, XidList *list,
			  const TransactionId *tops, int ntops)
{
	FullTransactionId xmin = vs_full_xid(snapshot->xmin, next);
	FullTransactionId xmax = vs_full_xid(snapshot->xmax, next);
	FullTransactionId start = xmin;

	if (previous && FullTransactionIdPrecedes(start, previous->xmax))
	{
		start = previous->xmax;
		for (int i = 0; i < previous->nxip; i++)
		{
			TransactionId xid = XidFromFullTransactionId(previous->xip[i]);

			if (FullTransactionIdPrecedes(previous->xip[i], xmin) ||
				!FullTransactionIdPrecedes(previous->xip[i], xmax))
				continue;
			if (in_progress_now(xid, tops, ntops))
				add_xid(list, xid);
		}
	}

	for (uint64 i = U64FromFullTransactionId(start);
		 i < U64FromFullTransactionId(xmax); i++)
	{
		TransactionId xid = (TransactionId) i;

		if (!TransactionIdIsNormal(xid))
			continue;
		if ((i & 0xfff) == 0)
			CHECK_FOR_INTERRUPTS();
		if (in_progress_now(xid, tops, ntops))
			add_xid(list, xid);
	}
}

/*
 * Does the transaction belong to one of the given top-level transactions, or
 * to our own?  A subtransaction that was rolled back is over, whatever becomes
 * of its parents.  One that has just got its id may not have said yet whose
 * child it is; then its end is not known either.
 */
static bool
in_progress_now(TransactionId xid, const TransactionId *tops, int ntops)
{
	TransactionId top;

	if (TransactionIdIsCurrentTransactionId(xid))
		return true;
	top = SubTransGetTopmostTransaction(xid);
	if (bsearch(&top, tops, ntops, sizeof(TransactionId), compare_xid) != NULL)
		return !TransactionIdDidAbort(xid);
	return top == xid && !TransactionIdDidCommit(xid) && !TransactionIdDidAbort(xid);
}

static void
add_xid(XidList *list, TransactionId xid)
{
	if (list->n == list->max)
	{
		list->max *= 2;
		list->xids = (TransactionId *)
			repalloc_huge(list->xids, list->max * sizeof(TransactionId));
	}
	list->xids[list->n++] = xid;
}

/* Any order will do that is the same for sorting and searching. */
static int
compare_xid(const void *a, const void *b)
{
	TransactionId x = *(const TransactionId *) a;
	TransactionId y = *(const TransactionId *) b;

	return (x > y) - (x < y);
}

static int
compare_full(const void *a, const void *b)
{
	uint64		x = U64FromFullTransactionId(*(const FullTransactionId *) a);
	uint64		y = U64FromFullTransactionId(*(const FullTransactionId *) b);

	return (x > y) - (x < y);
}

/*
 * vs_snapshot_restore: a snapshot for visibility checks, palloc'd in one piece.
 *
 * Everything is in xip, nothing is asked of pg_subtrans.  With curcid = 0 no
 * row of the current transaction is visible, and none that it deleted is gone.
 * It does not hold the horizon: the slot does (vs_horizon.c).
 */
Snapshot
vs_snapshot_restore(const VsSnapshot *stored)
{
	Size		size = sizeof(SnapshotData) + stored->nxip * sizeof(TransactionId);
	Snapshot	snapshot = (Snapshot)
	MemoryContextAllocExtended(CurrentMemoryContext, size,
							   MCXT_ALLOC_HUGE | MCXT_ALLOC_ZERO);

	snapshot->snapshot_type = SNAPSHOT_MVCC;
	snapshot->xmin = XidFromFullTransactionId(stored->xmin);
	snapshot->xmax = XidFromFullTransactionId(stored->xmax);
	snapshot->xip = (TransactionId *) (snapshot + 1);
	snapshot->xcnt = stored->nxip;
	for (int i = 0; i < stored->nxip; i++)
		snapshot->xip[i] = XidFromFullTransactionId(stored->xip[i]);
	snapshot->subxip = NULL;
	snapshot->subxcnt = 0;
	snapshot->suboverflowed = false;
	snapshot->takenDuringRecovery = false;
	snapshot->copied = false;
	snapshot->curcid = FirstCommandId;
	return snapshot;
}

static int
compare_source(const void *a, const void *b)
{
	Oid			left = ((const VsSource *) a)->relid;
	Oid			right = ((const VsSource *) b)->relid;

	return (left > right) - (left < right);
}

/* vs_frontier_sort: bring the sources into the order that they have for good. */
void
vs_frontier_sort(VsFrontier *frontier)
{
	qsort(frontier->sources, frontier->nsources, sizeof(VsSource), compare_source);
}

/* vs_frontier_source: the source with that OID, or NULL. */
const VsSource *
vs_frontier_source(const VsFrontier *frontier, Oid relid)
{
	VsSource	key = {.relid = relid};

	if (frontier->nsources == 0)
		return NULL;
	return bsearch(&key, frontier->sources, frontier->nsources,
				   sizeof(VsSource), compare_source);
}

/*
 * vs_snapshot_in_progress: had the transaction not ended yet, or not begun?
 */
bool
vs_snapshot_in_progress(const VsSnapshot *stored, FullTransactionId xid)
{
	if (FullTransactionIdPrecedes(xid, stored->xmin))
		return false;
	if (!FullTransactionIdPrecedes(xid, stored->xmax))
		return true;
	return bsearch(&xid, stored->xip, stored->nxip, sizeof(FullTransactionId),
				   compare_full) != NULL;
}
