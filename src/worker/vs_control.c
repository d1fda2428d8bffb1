/*-------------------------------------------------------------------------
 *
 * vs_control.c
 *	  SQL functions that control queries: wait, pause, resume, rebuild, drop.
 *
 * pause, resume and rebuild take the query's batch lock, so a running batch
 * ends first and the next one sees the change, from the commit on.
 *
 * wait() puts a request into the shared context; the first batch that takes
 * its snapshot after that answers it when it has committed.  All that can
 * keep a batch from coming is looked for, at the beginning and then once a
 * second, and is an error that says so.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/genam.h"
#include "access/htup_details.h"
#include "access/table.h"
#include "access/xact.h"
#include "catalog/dependency.h"
#include "catalog/namespace.h"
#include "catalog/pg_class.h"
#include "fmgr.h"
#include "miscadmin.h"
#include "process/vs_process.h"
#include "registry/vs_registry.h"
#include "state/vs_context.h"
#include "storage/lock.h"
#include "tcop/utility.h"
#include "utils/acl.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"
#include "utils/fmgrprotos.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"
#include "utils/snapmgr.h"
#include "utils/timestamp.h"
#include "vs_compat.h"

#include "worker/vs_worker_internal.h"

#define CHECK_INTERVAL	1000	/* ms, between looks for what keeps a batch
								 * from coming */
#define WORKER_PATIENCE 15000	/* ms, for a worker to be started */
#define LAUNCHER_PATIENCE 1000	/* ms, for the launcher to hear of a setting */

/* A wait for one query. */
typedef struct Wait
{
	Oid			output;
	char	   *name;
	VsContext  *cxt;
	uint64		request;
	TimestampTz failed_at;		/* of the last failure that we know of */
	int			try;			/* how many failures are still no answer */
	TimestampTz worker_seen;	/* when a worker was there last */
	TimestampTz deadline;		/* 0: none */
} Wait;

static VsContext *begin_change(VsQueryEntry *entry, const char *function);
static void wait_with_sources(Oid output, List **done, TimestampTz deadline);
static bool wait_for_sources(Oid output, List **done, TimestampTz deadline);
static char *name_of(Oid output);
static void wait_for(Oid output, TimestampTz deadline);
static bool answered(Wait *wait, VsContextInfo *info);
static void report_failure(Wait *wait, const VsContextInfo *info);
static void report_timeout(Wait *wait, const VsContextInfo *info);
static void check_obstacles(Wait *wait, const VsContextInfo *info);
static void check_status(Wait *wait);
static void check_blocked(Wait *wait, const VsContextInfo *info);
static bool locked_by_me(Oid output);
static bool blocked_by_me(int pid);
static bool changed_here(Oid output);

PG_FUNCTION_INFO_V1(velostream_wait);
PG_FUNCTION_INFO_V1(velostream_pause);
PG_FUNCTION_INFO_V1(velostream_resume);
PG_FUNCTION_INFO_V1(velostream_rebuild);
PG_FUNCTION_INFO_V1(velostream_drop);

/*
 * velostream.wait(query regclass, timeout interval): return when everything
 * that was committed before the call is in the output of the query, or of all
 * queries that the caller owns.  An error says why that does not happen.
 */
Datum
velostream_wait(PG_FUNCTION_ARGS)
{
	TimestampTz deadline = 0;
	List	   *outputs = NIL;
	List	   *done = NIL;
	ListCell   *lc;

	vs_require_preload();
	PreventCommandDuringRecovery("velostream.wait()");
	if (!PG_ARGISNULL(1))
		deadline = DatumGetTimestampTz(DirectFunctionCall2(timestamptz_pl_interval,
														   TimestampTzGetDatum(GetCurrentTimestamp()),
														   PG_GETARG_DATUM(1)));
	if (!PG_ARGISNULL(0))
	{
		VsQueryEntry entry;

		vs_registry_argument(fcinfo, false, &entry);
		outputs = list_make1_oid(entry.output);
	}
	else
	{
		List	   *all = vs_registry_list();

		foreach(lc, all)
		{
			if (pg_class_ownercheck(lfirst_oid(lc), GetUserId()))
				outputs = lappend_oid(outputs, lfirst_oid(lc));
		}
	}

	foreach(lc, outputs)
		wait_with_sources(lfirst_oid(lc), &done, deadline);
	PG_RETURN_VOID();
}

/*
 * velostream.pause(query regclass): run no more batches of it until resume().
 */
Datum
velostream_pause(PG_FUNCTION_ARGS)
{
	VsQueryEntry entry;

	vs_registry_argument(fcinfo, false, &entry);
	(void) begin_change(&entry, "velostream.pause()");
	if (entry.status != VS_STATUS_PAUSED)
	{
		entry.status = VS_STATUS_PAUSED;
		vs_registry_update(&entry);
		vs_registry_changed();
		CommandCounterIncrement();
	}
	PG_RETURN_VOID();
}

/*
 * velostream.resume(query regclass): go on with a query that was paused, or
 * stopped by an error, or is waiting to be tried again.
 */
Datum
velostream_resume(PG_FUNCTION_ARGS)
{
	VsQueryEntry entry;
	VsContext  *cxt;

	vs_registry_argument(fcinfo, false, &entry);
	if (!entry.adopted)
		(void) vs_registry_adopt(entry.output, true);
	cxt = begin_change(&entry, "velostream.resume()");
	if (entry.status != VS_STATUS_RUNNING)
	{
		entry.status = VS_STATUS_RUNNING;
		vs_registry_update(&entry);
		CommandCounterIncrement();
	}
	vs_context_resumed(cxt);
	vs_registry_changed();
	PG_RETURN_VOID();
}

/*
 * velostream.rebuild(query regclass): compute the output anew with the next
 * batch.
 */
Datum
velostream_rebuild(PG_FUNCTION_ARGS)
{
	VsQueryEntry entry;
	VsFrontierRow row;

	vs_registry_argument(fcinfo, false, &entry);
	(void) begin_change(&entry, "velostream.rebuild()");
	if (vs_frontier_read(entry.output, &row))
	{
		row.rebuild = true;
		row.rebuild_reason = "asked for by velostream.rebuild()";
		vs_frontier_write(entry.output, &row);
		vs_registry_changed();
		CommandCounterIncrement();
	}
	PG_RETURN_VOID();
}

/* velostream.drop(query regclass): as DROP TABLE on its output. */
Datum
velostream_drop(PG_FUNCTION_ARGS)
{
	VsQueryEntry entry;
	ObjectAddress object;

	vs_registry_argument(fcinfo, false, &entry);
	PreventCommandIfReadOnly("velostream.drop()");
	ObjectAddressSet(object, RelationRelationId, entry.output);
	performDeletion(&object, DROP_RESTRICT, 0);
	PG_RETURN_VOID();
}

/*
 * Wait for a running batch to end, keep others from beginning until the end
 * of this transaction, and read the entry again.
 */
static VsContext *
begin_change(VsQueryEntry *entry, const char *function)
{
	VsContext  *cxt;

	PreventCommandIfReadOnly(function);
	PreventCommandDuringRecovery(function);
	/* a batch would write over it when it ends */
	if (vs_batch_running())
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_IN_USE),
				 errmsg("cannot execute %s inside a batch of a continuous query", function),
				 errhint("A trigger on an output must not call it.")));
	cxt = vs_context_attach(entry->output);
	if (!vs_context_begin_batch(cxt, false) || !vs_registry_read(entry->output, entry))
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_OBJECT),
				 errmsg("continuous query was dropped by another session")));
	vs_context_no_answer(cxt);
	return cxt;
}

/* ----------
 * wait()
 * ----------
 */

/*
 * Wait for a query after the queries that it reads from.  Where these are
 * not known yet, the first batch has to come first.
 */
static void
wait_with_sources(Oid output, List **done, TimestampTz deadline)
{
	if (list_member_oid(*done, output))
		return;
	*done = lappend_oid(*done, output);

	check_stack_depth();
	if (wait_for_sources(output, done, deadline))
		wait_for(output, deadline);
	else
	{
		wait_for(output, deadline);
		if (wait_for_sources(output, done, deadline))
			wait_for(output, deadline);
	}
}

/* False if the sources of the query are not known yet. */
static bool
wait_for_sources(Oid output, List **done, TimestampTz deadline)
{
	VsFrontierRow row;

	if (!vs_frontier_read(output, &row) || row.frontier.snapshot == NULL)
		return false;
	for (int i = 0; i < row.frontier.nsources; i++)
	{
		Oid			source = row.frontier.sources[i].relid;

		if (source != output && vs_registry_is_output(source))
			wait_with_sources(source, done, deadline);
	}
	return true;
}

/*
 * What errors call a query: with its schema where the search_path does not
 * lead to it.  NULL: it was dropped.
 */
static char *
name_of(Oid output)
{
	char	   *name = get_rel_name(output);

	if (name == NULL || RelationIsVisible(output))
		return name;
	return psprintf("%s.%s", get_namespace_name(get_rel_namespace(output)), name);
}

/* Wait for one query. */
static void
wait_for(Oid output, TimestampTz deadline)
{
	Wait		wait = {.output = output,.deadline = deadline};
	TimestampTz checked = 0;
	VsContextInfo info;

	wait.name = name_of(output);
	if (wait.name == NULL)
		return;					/* dropped: nothing to wait for */
	wait.cxt = vs_context_attach(output);
	vs_context_read(wait.cxt, &info);
	check_obstacles(&wait, &info);

	/* a batch that runs already may fail for what it does not see yet */
	wait.try = info.runner_pid != 0 ? 1 : 0;
	wait.failed_at = info.failed_at;
	wait.worker_seen = GetCurrentTimestamp();
	wait.request = vs_context_request(wait.cxt);
	vs_doorbell_ring();

	vs_context_wait_prepare(wait.cxt);
	while (!answered(&wait, &info))
	{
		TimestampTz now = GetCurrentTimestamp();
		long		timeout = CHECK_INTERVAL;

		if (deadline != 0 && now >= deadline)
			report_timeout(&wait, &info);
		if (TimestampDifferenceExceeds(checked, now, CHECK_INTERVAL))
		{
			if (checked != 0)
			{
				vs_context_wait_cancel();
				check_obstacles(&wait, &info);
				vs_context_wait_prepare(wait.cxt);
				checked = now;
				continue;
			}
			checked = now;
		}
		if (deadline != 0)
			timeout = Min(timeout, TimestampDifferenceMilliseconds(now, deadline) + 1);
		(void) vs_context_wait_sleep(wait.cxt, timeout);
	}
	vs_context_wait_cancel();
	check_status(&wait);
}

/*
 * Has a batch answered?  An error if one failed, or the query is gone.  Reads
 * the context into *info.
 */
static bool
answered(Wait *wait, VsContextInfo *info)
{
	vs_context_read(wait->cxt, info);
	if (info->output != wait->output || info->dbid != MyDatabaseId)
	{
		vs_context_wait_cancel();
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_OBJECT),
				 errmsg("continuous query \"%s\" was dropped", wait->name)));
	}
	if (info->done_seq >= wait->request)
		return true;
	if (info->failures > 0 && info->failed_at != wait->failed_at)
	{
		wait->failed_at = info->failed_at;
		if (wait->try-- <= 0)
			report_failure(wait, info);
	}
	return false;
}

static void
report_failure(Wait *wait, const VsContextInfo *info)
{
	bool		owns = pg_class_ownercheck(wait->output, GetUserId());

	vs_context_wait_cancel();
	ereport(ERROR,
			(errcode(info->sqlstate),
			 errmsg("continuous query \"%s\" failed: %s", wait->name, info->message),
			 owns && info->detail[0] ? errdetail("%s", info->detail) : 0,
			 info->hint[0] ? errhint("%s", info->hint) : 0,
			 owns && info->context[0] ? errcontext("%s", info->context) : 0));
}

/* The error when there is no time left: how far the query is, and who runs it. */
static void
report_timeout(Wait *wait, const VsContextInfo *info)
{
	const char *since = info->frontier_time ?
	timestamptz_to_str(info->frontier_time) : NULL;

	vs_context_wait_cancel();
	if (info->runner_pid != 0 && info->uncommitted)
		ereport(ERROR,
				(errcode(ERRCODE_QUERY_CANCELED),
				 errmsg("timeout while waiting for continuous query \"%s\"", wait->name),
				 errdetail("Process %d has run a batch in a transaction that it has not committed yet.",
						   info->runner_pid)));
	if (info->runner_pid != 0)
		ereport(ERROR,
				(errcode(ERRCODE_QUERY_CANCELED),
				 errmsg("timeout while waiting for continuous query \"%s\"", wait->name),
				 since ? errdetail("Its output is as of %s; process %d runs a batch and has read " UINT64_FORMAT " of " UINT64_FORMAT " pages.",
								   since, info->runner_pid, info->pages_done, info->pages_total) :
				 errdetail("Process %d runs its first batch and has read " UINT64_FORMAT " of " UINT64_FORMAT " pages.",
						   info->runner_pid, info->pages_done, info->pages_total)));
	ereport(ERROR,
			(errcode(ERRCODE_QUERY_CANCELED),
			 errmsg("timeout while waiting for continuous query \"%s\"", wait->name),
			 since ? errdetail("Its output is as of %s; no batch is running.", since) :
			 errdetail("Its first batch has not begun.")));
}

/* An error if no batch is going to come. */
static void
check_obstacles(Wait *wait, const VsContextInfo *info)
{
	TimestampTz now = GetCurrentTimestamp();

	/* the launcher may hear a moment after us that it is on again */
	if (!vs_enabled ||
		(!vs_workers->enabled && wait->worker_seen != 0 &&
		 TimestampDifferenceExceeds(wait->worker_seen, now, LAUNCHER_PATIENCE)))
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("continuous queries do not run"),
				 errdetail("velostream.enabled is off.")));
	if (vs_workers_per_database == 0)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("continuous queries do not run"),
				 errdetail("velostream.workers_per_database is 0.")));
	check_status(wait);
	if (changed_here(wait->output))
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("cannot wait for continuous query \"%s\" in the transaction that created or changed it",
						wait->name),
				 errhint("Commit first.")));
	if (info->runner_pid == MyProcPid)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("cannot wait for continuous query \"%s\" in a transaction that has processed it",
						wait->name),
				 errhint("Commit first.")));
	if (wait->worker_seen == 0)
		return;					/* not yet waiting */

	if (vs_worker_running(MyDatabaseId))
		wait->worker_seen = now;
	else if (TimestampDifferenceExceeds(wait->worker_seen, now, WORKER_PATIENCE))
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("continuous queries do not run"),
				 errdetail("No worker is running in this database."),
				 errhint("See the server log; you might need to increase max_worker_processes.")));
	check_blocked(wait, info);
}

/* An error unless the query's status is running. */
static void
check_status(Wait *wait)
{
	VsQueryEntry entry;
	VsContextInfo info;
	char	   *error;

	if (!vs_registry_read(wait->output, &entry))
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_OBJECT),
				 errmsg("continuous query \"%s\" was dropped", wait->name)));
	if (entry.status == VS_STATUS_RUNNING)
		return;
	vs_context_read(wait->cxt, &info);
	error = info.failures > 0 ? info.message : vs_registry_error(wait->output);
	ereport(ERROR,
			(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
			 entry.status == VS_STATUS_PAUSED ?
			 errmsg("continuous query \"%s\" is paused", wait->name) :
			 errmsg("continuous query \"%s\" is stopped", wait->name),
			 error != NULL ? errdetail("The last error was: %s", error) : 0,
			 errhint("Use velostream.resume().")));
}

/* An error if this very transaction keeps the workers from their work. */
static void
check_blocked(Wait *wait, const VsContextInfo *info)
{
	List	   *pids = vs_worker_pids(MyDatabaseId);
	ListCell   *lc;
	bool		blocked;

	if (info->runner_pid != 0)
		blocked = blocked_by_me(info->runner_pid);
	else
	{
		blocked = pids != NIL;
		foreach(lc, pids)
			blocked &= blocked_by_me(lfirst_int(lc));
		/* workers do not wait for locks on output and sources, but try again */
		blocked |= locked_by_me(wait->output);
	}
	if (blocked)
		ereport(ERROR,
				(errcode(ERRCODE_LOCK_NOT_AVAILABLE),
				 errmsg("cannot wait for continuous query \"%s\"", wait->name),
				 errdetail("Its worker waits for a lock that this transaction holds."),
				 errhint("Commit first.")));
}

/* Does this transaction hold a lock that a batch of the query conflicts with? */
static bool
locked_by_me(Oid output)
{
	VsFrontierRow row;
	LOCKTAG		tag;

	SET_LOCKTAG_RELATION(tag, MyDatabaseId, output);
	for (LOCKMODE mode = ShareLock; mode <= AccessExclusiveLock; mode++)
		if (vs_holds_lock(&tag, mode))
			return true;
	if (!vs_frontier_read(output, &row))
		return false;
	for (int i = 0; i < row.frontier.nsources; i++)
	{
		SET_LOCKTAG_RELATION(tag, MyDatabaseId, row.frontier.sources[i].relid);
		if (vs_holds_lock(&tag, AccessExclusiveLock))
			return true;
	}
	return false;
}

static bool
blocked_by_me(int pid)
{
	ArrayType  *array = DatumGetArrayTypeP(DirectFunctionCall1(pg_blocking_pids,
															   Int32GetDatum(pid)));
	int			n = ArrayGetNItems(ARR_NDIM(array), ARR_DIMS(array));
	int32	   *pids = (int32 *) ARR_DATA_PTR(array);

	for (int i = 0; i < n; i++)
	{
		if (pids[i] == MyProcPid)
			return true;
	}
	return false;
}

/* Did this transaction write the query's entry?  Then no worker sees it yet. */
static bool
changed_here(Oid output)
{
	Oid			nsp = get_namespace_oid(VS_SCHEMA_NAME, true);
	Oid			relid = OidIsValid(nsp) ? get_relname_relid("query", nsp) : InvalidOid;
	Relation	rel;
	ScanKeyData key;
	SysScanDesc scan;
	HeapTuple	tuple;
	Snapshot	snapshot;
	bool		result = false;

	if (!TransactionIdIsValid(GetTopTransactionIdIfAny()) || !OidIsValid(relid))
		return false;
	rel = table_open(relid, AccessShareLock);
	ScanKeyInit(&key, get_attnum(relid, "output"), BTEqualStrategyNumber, F_OIDEQ,
				ObjectIdGetDatum(output));
	/* the last command's writes are seen, too */
	CommandCounterIncrement();
	snapshot = RegisterSnapshot(GetLatestSnapshot());
	scan = systable_beginscan(rel, InvalidOid, false, snapshot, 1, &key);
	while (HeapTupleIsValid(tuple = systable_getnext(scan)))
		result |= TransactionIdIsCurrentTransactionId(HeapTupleHeaderGetXmin(tuple->t_data));
	systable_endscan(scan);
	UnregisterSnapshot(snapshot);
	table_close(rel, AccessShareLock);
	return result;
}
