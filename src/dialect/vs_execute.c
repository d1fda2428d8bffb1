/*-------------------------------------------------------------------------
 *
 * vs_execute.c
 *	  velostream.execute(): the statements of a script, one after the other.
 *
 * All runs in the caller's transaction, and with his rights: what a statement
 * does is done by a command or function of SQL that he could have called.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/xact.h"
#include "catalog/namespace.h"
#include "catalog/pg_type.h"
#include "dialect/vs_dialect_internal.h"
#include "executor/executor.h"
#include "executor/spi.h"
#include "fmgr.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "nodes/makefuncs.h"
#include "process/vs_process.h"
#include "registry/vs_options.h"
#include "registry/vs_registry.h"
#include "utils/builtins.h"
#include "utils/formatting.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/resowner.h"
#include "utils/snapmgr.h"
#include "vs_compat.h"

/* What a statement answers. */
typedef struct Answer
{
	const char *tag;
	char	   *text;			/* or NULL */
} Answer;

/* What a SELECT by itself emits. */
typedef struct SelectResult
{
	StringInfoData text;
	int			ncolumns;
	bool		more;			/* there is a line already */
} SelectResult;

static Answer run_statement(VsStatement *stmt);
static void note_annotations(VsStatement *stmt);
static Answer run_create(VsStatement *stmt);
static void read_definition(VsStatement *stmt, VsCreate *create);
static Answer run_job(VsStatement *stmt);
static Answer run_drop(VsStatement *stmt);
static void drop_output(VsStatement *stmt, Oid output, DropBehavior behavior);
static char *run_explain(VsStatement *stmt);
static char *run_select(VsStatement *stmt);
static void collect_row(char op, TupleTableSlot *slot, void *arg);
static void read_query(VsStatement *stmt, VsDialectQuery *result);
static void call_on_output(const char *sql, Oid output);

PG_FUNCTION_INFO_V1(velostream_execute);

/*
 * velostream.execute(script text) returns table(statement int, command text,
 * result text): run the statements of the dialect in a script, all or none; a
 * row for each of them, with the rows of those that answer, a line each.
 */
Datum
velostream_execute(PG_FUNCTION_ARGS)
{
	ReturnSetInfo *rsinfo = (ReturnSetInfo *) fcinfo->resultinfo;
	char	   *script = text_to_cstring(PG_GETARG_TEXT_PP(0));
	int			number = 0;
	ListCell   *lc;

	InitMaterializedSRF(fcinfo, 0);
	vs_require_preload();
	foreach(lc, vs_lex_script(script))
	{
		VsStatement *stmt = lfirst(lc);
		Datum		values[3] = {0};
		bool		nulls[3] = {false};
		Answer		answer;

		CHECK_FOR_INTERRUPTS();
		vs_errors_begin(stmt);
		note_annotations(stmt);
		answer = run_statement(stmt);
		vs_errors_end(stmt);
		CommandCounterIncrement();

		values[0] = Int32GetDatum(++number);
		values[1] = CStringGetTextDatum(answer.tag);
		nulls[2] = answer.text == NULL;
		if (answer.text)
			values[2] = CStringGetTextDatum(answer.text);
		tuplestore_putvalues(rsinfo->setResult, rsinfo->setDesc, values, nulls);
	}
	return (Datum) 0;
}

/* Run one statement: to each its function. */
static Answer
run_statement(VsStatement *stmt)
{
	Answer		answer = {0};
	const char *word = vs_peek(stmt)->word;

	if (vs_accept(stmt, "create"))
		return run_create(stmt);
	if (strcmp(word, "start") == 0 || strcmp(word, "stop") == 0 || strcmp(word, "pause") == 0 ||
		strcmp(word, "resume") == 0)
		return run_job(stmt);
	if (vs_accept(stmt, "drop"))
		return run_drop(stmt);
	if (vs_accept(stmt, "describe"))
	{
		answer.tag = "DESCRIBE";
		answer.text = vs_describe(stmt);
	}
	else if (vs_accept(stmt, "explain"))
	{
		answer.tag = "EXPLAIN";
		answer.text = run_explain(stmt);
	}
	else if (vs_accept(stmt, "show"))
	{
		answer.tag = psprintf("SHOW %s", asc_toupper(vs_peek(stmt)->word, strlen(vs_peek(stmt)->word)));
		answer.text = vs_show(stmt);
	}
	else if (strcmp(word, "select") == 0 || strcmp(word, "with") == 0 || vs_peek(stmt)->code == '(')
	{
		answer.tag = "SELECT";
		answer.text = run_select(stmt);
	}
	else
		vs_syntax_error(stmt, stmt->at,
						"velostream.execute() takes CREATE STREAM or TABLE ... AS, START, STOP, PAUSE or RESUME JOB, DROP, DESCRIBE, EXPLAIN, SHOW and SELECT; run other commands as SQL.");
	return answer;
}

/* Leading comments such as "-- @job_mode: simple" have no effect. */
static void
note_annotations(VsStatement *stmt)
{
	ListCell   *lc;

	foreach(lc, vs_lex_annotations(stmt))
	{
		const char *name = lfirst(lc);

		if (strcmp(name, "job_mode") == 0 || strcmp(name, "batch_size") == 0 ||
			strcmp(name, "num_partitions") == 0 || strcmp(name, "partitioning_strategy") == 0)
			ereport(NOTICE,
					(errmsg("annotation \"@%s\" is ignored", name),
					 errdetail("Batches are sized, and work is shared out, by what there is to do.")));
		else
			ereport(NOTICE,
					(errmsg("annotation \"@%s\" is not known, and ignored", name)));
	}
}

/* The output that a name stands for; missing_ok: InvalidOid if there is no such relation. */
Oid
vs_find_output(VsStatement *stmt, RangeVar *name, bool missing_ok)
{
	Oid			relid = RangeVarGetRelid(name, NoLock, true);

	if (!OidIsValid(relid))
	{
		if (missing_ok)
			return InvalidOid;
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_TABLE),
				 errmsg("relation \"%s\" does not exist", name->relname),
				 vs_position(stmt, name->location)));
	}
	if (!vs_registry_is_output(relid))
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_OBJECT),
				 errmsg("\"%s\" is not the output of a continuous query", name->relname),
				 errhint("SHOW JOBS lists continuous queries; other tables are used with plain SQL."),
				 vs_position(stmt, name->location)));
	return relid;
}

/* ----------
 * CREATE
 * ----------
 */

/* CREATE [OR REPLACE] STREAM | TABLE [IF NOT EXISTS] name AS select */
static Answer
run_create(VsStatement *stmt)
{
	Answer		answer = {0};
	VsCreate	create = {0};

	if (vs_accept(stmt, "or"))
	{
		vs_expect(stmt, "replace");
		create.replace = true;
	}
	create.stream = vs_accept(stmt, "stream");
	if (!create.stream && !vs_accept(stmt, "table"))
		vs_syntax_error(stmt, stmt->at,
						"Write CREATE STREAM or CREATE TABLE ... AS SELECT; run other commands as SQL.");
	if (create.replace && strcmp(vs_peek(stmt)->word, "if") == 0 &&
		strcmp(stmt->tokens[stmt->at + 1].word, "not") == 0)
		ereport(ERROR,
				(errcode(ERRCODE_SYNTAX_ERROR),
				 errmsg("OR REPLACE cannot be combined with IF NOT EXISTS"),
				 errhint("Use OR REPLACE for the new definition, or IF NOT EXISTS to keep the one that is there."),
				 vs_position(stmt, vs_peek(stmt)->location)));
	if (!create.replace && vs_accept(stmt, "if"))
	{
		vs_expect(stmt, "not");
		vs_expect(stmt, "exists");
		create.if_not_exists = true;
	}
	read_definition(stmt, &create);
	vs_create(&create);
	answer.tag = create.stream ? "CREATE STREAM" : "CREATE TABLE";
	return answer;
}

/* name AS select */
static void
read_definition(VsStatement *stmt, VsCreate *create)
{
	create->name = vs_read_name(stmt);
	if (!vs_accept(stmt, "as"))
		vs_syntax_error(stmt, stmt->at,
						"AS SELECT ... is expected here, and WITH (...) at the end; create a table without a query as SQL.");
	create->sel = vs_read_select(stmt);
}

/* ----------
 * Jobs
 * ----------
 */

/* START JOB name AS select; STOP JOB name [FORCE]; PAUSE or RESUME JOB name */
static Answer
run_job(VsStatement *stmt)
{
	Answer		answer = {0};
	const char *verb = vs_peek(stmt)->word;
	RangeVar   *name;
	Oid			output;
	bool		force;

	stmt->at++;
	vs_expect(stmt, "job");
	if (strcmp(verb, "start") == 0)
	{
		VsCreate	create = {.stream = true};

		read_definition(stmt, &create);
		vs_create(&create);
		answer.tag = "START JOB";
		return answer;
	}
	name = vs_read_name(stmt);
	force = strcmp(verb, "stop") == 0 && vs_accept(stmt, "force");
	vs_expect_end(stmt);
	output = vs_find_output(stmt, name, false);
	if (strcmp(verb, "stop") == 0)
	{
		drop_output(stmt, output, force ? DROP_CASCADE : DROP_RESTRICT);
		answer.tag = "STOP JOB";
	}
	else if (strcmp(verb, "pause") == 0)
	{
		call_on_output("SELECT velostream.pause($1)", output);
		answer.tag = "PAUSE JOB";
	}
	else
	{
		call_on_output("SELECT velostream.resume($1)", output);
		answer.tag = "RESUME JOB";
	}
	return answer;
}

static void
call_on_output(const char *sql, Oid output)
{
	Oid			types[1] = {REGCLASSOID};
	Datum		values[1] = {ObjectIdGetDatum(output)};

	if (SPI_connect() != SPI_OK_CONNECT)
		elog(ERROR, "SPI_connect failed");
	if (SPI_execute_with_args(sql, 1, types, values, NULL, false, 0) != SPI_OK_SELECT)
		elog(ERROR, "SPI_execute failed: %s", sql);
	SPI_finish();
}

/* ----------
 * DROP
 * ----------
 */

/* DROP STREAM | TABLE [IF EXISTS] name [CASCADE | RESTRICT] */
static Answer
run_drop(VsStatement *stmt)
{
	Answer		answer = {0};
	bool		stream = vs_accept(stmt, "stream");
	bool		missing_ok = false;
	bool		cascade;
	RangeVar   *name;
	VsQueryEntry entry;
	Oid			output;

	if (!stream && !vs_accept(stmt, "table"))
		vs_syntax_error(stmt, stmt->at, "Write DROP STREAM or DROP TABLE; run other commands as SQL.");
	if (vs_accept(stmt, "if"))
	{
		vs_expect(stmt, "exists");
		missing_ok = true;
	}
	name = vs_read_name(stmt);
	cascade = vs_accept(stmt, "cascade");
	if (!cascade)
		(void) vs_accept(stmt, "restrict");
	vs_expect_end(stmt);

	answer.tag = stream ? "DROP STREAM" : "DROP TABLE";
	output = vs_find_output(stmt, name, missing_ok);
	if (!OidIsValid(output))
	{
		ereport(NOTICE,
				(errmsg("%s \"%s\" does not exist, skipping", stream ? "stream" : "table", name->relname)));
		return answer;
	}
	if (vs_registry_read(output, &entry) && stream != (entry.kind == VS_KIND_STREAM))
		ereport(ERROR,
				(errcode(ERRCODE_WRONG_OBJECT_TYPE),
				 errmsg(stream ? "\"%s\" is not a stream" : "\"%s\" is a stream", name->relname),
				 errhint("Use %s.", stream ? "DROP TABLE" : "DROP STREAM"),
				 vs_position(stmt, name->location)));
	drop_output(stmt, output, cascade ? DROP_CASCADE : DROP_RESTRICT);
	return answer;
}

/* DROP TABLE of an output */
static void
drop_output(VsStatement *stmt, Oid output, DropBehavior behavior)
{
	DropStmt   *drop = makeNode(DropStmt);

	drop->objects = list_make1(list_make2(makeString(get_namespace_name(get_rel_namespace(output))),
										  makeString(get_rel_name(output))));
	drop->removeType = OBJECT_TABLE;
	drop->behavior = behavior;
	vs_run_utility(stmt, (Node *) drop);
}

/* ----------
 * EXPLAIN and SELECT
 * ----------
 */

/*
 * EXPLAIN select: the query is created in a subtransaction that is rolled
 * back, as only a query that exists has a plan.
 */
static char *
run_explain(VsStatement *stmt)
{
	VsCreate	create = {0};
	MemoryContext context = CurrentMemoryContext;
	ResourceOwner owner = CurrentResourceOwner;
	char	   *volatile result = NULL;

	create.name = makeRangeVar(NULL, psprintf("velostream_explain_%d", MyProcPid), -1);
	create.sel = vs_read_select(stmt);
	BeginInternalSubTransaction(NULL);
	MemoryContextSwitchTo(context);
	PG_TRY();
	{
		vs_create(&create);
		result = vs_explain_output(RangeVarGetRelid(create.name, NoLock, false));
		RollbackAndReleaseCurrentSubTransaction();
		MemoryContextSwitchTo(context);
		CurrentResourceOwner = owner;
	}
	PG_CATCH();
	{
		ErrorData  *edata;

		MemoryContextSwitchTo(context);
		edata = CopyErrorData();
		FlushErrorState();
		RollbackAndReleaseCurrentSubTransaction();
		MemoryContextSwitchTo(context);
		CurrentResourceOwner = owner;
		ReThrowError(edata);
	}
	PG_END_TRY();
	return result;
}

/*
 * A SELECT by itself runs once over the rows that there are, row by row, or
 * with EMIT FINAL and without a window all at once.
 */
static char *
run_select(VsStatement *stmt)
{
	VsBatchOptions options = {.emit = collect_row};
	VsDialectQuery query;
	VsOptions	read;
	SelectResult result = {0};
	ParseState *pstate = make_parsestate(NULL);

	read_query(stmt, &query);
	pstate->p_sourcetext = query.text;
	stmt->parsed = query.text;
	(void) vs_options_read(pstate, query.options, &read);
	free_parsestate(pstate);

	initStringInfo(&result.text);
	result.ncolumns = ExecCleanTargetListLength(query.query->targetList);
	options.emit_arg = &result;
	options.batch_rows = query.final && !query.windowed ? 0 : 1;
	if (!query.windowed)
		read.time.emit = VS_EMIT_CHANGES;
	read.time.once = query.final && !query.windowed;
	PushActiveSnapshot(GetTransactionSnapshot());
	vs_query_run(query.query, query.text, &read.time, &options);
	PopActiveSnapshot();
	stmt->parsed = NULL;
	return result.text.data;
}

/* Make a line of an emitted row; its last columns are keys that were not selected. */
static void
collect_row(char op, TupleTableSlot *slot, void *arg)
{
	SelectResult *result = arg;

	if (op == 'd')
		return;
	slot_getallattrs(slot);
	for (int i = 0; i < result->ncolumns; i++)
	{
		Form_pg_attribute att = TupleDescAttr(slot->tts_tupleDescriptor, i);
		Oid			output;
		bool		is_varlena;

		if (i > 0 || result->more)
			appendStringInfoString(&result->text, i > 0 ? " | " : "\n");
		getTypeOutputInfo(att->atttypid, &output, &is_varlena);
		if (!slot->tts_isnull[i])
			appendStringInfoString(&result->text, OidOutputFunctionCall(output, slot->tts_values[i]));
	}
	result->more = true;
}

/* See vs_dialect.h. */
void
vs_dialect_begin(const char *text, VsDialectQuery *result)
{
	List	   *statements = vs_lex_script(text);

	if (list_length(statements) != 1)
		ereport(ERROR,
				(errcode(ERRCODE_SYNTAX_ERROR),
				 errmsg("one SELECT is expected, not %d statements", list_length(statements))));
	vs_errors_begin(linitial(statements));
	read_query(linitial(statements), result);
	result->stmt->parsed = result->text;
}

void
vs_dialect_end(VsDialectQuery *query)
{
	vs_errors_end(query->stmt);
}

/* Read a SELECT, from the token to be read next to the end, and analyze it. */
static void
read_query(VsStatement *stmt, VsDialectQuery *result)
{
	VsSelect   *sel = vs_read_select(stmt);

	if (sel->primary_key != NIL)
		ereport(ERROR,
				(errcode(ERRCODE_SYNTAX_ERROR),
				 errmsg("PRIMARY KEY is for CREATE TABLE"),
				 vs_position(stmt, sel->primary_key_location)));
	vs_lower_select(sel);
	vs_property_notices(sel);
	result->stmt = stmt;
	result->options = vs_output_options(sel, false);
	result->windowed = sel->window != VS_WINDOW_NONE;
	result->final = sel->emit == VS_EMIT_FINAL;
	result->text = sel->text;
	result->query = vs_analyze(sel, (Node *) sel->select);
}
