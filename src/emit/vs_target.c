/*-------------------------------------------------------------------------
 *
 * vs_target.c
 *	  Writing and finding rows of output and state tables.
 *
 * Only the process that holds a query's batch lock writes these tables (users
 * are refused by the guard trigger), so a row is looked up with SnapshotSelf:
 * the latest version, whatever this transaction did to it.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/genam.h"
#include "access/heapam.h"
#include "access/stratnum.h"
#include "access/table.h"
#include "access/tableam.h"
#include "access/xact.h"
#include "commands/trigger.h"
#include "emit/vs_target.h"
#include "executor/executor.h"
#include "functions/vs_window_funcs.h"
#include "miscadmin.h"
#include "optimizer/optimizer.h"
#include "parser/parse_relation.h"
#include "rewrite/rewriteHandler.h"
#include "storage/bufmgr.h"
#include "utils/datum.h"
#include "utils/fmgroids.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"
#include "utils/snapmgr.h"
#include "vs_compat.h"

/* So many rows, or bytes of them, are written together at most. */
#define APPEND_ROWS		512
#define APPEND_SIZE		65536

static void open_executor(VsTarget *target, Snapshot snapshot);
static void prepare_appending(VsTarget *target);
static void make_locator_entry(VsTarget *target, VsLocatorEntry *entry);
static void write_index_entries(VsTarget *target);
static void write_locator_entry(VsTarget *target, VsLocatorEntry *entry, ItemPointer tid);
static void defer_no_trigger(TriggerDesc *triggers);
static void prepare_lookup(VsTarget *target, List *lookup, bool image, Oid locator);
static void prepare_defaults(VsTarget *target);
static void insert_into_memory(VsTarget *target);
static void update_in_memory(VsTarget *target, ItemPointer tid);
static void fill_user_columns(VsTarget *target, bool update);
static bool row_matches(VsTarget *target, const Datum *values, const bool *nulls);
static bool find_pane(VsTarget *target, const Datum *values, const bool *nulls);
static void begin_in_memory(VsRangeScan *scan, bool panes, uint64 hash, const Datum *low,
							const Datum *high);
static bool next_in_memory(VsRangeScan *scan);
static void add_bound(Relation index, ScanKey key, AttrNumber column, StrategyNumber strategy,
					  Datum bound);

/* See vs_target.h.  Row triggers that need the old row forbid blind updates. */
VsTarget *
vs_target_begin(Oid relid, int ncolumns, List *lookup, bool image,
				Oid locator, Snapshot snapshot)
{
	VsTarget   *target = palloc0(sizeof(VsTarget));
	Size		usage;

	target->rel = table_open(relid, RowExclusiveLock);
	usage = RelationGetTargetPageUsage(target->rel, HEAP_DEFAULT_FILLFACTOR);
	target->desc = RelationGetDescr(target->rel);
	target->ncolumns = ncolumns;
	if (RelationGetNumberOfAttributes(target->rel) < ncolumns)
		elog(ERROR, "relation \"%s\" has fewer than %d columns",
			 RelationGetRelationName(target->rel), ncolumns);
	open_executor(target, snapshot);
	target->slot = MakeSingleTupleTableSlot(RelationGetDescr(target->rel), &TTSOpsVirtual);
	target->oldslot = table_slot_create(target->rel, NULL);
	prepare_lookup(target, lookup, image, locator);
	prepare_defaults(target);
	target->pruned = InvalidBlockNumber;
	target->min_free_space = usage <= BLCKSZ / 2 ? usage + usage / 8 : BLCKSZ / 8;

	/*
	 * our copy of the triggers: the guard, which is on each output, is not in
	 * it
	 */
	target->blind_updates = RelationGetNumberOfAttributes(target->rel) == ncolumns &&
		(target->relinfo->ri_TrigDesc == NULL ||
		 !target->relinfo->ri_TrigDesc->trig_update_after_row);
	prepare_appending(target);
	return target;
}

/* Rows may wait where nothing has to be done for each of them but index entries. */
static void
prepare_appending(VsTarget *target)
{
	ResultRelInfo *relinfo = target->relinfo;

	target->locator_number = -1;
	if (target->desc->constr != NULL || target->rel->rd_rel->relispartition ||
		(relinfo->ri_TrigDesc != NULL && relinfo->ri_TrigDesc->trig_insert_after_row))
		return;
	for (int i = 0; i < relinfo->ri_NumIndices; i++)
	{
		Form_pg_index index = relinfo->ri_IndexRelationDescs[i]->rd_index;

		if (index->indisexclusion || !index->indimmediate)
			return;
		if (target->locator && index->indexrelid == RelationGetRelid(target->locator) &&
			!index->indisunique)
			target->locator_number = i;
	}
	target->appended = palloc0(sizeof(TupleTableSlot *) * APPEND_ROWS);
	target->append_context = AllocSetContextCreate(CurrentMemoryContext, "velostream rows",
												   ALLOCSET_DEFAULT_SIZES);
}

/*
 * The same without a table: rows go into memory, or nowhere if that is NULL.
 * They are looked up by the hash of the columns "lookup" (NIL: there is one
 * row at most).
 */
VsTarget *
vs_target_begin_memory(VsMemory *memory, TupleDesc desc, List *lookup)
{
	VsTarget   *target = palloc0(sizeof(VsTarget));

	target->memory = memory;
	target->desc = desc;
	target->ncolumns = desc->natts;
	target->blind_updates = true;
	target->slot = MakeSingleTupleTableSlot(desc, &TTSOpsVirtual);
	target->oldslot = MakeSingleTupleTableSlot(desc, &TTSOpsMinimalTuple);
	prepare_lookup(target, lookup, false, InvalidOid);
	return target;
}

/* Make what ExecSimpleRelation* wants: an EState with one result relation. */
static void
open_executor(VsTarget *target, Snapshot snapshot)
{
	EState	   *estate = CreateExecutorState();
	RangeTblEntry *rte = makeNode(RangeTblEntry);

	rte->rtekind = RTE_RELATION;
	rte->relid = RelationGetRelid(target->rel);
	rte->relkind = target->rel->rd_rel->relkind;
	rte->rellockmode = RowExclusiveLock;
	VS_INIT_RANGE_TABLE(estate, rte);
	estate->es_snapshot = snapshot;
	estate->es_output_cid = GetCurrentCommandId(true);

	target->estate = estate;
	target->relinfo = makeNode(ResultRelInfo);
	InitResultRelInfo(target->relinfo, target->rel, 1, NULL, 0);
	/* the only ones that can be there guard the table against others */
	if (target->relinfo->ri_TrigDesc)
	{
		target->relinfo->ri_TrigDesc->trig_insert_before_row = false;
		target->relinfo->ri_TrigDesc->trig_update_before_row = false;
		target->relinfo->ri_TrigDesc->trig_delete_before_row = false;
	}
	defer_no_trigger(target->relinfo->ri_TrigDesc);
	ExecOpenIndices(target->relinfo, false);
	vs_init_no_epq(&target->epqstate, estate);
	AfterTriggerBeginQuery();
}

/*
 * Constraints that can be deferred are checked at the end of the batch, like
 * others: in a security-restricted operation nothing can be put off until the
 * commit.  (The description of the triggers is our own copy.)
 */
static void
defer_no_trigger(TriggerDesc *triggers)
{
	for (int i = 0; triggers != NULL && i < triggers->numtriggers; i++)
	{
		triggers->triggers[i].tgdeferrable = false;
		triggers->triggers[i].tginitdeferred = false;
	}
}

/* How rows are found: the columns, and the locator over them. */
static void
prepare_lookup(VsTarget *target, List *lookup, bool image, Oid locator)
{
	TupleDesc	desc = target->desc;
	ListCell   *lc;
	Oid		   *types;
	Oid		   *collations;

	target->nlookup = list_length(lookup);
	target->locator_window = -1;
	if (target->nlookup == 0)
		return;
	target->lookup = palloc(sizeof(AttrNumber) * target->nlookup);
	target->found_values = palloc(sizeof(Datum) * target->nlookup);
	target->found_nulls = palloc(sizeof(bool) * target->nlookup);
	types = palloc(sizeof(Oid) * target->nlookup);
	collations = palloc(sizeof(Oid) * target->nlookup);
	foreach(lc, lookup)
	{
		int			i = foreach_current_index(lc);
		Form_pg_attribute att = TupleDescAttr(desc, lfirst_int(lc) - 1);

		target->lookup[i] = att->attnum;
		types[i] = att->atttypid;
		collations[i] = att->attcollation;
	}
	target->hasher = vs_hasher_make(target->nlookup, types, collations, image);
	if (!OidIsValid(locator))
		return;
	target->locator = index_open(locator, RowExclusiveLock);
	for (int i = 0; i < target->nlookup; i++)
	{
		if (target->locator->rd_index->indkey.values[0] == target->lookup[i])
			target->locator_window = i;
	}
}

/* Columns that the user added to the output get their defaults. */
static void
prepare_defaults(VsTarget *target)
{
	TupleDesc	desc = RelationGetDescr(target->rel);
	int			more = desc->natts - target->ncolumns;

	if (more == 0)
		return;
	target->default_attnos = palloc(sizeof(AttrNumber) * more);
	target->defaults = palloc(sizeof(ExprState *) * more);
	for (int i = target->ncolumns; i < desc->natts; i++)
	{
		Form_pg_attribute att = TupleDescAttr(desc, i);
		Expr	   *expr;

		if (att->attisdropped || att->attgenerated)
			continue;
		expr = (Expr *) build_column_default(target->rel, att->attnum);
		if (expr == NULL)
			continue;
		target->default_attnos[target->ndefaults] = att->attnum;
		target->defaults[target->ndefaults++] =
			ExecInitExpr(expression_planner(expr), NULL);
	}
}

/* AFTER triggers see the rows written; they run under a snapshot of their own. */
void
vs_target_end(VsTarget *target)
{
	if (target->rel)
	{
		vs_target_write(target);
		CommandCounterIncrement();
		PushActiveSnapshot(GetTransactionSnapshot());
		AfterTriggerEndQuery(target->estate);
		PopActiveSnapshot();

		if (target->locator)
			index_close(target->locator, NoLock);
		if (target->pane_index)
			index_close(target->pane_index, NoLock);
		if (target->window_index)
			index_close(target->window_index, NoLock);
		EvalPlanQualEnd(&target->epqstate);
		ExecCloseIndices(target->relinfo);
		ExecResetTupleTable(target->estate->es_tupleTable, false);
		ExecCloseResultRelations(target->estate);
	}
	for (int i = 0; target->appended && i < APPEND_ROWS && target->appended[i]; i++)
		ExecDropSingleTupleTableSlot(target->appended[i]);
	ExecDropSingleTupleTableSlot(target->slot);
	ExecDropSingleTupleTableSlot(target->oldslot);
	if (target->rel)
	{
		table_close(target->rel, NoLock);
		FreeExecutorState(target->estate);
	}
	pfree(target);
}

/* See vs_target.h. */
void
vs_target_append(VsTarget *target)
{
	MemoryContext old;
	HeapTuple	tuple;
	int			n = target->nappended;

	if (target->appended == NULL)
	{
		vs_target_insert(target);
		return;
	}
	ResetPerTupleExprContext(target->estate);
	fill_user_columns(target, false);
	ExecStoreVirtualTuple(target->slot);

	if (target->appended[n] == NULL)
	{
		old = MemoryContextSwitchTo(GetMemoryChunkContext(target->appended));
		target->appended[n] = MakeSingleTupleTableSlot(target->desc, &TTSOpsHeapTuple);
		MemoryContextSwitchTo(old);
	}
	old = MemoryContextSwitchTo(target->append_context);
	tuple = ExecCopySlotHeapTuple(target->slot);
	MemoryContextSwitchTo(old);
	ExecStoreHeapTuple(tuple, target->appended[n], false);
	if (target->locator_number >= 0)
	{
		if (target->entries == NULL)
			target->entries = MemoryContextAlloc(GetMemoryChunkContext(target->appended),
												 sizeof(VsLocatorEntry) * APPEND_ROWS);
		make_locator_entry(target, &target->entries[n]);
	}
	target->appended_size += tuple->t_len;
	if (++target->nappended == APPEND_ROWS || target->appended_size >= APPEND_SIZE)
		vs_target_write(target);
}

/* Write the rows that wait, all at once, and then their index entries. */
void
vs_target_write(VsTarget *target)
{
	if (target->nappended == 0)
		return;
	table_multi_insert(target->rel, target->appended, target->nappended,
					   GetCurrentCommandId(true), 0, NULL);
	if (target->relinfo->ri_NumIndices > 0)
		write_index_entries(target);
	for (int i = 0; i < target->nappended; i++)
		ExecClearTuple(target->appended[i]);
	target->nappended = 0;
	target->appended_size = 0;
	MemoryContextReset(target->append_context);
}

/*
 * The executor would take each row apart again and evaluate the expression of
 * the locator: it is not shown that one.  (After an error nobody uses relinfo.)
 */
static void
write_index_entries(VsTarget *target)
{
	Relation   *indexes = target->relinfo->ri_IndexRelationDescs;
	int			others = target->relinfo->ri_NumIndices;
	Relation	hidden = NULL;

	if (target->locator_number >= 0)
	{
		hidden = indexes[target->locator_number];
		indexes[target->locator_number] = NULL;
		others--;
	}
	for (int i = 0; i < target->nappended; i++)
	{
		TupleTableSlot *slot = target->appended[i];

		if (others > 0)
		{
			ResetPerTupleExprContext(target->estate);
			vs_insert_index_entries(target->relinfo, slot, target->estate);
		}
		if (hidden)
			write_locator_entry(target, &target->entries[i], &slot->tts_tid);
	}
	if (hidden)
		indexes[target->locator_number] = hidden;
}

/* For the row in target->slot. */
static void
make_locator_entry(VsTarget *target, VsLocatorEntry *entry)
{
	TupleTableSlot *slot = target->slot;

	for (int i = 0; i < target->nlookup; i++)
	{
		target->found_values[i] = slot->tts_values[target->lookup[i] - 1];
		target->found_nulls[i] = slot->tts_isnull[target->lookup[i] - 1];
	}
	entry->hash = vs_hasher_hash(target->hasher, target->found_values, target->found_nulls);
	if (target->locator_window >= 0)
	{
		/* times are passed by value */
		entry->window = target->found_values[target->locator_window];
		entry->window_null = target->found_nulls[target->locator_window];
	}
}

static void
write_locator_entry(VsTarget *target, VsLocatorEntry *entry, ItemPointer tid)
{
	Datum		values[2];
	bool		nulls[2];
	int			n = 0;

	if (target->locator_window >= 0)
	{
		values[n] = entry->window;
		nulls[n++] = entry->window_null;
	}
	values[n] = Int64GetDatum((int64) entry->hash);
	nulls[n++] = false;
	(void) index_insert(target->locator, values, nulls, tid, target->rel, UNIQUE_CHECK_NO,
						false, target->relinfo->ri_IndexRelationInfo[target->locator_number]);
}

void
vs_target_insert(VsTarget *target)
{
	if (target->rel == NULL)
	{
		insert_into_memory(target);
		return;
	}
	vs_target_write(target);
	ResetPerTupleExprContext(target->estate);
	fill_user_columns(target, false);
	ExecStoreVirtualTuple(target->slot);
	ExecSimpleRelationInsert(target->relinfo, target->estate, target->slot);
}

/* The new row is made before the old one goes: it may have values of it. */
static void
insert_into_memory(VsTarget *target)
{
	TupleTableSlot *slot = target->slot;
	uint64		hash = 0;
	VsPlace		place = {0};

	ExecStoreVirtualTuple(slot);
	if (target->memory == NULL)
		return;
	for (int i = 0; i < target->nlookup; i++)
		target->found_values[i] = slot_getattr(slot, target->lookup[i], &target->found_nulls[i]);
	if (target->nlookup > 0)
		hash = vs_hasher_hash(target->hasher, target->found_values, target->found_nulls);
	if (target->window_attno != 0)
	{
		place.others = vs_target_hash_others(target, target->found_values, target->found_nulls);
		place.time = vs_time_number(target->window_type,
									slot->tts_values[target->window_attno - 1]);
	}
	vs_memory_insert(target->memory,
					 vs_form_minimal_tuple(target->desc, slot->tts_values, slot->tts_isnull),
					 hash, &place, &slot->tts_tid);
}

static void
update_in_memory(VsTarget *target, ItemPointer tid)
{
	TupleTableSlot *slot = target->slot;
	MinimalTuple tuple = vs_form_minimal_tuple(target->desc, slot->tts_values, slot->tts_isnull);

	ExecStoreVirtualTuple(slot);
	ExecClearTuple(target->oldslot);
	slot->tts_tid = *tid;
	vs_memory_update(target->memory, tid, tuple);
}

void
vs_target_update(VsTarget *target, ItemPointer tid)
{
	if (target->rel == NULL)
	{
		update_in_memory(target, tid);
		return;
	}
	vs_target_write(target);
	ResetPerTupleExprContext(target->estate);
	if (target->rel->rd_att->natts > target->ncolumns)
		fill_user_columns(target, true);
	ExecStoreVirtualTuple(target->slot);
	/* the row to replace is known to the executor by the slot's TID alone */
	target->oldslot->tts_tid = *tid;
	ExecSimpleRelationUpdate(target->relinfo, target->estate, &target->epqstate,
							 target->oldslot, target->slot);
}

void
vs_target_delete(VsTarget *target, ItemPointer tid)
{
	if (target->rel == NULL)
	{
		ExecClearTuple(target->oldslot);
		vs_memory_delete(target->memory, tid);
		return;
	}
	vs_target_write(target);
	ResetPerTupleExprContext(target->estate);
	target->oldslot->tts_tid = *tid;
	ExecSimpleRelationDelete(target->relinfo, target->estate, &target->epqstate,
							 target->oldslot);
}

/* Set the columns behind ours: as they were, or to their defaults. */
static void
fill_user_columns(VsTarget *target, bool update)
{
	TupleTableSlot *slot = target->slot;
	int			natts = slot->tts_tupleDescriptor->natts;

	if (natts == target->ncolumns)
		return;
	if (update)
		slot_getallattrs(target->oldslot);
	for (int i = target->ncolumns; i < natts; i++)
	{
		slot->tts_isnull[i] = update ? target->oldslot->tts_isnull[i] : true;
		slot->tts_values[i] = update ? target->oldslot->tts_values[i] : (Datum) 0;
	}
	if (update)
		return;
	for (int i = 0; i < target->ndefaults; i++)
	{
		int			att = target->default_attnos[i] - 1;

		slot->tts_values[att] = ExecEvalExpr(target->defaults[i],
											 GetPerTupleExprContext(target->estate),
											 &slot->tts_isnull[att]);
	}
}

/*
 * Give a page that is nearly full the chance to get rid of dead versions, as
 * any scan would: rows that are found by TID alone would otherwise never meet
 * it, their pages stay full, and no update could be HOT.
 *
 * Rows come in the order of their pages, more or less, so it is enough to look
 * when another page begins, and to have room then for a new version of all
 * rows that the fill factor admits.  (PostgreSQL's own threshold is what the
 * fill factor leaves free: with a low one, pages would be pruned all the time.)
 */
void
vs_target_prune(VsTarget *target, ItemPointer tid)
{
	BlockNumber block = ItemPointerGetBlockNumber(tid);
	Buffer		buffer;

	if (block == target->pruned || target->rel == NULL)
		return;
	target->pruned = block;
	ExecClearTuple(target->oldslot);	/* its pin would be in the way */
	buffer = ReadBuffer(target->rel, block);
	/* as in heap_page_prune_opt, a look without lock will do */
	if (PageGetHeapFreeSpace(BufferGetPage(buffer)) < target->min_free_space)
		heap_page_prune_opt(target->rel, buffer);
	ReleaseBuffer(buffer);
}

/* Put a row of the memory, which keeps it, into oldslot; false if it is NULL. */
static bool
store_from_memory(VsTarget *target, MinimalTuple tuple, ItemPointer tid)
{
	if (tuple == NULL)
		return false;
	ExecStoreMinimalTuple(tuple, target->oldslot, false);
	target->oldslot->tts_tid = *tid;
	return true;
}

bool
vs_target_fetch(VsTarget *target, ItemPointer tid)
{
	if (!ItemPointerIsValid(tid))
		return false;
	if (target->rel == NULL)
		return store_from_memory(target, vs_memory_fetch(target->memory, tid), tid);
	vs_target_prune(target, tid);
	return table_tuple_fetch_row_version(target->rel, tid, SnapshotSelf, target->oldslot);
}

static int64
window_number(VsTarget *target, Datum window)
{
	return vs_time_number(target->locator->rd_opcintype[0], window);
}

/*
 * The last window that the locator has an entry for, be it of a row that is no
 * more.  Only windows count: NULL would come behind them.
 */
static void
find_last_window(VsTarget *target)
{
	IndexScanDesc scan = vs_beginscan(target->rel, target->locator, SnapshotSelf, 0);
	Datum		window;
	bool		null;

	target->window_known = true;
	target->last_window = PG_INT64_MIN;
	scan->xs_want_itup = true;
	index_rescan(scan, NULL, 0, NULL, 0);
	if (index_getnext_tid(scan, BackwardScanDirection) != NULL)
	{
		window = index_getattr(scan->xs_itup, 1, scan->xs_itupdesc, &null);
		target->last_window = null ? PG_INT64_MAX :
			window_number(target, window);
	}
	index_endscan(scan);
}

bool
vs_target_is_beyond(VsTarget *target, const Datum *values, const bool *nulls)
{
	if (target->locator_window < 0 || nulls[target->locator_window])
		return false;
	if (!target->window_known)
	{
		vs_target_write(target);
		find_last_window(target);
	}
	return window_number(target, values[target->locator_window]) > target->last_window;
}

void
vs_target_look_again(VsTarget *target)
{
	target->window_known = false;
}

/* Scan the rows whose lookup columns have this hash, and may have these values. */
static IndexScanDesc
scan_locator(VsTarget *target, uint64 hash, const Datum *values)
{
	IndexScanDesc scan;
	ScanKeyData keys[2];
	int			n = 0;

	if (target->locator_window >= 0)
		add_bound(target->locator, &keys[n++], 1, BTEqualStrategyNumber,
				  values[target->locator_window]);
	ScanKeyInit(&keys[n], n + 1, BTEqualStrategyNumber, F_INT8EQ, Int64GetDatum((int64) hash));
	n++;
	scan = vs_beginscan(target->rel, target->locator, SnapshotSelf, n);
	index_rescan(scan, keys, n, NULL, 0);
	return scan;
}

/*
 * The row in oldslot has the right hash.  If it has these lookup values: is it
 * the only one that is asked for, or one to call back for?
 */
static inline bool
is_the_one(VsTarget *target, const Datum *values, const bool *nulls, VsRowCallback callback,
		   void *arg)
{
	if (target->nlookup > 0 && !row_matches(target, values, nulls))
		return false;
	if (callback == NULL)
		return true;
	CHECK_FOR_INTERRUPTS();
	callback(target, arg);
	return false;
}

/*
 * Find rows by the values of the lookup columns: through the locator, or, in a
 * table of few rows, by looking.  Without a callback, the first one: true if
 * oldslot has it.
 */
static bool
find_rows(VsTarget *target, uint64 hash, const Datum *values, const bool *nulls,
		  VsRowCallback callback, void *arg)
{
	bool		found = false;

	if (target->rel == NULL)
	{
		ItemPointerData tid;

		ItemPointerSetInvalid(&tid);
		while (!found && target->memory != NULL &&
			   store_from_memory(target, vs_memory_next(target->memory, hash, &tid), &tid))
			found = is_the_one(target, values, nulls, callback, arg);
	}
	else if (target->locator)
	{
		IndexScanDesc scan = scan_locator(target, hash, values);

		while (!found && index_getnext_slot(scan, ForwardScanDirection, target->oldslot))
			found = is_the_one(target, values, nulls, callback, arg);
		if (found)
			ExecMaterializeSlot(target->oldslot);
		index_endscan(scan);
	}
	else
	{
		TableScanDesc scan = table_beginscan(target->rel, SnapshotSelf, 0, NULL);

		while (!found && table_scan_getnextslot(scan, ForwardScanDirection, target->oldslot))
			found = is_the_one(target, values, nulls, callback, arg);
		if (found)
			ExecMaterializeSlot(target->oldslot);
		table_endscan(scan);
	}
	return found;
}

/* See vs_target.h. */
bool
vs_target_find(VsTarget *target, uint64 hash, const Datum *values, const bool *nulls)
{
	if (vs_target_is_beyond(target, values, nulls))
		return false;
	vs_target_write(target);
	if (target->pane_index)
		return find_pane(target, values, nulls);
	return find_rows(target, hash, values, nulls, NULL, NULL);
}

/* See vs_target.h. */
void
vs_target_find_all(VsTarget *target, const Datum *values, const bool *nulls,
				   VsRowCallback callback, void *arg)
{
	uint64		hash = target->nlookup > 0 ?
	vs_hasher_hash(target->hasher, values, nulls) : 0;

	vs_target_write(target);
	(void) find_rows(target, hash, values, nulls, callback, arg);
}

/* ----------
 * Windows
 * ----------
 */

void
vs_target_use_windows(VsTarget *target, AttrNumber window, Oid pane_index, Oid window_index)
{
	TupleDesc	desc = target->desc;
	Oid		   *types = palloc(sizeof(Oid) * target->nlookup);
	Oid		   *collations = palloc(sizeof(Oid) * target->nlookup);
	int			n = 0;

	target->window_attno = window;
	target->window_type = TupleDescAttr(desc, window - 1)->atttypid;
	for (int i = 0; i < target->nlookup; i++)
	{
		Form_pg_attribute att = TupleDescAttr(desc, target->lookup[i] - 1);

		if (att->attnum == window)
			continue;
		types[n] = att->atttypid;
		collations[n++] = att->attcollation;
	}
	if (n > 0)
		target->others = vs_hasher_make(n, types, collations, false);
	if (OidIsValid(pane_index))
		target->pane_index = index_open(pane_index, RowExclusiveLock);
	if (OidIsValid(window_index))
		target->window_index = index_open(window_index, RowExclusiveLock);
}

uint64
vs_target_hash_others(VsTarget *target, const Datum *values, const bool *nulls)
{
	Datum	   *others = palloc(sizeof(Datum) * target->nlookup);
	bool	   *others_null = palloc(sizeof(bool) * target->nlookup);
	int			n = 0;

	if (target->others == NULL)
		return 0;
	for (int i = 0; i < target->nlookup; i++)
	{
		if (target->lookup[i] == target->window_attno)
			continue;
		others[n] = values[i];
		others_null[n++] = nulls[i];
	}
	return vs_hasher_hash(target->others, others, others_null);
}

/* A pane, by all its keys. */
static bool
find_pane(VsTarget *target, const Datum *values, const bool *nulls)
{
	VsRangeScan *scan;
	bool		found = false;
	int			window = 0;

	while (target->lookup[window] != target->window_attno)
		window++;
	scan = vs_range_begin(target, true, vs_target_hash_others(target, values, nulls),
						  &values[window], NULL, ForwardScanDirection);
	while (!found && vs_range_next(scan))
	{
		bool		null;

		found = row_matches(target, values, nulls);

		/*
		 * those of other keys with the same hash may come first, but only of
		 * this pane
		 */
		if (!found && slot_getattr(target->oldslot, target->window_attno, &null) != values[window])
			break;
	}
	if (found)
		ExecMaterializeSlot(target->oldslot);
	vs_range_end(scan);
	return found;
}

struct VsRangeScan
{
	VsTarget   *target;
	IndexScanDesc scan;
	ScanDirection direction;
	ScanKeyData keys[3];
	int			nkeys;

	/* in memory */
	bool		panes;
	uint64		hash;
	int64		low;
	int64		high;			/* exclusive */
	VsPlace		place;			/* of the row that was delivered last */
};

/* See vs_target.h. */
VsRangeScan *
vs_range_begin(VsTarget *target, bool panes, uint64 hash, const Datum *low, const Datum *high,
			   ScanDirection direction)
{
	VsRangeScan *scan = palloc0(sizeof(VsRangeScan));
	AttrNumber	column = panes && target->others != NULL ? 2 : 1;
	Relation	index = panes ? target->pane_index : target->window_index;

	scan->target = target;
	scan->direction = direction;
	if (target->rel == NULL)
	{
		begin_in_memory(scan, panes, hash, low, high);
		return scan;
	}
	if (column == 2)
		ScanKeyInit(&scan->keys[scan->nkeys++], 1, BTEqualStrategyNumber, F_INT8EQ,
					Int64GetDatum((int64) hash));
	if (low != NULL)
		add_bound(index, &scan->keys[scan->nkeys++], column, BTGreaterEqualStrategyNumber, *low);
	if (high != NULL)
		add_bound(index, &scan->keys[scan->nkeys++], column, BTLessStrategyNumber, *high);
	scan->scan = vs_beginscan(target->rel, index, SnapshotSelf, scan->nkeys);
	index_rescan(scan->scan, scan->keys, scan->nkeys, NULL, 0);
	return scan;
}

/* Stand before the first row that is within the bounds. */
static void
begin_in_memory(VsRangeScan *scan, bool panes, uint64 hash, const Datum *low, const Datum *high)
{
	Oid			type = scan->target->window_type;
	bool		forward = ScanDirectionIsForward(scan->direction);

	scan->panes = panes;
	scan->hash = panes ? hash : 0;
	scan->low = low ? vs_time_number(type, *low) : PG_INT64_MIN;
	scan->high = high ? vs_time_number(type, *high) : PG_INT64_MAX;
	scan->place.others = scan->hash;
	scan->place.time = forward ? scan->low : scan->high;
	scan->place.row = -1;
}

static bool
next_in_memory(VsRangeScan *scan)
{
	VsTarget   *target = scan->target;
	bool		forward = ScanDirectionIsForward(scan->direction);
	ItemPointerData tid;
	MinimalTuple tuple = vs_memory_step(target->memory, scan->panes, forward, &scan->place, &tid);

	if (tuple == NULL || scan->place.others != scan->hash ||
		(forward ? scan->place.time >= scan->high : scan->place.time < scan->low))
		return false;
	return store_from_memory(target, tuple, &tid);
}

/* Columns of our indexes are compared with values of their own types. */
static void
add_bound(Relation index, ScanKey key, AttrNumber column, StrategyNumber strategy, Datum bound)
{
	Oid			type = index->rd_opcintype[column - 1];
	Oid			operator = get_opfamily_member(index->rd_opfamily[column - 1], type, type, strategy);

	ScanKeyInit(key, column, strategy, get_opcode(operator), bound);
}

bool
vs_range_next(VsRangeScan *scan)
{
	CHECK_FOR_INTERRUPTS();
	if (scan->target->rel == NULL)
		return next_in_memory(scan);
	return index_getnext_slot(scan->scan, scan->direction, scan->target->oldslot);
}

void
vs_range_end(VsRangeScan *scan)
{
	if (scan->scan)
		index_endscan(scan->scan);
	pfree(scan);
}

static bool
row_matches(VsTarget *target, const Datum *values, const bool *nulls)
{
	for (int i = 0; i < target->nlookup; i++)
		target->found_values[i] = slot_getattr(target->oldslot, target->lookup[i],
											   &target->found_nulls[i]);
	return vs_hasher_equal(target->hasher, target->found_values, target->found_nulls,
						   values, nulls);
}

bool
vs_target_unchanged(VsTarget *target)
{
	slot_getsomeattrs(target->oldslot, target->ncolumns);
	return vs_same_row(target->desc, target->ncolumns,
					   target->slot->tts_values, target->slot->tts_isnull,
					   target->oldslot->tts_values, target->oldslot->tts_isnull);
}

bool
vs_same_row(TupleDesc desc, int n, const Datum *a, const bool *anull,
			const Datum *b, const bool *bnull)
{
	for (int i = 0; i < n; i++)
	{
		Form_pg_attribute att = TupleDescAttr(desc, i);

		if (anull[i] != bnull[i])
			return false;
		if (!anull[i] && !datum_image_eq(a[i], b[i], att->attbyval, att->attlen))
			return false;
	}
	return true;
}

/* See vs_target.h. */
void
vs_target_scan(VsTarget *target, VsRowCallback callback, void *arg)
{
	TableScanDesc scan;

	if (target->rel == NULL)
	{
		ItemPointerData tid;

		ItemPointerSetInvalid(&tid);
		while (target->memory != NULL &&
			   store_from_memory(target, vs_memory_scan(target->memory, &tid), &tid))
			callback(target, arg);
		return;
	}
	vs_target_write(target);
	scan = table_beginscan(target->rel, SnapshotSelf, 0, NULL);
	while (table_scan_getnextslot(scan, ForwardScanDirection, target->oldslot))
	{
		CHECK_FOR_INTERRUPTS();
		callback(target, arg);
	}
	table_endscan(scan);
}
