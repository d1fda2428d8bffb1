/*-------------------------------------------------------------------------
 *
 * vs_horizon.c
 *	  Holding back VACUUM between two batches.
 *
 * What the snapshot of a frontier sees must stay readable until the next
 * batch: row versions that it sees may not be removed, and none that it does
 * not see may be frozen.  One physical replication slot per database,
 * velostream_<oid>, promises that through its xmin, across crashes and
 * restarts.  It has no restart_lsn, and so holds back no WAL.
 *
 * The slot's xmin is at most that of every committed frontier.  Lowering it
 * needs somebody else who holds the horizon at that moment: the snapshot of
 * the caller does.  A crash may bring back an older xmin than was in memory,
 * which holds more than needed; and what VACUUM removed in between it removed
 * after the newer frontier was committed.
 *
 * A slot is changed without acquiring it, under its mutex; it is acquired
 * only to be saved at once.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/transam.h"
#include "access/xlog.h"
#include "capture/vs_capture_internal.h"
#include "miscadmin.h"
#include "replication/slot.h"
#include "storage/lock.h"
#include "storage/lwlock.h"
#include "storage/proc.h"
#include "storage/procarray.h"
#include "utils/snapmgr.h"

#define SLOT_PREFIX			"velostream_"

/* Advisory locks of users have 1 or 2 here. */
#define LOCKTAG_FIELD4		3

static void slot_name(Oid dbid, char *name);
static TransactionId slot_xmin(Oid dbid, bool *exists);
static void check_slot_available(void);
static void create_slot(const char *name, TransactionId xmin);
static void lower_slot(const char *name, TransactionId xmin);
static void set_slot_xmin(ReplicationSlot *slot, TransactionId xmin);
static void lock_slot_changes(LOCKTAG *tag);

/*
 * vs_horizon_ensure: create this database's slot if there is none, holding
 * what the current transaction can see.  It is on disk at return.
 */
void
vs_horizon_ensure(void)
{
	char		name[NAMEDATALEN];
	Snapshot	snapshot;
	LOCKTAG		tag;
	bool		exists;

	if (TransactionIdIsValid(slot_xmin(MyDatabaseId, &exists)))
		return;

	lock_slot_changes(&tag);
	snapshot = RegisterSnapshot(GetLatestSnapshot());
	if (!TransactionIdIsValid(slot_xmin(MyDatabaseId, &exists)))
	{
		slot_name(MyDatabaseId, name);
		if (exists)
			lower_slot(name, MyProc->xmin);
		else
		{
			check_slot_available();
			create_slot(name, MyProc->xmin);
		}
	}
	UnregisterSnapshot(snapshot);
	LockRelease(&tag, ExclusiveLock, false);
}

/*
 * vs_horizon_lower: hold everything from "xmin" on, from now on.
 *
 * The caller has a snapshot with this xmin or an older one.  The slot is made
 * if there is none, and saved, if it had to be changed.
 */
void
vs_horizon_lower(FullTransactionId xmin)
{
	TransactionId wanted = XidFromFullTransactionId(xmin);
	TransactionId current;
	char		name[NAMEDATALEN];
	LOCKTAG		tag;
	bool		exists;

	if (!TransactionIdIsValid(MyProc->xmin) ||
		TransactionIdPrecedes(wanted, MyProc->xmin))
		elog(ERROR, "no snapshot holds transaction ID %u", wanted);

	vs_horizon_ensure();
	current = slot_xmin(MyDatabaseId, &exists);
	if (TransactionIdIsValid(current) && TransactionIdPrecedesOrEquals(current, wanted))
		return;

	lock_slot_changes(&tag);
	slot_name(MyDatabaseId, name);
	lower_slot(name, wanted);
	LockRelease(&tag, ExclusiveLock, false);
}

/*
 * vs_horizon_advance: everything before "xmin" is no longer needed.
 *
 * Does nothing when the slot is gone or is ahead already.  The new value
 * reaches the disk with the next checkpoint.
 */
void
vs_horizon_advance(FullTransactionId xmin)
{
	TransactionId wanted = XidFromFullTransactionId(xmin);
	ReplicationSlot *slot;
	char		name[NAMEDATALEN];
	bool		changed = false;

	slot_name(MyDatabaseId, name);
	LWLockAcquire(ReplicationSlotControlLock, LW_SHARED);
	slot = SearchNamedReplicationSlot(name, false);
	if (slot != NULL)
	{
		SpinLockAcquire(&slot->mutex);
		if (TransactionIdIsValid(slot->data.xmin) &&
			TransactionIdPrecedes(slot->data.xmin, wanted))
		{
			slot->data.xmin = wanted;
			slot->effective_xmin = wanted;
			slot->just_dirtied = true;
			slot->dirty = true;
			changed = true;
		}
		SpinLockRelease(&slot->mutex);
	}
	LWLockRelease(ReplicationSlotControlLock);
	if (changed)
		ReplicationSlotsComputeRequiredXmin(false);
}

/*
 * vs_horizon_holds: is everything from "xmin" on still there?
 *
 * Provided that the slot was lowered to this or an older xmin when the
 * frontier was made: a slot made anew since then has a later one.
 */
bool
vs_horizon_holds(FullTransactionId xmin)
{
	bool		exists;
	TransactionId current = slot_xmin(MyDatabaseId, &exists);

	if (!TransactionIdIsValid(current))
		return false;
	return FullTransactionIdPrecedesOrEquals(vs_full_xid(current, ReadNextFullTransactionId()),
											 xmin);
}

/*
 * vs_horizon_drop: remove the slot of a database, if there is one.  An error
 * if somebody else has acquired it.
 */
void
vs_horizon_drop(Oid dbid)
{
	char		name[NAMEDATALEN];

	slot_name(dbid, name);
	if (SearchNamedReplicationSlot(name, true) == NULL)
		return;

	PG_TRY();
	{
		ReplicationSlotDrop(name, true);
	}
	PG_CATCH();
	{
		if (MyReplicationSlot != NULL)
			ReplicationSlotRelease();
		PG_RE_THROW();
	}
	PG_END_TRY();
}

/*
 * vs_horizon_databases: OIDs of the databases that slots exist for, whether
 * or not the databases do.
 */
List *
vs_horizon_databases(void)
{
	List	   *result = NIL;
	Oid		   *oids = (Oid *) palloc((max_replication_slots + 1) * sizeof(Oid));
	int			n = 0;

	LWLockAcquire(ReplicationSlotControlLock, LW_SHARED);
	for (int i = 0; i < max_replication_slots; i++)
	{
		ReplicationSlot *slot = &ReplicationSlotCtl->replication_slots[i];
		const char *number = NameStr(slot->data.name) + strlen(SLOT_PREFIX);
		char		name[NAMEDATALEN];

		if (!slot->in_use || slot->data.database != InvalidOid ||
			strncmp(NameStr(slot->data.name), SLOT_PREFIX, strlen(SLOT_PREFIX)) != 0)
			continue;
		oids[n] = (Oid) strtoul(number, NULL, 10);
		slot_name(oids[n], name);
		if (strcmp(name, NameStr(slot->data.name)) == 0)
			n++;
	}
	LWLockRelease(ReplicationSlotControlLock);

	for (int i = 0; i < n; i++)
		result = lappend_oid(result, oids[i]);
	pfree(oids);
	return result;
}

static void
slot_name(Oid dbid, char *name)
{
	snprintf(name, NAMEDATALEN, SLOT_PREFIX "%u", dbid);
}

/*
 * What the database's slot holds; Invalid when there is no slot or it holds
 * nothing.
 */
static TransactionId
slot_xmin(Oid dbid, bool *exists)
{
	TransactionId xmin = InvalidTransactionId;
	ReplicationSlot *slot;
	char		name[NAMEDATALEN];

	slot_name(dbid, name);
	LWLockAcquire(ReplicationSlotControlLock, LW_SHARED);
	slot = SearchNamedReplicationSlot(name, false);
	*exists = (slot != NULL);
	if (slot != NULL)
	{
		SpinLockAcquire(&slot->mutex);
		if (!VS_SLOT_INVALIDATED(slot))
			xmin = slot->data.xmin;
		SpinLockRelease(&slot->mutex);
	}
	LWLockRelease(ReplicationSlotControlLock);
	return xmin;
}

/*
 * Say what is missing in our own words, as the user did not ask for a
 * replication slot.
 */
static void
check_slot_available(void)
{
	int			used = 0;

	if (MyReplicationSlot != NULL)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("cannot create a continuous query while a replication slot is in use by this session")));
	if (wal_level < WAL_LEVEL_REPLICA)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("continuous queries need a replication slot"),
				 errhint("Set wal_level to replica or higher.")));

	LWLockAcquire(ReplicationSlotControlLock, LW_SHARED);
	for (int i = 0; i < max_replication_slots; i++)
		if (ReplicationSlotCtl->replication_slots[i].in_use)
			used++;
	LWLockRelease(ReplicationSlotControlLock);
	if (used >= max_replication_slots)
		ereport(ERROR,
				(errcode(ERRCODE_CONFIGURATION_LIMIT_EXCEEDED),
				 errmsg("could not create a replication slot for continuous queries"),
				 errdetail("All %d replication slots are in use.", max_replication_slots),
				 errhint("Drop one that is no longer needed, or increase max_replication_slots.")));
}

/*
 * Create the slot.  Until it has its xmin, on disk, it is gone after an error
 * or a crash.
 */
static void
create_slot(const char *name, TransactionId xmin)
{
	PG_TRY();
	{
		vs_create_physical_slot(name, RS_EPHEMERAL);
		set_slot_xmin(MyReplicationSlot, xmin);
		ReplicationSlotPersist();
		ReplicationSlotRelease();
	}
	PG_CATCH();
	{
		if (MyReplicationSlot != NULL)
			ReplicationSlotRelease();
		PG_RE_THROW();
	}
	PG_END_TRY();
}

/*
 * Lower the xmin of an existing slot, unless it is low enough by now, and
 * save it.  The caller holds the lock of lock_slot_changes.
 */
static void
lower_slot(const char *name, TransactionId xmin)
{
	PG_TRY();
	{
		TransactionId current;

		ReplicationSlotAcquire(name, false);
		SpinLockAcquire(&MyReplicationSlot->mutex);
		current = MyReplicationSlot->data.xmin;
		SpinLockRelease(&MyReplicationSlot->mutex);
		if (!TransactionIdIsValid(current) || TransactionIdPrecedes(xmin, current))
			set_slot_xmin(MyReplicationSlot, xmin);
		ReplicationSlotMarkDirty();
		ReplicationSlotSave();
		ReplicationSlotRelease();
	}
	PG_CATCH();
	{
		if (MyReplicationSlot != NULL)
			ReplicationSlotRelease();
		PG_RE_THROW();
	}
	PG_END_TRY();
}

/*
 * Set the xmin and make it count.  Another process that is just computing the
 * least xmin of all slots must not overlook it, so keep them all out.
 */
static void
set_slot_xmin(ReplicationSlot *slot, TransactionId xmin)
{
	LWLockAcquire(ReplicationSlotControlLock, LW_EXCLUSIVE);
	LWLockAcquire(ProcArrayLock, LW_EXCLUSIVE);
	SpinLockAcquire(&slot->mutex);
	slot->data.xmin = xmin;
	slot->effective_xmin = xmin;
	SpinLockRelease(&slot->mutex);
	ReplicationSlotsComputeRequiredXmin(true);
	LWLockRelease(ProcArrayLock);
	LWLockRelease(ReplicationSlotControlLock);
}

/*
 * One process at a time creates or lowers a database's slot.
 */
static void
lock_slot_changes(LOCKTAG *tag)
{
	SET_LOCKTAG_ADVISORY(*tag, MyDatabaseId, 0, 0, LOCKTAG_FIELD4);
	(void) LockAcquire(tag, ExclusiveLock, false, false);
}
