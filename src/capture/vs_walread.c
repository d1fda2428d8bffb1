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
 * it tight.  XLogReadRecord copies and decodes all of a record, which costs
 * several times what we need of it.  So we let it read only those records that
 * it takes some care to find or to understand: the first one, those that
 * continue on another page, those with page images, commits and aborts that
 * tell more than the fact, and what is about the WAL itself.  The others lie in
 * the page that it has read and checked to get there, and are looked at in
 * place.
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
#include "port/pg_crc32c.h"
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

/* What a record does to the rows of the blocks that it refers to. */
typedef enum HeapChange
{
	HEAP_CHANGE_NONE,			/* nothing that changes who sees which row */
	HEAP_CHANGE_INSERT,			/* rows come */
	HEAP_CHANGE_RETRACT			/* rows go, or give way to others */
} HeapChange;

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
static inline XLogRecord *record_in_page(XLogRecPtr start, XLogRecPtr previous);
static inline HeapChange heap_change(RmgrId rmid, uint8 info);
static inline bool look_at_record(XLogRecord *record, XLogRecPtr lsn,
								  VsFileTable *files, VsHintBuffer *hints);
static bool look_at_blocks(XLogRecord *record, XLogRecPtr lsn, bool retract,
						   VsFileTable *files, VsHintBuffer *hints);
#ifdef USE_ASSERT_CHECKING
static bool decoder_agrees(XLogRecPtr start, VsFileTable *files, const VsHintBuffer *hints);
#endif
static void decode_record(VsFileTable *files, VsHintBuffer *hints);
static void decode_heap(VsFileTable *files, VsHintBuffer *hints, bool retract);
static void decode_commit(VsFileTable *files, VsHintBuffer *hints);
static inline bool lookup_file(VsFileTable *table, const RelFileNode *node, uint32 *number);
static uint32 hash_file(const RelFileNode *node);
static inline void add_hint(VsHintBuffer *hints, XLogRecPtr lsn, TransactionId xid,
							uint32 file, bool retract, BlockNumber block);

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
	XLogRecPtr	previous = InvalidXLogRecPtr;	/* the last record read */
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
	while (*position < limit)
	{
		XLogRecord *record = record_in_page(*position, previous);

		if (record != NULL && look_at_record(record, *position, files, hints))
		{
			Assert(decoder_agrees(*position, files, hints));
			previous = *position;
			*position = vs_wal_record_start(*position + MAXALIGN(record->xl_tot_len));
		}
		else
		{
			XLogBeginRead(reader, *position);
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
			if (unlikely(previous != InvalidXLogRecPtr &&
						 reader->ReadRecPtr == *position &&
						 XLogRecGetPrev(reader) != previous))
			{
				result = VS_WAL_FAILED;
				break;
			}

			decode_record(files, hints);
			previous = reader->ReadRecPtr;
			*position = vs_wal_record_start(reader->EndRecPtr);
		}

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
 * The record that starts at "start", if it lies in the page that the reader
 * has, as far as that is read, and is what must come after the record at
 * "previous".  If not, XLogReadRecord finds out why.
 */
static inline XLogRecord *
record_in_page(XLogRecPtr start, XLogRecPtr previous)
{
	uint32		offset = start % XLOG_BLCKSZ;
	XLogSegNo	segno;
	XLogRecord *record;
	pg_crc32c	crc;

	XLByteToSeg(start, segno, wal_segment_size);
	if (previous == InvalidXLogRecPtr ||
		reader->readLen < offset + SizeOfXLogRecord ||
		reader->seg.ws_segno != segno ||
		reader->segoff != XLogSegmentOffset(start - offset, wal_segment_size))
		return NULL;

	record = (XLogRecord *) (reader->readBuf + offset);
	if (record->xl_tot_len < SizeOfXLogRecord ||
		record->xl_tot_len > reader->readLen - offset ||
		record->xl_prev != previous)
		return NULL;

	INIT_CRC32C(crc);
	COMP_CRC32C(crc, (char *) record + SizeOfXLogRecord, record->xl_tot_len - SizeOfXLogRecord);
	COMP_CRC32C(crc, (char *) record, offsetof(XLogRecord, xl_crc));
	FIN_CRC32C(crc);
	return EQ_CRC32C(record->xl_crc, crc) ? record : NULL;
}

static inline HeapChange
heap_change(RmgrId rmid, uint8 info)
{
	info &= XLOG_HEAP_OPMASK;
	if (rmid == RM_HEAP_ID)
	{
		if (info == XLOG_HEAP_INSERT)
			return HEAP_CHANGE_INSERT;
		if (info == XLOG_HEAP_UPDATE || info == XLOG_HEAP_HOT_UPDATE ||
			info == XLOG_HEAP_DELETE)
			return HEAP_CHANGE_RETRACT;
	}
	else if (rmid == RM_HEAP2_ID && info == XLOG_HEAP2_MULTI_INSERT)
		return HEAP_CHANGE_INSERT;
	return HEAP_CHANGE_NONE;
}

/*
 * What decode_record does, without decoding the record.  False if it has to be
 * decoded.
 */
static inline bool
look_at_record(XLogRecord *record, XLogRecPtr lsn, VsFileTable *files,
			   VsHintBuffer *hints)
{
	HeapChange	change = heap_change(record->xl_rmid, record->xl_info);

	if (change != HEAP_CHANGE_NONE)
		return look_at_blocks(record, lsn, change == HEAP_CHANGE_RETRACT, files, hints);

	/* the end of a segment; files that are dropped */
	return record->xl_rmid != RM_XLOG_ID &&
		!(record->xl_rmid == RM_XACT_ID && (record->xl_info & XLOG_XACT_HAS_INFO));
}

/*
 * What decode_heap does, for a record of which no block has an image.
 * xlogrecord.h describes the headers of blocks, which follow that of the
 * record, before all data; DecodeXLogRecord reads them in the same way.  False
 * if there is one, or anything else to be wondered at; the hints that are added
 * until then are those that decode_heap will add.
 */
static bool
look_at_blocks(XLogRecord *record, XLogRecPtr lsn, bool retract,
			   VsFileTable *files, VsHintBuffer *hints)
{
	char	   *pos = (char *) record + SizeOfXLogRecord;
	char	   *end = (char *) record + record->xl_tot_len;
	RelFileNode node;
	bool		has_node = false;

	while (pos < end)
	{
		XLogRecordBlockHeader header;
		BlockNumber block;
		uint32		number;

		if (*(uint8 *) pos > XLR_MAX_BLOCK_ID)
			return true;
		/* so near its end is no record that we know */
		if (end - pos < MaxSizeOfXLogRecordBlockHeader)
			break;
		memcpy(&header, pos, SizeOfXLogRecordBlockHeader);
		pos += SizeOfXLogRecordBlockHeader;
		if (header.fork_flags & BKPBLOCK_HAS_IMAGE)
			break;
		if (!(header.fork_flags & BKPBLOCK_SAME_REL))
		{
			memcpy(&node, pos, sizeof(RelFileNode));
			pos += sizeof(RelFileNode);
			has_node = true;
		}
		else if (!has_node)
			break;
		memcpy(&block, pos, sizeof(BlockNumber));
		pos += sizeof(BlockNumber);

		if ((header.fork_flags & BKPBLOCK_FORK_MASK) == MAIN_FORKNUM &&
			lookup_file(files, &node, &number))
			add_hint(hints, lsn, record->xl_xid, number, retract, block);
	}
	return false;
}

#ifdef USE_ASSERT_CHECKING
/*
 * Would the record that starts there, decoded, give the last ones of "hints"?
 */
static bool
decoder_agrees(XLogRecPtr start, VsFileTable *files, const VsHintBuffer *hints)
{
	static VsHintBuffer decoded;
	const VsHint *last;
	char	   *message;

	if (decoded.hints == NULL)
		vs_hint_buffer_init(&decoded, reader_context);
	decoded.n = 0;
	XLogBeginRead(reader, start);
	if (XLogReadRecord(reader, &message) == NULL || reader->ReadRecPtr != start)
		return false;
	decode_record(files, &decoded);

	if (decoded.n == 0)
		return hints->n == 0 || VS_HINT_LAST(&hints->hints[hints->n - 1]) != start;
	if (hints->n < decoded.n)
		return false;
	last = &hints->hints[hints->n - decoded.n];
	for (int i = 0; i < decoded.n; i++)
	{
		if (last[i].file != decoded.hints[i].file || last[i].block != decoded.hints[i].block ||
			last[i].xid != decoded.hints[i].xid || VS_HINT_LAST(&last[i]) != start)
			return false;
	}
	return true;
}
#endif

/*
 * Only what changes who sees which row, and what removes files, of the record
 * that the reader has decoded.
 */
static void
decode_record(VsFileTable *files, VsHintBuffer *hints)
{
	HeapChange	change = heap_change(XLogRecGetRmid(reader), XLogRecGetInfo(reader));

	if (change != HEAP_CHANGE_NONE)
		decode_heap(files, hints, change == HEAP_CHANGE_RETRACT);
	else if (XLogRecGetRmid(reader) == RM_XACT_ID &&
			 (XLogRecGetInfo(reader) & XLOG_XACT_HAS_INFO))
		decode_commit(files, hints);
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
		if (fork == MAIN_FORKNUM && lookup_file(files, &node, &number))
			add_hint(hints, reader->ReadRecPtr, XLogRecGetXid(reader), number, retract, block);
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
			add_hint(hints, reader->ReadRecPtr, XLogRecGetXid(reader), number, true,
					 InvalidBlockNumber);
	}
}

/*
 * Append a hint, or extend the last one by it.
 */
static inline void
add_hint(VsHintBuffer *hints, XLogRecPtr lsn, TransactionId xid, uint32 file,
		 bool retract, BlockNumber block)
{
	VsHint	   *hint;

	file = (file << 1) | (retract ? VS_HINT_RETRACT : 0);
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
static inline bool
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
