/*-------------------------------------------------------------------------
 *
 * velostream.h
 *	  What every part of velostream knows: the words for a query's options,
 *	  and the settings.
 *
 * Each stage has its own header; includes follow the direction of the data:
 * capture -> plan -> process -> state -> emit.  The registry is below all of
 * them, the workers above.
 *
 *-------------------------------------------------------------------------
 */
#ifndef VELOSTREAM_H
#define VELOSTREAM_H

#include "postgres.h"

#define VS_EXTENSION_NAME	"velostream"
#define VS_VERSION			"0.1.0" /* of the extension's objects:
									 * default_version in velostream.control */
#define VS_SCHEMA_NAME		"velostream"

/* The values of these enums are what the catalog table stores ("char"). */
typedef enum VsKind
{
	VS_KIND_TABLE = 't',		/* the current result, changed in place */
	VS_KIND_STREAM = 's'		/* an append-only log of what was emitted */
} VsKind;

typedef enum VsSourceMode
{
	VS_SOURCE_CHANGES = 'c',	/* the output equals the query, always */
	VS_SOURCE_APPEND = 'a'		/* every committed INSERT counts once */
} VsSourceMode;

typedef enum VsOnError
{
	VS_ON_ERROR_RETRY = 'r',
	VS_ON_ERROR_DEAD_LETTER = 'd',
	VS_ON_ERROR_STOP = 's'
} VsOnError;

/* When the rows of a window are emitted. */
typedef enum VsEmit
{
	VS_EMIT_CHANGES = 'c',		/* whenever they change */
	VS_EMIT_FINAL = 'f'			/* once, when the window closes */
} VsEmit;

/* What becomes of a row whose windows are all closed. */
typedef enum VsLateData
{
	VS_LATE_DEAD_LETTER = 'd',	/* kept in velostream.dead_letters */
	VS_LATE_DROP = 'x',			/* counted, no more */
	VS_LATE_UPDATE = 'u',		/* the closed window is corrected */
	VS_LATE_NEXT = 'n'			/* counted in a window that is open */
} VsLateData;

typedef enum VsTimeOption
{
	VS_OPTION_EMIT,
	VS_OPTION_LATE_DATA,
	VS_OPTION_DELAY,
	VS_OPTION_IDLE_TIMEOUT,
	VS_OPTION_MAX_FUTURE_SKEW,
	VS_OPTION_RETENTION,
	VS_TIME_OPTIONS				/* how many they are */
} VsTimeOption;

/*
 * How a query treats event time.  Durations are in microseconds, -1: not
 * given.
 */
typedef struct VsTimeOptions
{
	VsEmit		emit;
	bool		once;			/* without a window: emit the result once, at
								 * the end (a query that is run once) */
	VsLateData	late;
	int64		delay;			/* the watermark is so far behind the greatest
								 * event time (out-of-orderness) */
	int64		idle_timeout;
	int64		max_future_skew;
	int64		retention;		/* a window stays changeable for so long after
								 * the watermark passed its end */
	int			said[VS_TIME_OPTIONS];	/* 1 + where in the text of the
										 * command; 0: not there */
} VsTimeOptions;

typedef enum VsStatus
{
	VS_STATUS_RUNNING = 'r',
	VS_STATUS_PAUSED = 'p',		/* by pause(), until resume() */
	VS_STATUS_STOPPED = 's'		/* by an error under on_error = stop */
} VsStatus;

/* settings; vs_guc.c */
extern bool vs_enabled;			/* velostream.enabled (SIGHUP): workers run
								 * queries */
extern int	vs_max_queries;		/* velostream.max_queries (postmaster),
								 * cluster-wide */
extern int	vs_cache_size;		/* velostream.cache_size (postmaster), kB */
extern int	vs_hint_buffer;		/* velostream.hint_buffer (postmaster), kB */
extern int	vs_workers_per_database;	/* velostream.workers_per_database
										 * (SIGHUP) */
extern int	vs_naptime;			/* velostream.naptime (SIGHUP), ms: longest
								 * sleep of a worker */
extern int	vs_flush_delay;		/* velostream.flush_delay (SIGHUP), ms:
								 * patience for a flush by others */
extern int	vs_max_backoff;		/* velostream.max_backoff (SIGHUP), ms:
								 * longest pause between retries */

extern char *vs_stop_at;		/* velostream.stop_at (superuser): wait point
								 * to stop at, for tests */

/* True when loaded by shared_preload_libraries; else functions call this. */
extern bool vs_preloaded;
extern void vs_require_preload(void);

#endif							/* VELOSTREAM_H */
