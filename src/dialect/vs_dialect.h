/*-------------------------------------------------------------------------
 *
 * vs_dialect.h
 *	  The Velostream dialect: a SELECT of PostgreSQL with a few clauses of its
 *	  own (WINDOW TUMBLING (...), EMIT ..., WITH (...)), and statements around
 *	  it.
 *
 *-------------------------------------------------------------------------
 */
#ifndef VS_DIALECT_H
#define VS_DIALECT_H

#include "postgres.h"

#include "nodes/parsenodes.h"

/* A SELECT of the dialect, lowered to plain SQL and analyzed. */
typedef struct VsDialectQuery
{
	struct VsStatement *stmt;	/* whose errors are given their place */
	Query	   *query;			/* not rewritten */
	const char *text;			/* what its positions refer to: the user's
								 * text, with clauses of ours blanked out */
	List	   *options;		/* of DefElem: velostream.* options, for
								 * vs_options_read */
	bool		windowed;
	bool		final;			/* EMIT FINAL, said or by default */
} VsDialectQuery;

/*
 * Analyze a text that is one SELECT of the dialect, with the rights and the
 * search_path of the current user.  From then on until vs_dialect_end,
 * positions of errors are taken for positions in result->text, and given the
 * user's.
 */
extern void vs_dialect_begin(const char *text, VsDialectQuery *result);
extern void vs_dialect_end(VsDialectQuery *query);

/* Is a statement of the dialect being run?  Then errors speak as its author does. */
extern bool vs_dialect_is_spoken(void);

/* What it calls an option of CREATE TABLE ... WITH (velostream.*), or NULL. */
extern const char *vs_dialect_property(const char *option);

#endif							/* VS_DIALECT_H */
