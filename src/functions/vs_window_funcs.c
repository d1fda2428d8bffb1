/*-------------------------------------------------------------------------
 *
 * vs_window_funcs.c
 *	  Windows over time, as functions for GROUP BY.
 *
 * A window is half-open, and its bounds have the type of the event time.
 * What is said in vs_window_funcs.h about types and alignment holds for all.
 * A day is 24 hours, so that no result depends on a time zone.
 *
 * Infinite times are windows of their own: each function returns them as they
 * are.
 *
 * tumble() and what is made of it is called for every row.  It remembers the
 * size, converted, and the last window, as most rows fall into that again.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "common/int.h"
#include "fmgr.h"
#include "funcapi.h"
#include "functions/vs_window_funcs.h"
#include "nodes/nodeFuncs.h"
#include "nodes/supportnodes.h"
#include "optimizer/optimizer.h"
#include "utils/builtins.h"
#include "vs_compat.h"

#define ORIGIN	((UNIX_EPOCH_JDATE - POSTGRES_EPOCH_JDATE) * USECS_PER_DAY)

/* What a call of tumble() leaves for the next, in fn_extra. */
typedef struct TumbleCache
{
	Interval	interval;
	int64		size;			/* "interval" in the unit of the type */
	int64		start;			/* of a window */
	bool		filled;			/* are the others set? */
} TumbleCache;

/* The windows that a row is in and that were not returned yet, as an SRF keeps it. */
typedef struct WindowSeries
{
	int64		next;
	int64		step;
	int64		left;			/* how many */
} WindowSeries;

static int64 interval_us(const Interval *interval, const char *what);
static bool is_in_range(Oid type, int64 number);
pg_noreturn static void report_range(Oid type);
static TumbleCache *tumble_cache(FunctionCallInfo fcinfo, Oid type, Interval *interval);
static int64 tumble(FunctionCallInfo fcinfo, Oid type);
static Datum tumble_start(FunctionCallInfo fcinfo, Oid type);
static Datum tumble_end(FunctionCallInfo fcinfo, Oid type);
static Datum window_end(FunctionCallInfo fcinfo, Oid type);
static Datum cumulate_start(FunctionCallInfo fcinfo, Oid type);
static void hop_series(Oid type, int64 number, int64 size, int64 advance, WindowSeries *series);
static void cumulate_series(Oid type, int64 number, int64 step, int64 size, WindowSeries *series);
static Datum window_series(FunctionCallInfo fcinfo, Oid type, bool cumulate);
static Datum series_support(Datum request, bool cumulate);
static double constant_us(Node *node);

/*
 * An interval as a length in the unit of an event time's type.  It must be
 * fixed (without months), positive, and a whole number of units; "what" names
 * it in the error ("size").
 */
int64
vs_time_length(Oid type, const Interval *interval, const char *what)
{
	int64		us = interval_us(interval, what);

	if (type == DATEOID)
	{
		if (us % USECS_PER_DAY != 0)
			ereport(ERROR,
					(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
					 errmsg("%s of a window over dates must be whole days", what),
					 errhint("Cast the date to timestamp.")));
		return us / USECS_PER_DAY;
	}
	if (type == INT8OID)
	{
		if (us % 1000 != 0)
			ereport(ERROR,
					(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
					 errmsg("%s of a window over bigint must be whole milliseconds", what)));
		return us / 1000;
	}
	return us;
}

/* Length of an interval, days being 24 hours. */
static int64
interval_us(const Interval *interval, const char *what)
{
	int64		us;

	if (!vs_interval_is_finite(interval))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("%s of a window cannot be infinite", what)));
	if (interval->month != 0)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("%s of a window cannot have months", what),
				 errdetail("Months and years have no fixed length."),
				 errhint("Give it in days or smaller units, or group by date_trunc('month', ...).")));
	if (pg_mul_s64_overflow(interval->day, USECS_PER_DAY, &us) ||
		pg_add_s64_overflow(us, interval->time, &us))
		ereport(ERROR,
				(errcode(ERRCODE_INTERVAL_FIELD_OVERFLOW),
				 errmsg("%s of a window is out of range", what)));
	if (us <= 0)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("%s of a window must be greater than zero", what),
				 errhint("Give it as an interval such as '5 minutes'.")));
	return us;
}

/*
 * Greatest multiple of "size", counted from 1970-01-01, that is not after a
 * finite event time.
 */
int64
vs_time_floor(Oid type, int64 number, int64 size)
{
	/*
	 * number - origin could overflow, the difference of their remainders
	 * cannot
	 */
	int64		origin = vs_time_origin(type) % size;
	int64		rest = number % size;
	int64		start;

	rest += rest < 0 ? size : 0;
	rest -= origin + (origin < 0 ? size : 0);
	rest += rest < 0 ? size : 0;
	if (pg_sub_s64_overflow(number, rest, &start) || !is_in_range(type, start))
		report_range(type);
	return start;
}

/* A time moved by a length, which may be negative; an infinite one stays where it is. */
int64
vs_time_add(Oid type, int64 number, int64 length)
{
	int64		result;

	if (!vs_time_is_finite(type, number))
		return number;
	if (pg_add_s64_overflow(number, length, &result) || !is_in_range(type, result))
		report_range(type);
	return result;
}

/* Start of the window that ends at "end" and is one of those that grow to "size". */
int64
vs_cumulate_start(Oid type, int64 end, int64 size)
{
	if (!vs_time_is_finite(type, end))
		return end;
	return vs_time_floor(type, vs_time_add(type, end, -1), size);
}

/* Is it a finite value of the type? */
static bool
is_in_range(Oid type, int64 number)
{
	if (type == INT8OID)
		return true;
	if (type == DATEOID)
		return number >= DATETIME_MIN_JULIAN - POSTGRES_EPOCH_JDATE &&
			number < DATE_END_JULIAN - POSTGRES_EPOCH_JDATE;
	return IS_VALID_TIMESTAMP(number);
}

static void
report_range(Oid type)
{
	if (type == INT8OID)
		ereport(ERROR,
				(errcode(ERRCODE_NUMERIC_VALUE_OUT_OF_RANGE),
				 errmsg("bound of a window is out of range for type bigint")));
	ereport(ERROR,
			(errcode(ERRCODE_DATETIME_VALUE_OUT_OF_RANGE),
			 errmsg("bound of a window is out of range for type %s", type == DATEOID ? "date" : "timestamp")));
}

/* An event time in microseconds.  False: it is infinite, or beyond what a timestamptz can be. */
bool
vs_event_time(Oid type, Datum value, TimestampTz *time)
{
	int64		number = vs_time_number(type, value);

	*time = number;
	if (!vs_time_is_finite(type, number))
		return false;
	if (type == DATEOID)
		return !pg_mul_s64_overflow(number, USECS_PER_DAY, time) && IS_VALID_TIMESTAMP(*time);
	if (type == INT8OID)
		return !pg_add_s64_overflow(number, ORIGIN / 1000, time) &&
			!pg_mul_s64_overflow(*time, 1000, time) && IS_VALID_TIMESTAMP(*time);
	return true;
}

/* The reverse: the last time of the type that is not after this one. */
Datum
vs_event_datum(Oid type, TimestampTz time)
{
	if (type == DATEOID)
		time = vs_window_floor(time, USECS_PER_DAY) / USECS_PER_DAY;
	else if (type == INT8OID)
		time = vs_window_floor(time, 1000) / 1000 - ORIGIN / 1000;
	return vs_time_datum(type, time);
}

/* The greatest multiple of size, counted from 1970, that is not after time. */
TimestampTz
vs_window_floor(TimestampTz time, int64 size)
{
	int64		rest = (time % size - ORIGIN % size) % size;

	return vs_time_plus(time, rest < 0 ? -rest - size : -rest);
}

/* A time moved by a length; PG_INT64_MAX: for ever, however early the time is. */
TimestampTz
vs_time_plus(TimestampTz time, int64 length)
{
	int64		result;

	if (length == PG_INT64_MAX)
		return PG_INT64_MAX;
	if (pg_add_s64_overflow(time, length, &result))
		return length < 0 ? PG_INT64_MIN : PG_INT64_MAX;
	return result;
}

/* What is remembered for calls with this size. */
static TumbleCache *
tumble_cache(FunctionCallInfo fcinfo, Oid type, Interval *interval)
{
	TumbleCache *cache = fcinfo->flinfo->fn_extra;

	if (cache != NULL && cache->filled &&
		cache->interval.time == interval->time &&
		cache->interval.day == interval->day &&
		cache->interval.month == interval->month)
		return cache;

	if (cache == NULL)
		cache = fcinfo->flinfo->fn_extra =
			MemoryContextAllocZero(fcinfo->flinfo->fn_mcxt, sizeof(TumbleCache));
	cache->filled = false;
	cache->size = vs_time_length(type, interval, "size");
	cache->interval = *interval;
	cache->start = vs_time_origin(type);
	cache->filled = true;
	return cache;
}

/* Start of the window that a time is in. */
static inline int64
tumble(FunctionCallInfo fcinfo, Oid type)
{
	int64		number = vs_time_number(type, PG_GETARG_DATUM(0));
	TumbleCache *cache = tumble_cache(fcinfo, type, PG_GETARG_INTERVAL_P(1));

	if (!vs_time_is_finite(type, number))
		return number;
	if (number >= cache->start && (uint64) number - (uint64) cache->start < (uint64) cache->size)
		return cache->start;
	cache->start = vs_time_floor(type, number, cache->size);
	return cache->start;
}

static inline Datum
tumble_start(FunctionCallInfo fcinfo, Oid type)
{
	return vs_time_datum(type, tumble(fcinfo, type));
}

static inline Datum
tumble_end(FunctionCallInfo fcinfo, Oid type)
{
	int64		start = tumble(fcinfo, type);

	return vs_time_datum(type, vs_time_add(type, start, ((TumbleCache *) fcinfo->flinfo->fn_extra)->size));
}

static inline Datum
window_end(FunctionCallInfo fcinfo, Oid type)
{
	int64		size = vs_time_length(type, PG_GETARG_INTERVAL_P(1), "size");

	return vs_time_datum(type, vs_time_add(type, vs_time_number(type, PG_GETARG_DATUM(0)), size));
}

static inline Datum
cumulate_start(FunctionCallInfo fcinfo, Oid type)
{
	int64		size = vs_time_length(type, PG_GETARG_INTERVAL_P(1), "size");

	return vs_time_datum(type, vs_cumulate_start(type, vs_time_number(type, PG_GETARG_DATUM(0)), size));
}

/* Starts of the windows of "size" that begin at multiples of "advance" and have the time in them. */
static void
hop_series(Oid type, int64 number, int64 size, int64 advance, WindowSeries *series)
{
	int64		last = vs_time_floor(type, number, advance);
	int64		rest = number - last;
	int64		back;

	series->step = advance;
	if (rest >= size)
		return;
	series->left = (size - 1 - rest) / advance + 1;
	if (pg_mul_s64_overflow(series->left - 1, -advance, &back))
		report_range(type);
	series->next = vs_time_add(type, last, back);
}

/* Ends of the windows that grow by "step" up to "size" and have the time in them. */
static void
cumulate_series(Oid type, int64 number, int64 step, int64 size, WindowSeries *series)
{
	int64		start;
	int64		skipped;

	if (size % step != 0)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("size of a cumulating window must be a multiple of its step")));
	start = vs_time_floor(type, number, size);
	skipped = (number - start) / step;
	(void) vs_time_add(type, start, size);	/* the last end must be in range */
	series->step = step;
	series->left = size / step - skipped;
	series->next = start + (skipped + 1) * step;
}

/* hop(time, size, advance) and cumulate(time, step, size), a value per call. */
static Datum
window_series(FunctionCallInfo fcinfo, Oid type, bool cumulate)
{
	FuncCallContext *funccxt;
	WindowSeries *series;
	int64		number;

	if (SRF_IS_FIRSTCALL())
	{
		Interval   *first = PG_GETARG_INTERVAL_P(1);
		Interval   *second = PG_GETARG_INTERVAL_P(2);
		int64		lengths[2];

		number = vs_time_number(type, PG_GETARG_DATUM(0));
		funccxt = SRF_FIRSTCALL_INIT();
		series = MemoryContextAllocZero(funccxt->multi_call_memory_ctx, sizeof(WindowSeries));
		funccxt->user_fctx = series;
		lengths[0] = vs_time_length(type, first, cumulate ? "step" : "size");
		lengths[1] = vs_time_length(type, second, cumulate ? "size" : "advance");
		if (!vs_time_is_finite(type, number))
		{
			series->next = number;
			series->left = 1;
		}
		else if (cumulate)
			cumulate_series(type, number, lengths[0], lengths[1], series);
		else
			hop_series(type, number, lengths[0], lengths[1], series);
	}

	funccxt = SRF_PERCALL_SETUP();
	series = funccxt->user_fctx;
	if (series->left == 0)
		SRF_RETURN_DONE(funccxt);
	number = series->next;
	if (--series->left > 0)
		series->next += series->step;
	SRF_RETURN_NEXT(funccxt, vs_time_datum(type, number));
}

/*
 * SQL's names.  timestamp and timestamptz share functions: where the types
 * differ is in how they are read and printed.
 */
PG_FUNCTION_INFO_V1(velostream_tumble_timestamp);
PG_FUNCTION_INFO_V1(velostream_tumble_date);
PG_FUNCTION_INFO_V1(velostream_tumble_int8);
PG_FUNCTION_INFO_V1(velostream_tumble_end_timestamp);
PG_FUNCTION_INFO_V1(velostream_tumble_end_date);
PG_FUNCTION_INFO_V1(velostream_tumble_end_int8);
PG_FUNCTION_INFO_V1(velostream_window_end_timestamp);
PG_FUNCTION_INFO_V1(velostream_window_end_date);
PG_FUNCTION_INFO_V1(velostream_window_end_int8);
PG_FUNCTION_INFO_V1(velostream_cumulate_start_timestamp);
PG_FUNCTION_INFO_V1(velostream_cumulate_start_date);
PG_FUNCTION_INFO_V1(velostream_cumulate_start_int8);
PG_FUNCTION_INFO_V1(velostream_hop_timestamp);
PG_FUNCTION_INFO_V1(velostream_hop_date);
PG_FUNCTION_INFO_V1(velostream_hop_int8);
PG_FUNCTION_INFO_V1(velostream_cumulate_timestamp);
PG_FUNCTION_INFO_V1(velostream_cumulate_date);
PG_FUNCTION_INFO_V1(velostream_cumulate_int8);
PG_FUNCTION_INFO_V1(velostream_usable_time);
PG_FUNCTION_INFO_V1(velostream_session);
PG_FUNCTION_INFO_V1(velostream_buffer);
PG_FUNCTION_INFO_V1(velostream_hop_support);
PG_FUNCTION_INFO_V1(velostream_cumulate_support);

Datum
velostream_tumble_timestamp(PG_FUNCTION_ARGS)
{
	return tumble_start(fcinfo, TIMESTAMPOID);
}

Datum
velostream_tumble_date(PG_FUNCTION_ARGS)
{
	return tumble_start(fcinfo, DATEOID);
}

Datum
velostream_tumble_int8(PG_FUNCTION_ARGS)
{
	return tumble_start(fcinfo, INT8OID);
}

Datum
velostream_tumble_end_timestamp(PG_FUNCTION_ARGS)
{
	return tumble_end(fcinfo, TIMESTAMPOID);
}

Datum
velostream_tumble_end_date(PG_FUNCTION_ARGS)
{
	return tumble_end(fcinfo, DATEOID);
}

Datum
velostream_tumble_end_int8(PG_FUNCTION_ARGS)
{
	return tumble_end(fcinfo, INT8OID);
}

Datum
velostream_window_end_timestamp(PG_FUNCTION_ARGS)
{
	return window_end(fcinfo, TIMESTAMPOID);
}

Datum
velostream_window_end_date(PG_FUNCTION_ARGS)
{
	return window_end(fcinfo, DATEOID);
}

Datum
velostream_window_end_int8(PG_FUNCTION_ARGS)
{
	return window_end(fcinfo, INT8OID);
}

Datum
velostream_cumulate_start_timestamp(PG_FUNCTION_ARGS)
{
	return cumulate_start(fcinfo, TIMESTAMPOID);
}

Datum
velostream_cumulate_start_date(PG_FUNCTION_ARGS)
{
	return cumulate_start(fcinfo, DATEOID);
}

Datum
velostream_cumulate_start_int8(PG_FUNCTION_ARGS)
{
	return cumulate_start(fcinfo, INT8OID);
}

Datum
velostream_hop_timestamp(PG_FUNCTION_ARGS)
{
	return window_series(fcinfo, TIMESTAMPOID, false);
}

Datum
velostream_hop_date(PG_FUNCTION_ARGS)
{
	return window_series(fcinfo, DATEOID, false);
}

Datum
velostream_hop_int8(PG_FUNCTION_ARGS)
{
	return window_series(fcinfo, INT8OID, false);
}

Datum
velostream_cumulate_timestamp(PG_FUNCTION_ARGS)
{
	return window_series(fcinfo, TIMESTAMPOID, true);
}

Datum
velostream_cumulate_date(PG_FUNCTION_ARGS)
{
	return window_series(fcinfo, DATEOID, true);
}

Datum
velostream_cumulate_int8(PG_FUNCTION_ARGS)
{
	return window_series(fcinfo, INT8OID, true);
}

/*
 * velostream.usable_time(anyelement, first bigint, "limit" bigint): the event
 * time if it is one from "first" on and before "limit" (in microseconds, as in
 * a timestamptz), else NULL.
 */
Datum
velostream_usable_time(PG_FUNCTION_ARGS)
{
	Oid			type = get_fn_expr_argtype(fcinfo->flinfo, 0);
	TimestampTz time;

	if (!vs_time_is_type(type))
		ereport(ERROR,
				(errcode(ERRCODE_DATATYPE_MISMATCH),
				 errmsg("type %s cannot be an event time", format_type_be(type))));
	if (!vs_event_time(type, PG_GETARG_DATUM(0), &time) ||
		time < PG_GETARG_INT64(1) || time >= PG_GETARG_INT64(2))
		PG_RETURN_NULL();
	PG_RETURN_DATUM(PG_GETARG_DATUM(0));
}

/* A session's rows depend on one another: no function of one row can tell its start. */
Datum
velostream_session(PG_FUNCTION_ARGS)
{
	ereport(ERROR,
			(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
			 errmsg("only a continuous query can evaluate velostream.session()"),
			 errhint("Use it as a GROUP BY key of one.")));
}

/* No value either: it marks the windows of window functions. */
Datum
velostream_buffer(PG_FUNCTION_ARGS)
{
	ereport(ERROR,
			(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
			 errmsg("only a continuous query can evaluate velostream.buffer()"),
			 errhint("Use it as the first item of PARTITION BY in one.")));
}

/* Tell the planner how many rows hop() and cumulate() return on average. */
Datum
velostream_hop_support(PG_FUNCTION_ARGS)
{
	return series_support(PG_GETARG_DATUM(0), false);
}

Datum
velostream_cumulate_support(PG_FUNCTION_ARGS)
{
	return series_support(PG_GETARG_DATUM(0), true);
}

/* Both, as their windows differ in number only. */
static Datum
series_support(Datum request, bool cumulate)
{
	SupportRequestRows *rows = (SupportRequestRows *) DatumGetPointer(request);
	List	   *args;
	double		a;
	double		b;

	if (!IsA(rows, SupportRequestRows) || !is_funcclause(rows->node))
		return PointerGetDatum(NULL);
	args = ((FuncExpr *) rows->node)->args;
	a = constant_us(lsecond(args));
	b = constant_us(lthird(args));
	if (a <= 0 || b <= 0)
		return PointerGetDatum(NULL);

	/* of a time's growing windows, it is in all but those that end before it */
	rows->rows = cumulate ? (b / a + 1) / 2 : a / b;
	return request;
}

/* The length of an interval that is a constant, else 0. */
static double
constant_us(Node *node)
{
	Interval   *interval;

	if (!IsA(node, Const) || ((Const *) node)->constisnull)
		return 0;
	interval = DatumGetIntervalP(((Const *) node)->constvalue);
	return (double) interval->day * USECS_PER_DAY + interval->time;
}
