/*-------------------------------------------------------------------------
 *
 * vs_hints.c
 *	  Which pages a batch has to look at, and which it carries over.
 *
 * A hint whose (sub)transaction has ended in the new snapshot names a page to
 * look at.  One whose transaction is in progress there cannot have changed
 * what that snapshot sees: its page is carried over, and looked at by the
 * batch in whose snapshot the transaction has ended.
 *
 * What is carried over belongs to a frontier: a snapshot, and the position up
 * to which hints were read.  It is kept in this process's memory for the
 * frontier a batch starts from and for the one it makes, so it does not matter
 * which of them is committed.  A process that has no list for the frontier it
 * starts from makes it again from the WAL in [restart_lsn, lsn).
 *
 * When WAL cannot be read, or it would take longer than reading the relation,
 * the relation is swept.  What is in progress then must still be known, as
 * the next batch reads on from here.  It is found in the WAL written since the
 * oldest of these transactions began, or else by looking for their ids in the
 * pages of the relation.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/heapam.h"
#include "access/htup_details.h"
#include "access/table.h"
#include "access/transam.h"
#include "access/xact.h"
#include "access/xlog.h"
#include "capture/vs_hints_internal.h"
#include "common/hashfn.h"
#include "miscadmin.h"
#include "storage/procarray.h"
#include "storage/bufmgr.h"
#include "utils/hsearch.h"
#include "utils/memutils.h"
#include "utils/rel.h"

#define READ_BYTES			((Size) 4 * 1024 * 1024)
#define ALWAYS_READ_BYTES	((XLogRecPtr) 256 * 1024 * 1024)
#define CARRY_MAX			(1024 * 1024)	/* entries, then they are merged */
#define CARRY_GROUP_MAX		1024	/* pages per transaction, then too */
#define DUE_XIDS_MAX		64	/* transactions looked up per call */
#define DUE_SCAN_ROUNDS		4	/* parts of the ring looked through per call */

/*
 * Carried pages of one frontier.  An entry is a hint with the number of its
 * source; without a block it means the whole relation.  Sorted by source, xid, block.
 */
typedef struct CarryList
{
	MemoryContext context;
	XLogRecPtr	lsn;			/* the frontier's */
	uint64		fingerprint;	/* of its snapshot */
	XLogRecPtr	clean;			/* no page to look at before, or Invalid */
	int			nfiles;
	RelFileNode *files;			/* by source number */
	VsHintBuffer entries;
	int			nxids;
	TransactionId *xids;		/* of the entries, sorted, unique */
	int			next_xid;		/* to be looked up next by any_ended */
} CarryList;

typedef struct Carry
{
	Oid			output;			/* hash key */
	CarryList  *lists[2];		/* either may be NULL */
} Carry;

/* Blocks of one source, appended in any order. */
typedef struct BlockSet
{
	BlockNumber *blocks;
	Size		n;
	Size		max;
} BlockSet;

/* One call of vs_hints_collect. */
typedef struct Collect
{
	const VsFrontier *from;
	const VsSnapshot *to;
	XLogRecPtr	upto;
	int			nsources;
	const VsSource *sources;
	VsPages    *pages;
	FullTransactionId next;		/* nearest to all transaction ids in hints */
	MemoryContext work;			/* gone at the end */

	BlockSet   *sets;			/* per source, of pages to look at */
	bool	   *unread;			/* per source: WAL could not be read */

	/* what take_hint makes of a hint */
	const VsSnapshot *snapshot; /* in progress there: carried */
	CarryList  *list;
	bool		look;			/* else: looked at */
	TransactionId last_xid;		/* last answer for this snapshot */
	bool		last_in_progress;

	Size		carry_max;
} Collect;

static HTAB *carries = NULL;

static void begin_pages(Collect *c);
static bool is_known(const VsFrontier *from, const VsSource *source);
static CarryList *reread_carried(Collect *c, Carry *carry, bool *want);
static void take_carried(Collect *c, const CarryList *old);
static void take_unlogged(Collect *c);
static void gather(Collect *c, XLogRecPtr start, XLogRecPtr end, bool *want);
static bool any_source(Collect *c, const bool *want);
static int	divide_work(Collect *c, XLogRecPtr start, XLogRecPtr end, const bool *want,
						VsRingFile *files, bool *alone, XLogRecPtr *alone_end);
static void give_up(Collect *c, const bool *sources, bool *want);
static bool gather_private(Collect *c, XLogRecPtr start, XLogRecPtr end, const bool *want);
static bool gather_shared(Collect *c, XLogRecPtr end, int nfiles, VsRingFile *files);
static bool too_far(Collect *c, XLogRecPtr start, XLogRecPtr end);
static void find_unread_carried(Collect *c);
static bool all_ended(Collect *c);
static void scan_for_carried(Collect *c, int source, XLogRecPtr since);
static void scan_page_for_carried(Collect *c, Page page, int source, BlockNumber block,
								  XLogRecPtr lsn);
static void set_target(Collect *c, const VsSnapshot *snapshot, CarryList *list, bool look);
static void take_hint(Collect *c, const VsHint *hint);
static bool xid_in_progress(Collect *c, TransactionId xid);
static void add_carried(Collect *c, const VsHint *hint);
static void compact_carried(CarryList *list, bool collapse);
static void sweep(Collect *c, int source, XLogRecPtr lsn);
static void add_block(BlockSet *set, BlockNumber block);
static void compact_blocks(BlockSet *set);
static void end_pages(Collect *c);
static CarryList *create_list(MemoryContext parent, const VsSnapshot *snapshot,
							  XLogRecPtr lsn, int nsources, const VsSource *sources);
static void finish_list(CarryList *list);
static Carry *get_carry(Oid output, bool create);
static CarryList *find_list(Carry *carry, const VsFrontier *frontier);
static void keep_list(Carry *carry, CarryList *list, const CarryList *other);
static uint64 fingerprint(const VsSnapshot *snapshot);
static bool all_in_progress(const VsFrontier *frontier, XLogRecPtr since);
static bool any_ended(CarryList *list);
static bool has_ended(TransactionId xid);
static int	compare_carried(const void *a, const void *b);
static int	compare_block(const void *a, const void *b);
static int	compare_xid(const void *a, const void *b);

Size
vs_capture_shmem_size(void)
{
	return vs_ring_shmem_size();
}

void
vs_capture_shmem_init(void)
{
	vs_ring_shmem_init();
}

/* See vs_capture_internal.h. */
void
vs_hints_collect(Oid output, const VsFrontier *from, const VsSnapshot *to,
				 XLogRecPtr upto, int nsources, const VsSource *sources,
				 VsPages *pages, XLogRecPtr *restart_lsn)
{
	Carry	   *carry = get_carry(output, true);
	CarryList  *old = from->snapshot ? find_list(carry, from) : NULL;
	Collect		c = {0};
	bool	   *want;

	c.from = from;
	c.to = to;
	c.upto = upto;
	c.nsources = nsources;
	c.sources = sources;
	c.pages = pages;
	c.next = ReadNextFullTransactionId();
	c.carry_max = CARRY_MAX;
	c.work = AllocSetContextCreate(CurrentMemoryContext, "velostream collect",
								   ALLOCSET_DEFAULT_SIZES);
	if (old)
		old->clean = InvalidXLogRecPtr;

	vs_ring_watch(nsources, sources);
	begin_pages(&c);

	want = (bool *) MemoryContextAlloc(c.work, (nsources + 1) * sizeof(bool));
	for (int i = 0; i < nsources; i++)
		want[i] = !c.unread[i];
	if (!old)
		old = reread_carried(&c, carry, want);

	set_target(&c, to, create_list(CurrentMemoryContext, to, upto, nsources, sources), true);
	if (old)
		take_carried(&c, old);
	take_unlogged(&c);
	gather(&c, from->lsn, upto, want);
	find_unread_carried(&c);

	end_pages(&c);
	finish_list(c.list);
	*restart_lsn = upto;
	for (int i = 0; i < c.list->entries.n; i++)
		*restart_lsn = Min(*restart_lsn, c.list->entries.hints[i].lsn);

	if (old && find_list(carry, from) == old)
	{
		old->clean = upto;
		for (int i = 0; i < nsources; i++)
			if (pages[i].sweep || pages[i].nblocks > 0)
				old->clean = InvalidXLogRecPtr;
	}
	keep_list(carry, c.list, old);
	MemoryContextDelete(c.work);
}

/*
 * Sources that the old frontier does not know, or not by this file, are
 * unread: all of their pages are looked at.  So are those of a frontier ahead
 * of the WAL, which is of another history.
 */
static void
begin_pages(Collect *c)
{
	c->sets = (BlockSet *)
		MemoryContextAllocZero(c->work, (c->nsources + 1) * sizeof(BlockSet));
	c->unread = (bool *)
		MemoryContextAllocZero(c->work, (c->nsources + 1) * sizeof(bool));
	memset(c->pages, 0, c->nsources * sizeof(VsPages));
	for (int i = 0; i < c->nsources; i++)
	{
		c->sets[i].max = 64;
		c->sets[i].blocks = (BlockNumber *) palloc(64 * sizeof(BlockNumber));
		if (is_known(c->from, &c->sources[i]) && c->from->lsn <= c->upto)
			continue;
		c->unread[i] = true;
		sweep(c, i, InvalidXLogRecPtr);
	}
}

/* Was this file a source at the old frontier? */
static bool
is_known(const VsFrontier *from, const VsSource *source)
{
	const VsSource *before = from->snapshot ? vs_frontier_source(from, source->relid) : NULL;

	return before != NULL && RelFileNodeEquals(before->node, source->node);
}

/*
 * Make the old frontier's list again from the WAL.  Sources for which that
 * fails are taken out of "want" and become unread.
 */
static CarryList *
reread_carried(Collect *c, Carry *carry, bool *want)
{
	const VsFrontier *from = c->from;
	CarryList  *list;
	bool		complete = true;

	if (from->snapshot == NULL)
		return NULL;

	list = create_list(CurrentMemoryContext, from->snapshot, from->lsn,
					   c->nsources, c->sources);
	set_target(c, from->snapshot, list, false);
	if (from->restart_lsn != InvalidXLogRecPtr)
		gather(c, from->restart_lsn, from->lsn, want);
	for (int i = 0; i < c->nsources; i++)
	{
		if (from->restart_lsn == InvalidXLogRecPtr && !c->unread[i])
		{
			want[i] = false;
			c->unread[i] = true;
			sweep(c, i, InvalidXLogRecPtr);
		}
		if (!want[i] && is_known(from, &c->sources[i]))
			complete = false;
	}
	finish_list(list);
	if (complete)
		keep_list(carry, list, NULL);
	else
		MemoryContextSetParent(list->context, c->work);
	return list;
}

/*
 * What was carried over so far is carried on, or looked at now.
 */
static void
take_carried(Collect *c, const CarryList *old)
{
	int		   *source = (int *)
	MemoryContextAlloc(c->work, (old->nfiles + 1) * sizeof(int));

	for (int i = 0; i < old->nfiles; i++)
	{
		source[i] = -1;
		for (int j = 0; j < c->nsources && source[i] < 0; j++)
		{
			/* mostly it is the same number */
			int			k = (i + j) % c->nsources;

			if (RelFileNodeEquals(old->files[i], c->sources[k].node))
				source[i] = k;
		}
	}

	for (int i = 0; i < old->entries.n; i++)
	{
		VsHint		hint = old->entries.hints[i];
		int			s = source[VS_HINT_FILE(&hint)];

		if (s < 0)
			continue;
		hint.file = ((uint32) s << 1) | (hint.file & VS_HINT_RETRACT);
		if (BlockNumberIsValid(hint.block))
			take_hint(c, &hint);
		else if (xid_in_progress(c, hint.xid))
			add_carried(c, &hint);
		else
			sweep(c, s, c->from->restart_lsn);
	}
}

/*
 * With wal_level = minimal a file made by our own transaction may be written
 * without WAL until it commits: carry the whole relation until then.  (Nobody
 * else's new file can be a source.)
 */
static void
take_unlogged(Collect *c)
{
	if (XLogIsNeeded())
		return;

	for (int i = 0; i < c->nsources; i++)
	{
		Relation	relation = table_open(c->sources[i].relid, NoLock);
		VsHint		hint = {0};

		hint.xid = GetTopTransactionIdIfAny();
		hint.block = InvalidBlockNumber;
		hint.file = ((uint32) i << 1) | VS_HINT_RETRACT;
		if (!RelationNeedsWAL(relation) && TransactionIdIsValid(hint.xid))
			add_carried(c, &hint);
		table_close(relation, NoLock);
	}
}

/*
 * Take all hints of [start, end) for the sources in "want": from the ring as
 * far as it has them, else from the WAL.  Sources for which neither is
 * possible are taken out of "want", and swept.
 */
static void
gather(Collect *c, XLogRecPtr start, XLogRecPtr end, bool *want)
{
	VsRingFile *files = (VsRingFile *)
	MemoryContextAlloc(c->work, (c->nsources + 1) * sizeof(VsRingFile));
	bool	   *alone = (bool *)
	MemoryContextAllocZero(c->work, (c->nsources + 1) * sizeof(bool));
	XLogRecPtr	alone_end = start;
	int			nfiles;

	if (start >= end || !any_source(c, want))
		return;

	nfiles = divide_work(c, start, end, want, files, alone, &alone_end);
	if (alone_end > start &&
		(too_far(c, start, alone_end) || !gather_private(c, start, alone_end, alone)))
		give_up(c, alone, want);

	if (nfiles > 0 && !gather_shared(c, end, nfiles, files))
	{
		/* the ring was overrun while we read it */
		memset(alone, 0, c->nsources * sizeof(bool));
		for (int i = 0; i < nfiles; i++)
			alone[files[i].source] = want[files[i].source];
		if (too_far(c, start, end) || !gather_private(c, start, end, alone))
			give_up(c, alone, want);
	}
}

static bool
any_source(Collect *c, const bool *want)
{
	for (int i = 0; i < c->nsources; i++)
		if (want[i])
			return true;
	return false;
}

/*
 * What of [start, end) does the ring have?  "files" is what can be scanned
 * there (the number of them is returned); "alone" are the sources whose hints
 * have to be read from the WAL in [start, *alone_end).
 */
static int
divide_work(Collect *c, XLogRecPtr start, XLogRecPtr end, const bool *want,
			VsRingFile *files, bool *alone, XLogRecPtr *alone_end)
{
	XLogRecPtr	position = vs_ring_position();
	bool		advanced = position != InvalidXLogRecPtr && position >= end;
	int			nfiles = 0;

	if (!advanced && !too_far(c, Max(position, start), end))
		advanced = vs_ring_advance(end, true);

	for (int i = 0; i < c->nsources; i++)
	{
		XLogRecPtr	since = end;
		uint32		watch;

		if (!want[i])
			continue;
		watch = advanced ? vs_ring_watched_since(c->sources[i].node, &since) : 0;
		since = Min(since, end);
		if (since > start)
		{
			alone[i] = true;
			*alone_end = Max(*alone_end, since);
		}
		if (watch != 0 && since < end)
		{
			files[nfiles].watch = watch;
			files[nfiles].source = i;
			files[nfiles].from = Max(since, start);
			nfiles++;
		}
	}
	return nfiles;
}

/*
 * The hints of these sources cannot be read: sweep them.
 */
static void
give_up(Collect *c, const bool *sources, bool *want)
{
	for (int i = 0; i < c->nsources; i++)
	{
		if (!sources[i])
			continue;
		want[i] = false;
		if (!c->unread[i])
			sweep(c, i, c->from->restart_lsn);
		c->unread[i] = true;
	}
}

/*
 * Take the hints of [start, end) from the WAL itself.  False if it cannot be
 * read.
 */
static bool
gather_private(Collect *c, XLogRecPtr start, XLogRecPtr end, const bool *want)
{
	VsFileTable *files = vs_file_table_create(c->work, c->nsources);
	VsHintBuffer hints;
	VsWalResult result;

	for (int i = 0; i < c->nsources; i++)
		if (want[i])
			vs_file_table_add(files, c->sources[i].node, i);
	vs_hint_buffer_init(&hints, c->work);

	do
	{
		CHECK_FOR_INTERRUPTS();
		hints.n = 0;
		result = vs_wal_read(&start, end, READ_BYTES, files, &hints);
		for (int i = 0; i < hints.n; i++)
			take_hint(c, &hints.hints[i]);
	} while (result == VS_WAL_MORE);

	pfree(hints.hints);
	return result == VS_WAL_END && start >= end;
}

/*
 * Take the hints before "end" from the ring.  False if it does not have them
 * all.
 */
static bool
gather_shared(Collect *c, XLogRecPtr end, int nfiles, VsRingFile *files)
{
	VsRingScan	scan = {0};
	VsHintBuffer hints;
	bool		lost = false;
	bool		more;

	scan.from = files[0].from;
	for (int i = 1; i < nfiles; i++)
		scan.from = Min(scan.from, files[i].from);
	scan.upto = end;
	scan.nfiles = nfiles;
	scan.files = files;
	vs_hint_buffer_init(&hints, c->work);

	do
	{
		CHECK_FOR_INTERRUPTS();
		hints.n = 0;
		more = vs_ring_scan(&scan, &hints, &lost);
		for (int i = 0; i < hints.n; i++)
			take_hint(c, &hints.hints[i]);
	} while (more);

	pfree(hints.hints);
	return !lost;
}

/*
 * Would it take longer to read this WAL than to read the sources?
 */
static bool
too_far(Collect *c, XLogRecPtr start, XLogRecPtr end)
{
	XLogRecPtr	limit = ALWAYS_READ_BYTES;

	if (start >= end || end - start <= limit)
		return false;
	for (int i = 0; i < c->nsources; i++)
	{
		Relation	relation = table_open(c->sources[i].relid, NoLock);

		limit += (XLogRecPtr) 4 * BLCKSZ * RelationGetNumberOfBlocks(relation);
		table_close(relation, NoLock);
	}
	return end - start > limit;
}

/*
 * Unread sources are swept; find the pages of theirs to carry over.
 */
static void
find_unread_carried(Collect *c)
{
	bool	   *want = (bool *)
	MemoryContextAlloc(c->work, (c->nsources + 1) * sizeof(bool));
	XLogRecPtr	since;

	memcpy(want, c->unread, c->nsources * sizeof(bool));
	if (!any_source(c, want) || all_ended(c))
		return;

	set_target(c, c->to, c->list, false);
	since = vs_ring_before_xid(c->to->xmin);
	if (since != InvalidXLogRecPtr)
		gather(c, since, c->upto, want);
	for (int i = 0; i < c->nsources; i++)
	{
		if (c->unread[i] && (!want[i] || since == InvalidXLogRecPtr))
			scan_for_carried(c, i, since);
	}
}

/*
 * Was no transaction in progress in the new snapshot, and none begun since?
 */
static bool
all_ended(Collect *c)
{
	return c->to->nxip == 0 &&
		FullTransactionIdEquals(ReadNextFullTransactionId(), c->to->xmax);
}

/*
 * Look for pages with traces of transactions in progress.  None of them is on
 * a page older than "since" (Invalid: unknown).  A record before "upto" whose
 * page we lock after that has changed the page already.
 */
static void
scan_for_carried(Collect *c, int source, XLogRecPtr since)
{
	Relation	relation = table_open(c->sources[source].relid, NoLock);
	BufferAccessStrategy strategy = GetAccessStrategy(BAS_BULKREAD);
	BlockNumber nblocks = RelationGetNumberOfBlocks(relation);

	for (BlockNumber block = 0; block < nblocks; block++)
	{
		Buffer		buffer;
		Page		page;

		CHECK_FOR_INTERRUPTS();
		buffer = ReadBufferExtended(relation, MAIN_FORKNUM, block, RBM_NORMAL, strategy);
		LockBuffer(buffer, BUFFER_LOCK_SHARE);
		page = BufferGetPage(buffer);
		if (!PageIsNew(page) && BufferGetLSNAtomic(buffer) >= since)
			scan_page_for_carried(c, page, source, block, since);
		UnlockReleaseBuffer(buffer);
	}
	FreeAccessStrategy(strategy);
	table_close(relation, NoLock);
}

/*
 * Carry all that unfinished transactions did on this page, which is locked: as
 * hints of the WAL at "lsn".
 */
static void
scan_page_for_carried(Collect *c, Page page, int source, BlockNumber block,
					  XLogRecPtr lsn)
{
	OffsetNumber max = PageGetMaxOffsetNumber(page);
	VsHint		hint = {0};

	hint.lsn = lsn;
	hint.block = block;
	hint.file = ((uint32) source << 1) | VS_HINT_RETRACT;
	for (OffsetNumber offset = FirstOffsetNumber; offset <= max; offset++)
	{
		ItemId		item = PageGetItemId(page, offset);
		HeapTupleHeader tuple;

		if (!ItemIdIsNormal(item))
			continue;
		tuple = (HeapTupleHeader) PageGetItem(page, item);
		if (!HeapTupleHeaderXminFrozen(tuple))
		{
			hint.xid = HeapTupleHeaderGetRawXmin(tuple);
			take_hint(c, &hint);
		}
		if (!(tuple->t_infomask & HEAP_XMAX_INVALID) &&
			!HEAP_XMAX_IS_LOCKED_ONLY(tuple->t_infomask))
		{
			hint.xid = HeapTupleHeaderGetUpdateXid(tuple);
			take_hint(c, &hint);
		}
	}
}

/*
 * From now on hints in progress in this snapshot go to this list, and pages
 * of others are to be looked at, or not.
 */
static void
set_target(Collect *c, const VsSnapshot *snapshot, CarryList *list, bool look)
{
	c->snapshot = snapshot;
	c->list = list;
	c->look = look;
	c->last_xid = InvalidTransactionId;
}

static void
take_hint(Collect *c, const VsHint *hint)
{
	int			source = VS_HINT_FILE(hint);

	/* a file that is gone: the caller finds another one in its place */
	if (!BlockNumberIsValid(hint->block))
		return;

	if (xid_in_progress(c, hint->xid))
		add_carried(c, hint);
	else if (c->look)
	{
		add_block(&c->sets[source], hint->block);
		if (hint->file & VS_HINT_RETRACT)
			c->pages[source].may_retract = true;
	}
}

static bool
xid_in_progress(Collect *c, TransactionId xid)
{
	if (!TransactionIdIsNormal(xid))
		return false;
	if (xid != c->last_xid)
	{
		c->last_in_progress = vs_snapshot_in_progress(c->snapshot,
													  vs_full_xid(xid, c->next));
		c->last_xid = xid;
	}
	return c->last_in_progress;
}

/*
 * Carry a hint over to the next batch.  Where these get to be too many, those of
 * one page and transaction are merged, and if need be those of one relation.
 */
static void
add_carried(Collect *c, const VsHint *hint)
{
	CarryList  *list = c->list;
	VsHintBuffer *entries = &list->entries;
	VsHint	   *last;

	if (entries->n > 0)
	{
		last = &entries->hints[entries->n - 1];
		if (last->block == hint->block && last->xid == hint->xid &&
			VS_HINT_FILE(last) == VS_HINT_FILE(hint))
		{
			last->lsn = Min(last->lsn, hint->lsn);
			last->file |= hint->file & VS_HINT_RETRACT;
			return;
		}
	}
	if (entries->n >= c->carry_max)
	{
		compact_carried(list, false);
		if (entries->n > c->carry_max / 2)
			compact_carried(list, true);
		c->carry_max = Max(c->carry_max, (Size) entries->n * 2);
	}
	if (entries->n == entries->max)
	{
		entries->hints = (VsHint *)
			repalloc_huge(entries->hints, (Size) entries->max * 2 * sizeof(VsHint));
		entries->max *= 2;
	}
	last = &entries->hints[entries->n++];
	*last = *hint;
	last->span = 0;
}

/*
 * Sort the entries, and merge those of one page and transaction.  With
 * collapse, also all of a transaction with many pages in one relation.
 */
static void
compact_carried(CarryList *list, bool collapse)
{
	VsHint	   *hints = list->entries.hints;
	int			n = 0;
	int			i = 0;

	qsort(hints, list->entries.n, sizeof(VsHint), compare_carried);
	while (i < list->entries.n)
	{
		VsHint	   *first = &hints[n];
		int			begin = i;
		int			end = i;
		bool		whole;

		/* the whole relation, if there, sorts last in its group */
		while (end < list->entries.n && hints[end].xid == hints[begin].xid &&
			   VS_HINT_FILE(&hints[end]) == VS_HINT_FILE(&hints[begin]))
			end++;
		whole = !BlockNumberIsValid(hints[end - 1].block) ||
			(collapse && end - begin > CARRY_GROUP_MAX);

		*first = hints[i++];
		if (whole)
			first->block = InvalidBlockNumber;
		for (; i < end; i++)
		{
			if (!whole && hints[i].block != hints[n].block)
			{
				hints[++n] = hints[i];
				continue;
			}
			hints[n].lsn = Min(hints[n].lsn, hints[i].lsn);
			hints[n].file |= hints[i].file & VS_HINT_RETRACT;
		}
		n++;
	}
	list->entries.n = n;
}

/*
 * Look at the whole relation, but not at pages older than lsn.
 */
static void
sweep(Collect *c, int source, XLogRecPtr lsn)
{
	VsPages    *pages = &c->pages[source];

	/* Invalid is the least of all */
	pages->sweep_lsn = pages->sweep ? Min(pages->sweep_lsn, lsn) : lsn;
	pages->sweep = true;
	pages->may_retract = true;
}

static void
add_block(BlockSet *set, BlockNumber block)
{
	if (set->n > 0 && set->blocks[set->n - 1] == block)
		return;
	if (set->n == set->max)
	{
		compact_blocks(set);
		if (set->n > set->max / 2)
		{
			set->max *= 2;
			set->blocks = (BlockNumber *)
				repalloc_huge(set->blocks, set->max * sizeof(BlockNumber));
		}
	}
	set->blocks[set->n++] = block;
}

static void
compact_blocks(BlockSet *set)
{
	Size		n = 0;

	qsort(set->blocks, set->n, sizeof(BlockNumber), compare_block);
	for (Size i = 0; i < set->n; i++)
	{
		if (n == 0 || set->blocks[n - 1] != set->blocks[i])
			set->blocks[n++] = set->blocks[i];
	}
	set->n = n;
}

static void
end_pages(Collect *c)
{
	for (int i = 0; i < c->nsources; i++)
	{
		if (c->pages[i].sweep)
		{
			pfree(c->sets[i].blocks);
			continue;
		}
		compact_blocks(&c->sets[i]);
		c->pages[i].blocks = c->sets[i].blocks;
		c->pages[i].nblocks = (BlockNumber) c->sets[i].n;
	}
}

/*
 * An empty list for a frontier, in a context of its own.
 */
static CarryList *
create_list(MemoryContext parent, const VsSnapshot *snapshot, XLogRecPtr lsn,
			int nsources, const VsSource *sources)
{
	MemoryContext context = AllocSetContextCreate(parent, "velostream carried pages",
												  ALLOCSET_SMALL_SIZES);
	CarryList  *list = (CarryList *) MemoryContextAllocZero(context, sizeof(CarryList));

	list->context = context;
	list->lsn = lsn;
	list->fingerprint = fingerprint(snapshot);
	list->nfiles = nsources;
	list->files = (RelFileNode *)
		MemoryContextAlloc(context, (nsources + 1) * sizeof(RelFileNode));
	for (int i = 0; i < nsources; i++)
		list->files[i] = sources[i].node;
	vs_hint_buffer_init(&list->entries, context);
	return list;
}

/*
 * Sort the entries and note their transactions.
 */
static void
finish_list(CarryList *list)
{
	TransactionId *xids;
	int			n = 0;

	compact_carried(list, false);
	xids = (TransactionId *)
		MemoryContextAllocHuge(list->context,
							   (list->entries.n + 1) * sizeof(TransactionId));
	for (int i = 0; i < list->entries.n; i++)
	{
		TransactionId xid = list->entries.hints[i].xid;

		if (n == 0 || xids[n - 1] != xid)
			xids[n++] = xid;
	}
	qsort(xids, n, sizeof(TransactionId), compare_xid);
	for (int i = 0; i < n; i++)
	{
		if (list->nxids == 0 || xids[list->nxids - 1] != xids[i])
			xids[list->nxids++] = xids[i];
	}
	list->xids = xids;
}

/* What this process carries for a query; NULL if nothing, and not "create". */
static Carry *
get_carry(Oid output, bool create)
{
	Carry	   *carry;
	bool		found;

	if (carries == NULL)
	{
		HASHCTL		ctl = {0};

		if (!create)
			return NULL;
		ctl.keysize = sizeof(Oid);
		ctl.entrysize = sizeof(Carry);
		ctl.hcxt = TopMemoryContext;
		carries = hash_create("velostream carried pages", 32, &ctl,
							  HASH_ELEM | HASH_BLOBS | HASH_CONTEXT);
	}
	carry = (Carry *) hash_search(carries, &output, create ? HASH_ENTER : HASH_FIND, &found);
	if (carry && !found)
		memset(carry->lists, 0, sizeof(carry->lists));
	return carry;
}

/*
 * The list that belongs to exactly this frontier, or NULL.
 */
static CarryList *
find_list(Carry *carry, const VsFrontier *frontier)
{
	uint64		print = fingerprint(frontier->snapshot);

	for (int i = 0; i < 2; i++)
	{
		CarryList  *list = carry->lists[i];

		if (list && list->lsn == frontier->lsn && list->fingerprint == print)
			return list;
	}
	return NULL;
}

/*
 * Keep a list from now on, together with "other" (if that is kept), in the
 * place of any third.
 */
static void
keep_list(Carry *carry, CarryList *list, const CarryList *other)
{
	int			place = (other && carry->lists[0] == other) ? 1 : 0;

	MemoryContextSetParent(list->context, TopMemoryContext);
	if (carry->lists[place])
		MemoryContextDelete(carry->lists[place]->context);
	carry->lists[place] = list;
}

static uint64
fingerprint(const VsSnapshot *snapshot)
{
	uint64		h = hash_bytes_extended((const unsigned char *) &snapshot->xmin,
										sizeof(FullTransactionId), 0);

	h = hash_bytes_extended((const unsigned char *) &snapshot->xmax,
							sizeof(FullTransactionId), h);
	for (int i = 0; i < snapshot->nxip; i++)
		h = hash_bytes_extended((const unsigned char *) &snapshot->xip[i],
								sizeof(FullTransactionId), h);
	return h;
}

/* See vs_capture.h. */
void
vs_capture_forget(Oid output)
{
	Carry	   *carry = get_carry(output, false);

	if (carry == NULL)
		return;
	for (int i = 0; i < 2; i++)
		if (carry->lists[i])
			MemoryContextDelete(carry->lists[i]->context);
	hash_search(carries, &output, HASH_REMOVE, NULL);
}

/* See vs_capture.h. */
bool
vs_capture_due(Oid output, const VsFrontier *frontier)
{
	Carry	   *carry = get_carry(output, false);
	CarryList  *list;
	XLogRecPtr	since = frontier->lsn;
	VsTouched	touched;

	if (RecoveryInProgress())
		return false;
	if (frontier->snapshot == NULL || frontier->lsn > GetXLogInsertRecPtr())
		return true;

	list = carry ? find_list(carry, frontier) : NULL;
	if (list == NULL && frontier->restart_lsn != frontier->lsn)
		return true;
	if (list && any_ended(list))
		return true;
	if (list && list->clean != InvalidXLogRecPtr)
	{
		/* a batch from here found nothing; what it carried is in its list */
		CarryList  *later = carry->lists[carry->lists[0] == list ? 1 : 0];

		if (later && any_ended(later))
			return true;
		since = Max(since, list->clean);
	}

	touched = vs_ring_touched(frontier->nsources, frontier->sources, since);
	if (touched == VS_TOUCHED_UNKNOWN)
		vs_ring_watch(frontier->nsources, frontier->sources);
	if (touched != VS_TOUCHED_YES)
	{
		(void) vs_ring_advance(vs_wal_record_start(GetFlushRecPtr(NULL)), false);
		touched = vs_ring_touched(frontier->nsources, frontier->sources, since);
	}

	if (touched == VS_TOUCHED_YES)
		return !all_in_progress(frontier, since);
	/* unknown: it is if any WAL was written at all */
	return touched == VS_TOUCHED_UNKNOWN && GetXLogInsertRecPtr() > since;
}

/*
 * Are all hints since then of transactions that have not ended?  Then a batch
 * would find nothing but pages to carry.  False if that is not known, or would
 * take long to find out: a batch then moves on from where the next look begins.
 */
static bool
all_in_progress(const VsFrontier *frontier, XLogRecPtr since)
{
	VsRingFile *files = palloc(Max(frontier->nsources, 1) * sizeof(VsRingFile));
	VsRingScan	scan = {0};
	VsHintBuffer hints;
	TransactionId last = InvalidTransactionId;
	int			rounds = DUE_SCAN_ROUNDS;
	bool		result = true;
	bool		lost = false;
	bool		more = true;

	for (int i = 0; i < frontier->nsources; i++)
	{
		XLogRecPtr	from;

		files[i].watch = vs_ring_watched_since(frontier->sources[i].node, &from);
		files[i].source = i;
		files[i].from = since;
		if (files[i].watch == 0 || from > since)
			result = false;
	}
	scan.from = since;
	scan.upto = vs_ring_position();
	scan.nfiles = frontier->nsources;
	scan.files = files;
	vs_hint_buffer_init(&hints, CurrentMemoryContext);

	while (result && more && rounds-- > 0)
	{
		hints.n = 0;
		more = vs_ring_scan(&scan, &hints, &lost);
		for (int i = 0; i < hints.n && result; i++)
		{
			VsHint	   *hint = &hints.hints[i];

			if (hint->xid == last && BlockNumberIsValid(hint->block))
				continue;
			last = hint->xid;
			result = BlockNumberIsValid(hint->block) && TransactionIdIsNormal(last) &&
				TransactionIdIsInProgress(last);
		}
	}
	pfree(hints.hints);
	pfree(files);
	return result && !more && !lost;
}

/*
 * Has a transaction ended for which a page is carried?  Of many, only some
 * are asked about in one call.
 */
static bool
any_ended(CarryList *list)
{
	int			n = Min(list->nxids, DUE_XIDS_MAX);

	for (int i = 0; i < n; i++)
	{
		if (list->next_xid >= list->nxids)
			list->next_xid = 0;
		if (has_ended(list->xids[list->next_xid++]))
			return true;
	}
	return false;
}

/*
 * From the commit log alone: no crash can have come in between, as the list
 * would be gone.
 */
static bool
has_ended(TransactionId xid)
{
	return TransactionIdPrecedes(xid, vs_oldest_clog_xid()) ||
		TransactionIdDidCommit(xid) || TransactionIdDidAbort(xid);
}

/* See vs_capture.h. */
XLogRecPtr
vs_capture_read_wal(void)
{
	XLogRecPtr	flushed;

	if (RecoveryInProgress())
		return InvalidXLogRecPtr;
	flushed = GetFlushRecPtr(NULL);
	(void) vs_ring_advance(vs_wal_record_start(flushed), true);
	return flushed;
}

/* See vs_capture.h. */
bool
vs_capture_unflushed(void)
{
	return !RecoveryInProgress() && !vs_hints_flushed(GetXLogInsertRecPtr());
}

/* See vs_capture_internal.h. */
void
vs_hints_flush(XLogRecPtr upto)
{
	XLogFlush(vs_wal_record_end(upto));
}

bool
vs_hints_flushed(XLogRecPtr upto)
{
	return GetFlushRecPtr(NULL) >= vs_wal_record_end(upto);
}

static int
compare_carried(const void *a, const void *b)
{
	const VsHint *x = (const VsHint *) a;
	const VsHint *y = (const VsHint *) b;

	if (VS_HINT_FILE(x) != VS_HINT_FILE(y))
		return VS_HINT_FILE(x) < VS_HINT_FILE(y) ? -1 : 1;
	if (x->xid != y->xid)
		return x->xid < y->xid ? -1 : 1;
	return (x->block > y->block) - (x->block < y->block);
}

static int
compare_block(const void *a, const void *b)
{
	BlockNumber x = *(const BlockNumber *) a;
	BlockNumber y = *(const BlockNumber *) b;

	return (x > y) - (x < y);
}

static int
compare_xid(const void *a, const void *b)
{
	TransactionId x = *(const TransactionId *) a;
	TransactionId y = *(const TransactionId *) b;

	return (x > y) - (x < y);
}
