/*-------------------------------------------------------------------------
 *
 * vs_context.c
 *	  The shared context of each query: who runs a batch, how far it came,
 *	  who waits for it, how it failed.
 *
 * Contexts are slots of a fixed array.  The registry lock guards which slot
 * is whose (the keys array and info.dbid, info.output, generation); each
 * slot's own lock guards the rest.  Lock order: registry lock, context lock,
 * spinlock of the cache.  No lock is held across anything that may raise an
 * error, other than the assertions.
 *
 * What a batch changes here becomes true at the end of its transaction.  The
 * order of things in CommitTransaction() (PostgreSQL 15 to 18) is: commit
 * record, ProcArrayEndTransaction(), callbacks with XACT_EVENT_COMMIT, and
 * only then the release of heavyweight locks.  AbortTransaction() and
 * AbortSubTransaction() call back before they release locks, too.  So
 *
 *	- who sees done_seq also sees the batch's rows in a snapshot taken after;
 *	- the next batch of the query, which waits for the heavyweight lock, sees
 *	  what was published, and after an abort an empty cache.
 *
 * Death in between: an ERROR or FATAL inside a batch comes here as an abort.
 * CommitTransaction() holds interrupts off from the commit record to the
 * callback, and the callback raises nothing, so SIGTERM cannot separate the
 * two.  SIGKILL anywhere makes the postmaster set up shared memory anew: all
 * contexts are empty and no database is loaded.
 *
 * request_seq and done_seq of a slot never go back, also when it is given to
 * another query, and a drop answers all requests: who waits on a query that
 * is dropped meanwhile wakes up.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/xact.h"
#include "catalog/pg_class.h"
#include "mb/pg_wchar.h"
#include "miscadmin.h"
#include "pgstat.h"
#include "process/vs_process.h"
#include "storage/ipc.h"
#include "storage/lmgr.h"
#include "storage/lock.h"
#include "storage/shmem.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"

#include "state/vs_context_internal.h"
#include "worker/vs_worker.h"

#define VS_REGISTRY_TRANCHE "velostream_registry"
#define VS_CONTEXT_TRANCHE	"velostream_context"

/*
 * Batches of a query are serialized by a lock on (database, pg_class, output,
 * this).  PostgreSQL locks relations by LOCKTAG_RELATION and other objects
 * with objsubid 0, so it conflicts with nothing but itself.
 */
#define VS_BATCH_LOCK_SUBID 0x5653

#define VS_FIRST_BACKOFF	100 /* ms */

/* Which query a slot belongs to; output is InvalidOid if it is free. */
typedef struct ContextKey
{
	Oid			dbid;
	Oid			output;
} ContextKey;

typedef struct Registry
{
	LWLock	   *lock;			/* set once; guards the rest */
	Oid		   *loaded;			/* vs_max_queries + 1 databases, or InvalidOid */
	ContextKey *keys;			/* vs_max_queries */
} Registry;

/*
 * What the current transaction will have to do at its end.  All of it lives
 * in TopTransactionContext.  Subtransaction ids grow, so everything that was
 * done in subtransaction s or below it, and not in one rolled back since, is
 * marked with an id >= s when s aborts, and what was done before with less.
 */
typedef struct PendingBatch
{
	VsContext  *cxt;
	uint32		generation;
	SubTransactionId subid;
	uint64		answers;		/* requests up to here */
	bool		resumed;		/* forget the failures */
	bool		published;
	FullTransactionId frontier_xmin;
	XLogRecPtr	frontier_lsn;
	TimestampTz frontier_time;
} PendingBatch;

/* A context that the transaction made, or put groups into. */
typedef struct Touch
{
	VsContext  *cxt;
	uint32		generation;
	SubTransactionId subid;		/* of the last time */
} Touch;

VsContext  *vs_contexts = NULL;
static Registry *registry = NULL;

static List *batches = NIL;		/* PendingBatch, in the order they began */
static List *touched = NIL;		/* Touch: cache changed */
static List *created = NIL;		/* Touch: context made */
static VsContext *last_touched = NULL;	/* shortcut into "touched" */
static SubTransactionId last_subid = InvalidSubTransactionId;
static bool exit_registered = false;

static VsContext *attach_new(Oid output);
static Touch *reserve_created(void);
static void register_exit(void);
static void xact_callback(XactEvent event, void *arg);
static void subxact_callback(SubXactEvent event, SubTransactionId mySubid,
							 SubTransactionId parentSubid, void *arg);
static void exit_callback(int code, Datum arg);
static bool apply_batch(PendingBatch *batch);
static void discard_since(SubTransactionId subid);
static void uncreate(Touch *touch);
static void end_transaction(void);

/*
 * Shared memory.
 */

static Size
registry_size(void)
{
	Size		size = MAXALIGN(sizeof(Registry));

	size = add_size(size, MAXALIGN(mul_size(vs_max_queries + 1, sizeof(Oid))));
	return add_size(size, MAXALIGN(mul_size(vs_max_queries, sizeof(ContextKey))));
}

static Size
contexts_size(void)
{
	return mul_size(vs_max_queries, sizeof(VsContext));
}

Size
vs_context_shmem_size(void)
{
	return add_size(add_size(registry_size(), contexts_size()),
					add_size(vs_cache_shmem_size(), 3 * PG_CACHE_LINE_SIZE));
}

void
vs_context_shmem_request(void)
{
	RequestNamedLWLockTranche(VS_REGISTRY_TRANCHE, 1);
	RequestNamedLWLockTranche(VS_CONTEXT_TRANCHE, vs_max_queries);
}

/* The caller holds AddinShmemInitLock. */
void
vs_context_shmem_init(void)
{
	bool		found;

	registry = ShmemInitStruct("velostream registry", registry_size(), &found);
	vs_contexts = ShmemInitStruct("velostream contexts", contexts_size(), &found);
	if (!found)
	{
		LWLockPadded *locks = GetNamedLWLockTranche(VS_CONTEXT_TRANCHE);
		char	   *place = (char *) registry;

		memset(registry, 0, registry_size());
		memset(vs_contexts, 0, contexts_size());
		registry->lock = &GetNamedLWLockTranche(VS_REGISTRY_TRANCHE)->lock;
		place += MAXALIGN(sizeof(Registry));
		registry->loaded = (Oid *) place;
		place += MAXALIGN((vs_max_queries + 1) * sizeof(Oid));
		registry->keys = (ContextKey *) place;
		for (int i = 0; i < vs_max_queries; i++)
		{
			vs_contexts[i].lock = &locks[i].lock;
			ConditionVariableInit(&vs_contexts[i].done_cv);
		}
	}
	vs_cache_shmem_init();
}

/*
 * Register the callbacks of this process, and of those forked from it.
 */
void
vs_context_init(void)
{
	RegisterXactCallback(xact_callback, NULL);
	RegisterSubXactCallback(subxact_callback, NULL);
}

/*
 * Finding, making and dropping contexts.
 */

/* The slot of a query, or -1.  The caller holds the registry lock. */
static int
find_slot(Oid dbid, Oid output)
{
	Assert(LWLockHeldByMe(registry->lock));
	for (int i = 0; i < vs_max_queries; i++)
	{
		if (registry->keys[i].output == output && registry->keys[i].dbid == dbid)
			return i;
	}
	return -1;
}

VsContext *
vs_context_find(Oid output)
{
	int			slot;

	Assert(OidIsValid(output));
	if (registry == NULL)
		vs_require_preload();
	LWLockAcquire(registry->lock, LW_SHARED);
	slot = find_slot(MyDatabaseId, output);
	LWLockRelease(registry->lock);
	return slot < 0 ? NULL : &vs_contexts[slot];
}

VsContext *
vs_context_attach(Oid output)
{
	VsContext  *cxt = vs_context_find(output);

	return cxt != NULL ? cxt : attach_new(output);
}

/*
 * Free a slot.  The caller holds the registry lock exclusively.
 */
static void
drop_slot(int slot)
{
	VsContext  *cxt = &vs_contexts[slot];
	uint64		seq;

	Assert(LWLockHeldByMeInMode(registry->lock, LW_EXCLUSIVE));
	LWLockAcquire(cxt->lock, LW_EXCLUSIVE);
	vs_cache_clear_locked(cxt);
	cxt->cache.hits = cxt->cache.misses = 0;
	memset(&cxt->cache.output_node, 0, sizeof(RelFileNode));
	memset(&cxt->cache.state_node, 0, sizeof(RelFileNode));
	seq = cxt->info.request_seq;
	memset(&cxt->info, 0, sizeof(VsContextInfo));
	cxt->info.request_seq = cxt->info.done_seq = seq;
	cxt->known = false;
	cxt->creator_pid = 0;
	cxt->generation++;
	memset(&registry->keys[slot], 0, sizeof(ContextKey));
	LWLockRelease(cxt->lock);
	ConditionVariableBroadcast(&cxt->done_cv);
}

/*
 * A slot that no query needs, or -1: a free one, or one left behind by a
 * creation that was rolled back or a wait for something that is no query.
 */
static int
free_slot(void)
{
	int			slot = find_slot(InvalidOid, InvalidOid);

	for (int i = 0; slot < 0 && i < vs_max_queries; i++)
	{
		VsContext  *cxt = &vs_contexts[i];

		LWLockAcquire(cxt->lock, LW_SHARED);
		if (!cxt->known && cxt->creator_pid == 0 && cxt->info.runner_pid == 0 &&
			cxt->info.failures == 0 &&
			cxt->info.request_seq == cxt->info.done_seq)
			slot = i;
		LWLockRelease(cxt->lock);
		if (slot >= 0)
			drop_slot(slot);
	}
	return slot;
}

/*
 * Make a context, unless another process was faster.
 */
static VsContext *
attach_new(Oid output)
{
	Touch	   *touch = reserve_created();
	int			slot;
	bool		found;

	LWLockAcquire(registry->lock, LW_EXCLUSIVE);
	slot = find_slot(MyDatabaseId, output);
	found = slot >= 0;
	if (!found)
		slot = free_slot();
	if (!found && slot >= 0)
	{
		VsContext  *cxt = &vs_contexts[slot];

		registry->keys[slot].dbid = MyDatabaseId;
		registry->keys[slot].output = output;
		LWLockAcquire(cxt->lock, LW_EXCLUSIVE);
		cxt->info.dbid = MyDatabaseId;
		cxt->info.output = output;
		if (touch != NULL)
		{
			cxt->creator_pid = MyProcPid;
			touch->cxt = cxt;
			touch->generation = cxt->generation;
		}
		LWLockRelease(cxt->lock);
	}
	LWLockRelease(registry->lock);

	if (slot < 0)
		ereport(ERROR,
				(errcode(ERRCODE_CONFIGURATION_LIMIT_EXCEEDED),
				 errmsg("too many continuous queries"),
				 errdetail("All %d contexts are in use.", vs_max_queries),
				 errhint("Increase velostream.max_queries and restart the server.")));
	return &vs_contexts[slot];
}

void
vs_context_drop(Oid output)
{
	int			slot;

	if (registry == NULL)
		return;
	LWLockAcquire(registry->lock, LW_EXCLUSIVE);
	slot = find_slot(MyDatabaseId, output);
	if (slot >= 0)
		drop_slot(slot);
	LWLockRelease(registry->lock);
}

void
vs_context_drop_database(Oid dbid)
{
	if (registry == NULL)
		return;
	LWLockAcquire(registry->lock, LW_EXCLUSIVE);
	for (int i = 0; i < vs_max_queries; i++)
	{
		if (registry->keys[i].dbid == dbid)
			drop_slot(i);
	}
	for (int i = 0; i <= vs_max_queries; i++)
	{
		if (registry->loaded[i] == dbid)
			registry->loaded[i] = InvalidOid;
	}
	LWLockRelease(registry->lock);
}

int
vs_context_count(Oid dbid)
{
	int			count = 0;

	if (registry == NULL)
		return 0;
	LWLockAcquire(registry->lock, LW_SHARED);
	for (int i = 0; i < vs_max_queries; i++)
	{
		if (registry->keys[i].dbid == dbid)
			count++;
	}
	LWLockRelease(registry->lock);
	return count;
}

void
vs_context_read(VsContext *cxt, VsContextInfo *info)
{
	LWLockAcquire(cxt->lock, LW_SHARED);
	*info = cxt->info;
	info->cache_groups = cxt->cache.nentries;
	info->cache_bytes = vs_cache_bytes_locked(cxt);
	info->cache_hits = cxt->cache.hits;
	info->cache_misses = cxt->cache.misses;
	LWLockRelease(cxt->lock);
}

bool
vs_context_read_slot(int slot, VsContextInfo *info)
{
	bool		found;

	if (registry == NULL)
		vs_require_preload();
	Assert(slot >= 0 && slot < vs_max_queries);
	LWLockAcquire(registry->lock, LW_SHARED);
	found = registry->keys[slot].dbid == MyDatabaseId;
	if (found)
		vs_context_read(&vs_contexts[slot], info);
	LWLockRelease(registry->lock);
	return found;
}

/*
 * Batches.
 */

bool
vs_context_begin_batch(VsContext *cxt, bool nowait)
{
	LOCKTAG		tag;
	Oid			output;
	uint32		generation;
	PendingBatch *batch;
	bool		same;
	MemoryContext old;

	register_exit();
	LWLockAcquire(cxt->lock, LW_SHARED);
	generation = cxt->generation;
	output = cxt->info.output;
	LWLockRelease(cxt->lock);
	if (!OidIsValid(output))
		return false;			/* just dropped */

	SET_LOCKTAG_OBJECT(tag, MyDatabaseId, RelationRelationId, output,
					   VS_BATCH_LOCK_SUBID);
	if (LockAcquire(&tag, ExclusiveLock, false, nowait) == LOCKACQUIRE_NOT_AVAIL)
		return false;

	old = MemoryContextSwitchTo(TopTransactionContext);
	batch = palloc0(sizeof(PendingBatch));
	batch->cxt = cxt;
	batch->subid = GetCurrentSubTransactionId();
	batch->generation = generation;
	batches = lappend(batches, batch);
	MemoryContextSwitchTo(old);

	/* The query may have been dropped while we waited. */
	LWLockAcquire(cxt->lock, LW_EXCLUSIVE);
	same = cxt->generation == batch->generation;
	if (same)
	{
		batch->answers = cxt->info.request_seq;
		cxt->info.runner_pid = MyProcPid;
		cxt->info.uncommitted = false;
		cxt->info.pages_done = cxt->info.pages_total = 0;
	}
	LWLockRelease(cxt->lock);
	if (!same)
	{
		batches = list_delete_ptr(batches, batch);
		pfree(batch);
	}
	return same;
}

/* The batch of this context that began last in this transaction, or NULL. */
static PendingBatch *
last_batch(VsContext *cxt)
{
	for (int i = list_length(batches) - 1; i >= 0; i--)
	{
		PendingBatch *batch = list_nth(batches, i);

		if (batch->cxt == cxt)
			return batch;
	}
	return NULL;
}

void
vs_context_publish(VsContext *cxt, FullTransactionId frontier_xmin,
				   XLogRecPtr frontier_lsn, TimestampTz frontier_time)
{
	PendingBatch *batch = last_batch(cxt);

	if (batch == NULL)
		elog(ERROR, "no batch to publish");
	batch->published = true;
	batch->frontier_xmin = frontier_xmin;
	batch->frontier_lsn = frontier_lsn;
	batch->frontier_time = frontier_time;
	LWLockAcquire(cxt->lock, LW_EXCLUSIVE);
	if (cxt->generation == batch->generation)
		cxt->info.uncommitted = true;
	LWLockRelease(cxt->lock);
}

void
vs_context_no_answer(VsContext *cxt)
{
	PendingBatch *batch = last_batch(cxt);

	if (batch != NULL)
		batch->answers = 0;
}

/* A batch of ours found that a hint was missing; its transaction will not last. */
void
vs_context_distrust(VsContext *cxt)
{
	LWLockAcquire(cxt->lock, LW_EXCLUSIVE);
	cxt->info.distrusted = true;
	LWLockRelease(cxt->lock);
}

bool
vs_context_distrusted(VsContext *cxt)
{
	bool		result;

	LWLockAcquire(cxt->lock, LW_SHARED);
	result = cxt->info.distrusted;
	LWLockRelease(cxt->lock);
	return result;
}

void
vs_context_progress(VsContext *cxt, uint64 done, uint64 total)
{
	LWLockAcquire(cxt->lock, LW_EXCLUSIVE);
	cxt->info.pages_done = done;
	cxt->info.pages_total = total;
	LWLockRelease(cxt->lock);
}

/*
 * Requests.
 */

uint64
vs_context_request(VsContext *cxt)
{
	uint64		seq;

	LWLockAcquire(cxt->lock, LW_EXCLUSIVE);
	seq = ++cxt->info.request_seq;
	LWLockRelease(cxt->lock);
	return seq;
}

bool
vs_context_requested(VsContext *cxt)
{
	bool		result;

	LWLockAcquire(cxt->lock, LW_SHARED);
	result = cxt->info.request_seq > cxt->info.done_seq;
	LWLockRelease(cxt->lock);
	return result;
}

void
vs_context_wait_prepare(VsContext *cxt)
{
	ConditionVariablePrepareToSleep(&cxt->done_cv);
}

bool
vs_context_wait_sleep(VsContext *cxt, long timeout_ms)
{
	return ConditionVariableTimedSleep(&cxt->done_cv, timeout_ms,
									   PG_WAIT_EXTENSION);
}

void
vs_context_wait_cancel(void)
{
	ConditionVariableCancelSleep();
}

/*
 * Failures.
 */

/* Copy a message, cut at a character boundary; NULL is "". */
static void
copy_text(char *dest, const char *source, Size size)
{
	int			len = 0;

	if (source != NULL)
	{
		len = pg_mbcliplen(source, strlen(source), size - 1);
		memcpy(dest, source, len);
	}
	memset(dest + len, 0, size - len);
}

/* Is this still the context of that query?  The caller holds its lock. */
static bool
is_context_of(const VsContext *cxt, Oid output)
{
	return cxt->info.output == output && cxt->info.dbid == MyDatabaseId;
}

/*
 * A batch of the query failed: keep the error for the views and for wait(),
 * and make the pause before the next attempt longer.
 */
void
vs_context_failed(VsContext *cxt, Oid output, const ErrorData *edata)
{
	char		message[sizeof(((VsContextInfo *) NULL)->message)];
	char		detail[sizeof(((VsContextInfo *) NULL)->detail)];
	char		hint[sizeof(((VsContextInfo *) NULL)->hint)];
	char		context[sizeof(((VsContextInfo *) NULL)->context)];
	TimestampTz now = GetCurrentTimestamp();
	int64		delay;

	copy_text(message, edata->message, sizeof(message));
	copy_text(detail, edata->detail, sizeof(detail));
	copy_text(hint, edata->hint, sizeof(hint));
	copy_text(context, edata->context, sizeof(context));

	LWLockAcquire(cxt->lock, LW_EXCLUSIVE);
	if (is_context_of(cxt, output))
	{
		VsContextInfo *info = &cxt->info;

		delay = (int64) VS_FIRST_BACKOFF << Min(info->failures, 30);
		delay = Min(delay, vs_max_backoff);
		if (info->failures < PG_INT32_MAX)
			info->failures++;
		info->failed_at = now;
		info->retry_at = TimestampTzPlusMilliseconds(now, delay);
		info->sqlstate = edata->sqlerrcode;
		memcpy(info->message, message, sizeof(message));
		memcpy(info->detail, detail, sizeof(detail));
		memcpy(info->hint, hint, sizeof(hint));
		memcpy(info->context, context, sizeof(context));
	}
	LWLockRelease(cxt->lock);
	ConditionVariableBroadcast(&cxt->done_cv);
}

/* The caller holds the context's lock. */
static void
forget_failures(VsContextInfo *info)
{
	if (info->failures == 0)
		return;
	info->failures = 0;
	info->failed_at = info->retry_at = 0;
	info->sqlstate = 0;
	info->message[0] = info->detail[0] = info->hint[0] = info->context[0] = '\0';
}

void
vs_context_succeeded(VsContext *cxt, Oid output)
{
	LWLockAcquire(cxt->lock, LW_EXCLUSIVE);
	if (is_context_of(cxt, output))
		forget_failures(&cxt->info);
	LWLockRelease(cxt->lock);
}

void
vs_context_resumed(VsContext *cxt)
{
	PendingBatch *batch = last_batch(cxt);

	if (batch == NULL)
		elog(ERROR, "no batch lock to resume under");
	batch->resumed = true;
}

/*
 * Frontiers of a database.
 */

/* The caller holds the registry lock. */
static bool
is_loaded(Oid dbid)
{
	for (int i = 0; i <= vs_max_queries; i++)
	{
		if (registry->loaded[i] == dbid)
			return true;
	}
	return false;
}

bool
vs_context_is_loaded(void)
{
	bool		result;

	if (registry == NULL)
		return false;
	LWLockAcquire(registry->lock, LW_SHARED);
	result = is_loaded(MyDatabaseId);
	LWLockRelease(registry->lock);
	return result;
}

/*
 * There is a place for every database that has a query, and one more.  Should
 * databases without queries fill it, one of these has to be loaded again.
 */
void
vs_context_set_loaded(void)
{
	int			place = -1;

	if (registry == NULL)
		vs_require_preload();
	LWLockAcquire(registry->lock, LW_EXCLUSIVE);
	for (int i = 0; i <= vs_max_queries && !is_loaded(MyDatabaseId); i++)
	{
		bool		needed = false;

		for (int j = 0; j < vs_max_queries && OidIsValid(registry->loaded[i]); j++)
			needed |= registry->keys[j].dbid == registry->loaded[i];
		if (!needed && (place < 0 || !OidIsValid(registry->loaded[i])))
			place = i;
	}
	if (place >= 0)
		registry->loaded[place] = MyDatabaseId;
	LWLockRelease(registry->lock);
}

void
vs_context_set_frontier(VsContext *cxt, FullTransactionId xmin,
						XLogRecPtr lsn, TimestampTz t)
{
	LWLockAcquire(cxt->lock, LW_EXCLUSIVE);
	if (!cxt->known)
	{
		cxt->known = true;
		cxt->info.frontier_xmin = xmin;
		cxt->info.frontier_lsn = lsn;
		cxt->info.frontier_time = t;
	}
	LWLockRelease(cxt->lock);
}

/*
 * A query that has read nothing yet needs no horizon, until a batch takes its
 * first snapshot: from begin_batch to the publishing it holds all back, as
 * does one that is being created.
 */
bool
vs_context_oldest_xmin(FullTransactionId *xmin)
{
	bool		complete;

	*xmin = InvalidFullTransactionId;
	if (registry == NULL)
		return false;
	LWLockAcquire(registry->lock, LW_SHARED);
	complete = is_loaded(MyDatabaseId);
	for (int i = 0; complete && i < vs_max_queries; i++)
	{
		VsContext  *cxt = &vs_contexts[i];
		FullTransactionId own;

		if (registry->keys[i].dbid != MyDatabaseId)
			continue;
		LWLockAcquire(cxt->lock, LW_SHARED);
		own = cxt->info.frontier_xmin;
		if (!FullTransactionIdIsValid(own))
			complete = cxt->creator_pid == 0 && cxt->info.runner_pid == 0;
		else if (!FullTransactionIdIsValid(*xmin) ||
				 FullTransactionIdPrecedes(own, *xmin))
			*xmin = own;
		LWLockRelease(cxt->lock);
	}
	LWLockRelease(registry->lock);
	return complete;
}

/*
 * The end of a transaction.
 */

static void
xact_callback(XactEvent event, void *arg)
{
	bool		ring;

	switch (event)
	{
		case XACT_EVENT_PRE_PREPARE:
			if (batches != NIL || touched != NIL)
				ereport(ERROR,
						(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
						 errmsg("cannot PREPARE a transaction that has processed a continuous query")));
			break;
		case XACT_EVENT_COMMIT:
			/* visible to all by now, and locks are still held */
			if (batches != NIL)
				vs_wait_point("before-publish");
			ring = batches != NIL && !TransactionIdIsValid(GetTopTransactionIdIfAny());
			for (int i = 0; i < list_length(batches); i++)
				ring |= apply_batch(list_nth(batches, i));
			end_transaction();
			/* a commit that wrote something rings anyway */
			if (ring)
				vs_doorbell_batch_ended();
			break;
		case XACT_EVENT_ABORT:
			discard_since(TopSubTransactionId);
			end_transaction();
			break;
		case XACT_EVENT_PREPARE:
			end_transaction();
			break;
		default:
			break;
	}
}

static void
subxact_callback(SubXactEvent event, SubTransactionId mySubid,
				 SubTransactionId parentSubid, void *arg)
{
	if (event == SUBXACT_EVENT_ABORT_SUB)
		discard_since(mySubid);
}

/*
 * The process exits.  Runs before ShutdownPostgres(), which aborts the
 * transaction and releases its locks; after this, that finds nothing to do.
 */
static void
exit_callback(int code, Datum arg)
{
	discard_since(TopSubTransactionId);
	end_transaction();
}

/* Make a committed batch's results those of its context.  True if requests are left. */
static bool
apply_batch(PendingBatch *batch)
{
	VsContext  *cxt = batch->cxt;
	bool		moved = false;
	bool		pending = false;

	LWLockAcquire(cxt->lock, LW_EXCLUSIVE);
	if (cxt->generation == batch->generation)
	{
		if (batch->published)
		{
			cxt->known = true;
			cxt->info.frontier_xmin = batch->frontier_xmin;
			cxt->info.frontier_lsn = batch->frontier_lsn;
			cxt->info.frontier_time = batch->frontier_time;
			cxt->info.distrusted = false;
		}
		if (batch->resumed)
			forget_failures(&cxt->info);
		moved = batch->answers > cxt->info.done_seq;
		if (moved)
			cxt->info.done_seq = batch->answers;
		cxt->info.runner_pid = 0;
		cxt->info.uncommitted = false;
		pending = cxt->info.request_seq > cxt->info.done_seq;
	}
	LWLockRelease(cxt->lock);
	if (moved)
		ConditionVariableBroadcast(&cxt->done_cv);
	return pending;
}

/*
 * Throw away what was done in subtransaction "subid" and below: its batches,
 * and the cached groups of all contexts that it put something into.
 */
static void
discard_since(SubTransactionId subid)
{
	bool		ended = false;
	ListCell   *lc;

	foreach(lc, touched)
	{
		Touch	   *touch = lfirst(lc);

		if (touch->subid < subid)
			continue;
		LWLockAcquire(touch->cxt->lock, LW_EXCLUSIVE);
		if (touch->cxt->generation == touch->generation)
			vs_cache_clear_locked(touch->cxt);
		LWLockRelease(touch->cxt->lock);
		touched = foreach_delete_current(touched, lc);
	}
	last_touched = NULL;

	foreach(lc, created)
	{
		Touch	   *touch = lfirst(lc);

		if (touch->subid < subid)
			continue;
		uncreate(touch);
		created = foreach_delete_current(created, lc);
	}

	foreach(lc, batches)
	{
		PendingBatch *batch = lfirst(lc);

		if (batch->subid < subid)
			continue;
		batches = foreach_delete_current(batches, lc);
		if (last_batch(batch->cxt) != NULL)
			continue;			/* an earlier one, not rolled back */
		LWLockAcquire(batch->cxt->lock, LW_EXCLUSIVE);
		if (batch->cxt->generation == batch->generation)
		{
			batch->cxt->info.runner_pid = 0;
			batch->cxt->info.uncommitted = false;
		}
		LWLockRelease(batch->cxt->lock);
		ended = true;
	}
	/* what they would have read has still to be */
	if (ended)
		vs_doorbell_batch_ended();
}

/*
 * The transaction that made a context is rolled back.  The slot stays, as
 * others may look at it, but what was set as its frontier is not true, unless
 * the query is an old one of a database that was just being loaded: so it has
 * to be loaded again.
 */
static void
uncreate(Touch *touch)
{
	VsContext  *cxt = touch->cxt;

	if (cxt == NULL)
		return;
	LWLockAcquire(registry->lock, LW_EXCLUSIVE);
	LWLockAcquire(cxt->lock, LW_EXCLUSIVE);
	if (cxt->generation == touch->generation)
	{
		cxt->creator_pid = 0;
		if (cxt->known)
		{
			cxt->known = false;
			cxt->info.frontier_xmin = InvalidFullTransactionId;
			cxt->info.frontier_lsn = InvalidXLogRecPtr;
			cxt->info.frontier_time = 0;
			for (int i = 0; i <= vs_max_queries; i++)
			{
				if (registry->loaded[i] == cxt->info.dbid)
					registry->loaded[i] = InvalidOid;
			}
		}
	}
	LWLockRelease(cxt->lock);
	LWLockRelease(registry->lock);
}

/* Forget what was remembered, after it was applied or discarded. */
static void
end_transaction(void)
{
	ListCell   *lc;

	foreach(lc, created)
	{
		Touch	   *touch = lfirst(lc);

		if (touch->cxt == NULL)
			continue;
		LWLockAcquire(touch->cxt->lock, LW_EXCLUSIVE);
		if (touch->cxt->generation == touch->generation)
			touch->cxt->creator_pid = 0;
		LWLockRelease(touch->cxt->lock);
	}
	batches = touched = created = NIL;
	last_touched = NULL;
}

static void
register_exit(void)
{
	if (exit_registered)
		return;
	before_shmem_exit(exit_callback, (Datum) 0);
	exit_registered = true;
}

/*
 * Append an entry, its context still NULL, to a list of Touch.
 */
static Touch *
append_touch(List **list)
{
	MemoryContext old = MemoryContextSwitchTo(TopTransactionContext);
	Touch	   *touch = palloc0(sizeof(Touch));

	touch->subid = GetCurrentSubTransactionId();
	*list = lappend(*list, touch);
	MemoryContextSwitchTo(old);
	return touch;
}

/*
 * An entry in "created" for a context that is about to be made, so that
 * nothing can fail once it is; NULL outside of a transaction.
 */
static Touch *
reserve_created(void)
{
	if (!IsTransactionState())
		return NULL;
	register_exit();
	return append_touch(&created);
}

/*
 * The cache of this context is about to change: clear it if the current
 * subtransaction, or one around it, is rolled back.
 */
void
vs_context_touch(VsContext *cxt)
{
	SubTransactionId subid = GetCurrentSubTransactionId();
	Touch	   *touch = NULL;
	ListCell   *lc;

	if (cxt == last_touched && subid == last_subid)
		return;
	register_exit();
	foreach(lc, touched)
	{
		touch = lfirst(lc);
		if (touch->cxt == cxt && touch->generation == cxt->generation)
			break;
		touch = NULL;
	}
	if (touch == NULL)
	{
		touch = append_touch(&touched);
		touch->generation = cxt->generation;
		touch->cxt = cxt;
	}
	touch->subid = subid;
	last_touched = cxt;
	last_subid = subid;
}
