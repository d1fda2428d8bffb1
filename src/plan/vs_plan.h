/*-------------------------------------------------------------------------
 *
 * vs_plan.h
 *	  From the query a user wrote to the plans that keep its output right.
 *
 *-------------------------------------------------------------------------
 */
#ifndef VS_PLAN_H
#define VS_PLAN_H

#include "postgres.h"

#include "fmgr.h"
#include "nodes/bitmapset.h"
#include "nodes/parsenodes.h"
#include "nodes/plannodes.h"
#include "registry/vs_registry.h"
#include "state/vs_agg.h"
#include "velostream.h"

/* How an output is kept, and what identifies one of its rows. */
typedef enum VsStrategy
{
	VS_STRATEGY_GROUPS,			/* GROUP BY, DISTINCT, or aggregates: one row
								 * a group */
	VS_STRATEGY_ROWS,			/* filter and projection, keyed by the
								 * source's primary key */
	VS_STRATEGY_BAG,			/* filter and projection, duplicates kept */
	VS_STRATEGY_ROW_WINDOW		/* window functions over the last rows of each
								 * partition */
} VsStrategy;

/* The kind of window that a query groups by. */
typedef enum VsWindowKind
{
	VS_WINDOW_NONE,
	VS_WINDOW_TUMBLE,
	VS_WINDOW_HOP,
	VS_WINDOW_CUMULATE,
	VS_WINDOW_SESSION
} VsWindowKind;

/*
 * The window of a query: a call of velostream.tumble, hop, cumulate or session
 * among its group keys.  Lengths are in microseconds.
 *
 * What is kept of all but tumbling windows is panes: groups by tumble(time,
 * pane), of which windows are put together.  A window that starts or ends in
 * a pane starts or ends with it; and rows of one pane are of one session.
 */
typedef struct VsWindow
{
	VsWindowKind kind;
	int			key;			/* index among the group keys */
	FuncExpr   *call;			/* over the source */
	Expr	   *time;			/* its first argument */
	Oid			type;			/* of event times */
	int64		size;			/* session: the gap */
	int64		advance;		/* cumulate: the step */
	int64		pane;
	bool		by_pane;		/* session: it closes with its last pane */
	TimestampTz first;			/* event times from here on, and */
	TimestampTz limit;			/* before this, have windows whose bounds can
								 * be written; others do not count */
} VsWindow;

/*
 * VS_STRATEGY_ROW_WINDOW: window functions over the last rows that came.  They
 * are computed over a tuplestore, whose rows have columns of its own and then
 * "columns".
 */
typedef struct VsRowWindow
{
	int			size;			/* rows in a buffer, the one at hand included */
	int64		expire;			/* an idle buffer is forgotten after so many
								 * us; -1: never */
	Oid			time_type;		/* of the event time; InvalidOid: idle by the
								 * time of arrival */
	AttrNumber	time_column;	/* of the tuplestore */
	List	   *columns;		/* expressions over the source: first the
								 * partition's keys, */
	int			nstored;		/* then what else is kept of rows in buffers,
								 * then the rest */
	List	   *orders;			/* lists of SortGroupClauses over columns of
								 * the tuplestore: each ORDER BY */
	bool		fast;			/* a buffer that is in order needs no
								 * evaluation of its own */
	PlannedStmt *stmts[2];		/* by "fast"; made when first needed */
} VsRowWindow;

/*
 * ORDER BY and LIMIT: of the result, or where it is grouped by a window, of the
 * rows of each window.  The order is total, as far as columns can be ordered.
 */
typedef struct VsTop
{
	bool		active;			/* there is an ORDER BY */
	bool		standing;		/* the output is what comes first now, not
								 * what did when a window closed */
	int64		limit;			/* rows; PG_INT64_MAX: all of them */
	AttrNumber	window;			/* output column with the window, or 0 */
	int			ncolumns;		/* to order by: */
	AttrNumber *columns;		/* of the output */
	Oid		   *operators;		/* "less than", or "greater than" */
	Oid		   *collations;
	bool	   *nulls_first;
	Query	   *query;			/* what is maintained, with its ORDER BY and
								 * LIMIT */
	PlannedStmt *stmt;			/* over the source; made when first needed */
} VsTop;

/* The tuplestore: its own columns, all int8, and its name. */
#define VS_BUFFER_PARTITION	1	/* a number for each */
#define VS_BUFFER_NUMBER	2	/* of the row in its partition */
#define VS_BUFFER_PLACE		3	/* of a row of the delta in the delta, or less
								 * than zero: no output is made of it */
#define VS_BUFFER_COLUMNS	3
#define VS_BUFFER_ENR		"velostream_buffers"

/* A column that identifies a group or a row. */
typedef struct VsKey
{
	Expr	   *expr;			/* over the source */
	Expr	   *delta_expr;		/* what the delta is grouped by: the same, but
								 * for the pane of a window */
	Oid			type;
	int32		typmod;
	Oid			collation;
	Oid			eqop;			/* of the grouping; InvalidOid: compared by
								 * image */
	int16		typlen;
	bool		typbyval;
	AttrNumber	output_attno;	/* column of the output that shows it, or 0 */
	FmgrInfo   *show;			/* output function, of types that have one
								 * which looks at nothing else; or NULL */
} VsKey;

/*
 * The plan of a query: everything about it that does not change from batch to
 * batch, in a memory context of its own, kept per process until something it
 * rests on is invalidated.
 */
typedef struct VsPlan
{
	MemoryContext context;
	VsQueryEntry entry;
	bool		valid;
	Query	   *query;			/* rewritten and normalized: what is
								 * maintained */
	uint64		fingerprint;
	VsStrategy	strategy;
	Oid			source;			/* relation in the rewritten query */
	List	   *leaves;			/* OIDs of its heaps */
	List	   *views;			/* OIDs of views on the way to it that the
								 * planner looks at */
	bool		source_has_key; /* it has a primary key */
	int			ncolumns;		/* columns of the output that we write:
								 * attnums 1 .. ncolumns */

	VsRowWindow row_window;		/* VS_STRATEGY_ROW_WINDOW */
	VsTop		top;
	bool		changelog;		/* changes are told with the row before, which
								 * nobody looks for in the output: that is a
								 * stream, or has the first rows only */

	/* groups and rows: what identifies one; row windows: a partition */
	int			nkeys;
	VsKey	   *keys;
	bool		single_group;	/* aggregates without GROUP BY: always one row */
	VsWindow	window;
	bool		panes;			/* groups are panes of windows */
	bool		timed;			/* windows close: there is a watermark */
	bool		final;			/* EMIT FINAL */
	bool		corrects;		/* ... and rows of closed windows can change */
	int			first_time_agg; /* sessions: indexes of min and max of the */
	int			last_time_agg;	/* event time */
	int			naggs;
	VsAgg	  **aggs;
	int		   *delta_column;	/* first column of each aggregate in the rows
								 * of insert_plan, behind the keys; one more
								 * at the end */
	int			count_agg;		/* index of the unfiltered count(*) that tells
								 * when a group is empty (added to the query's
								 * own aggregates if need be), or -1: no row
								 * ever goes */
	bool		recompute;		/* some aggregate may need recomputation */
	int			shown_count;	/* index of an unfiltered count(*) that is a
								 * column of the output, or -1 */

	/*
	 * The group tuple, as cache and state table hold it: keys, transition
	 * values.  Row windows: a row of a buffer, as the state table holds it:
	 * keys, number in the partition, activity if buffers expire, values; or
	 * with the number 0 the partition's last activity.
	 */
	TupleDesc	groupdesc;
	bool		state_in_row;	/* a row of the output shows all of its group */
	bool		state_in_output;	/* ... and there is one for each: no state
									 * table */
	bool		state_sparse;	/* most of it can: the state table has rows
								 * for the other groups only */
	AttrNumber *group_output_attno; /* in these cases: output column of each
									 * group column */

	/*
	 * Output row from keys and final values: Vars of varno 1, attno 1 ..
	 * nkeys + naggs.
	 */
	List	   *output_tlist;
	Node	   *having;			/* or NULL */
	TupleDesc	finaldesc;		/* keys, final values */

	/*
	 * Plans over the delta, made when first needed.  insert_plan is for a
	 * delta without a row of weight -1: keys and the partial values of the
	 * aggregates; or the output columns.  change_plan: keys, then for every
	 * aggregate the partial values of the rows that came and of those that
	 * went; or the output columns and the weight, ordered so that of one key
	 * -1 comes before +1.  Groups end with the hash of their keys, if any,
	 * and come in its order; those of tumbling windows with key_order(),
	 * unless they are emitted once, in no order.
	 */
	PlannedStmt *insert_plan;
	PlannedStmt *change_plan;
	PlannedStmt *sorted_plan;	/* as insert_plan, if groups come in an order */
	PlannedStmt *sample_plan;	/* the last column of insert_plan, for each
								 * row */
	uint64		alone_rows;		/* of so many rows that came last, more than
								 * half were groups of their own; or 0 */
	PlannedStmt *bucket_plans[2];	/* as insert_plan, but each bucket of the
									 * delta for itself, one after the other:
									 * its number comes behind the partial
									 * values.  By "several": has a bucket
									 * more rows than one? */
	double		planned_groups[2];	/* groups that the planner expected, by
									 * "change" */
	List	   *recompute_plans;	/* VsRecomputePlan */

	List	   *relids;			/* relations whose invalidation ends this plan */
} VsPlan;

/* The plan that recomputes groups whose keys are NULL in just these columns. */
typedef struct VsRecomputePlan
{
	Bitmapset  *null_keys;		/* key indexes, from 0 */
	PlannedStmt *stmt;
} VsRecomputePlan;

/* Name of the tuplestore of keys that a recompute plan joins. */
#define VS_RECOMPUTE_ENR	"velostream_touched_keys"

/* Errors are reported with positions in "source_text" when it is not NULL. */
extern void vs_query_check(Query *query, VsKind kind, VsSourceMode mode,
						   const VsTimeOptions *options, const char *source_text);

/*
 * Bring an analyzed query into the form that is kept: DISTINCT as GROUP BY,
 * and the columns that identify a row added to the select list (a NOTICE says
 * which).  Called once, at creation; the result is what the view stores.
 */
extern Query *vs_query_normalize(Query *query, VsKind kind, VsSourceMode mode);

/* The same for a query that has no output: no NOTICE. */
extern Query *vs_query_normalize_once(Query *query);

/*
 * The plan of a query, from this process's cache or made anew; leaves are
 * locked.  With nowait, NULL if one of them cannot be locked at once.
 */
extern VsPlan *vs_plan_get(Oid output, bool nowait);
extern void vs_plan_forget(Oid output);

/*
 * For creation: a plan that is not cached (entry->state may not exist yet),
 * and the ColumnDefs of the state table it needs, NIL if none.
 */
extern VsPlan *vs_plan_make(const VsQueryEntry *entry, MemoryContext parent);

/* For a query that is run once: it is in normal form, entry has no relations. */
extern VsPlan *vs_plan_make_once(Query *query, const VsQueryEntry *entry, MemoryContext parent);

/* An error if output and state that velostream.query names do not fit the plan. */
extern void vs_plan_check_tables(VsPlan *plan);
extern List *vs_plan_state_columns(VsPlan *plan);

/* Columns of the output by which a row is found, and whether by their image. */
extern List *vs_plan_locator_columns(VsPlan *plan, bool *image);

/* Columns of the state table by which a group is found. */
extern List *vs_plan_state_keys(VsPlan *plan);

/*
 * The column of output, or state, that comes before the hash in the index by
 * which groups are found: tumbling windows; or 0.
 */
extern AttrNumber vs_plan_locator_window(VsPlan *plan, bool state);

/* The window that an analyzed query groups by; false: there is none. */
extern bool vs_window_find(Query *query, VsWindow *window);

/* Columns (attnums) of the state table whose indexes find panes and closed windows. */
extern AttrNumber vs_plan_window_column(VsPlan *plan);	/* 0: none is needed */

extern Agg *vs_plan_agg(PlannedStmt *stmt);
extern PlannedStmt *vs_plan_insert(VsPlan *plan);
extern PlannedStmt *vs_plan_change(VsPlan *plan);
extern PlannedStmt *vs_plan_sorted(VsPlan *plan);
extern PlannedStmt *vs_plan_sample(VsPlan *plan);
extern bool vs_plan_orders_groups(VsPlan *plan);
extern PlannedStmt *vs_plan_buckets(VsPlan *plan, bool several);
extern PlannedStmt *vs_plan_top(VsPlan *plan);	/* the rows of the output,
												 * from the source */
extern PlannedStmt *vs_plan_row_windows(VsPlan *plan, bool fast);
extern TupleDesc vs_row_window_desc(VsPlan *plan);	/* of the tuplestore */
extern PlannedStmt *vs_plan_recompute(VsPlan *plan, Bitmapset *null_keys, double nkeys);
extern const char *vs_strategy_name(VsStrategy strategy);
extern void vs_plan_init(void); /* invalidation callbacks */

#endif							/* VS_PLAN_H */
