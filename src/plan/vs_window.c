/*-------------------------------------------------------------------------
 *
 * vs_window.c
 *	  The window of a query: which call among its group keys makes it, and
 *	  what the delta is grouped by in its place.
 *
 * Windows are functions of an event time (functions/vs_window_funcs.c), so a
 * query with a window is an ordinary GROUP BY.  tumble() is kept as any other
 * key.  hop() and cumulate() return several windows for a row: the delta is
 * grouped by panes instead, the pieces into which the bounds of all windows
 * cut the time, and no row is multiplied.  session() cannot be computed from a
 * row at all; its panes are as long as the gap, so that two rows of a pane are
 * always of one session.
 *
 * Panes after Li, Maier et al., "No pane, no gain", SIGMOD Record 34 (2005).
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "catalog/namespace.h"
#include "catalog/pg_aggregate.h"
#include "catalog/pg_type.h"
#include "dialect/vs_dialect.h"
#include "functions/vs_window_funcs.h"
#include "nodes/makefuncs.h"
#include "nodes/nodeFuncs.h"
#include "optimizer/optimizer.h"
#include "optimizer/tlist.h"
#include "parser/parse_func.h"
#include "plan/vs_plan_internal.h"
#include "registry/vs_options.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "vs_compat.h"

/* A row may be in so many windows: each of them is a row of the output. */
#define MAX_OVERLAP		100000

typedef struct WindowSearch
{
	Query	   *query;
	bool		by_row;			/* in what is evaluated for each row */
	FuncExpr   *stray;			/* a window call that is no group key */
} WindowSearch;

static VsWindowKind window_kind(Node *node);
static bool read_window(FuncExpr *call, VsWindow *window);
static void set_limits(VsWindow *window);
static bool read_length(FuncExpr *call, int arg, int64 *length);
static int64 greatest_common_divisor(int64 a, int64 b);
static int	said(const VsTimeOptions *options, VsTimeOption option);
static void check_time_options(ParseState *pstate, Query *query, VsSourceMode mode,
							   const VsTimeOptions *options);
static bool find_stray(Node *node, WindowSearch *search);
static Oid	window_function(const char *name, int nargs, Oid time, Oid length);

/* Is this a call of one of our functions that make windows? */
static VsWindowKind
window_kind(Node *node)
{
	static const struct
	{
		const char *name;
		VsWindowKind kind;
	}			names[] = {
		{"tumble", VS_WINDOW_TUMBLE}, {"hop", VS_WINDOW_HOP},
		{"cumulate", VS_WINDOW_CUMULATE}, {"session", VS_WINDOW_SESSION}
	};
	char	   *name;
	Oid			funcid;

	if (node == NULL || !IsA(node, FuncExpr))
		return VS_WINDOW_NONE;
	funcid = ((FuncExpr *) node)->funcid;
	if (get_func_namespace(funcid) != get_namespace_oid(VS_SCHEMA_NAME, true))
		return VS_WINDOW_NONE;
	name = get_func_name(funcid);
	for (int i = 0; i < lengthof(names); i++)
		if (strcmp(name, names[i].name) == 0)
			return names[i].kind;
	return VS_WINDOW_NONE;
}

/*
 * The window that a query groups by; false if there is none.  Of several
 * tumbling ones it is the first; vs_window_check refuses others.
 */
bool
vs_window_find(Query *query, VsWindow *window)
{
	ListCell   *lc;

	memset(window, 0, sizeof(VsWindow));
	foreach(lc, query->groupClause)
	{
		TargetEntry *tle = get_sortgroupclause_tle(lfirst(lc), query->targetList);

		if (window_kind((Node *) tle->expr) == VS_WINDOW_NONE ||
			!read_window((FuncExpr *) tle->expr, window))
			continue;
		window->key = foreach_current_index(lc);
		return true;
	}
	return false;
}

/* False: its lengths are not constant, which only a tumbling window survives. */
static bool
read_window(FuncExpr *call, VsWindow *window)
{
	int64		second;

	window->kind = window_kind((Node *) call);
	window->call = call;
	window->time = linitial(call->args);
	window->type = exprType((Node *) window->time);
	if (!read_length(call, 1, &window->size) ||
		(list_length(call->args) > 2 && !read_length(call, 2, &second)))
	{
		window->kind = VS_WINDOW_NONE;
		return false;
	}
	switch (window->kind)
	{
		case VS_WINDOW_HOP:
			window->advance = second;
			break;
		case VS_WINDOW_CUMULATE:
			window->advance = window->size;
			window->size = second;
			break;
		default:
			window->advance = window->size;
	}
	window->pane = greatest_common_divisor(window->size, window->advance);
	set_limits(window);
	return true;
}

/* The first multiple of size, counted from 1970, that is a time. */
static TimestampTz
first_multiple(int64 size)
{
	return vs_time_plus(vs_window_floor(MIN_TIMESTAMP - 1, size), size);
}

/*
 * Between which times all windows of a row, and its pane, start and end at
 * times that a timestamptz can be.
 */
static void
set_limits(VsWindow *window)
{
	const TimestampTz last = END_TIMESTAMP - 1;

	switch (window->kind)
	{
		case VS_WINDOW_HOP:
			/* its first window, and its last one */
			window->first = vs_time_plus(first_multiple(window->advance) - window->advance,
										 window->size);
			window->first = Max(window->first, first_multiple(window->pane));
			window->limit = vs_time_plus(vs_window_floor(last - window->size, window->advance),
										 window->advance);
			window->limit = Min(window->limit, vs_window_floor(last, window->pane));
			break;
		case VS_WINDOW_SESSION:
			window->first = first_multiple(window->pane);
			window->limit = END_TIMESTAMP - window->size;
			break;
		default:
			window->first = first_multiple(window->size);
			window->limit = vs_window_floor(last, window->size);
	}
}

/* A constant length among the arguments of a call, in microseconds. */
static bool
read_length(FuncExpr *call, int arg, int64 *length)
{
	Node	   *node = eval_const_expressions(NULL, copyObject(list_nth(call->args, arg)));
	Oid			type = exprType(linitial(call->args));

	if (!IsA(node, Const) || ((Const *) node)->constisnull)
		return false;
	*length = vs_time_length(type, DatumGetIntervalP(((Const *) node)->constvalue),
							 "length");
	if (type == DATEOID)
		*length *= USECS_PER_DAY;
	else if (type == INT8OID)
		*length *= 1000;
	return true;
}

static int64
greatest_common_divisor(int64 a, int64 b)
{
	while (b != 0)
	{
		int64		rest = a % b;

		a = b;
		b = rest;
	}
	return a;
}

/* ----------
 * Checking
 * ----------
 */

/* Is this a group key that makes a window, which may return several rows? */
bool
vs_window_is_generator(Query *query, Node *node)
{
	ListCell   *lc;

	if (window_kind(node) == VS_WINDOW_NONE)
		return false;
	foreach(lc, query->groupClause)
	{
		if (equal(node, get_sortgroupclause_tle(lfirst(lc), query->targetList)->expr))
			return true;
	}
	return false;
}

/* Refuse windows that cannot be kept, and options about time where none closes. */
void
vs_window_check(ParseState *pstate, Query *query, VsSourceMode mode,
				const VsTimeOptions *options)
{
	WindowSearch search = {.query = query};
	VsWindow	window;
	ListCell   *lc;
	ParseCallbackState pcbstate;

	foreach(lc, query->groupClause)
	{
		TargetEntry *tle = get_sortgroupclause_tle(lfirst(lc), query->targetList);
		VsWindowKind kind = window_kind((Node *) tle->expr);
		VsWindow	one;

		if (kind == VS_WINDOW_NONE)
			continue;
		setup_parser_errposition_callback(&pcbstate, pstate, exprLocation((Node *) tle->expr));
		if (!read_window((FuncExpr *) tle->expr, &one) && kind != VS_WINDOW_TUMBLE)
			vs_window_refuse(pstate, exprLocation((Node *) tle->expr),
							 "the lengths of a window must be constants", "Write them as intervals.");
		cancel_parser_errposition_callback(&pcbstate);
		if (one.kind == VS_WINDOW_CUMULATE && one.size % one.advance != 0)
			vs_window_refuse(pstate, exprLocation((Node *) tle->expr),
							 "the size of a cumulating window must be a multiple of its step",
							 "Choose a step that divides the size.");
		if (one.kind != VS_WINDOW_NONE && one.size / one.advance > MAX_OVERLAP)
			ereport(ERROR,
					(errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED),
					 errmsg("a row would be in %lld windows", (long long) (one.size / one.advance)),
					 errdetail("Each row of the source may be in at most %d windows, of which each has a row in the output.",
							   MAX_OVERLAP),
					 errhint("Let windows advance in longer steps."),
					 parser_errposition(pstate, exprLocation((Node *) tle->expr))));
	}

	(void) find_stray((Node *) query->targetList, &search);
	(void) find_stray(query->havingQual, &search);
	search.by_row = true;
	(void) find_stray(query->jointree->quals, &search);
	if (search.stray != NULL && vs_dialect_is_spoken() && vs_window_find(query, &window) &&
		equal(search.stray, window.call))
		vs_window_refuse(pstate, exprLocation((Node *) search.stray),
						 "the bounds of this window cannot be used in an aggregate",
						 "Select them by themselves, or use the event time.");
	if (search.stray != NULL)
		vs_window_refuse(pstate, exprLocation((Node *) search.stray),
						 psprintf("%s() must be a GROUP BY expression",
								  get_func_name(search.stray->funcid)),
						 "Group by it, and by no other window.");

	check_time_options(pstate, query, mode, options);
}

/* Where an option stands, or -1. */
static int
said(const VsTimeOptions *options, VsTimeOption option)
{
	return options->said[option] - 1;
}

/* Refuse options about time that make no sense for a query, at their place. */
static void
check_time_options(ParseState *pstate, Query *query, VsSourceMode mode,
				   const VsTimeOptions *options)
{
	VsWindow	window;
	bool		found = vs_window_find(query, &window);
	bool		closes = options->emit == VS_EMIT_FINAL || options->delay >= 0 ||
	options->idle_timeout >= 0 || options->retention >= 0;

	if (!found && options->emit == VS_EMIT_FINAL)
		vs_window_refuse(pstate, said(options, VS_OPTION_EMIT), "velostream.emit = final needs a window",
						 "Without a window no result is ever final: use velostream.emit = changes, or group by velostream.tumble(), hop(), cumulate() or session() with constant lengths.");
	for (VsTimeOption i = VS_OPTION_LATE_DATA; i < VS_TIME_OPTIONS && !found; i++)
		if (said(options, i) >= 0)
			vs_window_refuse(pstate, said(options, i), "options about event time need a window",
							 vs_dialect_is_spoken() ?
							 "Add WINDOW TUMBLING (...), or remove 'late.data.strategy', 'window.retention' and the properties of the watermark." :
							 "Group by velostream.tumble(), hop(), cumulate() or session() with constant lengths, or remove velostream.late_data, velostream.window_retention and the options of the watermark.");
	for (VsTimeOption i = VS_OPTION_LATE_DATA; i < VS_TIME_OPTIONS && !closes; i++)
		if (said(options, i) >= 0)
			vs_window_refuse(pstate, said(options, i),
							 psprintf("%s has no effect where windows never close",
									  vs_option_name(i == VS_OPTION_LATE_DATA ? "late_data" : "max_future_skew")),
							 psprintf("Windows close with %s, %s, %s or %s: add one of them, or remove this one.",
									  vs_option_is("emit", "final"), vs_option_name("max_out_of_orderness"),
									  vs_option_name("idle_timeout"), vs_option_name("window_retention")));
	if (options->emit == VS_EMIT_FINAL && options->retention >= 0 && options->late != VS_LATE_UPDATE)
		vs_window_refuse(pstate, said(options, VS_OPTION_RETENTION),
						 psprintf("%s with %s needs %s", vs_option_name("window_retention"),
								  vs_option_is("emit", "final"),
								  vs_option_is("late_data", "update_previous")),
						 psprintf("Otherwise a window takes no rows once it has closed: choose update_previous, or a longer %s.",
								  vs_option_name("max_out_of_orderness")));
	if (options->late == VS_LATE_NEXT && mode != VS_SOURCE_APPEND)
		vs_window_refuse(pstate, said(options, VS_OPTION_LATE_DATA),
						 psprintf("%s needs %s", vs_option_is("late_data", "include_in_next_window"),
								  vs_option_is("source_mode", "append")),
						 "In the mode \"changes\" a late row that is deleted would have to be found in the window it was put into.");
	if (options->late == VS_LATE_NEXT && window.kind == VS_WINDOW_SESSION)
		vs_window_refuse(pstate, said(options, VS_OPTION_LATE_DATA),
						 psprintf("%s is not for sessions",
								  vs_option_is("late_data", "include_in_next_window")),
						 "A session has no next one: use dead_letter, drop or update_previous.");
}

/*
 * Find a window call that is not a group key, a second one that is, or one in
 * an expression that is evaluated for each row.
 */
static bool
find_stray(Node *node, WindowSearch *search)
{
	VsWindow	window;
	VsWindowKind kind = window_kind(node);

	if (node == NULL)
		return false;
	if (kind > VS_WINDOW_TUMBLE)
	{
		/* the first one of the keys is the window, whatever the order here */
		if (!search->by_row && vs_window_find(search->query, &window) && equal(node, window.call))
			return false;
		search->stray = (FuncExpr *) node;
		return true;
	}
	if (IsA(node, Aggref) && !search->by_row)
	{
		bool		found;

		search->by_row = true;
		found = expression_tree_walker(node, find_stray, search);
		search->by_row = false;
		return found;
	}
	return expression_tree_walker(node, find_stray, search);
}

/* Refuse a query for its window, with a hint how to do without. */
void
vs_window_refuse(ParseState *pstate, int location, const char *message, const char *hint)
{
	ereport(ERROR,
			(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
			 errmsg("%s", message),
			 errhint("%s", hint),
			 parser_errposition(pstate, location)));
}

/* ----------
 * Expressions of delta queries
 * ----------
 */

static Oid
window_function(const char *name, int nargs, Oid time, Oid length)
{
	Oid			argtypes[] = {time, length};

	return LookupFuncName(list_make2(makeString(VS_SCHEMA_NAME), makeString(pstrdup(name))),
						  nargs, argtypes, false);
}

/*
 * What the delta is grouped by in the place of the window.  A row that comes
 * too late for its own windows may count in the first one that is open.
 */
Expr *
vs_window_pane(const VsWindow *window, VsLateData late, bool timed)
{
	Interval   *pane = palloc0(sizeof(Interval));
	Expr	   *time = copyObject(window->time);

	if (timed && late == VS_LATE_NEXT)
		time = (Expr *) makeFuncExpr(window_function("open_time", 1, ANYELEMENTOID, InvalidOid),
									 window->type, list_make1(time), InvalidOid, InvalidOid,
									 COERCE_EXPLICIT_CALL);
	if (window->type == DATEOID)
		pane->day = window->pane / USECS_PER_DAY;
	else
		pane->time = window->pane;
	return (Expr *) makeFuncExpr(window_function("tumble", 2, window->type, INTERVALOID),
								 window->type,
								 list_make2(time,
											makeConst(INTERVALOID, -1, InvalidOid,
													  sizeof(Interval), IntervalPGetDatum(pane),
													  false, false)),
								 InvalidOid, InvalidOid, COERCE_EXPLICIT_CALL);
}

/* velostream.admit(time): see process/vs_clock.c. */
Expr *
vs_window_admit(const VsWindow *window)
{
	return (Expr *) makeFuncExpr(window_function("admit", 1, ANYELEMENTOID, InvalidOid), BOOLOID,
								 list_make1(copyObject(window->time)), InvalidOid, InvalidOid,
								 COERCE_EXPLICIT_CALL);
}

/* Put a call of velostream.usable_time() around each event time. */
static Node *
guard_time(Node *node, void *arg)
{
	const VsWindow *window = arg;

	if (node == NULL)
		return NULL;
	if (equal(node, window->time))
	{
		Oid			argtypes[] = {ANYELEMENTOID, INT8OID, INT8OID};
		Const	   *first = makeConst(INT8OID, -1, InvalidOid, sizeof(int64),
									  Int64GetDatum(window->first), false, FLOAT8PASSBYVAL);
		Const	   *limit = makeConst(INT8OID, -1, InvalidOid, sizeof(int64),
									  Int64GetDatum(window->limit), false, FLOAT8PASSBYVAL);
		Oid			funcid = LookupFuncName(list_make2(makeString(VS_SCHEMA_NAME),
													   makeString("usable_time")),
											lengthof(argtypes), argtypes, false);

		return (Node *) makeFuncExpr(funcid, window->type,
									 list_make3(copyObject(node), first, limit),
									 InvalidOid, InvalidOid, COERCE_EXPLICIT_CALL);
	}
	return expression_tree_mutator(node, guard_time, arg);
}

/*
 * A key for rows that admit() has not seen: what is computed from the event
 * time is computed from NULL where admit() would turn the row away for want of
 * one, instead of failing.  The window is NULL then, as it never is for a row
 * that counts.
 */
Expr *
vs_window_guard(const VsWindow *window, Expr *key)
{
	if (equal(key, window->time))
		return copyObject(key);
	return (Expr *) guard_time((Node *) key, (void *) window);
}

/* min or max of the event time, as parse analysis would make it. */
Aggref *
vs_window_extremum(const VsWindow *window, const char *name)
{
	Aggref	   *aggref = makeNode(Aggref);
	Oid			argtypes[] = {window->type};

	aggref->aggfnoid = LookupFuncName(list_make2(makeString("pg_catalog"),
												 makeString(pstrdup(name))), 1, argtypes, false);
	aggref->aggtype = window->type;
	aggref->aggargtypes = list_make1_oid(window->type);
	aggref->args = list_make1(makeTargetEntry(copyObject(window->time), 1, NULL, false));
	aggref->aggkind = AGGKIND_NORMAL;
	aggref->aggsplit = AGGSPLIT_SIMPLE;
	aggref->aggno = -1;
	aggref->aggtransno = -1;
	aggref->location = -1;
	return aggref;
}
