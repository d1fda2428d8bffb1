/*-------------------------------------------------------------------------
 *
 * vs_context.h
 *	  The shared context of a query, and its cache of groups.
 *
 * A fixed array of velostream.max_queries contexts, each with an LWLock of
 * its own, in the main shared memory segment.  Groups live in an area of
 * velostream.cache_size in that segment.
 *
 * Lock order: registry lock, context lock, the cache's spinlock.  None is held while an
 * executor, a catalog or a user-defined function is called.
 *
 *-------------------------------------------------------------------------
 */
#ifndef VS_CONTEXT_H
#define VS_CONTEXT_H

#include "postgres.h"

#include "access/htup_details.h"
#include "access/transam.h"
#include "access/xlogdefs.h"
#include "datatype/timestamp.h"
#include "storage/itemptr.h"
#include "storage/lwlock.h"
#include "vs_compat.h"
#include "velostream.h"

/* What the views show of a context; a copy, taken under its lock. */
typedef struct VsContextInfo
{
	Oid			dbid;
	Oid			output;
	FullTransactionId frontier_xmin;	/* committed; invalid: not known yet */
	XLogRecPtr	frontier_lsn;
	TimestampTz frontier_time;	/* when its snapshot was taken */
	uint64		request_seq;	/* wait() calls so far */
	uint64		done_seq;		/* requests answered by a committed batch */
	int			runner_pid;		/* process that runs a batch now, or 0 */
	bool		uncommitted;	/* it has run it, and its transaction goes on */
	uint64		pages_done;		/* progress of the running batch */
	uint64		pages_total;
	uint64		cache_groups;
	uint64		cache_bytes;
	uint64		cache_hits;
	uint64		cache_misses;
	bool		distrusted;		/* the next batch looks at all pages: a hint
								 * was missing */
	int			failures;		/* batches failed in a row */
	TimestampTz failed_at;
	TimestampTz retry_at;		/* not before; 0: at once */
	int			sqlstate;
	char		message[512];	/* message of the last failure, "" if none */
	char		detail[256];
	char		hint[256];
	char		context[512];
} VsContextInfo;

typedef struct VsContext VsContext;

/*
 * shmem_request: RequestAddinShmemSpace(vs_context_shmem_size()), and
 * vs_context_shmem_request(), which asks for the LWLock tranches
 * "velostream_registry" and "velostream_context".  shmem_startup, under
 * AddinShmemInitLock: vs_context_shmem_init().
 */
extern Size vs_context_shmem_size(void);
extern void vs_context_shmem_request(void);
extern void vs_context_shmem_init(void);
extern void vs_context_init(void);	/* transaction callbacks of this process */

/*
 * The context of a query of this database; made when there is none (error
 * with a hint naming velostream.max_queries when the array is full).  The
 * pointer stays valid until vs_context_drop: look it up anew in each
 * transaction.  If the transaction that made it is rolled back, so is the
 * frontier set for it.
 */
extern VsContext *vs_context_attach(Oid output);
extern VsContext *vs_context_find(Oid output);	/* or NULL */
extern void vs_context_drop(Oid output);	/* at commit of the drop; frees
											 * its groups */
extern void vs_context_drop_database(Oid dbid);
extern void vs_context_read(VsContext *cxt, VsContextInfo *info);
extern int	vs_context_count(Oid dbid);

/* Slot 0 .. vs_max_queries - 1: false if it is not of a query of this database. */
extern bool vs_context_read_slot(int slot, VsContextInfo *info);

/*
 * A batch: begin takes the query's heavyweight lock (transaction-scoped,
 * ExclusiveLock; other batches of this query wait; with nowait, false if it
 * is taken) and notes the request sequence that this batch will answer.
 * publish says what becomes true at commit of the surrounding transaction:
 * the XactCallback applies it.  On abort of the (sub)transaction, or death of
 * the process, everything this batch put into the cache is thrown away and
 * nothing is published.  begin also returns false, whatever nowait says, if
 * the query was dropped meanwhile.  Every batch that began answers its
 * requests at commit, published or not, unless no_answer was called (the query
 * is paused, say).  Without PREPARE TRANSACTION.
 */
extern bool vs_context_begin_batch(VsContext *cxt, bool nowait);
extern void vs_context_publish(VsContext *cxt, FullTransactionId frontier_xmin,
							   XLogRecPtr frontier_lsn, TimestampTz frontier_time);
extern void vs_context_no_answer(VsContext *cxt);
extern void vs_context_distrust(VsContext *cxt);	/* at once, until a batch
													 * has published */
extern bool vs_context_distrusted(VsContext *cxt);
extern void vs_context_progress(VsContext *cxt, uint64 done, uint64 total);

/* Both sequences never go back; a drop answers all. */
extern uint64 vs_context_request(VsContext *cxt);	/* next sequence; wait
													 * until done_seq >= it */
extern bool vs_context_requested(VsContext *cxt);	/* request_seq > done_seq */
extern void vs_context_wait_prepare(VsContext *cxt);	/* ConditionVariable of
														 * done_seq */
extern bool vs_context_wait_sleep(VsContext *cxt, long timeout_ms); /* true: timed out */
extern void vs_context_wait_cancel(void);

/* "output" says whose failure it is: after an abort, the context may be another query's. */
extern void vs_context_failed(VsContext *cxt, Oid output, const ErrorData *edata);	/* sets backoff */
extern void vs_context_succeeded(VsContext *cxt, Oid output);
extern void vs_context_resumed(VsContext *cxt); /* the same, at commit; after
												 * begin */

/*
 * The oldest committed frontier xmin of this database's contexts.  False when
 * not all queries of the database are known yet (see vs_context_set_loaded),
 * one is being created, or one is running its first batch.  True with an
 * invalid xmin: no query has read anything, nothing needs to be held.
 *
 * set_frontier is for loading: it does nothing if a batch published meanwhile.
 * An invalid xmin says that the query has read nothing yet.
 */
extern bool vs_context_oldest_xmin(FullTransactionId *xmin);
extern void vs_context_set_loaded(void);	/* every query of MyDatabaseId has
											 * a context with its frontier */
extern void vs_context_set_frontier(VsContext *cxt, FullTransactionId xmin, XLogRecPtr lsn, TimestampTz t);
extern bool vs_context_is_loaded(void);

/*
 * Groups.  A group is found by a 64-bit hash of its key (equal keys, equal
 * hash); "n" selects among entries of the same hash.  Copies go in and out,
 * so nobody points into the cache.  Another process may evict entries at any
 * time, but only ever all of one hash together: so an "n" is good until this
 * process itself puts or removes something of that hash.
 */
typedef struct VsGroup
{
	uint64		hash;
	ItemPointerData output_tid; /* row in the output table; invalid: none */
	ItemPointerData state_tid;	/* row in the state table; invalid: none */
	MinimalTuple tuple;			/* keys and transition values */
} VsGroup;

/* The copy is made in CurrentMemoryContext.  False: not in the cache. */
extern bool vs_cache_get(VsContext *cxt, uint64 hash, int n, VsGroup *group);

/*
 * Put or replace.  "n" is the entry to replace (as given to vs_cache_get), or
 * -1 for a new one.  May evict others, may decline to keep it (then the entry
 * is gone from the cache: the tables have the truth).
 */
extern void vs_cache_put(VsContext *cxt, int n, const VsGroup *group);
extern void vs_cache_remove(VsContext *cxt, uint64 hash, int n);
extern void vs_cache_clear(VsContext *cxt);
extern void vs_cache_usage(uint64 *used, uint64 *total);	/* bytes, of all
															 * databases */

/*
 * TIDs are only good for these files; if they are others than at the last
 * call, the cache is cleared.
 */
extern void vs_cache_check_files(VsContext *cxt, RelFileNode output, RelFileNode state);

#endif							/* VS_CONTEXT_H */
