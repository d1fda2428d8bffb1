/*-------------------------------------------------------------------------
 *
 * vs_row_buffers.c
 *	  Window functions over buffers, the last rows of each partition.
 *
 * The state table holds the last n - 1 rows of every partition, numbered in
 * the order in which they came.  A batch passes through these steps:
 *
 *	1. The delta plan delivers the rows that came.  For each, its partition is
 *	   found; the first one of a partition brings the stored rows along.  All
 *	   of them go into a tuplestore, numbered on.
 *	2. The fast plan (plan/vs_row_window.c) runs over the tuplestore, and makes
 *	   an output row of each new row whose buffer is in order.
 *	3. Of the others, the buffers are put together, each for itself, and the
 *	   exact plan runs over those.
 *	4. The last n - 1 rows of the partitions become the state.
 *
 * A row's value does not depend on where batches begin and end.
 *
 * Where buffers expire, each partition has a row with the number 0 in the
 * state, which tells when it was active last: the greatest event time of its
 * rows, or, where there is none, the time of the batch that brought the last
 * one.  A row begins a new buffer if the greatest time of all rows so far is
 * more than the time allowed past its partition's.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "catalog/pg_operator.h"
#include "executor/executor.h"
#include "miscadmin.h"
#include "nodes/nodeFuncs.h"
#include "process/vs_batch_internal.h"
#include "utils/datum.h"
#include "utils/hsearch.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/queryenvironment.h"
#include "utils/rel.h"
#include "utils/sortsupport.h"
#include "utils/timestamp.h"
#include "utils/tuplesort.h"
#include "vs_compat.h"

/* The delta is processed so many rows at a time: what is known of partitions is in memory. */
#define STEP_ROWS		(UINT64CONST(1) << 20)

/* Rows of buffers that the exact plan gets at once, more or less. */
#define EXACT_ROWS		200000

/* A place below this one is that of a row which needs the exact plan: EXACT_PLACE - place. */
#define EXACT_PLACE		(-2)

/* A partition that this step touches. */
typedef struct Partition
{
	struct Partition *next;		/* of the same hash */
	uint64		hash;
	int64		number;			/* in the tuplestore; a new one when the
								 * buffer begins anew */
	int64		first;			/* number of the buffer's first row */
	int64		last;			/* of the last one, 0: none */
	int64		descent;		/* of the last row that was before the one
								 * before it in some ORDER BY, 0: none */
	bool		exact;			/* some row of it needs the exact plan */
	int64		stored;			/* number of the first row in the state, 0:
								 * none */
	ItemPointerData header;		/* of the row 0, if it is there */
	TimestampTz active;			/* or VS_NO_TIME */
	Datum	   *order;			/* columns of ORDER BY of the last row */
	bool	   *order_nulls;
	Datum	   *keys;
	bool	   *key_nulls;
} Partition;

typedef struct PartitionEntry
{
	uint64		hash;			/* hash key */
	Partition  *first;
} PartitionEntry;

/* A column by which rows are ordered. */
typedef struct OrderColumn
{
	SortSupportData sort;
	int			column;			/* of the tuplestore, from 0 */
	bool		begins;			/* the first one of an ORDER BY */
	bool		byval;
	int16		typlen;
} OrderColumn;

typedef struct VsRowBuffers
{
	MemoryContext context;
	HTAB	   *partitions;
	Partition **numbered;		/* by their numbers */
	int64		nnumbered;
	int64		max_numbered;
	VsHasher   *hasher;			/* over the keys; NULL: there are none */
	OrderColumn *order;
	int			norder;
	TupleDesc	desc;			/* of the tuplestores */
	TupleTableSlot *row;		/* to write one */
	TupleTableSlot *stored;		/* to read one */
	Tuplestorestate *rows;
	int64		nrows;
	int64		place;			/* of the next row */
	bool		exact;			/* some row needs the exact plan */
	bool		fast;			/* some row does not */
	TimestampTz now;			/* the greatest time of all rows so far */
	Tuplesortstate *sorted;		/* output in the order of arrival, or NULL */

	/* the exact plan */
	Tuplestorestate *buffers;
	int64		nbuffers;
	int64		nbuffer_rows;
	MinimalTuple *ring;			/* the last rows of a partition */
	int			nring;			/* in it */
	int			max_ring;
	int			oldest;
} VsRowBuffers;

static void begin_buffers(VsRun *run);
static void begin_order(VsRowBuffers *buffers, VsPlan *plan);
static void take_row(VsRun *run, TupleTableSlot *slot);
static Partition *find_partition(VsRun *run, const Datum *values, const bool *nulls);
static Partition *add_partition(VsRun *run, PartitionEntry *entry, uint64 hash,
								const Datum *values, const bool *nulls);
static void number_partition(VsRowBuffers *buffers, Partition *partition);
static void load_buffer(VsRun *run, Partition *partition);
static bool same_partition(VsRun *run, Partition *partition);
static bool is_idle(VsRun *run, Partition *partition);
static TimestampTz activity(VsRun *run, const Datum *values, const bool *nulls);
static void follow(VsRowBuffers *buffers, Partition *partition, int64 number);
static bool in_order(VsRowBuffers *buffers, Partition *partition);
static void put_row(VsRowBuffers *buffers, Partition *partition, int64 number, int64 place);
static void finish_buffers(VsRun *run);
static void run_over(VsRun *run, Tuplestorestate *rows, int64 nrows, bool fast);
static void emit_row(VsRun *run, TupleTableSlot *slot);
static TupleDesc output_desc(VsPlan *plan);
static void emit_sorted(VsRun *run);
static void evaluate_exactly(VsRun *run);
static Tuplesortstate *sort_partitions(VsRun *run);
static void push_row(VsRowBuffers *buffers, VsPlan *plan, TupleTableSlot *slot);
static void clear_ring(VsRowBuffers *buffers);
static void put_buffer(VsRun *run, int64 place);
static void write_state(VsRun *run);
static int64 first_kept(VsPlan *plan, Partition *partition);
static void store_row(VsRun *run, Partition *partition, TupleTableSlot *slot, int64 number);
static void forget_rows(VsRun *run, Partition *partition, int64 low, int64 high);
static void write_header(VsRun *run, Partition *partition);
static void forget_idle(VsRun *run);

/*
 * Process the rows [first, last) of the delta.  Each step leaves output and
 * state as they are after its rows.
 */
void
vs_row_windows_execute(VsBatch *batch, uint64 first, uint64 last)
{
	PlannedStmt *stmt = vs_plan_insert(batch->plan);
	bool		done = false;

	while (!done)
	{
		uint64		end = last;
		VsRun	   *run;

		if (OidIsValid(batch->plan->entry.state) && last - first > STEP_ROWS)
			end = first + STEP_ROWS;
		vs_delta_set_window(batch->delta, first, end);
		run = vs_run_begin(batch);
		begin_buffers(run);
		vs_run_plan(run, stmt, NULL, take_row);
		vs_wait_point("after-merge");
		finish_buffers(run);
		vs_run_end(run);
		batch->fresh = false;
		first = end;
		done = end == last || vs_delta_exhausted(batch->delta);
	}
}

/* Make run->buffers, with nothing in them. */
static void
begin_buffers(VsRun *run)
{
	VsPlan	   *plan = run->plan;
	VsRowWindow *window = &plan->row_window;
	MemoryContext context = AllocSetContextCreate(run->context, "velostream buffers",
												  ALLOCSET_DEFAULT_SIZES);
	MemoryContext old = MemoryContextSwitchTo(context);
	VsRowBuffers *buffers = palloc0(sizeof(VsRowBuffers));
	HASHCTL		ctl = {
		.keysize = sizeof(uint64),
		.entrysize = sizeof(PartitionEntry),
		.hcxt = context
	};

	buffers->context = context;
	buffers->partitions = hash_create("velostream partitions", 128, &ctl,
									  HASH_ELEM | HASH_BLOBS | HASH_CONTEXT);
	if (plan->nkeys > 0)
		buffers->hasher = vs_key_hasher(plan);
	begin_order(buffers, plan);
	buffers->desc = vs_row_window_desc(plan);
	buffers->row = MakeSingleTupleTableSlot(buffers->desc, &TTSOpsVirtual);
	buffers->stored = MakeSingleTupleTableSlot(buffers->desc, &TTSOpsMinimalTuple);
	buffers->rows = tuplestore_begin_heap(false, false, work_mem);
	buffers->now = OidIsValid(window->time_type) ? run->batch->clock.seen : GetCurrentTimestamp();
	run->buffers = buffers;
	MemoryContextSwitchTo(old);
}

/* How rows are compared to tell whether they came in order. */
static void
begin_order(VsRowBuffers *buffers, VsPlan *plan)
{
	ListCell   *lc;
	ListCell   *lc2;
	int			n = 0;

	foreach(lc, plan->row_window.orders)
		n += list_length(lfirst(lc));
	buffers->order = palloc0(sizeof(OrderColumn) * Max(n, 1));
	foreach(lc, plan->row_window.orders)
	{
		foreach(lc2, (List *) lfirst(lc))
		{
			SortGroupClause *clause = lfirst_node(SortGroupClause, lc2);
			OrderColumn *column = &buffers->order[buffers->norder++];
			Node	   *expr;

			column->column = clause->tleSortGroupRef - 1;
			column->begins = foreach_current_index(lc2) == 0;
			expr = list_nth(plan->row_window.columns, column->column - VS_BUFFER_COLUMNS);
			get_typlenbyval(exprType(expr), &column->typlen, &column->byval);
			column->sort.ssup_cxt = CurrentMemoryContext;
			column->sort.ssup_collation = exprCollation(expr);
			column->sort.ssup_nulls_first = clause->nulls_first;
			PrepareSortSupportFromOrderingOp(clause->sortop, &column->sort);
		}
	}
}

/* ----------
 * Rows that come
 * ----------
 */

/* A row of the delta: number it on in its partition. */
static void
take_row(VsRun *run, TupleTableSlot *slot)
{
	VsRowBuffers *buffers = run->buffers;
	VsRowWindow *window = &run->plan->row_window;
	TupleTableSlot *row = buffers->row;
	Partition  *partition;
	int64		number;
	int64		place = buffers->place++;

	slot_getallattrs(slot);
	partition = find_partition(run, slot->tts_values, slot->tts_isnull);
	if (window->expire >= 0)
	{
		TimestampTz time = activity(run, slot->tts_values, slot->tts_isnull);

		buffers->now = Max(buffers->now, time);
		if (is_idle(run, partition))
		{
			number_partition(buffers, partition);
			partition->active = VS_NO_TIME;
		}
		partition->active = Max(partition->active, time);
	}
	/* loading may have used it */
	memcpy(row->tts_values + VS_BUFFER_COLUMNS, slot->tts_values,
		   sizeof(Datum) * slot->tts_nvalid);
	memcpy(row->tts_isnull + VS_BUFFER_COLUMNS, slot->tts_isnull,
		   sizeof(bool) * slot->tts_nvalid);

	number = partition->last + 1;
	follow(buffers, partition, number);
	if (!window->fast ||
		partition->descent > Max(partition->first, number - window->size + 1))
	{
		partition->exact = buffers->exact = true;
		place = EXACT_PLACE - place;
	}
	else
		buffers->fast = true;
	put_row(buffers, partition, number, place);
}

/* The partition of a row, with what is stored of it when it is met for the first time. */
static Partition *
find_partition(VsRun *run, const Datum *values, const bool *nulls)
{
	VsRowBuffers *buffers = run->buffers;
	uint64		hash = buffers->hasher ? vs_hasher_hash(buffers->hasher, values, nulls) : 0;
	PartitionEntry *entry;
	bool		found;

	entry = hash_search(buffers->partitions, &hash, HASH_ENTER, &found);
	if (!found)
		entry->first = NULL;
	for (Partition *partition = entry->first; partition != NULL; partition = partition->next)
	{
		if (buffers->hasher == NULL ||
			vs_hasher_equal(buffers->hasher, partition->keys, partition->key_nulls,
							values, nulls))
			return partition;
	}
	return add_partition(run, entry, hash, values, nulls);
}

/* A partition that this step has not met yet, with its stored rows. */
static Partition *
add_partition(VsRun *run, PartitionEntry *entry, uint64 hash, const Datum *values,
			  const bool *nulls)
{
	VsRowBuffers *buffers = run->buffers;
	VsPlan	   *plan = run->plan;
	MemoryContext old = MemoryContextSwitchTo(buffers->context);
	Partition  *partition = palloc0(sizeof(Partition));

	partition->hash = hash;
	partition->active = VS_NO_TIME;
	partition->order = palloc0(sizeof(Datum) * Max(buffers->norder, 1));
	partition->order_nulls = palloc(sizeof(bool) * Max(buffers->norder, 1));
	memset(partition->order_nulls, true, buffers->norder);
	partition->keys = palloc(sizeof(Datum) * Max(plan->nkeys, 1));
	partition->key_nulls = palloc(sizeof(bool) * Max(plan->nkeys, 1));
	for (int i = 0; i < plan->nkeys; i++)
	{
		partition->key_nulls[i] = nulls[i];
		partition->keys[i] = nulls[i] ? (Datum) 0 :
			datumCopy(values[i], plan->keys[i].typbyval, plan->keys[i].typlen);
	}
	number_partition(buffers, partition);
	MemoryContextSwitchTo(old);
	if (run->state != NULL && !run->batch->fresh)
		load_buffer(run, partition);
	partition->next = entry->first;
	entry->first = partition;
	return partition;
}

/* Rows that are put into the tuplestore from now on are in a buffer of their own. */
static void
number_partition(VsRowBuffers *buffers, Partition *partition)
{
	if (buffers->nnumbered == buffers->max_numbered)
	{
		Size		size;

		buffers->max_numbered = Max(64, 2 * buffers->max_numbered);
		size = sizeof(Partition *) * buffers->max_numbered;
		buffers->numbered = buffers->numbered ?
			repalloc_huge(buffers->numbered, size) :
			MemoryContextAllocHuge(buffers->context, size);
	}
	partition->number = buffers->nnumbered;
	partition->first = partition->last + 1;
	buffers->numbered[buffers->nnumbered++] = partition;
}

/* Put the stored rows of a partition into the tuplestore. */
static void
load_buffer(VsRun *run, Partition *partition)
{
	VsRowBuffers *buffers = run->buffers;
	VsPlan	   *plan = run->plan;
	VsRowWindow *window = &plan->row_window;
	TupleTableSlot *row = buffers->row;
	TupleTableSlot *old = run->state->oldslot;
	int			extra = window->expire >= 0 ? 2 : 1;
	VsRangeScan *scan = vs_range_begin(run->state, true, partition->hash, NULL, NULL,
									   ForwardScanDirection);

	memset(row->tts_isnull, true, sizeof(bool) * buffers->desc->natts);
	while (vs_range_next(scan))
	{
		int64		number;

		slot_getallattrs(old);
		if (!same_partition(run, partition))
			continue;
		number = DatumGetInt64(old->tts_values[plan->nkeys]);
		if (number == 0)
		{
			partition->header = old->tts_tid;
			if (!old->tts_isnull[plan->nkeys + 1])
				partition->active = DatumGetTimestampTz(old->tts_values[plan->nkeys + 1]);
			continue;
		}
		if (partition->stored == 0)
			partition->first = partition->stored = number;
		for (int i = 0; i < window->nstored; i++)
		{
			int			from = i < plan->nkeys ? i : i + extra;

			row->tts_values[VS_BUFFER_COLUMNS + i] = old->tts_values[from];
			row->tts_isnull[VS_BUFFER_COLUMNS + i] = old->tts_isnull[from];
		}
		follow(buffers, partition, number);
		put_row(buffers, partition, number, -1);
	}
	vs_range_end(scan);
}

/* Has the row of the state table that was found the keys of the partition? */
static bool
same_partition(VsRun *run, Partition *partition)
{
	TupleTableSlot *old = run->state->oldslot;

	slot_getsomeattrs(old, run->plan->nkeys + 1);
	return run->buffers->hasher == NULL ||
		vs_hasher_equal(run->buffers->hasher, partition->keys, partition->key_nulls,
						old->tts_values, old->tts_isnull);
}

/* Is a partition idle for too long?  (One that was never active is not.) */
static bool
is_idle(VsRun *run, Partition *partition)
{
	return partition->active != VS_NO_TIME &&
		vs_time_plus(partition->active, run->plan->row_window.expire) < run->buffers->now;
}

/* The time of a row; VS_NO_TIME: it has no event time. */
static TimestampTz
activity(VsRun *run, const Datum *values, const bool *nulls)
{
	VsRowWindow *window = &run->plan->row_window;
	int			column = window->time_column - VS_BUFFER_COLUMNS - 1;
	TimestampTz time;

	if (!OidIsValid(window->time_type))
		return run->buffers->now;
	if (nulls[column] || !vs_event_time(window->time_type, values[column], &time))
		return VS_NO_TIME;
	return time;
}

/* buffers->row becomes the last row of a partition: does it come after the one before it? */
static void
follow(VsRowBuffers *buffers, Partition *partition, int64 number)
{
	TupleTableSlot *row = buffers->row;

	if (number > partition->first && !in_order(buffers, partition))
		partition->descent = number;
	partition->last = number;
	for (int i = 0; i < buffers->norder; i++)
	{
		OrderColumn *column = &buffers->order[i];
		bool		null = row->tts_isnull[column->column];

		if (!column->byval && !partition->order_nulls[i])
			pfree(DatumGetPointer(partition->order[i]));
		partition->order_nulls[i] = null;
		if (column->byval || null)
			partition->order[i] = row->tts_values[column->column];
		else
		{
			MemoryContext old = MemoryContextSwitchTo(buffers->context);

			partition->order[i] = datumCopy(row->tts_values[column->column], false,
											column->typlen);
			MemoryContextSwitchTo(old);
		}
	}
}

/* Is buffers->row at or after the last row of its partition, in each ORDER BY? */
static bool
in_order(VsRowBuffers *buffers, Partition *partition)
{
	TupleTableSlot *row = buffers->row;
	bool		decided = false;

	for (int i = 0; i < buffers->norder; i++)
	{
		OrderColumn *column = &buffers->order[i];
		int			order;

		if (column->begins)
			decided = false;
		if (decided)
			continue;
		order = ApplySortComparator(partition->order[i], partition->order_nulls[i],
									row->tts_values[column->column],
									row->tts_isnull[column->column], &column->sort);
		if (order > 0)
			return false;
		decided = order < 0;
	}
	return true;
}

/* Add buffers->row, whose columns are set, to the tuplestore. */
static void
put_row(VsRowBuffers *buffers, Partition *partition, int64 number, int64 place)
{
	TupleTableSlot *row = buffers->row;

	row->tts_values[VS_BUFFER_PARTITION - 1] = Int64GetDatum(partition->number);
	row->tts_values[VS_BUFFER_NUMBER - 1] = Int64GetDatum(number);
	row->tts_values[VS_BUFFER_PLACE - 1] = Int64GetDatum(place);
	memset(row->tts_isnull, false, sizeof(bool) * VS_BUFFER_COLUMNS);
	tuplestore_putvalues(buffers->rows, buffers->desc, row->tts_values, row->tts_isnull);
	buffers->nrows++;
}

/* ----------
 * What becomes of them
 * ----------
 */

static void
finish_buffers(VsRun *run)
{
	VsRowBuffers *buffers = run->buffers;
	MemoryContext old = MemoryContextSwitchTo(buffers->context);

	if (run->plan->entry.kind == VS_KIND_STREAM || run->batch->options->emit != NULL)
	{
		TupleDesc	desc = output_desc(run->plan);
		AttrNumber	place = desc->natts;
		Oid			operator = Int8LessOperator;
		Oid			collation = InvalidOid;
		bool		nulls_first = false;

		buffers->sorted = tuplesort_begin_heap(desc, 1, &place, &operator, &collation,
											   &nulls_first, work_mem, NULL, TUPLESORT_NONE);
	}
	if (buffers->fast)
		run_over(run, buffers->rows, buffers->nrows, true);
	if (buffers->exact)
		evaluate_exactly(run);
	if (buffers->sorted)
		emit_sorted(run);
	if (run->state != NULL)
		write_state(run);
	if (OidIsValid(run->plan->row_window.time_type) && buffers->place > 0)
	{
		run->batch->clock.seen = buffers->now;
		run->batch->clock.rows = true;
	}
	tuplestore_end(buffers->rows);
	ExecDropSingleTupleTableSlot(buffers->row);
	ExecDropSingleTupleTableSlot(buffers->stored);
	MemoryContextSwitchTo(old);
}

/* Run the fast or the exact plan over a tuplestore. */
static void
run_over(VsRun *run, Tuplestorestate *rows, int64 nrows, bool fast)
{
	EphemeralNamedRelationData enr;
	QueryEnvironment *env = create_queryEnv();

	memset(&enr, 0, sizeof(enr));
	enr.md.name = VS_BUFFER_ENR;
	enr.md.tupdesc = run->buffers->desc;
	enr.md.enrtype = ENR_NAMED_TUPLESTORE;
	enr.md.enrtuples = nrows;
	enr.reldata = rows;
	register_ENR(env, &enr);
	vs_run_plan(run, vs_plan_row_windows(run->plan, fast), env, emit_row);
}

/* A row of the output, and its place. */
static void
emit_row(VsRun *run, TupleTableSlot *slot)
{
	if (run->buffers->sorted)
	{
		tuplesort_puttupleslot(run->buffers->sorted, slot);
		return;
	}
	slot_getallattrs(slot);
	vs_emit_append(run, slot->tts_values, slot->tts_isnull);
}

/* Rows of both plans: columns of the output, and the row's place. */
static TupleDesc
output_desc(VsPlan *plan)
{
	return ExecTypeFromTL(vs_plan_row_windows(plan, plan->row_window.fast)->planTree->targetlist);
}

/* Emit what was put aside, in the order of arrival. */
static void
emit_sorted(VsRun *run)
{
	VsRowBuffers *buffers = run->buffers;
	TupleTableSlot *slot = MakeSingleTupleTableSlot(output_desc(run->plan), &TTSOpsMinimalTuple);

	tuplesort_performsort(buffers->sorted);
	while (tuplesort_gettupleslot(buffers->sorted, true, false, slot, NULL))
	{
		MemoryContext old = MemoryContextSwitchTo(run->rowcxt);

		CHECK_FOR_INTERRUPTS();
		slot_getallattrs(slot);
		vs_emit_append(run, slot->tts_values, slot->tts_isnull);
		MemoryContextSwitchTo(old);
		MemoryContextReset(run->rowcxt);
	}
	ExecDropSingleTupleTableSlot(slot);
	tuplesort_end(buffers->sorted);
}

/* ----------
 * Buffer by buffer
 * ----------
 */

/*
 * Evaluate the rows whose buffers are not in order: each buffer is a partition
 * of its own in another tuplestore, and only its last row has a place there.
 */
static void
evaluate_exactly(VsRun *run)
{
	VsRowBuffers *buffers = run->buffers;
	Tuplesortstate *sort = sort_partitions(run);
	TupleTableSlot *slot = buffers->stored;
	int64		partition = -1;

	buffers->buffers = tuplestore_begin_heap(false, false, work_mem);
	while (tuplesort_gettupleslot(sort, true, false, slot, NULL))
	{
		bool		null;
		int64		place;

		CHECK_FOR_INTERRUPTS();
		vs_yield();
		if (DatumGetInt64(slot_getattr(slot, VS_BUFFER_PARTITION, &null)) != partition)
			clear_ring(buffers);
		partition = DatumGetInt64(slot_getattr(slot, VS_BUFFER_PARTITION, &null));
		place = DatumGetInt64(slot_getattr(slot, VS_BUFFER_PLACE, &null));
		push_row(buffers, run->plan, slot);
		if (place <= EXACT_PLACE)
			put_buffer(run, EXACT_PLACE - place);
		if (buffers->nbuffer_rows >= EXACT_ROWS)
		{
			run_over(run, buffers->buffers, buffers->nbuffer_rows, false);
			tuplestore_clear(buffers->buffers);
			buffers->nbuffer_rows = buffers->nbuffers = 0;
		}
	}
	if (buffers->nbuffer_rows > 0)
		run_over(run, buffers->buffers, buffers->nbuffer_rows, false);
	clear_ring(buffers);
	tuplestore_end(buffers->buffers);
	tuplesort_end(sort);
}

/* The rows of the partitions in question, in the order of partition and arrival. */
static Tuplesortstate *
sort_partitions(VsRun *run)
{
	VsRowBuffers *buffers = run->buffers;
	AttrNumber	columns[] = {VS_BUFFER_PARTITION, VS_BUFFER_NUMBER};
	Oid			operators[] = {Int8LessOperator, Int8LessOperator};
	Oid			collations[] = {InvalidOid, InvalidOid};
	bool		nulls_first[] = {false, false};
	TupleTableSlot *slot = buffers->stored;
	Tuplesortstate *sort = tuplesort_begin_heap(buffers->desc, lengthof(columns), columns,
												operators, collations, nulls_first, work_mem,
												NULL, TUPLESORT_NONE);

	tuplestore_rescan(buffers->rows);
	while (tuplestore_gettupleslot(buffers->rows, true, false, slot))
	{
		bool		null;
		int64		number = DatumGetInt64(slot_getattr(slot, VS_BUFFER_PARTITION, &null));

		CHECK_FOR_INTERRUPTS();
		if (buffers->numbered[number]->exact)
			tuplesort_puttupleslot(sort, slot);
	}
	tuplesort_performsort(sort);
	return sort;
}

/* The next row of a partition; the oldest one leaves the buffer if that is full. */
static void
push_row(VsRowBuffers *buffers, VsPlan *plan, TupleTableSlot *slot)
{
	int			size = plan->row_window.size;

	if (buffers->nring == size)
	{
		pfree(buffers->ring[buffers->oldest]);
		buffers->ring[buffers->oldest] = ExecCopySlotMinimalTuple(slot);
		buffers->oldest = (buffers->oldest + 1) % size;
		return;
	}
	/* until it is full, the oldest row is the first one */
	if (buffers->nring == buffers->max_ring)
	{
		buffers->max_ring = Min((int64) size, Max(INT64CONST(64), 2 * (int64) buffers->max_ring));
		if (buffers->ring == NULL)
			buffers->ring = MemoryContextAllocHuge(buffers->context,
												   sizeof(MinimalTuple) * buffers->max_ring);
		else
			buffers->ring = repalloc_huge(buffers->ring,
										  sizeof(MinimalTuple) * buffers->max_ring);
	}
	buffers->ring[buffers->nring++] = ExecCopySlotMinimalTuple(slot);
}

static void
clear_ring(VsRowBuffers *buffers)
{
	for (int i = 0; i < buffers->nring; i++)
		pfree(buffers->ring[i]);
	buffers->nring = buffers->oldest = 0;
}

/* The rows in the ring are the buffer of the one that came last, whose place is given. */
static void
put_buffer(VsRun *run, int64 place)
{
	VsRowBuffers *buffers = run->buffers;
	TupleTableSlot *slot = MakeSingleTupleTableSlot(buffers->desc, &TTSOpsMinimalTuple);

	for (int i = 0; i < buffers->nring; i++)
	{
		bool		last = i == buffers->nring - 1;
		int			at = (buffers->oldest + i) % buffers->nring;

		ExecStoreMinimalTuple(buffers->ring[at], slot, false);
		slot_getallattrs(slot);
		slot->tts_values[VS_BUFFER_PARTITION - 1] = Int64GetDatum(buffers->nbuffers);
		slot->tts_values[VS_BUFFER_PLACE - 1] = Int64GetDatum(last ? place : -1);
		tuplestore_putvalues(buffers->buffers, buffers->desc, slot->tts_values, slot->tts_isnull);
		CHECK_FOR_INTERRUPTS();
	}
	buffers->nbuffers++;
	buffers->nbuffer_rows += buffers->nring;
	ExecDropSingleTupleTableSlot(slot);
}

/* ----------
 * State
 * ----------
 */

/* Number of the first row that later rows of a partition will see. */
static int64
first_kept(VsPlan *plan, Partition *partition)
{
	return Max(partition->first, partition->last - plan->row_window.size + 2);
}

/* The last rows of each partition that was touched become its state. */
static void
write_state(VsRun *run)
{
	VsRowBuffers *buffers = run->buffers;
	VsPlan	   *plan = run->plan;
	TupleTableSlot *slot = buffers->stored;
	HASH_SEQ_STATUS seq;
	PartitionEntry *entry;

	if (plan->row_window.size == 1)
		return;
	hash_seq_init(&seq, buffers->partitions);
	while ((entry = hash_seq_search(&seq)) != NULL)
	{
		for (Partition *partition = entry->first; partition != NULL; partition = partition->next)
		{
			if (is_idle(run, partition))
				forget_rows(run, partition, 0, PG_INT64_MAX);
			else if (partition->stored > 0 && partition->stored < first_kept(plan, partition))
				forget_rows(run, partition, 1, first_kept(plan, partition));
			if (plan->row_window.expire >= 0 && !is_idle(run, partition))
				write_header(run, partition);
		}
	}

	tuplestore_rescan(buffers->rows);
	while (tuplestore_gettupleslot(buffers->rows, true, false, slot))
	{
		bool		null;
		Partition  *partition;
		int64		number;

		if (DatumGetInt64(slot_getattr(slot, VS_BUFFER_PLACE, &null)) == -1)
			continue;
		partition = buffers->numbered[DatumGetInt64(slot_getattr(slot, VS_BUFFER_PARTITION, &null))];
		number = DatumGetInt64(slot_getattr(slot, VS_BUFFER_NUMBER, &null));
		if (number >= first_kept(plan, partition) && !is_idle(run, partition))
			store_row(run, partition, slot, number);
	}
	if (plan->row_window.expire >= 0)
		forget_idle(run);
}

/* Write a new row of a buffer to the state table. */
static void
store_row(VsRun *run, Partition *partition, TupleTableSlot *slot, int64 number)
{
	VsPlan	   *plan = run->plan;
	VsRowWindow *window = &plan->row_window;
	TupleTableSlot *new = run->state->slot;
	int			extra = window->expire >= 0 ? 2 : 1;

	slot_getallattrs(slot);
	ExecClearTuple(new);
	for (int i = 0; i < window->nstored; i++)
	{
		int			to = i < plan->nkeys ? i : i + extra;

		new->tts_values[to] = slot->tts_values[VS_BUFFER_COLUMNS + i];
		new->tts_isnull[to] = slot->tts_isnull[VS_BUFFER_COLUMNS + i];
	}
	new->tts_values[plan->nkeys] = Int64GetDatum(number);
	new->tts_isnull[plan->nkeys] = false;
	if (window->expire >= 0)
		new->tts_isnull[plan->nkeys + 1] = true;
	vs_target_insert(run->state);
	CHECK_FOR_INTERRUPTS();
}

/* Delete stored rows of a partition, with numbers from low on and less than high. */
static void
forget_rows(VsRun *run, Partition *partition, int64 low, int64 high)
{
	Datum		from = Int64GetDatum(low);
	Datum		to = Int64GetDatum(high);
	VsRangeScan *scan = vs_range_begin(run->state, true, partition->hash, &from, &to,
									   ForwardScanDirection);

	while (vs_range_next(scan))
	{
		ItemPointerData tid = run->state->oldslot->tts_tid;

		if (same_partition(run, partition))
			vs_target_delete(run->state, &tid);
	}
	vs_range_end(scan);
}

/* Note in the state when a partition was active last. */
static void
write_header(VsRun *run, Partition *partition)
{
	VsPlan	   *plan = run->plan;
	TupleTableSlot *new = run->state->slot;

	if (ItemPointerIsValid(&partition->header))
		vs_target_delete(run->state, &partition->header);
	ExecClearTuple(new);
	memset(new->tts_isnull, true, sizeof(bool) * plan->groupdesc->natts);
	memcpy(new->tts_values, partition->keys, sizeof(Datum) * plan->nkeys);
	memcpy(new->tts_isnull, partition->key_nulls, sizeof(bool) * plan->nkeys);
	new->tts_values[plan->nkeys] = Int64GetDatum(0);
	new->tts_isnull[plan->nkeys] = false;
	if (partition->active != VS_NO_TIME)
	{
		new->tts_values[plan->nkeys + 1] = TimestampTzGetDatum(partition->active);
		new->tts_isnull[plan->nkeys + 1] = false;
	}
	vs_target_insert(run->state);
}

/*
 * Free the state of partitions that are idle for so long that their next row
 * begins a new buffer.
 */
static void
forget_idle(VsRun *run)
{
	VsRowBuffers *buffers = run->buffers;
	VsPlan	   *plan = run->plan;
	Datum		limit = TimestampTzGetDatum(vs_time_plus(buffers->now, -plan->row_window.expire));
	Tuplestorestate *idle;
	TupleTableSlot *slot;
	VsRangeScan *scan;

	if (buffers->now == VS_NO_TIME)
		return;
	idle = tuplestore_begin_heap(false, false, work_mem);
	slot = MakeSingleTupleTableSlot(RelationGetDescr(run->state->rel), &TTSOpsMinimalTuple);
	scan = vs_range_begin(run->state, false, 0, NULL, &limit, ForwardScanDirection);
	while (vs_range_next(scan))
		tuplestore_puttupleslot(idle, run->state->oldslot);
	vs_range_end(scan);
	while (tuplestore_gettupleslot(idle, true, false, slot))
	{
		Partition	partition = {0};

		slot_getallattrs(slot);
		partition.keys = slot->tts_values;
		partition.key_nulls = slot->tts_isnull;
		partition.hash = buffers->hasher ?
			vs_hasher_hash(buffers->hasher, slot->tts_values, slot->tts_isnull) : 0;
		forget_rows(run, &partition, 0, PG_INT64_MAX);
	}
	ExecDropSingleTupleTableSlot(slot);
	tuplestore_end(idle);
}
