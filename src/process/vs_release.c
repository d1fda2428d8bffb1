/*-------------------------------------------------------------------------
 *
 * vs_release.c
 *	  Giving back to VACUUM what no query needs any more.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/transam.h"
#include "access/xact.h"
#include "capture/vs_capture.h"
#include "process/vs_process.h"
#include "registry/vs_registry.h"
#include "state/vs_context.h"
#include "utils/snapmgr.h"

static void load_frontiers(void);

/*
 * Move this database's horizon up to the oldest frontier.  False if it was
 * left alone, as another process is about to move it or not all is known.
 *
 * A crash may take frontiers back that were committed with synchronous_commit
 * = off.  Then it also takes back all that VACUUM removed thanks to them, as
 * that is later in the WAL.
 *
 * Where no query holds anything back, the horizon is the oldest transaction
 * in progress.  That was determined before the contexts are looked at (it is
 * in the active snapshot), so a query that takes its first snapshot now,
 * unseen, has no older one.
 *
 * Nobody else moves the horizon from when the contexts are looked at until it
 * is set.  A query that lowers it after that finds it set; one that lowered it
 * before is seen: its batch runs, or has published.
 */
bool
vs_release_horizon(void)
{
	FullTransactionId next = ReadNextFullTransactionId();
	FullTransactionId limit = vs_full_xid(GetActiveSnapshot()->xmin, next);
	FullTransactionId xmin;
	bool		known;

	if (!vs_horizon_try_lock())
		return false;
	known = vs_context_oldest_xmin(&xmin);
	if (known)
		vs_horizon_advance(FullTransactionIdIsValid(xmin) ? xmin : limit);
	vs_horizon_unlock();
	return known;
}

/*
 * Before a batch in a user's session: release what batches that committed
 * since the last one have left behind.  Where no workers run, nobody else
 * does.
 */
void
vs_release_before_batch(void)
{
	static FullTransactionId released = {0};
	FullTransactionId xmin;

	/*
	 * rows that this transaction wrote may be frontiers, which are not true
	 * yet
	 */
	if (!vs_context_is_loaded() && !TransactionIdIsValid(GetTopTransactionIdIfAny()))
		load_frontiers();
	if (!vs_context_oldest_xmin(&xmin) || !FullTransactionIdIsValid(xmin) ||
		FullTransactionIdEquals(xmin, released))
		return;
	if (vs_release_horizon())
		released = xmin;
}

/*
 * Tell the contexts of all queries their frontiers, as the first worker of a
 * database does.  One that is not adopted has read nothing.
 */
static void
load_frontiers(void)
{
	ListCell   *lc;

	foreach(lc, vs_registry_list())
	{
		Oid			output = lfirst_oid(lc);
		VsContext  *cxt = vs_context_attach(output);
		VsFrontierRow row;

		if (vs_frontier_read(output, &row))
			vs_context_set_frontier(cxt,
									row.frontier.snapshot ?
									row.frontier.snapshot->xmin : InvalidFullTransactionId,
									row.frontier.lsn, row.updated_at);
	}
	vs_context_set_loaded();
}
