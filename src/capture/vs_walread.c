/*-------------------------------------------------------------------------
 *
 * vs_walread.c
 *	  Reading this server's own WAL: which pages of which files were touched.
 *
 * Each process has one XLogReader, which reads flushed WAL from the segment
 * files, never waits and never raises an error because WAL is missing or
 * damaged: a hint is all that is lost.  A segment that lies before a change
 * of timeline is read from the file of the timeline that was current at the
 * segment's end, as XLogReadDetermineTimeline does.
 *
 * The loop in vs_wal_read runs once per WAL record of the whole cluster: keep
 * it tight.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include <fcntl.h>
#include <unistd.h>

#include "access/heapam_xlog.h"
#include "access/timeline.h"
#include "access/xact.h"
#include "access/xlog.h"
#include "access/xlog_internal.h"
#include "access/xlogreader.h"
#include "capture/vs_hints_internal.h"
#include "miscadmin.h"
#include "pgstat.h"
#include "storage/fd.h"
#include "utils/memutils.h"
#include "utils/wait_event.h"

typedef struct FileSlot
{
	RelFileNode node;
	bool		used;
	uint32		number;
} FileSlot;

/* Open addressing, at most half full. */
struct VsFileTable
{
	uint32		mask;
	FileSlot   *slots;
	bool		last_found;		/* result of the last lookup, of last_node */
	bool		last_valid;
	uint32		last_number;
	RelFileNode last_node;
};

/* This process's reader and what its callback works with. */
static MemoryContext reader_context = NULL;
static XLogReaderState *reader = NULL;
static XLogRecPtr read_limit;	/* flushed up to here */
static bool end_of_wal;			/* the callback was asked for more than that */
static int	segment_fd = -1;
static XLogSegNo segment_no;
static TimeLineID segment_tli;
static List *history = NIL;		/* of timeline history_tli */
static TimeLineID history_tli = 0;

static MemoryContext get_reader_context(void);
static int	read_page(XLogReaderState *state, XLogRecPtr page, int reqlen,
					  XLogRecPtr record, char *buffer);
static bool open_segment(XLogSegNo segno);
static TimeLineID segment_timeline(XLogSegNo segno);
static inline void decode_record(VsFileTable *files, VsHintBuffer *hints);
static void decode_heap(VsFileTable *files, VsHintBuffer *hints, bool retract);
static void decode_commit(VsFileTable *files, VsHintBuffer *hints);
static bool lookup_file(VsFileTable *table, const RelFileNode *node, uint32 *number);
static uint32 hash_file(const RelFileNode *node);
static void add_hint(VsHintBuffer *hints, uint32 file, BlockNumber block);

/*
 * vs_wal_read: append the hints of the records that start in
 * [*position, limit) to "hints", for the given files.
 *
 * Only flushed WAL is read, and little more than max_bytes of it at a time.
 * *position moves to the start of the first record not read.  Raises no error
 * but out of memory.
 */
VsWalResult
vs_wal_read(XLogRecPtr *position, XLogRecPtr limit, Size max_bytes,
			VsFileTable *files, VsHintBuffer *hints)
{
	XLogRecPtr	stop = *position + max_bytes;
	VsWalResult result = VS_WAL_END;
	MemoryContext oldcontext;
	char	   *message;

	if (*position >= limit)
		return VS_WAL_END;
	if (*position % XLOG_BLCKSZ < SizeOfXLogShortPHD)
		return VS_WAL_FAILED;

	/* the reader allocates as it goes */
	oldcontext = MemoryContextSwitchTo(get_reader_context());
	read_limit = GetFlushRecPtr(NULL);
	end_of_wal = false;
	XLogBeginRead(reader, *position);
	while (*position < limit)
	{
		if (XLogReadRecord(reader, &message) == NULL)
		{
			if (!end_of_wal)
				result = VS_WAL_FAILED;
			break;
		}

		/* a record that a crash left unfinished may have been skipped */
		if (unlikely(reader->ReadRecPtr >= limit))
		{
			*position = reader->ReadRecPtr;
			break;
		}

		decode_record(files, hints);
		*position = vs_wal_record_start(reader->EndRecPtr);
		if (*position >= stop)
		{
			result = (*position < limit) ? VS_WAL_MORE : VS_WAL_END;
			break;
		}
	}
	MemoryContextSwitchTo(oldcontext);
	return result;
}

/*
 * Where the next record starts, given where the one before it ends.
 */
XLogRecPtr
vs_wal_record_start(XLogRecPtr end)
{
	if (end % XLOG_BLCKSZ == 0)
		end += (XLogSegmentOffset(end, wal_segment_size) == 0) ?
			SizeOfXLogLongPHD : SizeOfXLogShortPHD;
	return end;
}

/*
 * The reverse: how far the WAL must be flushed for all records before "start".
 */
XLogRecPtr
vs_wal_record_end(XLogRecPtr start)
{
	XLogRecPtr	page = start - start % XLOG_BLCKSZ;

	return (vs_wal_record_start(page) == start) ? page : start;
}

void
vs_hint_buffer_init(VsHintBuffer *buffer, MemoryContext context)
{
	buffer->n = 0;
	buffer->max = 256;
	buffer->hints = (VsHint *) MemoryContextAlloc(context, buffer->max * sizeof(VsHint));
}

/*
 * Where the reader and all that it allocates live; made on first use.
 */
static MemoryContext
get_reader_context(void)
{
	MemoryContext oldcontext;

	if (reader_context == NULL)
		reader_context = AllocSetContextCreate(TopMemoryContext,
											   "velostream WAL reader",
											   ALLOCSET_DEFAULT_SIZES);
	if (reader != NULL)
		return reader_context;

	oldcontext = MemoryContextSwitchTo(reader_context);
	reader = XLogReaderAllocate(wal_segment_size, NULL,
								XL_ROUTINE(.page_read = read_page),
								NULL);
	MemoryContextSwitchTo(oldcontext);
	if (reader == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_OUT_OF_MEMORY),
				 errmsg("out of memory"),
				 errdetail("Failed while allocating a WAL reading processor.")));
	return reader_context;
}

/*
 * The reader's callback: -1 when the page is not flushed that far (end_of_wal
 * is set) or not there any more.
 */
static int
read_page(XLogReaderState *state, XLogRecPtr page, int reqlen,
		  XLogRecPtr record, char *buffer)
{
	XLogSegNo	segno;
	int			count = XLOG_BLCKSZ;
	int			nread;

	if (page + reqlen > read_limit)
	{
		end_of_wal = true;
		return -1;
	}
	if (page + XLOG_BLCKSZ > read_limit)
		count = (int) (read_limit - page);

	XLByteToSeg(page, segno, wal_segment_size);
	if ((segment_fd < 0 || segno != segment_no) && !open_segment(segno))
		return -1;

	pgstat_report_wait_start(WAIT_EVENT_WAL_READ);
	nread = pg_pread(segment_fd, buffer, count,
					 (off_t) XLogSegmentOffset(page, wal_segment_size));
	pgstat_report_wait_end();
	if (nread != count)
		return -1;

	state->seg.ws_tli = segment_tli;
	return count;
}

/*
 * Make the segment the open one.  False if its file is not there.
 */
static bool
open_segment(XLogSegNo segno)
{
	char		path[MAXPGPATH];

	if (segment_fd >= 0)
	{
		close(segment_fd);
		segment_fd = -1;
	}
	if (segno <= XLogGetLastRemovedSegno())
		return false;

	segment_tli = segment_timeline(segno);
	XLogFilePath(path, segment_tli, segno, wal_segment_size);
	segment_fd = BasicOpenFile(path, O_RDONLY | PG_BINARY);
	segment_no = segno;
	return segment_fd >= 0;
}

/*
 * The timeline whose file of this segment has all of it.
 */
static TimeLineID
segment_timeline(XLogSegNo segno)
{
	TimeLineID	current = GetWALInsertionTimeLine();
	XLogRecPtr	end;

	/* the first timeline has no history */
	if (current == 1)
		return current;
	if (history_tli != current)
	{
		MemoryContext oldcontext = MemoryContextSwitchTo(TopMemoryContext);

		list_free_deep(history);
		history = NIL;
		history_tli = 0;
		history = readTimeLineHistory(current);
		history_tli = current;
		MemoryContextSwitchTo(oldcontext);
	}
	XLogSegNoOffsetToRecPtr(segno + 1, 0, wal_segment_size, end);
	return tliOfPointInHistory(end - 1, history);
}

/*
 * Only what changes who sees which row, and what removes files.
 */
static inline void
decode_record(VsFileTable *files, VsHintBuffer *hints)
{
	uint8		info = XLogRecGetInfo(reader);

	switch (XLogRecGetRmid(reader))
	{
		case RM_HEAP_ID:
			info &= XLOG_HEAP_OPMASK;
			if (info == XLOG_HEAP_INSERT)
				decode_heap(files, hints, false);
			else if (info == XLOG_HEAP_UPDATE || info == XLOG_HEAP_HOT_UPDATE ||
					 info == XLOG_HEAP_DELETE)
				decode_heap(files, hints, true);
			break;
		case RM_HEAP2_ID:
			if ((info & XLOG_HEAP_OPMASK) == XLOG_HEAP2_MULTI_INSERT)
				decode_heap(files, hints, false);
			break;
		case RM_XACT_ID:
			if (info & XLOG_XACT_HAS_INFO)
				decode_commit(files, hints);
			break;
		default:
			break;
	}
}

/*
 * A hint for every block of the main fork that the current record refers to:
 * an update has two, unless both versions are on one page.
 */
static void
decode_heap(VsFileTable *files, VsHintBuffer *hints, bool retract)
{
	int			max = XLogRecMaxBlockId(reader);

	for (int id = 0; id <= max; id++)
	{
		RelFileNode node;
		ForkNumber	fork;
		BlockNumber block;
		uint32		number;

		if (!XLogRecGetBlockTagExtended(reader, id, &node, &fork, &block, NULL))
			continue;
		if (fork != MAIN_FORKNUM || !lookup_file(files, &node, &number))
			continue;
		add_hint(hints, (number << 1) | (retract ? VS_HINT_RETRACT : 0), block);
	}
}

/*
 * A commit that removes files (of DROP, TRUNCATE, VACUUM FULL, ...): a hint
 * without a block for those we look for.
 */
static void
decode_commit(VsFileTable *files, VsHintBuffer *hints)
{
	uint8		op = XLogRecGetInfo(reader) & XLOG_XACT_OPMASK;
	xl_xact_parsed_commit parsed;

	if (op != XLOG_XACT_COMMIT && op != XLOG_XACT_COMMIT_PREPARED)
		return;

	ParseCommitRecord(XLogRecGetInfo(reader),
					  (xl_xact_commit *) XLogRecGetData(reader), &parsed);
	for (int i = 0; i < parsed.nrels; i++)
	{
		uint32		number;

		if (lookup_file(files, &VS_COMMIT_FILES(parsed)[i], &number))
			add_hint(hints, (number << 1) | VS_HINT_RETRACT, InvalidBlockNumber);
	}
}

/*
 * Append a hint of the current record, or extend the last one by it.
 */
static void
add_hint(VsHintBuffer *hints, uint32 file, BlockNumber block)
{
	TransactionId xid = XLogRecGetXid(reader);
	XLogRecPtr	lsn = reader->ReadRecPtr;
	VsHint	   *hint;

	if (hints->n > 0)
	{
		hint = &hints->hints[hints->n - 1];
		if (hint->block == block && hint->file == file && hint->xid == xid &&
			lsn - hint->lsn <= PG_UINT32_MAX)
		{
			hint->span = (uint32) (lsn - hint->lsn);
			return;
		}
	}
	if (hints->n == hints->max)
	{
		hints->hints = (VsHint *)
			repalloc_huge(hints->hints, (Size) hints->max * 2 * sizeof(VsHint));
		hints->max *= 2;
	}
	hint = &hints->hints[hints->n++];
	hint->lsn = lsn;
	hint->span = 0;
	hint->xid = xid;
	hint->block = block;
	hint->file = file;
}

/*
 * A table of up to n files; it and its slots are freed with the context.
 */
VsFileTable *
vs_file_table_create(MemoryContext context, int n)
{
	VsFileTable *table = (VsFileTable *)
	MemoryContextAllocZero(context, sizeof(VsFileTable));
	uint32		size = 16;

	while (size < 2 * (uint32) n)
		size *= 2;
	table->mask = size - 1;
	table->slots = (FileSlot *) MemoryContextAllocZero(context, size * sizeof(FileSlot));
	return table;
}

void
vs_file_table_add(VsFileTable *table, RelFileNode node, uint32 number)
{
	uint32		i = hash_file(&node) & table->mask;

	while (table->slots[i].used)
		i = (i + 1) & table->mask;
	table->slots[i].node = node;
	table->slots[i].number = number;
	table->slots[i].used = true;
	table->last_valid = false;
}

/*
 * Records of one file come in runs, so the last answer is tried first.
 */
static bool
lookup_file(VsFileTable *table, const RelFileNode *node, uint32 *number)
{
	if (!table->last_valid || !RelFileNodeEquals(table->last_node, *node))
	{
		uint32		i = hash_file(node) & table->mask;

		while (table->slots[i].used && !RelFileNodeEquals(table->slots[i].node, *node))
			i = (i + 1) & table->mask;
		table->last_valid = true;
		table->last_node = *node;
		table->last_found = table->slots[i].used;
		table->last_number = table->slots[i].number;
	}
	*number = table->last_number;
	return table->last_found;
}

/* Tablespace, database, file: in all versions three words in this order. */
static uint32
hash_file(const RelFileNode *node)
{
	uint32		words[3];
	uint32		h;

	StaticAssertStmt(sizeof(RelFileNode) == sizeof(words), "unexpected file identifier");
	memcpy(words, node, sizeof(words));
	h = (words[2] ^ (words[1] << 7)) * 0x9E3779B1U;
	return h ^ (h >> 15);
}
