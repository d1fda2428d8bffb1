/*-------------------------------------------------------------------------
 *
 * vs_ring.c
 *	  Hints shared by all processes, so that the WAL is read once.
 *
 * In main shared memory: a position up to which the WAL was read, the set of
 * watched files, and a ring of the hints found for them, in the order of
 * their records.  There is no process of its own for reading; whoever needs
 * hints reads on, a bounded chunk per lock hold, into private memory, and
 * then publishes the chunk.  An error while reading therefore changes nothing
 * that is shared, and publishing cannot fail.
 *
 * The ring has every hint of a watched file whose record starts in
 * [Max(ring start, file's since), position).  When WAL cannot be read, all
 * this begins anew at the current insert position: hints are lost, and
 * readers see from "since" that they are.
 *
 * Locks: reader_lock is held while a chunk is read and while the watch set
 * changes; ring_lock, taken after it, guards the contents.  Neither is held
 * while anything but this file and the WAL reader runs.
 *
 * Samples (an insert position, and a transaction id that had not been
 * assigned yet) tell where in the WAL the traces of a transaction can begin.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/transam.h"
#include "access/xlog.h"
#include "capture/vs_hints_internal.h"
#include "catalog/pg_control.h"
#include "common/controldata_utils.h"
#include "miscadmin.h"
#include "port/atomics.h"
#include "storage/lwlock.h"
#include "storage/shmem.h"
#include "utils/hsearch.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"

#define CHUNK_BYTES			((Size) 1024 * 1024)
#define NUM_SAMPLES			64
#define SAMPLE_INTERVAL_MS	1000
#define UNUSED_WATCH_MS		(10 * 60 * 1000)
#define EXPIRE_INTERVAL_MS	(60 * 1000)
#define SCAN_BATCH			4096	/* entries looked at per lock hold */

typedef struct Watch
{
	RelFileNode node;			/* hash key */
	uint32		number;			/* never used for another watch */
	XLogRecPtr	since;			/* hints are in the ring from here on */
	XLogRecPtr	last_hint;		/* start of the last record seen, or Invalid */
	TimestampTz used;			/* asked for last; written under a shared lock */
} Watch;

typedef struct Sample
{
	FullTransactionId xid;		/* it and later ones left nothing before lsn */
	XLogRecPtr	lsn;
} Sample;

typedef struct VsRing
{
	int			tranche;
	LWLock		reader_lock;
	LWLock		ring_lock;
	pg_atomic_uint64 position;	/* ring_lock; read without */
	pg_atomic_uint64 tried;		/* flushed position that was read up to */

	/* guarded by both locks: either is enough to read them */
	uint64		generation;		/* of the watch set */
	uint32		next_number;
	TimestampTz expired_at;

	/* guarded by ring_lock */
	XLogRecPtr	start;			/* no hint from here on was dropped */
	uint64		head;			/* sequence number of the next entry */
	uint64		tail;			/* and of the oldest one */
	TimestampTz sampled_at;
	int			nsamples;
	Sample		samples[NUM_SAMPLES];	/* oldest first */

	uint32		size;
	VsHint		entries[FLEXIBLE_ARRAY_MEMBER];
} VsRing;

static VsRing *ring = NULL;
static HTAB *watches = NULL;

/* This process's copy of the watch set, good for one generation. */
static MemoryContext copy_context = NULL;
static uint64 copy_generation = 0;
static VsFileTable *copy_files = NULL;
static Watch **copy_watches = NULL;
static VsHintBuffer chunk;

static uint32 ring_entries(void);
static long max_watches(void);
static void read_chunk(XLogRecPtr limit);
static void copy_watch_set(void);
static void publish(XLogRecPtr position);
static void restart_ring(void);
static void expire_watches(TimestampTz now);
static void take_sample(TimestampTz now);
static void add_sample(FullTransactionId xid, XLogRecPtr lsn);
static uint64 find_entry(XLogRecPtr lsn);
static VsRingFile *find_ring_file(VsRingScan *scan, uint32 watch);
static int	compare_ring_file(const void *a, const void *b);

Size
vs_ring_shmem_size(void)
{
	Size		size = offsetof(VsRing, entries);

	size = add_size(size, mul_size(ring_entries(), sizeof(VsHint)));
	return add_size(size, hash_estimate_size(max_watches(), sizeof(Watch)));
}

/* The caller holds AddinShmemInitLock. */
void
vs_ring_shmem_init(void)
{
	HASHCTL		ctl = {0};
	bool		found;

	ring = (VsRing *)
		ShmemInitStruct("velostream hints",
						add_size(offsetof(VsRing, entries),
								 mul_size(ring_entries(), sizeof(VsHint))),
						&found);
	if (!found)
	{
		memset(ring, 0, offsetof(VsRing, entries));
		ring->tranche = LWLockNewTrancheId();
		LWLockInitialize(&ring->reader_lock, ring->tranche);
		LWLockInitialize(&ring->ring_lock, ring->tranche);
		pg_atomic_init_u64(&ring->position, InvalidXLogRecPtr);
		pg_atomic_init_u64(&ring->tried, InvalidXLogRecPtr);
		ring->generation = 1;
		ring->next_number = 1;
		ring->size = ring_entries();
	}
	LWLockRegisterTranche(ring->tranche, "velostream_hints");

	ctl.keysize = sizeof(RelFileNode);
	ctl.entrysize = sizeof(Watch);
	watches = ShmemInitHash("velostream watched files", max_watches(), max_watches(),
							&ctl, HASH_ELEM | HASH_BLOBS | HASH_FIXED_SIZE);
}

static uint32
ring_entries(void)
{
	Size		n = (Size) vs_hint_buffer * 1024 / sizeof(VsHint);

	return (uint32) Max(n, 64);
}

static long
max_watches(void)
{
	return Max(256, 8 * (long) vs_max_queries);
}

/*
 * vs_ring_advance: read on until the ring has the hints before "upto", or, if
 * that comes first, to the end of flushed WAL.
 *
 * Without wait, leave it to another process if one is reading.  True when the
 * position is at or past "upto"; what that is worth for a file is told by
 * vs_ring_watched_since and the scan.
 */
bool
vs_ring_advance(XLogRecPtr upto, bool wait)
{
	while (vs_ring_position() < upto)
	{
		XLogRecPtr	before = vs_ring_position();
		XLogRecPtr	flushed = GetFlushRecPtr(NULL);

		/* nothing new since someone came to the end */
		if (before != InvalidXLogRecPtr &&
			pg_atomic_read_u64(&ring->tried) == flushed)
			return false;

		CHECK_FOR_INTERRUPTS();
		if (wait)
			LWLockAcquire(&ring->reader_lock, LW_EXCLUSIVE);
		else if (!LWLockConditionalAcquire(&ring->reader_lock, LW_EXCLUSIVE))
			return false;
		if (vs_ring_position() == before)
			read_chunk(upto);
		LWLockRelease(&ring->reader_lock);
	}
	return true;
}

/*
 * Where the shared reader is; Invalid before it ever ran.
 */
XLogRecPtr
vs_ring_position(void)
{
	return (XLogRecPtr) pg_atomic_read_u64(&ring->position);
}

/*
 * Read and publish one chunk.  The caller holds reader_lock.
 */
static void
read_chunk(XLogRecPtr limit)
{
	XLogRecPtr	position = vs_ring_position();
	XLogRecPtr	flushed = GetFlushRecPtr(NULL);
	TimestampTz now = GetCurrentTimestamp();
	VsWalResult result;

	Assert(LWLockHeldByMeInMode(&ring->reader_lock, LW_EXCLUSIVE));

	if (TimestampDifferenceExceeds(ring->expired_at, now, EXPIRE_INTERVAL_MS))
		expire_watches(now);
	if (position == InvalidXLogRecPtr || hash_get_num_entries(watches) == 0)
	{
		restart_ring();
		take_sample(now);
		return;
	}

	copy_watch_set();
	chunk.n = 0;
	result = vs_wal_read(&position, limit, CHUNK_BYTES, copy_files, &chunk);
	if (result == VS_WAL_FAILED)
		restart_ring();
	else
	{
		publish(position);
		if (result == VS_WAL_END && position < limit)
			pg_atomic_write_u64(&ring->tried, flushed);
	}
	take_sample(now);
}

/*
 * Refresh this process's copy of the watch set.  The entries that it points
 * to stay where they are while reader_lock is held.
 */
static void
copy_watch_set(void)
{
	HASH_SEQ_STATUS seq;
	Watch	   *watch;
	long		n = hash_get_num_entries(watches);
	uint32		i = 0;

	if (copy_context != NULL && copy_generation == ring->generation)
		return;

	if (copy_context == NULL)
		copy_context = AllocSetContextCreate(TopMemoryContext,
											 "velostream watched files",
											 ALLOCSET_SMALL_SIZES);
	copy_generation = 0;
	MemoryContextReset(copy_context);
	if (chunk.hints == NULL)
		vs_hint_buffer_init(&chunk, TopMemoryContext);
	copy_files = vs_file_table_create(copy_context, n);
	copy_watches = (Watch **)
		MemoryContextAlloc(copy_context, (n + 1) * sizeof(Watch *));

	hash_seq_init(&seq, watches);
	while ((watch = (Watch *) hash_seq_search(&seq)) != NULL)
	{
		vs_file_table_add(copy_files, watch->node, i);
		copy_watches[i++] = watch;
	}
	copy_generation = ring->generation;
}

/*
 * Append the chunk to the ring, and move on to "position".
 */
static void
publish(XLogRecPtr position)
{
	LWLockAcquire(&ring->ring_lock, LW_EXCLUSIVE);
	for (int i = 0; i < chunk.n; i++)
	{
		VsHint	   *entry;
		Watch	   *watch = copy_watches[VS_HINT_FILE(&chunk.hints[i])];

		if (ring->head - ring->tail == ring->size)
		{
			entry = &ring->entries[ring->tail % ring->size];
			ring->start = Max(ring->start, VS_HINT_LAST(entry) + 1);
			ring->tail++;
		}
		entry = &ring->entries[ring->head % ring->size];
		*entry = chunk.hints[i];
		entry->file = (watch->number << 1) | (entry->file & VS_HINT_RETRACT);
		watch->last_hint = VS_HINT_LAST(entry);
		ring->head++;
	}
	pg_atomic_write_u64(&ring->position, position);
	LWLockRelease(&ring->ring_lock);
}

/*
 * Begin anew at the current insert position: for the first time, when nothing
 * was watched, or when WAL cannot be read.
 */
static void
restart_ring(void)
{
	HASH_SEQ_STATUS seq;
	Watch	   *watch;
	XLogRecPtr	position;

	LWLockAcquire(&ring->ring_lock, LW_EXCLUSIVE);
	position = GetXLogInsertRecPtr();
	hash_seq_init(&seq, watches);
	while ((watch = (Watch *) hash_seq_search(&seq)) != NULL)
	{
		watch->since = position;
		watch->last_hint = InvalidXLogRecPtr;
	}
	ring->tail = ring->head;
	ring->start = position;
	pg_atomic_write_u64(&ring->position, position);
	pg_atomic_write_u64(&ring->tried, InvalidXLogRecPtr);
	LWLockRelease(&ring->ring_lock);
}

/*
 * vs_ring_watch: see to it that these files are watched from now on.  When
 * the set is full, some are not.
 */
void
vs_ring_watch(int nsources, const VsSource *sources)
{
	TimestampTz now = GetCurrentTimestamp();
	bool		missing = false;

	LWLockAcquire(&ring->ring_lock, LW_SHARED);
	for (int i = 0; i < nsources; i++)
	{
		Watch	   *watch = (Watch *)
		hash_search(watches, &sources[i].node, HASH_FIND, NULL);

		if (watch)
			watch->used = now;
		else
			missing = true;
	}
	if (hash_get_num_entries(watches) >= max_watches() &&
		!TimestampDifferenceExceeds(ring->expired_at, now, EXPIRE_INTERVAL_MS))
		missing = false;
	LWLockRelease(&ring->ring_lock);
	if (!missing)
		return;

	LWLockAcquire(&ring->reader_lock, LW_EXCLUSIVE);
	if (vs_ring_position() == InvalidXLogRecPtr || hash_get_num_entries(watches) == 0)
		restart_ring();
	if (hash_get_num_entries(watches) + nsources > max_watches())
		expire_watches(now);

	LWLockAcquire(&ring->ring_lock, LW_EXCLUSIVE);
	for (int i = 0; i < nsources; i++)
	{
		Watch	   *watch;
		bool		found;

		/* a full table of fixed size would be an error */
		if (hash_get_num_entries(watches) >= max_watches() &&
			!hash_search(watches, &sources[i].node, HASH_FIND, NULL))
			continue;
		watch = (Watch *) hash_search(watches, &sources[i].node, HASH_ENTER_NULL, &found);
		if (watch == NULL || found)
			continue;
		watch->number = ring->next_number++;
		watch->since = vs_ring_position();
		watch->last_hint = InvalidXLogRecPtr;
		watch->used = now;
		ring->generation++;
	}
	LWLockRelease(&ring->ring_lock);
	LWLockRelease(&ring->reader_lock);
}

/*
 * Stop watching files that nobody asked for in a long time.  The caller holds
 * reader_lock.
 */
static void
expire_watches(TimestampTz now)
{
	HASH_SEQ_STATUS seq;
	Watch	   *watch;

	LWLockAcquire(&ring->ring_lock, LW_EXCLUSIVE);
	ring->expired_at = now;
	hash_seq_init(&seq, watches);
	while ((watch = (Watch *) hash_seq_search(&seq)) != NULL)
	{
		if (TimestampDifferenceExceeds(watch->used, now, UNUSED_WATCH_MS))
		{
			hash_search(watches, &watch->node, HASH_REMOVE, NULL);
			ring->generation++;
		}
	}
	LWLockRelease(&ring->ring_lock);
}

/*
 * The number of the file's watch, and from where the ring has its hints; 0 if
 * it is not watched.
 */
uint32
vs_ring_watched_since(RelFileNode node, XLogRecPtr *since)
{
	Watch	   *watch;
	uint32		number = 0;

	LWLockAcquire(&ring->ring_lock, LW_SHARED);
	watch = (Watch *) hash_search(watches, &node, HASH_FIND, NULL);
	if (watch)
	{
		number = watch->number;
		*since = Max(watch->since, ring->start);
	}
	LWLockRelease(&ring->ring_lock);
	return number;
}

/*
 * Was any of the files touched by a record that starts at "since" or later,
 * as far as WAL was read?
 */
VsTouched
vs_ring_touched(int nsources, const VsSource *sources, XLogRecPtr since)
{
	TimestampTz now = GetCurrentTimestamp();
	VsTouched	result = VS_TOUCHED_NO;

	LWLockAcquire(&ring->ring_lock, LW_SHARED);
	for (int i = 0; i < nsources; i++)
	{
		Watch	   *watch = (Watch *)
		hash_search(watches, &sources[i].node, HASH_FIND, NULL);

		if (watch == NULL)
		{
			result = VS_TOUCHED_UNKNOWN;
			continue;
		}
		watch->used = now;
		if (watch->last_hint >= since && watch->last_hint != InvalidXLogRecPtr)
		{
			result = VS_TOUCHED_YES;
			break;
		}
		if (watch->since > since)
			result = VS_TOUCHED_UNKNOWN;
	}
	LWLockRelease(&ring->ring_lock);
	return result;
}

/*
 * vs_ring_scan: the next hints of scan->files in [from, upto), appended to
 * "out" with the number of the file replaced by its source.  False at the end.
 *
 * *lost is set when the ring does not have them all (any more); those given
 * before are good.
 */
bool
vs_ring_scan(VsRingScan *scan, VsHintBuffer *out, bool *lost)
{
	int			batch = SCAN_BATCH;

	if (!scan->started)
		qsort(scan->files, scan->nfiles, sizeof(VsRingFile), compare_ring_file);
	if (out->max - out->n < batch)
	{
		out->max = out->n + batch;
		out->hints = (VsHint *) repalloc_huge(out->hints, (Size) out->max * sizeof(VsHint));
	}

	LWLockAcquire(&ring->ring_lock, LW_SHARED);
	if (!scan->started)
	{
		*lost = ring->start > scan->from || vs_ring_position() < scan->upto;
		scan->next = find_entry(scan->from);
		scan->started = true;
	}
	else
		*lost = scan->next < ring->tail;

	while (!*lost && batch-- > 0)
	{
		VsHint	   *entry = &ring->entries[scan->next % ring->size];
		VsRingFile *file;

		if (scan->next >= ring->head || entry->lsn >= scan->upto)
		{
			LWLockRelease(&ring->ring_lock);
			return false;
		}
		file = find_ring_file(scan, VS_HINT_FILE(entry));
		if (file && VS_HINT_LAST(entry) >= file->from)
		{
			VsHint	   *hint = &out->hints[out->n++];

			*hint = *entry;
			hint->file = ((uint32) file->source << 1) | (entry->file & VS_HINT_RETRACT);
		}
		scan->next++;
	}
	LWLockRelease(&ring->ring_lock);
	return !*lost;
}

/*
 * The first entry whose last record starts at lsn or later.  Hints in the
 * ring do not overlap except for the two blocks of one record, so the ends
 * are in order, too.
 */
static uint64
find_entry(XLogRecPtr lsn)
{
	uint64		low = ring->tail;
	uint64		high = ring->head;

	while (low < high)
	{
		uint64		middle = low + (high - low) / 2;

		if (VS_HINT_LAST(&ring->entries[middle % ring->size]) < lsn)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

static VsRingFile *
find_ring_file(VsRingScan *scan, uint32 watch)
{
	int			low = 0;
	int			high = scan->nfiles;

	while (low < high)
	{
		int			middle = (low + high) / 2;

		if (scan->files[middle].watch == watch)
			return &scan->files[middle];
		if (scan->files[middle].watch < watch)
			low = middle + 1;
		else
			high = middle;
	}
	return NULL;
}

static int
compare_ring_file(const void *a, const void *b)
{
	uint32		x = ((const VsRingFile *) a)->watch;
	uint32		y = ((const VsRingFile *) b)->watch;

	return (x > y) - (x < y);
}

/*
 * Note where the WAL ends now and which transaction ids are still to come.
 * The position is read first: what is assigned later is written later.
 */
static void
take_sample(TimestampTz now)
{
	XLogRecPtr	lsn;

	/* only changed under reader_lock, which the caller holds */
	if (!TimestampDifferenceExceeds(ring->sampled_at, now, SAMPLE_INTERVAL_MS))
		return;
	lsn = GetXLogInsertRecPtr();
	pg_memory_barrier();
	add_sample(ReadNextFullTransactionId(), lsn);
	ring->sampled_at = now;
}

/*
 * When there is no room, thin out where neighbours are closest, compared to
 * how long ago that was.
 */
static void
add_sample(FullTransactionId xid, XLogRecPtr lsn)
{
	LWLockAcquire(&ring->ring_lock, LW_EXCLUSIVE);
	if (ring->nsamples == NUM_SAMPLES)
	{
		double		least = 0;
		int			victim = 0;

		for (int i = 1; i < NUM_SAMPLES - 1; i++)
		{
			double		gap = (double) (ring->samples[i + 1].lsn - ring->samples[i - 1].lsn);
			double		worth = gap / ((double) (lsn - ring->samples[i].lsn) + 1.0);

			if (victim == 0 || worth < least)
			{
				victim = i;
				least = worth;
			}
		}
		memmove(&ring->samples[victim], &ring->samples[victim + 1],
				(NUM_SAMPLES - 1 - victim) * sizeof(Sample));
		ring->nsamples--;
	}
	ring->samples[ring->nsamples].xid = xid;
	ring->samples[ring->nsamples].lsn = lsn;
	ring->nsamples++;
	LWLockRelease(&ring->ring_lock);
}

/*
 * vs_ring_before_xid: a position, as late as is known, before which neither
 * this transaction nor any with a higher id left a trace.  Invalid: unknown.
 */
XLogRecPtr
vs_ring_before_xid(FullTransactionId xid)
{
	XLogRecPtr	lsn = InvalidXLogRecPtr;

	LWLockAcquire(&ring->ring_lock, LW_SHARED);
	for (int i = ring->nsamples - 1; i >= 0 && lsn == InvalidXLogRecPtr; i--)
	{
		if (FullTransactionIdPrecedesOrEquals(ring->samples[i].xid, xid))
			lsn = ring->samples[i].lsn;
	}
	LWLockRelease(&ring->ring_lock);

	if (lsn == InvalidXLogRecPtr)
		lsn = vs_wal_before_xid(xid);
	return lsn;
}

/*
 * The same from the last checkpoint: the ids from its nextXid on were
 * assigned after its redo position.
 */
XLogRecPtr
vs_wal_before_xid(FullTransactionId xid)
{
	ControlFileData *control;
	bool		crc_ok;
	XLogRecPtr	lsn = InvalidXLogRecPtr;

	LWLockAcquire(ControlFileLock, LW_SHARED);
	control = get_controlfile(DataDir, &crc_ok);
	LWLockRelease(ControlFileLock);
	if (crc_ok &&
		FullTransactionIdPrecedesOrEquals(control->checkPointCopy.nextXid, xid))
		lsn = control->checkPointCopy.redo;
	pfree(control);
	return lsn;
}
