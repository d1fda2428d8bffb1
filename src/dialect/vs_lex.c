/*-------------------------------------------------------------------------
 *
 * vs_lex.c
 *	  Scripts of the dialect as statements and tokens.
 *
 * The scanner is PostgreSQL's own, so comments, strings and identifiers are
 * what they are in SQL.  It refuses one thing that the dialect has: durations
 * such as 5m.  It therefore reads a copy in which the letters after such
 * numbers are spaces.  That changes no token but those numbers: where such a
 * sequence is part of a string or quoted identifier, its value is read again
 * from the script itself.
 *
 * PostgreSQL's parser gets the text of a statement with everything blanked out
 * that is not for it, so all positions in it are positions in the statement.
 * Errors are given the position in the script on their way out, and from there
 * the one in the user's command, if the script stands there as a literal.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "catalog/pg_collation.h"
#include "catalog/namespace.h"
#include "catalog/pg_proc.h"
#include "common/keywords.h"
#include "dialect/vs_dialect_internal.h"
#include "mb/pg_wchar.h"
#include "miscadmin.h"
#include "nodes/makefuncs.h"
#include "nodes/value.h"
#include "parser/scanner.h"
#include "utils/formatting.h"
#include "utils/memutils.h"

/* Longest sequence of letters that is taken for the unit of a duration. */
#define MAX_UNIT_LENGTH 16

typedef struct Lexer
{
	const char *script;
	char	   *shadow;			/* what the scanner reads */
	core_yy_extra_type extra;
	core_yyscan_t scanner;
	VsToken    *tokens;			/* of the statement; locations in the script */
	int			ntokens;
	int			size;			/* of the array */
} Lexer;

static char *hide_units(const char *script);
static core_yyscan_t start_scanner(const char *text, core_yy_extra_type *extra);
static int	next_token(Lexer *lexer, VsToken *token);
static void reread_value(Lexer *lexer, VsToken *token, int end);
static VsStatement *make_statement(Lexer *lexer, int gap, int end);
static void statement_error(void *arg);

/* The statements of a script: those that have a token at all. */
List *
vs_lex_script(const char *script)
{
	Lexer		lexer = {.script = script};
	VsStatement whole = {.script = script,.text = unconstify(char *, script)};
	List	   *result = NIL;
	int			gap = 0;
	int			depth = 0;
	int			code;

	vs_errors_begin(&whole);
	lexer.shadow = hide_units(script);
	lexer.scanner = start_scanner(lexer.shadow, &lexer.extra);
	lexer.size = 64;
	lexer.tokens = palloc(sizeof(VsToken) * lexer.size);
	do
	{
		VsToken		token = {0};

		code = next_token(&lexer, &token);
		if (lexer.ntokens > 0)
			reread_value(&lexer, &lexer.tokens[lexer.ntokens - 1], token.location);
		if (code == ')')
			depth = Max(depth - 1, 0);
		token.depth = depth;
		if (code == '(')
			depth++;
		if (code == 0 || (code == ';' && depth == 0))
		{
			if (lexer.ntokens > 0)
				result = lappend(result, make_statement(&lexer, gap, token.location));
			lexer.ntokens = 0;
			gap = token.location + 1;
			CHECK_FOR_INTERRUPTS();
			continue;
		}
		if (lexer.ntokens == lexer.size)
		{
			lexer.size *= 2;
			lexer.tokens = repalloc_huge(lexer.tokens, sizeof(VsToken) * lexer.size);
		}
		lexer.tokens[lexer.ntokens++] = token;
	} while (code != 0);
	scanner_finish(lexer.scanner);
	pfree(lexer.tokens);
	pfree(lexer.shadow);
	vs_errors_end(&whole);
	return result;
}

static bool
is_word_char(char c)
{
	return isalnum((unsigned char) c) || c == '_' || c == '$' || IS_HIGHBIT_SET(c);
}

/* A copy of the script with spaces for the letters of 5m, 1.5h and the like. */
static char *
hide_units(const char *script)
{
	char	   *result = pstrdup(script);
	char		before = ' ';

	for (int i = 0; script[i];)
	{
		bool		starts = !is_word_char(before) && strchr(".\\'\"", before) == NULL;
		int			digits = i;
		int			end;

		while (isdigit((unsigned char) script[digits]))
			digits++;
		if (digits > i && script[digits] == '.' && isdigit((unsigned char) script[digits + 1]))
			for (digits++; isdigit((unsigned char) script[digits]);)
				digits++;
		if (!starts || digits == i)
		{
			before = script[i++];
			continue;
		}
		end = digits;
		while (isalpha((unsigned char) script[end]) && !IS_HIGHBIT_SET(script[end]))
			end++;
		/* 1e-5 is a number */
		if (end > digits && end - digits <= MAX_UNIT_LENGTH && !is_word_char(script[end]) &&
			!(end - digits == 1 && pg_tolower(script[digits]) == 'e'))
			memset(result + digits, ' ', end - digits);
		i = end;
		before = script[end - 1];
	}
	return result;
}

/* Keyword k has the code VS_TOKEN_KEYWORD + k. */
static core_yyscan_t
start_scanner(const char *text, core_yy_extra_type *extra)
{
	static uint16 *codes = NULL;
	core_yyscan_t scanner;

	if (codes == NULL)
	{
		uint16	   *made = MemoryContextAlloc(TopMemoryContext,
											  sizeof(uint16) * ScanKeywords.num_keywords);

		for (int i = 0; i < ScanKeywords.num_keywords; i++)
			made[i] = VS_TOKEN_KEYWORD + i;
		codes = made;
	}
	scanner = scanner_init(text, extra, &ScanKeywords, codes);
	extra->escape_string_warning = false;	/* the parser gives it */
	return scanner;
}

/* Read a token, its location in the script; depth is the caller's. */
static int
next_token(Lexer *lexer, VsToken *token)
{
	core_YYSTYPE value;

	token->code = core_yylex(&value, &token->location, lexer->scanner);
	token->word = "";
	token->value = NULL;
	if (token->code == 0)
		token->location = strlen(lexer->script);
	else if (token->code >= VS_TOKEN_KEYWORD)
		token->word = token->value = GetScanKeyword(token->code - VS_TOKEN_KEYWORD, &ScanKeywords);
	else if (token->code == VS_TOKEN_IDENT || token->code == VS_TOKEN_SCONST)
	{
		token->value = value.str;
		if (token->code == VS_TOKEN_IDENT && lexer->script[token->location] != '"')
			token->word = token->value;
	}
	return token->code;
}

/* The value of a string or quoted identifier in which something was hidden. */
static void
reread_value(Lexer *lexer, VsToken *token, int end)
{
	int			start = token->location;
	core_yy_extra_type extra;
	core_YYSTYPE value;
	int			location;
	core_yyscan_t scanner;

	if ((token->code != VS_TOKEN_IDENT && token->code != VS_TOKEN_SCONST) ||
		memcmp(lexer->script + start, lexer->shadow + start, end - start) == 0)
		return;
	scanner = start_scanner(pnstrdup(lexer->script + start, end - start), &extra);
	if (core_yylex(&value, &location, scanner) == token->code)
		token->value = value.str;
	scanner_finish(scanner);
}

/* A statement from the tokens read so far; it ends at "end" of the script. */
static VsStatement *
make_statement(Lexer *lexer, int gap, int end)
{
	VsStatement *stmt = palloc0(sizeof(VsStatement));
	int			n = lexer->ntokens;

	stmt->script = lexer->script;
	stmt->gap = gap;
	stmt->start = lexer->tokens[0].location;
	stmt->text = pnstrdup(lexer->script + stmt->start, end - stmt->start);
	stmt->tokens = palloc0(sizeof(VsToken) * (n + 1));
	memcpy(stmt->tokens, lexer->tokens, sizeof(VsToken) * n);
	for (int i = 0; i < n; i++)
		stmt->tokens[i].location -= stmt->start;
	stmt->tokens[n].location = end - stmt->start;
	stmt->tokens[n].word = "";
	return stmt;
}

/*
 * The names of the annotations before a statement, as "-- @name: value", in
 * lower case.
 */
List *
vs_lex_annotations(VsStatement *stmt)
{
	const char *end = stmt->script + stmt->start;
	const char *p = stmt->script + stmt->gap;
	List	   *result = NIL;
	int			nested = 0;

	/* there is nothing but space and comments */
	while (p < end)
	{
		if (p[0] == '/' && p[1] == '*')
			nested++, p += 2;
		else if (nested > 0 && p[0] == '*' && p[1] == '/')
			nested--, p += 2;
		else if (nested == 0 && p[0] == '-' && p[1] == '-')
		{
			const char *line_end = p + strcspn(p, "\r\n");
			const char *name;
			int			length;

			p += 2;
			while (*p == ' ' || *p == '\t')
				p++;
			name = p + 1;
			length = strspn(name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_");
			if (*p == '@' && length > 0 && name[length] == ':')
				result = lappend(result, str_tolower(name, length, C_COLLATION_OID));
			p = line_end;
		}
		else
			p++;
	}
	return result;
}

/* ----------
 * Errors
 * ----------
 */

/* From now on, positions of errors are taken for positions in this statement. */
void
vs_errors_begin(VsStatement *stmt)
{
	stmt->callback.callback = statement_error;
	stmt->callback.arg = stmt;
	stmt->callback.previous = error_context_stack;
	error_context_stack = &stmt->callback;
}

void
vs_errors_end(VsStatement *stmt)
{
	Assert(error_context_stack == &stmt->callback);
	error_context_stack = stmt->callback.previous;
}

/* See vs_dialect.h. */
bool
vs_dialect_is_spoken(void)
{
	for (ErrorContextCallback *callback = error_context_stack; callback; callback = callback->previous)
		if (callback->callback == statement_error)
			return true;
	return false;
}

/*
 * An error passes: its position in the statement becomes one in the script,
 * or, if nobody between us and the client would take it for one in a text of
 * his own, in the user's command.
 */
static void
statement_error(void *arg)
{
	VsStatement *stmt = arg;
	int			position = geterrposition();

	if (position <= 0)
		return;
	if (stmt->parsed)
	{
		int			bytes = pg_mbcharcliplen(stmt->parsed, strlen(stmt->parsed), position - 1);

		position = pg_mbstrlen_with_len(stmt->text, bytes) + 1;
	}
	position += pg_mbstrlen_with_len(stmt->script, stmt->start);
	errposition(position);
	if (stmt->callback.previous == NULL)
		function_parse_error_transpose(stmt->script);
	else
	{
		errposition(0);
		internalerrposition(position);
		internalerrquery(stmt->script);
	}
}

/* For ereport: the place of a byte of the statement. */
int
vs_position(VsStatement *stmt, int location)
{
	return location < 0 ? 0 :
		errposition(pg_mbstrlen_with_len(stmt->parsed ? stmt->parsed : stmt->text, location) + 1);
}

/* PostgreSQL's own syntax error, at a token. */
void
vs_syntax_error(VsStatement *stmt, int token, const char *hint)
{
	VsToken    *at = &stmt->tokens[token];
	char	   *near;
	int			length;

	if (at->code == 0)
		ereport(ERROR,
				(errcode(ERRCODE_SYNTAX_ERROR),
				 errmsg("syntax error at end of statement"),
				 hint ? errhint("%s", hint) : 0,
				 vs_position(stmt, at->location)));

	near = pnstrdup(stmt->text +at->location, at[1].location - at->location);
	length = strlen(near);
	while (length > 0 && isspace((unsigned char) near[length - 1]))
		length--;
	near[length] = '\0';
	ereport(ERROR,
			(errcode(ERRCODE_SYNTAX_ERROR),
			 errmsg("syntax error at or near \"%s\"", near),
			 hint ? errhint("%s", hint) : 0,
			 vs_position(stmt, at->location)));
}

/* ----------
 * Reading tokens
 * ----------
 */

/* The token to be read next. */
VsToken *
vs_peek(VsStatement *stmt)
{
	return &stmt->tokens[stmt->at];
}

/* Read a word if it is the next one. */
bool
vs_accept(VsStatement *stmt, const char *word)
{
	if (strcmp(vs_peek(stmt)->word, word) != 0)
		return false;
	stmt->at++;
	return true;
}

/* Read a word, which must be the next one. */
void
vs_expect(VsStatement *stmt, const char *word)
{
	if (!vs_accept(stmt, word))
		vs_syntax_error(stmt, stmt->at, psprintf("%s is expected here.", asc_toupper(word, strlen(word))));
}

void
vs_expect_end(VsStatement *stmt)
{
	if (vs_peek(stmt)->code != 0)
		vs_syntax_error(stmt, stmt->at, NULL);
}

/* Can this token be the name of a relation? */
static bool
is_name(VsToken *token)
{
	return token->code == VS_TOKEN_IDENT ||
		(token->code >= VS_TOKEN_KEYWORD &&
		 (ScanKeywordCategories[token->code - VS_TOKEN_KEYWORD] == UNRESERVED_KEYWORD ||
		  ScanKeywordCategories[token->code - VS_TOKEN_KEYWORD] == COL_NAME_KEYWORD));
}

/* Read the name of a relation. */
RangeVar *
vs_read_name(VsStatement *stmt)
{
	int			location = vs_peek(stmt)->location;
	List	   *names = NIL;
	RangeVar   *result;

	for (;;)
	{
		if (!is_name(vs_peek(stmt)) || list_length(names) == 3)
			vs_syntax_error(stmt, stmt->at, "The name of a stream or table is expected here.");
		names = lappend(names, makeString(pstrdup(vs_peek(stmt)->value)));
		stmt->at++;
		if (vs_peek(stmt)->code != '.')
			break;
		stmt->at++;
	}
	result = makeRangeVarFromNameList(names);
	result->location = location;
	return result;
}

/* ----------
 * PostgreSQL's parser
 * ----------
 */

/* The statement's text with everything blank but the tokens from first up to end. */
char *
vs_blank(VsStatement *stmt, int first, int end)
{
	int			from = stmt->tokens[first].location;
	int			to = stmt->tokens[end].location;
	char	   *result = palloc(to + 1);

	memset(result, ' ', from);
	memcpy(result + from, stmt->text +from, to - from);
	result[to] = '\0';
	return result;
}

/* Parse a text that vs_blank made. */
List *
vs_parse(VsStatement *stmt, const char *text, RawParseMode mode)
{
	List	   *result;

	stmt->parsed = text;

	result = raw_parser(text, mode);
	stmt->parsed = NULL;
	return result;
}
