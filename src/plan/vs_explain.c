/*-------------------------------------------------------------------------
 *
 * vs_explain.c
 *	  velostream.explain(): how a query is kept up to date, and why so.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/table.h"
#include "catalog/pg_type.h"
#include "fmgr.h"
#include "funcapi.h"
#include "nodes/nodeFuncs.h"
#include "plan/vs_plan.h"
#include "plan/vs_plan_internal.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/ruleutils.h"
#include "utils/timestamp.h"
#include "vs_compat.h"

typedef struct Explain
{
	Tuplestorestate *store;
	TupleDesc	desc;
	VsPlan	   *plan;
	char	   *query;			/* text of the definition */
} Explain;

static void say(Explain *explain, const char *fmt,...) pg_attribute_printf(2, 3);
static void explain_source(Explain *explain);
static void explain_strategy(Explain *explain);
static void explain_window(Explain *explain);
static void explain_row_window(Explain *explain);
static void explain_groups(Explain *explain);
static const char *column_name(VsPlan *plan, AttrNumber attno);

PG_FUNCTION_INFO_V1(velostream_explain);

/* velostream.explain(query regclass) returns setof text */
Datum
velostream_explain(PG_FUNCTION_ARGS)
{
	ReturnSetInfo *rsinfo = (ReturnSetInfo *) fcinfo->resultinfo;
	Explain		explain;
	VsQueryEntry entry;
	VsRunAs		before;

	InitMaterializedSRF(fcinfo, MAT_SRF_USE_EXPECTED_DESC);
	vs_registry_argument(fcinfo, true, &entry);

	explain.store = rsinfo->setResult;
	explain.desc = rsinfo->setDesc;
	vs_run_as_begin(&before, entry.owner);
	explain.plan = vs_plan_make(&entry, CurrentMemoryContext);
	vs_run_as_end(&before);
	if (entry.adopted)
		vs_plan_check_tables(explain.plan);

	explain_source(&explain);
	explain_strategy(&explain);
	if (explain.plan->window.kind != VS_WINDOW_NONE)
		explain_window(&explain);
	if (explain.plan->strategy == VS_STRATEGY_ROW_WINDOW)
		explain_row_window(&explain);
	if (explain.plan->strategy == VS_STRATEGY_GROUPS)
		explain_groups(&explain);
	MemoryContextDelete(explain.plan->context);
	return (Datum) 0;
}

/* One line of the answer. */
static void
say(Explain *explain, const char *fmt,...)
{
	StringInfoData line;
	Datum		value;
	bool		null = false;

	initStringInfo(&line);
	for (;;)
	{
		va_list		args;
		int			needed;

		va_start(args, fmt);
		needed = appendStringInfoVA(&line, fmt, args);
		va_end(args);
		if (needed == 0)
			break;
		enlargeStringInfo(&line, needed);
	}
	value = CStringGetTextDatum(line.data);
	tuplestore_putvalues(explain->store, explain->desc, &value, &null);
}

static void
explain_source(Explain *explain)
{
	VsPlan	   *plan = explain->plan;
	char	   *schema = get_namespace_name(get_rel_namespace(plan->source));

	say(explain, "Source: %s, read as %s",
		quote_qualified_identifier(schema, get_rel_name(plan->source)),
		plan->entry.mode == VS_SOURCE_CHANGES ?
		"changes (inserts, updates and deletes)" :
		"append (every committed insert counts once)");
	if (list_length(plan->leaves) != 1 || linitial_oid(plan->leaves) != plan->source)
		say(explain, "  Partitions: %d", list_length(plan->leaves));
}

/* How changes of the source get into the output. */
static void
explain_strategy(Explain *explain)
{
	VsPlan	   *plan = explain->plan;

	switch (plan->strategy)
	{
		case VS_STRATEGY_GROUPS:
			say(explain, "Strategy: incremental, by group: changed rows are aggregated and merged into %s",
				plan->single_group ? "the only group" : "their groups");
			break;
		case VS_STRATEGY_ROWS:
			say(explain, "Strategy: stateless, by primary key: a changed row of the source changes its row of the output");
			break;
		case VS_STRATEGY_BAG:
			say(explain, "Strategy: stateless, as a bag: the primary key of the source is not selected, so rows are told apart by their values");
			break;
		case VS_STRATEGY_ROW_WINDOW:
			say(explain, "Strategy: row windows: each row that comes is evaluated once, with the last rows of its partition");
			break;
	}
	if (plan->top.active && plan->top.limit != PG_INT64_MAX)
		say(explain, "Limit: the first " INT64_FORMAT " rows%s%s", plan->top.limit,
			plan->top.window ? " of each window" : "",
			!plan->top.standing ? "" :
			plan->strategy == VS_STRATEGY_GROUPS ? "; where rows have to move up, the state is read" :
			"; where rows have to move up, the source is read");
	if (plan->entry.kind == VS_KIND_STREAM)
		say(explain, "Output: a stream, every change is appended");
}

/* A length of time, as an interval. */
static const char *
length(int64 us)
{
	Interval   *interval = palloc0(sizeof(Interval));

	interval->time = us;
	return DatumGetCString(DirectFunctionCall1(interval_out, IntervalPGetDatum(interval)));
}

/* How windows come about, when their rows are emitted, and when they close. */
static void
explain_window(Explain *explain)
{
	VsPlan	   *plan = explain->plan;
	const VsTimeOptions *time = &plan->entry.time;

	switch (plan->window.kind)
	{
		case VS_WINDOW_HOP:
		case VS_WINDOW_CUMULATE:
			say(explain, "Window: %s, put together from panes of %s",
				get_func_name(plan->window.call->funcid), length(plan->window.pane));
			break;
		case VS_WINDOW_SESSION:
			say(explain, "Window: session, chains of panes of %s, the gap",
				length(plan->window.pane));
			break;
		default:
			say(explain, "Window: tumble, a group key");
	}
	if (plan->final)
		say(explain, "Emission: final, once for each window and group, when the window closes");
	else
		say(explain, "Emission: changes, whenever they happen");
	if (!plan->timed)
	{
		say(explain, "  Windows never close");
		return;
	}
	say(explain, "  Windows close when the watermark, %s behind the greatest event time, reaches their end",
		length(Max(time->delay, 0)));
	say(explain, "  Late rows: %s",
		time->late == VS_LATE_DEAD_LETTER ? "dead letters" :
		time->late == VS_LATE_DROP ? "dropped" :
		time->late == VS_LATE_UPDATE ? "correct what was emitted" :
		"count in a window that is open");
	if (time->retention >= 0)
		say(explain, "  Closed windows take rows for another %s", length(time->retention));
	if (time->idle_timeout >= 0)
		say(explain, "  Without rows for %s, the watermark moves with the clock",
			length(time->idle_timeout));
	if (time->max_future_skew >= 0)
		say(explain, "  Rows more than %s ahead of the clock do not move the watermark",
			length(time->max_future_skew));
}

/* The buffer, how functions over it are computed, and where it is kept. */
static void
explain_row_window(Explain *explain)
{
	VsPlan	   *plan = explain->plan;
	VsRowWindow *window = &plan->row_window;
	Oid			source = vs_query_source_rte(vs_registry_query(plan->entry.view), NULL)->relid;

	say(explain, "Buffer: the last %d rows, in the order of arrival", window->size);
	for (int i = 0; i < plan->nkeys; i++)
		say(explain, "  Partition key: %s",
			deparse_expression((Node *) plan->keys[i].expr,
							   deparse_context_for(get_rel_name(source), source),
							   false, false));
	if (!window->fast)
		say(explain, "  Evaluation: for each row over its buffer alone, as a function or a frame cannot be told in rows before the last one");
	else if (window->orders == NIL)
		say(explain, "  Evaluation: in one pass over the rows of a batch");
	else
		say(explain, "  Evaluation: in one pass over the rows of a batch; where rows did not come in the order of ORDER BY, for each row over its buffer alone");
	if (window->expire >= 0)
		say(explain, "  A buffer is forgotten when no row came for %s, by %s", length(window->expire),
			OidIsValid(window->time_type) ? "event time" : "time of arrival");
	if (OidIsValid(plan->entry.state))
		say(explain, "State: velostream.%s", quote_identifier(get_rel_name(plan->entry.state)));
}

/* The keys, how each aggregate is kept, and where. */
static void
explain_groups(Explain *explain)
{
	VsPlan	   *plan = explain->plan;

	for (int i = 0; i < plan->nkeys; i++)
		say(explain, "  Group key: %s", column_name(plan, plan->keys[i].output_attno));
	for (int i = 0; i < plan->naggs; i++)
	{
		VsAgg	   *agg = plan->aggs[i];
		const char *name = get_func_name(agg->aggref->aggfnoid);

		if (i == plan->count_agg && !plan->single_group)
			say(explain, "  Aggregate %s: exact under inserts and deletes; tells when a group is empty", name);
		else if (plan->entry.mode == VS_SOURCE_APPEND)
			say(explain, "  Aggregate %s: combined", name);
		else if (agg->retract == VS_RETRACT_SUBTRACT)
			say(explain, "  Aggregate %s: combined; rows that go are subtracted", name);
		else if (agg->retract == VS_RETRACT_EXTREMUM)
			say(explain, "  Aggregate %s: combined; a group is computed again from the source when its extreme value goes", name);
		else
			say(explain, "  Aggregate %s: combined; a group is computed again from the source when a row goes, for it has no exact inverse", name);
	}
	if (plan->state_in_output)
		say(explain, "State: the output itself");
	else if (plan->state_sparse && OidIsValid(plan->entry.state))
		say(explain, "State: the output itself; for groups with NULLs in a sum, velostream.%s",
			quote_identifier(get_rel_name(plan->entry.state)));
	else if (OidIsValid(plan->entry.state))
		say(explain, "State: velostream.%s", quote_identifier(get_rel_name(plan->entry.state)));
}

static const char *
column_name(VsPlan *plan, AttrNumber attno)
{
	return quote_identifier(get_attname(plan->entry.output, attno, false));
}
