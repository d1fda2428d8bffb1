/*-------------------------------------------------------------------------
 *
 * vs_groups.c
 *	  Merging the partial groups of a delta into the groups of a query.
 *
 * The delta plan delivers every group that the delta touches exactly once:
 * its keys and, for each aggregate, the transition value of the rows that
 * came and of those that went.  A group is looked up (shared cache, then
 * tables), combined, and written: output row, state row, cache, in this order.
 * Nothing is remembered about it afterwards, so the memory of a batch does not
 * grow with the number of groups.
 *
 * Groups that lost rows under an aggregate that cannot give them up are put
 * aside; when the delta is through, they are computed from the source again,
 * under the batch's snapshot.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/detoast.h"
#include "mb/pg_wchar.h"
#include "miscadmin.h"
#include "process/vs_groups_internal.h"
#include "nodes/makefuncs.h"
#include "utils/datum.h"
#include "utils/memutils.h"
#include "utils/queryenvironment.h"
#include "utils/rel.h"
#include "vs_compat.h"

/* For the context of an error: keys and transition values of a group. */
typedef struct GroupKeys
{
	VsRun	   *run;
	const Datum *values;
	const bool *nulls;
} GroupKeys;

/* Longer keys are cut off there in an error's context, in bytes. */
#define MAX_KEY_LENGTH	100

static VsMergeGroup *load_group(VsRun *run, TupleTableSlot *slot);
static void hash_group(VsRun *run, VsMergeGroup *group, const Datum *keys, const bool *nulls);
static bool is_beyond(VsRun *run, const Datum *keys, const bool *nulls);
static bool load_from_cache(VsRun *run, VsMergeGroup *group, const Datum *keys, const bool *nulls);
static bool load_from_tables(VsRun *run, VsMergeGroup *group, const Datum *keys, const bool *nulls);
static Datum inline_value(Datum value, int16 typlen);
static bool find_in_output(VsRun *run, VsMergeGroup *group, const Datum *keys, const bool *nulls);
static bool has_output_row(VsRun *run, const Datum *keys);
static Datum delta_value(VsRun *run, int i, int column, int64 rows, const Datum *values,
						 const bool *nulls, bool *null);
static bool combine_changes(VsRun *run, VsMergeGroup *group, const Datum *values, const bool *nulls);
static int64 rows_counted(VsRun *run, const Datum *values);
static int64 group_count(VsRun *run, VsMergeGroup *group);
static void emit_group(VsRun *run, VsMergeGroup *group, bool passing);
static void write_group(VsRun *run, VsMergeGroup *group);
static void group_context(void *arg);
static void delete_group(VsRun *run, VsMergeGroup *group);
static void write_output_row(VsRun *run, VsMergeGroup *group, bool pass, bool passing, Datum *row,
							 bool *row_nulls);
static void tell_change(VsRun *run, VsMergeGroup *group, bool pass, Datum *row, bool *row_nulls);
static bool in_output(VsRun *run, VsMergeGroup *group);
static void write_state_row(VsRun *run, VsMergeGroup *group);
static void uncache(VsRun *run, const Datum *keys, const bool *nulls);
static void put_aside(VsRun *run, VsMergeGroup *group);
static void recompute(VsRun *run, VsTouched *touched);
static void replace_group(VsRun *run, TupleTableSlot *slot);

/* Make ready to merge: hashes, aggregates, and the expressions above them. */
void
vs_groups_begin(VsRun *run)
{
	VsPlan	   *plan = run->plan;
	TupleTableSlot *result;

	run->hasher = vs_key_hasher(plan);
	run->aggs = vs_agg_begin(run->context);

	run->econtext = CreateStandaloneExprContext();
	run->finalslot = MakeSingleTupleTableSlot(plan->finaldesc, &TTSOpsVirtual);
	run->econtext->ecxt_scantuple = run->finalslot;
	result = MakeSingleTupleTableSlot(ExecTypeFromTL(plan->output_tlist), &TTSOpsVirtual);
	run->projection = ExecBuildProjectionInfo(plan->output_tlist, run->econtext,
											  result, NULL, plan->finaldesc);
	run->having = plan->having ?
		ExecInitQual(make_ands_implicit((Expr *) plan->having), NULL) : NULL;

	run->keydesc = CreateTemplateTupleDesc(plan->nkeys);
	for (int i = 0; i < plan->nkeys; i++)
	{
		TupleDescInitEntry(run->keydesc, i + 1, psprintf("key_%d", i + 1),
						   plan->keys[i].type, plan->keys[i].typmod, 0);
		TupleDescInitEntryCollation(run->keydesc, i + 1, plan->keys[i].collation);
	}
	run->keyslot = MakeSingleTupleTableSlot(run->keydesc, &TTSOpsMinimalTuple);
	if (plan->panes)
		vs_panes_begin(run);
	if (run->batch->corrects)
		vs_correct_begin(run);
}

/* Merge one partial group: a row of the delta plan. */
void
vs_groups_merge(VsRun *run, TupleTableSlot *slot)
{
	VsMergeGroup *group;
	bool		complete = true;

	run->ngroups++;
	slot_getallattrs(slot);
	if (run->corrections && vs_correct_later(run, slot))
		return;
	group = load_group(run, slot);
	if (group->correction && run->plan->entry.mode == VS_SOURCE_CHANGES)
	{
		put_aside(run, group);
		return;
	}

	if (!run->batch->change)
		vs_group_add(run, group, slot->tts_values + run->plan->nkeys,
					 slot->tts_isnull + run->plan->nkeys);
	else
		complete = combine_changes(run, group, slot->tts_values + run->plan->nkeys,
								   slot->tts_isnull + run->plan->nkeys);

	if (run->plan->count_agg >= 0 && !run->plan->single_group &&
		group_count(run, group) == 0)
		delete_group(run, group);
	else if (complete)
		write_group(run, group);
	else
		put_aside(run, group);
}

/* Some rows are through, and others will come, as if after them. */
void
vs_groups_turn(VsRun *run)
{
	if (run->plan->panes)
		vs_panes_turn(run);
}

/* Compute again what was put aside, and close. */
void
vs_groups_finish(VsRun *run)
{
	ListCell   *lc;

	if (run->corrections)
		vs_correct_merge(run);
	foreach(lc, run->touched)
		recompute(run, lfirst(lc));
	run->touched = NIL;
	if (run->corrections)
		vs_correct_finish(run);
	if (run->plan->panes)
		vs_panes_finish(run);
	vs_top_finish(run);

	ExecDropSingleTupleTableSlot(run->keyslot);
	ExecDropSingleTupleTableSlot(run->projection->pi_state.resultslot);
	ExecDropSingleTupleTableSlot(run->finalslot);
	FreeExprContext(run->econtext, true);
	vs_agg_end(run->aggs);
}

/* ----------
 * Finding a group
 * ----------
 */

/*
 * The group of these keys as it was before this batch.  If there is none,
 * "found" is false and its transition values are not set.
 */
static VsMergeGroup *
load_group(VsRun *run, TupleTableSlot *slot)
{
	VsPlan	   *plan = run->plan;
	int			natts = plan->groupdesc->natts;
	const Datum *keys = slot->tts_values;
	const bool *nulls = slot->tts_isnull;
	VsMergeGroup *group = palloc0(sizeof(VsMergeGroup));
	bool		lookup;

	group->cache_index = -1;
	ItemPointerSetInvalid(&group->output_tid);
	ItemPointerSetInvalid(&group->state_tid);
	group->values = palloc(sizeof(Datum) * natts);
	group->nulls = palloc(sizeof(bool) * natts);
	if (plan->nkeys > 0 && plan->window.kind != VS_WINDOW_TUMBLE)
	{
		group->hash = DatumGetUInt64(keys[slot->tts_tupleDescriptor->natts - 1]);
		group->hashed = true;
	}

	lookup = !run->batch->fresh && !is_beyond(run, keys, nulls);
	if (lookup || run->batch->kept || run->corrections)
		hash_group(run, group, keys, nulls);
	if (run->corrections && vs_correct_load(run, group, keys, nulls))
		uncache(run, keys, nulls);
	else if (lookup)
		group->found = load_from_cache(run, group, keys, nulls) ||
			load_from_tables(run, group, keys, nulls);
	/* it was kept before its window closed and its row was written */
	if (group->found && plan->final && !ItemPointerIsValid(&group->output_tid) &&
		!group->correction && has_output_row(run, keys))
		(void) find_in_output(run, group, keys, nulls);
	/* in a rebuild its row may be there still */
	if (!group->found && run->batch->kept && !run->plan->panes &&
		!ItemPointerIsValid(&group->output_tid))
		(void) find_in_output(run, group, keys, nulls);
	if (!group->found)
	{
		/*
		 * keys may point into the source's TOAST table; state and cache may
		 * not
		 */
		for (int i = 0; i < plan->nkeys; i++)
		{
			group->nulls[i] = nulls[i];
			group->values[i] = nulls[i] ? (Datum) 0 :
				inline_value(keys[i], plan->keys[i].typlen);
		}
	}
	else if (plan->changelog || plan->panes)
	{
		group->old_values = palloc(sizeof(Datum) * natts);
		group->old_nulls = palloc(sizeof(bool) * natts);
		memcpy(group->old_values, group->values, sizeof(Datum) * natts);
		memcpy(group->old_nulls, group->nulls, sizeof(bool) * natts);
	}
	return group;
}

/* Groups that are not looked for have a hash only if they are cached. */
static void
hash_group(VsRun *run, VsMergeGroup *group, const Datum *keys, const bool *nulls)
{
	if (!group->hashed)
		group->hash = vs_hasher_hash(run->hasher, keys, nulls);
	group->hashed = true;
}

/*
 * Is this group's window later than those of all groups that are kept?  Then
 * neither the tables have the group, nor the cache.
 */
static bool
is_beyond(VsRun *run, const Datum *keys, const bool *nulls)
{
	if (run->state == NULL ? run->output->locator == NULL :
		!vs_target_is_beyond(run->state, keys, nulls))
		return false;
	return run->plan->changelog || run->output->locator == NULL ||
		vs_target_is_beyond(run->output, keys, nulls);
}

/* Look a group up in the shared cache; false if it is not there. */
static bool
load_from_cache(VsRun *run, VsMergeGroup *group, const Datum *keys, const bool *nulls)
{
	VsGroup		cached;

	if (run->batch->shared == NULL)
		return false;
	for (int n = 0; vs_cache_get(run->batch->shared, group->hash, n, &cached); n++)
	{
		HeapTupleData tuple;

		tuple.t_len = cached.tuple->t_len + MINIMAL_TUPLE_OFFSET;
		tuple.t_data = (HeapTupleHeader) ((char *) cached.tuple - MINIMAL_TUPLE_OFFSET);
		heap_deform_tuple(&tuple, run->plan->groupdesc, group->values, group->nulls);
		if (!vs_hasher_equal(run->hasher, group->values, group->nulls, keys, nulls))
			continue;
		group->cache_index = n;
		group->output_tid = cached.output_tid;
		group->state_tid = cached.state_tid;
		return true;
	}
	return false;
}

/* A value without pointers to a TOAST table or an expanded object. */
static Datum
inline_value(Datum value, int16 typlen)
{
	if (typlen != -1)
		return value;
	return PointerGetDatum(detoast_external_attr((struct varlena *) DatumGetPointer(value)));
}

/*
 * Look a group up in the state table, and where that need not have it, in the
 * output.
 */
static bool
load_from_tables(VsRun *run, VsMergeGroup *group, const Datum *keys, const bool *nulls)
{
	VsPlan	   *plan = run->plan;

	if (run->state && vs_target_find(run->state, group->hash, keys, nulls))
	{
		group->state_tid = run->state->oldslot->tts_tid;
		vs_group_read_state(run, group->values, group->nulls);
		if (has_output_row(run, keys))
			(void) find_in_output(run, group, keys, nulls);
		return true;
	}
	if (run->state && !plan->state_sparse)
		return false;
	if (!find_in_output(run, group, keys, nulls))
		return false;

	/* a rebuild has not come to it: it is from before */
	if (run->batch->kept && vs_emit_is_void(run->batch, &group->output_tid))
		return false;
	vs_group_read_output(run, group, run->output->oldslot);
	return true;
}

/*
 * May a group with these keys have a row in the output?  Panes have none; what
 * is final has it only once its window is closed.
 */
static bool
has_output_row(VsRun *run, const Datum *keys)
{
	VsPlan	   *plan = run->plan;

	if (plan->changelog || plan->panes)
		return false;
	return !plan->final || (plan->corrects && vs_window_is_closed(run, keys));
}

/* Look for a group's row in the output. */
static bool
find_in_output(VsRun *run, VsMergeGroup *group, const Datum *keys, const bool *nulls)
{
	if (!vs_target_find(run->output, group->hash, keys, nulls))
		return false;
	group->output_tid = run->output->oldslot->tts_tid;
	return true;
}

/* Copy the row of the state table in state->oldslot: keys and transition values. */
void
vs_group_read_state(VsRun *run, Datum *values, bool *nulls)
{
	TupleDesc	desc = run->plan->groupdesc;

	for (int i = 0; i < desc->natts; i++)
	{
		Form_pg_attribute attr = TupleDescAttr(desc, i);
		Datum		value = slot_getattr(run->state->oldslot, i + 1, &nulls[i]);

		if (!nulls[i])
			values[i] = datumCopy(inline_value(value, attr->attlen),
								  attr->attbyval, attr->attlen);
	}
}

/*
 * Make a group of its row in the output: it has none in the state table, see
 * in_output.
 */
void
vs_group_read_output(VsRun *run, VsMergeGroup *group, TupleTableSlot *slot)
{
	VsPlan	   *plan = run->plan;

	for (int i = 0; i < plan->groupdesc->natts; i++)
	{
		Form_pg_attribute attr = TupleDescAttr(plan->groupdesc, i);
		Datum		value = slot_getattr(slot, plan->group_output_attno[i], &group->nulls[i]);

		if (i >= plan->nkeys && plan->aggs[i - plan->nkeys]->shown != VS_SHOWN_NOT)
		{
			int			count = plan->group_output_attno[plan->nkeys + plan->shown_count];
			bool		null;

			if (group->nulls[i])
				ereport(ERROR,
						(errcode(ERRCODE_DATA_CORRUPTED),
						 errmsg("the state of a group of continuous query \"%s\" is missing",
								RelationGetRelationName(run->output->rel)),
						 errhint("Run velostream.rebuild('%s'), and check that nothing but velostream wrote to its tables.",
								 RelationGetRelationName(run->output->rel))));
			group->values[i] = vs_agg_from_shown(plan->aggs[i - plan->nkeys], value,
												 DatumGetInt64(slot_getattr(slot, count, &null)));
		}
		else if (!group->nulls[i])
			group->values[i] = datumCopy(inline_value(value, attr->attlen),
										 attr->attbyval, attr->attlen);
	}
}

/* ----------
 * Combining
 * ----------
 */

/* Add rows that came: one partial value for each aggregate. */
void
vs_group_add(VsRun *run, VsMergeGroup *group, const Datum *values, const bool *nulls)
{
	VsPlan	   *plan = run->plan;
	int64		rows = rows_counted(run, values);

	for (int i = 0; i < plan->naggs; i++)
	{
		int			att = plan->nkeys + i;
		bool		null;
		Datum		value = delta_value(run, i, plan->delta_column[i], rows, values, nulls, &null);

		if (group->found)
			value = vs_agg_combine(run->aggs, plan->aggs[i],
								   group->values[att], group->nulls[att],
								   value, null, &null);
		group->values[att] = value;
		group->nulls[att] = null;
	}
	/* there is no group in a delta without a row */
	group->changed = plan->shown_count >= 0 && !plan->single_group;
}

/* Rows of a group in a row of the insert plan, where they are counted. */
static int64
rows_counted(VsRun *run, const Datum *values)
{
	VsPlan	   *plan = run->plan;

	return plan->count_agg < 0 ? 0 :
		DatumGetInt64(values[plan->delta_column[plan->count_agg]]);
}

/*
 * The transition value of an aggregate in a row of a delta plan, from its
 * column(s): one that may be kept.  "rows" is how many rows it is made of.
 */
static Datum
delta_value(VsRun *run, int i, int column, int64 rows, const Datum *values,
			const bool *nulls, bool *null)
{
	VsAgg	   *agg = run->plan->aggs[i];

	*null = false;
	if (agg->count_nulls)
		return vs_agg_join(values[column], nulls[column],
						   Int64GetDatum(rows - DatumGetInt64(values[column + 1])));
	if (agg->partial_sum)
		return vs_agg_join(values[column], nulls[column], values[column + 1]);
	*null = nulls[column];
	return *null ? (Datum) 0 : inline_value(values[column], agg->storelen);
}

/*
 * Add rows that came and take away rows that went: two partial values for
 * each aggregate.  False if some aggregate must be computed again (the others
 * and the count are right).
 */
static bool
combine_changes(VsRun *run, VsMergeGroup *group, const Datum *values, const bool *nulls)
{
	VsPlan	   *plan = run->plan;
	int			count = 2 * plan->delta_column[plan->count_agg];
	int64		came = DatumGetInt64(values[count]);
	int64		went = DatumGetInt64(values[count + 1]);
	bool		complete = true;

	for (int i = 0; i < plan->naggs; i++)
	{
		VsAgg	   *agg = plan->aggs[i];
		int			att = plan->nkeys + i;
		int			first = plan->delta_column[i];
		int			next = plan->delta_column[i + 1];
		Datum		value;
		Datum		delta;
		bool		null;
		bool		deltanull;

		if (!group->found)
			group->values[att] = vs_agg_initial(run->aggs, agg, &group->nulls[att]);
		value = group->values[att];
		null = group->nulls[att];
		if (came > 0)
		{
			delta = delta_value(run, i, 2 * first, came, values, nulls, &deltanull);
			value = vs_agg_combine(run->aggs, agg, value, null, delta, deltanull, &null);
		}
		if (went > 0)
		{
			delta = delta_value(run, i, first + next, went, values, nulls, &deltanull);
			if (!vs_agg_retract(run->aggs, agg, value, null, delta, deltanull, &value, &null))
				complete = false;
		}
		group->values[att] = value;
		group->nulls[att] = null;
	}

	group->changed = plan->shown_count >= 0 && came != went;
	if (group_count(run, group) < 0)
		ereport(ERROR,
				(errcode(ERRCODE_DATA_CORRUPTED),
				 errmsg("a group of continuous query \"%s\" lost more rows than it had",
						RelationGetRelationName(run->output->rel)),
				 errhint("Run velostream.rebuild('%s'), and check that nothing but velostream wrote to its tables.",
						 RelationGetRelationName(run->output->rel))));
	return complete;
}

/* Rows in a group, where they are counted. */
static int64
group_count(VsRun *run, VsMergeGroup *group)
{
	int			att = run->plan->nkeys + run->plan->count_agg;

	return group->nulls[att] ? 0 : DatumGetInt64(group->values[att]);
}

/* ----------
 * Writing
 * ----------
 */

/* Bring the output in line with a group.  "passing": its place there is not to be known. */
static void
emit_group(VsRun *run, VsMergeGroup *group, bool passing)
{
	Datum	   *row;
	bool	   *row_nulls;
	bool		pass = vs_group_output_row(run, group->values, group->nulls, &row, &row_nulls);

	if (run->plan->changelog)
		tell_change(run, group, pass, row, row_nulls);
	else
		write_output_row(run, group, pass, passing, row, row_nulls);
}

/* Write a group that has changed: to the output, if it shows by itself, state and cache. */
static void
write_group(VsRun *run, VsMergeGroup *group)
{
	VsGroup		cached;
	bool		passing = !group->found && (run->batch->fresh || !run->plan->final) &&
	vs_window_is_past(run, group->values);

	if (group->correction)
	{
		vs_correct_write(run, group);
		return;
	}
	if (run->plan->panes)
		vs_panes_touch(run, group);
	else if (!run->plan->final)
		emit_group(run, group, passing);
	else if (vs_window_is_closed(run, group->values))
		emit_group(run, group, passing);	/* a correction */
	else if (vs_close_group(run, group))
		return;
	if (run->state)
	{
		vs_wait_point("between-writes");
		write_state_row(run, group);
	}

	if (run->batch->shared == NULL)
		return;
	if (passing)
		return;					/* it would only take room from others */
	hash_group(run, group, group->values, group->nulls);
	cached.hash = group->hash;
	cached.output_tid = group->output_tid;
	cached.state_tid = group->state_tid;
	cached.tuple = vs_form_minimal_tuple(run->plan->groupdesc, group->values, group->nulls);
	vs_cache_put(run->batch->shared, group->cache_index, &cached);
}

/* Errors above the aggregates come with the keys of the group, as far as they can be shown. */
static void
group_context(void *arg)
{
	GroupKeys  *keys = arg;
	VsPlan	   *plan = keys->run->plan;
	StringInfoData text;

	if (plan->nkeys == 0)
		return;
	initStringInfo(&text);
	for (int i = 0; i < plan->nkeys; i++)
	{
		TargetEntry *tle = list_nth(plan->query->targetList, plan->keys[i].output_attno - 1);
		char	   *value = "?";

		if (keys->nulls[i])
			value = "null";
		else if (plan->keys[i].show)
		{
			value = OutputFunctionCall(plan->keys[i].show, keys->values[i]);
			value[pg_mbcliplen(value, strlen(value), MAX_KEY_LENGTH)] = '\0';
		}
		appendStringInfo(&text, "%s%s = %s", i == 0 ? "" : ", ", tle->resname, value);
	}
	errcontext("group with %s", text.data);
}

/*
 * Compute the output row of a group into arrays in the row context.  False if
 * HAVING turns it away; then there is no row.
 */
bool
vs_group_output_row(VsRun *run, const Datum *values, const bool *nulls,
					Datum **row, bool **row_nulls)
{
	VsPlan	   *plan = run->plan;
	TupleTableSlot *final = run->finalslot;
	TupleTableSlot *result;
	MemoryContext old;
	GroupKeys	keys = {run, values, nulls};
	ErrorContextCallback callback = {error_context_stack, group_context, &keys};

	error_context_stack = &callback;
	ExecClearTuple(final);
	memcpy(final->tts_values, values, plan->nkeys * sizeof(Datum));
	memcpy(final->tts_isnull, nulls, plan->nkeys * sizeof(bool));
	for (int i = 0; i < plan->naggs; i++)
	{
		int			att = plan->nkeys + i;

		final->tts_values[att] = vs_agg_final(run->aggs, plan->aggs[i], values[att],
											  nulls[att], &final->tts_isnull[att]);
	}
	ExecStoreVirtualTuple(final);

	/* "row" lives as long as the group: evaluate into the row context */
	old = run->econtext->ecxt_per_tuple_memory;
	run->econtext->ecxt_per_tuple_memory = run->rowcxt;
	if (run->having && !ExecQual(run->having, run->econtext))
	{
		run->econtext->ecxt_per_tuple_memory = old;
		error_context_stack = callback.previous;
		return false;
	}
	result = ExecProject(run->projection);
	run->econtext->ecxt_per_tuple_memory = old;
	error_context_stack = callback.previous;

	*row = palloc(plan->ncolumns * sizeof(Datum));
	*row_nulls = palloc(plan->ncolumns * sizeof(bool));
	memcpy(*row, result->tts_values, plan->ncolumns * sizeof(Datum));
	memcpy(*row_nulls, result->tts_isnull, plan->ncolumns * sizeof(bool));
	return true;
}

/* Bring the output table's row of a group in line. */
static void
write_output_row(VsRun *run, VsMergeGroup *group, bool pass, bool passing, Datum *row,
				 bool *row_nulls)
{
	bool		exists = ItemPointerIsValid(&group->output_tid);

	if (exists && pass && group->changed && run->output->blind_updates &&
		run->batch->kept == NULL)
	{
		vs_target_prune(run->output, &group->output_tid);
		vs_emit_replace(run, &group->output_tid, row, row_nulls);
		group->output_tid = run->output->slot->tts_tid;
		return;
	}

	exists = exists && vs_target_fetch(run->output, &group->output_tid);
	if (pass && exists)
	{
		vs_emit_update(run, &group->output_tid, row, row_nulls, NULL, NULL);
		group->output_tid = run->output->slot->tts_tid;
	}
	else if (pass && passing)
		vs_emit_append(run, row, row_nulls);
	else if (pass)
	{
		vs_emit_insert(run, row, row_nulls);
		group->output_tid = run->output->slot->tts_tid;
	}
	else if (exists)
	{
		vs_emit_delete(run, &group->output_tid, NULL, NULL);
		ItemPointerSetInvalid(&group->output_tid);
	}
}

/* Tell what changed for a group, with its row before. */
static void
tell_change(VsRun *run, VsMergeGroup *group, bool pass, Datum *row, bool *row_nulls)
{
	Datum	   *old;
	bool	   *old_nulls;
	bool		had = group->found &&
	vs_group_output_row(run, group->old_values, group->old_nulls, &old, &old_nulls);

	if (pass && had)
	{
		if (!vs_same_row(run->output->desc, run->plan->ncolumns,
						 row, row_nulls, old, old_nulls))
			vs_emit_update(run, NULL, row, row_nulls, old, old_nulls);
	}
	else if (pass)
		vs_emit_insert(run, row, row_nulls);
	else if (had)
		vs_emit_delete(run, NULL, old, old_nulls);
}

/*
 * Can the output alone give this group back?  See read_output_row.  The results
 * are those that make_output_row has just computed.
 */
static bool
in_output(VsRun *run, VsMergeGroup *group)
{
	VsPlan	   *plan = run->plan;
	int64		rows = DatumGetInt64(group->values[plan->nkeys + plan->shown_count]);
	TupleTableSlot *final = run->finalslot;

	for (int i = 0; i < plan->naggs; i++)
	{
		int			att = plan->nkeys + i;

		if (plan->aggs[i]->shown != VS_SHOWN_NOT &&
			!vs_agg_is_shown(plan->aggs[i], group->values[att], final->tts_values[att],
							 final->tts_isnull[att], rows))
			return false;
	}
	return true;
}

/* Bring the state table's row of a group in line, if the group needs one. */
static void
write_state_row(VsRun *run, VsMergeGroup *group)
{
	VsTarget   *state = run->state;
	int			natts = run->plan->groupdesc->natts;

	if (run->plan->state_sparse && in_output(run, group))
	{
		if (ItemPointerIsValid(&group->state_tid))
			vs_target_delete(state, &group->state_tid);
		ItemPointerSetInvalid(&group->state_tid);
		return;
	}
	if (ItemPointerIsValid(&group->state_tid))
		vs_target_prune(state, &group->state_tid);
	ExecClearTuple(state->slot);
	memcpy(state->slot->tts_values, group->values, natts * sizeof(Datum));
	memcpy(state->slot->tts_isnull, group->nulls, natts * sizeof(bool));
	if (ItemPointerIsValid(&group->state_tid))
		vs_target_update(state, &group->state_tid);
	else
	{
		vs_target_insert(state);
		run->batch->clock.opened++;
	}
	group->state_tid = state->slot->tts_tid;
}

/* A group without rows is no group. */
static void
delete_group(VsRun *run, VsMergeGroup *group)
{
	if (!group->found)
		return;
	if (run->plan->panes)
		vs_panes_touch(run, group);
	else if (run->plan->final && !vs_window_is_closed(run, group->values))
		;						/* nothing was emitted yet */
	else if (run->plan->changelog)
		tell_change(run, group, false, NULL, NULL);
	else
		write_output_row(run, group, false, false, NULL, NULL);
	if (run->state && ItemPointerIsValid(&group->state_tid))
	{
		vs_target_delete(run->state, &group->state_tid);
		run->batch->clock.opened--;
	}
	if (group->cache_index >= 0)
		vs_cache_remove(run->batch->shared, group->hash, group->cache_index);
}

/* Let the cache forget a group. */
static void
uncache(VsRun *run, const Datum *keys, const bool *nulls)
{
	VsMergeGroup *group = palloc0(sizeof(VsMergeGroup));
	int			natts = run->plan->groupdesc->natts;

	group->hash = vs_hasher_hash(run->hasher, keys, nulls);
	group->values = palloc(sizeof(Datum) * natts);
	group->nulls = palloc(sizeof(bool) * natts);
	if (load_from_cache(run, group, keys, nulls))
		vs_cache_remove(run->batch->shared, group->hash, group->cache_index);
}

/*
 * Forget the group, or pane, whose row in the state table is in
 * state->oldslot: it takes no more rows.
 */
void
vs_group_forget(VsRun *run)
{
	MemoryContext old = MemoryContextSwitchTo(run->rowcxt);
	int			natts = run->plan->groupdesc->natts;
	Datum	   *values = palloc(sizeof(Datum) * natts);
	bool	   *nulls = palloc(sizeof(bool) * natts);
	ItemPointerData tid = run->state->oldslot->tts_tid;

	vs_group_read_state(run, values, nulls);
	uncache(run, values, nulls);
	vs_target_delete(run->state, &tid);
	run->batch->clock.opened--;
	MemoryContextSwitchTo(old);
	MemoryContextReset(run->rowcxt);
}

/* ----------
 * Recomputing
 * ----------
 */

/* Remember the keys of a group that must be computed again. */
static void
put_aside(VsRun *run, VsMergeGroup *group)
{
	MemoryContext old = MemoryContextSwitchTo(run->context);
	VsTouched  *touched = NULL;
	Bitmapset  *null_keys = NULL;
	ListCell   *lc;

	for (int i = 0; i < run->plan->nkeys; i++)
		if (group->nulls[i])
			null_keys = bms_add_member(null_keys, i);
	foreach(lc, run->touched)
	{
		VsTouched  *other = lfirst(lc);

		if (bms_equal(other->null_keys, null_keys))
			touched = other;
	}
	if (touched == NULL)
	{
		touched = palloc0(sizeof(VsTouched));
		touched->null_keys = bms_copy(null_keys);
		touched->keys = tuplestore_begin_heap(false, false, work_mem);
		run->touched = lappend(run->touched, touched);
	}
	tuplestore_putvalues(touched->keys, run->keydesc, group->values, group->nulls);
	touched->count++;
	bms_free(null_keys);
	MemoryContextSwitchTo(old);
}

/* Compute a set of groups from the source, under the batch's snapshot. */
static void
recompute(VsRun *run, VsTouched *touched)
{
	EphemeralNamedRelationData enr;
	QueryEnvironment *env = create_queryEnv();
	PlannedStmt *stmt = vs_plan_recompute(run->plan, touched->null_keys, touched->count);

	memset(&enr, 0, sizeof(enr));
	enr.md.name = VS_RECOMPUTE_ENR;
	enr.md.tupdesc = run->keydesc;
	enr.md.enrtype = ENR_NAMED_TUPLESTORE;
	enr.md.enrtuples = touched->count;
	enr.reldata = touched->keys;
	register_ENR(env, &enr);

	vs_run_plan(run, stmt, env, replace_group);
	run->batch->recomputed += touched->count;
	tuplestore_end(touched->keys);
}

/* A whole group, computed anew: its transition values replace the old ones. */
static void
replace_group(VsRun *run, TupleTableSlot *slot)
{
	VsPlan	   *plan = run->plan;
	VsMergeGroup *group;
	int64		rows;

	slot_getallattrs(slot);
	group = load_group(run, slot);
	rows = rows_counted(run, slot->tts_values + plan->nkeys);
	for (int i = 0; i < plan->naggs; i++)
	{
		int			att = plan->nkeys + i;

		group->values[att] = delta_value(run, i, plan->delta_column[i], rows,
										 slot->tts_values + plan->nkeys,
										 slot->tts_isnull + plan->nkeys,
										 &group->nulls[att]);
	}
	write_group(run, group);
}
