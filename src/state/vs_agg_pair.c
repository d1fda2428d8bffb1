/*-------------------------------------------------------------------------
 *
 * vs_agg_pair.c
 *	  Transition values {count, sum}: what sum and avg over int2 and int4 keep.
 *
 * Where no value was NULL there are as many as rows.  If the output shows the
 * number of rows, too, it gives such a transition value back, and nothing else
 * need be stored: a sum as it is, an average by multiplying.  An average is a
 * rounded quotient, so whether that gives the very sum is tried out.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "state/vs_agg.h"
#include "utils/array.h"
#include "utils/fmgrprotos.h"
#include "utils/numeric.h"

/* Larger sums are not tried: a product that is rounded must stay in range. */
#define MAX_SHOWN_SUM	(INT64CONST(1) << 62)

/* Smaller ones need not be tried. */
#define SHORT_SUM		INT64CONST(100000000000000)

/* The nearest integer to average times rows. */
static int64
average_sum(Datum average, int64 rows)
{
	Datum		product = DirectFunctionCall2(numeric_mul, average,
											  NumericGetDatum(int64_to_numeric(rows)));

	return DatumGetInt64(DirectFunctionCall1(numeric_int8, product));
}

/* The transition value {count, sum}, in CurrentMemoryContext. */
Datum
vs_agg_join(Datum sum, bool sumnull, Datum count)
{
	Size		size = ARR_OVERHEAD_NONULLS(1) + 2 * sizeof(int64);
	ArrayType  *array = palloc(size);
	int64	   *pair;

	/* construct_array takes four times as long */
	SET_VARSIZE(array, size);
	array->ndim = 1;
	array->dataoffset = 0;
	array->elemtype = INT8OID;
	ARR_DIMS(array)[0] = 2;
	ARR_LBOUND(array)[0] = 1;
	pair = (int64 *) ARR_DATA_PTR(array);
	pair[0] = DatumGetInt64(count);
	pair[1] = sumnull ? 0 : DatumGetInt64(sum);
	return PointerGetDatum(array);
}

/*
 * Does vs_agg_from_shown give this state of an aggregate with agg->shown back?
 * "result" is what the output shows for it, and "rows" how many rows the group
 * has.
 */
bool
vs_agg_is_shown(VsAgg *agg, Datum state, Datum result, bool resultnull, int64 rows)
{
	int64	   *pair = (int64 *) ARR_DATA_PTR(DatumGetArrayTypeP(state));

	if (resultnull || pair[0] != rows)
		return false;
	if (agg->shown == VS_SHOWN_SUM)
		return true;

	/*
	 * An average has 16 significant digits at least: rounded or not, it gives
	 * the sum back as long as that is far shorter.
	 */
	if (pair[1] < SHORT_SUM && pair[1] > -SHORT_SUM)
		return true;
	return pair[1] < MAX_SHOWN_SUM && pair[1] > -MAX_SHOWN_SUM &&
		average_sum(result, rows) == pair[1];
}

/* The state of a group of so many rows, from the result; in CurrentMemoryContext. */
Datum
vs_agg_from_shown(VsAgg *agg, Datum result, int64 rows)
{
	if (agg->shown == VS_SHOWN_AVERAGE)
		result = Int64GetDatum(average_sum(result, rows));
	return vs_agg_join(result, false, Int64GetDatum(rows));
}
