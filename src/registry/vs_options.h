/*-------------------------------------------------------------------------
 *
 * vs_options.h
 *	  The velostream.* options of CREATE TABLE ... AS.
 *
 *-------------------------------------------------------------------------
 */
#ifndef VS_OPTIONS_H
#define VS_OPTIONS_H

#include "postgres.h"

#include "nodes/pg_list.h"
#include "parser/parse_node.h"
#include "velostream.h"

#define VS_OPTION_NAMESPACE	"velostream"

/* The velostream.* options of a CREATE TABLE ... AS. */
typedef struct VsOptions
{
	bool		continuous;
	VsKind		kind;
	VsSourceMode mode;
	VsOnError	on_error;
	VsTimeOptions time;
} VsOptions;

/* Is one of these DefElems in our namespace? */
extern bool vs_options_are_ours(List *options);

/* Those that are, defaults for the others; returns the DefElems that are not ours. */
extern List *vs_options_read(ParseState *pstate, List *options, VsOptions *result);

/* Error out if a command that is none of ours has our options. */
extern void vs_options_refuse(ParseState *pstate, List *options, const char *message,
							  const char *hint);

/*
 * An option, or one with a value, as the user writes it: velostream.late_data,
 * velostream.emit = final, or in the dialect 'late.data.strategy', EMIT FINAL.
 */
extern const char *vs_option_name(const char *option);
extern const char *vs_option_is(const char *option, const char *value);

/* Of names (a NULL ends them), the one that "name" is most likely a misspelling of, or NULL. */
extern const char *vs_options_nearest(const char *name, const char *const *names);

#endif							/* VS_OPTIONS_H */
