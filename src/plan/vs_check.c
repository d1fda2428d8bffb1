/*-------------------------------------------------------------------------
 *
 * vs_check.c
 *	  What a continuous query may be, and the form in which it is kept.
 *
 * A query is checked once, when it is created, and refused with the name of
 * the construct, its position and a way out.  Many constructs have no location
 * in an analyzed query; for those the text is scanned again (only when an
 * error is about to be reported) for the keyword that introduced them.
 *
 * A view as the source is followed through its own query, level by level,
 * down to the table: every level must be a filter and projection of one
 * source.  Row-level security is looked at in the rewritten query, as that is
 * where the policies of all levels show up.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "access/sysattr.h"
#include "access/table.h"
#include "catalog/catalog.h"
#include "catalog/namespace.h"
#include "catalog/pg_aggregate.h"
#include "catalog/pg_class.h"
#include "catalog/pg_inherits.h"
#include "catalog/pg_proc.h"
#include "catalog/pg_type.h"
#include "commands/defrem.h"
#include "dialect/vs_dialect.h"
#include "miscadmin.h"
#include "nodes/makefuncs.h"
#include "nodes/nodeFuncs.h"
#include "optimizer/optimizer.h"
#include "optimizer/tlist.h"
#include "parser/parse_clause.h"
#include "parser/parse_node.h"
#include "parser/parse_oper.h"
#include "parser/parsetree.h"
#include "parser/scanner.h"
#include "plan/vs_plan.h"
#include "plan/vs_plan_internal.h"
#include "registry/vs_options.h"
#include "rewrite/rewriteHandler.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/regproc.h"
#include "utils/rel.h"
#include "utils/syscache.h"
#include "vs_compat.h"

/* What goes down through the checks of one query. */
typedef struct CheckState
{
	ParseState *pstate;			/* for positions */
	int			start;			/* where the statement begins in the text */
	VsSourceMode mode;
	const char *view;			/* name of the view looked into, or NULL */
	int			source_location;	/* of the view's name in the user's query */
} CheckState;

/* The part of a query's text that clause_location looks for. */
typedef struct ClauseScan
{
	core_yy_extra_type extra;
	core_yyscan_t scanner;
	int			depth;			/* open parentheses */
	int			base;			/* depth of the query itself */
} ClauseScan;

/* A function call whose result may change while its input does not. */
typedef struct MutableCall
{
	bool		volatile_only;
	bool		current_user;	/* CURRENT_USER is as good as a constant */
	Oid			funcid;			/* or InvalidOid: the node itself */
	Node	   *node;
} MutableCall;

typedef struct FindNode
{
	bool		(*match) (Node *node);
	Query	   *query;			/* or NULL: whose window is not looked into */
	Node	   *found;
} FindNode;

typedef struct UngroupedVars
{
	List	   *keys;			/* grouped expressions */
	List	   *vars;
} UngroupedVars;

/* What scanner_init gets as token codes: keyword k is KEYWORD_TOKEN + k. */
#define KEYWORD_TOKEN	10000

static void check_clauses(CheckState *check, Query *query);
static void check_generators(CheckState *check, Query *query, List *exprs);
static bool find_node_walker(Node *node, FindNode *find);
static void check_expressions(CheckState *check, Query *query, List *exprs);
static void check_columns(CheckState *check, Query *query);
static void check_distinct(CheckState *check, Query *query);
static void check_aggregates(CheckState *check, Query *query);
static void check_dependent_keys(CheckState *check, Query *query);
static void check_source(CheckState *check, Query *query);
static void check_relation(CheckState *check, Query *query, int rtindex);
static void check_view(CheckState *check, Relation view, List *exprs, int rtindex);
static void check_heaps(CheckState *check, RangeTblEntry *rte, Relation rel);
static void check_row_security(CheckState *check, Query *query);
static void check_policies(CheckState *check, RangeTblEntry *rte);
pg_noreturn static void refuse(CheckState *check, int location, const char *construct,
							   const char *hint);
pg_noreturn static void refuse_mutable(CheckState *check, MutableCall *call);
static List *query_expressions(Query *query);
static Node *find_node(List *exprs, bool (*match) (Node *node));
static bool find_mutable(Node *node, MutableCall *call);
static char *describe_call(MutableCall *call);
static int	clause_location(CheckState *check, const char *clause);
static int	limit_location(CheckState *check);
static List *ungrouped_vars(Query *query);
static void add_dependent_keys(Query *query);
static Query *normalize(Query *query, bool tell);
static void show_keys(Query *query, bool tell);
static void show_order(Query *query, bool tell);
static void show_column(Query *query, TargetEntry *tle, int number, bool tell, const char *why);
static char *key_name(Query *query, Node *expr, int number);

/* ----------
 * Checking
 * ----------
 */

/*
 * Error out unless "query", as parse analysis made it, can be kept up to date.
 * Positions refer to source_text (NULL: none are reported); query's
 * stmt_location says where in it the statement begins.
 */
void
vs_query_check(Query *query, VsKind kind, VsSourceMode mode, const VsTimeOptions *options,
			   const char *source_text)
{
	CheckState	check = {0};

	check.pstate = make_parsestate(NULL);
	check.pstate->p_sourcetext = source_text;
	check.start = Max(query->stmt_location, 0);
	check.mode = mode;
	check.source_location = -1;

	check_clauses(&check, query);
	check_expressions(&check, query, query_expressions(query));
	check_columns(&check, query);
	check_distinct(&check, query);
	check_aggregates(&check, query);
	check_dependent_keys(&check, query);
	vs_window_check(check.pstate, query, mode, options);
	if (query->sortClause != NIL || query->limitCount != NULL)
		vs_limit_check(check.pstate, query, kind, options, clause_location(&check, "order"),
					   limit_location(&check));
	vs_row_window_check(check.pstate, query, mode);
	check_source(&check, query);
	check_row_security(&check, query);

	free_parsestate(check.pstate);
}

static bool
is_window_function(Node *node)
{
	return IsA(node, WindowFunc);
}

static bool
is_sublink(Node *node)
{
	return IsA(node, SubLink);
}

static bool
is_set_returning(Node *node)
{
	return (IsA(node, FuncExpr) && ((FuncExpr *) node)->funcretset) ||
		(IsA(node, OpExpr) && ((OpExpr *) node)->opretset);
}

static bool
is_grouping_func(Node *node)
{
	return IsA(node, GroupingFunc);
}

static bool
is_external_param(Node *node)
{
	return IsA(node, Param) && ((Param *) node)->paramkind == PARAM_EXTERN;
}

static bool
is_system_column(Node *node)
{
	return IsA(node, Var) && ((Var *) node)->varattno < 0 &&
		((Var *) node)->varattno != TableOidAttributeNumber;
}

/* The position of the first node that matches, or -1. */
static int
location_of(Query *query, bool (*match) (Node *node))
{
	Node	   *node = find_node(query_expressions(query), match);

	return node == NULL ? -1 : exprLocation(node);
}

/* The set operation at the top of a query, as the user spelled it. */
static const char *
set_operation_name(Query *query)
{
	switch (castNode(SetOperationStmt, query->setOperations)->op)
	{
		case SETOP_INTERSECT:
			return "INTERSECT";
		case SETOP_EXCEPT:
			return "EXCEPT";
		default:
			return "UNION";
	}
}

/* Where LIMIT is, or FETCH FIRST. */
static int
limit_location(CheckState *check)
{
	int			location = clause_location(check, "limit");

	return location >= 0 ? location : clause_location(check, "fetch");
}

/* Refuse clauses that no continuous query may have. */
static void
check_clauses(CheckState *check, Query *query)
{
	if (query->commandType != CMD_SELECT)
		refuse(check, -1, "commands other than SELECT", "Use a SELECT.");
	if (query->cteList != NIL)
		refuse(check, linitial_node(CommonTableExpr, query->cteList)->location,
			   query->hasModifyingCTE ? "data-modifying WITH queries" : "WITH queries",
			   "Define the WITH query as a view, or as a continuous query of its own, and read that.");
	if (query->setOperations != NULL)
		refuse(check, clause_location(check, set_operation_name(query)),
			   set_operation_name(query),
			   "Make each branch a continuous query of its own, and combine their outputs in a view.");
	if (query->hasWindowFuncs && (check->view != NULL || !vs_row_window_is(query)))
		refuse(check, location_of(query, is_window_function), "window functions",
			   vs_dialect_is_spoken() ?
			   "Compute the window function in a view over the output, or over the last rows of each partition: OVER (ROWS WINDOW BUFFER 100 ROWS PARTITION BY ...)." :
			   "Compute the window function in a view over the output, or over the last rows of each partition: OVER (PARTITION BY velostream.buffer(100), ...).");
	if (query->groupingSets != NIL)
		refuse(check, exprLocation(linitial(query->groupingSets)),
			   "grouping sets (GROUPING SETS, ROLLUP, CUBE, GROUP BY ())",
			   "Make each grouping a continuous query of its own.");
	if (query->hasDistinctOn)
		refuse(check, clause_location(check, "distinct"), "DISTINCT ON",
			   "Use GROUP BY with aggregates, or apply DISTINCT ON in a view over the output.");
	if (query->limitOffset != NULL)
		refuse(check, clause_location(check, "OFFSET"), "OFFSET",
			   "Apply it when the output is read, or in a view over the output.");
	if (query->limitCount != NULL && (check->view != NULL || query->hasWindowFuncs))
		refuse(check, limit_location(check), "LIMIT",
			   "Apply it when the output is read, or in a view over the output.");
	if (query->rowMarks != NIL)
		refuse(check, clause_location(check, "for"), "row locking clauses such as FOR UPDATE",
			   "Remove the clause: sources are read without locking rows.");
	if (query->sortClause != NIL && (check->view != NULL || query->hasWindowFuncs))
		refuse(check, clause_location(check, "order"), "ORDER BY",
			   "Rows of a table have no order: use ORDER BY when the output is read.");
	check_generators(check, query, query->targetList);
	/* those in LIMIT and in frames are refused with these, at their place */
	if (query->hasSubLinks &&
		find_node(list_make2(query->limitCount, query->windowClause), is_sublink) == NULL)
		refuse(check, location_of(query, is_sublink), "subqueries in expressions",
			   "Store what the subquery looks up in a column of the source, or look it up in a view over the output.");
	if (query->havingQual != NULL && query->groupClause == NIL && !query->hasAggs)
		refuse(check, clause_location(check, "having"),
			   "HAVING without GROUP BY or an aggregate",
			   "Use WHERE, or add an aggregate such as count(*).");
}

/* Refuse functions that return several rows, but for the window of the query. */
static void
check_generators(CheckState *check, Query *query, List *exprs)
{
	FindNode	find = {.match = is_set_returning,.query = query};

	if (!query->hasTargetSRFs)
		return;
	find_node_walker((Node *) exprs, &find);
	if (find.found != NULL)
		refuse(check, exprLocation(find.found), "set-returning functions in the select list",
			   "Expand the rows in a view over the output.");
}

/*
 * Refuse expressions over the source whose result does not depend on the row
 * alone.  "exprs" are those of "query" that count.
 */
static void
check_expressions(CheckState *check, Query *query, List *exprs)
{
	MutableCall call = {0};
	Node	   *node;

	node = find_node(exprs, is_external_param);
	if (node != NULL)
		refuse(check, exprLocation(node), "parameters",
			   "Write the value as a constant; in PL/pgSQL, use EXECUTE format(...) with %L.");
	node = find_node(exprs, is_grouping_func);
	if (node != NULL)
		refuse(check, exprLocation(node), "GROUPING", "Without grouping sets, it is always 0.");
	node = find_node(exprs, is_system_column);
	if (node != NULL)
		refuse(check, exprLocation(node), "system columns other than tableoid",
			   "Use ordinary columns.");
	if (find_mutable((Node *) exprs, &call))
		refuse_mutable(check, &call);

	/* whatever a later version of PostgreSQL counts as mutable besides */
	if (contain_mutable_functions((Node *) exprs))
		refuse(check, exprLocation((Node *) exprs), "expressions that are not immutable",
			   "Use immutable functions only.");
}

/* The output must have columns, of types that a table can store. */
static void
check_columns(CheckState *check, Query *query)
{
	ListCell   *lc;

	if (query->targetList == NIL)
		refuse(check, clause_location(check, "select"), "an empty select list",
			   "Select at least one column.");
	foreach(lc, query->targetList)
	{
		TargetEntry *tle = lfirst_node(TargetEntry, lc);
		Oid			type = exprType((Node *) tle->expr);

		if (get_typtype(getBaseType(type)) != TYPTYPE_PSEUDO)
			continue;
		ereport(ERROR,
				(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
				 tle->resjunk ?
				 errmsg("continuous queries do not support grouping by pseudo-type %s",
						format_type_be(type)) :
				 errmsg("column \"%s\" of a continuous query has pseudo-type %s",
						tle->resname, format_type_be(type)),
				 errhint("Cast it to a type that a table can store, such as a named composite type."),
				 parser_errposition(check->pstate, exprLocation((Node *) tle->expr))));
	}
}

/*
 * DISTINCT without grouping becomes GROUP BY; with grouping it does nothing if
 * all keys are selected.
 */
static void
check_distinct(CheckState *check, Query *query)
{
	ListCell   *lc;

	if (query->distinctClause == NIL)
		return;
	foreach(lc, query->groupClause)
	{
		TargetEntry *tle = get_sortgroupclause_tle(lfirst(lc), query->targetList);

		if (tle->resjunk)
			refuse(check, clause_location(check, "distinct"),
				   "DISTINCT over groups whose keys are not all selected",
				   "Select all GROUP BY expressions, or apply DISTINCT in a view over the output.");
	}
}

static bool
collect_aggrefs(Node *node, List **aggrefs)
{
	if (node == NULL)
		return false;
	if (IsA(node, Aggref))
	{
		*aggrefs = lappend(*aggrefs, node);
		return false;
	}
	return expression_tree_walker(node, collect_aggrefs, aggrefs);
}

/* An aggregate made of volatile functions gives another result at each run. */
static bool
aggregate_is_volatile(Oid aggfnoid)
{
	HeapTuple	tuple = SearchSysCache1(AGGFNOID, ObjectIdGetDatum(aggfnoid));
	Form_pg_aggregate form;
	bool		result;

	if (!HeapTupleIsValid(tuple))
		elog(ERROR, "cache lookup failed for aggregate %u", aggfnoid);
	form = (Form_pg_aggregate) GETSTRUCT(tuple);
	result = func_volatile(form->aggtransfn) == PROVOLATILE_VOLATILE ||
		(OidIsValid(form->aggfinalfn) &&
		 func_volatile(form->aggfinalfn) == PROVOLATILE_VOLATILE);
	ReleaseSysCache(tuple);
	return result;
}

/* Is it velostream.first(x) or last(x), which has a form that can be kept? */
static bool
is_first_or_last(Oid aggregate)
{
	const char *name = get_func_name(aggregate);

	return get_func_namespace(aggregate) == get_namespace_oid(VS_SCHEMA_NAME, true) &&
		(strcmp(name, "first") == 0 || strcmp(name, "last") == 0 ||
		 strcmp(name, "first_value") == 0 || strcmp(name, "last_value") == 0);
}

/* Every aggregate must be one that can be split into partial results. */
static void
check_aggregates(CheckState *check, Query *query)
{
	List	   *aggrefs = NIL;
	ListCell   *lc;

	collect_aggrefs((Node *) query_expressions(query), &aggrefs);
	foreach(lc, aggrefs)
	{
		Aggref	   *aggref = lfirst_node(Aggref, lc);
		const char *why_not = NULL;

		if (aggref->aggkind != AGGKIND_NORMAL)
			refuse(check, aggref->location, "WITHIN GROUP aggregates",
				   "Keep the rows or a histogram of them, and aggregate in a view over the output.");
		if (aggref->aggdistinct != NIL)
			refuse(check, aggref->location, "DISTINCT in an aggregate",
				   "Group by the distinct column as well, and aggregate in a view over the output.");
		if (aggref->aggorder != NIL)
			refuse(check, aggref->location, "ORDER BY in an aggregate",
				   "Remove it, or aggregate in a view over the output.");
		if (aggregate_is_volatile(aggref->aggfnoid))
			why_not = gettext_noop("its transition or final function is volatile");
		else if (vs_agg_describe(copyObject(aggref), check->mode, &why_not) != NULL)
			continue;
		if (is_first_or_last(aggref->aggfnoid) && list_length(aggref->args) == 1)
			ereport(ERROR,
					(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
					 errmsg("%s(x) needs an event time in a continuous query",
							get_func_name(aggref->aggfnoid)),
					 errdetail("Rows that may change and go away have no order."),
					 errhint("Name it as the second argument, as in %s(x, ts); or take the source as one to which rows are only added (%s), in the order of their arrival.",
							 get_func_name(aggref->aggfnoid), vs_option_is("source_mode", "append")),
					 parser_errposition(check->pstate, aggref->location)));
		ereport(ERROR,
				(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
				 errmsg("continuous queries do not support aggregate %s: %s",
						format_procedure(aggref->aggfnoid),
						why_not ? _(why_not) : _("it cannot be split")),
				 errhint("Use an aggregate that can run in parallel: one with a combine function, and with serialization functions if its state is internal."),
				 parser_errposition(check->pstate, aggref->location)));
	}
}

/*
 * Columns selected because the primary key is grouped become group keys, for
 * which they need an equality operator.
 */
static void
check_dependent_keys(CheckState *check, Query *query)
{
	ListCell   *lc;

	if (query->groupClause == NIL)
		return;
	foreach(lc, ungrouped_vars(query))
	{
		Var		   *var = lfirst_node(Var, lc);
		Oid			eqop;

		get_sort_group_operators(var->vartype, false, false, false,
								 NULL, &eqop, NULL, NULL);
		if (!OidIsValid(eqop))
			refuse(check, var->location,
				   psprintf("ungrouped columns of type %s, which has no equality operator",
							format_type_be(var->vartype)),
				   "Cast the column to a type with an equality operator, such as jsonb or text, and group by it.");
	}
}

/* There must be exactly one source, and it must be a relation. */
static void
check_source(CheckState *check, Query *query)
{
	List	   *from = query->jointree->fromlist;
	RangeTblEntry *rte;

	if (from == NIL)
		refuse(check, exprLocation((Node *) query->targetList), "SELECT without FROM",
			   "Name the table to read.");
	if (list_length(from) > 1 || !IsA(linitial(from), RangeTblRef))
		refuse(check, clause_location(check, "second source"), "joins",
			   "Read one table; join its output to the others in a view.");

	rte = rt_fetch(linitial_node(RangeTblRef, from)->rtindex, query->rtable);
	switch (rte->rtekind)
	{
		case RTE_RELATION:
			check_relation(check, query, linitial_node(RangeTblRef, from)->rtindex);
			break;
		case RTE_SUBQUERY:
			refuse(check, clause_location(check, "source"), "subqueries in FROM",
				   "Merge it into the query or define it as a view, if it only filters rows; "
				   "else make it a continuous query of its own, and read its output.");
			break;
		case RTE_FUNCTION:
		case RTE_TABLEFUNC:
			refuse(check, clause_location(check, "source"), "functions in FROM",
				   "Store the function's rows in a table, and read that.");
			break;
		case RTE_VALUES:
			refuse(check, clause_location(check, "values"), "VALUES",
				   "Store the rows in a table, and read that.");
			break;
		default:
			refuse(check, clause_location(check, "source"), "sources other than tables and views",
				   "Store the rows in a table, and read that.");
	}
}

/* The relation must be one whose changes can be captured, or a view over one. */
static void
check_relation(CheckState *check, Query *query, int rtindex)
{
	RangeTblEntry *rte = rt_fetch(rtindex, query->rtable);
	Relation	rel = table_open(rte->relid, AccessShareLock);
	ParseCallbackState pcbstate;

	if (check->view == NULL)
		check->source_location = clause_location(check, "source");
	if (rte->tablesample != NULL)
		refuse(check, clause_location(check, "tablesample"), "TABLESAMPLE",
			   "Use a condition on a hash of the key.");
	if (IsCatalogRelation(rel) ||
		RelationGetNamespace(rel) == get_namespace_oid(VS_SCHEMA_NAME, true))
		ereport(ERROR,
				(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
				 errmsg("\"%s\" cannot be a source of a continuous query",
						RelationGetRelationName(rel)),
				 errdetail("It belongs to the system."),
				 errhint("Use an ordinary table."),
				 parser_errposition(check->pstate, check->source_location)));

	if (rel->rd_rel->relkind == RELKIND_VIEW)
		check_view(check, rel, query_expressions(query), rtindex);
	else
	{
		setup_parser_errposition_callback(&pcbstate, check->pstate,
										  check->source_location);
		check_heaps(check, rte, rel);
		cancel_parser_errposition_callback(&pcbstate);
	}
	table_close(rel, NoLock);
}

/*
 * A view may filter and project one source.  Of its columns only those that
 * the expressions above use ("exprs", as Vars of rtindex) must be immutable;
 * volatile ones would keep the planner from merging the view into the query.
 */
static void
check_view(CheckState *check, Relation view, List *exprs, int rtindex)
{
	Query	   *query = get_view_query(view);
	const char *outer_view = check->view;
	Bitmapset  *used = NULL;
	List	   *used_exprs;
	MutableCall call = {.volatile_only = true};
	ListCell   *lc;

	check_stack_depth();
	check->view = pstrdup(RelationGetRelationName(view));

	check_clauses(check, query);
	if (query->hasAggs || query->groupClause != NIL || query->havingQual != NULL)
		refuse(check, -1, "aggregation", NULL);
	if (query->distinctClause != NIL)
		refuse(check, -1, "DISTINCT", NULL);
	if (find_mutable((Node *) query_expressions(query), &call))
		refuse_mutable(check, &call);

	pull_varattnos((Node *) exprs, rtindex, &used);
	used_exprs = list_make1(query->jointree->quals);
	foreach(lc, query->targetList)
	{
		TargetEntry *tle = lfirst_node(TargetEntry, lc);

		if (bms_is_member(tle->resno - FirstLowInvalidHeapAttributeNumber, used) ||
			bms_is_member(0 - FirstLowInvalidHeapAttributeNumber, used))
			used_exprs = lappend(used_exprs, tle->expr);
	}
	check_expressions(check, query, used_exprs);
	check_source(check, query);
	check->view = outer_view;
}

/* All heaps below a source must be ones whose changes can be captured. */
static void
check_heaps(CheckState *check, RangeTblEntry *rte, Relation rel)
{
	bool		partitioned = rel->rd_rel->relkind == RELKIND_PARTITIONED_TABLE;
	List	   *relids = list_make1_oid(RelationGetRelid(rel));
	ListCell   *lc;

	/* without its partitions, a partitioned table is empty for ever */
	if (partitioned && !rte->inh)
		refuse(check, check->source_location, "ONLY with a partitioned table",
			   "Remove ONLY.");
	if (partitioned || (rte->inh && rel->rd_rel->relhassubclass))
		relids = find_all_inheritors(RelationGetRelid(rel), AccessShareLock, NULL);
	foreach(lc, relids)
	{
		Relation	heap = table_open(lfirst_oid(lc), AccessShareLock);

		if (heap->rd_rel->relkind != RELKIND_PARTITIONED_TABLE)
			vs_check_leaf(heap);
		else if (!RelationIsPermanent(heap))
			refuse(check, check->source_location, "temporary tables",
				   "Use a permanent table.");
		table_close(heap, NoLock);
	}
}

/* Policies that the rewriter adds must be as immutable as the query. */
static void
check_row_security(CheckState *check, Query *query)
{
	Query	   *copy = copyObject(query);
	List	   *rewritten;
	RangeTblEntry *rte;

	AcquireRewriteLocks(copy, true, false);
	rewritten = QueryRewrite(copy);
	if (list_length(rewritten) != 1)
		elog(ERROR, "rewriting a query gave %d queries", list_length(rewritten));

	rte = vs_query_source_rte(linitial_node(Query, rewritten), NULL);
	for (;;)
	{
		check_policies(check, rte);
		if (rte->rtekind != RTE_SUBQUERY)
			break;
		rte = vs_query_source_rte(rte->subquery, NULL);
	}
}

/*
 * Refuse policies on one relation that look at other rows, or whose result
 * can change by itself.
 */
static void
check_policies(CheckState *check, RangeTblEntry *rte)
{
	MutableCall call = {.current_user = true};
	char	   *what;

	if (rte->securityQuals == NIL)
		return;
	if (find_node(rte->securityQuals, is_sublink) != NULL)
		what = pstrdup("a subquery");
	else if (find_mutable((Node *) rte->securityQuals, &call))
		what = describe_call(&call);
	else
		return;
	ereport(ERROR,
			(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
			 errmsg("row-level security of \"%s\" cannot be part of a continuous query",
					rte->relid != InvalidOid ? get_rel_name(rte->relid) : rte->eref->aliasname),
			 errdetail("A policy that applies to the query uses %s.", what),
			 errhint("Policies may use columns, constants, CURRENT_USER and immutable functions."),
			 parser_errposition(check->pstate, check->source_location)));
}

/* ----------
 * Errors
 * ----------
 */

/*
 * Refuse a construct, with a hint how to do without it.  Within a view, blame
 * the view: construct and hint mean nothing to who only named it.
 */
static void
refuse(CheckState *check, int location, const char *construct, const char *hint)
{
	if (check->view != NULL)
		ereport(ERROR,
				(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
				 errmsg("view \"%s\" cannot be a source of a continuous query", check->view),
				 errdetail("Its query uses %s.", construct),
				 errhint("Make the view's query a continuous query of its own, if it can be one, or read the tables below the view."),
				 parser_errposition(check->pstate, check->source_location)));
	ereport(ERROR,
			(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
			 errmsg("continuous queries do not support %s", construct),
			 errhint("%s", hint),
			 parser_errposition(check->pstate, location)));
}

static void
refuse_mutable(CheckState *check, MutableCall *call)
{
	char	   *what = describe_call(call);

	if (check->view != NULL)
		refuse(check, -1, what, NULL);
	ereport(ERROR,
			(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
			 errmsg("continuous queries do not support %s", what),
			 errdetail("Its result can change while the rows it is computed from do not."),
			 errhint("Use immutable functions only; for times, AT TIME ZONE with a constant zone makes most of them so."),
			 parser_errposition(check->pstate, exprLocation(call->node))));
}

/* CURRENT_DATE and the like, as the user wrote them (without precision). */
static const char *
value_function_name(SQLValueFunction *function)
{
	switch (function->op)
	{
		case SVFOP_CURRENT_DATE:
			return "CURRENT_DATE";
		case SVFOP_CURRENT_TIME:
		case SVFOP_CURRENT_TIME_N:
			return "CURRENT_TIME";
		case SVFOP_CURRENT_TIMESTAMP:
		case SVFOP_CURRENT_TIMESTAMP_N:
			return "CURRENT_TIMESTAMP";
		case SVFOP_LOCALTIME:
		case SVFOP_LOCALTIME_N:
			return "LOCALTIME";
		case SVFOP_LOCALTIMESTAMP:
		case SVFOP_LOCALTIMESTAMP_N:
			return "LOCALTIMESTAMP";
		case SVFOP_CURRENT_ROLE:
		case SVFOP_CURRENT_USER:
		case SVFOP_USER:
			return "CURRENT_USER";
		case SVFOP_SESSION_USER:
			return "SESSION_USER";
		case SVFOP_CURRENT_CATALOG:
			return "CURRENT_CATALOG";
		case SVFOP_CURRENT_SCHEMA:
			return "CURRENT_SCHEMA";
	}
	return "a function of the session";
}

/* "stable function now()", "volatile operator ###", "the stable cast from a to b" */
static char *
describe_call(MutableCall *call)
{
	Node	   *node = call->node;
	const char *kind;

	if (IsA(node, NextValueExpr))
		return pstrdup("volatile function nextval()");
	if (IsA(node, SQLValueFunction))
		return pstrdup(value_function_name((SQLValueFunction *) node));

	kind = func_volatile(call->funcid) == PROVOLATILE_VOLATILE ? "volatile" : "stable";
	if (IsA(node, CoerceViaIO))
		return psprintf("the %s cast from %s to %s", kind,
						format_type_be(exprType((Node *) ((CoerceViaIO *) node)->arg)),
						format_type_be(((CoerceViaIO *) node)->resulttype));
	if (IsA(node, FuncExpr) && ((FuncExpr *) node)->args != NIL &&
		(((FuncExpr *) node)->funcformat == COERCE_EXPLICIT_CAST ||
		 ((FuncExpr *) node)->funcformat == COERCE_IMPLICIT_CAST))
		return psprintf("the %s cast from %s to %s", kind,
						format_type_be(exprType(linitial(((FuncExpr *) node)->args))),
						format_type_be(((FuncExpr *) node)->funcresulttype));
	if (IsA(node, OpExpr) || IsA(node, DistinctExpr) || IsA(node, NullIfExpr))
		return psprintf("%s operator %s", kind,
						format_operator(((OpExpr *) node)->opno));
	if (IsA(node, ScalarArrayOpExpr))
		return psprintf("%s operator %s", kind,
						format_operator(((ScalarArrayOpExpr *) node)->opno));
	return psprintf("%s function %s", kind, format_procedure(call->funcid));
}

/* ----------
 * Looking for things
 * ----------
 */

/* All expressions of a query without subqueries. */
static List *
query_expressions(Query *query)
{
	return list_make3(query->targetList,
					  query->jointree ? query->jointree->quals : NULL,
					  query->havingQual);
}

static bool
find_node_walker(Node *node, FindNode *find)
{
	bool		generator = find->query != NULL && vs_window_is_generator(find->query, node);

	if (node == NULL)
		return false;
	if (!generator && find->match(node))
	{
		find->found = node;
		return true;
	}
	return expression_tree_walker(node, find_node_walker, find);
}

static Node *
find_node(List *exprs, bool (*match) (Node *node))
{
	FindNode	find = {.match = match};

	find_node_walker((Node *) exprs, &find);
	return find.found;
}

static bool
check_volatility(Oid funcid, void *arg)
{
	MutableCall *call = arg;
	char		volatility = func_volatile(funcid);

	if (volatility == PROVOLATILE_IMMUTABLE ||
		(call->volatile_only && volatility != PROVOLATILE_VOLATILE))
		return false;
	call->funcid = funcid;
	return true;
}

/* Is CURRENT_USER, which is the owner of the output whenever a batch runs. */
static bool
is_current_user(Node *node)
{
	SQLValueFunctionOp op = ((SQLValueFunction *) node)->op;

	return op == SVFOP_CURRENT_USER || op == SVFOP_CURRENT_ROLE || op == SVFOP_USER;
}

/* Find the innermost call that is not immutable (or, as asked, volatile). */
static bool
find_mutable(Node *node, MutableCall *call)
{
	if (node == NULL)
		return false;
	if (expression_tree_walker(node, find_mutable, call))
		return true;
	call->node = node;
	return check_functions_in_node(node, check_volatility, call) ||
		IsA(node, NextValueExpr) ||
		(IsA(node, SQLValueFunction) && !call->volatile_only &&
		 !(call->current_user && is_current_user(node)));
}

/*
 * Read tokens up to the first one of the query in a CREATE TABLE ... AS (or of
 * a bare query); returns its code, 0 at the end.
 */
static int
skip_to_query(ClauseScan *scan, core_YYSTYPE *value, int *location)
{
	int			token = core_yylex(value, location, scan->scanner);

	if (token >= KEYWORD_TOKEN &&
		strcmp(GetScanKeyword(token - KEYWORD_TOKEN, &ScanKeywords), "create") == 0)
	{
		int			depth = 0;

		while (token != 0)
		{
			token = core_yylex(value, location, scan->scanner);
			if (token == '(')
				depth++;
			else if (token == ')')
				depth--;
			else if (depth == 0 && token >= KEYWORD_TOKEN &&
					 strcmp(GetScanKeyword(token - KEYWORD_TOKEN, &ScanKeywords), "as") == 0)
				break;
		}
		if (token != 0)
			token = core_yylex(value, location, scan->scanner);
	}
	while (token == '(')
	{
		scan->base++;
		token = core_yylex(value, location, scan->scanner);
	}
	scan->depth = scan->base;
	return token;
}

/*
 * Where a keyword of the query's own level is; "source" and "second source"
 * are the first words of the first and second item of FROM.
 */
static int
find_clause(ClauseScan *scan, const char *clause)
{
	core_YYSTYPE value;
	int			location = 0;
	const char *previous = "";
	bool		in_from = false;
	int			token = skip_to_query(scan, &value, &location);

	for (; token != 0; token = core_yylex(&value, &location, scan->scanner))
	{
		const char *word = token >= KEYWORD_TOKEN ?
		GetScanKeyword(token - KEYWORD_TOKEN, &ScanKeywords) : "";

		if (token == '(')
			scan->depth++;
		else if (token == ')')
			scan->depth--;
		if (scan->depth < 0 || (token == ';' && scan->depth == 0))
			break;
		/* (SELECT ...) UNION ... */
		scan->base = Min(scan->base, scan->depth);

		if (strcmp(clause, "source") == 0 && strcmp(previous, "from") == 0 && in_from &&
			token != '(' && strcmp(word, "only") != 0 && strcmp(word, "lateral") != 0)
			return location;
		if (strcmp(clause, "second source") == 0 && in_from &&
			((token == ',' && scan->depth == scan->base) || strcmp(word, "join") == 0))
		{
			while ((token = core_yylex(&value, &location, scan->scanner)) == '(')
				;
			return token == 0 ? -1 : location;
		}
		if (scan->depth == scan->base && pg_strcasecmp(clause, word) == 0)
			return location;

		/* not the FROM of IS DISTINCT FROM */
		if (scan->depth == scan->base && strcmp(word, "from") == 0 &&
			strcmp(previous, "distinct") != 0)
			in_from = true;
		if (token != '(' && strcmp(word, "only") != 0 && strcmp(word, "lateral") != 0)
			previous = word;
	}
	return -1;
}

/* Location of a clause in the text of the statement, or -1; see find_clause. */
static int
clause_location(CheckState *check, const char *clause)
{
	ClauseScan	scan = {0};
	uint16	   *tokens;
	int			location;

	if (check->view != NULL || check->pstate->p_sourcetext == NULL)
		return -1;

	tokens = palloc(sizeof(uint16) * ScanKeywords.num_keywords);
	for (int i = 0; i < ScanKeywords.num_keywords; i++)
		tokens[i] = KEYWORD_TOKEN + i;
	scan.scanner = scanner_init(check->pstate->p_sourcetext + check->start, &scan.extra,
								&ScanKeywords, tokens);
	scan.extra.escape_string_warning = false;
	location = find_clause(&scan, clause);
	scanner_finish(scan.scanner);
	pfree(tokens);
	return location < 0 ? -1 : location + check->start;
}

/* ----------
 * Normalizing
 * ----------
 */

/*
 * The query in the form that is kept: a copy that gives the same rows, with
 * every group key among its columns.
 */
Query *
vs_query_normalize(Query *query, VsKind kind, VsSourceMode mode)
{
	return normalize(query, true);
}

Query *
vs_query_normalize_once(Query *query)
{
	return normalize(query, false);
}

/* The same, with or without NOTICEs. */
static Query *
normalize(Query *query, bool tell)
{
	query = copyObject(query);

	/* over groups with all their keys, or over a single row, it does nothing */
	if (query->distinctClause != NIL && query->groupClause == NIL && !query->hasAggs)
		query->groupClause = query->distinctClause;
	query->distinctClause = NIL;

	if (query->groupClause != NIL)
	{
		add_dependent_keys(query);
		show_keys(query, tell);
	}
	if (query->sortClause != NIL)
	{
		show_order(query, tell);
		vs_limit_normalize(query);
	}
	return query;
}

static bool
ungrouped_vars_walker(Node *node, UngroupedVars *cxt)
{
	if (node == NULL || IsA(node, Aggref) || list_member(cxt->keys, node))
		return false;
	if (IsA(node, Var))
	{
		cxt->vars = list_append_unique(cxt->vars, node);
		return false;
	}
	return expression_tree_walker(node, ungrouped_vars_walker, cxt);
}

/*
 * Vars that stand outside of aggregates and are no group key: PostgreSQL
 * accepts them if the primary key is grouped.
 */
static List *
ungrouped_vars(Query *query)
{
	UngroupedVars cxt = {0};

	cxt.keys = get_sortgrouplist_exprs(query->groupClause, query->targetList);
	ungrouped_vars_walker((Node *) query->targetList, &cxt);
	ungrouped_vars_walker(query->havingQual, &cxt);
	return cxt.vars;
}

/* Group by what the grouped primary key determines, so that nothing else does. */
static void
add_dependent_keys(Query *query)
{
	List	   *vars = ungrouped_vars(query);
	ListCell   *lc;

	foreach(lc, vars)
	{
		Var		   *var = lfirst_node(Var, lc);
		TargetEntry *tle = tlist_member((Expr *) var, query->targetList);
		SortGroupClause *clause = makeNode(SortGroupClause);

		if (tle == NULL)
		{
			tle = makeTargetEntry((Expr *) copyObject(var),
								  list_length(query->targetList) + 1, NULL, true);
			query->targetList = lappend(query->targetList, tle);
		}
		clause->tleSortGroupRef = assignSortGroupRef(tle, query->targetList);
		get_sort_group_operators(var->vartype, false, true, false,
								 &clause->sortop, &clause->eqop, NULL,
								 &clause->hashable);
		query->groupClause = lappend(query->groupClause, clause);
	}
	query->constraintDeps = NIL;
}

/* Give every group key a column of the output, and perhaps tell the user which. */
static void
show_keys(Query *query, bool tell)
{
	ListCell   *lc;
	int			number = 0;

	foreach(lc, query->groupClause)
	{
		TargetEntry *tle = get_sortgroupclause_tle(lfirst(lc), query->targetList);

		number++;
		if (tle->resjunk)
			show_column(query, tle, number, tell,
						gettext_noop("It is a GROUP BY expression that is not selected; the output needs all of them to identify its rows."));
	}
}

/* The same with what rows are ordered by. */
static void
show_order(Query *query, bool tell)
{
	ListCell   *lc;

	foreach(lc, query->sortClause)
	{
		TargetEntry *tle = get_sortgroupclause_tle(lfirst(lc), query->targetList);

		if (tle->resjunk)
			show_column(query, tle, tle->resno, tell,
						gettext_noop("It is an ORDER BY expression that is not selected; without it nobody could tell which rows come first."));
	}
}

/* Let the output have a column that is not selected, and perhaps tell the user why. */
static void
show_column(Query *query, TargetEntry *tle, int number, bool tell, const char *why)
{
	tle->resname = key_name(query, (Node *) tle->expr, number);
	tle->resjunk = false;
	if (tell)
		ereport(NOTICE,
				(errmsg("column \"%s\" is added to the output", tle->resname),
				 errdetail("%s", _(why))));
}

static bool
name_is_used(Query *query, const char *name)
{
	ListCell   *lc;

	foreach(lc, query->targetList)
	{
		TargetEntry *tle = lfirst_node(TargetEntry, lc);

		if (!tle->resjunk && tle->resname && strcmp(tle->resname, name) == 0)
			return true;
	}
	return false;
}

/*
 * A name for a column, as PostgreSQL would choose it: that of the column or
 * function below any casts, else "key_N"; made unique with a number.
 */
static char *
key_name(Query *query, Node *expr, int number)
{
	char	   *base;
	char	   *name;

	expr = strip_implicit_coercions(expr);
	while (IsA(expr, RelabelType) || IsA(expr, CoerceViaIO) || IsA(expr, CollateExpr))
	{
		if (IsA(expr, RelabelType))
			expr = (Node *) ((RelabelType *) expr)->arg;
		else if (IsA(expr, CoerceViaIO))
			expr = (Node *) ((CoerceViaIO *) expr)->arg;
		else
			expr = (Node *) ((CollateExpr *) expr)->arg;
	}

	if (IsA(expr, Var) && ((Var *) expr)->varattno == InvalidAttrNumber)
		base = rt_fetch(((Var *) expr)->varno, query->rtable)->eref->aliasname;
	else if (IsA(expr, Var))
		base = get_rte_attribute_name(rt_fetch(((Var *) expr)->varno, query->rtable),
									  ((Var *) expr)->varattno);
	else if (IsA(expr, FuncExpr))
		base = get_func_name(((FuncExpr *) expr)->funcid);
	else
		base = psprintf("key_%d", number);

	name = base;
	for (int i = 1; name_is_used(query, name); i++)
		name = makeObjectName(base, psprintf("%d", i), NULL);
	return name;
}
