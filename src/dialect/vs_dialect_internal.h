/*-------------------------------------------------------------------------
 *
 * vs_dialect_internal.h
 *	  What the files of dialect/ share.
 *
 *-------------------------------------------------------------------------
 */
#ifndef VS_DIALECT_INTERNAL_H
#define VS_DIALECT_INTERNAL_H

#include "dialect/vs_dialect.h"
#include "parser/parser.h"
#include "plan/vs_plan.h"
#include "vs_compat.h"

/* Codes of tokens, as PostgreSQL's scanner gives them; others are characters, or no matter. */
#define VS_TOKEN_IDENT		258
#define VS_TOKEN_FCONST		260
#define VS_TOKEN_SCONST		261
#define VS_TOKEN_ICONST		266
#define VS_TOKEN_KEYWORD	10000	/* + number of the keyword */

typedef struct VsToken
{
	int			code;			/* 0: end of the statement */
	int			location;		/* in the statement's text, in bytes */
	int			depth;			/* open parentheses; of a parenthesis: outside
								 * of it */
	const char *word;			/* keyword or unquoted identifier, in lower
								 * case; else "" */
	const char *value;			/* of an identifier, keyword or string; else
								 * NULL */
} VsToken;

/*
 * One statement of a script.  While it is worked on, it is what error
 * positions refer to: see vs_errors_begin.
 */
typedef struct VsStatement
{
	const char *script;
	int			gap;			/* where in the script the space before it
								 * begins */
	int			start;			/* where it begins itself */
	char	   *text;			/* from its first token on, without semicolon */
	VsToken    *tokens;			/* the last one has code 0 */
	int			at;				/* token to be read next */
	const char *parsed;			/* text that PostgreSQL works on now, if it is
								 * not "text": the same, with bytes blanked
								 * out */
	ErrorContextCallback callback;
} VsStatement;

typedef struct VsProperty
{
	const char *name;
	const char *value;
	int			location;
	int			value_location;
} VsProperty;

/* OVER (ROWS WINDOW BUFFER n ROWS ... EXPIRE AFTER ... INACTIVITY) */
typedef struct VsBuffer
{
	int			token;			/* its parenthesis */
	int			size;
	int			location;		/* of the size */
	Node	   *expire;			/* raw; NULL: not said */
	bool		used;			/* the parenthesis is that of a window */
} VsBuffer;

/* A SELECT of the dialect, taken apart. */
typedef struct VsSelect
{
	VsStatement *stmt;
	char	   *text;			/* the statement's, with all blank that is not
								 * for PostgreSQL */
	SelectStmt *select;			/* what is left for it */
	List	   *items;			/* of ResTarget: the select list as written */
	int			list_end;		/* where in the text that list ends */
	bool		emit_said;		/* EMIT ... */
	VsEmit		emit;			/* as said, or by default */
	int			emit_location;	/* or -1 */
	VsWindowKind window;
	int			window_location;
	Node	   *ts;				/* event time, raw; NULL: not said */
	bool		ts_is_field;	/* it was said by 'event.time.field' */
	bool		ts_used;		/* by FIRST, LAST or EXPIRE AFTER */
	Node	   *size;			/* of windows, or gap of sessions: raw */
	Node	   *step;			/* advance of HOP, step of CUMULATE: raw */
	List	   *keys;			/* of sessions, raw */
	List	   *buffers;		/* of VsBuffer */
	List	   *properties;		/* of VsProperty */
	List	   *primary_key;	/* positions in the select list, from 0 */
	int			primary_key_location;

	/* while it is analyzed */
	bool		in_time;		/* the event time is transformed */
	int			aliases;		/* that were replaced so far */
} VsSelect;

/* vs_lex.c */
extern List *vs_lex_script(const char *script);
extern List *vs_lex_annotations(VsStatement *stmt); /* names of "-- @name:
													 * value" before it */
extern void vs_errors_begin(VsStatement *stmt);
extern void vs_errors_end(VsStatement *stmt);
extern int	vs_position(VsStatement *stmt, int location);	/* for ereport */
pg_noreturn extern void vs_syntax_error(VsStatement *stmt, int token, const char *hint);
extern VsToken *vs_peek(VsStatement *stmt);
extern bool vs_accept(VsStatement *stmt, const char *word);
extern void vs_expect(VsStatement *stmt, const char *word);
extern void vs_expect_end(VsStatement *stmt);
extern RangeVar *vs_read_name(VsStatement *stmt);
extern char *vs_blank(VsStatement *stmt, int first, int end);
extern List *vs_parse(VsStatement *stmt, const char *text, RawParseMode mode);

/* vs_clauses.c: takes a SELECT apart, from the token to be read next to the end. */
extern VsSelect *vs_read_select(VsStatement *stmt);

/* vs_properties.c */
extern const char *vs_property(VsSelect *sel, const char *name, int *location);
extern List *vs_property_options(VsSelect *sel);	/* of DefElem; checks all
													 * properties */
extern void vs_property_notices(VsSelect *sel); /* of a SELECT by itself */

/* vs_lower.c */
extern void vs_lower_select(VsSelect *sel);
extern Query *vs_analyze(VsSelect *sel, Node *statement);	/* which contains
															 * sel->select */
extern const char *const vs_dialect_functions[];	/* found without
													 * "velostream." */

/* vs_create.c */
typedef struct VsCreate
{
	bool		stream;
	bool		replace;
	bool		if_not_exists;
	RangeVar   *name;
	VsSelect   *sel;
} VsCreate;

extern void vs_create(VsCreate *create);
extern List *vs_output_options(VsSelect *sel, bool stream);
extern void vs_run_utility(VsStatement *stmt, Node *utility);

/* vs_execute.c: the output that a name stands for; with missing_ok, InvalidOid if there is no such relation */
extern Oid	vs_find_output(VsStatement *stmt, RangeVar *name, bool missing_ok);

/* vs_show.c: what a statement answers, as text. */
extern char *vs_show(VsStatement *stmt);
extern char *vs_describe(VsStatement *stmt);
extern char *vs_explain_output(Oid output);

#endif							/* VS_DIALECT_INTERNAL_H */
