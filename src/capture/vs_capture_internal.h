/*-------------------------------------------------------------------------
 *
 * vs_capture_internal.h
 *	  What the files of capture share: which pages a delta has to look at.
 *
 *-------------------------------------------------------------------------
 */
#ifndef VS_CAPTURE_INTERNAL_H
#define VS_CAPTURE_INTERNAL_H

#include "capture/vs_capture.h"
#include "storage/block.h"

typedef struct VsPages
{
	bool		sweep;			/* look at the whole relation */
	XLogRecPtr	sweep_lsn;		/* then skip pages with an LSN older than
								 * this; Invalid: skip none */
	bool		may_retract;	/* a delete or update was hinted, or sweep */
	BlockNumber nblocks;
	BlockNumber *blocks;		/* ascending, unique */
} VsPages;

/*
 * vs_hints_collect: pages[i] says where sources[i] may differ between
 * from->snapshot and "to"; *restart_lsn is that of the new frontier (to, upto).
 *
 * "sources" are ALL sources of the new frontier, as their hints bound the
 * restart_lsn: one that is not in from->sources with the same file, or every
 * one when from->snapshot is NULL, gets a sweep that skips nothing.  The
 * caller holds AccessShareLock on them, took "to" first, then
 * upto = GetXLogInsertRecPtr(), and then called vs_hints_flush(upto).
 *
 * Nothing has to be said at commit or abort: what is carried over to the next
 * batch is kept for the frontier (to, upto) and for "from"; whichever the
 * next batch starts from is found, or else read from the WAL again.
 * Results are in CurrentMemoryContext.
 */
extern void vs_hints_collect(Oid output, const VsFrontier *from,
							 const VsSnapshot *to, XLogRecPtr upto,
							 int nsources, const VsSource *sources,
							 VsPages *pages, XLogRecPtr *restart_lsn);

/*
 * vs_hints.c also has vs_capture_shmem_size, vs_capture_shmem_init,
 * vs_capture_due, vs_capture_forget and vs_capture_read_wal;
 * vs_capture_init (hooks, custom scan methods) is in vs_delta.c.
 */

#endif							/* VS_CAPTURE_INTERNAL_H */
