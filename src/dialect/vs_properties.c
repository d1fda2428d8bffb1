/*-------------------------------------------------------------------------
 *
 * vs_properties.c
 *	  WITH ('property' = 'value', ...): which properties there are, and the
 *	  option of a continuous query that each stands for.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "dialect/vs_dialect_internal.h"
#include "nodes/makefuncs.h"
#include "registry/vs_options.h"

/* Properties, and their options; NULL: read by the dialect itself. */
static const struct
{
	const char *name;
	const char *option;
}			known[] = {
	{"event.time.field", NULL},
	{"late.data.strategy", "late_data"},
	{"on.error", "on_error"},
	{"source.mode", "source_mode"},
	{"watermark.idle_timeout", "idle_timeout"},
	{"watermark.max_future_skew", "max_future_skew"},
	{"watermark.max_out_of_orderness", "max_out_of_orderness"},
	{"watermark.strategy", NULL},
	{"window.retention", "window_retention"}
};

/*
 * What only makes sense where rows come from and go to files and Kafka: whole
 * names, or what follows the name of a source or sink and a point.
 */
static const char *const foreign_names[] = {
	"type", "topic", "topic.name", "bootstrap.servers", "brokers", "group.id", "client.id",
	"format", "value.format", "key.format", "key.field", "path", "file.path", "config_file",
	"delimiter", "has_headers", "auto.offset.reset", "enable.auto.commit", "compression.type",
	"acks", "partitions", "replication.factor", "event.time.format", NULL
};

/* and everything below these */
static const char *const foreign_parts[] = {
	"schema", "datasource", "datasink", "producer", "consumer", "kafka", NULL
};

static bool is_foreign(const char *name);
static void refuse_property(VsSelect *sel, VsProperty *property);
static bool sets_bound(VsSelect *sel, VsProperty *property);

/* The value of a property, or NULL; *location: of the value. */
const char *
vs_property(VsSelect *sel, const char *name, int *location)
{
	ListCell   *lc;

	foreach(lc, sel->properties)
	{
		VsProperty *property = lfirst(lc);

		if (pg_strcasecmp(property->name, name) == 0)
		{
			*location = property->value_location;
			return property->value;
		}
	}
	return NULL;
}

/* See vs_dialect.h. */
const char *
vs_dialect_property(const char *option)
{
	for (int i = 0; i < lengthof(known); i++)
		if (known[i].option && strcmp(known[i].option, option) == 0)
			return known[i].name;
	return NULL;
}

/*
 * Check all properties; returns the options (DefElem) they stand for.  A
 * NOTICE names those that have no meaning here.
 */
List *
vs_property_options(VsSelect *sel)
{
	List	   *result = NIL;
	ListCell   *lc;

	foreach(lc, sel->properties)
	{
		VsProperty *property = lfirst(lc);
		int			i = 0;

		for (int j = 0; j < foreach_current_index(lc); j++)
		{
			if (pg_strcasecmp(((VsProperty *) list_nth(sel->properties, j))->name, property->name) == 0)
				ereport(ERROR,
						(errcode(ERRCODE_SYNTAX_ERROR),
						 errmsg("property \"%s\" is given more than once", property->name),
						 vs_position(sel->stmt, property->location)));
		}
		while (i < lengthof(known) && pg_strcasecmp(known[i].name, property->name) != 0)
			i++;
		if (i == lengthof(known))
		{
			if (!is_foreign(property->name))
				refuse_property(sel, property);
			ereport(NOTICE,
					(errmsg("property \"%s\" is ignored", property->name),
					 errdetail("Sources and outputs are tables of this database.")));
		}
		else if (known[i].option)
			result = lappend(result,
							 makeDefElemExtended(pstrdup(VS_OPTION_NAMESPACE), pstrdup(known[i].option),
												 (Node *) makeString(pstrdup(property->value)),
												 DEFELEM_UNSPEC, property->value_location));
		else if (strcmp(known[i].name, "watermark.strategy") == 0 && sets_bound(sel, property))
			result = lappend(result,
							 makeDefElemExtended(pstrdup(VS_OPTION_NAMESPACE), pstrdup("max_out_of_orderness"),
												 (Node *) makeString(pstrdup("0")),
												 DEFELEM_UNSPEC, property->value_location));
	}
	return result;
}

/* Say which properties mean nothing for a query that is run once. */
void
vs_property_notices(VsSelect *sel)
{
	static const char *const names[] = {"on.error", "source.mode", "watermark.idle_timeout"};
	int			location;

	for (int i = 0; i < lengthof(names); i++)
		if (vs_property(sel, names[i], &location) != NULL)
			ereport(NOTICE,
					(errmsg("property \"%s\" has no effect in a SELECT that is run once", names[i]),
					 errdetail("It is for queries that CREATE TABLE, CREATE STREAM or START JOB makes.")));
}

/* Is a name, or what follows one of its points, one of those? */
static bool
is_foreign(const char *name)
{
	for (const char *p = name; p; p = strchr(p, '.'))
	{
		p += *p == '.' ? 1 : 0;
		for (int i = 0; foreign_names[i]; i++)
			if (pg_strcasecmp(p, foreign_names[i]) == 0)
				return true;
		for (int i = 0; foreign_parts[i]; i++)
		{
			int			length = strlen(foreign_parts[i]);

			if (pg_strncasecmp(p, foreign_parts[i], length) == 0 &&
				(p[length] == '\0' || p[length] == '.'))
				return true;
		}
	}
	return false;
}

/* An unknown property: the error names the one that was meant. */
static void
refuse_property(VsSelect *sel, VsProperty *property)
{
	const char *names[lengthof(known) + 1] = {NULL};
	const char *nearest;
	StringInfoData all;

	initStringInfo(&all);
	for (int i = 0; i < lengthof(known); i++)
	{
		names[i] = known[i].name;
		appendStringInfo(&all, "%s%s", i == 0 ? "" : i == lengthof(known) - 1 ? " and " : ", ", names[i]);
	}
	nearest = vs_options_nearest(property->name, names);
	ereport(ERROR,
			(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
			 errmsg("unrecognized property \"%s\"", property->name),
			 errdetail("The properties are %s.", all.data),
			 nearest ? errhint("Perhaps you meant \"%s\".", nearest) : 0,
			 vs_position(sel->stmt, property->location)));
}

/*
 * Check a strategy, of which each asks for a watermark.  One that follows
 * ascending times is one with a bound of zero; so is one whose bound is not said.
 */
static bool
sets_bound(VsSelect *sel, VsProperty *property)
{
	int			location;
	bool		bounded = vs_property(sel, "watermark.max_out_of_orderness", &location) != NULL;

	if (pg_strcasecmp(property->value, "bounded_out_of_orderness") == 0)
		return !bounded;
	if (pg_strcasecmp(property->value, "ascending") != 0)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("invalid value for property \"%s\": \"%s\"", property->name, property->value),
				 errhint("Its values are \"bounded_out_of_orderness\" and \"ascending\"."),
				 vs_position(sel->stmt, property->value_location)));
	if (bounded)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("ascending watermarks have no \"watermark.max_out_of_orderness\""),
				 errhint("Remove it, or set \"watermark.strategy\" to \"bounded_out_of_orderness\"."),
				 vs_position(sel->stmt, location)));
	return true;
}
