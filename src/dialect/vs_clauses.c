/*-------------------------------------------------------------------------
 *
 * vs_clauses.c
 *	  A SELECT of the dialect, taken apart: its own clauses are read here and
 *	  blanked out, the rest is parsed by PostgreSQL.
 *
 * Clauses are told by words outside of all parentheses.  WINDOW is ours where
 * a parenthesis follows the name behind it; PostgreSQL has AS there.  Only
 * ROWS WINDOW is inside of parentheses: right behind one, where PostgreSQL
 * never has these two words.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "dialect/vs_dialect_internal.h"
#include "functions/vs_window_funcs.h"
#include "nodes/makefuncs.h"
#include "nodes/nodeFuncs.h"
#include "optimizer/optimizer.h"
#include "parser/parse_coerce.h"
#include "parser/parse_expr.h"
#include "parser/parse_node.h"
#include "utils/formatting.h"
#include "utils/timestamp.h"

#define DURATION_HINT	"Write 5m, 500ms, 1.5h, 1d, a number of seconds, or INTERVAL '5 minutes'."

/* An argument of WINDOW: tokens from first up to end. */
typedef struct Argument
{
	int			first;
	int			end;
} Argument;

typedef struct WindowName
{
	const char *word;
	VsWindowKind kind;
	const char *lengths[2];
	const char *usage;
} WindowName;

static const WindowName window_names[] = {
	{"tumbling", VS_WINDOW_TUMBLE, {"size"},
	"Write WINDOW TUMBLING([time,] size), as in WINDOW TUMBLING(ts, 5m)."},
	{"sliding", VS_WINDOW_HOP, {"size", "advance"},
	"Write WINDOW SLIDING([time,] size, advance), as in WINDOW SLIDING(ts, 5m, 1m)."},
	{"hopping", VS_WINDOW_HOP, {"size", "advance"},
	"Write WINDOW HOPPING([time,] size, advance), as in WINDOW HOPPING(ts, 5m, 1m)."},
	{"cumulate", VS_WINDOW_CUMULATE, {"step", "size"},
	"Write WINDOW CUMULATE([time,] step, size), as in WINDOW CUMULATE(ts, 1m, 5m)."},
	{"session", VS_WINDOW_SESSION, {"gap"},
	"Write WINDOW SESSION([time,] gap [, key ...]), as in WINDOW SESSION(ts, 5m)."},
	{NULL}
};

static const struct
{
	const char *letters;
	const char *unit;
}			duration_units[] = {
	{"ms", "milliseconds"}, {"s", "seconds"}, {"m", "minutes"}, {"h", "hours"},
	{"d", "days"}, {"w", "weeks"}
};

static int	read_clauses(VsSelect *sel);
static void check_key_items(VsSelect *sel);
static void blank(VsSelect *sel, int first, int end);
static int	read_tail(VsSelect *sel, int at);
static int	read_property(VsSelect *sel, int at);
static int	read_window(VsSelect *sel, int at);
static void read_buffer(VsSelect *sel, int at);
static int	read_expire(VsSelect *sel, VsBuffer *buffer, int at);
static List *read_arguments(VsStatement *stmt, int *at, const char *usage);
static int	foreign_words(VsStatement *stmt, Argument *argument);
static void refuse_foreign(VsStatement *stmt, const WindowName *window, List *arguments);
static void set_arguments(VsSelect *sel, const WindowName *window, List *arguments, int end);
static void check_arguments(VsStatement *stmt, const WindowName *window, List *arguments,
							bool has_time, int end);
static bool has_column(Node *node, void *context);
static bool is_number(VsToken *token);
static char *text_of(VsStatement *stmt, int first, int end);
static char *short_duration(VsStatement *stmt, int first, int end);
static bool is_duration(VsStatement *stmt, Argument *argument);
static Node *read_expression(VsStatement *stmt, Argument *argument);
static Node *read_duration(VsStatement *stmt, Argument *argument, const char *what, int64 *length);
static Node *read_number(VsStatement *stmt, const char *number, int location);
static int64 check_duration(VsStatement *stmt, Node *duration, const char *what, int location);
static void duration_error(void *arg);

/* See vs_dialect_internal.h. */
VsSelect *
vs_read_select(VsStatement *stmt)
{
	VsSelect   *sel = palloc0(sizeof(VsSelect));
	int			first = stmt->at;
	List	   *parsed;

	sel->stmt = stmt;
	sel->list_end = INT_MAX;
	sel->emit_location = -1;
	sel->window_location = -1;
	if (vs_peek(stmt)->code == 0)
		vs_syntax_error(stmt, stmt->at, "A SELECT is expected here.");
	while (vs_peek(stmt)->code != 0)
		stmt->at++;
	sel->text = vs_blank(stmt, first, stmt->at);
	stmt->at = first;
	while (vs_peek(stmt)->code != 0)
		stmt->at = read_clauses(sel);

	if (!sel->emit_said)
		sel->emit = sel->window == VS_WINDOW_NONE ? VS_EMIT_CHANGES : VS_EMIT_FINAL;

	parsed = vs_parse(stmt, sel->text, RAW_PARSE_DEFAULT);
	if (list_length(parsed) != 1 ||
		!IsA(linitial_node(RawStmt, parsed)->stmt, SelectStmt))
		vs_syntax_error(stmt, first, "A SELECT is expected here.");
	sel->select = castNode(SelectStmt, linitial_node(RawStmt, parsed)->stmt);
	sel->items = list_copy(sel->select->targetList);
	if (sel->primary_key != NIL)
		check_key_items(sel);
	if (sel->select->intoClause)
		ereport(ERROR,
				(errcode(ERRCODE_SYNTAX_ERROR),
				 errmsg("SELECT INTO is not allowed here"),
				 errhint("Use CREATE STREAM or CREATE TABLE ... AS SELECT."),
				 vs_position(stmt, sel->select->intoClause->rel->location)));
	if (sel->select->op != SETOP_NONE &&
		(sel->window != VS_WINDOW_NONE || sel->primary_key != NIL))
		ereport(ERROR,
				(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
				 errmsg("%s cannot be combined with UNION, INTERSECT or EXCEPT",
						sel->window != VS_WINDOW_NONE ? "WINDOW" : "PRIMARY KEY"),
				 errhint("Make each branch a stream or table of its own, and combine them in a view."),
				 vs_position(stmt, sel->window != VS_WINDOW_NONE ?
							 sel->window_location : sel->primary_key_location)));
	return sel;
}

/* PRIMARY KEY names an item of the list as written: none before it may be several columns. */
static void
check_key_items(VsSelect *sel)
{
	ListCell   *lc;

	foreach(lc, sel->items)
	{
		Node	   *item = lfirst_node(ResTarget, lc)->val;

		if (foreach_current_index(lc) > llast_int(sel->primary_key))
			break;
		if ((IsA(item, ColumnRef) && IsA(llast(((ColumnRef *) item)->fields), A_Star)) ||
			(IsA(item, A_Indirection) && IsA(llast(((A_Indirection *) item)->indirection), A_Star)))
			ereport(ERROR,
					(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
					 errmsg("PRIMARY KEY cannot be combined with * before it"),
					 errhint("Write the columns, or put * behind them."),
					 vs_position(sel->stmt, lfirst_node(ResTarget, lc)->location)));
	}
}

/* Blank out tokens from first up to end. */
static void
blank(VsSelect *sel, int first, int end)
{
	VsToken    *tokens = sel->stmt->tokens;

	memset(sel->text +tokens[first].location, ' ', tokens[end].location - tokens[first].location);
}

pg_noreturn static void
refuse(VsSelect *sel, int token, const char *what, const char *hint)
{
	ereport(ERROR,
			(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
			 errmsg("continuous queries do not support %s", what),
			 errhint("%s", hint),
			 vs_position(sel->stmt, sel->stmt->tokens[token].location)));
}

/*
 * Read all clauses of ours, from the token to be read next, and blank them
 * out.  Returns the token behind.
 */
static int
read_clauses(VsSelect *sel)
{
	VsStatement *stmt = sel->stmt;
	VsToken    *tokens = stmt->tokens;
	int			i = stmt->at;
	bool		in_list = false;	/* between SELECT and FROM */
	bool		past_from = false;
	int			item = 0;

	for (; tokens[i].code != 0; i++)
	{
		const char *word = tokens[i].word;
		int			end;

		if (tokens[i].code == '(' && strcmp(tokens[i + 1].word, "rows") == 0 &&
			strcmp(tokens[i + 2].word, "window") == 0)
			read_buffer(sel, i);
		if (tokens[i].depth > 0)
			continue;

		if (strcmp(word, "select") == 0 && !past_from)
			in_list = true;
		else if (strcmp(word, "from") == 0 && (i == 0 || strcmp(tokens[i - 1].word, "distinct") != 0))
		{
			if (!past_from)
				sel->list_end = tokens[i].location;
			in_list = false;
			past_from = true;
		}
		else if (tokens[i].code == ',' && in_list)
			item++;
		else if (strcmp(word, "join") == 0 && past_from)
			refuse(sel, i, "joins", "Read one table; join its output to the others in a view.");
		else if (strcmp(word, "primary") == 0 && strcmp(tokens[i + 1].word, "key") == 0)
		{
			if (!in_list ||
				(tokens[i + 2].code != ',' && strcmp(tokens[i + 2].word, "from") != 0))
				vs_syntax_error(stmt, in_list ? i + 2 : i,
								"PRIMARY KEY belongs behind an item of the select list.");
			if (sel->primary_key == NIL)
				sel->primary_key_location = tokens[i].location;
			sel->primary_key = lappend_int(sel->primary_key, item);
			blank(sel, i, i + 2);
			i++;
		}
		else if (strcmp(word, "window") == 0 && tokens[i + 1].value != NULL &&
				 tokens[i + 2].code == '(')
		{
			if (!past_from)
				vs_syntax_error(stmt, i, "WINDOW belongs behind FROM and WHERE.");
			end = read_window(sel, i);
			blank(sel, i, end);
			i = end - 1;
		}
		else if ((strcmp(word, "emit") == 0 && past_from && tokens[i + 1].code == VS_TOKEN_IDENT) ||
				 (strcmp(word, "with") == 0 && tokens[i + 1].code == '('))
		{
			end = read_tail(sel, i);
			blank(sel, i, end);
			return end;
		}
	}
	return i;
}

/* EMIT and WITH (...), which end the statement. */
static int
read_tail(VsSelect *sel, int at)
{
	VsStatement *stmt = sel->stmt;
	VsToken    *tokens = stmt->tokens;
	bool		has_with = false;

	while (tokens[at].code != 0)
	{
		if (strcmp(tokens[at].word, "emit") == 0 && !sel->emit_said)
		{
			sel->emit_said = true;
			sel->emit_location = tokens[at].location;
			if (strcmp(tokens[at + 1].word, "changes") == 0)
				sel->emit = VS_EMIT_CHANGES;
			else if (strcmp(tokens[at + 1].word, "final") == 0)
				sel->emit = VS_EMIT_FINAL;
			else
				vs_syntax_error(stmt, at + 1, "Write EMIT CHANGES or EMIT FINAL.");
			at += 2;
		}
		else if (strcmp(tokens[at].word, "with") == 0 && tokens[at + 1].code == '(' && !has_with)
		{
			has_with = true;
			at++;
			do
				at = read_property(sel, at + 1);
			while (tokens[at].code == ',');
			if (tokens[at].code != ')')
				vs_syntax_error(stmt, at, "Write WITH ('property' = 'value', ...).");
			at++;
		}
		else
			vs_syntax_error(stmt, at, "EMIT and WITH (...) end a statement, each at most once.");
	}
	return at;
}

/* 'name' = value */
static int
read_property(VsSelect *sel, int at)
{
	const char *usage = "Write WITH ('property' = 'value', ...).";
	VsStatement *stmt = sel->stmt;
	VsToken    *name = &stmt->tokens[at];
	VsToken    *value = &stmt->tokens[at + 2];
	VsProperty *property = palloc0(sizeof(VsProperty));

	if (name->code != VS_TOKEN_SCONST)
		vs_syntax_error(stmt, at, usage);
	if (name[1].code != '=')
		vs_syntax_error(stmt, at + 1, usage);
	property->name = name->value;
	property->location = name->location;
	property->value_location = value->location;
	if (value->value != NULL)
		property->value = value->value;
	else if (is_number(value))
		property->value = pnstrdup(stmt->text +value->location,
								   strspn(stmt->text +value->location,
										  "0123456789.abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"));
	else
		vs_syntax_error(stmt, at + 2, usage);
	sel->properties = lappend(sel->properties, property);
	return at + 3;
}

/* ----------
 * WINDOW
 * ----------
 */

/* WINDOW kind (...); returns the token behind. */
static int
read_window(VsSelect *sel, int at)
{
	VsStatement *stmt = sel->stmt;
	int			location = stmt->tokens[at].location;
	const WindowName *window = window_names;
	List	   *arguments;

	if (sel->window != VS_WINDOW_NONE)
		ereport(ERROR,
				(errcode(ERRCODE_SYNTAX_ERROR),
				 errmsg("a query has at most one WINDOW clause over time"),
				 errhint("Make one of the windows a stream or table of its own, and read that."),
				 vs_position(stmt, location)));
	while (window->word && strcmp(window->word, stmt->tokens[at + 1].word) != 0)
		window++;
	if (window->word == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_SYNTAX_ERROR),
				 errmsg("unrecognized kind of window \"%s\"", stmt->tokens[at + 1].value),
				 errhint("The kinds are TUMBLING, SLIDING (or HOPPING), CUMULATE and SESSION."),
				 vs_position(stmt, stmt->tokens[at + 1].location)));
	sel->window = window->kind;
	sel->window_location = location;
	at += 2;
	arguments = read_arguments(stmt, &at, window->usage);
	set_arguments(sel, window, arguments, at - 1);
	return at;
}

/*
 * ROWS WINDOW BUFFER n ROWS behind the parenthesis that is token "at", and
 * EXPIRE AFTER ... INACTIVITY wherever it is in there, are read and blanked out.
 */
static void
read_buffer(VsSelect *sel, int at)
{
	const char *usage = "Write OVER (ROWS WINDOW BUFFER 100 ROWS [PARTITION BY ...] [ORDER BY ...]).";
	VsStatement *stmt = sel->stmt;
	VsToken    *tokens = stmt->tokens;
	VsBuffer   *buffer = palloc0(sizeof(VsBuffer));
	const char *size;
	char	   *size_end;

	if (strcmp(tokens[at + 3].word, "buffer") != 0)
		vs_syntax_error(stmt, at + 3, usage);
	size = stmt->text +tokens[at + 4].location;
	if (tokens[at + 4].code == VS_TOKEN_ICONST)
		buffer->size = strtol(size, &size_end, 10);
	if (buffer->size < 1 || isalnum((unsigned char) *size_end) || *size_end == '_')
		ereport(ERROR,
				(errcode(ERRCODE_SYNTAX_ERROR),
				 errmsg("the size of a buffer must be a positive integer"),
				 errhint("%s", usage),
				 vs_position(stmt, tokens[at + 4].location)));
	if (strcmp(tokens[at + 5].word, "rows") != 0)
		vs_syntax_error(stmt, at + 5, usage);
	buffer->token = at;
	buffer->location = tokens[at + 4].location;
	blank(sel, at + 1, at + 6);
	for (int i = at + 6; tokens[i].code != 0 && tokens[i].depth > tokens[at].depth; i++)
	{
		if (tokens[i].depth == tokens[at].depth + 1 &&
			strcmp(tokens[i].word, "expire") == 0 && strcmp(tokens[i + 1].word, "after") == 0)
			i = read_expire(sel, buffer, i);
	}
	sel->buffers = lappend(sel->buffers, buffer);
}

/* EXPIRE AFTER duration INACTIVITY; returns its last token. */
static int
read_expire(VsSelect *sel, VsBuffer *buffer, int at)
{
	const char *usage = "Write EXPIRE AFTER INTERVAL '1 hour' INACTIVITY, once.";
	VsStatement *stmt = sel->stmt;
	VsToken    *tokens = stmt->tokens;
	Argument	duration = {at + 2, at + 2};
	int64		length;

	while (tokens[duration.end].code != 0 && tokens[duration.end].depth >= tokens[at].depth &&
		   strcmp(tokens[duration.end].word, "inactivity") != 0)
		duration.end++;
	if (buffer->expire != NULL)
		vs_syntax_error(stmt, at, usage);
	if (duration.end == duration.first || strcmp(tokens[duration.end].word, "inactivity") != 0)
		vs_syntax_error(stmt, duration.end, usage);
	buffer->expire = read_duration(stmt, &duration, "inactivity", &length);
	blank(sel, at, duration.end + 1);
	return duration.end;
}

/*
 * The arguments (Argument) in parentheses, of which the first is token *at;
 * *at becomes the token behind.
 */
static List *
read_arguments(VsStatement *stmt, int *at, const char *usage)
{
	VsToken    *tokens = stmt->tokens;
	int			depth = tokens[*at].depth;
	List	   *result = NIL;
	int			i = *at + 1;
	int			first = i;

	for (;; i++)
	{
		bool		end = tokens[i].code == ')' && tokens[i].depth == depth;

		if (tokens[i].code == 0)
			vs_syntax_error(stmt, i, "A parenthesis is not closed.");
		if (end || (tokens[i].code == ',' && tokens[i].depth == depth + 1))
		{
			Argument   *argument = palloc(sizeof(Argument));

			if (i == first)
				vs_syntax_error(stmt, i, usage);
			argument->first = first;
			argument->end = i;
			result = lappend(result, argument);
			first = i + 1;
		}
		if (end)
			break;
	}
	*at = i + 1;
	return result;
}

/*
 * SIZE, ADVANCE BY, GRACE PERIOD and RETENTION, each before a duration, are
 * ksqlDB's: how many words they are at the head of an argument, or 0.
 */
static int
foreign_words(VsStatement *stmt, Argument *argument)
{
	VsToken    *token = &stmt->tokens[argument->first];

	if ((strcmp(token->word, "size") == 0 || strcmp(token->word, "retention") == 0) &&
		is_number(token + 1))
		return 1;
	if ((strcmp(token->word, "advance") == 0 && strcmp(token[1].word, "by") == 0) ||
		(strcmp(token->word, "grace") == 0 && strcmp(token[1].word, "period") == 0))
		return 2;
	return 0;
}

/* An error that says how it is written here, if a window is written as ksqlDB has it. */
static void
refuse_foreign(VsStatement *stmt, const WindowName *window, List *arguments)
{
	StringInfoData ours;
	StringInfoData with;
	int			at = -1;
	int			lengths = 0;
	bool		has_time = false;
	ListCell   *lc;

	initStringInfo(&ours);
	initStringInfo(&with);
	foreach(lc, arguments)
	{
		Argument   *argument = lfirst(lc);
		int			words = foreign_words(stmt, argument);
		const char *word = words > 0 ? stmt->tokens[argument->first].word : "";
		char	   *value = short_duration(stmt, argument->first + words, argument->end);

		if (words > 0 && at < 0)
			at = argument->first;
		if (strcmp(word, "grace") == 0 || strcmp(word, "retention") == 0)
			appendStringInfo(&with, "%s'%s' = '%s'", with.len == 0 ? "" : ", ",
							 strcmp(word, "grace") == 0 ? "watermark.max_out_of_orderness" :
							 "window.retention", value);
		else
		{
			appendStringInfo(&ours, "%s%s", ours.len == 0 ? "" : ", ", value);
			if (words > 0 || is_duration(stmt, argument))
				lengths++;
			else
				has_time = true;
		}
	}
	if (at < 0)
		return;
	for (; lengths < lengthof(window->lengths) && window->lengths[lengths]; lengths++)
		appendStringInfo(&ours, "%s%s", ours.len == 0 ? "" : ", ", window->lengths[lengths]);
	vs_syntax_error(stmt, at,
					psprintf("Write WINDOW %s(%s%s)%s%s%s%s.",
							 asc_toupper(window->word, strlen(window->word)),
							 has_time ? "" : "ts, ", ours.data,
							 has_time ? "" : ", where ts is the event time",
							 with.len == 0 ? "" : "; and at the end of the statement, WITH (",
							 with.data, with.len == 0 ? "" : ")"));
}

/* Give the arguments of WINDOW their meaning; "end" is the token behind them. */
static void
set_arguments(VsSelect *sel, const WindowName *window, List *arguments, int end)
{
	VsStatement *stmt = sel->stmt;
	int			durations = window->lengths[1] ? 2 : 1;
	int			n = list_length(arguments);
	int			next = 0;
	bool		has_time;
	int64		size;
	int64		step;

	refuse_foreign(stmt, window, arguments);
	has_time = !is_duration(stmt, linitial(arguments)) &&
		(n > durations || window->kind == VS_WINDOW_SESSION ||
		 has_column(read_expression(stmt, linitial(arguments)), NULL));
	check_arguments(stmt, window, arguments, has_time, end);

	if (has_time)
		sel->ts = read_expression(stmt, list_nth(arguments, next++));
	switch (window->kind)
	{
		case VS_WINDOW_HOP:
			sel->size = read_duration(stmt, list_nth(arguments, next), "size", &size);
			sel->step = read_duration(stmt, list_nth(arguments, next + 1), "advance", &step);
			break;
		case VS_WINDOW_CUMULATE:
			sel->step = read_duration(stmt, list_nth(arguments, next), "step", &step);
			sel->size = read_duration(stmt, list_nth(arguments, next + 1), "size", &size);
			if (size % step != 0)
				ereport(ERROR,
						(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
						 errmsg("size of a cumulating window must be a multiple of its step"),
						 vs_position(stmt, stmt->tokens[((Argument *) list_nth(arguments, next + 1))->first].location)));
			break;
		case VS_WINDOW_SESSION:
			sel->size = read_duration(stmt, list_nth(arguments, next), "gap", &size);
			for (int i = next + 1; i < n; i++)
				sel->keys = lappend(sel->keys, read_expression(stmt, list_nth(arguments, i)));
			break;
		default:
			sel->size = read_duration(stmt, list_nth(arguments, next), "size", &size);
	}
}

/* Error out if there are too few lengths among the arguments of WINDOW, or too many. */
static void
check_arguments(VsStatement *stmt, const WindowName *window, List *arguments, bool has_time,
				int end)
{
	char	   *kind = asc_toupper(window->word, strlen(window->word));
	int			durations = window->lengths[1] ? 2 : 1;
	int			given = list_length(arguments) - has_time;

	if (given < durations)
		ereport(ERROR,
				(errcode(ERRCODE_SYNTAX_ERROR),
				 durations - given == 2 ?
				 errmsg("%s and %s of WINDOW %s are missing", window->lengths[0], window->lengths[1], kind) :
				 errmsg("%s of WINDOW %s is missing", window->lengths[given], kind),
				 errhint("%s", window->usage),
				 vs_position(stmt, stmt->tokens[end].location)));
	if (given > durations && window->kind != VS_WINDOW_SESSION)
	{
		Argument   *surplus = list_nth(arguments, durations + has_time);

		ereport(ERROR,
				(errcode(ERRCODE_SYNTAX_ERROR),
				 errmsg("WINDOW %s has too many arguments", kind),
				 errhint("%s", window->usage),
				 vs_position(stmt, stmt->tokens[surplus->first].location)));
	}
}

/* Does a raw expression name a column? */
static bool
has_column(Node *node, void *context)
{
	return node != NULL &&
		(IsA(node, ColumnRef) || raw_expression_tree_walker(node, has_column, context));
}

static bool
is_number(VsToken *token)
{
	return token->code == VS_TOKEN_ICONST || token->code == VS_TOKEN_FCONST;
}

/* The text of tokens from first up to end. */
static char *
text_of(VsStatement *stmt, int first, int end)
{
	int			from = stmt->tokens[first].location;
	int			length = stmt->tokens[end].location - from;

	while (length > 0 && isspace((unsigned char) stmt->text[from + length - 1]))
		length--;
	return pnstrdup(stmt->text +from, length);
}

/* The same, but 5m if it is 5 MINUTES or the like. */
static char *
short_duration(VsStatement *stmt, int first, int end)
{
	VsToken    *token = &stmt->tokens[first];

	for (int i = 0; end == first + 2 && is_number(token) && i < lengthof(duration_units); i++)
	{
		const char *unit = duration_units[i].unit;

		if (strcmp(token[1].word, unit) == 0 || strcmp(token[1].word, duration_units[i].letters) == 0 ||
			(strlen(token[1].word) == strlen(unit) - 1 &&
			 strncmp(token[1].word, unit, strlen(unit) - 1) == 0))
			return psprintf("%s%s", text_of(stmt, first, first + 1), duration_units[i].letters);
	}
	return text_of(stmt, first, end);
}

/* Does it look like a duration: a number, a string, INTERVAL ..., 5 MINUTES? */
static bool
is_duration(VsStatement *stmt, Argument *argument)
{
	VsToken    *token = &stmt->tokens[argument->first];

	if (argument->end == argument->first + 1)
		return is_number(token) || token->code == VS_TOKEN_SCONST;
	return (strcmp(token->word, "interval") == 0 &&
			(token[1].code == VS_TOKEN_SCONST || token[1].code == '(')) ||
		(is_number(token) && token[1].value != NULL);
}

/* An argument as an expression of PostgreSQL, raw. */
static Node *
read_expression(VsStatement *stmt, Argument *argument)
{
	List	   *parsed = vs_parse(stmt, vs_blank(stmt, argument->first, argument->end),
								  RAW_PARSE_PLPGSQL_EXPR);
	SelectStmt *select = castNode(SelectStmt, linitial_node(RawStmt, parsed)->stmt);
	SelectStmt *plain = makeNode(SelectStmt);
	ResTarget  *target;

	/* nothing of a SELECT but one expression */
	plain->targetList = select->targetList;
	if (list_length(select->targetList) != 1 || !equal(plain, select) ||
		(target = linitial_node(ResTarget, select->targetList))->name != NULL ||
		(IsA(target->val, ColumnRef) && IsA(linitial(((ColumnRef *) target->val)->fields), A_Star)))
		vs_syntax_error(stmt, argument->first, "An expression is expected here.");
	return target->val;
}

/*
 * An argument as a duration, raw; "what" names it in errors.  *length: in
 * microseconds.
 */
static Node *
read_duration(VsStatement *stmt, Argument *argument, const char *what, int64 *length)
{
	VsToken    *token = &stmt->tokens[argument->first];
	Node	   *result = NULL;

	if (argument->end == argument->first + 1)
	{
		if (is_number(token))
			result = read_number(stmt, stmt->text +token->location, token->location);
		else if (token->code == VS_TOKEN_SCONST &&
				 strlen(token->value) == strspn(token->value, "0123456789") + strspn(token->value + strspn(token->value, "0123456789"), "smhdw") &&
				 isalpha((unsigned char) token->value[strlen(token->value) - 1]) &&
				 isdigit((unsigned char) token->value[0]))
			result = read_number(stmt, token->value, token->location);
	}
	else if (token->code == '-' && argument->end > argument->first + 1 && is_number(token + 1))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("%s of a window must be greater than zero", what),
				 errhint(DURATION_HINT),
				 vs_position(stmt, token->location)));
	else if (is_number(token) && token[1].value != NULL)
	{
		char	   *given = text_of(stmt, argument->first, argument->end);
		char	   *meant = short_duration(stmt, argument->first, argument->end);

		ereport(ERROR,
				(errcode(ERRCODE_SYNTAX_ERROR),
				 errmsg("invalid duration: \"%s\"", given),
				 strcmp(given, meant) != 0 ? errhint("Write %s.", meant) : errhint(DURATION_HINT),
				 vs_position(stmt, token->location)));
	}
	else if (strcmp(token->word, "interval") == 0 && is_number(token + 1))
		ereport(ERROR,
				(errcode(ERRCODE_SYNTAX_ERROR),
				 errmsg("invalid duration: \"%s\"", text_of(stmt, argument->first, argument->end)),
				 errhint("Write %s.", short_duration(stmt, argument->first + 1, argument->end)),
				 vs_position(stmt, token->location)));
	if (result == NULL)
		result = read_expression(stmt, argument);
	if (has_column(result, NULL))
		ereport(ERROR,
				(errcode(ERRCODE_DATATYPE_MISMATCH),
				 errmsg("%s of a window must be a constant duration", what),
				 errhint(DURATION_HINT),
				 vs_position(stmt, token->location)));
	*length = check_duration(stmt, result, what, token->location);
	return result;
}

/* A number with one of our units, or of seconds, as an interval constant. */
static Node *
read_number(VsStatement *stmt, const char *number, int location)
{
	int			digits = strspn(number, "0123456789.");
	int			letters = strspn(number + digits, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ");
	const char *unit = letters == 0 ? "seconds" : NULL;
	A_Const    *constant = makeNode(A_Const);
	TypeCast   *cast = makeNode(TypeCast);

	for (int i = 0; i < lengthof(duration_units) && unit == NULL; i++)
	{
		if (strlen(duration_units[i].letters) == letters &&
			pg_strncasecmp(duration_units[i].letters, number + digits, letters) == 0)
			unit = duration_units[i].unit;
	}
	if (unit == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_SYNTAX_ERROR),
				 errmsg("unrecognized unit in duration \"%s\"", pnstrdup(number, digits + letters)),
				 errhint("The units are ms, s, m, h, d and w; without one, it is seconds."),
				 vs_position(stmt, location)));

	constant->val.sval.type = T_String;
	constant->val.sval.sval = psprintf("%.*s %s", digits, number, unit);
	constant->location = location;
	cast->arg = (Node *) constant;
	cast->typeName = SystemTypeName("interval");
	cast->location = location;
	return (Node *) cast;
}

/* Error out unless a duration is constant and fit for a window; its length in microseconds. */
static int64
check_duration(VsStatement *stmt, Node *duration, const char *what, int location)
{
	ParseState *pstate = make_parsestate(NULL);
	ParseCallbackState callback;
	ErrorContextCallback hint = {error_context_stack, duration_error, NULL};
	Node	   *expr;
	int64		length;

	pstate->p_sourcetext = stmt->text;
	error_context_stack = &hint;
	expr = transformExpr(pstate, copyObject(duration), EXPR_KIND_OTHER);
	expr = coerce_to_target_type(pstate, expr, exprType(expr), INTERVALOID, -1,
								 COERCION_IMPLICIT, COERCE_IMPLICIT_CAST, -1);
	if (expr)
		expr = eval_const_expressions(NULL, expr);
	error_context_stack = hint.previous;
	if (expr == NULL || !IsA(expr, Const) || ((Const *) expr)->constisnull)
		ereport(ERROR,
				(errcode(ERRCODE_DATATYPE_MISMATCH),
				 errmsg("%s of a window must be a constant duration", what),
				 errhint(DURATION_HINT),
				 vs_position(stmt, location)));
	setup_parser_errposition_callback(&callback, pstate, location);
	length = vs_time_length(TIMESTAMPOID, DatumGetIntervalP(((Const *) expr)->constvalue), what);
	cancel_parser_errposition_callback(&callback);
	free_parsestate(pstate);
	return length;
}

/* What PostgreSQL says of a duration that is none comes with what one is. */
static void
duration_error(void *arg)
{
	switch (geterrcode())
	{
		case ERRCODE_INVALID_DATETIME_FORMAT:
		case ERRCODE_DATETIME_FIELD_OVERFLOW:
		case ERRCODE_INTERVAL_FIELD_OVERFLOW:
			errhint(DURATION_HINT);
			break;
		default:
			break;
	}
}
