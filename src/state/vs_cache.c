/*-------------------------------------------------------------------------
 *
 * vs_cache.c
 *	  The groups of queries, in shared memory.
 *
 * The cache is an array of blocks of equal size.  A query owns whole blocks,
 * of two kinds.  Data blocks are filled with entries from the start to the
 * end, as a log: the query's newest data block, its "head", takes new entries;
 * an entry that is removed or outgrows its place leaves dead space behind.
 * Index blocks hold the buckets of the query's hash table, which grows a
 * bucket at a time (linear hashing).  Nothing is ever allocated in between, so
 * there is no fragmentation by size: whatever one query gives back serves any
 * other, also if its groups grow over time.  (A DSA area cannot promise this:
 * its superblocks stay with one size class until all of their objects are
 * free, and hash tables need contiguous space.)  That costs 28 bytes an entry,
 * 4 to 5 for its bucket, and the rounding to 8 bytes.
 *
 * References to entries are positions in units of 8 bytes; 0 is none, as each
 * data block begins with 8 bytes of nothing.
 *
 * Eviction.  When no block is free, a query that holds no more than its fair
 * share (all blocks, divided by the queries that have some) takes the oldest
 * data block of one that holds more, if its lock is free just then.  Else the
 * query makes room in its own oldest data block: entries that were found since
 * their last turn stay, moved together, and lose the mark; the others are
 * evicted.  The block becomes the head.  So the clock's hand moves by blocks,
 * and a query with far more groups than fit pays for the unlinking of one
 * entry with each new one.
 *
 * Entries of one hash are evicted together: between vs_cache_get of the n-th
 * and vs_cache_put of it, another process may evict it, but never change which
 * one is the n-th.
 *
 * Locks.  All of a query's blocks and entries are guarded by its context's
 * lock; the lock of another context is only taken conditionally, so two
 * queries that look for room at each other wait for nothing.  The list of free
 * blocks is guarded by a spinlock.  Under either lock there is nothing that
 * could raise an error or run for longer than the walk through a block, but
 * for vs_cache_clear, which visits each index block.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "miscadmin.h"
#include "port/atomics.h"
#include "port/pg_bswap.h"
#include "storage/shmem.h"
#include "storage/spin.h"
#include "utils/memutils.h"

#include "state/vs_context_internal.h"

#define VS_BLOCK_SIZE		32768
#define VS_BLOCK_START		8	/* first entry in a data block */
#define VS_BUCKETS_PER_BLOCK (VS_BLOCK_SIZE / sizeof(uint32))
#define VS_MAX_BLOCKS		(1 << 20)	/* what 32-bit references can tell */
#define VS_MAX_DIRECTORY	1024	/* index blocks of a query */
#define VS_NO_BLOCK			PG_UINT32_MAX

/* Turns of the clock before everything in the next block is evicted. */
#define VS_MAX_TURNS		4

/* One block; guarded by the lock of its owner, "next" of a free one by mutex. */
typedef struct VsBlock
{
	uint32		prev;			/* in the owner's list of data blocks */
	uint32		next;
	uint32		used;			/* bytes, dead entries included */
	uint32		live;			/* bytes of entries that are not dead */
} VsBlock;

typedef struct VsCacheControl
{
	slock_t		mutex;			/* guards free, nfree, nusers */
	uint32		free;			/* list of free blocks */
	uint32		nfree;
	uint32		nusers;			/* contexts that own blocks */
	uint32		nblocks;		/* fixed */
	uint32		directory_size; /* fixed: index blocks of a query */
	VsBlock    *blocks;			/* fixed */
	char	   *data;			/* fixed */
	pg_atomic_uint32 hand;		/* context to look at next for room */
} VsCacheControl;

typedef struct VsEntry
{
	uint64		hash;
	uint32		next;			/* in the bucket */
	uint16		size8;			/* of all of it, in units of 8 bytes */
	bool		live;
	bool		referenced;		/* found since the clock's last turn */
	ItemPointerData output_tid;
	ItemPointerData state_tid;
	char		tuple[FLEXIBLE_ARRAY_MEMBER];
} VsEntry;

#define VS_ENTRY_HEADER		offsetof(VsEntry, tuple)
#define VS_MAX_ENTRY		(VS_BLOCK_SIZE - VS_BLOCK_START)

static VsCacheControl *control = NULL;

static bool add_entry(VsContext *cxt, const VsGroup *group, Size size);
static bool make_room(VsContext *cxt, Size size);
static bool turn_clock(VsContext *cxt, Size size);
static void compact_block(VsContext *cxt, uint32 block, bool all);
static uint32 steal_block(VsContext *cxt);
static uint32 give_oldest(VsContext *cxt);
static void grow_index(VsContext *cxt);
static bool add_index_block(VsContext *cxt);
static void remove_hash(VsContext *cxt, uint64 hash);
static void remove_entry(VsContext *cxt, uint32 *link);
static void free_block(VsContext *cxt, uint32 block);

/*
 * Shared memory.
 */

/*
 * Index blocks that a query can have.  The smallest entries leave room for
 * less than 1024 in a data block, an eighth of what an index block serves.
 */
static uint32
directory_size(uint32 nblocks)
{
	return Min(nblocks / 8 + 1, VS_MAX_DIRECTORY);
}

/* Shared memory of a cache of so many blocks, with all that is about them. */
static Size
size_for(uint32 nblocks)
{
	Size		size = MAXALIGN(sizeof(VsCacheControl));

	size = add_size(size, mul_size(nblocks, sizeof(VsBlock)));
	size = add_size(size, MAXALIGN(mul_size(mul_size(vs_max_queries,
													 directory_size(nblocks)),
											sizeof(uint32))));
	size = add_size(size, mul_size(nblocks, VS_BLOCK_SIZE));
	return add_size(size, PG_CACHE_LINE_SIZE);
}

/* As many blocks as fit into velostream.cache_size. */
static uint32
configured_blocks(void)
{
	Size		limit = mul_size(vs_cache_size, 1024);
	uint32		low = 0;
	uint32		high = Min(limit / VS_BLOCK_SIZE, VS_MAX_BLOCKS);

	while (low < high)
	{
		uint32		middle = high - (high - low) / 2;

		if (size_for(middle) <= limit)
			low = middle;
		else
			high = middle - 1;
	}
	return low;
}

Size
vs_cache_shmem_size(void)
{
	return size_for(configured_blocks());
}

static void
init_cache(VsCache *cache)
{
	cache->nentries = 0;
	cache->nbuckets = 0;
	cache->highmask = 0;
	cache->nblocks = 0;
	cache->ndata = 0;
	cache->oldest = cache->head = cache->busy = VS_NO_BLOCK;
}

/* After the contexts were made. */
void
vs_cache_shmem_init(void)
{
	bool		found;
	char	   *place;
	uint32	   *directories;

	control = ShmemInitStruct("velostream cache", vs_cache_shmem_size(), &found);
	if (found)
		return;

	SpinLockInit(&control->mutex);
	pg_atomic_init_u32(&control->hand, 0);
	control->nblocks = control->nfree = configured_blocks();
	control->directory_size = directory_size(control->nblocks);
	control->nusers = 0;
	place = (char *) control + MAXALIGN(sizeof(VsCacheControl));
	control->blocks = (VsBlock *) place;
	place += control->nblocks * sizeof(VsBlock);
	directories = (uint32 *) place;
	place += MAXALIGN((Size) vs_max_queries * control->directory_size * sizeof(uint32));
	control->data = (char *) CACHELINEALIGN(place);

	control->free = control->nblocks > 0 ? 0 : VS_NO_BLOCK;
	for (uint32 i = 0; i < control->nblocks; i++)
		control->blocks[i].next = i + 1 < control->nblocks ? i + 1 : VS_NO_BLOCK;
	for (int i = 0; i < vs_max_queries; i++)
	{
		init_cache(&vs_contexts[i].cache);
		vs_contexts[i].cache.directory = directories + i * control->directory_size;
	}
}

void
vs_cache_usage(uint64 *used, uint64 *total)
{
	if (control == NULL)
		vs_require_preload();
	SpinLockAcquire(&control->mutex);
	*used = (uint64) (control->nblocks - control->nfree) * VS_BLOCK_SIZE;
	SpinLockRelease(&control->mutex);
	*total = (uint64) control->nblocks * VS_BLOCK_SIZE;
}

uint64
vs_cache_bytes_locked(const VsContext *cxt)
{
	return (uint64) cxt->cache.nblocks * VS_BLOCK_SIZE;
}

/*
 * Positions.
 */

static inline VsEntry *
entry_at(uint32 ref)
{
	return (VsEntry *) (control->data + (Size) ref * 8);
}

static inline uint32
block_ref(uint32 block, uint32 offset)
{
	return block * (VS_BLOCK_SIZE / 8) + offset / 8;
}

static inline uint32
ref_block(uint32 ref)
{
	return ref / (VS_BLOCK_SIZE / 8);
}

static inline uint32 *
bucket_at(const VsCache *cache, uint32 bucket)
{
	uint32		block = cache->directory[bucket / VS_BUCKETS_PER_BLOCK];

	return (uint32 *) (control->data + (Size) block * VS_BLOCK_SIZE) +
		bucket % VS_BUCKETS_PER_BLOCK;
}

/* The upper half of a hash, its bits in the reverse order. */
static inline uint32
reversed_upper(uint64 hash)
{
	uint32		bits = pg_bswap32((uint32) (hash >> 32));

	bits = ((bits & 0x0F0F0F0F) << 4) | ((bits >> 4) & 0x0F0F0F0F);
	bits = ((bits & 0x33333333) << 2) | ((bits >> 2) & 0x33333333);
	bits = ((bits & 0x55555555) << 1) | ((bits >> 1) & 0x55555555);
	return bits;
}

/*
 * Where the chain of this hash starts; there is a hash table.
 *
 * Groups come in the order of their hash.  By the upper bits (reversed, as
 * linear hashing wants the lower ones), neighbours in that order share a chain
 * and mostly lie side by side, so that a chain costs one cache miss or two.
 */
static inline uint32 *
bucket_for(const VsCache *cache, uint64 hash)
{
	uint32		bucket = reversed_upper(hash) & cache->highmask;

	if (bucket >= cache->nbuckets)
		bucket &= cache->highmask >> 1;
	return bucket_at(cache, bucket);
}

/* The link to the n-th entry of this hash, or NULL. */
static inline uint32 *
find_link(const VsCache *cache, uint64 hash, int n)
{
	uint32	   *link;

	if (cache->nbuckets == 0)
		return NULL;
	for (link = bucket_for(cache, hash); *link != 0; link = &entry_at(*link)->next)
	{
		if (entry_at(*link)->hash == hash && n-- == 0)
			return link;
	}
	return NULL;
}

static inline Size
entry_size(const VsEntry *entry)
{
	return (Size) entry->size8 * 8;
}

/*
 * The interface.
 */

bool
vs_cache_get(VsContext *cxt, uint64 hash, int n, VsGroup *group)
{
	uint32	   *link;
	VsEntry    *entry;
	uint32		len;

	LWLockAcquire(cxt->lock, LW_EXCLUSIVE);
	link = find_link(&cxt->cache, hash, n);
	if (link == NULL)
	{
		cxt->cache.misses++;
		LWLockRelease(cxt->lock);
		return false;
	}

	entry = entry_at(*link);
	len = ((MinimalTuple) entry->tuple)->t_len;
	group->tuple = palloc_extended(len, MCXT_ALLOC_NO_OOM);
	if (group->tuple != NULL)
	{
		memcpy(group->tuple, entry->tuple, len);
		group->hash = hash;
		group->output_tid = entry->output_tid;
		group->state_tid = entry->state_tid;
		entry->referenced = true;
		cxt->cache.hits++;
	}
	LWLockRelease(cxt->lock);

	if (group->tuple == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_OUT_OF_MEMORY),
				 errmsg("out of memory"),
				 errdetail("Failed on request of size %u.", len)));
	return true;
}

static inline void
fill_entry(VsEntry *entry, const VsGroup *group)
{
	entry->output_tid = group->output_tid;
	entry->state_tid = group->state_tid;
	memcpy(entry->tuple, group->tuple, group->tuple->t_len);
}

/* See vs_context.h.  What fits is written in its place, what has grown anew. */
void
vs_cache_put(VsContext *cxt, int n, const VsGroup *group)
{
	Size		size = MAXALIGN(VS_ENTRY_HEADER + group->tuple->t_len);
	uint32	   *link = NULL;

	vs_context_touch(cxt);
	LWLockAcquire(cxt->lock, LW_EXCLUSIVE);
	if (n >= 0)
		link = find_link(&cxt->cache, group->hash, n);
	if (link != NULL && size <= entry_size(entry_at(*link)))
		fill_entry(entry_at(*link), group);
	else
	{
		bool		grows = link != NULL;

		if (grows)
			remove_entry(cxt, link);
		/* what has grown will grow again: leave some room */
		if (grows && size + size / 8 <= VS_MAX_ENTRY)
			size = MAXALIGN(size + size / 8);
		if (size <= VS_MAX_ENTRY && add_entry(cxt, group, size))
			grow_index(cxt);
		else if (cxt->cache.nentries == 0)
			vs_cache_clear_locked(cxt);
	}
	LWLockRelease(cxt->lock);
}

void
vs_cache_remove(VsContext *cxt, uint64 hash, int n)
{
	uint32	   *link;

	vs_context_touch(cxt);
	LWLockAcquire(cxt->lock, LW_EXCLUSIVE);
	link = find_link(&cxt->cache, hash, n);
	if (link != NULL)
		remove_entry(cxt, link);
	LWLockRelease(cxt->lock);
}

void
vs_cache_clear(VsContext *cxt)
{
	LWLockAcquire(cxt->lock, LW_EXCLUSIVE);
	vs_cache_clear_locked(cxt);
	LWLockRelease(cxt->lock);
}

void
vs_cache_check_files(VsContext *cxt, RelFileNode output, RelFileNode state)
{
	VsCache    *cache = &cxt->cache;

	LWLockAcquire(cxt->lock, LW_EXCLUSIVE);
	if (!RelFileNodeEquals(cache->output_node, output) ||
		!RelFileNodeEquals(cache->state_node, state))
	{
		vs_cache_clear_locked(cxt);
		cache->output_node = output;
		cache->state_node = state;
	}
	LWLockRelease(cxt->lock);
}

/*
 * Free blocks.  From here on, the caller holds the context's lock.
 */

/* Count a block of this query more; true if it was its first. */
static void
own_block(VsContext *cxt)
{
	if (cxt->cache.nblocks++ == 0)
	{
		SpinLockAcquire(&control->mutex);
		control->nusers++;
		SpinLockRelease(&control->mutex);
	}
}

/* Count a block less. */
static void
disown_block(VsContext *cxt)
{
	Assert(cxt->cache.nblocks > 0);
	if (--cxt->cache.nblocks == 0)
	{
		SpinLockAcquire(&control->mutex);
		control->nusers--;
		SpinLockRelease(&control->mutex);
	}
}

/* Take a block from the free list, or VS_NO_BLOCK. */
static uint32
pop_free(VsContext *cxt)
{
	uint32		block;

	SpinLockAcquire(&control->mutex);
	block = control->free;
	if (block != VS_NO_BLOCK)
	{
		control->free = control->blocks[block].next;
		control->nfree--;
	}
	SpinLockRelease(&control->mutex);
	if (block != VS_NO_BLOCK)
		own_block(cxt);
	return block;
}

/* Put a chain of blocks, linked by "next", on the free list. */
static void
push_free(uint32 first, uint32 last, uint32 count)
{
	SpinLockAcquire(&control->mutex);
	control->blocks[last].next = control->free;
	control->free = first;
	control->nfree += count;
	SpinLockRelease(&control->mutex);
}

/* Blocks that a query may hold while others want some. */
static uint32
fair_share(const VsContext *cxt)
{
	uint32		users;

	SpinLockAcquire(&control->mutex);
	users = control->nusers;
	SpinLockRelease(&control->mutex);
	if (cxt->cache.nblocks == 0)
		users++;
	return control->nblocks / Max(users, 1);
}

/* Give all blocks of a query back, data and index. */
void
vs_cache_clear_locked(VsContext *cxt)
{
	VsCache    *cache = &cxt->cache;
	uint32		nindex = cache->nbuckets == 0 ? 0 :
	(cache->nbuckets - 1) / VS_BUCKETS_PER_BLOCK + 1;

	Assert(LWLockHeldByMeInMode(cxt->lock, LW_EXCLUSIVE));
	Assert(cache->nblocks == cache->ndata + nindex);
	if (cache->nblocks == 0)
		return;
	if (nindex > 0)
	{
		for (uint32 i = 0; i + 1 < nindex; i++)
			control->blocks[cache->directory[i]].next = cache->directory[i + 1];
		push_free(cache->directory[0], cache->directory[nindex - 1], nindex);
	}
	if (cache->ndata > 0)
		push_free(cache->oldest, cache->head, cache->ndata);
	SpinLockAcquire(&control->mutex);
	control->nusers--;
	SpinLockRelease(&control->mutex);
	init_cache(cache);
}

/*
 * The list of data blocks.
 */

/* Append a block, already counted in nblocks, and let new entries go there. */
static void
append_block(VsCache *cache, uint32 block)
{
	VsBlock    *desc = &control->blocks[block];

	desc->prev = cache->head;
	desc->next = VS_NO_BLOCK;
	if (cache->head != VS_NO_BLOCK)
		control->blocks[cache->head].next = block;
	else
		cache->oldest = block;
	cache->head = block;
	cache->ndata++;
}

static void
unlink_block(VsCache *cache, uint32 block)
{
	VsBlock    *desc = &control->blocks[block];

	if (desc->prev != VS_NO_BLOCK)
		control->blocks[desc->prev].next = desc->next;
	else
		cache->oldest = desc->next;
	if (desc->next != VS_NO_BLOCK)
		control->blocks[desc->next].prev = desc->prev;
	else
		cache->head = desc->prev;
	cache->ndata--;
}

/* Give a data block back to all. */
static void
free_block(VsContext *cxt, uint32 block)
{
	unlink_block(&cxt->cache, block);
	disown_block(cxt);
	push_free(block, block, 1);
}

/*
 * Entries.
 */

/*
 * Take the entry at *link out.  Its block is given back if nothing is left in
 * it and it is neither the head nor being walked through.
 */
static void
remove_entry(VsContext *cxt, uint32 *link)
{
	VsCache    *cache = &cxt->cache;
	VsEntry    *entry = entry_at(*link);
	uint32		block = ref_block(*link);
	VsBlock    *desc = &control->blocks[block];

	Assert(entry->live);
	*link = entry->next;
	entry->live = false;
	desc->live -= entry_size(entry);
	cache->nentries--;
	if (desc->live > 0 || block == cache->busy)
		return;
	if (block == cache->head)
		desc->used = VS_BLOCK_START;
	else
		free_block(cxt, block);
}

/* Remove all entries of this hash; there is one. */
static void
remove_hash(VsContext *cxt, uint64 hash)
{
	uint32	   *link = bucket_for(&cxt->cache, hash);

	while (*link != 0)
	{
		if (entry_at(*link)->hash == hash)
			remove_entry(cxt, link);
		else
			link = &entry_at(*link)->next;
	}
}

/* The link that leads to this entry. */
static uint32 *
link_of(const VsCache *cache, uint32 ref)
{
	uint32	   *link = bucket_for(cache, entry_at(ref)->hash);

	while (*link != ref)
	{
		Assert(*link != 0);
		link = &entry_at(*link)->next;
	}
	return link;
}

/* Is there room for so much in the head? */
static inline bool
head_has_room(const VsCache *cache, Size size)
{
	return cache->head != VS_NO_BLOCK &&
		control->blocks[cache->head].used + size <= VS_BLOCK_SIZE;
}

/* Take room in the head, which has it. */
static uint32
take_room(VsCache *cache, Size size)
{
	VsBlock    *desc = &control->blocks[cache->head];
	uint32		ref = block_ref(cache->head, desc->used);

	Assert(head_has_room(cache, size));
	desc->used += size;
	desc->live += size;
	return ref;
}

/*
 * Put in a new entry, behind all others of its bucket.  False if there is no
 * room to be had.
 */
static bool
add_entry(VsContext *cxt, const VsGroup *group, Size size)
{
	VsCache    *cache = &cxt->cache;
	VsEntry    *entry;
	uint32	   *link;
	uint32		ref;

	if (cache->nbuckets == 0 && !add_index_block(cxt))
		return false;
	if (!head_has_room(cache, size) && !make_room(cxt, size))
		return false;
	ref = take_room(cache, size);
	entry = entry_at(ref);
	entry->hash = group->hash;
	entry->next = 0;
	entry->size8 = size / 8;
	entry->live = true;
	entry->referenced = false;
	fill_entry(entry, group);

	for (link = bucket_for(cache, group->hash); *link != 0;)
		link = &entry_at(*link)->next;
	*link = ref;
	cache->nentries++;
	return true;
}

/*
 * Make room in the head, by a new one or by eviction.
 */
static bool
make_room(VsContext *cxt, Size size)
{
	VsCache    *cache = &cxt->cache;
	uint32		block = pop_free(cxt);

	if (block == VS_NO_BLOCK && cache->nblocks < fair_share(cxt))
		block = steal_block(cxt);
	if (block == VS_NO_BLOCK)
		return turn_clock(cxt, size);

	control->blocks[block].used = VS_BLOCK_START;
	control->blocks[block].live = 0;
	append_block(cache, block);
	return true;
}

/*
 * Make room in the query's own oldest block, and make that the head.  False
 * if it has none.
 */
static bool
turn_clock(VsContext *cxt, Size size)
{
	VsCache    *cache = &cxt->cache;

	for (int turn = 0; cache->ndata > 0; turn++)
	{
		uint32		block = cache->oldest;

		unlink_block(cache, block);
		append_block(cache, block);
		compact_block(cxt, block, turn >= VS_MAX_TURNS);
		if (control->blocks[block].used + Max(size, VS_BLOCK_SIZE / 4) <= VS_BLOCK_SIZE)
			return true;
	}
	return false;
}

/*
 * Evict what was not found since the last turn ("all": everything) and move
 * the rest together.  When half of the block is dead, all may stay.
 */
static void
compact_block(VsContext *cxt, uint32 block, bool all)
{
	VsCache    *cache = &cxt->cache;
	VsBlock    *desc = &control->blocks[block];
	bool		none = !all && desc->live <= VS_BLOCK_SIZE / 2;
	uint32		from = VS_BLOCK_START;
	uint32		to = VS_BLOCK_START;

	cache->busy = block;
	while (from < desc->used)
	{
		uint32		ref = block_ref(block, from);
		VsEntry    *entry = entry_at(ref);
		Size		size = entry_size(entry);

		if (entry->live && !none && (all || !entry->referenced))
			remove_hash(cxt, entry->hash);
		else if (entry->live)
		{
			entry->referenced = false;
			if (to != from)
			{
				*link_of(cache, ref) = block_ref(block, to);
				memmove(entry_at(block_ref(block, to)), entry, size);
			}
			to += size;
		}
		from += size;
	}
	desc->used = to;
	cache->busy = VS_NO_BLOCK;
	Assert(desc->live <= desc->used - VS_BLOCK_START);
}

/*
 * Take a data block from a query that holds more than its fair share, unless
 * it is busy; VS_NO_BLOCK if there is none.
 */
static uint32
steal_block(VsContext *cxt)
{
	uint32		fair = fair_share(cxt);
	uint32		hand = pg_atomic_read_u32(&control->hand);

	for (int i = 0; i < vs_max_queries; i++)
	{
		uint32		slot = (hand + i) % vs_max_queries;
		VsContext  *other = &vs_contexts[slot];
		uint32		block = VS_NO_BLOCK;

		/* a look without the lock first; it is only a hint */
		if (other == cxt || other->cache.nblocks <= fair ||
			!LWLockConditionalAcquire(other->lock, LW_EXCLUSIVE))
			continue;
		if (other->cache.nblocks > fair && other->cache.ndata > 1)
			block = give_oldest(other);
		if (other->cache.nentries == 0)
			vs_cache_clear_locked(other);
		LWLockRelease(other->lock);
		if (block != VS_NO_BLOCK)
		{
			pg_atomic_write_u32(&control->hand, slot + 1);
			own_block(cxt);
			return block;
		}
	}
	return VS_NO_BLOCK;
}

/*
 * Empty the oldest data block, which is not the only one, and take it from
 * the query.  Entries found since the last turn move to the head, as far as
 * there is room.
 */
static uint32
give_oldest(VsContext *cxt)
{
	VsCache    *cache = &cxt->cache;
	uint32		block = cache->oldest;
	VsBlock    *desc = &control->blocks[block];

	Assert(cache->ndata > 1);
	cache->busy = block;
	for (uint32 at = VS_BLOCK_START; at < desc->used;)
	{
		uint32		ref = block_ref(block, at);
		VsEntry    *entry = entry_at(ref);
		Size		size = entry_size(entry);

		if (entry->live && entry->referenced && head_has_room(cache, size))
		{
			uint32		moved = take_room(cache, size);

			entry->referenced = false;
			*link_of(cache, ref) = moved;
			memcpy(entry_at(moved), entry, size);
			desc->live -= size;
		}
		else if (entry->live)
			remove_hash(cxt, entry->hash);
		at += size;
	}
	Assert(desc->live == 0);
	cache->busy = VS_NO_BLOCK;
	unlink_block(cache, block);
	disown_block(cxt);
	return block;
}

/*
 * The hash table.
 */

/*
 * One more bucket, if there are more entries than buckets: it takes its part
 * of the entries of the one it is split from.  Order in a chain is kept.
 */
static void
grow_index(VsContext *cxt)
{
	VsCache    *cache = &cxt->cache;
	uint32		bucket = cache->nbuckets;
	uint32	   *from;
	uint32	   *to;

	if (cache->nentries <= cache->nbuckets)
		return;
	if (bucket % VS_BUCKETS_PER_BLOCK == 0)
	{
		if (!add_index_block(cxt))
			return;				/* chains get longer */
	}
	else
		cache->nbuckets++;
	if (bucket > cache->highmask)
		cache->highmask = (cache->highmask << 1) | 1;

	from = bucket_at(cache, bucket & (cache->highmask >> 1));
	to = bucket_at(cache, bucket);
	while (*from != 0)
	{
		VsEntry    *entry = entry_at(*from);

		if (bucket_for(cache, entry->hash) != bucket_at(cache, bucket))
			from = &entry->next;
		else
		{
			*to = *from;
			*from = entry->next;
			entry->next = 0;
			to = &entry->next;
		}
	}
}

/*
 * Add a block of empty buckets.  The first one is all in use at once; of the
 * others the first bucket is, and grow_index goes on from there.
 */
static bool
add_index_block(VsContext *cxt)
{
	VsCache    *cache = &cxt->cache;
	uint32		nindex = cache->nbuckets / VS_BUCKETS_PER_BLOCK;
	uint32		block;

	Assert(cache->nbuckets % VS_BUCKETS_PER_BLOCK == 0);
	if (nindex >= control->directory_size)
		return false;
	block = pop_free(cxt);
	if (block == VS_NO_BLOCK && cache->nblocks < fair_share(cxt))
		block = steal_block(cxt);
	if (block == VS_NO_BLOCK && cache->ndata > 1)
	{
		block = give_oldest(cxt);
		own_block(cxt);
	}
	if (block == VS_NO_BLOCK)
		return false;

	memset(control->data + (Size) block * VS_BLOCK_SIZE, 0, VS_BLOCK_SIZE);
	cache->directory[nindex] = block;
	if (nindex == 0)
	{
		cache->nbuckets = VS_BUCKETS_PER_BLOCK;
		cache->highmask = VS_BUCKETS_PER_BLOCK - 1;
	}
	else
		cache->nbuckets++;
	return true;
}
