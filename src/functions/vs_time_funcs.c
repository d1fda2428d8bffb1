/*-------------------------------------------------------------------------
 *
 * vs_time_funcs.c
 *	  Functions of times: from_unixtime, unix_timestamp, datediff, date_format.
 *
 * None but date_format(timestamptz, ...) depends on a setting: a timestamp
 * without a time zone is taken as UTC where it matters, and days have 24
 * hours.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/xact.h"
#include "common/int.h"
#include "fmgr.h"
#include "lib/stringinfo.h"
#include "parser/scansup.h"
#include "pgtime.h"
#include "utils/builtins.h"
#include "utils/date.h"
#include "utils/datetime.h"
#include "utils/timestamp.h"
#include "vs_compat.h"

/* A broken-down time, as formats need it. */
typedef struct BrokenTime
{
	struct pg_tm tm;
	fsec_t		fsec;
	int64		epoch;			/* seconds since 1970, rounded down */
	int			offset;			/* seconds east of UTC */
	const char *zone;
} BrokenTime;

/* A unit that has a fixed length. */
typedef struct FixedUnit
{
	const char *name;
	int64		us;
} FixedUnit;

static const char *const month_names[] = {
	"January", "February", "March", "April", "May", "June",
	"July", "August", "September", "October", "November", "December"
};

static const FixedUnit fixed_units[] = {
	{"microsecond", 1},
	{"millisecond", 1000},
	{"second", USECS_PER_SEC},
	{"minute", USECS_PER_MINUTE},
	{"hour", USECS_PER_HOUR},
	{"day", USECS_PER_DAY},
	{"week", 7 * USECS_PER_DAY},
};

/* A unit of whole months. */
static const FixedUnit month_units[] = {
	{"month", 1},
	{"quarter", 3},
	{"year", 12},
};

PG_FUNCTION_INFO_V1(velostream_from_unixtime);
PG_FUNCTION_INFO_V1(velostream_from_unixtime_format);
PG_FUNCTION_INFO_V1(velostream_unix_timestamp);
PG_FUNCTION_INFO_V1(velostream_unix_timestamp_date);
PG_FUNCTION_INFO_V1(velostream_unix_timestamp_now);
PG_FUNCTION_INFO_V1(velostream_datediff);
PG_FUNCTION_INFO_V1(velostream_datediff_date);
PG_FUNCTION_INFO_V1(velostream_date_format);
PG_FUNCTION_INFO_V1(velostream_date_format_tz);
PG_FUNCTION_INFO_V1(velostream_date_format_date);

static Timestamp unix_to_timestamp(int64 seconds);
static int64 timestamp_to_unix(Timestamp time);
static Timestamp date_to_timestamp(DateADT date);
static int64 time_difference(text *unit, Timestamp from, Timestamp to);
static int64 unit_length(const FixedUnit *units, int count, const char *name);
static int64 whole_months(Timestamp from, Timestamp to);
static int64 time_of_month(const BrokenTime *broken);
static bool break_time(Timestamp time, bool local, BrokenTime *broken);
static text *format_time(const BrokenTime *broken, text *format);
static int	format_item(StringInfo buf, const BrokenTime *broken, const char *item, int length);
static bool format_date_item(StringInfo buf, const BrokenTime *broken, char item);
static bool format_time_item(StringInfo buf, const BrokenTime *broken, char item);
static bool format_group(StringInfo buf, const BrokenTime *broken, char item);
static int	format_fraction(StringInfo buf, const BrokenTime *broken, const char *item, int length);
static void format_offset(StringInfo buf, const BrokenTime *broken, bool colon);

/* from_unixtime(seconds) */
Datum
velostream_from_unixtime(PG_FUNCTION_ARGS)
{
	PG_RETURN_TIMESTAMPTZ(unix_to_timestamp(PG_GETARG_INT64(0)));
}

/* from_unixtime(seconds, format), in UTC */
Datum
velostream_from_unixtime_format(PG_FUNCTION_ARGS)
{
	BrokenTime	broken;

	if (!break_time(unix_to_timestamp(PG_GETARG_INT64(0)), false, &broken))
		PG_RETURN_NULL();
	PG_RETURN_TEXT_P(format_time(&broken, PG_GETARG_TEXT_PP(1)));
}

static Timestamp
unix_to_timestamp(int64 seconds)
{
	Timestamp	result;

	if (pg_sub_s64_overflow(seconds, (int64) (POSTGRES_EPOCH_JDATE - UNIX_EPOCH_JDATE) * SECS_PER_DAY, &seconds) ||
		pg_mul_s64_overflow(seconds, USECS_PER_SEC, &result) || !IS_VALID_TIMESTAMP(result))
		ereport(ERROR,
				(errcode(ERRCODE_DATETIME_VALUE_OUT_OF_RANGE),
				 errmsg("timestamp out of range")));
	return result;
}

/* unix_timestamp(time): seconds, rounded down */
Datum
velostream_unix_timestamp(PG_FUNCTION_ARGS)
{
	PG_RETURN_INT64(timestamp_to_unix(PG_GETARG_TIMESTAMP(0)));
}

Datum
velostream_unix_timestamp_date(PG_FUNCTION_ARGS)
{
	PG_RETURN_INT64(timestamp_to_unix(date_to_timestamp(PG_GETARG_DATEADT(0))));
}

/* unix_timestamp(): that of now() */
Datum
velostream_unix_timestamp_now(PG_FUNCTION_ARGS)
{
	PG_RETURN_INT64(timestamp_to_unix(GetCurrentTransactionStartTimestamp()));
}

static int64
timestamp_to_unix(Timestamp time)
{
	int64		seconds = time / USECS_PER_SEC;

	if (TIMESTAMP_NOT_FINITE(time))
		ereport(ERROR,
				(errcode(ERRCODE_DATETIME_VALUE_OUT_OF_RANGE),
				 errmsg("cannot convert infinity to seconds")));
	if (time % USECS_PER_SEC < 0)
		seconds--;
	return seconds + (int64) (POSTGRES_EPOCH_JDATE - UNIX_EPOCH_JDATE) * SECS_PER_DAY;
}

static Timestamp
date_to_timestamp(DateADT date)
{
	return DatumGetTimestamp(DirectFunctionCall1(date_timestamp, DateADTGetDatum(date)));
}

/* datediff(unit, from, to) */
Datum
velostream_datediff(PG_FUNCTION_ARGS)
{
	PG_RETURN_INT64(time_difference(PG_GETARG_TEXT_PP(0), PG_GETARG_TIMESTAMP(1), PG_GETARG_TIMESTAMP(2)));
}

Datum
velostream_datediff_date(PG_FUNCTION_ARGS)
{
	PG_RETURN_INT64(time_difference(PG_GETARG_TEXT_PP(0), date_to_timestamp(PG_GETARG_DATEADT(1)),
									date_to_timestamp(PG_GETARG_DATEADT(2))));
}

/* How many whole units lie between two times; negative if the second is before the first. */
static int64
time_difference(text *unit, Timestamp from, Timestamp to)
{
	char	   *name = downcase_truncate_identifier(VARDATA_ANY(unit), VARSIZE_ANY_EXHDR(unit), false);
	int			length = strlen(name);
	int64		divisor;
	int64		difference;

	if (TIMESTAMP_NOT_FINITE(from) || TIMESTAMP_NOT_FINITE(to))
		ereport(ERROR,
				(errcode(ERRCODE_DATETIME_VALUE_OUT_OF_RANGE),
				 errmsg("cannot subtract infinite timestamps")));
	if (length > 1 && name[length - 1] == 's')
		name[length - 1] = '\0';

	divisor = unit_length(month_units, lengthof(month_units), name);
	if (divisor != 0)
		return whole_months(from, to) / divisor;
	divisor = unit_length(fixed_units, lengthof(fixed_units), name);
	if (divisor == 0)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("unit \"%s\" not recognized", text_to_cstring(unit)),
				 errhint("Units are microsecond, millisecond, second, minute, hour, day, week, month, quarter and year.")));
	if (pg_sub_s64_overflow(to, from, &difference))
		ereport(ERROR,
				(errcode(ERRCODE_DATETIME_VALUE_OUT_OF_RANGE),
				 errmsg("interval out of range")));
	return difference / divisor;
}

/* 0 if there is no such unit. */
static int64
unit_length(const FixedUnit *units, int count, const char *name)
{
	for (int i = 0; i < count; i++)
		if (strcmp(units[i].name, name) == 0)
			return units[i].us;
	return 0;
}

/* A month is whole when the day and time of day of the first time are reached again. */
static int64
whole_months(Timestamp from, Timestamp to)
{
	BrokenTime	a;
	BrokenTime	b;
	int64		months;
	int64		rest;

	(void) break_time(from, false, &a);
	(void) break_time(to, false, &b);
	months = ((int64) b.tm.tm_year - a.tm.tm_year) * MONTHS_PER_YEAR + b.tm.tm_mon - a.tm.tm_mon;
	rest = time_of_month(&b) - time_of_month(&a);
	if (months > 0 && rest < 0)
		months--;
	else if (months < 0 && rest > 0)
		months++;
	return months;
}

static int64
time_of_month(const BrokenTime *broken)
{
	const struct pg_tm *tm = &broken->tm;
	int64		minutes = (tm->tm_mday * HOURS_PER_DAY + tm->tm_hour) * MINS_PER_HOUR + tm->tm_min;

	return (minutes * SECS_PER_MINUTE + tm->tm_sec) * USECS_PER_SEC + broken->fsec;
}

/* date_format(time, format); the infinite times have none, as with to_char(). */
Datum
velostream_date_format(PG_FUNCTION_ARGS)
{
	BrokenTime	broken;

	if (!break_time(PG_GETARG_TIMESTAMP(0), false, &broken))
		PG_RETURN_NULL();
	PG_RETURN_TEXT_P(format_time(&broken, PG_GETARG_TEXT_PP(1)));
}

/* The same, in the session's time zone. */
Datum
velostream_date_format_tz(PG_FUNCTION_ARGS)
{
	BrokenTime	broken;

	if (!break_time(PG_GETARG_TIMESTAMPTZ(0), true, &broken))
		PG_RETURN_NULL();
	PG_RETURN_TEXT_P(format_time(&broken, PG_GETARG_TEXT_PP(1)));
}

Datum
velostream_date_format_date(PG_FUNCTION_ARGS)
{
	BrokenTime	broken;

	if (!break_time(date_to_timestamp(PG_GETARG_DATEADT(0)), false, &broken))
		PG_RETURN_NULL();
	PG_RETURN_TEXT_P(format_time(&broken, PG_GETARG_TEXT_PP(1)));
}

/* In the session's time zone, or in UTC.  False if the time is infinite. */
static bool
break_time(Timestamp time, bool local, BrokenTime *broken)
{
	struct pg_tm *tm = &broken->tm;
	int			tz = 0;
	int			day;

	if (TIMESTAMP_NOT_FINITE(time))
		return false;
	broken->zone = "UTC";
	if (timestamp2tm(time, local ? &tz : NULL, tm, &broken->fsec, local ? &broken->zone : NULL, NULL) != 0)
		ereport(ERROR,
				(errcode(ERRCODE_DATETIME_VALUE_OUT_OF_RANGE),
				 errmsg("timestamp out of range")));
	day = date2j(tm->tm_year, tm->tm_mon, tm->tm_mday);
	tm->tm_wday = j2day(day);
	tm->tm_yday = day - date2j(tm->tm_year, 1, 1);
	broken->epoch = timestamp_to_unix(time);
	broken->offset = -tz;
	return true;
}

/* A format of strftime's kind; an error for what it does not know. */
static text *
format_time(const BrokenTime *broken, text *format)
{
	const char *at = VARDATA_ANY(format);
	const char *end = at + VARSIZE_ANY_EXHDR(format);
	StringInfoData buf;

	initStringInfo(&buf);
	while (at < end)
	{
		int			length;

		if (*at != '%')
		{
			appendStringInfoChar(&buf, *at++);
			continue;
		}
		length = format_item(&buf, broken, at + 1, end - at - 1);
		if (length == 0)
			ereport(ERROR,
					(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
					 errmsg("invalid date format: \"%s\"", text_to_cstring(format)),
					 errdetail("It is not understood from \"%s\" on.", pnstrdup(at, end - at)),
					 errhint("Formats are those of strftime, such as '%%Y-%%m-%%d %%H:%%M:%%S'.")));
		at += 1 + length;
	}
	return cstring_to_text_with_len(buf.data, buf.len);
}

/* What follows a %.  Returns the length of the item, 0 if it is none. */
static int
format_item(StringInfo buf, const BrokenTime *broken, const char *item, int length)
{
	if (length == 0)
		return 0;
	if (length > 1 && item[0] == ':' && item[1] == 'z')
	{
		format_offset(buf, broken, true);
		return 2;
	}
	if (format_date_item(buf, broken, *item) || format_time_item(buf, broken, *item) ||
		format_group(buf, broken, *item))
		return 1;
	return format_fraction(buf, broken, item, length);
}

/* Parts of the date. */
static bool
format_date_item(StringInfo buf, const BrokenTime *broken, char item)
{
	const struct pg_tm *tm = &broken->tm;
	int			iso_year = date2isoyear(tm->tm_year, tm->tm_mon, tm->tm_mday);
	int			century = tm->tm_year / 100 - (tm->tm_year % 100 < 0 ? 1 : 0);

	switch (item)
	{
		case 'Y':
			appendStringInfo(buf, "%s%04d", tm->tm_year < 0 ? "-" : "", abs(tm->tm_year));
			return true;
		case 'C':
			appendStringInfo(buf, "%02d", century);
			return true;
		case 'y':
			appendStringInfo(buf, "%02d", tm->tm_year - century * 100);
			return true;
		case 'm':
			appendStringInfo(buf, "%02d", tm->tm_mon);
			return true;
		case 'b':
		case 'h':
			appendStringInfoString(buf, months[tm->tm_mon - 1]);
			return true;
		case 'B':
			appendStringInfoString(buf, month_names[tm->tm_mon - 1]);
			return true;
		case 'd':
			appendStringInfo(buf, "%02d", tm->tm_mday);
			return true;
		case 'e':
			appendStringInfo(buf, "%2d", tm->tm_mday);
			return true;
		case 'a':
			appendStringInfo(buf, "%.3s", days[tm->tm_wday]);
			return true;
		case 'A':
			appendStringInfoString(buf, days[tm->tm_wday]);
			return true;
		case 'w':
			appendStringInfo(buf, "%d", tm->tm_wday);
			return true;
		case 'u':
			appendStringInfo(buf, "%d", tm->tm_wday == 0 ? 7 : tm->tm_wday);
			return true;
		case 'j':
			appendStringInfo(buf, "%03d", tm->tm_yday + 1);
			return true;
		case 'U':
			appendStringInfo(buf, "%02d", (tm->tm_yday + 7 - tm->tm_wday) / 7);
			return true;
		case 'W':
			appendStringInfo(buf, "%02d", (tm->tm_yday + 7 - (tm->tm_wday + 6) % 7) / 7);
			return true;
		case 'G':
			appendStringInfo(buf, "%s%04d", iso_year < 0 ? "-" : "", abs(iso_year));
			return true;
		case 'V':
			appendStringInfo(buf, "%02d", date2isoweek(tm->tm_year, tm->tm_mon, tm->tm_mday));
			return true;
	}
	return false;
}

/* Parts of the time, and single characters. */
static bool
format_time_item(StringInfo buf, const BrokenTime *broken, char item)
{
	const struct pg_tm *tm = &broken->tm;
	int			hour12 = tm->tm_hour % 12 == 0 ? 12 : tm->tm_hour % 12;

	switch (item)
	{
		case 'H':
			appendStringInfo(buf, "%02d", tm->tm_hour);
			return true;
		case 'k':
			appendStringInfo(buf, "%2d", tm->tm_hour);
			return true;
		case 'I':
			appendStringInfo(buf, "%02d", hour12);
			return true;
		case 'l':
			appendStringInfo(buf, "%2d", hour12);
			return true;
		case 'M':
			appendStringInfo(buf, "%02d", tm->tm_min);
			return true;
		case 'S':
			appendStringInfo(buf, "%02d", tm->tm_sec);
			return true;
		case 'p':
			appendStringInfoString(buf, tm->tm_hour < 12 ? "AM" : "PM");
			return true;
		case 'P':
			appendStringInfoString(buf, tm->tm_hour < 12 ? "am" : "pm");
			return true;
		case 's':
			appendStringInfo(buf, INT64_FORMAT, broken->epoch);
			return true;
		case 'z':
			format_offset(buf, broken, false);
			return true;
		case 'Z':
			appendStringInfoString(buf, broken->zone);
			return true;
		case 'n':
			appendStringInfoChar(buf, '\n');
			return true;
		case 't':
			appendStringInfoChar(buf, '\t');
			return true;
		case '%':
			appendStringInfoChar(buf, '%');
			return true;
	}
	return false;
}

/* Items that stand for several. */
static bool
format_group(StringInfo buf, const BrokenTime *broken, char item)
{
	static const struct
	{
		char		item;
		const char *parts;
	}			groups[] = {
		{'F', "Y-m-d"},
		{'D', "m/d/y"},
		{'x', "m/d/y"},
		{'T', "H:M:S"},
		{'X', "H:M:S"},
		{'R', "H:M"},
		{'r', "I:M:S p"},
		{'c', "a b e H:M:S Y"},
	};

	for (int i = 0; i < lengthof(groups); i++)
	{
		if (groups[i].item != item)
			continue;
		for (const char *part = groups[i].parts; *part != '\0'; part++)
			if (!format_date_item(buf, broken, *part) && !format_time_item(buf, broken, *part))
				appendStringInfoChar(buf, *part);
		return true;
	}
	return false;
}

/* %f is nanoseconds, %3f, %6f and %9f have so many digits; with a dot before, it is printed. */
static int
format_fraction(StringInfo buf, const BrokenTime *broken, const char *item, int length)
{
	int			dot = item[0] == '.' ? 1 : 0;
	int			digits = 9;
	int			used = dot;
	char		fraction[16];

	if (used < length && (item[used] == '3' || item[used] == '6' || item[used] == '9'))
		digits = item[used++] - '0';
	if (used >= length || item[used] != 'f')
		return 0;
	snprintf(fraction, sizeof(fraction), "%06d000", (int) broken->fsec);
	if (dot == 1)
		appendStringInfoChar(buf, '.');
	appendBinaryStringInfo(buf, fraction, digits);
	return used + 1;
}

static void
format_offset(StringInfo buf, const BrokenTime *broken, bool colon)
{
	int			minutes = abs(broken->offset) / SECS_PER_MINUTE;

	appendStringInfo(buf, "%c%02d%s%02d", broken->offset < 0 ? '-' : '+', minutes / MINS_PER_HOUR,
					 colon ? ":" : "", minutes % MINS_PER_HOUR);
}
