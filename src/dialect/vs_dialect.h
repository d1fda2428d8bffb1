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
	Query	   *query;			/* not rewritten; positions are those of the
								 * text */
	List	   *options;		/* of DefElem: velostream.* options, as they
								 * stand in WITH of a CREATE TABLE */
	bool		windowed;
	bool		final;			/* EMIT FINAL, said or by default */
} VsDialectQuery;

/*
 * Analyze a text that is one SELECT of the dialect, with the rights and the
 * search_path of the current user.  Errors point at the text.
 */
extern void vs_dialect_query(const char *text, VsDialectQuery *result);

#endif							/* VS_DIALECT_H */
