/*-------------------------------------------------------------------------
 *
 * vs_memory.h
 *	  Rows in this process's memory, in the place of a table's.
 *
 *-------------------------------------------------------------------------
 */
#ifndef VS_MEMORY_H
#define VS_MEMORY_H

#include "postgres.h"

#include "access/htup.h"
#include "storage/itemptr.h"

typedef struct VsMemory VsMemory;

/* Where a row is in the order of panes, or (without "others") of windows. */
typedef struct VsPlace
{
	uint64		others;			/* hash of the keys but for the window */
	int64		time;			/* number of the window */
	int64		row;			/* between rows: -1, or PG_INT64_MAX */
} VsPlace;

/*
 * Rows live until "parent" goes.  TIDs are made up; they stay the same in an
 * update.  "ordered" if rows are looked for by their place.
 */
extern VsMemory *vs_memory_begin(MemoryContext parent, bool ordered);
extern void vs_memory_insert(VsMemory *memory, MinimalTuple tuple, uint64 hash,
							 const VsPlace *place, ItemPointer tid);
extern void vs_memory_update(VsMemory *memory, ItemPointer tid, MinimalTuple tuple);
extern void vs_memory_delete(VsMemory *memory, ItemPointer tid);

/* NULL: there is none */
extern MinimalTuple vs_memory_fetch(VsMemory *memory, ItemPointer tid);

/*
 * The next row of that hash behind *tid, which it then is at; an invalid *tid
 * begins.  NULL at the end.
 */
extern MinimalTuple vs_memory_next(VsMemory *memory, uint64 hash, ItemPointer tid);

/* The next row behind *tid in no order, in the same way. */
extern MinimalTuple vs_memory_scan(VsMemory *memory, ItemPointer tid);

/*
 * The row next to a place in the order of panes or of windows, in one
 * direction, which *place then is; NULL at the end.  Rows may come and go
 * meanwhile.
 */
extern MinimalTuple vs_memory_step(VsMemory *memory, bool panes, bool forward, VsPlace *place,
								   ItemPointer tid);

#endif							/* VS_MEMORY_H */
