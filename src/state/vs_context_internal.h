/*-------------------------------------------------------------------------
 *
 * vs_context_internal.h
 *	  What vs_context.c and vs_cache.c share: the context in shared memory.
 *
 *-------------------------------------------------------------------------
 */
#ifndef VS_CONTEXT_INTERNAL_H
#define VS_CONTEXT_INTERNAL_H

#include "state/vs_context.h"
#include "storage/condition_variable.h"

/*
 * The groups of one query; see vs_cache.c.  Guarded by the context's lock,
 * but for nblocks, which others look at without it to find whom to ask.
 */
typedef struct VsCache
{
	uint64		nentries;
	uint32		nbuckets;		/* 0: no hash table yet */
	uint32		highmask;		/* least 2^n - 1 >= nbuckets - 1 */
	uint32		nblocks;		/* all blocks of this query */
	uint32		ndata;			/* those that hold entries */
	uint32		oldest;			/* list of data blocks, oldest first */
	uint32		head;			/* its end: new entries go here */
	uint32		busy;			/* block that is walked: not to be freed */
	uint32	   *directory;		/* blocks of the hash table; fixed place */
	uint64		hits;
	uint64		misses;
	RelFileNode output_node;	/* files that the TIDs are good for */
	RelFileNode state_node;
} VsCache;

struct VsContext
{
	LWLock	   *lock;			/* set once */
	uint32		generation;		/* registry lock and lock: of this use of the
								 * slot */
	bool		known;			/* lock: frontier was set or published; if
								 * frontier_xmin is invalid, nothing was read */
	int			creator_pid;	/* lock: transaction that made it still runs */
	ConditionVariable done_cv;	/* done_seq moved, a batch failed, or dropped */
	VsContextInfo info;			/* lock; dbid and output also registry lock.
								 * cache_*: filled in copies only */
	VsCache		cache;			/* lock */
};

/* vs_context.c */
extern VsContext *vs_contexts;	/* array of vs_max_queries, fixed for good */
extern void vs_context_touch(VsContext *cxt);

/* vs_cache.c; locked: the caller holds the context's lock exclusively */
extern Size vs_cache_shmem_size(void);
extern void vs_cache_shmem_init(void);
extern void vs_cache_clear_locked(VsContext *cxt);
extern uint64 vs_cache_bytes_locked(const VsContext *cxt);

#endif							/* VS_CONTEXT_INTERNAL_H */
