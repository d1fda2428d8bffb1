/*-------------------------------------------------------------------------
 *
 * vs_lower.c
 *	  A SELECT of the dialect in plain SQL: windows are functions of the schema
 *	  velostream among the group keys, or at the head of PARTITION BY.
 *
 * What is to be inserted into expressions is inserted by hooks of parse
 * analysis that see each name of a column: _window_start and _window_end
 * become calls of those functions, names that are no column but an alias of
 * the select list become the expression they stand for.  Where we need such a
 * place ourselves, the raw tree has the name of a column that cannot be
 * another's: MARKER.key, the window among the group keys, and MARKER.time, the
 * event time.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/relation.h"
#include "catalog/namespace.h"
#include "catalog/pg_proc.h"
#include "catalog/pg_type.h"
#include "dialect/vs_dialect_internal.h"
#include "miscadmin.h"
#include "nodes/makefuncs.h"
#include "nodes/nodeFuncs.h"
#include "parser/analyze.h"
#include "parser/parse_expr.h"
#include "parser/parse_node.h"
#include "optimizer/optimizer.h"
#include "parser/parse_relation.h"
#include "plan/vs_plan.h"
#include "registry/vs_registry.h"
#include "rewrite/rewriteHandler.h"
#include "utils/builtins.h"
#include "utils/formatting.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"
#include "utils/timestamp.h"
#include "utils/varlena.h"
#include "velostream.h"

#define MARKER	"velostream window"

/* More uses of aliases than this are a mistake, or malice: each doubles, and so on. */
#define MAX_ALIASES 10000

/* Functions that are found without the prefix "velostream.". */
const char *const vs_dialect_functions[] = {
	"approx_count_distinct", "collect", "count_distinct", "date_format", "datediff", "delta",
	"first", "first_value", "from_unixtime", "group_concat", "last", "last_value", "listagg",
	"median", "tumble_end", "tumble_start", "unix_timestamp", NULL
};

static void add_window(VsSelect *sel);
static void show_window(VsSelect *sel);
static bool is_bound(Node *node, const char *which);
static void set_default_time(VsSelect *sel, int location, bool required);
static Node *default_time(Oid relid, int location);
static Node *end_of_window(Oid relid, int location);
static void add_buffers(VsSelect *sel);
static bool add_buffer(Node *node, void *context);
static bool name_functions(Node *node, void *context);
static void add_time(VsSelect *sel, FuncCall *call);
static bool is_hidden(const char *name, int nargs);
static void set_hooks(ParseState *pstate, void *arg);
static Node *before_column(ParseState *pstate, ColumnRef *ref);
static void check_bound(ParseState *pstate, VsSelect *sel, ColumnRef *ref);
static Node *aliased(ParseState *pstate, VsSelect *sel, ColumnRef *ref);
static Node *after_column(ParseState *pstate, ColumnRef *ref, Node *column);
static Node *transform_time(ParseState *pstate, VsSelect *sel);
static Node *window_start(VsSelect *sel);
static Node *window_end(VsSelect *sel);

static ColumnRef *
column(List *fields, int location)
{
	ColumnRef  *ref = makeNode(ColumnRef);

	ref->fields = fields;
	ref->location = location;
	return ref;
}

static Node *
marker(VsSelect *sel, const char *what)
{
	return (Node *) column(list_make2(makeString(MARKER), makeString(pstrdup(what))),
						   sel->window_location);
}

/* Turn a query into plain SQL, but for what the hooks do when it is analyzed. */
void
vs_lower_select(VsSelect *sel)
{
	const char *field;
	int			location;

	field = vs_property(sel, "event.time.field", &location);
	if (field && sel->ts == NULL)
	{
		List	   *names = NIL;
		List	   *fields = NIL;
		ListCell   *lc;

		if (!SplitIdentifierString(pstrdup(field), '.', &names) || names == NIL)
			ereport(ERROR,
					(errcode(ERRCODE_INVALID_NAME),
					 errmsg("invalid name of a column: \"%s\"", field),
					 vs_position(sel->stmt, location)));
		foreach(lc, names)
			fields = lappend(fields, makeString(lfirst(lc)));
		sel->ts = (Node *) column(fields, location);
		sel->ts_is_field = true;
	}
	if (sel->window != VS_WINDOW_NONE)
	{
		if (sel->ts == NULL)
			set_default_time(sel, sel->window_location, true);
		add_window(sel);
	}
	add_buffers(sel);
	name_functions((Node *) sel->select, sel);
	if (field && !(sel->ts_is_field && (sel->window != VS_WINDOW_NONE || sel->ts_used)))
		ereport(NOTICE,
				(errmsg("property \"%s\" has no effect in this query", "event.time.field"),
				 errdetail("It is the event time of WINDOW, where this has none of its own, of FIRST and LAST, and of EXPIRE AFTER.")));
}

/* The window, and the keys of a session, among the group keys. */
static void
add_window(VsSelect *sel)
{
	SelectStmt *select = sel->select;
	ListCell   *lc;

	show_window(sel);
	foreach(lc, sel->keys)
	{
		if (!list_member(select->groupClause, lfirst(lc)))
			select->groupClause = lappend(select->groupClause, lfirst(lc));
	}
	select->groupClause = lappend(select->groupClause, marker(sel, "key"));
}

/* The bound that identifies a window is a column of the output. */
static void
show_window(VsSelect *sel)
{
	const char *bound = sel->window == VS_WINDOW_CUMULATE ? "_window_end" : "_window_start";
	ResTarget  *target = makeNode(ResTarget);
	ListCell   *lc;

	foreach(lc, sel->select->targetList)
	{
		if (is_bound(lfirst_node(ResTarget, lc)->val, bound))
			return;
	}
	target->name = pstrdup(bound);
	target->val = marker(sel, "key");
	target->location = -1;
	sel->select->targetList = lappend(sel->select->targetList, target);
	ereport(NOTICE,
			(errmsg("column \"%s\" is added to the output", bound),
			 errdetail("It is not selected; the output needs it to identify its rows.")));
}

/* Is it a column's name, without a table, that equals "which" in any case? */
static bool
is_bound(Node *node, const char *which)
{
	List	   *fields;

	if (!IsA(node, ColumnRef))
		return false;
	fields = ((ColumnRef *) node)->fields;
	return list_length(fields) == 1 && IsA(linitial(fields), String) &&
		pg_strcasecmp(strVal(linitial(fields)), which) == 0;
}

/*
 * Nobody said what the event time is: the one that the source has by itself.
 * If it has none, that is an error where one is required.
 */
static void
set_default_time(VsSelect *sel, int location, bool required)
{
	List	   *from = sel->select->fromClause;

	if (list_length(from) == 1 && IsA(linitial(from), RangeVar))
	{
		Oid			relid = RangeVarGetRelid(linitial_node(RangeVar, from), NoLock, true);

		if (!OidIsValid(relid))
			return;				/* PostgreSQL will say that */
		sel->ts = default_time(relid, location);
		if (sel->ts != NULL)
			return;
	}
	if (!required)
		return;
	ereport(ERROR,
			(errcode(ERRCODE_UNDEFINED_COLUMN),
			 errmsg("the window has no event time"),
			 errhint("Name it as the first argument, as in WINDOW TUMBLING(ts, 5m), or by WITH ('event.time.field' = 'ts')."),
			 vs_position(sel->stmt, location)));
}

/* The event time that a relation has by itself, raw, or NULL. */
static Node *
default_time(Oid relid, int location)
{
	static const char *const names[] = {"_event_time", "_window_end", "_timestamp"};
	Node	   *result = NULL;

	for (int i = 0; i < lengthof(names) && result == NULL; i++)
	{
		if (get_attnum(relid, names[i]) != InvalidAttrNumber)
			result = (Node *) column(list_make1(makeString(pstrdup(names[i]))), location);
		else if (strcmp(names[i], "_window_end") == 0)
			result = end_of_window(relid, location);
	}
	return result;
}

/*
 * The end of the window of a row, raw, if the relation is the output of a query
 * with a window and shows enough for that; else NULL.
 */
static Node *
end_of_window(Oid relid, int location)
{
	VsQueryEntry entry;
	VsWindow	window;
	Relation	view;
	Query	   *query;
	TargetEntry *key;
	A_Const    *length;
	TypeCast   *cast;
	Node	   *bound;

	if (!vs_registry_exists() || !vs_registry_read(relid, &entry))
		return NULL;
	view = relation_open(entry.view, AccessShareLock);
	query = copyObject(get_view_query(view));
	relation_close(view, NoLock);
	vs_flatten_groups(query);
	/* of sessions, the first time alone tells no end */
	if (!vs_window_find(query, &window) || window.kind == VS_WINDOW_SESSION)
		return NULL;
	key = get_sortgroupclause_tle(list_nth(query->groupClause, window.key), query->targetList);
	bound = (Node *) column(list_make1(makeString(get_attname(relid, key->resno, false))), location);
	if (window.kind == VS_WINDOW_CUMULATE)
		return bound;

	length = makeNode(A_Const);
	length->val.sval.type = T_String;
	length->val.sval.sval = window.type == DATEOID ?
		psprintf(INT64_FORMAT " days", window.size / USECS_PER_DAY) :
		psprintf(INT64_FORMAT " microseconds", window.size);
	length->location = location;
	cast = makeNode(TypeCast);
	cast->arg = (Node *) length;
	cast->typeName = SystemTypeName("interval");
	cast->location = location;
	return (Node *) makeFuncCall(list_make2(makeString(VS_SCHEMA_NAME), makeString("window_end")),
								 list_make2(bound, cast), COERCE_EXPLICIT_CALL, location);
}

/* Each ROWS WINDOW as velostream.buffer() at the head of PARTITION BY. */
static void
add_buffers(VsSelect *sel)
{
	ListCell   *lc;

	if (sel->buffers == NIL)
		return;
	foreach(lc, sel->buffers)
	{
		VsBuffer   *buffer = lfirst(lc);

		if (buffer->expire != NULL && sel->ts == NULL)
			set_default_time(sel, buffer->location, false);
	}
	(void) add_buffer((Node *) sel->select, sel);
	foreach(lc, sel->buffers)
	{
		VsBuffer   *buffer = lfirst(lc);

		if (!buffer->used)
			vs_syntax_error(sel->stmt, buffer->token + 1, "ROWS WINDOW belongs in OVER (...).");
	}
}

/* If this is a window that was written with a buffer, give it that. */
static bool
add_buffer(Node *node, void *context)
{
	VsSelect   *sel = context;
	ListCell   *lc;

	if (node == NULL)
		return false;
	foreach(lc, IsA(node, WindowDef) ? sel->buffers : NIL)
	{
		WindowDef  *window = (WindowDef *) node;
		VsBuffer   *buffer = lfirst(lc);
		A_Const    *size;
		List	   *args;

		if (window->location != sel->stmt->tokens[buffer->token].location)
			continue;
		size = makeNode(A_Const);
		size->val.ival.type = T_Integer;
		size->val.ival.ival = buffer->size;
		size->location = buffer->location;
		args = list_make1(size);
		if (buffer->expire != NULL)
			args = lappend(args, buffer->expire);
		if (buffer->expire != NULL && sel->ts != NULL)
		{
			args = lappend(args, marker(sel, "time"));
			sel->ts_used = true;
		}
		window->partitionClause = lcons(makeFuncCall(list_make2(makeString(VS_SCHEMA_NAME), makeString("buffer")),
													 args, COERCE_EXPLICIT_CALL, buffer->location),
										window->partitionClause);
		buffer->used = true;
	}
	return raw_expression_tree_walker(node, add_buffer, context);
}

/* ----------
 * Functions
 * ----------
 */

/*
 * Find functions of ours without a prefix.  With OVER, FIRST_VALUE and
 * LAST_VALUE are PostgreSQL's.
 */
static bool
name_functions(Node *node, void *context)
{
	VsSelect   *sel = context;
	FuncCall   *call = (FuncCall *) node;

	if (node == NULL)
		return false;
	if (IsA(node, FuncCall) && list_length(call->funcname) == 1)
	{
		const char *name = strVal(linitial(call->funcname));
		bool		value = strcmp(name, "first_value") == 0 || strcmp(name, "last_value") == 0;
		int			i = 0;

		while (vs_dialect_functions[i] && strcmp(vs_dialect_functions[i], name) != 0)
			i++;
		if (vs_dialect_functions[i] && !(value && call->over) &&
			!is_hidden(name, list_length(call->args)))
		{
			if (value)
				name = strcmp(name, "first_value") == 0 ? "first" : "last";
			if ((strcmp(name, "first") == 0 || strcmp(name, "last") == 0) &&
				list_length(call->args) == 1)
				add_time(sel, call);
			call->funcname = list_make2(makeString(pstrdup(VS_SCHEMA_NAME)), makeString(pstrdup(name)));
		}
	}
	return raw_expression_tree_walker(node, name_functions, context);
}

/*
 * FIRST and LAST go by the event time; without one, by the order in which rows
 * arrive, where that is known, or that of a buffer.
 */
static void
add_time(VsSelect *sel, FuncCall *call)
{
	if (sel->ts == NULL && call->agg_order == NIL)
		set_default_time(sel, call->location, false);
	if (sel->ts != NULL)
	{
		call->args = lappend(call->args, marker(sel, "time"));
		sel->ts_used = true;
	}
}

/* Does the search_path lead to another function that could be called so? */
static bool
is_hidden(const char *name, int nargs)
{
	Oid			ours = get_namespace_oid(VS_SCHEMA_NAME, true);
	FuncCandidateList candidate;

	candidate = FuncnameGetCandidates(list_make1(makeString(pstrdup(name))), nargs, NIL,
									  true, true, false, true);
	for (; candidate; candidate = candidate->next)
	{
		if (get_func_namespace(candidate->oid) != ours &&
			get_func_prokind(candidate->oid) != PROKIND_WINDOW)
			return true;
	}
	return false;
}

/* ----------
 * Analysis
 * ----------
 */

/* Analyze a statement that contains a lowered query. */
Query *
vs_analyze(VsSelect *sel, Node *statement)
{
	RawStmt    *raw = makeNode(RawStmt);
	Query	   *result;

	raw->stmt = statement;
	sel->stmt->parsed = sel->text;
	result = parse_analyze_withcb(raw, sel->text, set_hooks, sel, NULL);
	sel->stmt->parsed = NULL;
	return result;
}

static void
set_hooks(ParseState *pstate, void *arg)
{
	pstate->p_pre_columnref_hook = before_column;
	pstate->p_post_columnref_hook = after_column;
	pstate->p_ref_hook_state = arg;
}

/*
 * A name that means something to us.  In the event time, _window_start is a
 * column of the source.
 */
static Node *
before_column(ParseState *pstate, ColumnRef *ref)
{
	VsSelect   *sel = pstate->p_ref_hook_state;
	Node	   *raw;

	if (list_length(ref->fields) == 2 && IsA(linitial(ref->fields), String) &&
		strcmp(strVal(linitial(ref->fields)), MARKER) == 0 && IsA(lsecond(ref->fields), String))
	{
		if (strcmp(strVal(lsecond(ref->fields)), "time") == 0 && sel->ts != NULL)
			return transform_time(pstate, sel);
		if (strcmp(strVal(lsecond(ref->fields)), "key") != 0 || sel->window == VS_WINDOW_NONE)
			return NULL;
		raw = sel->window == VS_WINDOW_CUMULATE ? window_end(sel) : window_start(sel);
	}
	else if (sel->window != VS_WINDOW_NONE && !sel->in_time &&
			 (is_bound((Node *) ref, "_window_start") || is_bound((Node *) ref, "_window_end")))
	{
		check_bound(pstate, sel, ref);
		raw = is_bound((Node *) ref, "_window_start") ? window_start(sel) : window_end(sel);
	}
	else if ((raw = aliased(pstate, sel, ref)) == NULL)
		return NULL;
	return transformExpr(pstate, raw, pstate->p_expr_kind);
}

/* Of a single row, only tumbling windows tell the bounds of its window. */
static void
check_bound(ParseState *pstate, VsSelect *sel, ColumnRef *ref)
{
	if (sel->window != VS_WINDOW_TUMBLE &&
		(pstate->p_expr_kind == EXPR_KIND_WHERE || pstate->p_expr_kind == EXPR_KIND_FILTER))
		ereport(ERROR,
				(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
				 errmsg("\"%s\" of this window cannot be used in %s", strVal(linitial(ref->fields)),
						ParseExprKindName(pstate->p_expr_kind)),
				 errhint("Use HAVING, or the event time."),
				 parser_errposition(pstate, ref->location)));
}

/*
 * The expression that a name stands for, if it is an alias of an item of the
 * select list before it, and no column.  (The name of a table stands for its
 * rows, in PostgreSQL; an alias comes first.)
 */
static Node *
aliased(ParseState *pstate, VsSelect *sel, ColumnRef *ref)
{
	const char *name;
	ListCell   *lc;

	if (list_length(ref->fields) != 1 || !IsA(linitial(ref->fields), String) ||
		(pstate->p_expr_kind != EXPR_KIND_SELECT_TARGET && pstate->p_expr_kind != EXPR_KIND_GROUP_BY &&
		 pstate->p_expr_kind != EXPR_KIND_HAVING && !sel->in_time))
		return NULL;

	name = strVal(linitial(ref->fields));
	foreach(lc, sel->items)
	{
		ResTarget  *item = lfirst_node(ResTarget, lc);
		int			end = lnext(sel->items, lc) ?
		lfirst_node(ResTarget, lnext(sel->items, lc))->location : sel->list_end;

		if (item->name == NULL || strcmp(item->name, name) != 0 || ref->location < end ||
			colNameToVar(pstate, name, false, ref->location) != NULL)
			continue;
		check_stack_depth();
		if (++sel->aliases > MAX_ALIASES)
			ereport(ERROR,
					(errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED),
					 errmsg("aliases are used too often"),
					 errhint("Compute the repeated expression in a view over the source."),
					 parser_errposition(pstate, ref->location)));
		return copyObject(item->val);
	}
	return NULL;
}

/* A name that is nothing yet: the error for those that need a window. */
static Node *
after_column(ParseState *pstate, ColumnRef *ref, Node *found)
{
	VsSelect   *sel = pstate->p_ref_hook_state;

	if (found == NULL && sel->window == VS_WINDOW_NONE &&
		(is_bound((Node *) ref, "_window_start") || is_bound((Node *) ref, "_window_end")))
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_COLUMN),
				 errmsg("column \"%s\" does not exist", strVal(linitial(ref->fields))),
				 errhint("The bounds of a window need a WINDOW clause."),
				 parser_errposition(pstate, ref->location)));
	return NULL;
}

/* The event time, which must be of a type that has windows. */
static Node *
transform_time(ParseState *pstate, VsSelect *sel)
{
	Node	   *result;

	if (sel->in_time)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_COLUMN_REFERENCE),
				 errmsg("the event time depends on itself"),
				 parser_errposition(pstate, exprLocation(sel->ts))));
	sel->in_time = true;
	result = transformExpr(pstate, copyObject(sel->ts), pstate->p_expr_kind);
	sel->in_time = false;
	switch (getBaseType(exprType(result)))
	{
		case TIMESTAMPOID:
		case TIMESTAMPTZOID:
		case DATEOID:
		case INT8OID:
		case INT4OID:
		case INT2OID:
			break;
		default:
			ereport(ERROR,
					(errcode(ERRCODE_DATATYPE_MISMATCH),
					 errmsg("event time cannot be of type %s", format_type_be(exprType(result))),
					 errhint("Its types are timestamp, timestamptz, date, and bigint or integer for milliseconds since 1970."),
					 parser_errposition(pstate, exprLocation(sel->ts))));
	}
	return result;
}

/* velostream.name(...) */
static Node *
call(VsSelect *sel, const char *name, List *args)
{
	return (Node *) makeFuncCall(list_make2(makeString(pstrdup(VS_SCHEMA_NAME)),
											makeString(pstrdup(name))),
								 args, COERCE_EXPLICIT_CALL, sel->window_location);
}

/* cumulate(ts, step, size): ends of windows */
static Node *
cumulate(VsSelect *sel)
{
	return call(sel, "cumulate", list_make3(marker(sel, "time"), copyObject(sel->step),
											copyObject(sel->size)));
}

/* The start of the window that a row is in, raw. */
static Node *
window_start(VsSelect *sel)
{
	switch (sel->window)
	{
		case VS_WINDOW_HOP:
			return call(sel, "hop", list_make3(marker(sel, "time"), copyObject(sel->size),
											   copyObject(sel->step)));
		case VS_WINDOW_CUMULATE:
			return call(sel, "cumulate_start", list_make2(cumulate(sel), copyObject(sel->size)));
		case VS_WINDOW_SESSION:
			return call(sel, "session", list_make2(marker(sel, "time"), copyObject(sel->size)));
		default:
			return call(sel, "tumble", list_make2(marker(sel, "time"), copyObject(sel->size)));
	}
}

/* Its end, raw; a session's depends on all rows of it. */
static Node *
window_end(VsSelect *sel)
{
	Node	   *last;

	switch (sel->window)
	{
		case VS_WINDOW_CUMULATE:
			return cumulate(sel);
		case VS_WINDOW_SESSION:
			last = (Node *) makeFuncCall(SystemFuncName("max"), list_make1(marker(sel, "time")),
										 COERCE_EXPLICIT_CALL, sel->window_location);
			return call(sel, "window_end", list_make2(last, copyObject(sel->size)));
		default:
			return call(sel, "window_end", list_make2(window_start(sel), copyObject(sel->size)));
	}
}
