/*-------------------------------------------------------------------------
 *
 * vs_registry.h
 *	  What exists: continuous queries and their frontiers, in the extension's
 *	  own tables; and the objects that belong to a query.
 *
 * A query is known by the OID of its output table.  Its definition is a view
 * in the schema "velostream" (PostgreSQL keeps the parse tree, dependencies
 * and names right, and pg_dump writes it out as SQL).
 *
 *-------------------------------------------------------------------------
 */
#ifndef VS_REGISTRY_H
#define VS_REGISTRY_H

#include "postgres.h"

#include "capture/vs_frontier.h"
#include "datatype/timestamp.h"
#include "fmgr.h"
#include "nodes/parsenodes.h"
#include "storage/itemptr.h"
#include "velostream.h"

/*
 * Fill factor of tables with a row for each group.  A batch may update every
 * row, and the versions it replaces can only be pruned two batches later, when
 * the frontier that does not see it has passed: with room for three versions
 * all updates are HOT, and the table stays as it is.
 */
#define VS_GROUP_FILLFACTOR	30

/* Of rows of windows only the latest change. */
#define VS_WINDOW_FILLFACTOR	80

/* A row of velostream.query (dumped by pg_dump; regclass columns dump as names). */
typedef struct VsQueryEntry
{
	Oid			output;			/* output table: the key */
	Oid			view;			/* its definition */
	Oid			state;			/* state table, or InvalidOid */
	VsKind		kind;
	VsSourceMode mode;
	VsOnError	on_error;
	VsStatus	status;
	bool		with_data;		/* false: WITH NO DATA */
	VsTimeOptions time;
	Oid			owner;			/* relowner of the output; not stored */

	/*
	 * false: restored from a dump, or brought by pg_upgrade;
	 * vs_registry_adopt must run first. Derived: true iff there is a row in
	 * velostream.frontier (not dumped; written at creation with a NULL
	 * snapshot) that this cluster wrote.
	 */
	bool		adopted;
} VsQueryEntry;

/* No event time: before all others. */
#define VS_NO_TIME	DT_NOBEGIN

/* A row of velostream.frontier (not dumped). */
typedef struct VsFrontierRow
{
	VsFrontier	frontier;		/* .snapshot NULL: nothing read yet */
	bool		damaged;		/* what is in the table makes no sense, and
								 * .frontier is empty: needs a rebuild */
	uint64		fingerprint;	/* of the rewritten query; 0: none yet */
	bool		rebuild;		/* asked for by rebuild() or by DDL; reason
								 * below */
	char	   *rebuild_reason; /* or NULL */
	RelFileNode output_node;	/* file of the output when it was last written */
	TimestampTz updated_at;		/* when the snapshot was taken */
	int64		batches;
	int64		rows_in;		/* rows of weight +1 */
	int64		rows_out;		/* rows of weight -1 */
	int64		changes;		/* rows emitted */
	int64		recomputed;		/* groups recomputed from the source */
	int64		ignored;		/* append mode: updates and deletes */
	int64		dead;			/* dead letters */
	int64		rebuilds;
	int64		busy_us;		/* time spent in batches */

	/* event time; VS_NO_TIME: none yet */
	TimestampTz event_time;		/* the greatest one that moves the watermark */
	TimestampTz watermark;		/* windows that end here or before are closed */
	TimestampTz event_at;		/* when the last row came */
	int64		late;			/* rows that came after all their windows had
								 * closed, */
	int64		partly_late;	/* or some of them */
	int64		open_windows;	/* rows of windows that are still to be
								 * emitted (EMIT FINAL) */
	TimestampTz next_close;		/* see vs_next_close; VS_NO_TIME: nothing will */
	int64		arrived;		/* places in the order of arrival that rows
								 * have had */
} VsFrontierRow;

extern bool vs_registry_read(Oid output, VsQueryEntry *entry);
extern void vs_registry_argument(FunctionCallInfo fcinfo, bool monitor, VsQueryEntry *entry);	/* argument 0 */
extern List *vs_registry_list(void);	/* OIDs of all outputs of this
										 * database */
extern void vs_registry_insert(const VsQueryEntry *entry);
extern void vs_registry_update(const VsQueryEntry *entry);	/* all but output */
extern void vs_registry_stop(VsQueryEntry *entry, const ErrorData *edata);	/* because of an error,
																			 * which is kept until
																			 * it runs again */
extern char *vs_registry_error(Oid output); /* message of that error, or NULL */
extern void vs_registry_delete(Oid output); /* with its frontier and dead
											 * letters */
extern bool vs_registry_is_output(Oid relid);	/* fast: used by hooks */
extern bool vs_registry_exists(void);	/* extension is installed in this
										 * database, and its tables can be
										 * read */
extern Oid	vs_registry_extension_owner(void);

/*
 * The frontier row of a query: read with a snapshot newer than any committed
 * batch, own uncommitted writes included; in CurrentMemoryContext.
 */
extern void vs_frontier_init(VsFrontierRow *row);	/* of a query that has
													 * read nothing */
extern bool vs_frontier_read(Oid output, VsFrontierRow *row);
extern void vs_frontier_write(Oid output, const VsFrontierRow *row);	/* insert or update; no
																		 * CommandCounterIncrement */

/* The analyzed, not rewritten, query of a view: a copy, with positions lost. */
extern Query *vs_registry_query(Oid view);

/*
 * Do something as a query's owner: in a security-restricted operation, with a
 * search_path that nobody chose.  Whoever makes a plan does, as planning runs
 * functions.  An error goes back with the (sub)transaction.
 */
typedef struct VsRunAs
{
	Oid			userid;
	int			sec_context;
	int			nestlevel;
} VsRunAs;

extern void vs_run_as_begin(VsRunAs *before, Oid owner);
extern void vs_run_as_end(const VsRunAs *before);

/*
 * Objects of a query; see vs_objects.c for what depends on what.
 *
 * create_view stores the query as a view owned by the extension's owner, its
 * columns named like the output's first ones.  create_state makes the state
 * table from "columns" (ColumnDefs) with a locator on its first nkeys columns
 * when nkeys > 0.  A locator is a btree index on velostream.key_hash(columns)
 * (image: on velostream.row_hash), behind the column "window" if that is not
 * 0; vs_registry_locator finds it on any table, or makes it; InvalidOid if there
 * is none and not "create".  window_indexes does so for
 * those of a state table on windows or panes, behind the hash of the other keys.
 * equip makes all that a plan needs and sets entry->state: a state table with
 * keys has an index from the beginning.  link records the dependencies and makes
 * the guard triggers.  adopt does it all for a query that was restored
 * from a dump, or came with pg_upgrade; false: not yet, the restore is still
 * running.
 */

struct VsPlan;

extern Oid	vs_registry_create_view(Oid output, Query *query);
extern Oid	vs_registry_create_state(Oid output, List *columns, int nkeys, AttrNumber window,
									 int fillfactor);
extern Oid	vs_registry_locator(Oid relation, List *attnums, bool image, AttrNumber window,
								bool create);
extern void vs_registry_window_indexes(Oid state, struct VsPlan *plan, Oid *panes, Oid *windows);
extern void vs_registry_equip(VsQueryEntry *entry, struct VsPlan *plan);
extern void vs_registry_rename(Oid output); /* what is named after it follows */
extern Oid	vs_registry_key_hash(void);
extern Oid	vs_registry_key_order(void);
extern void vs_registry_link(const VsQueryEntry *entry);
extern bool vs_registry_adopt(Oid output, bool force);

/* Names of the triggers that guard an output. */
#define VS_GUARD_TRIGGER		"velostream_guard"
#define VS_GUARD_ROW_TRIGGER	"velostream_guard_row"

/* Dead letters. "row" is a jsonb datum. */
extern void vs_dead_letter_insert(Oid output, Oid source, ItemPointer tid, TransactionId xmin,
								  Datum row, int sqlstate, const char *message);
typedef void (*VsDeadLetterCallback) (void *arg, Oid source, ItemPointer tid, TransactionId xmin);
extern void vs_dead_letter_scan(Oid output, VsDeadLetterCallback callback, void *arg);	/* but those from a dump */
typedef bool (*VsDeadLetterChoice) (void *arg, Oid source, ItemPointer tid /* NULL: from a dump */ ,
									TransactionId xmin, const char *sqlstate);
extern int64 vs_dead_letter_take(Oid output, VsDeadLetterChoice choose, void *arg); /* drop those chosen;
																					 * how many? */
extern void vs_dead_letter_clear(Oid output);	/* before a rebuild; letters
												 * from a dump stay */
extern void vs_dead_letter_detach(Oid output);	/* after a restore: they match
												 * no row any more */

/* Hooks: utility commands, object access. */
extern void vs_ddl_init(void);

#endif							/* VS_REGISTRY_H */
