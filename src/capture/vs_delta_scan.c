/*-------------------------------------------------------------------------
 *
 * vs_delta_scan.c
 *	  Reading a delta: the scan node that takes the place of a source's scan.
 *
 * While a delta query is planned, scans of the source's heaps become
 * CustomScans.  They deliver, straight from the pages, the tuple versions
 * that S1 and S2 disagree about, each with its weight, which the plan reads
 * as the system attribute VS_WEIGHT_ATTNO: the slot is a buffer heap tuple's
 * with another getsysattr.  Everything above the scan is PostgreSQL's.
 *
 * A page is judged as a whole under its share lock, which only looks at tuple
 * headers and the commit log; then its tuples are handed on under a pin, as a
 * sequential scan does.  No hint bit is set: pages stay clean, and writers do
 * not pay for our reading.  (A delta that is read once is judged by the rules
 * of a sequential scan, hint bits and predicate locks included: it takes the
 * place of one.)
 *
 * What differs in a delta is not what constraints promise.  An update is -old
 * +new, with the same key; a row of weight -1 may be older than the
 * constraint.  So while planning, a source has no index that could prove a
 * row to be unique, and constraints exclude nothing.  (What cannot be kept
 * from the planner is that it drops columns from GROUP BY that depend on a
 * primary key in it; who makes the query must hide those.)
 *
 * Ordinals.  Rows are counted in the order in which the scans deliver them.
 * Leaves keep the order in which they were first scanned, each beginning where
 * the one before ended; within a leaf the order is that of blocks and line
 * pointers.  A verdict never changes while S2 is registered, so neither do the
 * ordinals.  So many rows at a time are a bucket; its number can be read as the
 * system attribute VS_BUCKET_ATTNO, and the planner knows that rows come in the
 * order of their buckets.  To find a row again, the ordinal of every so many
 * pages is kept, and the place where the last scan stopped.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include <math.h>

#include "access/heapam.h"
#include "access/htup_details.h"
#include "access/table.h"
#include "access/transam.h"
#include "access/xact.h"
#include "catalog/pg_operator.h"
#include "catalog/pg_type.h"
#include "capture/vs_delta_internal.h"
#include "commands/explain.h"
#include "executor/executor.h"
#include "miscadmin.h"
#include "nodes/extensible.h"
#include "nodes/makefuncs.h"
#include "optimizer/cost.h"
#include "optimizer/optimizer.h"
#include "optimizer/pathnode.h"
#include "optimizer/paths.h"
#include "optimizer/plancat.h"
#include "optimizer/restrictinfo.h"
#include "storage/bufmgr.h"
#include "storage/predicate.h"
#include "utils/memutils.h"
#include "utils/rel.h"
#include "utils/snapmgr.h"
#include "utils/spccache.h"
#include "vs_compat.h"

#define SCAN_NAME			"Velostream Delta Scan"

/* A plan is used for many deltas: assume at least so many rows. */
#define MIN_ROWS_ESTIMATE	10000.0

/* Progress is reported each time so many pages were read. */
#define PROGRESS_PAGES		256

/* A buffer heap tuple with a weight, the number of its bucket, and its place. */
typedef struct DeltaSlot
{
	BufferHeapTupleTableSlot base;
	int32		weight;
	int64		bucket;
	int64		arrival;
} DeltaSlot;

/* Reads the pages of a leaf in order, from any of them on. */
typedef struct PageReader
{
	VsDelta    *delta;
	VsLeaf	   *leaf;
	Relation	rel;
	BufferAccessStrategy strategy;	/* or NULL */
	BlockNumber next;			/* number of the page to look at next */
	uint64		next_first;		/* ordinal, in the leaf, of its first row */
	BlockNumber prefetched;		/* pages before this one were prefetched */
	int			prefetch_distance;

	/* the current page, pinned */
	Buffer		buffer;
	BlockNumber block;
	uint64		first;			/* ordinal of its first row */
	uint64		nignored;
	int			nrows;
	int16		rows[MaxHeapTuplesPerPage]; /* offsets; negative: weight -1 */
} PageReader;

typedef struct DeltaScanState
{
	CustomScanState css;
	PageReader	reader;
	uint64		execution;		/* of the delta, when this scan started */
	bool		started;
	bool		ended;
	bool		clipped;		/* the window ends with the rows up to "limit" */
	uint64		lo;				/* window, as ordinals in the leaf */
	uint64		hi;
	int			row;			/* next of reader.rows */
	int			limit;			/* end of reader.rows for this scan */
	HeapTupleData tuple;
} DeltaScanState;

static void plan_relation_info(PlannerInfo *root, Oid relid, bool inhparent,
							   RelOptInfo *rel);
static void plan_pathlist(PlannerInfo *root, RelOptInfo *rel, Index rti,
						  RangeTblEntry *rte);
static List *bucket_order(PlannerInfo *root, RelOptInfo *rel);
static void cost_path(PlannerInfo *root, RelOptInfo *rel, CustomPath *path);
static Plan *make_plan(PlannerInfo *root, RelOptInfo *rel, CustomPath *path,
					   List *tlist, List *clauses, List *custom_plans);
static List *whole_row_tlist(PlannerInfo *root, RelOptInfo *rel, List *tlist);
static Node *create_state(CustomScan *cscan);
static void begin_scan(CustomScanState *node, EState *estate, int eflags);
static TupleTableSlot *exec_scan(CustomScanState *node);
static void end_scan(CustomScanState *node);
static void rescan(CustomScanState *node);
static void explain_scan(CustomScanState *node, List *ancestors, ExplainState *es);

static TupleTableSlot *next_row(ScanState *ss);
static bool recheck_row(ScanState *ss, TupleTableSlot *slot);
static bool start_scan(DeltaScanState *state);
static bool next_rows(DeltaScanState *state);
static void finish_scan(DeltaScanState *state, bool cut);
static bool order_leaf(VsDelta *delta, VsLeaf *leaf);
static void count_rest(VsDelta *delta, VsLeaf *leaf);

static void reader_open(PageReader *reader, VsDelta *delta, VsLeaf *leaf, Relation rel);
static void reader_seek(PageReader *reader, uint64 ordinal);
static bool reader_next(PageReader *reader);
static void reader_close(PageReader *reader);
static void prefetch_pages(PageReader *reader);
static void note_page(PageReader *reader, BlockNumber pageno);

static void judge_page(PageReader *reader);
static void take_all(PageReader *reader, Page page);
static void take_revived(PageReader *reader, Page page);
static void judge_visible(PageReader *reader, Page page);
static bool judge_changes(PageReader *reader, Page page);
static void judge_inserts(PageReader *reader, Page page);
static uint32 xid_seen(VsDelta *delta, TransactionId xid, VsXidVerdict *entry,
					   bool committed);
static uint32 frozen_xid_seen(VsDelta *delta, TransactionId xid);
static uint32 moved_seen(PageReader *reader, HeapTupleHeader tup, OffsetNumber off);

static Datum slot_get_delta_column(TupleTableSlot *slot, int attnum, bool *isnull);
static void slot_copy(TupleTableSlot *dstslot, TupleTableSlot *srcslot);

static get_relation_info_hook_type prev_relation_info_hook = NULL;
static set_rel_pathlist_hook_type prev_pathlist_hook = NULL;

static TupleTableSlotOps delta_slot_ops;

static const CustomPathMethods path_methods = {
	.CustomName = SCAN_NAME,
	.PlanCustomPath = make_plan
};

static const CustomScanMethods scan_methods = {
	.CustomName = SCAN_NAME,
	.CreateCustomScanState = create_state
};

static const CustomExecMethods exec_methods = {
	.CustomName = SCAN_NAME,
	.BeginCustomScan = begin_scan,
	.ExecCustomScan = exec_scan,
	.EndCustomScan = end_scan,
	.ReScanCustomScan = rescan,
	.ExplainCustomScan = explain_scan
};

void
vs_delta_scan_init(void)
{
	delta_slot_ops = TTSOpsBufferHeapTuple;
	delta_slot_ops.base_slot_size = sizeof(DeltaSlot);
	delta_slot_ops.getsysattr = slot_get_delta_column;
	delta_slot_ops.copyslot = slot_copy;

	RegisterCustomScanMethods(&scan_methods);

	prev_relation_info_hook = get_relation_info_hook;
	get_relation_info_hook = plan_relation_info;
	prev_pathlist_hook = set_rel_pathlist_hook;
	set_rel_pathlist_hook = plan_pathlist;
}

/*
 * get_relation_info_hook: a source is as large as its delta, and nothing in
 * it is unique.
 */
static void
plan_relation_info(PlannerInfo *root, Oid relid, bool inhparent, RelOptInfo *rel)
{
	VsDelta    *delta = vs_delta_active();
	VsLeaf	   *leaf;
	double		density;

	if (prev_relation_info_hook)
		prev_relation_info_hook(root, relid, inhparent, rel);
	if (!vs_delta_is_planning(root))
		return;
	vs_forget_not_null(rel);
	if (inhparent)
	{
		rel->indexlist = NIL;	/* of a partitioned table */
		return;
	}
	if (!vs_delta_plans(root, relid))
		return;

	rel->indexlist = NIL;
	rel->allvisfrac = 0;
	rel->rel_parallel_workers = 0;
	density = rel->pages > 0 && rel->tuples > 0 ? rel->tuples / rel->pages : 100.0;
	leaf = delta ? vs_delta_find_leaf(delta, relid) : NULL;
	rel->tuples = leaf ? density * leaf->npages : MIN_ROWS_ESTIMATE;
	rel->tuples = clamp_row_est(Max(rel->tuples, MIN_ROWS_ESTIMATE));
	rel->pages = (BlockNumber) ceil(rel->tuples / density);
}

/* set_rel_pathlist_hook: the delta scan is the only way to read a source. */
static void
plan_pathlist(PlannerInfo *root, RelOptInfo *rel, Index rti, RangeTblEntry *rte)
{
	CustomPath *path;

	if (prev_pathlist_hook)
		prev_pathlist_hook(root, rel, rti, rte);
	if (rte->rtekind != RTE_RELATION || rte->inh || !vs_delta_plans(root, rte->relid) ||
		IS_DUMMY_REL(rel))
		return;

	path = makeNode(CustomPath);
	path->path.pathtype = T_CustomScan;
	path->path.parent = rel;
	path->path.pathtarget = rel->reltarget;
	path->path.param_info = get_baserel_parampathinfo(root, rel, rel->lateral_relids);
	path->path.parallel_safe = false;
	path->path.pathkeys = bucket_order(root, rel);
	path->flags = CUSTOMPATH_SUPPORT_PROJECTION;
	path->methods = &path_methods;
	cost_path(root, rel, path);

	rel->consider_parallel = false;
	rel->partial_pathlist = NIL;
	rel->pathlist = NIL;
	add_path(rel, &path->path);
}

/*
 * Rows come in the order of their buckets; NIL if nothing above the scan can
 * make use of it.
 */
static List *
bucket_order(PlannerInfo *root, RelOptInfo *rel)
{
	Expr	   *bucket = (Expr *) makeVar(rel->relid, VS_BUCKET_ATTNO, INT8OID, -1,
										  InvalidOid, 0);

	return vs_build_expression_pathkey(root, bucket, Int8LessOperator, rel->relids);
}

/* As cost_seqscan, of the pages and tuples set by plan_relation_info. */
static void
cost_path(PlannerInfo *root, RelOptInfo *rel, CustomPath *path)
{
	PathTarget *target = path->path.pathtarget;
	QualCost	qual = rel->baserestrictcost;

	if (path->path.param_info)
	{
		QualCost	outer;

		cost_qual_eval(&outer, path->path.param_info->ppi_clauses, root);
		qual.startup += outer.startup;
		qual.per_tuple += outer.per_tuple;
		path->path.rows = path->path.param_info->ppi_rows;
	}
	else
		path->path.rows = rel->rows;

	path->path.startup_cost = qual.startup + target->cost.startup;
	path->path.total_cost = path->path.startup_cost +
		rel->pages * seq_page_cost +
		rel->tuples * (cpu_tuple_cost + qual.per_tuple) +
		path->path.rows * target->cost.per_tuple;
}

static Plan *
make_plan(PlannerInfo *root, RelOptInfo *rel, CustomPath *path,
		  List *tlist, List *clauses, List *custom_plans)
{
	CustomScan *cscan = makeNode(CustomScan);

	cscan->scan.plan.targetlist = whole_row_tlist(root, rel, tlist);
	cscan->scan.plan.qual = extract_actual_clauses(clauses, false);
	cscan->scan.scanrelid = rel->relid;
	cscan->flags = path->flags;
	cscan->methods = &scan_methods;
	return &cscan->scan.plan;
}

/*
 * Below an aggregation that only wants columns, hand rows on as they are, as
 * PostgreSQL's own scans do (use_physical_tlist): no projection for each row.
 */
static List *
whole_row_tlist(PlannerInfo *root, RelOptInfo *rel, List *tlist)
{
	List	   *whole;
	ListCell   *lc;

	if (rel->reloptkind != RELOPT_BASEREL ||
		!(root->parse->hasAggs || root->parse->groupClause != NIL))
		return tlist;
	whole = build_physical_tlist(root, rel);	/* NIL if there are dropped
												 * columns */
	foreach(lc, tlist)
	{
		TargetEntry *tle = lfirst_node(TargetEntry, lc);
		Var		   *var = (Var *) tle->expr;

		if (!IsA(var, Var) || var->varattno <= 0 ||
			var->varattno > list_length(whole))
			return tlist;
		if (tle->ressortgroupref != 0)
		{
			TargetEntry *twin = list_nth_node(TargetEntry, whole, var->varattno - 1);

			/* one column may be grouped by under one reference only */
			if (twin->ressortgroupref != 0)
				return tlist;
			twin->ressortgroupref = tle->ressortgroupref;
		}
	}
	return whole;
}

static Node *
create_state(CustomScan *cscan)
{
	DeltaScanState *state = palloc0(sizeof(DeltaScanState));

	NodeSetTag(state, T_CustomScanState);
	state->css.methods = &exec_methods;
	vs_set_custom_scan_slot_ops(&state->css, &delta_slot_ops);
	state->reader.buffer = InvalidBuffer;
	return (Node *) state;
}

/*
 * Before PostgreSQL 16 the expressions have been compiled for a virtual slot:
 * do it again, for ours.
 */
static void
begin_scan(CustomScanState *node, EState *estate, int eflags)
{
	DeltaScanState *state = (DeltaScanState *) node;
	Relation	rel = node->ss.ss_currentRelation;
	Scan	   *scan = (Scan *) node->ss.ps.plan;
	VsDelta    *delta = vs_delta_active();
	VsLeaf	   *leaf;

	if (node->ss.ps.scanops != &delta_slot_ops)
	{
		node->ss.ps.subPlan = NIL;
		ExecInitScanTupleSlot(estate, &node->ss, RelationGetDescr(rel),
							  &delta_slot_ops);
		ExecAssignScanProjectionInfoWithVarno(&node->ss, scan->scanrelid);
		node->ss.ps.qual = ExecInitQual(scan->plan.qual, &node->ss.ps);
	}

	leaf = delta ? vs_delta_find_leaf(delta, RelationGetRelid(rel)) : NULL;
	if (leaf != NULL)
		reader_open(&state->reader, delta, leaf, rel);
	else if ((eflags & EXEC_FLAG_EXPLAIN_ONLY) == 0)
		ereport(ERROR,
				(errcode(ERRCODE_INTERNAL_ERROR),
				 errmsg("no delta of relation \"%s\" is active",
						RelationGetRelationName(rel))));
}

static TupleTableSlot *
exec_scan(CustomScanState *node)
{
	return ExecScan(&node->ss, next_row, recheck_row);
}

static void
end_scan(CustomScanState *node)
{
	reader_close(&((DeltaScanState *) node)->reader);
}

static void
rescan(CustomScanState *node)
{
	DeltaScanState *state = (DeltaScanState *) node;

	ExecScanReScan(&node->ss);
	reader_close(&state->reader);
	if (state->started && !state->ended)
		finish_scan(state, false);
	state->started = false;
	state->ended = false;
}

static void
explain_scan(CustomScanState *node, List *ancestors, ExplainState *es)
{
	DeltaScanState *state = (DeltaScanState *) node;
	VsLeaf	   *leaf = state->reader.leaf;

	if (leaf != NULL)
		ExplainPropertyInteger(leaf->blocks ? "Hinted Pages" : "Swept Pages",
							   NULL, leaf->npages, es);
}

/*
 * ExecScan's access method: the next row of the window, its weight in the
 * slot.
 */
static TupleTableSlot *
next_row(ScanState *ss)
{
	DeltaScanState *state = (DeltaScanState *) ss;
	TupleTableSlot *slot = ss->ss_ScanTupleSlot;
	DeltaSlot  *dslot = (DeltaSlot *) slot;
	PageReader *reader = &state->reader;
	VsDelta    *delta = reader->delta;
	HeapTuple	tuple = &state->tuple;
	Page		page;
	ItemId		lp;
	int			code;

	do
	{
		if (state->row >= state->limit && !next_rows(state))
			return ExecClearTuple(slot);
		code = reader->rows[state->row++];

		page = BufferGetPage(reader->buffer);
		dslot->weight = code > 0 ? 1 : -1;
		code = abs(code);
		lp = PageGetItemId(page, code);
		Assert(ItemIdIsNormal(lp));
		tuple->t_data = (HeapTupleHeader) PageGetItem(page, lp);
		tuple->t_len = ItemIdGetLength(lp);
		tuple->t_tableOid = reader->leaf->relid;
		ItemPointerSet(&tuple->t_self, reader->block, code);
	} while (unlikely(delta->only_weight == -dslot->weight) ||
			 (unlikely(delta->dead != NULL) &&
			  vs_delta_is_dead(delta, tuple->t_tableOid, &tuple->t_self,
							   HeapTupleHeaderGetRawXmin(tuple->t_data))));

	/* what ExecStoreBufferHeapTuple does, for its own kind of slot only */
	if (dslot->base.buffer != reader->buffer || TTS_SHOULDFREE(slot))
	{
		ExecClearTuple(slot);
		IncrBufferRefCount(reader->buffer);
		dslot->base.buffer = reader->buffer;
	}
	slot->tts_flags &= ~TTS_FLAG_EMPTY;
	slot->tts_nvalid = 0;
	dslot->base.base.tuple = tuple;
	dslot->base.base.off = 0;
	slot->tts_tid = tuple->t_self;
	slot->tts_tableOid = tuple->t_tableOid;

	/* several scans may take turns */
	delta->last_leaf = reader->leaf;
	delta->last_block = reader->block;
	delta->last_first = reader->leaf->base + reader->first;
	delta->last_row = state->row;
	delta->last_code = reader->rows[state->row - 1];
	dslot->bucket = reader->leaf->base + reader->first + (state->row - 1);
	dslot->arrival = delta->arrival + dslot->bucket;
	if (dslot->arrival >= delta->arrived)
		delta->arrived = dslot->arrival + 1;
	if (delta->bucket_rows > 1)
		dslot->bucket = (uint64) dslot->bucket / delta->bucket_rows;
	if (dslot->weight > 0)
		delta->counters.rows_in++;
	else
		delta->counters.rows_out++;
	return slot;
}

static bool
recheck_row(ScanState *ss, TupleTableSlot *slot)
{
	return true;
}

/*
 * Find the next page that has rows of the window: state->row .. limit of the
 * reader's.  False: this scan has ended.
 */
static bool
next_rows(DeltaScanState *state)
{
	PageReader *reader = &state->reader;

	if (!state->started && !start_scan(state))
		return false;
	if (state->ended)
		return false;

	for (;;)
	{
		uint64		end;

		if (state->clipped)
		{
			finish_scan(state, state->limit < reader->nrows ||
						reader->next < reader->leaf->npages);
			return false;
		}
		if (!reader_next(reader))
		{
			finish_scan(state, false);
			return false;
		}

		end = reader->first + reader->nrows;
		state->row = state->lo <= reader->first ? 0 :
			(int) (Min(state->lo, end) - reader->first);
		state->limit = state->hi >= end ? reader->nrows :
			(int) (Max(state->hi, reader->first) - reader->first);
		state->clipped = state->hi <= end;
		if (state->row < state->limit)
		{
			return true;
		}
	}
}

/* Give the leaf its place, and find the beginning of the window in it. */
static bool
start_scan(DeltaScanState *state)
{
	PageReader *reader = &state->reader;
	VsDelta    *delta = reader->delta;
	VsLeaf	   *leaf = reader->leaf;

	state->started = true;
	state->ended = false;
	state->execution = delta->execution;
	state->row = state->limit = 0;
	state->clipped = false;
	delta->nrunning++;

	if (!order_leaf(delta, leaf))
	{
		finish_scan(state, leaf->npages > 0);
		return false;
	}
	state->lo = delta->first > leaf->base ? delta->first - leaf->base : 0;
	state->hi = delta->last > leaf->base ? delta->last - leaf->base : 0;
	if (state->hi == 0)
	{
		finish_scan(state, !VsLeafIsComplete(leaf) || leaf->reached_first > 0);
		return false;
	}
	if (VsLeafIsComplete(leaf) && leaf->reached_first <= state->lo)
	{
		finish_scan(state, false);
		return false;
	}
	reader_seek(reader, state->lo);
	return true;
}

/* The scan has no more rows; cut: but the leaf may have. */
static void
finish_scan(DeltaScanState *state, bool cut)
{
	VsDelta    *delta = state->reader.delta;

	reader_close(&state->reader);
	state->ended = true;
	state->row = state->limit = 0;
	if (state->execution == delta->execution)
	{
		delta->nrunning--;
		if (cut)
			delta->cut = true;
	}
}

/*
 * Give the leaf its base, if it has none yet.  False: it begins beyond the
 * window, wherever exactly that is.
 */
static bool
order_leaf(VsDelta *delta, VsLeaf *leaf)
{
	if (leaf->ordered)
		return true;

	if (delta->norder > 0)
	{
		VsLeaf	   *before = delta->order[delta->norder - 1];

		if (!VsLeafIsComplete(before))
		{
			if (before->base + before->reached_first >= delta->last)
				return false;
			count_rest(delta, before);
		}
		leaf->base = before->base + before->reached_first;
	}
	leaf->ordered = true;
	delta->order[delta->norder++] = leaf;
	return true;
}

/*
 * Two leaves are read at the same time, or one was given up before its end:
 * read on for the number of its rows.
 */
static void
count_rest(VsDelta *delta, VsLeaf *leaf)
{
	PageReader *reader = palloc0(sizeof(PageReader));
	Relation	rel = table_open(leaf->relid, NoLock);

	reader_open(reader, delta, leaf, rel);
	reader_seek(reader, leaf->reached_first);
	while (reader_next(reader))
		;
	reader_close(reader);
	table_close(rel, NoLock);
	pfree(reader);
}

static void
reader_open(PageReader *reader, VsDelta *delta, VsLeaf *leaf, Relation rel)
{
	reader->delta = delta;
	reader->leaf = leaf;
	reader->rel = rel;
	reader->buffer = InvalidBuffer;
	reader->prefetch_distance = 0;
	if (delta->once)
		PredicateLockRelation(rel, delta->s2);
#ifdef USE_PREFETCH
	if (leaf->blocks != NULL)
		reader->prefetch_distance =
			get_tablespace_io_concurrency(rel->rd_rel->reltablespace);
#endif
}

/*
 * Go to the last page known to begin at or before the row of that ordinal.
 * That is its own page where the last scan stopped, else at most
 * VS_CHECKPOINT_PAGES before it, unless nobody has been that far.
 */
static void
reader_seek(PageReader *reader, uint64 ordinal)
{
	VsLeaf	   *leaf = reader->leaf;
	BlockNumber low = 0;
	BlockNumber high = leaf->ncheckpoints;

	reader->next = 0;
	reader->next_first = 0;

	/* find the last checkpoint that is not beyond */
	while (low < high)
	{
		BlockNumber mid = low + (high - low) / 2;

		if (leaf->checkpoints[mid] <= ordinal)
			low = mid + 1;
		else
			high = mid;
	}
	if (low > 0)
	{
		reader->next = (low - 1) * VS_CHECKPOINT_PAGES;
		reader->next_first = leaf->checkpoints[low - 1];
	}
	if (leaf->stop_first <= ordinal && leaf->stop_page > reader->next)
	{
		reader->next = leaf->stop_page;
		reader->next_first = leaf->stop_first;
	}
	if (leaf->reached_first <= ordinal)
	{
		reader->next = leaf->reached;
		reader->next_first = leaf->reached_first;
	}
	reader->prefetched = reader->next;

	/* as heap_beginscan: a large table is not to flood the buffers */
	if (leaf->blocks == NULL && reader->strategy == NULL &&
		leaf->npages > NBuffers / 4)
		reader->strategy = GetAccessStrategy(BAS_BULKREAD);
}

/*
 * Judge the next page, and keep it pinned.  False at the end.  A page can
 * have no rows.
 */
static bool
reader_next(PageReader *reader)
{
	VsLeaf	   *leaf = reader->leaf;
	BlockNumber pageno = reader->next;

	CHECK_FOR_INTERRUPTS();

	if (BufferIsValid(reader->buffer))
	{
		ReleaseBuffer(reader->buffer);
		reader->buffer = InvalidBuffer;
	}
	if (pageno >= leaf->npages)
		return false;

	reader->block = leaf->blocks ? leaf->blocks[pageno] : pageno;
	reader->first = reader->next_first;
	reader->nrows = 0;
	reader->nignored = 0;
	if (reader->block < leaf->nblocks)	/* else VACUUM has cut it off */
	{
		if (reader->prefetch_distance > 0)
			prefetch_pages(reader);
		reader->buffer = ReadBufferExtended(reader->rel, MAIN_FORKNUM,
											reader->block, RBM_NORMAL,
											reader->strategy);
		judge_page(reader);
	}
	reader->next++;
	reader->next_first += reader->nrows;
	note_page(reader, pageno);
	return true;
}

/* Release the page; the reader can be used again after reader_seek. */
static void
reader_close(PageReader *reader)
{
	if (BufferIsValid(reader->buffer))
		ReleaseBuffer(reader->buffer);
	reader->buffer = InvalidBuffer;
	if (reader->strategy != NULL)
		FreeAccessStrategy(reader->strategy);
	reader->strategy = NULL;
}

static void
prefetch_pages(PageReader *reader)
{
	VsLeaf	   *leaf = reader->leaf;
	uint64		end = Min((uint64) reader->next + 1 + reader->prefetch_distance,
						  leaf->npages);

	reader->prefetched = Max(reader->prefetched, reader->next + 1);
	for (; reader->prefetched < end; reader->prefetched++)
	{
		BlockNumber block = leaf->blocks[reader->prefetched];

		if (block < leaf->nblocks)
			PrefetchBuffer(reader->rel, MAIN_FORKNUM, block);
	}
}

/* The page just judged: remember where it is, and count it the first time. */
static void
note_page(PageReader *reader, BlockNumber pageno)
{
	VsDelta    *delta = reader->delta;
	VsLeaf	   *leaf = reader->leaf;

	leaf->stop_page = pageno;
	leaf->stop_first = reader->first;
	if (pageno != leaf->reached)
		return;

	if (pageno % VS_CHECKPOINT_PAGES == 0)
	{
		if (leaf->ncheckpoints == leaf->max_checkpoints)
		{
			Size		size;

			leaf->max_checkpoints = Max(64, 2 * leaf->max_checkpoints);
			size = sizeof(uint64) * (Size) leaf->max_checkpoints;
			leaf->checkpoints = leaf->checkpoints ?
				repalloc_huge(leaf->checkpoints, size) :
				MemoryContextAllocHuge(delta->context, size);
		}
		leaf->checkpoints[leaf->ncheckpoints++] = reader->first;
	}
	leaf->reached = pageno + 1;
	leaf->reached_first = reader->next_first;
	delta->counters.pages++;
	delta->counters.ignored += reader->nignored;
	if ((delta->counters.pages % PROGRESS_PAGES == 0 || vs_delta_report_due) &&
		delta->progress != NULL)
		delta->progress(delta->progress_arg, delta->counters.pages);
}

/*
 * Fill reader->rows.  A page that is all-visible holds nothing newer than the
 * horizon, which is not newer than S1: there is no difference on it.
 */
static void
judge_page(PageReader *reader)
{
	VsDelta    *delta = reader->delta;
	VsLeaf	   *leaf = reader->leaf;
	Page		page = BufferGetPage(reader->buffer);
	bool		unexpected = false;

	LockBuffer(reader->buffer, BUFFER_LOCK_SHARE);
	if (delta->once)
		judge_visible(reader, page);
	else if (!XLogRecPtrIsInvalid(leaf->sweep_lsn) &&
			 BufferGetLSNAtomic(reader->buffer) < leaf->sweep_lsn)
		 /* untouched since S1 */ ;
	else if (PageIsAllVisible(page) && leaf->frozen_seen &&
			 leaf->mask == VS_SEEN_BOTH)
		 /* nothing new */ ;
	else if (PageIsAllVisible(page) && leaf->frozen_seen && !leaf->inserts_only)
		take_all(reader, page);
	else if (leaf->inserts_only)
		judge_inserts(reader, page);
	else
		unexpected = judge_changes(reader, page) && !delta->may_retract;
	if (unlikely(delta->revived != NULL))
		take_revived(reader, page);
	LockBuffer(reader->buffer, BUFFER_LOCK_UNLOCK);

	if (unexpected)
	{
		delta->deceived = true;
		ereport(ERROR,
				(errcode(ERRCODE_INTERNAL_ERROR),
				 errmsg("a deleted row was found in block %u of relation \"%s\", of which no WAL record told",
						reader->block, RelationGetRelationName(reader->rel)),
				 errhint("The next batch reads all pages of its sources. Please report this as a bug.")));
	}
}

/* Every tuple of the page is new. */
static void
take_all(PageReader *reader, Page page)
{
	OffsetNumber max = PageGetMaxOffsetNumber(page);
	int			n = 0;

	for (OffsetNumber off = FirstOffsetNumber; off <= max; off++)
	{
		if (ItemIdIsNormal(PageGetItemId(page, off)))
			reader->rows[n++] = off;
	}
	reader->nrows = n;
}

/* Rows that were left out before come after the others of the page. */
static void
take_revived(PageReader *reader, Page page)
{
	OffsetNumber max = PageGetMaxOffsetNumber(page);
	int			nrows = reader->nrows;

	for (OffsetNumber off = FirstOffsetNumber; off <= max; off++)
	{
		ItemPointerData tid;
		bool		taken = false;

		ItemPointerSet(&tid, reader->block, off);
		if (!vs_delta_is_revived(reader->delta, reader->leaf->relid, &tid))
			continue;
		for (int i = 0; i < nrows && !taken; i++)
			taken = reader->rows[i] == off; /* of a partition that is new
											 * again */
		if (!taken)
			reader->rows[reader->nrows++] = off;
	}
}

/* What a sequential scan finds; as heapgetpage. */
static void
judge_visible(PageReader *reader, Page page)
{
	Snapshot	snapshot = reader->delta->s2;
	OffsetNumber max = PageGetMaxOffsetNumber(page);
	bool		all = PageIsAllVisible(page) && !snapshot->takenDuringRecovery;
	bool		serializable = CheckForSerializableConflictOutNeeded(reader->rel, snapshot);
	HeapTupleData tuple;
	int			n = 0;

	vs_test_for_old_snapshot(snapshot, reader->rel, page);
	tuple.t_tableOid = reader->leaf->relid;
	for (OffsetNumber off = FirstOffsetNumber; off <= max; off++)
	{
		ItemId		lp = PageGetItemId(page, off);
		bool		visible;

		if (!ItemIdIsNormal(lp))
			continue;
		tuple.t_data = (HeapTupleHeader) PageGetItem(page, lp);
		tuple.t_len = ItemIdGetLength(lp);
		ItemPointerSet(&tuple.t_self, reader->block, off);
		visible = all || HeapTupleSatisfiesVisibility(&tuple, snapshot, reader->buffer);
		if (serializable)
			HeapCheckForSerializableConflictOut(visible, reader->rel, &tuple,
												reader->buffer, snapshot);
		if (visible)
			reader->rows[n++] = off;
	}
	reader->nrows = n;
}

/* Who sees what that transaction did? */
static pg_attribute_always_inline uint32
seen(VsDelta *delta, TransactionId xid, bool committed)
{
	VsXidVerdict *entry = &delta->xids[xid & (VS_XID_CACHE_SIZE - 1)];

	if (likely(entry->xid == xid))
		return entry->seen;
	return xid_seen(delta, xid, entry, committed);
}

/* Who sees this tuple's insertion?  The page is locked. */
static pg_attribute_always_inline uint32
insertion_seen(PageReader *reader, HeapTupleHeader tup)
{
	uint16		infomask = tup->t_infomask;

	if ((infomask & HEAP_XMIN_FROZEN) == HEAP_XMIN_FROZEN)
		return reader->leaf->frozen_seen ? VS_SEEN_BOTH :
			frozen_xid_seen(reader->delta, HeapTupleHeaderGetRawXmin(tup));
	if (infomask & HEAP_XMIN_INVALID)
		return 0;
	return seen(reader->delta, HeapTupleHeaderGetRawXmin(tup),
				(infomask & HEAP_XMIN_COMMITTED) != 0);
}

/* Who sees it as deleted or updated?  A row that is only locked is not. */
static pg_attribute_always_inline uint32
deletion_seen(PageReader *reader, HeapTupleHeader tup)
{
	uint16		infomask = tup->t_infomask;

	if ((infomask & HEAP_XMAX_INVALID) || HEAP_XMAX_IS_LOCKED_ONLY(infomask))
		return 0;
	if (infomask & HEAP_XMAX_IS_MULTI)
		return seen(reader->delta, HeapTupleGetUpdateXid(tup), false);
	return seen(reader->delta, HeapTupleHeaderGetRawXmax(tup),
				(infomask & HEAP_XMAX_COMMITTED) != 0);
}

/*
 * The difference between S1 and S2, by the rules of HeapTupleSatisfiesMVCC
 * with curcid = 0: a tuple is visible to a snapshot that sees its insertion
 * and not its deletion.  Returns true if there is a row of weight -1.
 */
static bool
judge_changes(PageReader *reader, Page page)
{
	OffsetNumber max = PageGetMaxOffsetNumber(page);
	uint32		mask = reader->leaf->mask;
	bool		retracts = false;
	int			n = 0;

	for (OffsetNumber off = FirstOffsetNumber; off <= max; off++)
	{
		ItemId		lp = PageGetItemId(page, off);
		HeapTupleHeader tup;
		uint32		visible;

		if (!ItemIdIsNormal(lp))
			continue;
		tup = (HeapTupleHeader) PageGetItem(page, lp);
		if (unlikely((tup->t_infomask & HEAP_MOVED) != 0))
			visible = moved_seen(reader, tup, off);
		else
		{
			visible = insertion_seen(reader, tup);
			if (visible != 0 && (tup->t_infomask & HEAP_XMAX_INVALID) == 0)
				visible &= ~deletion_seen(reader, tup);
		}
		visible &= mask;

		if (visible == VS_SEEN_S2)
			reader->rows[n++] = off;
		else if (visible == VS_SEEN_S1)
		{
			reader->rows[n++] = -(int16) off;
			retracts = true;
		}
	}
	reader->nrows = n;
	return retracts;
}

/*
 * Append mode: what was inserted, and not by an update, after S1 and up to
 * S2, whatever became of it.  An aborted speculative insertion has no xmin,
 * so nobody sees it.  Deletions and updates in the same time are counted.
 */
static void
judge_inserts(PageReader *reader, Page page)
{
	OffsetNumber max = PageGetMaxOffsetNumber(page);
	uint32		mask = reader->leaf->mask;
	int			n = 0;

	for (OffsetNumber off = FirstOffsetNumber; off <= max; off++)
	{
		ItemId		lp = PageGetItemId(page, off);
		HeapTupleHeader tup;
		uint32		inserted;

		if (!ItemIdIsNormal(lp))
			continue;
		tup = (HeapTupleHeader) PageGetItem(page, lp);
		if (unlikely((tup->t_infomask & HEAP_MOVED) != 0))
			continue;			/* by a VACUUM FULL before 9.0 */
		inserted = insertion_seen(reader, tup) & mask;
		if (inserted == VS_SEEN_S2 && (tup->t_infomask & HEAP_UPDATED) == 0)
			reader->rows[n++] = off;
		if ((inserted & VS_SEEN_S2) != 0 &&
			(deletion_seen(reader, tup) & mask) == VS_SEEN_S2)
			reader->nignored++;
	}
	reader->nrows = n;
}

/*
 * Who sees what that transaction did; remembered in "entry".  Our own
 * transaction counts as in progress: it is not over, and the frontier cannot
 * tell what it has written from what it will write.  (S2 does not list it.)
 */
static uint32
xid_seen(VsDelta *delta, TransactionId xid, VsXidVerdict *entry, bool committed)
{
	uint32		result = 0;

	if (!TransactionIdIsNormal(xid))
		result = TransactionIdIsValid(xid) ? VS_SEEN_BOTH : 0;
	else if (!TransactionIdIsCurrentTransactionId(xid) &&
			 !XidInMVCCSnapshot(xid, delta->s2) &&
			 (committed || TransactionIdDidCommit(xid)))
	{
		result = VS_SEEN_S2;
		if (delta->s1 != NULL && !XidInMVCCSnapshot(xid, delta->s1))
			result |= VS_SEEN_S1;
	}
	entry->xid = xid;
	entry->seen = result;
	return result;
}

/*
 * Who sees a frozen tuple, going by the xmin it had?  That has committed, or
 * is ours (COPY FREEZE).  One that seems to be in progress, or in the future,
 * is from long ago.
 */
static uint32
frozen_xid_seen(VsDelta *delta, TransactionId xid)
{
	if (!TransactionIdIsNormal(xid))
		return VS_SEEN_BOTH;
	if (TransactionIdIsCurrentTransactionId(xid))
		return 0;
	if (delta->s1 == NULL || XidInMVCCSnapshot(xid, delta->s2) ||
		!XidInMVCCSnapshot(xid, delta->s1))
		return VS_SEEN_BOTH;
	return VS_SEEN_S2;
}

/* Who sees a tuple with the marks of a VACUUM FULL before 9.0? */
static uint32
moved_seen(PageReader *reader, HeapTupleHeader tup, OffsetNumber off)
{
	VsDelta    *delta = reader->delta;
	HeapTupleData tuple;
	uint32		result = 0;

	tuple.t_data = tup;
	tuple.t_len = ItemIdGetLength(PageGetItemId(BufferGetPage(reader->buffer), off));
	tuple.t_tableOid = reader->leaf->relid;
	ItemPointerSet(&tuple.t_self, reader->block, off);
	if (HeapTupleSatisfiesVisibility(&tuple, delta->s2, reader->buffer))
		result |= VS_SEEN_S2;
	if (delta->s1 != NULL &&
		HeapTupleSatisfiesVisibility(&tuple, delta->s1, reader->buffer))
		result |= VS_SEEN_S1;
	return result;
}

/* What only rows of a delta have is read as a system attribute. */
static Datum
slot_get_delta_column(TupleTableSlot *slot, int attnum, bool *isnull)
{
	if (attnum == VS_WEIGHT_ATTNO)
	{
		*isnull = false;
		return Int32GetDatum(((DeltaSlot *) slot)->weight);
	}
	if (attnum == VS_BUCKET_ATTNO)
	{
		*isnull = false;
		return Int64GetDatum(((DeltaSlot *) slot)->bucket);
	}
	if (attnum == VS_ARRIVAL_ATTNO)
	{
		*isnull = false;
		return Int64GetDatum(((DeltaSlot *) slot)->arrival);
	}
	return TTSOpsBufferHeapTuple.getsysattr(slot, attnum, isnull);
}

static void
slot_copy(TupleTableSlot *dstslot, TupleTableSlot *srcslot)
{
	TTSOpsBufferHeapTuple.copyslot(dstslot, srcslot);
	if (srcslot->tts_ops == &delta_slot_ops)
	{
		((DeltaSlot *) dstslot)->weight = ((DeltaSlot *) srcslot)->weight;
		((DeltaSlot *) dstslot)->bucket = ((DeltaSlot *) srcslot)->bucket;
		((DeltaSlot *) dstslot)->arrival = ((DeltaSlot *) srcslot)->arrival;
	}
}
