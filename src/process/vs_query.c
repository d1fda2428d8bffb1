/*-------------------------------------------------------------------------
 *
 * vs_query.c
 *	  A query that is run once: velostream.query().
 *
 * It is a batch like any other (vs_batch.c, vs_groups.c, vs_rows.c), but of a
 * query that does not exist: it has no output, no state, no frontier and no
 * shared context.  Its delta is what the caller's snapshot sees, rows of the
 * caller's own transaction included; what output and state tables would hold
 * is in memory (emit/vs_memory.c), and gone afterwards.  So it writes nothing,
 * and runs in read-only transactions and on standbys too.
 *
 * Nothing can go away from a delta like that: the source is taken as in the
 * mode "append", which keeps least.
 *
 * It runs with the rights, the search_path and the settings of the caller, but
 * for those of the planner that every batch fixes.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "dialect/vs_dialect.h"
#include "fmgr.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "nodes/nodeFuncs.h"
#include "parser/parse_node.h"
#include "process/vs_batch_internal.h"
#include "registry/vs_options.h"
#include "utils/builtins.h"
#include "utils/guc.h"
#include "utils/memutils.h"
#include "utils/snapmgr.h"
#include "vs_compat.h"
#include "vs_guc.h"

/* Where velostream.query() puts rows. */
typedef struct EmittedRows
{
	Tuplestorestate *store;
	TupleDesc	desc;
} EmittedRows;

static void run_once(Query *query, const VsTimeOptions *time, const VsBatchOptions *options);
static void make_memory(VsBatch *batch);
static void tell_left_out(VsBatch *batch);
static void read_arguments(FunctionCallInfo fcinfo, char **source, VsBatchOptions *options);
static void check_columns(TupleDesc desc, Query *query);
static void store_row(char op, TupleTableSlot *slot, void *arg);

PG_FUNCTION_INFO_V1(velostream_query);

/* See vs_process.h. */
void
vs_query_run(Query *query, const char *source, const VsTimeOptions *time,
			 const VsBatchOptions *options)
{
	int			nestlevel;

	vs_require_preload();
	query = copyObject(query);
	vs_check_permissions(query);
	vs_flatten_groups(query);
	vs_query_check(query, VS_KIND_TABLE, VS_SOURCE_APPEND, time, source);
	query = vs_query_normalize_once(query);

	vs_batch_enter();
	PG_TRY();
	{
		nestlevel = NewGUCNestLevel();
		vs_guc_fix_planner(false);
		vs_batch_fix_settings();
		run_once(query, time, options);
		AtEOXact_GUC(false, nestlevel);
	}
	PG_FINALLY();
	{
		vs_clock_attach(NULL);
		vs_batch_leave();
	}
	PG_END_TRY();
}

/* Run a query in normal form. */
static void
run_once(Query *query, const VsTimeOptions *time, const VsBatchOptions *options)
{
	VsQueryEntry entry = {
		.kind = VS_KIND_TABLE,
		.mode = VS_SOURCE_APPEND,
		.on_error = VS_ON_ERROR_RETRY,
		.status = VS_STATUS_RUNNING,
		.with_data = true,
		.time = *time
	};
	VsBatch		batch = {
		.options = options,
		.fresh = true,
		.row = {.event_time = VS_NO_TIME,.watermark = VS_NO_TIME,.event_at = VS_NO_TIME}
	};
	MemoryContext old;

	batch.context = AllocSetContextCreate(CurrentMemoryContext, "velostream batch",
										  ALLOCSET_DEFAULT_SIZES);
	old = MemoryContextSwitchTo(batch.context);
	batch.snapshot = RegisterSnapshot(GetActiveSnapshot());
	batch.plan = vs_plan_make_once(query, &entry, batch.context);
	make_memory(&batch);

	batch.delta = vs_delta_begin_once(batch.plan->leaves, batch.snapshot);
	vs_clock_start(&batch);
	vs_delta_activate(batch.delta);
	vs_execute_delta(&batch);
	vs_delta_activate(NULL);
	vs_clock_step(&batch);
	tell_left_out(&batch);
	vs_delta_end(batch.delta);
	UnregisterSnapshot(batch.snapshot);
	MemoryContextSwitchTo(old);
	MemoryContextDelete(batch.context);
}

/* Room for what will be looked for again: of groups that are met once, nothing. */
static void
make_memory(VsBatch *batch)
{
	VsPlan	   *plan = batch->plan;
	bool		windows = vs_plan_window_column(plan) != 0;
	bool		image;

	if (batch->options->batch_rows == 0 && !windows)
		return;
	if (plan->top.standing || (plan->strategy == VS_STRATEGY_GROUPS &&
							   (plan->single_group || vs_plan_locator_columns(plan, &image) != NIL)))
		batch->output_rows = vs_memory_begin(batch->context, false);
	if (plan->strategy != VS_STRATEGY_GROUPS)
		return;
	batch->state_rows = vs_memory_begin(batch->context, windows);
}

/* There are no dead letters, so say what became of rows that no window took. */
static void
tell_left_out(VsBatch *batch)
{
	VsLateData	choice = batch->plan->entry.time.late;
	uint64		late = choice == VS_LATE_NEXT ? 0 : batch->row.late;
	uint64		timeless = batch->dead - (choice == VS_LATE_DROP ? 0 : late);

	if (late > 0 || timeless > 0)
		ereport(NOTICE,
				(errmsg("rows without an event time: " UINT64_FORMAT ", late rows: " UINT64_FORMAT,
						timeless, late),
				 errdetail("They are in none of the windows."),
				 late > 0 ?
				 errhint("Allow for disorder with WITH ('watermark.max_out_of_orderness' = '1 minute'), or use EMIT CHANGES, with which windows do not close.") : 0));
}

/*
 * velostream.query(query text, batch_rows integer) returns setof record: run a
 * SELECT of the dialect over the rows that are visible now, so many at a time, and return
 * every row that it emits, in order.  Without batch_rows, or with 0, all rows
 * are one batch; so they are with EMIT FINAL and without a window.
 */
Datum
velostream_query(PG_FUNCTION_ARGS)
{
	ReturnSetInfo *rsinfo = (ReturnSetInfo *) fcinfo->resultinfo;
	VsBatchOptions options = {0};
	VsDialectQuery query;
	VsOptions	read;
	ParseState *pstate = make_parsestate(NULL);
	EmittedRows result;
	char	   *source;

	read_arguments(fcinfo, &source, &options);
	InitMaterializedSRF(fcinfo, MAT_SRF_USE_EXPECTED_DESC);
	result.store = rsinfo->setResult;
	result.desc = rsinfo->setDesc;
	options.emit = store_row;
	options.emit_arg = &result;

	vs_dialect_begin(source, &query);
	pstate->p_sourcetext = query.text;
	(void) vs_options_read(pstate, query.options, &read);
	free_parsestate(pstate);
	check_columns(result.desc, query.query);
	if (query.final && !query.windowed)
	{
		options.batch_rows = 0;
		read.time.emit = VS_EMIT_CHANGES;
		read.time.once = true;
	}
	vs_query_run(query.query, query.text, &read.time, &options);
	vs_dialect_end(&query);
	return (Datum) 0;
}

/* An error unless the call is as it must be. */
static void
read_arguments(FunctionCallInfo fcinfo, char **source, VsBatchOptions *options)
{
	ReturnSetInfo *rsinfo = (ReturnSetInfo *) fcinfo->resultinfo;

	if (rsinfo == NULL || !IsA(rsinfo, ReturnSetInfo) || rsinfo->expectedDesc == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
				 errmsg("velostream.query() must be called in FROM, with a column definition list"),
				 errhint("Write SELECT * FROM velostream.query(...) AS t(column type, ...).")));
	if (PG_ARGISNULL(0))
		ereport(ERROR,
				(errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
				 errmsg("the query of velostream.query() must not be null")));
	*source = text_to_cstring(PG_GETARG_TEXT_PP(0));
	if (PG_ARGISNULL(1))
		return;
	if (PG_GETARG_INT32(1) < 0)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("batch_rows must not be negative"),
				 errhint("Zero makes one batch of all rows.")));
	options->batch_rows = PG_GETARG_INT32(1);
}

/* An error unless the caller's column definition list is that of the query. */
static void
check_columns(TupleDesc desc, Query *query)
{
	int			n = 0;
	ListCell   *lc;

	foreach(lc, query->targetList)
	{
		TargetEntry *tle = lfirst_node(TargetEntry, lc);
		Oid			type = exprType((Node *) tle->expr);
		Form_pg_attribute att;

		if (tle->resjunk)
			break;
		if (n++ >= desc->natts)
			continue;
		att = TupleDescAttr(desc, n - 1);
		if (att->atttypid != type ||
			(att->atttypmod >= 0 && att->atttypmod != exprTypmod((Node *) tle->expr)))
			ereport(ERROR,
					(errcode(ERRCODE_DATATYPE_MISMATCH),
					 errmsg("column \"%s\" of the query has type %s, but the column definition list has %s for it",
							tle->resname,
							format_type_with_typemod(type, exprTypmod((Node *) tle->expr)),
							format_type_with_typemod(att->atttypid, att->atttypmod)),
					 errhint("Write the type of the query's column there, or add a cast to the query.")));
	}
	if (query->commandType == CMD_SELECT && n != desc->natts)
		ereport(ERROR,
				(errcode(ERRCODE_DATATYPE_MISMATCH),
				 errmsg("the query returns %d columns, but the column definition list has %d",
						n, desc->natts)));
}

/* Keep an emitted row; keys that were not selected are behind those that were. */
static void
store_row(char op, TupleTableSlot *slot, void *arg)
{
	EmittedRows *result = arg;

	if (op != 'd')
		tuplestore_putvalues(result->store, result->desc, slot->tts_values, slot->tts_isnull);
}
