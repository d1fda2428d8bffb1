/*-------------------------------------------------------------------------
 *
 * vs_hints_internal.h
 *	  From the WAL to hints, and the ring that shares them.
 *
 * A position in the WAL is always the start of a record, or where the next
 * one will start, as GetXLogInsertRecPtr() gives it: never the boundary of a
 * page, which has a header first.  A hint belongs to [a, b) when its record
 * starts there.
 *
 *-------------------------------------------------------------------------
 */
#ifndef VS_HINTS_INTERNAL_H
#define VS_HINTS_INTERNAL_H

#include "capture/vs_capture_internal.h"

/*
 * One or more records in a row of one transaction id that touched one page.
 * The first starts at lsn, the last at lsn + span.  A hint without a block
 * says that the file itself went away.
 */
typedef struct VsHint
{
	XLogRecPtr	lsn;
	uint32		span;
	TransactionId xid;			/* (sub)transaction, as in the record */
	BlockNumber block;
	uint32		file;			/* number of the file and VS_HINT_RETRACT */
} VsHint;

#define VS_HINT_RETRACT			((uint32) 1)	/* a delete or an update */
#define VS_HINT_FILE(hint)		((hint)->file >> 1)
#define VS_HINT_LAST(hint)		((hint)->lsn + (hint)->span)

typedef struct VsHintBuffer
{
	VsHint	   *hints;
	int			n;
	int			max;
} VsHintBuffer;

extern void vs_hint_buffer_init(VsHintBuffer *buffer, MemoryContext context);

/* vs_walread.c: the files to look for; numbers are chosen by the caller. */
typedef struct VsFileTable VsFileTable;

extern VsFileTable *vs_file_table_create(MemoryContext context, int n);
extern void vs_file_table_add(VsFileTable *table, RelFileNode node, uint32 number);

typedef enum VsWalResult
{
	VS_WAL_MORE,				/* stopped after max_bytes */
	VS_WAL_END,					/* came to limit, or to the end of flushed WAL */
	VS_WAL_FAILED				/* this WAL cannot be read */
} VsWalResult;

extern VsWalResult vs_wal_read(XLogRecPtr *position, XLogRecPtr limit, Size max_bytes,
							   VsFileTable *files, VsHintBuffer *hints);
extern XLogRecPtr vs_wal_record_start(XLogRecPtr end);
extern XLogRecPtr vs_wal_record_end(XLogRecPtr start);

/* vs_ring.c: hints shared by all processes. */
typedef enum VsTouched
{
	VS_TOUCHED_NO,
	VS_TOUCHED_YES,
	VS_TOUCHED_UNKNOWN			/* the file is not watched since then */
} VsTouched;

/* A file wanted from the ring, from a position on. */
typedef struct VsRingFile
{
	uint32		watch;			/* 0: not watched */
	int			source;			/* what hints get as their file's number */
	XLogRecPtr	from;			/* hints of this file from here on */
} VsRingFile;

typedef struct VsRingScan
{
	XLogRecPtr	from;
	XLogRecPtr	upto;
	uint64		next;			/* sequence number of the next entry */
	bool		started;
	int			nfiles;
	VsRingFile *files;			/* sorted by watch */
} VsRingScan;

extern Size vs_ring_shmem_size(void);
extern void vs_ring_shmem_init(void);
extern bool vs_ring_advance(XLogRecPtr upto, bool wait);
extern XLogRecPtr vs_ring_position(void);
extern void vs_ring_watch(int nsources, const VsSource *sources);
extern uint32 vs_ring_watched_since(RelFileNode node, XLogRecPtr *since);
extern VsTouched vs_ring_touched(int nsources, const VsSource *sources, XLogRecPtr since);
extern bool vs_ring_scan(VsRingScan *scan, VsHintBuffer *out, bool *lost);
extern XLogRecPtr vs_ring_before_xid(FullTransactionId xid);

#endif							/* VS_HINTS_INTERNAL_H */
