/*-------------------------------------------------------------------------
 *
 * vs_delta.c
 *	  The life of a delta: what a batch has to look at, and how.
 *
 * A delta is the difference of the source's heaps between S1, the snapshot of
 * the last committed batch, and S2, a new one.  Here is decided, heap by heap
 * ("leaf": a table or a leaf partition), which pages can hold a difference and
 * by which rule their tuples are judged; vs_delta_scan.c reads them.
 *
 *	leaf is					changes mode		append mode
 *	in the frontier, same	hinted pages,		hinted pages,
 *	file					S1 against S2		inserted in (S1, S2]
 *	in it, another file		rebuild				all pages, inserted in
 *												(S1, S2], frozen rows too
 *	not in it				all visible in S2	all visible in S2 (*)
 *	gone					rebuild				nothing
 *
 * (*) A partition that was created in place, by the command that attached it,
 * has had every one of its rows inserted into the source: there, all inserts
 * up to S2 count, as in the other leaves.
 *
 * A frozen tuple is visible to every snapshot, so it tells nothing about S1.
 * While the horizon contract holds, nothing newer than S1 can have been
 * frozen in place: frozen means seen.  The exceptions are COPY FREEZE, which
 * only fills a file made by its own transaction, and a broken contract.  So in
 * a file that may have been made since S1, and without the contract, a frozen
 * tuple is judged by its raw xmin, which freezing leaves in place.  (32 bits
 * of it: a frozen row more than 2^32 transactions old may then be taken for a
 * new one.)
 *
 * Which delta is active, and whether plans are being made for one, is local
 * to the process; an abort of the (sub)transaction that said so undoes it.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/genam.h"
#include "access/heapam.h"
#include "access/htup_details.h"
#include "access/table.h"
#include "access/xact.h"
#include "access/xlog.h"
#include "capture/vs_delta_internal.h"
#include "catalog/indexing.h"
#include "catalog/pg_inherits.h"
#include "catalog/pg_type.h"
#include "executor/tuptable.h"
#include "fmgr.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "optimizer/cost.h"
#include "optimizer/optimizer.h"
#include "storage/bufmgr.h"
#include "storage/latch.h"
#include "utils/fmgroids.h"
#include "utils/memutils.h"
#include "utils/rel.h"
#include "utils/snapmgr.h"
#include "lib/qunique.h"
#include "utils/syscache.h"
#include "utils/timestamp.h"
#include "utils/wait_event.h"

static VsDelta *active_delta = NULL;

PG_FUNCTION_INFO_V1(velostream_is_dead_letter);
static int	active_level = 0;	/* transaction nesting when it was activated */

/*
 * The call of the planner that makes a delta plan, by its parameters (there are
 * none), and the heaps whose scans it makes delta scans.  NULL: there is none.
 */
static ParamListInfo planning = NULL;
static List *planning_leaves = NIL;

static bool flush_at_once = false;
static bool trust_hints = true;

static VsDelta *make_delta(VsSourceMode mode, Snapshot s2);
static void begin_execution(VsDelta *delta);
static void add_leaves(VsDelta *delta, List *leaves);
static const char *find_rebuild_reason(VsDelta *delta, const VsFrontier *from);
static bool is_unambiguous(FullTransactionId xmin);
static XLogRecPtr flush_wal(void);
static void collect_pages(VsDelta *delta, Oid output, const VsFrontier *from);
static void choose_rule(VsDelta *delta, VsLeaf *leaf, const VsSource *before,
						const VsSource *now);
static bool may_be_new_file(Oid relid, Snapshot snapshot);
static bool was_created_in_place(Oid relid);
static bool read_inherits(Oid relid, Oid *parent, TransactionId *xmin);
static void forget_active(void *arg);
static void at_xact_end(XactEvent event, void *arg);
static void at_subxact_end(SubXactEvent event, SubTransactionId mySubid,
						   SubTransactionId parentSubid, void *arg);

/*
 * Find what may differ between *from and s2; see vs_capture.h.  Everything is
 * in a memory context of its own, below CurrentMemoryContext.
 */
VsDelta *
vs_delta_begin(Oid output, const VsFrontier *from, VsSourceMode mode,
			   List *leaves, Snapshot s2)
{
	MemoryContext context = AllocSetContextCreate(CurrentMemoryContext,
												  "velostream delta",
												  ALLOCSET_DEFAULT_SIZES);
	MemoryContext old = MemoryContextSwitchTo(context);
	VsDelta    *delta = make_delta(mode, s2);

	Assert(s2->curcid == FirstCommandId);

	if (from != NULL && from->snapshot != NULL)
	{
		delta->from_xmin = from->snapshot->xmin;
		delta->s1 = vs_snapshot_restore(from->snapshot);
	}
	add_leaves(delta, leaves);
	if (delta->s1 != NULL)
		delta->frontier->horizon = from->horizon;
	delta->rebuild_reason = find_rebuild_reason(delta, from);
	if (delta->rebuild_reason == NULL)
		collect_pages(delta, output, from);

	MemoryContextSwitchTo(old);
	return delta;
}

/* Everything that the snapshot sees; see vs_capture.h. */
VsDelta *
vs_delta_begin_once(List *leaves, Snapshot snapshot)
{
	MemoryContext context = AllocSetContextCreate(CurrentMemoryContext,
												  "velostream delta",
												  ALLOCSET_DEFAULT_SIZES);
	MemoryContext old = MemoryContextSwitchTo(context);
	VsDelta    *delta = make_delta(VS_SOURCE_APPEND, snapshot);

	delta->once = true;
	add_leaves(delta, leaves);
	for (int i = 0; i < delta->nleaves; i++)
	{
		delta->leaves[i].npages = delta->leaves[i].nblocks;
		delta->pages_total += delta->leaves[i].npages;
	}
	MemoryContextSwitchTo(old);
	return delta;
}

/* A delta of which nothing is known yet, in CurrentMemoryContext, which is its own. */
static VsDelta *
make_delta(VsSourceMode mode, Snapshot s2)
{
	VsDelta    *delta = palloc0(sizeof(VsDelta));
	MemoryContextCallback *callback = palloc0(sizeof(MemoryContextCallback));

	delta->context = CurrentMemoryContext;
	delta->mode = mode;
	delta->s2 = s2;
	delta->last = PG_UINT64_MAX;
	delta->bucket_rows = 1;
	delta->from_xmin = InvalidFullTransactionId;
	callback->func = forget_active;
	callback->arg = delta;
	MemoryContextRegisterResetCallback(CurrentMemoryContext, callback);
	return delta;
}

void
vs_delta_end(VsDelta *delta)
{
	MemoryContextDelete(delta->context);	/* see forget_active */
}

/* Why the frontier cannot be continued, or NULL: then the delta can be read. */
const char *
vs_delta_rebuild_reason(VsDelta *delta)
{
	return delta->rebuild_reason;
}

/*
 * The horizon contract was broken, and the delta goes by the raw xmin (append
 * mode): rows that were removed since are missing from it.
 */
bool
vs_delta_degraded(VsDelta *delta)
{
	return delta->degraded;
}

bool
vs_delta_is_empty(VsDelta *delta)
{
	return delta->rebuild_reason == NULL && delta->pages_total == 0;
}

bool
vs_delta_may_retract(VsDelta *delta)
{
	return delta->may_retract;
}

/*
 * The scan met a row of weight -1 in a delta that was not to have any: what
 * the WAL told was incomplete.
 */
bool
vs_delta_deceived(VsDelta *delta)
{
	return delta->deceived;
}

uint64
vs_delta_pages_total(VsDelta *delta)
{
	return delta->pages_total;
}

/*
 * The frontier after this delta, in the delta's memory.  Called once it has
 * been read, it makes sure that what was read was still all there.
 */
VsFrontier *
vs_delta_frontier(VsDelta *delta)
{
	Assert(delta->rebuild_reason == NULL);

	if (delta->s1 != NULL && delta->mode == VS_SOURCE_CHANGES &&
		!vs_horizon_holds(delta->from_xmin, delta->frontier->horizon))
		ereport(ERROR,
				(errcode(ERRCODE_T_R_SERIALIZATION_FAILURE),
				 errmsg("old row versions may have been removed while they were read"),
				 errdetail("The replication slot that holds them was dropped or moved on.")));
	return delta->frontier;
}

volatile sig_atomic_t vs_delta_report_due = false;

void
vs_delta_report_to(VsDelta *delta, VsDeltaProgress progress, void *arg)
{
	delta->progress = progress;
	delta->progress_arg = arg;
}

void
vs_delta_counters(VsDelta *delta, VsDeltaCounters *counters)
{
	*counters = delta->counters;
}

/*
 * What an execution that was rolled back delivered does not count.  (Pages and
 * ignored versions are counted once, however often they are looked at.)
 */
void
vs_delta_restore_counters(VsDelta *delta, const VsDeltaCounters *counters)
{
	delta->counters.rows_in = counters->rows_in;
	delta->counters.rows_out = counters->rows_out;
}

/* Begins a new execution: what the last one came to is forgotten. */
void
vs_delta_set_window(VsDelta *delta, uint64 first, uint64 last)
{
	Assert(first <= last);

	delta->first = first;
	delta->last = last;
	begin_execution(delta);
}

void
vs_delta_set_bucket(VsDelta *delta, uint64 rows)
{
	Assert(rows > 0);

	delta->bucket_rows = rows;
}

int64
vs_delta_last_bucket(VsDelta *delta)
{
	return (vs_delta_next_ordinal(delta) - 1) / delta->bucket_rows;
}

/* From now on only rows of that weight are delivered, or, with 0, all. */
void
vs_delta_only_weight(VsDelta *delta, int weight)
{
	delta->only_weight = weight;
}

static void
begin_execution(VsDelta *delta)
{
	delta->last_first = delta->first;
	delta->last_row = 0;
	delta->last_leaf = NULL;
	delta->execution++;
	delta->nrunning = 0;
	delta->cut = false;
}

uint64
vs_delta_next_ordinal(VsDelta *delta)
{
	return delta->last_first + delta->last_row;
}

/*
 * Every scan of the last execution came to the end of its leaf.  (When the
 * window ends exactly with the last row of a leaf and others follow, that is
 * not known: false, and the next window is empty.)
 */
bool
vs_delta_exhausted(VsDelta *delta)
{
	return delta->nrunning == 0 && !delta->cut;
}

/*
 * The row type of a table without its virtual columns, of which tuples do not
 * have the values.
 */
static TupleDesc
stored_columns(TupleDesc table)
{
	TupleDesc	desc = CreateTupleDescCopy(table);
	bool		all = true;

	for (int i = 0; i < desc->natts; i++)
	{
		if (TupleDescAttr(desc, i)->attisdropped ||
			!VS_COLUMN_IS_VIRTUAL(TupleDescAttr(table, i)))
			continue;
		vs_drop_column(desc, i);
		all = false;
	}
	if (!all)
	{
		desc->tdtypeid = RECORDOID;
		desc->tdtypmod = -1;
		desc = BlessTupleDesc(desc);
	}
	return desc;
}

/*
 * The row delivered last is read again, by its TID, as this is called after
 * an error that released the scan's buffers.  The slot is in
 * CurrentMemoryContext, with a row type of its own; NULL and InvalidOid if no
 * row was delivered, NULL if the row is not there any more.
 */
void
vs_delta_last_row(VsDelta *delta, Oid *relid, ItemPointer tid,
				  TransactionId *xmin, int *weight, TupleTableSlot **slot)
{
	Relation	rel;
	HeapTupleData tuple;
	Buffer		buffer;

	*relid = InvalidOid;
	*slot = NULL;
	ItemPointerSetInvalid(tid);
	*xmin = InvalidTransactionId;
	*weight = 0;
	if (delta->last_leaf == NULL)
		return;

	*relid = delta->last_leaf->relid;
	ItemPointerSet(tid, delta->last_block, abs(delta->last_code));
	*weight = delta->last_code > 0 ? 1 : -1;

	/* the horizon is held, so it is still the version that was delivered */
	rel = table_open(*relid, NoLock);
	tuple.t_self = *tid;
	if (heap_fetch(rel, SnapshotAny, &tuple, &buffer, false))
	{
		*xmin = HeapTupleHeaderGetRawXmin(tuple.t_data);
		*slot = MakeSingleTupleTableSlot(stored_columns(RelationGetDescr(rel)),
										 &TTSOpsHeapTuple);
		ExecStoreHeapTuple(heap_copytuple(&tuple), *slot, true);
		(*slot)->tts_tableOid = *relid;
		ReleaseBuffer(buffer);
	}
	table_close(rel, NoLock);
}

int
vs_delta_last_weight(VsDelta *delta)
{
	return delta->last_code > 0 ? 1 : -1;
}

/* Identity of a row version.  Compared as bytes: zero what is between. */
typedef struct DeadVersion
{
	Oid			relid;
	TransactionId xmin;
	ItemPointerData tid;
} DeadVersion;

/* In place: a struct that is returned may have other bytes between its fields. */
static void
set_dead_version(DeadVersion *version, Oid relid, ItemPointer tid, TransactionId xmin)
{
	memset(version, 0, sizeof(DeadVersion));
	version->relid = relid;
	version->xmin = xmin;
	version->tid = *tid;
}

static HTAB *
make_versions(VsDelta *delta, const char *name)
{
	HASHCTL		ctl = {
		.keysize = sizeof(DeadVersion),
		.entrysize = sizeof(DeadVersion),
		.hcxt = delta->context
	};

	return hash_create(name, 64, &ctl, HASH_ELEM | HASH_BLOBS | HASH_CONTEXT);
}

void
vs_delta_bury(VsDelta *delta, Oid relid, ItemPointer tid, TransactionId xmin)
{
	DeadVersion version;

	set_dead_version(&version, relid, tid, xmin);
	if (delta->dead == NULL)
		delta->dead = make_versions(delta, "velostream dead letters");
	(void) hash_search(delta->dead, &version, HASH_ENTER, NULL);
}

bool
vs_delta_is_dead(VsDelta *delta, Oid relid, ItemPointer tid, TransactionId xmin)
{
	DeadVersion version;

	if (delta->dead == NULL)
		return false;
	set_dead_version(&version, relid, tid, xmin);
	return hash_search(delta->dead, &version, HASH_FIND, NULL) != NULL;
}

/* Is this version there, and does S2 see it? */
bool
vs_delta_sees(VsDelta *delta, Oid relid, ItemPointer tid, TransactionId xmin)
{
	Relation	rel;
	HeapTupleData tuple = {0};
	Buffer		buffer;
	VsLeaf	   *leaf = vs_delta_find_leaf(delta, relid);
	bool		there;

	if (leaf == NULL || ItemPointerGetBlockNumberNoCheck(tid) >= leaf->nblocks)
		return false;
	rel = table_open(relid, NoLock);
	tuple.t_self = *tid;
	there = heap_fetch(rel, delta->s2, &tuple, &buffer, false);
	if (there)
	{
		there = HeapTupleHeaderGetRawXmin(tuple.t_data) == xmin;
		ReleaseBuffer(buffer);
	}
	table_close(rel, NoLock);
	return there;
}

void
vs_delta_arrives_after(VsDelta *delta, int64 place)
{
	delta->arrival = delta->arrived = place;
}

int64
vs_delta_arrived(VsDelta *delta)
{
	return delta->arrived;
}

/* S2 protects what it sees, so the TID alone says which version it is. */
void
vs_delta_revive(VsDelta *delta, Oid relid, ItemPointer tid)
{
	DeadVersion version;

	set_dead_version(&version, relid, tid, InvalidTransactionId);
	if (delta->revived == NULL)
		delta->revived = make_versions(delta, "velostream revived rows");
	(void) hash_search(delta->revived, &version, HASH_ENTER, NULL);
}

bool
vs_delta_is_revived(VsDelta *delta, Oid relid, ItemPointer tid)
{
	DeadVersion version;

	if (delta->revived == NULL)
		return false;
	set_dead_version(&version, relid, tid, InvalidTransactionId);
	return hash_search(delta->revived, &version, HASH_FIND, NULL) != NULL;
}

static int
compare_blocks(const void *a, const void *b)
{
	BlockNumber x = *(const BlockNumber *) a;
	BlockNumber y = *(const BlockNumber *) b;

	return x < y ? -1 : x > y;
}

/* The pages of revived versions are looked at, too. */
void
vs_delta_add_revived(VsDelta *delta)
{
	if (delta->revived == NULL)
		return;
	for (int i = 0; i < delta->nleaves; i++)
	{
		VsLeaf	   *leaf = &delta->leaves[i];
		BlockNumber *blocks;
		DeadVersion *version;
		HASH_SEQ_STATUS status;
		Size		n = leaf->npages;

		if (leaf->blocks == NULL && leaf->npages > 0)
			continue;			/* all are */
		blocks = MemoryContextAllocHuge(delta->context, sizeof(BlockNumber) *
										(n + hash_get_num_entries(delta->revived)));
		if (n > 0)
			memcpy(blocks, leaf->blocks, n * sizeof(BlockNumber));
		hash_seq_init(&status, delta->revived);
		while ((version = hash_seq_search(&status)) != NULL)
			if (version->relid == leaf->relid)
				blocks[n++] = ItemPointerGetBlockNumber(&version->tid);
		qsort(blocks, n, sizeof(BlockNumber), compare_blocks);
		n = qunique(blocks, n, sizeof(BlockNumber), compare_blocks);
		delta->pages_total += n - leaf->npages;
		leaf->npages = n;
		leaf->blocks = blocks;
	}
}

/*
 * velostream.is_dead_letter(source oid, ctid tid, xmin xid) RETURNS boolean
 *
 * In a batch of a query: is this row one of its dead letters?  Groups that are
 * computed again from their source leave these rows out.
 */
Datum
velostream_is_dead_letter(PG_FUNCTION_ARGS)
{
	PG_RETURN_BOOL(active_delta != NULL &&
				   vs_delta_is_dead(active_delta, PG_GETARG_OID(0),
									(ItemPointer) PG_GETARG_POINTER(1),
									PG_GETARG_TRANSACTIONID(2)));
}

/*
 * Scans executed from now on read this delta.  Undone by its end, and by an
 * abort of the current (sub)transaction, but not of one inside it.
 */
void
vs_delta_activate(VsDelta *delta)
{
	Assert(delta == NULL || delta->rebuild_reason == NULL);

	active_delta = delta;
	active_level = GetCurrentTransactionNestLevel();
	if (delta != NULL)
		begin_execution(delta);
}

VsDelta *
vs_delta_active(void)
{
	return active_delta;
}

/* Only its own call of the planner; not those of functions that this one evaluates. */
PlannedStmt *
vs_delta_plan(Query *query, List *leaves)
{
	ParamListInfo outer = planning;
	List	   *outer_leaves = planning_leaves;
	int			outer_exclusion = constraint_exclusion;
	PlannedStmt *result = NULL;

	PG_TRY();
	{
		planning = makeParamList(0);
		planning_leaves = leaves;
		constraint_exclusion = CONSTRAINT_EXCLUSION_OFF;
		result = planner(query, NULL, 0, planning);
	}
	PG_FINALLY();
	{
		planning = outer;
		planning_leaves = outer_leaves;
		constraint_exclusion = outer_exclusion;
	}
	PG_END_TRY();
	return result;
}

bool
vs_delta_is_planning(PlannerInfo *root)
{
	return planning != NULL && root->glob->boundParams == planning;
}

bool
vs_delta_plans(PlannerInfo *root, Oid relid)
{
	return vs_delta_is_planning(root) && list_member_oid(planning_leaves, relid);
}

/*
 * With true, the next vs_delta_begin does not wait for others to flush the
 * WAL it depends on.
 */
void
vs_delta_flush_at_once(bool on)
{
	flush_at_once = on;
}

/*
 * With false, the next vs_delta_begin looks at all pages, whatever the WAL
 * told, and any row may go away.
 */
void
vs_delta_trust_hints(bool on)
{
	trust_hints = on;
}

/* The leaf of that OID: a binary search. */
VsLeaf *
vs_delta_find_leaf(VsDelta *delta, Oid relid)
{
	int			low = 0;
	int			high = delta->nleaves;

	while (low < high)
	{
		int			mid = (low + high) / 2;

		if (delta->leaves[mid].relid == relid)
			return &delta->leaves[mid];
		if (delta->leaves[mid].relid < relid)
			low = mid + 1;
		else
			high = mid;
	}
	return NULL;
}

/* Hooks, custom scan methods, and the callbacks that clean up after an abort. */
void
vs_capture_init(void)
{
	RegisterXactCallback(at_xact_end, NULL);
	RegisterSubXactCallback(at_subxact_end, NULL);
	vs_delta_scan_init();
}

/*
 * Make the leaves, and the sources of the new frontier, both sorted by OID:
 * leaves[i] is frontier->sources[i].
 */
static void
add_leaves(VsDelta *delta, List *leaves)
{
	VsFrontier *frontier = palloc0(sizeof(VsFrontier));
	int			n = list_length(leaves);
	int			i = 0;
	ListCell   *lc;

	frontier->nsources = n;
	frontier->sources = palloc0(Max(n, 1) * sizeof(VsSource));
	delta->frontier = frontier;
	delta->nleaves = n;
	delta->leaves = palloc0(Max(n, 1) * sizeof(VsLeaf));
	delta->order = palloc0(Max(n, 1) * sizeof(VsLeaf *));

	foreach(lc, leaves)
		frontier->sources[i++].relid = lfirst_oid(lc);
	vs_frontier_sort(frontier);

	for (i = 0; i < n; i++)
	{
		Relation	rel = table_open(frontier->sources[i].relid, NoLock);

		frontier->sources[i].node = rel->rd_node;
		delta->leaves[i].relid = RelationGetRelid(rel);
		delta->leaves[i].nblocks = RelationGetNumberOfBlocks(rel);
		table_close(rel, NoLock);
	}
}

/*
 * Can the frontier be continued?  Returns a translated phrase if not, and
 * sets delta->degraded if it can only by the raw xmin.
 */
static const char *
find_rebuild_reason(VsDelta *delta, const VsFrontier *from)
{
	if (delta->s1 == NULL)
		return NULL;

	if (!vs_horizon_holds(delta->from_xmin, from->horizon))
	{
		if (delta->mode == VS_SOURCE_CHANGES)
			return _("old row versions were not held back from VACUUM");
		if (!is_unambiguous(delta->from_xmin))
			return _("the last batch is too many transactions ago");
		delta->degraded = true;
	}

	if (delta->mode == VS_SOURCE_APPEND)
		return NULL;

	for (int i = 0; i < from->nsources; i++)
	{
		const VsSource *before = &from->sources[i];
		const VsSource *now = vs_frontier_source(delta->frontier, before->relid);

		if (now == NULL)
			return _("a partition was detached or dropped");
		if (!RelFileNodeEquals(before->node, now->node))
			return _("a source was truncated or rewritten");
	}
	return NULL;
}

/* Are 32 bits enough to tell transactions since then from older ones? */
static bool
is_unambiguous(FullTransactionId xmin)
{
	FullTransactionId next = ReadNextFullTransactionId();

	return U64FromFullTransactionId(next) -
		U64FromFullTransactionId(xmin) < ((uint64) 1 << 31);
}

/*
 * Everything visible in S2 has its WAL before the position returned, and that
 * is flushed.  As a flush costs those who chose synchronous_commit = off, wait
 * velostream.flush_delay for somebody else to do it.
 *
 * Our latch is left alone: it belongs to whoever sleeps on it, who would miss
 * what it was set for.
 */
static XLogRecPtr
flush_wal(void)
{
	XLogRecPtr	upto = GetXLogInsertRecPtr();
	TimestampTz deadline;

	if (!flush_at_once && vs_flush_delay > 0)
	{
		deadline = TimestampTzPlusMilliseconds(GetCurrentTimestamp(), vs_flush_delay);
		while (!vs_hints_flushed(upto) && GetCurrentTimestamp() < deadline)
		{
			(void) WaitLatch(NULL, WL_TIMEOUT | WL_EXIT_ON_PM_DEATH, 1L,
							 PG_WAIT_EXTENSION);
			CHECK_FOR_INTERRUPTS();
		}
	}
	vs_hints_flush(upto);
	return upto;
}

/* Find the pages of each leaf, choose its rule, and complete the frontier. */
static void
collect_pages(VsDelta *delta, Oid output, const VsFrontier *from)
{
	VsFrontier *frontier = delta->frontier;
	VsPages    *pages = palloc0(Max(delta->nleaves, 1) * sizeof(VsPages));
	VsFrontier	empty = {0};

	if (from == NULL)
		from = &empty;
	frontier->lsn = flush_wal();
	frontier->snapshot = vs_snapshot_capture(delta->s2, from->snapshot);
	vs_hints_collect(output, from, frontier->snapshot, frontier->lsn,
					 frontier->nsources, frontier->sources,
					 pages, &frontier->restart_lsn);

	for (int i = 0; i < delta->nleaves; i++)
	{
		VsLeaf	   *leaf = &delta->leaves[i];
		const VsSource *now = &frontier->sources[i];
		const VsSource *before = delta->s1 ? vs_frontier_source(from, now->relid) : NULL;

		if (!trust_hints)
		{
			pages[i].sweep = true;
			pages[i].sweep_lsn = InvalidXLogRecPtr;
		}
		if (before == NULL || !RelFileNodeEquals(before->node, now->node) ||
			pages[i].sweep)
			leaf->npages = leaf->nblocks;
		else
		{
			leaf->npages = pages[i].nblocks;
			leaf->blocks = pages[i].blocks;
		}
		choose_rule(delta, leaf, before, now);
		if (before != NULL && pages[i].sweep)
			leaf->sweep_lsn = pages[i].sweep_lsn;
		if (before != NULL && delta->mode == VS_SOURCE_CHANGES &&
			leaf->npages > 0 && (pages[i].sweep || pages[i].may_retract))
			delta->may_retract = true;
		delta->pages_total += leaf->npages;
	}
}

/* The table in the file header.  "before" is NULL for a leaf that is new. */
static void
choose_rule(VsDelta *delta, VsLeaf *leaf, const VsSource *before,
			const VsSource *now)
{
	if (before == NULL)
	{
		leaf->mask = VS_SEEN_S2;
		leaf->inserts_only = delta->mode == VS_SOURCE_APPEND &&
			delta->s1 != NULL && was_created_in_place(leaf->relid);
		leaf->frozen_seen = !may_be_new_file(leaf->relid, delta->s2);
	}
	else
	{
		leaf->mask = VS_SEEN_BOTH;
		leaf->inserts_only = delta->mode == VS_SOURCE_APPEND;
		leaf->frozen_seen = !delta->degraded &&
			RelFileNodeEquals(before->node, now->node) &&
			!may_be_new_file(leaf->relid, delta->s1);
	}
}

/*
 * Can the table's file have been made by a transaction that is in progress
 * for this snapshot (our own included)?  Making it wrote the table's row in
 * pg_class; so did other commands, for which this is needlessly true.
 */
static bool
may_be_new_file(Oid relid, Snapshot snapshot)
{
	HeapTuple	tuple = SearchSysCache1(RELOID, ObjectIdGetDatum(relid));
	TransactionId xmin;

	if (!HeapTupleIsValid(tuple))
		elog(ERROR, "cache lookup failed for relation %u", relid);
	xmin = HeapTupleHeaderGetRawXmin(tuple->t_data);
	ReleaseSysCache(tuple);

	return TransactionIdIsNormal(xmin) &&
		(TransactionIdIsCurrentTransactionId(xmin) ||
		 XidInMVCCSnapshot(xmin, snapshot));
}

/*
 * Was the table a partition, or child, from its first moment on?  Then no link
 * up to the root is newer than the table itself.  The age of the table is that
 * of a system column's row in pg_attribute, which nothing ever updates.
 */
static bool
was_created_in_place(Oid relid)
{
	HeapTuple	tuple;
	TransactionId created;
	TransactionId linked;
	bool		result = false;

	tuple = SearchSysCache2(ATTNUM, ObjectIdGetDatum(relid),
							Int16GetDatum(TableOidAttributeNumber));
	if (!HeapTupleIsValid(tuple))
		return false;
	created = HeapTupleHeaderGetRawXmin(tuple->t_data);
	ReleaseSysCache(tuple);

	while (read_inherits(relid, &relid, &linked))
	{
		if (TransactionIdFollows(linked, created))
			return false;
		result = true;
	}
	return result;
}

/* The (first) parent of a table, and who made the link; false if none. */
static bool
read_inherits(Oid relid, Oid *parent, TransactionId *xmin)
{
	Relation	rel = table_open(InheritsRelationId, AccessShareLock);
	ScanKeyData key;
	SysScanDesc scan;
	HeapTuple	tuple;
	bool		found;

	ScanKeyInit(&key, Anum_pg_inherits_inhrelid, BTEqualStrategyNumber,
				F_OIDEQ, ObjectIdGetDatum(relid));
	scan = systable_beginscan(rel, InheritsRelidSeqnoIndexId, true, NULL, 1, &key);
	tuple = systable_getnext(scan);
	found = HeapTupleIsValid(tuple);
	if (found)
	{
		*parent = ((Form_pg_inherits) GETSTRUCT(tuple))->inhparent;
		*xmin = HeapTupleHeaderGetRawXmin(tuple->t_data);
	}
	systable_endscan(scan);
	table_close(rel, AccessShareLock);
	return found;
}

/* The memory of a delta goes away: nobody may read it any more. */
static void
forget_active(void *arg)
{
	if (active_delta == (VsDelta *) arg)
		active_delta = NULL;
}

static void
at_xact_end(XactEvent event, void *arg)
{
	if (event == XACT_EVENT_ABORT || event == XACT_EVENT_COMMIT ||
		event == XACT_EVENT_PREPARE)
	{
		active_delta = NULL;
		flush_at_once = false;
		trust_hints = true;
	}
}

static void
at_subxact_end(SubXactEvent event, SubTransactionId mySubid,
			   SubTransactionId parentSubid, void *arg)
{
	int			level = GetCurrentTransactionNestLevel();

	if (event == SUBXACT_EVENT_ABORT_SUB)
	{
		if (level <= active_level)
			active_delta = NULL;
	}
	else if (event == SUBXACT_EVENT_COMMIT_SUB)
	{
		/* what it began is now its parent's */
		active_level = Min(active_level, level - 1);
	}
}
