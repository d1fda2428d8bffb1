/*-------------------------------------------------------------------------
 *
 * vs_limit.c
 *	  ORDER BY and LIMIT of a query: what they may be, and how rows compare.
 *
 * ORDER BY with LIMIT n keeps the first n rows of the result as it stands.  In
 * a query with a window it does so in each window; and where windows are
 * emitted once, when they close, ORDER BY is the order in which their rows
 * come.
 *
 * The order is made total: behind the user's own expressions it goes on by the
 * group keys, or by all columns, so that the plain query gives the same rows.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "nodes/makefuncs.h"
#include "nodes/nodeFuncs.h"
#include "optimizer/optimizer.h"
#include "optimizer/tlist.h"
#include "parser/parse_clause.h"
#include "parser/parse_oper.h"
#include "plan/vs_plan.h"
#include "plan/vs_plan_internal.h"
#include "registry/vs_options.h"
#include "utils/lsyscache.h"
#include "vs_compat.h"

/* All rows of the output are read whenever one of them may change. */
#define MAX_LIMIT	10000

static bool read_limit(Query *query, int64 *limit);
static void add_tie_break(Query *query, TargetEntry *tle);

/* The number of rows that LIMIT admits; false: it is not a constant. */
static bool
read_limit(Query *query, int64 *limit)
{
	Node	   *node = query->limitCount == NULL ? NULL :
	eval_const_expressions(NULL, copyObject(query->limitCount));

	*limit = PG_INT64_MAX;
	if (node == NULL)
		return true;
	if (!IsA(node, Const))
		return false;
	if (!((Const *) node)->constisnull)
		*limit = DatumGetInt64(((Const *) node)->constvalue);
	return true;
}

/*
 * Refuse what cannot be kept of ORDER BY and LIMIT, of which the query has at
 * least one.  Locations are those of the clauses in the text of pstate.
 */
void
vs_limit_check(ParseState *pstate, Query *query, VsKind kind, const VsTimeOptions *options,
			   int order_location, int limit_location)
{
	bool		final = options->emit == VS_EMIT_FINAL || options->once;
	bool		forgets = options->retention >= 0 ||
	((options->delay >= 0 || options->idle_timeout >= 0) && options->late != VS_LATE_UPDATE);
	VsWindow	window;
	int64		limit;

	if (!read_limit(query, &limit))
		vs_window_refuse(pstate, limit_location,
						 "continuous queries support LIMIT only with a constant",
						 "Write the number of rows itself.");
	if (limit < 0)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_ROW_COUNT_IN_LIMIT_CLAUSE),
				 errmsg("LIMIT must not be negative"),
				 parser_errposition(pstate, limit_location)));
	if (query->limitOption == LIMIT_OPTION_WITH_TIES)
		vs_window_refuse(pstate, limit_location, "continuous queries do not support WITH TIES",
						 "Use FETCH FIRST ... ROWS ONLY, or LIMIT: of equal rows, those with the least keys come first.");
	if (query->sortClause == NIL)
		vs_window_refuse(pstate, limit_location,
						 "continuous queries do not support LIMIT without ORDER BY",
						 "Add ORDER BY to say which rows come first.");
	if (limit == PG_INT64_MAX && !final)
		vs_window_refuse(pstate, order_location,
						 "continuous queries do not support ORDER BY without LIMIT",
						 "Rows of a table have no order: use ORDER BY when the output is read, or add LIMIT to keep the first rows only.");
	if (limit != PG_INT64_MAX && limit > MAX_LIMIT)
		ereport(ERROR,
				(errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED),
				 errmsg("LIMIT of a continuous query can be at most %d", MAX_LIMIT),
				 errhint("Keep all rows, with an index on what they are ordered by, and apply LIMIT when the output is read."),
				 parser_errposition(pstate, limit_location)));
	if (kind == VS_KIND_STREAM && !final)
		vs_window_refuse(pstate, limit_location, "a stream cannot have a LIMIT",
						 psprintf("Make it a table; or emit windows once, when they close (%s).",
								  vs_option_is("emit", "final")));
	/* some end before others that have begun with them, and are known no more */
	if (!final && forgets && vs_window_find(query, &window) && window.kind == VS_WINDOW_SESSION)
		vs_window_refuse(pstate, limit_location,
						 "LIMIT is not supported for sessions that take no more rows at some time",
						 psprintf("Remove %s, %s and %s; or emit sessions once, when they close (%s).",
								  vs_option_name("max_out_of_orderness"), vs_option_name("idle_timeout"),
								  vs_option_name("window_retention"), vs_option_is("emit", "final")));
	if (final && (options->late == VS_LATE_UPDATE || options->retention > 0))
		vs_window_refuse(pstate, order_location,
						 psprintf("ORDER BY with %s is not supported",
								  vs_option_is("late_data", "update_previous")),
						 psprintf("A late row may change which rows come first: choose another %s, or %s with LIMIT.",
								  vs_option_name("late_data"), vs_option_is("emit", "changes")));
}

/* Order by one more column, unless it is ordered by, or cannot be. */
static void
add_tie_break(Query *query, TargetEntry *tle)
{
	SortGroupClause *clause = makeNode(SortGroupClause);

	if (targetIsInSortList(tle, InvalidOid, query->sortClause))
		return;
	get_sort_group_operators(exprType((Node *) tle->expr), false, false, false,
							 &clause->sortop, &clause->eqop, NULL, &clause->hashable);
	if (!OidIsValid(clause->sortop))
		return;
	clause->tleSortGroupRef = assignSortGroupRef(tle, query->targetList);
	query->sortClause = lappend(query->sortClause, clause);
}

/* Make the order total; all keys are columns of the output. */
void
vs_limit_normalize(Query *query)
{
	ListCell   *lc;

	foreach(lc, query->groupClause)
		add_tie_break(query, get_sortgroupclause_tle(lfirst(lc), query->targetList));
	if (query->groupClause != NIL || query->hasAggs)
		return;
	foreach(lc, query->targetList)
		add_tie_break(query, lfirst(lc));
}

/* Is this a column that the query groups by? */
static bool
is_grouped(Query *query, TargetEntry *tle)
{
	return targetIsInSortList(tle, InvalidOid, query->groupClause);
}

/*
 * Take ORDER BY and LIMIT out of the query that is maintained, and note them in
 * plan->top.  The strategy of the plan is chosen.
 */
void
vs_limit_describe(VsPlan *plan)
{
	Query	   *query = plan->query;
	VsTop	   *top = &plan->top;
	int			n = list_length(query->sortClause);
	ListCell   *lc;

	if (n == 0)
		return;
	top->active = true;
	top->standing = !plan->final && !plan->entry.time.once;
	if (!read_limit(query, &top->limit))
		elog(ERROR, "LIMIT is not a constant");
	if (plan->window.kind != VS_WINDOW_NONE)
		top->window = plan->keys[plan->window.key].output_attno;

	top->columns = palloc(sizeof(AttrNumber) * n);
	top->operators = palloc(sizeof(Oid) * n);
	top->collations = palloc(sizeof(Oid) * n);
	top->nulls_first = palloc(sizeof(bool) * n);
	foreach(lc, query->sortClause)
	{
		SortGroupClause *clause = lfirst_node(SortGroupClause, lc);
		TargetEntry *tle = get_sortgroupclause_tle(clause, query->targetList);

		top->columns[top->ncolumns] = tle->resno;
		top->operators[top->ncolumns] = clause->sortop;
		top->collations[top->ncolumns] = exprCollation((Node *) tle->expr);
		top->nulls_first[top->ncolumns++] = clause->nulls_first;
	}

	top->query = copyObject(query);
	query->sortClause = NIL;
	query->limitCount = NULL;
	foreach(lc, query->targetList)
	{
		TargetEntry *tle = lfirst_node(TargetEntry, lc);

		if (!is_grouped(query, tle))
			tle->ressortgroupref = 0;
	}
}
