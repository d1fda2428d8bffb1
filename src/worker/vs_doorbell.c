/*-------------------------------------------------------------------------
 *
 * vs_doorbell.c
 *	  Shared memory of launcher and workers, and the doorbell: every commit
 *	  that wrote WAL wakes a worker of its database, if one sleeps.
 *
 * A worker that found nothing to do arms its bell and then looks at the end
 * of the WAL once more; a commit becomes visible and then looks for an armed
 * bell.  With a barrier between the two steps on both sides, one of them sees
 * the other.  A commit disarms the bell that it rings, so the next ones find
 * nothing to do until the worker has gone to sleep again.  How often it does
 * that is up to the worker: see pace() in vs_worker.c.
 *
 * A commit costs one load of shared memory when no worker's bell is armed,
 * and a look at one small array when one is.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/xact.h"
#include "access/xlog.h"
#include "miscadmin.h"
#include "postmaster/bgworker.h"
#include "storage/ipc.h"
#include "storage/proc.h"
#include "storage/shmem.h"
#include "utils/timestamp.h"

#include "worker/vs_worker_internal.h"

VsWorkerShared *vs_workers = NULL;
int			MyVsWorker = -1;

static XLogRecPtr last_commit = InvalidXLogRecPtr;	/* that we rang for */
static bool registry_changed = false;	/* by this transaction */
static bool probe_at_commit = false;

static void xact_callback(XactEvent event, void *arg);
static void ring_one(void);
static void slot_exit(int code, Datum arg);
static void disarm(VsBell *bell);

/* Registers the launcher, the hooks and the callbacks of every process. */
void
vs_worker_init(void)
{
	RegisterXactCallback(xact_callback, NULL);
	vs_launcher_hooks();
	vs_launcher_register();
}

static Size
slots_offset(void)
{
	return MAXALIGN(sizeof(VsWorkerShared));
}

static Size
bells_offset(void)
{
	return add_size(slots_offset(),
					CACHELINEALIGN(mul_size(max_worker_processes, sizeof(VsWorkerSlot))));
}

Size
vs_worker_shmem_size(void)
{
	return add_size(bells_offset(),
					mul_size(max_worker_processes, sizeof(VsBell)));
}

/* The caller holds AddinShmemInitLock. */
void
vs_worker_shmem_init(void)
{
	bool		found;

	vs_workers = ShmemInitStruct("velostream workers", vs_worker_shmem_size(), &found);
	if (!found)
	{
		memset(vs_workers, 0, vs_worker_shmem_size());
		vs_workers->tranche = LWLockNewTrancheId();
		LWLockInitialize(&vs_workers->lock, vs_workers->tranche);
		vs_workers->enabled = true;
		pg_atomic_init_u32(&vs_workers->narmed, 0);
		pg_atomic_init_u64(&vs_workers->generation, 1);
		pg_atomic_init_u64(&vs_workers->idle_xids, 0);
		vs_workers->nslots = max_worker_processes;
		vs_workers->slots = (VsWorkerSlot *) ((char *) vs_workers + slots_offset());
		vs_workers->bells = (VsBell *) ((char *) vs_workers + bells_offset());
		for (int i = 0; i < vs_workers->nslots; i++)
			pg_atomic_init_u32(&vs_workers->bells[i].watch, VS_WATCH_BUSY);
	}
	LWLockRegisterTranche(vs_workers->tranche, "velostream_workers");
}

/* ----------
 * Ringing
 * ----------
 */

/*
 * The end of a transaction.  When this is called at commit, its changes are
 * visible to others.  COMMIT PREPARED needs nothing of its own: the utility
 * command's transaction counts as one that wrote WAL.
 */
static void
xact_callback(XactEvent event, void *arg)
{
	if (event == XACT_EVENT_COMMIT)
	{
		if (unlikely(registry_changed || probe_at_commit) && vs_workers != NULL)
		{
			if (registry_changed)
			{
				pg_atomic_fetch_add_u64(&vs_workers->generation, 1);
				vs_doorbell_ring();
			}
			if (probe_at_commit)
				vs_database_changed(MyDatabaseId);
		}
		if (XactLastCommitEnd != last_commit)
		{
			last_commit = XactLastCommitEnd;
			if (MyVsWorker < 0 && vs_workers != NULL)
				ring_one();
		}
		registry_changed = probe_at_commit = false;
	}
	else if (event == XACT_EVENT_ABORT || event == XACT_EVENT_PREPARE)
		registry_changed = probe_at_commit = false;
}

/*
 * Wake one worker of this database, unless one is going to look anyway.
 * (Workers do not ring for what they wrote themselves: each looks at all
 * queries once more after a batch.)
 */
static void
ring_one(void)
{
	VsBell	   *armed = NULL;

	pg_memory_barrier();		/* pairs with vs_watch() */
	if (pg_atomic_read_u32(&vs_workers->narmed) == 0)
		return;
	for (int i = 0; i < vs_workers->nslots; i++)
	{
		VsBell	   *bell = &vs_workers->bells[i];
		uint32		watch;

		if (bell->dbid != MyDatabaseId)
			continue;
		watch = pg_atomic_read_u32(&bell->watch);
		if (watch == VS_WATCH_AWAKE)
			return;
		if (watch == VS_WATCH_ARMED && armed == NULL)
			armed = bell;
	}
	if (armed != NULL)
	{
		Latch	   *latch = vs_workers->slots[armed - vs_workers->bells].latch;

		disarm(armed);
		if (latch != NULL)
			SetLatch(latch);
	}
}

/* Is another worker of this database awake?  Of two, the first one is. */
bool
vs_watch_by_other(void)
{
	for (int i = 0; i < MyVsWorker; i++)
	{
		if (vs_workers->bells[i].dbid == MyDatabaseId &&
			pg_atomic_read_u32(&vs_workers->bells[i].watch) == VS_WATCH_AWAKE)
			return true;
	}
	return false;
}

/*
 * This worker begins a batch, and commits since its last look relied on it:
 * wake another one.
 */
void
vs_doorbell_pass_on(void)
{
	ring_one();
}

/* Wake the workers of this database now, for something that is no commit. */
void
vs_doorbell_ring(void)
{
	if (vs_workers == NULL)
		return;
	LWLockAcquire(&vs_workers->lock, LW_SHARED);
	for (int i = 0; i < vs_workers->nslots; i++)
	{
		VsWorkerSlot *slot = &vs_workers->slots[i];

		if (slot->state == VS_SLOT_RUNNING && slot->dbid == MyDatabaseId &&
			i != MyVsWorker)
			SetLatch(slot->latch);
	}
	LWLockRelease(&vs_workers->lock);
}

/*
 * A batch of this process has ended, whether or not it came to anything.
 * While it ran, workers passed its query over: they have to look again.
 * (Workers look again after their own batches.)  Raises no error.
 */
void
vs_doorbell_batch_ended(void)
{
	if (MyVsWorker < 0)
		vs_doorbell_ring();
}

/* It is as good as awake: nobody else has to ring. */
static void
disarm(VsBell *bell)
{
	uint32		expected = VS_WATCH_ARMED;

	if (pg_atomic_compare_exchange_u32(&bell->watch, &expected, VS_WATCH_AWAKE))
		pg_atomic_fetch_sub_u32(&vs_workers->narmed, 1);
}

/*
 * Say what this worker is about to do.  After arming, the caller has to look
 * once more for what came in between, and only then may it sleep.
 */
void
vs_watch(VsWatch watch)
{
	VsBell	   *bell = &vs_workers->bells[MyVsWorker];
	uint32		old;

	if (pg_atomic_read_u32(&bell->watch) == watch)
		return;
	/* count first, so that nobody misses an armed bell */
	if (watch == VS_WATCH_ARMED)
		pg_atomic_fetch_add_u32(&vs_workers->narmed, 1);
	old = pg_atomic_exchange_u32(&bell->watch, watch);
	if (old == VS_WATCH_ARMED)
		pg_atomic_fetch_sub_u32(&vs_workers->narmed, 1);
	pg_memory_barrier();		/* pairs with ring_one() */
}

/* ----------
 * What changed
 * ----------
 */

/* At commit of this transaction, workers have to read the registry again. */
void
vs_registry_changed(void)
{
	registry_changed = true;
}

/* At commit of this transaction, the launcher looks at this database. */
void
vs_launcher_wake(void)
{
	probe_at_commit = true;
}

/* The launcher has to look at this database, or (InvalidOid) at the list of them, now. */
void
vs_database_changed(Oid dbid)
{
	bool		known = !OidIsValid(dbid);

	LWLockAcquire(&vs_workers->lock, LW_EXCLUSIVE);
	for (int i = 0; i < vs_workers->nprobes && !known; i++)
		known = vs_workers->probes[i] == dbid;
	if (!known && vs_workers->nprobes < VS_MAX_PROBES)
		vs_workers->probes[vs_workers->nprobes++] = dbid;
	else if (!known)
		vs_workers->probe_all = true;
	for (int i = 0; i < vs_workers->nslots; i++)
	{
		if (vs_workers->slots[i].dbid == dbid)
			vs_workers->slots[i].outdated = true;
	}
	if (vs_workers->launcher != NULL)
		SetLatch(vs_workers->launcher);
	LWLockRelease(&vs_workers->lock);
}

/* ----------
 * Slots
 * ----------
 */

/*
 * Take the slot that the launcher has prepared.  False if this worker is not
 * wanted any more.
 */
bool
vs_slot_attach(int slotno, uint32 generation, Oid *dbid)
{
	VsWorkerSlot *slot = &vs_workers->slots[slotno];
	bool		wanted;

	LWLockAcquire(&vs_workers->lock, LW_EXCLUSIVE);
	if (slot->state != VS_SLOT_STARTING || slot->generation != generation)
	{
		LWLockRelease(&vs_workers->lock);
		return false;
	}
	wanted = !slot->stop && !vs_database_held(slot->dbid);
	slot->state = wanted ? VS_SLOT_RUNNING : VS_SLOT_EXITED;
	slot->outcome = wanted ? VS_OUTCOME_DIED : VS_OUTCOME_STOPPED;
	slot->pid = wanted ? MyProcPid : 0;
	slot->latch = &MyProc->procLatch;
	*dbid = slot->dbid;
	if (wanted)
	{
		MyVsWorker = slotno;
		vs_workers->bells[slotno].dbid = slot->dbid;
	}
	LWLockRelease(&vs_workers->lock);
	if (wanted)
		before_shmem_exit(slot_exit, (Datum) 0);
	return wanted;
}

/* The process ends: leave the slot to the launcher. */
static void
slot_exit(int code, Datum arg)
{
	VsWorkerSlot *slot = &vs_workers->slots[MyVsWorker];

	vs_watch(VS_WATCH_BUSY);
	LWLockAcquire(&vs_workers->lock, LW_EXCLUSIVE);
	vs_workers->bells[MyVsWorker].dbid = InvalidOid;
	slot->state = VS_SLOT_EXITED;
	slot->pid = 0;
	slot->latch = NULL;
	if (vs_workers->launcher != NULL)
		SetLatch(vs_workers->launcher);
	LWLockRelease(&vs_workers->lock);
	MyVsWorker = -1;
}

/* Tell the launcher why this worker is about to end. */
void
vs_slot_outcome(VsOutcome outcome)
{
	LWLockAcquire(&vs_workers->lock, LW_EXCLUSIVE);
	vs_workers->slots[MyVsWorker].outcome = outcome;
	LWLockRelease(&vs_workers->lock);
}

bool
vs_slot_told_to_stop(void)
{
	bool		stop;

	LWLockAcquire(&vs_workers->lock, LW_SHARED);
	stop = vs_workers->slots[MyVsWorker].stop;
	LWLockRelease(&vs_workers->lock);
	return stop;
}

/* Tell the launcher what was found, which decides how many workers it starts. */
void
vs_slot_report(bool ready, int nqueries)
{
	VsWorkerSlot *slot = &vs_workers->slots[MyVsWorker];

	LWLockAcquire(&vs_workers->lock, LW_EXCLUSIVE);
	if (slot->ready != ready || slot->nqueries != nqueries)
	{
		slot->ready = ready;
		slot->nqueries = nqueries;
		if (vs_workers->launcher != NULL)
			SetLatch(vs_workers->launcher);
	}
	LWLockRelease(&vs_workers->lock);
}

/* Is this the first worker of its database?  It does what one is enough for. */
bool
vs_slot_is_leader(void)
{
	for (int i = 0; i < MyVsWorker; i++)
	{
		if (vs_workers->bells[i].dbid == MyDatabaseId)
			return false;
	}
	return true;
}

/* Process ids of the workers of a database. */
List *
vs_worker_pids(Oid dbid)
{
	List	   *pids = NIL;
	int		   *found = palloc(sizeof(int) * vs_workers->nslots);
	int			nfound = 0;

	LWLockAcquire(&vs_workers->lock, LW_SHARED);
	for (int i = 0; i < vs_workers->nslots; i++)
	{
		VsWorkerSlot *slot = &vs_workers->slots[i];

		if (slot->state == VS_SLOT_RUNNING && slot->dbid == dbid)
			found[nfound++] = slot->pid;
	}
	LWLockRelease(&vs_workers->lock);
	for (int i = 0; i < nfound; i++)
		pids = lappend_int(pids, found[i]);
	pfree(found);
	return pids;
}

bool
vs_worker_running(Oid dbid)
{
	bool		running = false;

	if (vs_workers == NULL)
		return false;
	LWLockAcquire(&vs_workers->lock, LW_SHARED);
	for (int i = 0; i < vs_workers->nslots && !running; i++)
	{
		VsWorkerSlot *slot = &vs_workers->slots[i];

		running = slot->state == VS_SLOT_RUNNING && slot->ready && slot->dbid == dbid;
	}
	LWLockRelease(&vs_workers->lock);
	return running;
}
