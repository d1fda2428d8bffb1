/*-------------------------------------------------------------------------
 *
 * vs_options.c
 *	  The velostream.* options of CREATE TABLE ... AS.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "commands/defrem.h"
#include "common/int.h"
#include "dialect/vs_dialect.h"
#include "lib/stringinfo.h"
#include "parser/parse_node.h"
#include "registry/vs_options.h"
#include "utils/builtins.h"
#include "utils/timestamp.h"
#include "utils/varlena.h"
#include "vs_compat.h"

typedef struct OptionValue
{
	const char *name;
	int			value;
} OptionValue;

static const char *const option_names[] = {
	"continuous", "emit", "idle_timeout", "kind", "late_data", "max_future_skew",
	"max_out_of_orderness", "on_error", "source_mode", "window_retention", NULL
};

static const OptionValue kind_values[] = {
	{"table", VS_KIND_TABLE}, {"stream", VS_KIND_STREAM}, {NULL}
};

static const OptionValue mode_values[] = {
	{"changes", VS_SOURCE_CHANGES}, {"append", VS_SOURCE_APPEND}, {NULL}
};

static const OptionValue on_error_values[] = {
	{"retry", VS_ON_ERROR_RETRY}, {"dead_letter", VS_ON_ERROR_DEAD_LETTER},
	{"stop", VS_ON_ERROR_STOP}, {NULL}
};

static const OptionValue emit_values[] = {
	{"changes", VS_EMIT_CHANGES}, {"final", VS_EMIT_FINAL}, {NULL}
};

static const OptionValue late_data_values[] = {
	{"dead_letter", VS_LATE_DEAD_LETTER}, {"drop", VS_LATE_DROP},
	{"update_previous", VS_LATE_UPDATE}, {"include_in_next_window", VS_LATE_NEXT}, {NULL}
};

static void read_option(ParseState *pstate, DefElem *def, VsOptions *result);
static int	read_value(ParseState *pstate, DefElem *def, const OptionValue *values);
static int64 read_duration(ParseState *pstate, DefElem *def);
static int	invalid_value(DefElem *def, const char *given);

static bool
is_our_option(DefElem *def)
{
	return def->defnamespace != NULL && strcmp(def->defnamespace, VS_OPTION_NAMESPACE) == 0;
}

bool
vs_options_are_ours(List *options)
{
	ListCell   *lc;

	foreach(lc, options)
	{
		if (is_our_option(lfirst_node(DefElem, lc)))
			return true;
	}
	return false;
}

/*
 * Read the velostream.* options into *result, defaults for those not given.
 * Returns the others.
 */
List *
vs_options_read(ParseState *pstate, List *options, VsOptions *result)
{
	List	   *others = NIL;
	List	   *ours = NIL;
	bool		said = false;	/* continuous, that is */
	ListCell   *lc;

	memset(result, 0, sizeof(VsOptions));
	result->kind = VS_KIND_TABLE;
	result->mode = VS_SOURCE_CHANGES;
	result->on_error = VS_ON_ERROR_RETRY;
	result->time.emit = VS_EMIT_CHANGES;
	result->time.late = VS_LATE_DEAD_LETTER;
	result->time.delay = result->time.idle_timeout = -1;
	result->time.max_future_skew = result->time.retention = -1;

	foreach(lc, options)
	{
		DefElem    *def = lfirst_node(DefElem, lc);
		ListCell   *lc2;

		if (!is_our_option(def))
		{
			others = lappend(others, def);
			continue;
		}
		foreach(lc2, ours)
		{
			if (strcmp(lfirst_node(DefElem, lc2)->defname, def->defname) == 0)
				ereport(ERROR,
						(errcode(ERRCODE_SYNTAX_ERROR),
						 errmsg("option \"%s.%s\" is given more than once",
								VS_OPTION_NAMESPACE, def->defname),
						 parser_errposition(pstate, def->location)));
		}
		ours = lappend(ours, def);
		read_option(pstate, def, result);
		said = said || strcmp(def->defname, "continuous") == 0;
	}

	if (!said)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("option \"%s.%s\" needs \"%s.continuous\"", VS_OPTION_NAMESPACE,
						linitial_node(DefElem, ours)->defname, VS_OPTION_NAMESPACE),
				 errhint("Add %s.continuous to the options.", VS_OPTION_NAMESPACE),
				 parser_errposition(pstate, linitial_node(DefElem, ours)->location)));
	return others;
}

/* Read one option, which is in our namespace. */
static void
read_option(ParseState *pstate, DefElem *def, VsOptions *result)
{
	struct
	{
		const char *name;
		VsTimeOption option;
		int64	   *result;
	}			durations[] = {
		{"max_out_of_orderness", VS_OPTION_DELAY, &result->time.delay},
		{"idle_timeout", VS_OPTION_IDLE_TIMEOUT, &result->time.idle_timeout},
		{"max_future_skew", VS_OPTION_MAX_FUTURE_SKEW, &result->time.max_future_skew},
		{"window_retention", VS_OPTION_RETENTION, &result->time.retention}
	};
	int			said = 1 + Max(def->location, 0);
	const char *nearest;

	for (int i = 0; i < lengthof(durations); i++)
	{
		if (strcmp(def->defname, durations[i].name) == 0)
		{
			*durations[i].result = read_duration(pstate, def);
			result->time.said[durations[i].option] = said;
			return;
		}
	}
	if (strcmp(def->defname, "emit") == 0)
	{
		result->time.emit = (VsEmit) read_value(pstate, def, emit_values);
		result->time.said[VS_OPTION_EMIT] = said;
		return;
	}
	if (strcmp(def->defname, "late_data") == 0)
	{
		result->time.late = (VsLateData) read_value(pstate, def, late_data_values);
		result->time.said[VS_OPTION_LATE_DATA] = said;
		return;
	}
	if (strcmp(def->defname, "continuous") == 0)
	{
		if (def->arg == NULL)
			result->continuous = true;
		else if (!parse_bool(defGetString(def), &result->continuous))
			ereport(ERROR,
					(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
					 errmsg("invalid value for option \"%s.continuous\": \"%s\"",
							VS_OPTION_NAMESPACE, defGetString(def)),
					 errhint("Its values are true and false."),
					 parser_errposition(pstate, def->location)));
		return;
	}
	if (strcmp(def->defname, "kind") == 0)
	{
		result->kind = (VsKind) read_value(pstate, def, kind_values);
		return;
	}
	if (strcmp(def->defname, "source_mode") == 0)
	{
		result->mode = (VsSourceMode) read_value(pstate, def, mode_values);
		return;
	}
	if (strcmp(def->defname, "on_error") == 0)
	{
		result->on_error = (VsOnError) read_value(pstate, def, on_error_values);
		return;
	}

	nearest = vs_options_nearest(def->defname, option_names);
	ereport(ERROR,
			(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
			 errmsg("unrecognized option \"%s.%s\"", VS_OPTION_NAMESPACE, def->defname),
			 errdetail("The options are velostream.continuous, velostream.kind, "
					   "velostream.on_error, velostream.source_mode, and for windows velostream.emit, "
					   "velostream.late_data, velostream.max_out_of_orderness, velostream.idle_timeout, "
					   "velostream.max_future_skew and velostream.window_retention."),
			 nearest ? errhint("Perhaps you meant \"%s.%s\".", VS_OPTION_NAMESPACE, nearest) : 0,
			 parser_errposition(pstate, def->location)));
}

/* The value of an option with a fixed set of them. */
static int
read_value(ParseState *pstate, DefElem *def, const OptionValue *values)
{
	const char *given = def->arg ? defGetString(def) : "";
	const char *names[8] = {NULL};
	const char *nearest;
	StringInfoData known;

	initStringInfo(&known);
	for (int i = 0; values[i].name; i++)
	{
		if (pg_strcasecmp(values[i].name, given) == 0)
			return values[i].value;
		Assert(i < lengthof(names) - 1);
		names[i] = values[i].name;
		appendStringInfo(&known, "%s\"%s\"",
						 i == 0 ? "" : values[i + 1].name ? ", " : " and ", values[i].name);
	}

	nearest = vs_options_nearest(given, names);
	ereport(ERROR,
			(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
			 invalid_value(def, given),
			 errdetail("Its values are %s.", known.data),
			 nearest ? errhint("Perhaps you meant \"%s\".", nearest) : 0,
			 parser_errposition(pstate, def->location)));
	return 0;					/* keep the compiler quiet */
}

/* A duration in microseconds, written as an interval; a bare number is seconds. */
static int64
read_duration(ParseState *pstate, DefElem *def)
{
	char	   *given = def->arg ? defGetString(def) : "";
	ParseCallbackState pcbstate;
	Interval   *interval;
	int64		result;

	setup_parser_errposition_callback(&pcbstate, pstate, def->location);
	interval = DatumGetIntervalP(DirectFunctionCall3(interval_in, CStringGetDatum(given),
													 ObjectIdGetDatum(InvalidOid),
													 Int32GetDatum(-1)));
	if (interval->month != 0 ||
		pg_mul_s64_overflow(interval->day, USECS_PER_DAY, &result) ||
		pg_add_s64_overflow(result, interval->time, &result) || result < 0)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 invalid_value(def, given),
				 errdetail("It is a duration in days (of 24 hours) or less, and not negative."),
				 errhint("Write it as '5s', '500ms', '2 hours' or '1d'.")));
	cancel_parser_errposition_callback(&pcbstate);
	return result;
}

/* The message of an error. */
static int
invalid_value(DefElem *def, const char *given)
{
	const char *property = vs_dialect_is_spoken() ? vs_dialect_property(def->defname) : NULL;

	if (property)
		return errmsg("invalid value for property \"%s\": \"%s\"", property, given);
	return errmsg("invalid value for option \"%s.%s\": \"%s\"",
				  VS_OPTION_NAMESPACE, def->defname, given);
}

/* See vs_options.h. */
const char *
vs_option_name(const char *option)
{
	const char *property = vs_dialect_is_spoken() ? vs_dialect_property(option) : NULL;

	return property ? psprintf("'%s'", property) :
		psprintf("%s.%s", VS_OPTION_NAMESPACE, option);
}

const char *
vs_option_is(const char *option, const char *value)
{
	if (!vs_dialect_is_spoken())
		return psprintf("%s = %s", vs_option_name(option), value);
	if (strcmp(option, "emit") == 0)
		return strcmp(value, "final") == 0 ? "EMIT FINAL" : "EMIT CHANGES";
	return psprintf("%s = '%s'", vs_option_name(option), value);
}

/* See vs_options.h. */
const char *
vs_options_nearest(const char *name, const char *const *names)
{
	int			len = strlen(name);
	int			best = Max(2, len / 3) + 1;
	const char *result = NULL;

	if (len == 0 || len >= NAMEDATALEN)
		return NULL;
	for (; *names; names++)
	{
		int			distance = varstr_levenshtein_less_equal(name, len, *names, strlen(*names),
															 1, 1, 1, best, true);

		if (distance < best)
		{
			best = distance;
			result = *names;
		}
	}
	return result;
}

/* Error out if a command that is none of ours has our options. */
void
vs_options_refuse(ParseState *pstate, List *options, const char *message, const char *hint)
{
	ListCell   *lc;

	foreach(lc, options)
	{
		DefElem    *def = lfirst_node(DefElem, lc);

		if (is_our_option(def))
			ereport(ERROR,
					(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
					 errmsg("%s", message),
					 errhint("%s", hint),
					 parser_errposition(pstate, def->location)));
	}
}
