/*-------------------------------------------------------------------------
 *
 * vs_frontier.h
 *	  How far the sources of a query were read: a snapshot that outlives the
 *	  server process, and the place in the WAL to look for hints from.
 *
 *-------------------------------------------------------------------------
 */
#ifndef VS_FRONTIER_H
#define VS_FRONTIER_H

#include "postgres.h"

#include "access/transam.h"
#include "access/xlogdefs.h"
#include "vs_compat.h"
#include "utils/snapshot.h"

/*
 * A snapshot as full transaction ids.  xip lists, in ascending order, every
 * transaction and subtransaction in [xmin, xmax) that was in progress; there
 * is no overflow and nothing that only pg_subtrans could tell.
 */
typedef struct VsSnapshot
{
	FullTransactionId xmin;
	FullTransactionId xmax;
	int			nxip;
	FullTransactionId *xip;
} VsSnapshot;

/* One heap that is read: a table, or a leaf partition. */
typedef struct VsSource
{
	Oid			relid;
	RelFileNode node;
} VsSource;

typedef struct VsFrontier
{
	VsSnapshot *snapshot;		/* NULL: nothing was read yet */
	XLogRecPtr	lsn;			/* hints were read up to here */
	XLogRecPtr	restart_lsn;	/* hints of unfinished transactions start here */
	XLogRecPtr	horizon;		/* life of the slot that holds it; see
								 * vs_horizon.c */
	int			nsources;
	VsSource   *sources;		/* sorted by relid */
} VsFrontier;

extern void vs_frontier_sort(VsFrontier *frontier); /* its sources */
extern const VsSource *vs_frontier_source(const VsFrontier *frontier, Oid relid);	/* or NULL */

/* Widen a transaction id that is less than 2^31 away from "next". */
extern FullTransactionId vs_full_xid(TransactionId xid, FullTransactionId next);

extern VsSnapshot *vs_snapshot_capture(Snapshot snapshot, const VsSnapshot *previous);
extern Snapshot vs_snapshot_restore(const VsSnapshot *stored);
extern bool vs_snapshot_in_progress(const VsSnapshot *stored, FullTransactionId xid);

#endif							/* VS_FRONTIER_H */
