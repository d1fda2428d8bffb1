/*-------------------------------------------------------------------------
 *
 * vs_worker_internal.h
 *	  What launcher, workers, doorbell and control functions share.
 *
 *-------------------------------------------------------------------------
 */
#ifndef VS_WORKER_INTERNAL_H
#define VS_WORKER_INTERNAL_H

#include "postgres.h"

#include "access/xlogdefs.h"
#include "datatype/timestamp.h"
#include "nodes/pg_list.h"
#include "port/atomics.h"
#include "storage/latch.h"
#include "storage/lwlock.h"
#include "velostream.h"
#include "worker/vs_worker.h"

/* FREE -> STARTING (launcher) -> RUNNING (worker) -> EXITED (worker) -> FREE (launcher) */
typedef enum VsSlotState
{
	VS_SLOT_FREE,
	VS_SLOT_STARTING,
	VS_SLOT_RUNNING,
	VS_SLOT_EXITED
} VsSlotState;

/* Why a worker ended. */
typedef enum VsOutcome
{
	VS_OUTCOME_DIED,			/* by an error or a signal: start another one */
	VS_OUTCOME_ABSENT,			/* the extension is not in this database */
	VS_OUTCOME_UNUSABLE,		/* another version of the extension is */
	VS_OUTCOME_STOPPED			/* it was asked to */
} VsOutcome;

/* A worker; all fields are guarded by the lock. */
typedef struct VsWorkerSlot
{
	VsSlotState state;
	VsOutcome	outcome;
	uint32		generation;		/* of its use: a late worker finds another one */
	Oid			dbid;
	int			pid;			/* 0 until it attached */
	Latch	   *latch;
	bool		stop;			/* asked to end after the current batch */
	bool		outdated;		/* what it finds may no longer be true */
	bool		ready;			/* has found the extension */
	int			nqueries;		/* that it knows of */
	TimestampTz started_at;
} VsWorkerSlot;

/* Is somebody awake, or to be woken? */
typedef enum VsWatch
{
	VS_WATCH_BUSY,				/* runs a batch, or is no worker: does not
								 * hear the bell */
	VS_WATCH_ARMED,				/* sleeps until the bell rings */
	VS_WATCH_AWAKE				/* looks (again) by itself, within
								 * milliseconds */
} VsWatch;

/*
 * The bell of the worker in the slot of the same number.  Kept apart, so that
 * a commit reads few cache lines, which change only when a worker goes to
 * sleep or wakes.  dbid is written with the lock, and read without.
 */
typedef struct VsBell
{
	Oid			dbid;
	pg_atomic_uint32 watch;
} VsBell;

/* A database whose workers have to stay away while a command needs it alone. */
typedef struct VsHold
{
	Oid			dbid;
	int			pid;			/* of the process that runs the command; 0:
								 * free */
} VsHold;

#define VS_MAX_HOLDS	64
#define VS_MAX_PROBES	32

typedef struct VsWorkerShared
{
	LWLock		lock;			/* guards all that is not atomic */
	int			tranche;
	Latch	   *launcher;		/* or NULL */
	int			launcher_pid;
	bool		enabled;		/* velostream.enabled, as the launcher knows
								 * it */
	int			nprobes;		/* databases to look at again */
	bool		probe_all;		/* ... too many to be listed */
	Oid			probes[VS_MAX_PROBES];
	VsHold		holds[VS_MAX_HOLDS];

	pg_atomic_uint32 narmed;	/* bells that are armed */
	pg_atomic_uint64 generation;	/* of the registry: somebody changed it */
	pg_atomic_uint64 idle_xids; /* transaction ids spent on moving idle
								 * queries on */

	int			nslots;			/* set once */
	VsWorkerSlot *slots;		/* set once */
	VsBell	   *bells;			/* set once */
} VsWorkerShared;

extern VsWorkerShared *vs_workers;
extern int	MyVsWorker;			/* this process's slot, or -1 */

/* vs_doorbell.c */
extern bool vs_slot_attach(int slot, uint32 generation, Oid *dbid);
extern void vs_slot_outcome(VsOutcome outcome);
extern bool vs_slot_told_to_stop(void);
extern void vs_slot_report(bool ready, int nqueries);
extern bool vs_slot_is_leader(void);
extern void vs_watch(VsWatch watch);
extern bool vs_watch_by_other(void);
extern void vs_doorbell_pass_on(void);
extern List *vs_worker_pids(Oid dbid);
extern void vs_registry_changed(void);
extern void vs_database_changed(Oid dbid);

/* vs_launcher.c */
extern bool vs_database_held(Oid dbid);
extern void vs_launcher_register(void);
extern void vs_launcher_hooks(void);

/* vs_schedule.c */
extern bool vs_schedule_pass(XLogRecPtr start);
extern long vs_schedule_timeout(TimestampTz now);
extern bool vs_schedule_idle(void);
extern uint64 vs_schedule_quiet_commits(void);
extern void vs_schedule_init(void);

/* looked up by name */
extern PGDLLEXPORT void velostream_launcher_main(Datum arg);
extern PGDLLEXPORT void velostream_standby_main(Datum arg);
extern PGDLLEXPORT void velostream_worker_main(Datum arg);

#endif							/* VS_WORKER_INTERNAL_H */
