/*-------------------------------------------------------------------------
 *
 * vs_guc.c
 *	  The settings.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include <limits.h>

#include "utils/guc.h"
#include "velostream.h"
#include "vs_compat.h"
#include "vs_guc.h"

bool		vs_enabled = true;
int			vs_max_queries = 1000;
int			vs_cache_size = 64 * 1024;
int			vs_hint_buffer = 16 * 1024;
int			vs_workers_per_database = 2;
int			vs_naptime = 1000;
int			vs_flush_delay = 10;
int			vs_max_backoff = 60 * 1000;
char	   *vs_stop_at = NULL;

static void define_sizes(void);
static void define_workers(void);

/*
 * Define the settings; those that size shared memory only while the server
 * starts, as it is an error later.
 */
void
vs_guc_init(bool preloading)
{
	define_workers();
	if (preloading)
	{
		define_sizes();
		MarkGUCPrefixReserved("velostream");
	}
}

/*
 * Plans over deltas are kept and used for many batches, whatever session made
 * them: what that has chosen for its own queries must not end up in them.
 * (Costs and the like are the server's business.)
 */
void
vs_guc_fix_planner(bool for_good)
{
	static const char *const settings[][2] = {
		{"enable_bitmapscan", "on"},
		{"enable_hashagg", "on"},
		{"enable_hashjoin", "on"},
		{"enable_indexscan", "on"},
		{"enable_material", "on"},
		{"enable_mergejoin", "on"},
		{"enable_nestloop", "on"},
		{"enable_partition_pruning", "on"},
		{"enable_seqscan", "on"},
		{"enable_sort", "on"},
		{"from_collapse_limit", "8"},
		{"geqo", "off"},
		{"join_collapse_limit", "8"},
		{"max_parallel_workers_per_gather", "0"},
		{VS_FORCE_PARALLEL, "off"},
	};

	for (int i = 0; i < lengthof(settings); i++)
		(void) set_config_option(settings[i][0], settings[i][1], PGC_USERSET,
								 for_good ? PGC_S_OVERRIDE : PGC_S_SESSION,
								 for_good ? GUC_ACTION_SET : GUC_ACTION_SAVE,
								 true, 0, false);
}

/* Settings that size shared memory. */
static void
define_sizes(void)
{
	DefineCustomIntVariable("velostream.max_queries",
							"Sets the maximum number of continuous queries in all databases together.",
							"Each takes about 2 kB of shared memory.",
							&vs_max_queries,
							1000, 1, 100000,
							PGC_POSTMASTER, 0,
							NULL, NULL, NULL);
	DefineCustomIntVariable("velostream.cache_size",
							"Sets the shared memory for groups of continuous queries.",
							"What does not fit is read from the output and state tables when it is needed.",
							&vs_cache_size,
							64 * 1024, 1024, MAX_KILOBYTES,
							PGC_POSTMASTER, GUC_UNIT_KB,
							NULL, NULL, NULL);
	DefineCustomIntVariable("velostream.hint_buffer",
							"Sets the shared memory that remembers which pages of sources were changed.",
							"A query that is further behind than it reaches reads the WAL again.",
							&vs_hint_buffer,
							16 * 1024, 1024, 1024 * 1024,
							PGC_POSTMASTER, GUC_UNIT_KB,
							NULL, NULL, NULL);
}

/* Settings that can change while the server runs, or within a session. */
static void
define_workers(void)
{
	DefineCustomBoolVariable("velostream.enabled",
							 "Runs continuous queries in the background.",
							 "When off, workers finish their batch and end; nothing is lost, but old row versions are kept.",
							 &vs_enabled,
							 true,
							 PGC_SIGHUP, 0,
							 NULL, NULL, NULL);
	DefineCustomIntVariable("velostream.workers_per_database",
							"Sets the maximum number of workers in each database that has the extension.",
							"They are taken from max_worker_processes.",
							&vs_workers_per_database,
							2, 0, 64,
							PGC_SIGHUP, 0,
							NULL, NULL, NULL);
	DefineCustomIntVariable("velostream.naptime",
							"Sets how long a worker sleeps at most.",
							"Commits wake it; this bounds the wait for what does not.",
							&vs_naptime,
							1000, 10, 60 * 60 * 1000,
							PGC_SIGHUP, GUC_UNIT_MS,
							NULL, NULL, NULL);
	DefineCustomIntVariable("velostream.flush_delay",
							"Sets how long a batch waits for others to flush the WAL that it reads.",
							"Only commits with synchronous_commit = off are delayed by it. Zero flushes at once.",
							&vs_flush_delay,
							10, 0, 60 * 1000,
							PGC_SIGHUP, GUC_UNIT_MS,
							NULL, NULL, NULL);
	DefineCustomIntVariable("velostream.max_backoff",
							"Sets the longest pause before a failed batch is tried again.",
							NULL,
							&vs_max_backoff,
							60 * 1000, 100, 24 * 60 * 60 * 1000,
							PGC_SIGHUP, GUC_UNIT_MS,
							NULL, NULL, NULL);
	DefineCustomStringVariable("velostream.stop_at",
							   "Stops batches at the named point, for tests.",
							   NULL,
							   &vs_stop_at,
							   "",
							   PGC_SUSET, GUC_NOT_IN_SAMPLE | GUC_NO_SHOW_ALL,
							   NULL, NULL, NULL);
}
