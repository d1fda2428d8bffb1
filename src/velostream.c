/*-------------------------------------------------------------------------
 *
 * velostream.c
 *	  Loading the library: settings, shared memory, hooks, the launcher.
 *
 * Everything that works rests on shared memory and on hooks in every process,
 * so all of it wants shared_preload_libraries.  A session that loads the
 * library by itself (by calling one of its functions) gets the settings that
 * can still be defined, and a clear error from each function.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "capture/vs_capture.h"
#include "fmgr.h"
#include "miscadmin.h"
#include "plan/vs_plan.h"
#include "registry/vs_registry.h"
#include "state/vs_context.h"
#include "storage/ipc.h"
#include "storage/lwlock.h"
#include "storage/shmem.h"
#include "velostream.h"
#include "vs_guc.h"
#include "worker/vs_worker.h"

PG_MODULE_MAGIC;

void		_PG_init(void);

bool		vs_preloaded = false;

static shmem_request_hook_type prev_shmem_request_hook = NULL;
static shmem_startup_hook_type prev_shmem_startup_hook = NULL;

static void request_shmem(void);
static void startup_shmem(void);

/* Outside of shared_preload_libraries only the settings of a session are defined. */
void
_PG_init(void)
{
	vs_guc_init(process_shared_preload_libraries_in_progress);
	if (!process_shared_preload_libraries_in_progress)
		return;

	vs_preloaded = true;
	prev_shmem_request_hook = shmem_request_hook;
	shmem_request_hook = request_shmem;
	prev_shmem_startup_hook = shmem_startup_hook;
	shmem_startup_hook = startup_shmem;

	/*
	 * Transaction callbacks run in the reverse order of registration: the
	 * doorbell, registered first, rings after all others did their work.
	 */
	vs_worker_init();
	vs_capture_init();
	vs_plan_init();
	vs_context_init();
	vs_ddl_init();
}

/* An error unless the library is in shared_preload_libraries. */
void
vs_require_preload(void)
{
	if (!vs_preloaded)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("velostream must be loaded via shared_preload_libraries"),
				 errhint("Add \"%s\" to shared_preload_libraries in postgresql.conf and restart the server.",
						 VS_EXTENSION_NAME)));
}

static void
request_shmem(void)
{
	if (prev_shmem_request_hook)
		prev_shmem_request_hook();

	RequestAddinShmemSpace(vs_context_shmem_size());
	RequestAddinShmemSpace(vs_capture_shmem_size());
	RequestAddinShmemSpace(vs_worker_shmem_size());
	vs_context_shmem_request();
}

/* Runs in the postmaster, again after a crash of a process. */
static void
startup_shmem(void)
{
	if (prev_shmem_startup_hook)
		prev_shmem_startup_hook();

	LWLockAcquire(AddinShmemInitLock, LW_EXCLUSIVE);
	vs_context_shmem_init();
	vs_capture_shmem_init();
	vs_worker_shmem_init();
	LWLockRelease(AddinShmemInitLock);
}
