/*-------------------------------------------------------------------------
 *
 * vs_window_funcs.h
 *	  Arithmetic of event times and windows.
 *
 * An event time is of type timestamp, timestamptz, date or int8.  Its number
 * counts the type's own unit from the type's own epoch: microseconds or days
 * since 2000-01-01, or, for int8, milliseconds since 1970-01-01.  Windows are
 * aligned to 1970-01-01 00:00 (UTC for timestamptz) in each of them.
 *
 *-------------------------------------------------------------------------
 */
#ifndef VS_WINDOW_FUNCS_H
#define VS_WINDOW_FUNCS_H

#include "postgres.h"

#include "catalog/pg_type_d.h"
#include "datatype/timestamp.h"
#include "utils/date.h"
#include "utils/timestamp.h"

/* Can values of the type be event times? */
static inline bool
vs_time_is_type(Oid type)
{
	return type == TIMESTAMPTZOID || type == TIMESTAMPOID || type == DATEOID || type == INT8OID;
}

/* The number of an event time; -infinity and infinity are PG_INT64_MIN and PG_INT64_MAX. */
static inline int64
vs_time_number(Oid type, Datum value)
{
	if (type == DATEOID)
	{
		DateADT		date = DatumGetDateADT(value);

		return DATE_IS_NOBEGIN(date) ? PG_INT64_MIN : DATE_IS_NOEND(date) ? PG_INT64_MAX : date;
	}
	return DatumGetInt64(value);
}

/* The reverse.  The number must be in the type's range. */
static inline Datum
vs_time_datum(Oid type, int64 number)
{
	if (type == DATEOID)
		return DateADTGetDatum(number == PG_INT64_MIN ? DATEVAL_NOBEGIN :
							   number == PG_INT64_MAX ? DATEVAL_NOEND : (DateADT) number);
	return Int64GetDatum(number);
}

/* Every int8 is finite. */
static inline bool
vs_time_is_finite(Oid type, int64 number)
{
	return type == INT8OID || (number != PG_INT64_MIN && number != PG_INT64_MAX);
}

/* The number of 1970-01-01. */
static inline int64
vs_time_origin(Oid type)
{
	int64		days = UNIX_EPOCH_JDATE - POSTGRES_EPOCH_JDATE;

	return type == INT8OID ? 0 : type == DATEOID ? days : days * USECS_PER_DAY;
}

/* The same in microseconds since 2000-01-01, whatever the type. */
extern bool vs_event_time(Oid type, Datum value, TimestampTz *time);
extern Datum vs_event_datum(Oid type, TimestampTz time);
extern TimestampTz vs_window_floor(TimestampTz time, int64 size);
extern TimestampTz vs_time_plus(TimestampTz time, int64 length);	/* saturates */

extern int64 vs_time_length(Oid type, const Interval *interval, const char *what);
extern int64 vs_time_floor(Oid type, int64 number, int64 size);
extern int64 vs_time_add(Oid type, int64 number, int64 length);
extern int64 vs_cumulate_start(Oid type, int64 end, int64 size);

#endif
