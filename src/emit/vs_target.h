/*-------------------------------------------------------------------------
 *
 * vs_target.h
 *	  A table that batches write: the output of a query, or its state.
 *
 * Rows are written through the executor's interface for replication
 * (ExecSimpleRelationInsert and its kin): indexes, constraints, row triggers
 * and publications of the table work.  Rows are found by TID, or through the
 * locator: an index on the hash of some of the columns.
 *
 * For a query that is run once there is no table: its rows are kept in memory
 * (vs_memory.h), or nowhere, if nobody will ask for them again.
 *
 *-------------------------------------------------------------------------
 */
#ifndef VS_TARGET_H
#define VS_TARGET_H

#include "postgres.h"

#include "emit/vs_memory.h"
#include "executor/executor.h"
#include "state/vs_hash.h"
#include "utils/relcache.h"

/* What the locator has of a row; see VsTarget. */
typedef struct VsLocatorEntry
{
	Datum		window;			/* if there is one */
	bool		window_null;
	uint64		hash;
} VsLocatorEntry;

typedef struct VsTarget
{
	Relation	rel;			/* NULL: there is no table */
	VsMemory   *memory;			/* its rows then, or NULL */
	TupleDesc	desc;
	EState	   *estate;
	ResultRelInfo *relinfo;
	EPQState	epqstate;
	int			ncolumns;		/* columns that we write: 1 .. ncolumns */
	bool		blind_updates;	/* an update needs to know nothing of the old
								 * row: no other columns, no row triggers */
	TupleTableSlot *slot;		/* the row to write: columns 1 .. ncolumns are
								 * set by the caller */
	TupleTableSlot *oldslot;	/* the row found by fetch or find */

	/* rows that wait to be written together; NULL: rows cannot wait */
	TupleTableSlot **appended;
	VsLocatorEntry *entries;	/* theirs, once there are some */
	int			nappended;
	Size		appended_size;
	MemoryContext append_context;

	BlockNumber pruned;			/* the page that was pruned last, if need be */
	Size		min_free_space; /* pages with less are pruned */

	/* lookup */
	Relation	locator;		/* index on the hash of the columns, behind
								 * that of the window if there is one; or NULL */
	int			locator_window; /* which of the looked-up columns that is, or
								 * -1 */
	int			locator_number; /* which of relinfo's indexes it is; -1: it
								 * gets entries like others */
	bool		window_known;	/* "last_window" was looked for */
	int64		last_window;	/* no row had a later one then */

	/*
	 * State of a query with a window.  Panes have no locator of their own:
	 * they are found by the hash of the other keys, if there are any, and by
	 * the window column.
	 */
	AttrNumber	window_attno;	/* column with windows or panes, or 0 */
	Oid			window_type;
	VsHasher   *others;			/* over the other keys, or NULL */
	Relation	pane_index;		/* (hash of the other keys, window), or NULL */
	Relation	window_index;	/* (window), or NULL */
	int			nlookup;
	AttrNumber *lookup;			/* attnums of the columns that are looked up */
	VsHasher   *hasher;			/* over those columns */
	Datum	   *found_values;	/* work space: those columns of a row */
	bool	   *found_nulls;

	/* defaults of the columns that the user added behind ours */
	int			ndefaults;
	AttrNumber *default_attnos;
	ExprState **defaults;
} VsTarget;

/*
 * Open a table for writing; its lock is kept to the end of the transaction.
 * lookup lists the attnums by which rows are found (NIL: the table has one
 * row, or is never looked up), locator is the index on their hash.
 */
extern VsTarget *vs_target_begin(Oid relid, int ncolumns, List *lookup, bool image,
								 Oid locator, Snapshot snapshot);
extern VsTarget *vs_target_begin_memory(VsMemory *memory, TupleDesc desc, List *lookup);
extern void vs_target_end(VsTarget *target);	/* fires AFTER triggers */

/* Write target->slot (insert, update), which then knows its TID. */
extern void vs_target_insert(VsTarget *target);
extern void vs_target_update(VsTarget *target, ItemPointer tid);	/* oldslot holds the old
																	 * row */
extern void vs_target_delete(VsTarget *target, ItemPointer tid);

/*
 * Insert target->slot, whose place nobody asks for: it is written together with
 * others, at the latest when the target is used in another way.
 */
extern void vs_target_append(VsTarget *target);
extern void vs_target_write(VsTarget *target);	/* what waits, now: before the
												 * end of a command */

/* Put the row with this TID, or with these lookup values, into oldslot. */
extern bool vs_target_fetch(VsTarget *target, ItemPointer tid);
extern bool vs_target_find(VsTarget *target, uint64 hash, const Datum *values, const bool *nulls);

/*
 * Is there certainly no row with these lookup values, as none has such a late
 * window?  Of rows that were written after the first such question, or
 * vs_target_find, it does not know, unless vs_target_look_again is called: a
 * group comes once only.
 */
extern bool vs_target_is_beyond(VsTarget *target, const Datum *values, const bool *nulls);
extern void vs_target_look_again(VsTarget *target);

/* Prepare a state table to be searched by its windows; see above. */
extern void vs_target_use_windows(VsTarget *target, AttrNumber window, Oid pane_index,
								  Oid window_index);

/* The hash of all looked-up values but the window. */
extern uint64 vs_target_hash_others(VsTarget *target, const Datum *values, const bool *nulls);

/*
 * Rows with low <= window < high, each bound NULL where there is none, in this
 * order; oldslot holds them.  With "panes", those whose other keys have this
 * hash.  The row that was returned may be deleted.
 */
typedef struct VsRangeScan VsRangeScan;
extern VsRangeScan *vs_range_begin(VsTarget *target, bool panes, uint64 hash,
								   const Datum *low, const Datum *high, ScanDirection direction);
extern bool vs_range_next(VsRangeScan *scan);
extern void vs_range_end(VsRangeScan *scan);

/* Before an update by TID alone, without fetch or find; forgets oldslot. */
extern void vs_target_prune(VsTarget *target, ItemPointer tid);

/* Do slot and oldslot agree in the columns we write? */
extern bool vs_target_unchanged(VsTarget *target);

/* Are the first n columns of two rows the same, byte by byte? */
extern bool vs_same_row(TupleDesc desc, int n, const Datum *a, const bool *anull,
						const Datum *b, const bool *bnull);

/* Call for every live row: oldslot holds it. */
typedef void (*VsRowCallback) (VsTarget *target, void *arg);
extern void vs_target_scan(VsTarget *target, VsRowCallback callback, void *arg);

/* The same for all rows with these lookup values; without a lookup, for all. */
extern void vs_target_find_all(VsTarget *target, const Datum *values, const bool *nulls,
							   VsRowCallback callback, void *arg);

#endif							/* VS_TARGET_H */
