/*-------------------------------------------------------------------------
 *
 * vs_launcher.c
 *	  The launcher: finds the databases that have the extension and keeps
 *	  their workers running; and the commands that need a database alone.
 *
 * The launcher is connected to no database and reads only pg_database.  What
 * is in a database only a process inside can see: the first worker of a
 * database looks, and ends at once if the extension is not there.  The
 * launcher remembers the answer until something happened there: each CREATE
 * EXTENSION, and each database that appears, is looked at.
 *
 * Who works where is in shared memory (vs_worker_internal.h); a launcher that
 * was terminated and started again finds its workers there.  A worker is
 * never restarted by the postmaster, so every one has a slot.
 *
 * DROP DATABASE and its like fail while a worker is connected.  Before such a
 * command the process that runs it puts a hold on the database: its workers
 * end, no other is started until the command has ended, one way or the other.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include <signal.h>
#include <unistd.h>

#include "access/genam.h"
#include "access/heapam.h"
#include "access/htup_details.h"
#include "access/table.h"
#include "access/tableam.h"
#include "access/xact.h"
#include "access/xlog.h"
#include "capture/vs_capture.h"
#include "catalog/pg_authid.h"
#include "catalog/pg_database.h"
#include "commands/dbcommands.h"
#include "commands/defrem.h"
#include "miscadmin.h"
#include "pgstat.h"
#include "postmaster/bgworker.h"
#include "postmaster/interrupt.h"
#include "replication/slot.h"
#include "state/vs_context.h"
#include "storage/ipc.h"
#include "storage/proc.h"
#include "tcop/tcopprot.h"
#include "tcop/utility.h"
#include "utils/acl.h"
#include "utils/guc.h"
#include "utils/memutils.h"
#include "utils/snapmgr.h"
#include "utils/syscache.h"
#include "utils/timestamp.h"
#include "vs_compat.h"

#include "worker/vs_worker_internal.h"

#define LAUNCHER_NAP		60000	/* ms, with nothing to start */
#define RESTART_DELAY		1000	/* ms, first pause before a worker that
									 * died early is replaced */
#define MAX_RESTART_DELAY	60000
#define RECHECK_ABSENT		(15 * 60 * 1000)	/* ms */
#define START_TIMEOUT		60000	/* ms, for a worker that another launcher
									 * started */
#define HOLD_GRACE			200 /* ms to end by itself, then SIGTERM */
#define HOLD_PATIENCE		5000	/* ms, then let the command decide */

/* What the launcher knows of a database. */
typedef enum VsPresence
{
	VS_UNKNOWN,
	VS_ABSENT,
	VS_PRESENT
} VsPresence;

typedef struct VsDatabase
{
	Oid			dbid;			/* hash key */
	VsPresence	presence;
	bool		connectable;	/* allows connections, and is no template */
	bool		listed;			/* found by the latest look at pg_database */
	int			delay;			/* ms, before the next restart */
	TimestampTz not_before;		/* start no worker earlier */
	TimestampTz probed_at;
	int			nworkers;		/* slots in use; counted each round */
	int			nstopping;		/* of these, told to stop */
	int			nqueries;
} VsDatabase;

static HTAB *databases = NULL;
static BackgroundWorkerHandle **handles = NULL; /* of each slot; NULL: unknown */
static MemoryContext round_context = NULL;
static TimestampTz register_after = 0;
static bool register_complained = false;

static ProcessUtility_hook_type prev_ProcessUtility = NULL;
static bool hold_exit_registered = false;
static bool holding = false;	/* this process has a hold */

static void launcher_exit(int code, Datum arg);
static void launcher_round(void);
static void take_probes(void);
static void reap(int slotno, TimestampTz now);
static void list_databases(void);
static void forget_dropped(List *slots);
static void count_workers(TimestampTz now);
static int	wanted_workers(VsDatabase *db, TimestampTz now);
static bool start_workers(TimestampTz now);
static bool start_worker(VsDatabase *db, TimestampTz now);
static void stop_surplus(TimestampTz now);
static void process_utility(PlannedStmt *pstmt, const char *queryString,
							bool readOnlyTree, ProcessUtilityContext context,
							ParamListInfo params, QueryEnvironment *queryEnv,
							DestReceiver *dest, QueryCompletion *qc);
static const char *exclusive_database(Node *stmt);
static bool may_hold(Node *stmt, Oid dbid);
static bool is_template(Oid dbid);
static bool may_create_databases(void);
static void note_change(Node *stmt);
static void hold_database(Oid dbid);
static void wait_for_workers(Oid dbid);
static int	signal_workers(Oid dbid, int signal);
static void hold_xact_callback(XactEvent event, void *arg);
static void hold_exit(int code, Datum arg);
static void release_holds(void);

/* Let the postmaster start the launcher, and on a standby what clears up there. */
void
vs_launcher_register(void)
{
	BackgroundWorker worker;

	if (IsBinaryUpgrade)
		return;
	memset(&worker, 0, sizeof(worker));
	worker.bgw_flags = BGWORKER_SHMEM_ACCESS | BGWORKER_BACKEND_DATABASE_CONNECTION;
	worker.bgw_start_time = BgWorkerStart_RecoveryFinished;
	worker.bgw_restart_time = 5;
	strlcpy(worker.bgw_library_name, VS_EXTENSION_NAME, BGW_MAXLEN);
	strlcpy(worker.bgw_function_name, "velostream_launcher_main", BGW_MAXLEN);
	strlcpy(worker.bgw_name, "velostream launcher", BGW_MAXLEN);
	strlcpy(worker.bgw_type, "velostream launcher", BGW_MAXLEN);
	RegisterBackgroundWorker(&worker);

	/* of max_worker_processes, a primary has none to spare */
	if (access(STANDBY_SIGNAL_FILE, F_OK) != 0)
		return;
	worker.bgw_flags = BGWORKER_SHMEM_ACCESS;
	worker.bgw_start_time = BgWorkerStart_ConsistentState;
	worker.bgw_restart_time = BGW_NEVER_RESTART;
	strlcpy(worker.bgw_function_name, "velostream_standby_main", BGW_MAXLEN);
	strlcpy(worker.bgw_name, "velostream standby", BGW_MAXLEN);
	strlcpy(worker.bgw_type, "velostream standby", BGW_MAXLEN);
	RegisterBackgroundWorker(&worker);
}

/*
 * A process of a moment, at the start of a hot standby: slots from the time
 * when it was a primary go.  They hold nothing that counts, but with
 * hot_standby_feedback they would hold back VACUUM on the primary for ever.
 */
void
velostream_standby_main(Datum arg)
{
	ListCell   *lc;

	BackgroundWorkerUnblockSignals();
	if (!RecoveryInProgress())
		return;
	foreach(lc, vs_horizon_databases())
		vs_horizon_drop(lfirst_oid(lc));
}

void
vs_launcher_hooks(void)
{
	prev_ProcessUtility = ProcessUtility_hook;
	ProcessUtility_hook = process_utility;
}

/* ----------
 * The launcher's process
 * ----------
 */

void
velostream_launcher_main(Datum arg)
{
	HASHCTL		ctl = {.keysize = sizeof(Oid),.entrysize = sizeof(VsDatabase)};

	pqsignal(SIGHUP, SignalHandlerForConfigReload);
	pqsignal(SIGTERM, die);
	BackgroundWorkerUnblockSignals();
	/* a SIGHUP that came before there was a handler is lost */
	ConfigReloadPending = true;

	before_shmem_exit(launcher_exit, (Datum) 0);
	LWLockAcquire(&vs_workers->lock, LW_EXCLUSIVE);
	vs_workers->launcher = &MyProc->procLatch;
	vs_workers->launcher_pid = MyProcPid;
	LWLockRelease(&vs_workers->lock);

	BackgroundWorkerInitializeConnection(NULL, NULL, 0);
	pgstat_report_appname("velostream launcher");

	databases = hash_create("velostream databases", 64, &ctl, HASH_ELEM | HASH_BLOBS);
	handles = MemoryContextAllocZero(TopMemoryContext,
									 sizeof(BackgroundWorkerHandle *) * vs_workers->nslots);
	round_context = AllocSetContextCreate(TopMemoryContext, "velostream launcher",
										  ALLOCSET_DEFAULT_SIZES);
	for (;;)
	{
		CHECK_FOR_INTERRUPTS();
		if (ConfigReloadPending)
		{
			ConfigReloadPending = false;
			ProcessConfigFile(PGC_SIGHUP);
		}
		launcher_round();
	}
}

static void
launcher_exit(int code, Datum arg)
{
	LWLockAcquire(&vs_workers->lock, LW_EXCLUSIVE);
	vs_workers->launcher = NULL;
	vs_workers->launcher_pid = 0;
	LWLockRelease(&vs_workers->lock);
}

/* Look at everything once, start and stop what has to be, and sleep. */
static void
launcher_round(void)
{
	TimestampTz now = GetCurrentTimestamp();
	List	   *slots;
	bool		waiting;

	MemoryContextSwitchTo(round_context);
	vs_workers->enabled = vs_enabled;
	take_probes();
	for (int i = 0; i < vs_workers->nslots; i++)
		reap(i, now);

	/*
	 * slots first: the slot of a database that is made later is not in the
	 * list
	 */
	slots = vs_horizon_databases();
	list_databases();
	forget_dropped(slots);
	count_workers(now);
	stop_surplus(now);
	waiting = start_workers(now);

	MemoryContextSwitchTo(TopMemoryContext);
	MemoryContextReset(round_context);

	(void) WaitLatch(MyLatch, WL_LATCH_SET | WL_TIMEOUT | WL_EXIT_ON_PM_DEATH,
					 waiting ? RESTART_DELAY : LAUNCHER_NAP, PG_WAIT_EXTENSION);
	ResetLatch(MyLatch);
}

/* Databases where something happened have to be looked at again. */
static void
take_probes(void)
{
	HASH_SEQ_STATUS seq;
	VsDatabase *db;
	Oid			probes[VS_MAX_PROBES];
	int			nprobes;
	bool		all;

	LWLockAcquire(&vs_workers->lock, LW_EXCLUSIVE);
	nprobes = vs_workers->nprobes;
	memcpy(probes, vs_workers->probes, sizeof(probes));
	all = vs_workers->probe_all;
	vs_workers->nprobes = 0;
	vs_workers->probe_all = false;
	LWLockRelease(&vs_workers->lock);

	hash_seq_init(&seq, databases);
	while ((db = hash_seq_search(&seq)) != NULL)
	{
		bool		probe = all;

		for (int i = 0; i < nprobes; i++)
			probe |= probes[i] == db->dbid;
		if (probe)
		{
			db->presence = VS_UNKNOWN;
			db->delay = 0;
			db->not_before = 0;
		}
	}
}

/* If the worker of this slot has ended, draw the conclusions and free the slot. */
static void
reap(int slotno, TimestampTz now)
{
	VsWorkerSlot *slot = &vs_workers->slots[slotno];
	BackgroundWorkerHandle *handle = handles[slotno];
	VsWorkerSlot copy;
	VsDatabase *db;
	bool		gone;
	bool		failed;
	pid_t		pid;

	LWLockAcquire(&vs_workers->lock, LW_SHARED);
	copy = *slot;
	LWLockRelease(&vs_workers->lock);
	if (copy.state == VS_SLOT_FREE)
		return;

	if (handle != NULL)
		gone = GetBackgroundWorkerPid(handle, &pid) == BGWH_STOPPED;
	else
		gone = copy.state == VS_SLOT_EXITED ||
			(copy.state == VS_SLOT_STARTING &&
			 TimestampDifferenceExceeds(copy.started_at, now, START_TIMEOUT));
	if (!gone)
		return;

	/* it may have attached, and ended, since we looked */
	LWLockAcquire(&vs_workers->lock, LW_EXCLUSIVE);
	copy = *slot;
	slot->state = VS_SLOT_FREE;
	slot->generation++;
	slot->pid = 0;
	slot->latch = NULL;
	LWLockRelease(&vs_workers->lock);
	if (handle != NULL)
		pfree(handle);
	handles[slotno] = NULL;

	db = hash_search(databases, &copy.dbid, HASH_FIND, NULL);
	if (db == NULL)
		return;
	failed = copy.state != VS_SLOT_EXITED || copy.outcome == VS_OUTCOME_DIED;
	if (!failed && copy.outcome == VS_OUTCOME_ABSENT)
	{
		/* unless somebody has asked to look again since it started */
		db->presence = copy.outdated ? VS_UNKNOWN : VS_ABSENT;
		db->probed_at = now;
	}
	else if (!failed && copy.outcome == VS_OUTCOME_UNUSABLE)
		db->not_before = TimestampTzPlusMilliseconds(now, MAX_RESTART_DELAY);
	else if (failed && !TimestampDifferenceExceeds(copy.started_at, now, 10 * RESTART_DELAY))
	{
		/* several that died together count once */
		if (db->not_before <= now)
			db->delay = Min(Max(RESTART_DELAY, db->delay * 2), MAX_RESTART_DELAY);
		db->not_before = TimestampTzPlusMilliseconds(now, db->delay);
	}
	else
		db->delay = 0;
}

/* Bring what we know of databases in line with pg_database. */
static void
list_databases(void)
{
	HASH_SEQ_STATUS seq;
	VsDatabase *db;
	Relation	rel;
	TableScanDesc scan;
	HeapTuple	tuple;

	hash_seq_init(&seq, databases);
	while ((db = hash_seq_search(&seq)) != NULL)
		db->listed = false;

	StartTransactionCommand();
	(void) GetTransactionSnapshot();
	rel = table_open(DatabaseRelationId, AccessShareLock);
	scan = table_beginscan_catalog(rel, 0, NULL);
	while (HeapTupleIsValid(tuple = heap_getnext(scan, ForwardScanDirection)))
	{
		Form_pg_database form = (Form_pg_database) GETSTRUCT(tuple);
		Oid			dbid = form->oid;
		bool		found;

		db = hash_search(databases, &dbid, HASH_ENTER, &found);
		if (!found)
		{
			memset(db, 0, sizeof(VsDatabase));
			db->dbid = dbid;
		}
		db->listed = true;
		db->connectable = form->datallowconn && !form->datistemplate &&
			form->datconnlimit >= -1;	/* less: a half dropped one */
	}
	table_endscan(scan);
	table_close(rel, AccessShareLock);
	CommitTransactionCommand();
	MemoryContextSwitchTo(round_context);
}

/*
 * Give back what databases that are gone have left: "slots" are those with a
 * horizon slot.  A failure is no reason to stop; the next round tries again.
 */
static void
forget_dropped(List *slots)
{
	HASH_SEQ_STATUS seq;
	VsDatabase *db;
	ListCell   *lc;

	hash_seq_init(&seq, databases);
	while ((db = hash_seq_search(&seq)) != NULL)
	{
		if (db->listed)
			continue;
		vs_context_drop_database(db->dbid);
		hash_search(databases, &db->dbid, HASH_REMOVE, NULL);
	}

	foreach(lc, slots)
	{
		Oid			dbid = lfirst_oid(lc);

		if (hash_search(databases, &dbid, HASH_FIND, NULL) != NULL)
			continue;
		PG_TRY();
		{
			vs_context_drop_database(dbid);
			vs_horizon_drop(dbid);
		}
		PG_CATCH();
		{
			HOLD_INTERRUPTS();
			EmitErrorReport();
			LWLockReleaseAll();
			if (MyReplicationSlot != NULL)
				ReplicationSlotRelease();
			AbortCurrentTransaction();
			MemoryContextSwitchTo(round_context);
			FlushErrorState();
			RESUME_INTERRUPTS();
		}
		PG_END_TRY();
	}
}

/* Count the workers of each database, as shared memory has them now. */
static void
count_workers(TimestampTz now)
{
	HASH_SEQ_STATUS seq;
	VsDatabase *db;

	hash_seq_init(&seq, databases);
	while ((db = hash_seq_search(&seq)) != NULL)
		db->nworkers = db->nstopping = db->nqueries = 0;

	LWLockAcquire(&vs_workers->lock, LW_SHARED);
	for (int i = 0; i < vs_workers->nslots; i++)
	{
		VsWorkerSlot *slot = &vs_workers->slots[i];

		if (slot->state == VS_SLOT_FREE)
			continue;
		db = hash_search(databases, &slot->dbid, HASH_FIND, NULL);
		if (db == NULL)
			continue;
		db->nworkers++;
		if (slot->stop)
			db->nstopping++;
		db->nqueries = Max(db->nqueries, slot->nqueries);
		if (slot->state == VS_SLOT_RUNNING && slot->ready)
			db->presence = VS_PRESENT;
	}
	LWLockRelease(&vs_workers->lock);
}

/* How many workers a database should have. */
static int
wanted_workers(VsDatabase *db, TimestampTz now)
{
	bool		held;

	if (!vs_enabled || vs_workers_per_database == 0 || !db->connectable)
		return 0;
	LWLockAcquire(&vs_workers->lock, LW_SHARED);
	held = vs_database_held(db->dbid);
	LWLockRelease(&vs_workers->lock);
	if (held)
		return 0;
	if (db->presence == VS_PRESENT)
		return Min(vs_workers_per_database, Max(db->nqueries, 1));
	if (db->presence == VS_ABSENT &&
		!TimestampDifferenceExceeds(db->probed_at, now, RECHECK_ABSENT))
		return db->nworkers;	/* one that looks now ends by itself */
	return 1;
}

/*
 * Start the workers that are missing: first one for each database, then the
 * second ones, and so on.  Only one database is looked into at a time.  True
 * if some are still missing.
 */
static bool
start_workers(TimestampTz now)
{
	HASH_SEQ_STATUS seq;
	VsDatabase *db;
	bool		probing = false;
	bool		waiting = false;

	hash_seq_init(&seq, databases);
	while ((db = hash_seq_search(&seq)) != NULL)
		probing |= db->presence != VS_PRESENT && db->nworkers > 0;

	for (int n = 1; n <= Max(vs_workers_per_database, 1); n++)
	{
		hash_seq_init(&seq, databases);
		while ((db = hash_seq_search(&seq)) != NULL)
		{
			bool		probe = db->presence != VS_PRESENT;

			if (db->nworkers >= n || wanted_workers(db, now) < n)
				continue;
			if (db->not_before > now || (probe && probing) || !start_worker(db, now))
				waiting = true;
			else
			{
				db->nworkers++;
				probing |= probe;
			}
		}
	}
	return waiting;
}

/* Take a free slot for a worker of this database; -1 if there is none. */
static int
take_slot(Oid dbid, TimestampTz now, uint32 *generation)
{
	int			result = -1;

	LWLockAcquire(&vs_workers->lock, LW_EXCLUSIVE);
	for (int i = 0; i < vs_workers->nslots && result < 0; i++)
	{
		VsWorkerSlot *slot = &vs_workers->slots[i];

		if (slot->state != VS_SLOT_FREE)
			continue;
		*generation = slot->generation + 1;
		memset(slot, 0, sizeof(VsWorkerSlot));
		slot->generation = *generation;
		slot->state = VS_SLOT_STARTING;
		slot->dbid = dbid;
		slot->started_at = now;
		result = i;
	}
	LWLockRelease(&vs_workers->lock);
	return result;
}

/* Nothing came of the worker that this slot was taken for. */
static void
give_slot_back(int slotno)
{
	LWLockAcquire(&vs_workers->lock, LW_EXCLUSIVE);
	vs_workers->slots[slotno].state = VS_SLOT_FREE;
	vs_workers->slots[slotno].generation++;
	LWLockRelease(&vs_workers->lock);
}

/* Register the background worker for a slot; false if there are too many. */
static bool
register_worker(Oid dbid, int slotno, uint32 generation)
{
	BackgroundWorker worker;
	MemoryContext old;
	bool		registered;

	memset(&worker, 0, sizeof(worker));
	worker.bgw_flags = BGWORKER_SHMEM_ACCESS | BGWORKER_BACKEND_DATABASE_CONNECTION;
	worker.bgw_start_time = BgWorkerStart_RecoveryFinished;
	worker.bgw_restart_time = BGW_NEVER_RESTART;
	strlcpy(worker.bgw_library_name, VS_EXTENSION_NAME, BGW_MAXLEN);
	strlcpy(worker.bgw_function_name, "velostream_worker_main", BGW_MAXLEN);
	snprintf(worker.bgw_name, BGW_MAXLEN, "velostream worker for database %u", dbid);
	strlcpy(worker.bgw_type, "velostream worker", BGW_MAXLEN);
	worker.bgw_notify_pid = MyProcPid;
	worker.bgw_main_arg = Int32GetDatum(slotno);
	memcpy(worker.bgw_extra, &generation, sizeof(generation));

	old = MemoryContextSwitchTo(TopMemoryContext);
	registered = RegisterDynamicBackgroundWorker(&worker, &handles[slotno]);
	MemoryContextSwitchTo(old);
	if (!registered)
		handles[slotno] = NULL;
	return registered;
}

/* Start a worker; false if none can be started now. */
static bool
start_worker(VsDatabase *db, TimestampTz now)
{
	uint32		generation;
	int			slotno;

	if (register_after > now)
		return false;
	slotno = take_slot(db->dbid, now, &generation);
	if (slotno >= 0 && register_worker(db->dbid, slotno, generation))
	{
		register_complained = false;
		return true;
	}
	if (slotno >= 0)
		give_slot_back(slotno);

	register_after = TimestampTzPlusMilliseconds(now, 5 * RESTART_DELAY);
	if (!register_complained)
		ereport(LOG,
				(errcode(ERRCODE_CONFIGURATION_LIMIT_EXCEEDED),
				 errmsg("could not start a velostream worker for database %u: out of background worker slots",
						db->dbid),
				 errhint("You might need to increase max_worker_processes.")));
	register_complained = true;
	return false;
}

/* Ask workers that are too many to end. */
static void
stop_surplus(TimestampTz now)
{
	HASH_SEQ_STATUS seq;
	VsDatabase *db;

	hash_seq_init(&seq, databases);
	while ((db = hash_seq_search(&seq)) != NULL)
	{
		int			surplus = db->nworkers - db->nstopping - wanted_workers(db, now);

		if (surplus <= 0)
			continue;
		LWLockAcquire(&vs_workers->lock, LW_EXCLUSIVE);
		for (int i = vs_workers->nslots - 1; i >= 0 && surplus > 0; i--)
		{
			VsWorkerSlot *slot = &vs_workers->slots[i];

			if (slot->dbid != db->dbid || slot->stop ||
				(slot->state != VS_SLOT_STARTING && slot->state != VS_SLOT_RUNNING))
				continue;
			slot->stop = true;
			if (slot->latch != NULL)
				SetLatch(slot->latch);
			surplus--;
		}
		LWLockRelease(&vs_workers->lock);
	}
}

/* ----------
 * Commands that need a database alone
 * ----------
 */

/* The hold lasts until the transaction ends, as does the command's own lock. */
static void
process_utility(PlannedStmt *pstmt, const char *queryString,
				bool readOnlyTree, ProcessUtilityContext context,
				ParamListInfo params, QueryEnvironment *queryEnv,
				DestReceiver *dest, QueryCompletion *qc)
{
	const char *dbname = exclusive_database(pstmt->utilityStmt);
	Oid			dbid = dbname ? get_database_oid(dbname, true) : InvalidOid;
	bool		hold = vs_workers != NULL && OidIsValid(dbid) &&
	may_hold(pstmt->utilityStmt, dbid);

	note_change(pstmt->utilityStmt);
	if (hold)
	{
		hold_database(dbid);
		wait_for_workers(dbid);
	}
	if (prev_ProcessUtility)
		prev_ProcessUtility(pstmt, queryString, readOnlyTree, context,
							params, queryEnv, dest, qc);
	else
		standard_ProcessUtility(pstmt, queryString, readOnlyTree, context,
								params, queryEnv, dest, qc);
}

/* Name of the database that nobody else may be connected to for this command. */
static const char *
exclusive_database(Node *stmt)
{
	ListCell   *lc;

	switch (nodeTag(stmt))
	{
		case T_DropdbStmt:
			return ((DropdbStmt *) stmt)->dbname;
		case T_RenameStmt:
			if (((RenameStmt *) stmt)->renameType == OBJECT_DATABASE)
				return ((RenameStmt *) stmt)->subname;
			return NULL;
		case T_AlterDatabaseStmt:
			foreach(lc, ((AlterDatabaseStmt *) stmt)->options)
			{
				if (strcmp(lfirst_node(DefElem, lc)->defname, "tablespace") == 0)
					return ((AlterDatabaseStmt *) stmt)->dbname;
			}
			return NULL;
		case T_CreatedbStmt:
			foreach(lc, ((CreatedbStmt *) stmt)->options)
			{
				DefElem    *option = lfirst_node(DefElem, lc);

				if (strcmp(option->defname, "template") == 0 && option->arg)
					return defGetString(option);
			}
			return NULL;
		default:
			return NULL;
	}
}

/* May the current user run this command?  If not, leave the workers alone. */
static bool
may_hold(Node *stmt, Oid dbid)
{
	if (dbid == MyDatabaseId && !IsA(stmt, CreatedbStmt))
		return false;
	if (pg_database_ownercheck(dbid, GetUserId()))
		return true;
	return IsA(stmt, CreatedbStmt) && is_template(dbid) && may_create_databases();
}

/* May anyone copy this database? */
static bool
is_template(Oid dbid)
{
	HeapTuple	tuple = SearchSysCache1(DATABASEOID, ObjectIdGetDatum(dbid));
	bool		result;

	if (!HeapTupleIsValid(tuple))
		return false;
	result = ((Form_pg_database) GETSTRUCT(tuple))->datistemplate;
	ReleaseSysCache(tuple);
	return result;
}

static bool
may_create_databases(void)
{
	HeapTuple	tuple = SearchSysCache1(AUTHOID, ObjectIdGetDatum(GetUserId()));
	bool		result;

	if (!HeapTupleIsValid(tuple))
		return false;
	result = ((Form_pg_authid) GETSTRUCT(tuple))->rolcreatedb;
	ReleaseSysCache(tuple);
	return result;
}

/* Commands after which the launcher has to look again. */
static void
note_change(Node *stmt)
{
	switch (nodeTag(stmt))
	{
		case T_CreateExtensionStmt:
			if (strcmp(((CreateExtensionStmt *) stmt)->extname, VS_EXTENSION_NAME) == 0)
				vs_launcher_wake();
			break;
		case T_AlterExtensionStmt:
			if (strcmp(((AlterExtensionStmt *) stmt)->extname, VS_EXTENSION_NAME) == 0)
			{
				vs_launcher_wake();
				vs_registry_changed();
			}
			break;
		case T_CreatedbStmt:
		case T_AlterDatabaseStmt:
		case T_DropdbStmt:
			vs_launcher_wake();
			break;
		default:
			break;
	}
}

/* Is there a hold on this database?  The caller holds the lock. */
bool
vs_database_held(Oid dbid)
{
	Assert(LWLockHeldByMe(&vs_workers->lock));
	for (int i = 0; i < VS_MAX_HOLDS; i++)
	{
		if (vs_workers->holds[i].pid != 0 && vs_workers->holds[i].dbid == dbid)
			return true;
	}
	return false;
}

/* Put a hold on a database, and ask its workers to end. */
static void
hold_database(Oid dbid)
{
	if (!hold_exit_registered)
	{
		before_shmem_exit(hold_exit, (Datum) 0);
		RegisterXactCallback(hold_xact_callback, NULL);
		hold_exit_registered = true;
	}
	holding = true;
	LWLockAcquire(&vs_workers->lock, LW_EXCLUSIVE);
	for (int i = 0; i < VS_MAX_HOLDS; i++)
	{
		VsHold	   *hold = &vs_workers->holds[i];

		if (hold->pid == 0)
		{
			hold->dbid = dbid;
			hold->pid = MyProcPid;
			break;
		}
	}
	for (int i = 0; i < vs_workers->nslots; i++)
	{
		VsWorkerSlot *slot = &vs_workers->slots[i];

		if (slot->dbid != dbid ||
			(slot->state != VS_SLOT_STARTING && slot->state != VS_SLOT_RUNNING))
			continue;
		slot->stop = true;
		if (slot->latch != NULL)
			SetLatch(slot->latch);
	}
	LWLockRelease(&vs_workers->lock);
}

/*
 * Wait until no worker is connected to the database; one that does not end by
 * itself is terminated.  (Its process may still be there for a moment: the
 * command itself waits for that.)
 */
static void
wait_for_workers(Oid dbid)
{
	TimestampTz start = GetCurrentTimestamp();
	bool		terminated = false;

	while (signal_workers(dbid, 0) > 0)
	{
		TimestampTz now = GetCurrentTimestamp();

		if (TimestampDifferenceExceeds(start, now, HOLD_PATIENCE))
			break;
		if (!terminated && TimestampDifferenceExceeds(start, now, HOLD_GRACE))
		{
			(void) signal_workers(dbid, SIGTERM);
			terminated = true;
		}
		(void) WaitLatch(MyLatch, WL_LATCH_SET | WL_TIMEOUT | WL_EXIT_ON_PM_DEATH,
						 10, PG_WAIT_EXTENSION);
		ResetLatch(MyLatch);
		CHECK_FOR_INTERRUPTS();
	}
}

/* Send a signal (or none, 0) to the workers of a database; how many there are. */
static int
signal_workers(Oid dbid, int signal)
{
	int			count = 0;

	LWLockAcquire(&vs_workers->lock, LW_SHARED);
	for (int i = 0; i < vs_workers->nslots; i++)
	{
		VsWorkerSlot *slot = &vs_workers->slots[i];

		if (slot->state != VS_SLOT_RUNNING || slot->dbid != dbid)
			continue;
		count++;
		if (signal != 0)
			(void) kill(slot->pid, signal);
	}
	LWLockRelease(&vs_workers->lock);
	return count;
}

static void
hold_xact_callback(XactEvent event, void *arg)
{
	if (event == XACT_EVENT_COMMIT || event == XACT_EVENT_ABORT ||
		event == XACT_EVENT_PREPARE)
		release_holds();
}

static void
hold_exit(int code, Datum arg)
{
	release_holds();
}

/* Take this process's holds back, and let the workers come again. */
static void
release_holds(void)
{
	bool		released = false;

	if (!holding)
		return;
	holding = false;
	LWLockAcquire(&vs_workers->lock, LW_EXCLUSIVE);
	for (int i = 0; i < VS_MAX_HOLDS; i++)
	{
		VsHold	   *hold = &vs_workers->holds[i];

		if (hold->pid == MyProcPid)
		{
			hold->pid = 0;
			released = true;
		}
	}
	if (released && vs_workers->launcher != NULL)
		SetLatch(vs_workers->launcher);
	LWLockRelease(&vs_workers->lock);
}
