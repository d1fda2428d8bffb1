/*-------------------------------------------------------------------------
 *
 * vs_schedule.c
 *	  What a worker does while it is awake: which queries are due, and running
 *	  their batches.
 *
 * A worker keeps a private copy of the frontier of every query of its
 * database, to ask capture whether something happened after it.  The copy is
 * read again when the shared context shows another one.  The list of queries
 * is read again when the registry changed: at the invalidation of any
 * relation (queries come and go with relations), or when a control function
 * said so, and now and then.
 *
 * Every batch has a transaction of its own, and an error in it concerns this
 * query only: it is logged, kept in the query's context, and the batch is
 * tried again later.  Any worker may run any query; two never run the same
 * one, as the second does not get the lock and goes on with another.
 *
 * No snapshot and no lock is held between passes.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/genam.h"
#include "access/htup_details.h"
#include "access/table.h"
#include "access/transam.h"
#include "access/xact.h"
#include "access/xlog.h"
#include "capture/vs_capture.h"
#include "catalog/indexing.h"
#include "catalog/pg_extension.h"
#include "commands/dbcommands.h"
#include "commands/extension.h"
#include "common/int.h"
#include "miscadmin.h"
#include "pgstat.h"
#include "plan/vs_plan.h"
#include "process/vs_process.h"
#include "registry/vs_registry.h"
#include "replication/slot.h"
#include "state/vs_context.h"
#include "storage/ipc.h"
#include "storage/lmgr.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"
#include "utils/inval.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/snapmgr.h"
#include "utils/timestamp.h"

#include "worker/vs_worker_internal.h"

#define RELOAD_INTERVAL		30000	/* ms, to read the registry without reason */
#define LOAD_DELAY		10		/* ms, at least, between readings for an
								 * invalidation ... */
#define LOAD_SHARE		20		/* ... and so many times as long as the last
								 * one took */
#define RETRY_PREPARE		5000	/* ms, when a query could not be prepared */
#define BUSY_DELAY			5	/* ms, when another process has the query or
								 * its source, ... */
#define MAX_BUSY_DELAY		100 /* ... and if that goes on */
#define MAX_CONTENTION		20	/* batches that fail for others' locks until
								 * that is shown as a failure */
#define CLOSE_INTERVAL		250 /* ms, between batches that only close windows */
#define IDLE_INTERVAL		1000	/* ms, between moves of idle queries */
#define IDLE_CHUNK			64	/* idle queries moved in one transaction */
#define HORIZON_INTERVAL	20	/* ms */

/* A query of this database, as this worker knows it. */
typedef struct VsWorkQuery
{
	Oid			output;			/* hash key */
	bool		listed;			/* found by the latest reading of the registry */
	bool		running;		/* by its status */
	bool		adopted;
	VsOnError	on_error;
	int64		idle_timeout;	/* us, or -1: see VsTimeOptions */
	int64		delay;
	VsContext  *cxt;			/* NULL: not attached yet */
	MemoryContext context;		/* of the copy of the frontier */
	bool		valid;			/* there is a copy, of the row that had these: */
	XLogRecPtr	known_lsn;
	FullTransactionId known_xmin;
	VsFrontierRow row;
	uint64		request_seq;	/* when it was looked at */
	uint64		tried_seq;		/* when it was last run */
	bool		requested;
	bool		failing;
	int			busy;			/* attempts in a row that had to wait */
	int			contention;		/* batches in a row that failed for others'
								 * locks */
	TimestampTz due_since;		/* 0: not due */
	TimestampTz not_before;
} VsWorkQuery;

typedef void (*WorkFunction) (void *arg);

static HTAB *queries = NULL;
static int	nqueries = 0;
static MemoryContext pass_context = NULL;

static bool registry_dirty = true;
static uint64 known_generation = 0;
static TimestampTz loaded_at = 0;
static int64 load_duration = 0; /* us */
static Oid	extension = InvalidOid; /* as found first */

/*
 * Our own transactions after which nobody needs the WAL flushed at once, and
 * whether the current one is such: all but batches that another query reads.
 */
static uint64 quiet_commits = 0;
static bool quiet;

static TimestampTz next_time = 0;	/* something to do then; 0: nothing */
static TimestampTz idle_at = 0;
static uint64 idle_xids = 0;	/* foreign_xids() at the last idle move */
static TimestampTz horizon_at = 0;
static FullTransactionId horizon_xmin;

static bool must_load(TimestampTz now);
static void look_at(TimestampTz when);
static void invalidated(Datum arg, Oid relid);
static List *query_list(void);
static bool run_in_transaction(WorkFunction work, void *arg, ErrorData **edata);
static void load_registry(TimestampTz now);
static void load_work(void *arg);
static bool check_extension(void);
static void check_version(void);
static void extension_gone(void);
static void prepare_queries(TimestampTz now);
static void prepare_work(void *arg);
static bool copy_frontier(VsWorkQuery *query);
static List *evaluate(TimestampTz now);
static bool evaluate_query(VsWorkQuery *query, TimestampTz now);
static bool is_idle(VsWorkQuery *query, TimestampTz now);
static int	compare_overdue(const ListCell *a, const ListCell *b);
static bool run_query(VsWorkQuery *query, TimestampTz now);
static void batch_work(void *arg);
static void batch_context(void *arg);
static bool is_source(Oid relid);
static bool is_contention(const ErrorData *edata);
static bool stops_query(const ErrorData *edata);
static void stop_work(void *arg);
static void move_idle(TimestampTz now);
static void idle_work(void *arg);
static void advance_horizon(TimestampTz now);
static void horizon_work(void *arg);

void
vs_schedule_init(void)
{
	HASHCTL		ctl = {.keysize = sizeof(Oid),.entrysize = sizeof(VsWorkQuery)};

	queries = hash_create("velostream worker queries", 64, &ctl, HASH_ELEM | HASH_BLOBS);
	pass_context = AllocSetContextCreate(TopMemoryContext, "velostream worker pass",
										 ALLOCSET_DEFAULT_SIZES);
	horizon_xmin = InvalidFullTransactionId;
	CacheRegisterRelcacheCallback(invalidated, (Datum) 0);
}

/*
 * How many transactions of ours have committed that need not be flushed.  A
 * crash takes them back, and the next batch does their work again.
 */
uint64
vs_schedule_quiet_commits(void)
{
	return quiet_commits;
}

/* No query that could be due? */
bool
vs_schedule_idle(void)
{
	return nqueries == 0;
}

/*
 * Look at all queries and run those that are due.  True if a batch was run
 * (or tried), so that it is worth to look again at once.  "start" is the end
 * of the WAL before this call.
 */
bool
vs_schedule_pass(XLogRecPtr start)
{
	TimestampTz now = GetCurrentTimestamp();
	List	   *due;
	ListCell   *lc;
	bool		did = false;

	MemoryContextSwitchTo(pass_context);
	MemoryContextReset(pass_context);
	next_time = 0;
	due = evaluate(now);
	if (must_load(now))
	{
		load_registry(now);
		load_duration = GetCurrentTimestamp() - now;
		due = evaluate(now);
	}

	if (due != NIL)
	{
		vs_watch(VS_WATCH_BUSY);
		if (GetXLogInsertRecPtr() != start)
			vs_doorbell_pass_on();
	}
	if (list_length(due) > 1)
	{
		vs_doorbell_ring();		/* others may help */
		list_sort(due, compare_overdue);
	}
	foreach(lc, due)
	{
		did |= run_query(lfirst(lc), GetCurrentTimestamp());
		CHECK_FOR_INTERRUPTS();
		if (!vs_enabled || vs_slot_told_to_stop())
			break;
	}
	move_idle(now);
	advance_horizon(GetCurrentTimestamp());
	pgstat_report_activity(STATE_IDLE, NULL);
	MemoryContextSwitchTo(TopMemoryContext);
	return did;
}

/*
 * Is the registry to be read (again)?  Invalidations come in great numbers
 * where many temporary tables are made, so they count a few times a second.
 */
static bool
must_load(TimestampTz now)
{
	long		delay = Max(LOAD_DELAY, load_duration * LOAD_SHARE / 1000);

	if (known_generation != pg_atomic_read_u64(&vs_workers->generation) ||
		TimestampDifferenceExceeds(loaded_at, now, RELOAD_INTERVAL))
		return true;
	if (!registry_dirty && vs_context_is_loaded())
		return false;
	if (TimestampDifferenceExceeds(loaded_at, now, delay))
		return true;
	look_at(TimestampTzPlusMilliseconds(loaded_at, delay));
	return false;
}

/* How long to sleep at most, in ms. */
long
vs_schedule_timeout(TimestampTz now)
{
	long		timeout = vs_naptime;

	if (next_time != 0)
		timeout = Min(timeout, TimestampDifferenceMilliseconds(now, next_time) + 1);
	return Max(timeout, 1);
}

/* Whatever this pass does, look again at this time. */
static void
look_at(TimestampTz when)
{
	if (next_time == 0 || when < next_time)
		next_time = when;
}

static void
invalidated(Datum arg, Oid relid)
{
	registry_dirty = true;
}

/*
 * Do something in a transaction of its own, with a snapshot.  False after an
 * error: it is logged, the transaction rolled back, and *edata a copy in the
 * caller's memory context.
 */
static bool
run_in_transaction(WorkFunction work, void *arg, ErrorData **edata)
{
	MemoryContext caller = CurrentMemoryContext;
	volatile bool ok = false;
	volatile bool wrote = false;

	*edata = NULL;
	PG_TRY();
	{
		quiet = true;
		SetCurrentStatementStartTimestamp();
		StartTransactionCommand();
		PushActiveSnapshot(GetTransactionSnapshot());
		work(arg);
		PopActiveSnapshot();
		wrote = TransactionIdIsValid(GetTopTransactionIdIfAny());
		CommitTransactionCommand();
		if (wrote && quiet)
			quiet_commits++;
		ok = true;
	}
	PG_CATCH();
	{
		HOLD_INTERRUPTS();
		QueryCancelPending = false;
		MemoryContextSwitchTo(caller);
		*edata = CopyErrorData();
		EmitErrorReport();
		AbortCurrentTransaction();
		if (MyReplicationSlot != NULL)
			ReplicationSlotRelease();
		MemoryContextSwitchTo(caller);
		FlushErrorState();
		RESUME_INTERRUPTS();
	}
	PG_END_TRY();
	MemoryContextSwitchTo(caller);
	return ok;
}

/* ----------
 * Which queries there are
 * ----------
 */

/* All of them; a scan of the hash table would not outlive a transaction. */
static List *
query_list(void)
{
	HASH_SEQ_STATUS seq;
	VsWorkQuery *query;
	List	   *list = NIL;

	hash_seq_init(&seq, queries);
	while ((query = hash_seq_search(&seq)) != NULL)
		list = lappend(list, query);
	return list;
}

/*
 * Read which queries exist, and what is needed to watch them.  Does not
 * return if the extension is gone.
 */
static void
load_registry(TimestampTz now)
{
	HASH_SEQ_STATUS seq;
	VsWorkQuery *query;
	ErrorData  *edata;
	bool		present = true;

	hash_seq_init(&seq, queries);
	while ((query = hash_seq_search(&seq)) != NULL)
	{
		query->listed = false;
		if (!vs_context_is_loaded())
			query->valid = false;
	}

	loaded_at = now;
	if (!run_in_transaction(load_work, &present, &edata))
	{
		registry_dirty = true;
		look_at(TimestampTzPlusMilliseconds(now, RETRY_PREPARE));
		return;
	}
	if (!present)
		extension_gone();

	hash_seq_init(&seq, queries);
	while ((query = hash_seq_search(&seq)) != NULL)
	{
		if (query->listed)
			continue;
		vs_capture_forget(query->output);
		vs_plan_forget(query->output);
		MemoryContextDelete(query->context);
		hash_search(queries, &query->output, HASH_REMOVE, NULL);
	}
	nqueries = hash_get_num_entries(queries);
	prepare_queries(now);
	vs_slot_report(true, nqueries);
}

/* The part of load_registry that is a transaction. */
static void
load_work(void *arg)
{
	bool	   *present = arg;
	List	   *outputs;
	ListCell   *lc;

	registry_dirty = false;
	known_generation = pg_atomic_read_u64(&vs_workers->generation);
	*present = check_extension() && vs_registry_exists();
	if (!*present)
		return;
	check_version();
	outputs = vs_registry_list();
	foreach(lc, outputs)
	{
		Oid			output = lfirst_oid(lc);
		VsQueryEntry entry;
		VsWorkQuery *query;
		bool		found;

		if (!vs_registry_read(output, &entry))
			continue;
		query = hash_search(queries, &output, HASH_ENTER, &found);
		if (!found)
		{
			memset(query, 0, sizeof(VsWorkQuery));
			query->output = output;
			query->context = AllocSetContextCreate(TopMemoryContext, "velostream frontier",
												   ALLOCSET_SMALL_SIZES);
		}
		query->listed = true;
		query->running = entry.status == VS_STATUS_RUNNING;
		if (query->adopted != entry.adopted || !query->adopted)
			query->valid = false;
		query->adopted = entry.adopted;
		query->on_error = entry.on_error;
		query->idle_timeout = entry.time.idle_timeout;
		query->delay = Max(entry.time.delay, 0);
		query->known_lsn = InvalidXLogRecPtr;	/* read the frontier again */
		query->known_xmin = InvalidFullTransactionId;
	}
}

/*
 * Is the extension still the one that we found first?  Locks it until the end
 * of the transaction, so that it cannot be dropped meanwhile.
 */
static bool
check_extension(void)
{
	Oid			oid = get_extension_oid(VS_EXTENSION_NAME, true);

	if (!OidIsValid(oid))
		return false;
	LockDatabaseObject(ExtensionRelationId, oid, 0, AccessShareLock);
	if (get_extension_oid(VS_EXTENSION_NAME, true) != oid)
		return false;
	if (OidIsValid(extension) && extension != oid)
		return false;
	extension = oid;
	return true;
}

/* The installed version has to be one that this library knows; or the worker ends. */
static void
check_version(void)
{
	Relation	rel = table_open(ExtensionRelationId, AccessShareLock);
	ScanKeyData key;
	SysScanDesc scan;
	HeapTuple	tuple;
	char	   *version = NULL;

	ScanKeyInit(&key, Anum_pg_extension_oid, BTEqualStrategyNumber, F_OIDEQ,
				ObjectIdGetDatum(extension));
	scan = systable_beginscan(rel, ExtensionOidIndexId, true, NULL, 1, &key);
	tuple = systable_getnext(scan);
	if (HeapTupleIsValid(tuple))
	{
		bool		isnull;
		Datum		value = heap_getattr(tuple, Anum_pg_extension_extversion,
										 RelationGetDescr(rel), &isnull);

		if (!isnull)
			version = TextDatumGetCString(value);
	}
	systable_endscan(scan);
	table_close(rel, AccessShareLock);

	if (version != NULL && strcmp(version, VS_VERSION) == 0)
		return;
	vs_slot_outcome(VS_OUTCOME_UNUSABLE);
	ereport(FATAL,
			(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
			 errmsg("extension \"%s\" in database \"%s\" has version %s, but the loaded library is %s",
					VS_EXTENSION_NAME, get_database_name(MyDatabaseId),
					version ? version : "?", VS_VERSION),
			 errhint("Run ALTER EXTENSION %s UPDATE, or restart the server after an upgrade.",
					 VS_EXTENSION_NAME)));
}

static void
drop_horizon_work(void *arg)
{
	vs_horizon_drop(MyDatabaseId);
}

/*
 * There is no extension, or another one: leave nothing behind, and end.  If
 * it was created anew meanwhile, the launcher has been told.
 */
static void
extension_gone(void)
{
	ErrorData  *edata;

	vs_context_drop_database(MyDatabaseId);
	if (list_member_oid(vs_horizon_databases(), MyDatabaseId))
		(void) run_in_transaction(drop_horizon_work, NULL, &edata);
	vs_slot_outcome(VS_OUTCOME_ABSENT);
	proc_exit(0);
}

/*
 * Attach to the contexts of all queries, adopting those that come from a
 * dump.  When every frontier is known, the horizon may move.
 */
static void
prepare_queries(TimestampTz now)
{
	List	   *all = query_list();
	ListCell   *lc;
	bool		complete = true;

	foreach(lc, all)
	{
		VsWorkQuery *query = lfirst(lc);
		ErrorData  *edata;

		if (query->valid)
			continue;
		if (query->not_before > now)
			look_at(query->not_before);
		else if (!run_in_transaction(prepare_work, query, &edata))
		{
			query->valid = false;
			query->not_before = TimestampTzPlusMilliseconds(now, RETRY_PREPARE);
			if (query->cxt != NULL)
			{
				vs_context_failed(query->cxt, query->output, edata);
				query->not_before = TimestampTzPlusMilliseconds(now, vs_max_backoff);
			}
		}
		/* one that is not adopted has read nothing, and holds back nothing */
		complete &= query->valid || !query->adopted;
		if (!query->valid)
		{
			registry_dirty = true;
			look_at(query->not_before);
		}
		CHECK_FOR_INTERRUPTS();
	}
	if (complete && !vs_context_is_loaded())
		vs_context_set_loaded();
}

/* The part of prepare_queries that is a transaction, of one query. */
static void
prepare_work(void *arg)
{
	VsWorkQuery *query = arg;

	if (!check_extension())
		return;
	query->cxt = vs_context_attach(query->output);
	if (!query->adopted)
	{
		if (!vs_registry_adopt(query->output, false))
		{
			/* the restore is still under way */
			query->not_before = TimestampTzPlusMilliseconds(GetCurrentTimestamp(),
															RETRY_PREPARE);
			return;
		}
		vs_registry_changed();	/* for other workers */
		query->adopted = true;
	}
	if (!copy_frontier(query))
		return;
	vs_context_set_frontier(query->cxt,
							query->row.frontier.snapshot ?
							query->row.frontier.snapshot->xmin : InvalidFullTransactionId,
							query->row.frontier.lsn, query->row.updated_at);
	vs_horizon_ensure();
}

/* Bring our copy of the frontier up to date; false if there is none any more. */
static bool
copy_frontier(VsWorkQuery *query)
{
	VsContextInfo info;
	MemoryContext old;

	/* first what tells whether the row is the latest, then the row */
	vs_context_read(query->cxt, &info);
	MemoryContextReset(query->context);
	old = MemoryContextSwitchTo(query->context);
	query->valid = vs_frontier_read(query->output, &query->row);
	MemoryContextSwitchTo(old);
	query->known_lsn = info.frontier_lsn;
	query->known_xmin = info.frontier_xmin;
	return query->valid;
}

/* ----------
 * Which queries are due
 * ----------
 */

/* The queries that are due, in a list in the pass's memory context. */
static List *
evaluate(TimestampTz now)
{
	List	   *all = query_list();
	List	   *due = NIL;
	ListCell   *lc;

	/* reads pending invalidations, too */
	StartTransactionCommand();
	MemoryContextSwitchTo(pass_context);
	foreach(lc, all)
	{
		VsWorkQuery *query = lfirst(lc);

		if (evaluate_query(query, now))
		{
			if (query->due_since == 0)
				query->due_since = now;
			due = lappend(due, query);
		}
		else
			query->due_since = 0;
	}
	CommitTransactionCommand();
	MemoryContextSwitchTo(pass_context);
	return due;
}

/*
 * Is this query to be run now?  A request by wait() is tried once at once,
 * whatever the pause after failures.
 */
static bool
evaluate_query(VsWorkQuery *query, TimestampTz now)
{
	VsContextInfo info;
	bool		fresh;

	if (!query->valid || !query->running)
		return false;
	vs_context_read(query->cxt, &info);
	if (info.output != query->output || info.dbid != MyDatabaseId)
	{
		/* dropped, and the context may be another query's */
		registry_dirty = true;
		query->valid = false;
		return false;
	}
	if ((info.frontier_lsn != query->known_lsn ||
		 !FullTransactionIdEquals(info.frontier_xmin, query->known_xmin)) &&
		!copy_frontier(query))
	{
		registry_dirty = true;
		return false;
	}
	if (info.runner_pid != 0)
		return false;			/* who runs it looks again afterwards */

	query->request_seq = info.request_seq;
	query->requested = info.request_seq > info.done_seq;
	query->failing = info.failures > 0;
	fresh = query->requested && info.request_seq > query->tried_seq;
	if (query->not_before > now)
	{
		look_at(query->not_before);
		return false;
	}
	if (!fresh && info.retry_at > now)
	{
		look_at(info.retry_at);
		return false;
	}
	return query->requested || query->failing || query->row.rebuild ||
		query->row.frontier.snapshot == NULL ||
		vs_capture_due(query->output, &query->row.frontier) ||
		is_idle(query, now);
}

/*
 * Has a query seen no row for longer than its idle timeout?  Then its watermark
 * moves with the clock, and a batch without rows closes, or forgets, the windows
 * that it passes.
 */
static bool
is_idle(VsWorkQuery *query, TimestampTz now)
{
	TimestampTz when;
	TimestampTz there;

	if (query->idle_timeout < 0 || query->row.event_at == VS_NO_TIME ||
		query->row.event_time == VS_NO_TIME || query->row.next_close == VS_NO_TIME)
		return false;
	when = Max(query->row.event_at + query->idle_timeout,
			   TimestampTzPlusMilliseconds(query->row.updated_at, CLOSE_INTERVAL));

	/* when the watermark will be there */
	if (pg_sub_s64_overflow(query->row.next_close, query->row.event_time, &there) ||
		pg_add_s64_overflow(there, query->delay, &there) ||
		pg_add_s64_overflow(there, query->row.event_at, &there))
		return false;
	when = Max(when, there);
	if (when <= now)
		return true;
	look_at(when);
	return false;
}

static int
compare_overdue(const ListCell *a, const ListCell *b)
{
	const VsWorkQuery *qa = lfirst(a);
	const VsWorkQuery *qb = lfirst(b);

	if (qa->due_since != qb->due_since)
		return qa->due_since < qb->due_since ? -1 : 1;
	return qa->output < qb->output ? -1 : qa->output > qb->output;
}

/* ----------
 * Running a query
 * ----------
 */

typedef struct BatchWork
{
	VsWorkQuery *query;
	char	   *name;
	VsBatchResult result;
	bool		present;
} BatchWork;

typedef struct StopWork
{
	VsWorkQuery *query;
	const ErrorData *edata;
} StopWork;

/* The pause, in ms, after an attempt that would have had to wait: twice the last one. */
static long
busy_delay(VsWorkQuery *query)
{
	long		delay = (long) BUSY_DELAY << Min(query->busy, 10);

	query->busy++;
	return Min(delay, MAX_BUSY_DELAY);
}

/*
 * Run a batch of a query that was due, unless that has changed.  True if it
 * was run or tried.
 */
static bool
run_query(VsWorkQuery *query, TimestampTz now)
{
	BatchWork	work = {.query = query,.present = true};
	VsContextInfo info;
	ErrorData  *edata;
	uint64		tried = query->tried_seq;

	vs_context_read(query->cxt, &info);
	if (info.output != query->output || info.dbid != MyDatabaseId || info.runner_pid != 0)
		return false;
	if (info.frontier_lsn != query->known_lsn && info.done_seq >= query->request_seq)
		return true;			/* another one did; look again */

	query->tried_seq = info.request_seq;
	if (run_in_transaction(batch_work, &work, &edata))
	{
		query->due_since = 0;
		if (work.result.busy)
		{
			query->tried_seq = tried;
			query->not_before = TimestampTzPlusMilliseconds(now, busy_delay(query));
			look_at(query->not_before);
			return false;
		}
		query->busy = query->contention = 0;
		if (!work.present)
			registry_dirty = true;
		else if (work.result.skipped)
		{
			query->running = false;
			registry_dirty = true;
		}
		else if (query->failing)
			vs_context_succeeded(query->cxt, query->output);
		return true;
	}

	/* another registry may have it now */
	registry_dirty = true;
	query->due_since = 0;
	if (is_contention(edata) && query->contention < MAX_CONTENTION)
	{
		query->contention++;
		query->tried_seq = tried;
		query->not_before = TimestampTzPlusMilliseconds(now, busy_delay(query));
		look_at(query->not_before);
		FreeErrorData(edata);
		return false;
	}
	vs_context_failed(query->cxt, query->output, edata);
	if (query->on_error == VS_ON_ERROR_STOP && stops_query(edata))
	{
		StopWork	stop = {query, edata};
		ErrorData  *second;

		(void) run_in_transaction(stop_work, &stop, &second);
	}
	FreeErrorData(edata);
	return true;
}

/* The part of run_query that is a transaction. */
static void
batch_work(void *arg)
{
	BatchWork  *work = arg;
	VsBatchOptions options = {.nowait = true};
	ErrorContextCallback callback;

	work->present = check_extension();
	if (!work->present)
		return;
	work->name = get_rel_name(work->query->output);
	if (work->name == NULL)
	{
		work->present = false;
		return;
	}
	pgstat_report_activity(STATE_RUNNING,
						   psprintf("continuous query %s.%s",
									get_namespace_name(get_rel_namespace(work->query->output)),
									work->name));
	callback.callback = batch_context;
	callback.arg = work;
	callback.previous = error_context_stack;
	error_context_stack = &callback;
	options.immediate_flush = work->query->requested;
	quiet = !is_source(work->query->output);
	vs_batch_run(work->query->output, &options, &work->result);
	if (work->result.skipped)
		vs_context_no_answer(work->query->cxt);
	error_context_stack = callback.previous;
}

static void
batch_context(void *arg)
{
	errcontext("batch of continuous query \"%s\"", ((BatchWork *) arg)->name);
}

/* Does a query read this relation, as far as this worker knows? */
static bool
is_source(Oid relid)
{
	HASH_SEQ_STATUS seq;
	VsWorkQuery *query;

	hash_seq_init(&seq, queries);
	while ((query = hash_seq_search(&seq)) != NULL)
	{
		for (int i = 0; query->valid && i < query->row.frontier.nsources; i++)
		{
			if (query->row.frontier.sources[i].relid == relid)
			{
				hash_seq_term(&seq);
				return true;
			}
		}
	}
	return false;
}

/* Somebody else was in the way: the same batch may well succeed the next time. */
static bool
is_contention(const ErrorData *edata)
{
	return ERRCODE_TO_CATEGORY(edata->sqlerrcode) == ERRCODE_TRANSACTION_ROLLBACK ||
		edata->sqlerrcode == ERRCODE_LOCK_NOT_AVAILABLE;
}

/* Errors that say nothing about the query do not stop it. */
static bool
stops_query(const ErrorData *edata)
{
	switch (ERRCODE_TO_CATEGORY(edata->sqlerrcode))
	{
		case ERRCODE_INSUFFICIENT_RESOURCES:
		case ERRCODE_OPERATOR_INTERVENTION:
			return false;
		default:
			return !is_contention(edata);
	}
}

static void
stop_work(void *arg)
{
	StopWork   *stop = arg;
	VsQueryEntry entry;

	if (!check_extension() || !vs_registry_read(stop->query->output, &entry) ||
		entry.status != VS_STATUS_RUNNING || entry.on_error != VS_ON_ERROR_STOP)
		return;
	vs_registry_stop(&entry, stop->edata);
	vs_registry_changed();
	ereport(LOG,
			(errmsg("continuous query \"%s\" is stopped after an error",
					get_rel_name(stop->query->output))));
}

/* ----------
 * Queries at rest, and the horizon
 * ----------
 */

/*
 * Transaction ids used so far by others than idle moves: these must not be a
 * reason for the next ones, here or in another database.
 */
static uint64
foreign_xids(void)
{
	return U64FromFullTransactionId(ReadNextFullTransactionId()) -
		pg_atomic_read_u64(&vs_workers->idle_xids);
}

/*
 * Now and then, when transaction ids were used, move the frontiers of queries
 * on for which nothing happened, as they hold back the horizon of all.
 */
static void
move_idle(TimestampTz now)
{
	List	   *all;
	ListCell   *lc;
	List	   *idle = NIL;
	uint64		xids = foreign_xids();
	ErrorData  *edata;

	if (xids == idle_xids || nqueries == 0 || !vs_slot_is_leader())
		return;
	if (!TimestampDifferenceExceeds(idle_at, now, IDLE_INTERVAL))
	{
		look_at(TimestampTzPlusMilliseconds(idle_at, IDLE_INTERVAL));
		return;
	}
	idle_at = now;
	idle_xids = xids;

	all = query_list();
	foreach(lc, all)
	{
		VsWorkQuery *query = lfirst(lc);

		if (query->valid && query->running && query->due_since == 0 &&
			!query->failing && query->row.frontier.snapshot != NULL)
			idle = lappend(idle, query);
	}
	for (int first = 0; first < list_length(idle); first += IDLE_CHUNK)
	{
		List	   *chunk = NIL;

		for (int i = first; i < Min(first + IDLE_CHUNK, list_length(idle)); i++)
			chunk = lappend(chunk, list_nth(idle, i));
		if (run_in_transaction(idle_work, chunk, &edata))
			continue;
		/* one of them fails: each by itself, to see which */
		foreach(lc, chunk)
			(void) run_query(lfirst(lc), now);
	}
}

/* One empty batch of each query of a list, in one transaction. */
static void
idle_work(void *arg)
{
	ListCell   *lc;

	if (!check_extension())
		return;
	pgstat_report_activity(STATE_RUNNING, "continuous queries at rest");
	foreach(lc, (List *) arg)
	{
		VsWorkQuery *query = lfirst(lc);
		VsBatchOptions options = {.nowait = true};
		VsBatchResult result;

		CHECK_FOR_INTERRUPTS();
		vs_batch_run(query->output, &options, &result);
		if (result.skipped)
			vs_context_no_answer(query->cxt);
		/* not so idle: what it read had just been flushed */
		if (result.changes > 0 && is_source(query->output))
			quiet = false;
	}
	if (TransactionIdIsValid(GetTopTransactionIdIfAny()))
		pg_atomic_fetch_add_u64(&vs_workers->idle_xids, 1);
}

/*
 * Let VACUUM have what no frontier needs any more.
 */
static void
advance_horizon(TimestampTz now)
{
	FullTransactionId xmin;
	ErrorData  *edata;
	bool		advanced = false;

	if (!vs_context_oldest_xmin(&xmin) ||
		(FullTransactionIdIsValid(xmin) && FullTransactionIdEquals(xmin, horizon_xmin)))
		return;
	if (!FullTransactionIdIsValid(xmin) &&
		(!vs_slot_is_leader() || !TimestampDifferenceExceeds(horizon_at, now, IDLE_INTERVAL)))
		return;
	if (!TimestampDifferenceExceeds(horizon_at, now, HORIZON_INTERVAL))
	{
		look_at(TimestampTzPlusMilliseconds(horizon_at, HORIZON_INTERVAL));
		return;
	}
	horizon_at = now;
	horizon_xmin = xmin;
	if (!run_in_transaction(horizon_work, &advanced, &edata) || !advanced)
		horizon_xmin = InvalidFullTransactionId;
}

static void
horizon_work(void *arg)
{
	*(bool *) arg = vs_release_horizon();
}
