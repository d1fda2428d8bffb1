/*-------------------------------------------------------------------------
 *
 * vs_yield.c
 *	  A worker's batch gives way to who wants its output, or a source, for
 *	  himself.
 *
 * DROP TABLE, ALTER TABLE and the like wait for the batch that runs, which may
 * take long: a backfill, or a rebuild.  Meanwhile all others wait for them.  So
 * ten times a second, as it passes from page to page and from row to row, such a
 * batch looks whether somebody waits for an exclusive lock on one of its tables.
 * Then it fails, as it does where it would have to wait itself, and is tried
 * again later.
 *
 * So it does for CREATE INDEX and others that want to keep writers of the output
 * out.  In the case of batches that a user runs, everybody waits.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "miscadmin.h"
#include "process/vs_process.h"
#include "storage/lock.h"
#include "storage/proc.h"
#include "utils/lsyscache.h"
#include "utils/timeout.h"
#include "vs_compat.h"

#define YIELD_INTERVAL	100		/* ms */

static TimeoutId timeout = MAX_TIMEOUTS;
static Oid	yielding = InvalidOid;	/* output of the batch that runs, if it
									 * gives way */
static const List *sources = NIL;	/* OIDs of its source's tables */

static void look_soon(void);
static Oid	wanted_by(PGPROC *proc);
static bool somebody_waits(Oid relid, LOCKMODE held);

/* From now to vs_yield_end, also in an error, the batch of this output gives way. */
void
vs_yield_begin(Oid output)
{
	if (timeout == MAX_TIMEOUTS)
		timeout = RegisterTimeout(USER_TIMEOUT, look_soon);
	yielding = output;
	vs_delta_report_due = false;
	enable_timeout_after(timeout, YIELD_INTERVAL);
}

void
vs_yield_end(void)
{
	if (!OidIsValid(yielding))
		return;
	disable_timeout(timeout, false);
	yielding = InvalidOid;
	sources = NIL;
	vs_delta_report_due = false;
}

/* For these tables as well; the list is not copied. */
void
vs_yield_for(const List *relids)
{
	sources = relids;
}

/* A signal handler. */
static void
look_soon(void)
{
	vs_delta_report_due = true;
}

/* The part of vs_yield that is done now and then. */
void
vs_yield_look(void)
{
	vs_delta_report_due = false;
	if (!OidIsValid(yielding))
		return;
	for (uint32 i = 0; i < ProcGlobal->allProcCount; i++)
	{
		Oid			relid = wanted_by(&ProcGlobal->allProcs[i]);

		if ((relid == yielding && somebody_waits(relid, RowExclusiveLock)) ||
			(list_member_oid(sources, relid) && somebody_waits(relid, AccessShareLock)))
			ereport(ERROR,
					(errcode(ERRCODE_LOCK_NOT_AVAILABLE),
					 errmsg("the batch gives way to a command that waits for table \"%s\"",
							get_rel_name(relid))));
	}
	enable_timeout_after(timeout, YIELD_INTERVAL);
}

/* The relation that a process perhaps waits for, to lock it; or InvalidOid. */
static Oid
wanted_by(PGPROC *proc)
{
	LOCK	   *lock = *(LOCK *volatile *) &proc->waitLock;

	return lock == NULL ? InvalidOid : lock->tag.locktag_field2;
}

/*
 * Does a process wait for a lock on a relation, as we hold one of this mode?
 *
 * While its partition of the lock table is locked, nobody begins or ends to wait
 * for a lock there.  Those that wait for other locks may do so: what they wait
 * for may be another lock by the time its tag is read, but never this one.
 */
static bool
somebody_waits(Oid relid, LOCKMODE held)
{
	LOCKTAG		tag;
	LWLock	   *partition;
	bool		result = false;

	SET_LOCKTAG_RELATION(tag, MyDatabaseId, relid);
	partition = LockHashPartitionLock(LockTagHashCode(&tag));
	LWLockAcquire(partition, LW_SHARED);
	for (uint32 i = 0; i < ProcGlobal->allProcCount && !result; i++)
	{
		PGPROC	   *proc = &ProcGlobal->allProcs[i];
		LOCK	   *lock = *(LOCK *volatile *) &proc->waitLock;

		result = lock != NULL && memcmp(&lock->tag, &tag, sizeof(tag)) == 0 &&
			DoLockModesConflict(held, proc->waitLockMode);
	}
	LWLockRelease(partition);
	return result;
}
