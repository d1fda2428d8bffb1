/*-------------------------------------------------------------------------
 *
 * vs_top.c
 *	  ORDER BY and LIMIT: the first rows of a result, or of each window.
 *
 * What merging emits is not written but taken here, as rows that came and rows
 * that went, and sorted.  Where windows are emitted once, when they close, the
 * first rows of each are all there is to do.
 *
 * Where the first rows stand in the output, it is all that is known of the
 * rows before.  Those behind its last row are not there: while the output is
 * full, a row that came counts only if it comes before that one, or is equal
 * to it.  If these and those that stayed are enough, the first of them are the
 * new output; if not, rows from behind have to move up, and are looked for
 * where all of them are: groups in the state table, rows in the source, under
 * the batch's snapshot, when the batch is through with the delta.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "access/xact.h"
#include "catalog/pg_type.h"
#include "miscadmin.h"
#include "parser/parse_oper.h"
#include "process/vs_groups_internal.h"
#include "utils/datum.h"
#include "utils/hsearch.h"
#include "utils/memutils.h"
#include "utils/rel.h"
#include "utils/sortsupport.h"
#include "utils/tuplesort.h"
#include "vs_compat.h"

/* A row of the result. */
typedef struct TopRow
{
	ItemPointerData tid;		/* in the output; invalid: it is not there */
	bool		gone;			/* not in the result any more */
	bool		kept;			/* stays in the output */
	Datum	   *values;
	bool	   *nulls;
	struct TopRow *same_hash;	/* of its key; of rows in a table of hashes */
} TopRow;

typedef struct TopList
{
	TopRow	   *rows;
	int			n;
	int			size;
	int			live;			/* that are not gone */
} TopList;

/* A row by the hash of its key. */
typedef struct KeyEntry
{
	uint64		hash;			/* hash key */
	TopRow	   *row;
} KeyEntry;

/* What a run has taken; for one window at a time, what is known of it. */
typedef struct VsTopRows
{
	VsRun	   *run;
	TupleDesc	desc;			/* columns of the output, weight */
	TupleTableSlot *slot;
	Tuplesortstate *sort;		/* by window, order, and weight: first what
								 * came */
	TupleTableSlot *virtual_slot;	/* of what goes into a sort */
	Tuplesortstate *groups;		/* that are read again */
	int64		unread;			/* rows that "sort" will deliver, at most */
	SortSupportData *keys;		/* of the order alone */
	bool		loaded;			/* "standing" is what is in the output */
	MemoryContext context;		/* of the rows below */
	MemoryContext scratch;
	TopList		standing;		/* in the output, in order */
	HTAB	   *standing_keys;	/* KeyEntry of them, where these are asked for */
	TopList		came;			/* the first that came, in order */
	bool		more;			/* there were others */
	int64		emitted;		/* nothing stands: rows written so far */
	Datum		window;			/* that is at hand */
} VsTopRows;

static VsTopRows *begin(VsRun *run);
static void sort_row(VsTopRows *top, Tuplesortstate *sort, int weight, const Datum *values,
					 const bool *nulls);
static void end(VsTopRows *top);
static Tuplesortstate *begin_sort(VsTopRows *top, bool windows);
static void load(VsTopRows *top, const Datum *window);
static void load_row(VsTarget *target, void *arg);
static TopRow *add_row(VsTopRows *top, TopList *list, const Datum *values, const bool *nulls);
static int	compare(VsTopRows *top, const Datum *a, const bool *anull,
					const Datum *b, const bool *bnull);
static int	compare_rows(const void *a, const void *b, void *arg);
static bool is_behind(VsTopRows *top, const Datum *values, const bool *nulls);
static void take_next(VsTopRows *top, int weight);
static void drop_version(VsTopRows *top, const Datum *values, const bool *nulls);
static TopRow *find_row(VsTopRows *top, TopList *list, const Datum *values, const bool *nulls);
static bool take_away(VsTopRows *top, TopList *list, const Datum *values, const bool *nulls);
static void settle(VsTopRows *top);
static void merge_lists(VsTopRows *top);
static void read_groups(VsTopRows *top);
static void take_group(VsTarget *target, void *arg);
static void receive(VsRun *run, TupleTableSlot *slot);
static void keep_known(VsTopRows *top);
static void write_rows(VsTopRows *top);
static HTAB *hash_keys(VsTopRows *top, TopList *list);
static TopRow *find_by_key(VsTopRows *top, HTAB *keys, const Datum *values, const bool *nulls);

/* See vs_run.h. */
void
vs_top_take(VsRun *run, int weight, const Datum *values, const bool *nulls)
{
	VsTopRows  *top = run->top;

	if (run->batch->top_short)
		return;					/* all is computed again in the end */
	if (top != NULL && top->groups != NULL)
	{
		/* a session next to the one that was asked for */
		if (values[run->plan->top.window - 1] == top->window)
			sort_row(top, top->groups, weight, values, nulls);
		return;
	}
	if (top == NULL)
		top = run->top = begin(run);
	if (!top->loaded || !is_behind(top, values, nulls))
		sort_row(top, top->sort, weight, values, nulls);
}

static void
sort_row(VsTopRows *top, Tuplesortstate *sort, int weight, const Datum *values, const bool *nulls)
{
	TupleTableSlot *slot = top->virtual_slot;
	int			n = top->run->plan->ncolumns;

	ExecClearTuple(slot);
	memcpy(slot->tts_values, values, n * sizeof(Datum));
	memcpy(slot->tts_isnull, nulls, n * sizeof(bool));
	slot->tts_values[n] = Int32GetDatum(weight);
	slot->tts_isnull[n] = false;
	ExecStoreVirtualTuple(slot);
	tuplesort_puttupleslot(sort, slot);
}

/* Bring the output in line with what was taken. */
void
vs_top_finish(VsRun *run)
{
	VsTopRows  *top = run->top;
	MemoryContext old;
	AttrNumber	window = run->plan->top.window;
	int			n = run->plan->ncolumns;
	bool		first = true;

	if (top == NULL)
		return;
	old = MemoryContextSwitchTo(run->context);
	tuplesort_performsort(top->sort);
	while (top->unread-- > 0 && tuplesort_gettupleslot(top->sort, true, false, top->slot, NULL))
	{
		CHECK_FOR_INTERRUPTS();
		slot_getallattrs(top->slot);

		/* windows are times, or numbers: passed by value */
		if (window != 0 && (first || top->slot->tts_values[window - 1] != top->window))
		{
			settle(top);
			top->window = top->slot->tts_values[window - 1];
			if (run->plan->top.standing)
				load(top, &top->window);
		}
		first = false;
		MemoryContextSwitchTo(top->scratch);
		take_next(top, DatumGetInt32(top->slot->tts_values[n]));
		MemoryContextReset(top->scratch);
		MemoryContextSwitchTo(run->context);
	}
	settle(top);
	end(top);
	MemoryContextSwitchTo(old);
}

/*
 * Rows of the source have to move up: compute the output again.  The delta is
 * through, and what of it could not be processed is left out.
 */
void
vs_top_complete(VsBatch *batch)
{
	VsRun	   *run;

	if (!batch->top_short)
		return;
	batch->top_short = false;
	CommandCounterIncrement();
	run = vs_run_begin(batch);
	vs_rows_begin(run);
	run->top = begin(run);
	vs_run_plan(run, vs_plan_top(batch->plan), NULL, receive);
	keep_known(run->top);
	write_rows(run->top);
	batch->recomputed++;
	end(run->top);
	vs_rows_finish(run);
	vs_run_end(run);
}

/* Get ready to take rows; read what stands in the output, if that is not done by window. */
static VsTopRows *
begin(VsRun *run)
{
	MemoryContext old = MemoryContextSwitchTo(run->context);
	VsPlan	   *plan = run->plan;
	VsTop	   *order = &plan->top;
	VsTopRows  *top = palloc0(sizeof(VsTopRows));

	top->run = run;
	top->context = AllocSetContextCreate(run->context, "velostream first rows",
										 ALLOCSET_DEFAULT_SIZES);
	top->scratch = AllocSetContextCreate(run->context, "velostream compared rows",
										 ALLOCSET_SMALL_SIZES);
	top->desc = CreateTemplateTupleDesc(plan->ncolumns + 1);
	for (int i = 1; i <= plan->ncolumns; i++)
		TupleDescCopyEntry(top->desc, i, run->output->desc, i);
	TupleDescInitEntry(top->desc, plan->ncolumns + 1, "weight", INT4OID, -1, 0);
	top->slot = MakeSingleTupleTableSlot(top->desc, &TTSOpsMinimalTuple);
	top->virtual_slot = MakeSingleTupleTableSlot(top->desc, &TTSOpsVirtual);

	top->keys = palloc0(sizeof(SortSupportData) * order->ncolumns);
	for (int i = 0; i < order->ncolumns; i++)
	{
		top->keys[i].ssup_cxt = run->context;
		top->keys[i].ssup_collation = order->collations[i];
		top->keys[i].ssup_nulls_first = order->nulls_first[i];
		top->keys[i].ssup_attno = order->columns[i];
		PrepareSortSupportFromOrderingOp(order->operators[i], &top->keys[i]);
	}

	if (order->standing && order->window == 0)
		load(top, NULL);
	top->sort = begin_sort(top, order->window != 0);
	top->unread = PG_INT64_MAX;
	if (order->standing && order->window == 0 && run->batch->fresh)
	{
		/* rows only come */
		top->unread = Max(order->limit, 1);
		tuplesort_set_bound(top->sort, top->unread);
	}
	MemoryContextSwitchTo(old);
	return top;
}

static void
end(VsTopRows *top)
{
	tuplesort_end(top->sort);
	ExecDropSingleTupleTableSlot(top->slot);
	ExecDropSingleTupleTableSlot(top->virtual_slot);
	MemoryContextDelete(top->context);
	MemoryContextDelete(top->scratch);
	top->run->top = NULL;
}

/* Sort rows by their order, and, if so, by windows before. */
static Tuplesortstate *
begin_sort(VsTopRows *top, bool windows)
{
	VsTop	   *order = &top->run->plan->top;
	int			n = 0;
	AttrNumber *columns = palloc(sizeof(AttrNumber) * (order->ncolumns + 2));
	Oid		   *operators = palloc(sizeof(Oid) * (order->ncolumns + 2));
	Oid		   *collations = palloc(sizeof(Oid) * (order->ncolumns + 2));
	bool	   *nulls_first = palloc(sizeof(bool) * (order->ncolumns + 2));

	if (windows)
	{
		columns[n] = order->window;
		get_sort_group_operators(TupleDescAttr(top->desc, order->window - 1)->atttypid,
								 true, false, false, &operators[n], NULL, NULL, NULL);
		collations[n] = InvalidOid;
		nulls_first[n++] = false;
	}
	for (int i = 0; i < order->ncolumns; i++)
	{
		columns[n] = order->columns[i];
		operators[n] = order->operators[i];
		collations[n] = order->collations[i];
		nulls_first[n++] = order->nulls_first[i];
	}
	columns[n] = top->desc->natts;
	get_sort_group_operators(INT4OID, false, false, true, NULL, NULL, &operators[n], NULL);
	collations[n] = InvalidOid;
	nulls_first[n++] = false;
	return tuplesort_begin_heap(top->desc, n, columns, operators, collations, nulls_first,
								work_mem, NULL, TUPLESORT_ALLOWBOUNDED);
}

/* Read what stands in the output, of a window where it has them. */
static void
load(VsTopRows *top, const Datum *window)
{
	static const bool not_null = false;

	if (!top->run->batch->fresh)
		vs_target_find_all(top->run->output, window, window ? &not_null : NULL, load_row, top);
	qsort_arg(top->standing.rows, top->standing.n, sizeof(TopRow), compare_rows, top);
	top->loaded = true;
}

static void
load_row(VsTarget *target, void *arg)
{
	VsTopRows  *top = arg;
	TopRow	   *row;

	slot_getsomeattrs(target->oldslot, top->run->plan->ncolumns);
	row = add_row(top, &top->standing, target->oldslot->tts_values, target->oldslot->tts_isnull);
	row->tid = target->oldslot->tts_tid;
}

/* Add a copy of a row at the end of a list. */
static TopRow *
add_row(VsTopRows *top, TopList *list, const Datum *values, const bool *nulls)
{
	MemoryContext old = MemoryContextSwitchTo(top->context);
	int			n = top->run->plan->ncolumns;
	TopRow	   *row;

	if (list->n == list->size)
	{
		list->size = Max(list->size * 2, 16);
		list->rows = list->rows ? repalloc(list->rows, sizeof(TopRow) * list->size) :
			palloc(sizeof(TopRow) * list->size);
	}
	row = &list->rows[list->n++];
	list->live++;
	memset(row, 0, sizeof(TopRow));
	ItemPointerSetInvalid(&row->tid);
	row->values = palloc(sizeof(Datum) * n);
	row->nulls = palloc(sizeof(bool) * n);
	for (int i = 0; i < n; i++)
	{
		Form_pg_attribute att = TupleDescAttr(top->desc, i);

		row->nulls[i] = nulls[i];
		row->values[i] = nulls[i] ? (Datum) 0 : datumCopy(values[i], att->attbyval, att->attlen);
	}
	MemoryContextSwitchTo(old);
	return row;
}

static int
compare(VsTopRows *top, const Datum *a, const bool *anull, const Datum *b, const bool *bnull)
{
	for (int i = 0; i < top->run->plan->top.ncolumns; i++)
	{
		SortSupport key = &top->keys[i];
		int			att = key->ssup_attno - 1;
		int			result = ApplySortComparator(a[att], anull[att], b[att], bnull[att], key);

		if (result != 0)
			return result;
	}
	return 0;
}

static int
compare_rows(const void *a, const void *b, void *arg)
{
	const TopRow *x = a;
	const TopRow *y = b;

	return compare(arg, x->values, x->nulls, y->values, y->nulls);
}

/* Does a row come behind the last one of an output that is full? */
static bool
is_behind(VsTopRows *top, const Datum *values, const bool *nulls)
{
	TopList    *standing = &top->standing;
	TopRow	   *last;

	if (standing->n < top->run->plan->top.limit)
		return false;
	if (standing->n == 0)
		return true;			/* LIMIT 0 */
	last = &standing->rows[standing->n - 1];
	return compare(top, values, nulls, last->values, last->nulls) > 0;
}

/* The next row in the order, of the window at hand. */
static void
take_next(VsTopRows *top, int weight)
{
	const Datum *values = top->slot->tts_values;
	const bool *nulls = top->slot->tts_isnull;
	VsPlan	   *plan = top->run->plan;

	if (plan->top.standing && plan->panes)
		drop_version(top, values, nulls);

	if (!plan->top.standing)
	{
		Assert(weight > 0);
		if (top->emitted++ < plan->top.limit)
			vs_output_append(top->run, values, nulls);
	}
	else if (is_behind(top, values, nulls))
		;
	else if (weight > 0 && top->came.live < plan->top.limit)
		(void) add_row(top, &top->came, values, nulls);
	else if (weight > 0)
		top->more = true;
	else if (plan->panes)
		;						/* dropped, or not among the first */
	else if (!take_away(top, &top->standing, values, nulls) &&
			 !take_away(top, &top->came, values, nulls) && !top->more)
	{
		TopRow	   *last = top->standing.n ? &top->standing.rows[top->standing.n - 1] : NULL;

		/* of rows that are equal to the last one, some may not stand there */
		if (top->standing.n < plan->top.limit ||
			compare(top, values, nulls, last->values, last->nulls) < 0)
			vs_report_missing_row(top->run);
	}
}

/*
 * A window that is put together from panes has changed, or is gone: its row in
 * the output goes, which is known by its key.  What it was put together to now,
 * as it was before, need not be the same to the last bit (sums of float8).
 */
static void
drop_version(VsTopRows *top, const Datum *values, const bool *nulls)
{
	TopRow	   *row;

	if (top->standing_keys == NULL)
		top->standing_keys = hash_keys(top, &top->standing);
	row = find_by_key(top, top->standing_keys, values, nulls);
	if (row == NULL)
		return;
	row->gone = true;
	top->standing.live--;
}

/* A row of a list in order with these values, that is neither gone nor kept; or NULL. */
static TopRow *
find_row(VsTopRows *top, TopList *list, const Datum *values, const bool *nulls)
{
	int			low = 0;
	int			high = list->n;

	while (low < high)
	{
		int			middle = (low + high) / 2;
		TopRow	   *row = &list->rows[middle];

		if (compare(top, row->values, row->nulls, values, nulls) < 0)
			low = middle + 1;
		else
			high = middle;
	}
	for (; low < list->n; low++)
	{
		TopRow	   *row = &list->rows[low];

		if (compare(top, row->values, row->nulls, values, nulls) != 0)
			return NULL;
		if (!row->gone && !row->kept &&
			vs_same_row(top->desc, top->run->plan->ncolumns, row->values, row->nulls,
						values, nulls))
			return row;
	}
	return NULL;
}

/* One row of a list with these values is gone; false: there is none. */
static bool
take_away(VsTopRows *top, TopList *list, const Datum *values, const bool *nulls)
{
	TopRow	   *row = find_row(top, list, values, nulls);

	if (row == NULL)
		return false;
	row->gone = true;
	list->live--;
	return true;
}

/* The window at hand is through: bring the output in line. */
static void
settle(VsTopRows *top)
{
	VsPlan	   *plan = top->run->plan;
	bool		full = top->standing.n >= plan->top.limit;
	MemoryContext old = MemoryContextSwitchTo(top->context);

	if (!plan->top.standing)
		;						/* written in passing */
	else if (top->standing.live + top->came.live >= plan->top.limit || (!full && !top->more))
	{
		merge_lists(top);
		write_rows(top);
	}
	else if (plan->strategy == VS_STRATEGY_GROUPS)
	{
		read_groups(top);
		keep_known(top);
		write_rows(top);
	}
	else
		top->run->batch->top_short = true;

	MemoryContextSwitchTo(old);
	MemoryContextReset(top->context);
	memset(&top->standing, 0, sizeof(TopList));
	memset(&top->came, 0, sizeof(TopList));
	top->standing_keys = NULL;
	top->more = false;
	top->emitted = 0;
}

/* Of what stood there and what came, keep what comes first. */
static void
merge_lists(VsTopRows *top)
{
	TopList    *a = &top->standing;
	TopList    *b = &top->came;
	int			i = 0;
	int			j = 0;

	for (int64 n = 0; i < a->n || j < b->n;)
	{
		TopRow	   *x = i < a->n ? &a->rows[i] : NULL;
		TopRow	   *y = j < b->n ? &b->rows[j] : NULL;
		bool		standing = y == NULL || (x != NULL && compare_rows(x, y, top) <= 0);
		TopRow	   *row = standing ? x : y;

		if (standing)
			i++;
		else
			j++;
		if (row->gone)
			continue;
		if (n++ < top->run->plan->top.limit)
			row->kept = standing;
		else
			row->gone = true;
	}
}

/* Rows have to move up: read the first groups, or those of the window, into "came". */
static void
read_groups(VsTopRows *top)
{
	VsRun	   *run = top->run;
	VsPlan	   *plan = run->plan;
	TupleTableSlot *slot = MakeSingleTupleTableSlot(top->desc, &TTSOpsMinimalTuple);

	memset(&top->came, 0, sizeof(TopList));
	top->groups = begin_sort(top, false);
	tuplesort_set_bound(top->groups, Max(plan->top.limit, 1));
	if (plan->top.window == 0)
		vs_target_scan(run->state, take_group, top);
	else if (plan->panes)
		vs_panes_emit(run, top->window);
	else
	{
		TimestampTz start;
		Datum		high;
		VsRangeScan *scan;

		if (!vs_event_time(plan->window.type, top->window, &start))
			elog(ERROR, "window without a time");
		high = vs_event_datum(plan->window.type, vs_time_plus(start, plan->window.size));
		scan = vs_range_begin(run->state, false, 0, &top->window, &high, ForwardScanDirection);
		while (vs_range_next(scan))
			take_group(run->state, top);
		vs_range_end(scan);
	}
	tuplesort_performsort(top->groups);
	while (top->came.n < plan->top.limit &&
		   tuplesort_gettupleslot(top->groups, true, false, slot, NULL))
	{
		slot_getallattrs(slot);
		(void) add_row(top, &top->came, slot->tts_values, slot->tts_isnull);
	}
	tuplesort_end(top->groups);
	top->groups = NULL;
	ExecDropSingleTupleTableSlot(slot);
	run->batch->recomputed++;
}

/* The group in state->oldslot. */
static void
take_group(VsTarget *target, void *arg)
{
	VsTopRows  *top = arg;
	VsRun	   *run = top->run;
	MemoryContext old = MemoryContextSwitchTo(run->rowcxt);
	int			natts = run->plan->groupdesc->natts;
	Datum	   *values = palloc(sizeof(Datum) * natts);
	bool	   *nulls = palloc(sizeof(bool) * natts);
	Datum	   *row;
	bool	   *row_nulls;

	vs_group_read_state(run, values, nulls);
	if (vs_group_output_row(run, values, nulls, &row, &row_nulls))
		sort_row(top, top->groups, 1, row, row_nulls);
	MemoryContextSwitchTo(old);
	MemoryContextReset(run->rowcxt);
	vs_agg_reset(run->aggs);
}

/* A row of the output, computed from the source. */
static void
receive(VsRun *run, TupleTableSlot *slot)
{
	slot_getallattrs(slot);
	(void) add_row(run->top, &run->top->came, slot->tts_values, slot->tts_isnull);
}

/* The output is to be "came": keep the rows that stand there already. */
static void
keep_known(VsTopRows *top)
{
	for (int i = 0; i < top->standing.n; i++)
		top->standing.rows[i].gone = false;
	for (int i = 0; i < top->came.n; i++)
	{
		TopRow	   *row = &top->came.rows[i];
		TopRow	   *known = find_row(top, &top->standing, row->values, row->nulls);

		if (known == NULL)
			continue;
		known->kept = true;
		row->gone = true;
	}
}

/*
 * Rows of the output that are not kept go, and what came and is not gone comes.
 * Where both have the same key, the row is updated.
 */
static void
write_rows(VsTopRows *top)
{
	VsRun	   *run = top->run;
	HTAB	   *keys = run->plan->nkeys > 0 ? hash_keys(top, &top->came) : NULL;

	for (int i = 0; i < top->standing.n; i++)
	{
		TopRow	   *row = &top->standing.rows[i];
		TopRow	   *successor;

		if (row->kept)
			continue;
		if (!vs_target_fetch(run->output, &row->tid))
			elog(ERROR, "a row of the output went away");
		successor = keys ? find_by_key(top, keys, row->values, row->nulls) : NULL;
		if (successor)
		{
			vs_output_update(run, &row->tid, successor->values, successor->nulls);
			successor->gone = true;
		}
		else
			vs_output_delete(run, &row->tid, NULL, NULL);
	}
	for (int i = 0; i < top->came.n; i++)
	{
		TopRow	   *row = &top->came.rows[i];

		if (!row->gone)
			vs_output_insert(run, row->values, row->nulls);
	}
	if (keys)
		hash_destroy(keys);
}

/* The columns that are the key of a row of the output. */
static uint64
key_of(VsTopRows *top, const Datum *row, const bool *row_nulls, Datum **values, bool **nulls)
{
	VsPlan	   *plan = top->run->plan;

	*values = palloc(sizeof(Datum) * plan->nkeys);
	*nulls = palloc(sizeof(bool) * plan->nkeys);
	for (int i = 0; i < plan->nkeys; i++)
	{
		int			att = plan->keys[i].output_attno - 1;

		(*values)[i] = row[att];
		(*nulls)[i] = row_nulls[att];
	}
	return vs_hasher_hash(top->run->hasher, *values, *nulls);
}

/* The rows of a list that are not gone, by the hash of their keys. */
static HTAB *
hash_keys(VsTopRows *top, TopList *list)
{
	HASHCTL		ctl = {.keysize = sizeof(uint64),.entrysize = sizeof(KeyEntry),.hcxt = top->context};
	HTAB	   *keys = hash_create("velostream first rows", 128, &ctl,
								   HASH_ELEM | HASH_BLOBS | HASH_CONTEXT);

	for (int i = 0; i < list->n; i++)
	{
		TopRow	   *row = &list->rows[i];
		Datum	   *values;
		bool	   *nulls;
		uint64		hash;
		KeyEntry   *entry;
		bool		found;

		if (row->gone)
			continue;
		hash = key_of(top, row->values, row->nulls, &values, &nulls);
		entry = hash_search(keys, &hash, HASH_ENTER, &found);
		row->same_hash = found ? entry->row : NULL;
		entry->row = row;
	}
	return keys;
}

/* The row, not gone, with the key of these values; or NULL. */
static TopRow *
find_by_key(VsTopRows *top, HTAB *keys, const Datum *values, const bool *nulls)
{
	Datum	   *key;
	bool	   *key_nulls;
	uint64		hash = key_of(top, values, nulls, &key, &key_nulls);
	KeyEntry   *entry = hash_search(keys, &hash, HASH_FIND, NULL);

	for (TopRow *row = entry ? entry->row : NULL; row != NULL; row = row->same_hash)
	{
		Datum	   *other;
		bool	   *other_nulls;

		(void) key_of(top, row->values, row->nulls, &other, &other_nulls);
		if (!row->gone && vs_hasher_equal(top->run->hasher, key, key_nulls, other, other_nulls))
			return row;
	}
	return NULL;
}
