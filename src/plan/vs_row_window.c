/*-------------------------------------------------------------------------
 *
 * vs_row_window.c
 *	  Window functions over the last rows that came: OVER (PARTITION BY
 *	  velostream.buffer(n), ...).
 *
 * A row's buffer is the last n rows of its partition, the row itself among
 * them, in the order in which they came.  The value of a window function is
 * what it is over the buffer, sorted by ORDER BY (what is equal there stays in
 * the order of arrival), with its frame, for that row.
 *
 * Two plans compute it, both over a tuplestore of rows that have their
 * partition, as a number, and their place in it (process/vs_row_buffers.c):
 *
 *	  fast	all rows of a partition one after another, as they came.  Where
 *			a buffer is in the order of ORDER BY, its last row is the one in
 *			question, so that a frame ends with it or before, and "n - 1
 *			preceding" is the beginning of the buffer.
 *	  exact	each buffer is a partition of its own, under the window that the
 *			user wrote.  For rows whose buffer is not in order, and for
 *			functions and frames that cannot be told as in "fast".
 *
 * What window functions need to know of rows before this one is stored
 * ("stored" columns); the other columns of the output are computed when the
 * row comes, and only handed on.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/stratnum.h"
#include "catalog/namespace.h"
#include "catalog/pg_opfamily.h"
#include "catalog/pg_proc.h"
#include "catalog/pg_type.h"
#include "dialect/vs_dialect.h"
#include "functions/vs_window_funcs.h"
#include "nodes/makefuncs.h"
#include "nodes/nodeFuncs.h"
#include "optimizer/clauses.h"
#include "optimizer/optimizer.h"
#include "optimizer/planner.h"
#include "optimizer/tlist.h"
#include "parser/parse_clause.h"
#include "parser/parse_oper.h"
#include "parser/parsetree.h"
#include "plan/vs_plan_internal.h"
#include "registry/vs_options.h"
#include "utils/fmgroids.h"
#include "utils/lsyscache.h"
#include "vs_compat.h"

/* What is put together while the expressions of a query are taken apart. */
typedef struct Splitting
{
	VsPlan	   *plan;
	bool		fast;			/* make the windows of the fast plan */
	List	   *functions;		/* WindowFuncs over the tuplestore */
	List	   *clauses;		/* their WindowClauses */
} Splitting;

static FuncExpr *buffer_call(Query *query, WindowClause *clause);
static bool is_buffer_call(Node *node);
static bool find_window_func(Node *node, List **functions);
static bool find_buffer_call(Node *node, Node **found);
static void check_same_partition(ParseState *pstate, Query *query, List *functions);
static void check_buffer(ParseState *pstate, FuncExpr *call);
static void check_frames(ParseState *pstate, Query *query, List *functions);
static bool is_stable(Oid function, Node *offset);
static Const *constant_argument(FuncExpr *call, int arg);
static WindowClause *clause_of(Query *query, WindowFunc *function);
static void describe_keys(VsPlan *plan, Query *query, WindowClause *clause);
static void describe_orders(VsPlan *plan, Query *query, List *functions);
static void describe_state(VsPlan *plan);
static AttrNumber column_of(VsPlan *plan, Expr *expr);
static Node *store_vars(Node *node, VsPlan *plan);
static List *store_arguments(VsPlan *plan, WindowFunc *function);
static bool can_be_fast(Query *query, WindowFunc *function, int rows);
static bool uses_frame(WindowFunc *function);
static bool frame_can_be_fast(WindowClause *clause);
static bool constant_offset(Node *offset, int64 *value);
static void forget_arrival(Plan *plan);
static Query *window_query(VsPlan *plan, bool fast);
static Query *function_query(VsPlan *plan, Splitting *split);
static RangeTblEntry *buffer_rte(VsPlan *plan);
static List *split_select_list(Query *query, Splitting *split);
static Node *split_expression(Node *node, Splitting *split);
static Node *split_function(WindowFunc *function, Splitting *split);
static bool is_lead(WindowFunc *function);
static Node *least(Expr *expr, int64 limit);
static WindowClause *exact_clause(VsPlan *plan, WindowFunc *function);
static WindowClause *fast_clause(VsPlan *plan, WindowFunc *function);
static Index add_clause(Splitting *split, WindowClause *clause);
static SortGroupClause *sort_by(AttrNumber column);

/* ----------
 * Checking
 * ----------
 */

/* Is this a call of velostream.buffer()? */
static bool
is_buffer_call(Node *node)
{
	Oid			funcid;

	if (node == NULL || !IsA(node, FuncExpr))
		return false;
	funcid = ((FuncExpr *) node)->funcid;
	return get_func_namespace(funcid) == get_namespace_oid(VS_SCHEMA_NAME, true) &&
		strcmp(get_func_name(funcid), "buffer") == 0;
}

/* The call of velostream.buffer() that begins the PARTITION BY of a window, or NULL. */
static FuncExpr *
buffer_call(Query *query, WindowClause *clause)
{
	Node	   *first;

	if (clause->partitionClause == NIL)
		return NULL;
	first = get_sortgroupclause_expr(linitial(clause->partitionClause), query->targetList);
	return is_buffer_call(first) ? (FuncExpr *) first : NULL;
}

static WindowClause *
clause_of(Query *query, WindowFunc *function)
{
	return list_nth_node(WindowClause, query->windowClause, function->winref - 1);
}

/* Collect the different window functions of a query's expressions. */
static bool
find_window_func(Node *node, List **functions)
{
	if (node == NULL)
		return false;
	if (IsA(node, WindowFunc))
	{
		*functions = list_append_unique(*functions, node);
		return false;
	}
	return expression_tree_walker(node, find_window_func, functions);
}

static bool
find_buffer_call(Node *node, Node **found)
{
	if (is_buffer_call(node))
	{
		*found = node;
		return true;
	}
	return node != NULL && expression_tree_walker(node, find_buffer_call, found);
}

/* Does a query have window functions, and is a buffer among what they name? */
bool
vs_row_window_is(Query *query)
{
	Node	   *found = NULL;

	return query->hasWindowFuncs && find_buffer_call((Node *) query->targetList, &found);
}

/* Refuse window functions that cannot be kept, and buffers out of their place. */
void
vs_row_window_check(ParseState *pstate, Query *query, VsSourceMode mode)
{
	List	   *functions = NIL;
	List	   *seen = NIL;
	Node	   *stray = NULL;
	ListCell   *lc;

	foreach(lc, query->targetList)
	{
		TargetEntry *tle = lfirst_node(TargetEntry, lc);

		/* what only PARTITION BY names is looked at by check_same_partition */
		if (!tle->resjunk || !is_buffer_call((Node *) tle->expr))
			seen = lappend(seen, tle->expr);
	}
	seen = lappend(seen, query->jointree->quals);
	(void) find_buffer_call((Node *) seen, &stray);
	find_window_func((Node *) query->targetList, &functions);
	if (stray != NULL || (functions == NIL && list_length(seen) <= list_length(query->targetList)))
		vs_window_refuse(pstate, stray ? exprLocation(stray) : -1,
						 "velostream.buffer() must be the first item of PARTITION BY of a window",
						 "Write OVER (PARTITION BY velostream.buffer(100), ...).");
	if (functions == NIL)
		return;

	check_same_partition(pstate, query, functions);
	check_frames(pstate, query, functions);
	check_buffer(pstate, buffer_call(query, clause_of(query, linitial(functions))));
	if (query->hasAggs || query->groupClause != NIL || query->havingQual != NULL ||
		query->distinctClause != NIL)
		vs_window_refuse(pstate, exprLocation(linitial(functions)),
						 "window functions over a buffer cannot be combined with GROUP BY, aggregates or DISTINCT",
						 "Make one of them a continuous query of its own, and read its output.");
	if (mode != VS_SOURCE_APPEND)
		vs_window_refuse(pstate, exprLocation(linitial(functions)),
						 psprintf("window functions over a buffer need %s", vs_option_is("source_mode", "append")),
						 psprintf("What was computed from a row stays, even if the row goes: write %s.",
								  vs_option_is("source_mode", "append")));
}

/* All windows must be over the same buffer of the same partitions. */
static void
check_same_partition(ParseState *pstate, Query *query, List *functions)
{
	List	   *first = NIL;
	ListCell   *lc;

	foreach(lc, functions)
	{
		WindowFunc *function = lfirst_node(WindowFunc, lc);
		WindowClause *clause = clause_of(query, function);
		List	   *exprs = get_sortgrouplist_exprs(clause->partitionClause, query->targetList);

		if (buffer_call(query, clause) == NULL)
			vs_window_refuse(pstate, function->location,
							 "continuous queries do not support window functions without a buffer",
							 vs_dialect_is_spoken() ?
							 "Begin it with ROWS WINDOW BUFFER 100 ROWS, as the others." :
							 "Begin its PARTITION BY with velostream.buffer(), as that of the others.");
		if (foreach_current_index(lc) == 0)
			first = exprs;
		else if (!equal(exprs, first))
			vs_window_refuse(pstate, function->location,
							 "all window functions of a continuous query must have the same buffer and PARTITION BY",
							 "Distribute them over several queries.");
		if (list_length(exprs) > 1)
		{
			Node	   *stray = NULL;

			if (find_buffer_call((Node *) list_copy_tail(exprs, 1), &stray))
				vs_window_refuse(pstate, exprLocation(stray),
								 "velostream.buffer() must be the first item of PARTITION BY of a window",
								 "Name one buffer only.");
		}
	}
}

/* A constant argument of a call, or NULL. */
static Const *
constant_argument(FuncExpr *call, int arg)
{
	Node	   *node = eval_const_expressions(NULL, copyObject(list_nth(call->args, arg)));

	return IsA(node, Const) && !((Const *) node)->constisnull ? (Const *) node : NULL;
}

/* The size of a buffer, and the time after which it is forgotten, must be fixed. */
static void
check_buffer(ParseState *pstate, FuncExpr *call)
{
	Const	   *size = constant_argument(call, 0);
	Const	   *expire = list_length(call->args) > 1 ? constant_argument(call, 1) : NULL;
	ParseCallbackState pcbstate;

	if (size == NULL || DatumGetInt32(size->constvalue) < 1)
		vs_window_refuse(pstate, exprLocation((Node *) call),
						 "the size of a buffer must be a constant greater than zero",
						 "Write OVER (PARTITION BY velostream.buffer(100), ...).");
	if (list_length(call->args) == 1)
		return;
	if (expire == NULL)
		vs_window_refuse(pstate, exprLocation((Node *) call),
						 "the time after which a buffer is forgotten must be a constant",
						 "Write it as an interval.");
	setup_parser_errposition_callback(&pcbstate, pstate, exprLocation((Node *) call));
	(void) vs_time_length(TIMESTAMPOID, DatumGetIntervalP(expire->constvalue), "inactivity");
	cancel_parser_errposition_callback(&pcbstate);
}

/* Offsets of frames must be the same for ever. */
static void
check_frames(ParseState *pstate, Query *query, List *functions)
{
	ListCell   *lc;

	foreach(lc, functions)
	{
		WindowFunc *function = lfirst_node(WindowFunc, lc);
		WindowClause *clause = clause_of(query, function);
		Node	   *offsets = (Node *) list_make2(clause->startOffset, clause->endOffset);

		if (contain_mutable_functions(offsets) || contain_subplans(offsets))
			vs_window_refuse(pstate, function->location,
							 "the frame of a window function must have constant bounds",
							 "Write its offsets as constants.");
		if (is_stable(clause->startInRangeFunc, clause->startOffset) ||
			is_stable(clause->endInRangeFunc, clause->endOffset))
			vs_window_refuse(pstate, function->location,
							 "the frame of a window function must not depend on the time zone",
							 "Write hours instead of days, or ORDER BY ts AT TIME ZONE with a constant zone.");
	}
}

/*
 * Does the distance of rows, as RANGE has it, depend on settings?  That of times
 * with a time zone does, but not in hours.
 */
static bool
is_stable(Oid function, Node *offset)
{
	Interval   *interval;

	if (!OidIsValid(function) || func_volatile(function) == PROVOLATILE_IMMUTABLE)
		return false;
	offset = eval_const_expressions(NULL, copyObject(offset));
	if (!IsA(offset, Const) || ((Const *) offset)->constisnull ||
		((Const *) offset)->consttype != INTERVALOID)
		return true;
	interval = DatumGetIntervalP(((Const *) offset)->constvalue);
	return interval->month != 0 || interval->day != 0;
}

/* ----------
 * Describing
 * ----------
 */

/*
 * Fill plan->rows, the keys and the state table of a query over buffers.
 * (plan->query has passed vs_row_window_check.)
 */
void
vs_row_window_describe(VsPlan *plan)
{
	VsRowWindow *window = &plan->row_window;
	Query	   *query = plan->query;
	List	   *functions = NIL;
	WindowClause *clause;
	FuncExpr   *call;
	Splitting	split = {.plan = plan};
	ListCell   *lc;

	find_window_func((Node *) query->targetList, &functions);
	clause = clause_of(query, linitial(functions));
	call = buffer_call(query, clause);
	window->size = DatumGetInt32(constant_argument(call, 0)->constvalue);
	window->expire = -1;
	if (list_length(call->args) > 1)
		window->expire = vs_time_length(TIMESTAMPOID,
										DatumGetIntervalP(constant_argument(call, 1)->constvalue),
										"inactivity");

	describe_keys(plan, query, clause);
	describe_orders(plan, query, functions);
	window->fast = true;
	foreach(lc, functions)
	{
		WindowFunc *function = lfirst_node(WindowFunc, lc);

		(void) store_arguments(plan, function);
		if (!can_be_fast(query, function, window->size))
			window->fast = false;
	}
	window->nstored = list_length(window->columns);
	describe_state(plan);

	(void) split_select_list(query, &split);	/* adds its columns */
	if (list_length(call->args) > 2)
	{
		window->time_type = exprType(lthird(call->args));
		window->time_column = column_of(plan, lthird(call->args));
	}
}

/* The partition, without the buffer. */
static void
describe_keys(VsPlan *plan, Query *query, WindowClause *clause)
{
	List	   *items = list_copy_tail(clause->partitionClause, 1);
	ListCell   *lc;

	plan->nkeys = list_length(items);
	plan->keys = palloc0(sizeof(VsKey) * Max(plan->nkeys, 1));
	foreach(lc, items)
	{
		SortGroupClause *item = lfirst_node(SortGroupClause, lc);
		TargetEntry *tle = get_sortgroupclause_tle(item, query->targetList);
		VsKey	   *key = &plan->keys[foreach_current_index(lc)];

		vs_set_key_type(key, (Node *) tle->expr);
		key->eqop = item->eqop;
		key->output_attno = tle->resjunk ? 0 : tle->resno;
		/* columns 1 .. nkeys, even if two are the same */
		plan->row_window.columns = lappend(plan->row_window.columns, tle->expr);
	}
}

/* By what rows are compared to tell whether a buffer is in order. */
static void
describe_orders(VsPlan *plan, Query *query, List *functions)
{
	VsRowWindow *window = &plan->row_window;
	ListCell   *lc;
	ListCell   *lc2;

	foreach(lc, functions)
	{
		WindowClause *clause = clause_of(query, lfirst_node(WindowFunc, lc));
		List	   *order = NIL;

		foreach(lc2, clause->orderClause)
		{
			SortGroupClause *item = copyObject(lfirst_node(SortGroupClause, lc2));
			TargetEntry *tle = get_sortgroupclause_tle(item, query->targetList);

			/* from now on it names the column of the tuplestore */
			item->tleSortGroupRef = column_of(plan, tle->expr);
			order = lappend(order, item);
		}
		if (order != NIL)
			window->orders = list_append_unique(window->orders, order);
	}
}

/* The state table: keys, number of the row in its partition, activity, stored columns. */
static void
describe_state(VsPlan *plan)
{
	VsRowWindow *window = &plan->row_window;
	int			extra = window->expire >= 0 ? 2 : 1;
	ListCell   *lc;

	plan->groupdesc = CreateTemplateTupleDesc(window->nstored + extra);
	foreach(lc, window->columns)
	{
		int			i = foreach_current_index(lc);
		Node	   *expr = lfirst(lc);
		AttrNumber	attno = i + 1;
		const char *kind = "key";

		if (i >= plan->nkeys)
		{
			attno += extra;
			kind = "value";
		}
		TupleDescInitEntry(plan->groupdesc, attno, psprintf("%s_%d", kind, i + 1),
						   exprType(expr), exprTypmod(expr), 0);
		TupleDescInitEntryCollation(plan->groupdesc, attno, exprCollation(expr));
	}
	/* it is part of what identifies a row of the state */
	TupleDescInitEntry(plan->groupdesc, plan->nkeys + 1, psprintf("key_%d", plan->nkeys + 1),
					   INT8OID, -1, 0);
	if (window->expire >= 0)
		TupleDescInitEntry(plan->groupdesc, plan->nkeys + 2, "active", TIMESTAMPTZOID, -1, 0);
}

/*
 * The column of the tuplestore that has an expression over the source; added
 * if there is none.
 */
static AttrNumber
column_of(VsPlan *plan, Expr *expr)
{
	VsRowWindow *window = &plan->row_window;
	ListCell   *lc;

	foreach(lc, window->columns)
	{
		if (equal(lfirst(lc), expr))
			return VS_BUFFER_COLUMNS + foreach_current_index(lc) + 1;
	}
	window->columns = lappend(window->columns, expr);
	return VS_BUFFER_COLUMNS + list_length(window->columns);
}

static Var *
column_var(AttrNumber attno, Expr *expr)
{
	return makeVar(1, attno, exprType((Node *) expr), exprTypmod((Node *) expr),
				   exprCollation((Node *) expr), 0);
}

/* Put columns of the tuplestore in the place of the source's. */
static Node *
store_vars(Node *node, VsPlan *plan)
{
	if (node == NULL)
		return NULL;
	if (IsA(node, Var))
		return (Node *) column_var(column_of(plan, (Expr *) node), (Expr *) node);
	return expression_tree_mutator(node, store_vars, plan);
}

/*
 * The arguments of a window function, over the tuplestore, and its filter as
 * the last of the list.  They are computed once, when a row comes; but where a
 * filter decides which rows they are computed for, or where the result cannot
 * be stored, it is columns that are stored.
 */
static List *
store_arguments(VsPlan *plan, WindowFunc *function)
{
	List	   *result = NIL;
	ListCell   *lc;

	foreach(lc, function->args)
	{
		Node	   *arg = lfirst(lc);

		if (function->aggfilter != NULL ||
			get_typtype(getBaseType(exprType(arg))) == TYPTYPE_PSEUDO)
			arg = store_vars(arg, plan);
		else if (contain_var_clause(arg))
			arg = (Node *) column_var(column_of(plan, (Expr *) arg), (Expr *) arg);
		result = lappend(result, arg);
	}
	return lappend(result, store_vars((Node *) function->aggfilter, plan));
}

/* ----------
 * What the fast plan can do
 * ----------
 */

/* The value of a frame's offset in rows, or of lag(); false: it is not known. */
static bool
constant_offset(Node *offset, int64 *value)
{
	Node	   *node = eval_const_expressions(NULL, copyObject(offset));
	Const	   *constant = (Const *) node;

	if (!IsA(node, Const) || constant->constisnull)
		return false;
	*value = constant->consttype == INT8OID ? DatumGetInt64(constant->constvalue) :
		constant->consttype == INT4OID ? DatumGetInt32(constant->constvalue) : -1;
	return *value >= 0;
}

/*
 * Does a function, over all rows of a partition as they came, give the last
 * row of a buffer that is in order the same value as over the buffer alone?
 */
static bool
can_be_fast(Query *query, WindowFunc *function, int rows)
{
	int64		offset = 1;

	switch (function->winfnoid)
	{
		case F_ROW_NUMBER:
			return true;
		case F_LAG_ANYELEMENT:
		case F_LAG_ANYELEMENT_INT4:
		case F_LAG_ANYCOMPATIBLE_INT4_ANYCOMPATIBLE:
			return (list_length(function->args) < 2 ||
					constant_offset(lsecond(function->args), &offset)) && offset < rows;
		case F_LEAD_ANYELEMENT:
		case F_LEAD_ANYELEMENT_INT4:
		case F_LEAD_ANYCOMPATIBLE_INT4_ANYCOMPATIBLE:
			return (list_length(function->args) < 2 ||
					constant_offset(lsecond(function->args), &offset)) && offset > 0;
		default:
			return uses_frame(function) && frame_can_be_fast(clause_of(query, function));
	}
}

/* Aggregates and these; of other functions it is not known. */
static bool
uses_frame(WindowFunc *function)
{
	return function->winagg || function->winfnoid == F_FIRST_VALUE ||
		function->winfnoid == F_LAST_VALUE || function->winfnoid == F_NTH_VALUE;
}

/*
 * Can a frame be told in rows before the last one of a buffer?  Not if it
 * depends on which rows are equal, or on the distance of values.
 */
static bool
frame_can_be_fast(WindowClause *clause)
{
	int			options = clause->frameOptions;
	int64		offset;

	if (options & (FRAMEOPTION_GROUPS | FRAMEOPTION_EXCLUSION))
		return false;
	if (options & FRAMEOPTION_RANGE)
		return (options & FRAMEOPTION_START_UNBOUNDED_PRECEDING) != 0 ?
			(options & FRAMEOPTION_END_OFFSET) == 0 :
			(options & FRAMEOPTION_START_CURRENT_ROW) != 0 &&
			(options & FRAMEOPTION_END_OFFSET) == 0 && clause->orderClause == NIL;
	if (options & FRAMEOPTION_START_OFFSET_FOLLOWING)
		return false;
	return (clause->startOffset == NULL || constant_offset(clause->startOffset, &offset)) &&
		(clause->endOffset == NULL || constant_offset(clause->endOffset, &offset));
}

/* ----------
 * Queries
 * ----------
 */

/* The rows of the delta: all columns of the tuplestore but its own. */
Query *
vs_row_window_rows(VsPlan *plan)
{
	Query	   *query = copyObject(plan->query);
	ListCell   *lc;

	query->targetList = NIL;
	query->windowClause = NIL;
	query->hasWindowFuncs = false;
	foreach(lc, plan->row_window.columns)
		query->targetList = lappend(query->targetList,
									makeTargetEntry(copyObject(lfirst(lc)),
													foreach_current_index(lc) + 1, NULL, false));
	return query;
}

/* The fast or the exact plan; its rows are output columns and the row's place in the delta. */
PlannedStmt *
vs_plan_row_windows(VsPlan *plan, bool fast)
{
	VsRowWindow *window = &plan->row_window;
	PlannedStmt *stmt;
	MemoryContext old;

	Assert(!fast || window->fast);
	if (window->stmts[fast] != NULL)
		return window->stmts[fast];
	stmt = planner(window_query(plan, fast), NULL, 0, NULL);
	if (!fast)
	{
		ListCell   *lc;

		forget_arrival(stmt->planTree);
		foreach(lc, stmt->subplans)
			forget_arrival(lfirst(lc));
	}
	old = MemoryContextSwitchTo(plan->context);
	window->stmts[fast] = copyObject(stmt);
	MemoryContextSwitchTo(old);
	return window->stmts[fast];
}

/*
 * Rows sort by the order that the user wrote and then by their arrival; but
 * what is equal in the former is equal to window functions.
 */
static void
forget_arrival(Plan *plan)
{
	if (plan == NULL)
		return;
	if (IsA(plan, SubqueryScan))
		forget_arrival(((SubqueryScan *) plan)->subplan);
	if (IsA(plan, WindowAgg))
	{
		Assert(((WindowAgg *) plan)->ordNumCols > 0);
		((WindowAgg *) plan)->ordNumCols--;
	}
	forget_arrival(plan->lefttree);
}

static Const *
int8_const(int64 value)
{
	return makeConst(INT8OID, -1, InvalidOid, sizeof(int64), Int64GetDatum(value), false,
					 FLOAT8PASSBYVAL);
}

/*
 * SELECT (the user's select list), place FROM (SELECT *, window functions FROM
 * tuplestore) WHERE place >= 0: nothing but window functions is computed of
 * the other rows.
 */
static Query *
window_query(VsPlan *plan, bool fast)
{
	Splitting	split = {.plan = plan,.fast = fast};
	Query	   *query = makeNode(Query);
	RangeTblEntry *rte = makeNode(RangeTblEntry);
	RangeTblRef *ref = makeNode(RangeTblRef);
	Var		   *place = makeVar(1, VS_BUFFER_PLACE, INT8OID, -1, InvalidOid, 0);
	OpExpr	   *qual;
	ListCell   *lc;

	query->commandType = CMD_SELECT;
	query->canSetTag = true;
	query->targetList = split_select_list(plan->query, &split);
	query->targetList = lappend(query->targetList,
								makeTargetEntry((Expr *) copyObject(place),
												list_length(query->targetList) + 1,
												pstrdup("place"), false));

	rte->rtekind = RTE_SUBQUERY;
	rte->subquery = function_query(plan, &split);
	rte->inFromCl = true;
	rte->eref = makeAlias("rows", NIL);
	foreach(lc, rte->subquery->targetList)
		rte->eref->colnames = lappend(rte->eref->colnames,
									  makeString(lfirst_node(TargetEntry, lc)->resname));
	query->rtable = list_make1(rte);
	ref->rtindex = 1;

	qual = (OpExpr *) make_opclause(get_opfamily_member(INTEGER_BTREE_FAM_OID, INT8OID, INT8OID,
														BTGreaterEqualStrategyNumber),
									BOOLOID, false, (Expr *) place,
									(Expr *) int8_const(0), InvalidOid, InvalidOid);
	set_opfuncid(qual);
	query->jointree = makeFromExpr(list_make1(ref), (Node *) qual);
	return query;
}

/* The columns of the tuplestore, and behind them the window functions. */
static Query *
function_query(VsPlan *plan, Splitting *split)
{
	Query	   *query = makeNode(Query);
	RangeTblEntry *store = buffer_rte(plan);
	RangeTblRef *ref = makeNode(RangeTblRef);
	ListCell   *lc;

	for (int i = 0; i < list_length(store->coltypes); i++)
	{
		Var		   *var = makeVar(1, i + 1, list_nth_oid(store->coltypes, i),
								  list_nth_int(store->coltypmods, i),
								  list_nth_oid(store->colcollations, i), 0);
		TargetEntry *tle = makeTargetEntry((Expr *) var, i + 1,
										   strVal(list_nth(store->eref->colnames, i)), false);

		tle->ressortgroupref = i + 1;	/* see sort_by */
		query->targetList = lappend(query->targetList, tle);
	}
	foreach(lc, split->functions)
	{
		int			i = list_length(query->targetList) + 1;

		query->targetList = lappend(query->targetList,
									makeTargetEntry(lfirst(lc), i, psprintf("function_%d", i), false));
	}
	query->commandType = CMD_SELECT;
	query->canSetTag = true;
	query->rtable = list_make1(store);
	ref->rtindex = 1;
	query->jointree = makeFromExpr(list_make1(ref), NULL);
	query->windowClause = split->clauses;
	query->hasWindowFuncs = split->functions != NIL;
	return query;
}

/* The tuplestore, as a relation. */
static RangeTblEntry *
buffer_rte(VsPlan *plan)
{
	RangeTblEntry *rte = makeNode(RangeTblEntry);
	TupleDesc	desc = vs_row_window_desc(plan);

	rte->rtekind = RTE_NAMEDTUPLESTORE;
	rte->enrname = pstrdup(VS_BUFFER_ENR);
	rte->enrtuples = 100000;
	rte->inFromCl = true;
	rte->eref = makeAlias(VS_BUFFER_ENR, NIL);
	for (int i = 0; i < desc->natts; i++)
	{
		Form_pg_attribute att = TupleDescAttr(desc, i);

		rte->eref->colnames = lappend(rte->eref->colnames, makeString(pstrdup(NameStr(att->attname))));
		rte->coltypes = lappend_oid(rte->coltypes, att->atttypid);
		rte->coltypmods = lappend_int(rte->coltypmods, att->atttypmod);
		rte->colcollations = lappend_oid(rte->colcollations, att->attcollation);
	}
	return rte;
}

/* Rows of the tuplestore: partition, number in it, place in the delta, columns. */
TupleDesc
vs_row_window_desc(VsPlan *plan)
{
	List	   *columns = plan->row_window.columns;
	TupleDesc	desc = CreateTemplateTupleDesc(VS_BUFFER_COLUMNS + list_length(columns));
	ListCell   *lc;

	TupleDescInitEntry(desc, VS_BUFFER_PARTITION, "partition", INT8OID, -1, 0);
	TupleDescInitEntry(desc, VS_BUFFER_NUMBER, "number", INT8OID, -1, 0);
	TupleDescInitEntry(desc, VS_BUFFER_PLACE, "place", INT8OID, -1, 0);
	foreach(lc, columns)
	{
		int			i = foreach_current_index(lc);
		Node	   *expr = lfirst(lc);

		TupleDescInitEntry(desc, VS_BUFFER_COLUMNS + i + 1, psprintf("column_%d", i + 1),
						   exprType(expr), exprTypmod(expr), 0);
		TupleDescInitEntryCollation(desc, VS_BUFFER_COLUMNS + i + 1, exprCollation(expr));
	}
	return desc;
}

/*
 * The select list over the rows of the inner query.  What has no window
 * function in it is computed when the row comes, so that it is known which row
 * fails.
 */
static List *
split_select_list(Query *query, Splitting *split)
{
	List	   *result = NIL;
	ListCell   *lc;

	foreach(lc, query->targetList)
	{
		TargetEntry *tle = lfirst_node(TargetEntry, lc);
		Node	   *expr = (Node *) tle->expr;
		List	   *functions = NIL;

		if (tle->resjunk)
			continue;
		find_window_func(expr, &functions);
		if (functions == NIL && contain_var_clause(expr))
			expr = (Node *) column_var(column_of(split->plan, (Expr *) expr), (Expr *) expr);
		else
			expr = split_expression(expr, split);
		result = lappend(result, makeTargetEntry((Expr *) expr, tle->resno, tle->resname, false));
	}
	return result;
}

static Node *
split_expression(Node *node, Splitting *split)
{
	if (node == NULL)
		return NULL;
	if (IsA(node, WindowFunc))
		return split_function((WindowFunc *) node, split);
	if (IsA(node, Var))
		return (Node *) column_var(column_of(split->plan, (Expr *) node), (Expr *) node);
	return expression_tree_mutator(node, split_expression, split);
}

/* The result of a window function, which is added to those that are computed. */
static Node *
split_function(WindowFunc *function, Splitting *split)
{
	VsPlan	   *plan = split->plan;
	WindowFunc *result = copyObject(function);
	Var		   *var;
	int			i = 0;

	result->args = store_arguments(plan, function);
	result->aggfilter = llast(result->args);
	result->args = list_truncate(result->args, list_length(function->args));
	if (split->fast && is_lead(function))
	{
		/* no row comes after the last one of a buffer */
		if (list_length(result->args) > 2)
			return lthird(result->args);
		return (Node *) makeNullConst(function->wintype, -1, function->wincollid);
	}
	result->winref = add_clause(split, split->fast ? fast_clause(plan, function) :
								exact_clause(plan, function));
	split->functions = list_append_unique(split->functions, result);
	while (!equal(list_nth(split->functions, i), result))
		i++;
	var = makeVar(1, VS_BUFFER_COLUMNS + list_length(plan->row_window.columns) + i + 1,
				  function->wintype, -1, function->wincollid, 0);
	if (split->fast && function->winfnoid == F_ROW_NUMBER)
		return least((Expr *) var, plan->row_window.size);
	return (Node *) var;
}

static bool
is_lead(WindowFunc *function)
{
	return function->winfnoid == F_LEAD_ANYELEMENT ||
		function->winfnoid == F_LEAD_ANYELEMENT_INT4 ||
		function->winfnoid == F_LEAD_ANYCOMPATIBLE_INT4_ANYCOMPATIBLE;
}

/* LEAST(expr, limit), of bigints */
static Node *
least(Expr *expr, int64 limit)
{
	MinMaxExpr *result = makeNode(MinMaxExpr);

	result->minmaxtype = INT8OID;
	result->op = IS_LEAST;
	result->args = list_make2(expr, int8_const(limit));
	result->location = -1;
	return (Node *) result;
}

/* The user's window, each buffer being a partition; see forget_arrival. */
static WindowClause *
exact_clause(VsPlan *plan, WindowFunc *function)
{
	WindowClause *clause = copyObject(clause_of(plan->query, function));
	ListCell   *lc;

	clause->name = clause->refname = NULL;
	clause->partitionClause = list_make1(sort_by(VS_BUFFER_PARTITION));
	foreach(lc, clause->orderClause)
	{
		SortGroupClause *item = lfirst_node(SortGroupClause, lc);
		TargetEntry *tle = get_sortgroupclause_tle(item, plan->query->targetList);

		item->tleSortGroupRef = column_of(plan, tle->expr);
	}
	clause->orderClause = lappend(clause->orderClause, sort_by(VS_BUFFER_NUMBER));
	return clause;
}

/* The buffer of each row of a partition, told in rows before it; see frame_can_be_fast. */
static WindowClause *
fast_clause(VsPlan *plan, WindowFunc *function)
{
	WindowClause *user = clause_of(plan->query, function);
	WindowClause *clause = makeNode(WindowClause);
	int64		start = plan->row_window.size - 1;
	int64		offset;

	clause->partitionClause = list_make1(sort_by(VS_BUFFER_PARTITION));
	clause->orderClause = list_make1(sort_by(VS_BUFFER_NUMBER));
	clause->frameOptions = FRAMEOPTION_NONDEFAULT | FRAMEOPTION_BETWEEN | FRAMEOPTION_ROWS;
	if (uses_frame(function) && (user->frameOptions & FRAMEOPTION_ROWS))
	{
		if (user->frameOptions & FRAMEOPTION_START_CURRENT_ROW)
			start = -1;
		else if (user->startOffset != NULL && constant_offset(user->startOffset, &offset))
			start = Min(start, offset);
		if ((user->frameOptions & FRAMEOPTION_END_OFFSET_PRECEDING) &&
			constant_offset(user->endOffset, &offset))
			clause->endOffset = (Node *) int8_const(offset);
	}
	if (start >= 0)
		clause->startOffset = (Node *) int8_const(start);
	clause->frameOptions |= start < 0 ? FRAMEOPTION_START_CURRENT_ROW :
		FRAMEOPTION_START_OFFSET_PRECEDING;
	clause->frameOptions |= clause->endOffset ? FRAMEOPTION_END_OFFSET_PRECEDING :
		FRAMEOPTION_END_CURRENT_ROW;
	return clause;
}

/* The number of a window in the list of those that are computed; added if need be. */
static Index
add_clause(Splitting *split, WindowClause *clause)
{
	ListCell   *lc;

	foreach(lc, split->clauses)
	{
		clause->winref = foreach_current_index(lc) + 1;
		if (equal(lfirst(lc), clause))
			return clause->winref;
	}
	split->clauses = lappend(split->clauses, clause);
	clause->winref = list_length(split->clauses);
	return clause->winref;
}

/* Sort by a column of the tuplestore's own: its number is the reference. */
static SortGroupClause *
sort_by(AttrNumber column)
{
	SortGroupClause *clause = makeNode(SortGroupClause);

	clause->tleSortGroupRef = column;
	get_sort_group_operators(INT8OID, true, true, false,
							 &clause->sortop, &clause->eqop, NULL, &clause->hashable);
	return clause;
}
