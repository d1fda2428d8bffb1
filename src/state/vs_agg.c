/*-------------------------------------------------------------------------
 *
 * vs_agg.c
 *	  Split aggregates: transition values that are combined, retracted and
 *	  finalized outside of an Agg node.
 *
 * The plan over the delta delivers partial transition values, as parallel
 * aggregation does.  What a "Finalize Aggregate" node would do with them is
 * done here, for one group at a time, over a state that outlives the plan:
 * NULLs, strict functions and initial values are treated as in nodeAgg.c, and
 * functions that insist on being called by an aggregate find an AggState.
 *
 * What is stored of an aggregate is its transition value, or the bytea of its
 * serialization function if that value is of type internal.
 *
 * PostgreSQL's own counts and sums over integers and numerics are known by
 * their transition and combine functions (never by the aggregate's name, so
 * aggregates of users built on them are known too).  Of these, and only
 * these, rows can be subtracted exactly.  sum(int2) and sum(int4) are kept in
 * the form that PostgreSQL uses in moving windows, {count, sum}, wherever
 * rows may be taken out, because a bare sum cannot tell when it is NULL.
 *
 * Function lookups, and the permission checks that ExecInitAgg would do, are
 * made anew for every VsAggContext, that is, for every batch, by the role
 * that runs it.
 *
 * Memory: what a call returns is in the context's result memory, or is the
 * "state" that the caller passed, or the memory of that.  It never points
 * into "delta", and is never a TOAST pointer or an expanded object unless the
 * caller's own state, returned unchanged, was one.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/detoast.h"
#include "access/htup_details.h"
#include "access/transam.h"
#include "catalog/objectaccess.h"
#include "catalog/pg_aggregate.h"
#include "catalog/pg_proc.h"
#include "catalog/pg_type.h"
#include "common/int.h"
#include "executor/executor.h"
#include "executor/nodeAgg.h"
#include "miscadmin.h"
#include "nodes/makefuncs.h"
#include "parser/parse_agg.h"
#include "parser/parse_func.h"
#include "state/vs_agg.h"
#include "state/vs_agg_internal.h"
#include "utils/acl.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/datum.h"
#include "utils/fmgroids.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/syscache.h"
#include "vs_compat.h"

/* What a transition value is known to be. */
typedef enum VsAggForm
{
	VS_FORM_OTHER,
	VS_FORM_COUNT,				/* int8 */
	VS_FORM_INT_SUM,			/* int8[] {count, sum} */
	VS_FORM_WIDE_SUM			/* serialized, see vs_agg_sum.c */
} VsAggForm;

/* The state of VS_FORM_INT_SUM, as numeric.c has it (Int8TransTypeData). */
typedef struct IntSum
{
	int64		count;
	int64		sum;
} IntSum;

/* Callable functions of one aggregate, good for one VsAggContext. */
typedef struct VsAggCalls
{
	FmgrInfo	combinefn;
	FmgrInfo	serialfn;
	FmgrInfo	deserialfn;
	FmgrInfo	finalfn;
	FmgrInfo	betterfn;		/* of the sort operator */
	FunctionCallInfo combine;
	FunctionCallInfo serial;
	FunctionCallInfo deserial;
	FunctionCallInfo final;
	Datum		initial;
	bool		initialnull;
	AggStatePerTransData pertrans;
	AggStatePerAggData peragg;
} VsAggCalls;

struct VsAggPrivate
{
	VsAggForm	form;
	VsSumLayout layout;			/* of VS_FORM_WIDE_SUM */
	bool		serialized;		/* the transition type is internal */
	bool		nullmeansnone;	/* a NULL partial value means no rows */
	bool		finalwrites;	/* the final function may change the state */
	int			numfinalargs;
	Oid			combinefn;
	Oid			serialfn;		/* these may be InvalidOid */
	Oid			deserialfn;
	Oid			finalfn;
	Oid			betterfn;
	char	   *initial;		/* agginitval, or NULL */
	uint64		generation;		/* VsAggContext that "calls" belongs to */
	VsAggCalls *calls;
};

struct VsAggContext
{
	MemoryContext context;		/* until vs_agg_end */
	MemoryContext results;		/* until vs_agg_reset */
	uint64		generation;		/* never the same twice in a process */
	AggState   *aggstate;
};

/* Transition values that are known, by the functions that make them. */
typedef struct KnownAgg
{
	Oid			transfn;
	Oid			combinefn;
	Oid			serialfn;
	const char *initial;
	VsAggForm	form;
	VsSumLayout layout;
} KnownAgg;

static const KnownAgg known_aggs[] = {
	{F_INT8INC, F_INT8PL, InvalidOid, "0", VS_FORM_COUNT},
	{F_INT8INC_ANY, F_INT8PL, InvalidOid, "0", VS_FORM_COUNT},
	{F_INT8INC_FLOAT8_FLOAT8, F_INT8PL, InvalidOid, "0", VS_FORM_COUNT},
	{F_INT2_AVG_ACCUM, F_INT4_AVG_COMBINE, InvalidOid, "{0,0}", VS_FORM_INT_SUM},
	{F_INT4_AVG_ACCUM, F_INT4_AVG_COMBINE, InvalidOid, "{0,0}", VS_FORM_INT_SUM},
	{F_INT8_AVG_ACCUM, F_INT8_AVG_COMBINE, F_INT8_AVG_SERIALIZE, NULL, VS_FORM_WIDE_SUM, {false, false}},
	{F_NUMERIC_AVG_ACCUM, F_NUMERIC_AVG_COMBINE, F_NUMERIC_AVG_SERIALIZE, NULL, VS_FORM_WIDE_SUM, {false, true}},
	{F_INT2_ACCUM, F_NUMERIC_POLY_COMBINE, F_NUMERIC_POLY_SERIALIZE, NULL, VS_FORM_WIDE_SUM, {true, false}},
	{F_INT4_ACCUM, F_NUMERIC_POLY_COMBINE, F_NUMERIC_POLY_SERIALIZE, NULL, VS_FORM_WIDE_SUM, {true, false}},
	{F_INT8_ACCUM, F_NUMERIC_COMBINE, F_NUMERIC_SERIALIZE, NULL, VS_FORM_WIDE_SUM, {true, true}},
	{F_NUMERIC_ACCUM, F_NUMERIC_COMBINE, F_NUMERIC_SERIALIZE, NULL, VS_FORM_WIDE_SUM, {true, true}},
};

/* from vs_agg_describe */
static const char *refuse_call(const Aggref *aggref);
static VsAgg *describe_catalog(Aggref *aggref, VsSourceMode mode, const char **why_not);
static void split_integer_sum(VsAgg *agg, Form_pg_aggregate form);
static Aggref *arrival_form(Aggref *aggref);
static Aggref *moving_form(Aggref *aggref, Form_pg_aggregate form, bool initialnull);
static HeapTuple aggregate_tuple(Oid aggfnoid);
static char *initial_text(HeapTuple tuple);
static const char *refuse_functions(Oid transtype, Form_pg_aggregate form);
static void describe_types(VsAgg *agg);
static void describe_retract(VsAgg *agg, Form_pg_aggregate form);
static bool is_extremum(VsAgg *agg, Form_pg_aggregate form);

/* making it callable */
static VsAggCalls *get_calls(VsAggContext *cxt, VsAgg *agg);
static VsAggCalls *make_calls(VsAggContext *cxt, VsAgg *agg);
static void prepare_initial(VsAgg *agg, VsAggCalls *calls);
static Oid	check_aggregate(Oid aggfnoid);
static void check_function(Oid function, Oid role);
static FunctionCallInfo prepare_function(VsAggContext *cxt, Oid function, Expr *expr,
										 int nargs, Oid collation, FmgrInfo *flinfo);
static void prepare_final(VsAggContext *cxt, VsAgg *agg, VsAggCalls *calls);

/* calling */
static Datum combine_values(VsAggContext *cxt, VsAgg *agg, VsAggCalls *calls, Datum state, bool statenull,
							Datum delta, bool deltanull, bool *isnull);
static Datum combine_serialized(VsAggContext *cxt, VsAgg *agg, VsAggCalls *calls, Datum state, bool statenull,
								Datum delta, bool deltanull, bool *isnull);
static Datum call_combine(VsAggContext *cxt, VsAggCalls *calls, NullableDatum state, NullableDatum delta,
						  bool *isnull);
static NullableDatum call_deserial(VsAggCalls *calls, Datum value, bool isnull);
static bool retract_count(Datum state, bool statenull, Datum minus, Datum *result);
static bool retract_int_sum(VsAgg *agg, Datum state, bool statenull, Datum minus, Datum *result);
static bool retract_wide_sum(VsAgg *agg, Datum state, bool statenull, Datum minus, Datum *result, bool *isnull);
static IntSum *int_sum(Datum value);
static Datum copy_inline(Datum value, bool byval, int16 len);
static Datum copy_writable(Datum value, bool byval, int16 len);

/*
 * How an aggregate of a query is run split.  NULL if it cannot be, and then
 * *why_not says what is missing (a clause about the aggregate, to be
 * translated).  The result is in CurrentMemoryContext and serves any number
 * of batches.
 */
VsAgg *
vs_agg_describe(Aggref *aggref, VsSourceMode mode, const char **why_not)
{
	*why_not = refuse_call(aggref);
	if (*why_not != NULL)
		return NULL;
	return describe_catalog(aggref, mode, why_not);
}

static const char *
refuse_call(const Aggref *aggref)
{
	if (aggref->agglevelsup > 0)
		return gettext_noop("it belongs to an outer query");
	if (aggref->aggkind != AGGKIND_NORMAL)
		return gettext_noop("it is an ordered-set aggregate");
	if (aggref->aggdistinct != NIL)
		return gettext_noop("it has DISTINCT");
	if (aggref->aggorder != NIL)
		return gettext_noop("it has ORDER BY");
	return NULL;
}

/* What the catalogs say about an aggregate; NULL and *why_not if it is not for us. */
static VsAgg *
describe_catalog(Aggref *aggref, VsSourceMode mode, const char **why_not)
{
	HeapTuple	tuple = aggregate_tuple(aggref->aggfnoid);
	Form_pg_aggregate form = (Form_pg_aggregate) GETSTRUCT(tuple);
	VsAgg	   *agg = palloc0(sizeof(VsAgg));
	struct VsAggPrivate *priv = palloc0(sizeof(struct VsAggPrivate));
	Oid			argtypes[FUNC_MAX_ARGS];
	int			nargs;

	agg->aggref = agg->partial = aggref;
	agg->priv = priv;
	priv->finalfn = form->aggfinalfn;
	priv->finalwrites = (form->aggfinalmodify != AGGMODIFY_READ_ONLY);
	priv->numfinalargs = 1;
	nargs = get_aggregate_argtypes(aggref, argtypes);
	if (form->aggfinalextra)
		priv->numfinalargs += nargs;
	priv->initial = initial_text(tuple);

	if (mode == VS_SOURCE_CHANGES)
		agg->partial = moving_form(aggref, form, priv->initial == NULL);
	else
		agg->partial = arrival_form(aggref);
	if (agg->partial != aggref)
	{
		ReleaseSysCache(tuple);
		tuple = aggregate_tuple(agg->partial->aggfnoid);
		form = (Form_pg_aggregate) GETSTRUCT(tuple);
		priv->initial = initial_text(tuple);
		agg->by_arrival = mode != VS_SOURCE_CHANGES;
		if (!agg->by_arrival)
		{
			agg->shown = VS_SHOWN_SUM;
			priv->finalfn = F_INT2INT4_SUM;
		}
	}

	agg->transtype = resolve_aggregate_transtype(agg->partial->aggfnoid, form->aggtranstype,
												 argtypes, nargs);
	*why_not = refuse_functions(agg->transtype, form);
	if (*why_not == NULL)
	{
		priv->serialized = (agg->transtype == INTERNALOID);
		priv->combinefn = form->aggcombinefn;
		if (priv->serialized)
		{
			priv->serialfn = form->aggserialfn;
			priv->deserialfn = form->aggdeserialfn;
		}
		describe_types(agg);
		describe_retract(agg, form);
		split_integer_sum(agg, form);
	}
	ReleaseSysCache(tuple);
	return *why_not == NULL ? agg : NULL;
}

/*
 * Run sum() and count() of the same values in the place of an aggregate whose
 * transition value is {count, sum} of int2 or int4.
 */
static void
split_integer_sum(VsAgg *agg, Form_pg_aggregate form)
{
	struct VsAggPrivate *priv = agg->priv;
	bool		small = form->aggtransfn == F_INT2_AVG_ACCUM;

	if ((!small && form->aggtransfn != F_INT4_AVG_ACCUM) ||
		priv->initial == NULL || strcmp(priv->initial, "{0,0}") != 0)
		return;

	agg->partial_sum = copyObject(agg->partial);
	agg->partial_sum->aggfnoid = small ? F_SUM_INT2 : F_SUM_INT4;
	agg->partial_sum->aggtype = INT8OID;
	agg->partial_sum->aggtranstype = InvalidOid;
	agg->partial_count = copyObject(agg->partial_sum);
	agg->partial_count->aggfnoid = F_COUNT_ANY;
	if (priv->finalfn == F_INT8_AVG)
		agg->shown = VS_SHOWN_AVERAGE;
}

/*
 * The aggregate whose transition value is maintained instead, where rows may
 * be taken out: {count, sum} for a sum of int2 or int4.  Else the aggregate
 * itself.
 */
static Aggref *
moving_form(Aggref *aggref, Form_pg_aggregate form, bool initialnull)
{
	Aggref	   *partial;
	Oid			aggfnoid;

	if (form->aggtransfn == F_INT2_SUM)
		aggfnoid = F_AVG_INT2;
	else if (form->aggtransfn == F_INT4_SUM)
		aggfnoid = F_AVG_INT4;
	else
		return aggref;
	if (form->aggcombinefn != F_INT8PL || OidIsValid(form->aggfinalfn) || !initialnull)
		return aggref;

	partial = copyObject(aggref);
	partial->aggfnoid = aggfnoid;
	partial->aggtype = NUMERICOID;
	partial->aggcollid = InvalidOid;
	partial->aggtranstype = InvalidOid;
	partial->aggno = -1;
	partial->aggtransno = -1;
	return partial;
}

/*
 * The aggregate whose transition value is maintained instead, where rows only
 * come, and their places in the order of arrival are known: first(x, place) for
 * velostream.first(x), and so on.  Else the aggregate itself.
 */
static Aggref *
arrival_form(Aggref *aggref)
{
	static const char *const names[] = {"first", "last"};
	Oid			argtypes[] = {ANYELEMENTOID, ANYOID};
	Aggref	   *partial;

	for (int i = 0; i < lengthof(names); i++)
	{
		List	   *name = list_make2(makeString(VS_SCHEMA_NAME), makeString(pstrdup(names[i])));

		if (aggref->aggfnoid != LookupFuncName(name, 1, argtypes, true))
			continue;
		partial = copyObject(aggref);
		partial->aggfnoid = LookupFuncName(name, 2, argtypes, false);
		partial->aggargtypes = lappend_oid(partial->aggargtypes, INT8OID);
		partial->args = lappend(partial->args,
								makeTargetEntry((Expr *) makeNullConst(INT8OID, -1, InvalidOid),
												2, NULL, false));
		partial->aggtranstype = InvalidOid;
		partial->aggno = -1;
		partial->aggtransno = -1;
		return partial;
	}
	return aggref;
}

static HeapTuple
aggregate_tuple(Oid aggfnoid)
{
	HeapTuple	tuple = SearchSysCache1(AGGFNOID, ObjectIdGetDatum(aggfnoid));

	if (!HeapTupleIsValid(tuple))
		elog(ERROR, "cache lookup failed for aggregate %u", aggfnoid);
	return tuple;
}

/* agginitval, a copy, or NULL. */
static char *
initial_text(HeapTuple tuple)
{
	bool		isnull;
	Datum		value = SysCacheGetAttr(AGGFNOID, tuple, Anum_pg_aggregate_agginitval, &isnull);

	return isnull ? NULL : TextDatumGetCString(value);
}

static const char *
refuse_functions(Oid transtype, Form_pg_aggregate form)
{
	if (!OidIsValid(form->aggcombinefn))
		return gettext_noop("it has no combine function");
	if (transtype == INTERNALOID)
	{
		if (!OidIsValid(form->aggserialfn))
			return gettext_noop("its transition type is internal and it has no serialization function");
		if (!OidIsValid(form->aggdeserialfn))
			return gettext_noop("its transition type is internal and it has no deserialization function");
	}
	else if (get_typtype(transtype) == TYPTYPE_PSEUDO)
		return gettext_noop("its transition type cannot be the type of a column");
	return NULL;
}

static void
describe_types(VsAgg *agg)
{
	agg->storetype = agg->priv->serialized ? BYTEAOID : agg->transtype;
	get_typlenbyvalalign(agg->storetype, &agg->storelen, &agg->storebyval, &agg->storealign);
	agg->resulttype = agg->aggref->aggtype;
	get_typlenbyval(agg->resulttype, &agg->resultlen, &agg->resultbyval);
	agg->plain = !agg->priv->serialized && !OidIsValid(agg->priv->finalfn) &&
		agg->storetype == agg->resulttype;
}

/* How rows are taken out; "form" is that of agg->partial. */
static void
describe_retract(VsAgg *agg, Form_pg_aggregate form)
{
	struct VsAggPrivate *priv = agg->priv;

	agg->retract = VS_RETRACT_RECOMPUTE;
	for (int i = 0; i < lengthof(known_aggs); i++)
	{
		const KnownAgg *known = &known_aggs[i];

		if (known->transfn == form->aggtransfn && known->combinefn == form->aggcombinefn &&
			known->serialfn == priv->serialfn &&
			(known->initial == NULL) == (priv->initial == NULL) &&
			(known->initial == NULL || strcmp(known->initial, priv->initial) == 0))
		{
			priv->form = known->form;
			priv->layout = known->layout;
			agg->retract = VS_RETRACT_SUBTRACT;
			return;
		}
	}

	if (is_extremum(agg, form))
	{
		agg->retract = VS_RETRACT_EXTREMUM;
		priv->betterfn = get_opcode(form->aggsortop);
	}

	/* no function of PostgreSQL's own that is strict makes a NULL of values */
	priv->nullmeansnone = (priv->initial == NULL && form->aggtransfn < FirstNormalObjectId &&
						   func_strict(form->aggtransfn));
}

/*
 * Is it the first of its arguments in the order of aggsortop?  CREATE
 * AGGREGATE promises that of any aggregate that has one, bool_and included.
 * We ask for strict functions, so that NULLs are not among the values.
 */
static bool
is_extremum(VsAgg *agg, Form_pg_aggregate form)
{
	return OidIsValid(form->aggsortop) &&
		agg->plain &&
		agg->priv->initial == NULL &&
		list_length(agg->aggref->args) == 1 &&
		func_strict(form->aggtransfn) &&
		func_strict(form->aggcombinefn) &&
		OidIsValid(get_opcode(form->aggsortop));
}

/* Start calling aggregates; lasts one batch at most. */
VsAggContext *
vs_agg_begin(MemoryContext parent)
{
	static uint64 generation = 0;
	MemoryContext context = AllocSetContextCreate(parent, "velostream aggregates",
												  ALLOCSET_DEFAULT_SIZES);
	MemoryContext old = MemoryContextSwitchTo(context);
	VsAggContext *cxt = palloc0(sizeof(VsAggContext));
	AggState   *aggstate = makeNode(AggState);

	cxt->context = context;
	cxt->generation = ++generation;
	cxt->aggstate = aggstate;

	aggstate->aggstrategy = AGG_PLAIN;
	aggstate->aggsplit = AGGSPLIT_FINAL_DESERIAL;
	aggstate->numaggs = 1;
	aggstate->numtrans = 1;
	aggstate->tmpcontext = CreateStandaloneExprContext();
	aggstate->curaggcontext = CreateStandaloneExprContext();
	aggstate->hashcontext = aggstate->curaggcontext;
	aggstate->aggcontexts = palloc(sizeof(ExprContext *));
	aggstate->aggcontexts[0] = aggstate->curaggcontext;
	aggstate->ss.ps.ps_ExprContext = aggstate->curaggcontext;
	cxt->results = aggstate->curaggcontext->ecxt_per_tuple_memory;

	MemoryContextSwitchTo(old);
	return cxt;
}

void
vs_agg_end(VsAggContext *cxt)
{
	FreeExprContext(cxt->aggstate->curaggcontext, true);
	FreeExprContext(cxt->aggstate->tmpcontext, true);
	MemoryContextDelete(cxt->context);
}

void
vs_agg_reset(VsAggContext *cxt)
{
	ReScanExprContext(cxt->aggstate->curaggcontext);
	ReScanExprContext(cxt->aggstate->tmpcontext);
}

/* The functions of an aggregate, looked up on first use in a batch. */
static VsAggCalls *
get_calls(VsAggContext *cxt, VsAgg *agg)
{
	struct VsAggPrivate *priv = agg->priv;

	if (unlikely(priv->generation != cxt->generation))
	{
		priv->generation = 0;
		priv->calls = make_calls(cxt, agg);
		priv->generation = cxt->generation;
	}
	return priv->calls;
}

/* Look up the support functions of an aggregate, and check that it may be called. */
static VsAggCalls *
make_calls(VsAggContext *cxt, VsAgg *agg)
{
	struct VsAggPrivate *priv = agg->priv;
	MemoryContext old = MemoryContextSwitchTo(cxt->context);
	VsAggCalls *calls = palloc0(sizeof(VsAggCalls));
	Oid			owner = check_aggregate(agg->partial->aggfnoid);
	Expr	   *expr;

	check_function(priv->combinefn, owner);
	build_aggregate_transfn_expr(&agg->transtype, 1, 0, false, agg->transtype,
								 agg->partial->inputcollid, priv->combinefn, InvalidOid, &expr, NULL);
	calls->combine = prepare_function(cxt, priv->combinefn, expr, 2, agg->partial->inputcollid,
									  &calls->combinefn);
	if (calls->combinefn.fn_strict && priv->serialized)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_FUNCTION_DEFINITION),
				 errmsg("combine function with transition type %s must not be declared STRICT",
						format_type_be(agg->transtype))));
	if (priv->serialized)
	{
		check_function(priv->serialfn, owner);
		check_function(priv->deserialfn, owner);
		build_aggregate_serialfn_expr(priv->serialfn, &expr);
		calls->serial = prepare_function(cxt, priv->serialfn, expr, 1, InvalidOid, &calls->serialfn);
		build_aggregate_deserialfn_expr(priv->deserialfn, &expr);
		calls->deserial = prepare_function(cxt, priv->deserialfn, expr, 2, InvalidOid, &calls->deserialfn);
	}
	if (OidIsValid(priv->finalfn))
		prepare_final(cxt, agg, calls);
	if (OidIsValid(priv->betterfn))
	{
		check_function(priv->betterfn, GetUserId());
		fmgr_info(priv->betterfn, &calls->betterfn);
	}

	prepare_initial(agg, calls);
	calls->pertrans.aggref = agg->partial;
	calls->pertrans.aggCollation = agg->partial->inputcollid;
	calls->pertrans.aggtranstype = agg->transtype;
	calls->peragg.aggref = agg->aggref;
	calls->peragg.transno = 0;
	MemoryContextSwitchTo(old);
	return calls;
}

/* As GetAggInitVal in the planner. */
static void
prepare_initial(VsAgg *agg, VsAggCalls *calls)
{
	Oid			input;
	Oid			ioparam;

	calls->initialnull = (agg->priv->initial == NULL);
	if (calls->initialnull)
		return;
	getTypeInputInfo(agg->transtype, &input, &ioparam);
	calls->initial = OidInputFunctionCall(input, agg->priv->initial, ioparam, -1);
}

/* May we call the aggregate?  Returns its owner, who must be able to call its functions. */
static Oid
check_aggregate(Oid aggfnoid)
{
	HeapTuple	tuple;
	Oid			owner;
	AclResult	aclresult = pg_proc_aclcheck(aggfnoid, GetUserId(), ACL_EXECUTE);

	if (aclresult != ACLCHECK_OK)
		aclcheck_error(aclresult, OBJECT_AGGREGATE, get_func_name(aggfnoid));
	InvokeFunctionExecuteHook(aggfnoid);

	tuple = SearchSysCache1(PROCOID, ObjectIdGetDatum(aggfnoid));
	if (!HeapTupleIsValid(tuple))
		elog(ERROR, "cache lookup failed for function %u", aggfnoid);
	owner = ((Form_pg_proc) GETSTRUCT(tuple))->proowner;
	ReleaseSysCache(tuple);
	return owner;
}

static void
check_function(Oid function, Oid role)
{
	AclResult	aclresult = pg_proc_aclcheck(function, role, ACL_EXECUTE);

	if (aclresult != ACLCHECK_OK)
		aclcheck_error(aclresult, OBJECT_FUNCTION, get_func_name(function));
	InvokeFunctionExecuteHook(function);
}

/* A call that can be made again and again, by setting its arguments. */
static FunctionCallInfo
prepare_function(VsAggContext *cxt, Oid function, Expr *expr,
				 int nargs, Oid collation, FmgrInfo *flinfo)
{
	FunctionCallInfo fcinfo = palloc0(SizeForFunctionCallInfo(nargs));

	fmgr_info(function, flinfo);
	fmgr_info_set_expr((Node *) expr, flinfo);
	InitFunctionCallInfoData(*fcinfo, flinfo, nargs, collation, (fmNodePtr) cxt->aggstate, NULL);
	return fcinfo;
}

/*
 * The final function belongs to the aggregate of the query, which need not be
 * the one whose transition value is kept.
 */
static void
prepare_final(VsAggContext *cxt, VsAgg *agg, VsAggCalls *calls)
{
	struct VsAggPrivate *priv = agg->priv;
	Oid			argtypes[FUNC_MAX_ARGS];
	Expr	   *expr;

	check_function(priv->finalfn, check_aggregate(agg->aggref->aggfnoid));
	get_aggregate_argtypes(agg->aggref, argtypes);
	build_aggregate_finalfn_expr(argtypes, priv->numfinalargs, agg->transtype, agg->resulttype,
								 agg->aggref->inputcollid, priv->finalfn, &expr);
	calls->final = prepare_function(cxt, priv->finalfn, expr, priv->numfinalargs,
									agg->aggref->inputcollid, &calls->finalfn);
	calls->peragg.finalfn_oid = priv->finalfn;
	calls->peragg.numFinalArgs = priv->numfinalargs;
	for (int i = 1; i < priv->numfinalargs; i++)
		calls->final->args[i].isnull = true;
}

/* The transition value of no rows; its memory lasts as long as the context. */
Datum
vs_agg_initial(VsAggContext *cxt, VsAgg *agg, bool *isnull)
{
	VsAggCalls *calls = get_calls(cxt, agg);

	*isnull = calls->initialnull;
	return calls->initial;
}

/*
 * The transition value of the rows of both.  A group that had no state starts
 * from vs_agg_initial; for the known forms NULL does as well.
 */
Datum
vs_agg_combine(VsAggContext *cxt, VsAgg *agg, Datum state, bool statenull,
			   Datum delta, bool deltanull, bool *isnull)
{
	VsAggCalls *calls = get_calls(cxt, agg);
	MemoryContext old;
	Datum		result;

	*isnull = false;
	old = MemoryContextSwitchTo(cxt->results);
	if (deltanull && (agg->priv->form != VS_FORM_OTHER || calls->combinefn.fn_strict))
	{
		result = state;
		*isnull = statenull;
	}
	else if (statenull && agg->priv->form != VS_FORM_OTHER)
		result = copy_inline(delta, agg->storebyval, agg->storelen);
	else if (agg->priv->serialized)
		result = combine_serialized(cxt, agg, calls, state, statenull, delta, deltanull, isnull);
	else
		result = combine_values(cxt, agg, calls, state, statenull, delta, deltanull, isnull);
	MemoryContextSwitchTo(old);
	return result;
}

/* As advance_transition_function does for a combine function. */
static Datum
combine_values(VsAggContext *cxt, VsAgg *agg, VsAggCalls *calls, Datum state, bool statenull,
			   Datum delta, bool deltanull, bool *isnull)
{
	NullableDatum left = {.value = state,.isnull = statenull};
	NullableDatum right = {.value = delta,.isnull = deltanull};
	Datum		result;

	if (calls->combinefn.fn_strict && statenull)
	{
		/* the first value is the state, unless there was an initial value */
		if (calls->initialnull)
			return copy_inline(delta, agg->storebyval, agg->storelen);
		*isnull = true;
		return (Datum) 0;
	}
	if (agg->storebyval)
		return call_combine(cxt, calls, left, right, isnull);

	/* the function may write to its first argument */
	if (!statenull)
		left.value = copy_writable(state, false, agg->storelen);
	result = call_combine(cxt, calls, left, right, isnull);
	if (*isnull || (!statenull && DatumGetPointer(result) == DatumGetPointer(left.value)))
		return result;
	return copy_inline(result, false, agg->storelen);
}

/*
 * The same for type internal.  As nowhere is promised that a deserialized
 * value may be the first argument of the combine function, it is combined
 * with nothing first, which is what a Finalize Aggregate node does.
 */
static Datum
combine_serialized(VsAggContext *cxt, VsAgg *agg, VsAggCalls *calls, Datum state, bool statenull,
				   Datum delta, bool deltanull, bool *isnull)
{
	NullableDatum none = {.value = (Datum) 0,.isnull = true};
	NullableDatum value;
	bytea	   *sum = NULL;

	if (deltanull && calls->deserialfn.fn_strict)
	{
		*isnull = statenull;
		return state;
	}
	if (statenull && !deltanull)
		return copy_inline(delta, false, -1);
	if (agg->priv->form == VS_FORM_WIDE_SUM)
		sum = vs_sum_add(agg->priv->layout, DatumGetByteaPP(state), DatumGetByteaPP(delta));
	if (sum != NULL)
		return PointerGetDatum(sum);

	if (statenull)
		value = none;
	else
		value.value = call_combine(cxt, calls, none, call_deserial(calls, state, false), &value.isnull);
	value.value = call_combine(cxt, calls, value, call_deserial(calls, delta, deltanull), &value.isnull);

	if (value.isnull && calls->serialfn.fn_strict)
	{
		*isnull = true;
		return (Datum) 0;
	}
	calls->serial->args[0] = value;
	calls->serial->isnull = false;
	value.value = FunctionCallInvoke(calls->serial);
	*isnull = calls->serial->isnull;
	return *isnull ? (Datum) 0 : copy_inline(value.value, false, -1);
}

/* Strictness is the caller's affair. */
static Datum
call_combine(VsAggContext *cxt, VsAggCalls *calls, NullableDatum state, NullableDatum delta,
			 bool *isnull)
{
	FunctionCallInfo fcinfo = calls->combine;
	Datum		result;

	cxt->aggstate->pertrans = cxt->aggstate->curpertrans = &calls->pertrans;
	fcinfo->args[0] = state;
	fcinfo->args[1] = delta;
	fcinfo->isnull = false;
	result = FunctionCallInvoke(fcinfo);
	cxt->aggstate->curpertrans = NULL;
	*isnull = fcinfo->isnull;
	return fcinfo->isnull ? (Datum) 0 : result;
}

static NullableDatum
call_deserial(VsAggCalls *calls, Datum value, bool isnull)
{
	FunctionCallInfo fcinfo = calls->deserial;
	NullableDatum result = {.value = (Datum) 0,.isnull = true};

	if (isnull && calls->deserialfn.fn_strict)
		return result;
	fcinfo->args[0].value = value;
	fcinfo->args[0].isnull = isnull;
	fcinfo->args[1].value = PointerGetDatum(NULL);	/* for type safety only */
	fcinfo->args[1].isnull = false;
	fcinfo->isnull = false;
	result.value = FunctionCallInvoke(fcinfo);
	result.isnull = fcinfo->isnull;
	return result;
}

/*
 * The transition value of the rows of "state" that are not in "minus", in
 * *result.  False if it cannot be told: compute the group again.
 */
bool
vs_agg_retract(VsAggContext *cxt, VsAgg *agg, Datum state, bool statenull,
			   Datum minus, bool minusnull, Datum *result, bool *isnull)
{
	VsAggCalls *calls = get_calls(cxt, agg);
	MemoryContext old;
	bool		done = false;

	*result = state;
	*isnull = statenull;
	if (minusnull && (agg->priv->form != VS_FORM_OTHER || agg->priv->nullmeansnone))
		return true;
	if (minusnull)
		return false;

	old = MemoryContextSwitchTo(cxt->results);
	switch (agg->priv->form)
	{
		case VS_FORM_COUNT:
			done = retract_count(state, statenull, minus, result);
			break;
		case VS_FORM_INT_SUM:
			done = retract_int_sum(agg, state, statenull, minus, result);
			break;
		case VS_FORM_WIDE_SUM:
			done = retract_wide_sum(agg, state, statenull, minus, result, isnull);
			break;
		case VS_FORM_OTHER:
			/* an extremum stays if it is strictly better than all that went */
			if (agg->retract == VS_RETRACT_EXTREMUM && !statenull)
				done = DatumGetBool(FunctionCall2Coll(&calls->betterfn, agg->partial->inputcollid,
													  state, minus));
			break;
	}
	MemoryContextSwitchTo(old);
	return done;
}

static bool
retract_count(Datum state, bool statenull, Datum minus, Datum *result)
{
	int64		gone = DatumGetInt64(minus);
	int64		left;

	if (gone == 0)
		return true;
	if (statenull || pg_sub_s64_overflow(DatumGetInt64(state), gone, &left) || left < 0)
		return false;
	*result = Int64GetDatum(left);
	return true;
}

/* Of the average of small integers, whose state is an array of count and sum. */
static bool
retract_int_sum(VsAgg *agg, Datum state, bool statenull, Datum minus, Datum *result)
{
	IntSum	   *left;
	IntSum	   *gone = int_sum(PointerGetDatum(PG_DETOAST_DATUM(minus)));

	if (gone == NULL)
		return false;
	if (gone->count == 0)
		return true;
	if (statenull)
		return false;
	state = copy_writable(state, false, agg->storelen);
	left = int_sum(state);
	if (left == NULL || left->count < gone->count)
		return false;

	/* a sum that overflowed wraps back, as it does in moving windows */
	left->count -= gone->count;
	left->sum = (int64) ((uint64) left->sum - (uint64) gone->sum);
	if (left->count == 0)
		left->sum = 0;
	*result = state;
	return true;
}

static bool
retract_wide_sum(VsAgg *agg, Datum state, bool statenull, Datum minus, Datum *result, bool *isnull)
{
	bytea	   *gone = DatumGetByteaPP(minus);
	bytea	   *left;

	/* nothing minus nothing */
	if (statenull)
		return vs_sum_is_empty(agg->priv->layout, gone);
	if (!vs_sum_subtract(agg->priv->layout, DatumGetByteaPP(state), gone, &left))
		return false;
	*isnull = (left == NULL);
	*result = PointerGetDatum(left);
	return true;
}

/* The contents of an array {count, sum}, or NULL if it is something else. */
static IntSum *
int_sum(Datum value)
{
	ArrayType  *array = (ArrayType *) DatumGetPointer(value);

	if (ARR_HASNULL(array) || ARR_SIZE(array) != ARR_OVERHEAD_NONULLS(1) + sizeof(IntSum))
		return NULL;
	return (IntSum *) ARR_DATA_PTR(array);
}

/* The value of the aggregate. */
Datum
vs_agg_final(VsAggContext *cxt, VsAgg *agg, Datum state, bool statenull, bool *isnull)
{
	VsAggCalls *calls = get_calls(cxt, agg);
	NullableDatum none = {.value = (Datum) 0,.isnull = true};
	NullableDatum value = {.value = state,.isnull = statenull};
	FunctionCallInfo fcinfo = calls->final;
	MemoryContext old;
	Datum		result;

	if (fcinfo == NULL && !agg->priv->serialized)
	{
		*isnull = statenull;
		return state;
	}

	*isnull = true;
	old = MemoryContextSwitchTo(cxt->results);
	if (agg->priv->serialized && !statenull)
	{
		value = call_deserial(calls, state, false);
		if (agg->priv->form == VS_FORM_OTHER)
			value.value = call_combine(cxt, calls, none, value, &value.isnull);
	}
	else if (agg->priv->finalwrites && !statenull)
		value.value = copy_writable(state, agg->storebyval, agg->storelen);

	if (fcinfo == NULL || (fcinfo->flinfo->fn_strict && (value.isnull || agg->priv->numfinalargs > 1)))
		result = (Datum) 0;
	else
	{
		cxt->aggstate->pertrans = &calls->pertrans;
		cxt->aggstate->curperagg = &calls->peragg;
		fcinfo->args[0] = value;
		fcinfo->isnull = false;
		result = FunctionCallInvoke(fcinfo);
		cxt->aggstate->curperagg = NULL;
		*isnull = fcinfo->isnull;
		if (*isnull)
			result = (Datum) 0;
		else if (agg->resultlen == -1 && VARATT_IS_EXTERNAL(DatumGetPointer(result)))
			result = copy_inline(result, false, -1);
	}
	MemoryContextSwitchTo(old);
	return result;
}

/* A copy in CurrentMemoryContext, flat and free of TOAST pointers. */
static Datum
copy_inline(Datum value, bool byval, int16 len)
{
	if (byval)
		return value;
	if (len == -1 && VARATT_IS_EXTERNAL(DatumGetPointer(value)))
		return PointerGetDatum(detoast_external_attr((struct varlena *) DatumGetPointer(value)));
	return datumCopy(value, false, len);
}

/* The same, but nothing is packed, so that functions write to the copy itself. */
static Datum
copy_writable(Datum value, bool byval, int16 len)
{
	if (!byval && len == -1)
		return PointerGetDatum(PG_DETOAST_DATUM_COPY(value));
	return datumCopy(value, byval, len);
}
