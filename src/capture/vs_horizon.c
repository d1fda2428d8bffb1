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
 * A slot may be dropped by hand, or be lost with a base backup or a copied
 * database, and be made again with an xmin that says nothing about what went
 * away in between.  So each has a "life": the place in the WAL where it began
 * to hold something.  It is stored in the slot itself, in a field that only
 * logical slots use, and so is on disk if and only if the xmin is.  A frontier
 * is stored with the life of the slot that held it when it was made, and is
 * held if the slot still has that life: after whatever happened between the
 * making of a slot and the commit of a frontier, at worst it is not.
 *
 * A server that was a primary and follows another one keeps its slot, which
 * holds nothing meanwhile: what the other one removes is removed here, too.  A
 * life that began before the current timeline did is therefore over.
 *
 * Everything that changes a slot's xmin does so under a heavyweight lock of
 * the database.  It covers looking at all frontiers and advancing to the
 * oldest, so that a process that lowers the horizon comes before or after that.
 * It is held for moments only, and nothing else is locked while it is held,
 * but the slot and the contexts.
 *
 * A slot is advanced without acquiring it, under its mutex; it is acquired
 * only to be saved at once.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/timeline.h"
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

/* Where a slot keeps its life: two_phase_at means something with two_phase only. */
#define SLOT_LIFE(slot)		((slot)->data.two_phase_at)

typedef struct SlotState
{
	TransactionId xmin;			/* Invalid: it holds nothing */
	XLogRecPtr	life;			/* Invalid: it was not made by us */
} SlotState;

static void slot_name(Oid dbid, char *name);
static bool read_slot(Oid dbid, SlotState *state);
static bool slot_holds(const SlotState *state);
static XLogRecPtr timeline_begin(void);
static XLogRecPtr hold_from(TransactionId xmin);
static void check_slot_available(void);
static void create_slot(const char *name, TransactionId xmin);
static void lower_slot(const char *name, TransactionId xmin);
static void set_slot_xmin(ReplicationSlot *slot, TransactionId xmin, bool new_life);
static void lock_tag(LOCKTAG *tag);

/*
 * vs_horizon_ensure: create this database's slot if there is none, holding
 * what the current transaction can see.  It is on disk at return.
 */
void
vs_horizon_ensure(void)
{
	SlotState	state;
	Snapshot	snapshot;
	LOCKTAG		tag;

	if (read_slot(MyDatabaseId, &state) && slot_holds(&state))
		return;

	lock_tag(&tag);
	(void) LockAcquire(&tag, ExclusiveLock, false, false);
	if (!read_slot(MyDatabaseId, &state) || !slot_holds(&state))
	{
		snapshot = RegisterSnapshot(GetLatestSnapshot());
		(void) hold_from(MyProc->xmin);
		UnregisterSnapshot(snapshot);
	}
	LockRelease(&tag, ExclusiveLock, false);
}

/*
 * vs_horizon_lower: hold everything from "xmin" on, from now on.  Returns the
 * life of the slot that does.
 *
 * The caller has a snapshot with this xmin or an older one.  The slot is made
 * if there is none, and saved, if it had to be changed.
 */
XLogRecPtr
vs_horizon_lower(FullTransactionId xmin)
{
	TransactionId wanted = XidFromFullTransactionId(xmin);
	XLogRecPtr	life;
	LOCKTAG		tag;

	if (!TransactionIdIsValid(MyProc->xmin) ||
		TransactionIdPrecedes(wanted, MyProc->xmin))
		elog(ERROR, "no snapshot holds transaction ID %u", wanted);

	lock_tag(&tag);
	(void) LockAcquire(&tag, ExclusiveLock, false, false);
	life = hold_from(wanted);
	LockRelease(&tag, ExclusiveLock, false);
	return life;
}

/*
 * vs_horizon_try_lock: let nobody else move this database's horizon until
 * vs_horizon_unlock, or the end of the transaction.  False if another process
 * is about to.
 */
bool
vs_horizon_try_lock(void)
{
	LOCKTAG		tag;

	lock_tag(&tag);
	return LockAcquire(&tag, ExclusiveLock, false, true) != LOCKACQUIRE_NOT_AVAIL;
}

void
vs_horizon_unlock(void)
{
	LOCKTAG		tag;

	lock_tag(&tag);
	LockRelease(&tag, ExclusiveLock, false);
}

/*
 * vs_horizon_advance: everything before "xmin" is no longer needed.
 *
 * The caller has had the lock of vs_horizon_try_lock since before it looked.
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
 * "life" is what vs_horizon_lower returned for this or an older xmin.
 */
bool
vs_horizon_holds(FullTransactionId xmin, XLogRecPtr life)
{
	SlotState	state;

	if (!read_slot(MyDatabaseId, &state) || !slot_holds(&state) || state.life != life)
		return false;
	return FullTransactionIdPrecedesOrEquals(vs_full_xid(state.xmin, ReadNextFullTransactionId()),
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

/* What the database's slot holds; false if there is none. */
static bool
read_slot(Oid dbid, SlotState *state)
{
	ReplicationSlot *slot;
	char		name[NAMEDATALEN];

	state->xmin = InvalidTransactionId;
	state->life = InvalidXLogRecPtr;
	slot_name(dbid, name);
	LWLockAcquire(ReplicationSlotControlLock, LW_SHARED);
	slot = SearchNamedReplicationSlot(name, false);
	if (slot != NULL)
	{
		SpinLockAcquire(&slot->mutex);
		if (!VS_SLOT_INVALIDATED(slot))
		{
			state->xmin = slot->data.xmin;
			state->life = SLOT_LIFE(slot);
		}
		SpinLockRelease(&slot->mutex);
	}
	LWLockRelease(ReplicationSlotControlLock);
	return slot != NULL;
}

static bool
slot_holds(const SlotState *state)
{
	return TransactionIdIsValid(state->xmin) && !XLogRecPtrIsInvalid(state->life) &&
		state->life >= timeline_begin();
}

/* Where the current timeline left the one before; the first has no such place. */
static XLogRecPtr
timeline_begin(void)
{
	static TimeLineID known = 0;
	static XLogRecPtr begin;
	TimeLineID	current = GetWALInsertionTimeLine();

	if (known != current)
	{
		List	   *history = readTimeLineHistory(current);

		begin = ((TimeLineHistoryEntry *) linitial(history))->begin;
		known = current;
		list_free_deep(history);
	}
	return begin;
}

/*
 * Make the slot hold everything from "xmin" on, if it does not yet, and
 * return its life.  The caller has the lock of lock_tag, and a snapshot.
 */
static XLogRecPtr
hold_from(TransactionId xmin)
{
	char		name[NAMEDATALEN];
	SlotState	state;

	slot_name(MyDatabaseId, name);
	if (!read_slot(MyDatabaseId, &state))
	{
		check_slot_available();
		create_slot(name, xmin);
	}
	else if (!slot_holds(&state) || TransactionIdPrecedes(xmin, state.xmin))
		lower_slot(name, xmin);
	else
		return state.life;

	/* dropped again already: of no life, and so nothing is held */
	(void) read_slot(MyDatabaseId, &state);
	return state.life;
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
		set_slot_xmin(MyReplicationSlot, xmin, true);
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
 * save it.  The caller holds the lock of lock_tag.
 */
static void
lower_slot(const char *name, TransactionId xmin)
{
	PG_TRY();
	{
		SlotState	state;
		bool		holds;

		vs_acquire_slot(name, false);
		(void) read_slot(MyDatabaseId, &state);
		holds = slot_holds(&state);
		if (!holds || TransactionIdPrecedes(xmin, state.xmin))
			set_slot_xmin(MyReplicationSlot, xmin, !holds);
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
 * Set the xmin and make it count, in a new life if the slot held nothing so
 * far.  Another process that is just computing the least xmin of all slots
 * must not overlook it, so keep them all out.
 */
static void
set_slot_xmin(ReplicationSlot *slot, TransactionId xmin, bool new_life)
{
	XLogRecPtr	now = GetXLogInsertRecPtr();

	LWLockAcquire(ReplicationSlotControlLock, LW_EXCLUSIVE);
	LWLockAcquire(ProcArrayLock, LW_EXCLUSIVE);
	SpinLockAcquire(&slot->mutex);
	if (new_life)
		SLOT_LIFE(slot) = now;
	slot->data.xmin = xmin;
	slot->effective_xmin = xmin;
	SpinLockRelease(&slot->mutex);
	ReplicationSlotsComputeRequiredXmin(true);
	LWLockRelease(ProcArrayLock);
	LWLockRelease(ReplicationSlotControlLock);
}

/* One process of a database at a time changes its slot. */
static void
lock_tag(LOCKTAG *tag)
{
	SET_LOCKTAG_ADVISORY(*tag, MyDatabaseId, 0, 0, LOCKTAG_FIELD4);
}
