/*-------------------------------------------------------------------------
 *
 * vs_first_last.c
 *	  The aggregates first(x, time) and last(x, time): the value of the row
 *	  with the least, or the greatest, time.
 *
 * Rows without a time do not count; a NULL value does, as the row's value.  Of
 * rows with the same time, first() takes the least value and last() the
 * greatest, and a NULL only if there is nothing else: so the result does not
 * depend on the order in which rows come, and states can be combined.
 *
 * first(x) and last(x) go by the order in which they are given rows, as
 * array_agg does.  Their states cannot be combined.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "functions/vs_functions_internal.h"
#include "lib/stringinfo.h"
#include "utils/builtins.h"
#include "utils/datum.h"
#include "utils/memutils.h"
#include "vs_compat.h"

/* The row that is first or last so far. */
typedef struct Pick
{
	bool		last;
	bool		isnull;			/* its value is */
	Oid			collation;		/* of one that was read: not known, and not
								 * needed */
	TypeCacheEntry *valuetype;
	TypeCacheEntry *timetype;	/* NULL: rows count in the order in which they
								 * come */
	Datum		value;			/* these two are flat, and in the aggregate's
								 * context */
	Datum		time;
} Pick;

/*
 * What a stored Pick starts with; time and value follow, as datumSerialize
 * writes them.  It may outlive the OID of its collation (pg_upgrade), which the
 * aggregate knows.
 */
typedef struct StoredPick
{
	int32		last;
	Oid			valuetype;
	Oid			timetype;
} StoredPick;

PG_FUNCTION_INFO_V1(velostream_first_add);
PG_FUNCTION_INFO_V1(velostream_last_add);
PG_FUNCTION_INFO_V1(velostream_pick_combine);
PG_FUNCTION_INFO_V1(velostream_pick_serialize);
PG_FUNCTION_INFO_V1(velostream_pick_deserialize);
PG_FUNCTION_INFO_V1(velostream_pick_final);

static Datum pick_add(FunctionCallInfo fcinfo, bool last);
static Pick *pick_begin(MemoryContext context, bool last, Oid valuetype, Oid timetype, Oid collation);
static bool is_better(Pick *pick, Datum time, Datum value, bool isnull);
static int	compare_times(Pick *pick, Datum a, Datum b);
static void pick_take(MemoryContext context, Pick *pick, Datum time, Datum value, bool isnull);
static void replace_datum(TypeCacheEntry *type, Datum *old, Datum value);

Datum
velostream_first_add(PG_FUNCTION_ARGS)
{
	return pick_add(fcinfo, false);
}

Datum
velostream_last_add(PG_FUNCTION_ARGS)
{
	return pick_add(fcinfo, true);
}

/* Arguments are the state, a value and, where rows go by it, a time. */
static Datum
pick_add(FunctionCallInfo fcinfo, bool last)
{
	MemoryContext context = vs_aggregate_context(fcinfo);
	Pick	   *pick = PG_ARGISNULL(0) ? NULL : (Pick *) PG_GETARG_POINTER(0);
	bool		timed = PG_NARGS() > 2;
	Datum		time = timed ? PG_GETARG_DATUM(2) : (Datum) 0;
	Datum		value = PG_GETARG_DATUM(1);
	bool		isnull = PG_ARGISNULL(1);
	bool		fresh = pick == NULL;

	if (timed && PG_ARGISNULL(2))
	{
		if (fresh)
			PG_RETURN_NULL();
		PG_RETURN_POINTER(pick);
	}
	if (fresh)
		pick = pick_begin(context, last, vs_argument_type(fcinfo, 1),
						  timed ? vs_argument_type(fcinfo, 2) : InvalidOid, PG_GET_COLLATION());
	if (timed)
		time = vs_flat_value(pick->timetype, time);
	if (!isnull && (timed || fresh || last))
		value = vs_flat_value(pick->valuetype, value);
	if (fresh || (timed ? is_better(pick, time, value, isnull) : last))
		pick_take(context, pick, time, value, isnull);
	PG_RETURN_POINTER(pick);
}

/* One without a row yet. */
static Pick *
pick_begin(MemoryContext context, bool last, Oid valuetype, Oid timetype, Oid collation)
{
	Pick	   *pick = MemoryContextAllocZero(context, sizeof(Pick));

	pick->last = last;
	pick->isnull = true;
	pick->collation = collation;
	pick->valuetype = vs_kept_type(valuetype);
	if (!OidIsValid(timetype))
		return pick;
	pick->timetype = vs_kept_type(timetype);
	if (!OidIsValid(pick->timetype->cmp_proc_finfo.fn_oid))
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_FUNCTION),
				 errmsg("could not identify a comparison function for type %s", format_type_be(timetype))));
	return pick;
}

/* Does a row come before the one that is first so far, or after the last? */
static bool
is_better(Pick *pick, Datum time, Datum value, bool isnull)
{
	int			order = compare_times(pick, time, pick->time);

	if (order == 0)
	{
		if (isnull || pick->isnull)
			return pick->isnull && !isnull;
		order = vs_compare_values(pick->valuetype, pick->collation, value, pick->value);
	}
	return pick->last ? order > 0 : order < 0;
}

static int
compare_times(Pick *pick, Datum a, Datum b)
{
	switch (pick->timetype->type_id)
	{
		case TIMESTAMPOID:
		case TIMESTAMPTZOID:
		case INT8OID:
			return DatumGetInt64(a) < DatumGetInt64(b) ? -1 : DatumGetInt64(a) > DatumGetInt64(b);
		default:
			return DatumGetInt32(FunctionCall2Coll(&pick->timetype->cmp_proc_finfo, pick->collation, a, b));
	}
}

/* Remember copies of a row's time and value, which are flat. */
static void
pick_take(MemoryContext context, Pick *pick, Datum time, Datum value, bool isnull)
{
	MemoryContext old = MemoryContextSwitchTo(context);

	if (pick->timetype != NULL)
		replace_datum(pick->timetype, &pick->time, time);
	replace_datum(pick->valuetype, &pick->value, isnull ? (Datum) 0 : value);
	pick->isnull = isnull;
	MemoryContextSwitchTo(old);
}

/* 0 stands for no value, where the type is not passed by value. */
static void
replace_datum(TypeCacheEntry *type, Datum *old, Datum value)
{
	if (!type->typbyval && *old != (Datum) 0)
		pfree(DatumGetPointer(*old));
	*old = type->typbyval || value == (Datum) 0 ? value : datumCopy(value, false, type->typlen);
}

/* Of states with times. */
Datum
velostream_pick_combine(PG_FUNCTION_ARGS)
{
	MemoryContext context = vs_aggregate_context(fcinfo);
	Pick	   *pick = PG_ARGISNULL(0) ? NULL : (Pick *) PG_GETARG_POINTER(0);
	Pick	   *other = PG_ARGISNULL(1) ? NULL : (Pick *) PG_GETARG_POINTER(1);

	if (pick == NULL && other == NULL)
		PG_RETURN_NULL();
	if (pick == NULL)
	{
		pick = pick_begin(context, other->last, other->valuetype->type_id, other->timetype->type_id,
						  PG_GET_COLLATION());
		pick_take(context, pick, other->time, other->value, other->isnull);
	}
	else if (other != NULL && is_better(pick, other->time, other->value, other->isnull))
		pick_take(context, pick, other->time, other->value, other->isnull);
	PG_RETURN_POINTER(pick);
}

/* Of states with times. */
Datum
velostream_pick_serialize(PG_FUNCTION_ARGS)
{
	Pick	   *pick = (Pick *) PG_GETARG_POINTER(0);
	StoredPick	stored = {0};
	Size		size;
	char	   *result;
	char	   *end;

	(void) vs_aggregate_context(fcinfo);
	stored.last = pick->last;
	stored.valuetype = pick->valuetype->type_id;
	stored.timetype = pick->timetype->type_id;
	size = VARHDRSZ + sizeof(stored) +
		datumEstimateSpace(pick->time, false, pick->timetype->typbyval, pick->timetype->typlen) +
		datumEstimateSpace(pick->value, pick->isnull, pick->valuetype->typbyval, pick->valuetype->typlen);
	result = palloc(size);
	SET_VARSIZE(result, size);
	memcpy(result + VARHDRSZ, &stored, sizeof(stored));
	end = result + VARHDRSZ + sizeof(stored);
	datumSerialize(pick->time, false, pick->timetype->typbyval, pick->timetype->typlen, &end);
	datumSerialize(pick->value, pick->isnull, pick->valuetype->typbyval, pick->valuetype->typlen, &end);
	Assert(end == result + size);
	PG_RETURN_BYTEA_P(result);
}

/* The result is in CurrentMemoryContext. */
Datum
velostream_pick_deserialize(PG_FUNCTION_ARGS)
{
	bytea	   *value = PG_GETARG_BYTEA_PP(0);
	char	   *data = VARDATA_ANY(value);
	StoredPick	stored;
	Pick	   *pick;
	bool		isnull;

	(void) vs_aggregate_context(fcinfo);
	if (VARSIZE_ANY_EXHDR(value) < sizeof(stored) + 2 * sizeof(int))
		vs_report_stored();
	memcpy(&stored, data, sizeof(stored));
	data += sizeof(stored);
	pick = pick_begin(CurrentMemoryContext, stored.last != 0, stored.valuetype, stored.timetype,
					  InvalidOid);
	pick->time = datumRestore(&data, &isnull);
	pick->value = datumRestore(&data, &pick->isnull);
	PG_RETURN_POINTER(pick);
}

Datum
velostream_pick_final(PG_FUNCTION_ARGS)
{
	Pick	   *pick = PG_ARGISNULL(0) ? NULL : (Pick *) PG_GETARG_POINTER(0);

	(void) vs_aggregate_context(fcinfo);
	if (pick == NULL || pick->isnull)
		PG_RETURN_NULL();
	PG_RETURN_DATUM(datumCopy(pick->value, pick->valuetype->typbyval, pick->valuetype->typlen));
}
