/*-------------------------------------------------------------------------
 *
 * vs_show.c
 *	  Statements that answer with text: SHOW, DESCRIBE, EXPLAIN.
 *
 * They ask the views that everybody may read, as the user.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "catalog/namespace.h"
#include "catalog/pg_type.h"
#include "dialect/vs_dialect_internal.h"
#include "executor/spi.h"
#include "registry/vs_registry.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"

/*
 * Operators are PostgreSQL's own, whatever the search_path of the caller, who
 * may be a superuser.
 */
#define EQUALS	" OPERATOR(pg_catalog.=) "
#define LIKE	" OPERATOR(pg_catalog.~~) "

/* $1: pattern or NULL */
#define SHOW_OUTPUTS(kind) \
	"SELECT pg_catalog.format('%I.%I', schema, name), state FROM velostream.queries " \
	"WHERE kind" EQUALS kind " AND ($1 IS NULL OR name" LIKE "$1) ORDER BY schema, name"
#define SHOW_JOBS \
	"SELECT pg_catalog.format('%I.%I', schema, name), kind, state FROM velostream.queries " \
	"WHERE ($1 IS NULL OR name" LIKE "$1) ORDER BY schema, name"

/* $1: pattern or NULL, $2: names */
#define SHOW_FUNCTIONS \
	"SELECT pg_catalog.format('%s(%s)', proname, pg_catalog.pg_get_function_identity_arguments(oid)) " \
	"FROM pg_catalog.pg_proc WHERE pronamespace" EQUALS "'velostream'::pg_catalog.regnamespace " \
	"AND proname" EQUALS "ANY ($2) AND ($1 IS NULL OR proname" LIKE "$1) ORDER BY 1"

/* $1: output, $2: keys of its row, $3: pattern or NULL */
#define SHOW_ROW(view) \
	"SELECT pg_catalog.format('%s: %s', k, v) FROM velostream." view " q, " \
	"pg_catalog.unnest($2) WITH ORDINALITY AS w(k, n), " \
	"LATERAL (SELECT pg_catalog.jsonb_extract_path_text(pg_catalog.to_jsonb(q), k)) AS x(v) " \
	"WHERE query" EQUALS "$1 AND v IS NOT NULL AND ($3 IS NULL OR k" LIKE "$3) ORDER BY n"

/* $1: relation */
#define DESCRIBE_COLUMNS \
	"SELECT attname, pg_catalog.format_type(atttypid, atttypmod), " \
	"CASE WHEN EXISTS (SELECT FROM pg_catalog.pg_index i WHERE i.indrelid" EQUALS "attrelid " \
	"AND i.indisprimary AND attnum" EQUALS "ANY (i.indkey)) THEN 'primary key' END " \
	"FROM pg_catalog.pg_attribute WHERE attrelid" EQUALS "$1 AND attnum OPERATOR(pg_catalog.>) 0 " \
	"AND NOT attisdropped ORDER BY attnum"
#define DESCRIBE_QUERY \
	"SELECT definition FROM velostream.queries WHERE query" EQUALS "$1"
#define EXPLAIN_QUERY \
	"SELECT velostream.explain($1)"

static const char *const status_keys[] = {
	"kind", "state", "owner", "watermark", "open_windows", "last_error", "sqlstate", "error_detail", "error_hint", "failed_at"
};
static const char *const counter_keys[] = {
	"batches", "rows_in", "rows_out", "changes", "ignored", "late", "dead"
};
static const char *const property_keys[] = {
	"kind", "source_mode", "on_error", "emit", "max_out_of_orderness", "late_data", "idle_timeout",
	"max_future_skew", "window_retention", "with_data"
};

static char *rows_as_text(const char *sql, int nargs, Oid *types, Datum *values, const char *nulls);
static char *show_row(const char *sql, Oid output, const char *const *keys, int nkeys, const char *pattern);
static Oid	read_output(VsStatement *stmt);
static const char *read_pattern(VsStatement *stmt);
static Datum text_array(const char *const *names, int n);

/* SHOW: the rest of the statement is read here. */
char *
vs_show(VsStatement *stmt)
{
	Oid			types[2] = {TEXTOID, TEXTARRAYOID};
	Datum		values[2] = {0};
	const char *sql = NULL;
	const char *pattern;
	int			nargs = 1;

	if (vs_accept(stmt, "status"))
	{
		Oid			output = read_output(stmt);
		char	   *status;
		char	   *counters;

		pattern = read_pattern(stmt);
		status = show_row(SHOW_ROW("queries"), output, status_keys, lengthof(status_keys), pattern);
		counters = show_row(SHOW_ROW("stat_queries"), output, counter_keys, lengthof(counter_keys), pattern);
		return psprintf("%s%s%s", status, *status && *counters ? "\n" : "", counters);
	}
	if (vs_accept(stmt, "properties"))
	{
		Oid			output = read_output(stmt);

		return show_row(SHOW_ROW("queries"), output, property_keys, lengthof(property_keys),
						read_pattern(stmt));
	}
	if (vs_accept(stmt, "streams"))
		sql = SHOW_OUTPUTS("'stream'");
	else if (vs_accept(stmt, "tables"))
		sql = SHOW_OUTPUTS("'table'");
	else if (vs_accept(stmt, "jobs"))
		sql = SHOW_JOBS;
	else if (vs_accept(stmt, "functions"))
	{
		int			n = 0;

		while (vs_dialect_functions[n])
			n++;
		sql = SHOW_FUNCTIONS;
		values[nargs++] = text_array(vs_dialect_functions, n);
	}
	else
		vs_syntax_error(stmt, stmt->at,
						"Write SHOW STREAMS, TABLES, JOBS, FUNCTIONS, STATUS name or PROPERTIES name.");
	pattern = read_pattern(stmt);
	if (pattern)
		values[0] = CStringGetTextDatum(pattern);
	return rows_as_text(sql, nargs, types, values, pattern ? NULL : "n ");
}

/* DESCRIBE: the rest of the statement is read here. */
char *
vs_describe(VsStatement *stmt)
{
	Oid			types[1] = {REGCLASSOID};
	Datum		values[1];
	RangeVar   *name = vs_read_name(stmt);
	Oid			relid;

	vs_expect_end(stmt);
	relid = RangeVarGetRelid(name, NoLock, true);
	if (!OidIsValid(relid))
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_TABLE),
				 errmsg("relation \"%s\" does not exist", name->relname),
				 vs_position(stmt, name->location)));
	values[0] = ObjectIdGetDatum(relid);
	return rows_as_text(DESCRIBE_COLUMNS, 1, types, values, NULL);
}

/* EXPLAIN of a query that exists: its SQL, and how it is kept up to date. */
char *
vs_explain_output(Oid output)
{
	Oid			types[1] = {REGCLASSOID};
	Datum		values[1] = {ObjectIdGetDatum(output)};

	return psprintf("%s\n%s", rows_as_text(DESCRIBE_QUERY, 1, types, values, NULL),
					rows_as_text(EXPLAIN_QUERY, 1, types, values, NULL));
}

/* The rows of a query: a line each, without NULLs. */
static char *
rows_as_text(const char *sql, int nargs, Oid *types, Datum *values, const char *nulls)
{
	MemoryContext context = CurrentMemoryContext;
	StringInfoData result;

	initStringInfo(&result);
	if (SPI_connect() != SPI_OK_CONNECT)
		elog(ERROR, "SPI_connect failed");
	if (SPI_execute_with_args(sql, nargs, types, values, nulls, false, 0) != SPI_OK_SELECT)
		elog(ERROR, "SPI_execute failed: %s", sql);
	for (uint64 i = 0; i < SPI_processed; i++)
	{
		const char *separator = i == 0 ? "" : "\n";

		for (int column = 1; column <= SPI_tuptable->tupdesc->natts; column++)
		{
			char	   *value = SPI_getvalue(SPI_tuptable->vals[i], SPI_tuptable->tupdesc, column);
			MemoryContext old = MemoryContextSwitchTo(context);

			if (value)
				appendStringInfo(&result, "%s%s", separator, value);
			separator = value ? " | " : separator;
			MemoryContextSwitchTo(old);
		}
	}
	SPI_finish();
	return result.data;
}

/* Some keys of a query's row of a view. */
static char *
show_row(const char *sql, Oid output, const char *const *keys, int nkeys, const char *pattern)
{
	Oid			types[3] = {REGCLASSOID, TEXTARRAYOID, TEXTOID};
	Datum		values[3];

	values[0] = ObjectIdGetDatum(output);
	values[1] = text_array(keys, nkeys);
	values[2] = pattern ? CStringGetTextDatum(pattern) : (Datum) 0;
	return rows_as_text(sql, 3, types, values, pattern ? NULL : "  n");
}

/* The name of an output. */
static Oid
read_output(VsStatement *stmt)
{
	RangeVar   *name = vs_read_name(stmt);

	return vs_find_output(stmt, name, false);
}

/* [LIKE 'pattern'], and the end */
static const char *
read_pattern(VsStatement *stmt)
{
	const char *result = NULL;

	if (vs_accept(stmt, "like"))
	{
		if (vs_peek(stmt)->code != VS_TOKEN_SCONST)
			vs_syntax_error(stmt, stmt->at, "A pattern in quotes is expected here.");
		result = vs_peek(stmt)->value;
		stmt->at++;
	}
	vs_expect_end(stmt);
	return result;
}

static Datum
text_array(const char *const *names, int n)
{
	Datum	   *elements = palloc(sizeof(Datum) * n);

	for (int i = 0; i < n; i++)
		elements[i] = CStringGetTextDatum(names[i]);
	return PointerGetDatum(construct_array(elements, n, TEXTOID, -1, false, TYPALIGN_INT));
}
