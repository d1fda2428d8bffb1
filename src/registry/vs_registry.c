/*-------------------------------------------------------------------------
 *
 * vs_registry.c
 *	  Access to the extension's own tables: velostream.query,
 *	  velostream.frontier and velostream.dead_letter.
 *
 * This file alone knows their columns; the Anum_ constants below are repeated
 * as comments in sql/velostream--*.sql.  Nothing here uses SPI: frontier rows
 * are read and written hundreds of times a second.
 *
 * Snapshots.  Every read takes a new snapshot, whatever the isolation level
 * of the transaction, that also sees what the current command wrote: whoever
 * holds a query's batch lock reads what the batch before it committed.
 *
 * Caches, all per process and all invalidated through the relcache: the OIDs
 * of the tables and their indexes; the set of outputs (insert and delete of a
 * query send an invalidation for velostream.query); and where the current
 * version of a frontier row was last seen.  The last one is only a hint: as
 * VACUUM may not remove what is newer than the oldest frontier, an index scan
 * for a frontier row can meet thousands of dead versions while another query
 * runs a long batch.
 *
 * Dead versions of frontier rows come hundreds a second, which must not wait
 * for VACUUM.  A page is pruned when the row on it is read, as PostgreSQL does
 * in its own scans; and when a page is full nevertheless, so that the next
 * version goes to another one, some of those that were left are looked at and
 * put into the free space map.
 *
 * Locks.  AccessShareLock to read, RowExclusiveLock to write, released only
 * at the end of the transaction where something was written.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/genam.h"
#include "access/heapam.h"
#include "access/htup_details.h"
#include "access/table.h"
#include "access/transam.h"
#include "access/xact.h"
#include "access/xlog.h"
#include "catalog/indexing.h"
#include "catalog/namespace.h"
#include "catalog/pg_authid.h"
#include "catalog/pg_class.h"
#include "catalog/pg_extension.h"
#include "catalog/pg_type.h"
#include "commands/extension.h"
#include "miscadmin.h"
#include "registry/vs_registry.h"
#include "storage/bufmgr.h"
#include "storage/freespace.h"
#include "utils/acl.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"
#include "utils/hsearch.h"
#include "utils/inval.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/pg_lsn.h"
#include "utils/rel.h"
#include "utils/snapmgr.h"
#include "utils/syscache.h"
#include "utils/timestamp.h"
#include "utils/xid8.h"
#include "vs_compat.h"

/* Columns of velostream.query */
#define Anum_query_output				1
#define Anum_query_view					2
#define Anum_query_state				3
#define Anum_query_kind					4
#define Anum_query_source_mode			5
#define Anum_query_on_error				6
#define Anum_query_status				7
#define Anum_query_with_data			8
#define Anum_query_error				9
#define Anum_query_error_sqlstate		10
#define Anum_query_error_detail			11
#define Anum_query_error_hint			12
#define Anum_query_error_context		13
#define Anum_query_stopped_at			14
#define Anum_query_emit					15
#define Anum_query_late_data			16
#define Anum_query_delay				17
#define Anum_query_idle_timeout			18
#define Anum_query_max_future_skew		19
#define Anum_query_retention			20
#define Natts_query						20

/* Columns of velostream.frontier */
#define Anum_frontier_output			1
#define Anum_frontier_snapshot_xmin		2
#define Anum_frontier_snapshot_xmax		3
#define Anum_frontier_snapshot_xip		4
#define Anum_frontier_lsn				5
#define Anum_frontier_restart_lsn		6
#define Anum_frontier_source_relids		7
#define Anum_frontier_source_tablespaces 8
#define Anum_frontier_source_databases	9
#define Anum_frontier_source_files		10
#define Anum_frontier_fingerprint		11
#define Anum_frontier_rebuild			12
#define Anum_frontier_rebuild_reason	13
#define Anum_frontier_output_tablespace 14
#define Anum_frontier_output_database	15
#define Anum_frontier_output_file		16
#define Anum_frontier_updated_at		17
#define Anum_frontier_batches			18
#define Anum_frontier_rows_in			19
#define Anum_frontier_rows_out			20
#define Anum_frontier_changes			21
#define Anum_frontier_recomputed		22
#define Anum_frontier_ignored			23
#define Anum_frontier_dead				24
#define Anum_frontier_rebuilds			25
#define Anum_frontier_busy_us			26
#define Anum_frontier_horizon			27
#define Anum_frontier_event_time		28
#define Anum_frontier_watermark			29
#define Anum_frontier_event_at			30
#define Anum_frontier_late				31
#define Anum_frontier_partly_late		32
#define Anum_frontier_open_windows		33
#define Anum_frontier_system			34
#define Anum_frontier_next_close		35
#define Anum_frontier_arrived			36
#define Natts_frontier					36

/* Columns of velostream.dead_letter */
#define Anum_dead_letter_query			1
#define Anum_dead_letter_source			2
#define Anum_dead_letter_source_ctid	3
#define Anum_dead_letter_source_xmin	4
#define Anum_dead_letter_row			5
#define Anum_dead_letter_sqlstate		6
#define Anum_dead_letter_message		7
#define Anum_dead_letter_at				8
#define Natts_dead_letter				8

/* What this process knows of the extension's tables. */
typedef enum RegistryRel
{
	REL_QUERY,
	REL_QUERY_PKEY,
	REL_FRONTIER,
	REL_FRONTIER_PKEY,
	REL_DEAD_LETTER,
	REL_DEAD_LETTER_IDX,
	REL_COUNT
} RegistryRel;

static const char *const rel_names[REL_COUNT] = {
	"query", "query_pkey",
	"frontier", "frontier_pkey",
	"dead_letter", "dead_letter_query_idx"
};

static Oid	rel_oids[REL_COUNT];
static bool rel_oids_valid = false;
static bool callback_registered = false;
static uint64 callback_count = 0;

/* The set of outputs; rebuilt when outputs_generation moved on. */
static HTAB *outputs = NULL;
static bool outputs_valid = false;
static uint64 outputs_generation = 0;

/* Where a frontier row was last seen. */
typedef struct FrontierHint
{
	Oid			output;			/* key */
	ItemPointerData tid;
} FrontierHint;

static HTAB *frontier_hints = NULL;

/* Pages of velostream.frontier that are looked at when one is full. */
#define REUSE_PAGES		4

static bool load_rel_oids(void);
static void relcache_callback(Datum arg, Oid relid);
static Relation open_any_version(RegistryRel rel, LOCKMODE lockmode);
static void check_columns(RegistryRel rel, Relation table);
static Relation open_table(RegistryRel rel, LOCKMODE lockmode);
static Snapshot fresh_snapshot(Oid relid);
static SysScanDesc begin_scan(Relation rel, RegistryRel index, AttrNumber attno, Oid output);
static void see_own_command(HeapTuple tuple);
static HeapTuple find_by_output(Relation rel, RegistryRel index, Oid output);
static void query_from_tuple(HeapTuple tuple, TupleDesc desc, VsQueryEntry *entry);
static void query_to_values(const VsQueryEntry *entry, Datum *values, bool *nulls);
static void update_entry(const VsQueryEntry *entry, const ErrorData *edata);
static void keep_error(HeapTuple old, TupleDesc desc, Datum *values, bool *nulls);
static void set_error(const ErrorData *edata, Datum *values, bool *nulls);
static bool lock_tuple(Relation rel, HeapTuple tuple);
static bool delete_by_key(RegistryRel table, RegistryRel index, AttrNumber attno,
						  Oid output, AttrNumber notnull);
static void outputs_changed(void);
static bool load_outputs(void);
static bool is_ours(HeapTuple tuple, TupleDesc desc);
static HeapTuple find_frontier(Relation rel, Oid output);
static HeapTuple fetch_hinted(Relation rel, Oid output);
static void remember_frontier(Oid output, ItemPointer tid);
static void reuse_pages(Relation rel, BlockNumber except);
static void frontier_from_tuple(HeapTuple tuple, TupleDesc desc, VsFrontierRow *row);
static void frontier_to_values(Oid output, const VsFrontierRow *row, Datum *values, bool *nulls);
static ArrayType *oid_array(const VsFrontier *frontier, int which);
static int	read_oid_array(Datum value, Oid **oids);
static bool read_snapshot(const Datum *v, const bool *nulls, VsSnapshot **result);
static int64 read_duration(const Datum *values, const bool *nulls, AttrNumber attnum);
static void set_duration(AttrNumber attnum, int64 duration, Datum *values, bool *nulls);
static TimestampTz read_time(const Datum *values, const bool *nulls, AttrNumber attnum);
static void set_time(AttrNumber attnum, TimestampTz time, Datum *values, bool *nulls);

/*
 * Is the extension installed in this database, with all its tables?  Where it
 * is not this costs one lookup in the syscache.  False outside transactions.
 */
bool
vs_registry_exists(void)
{
	return rel_oids_valid || (IsTransactionState() && load_rel_oids());
}

/* Owner of the extension; an error if it is not installed. */
Oid
vs_registry_extension_owner(void)
{
	Relation	rel;
	ScanKeyData key;
	SysScanDesc scan;
	HeapTuple	tuple;
	Oid			owner = InvalidOid;

	rel = table_open(ExtensionRelationId, AccessShareLock);
	ScanKeyInit(&key, Anum_pg_extension_extname, BTEqualStrategyNumber, F_NAMEEQ,
				CStringGetDatum(VS_EXTENSION_NAME));
	scan = systable_beginscan(rel, ExtensionNameIndexId, true, NULL, 1, &key);
	tuple = systable_getnext(scan);
	if (HeapTupleIsValid(tuple))
		owner = ((Form_pg_extension) GETSTRUCT(tuple))->extowner;
	systable_endscan(scan);
	table_close(rel, AccessShareLock);

	if (!OidIsValid(owner))
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_OBJECT),
				 errmsg("extension \"%s\" is not installed in this database", VS_EXTENSION_NAME),
				 errhint("Run CREATE EXTENSION %s.", VS_EXTENSION_NAME)));
	return owner;
}

/*
 * The entry of a query.  False when there is none, or its output table does
 * not exist (any more).
 */
bool
vs_registry_read(Oid output, VsQueryEntry *entry)
{
	Relation	rel;
	HeapTuple	tuple;
	HeapTuple	classtup;

	if (!vs_registry_exists())
		return false;
	rel = open_table(REL_QUERY, AccessShareLock);
	tuple = find_by_output(rel, REL_QUERY_PKEY, output);
	if (tuple != NULL)
		query_from_tuple(tuple, RelationGetDescr(rel), entry);
	table_close(rel, AccessShareLock);
	if (tuple == NULL)
		return false;
	heap_freetuple(tuple);

	classtup = SearchSysCache1(RELOID, ObjectIdGetDatum(output));
	if (!HeapTupleIsValid(classtup))
		return false;
	entry->owner = ((Form_pg_class) GETSTRUCT(classtup))->relowner;
	ReleaseSysCache(classtup);

	rel = open_table(REL_FRONTIER, AccessShareLock);
	tuple = find_frontier(rel, output);
	entry->adopted = tuple != NULL && is_ours(tuple, RelationGetDescr(rel));
	table_close(rel, AccessShareLock);
	if (tuple != NULL)
		heap_freetuple(tuple);
	return true;
}

/* Was this row of velostream.frontier written in this cluster? */
static bool
is_ours(HeapTuple tuple, TupleDesc desc)
{
	bool		isnull;
	Datum		system = heap_getattr(tuple, Anum_frontier_system, desc, &isnull);

	return !isnull && (uint64) DatumGetInt64(system) == GetSystemIdentifier();
}

/*
 * The first argument of a function: a query that the caller owns, or, with
 * "monitor", may look at as a member of pg_monitor.
 */
void
vs_registry_argument(FunctionCallInfo fcinfo, bool monitor, VsQueryEntry *entry)
{
	Oid			output;
	char	   *name;

	vs_require_preload();
	if (PG_ARGISNULL(0))
		ereport(ERROR,
				(errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
				 errmsg("query must not be null")));
	output = PG_GETARG_OID(0);
	name = get_rel_name(output);
	if (name == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_TABLE),
				 errmsg("relation with OID %u does not exist", output)));
	if (!vs_registry_read(output, entry))
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_OBJECT),
				 errmsg("\"%s\" is not the output of a continuous query", name),
				 errhint("The view velostream.queries lists continuous queries.")));
	if (!pg_class_ownercheck(output, GetUserId()) &&
		!(monitor && has_privs_of_role(GetUserId(), ROLE_PG_MONITOR)))
		aclcheck_error(ACLCHECK_NOT_OWNER, OBJECT_TABLE, name);
}

/* OIDs of the outputs of this database that exist, in no particular order. */
List *
vs_registry_list(void)
{
	Relation	rel;
	SysScanDesc scan;
	HeapTuple	tuple;
	List	   *result = NIL;

	if (!vs_registry_exists())
		return NIL;
	rel = open_table(REL_QUERY, AccessShareLock);
	scan = begin_scan(rel, REL_QUERY_PKEY, 0, InvalidOid);
	while (HeapTupleIsValid(tuple = systable_getnext(scan)))
	{
		bool		isnull;
		Datum		output = heap_getattr(tuple, Anum_query_output, RelationGetDescr(rel), &isnull);

		if (SearchSysCacheExists1(RELOID, output))
			result = lappend_oid(result, DatumGetObjectId(output));
	}
	systable_endscan(scan);
	table_close(rel, AccessShareLock);
	return result;
}

/* Add a query.  Its frontier row is written separately. */
void
vs_registry_insert(const VsQueryEntry *entry)
{
	Relation	rel = open_table(REL_QUERY, RowExclusiveLock);
	Datum		values[Natts_query];
	bool		nulls[Natts_query];
	HeapTuple	tuple;

	query_to_values(entry, values, nulls);
	tuple = heap_form_tuple(RelationGetDescr(rel), values, nulls);
	CatalogTupleInsert(rel, tuple);
	heap_freetuple(tuple);
	table_close(rel, NoLock);
	outputs_changed();
}

/*
 * Replace all of a query's entry but its output.  Waits for a concurrent
 * change of the same entry, then overwrites it; an error if it is gone.  What
 * is known of the error that stopped the query is forgotten if it runs again.
 */
void
vs_registry_update(const VsQueryEntry *entry)
{
	update_entry(entry, NULL);
}

/*
 * Stop a query because of an error: as vs_registry_update, with the error,
 * which outlives the shared context that has it otherwise.
 */
void
vs_registry_stop(VsQueryEntry *entry, const ErrorData *edata)
{
	entry->status = VS_STATUS_STOPPED;
	update_entry(entry, edata);
}

/* Of both; "edata" is the error that stops the query, or NULL. */
static void
update_entry(const VsQueryEntry *entry, const ErrorData *edata)
{
	Relation	rel = open_table(REL_QUERY, RowExclusiveLock);
	Datum		values[Natts_query];
	bool		nulls[Natts_query];
	HeapTuple	old;
	HeapTuple	tuple;

	do
	{
		CHECK_FOR_INTERRUPTS();
		old = find_by_output(rel, REL_QUERY_PKEY, entry->output);
		if (old == NULL)
			ereport(ERROR,
					(errcode(ERRCODE_UNDEFINED_OBJECT),
					 errmsg("continuous query with OID %u does not exist", entry->output)));
		see_own_command(old);
	} while (!lock_tuple(rel, old));

	query_to_values(entry, values, nulls);
	if (edata != NULL)
		set_error(edata, values, nulls);
	else if (entry->status != VS_STATUS_RUNNING)
		keep_error(old, RelationGetDescr(rel), values, nulls);
	tuple = heap_form_tuple(RelationGetDescr(rel), values, nulls);
	CatalogTupleUpdate(rel, &old->t_self, tuple);
	heap_freetuple(tuple);
	heap_freetuple(old);
	table_close(rel, NoLock);
}

/* The message of the error that stopped a query, in CurrentMemoryContext; or NULL. */
char *
vs_registry_error(Oid output)
{
	Relation	rel;
	HeapTuple	tuple;
	char	   *result = NULL;

	if (!vs_registry_exists())
		return NULL;
	rel = open_table(REL_QUERY, AccessShareLock);
	tuple = find_by_output(rel, REL_QUERY_PKEY, output);
	if (tuple != NULL)
	{
		bool		isnull;
		Datum		value = heap_getattr(tuple, Anum_query_error, RelationGetDescr(rel), &isnull);

		if (!isnull)
			result = TextDatumGetCString(value);
		heap_freetuple(tuple);
	}
	table_close(rel, AccessShareLock);
	return result;
}

/*
 * Forget a query: its entry, its frontier and its dead letters.  Its objects
 * are dropped through their dependencies.  Nothing happens if there is none.
 */
void
vs_registry_delete(Oid output)
{
	if (!vs_registry_exists())
		return;
	(void) delete_by_key(REL_DEAD_LETTER, REL_DEAD_LETTER_IDX, Anum_dead_letter_query, output, 0);
	(void) delete_by_key(REL_FRONTIER, REL_FRONTIER_PKEY, Anum_frontier_output, output, 0);
	if (delete_by_key(REL_QUERY, REL_QUERY_PKEY, Anum_query_output, output, 0))
		outputs_changed();
}

/*
 * Is this relation the output of a query?  Fast enough for hooks: a lookup in
 * a local hash table, which is loaded again when a query came or went.
 * (Restored queries that nobody adopted yet may be missed.)
 */
bool
vs_registry_is_output(Oid relid)
{
	if (!vs_registry_exists())
		return false;
	if (!outputs_valid && !load_outputs())
		return false;
	return hash_search(outputs, &relid, HASH_FIND, NULL) != NULL;
}

void
vs_frontier_init(VsFrontierRow *row)
{
	memset(row, 0, sizeof(*row));
	row->event_time = row->watermark = row->event_at = VS_NO_TIME;
}

/*
 * Read the frontier row of a query into CurrentMemoryContext; false if there
 * is none.
 */
bool
vs_frontier_read(Oid output, VsFrontierRow *row)
{
	Relation	rel;
	HeapTuple	tuple;

	if (!vs_registry_exists())
		return false;
	rel = open_table(REL_FRONTIER, AccessShareLock);
	tuple = find_frontier(rel, output);
	if (tuple != NULL)
	{
		remember_frontier(output, &tuple->t_self);
		frontier_from_tuple(tuple, RelationGetDescr(rel), row);
		heap_freetuple(tuple);
	}
	table_close(rel, AccessShareLock);
	return tuple != NULL;
}

/*
 * Insert or replace the frontier row of a query.  The caller holds the
 * query's batch lock, so nobody else changes it.  The command counter is left
 * alone, unless this very command wrote the row before.
 */
void
vs_frontier_write(Oid output, const VsFrontierRow *row)
{
	Relation	rel = open_table(REL_FRONTIER, RowExclusiveLock);
	Datum		values[Natts_frontier];
	bool		nulls[Natts_frontier];
	HeapTuple	old = find_frontier(rel, output);
	HeapTuple	tuple;

	frontier_to_values(output, row, values, nulls);
	tuple = heap_form_tuple(RelationGetDescr(rel), values, nulls);
	if (old != NULL)
	{
		see_own_command(old);
		CatalogTupleUpdate(rel, &old->t_self, tuple);
		if (ItemPointerGetBlockNumber(&old->t_self) != ItemPointerGetBlockNumber(&tuple->t_self))
			reuse_pages(rel, ItemPointerGetBlockNumber(&tuple->t_self));
		heap_freetuple(old);
	}
	else
	{
		CatalogTupleInsert(rel, tuple);
		outputs_changed();		/* a restored query is known from now on */
	}
	remember_frontier(output, &tuple->t_self);
	heap_freetuple(tuple);
	table_close(rel, NoLock);
}

/*
 * Keep a row that could not be processed.  "row" is a jsonb datum, "sqlstate"
 * is packed as in ErrorData.
 */
void
vs_dead_letter_insert(Oid output, Oid source, ItemPointer tid, TransactionId xmin,
					  Datum row, int sqlstate, const char *message)
{
	Relation	rel = open_table(REL_DEAD_LETTER, RowExclusiveLock);
	Datum		values[Natts_dead_letter];
	bool		nulls[Natts_dead_letter] = {false};
	HeapTuple	tuple;

	values[Anum_dead_letter_query - 1] = ObjectIdGetDatum(output);
	values[Anum_dead_letter_source - 1] = ObjectIdGetDatum(source);
	values[Anum_dead_letter_source_ctid - 1] = PointerGetDatum(tid);
	values[Anum_dead_letter_source_xmin - 1] = TransactionIdGetDatum(xmin);
	values[Anum_dead_letter_row - 1] = row;
	values[Anum_dead_letter_sqlstate - 1] = CStringGetTextDatum(unpack_sql_state(sqlstate));
	values[Anum_dead_letter_message - 1] = CStringGetTextDatum(message ? message : "");
	values[Anum_dead_letter_at - 1] = TimestampTzGetDatum(GetCurrentTimestamp());
	tuple = heap_form_tuple(RelationGetDescr(rel), values, nulls);
	CatalogTupleInsert(rel, tuple);
	heap_freetuple(tuple);
	table_close(rel, NoLock);
}

/* The row versions that are dead letters of a query. */
void
vs_dead_letter_scan(Oid output, VsDeadLetterCallback callback, void *arg)
{
	Relation	rel = open_table(REL_DEAD_LETTER, AccessShareLock);
	TupleDesc	desc = RelationGetDescr(rel);
	SysScanDesc scan = begin_scan(rel, REL_DEAD_LETTER_IDX, Anum_dead_letter_query, output);
	HeapTuple	tuple;

	while (HeapTupleIsValid(tuple = systable_getnext(scan)))
	{
		bool		isnull[3];
		Datum		source = heap_getattr(tuple, Anum_dead_letter_source, desc, &isnull[0]);
		Datum		tid = heap_getattr(tuple, Anum_dead_letter_source_ctid, desc, &isnull[1]);
		Datum		xmin = heap_getattr(tuple, Anum_dead_letter_source_xmin, desc, &isnull[2]);

		if (!isnull[0] && !isnull[1] && !isnull[2])
			callback(arg, DatumGetObjectId(source), (ItemPointer) DatumGetPointer(tid),
					 DatumGetTransactionId(xmin));
	}
	systable_endscan(scan);
	table_close(rel, AccessShareLock);
}

/* Drop the dead letters of a query that "choose" returns true for. */
int64
vs_dead_letter_take(Oid output, VsDeadLetterChoice choose, void *arg)
{
	Relation	rel = open_table(REL_DEAD_LETTER, RowExclusiveLock);
	TupleDesc	desc = RelationGetDescr(rel);
	SysScanDesc scan = begin_scan(rel, REL_DEAD_LETTER_IDX, Anum_dead_letter_query, output);
	HeapTuple	tuple;
	int64		taken = 0;

	while (HeapTupleIsValid(tuple = systable_getnext(scan)))
	{
		bool		isnull[4];
		Datum		source = heap_getattr(tuple, Anum_dead_letter_source, desc, &isnull[0]);
		Datum		tid = heap_getattr(tuple, Anum_dead_letter_source_ctid, desc, &isnull[1]);
		Datum		xmin = heap_getattr(tuple, Anum_dead_letter_source_xmin, desc, &isnull[2]);
		Datum		state = heap_getattr(tuple, Anum_dead_letter_sqlstate, desc, &isnull[3]);
		bool		restored = isnull[0] || isnull[1] || isnull[2];

		if (!choose(arg, DatumGetObjectId(source),
					restored ? NULL : (ItemPointer) DatumGetPointer(tid),
					restored ? InvalidTransactionId : DatumGetTransactionId(xmin),
					isnull[3] ? "" : TextDatumGetCString(state)))
			continue;
		see_own_command(tuple);
		CatalogTupleDelete(rel, &tuple->t_self);
		taken++;
	}
	systable_endscan(scan);
	table_close(rel, NoLock);
	return taken;
}

/*
 * Drop the dead letters of a query that is about to read its sources again.
 * Those restored from a dump (without ctid) stay: their rows may exist nowhere
 * else.
 */
void
vs_dead_letter_clear(Oid output)
{
	(void) delete_by_key(REL_DEAD_LETTER, REL_DEAD_LETTER_IDX, Anum_dead_letter_query,
						 output, Anum_dead_letter_source_ctid);
}

/*
 * After a restore, ctid and xmin of the dead letters mean nothing: make them
 * null, so that they match no row by accident.
 */
void
vs_dead_letter_detach(Oid output)
{
	Relation	rel = open_table(REL_DEAD_LETTER, RowExclusiveLock);
	SysScanDesc scan = begin_scan(rel, REL_DEAD_LETTER_IDX, Anum_dead_letter_query, output);
	Datum		values[Natts_dead_letter] = {0};
	bool		nulls[Natts_dead_letter] = {false};
	bool		replace[Natts_dead_letter] = {false};
	HeapTuple	tuple;

	nulls[Anum_dead_letter_source_ctid - 1] = replace[Anum_dead_letter_source_ctid - 1] = true;
	nulls[Anum_dead_letter_source_xmin - 1] = replace[Anum_dead_letter_source_xmin - 1] = true;
	while (HeapTupleIsValid(tuple = systable_getnext(scan)))
	{
		HeapTuple	newtup;

		if (heap_attisnull(tuple, Anum_dead_letter_source_ctid, RelationGetDescr(rel)))
			continue;			/* perhaps our own work */
		see_own_command(tuple);
		newtup = heap_modify_tuple(tuple, RelationGetDescr(rel), values, nulls, replace);

		CatalogTupleUpdate(rel, &tuple->t_self, newtup);
		heap_freetuple(newtup);
	}
	systable_endscan(scan);
	table_close(rel, NoLock);
	CommandCounterIncrement();
}

/*
 * Look up the OIDs of the tables and indexes.  The schema is a member of the
 * extension, so nobody else can have put tables of these names there.
 */
static bool
load_rel_oids(void)
{
	Oid			nsp = get_namespace_oid(VS_SCHEMA_NAME, true);
	Oid			found[REL_COUNT];
	uint64		count = callback_count;

	if (!OidIsValid(nsp) || !OidIsValid(get_extension_oid(VS_EXTENSION_NAME, true)))
		return false;
	if (!callback_registered)
	{
		CacheRegisterRelcacheCallback(relcache_callback, (Datum) 0);
		callback_registered = true;
	}
	for (int i = 0; i < REL_COUNT; i++)
	{
		found[i] = get_relname_relid(rel_names[i], nsp);
		if (!OidIsValid(found[i]))
			return false;
	}
	memcpy(rel_oids, found, sizeof(rel_oids));
	rel_oids_valid = (count == callback_count);
	return true;
}

/* A relation changed: forget what rests on it.  No catalog access here. */
static void
relcache_callback(Datum arg, Oid relid)
{
	callback_count++;
	if (!OidIsValid(relid) || relid == rel_oids[REL_QUERY])
	{
		outputs_valid = false;
		outputs_generation++;
	}
	for (int i = 0; i < REL_COUNT; i++)
	{
		if (!OidIsValid(relid) || relid == rel_oids[i])
			rel_oids_valid = false;
	}
}

/* A catalog table of another version of the extension is not to be read as ours. */
static void
check_columns(RegistryRel rel, Relation table)
{
	int			expected = rel == REL_QUERY ? Natts_query :
	rel == REL_FRONTIER ? Natts_frontier : 0;

	if (expected == 0 || RelationGetNumberOfAttributes(table) == expected)
		return;
	ereport(ERROR,
			(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
			 errmsg("table \"%s.%s\" has %d columns, but the loaded library expects %d",
					VS_SCHEMA_NAME, RelationGetRelationName(table),
					RelationGetNumberOfAttributes(table), expected),
			 errdetail("The extension was created by another version than the library's."),
			 errhint("Run ALTER EXTENSION %s UPDATE, or restart the server if the library was updated.",
					 VS_EXTENSION_NAME)));
}

/*
 * Open one of our tables.  Locking it may make this process see that the
 * extension was dropped (and created again) meanwhile, hence the loop.
 */
static Relation
open_any_version(RegistryRel rel, LOCKMODE lockmode)
{
	for (int attempt = 0; attempt < 3; attempt++)
	{
		Relation	result;

		if (!vs_registry_exists())
			break;
		result = try_table_open(rel_oids[rel], lockmode);

		/* the relcache entry may just have been rebuilt: our OIDs as well */
		if (result != NULL && vs_registry_exists() && rel_oids[rel] == RelationGetRelid(result))
			return result;
		if (result != NULL)
			table_close(result, lockmode);
	}
	ereport(ERROR,
			(errcode(ERRCODE_UNDEFINED_OBJECT),
			 errmsg("extension \"%s\" is not installed in this database", VS_EXTENSION_NAME),
			 errhint("Run CREATE EXTENSION %s.", VS_EXTENSION_NAME)));
}

/* The same, to be read or written as this library knows it. */
static Relation
open_table(RegistryRel rel, LOCKMODE lockmode)
{
	Relation	table = open_any_version(rel, lockmode);

	check_columns(rel, table);
	return table;
}

/*
 * A new snapshot, registered, that sees everything committed by now and all
 * that this transaction wrote, the current command included.
 */
static Snapshot
fresh_snapshot(Oid relid)
{
	Snapshot	snapshot;

	/* for a table that is no system catalog this is always a new one */
	snapshot = RegisterSnapshot(GetCatalogSnapshot(relid));
	Assert(snapshot->copied);
	snapshot->curcid = GetCurrentCommandId(false) + 1;
	return snapshot;
}

/*
 * Scan a table with fresh_snapshot: the rows with "output" in column "attno", or,
 * with 0, all of them.
 */
static SysScanDesc
begin_scan(Relation rel, RegistryRel index, AttrNumber attno, Oid output)
{
	Snapshot	snapshot = fresh_snapshot(RelationGetRelid(rel));
	ScanKeyData key;
	SysScanDesc scan;

	ScanKeyInit(&key, attno, BTEqualStrategyNumber, F_OIDEQ, ObjectIdGetDatum(output));
	scan = systable_beginscan(rel, rel_oids[index], attno != 0, snapshot, attno != 0 ? 1 : 0, &key);
	scan->snapshot = snapshot;	/* systable_endscan unregisters it */
	return scan;
}

/*
 * Before changing a row that was found with fresh_snapshot: a command cannot
 * change what it wrote itself, so begin another one in that case.
 */
static void
see_own_command(HeapTuple tuple)
{
	if (TransactionIdIsCurrentTransactionId(HeapTupleHeaderGetXmin(tuple->t_data)) &&
		HeapTupleHeaderGetCmin(tuple->t_data) >= GetCurrentCommandId(false))
		CommandCounterIncrement();
}

/* A copy of the row whose first column is "output", or NULL. */
static HeapTuple
find_by_output(Relation rel, RegistryRel index, Oid output)
{
	SysScanDesc scan = begin_scan(rel, index, 1, output);
	HeapTuple	tuple = systable_getnext(scan);

	StaticAssertStmt(Anum_query_output == 1 && Anum_frontier_output == 1,
					 "the output comes first");
	if (HeapTupleIsValid(tuple))
		tuple = heap_copytuple(tuple);
	systable_endscan(scan);
	return tuple;
}

/* Read a row of velostream.query. */
static void
query_from_tuple(HeapTuple tuple, TupleDesc desc, VsQueryEntry *entry)
{
	Datum		values[Natts_query];
	bool		nulls[Natts_query];

	heap_deform_tuple(tuple, desc, values, nulls);
	memset(entry, 0, sizeof(*entry));
	entry->output = DatumGetObjectId(values[Anum_query_output - 1]);
	entry->view = DatumGetObjectId(values[Anum_query_view - 1]);
	entry->state = nulls[Anum_query_state - 1] ? InvalidOid :
		DatumGetObjectId(values[Anum_query_state - 1]);
	entry->kind = (VsKind) DatumGetChar(values[Anum_query_kind - 1]);
	entry->mode = (VsSourceMode) DatumGetChar(values[Anum_query_source_mode - 1]);
	entry->on_error = (VsOnError) DatumGetChar(values[Anum_query_on_error - 1]);
	entry->status = (VsStatus) DatumGetChar(values[Anum_query_status - 1]);
	entry->with_data = DatumGetBool(values[Anum_query_with_data - 1]);
	entry->time.emit = (VsEmit) DatumGetChar(values[Anum_query_emit - 1]);
	entry->time.late = (VsLateData) DatumGetChar(values[Anum_query_late_data - 1]);
	entry->time.delay = read_duration(values, nulls, Anum_query_delay);
	entry->time.idle_timeout = read_duration(values, nulls, Anum_query_idle_timeout);
	entry->time.max_future_skew = read_duration(values, nulls, Anum_query_max_future_skew);
	entry->time.retention = read_duration(values, nulls, Anum_query_retention);
}

/* A duration in microseconds, -1 where there is none. */
static int64
read_duration(const Datum *values, const bool *nulls, AttrNumber attnum)
{
	return nulls[attnum - 1] ? -1 : Max(DatumGetInt64(values[attnum - 1]), 0);
}

static void
set_duration(AttrNumber attnum, int64 duration, Datum *values, bool *nulls)
{
	values[attnum - 1] = Int64GetDatum(duration);
	nulls[attnum - 1] = duration < 0;
}

/* The columns of velostream.query for a row to be written. */
static void
query_to_values(const VsQueryEntry *entry, Datum *values, bool *nulls)
{
	memset(nulls, 0, Natts_query * sizeof(bool));
	values[Anum_query_output - 1] = ObjectIdGetDatum(entry->output);
	values[Anum_query_view - 1] = ObjectIdGetDatum(entry->view);
	values[Anum_query_state - 1] = ObjectIdGetDatum(entry->state);
	nulls[Anum_query_state - 1] = !OidIsValid(entry->state);
	values[Anum_query_kind - 1] = CharGetDatum((char) entry->kind);
	values[Anum_query_source_mode - 1] = CharGetDatum((char) entry->mode);
	values[Anum_query_on_error - 1] = CharGetDatum((char) entry->on_error);
	values[Anum_query_status - 1] = CharGetDatum((char) entry->status);
	values[Anum_query_with_data - 1] = BoolGetDatum(entry->with_data);
	values[Anum_query_emit - 1] = CharGetDatum((char) entry->time.emit);
	values[Anum_query_late_data - 1] = CharGetDatum((char) entry->time.late);
	set_duration(Anum_query_delay, entry->time.delay, values, nulls);
	set_duration(Anum_query_idle_timeout, entry->time.idle_timeout, values, nulls);
	set_duration(Anum_query_max_future_skew, entry->time.max_future_skew, values, nulls);
	set_duration(Anum_query_retention, entry->time.retention, values, nulls);
	set_error(NULL, values, nulls);
}

/* A text column that may be null. */
static void
set_text(AttrNumber attnum, const char *text, Datum *values, bool *nulls)
{
	nulls[attnum - 1] = text == NULL;
	values[attnum - 1] = text ? CStringGetTextDatum(text) : (Datum) 0;
}

/* Fill in the columns about the error that stopped a query; NULL: there is none. */
static void
set_error(const ErrorData *edata, Datum *values, bool *nulls)
{
	for (int i = Anum_query_error; i <= Anum_query_stopped_at; i++)
	{
		values[i - 1] = (Datum) 0;
		nulls[i - 1] = true;
	}
	if (edata == NULL)
		return;
	set_text(Anum_query_error, edata->message ? edata->message : "", values, nulls);
	set_text(Anum_query_error_sqlstate, unpack_sql_state(edata->sqlerrcode), values, nulls);
	set_text(Anum_query_error_detail, edata->detail, values, nulls);
	set_text(Anum_query_error_hint, edata->hint, values, nulls);
	set_text(Anum_query_error_context, edata->context, values, nulls);
	values[Anum_query_stopped_at - 1] = TimestampTzGetDatum(GetCurrentTimestamp());
	nulls[Anum_query_stopped_at - 1] = false;
}

/* Fill in the same columns from the row that is to be replaced. */
static void
keep_error(HeapTuple old, TupleDesc desc, Datum *values, bool *nulls)
{
	for (int i = Anum_query_error; i <= Anum_query_stopped_at; i++)
		values[i - 1] = heap_getattr(old, i, desc, &nulls[i - 1]);
}

/*
 * Lock a row against changes by others until the end of the transaction.
 * False: somebody changed it first, look it up again.
 */
static bool
lock_tuple(Relation rel, HeapTuple tuple)
{
	HeapTupleData target;
	Buffer		buffer;
	TM_FailureData tmfd;
	TM_Result	result;

	target.t_self = tuple->t_self;
	result = heap_lock_tuple(rel, &target, GetCurrentCommandId(true), LockTupleNoKeyExclusive,
							 LockWaitBlock, false, &buffer, &tmfd);
	ReleaseBuffer(buffer);
	if (result != TM_Ok && result != TM_Updated && result != TM_Deleted)
		elog(ERROR, "could not lock row of \"%s\": %d", RelationGetRelationName(rel), result);
	return result == TM_Ok;
}

/*
 * Delete the rows of a query from one of the tables; with "notnull", only
 * those in which that column is not null.  True if there were any.
 */
static bool
delete_by_key(RegistryRel table, RegistryRel index, AttrNumber attno, Oid output,
			  AttrNumber notnull)
{
	Relation	rel = open_any_version(table, RowExclusiveLock);
	SysScanDesc scan = begin_scan(rel, index, attno, output);
	HeapTuple	tuple;
	bool		found = false;

	while (HeapTupleIsValid(tuple = systable_getnext(scan)))
	{
		if (notnull != 0 && heap_attisnull(tuple, notnull, RelationGetDescr(rel)))
			continue;
		see_own_command(tuple);
		CatalogTupleDelete(rel, &tuple->t_self);
		found = true;
	}
	systable_endscan(scan);
	table_close(rel, NoLock);
	return found;
}

/* Tell all processes, at commit, and this one now, to load the set of outputs again. */
static void
outputs_changed(void)
{
	CacheInvalidateRelcacheByRelid(rel_oids[REL_QUERY]);
	outputs_valid = false;
	outputs_generation++;
}

/* Load the set of outputs; false if the extension is being dropped. */
static bool
load_outputs(void)
{
	uint64		generation;
	Relation	rel;
	SysScanDesc scan;
	HeapTuple	tuple;
	HASHCTL		ctl;

	rel = try_table_open(rel_oids[REL_QUERY], AccessShareLock);
	if (rel == NULL)
		return false;
	if (outputs != NULL)
		hash_destroy(outputs);
	outputs = NULL;
	memset(&ctl, 0, sizeof(ctl));
	ctl.keysize = ctl.entrysize = sizeof(Oid);
	ctl.hcxt = TopMemoryContext;
	outputs = hash_create("velostream outputs", 64, &ctl, HASH_ELEM | HASH_BLOBS | HASH_CONTEXT);

	generation = outputs_generation;
	scan = begin_scan(rel, REL_QUERY_PKEY, 0, InvalidOid);
	while (HeapTupleIsValid(tuple = systable_getnext(scan)))
	{
		bool		isnull;
		Oid			output = DatumGetObjectId(heap_getattr(tuple, Anum_query_output,
														   RelationGetDescr(rel), &isnull));

		(void) hash_search(outputs, &output, HASH_ENTER, NULL);
	}
	systable_endscan(scan);
	table_close(rel, AccessShareLock);
	outputs_valid = (generation == outputs_generation);
	return true;
}

/* A copy of the frontier row of a query, or NULL: where it was last, else by the index. */
static HeapTuple
find_frontier(Relation rel, Oid output)
{
	HeapTuple	tuple = fetch_hinted(rel, output);

	if (tuple == NULL)
		tuple = find_by_output(rel, REL_FRONTIER_PKEY, output);
	return tuple;
}

/*
 * A copy of the frontier row of a query if it is still where it was last
 * seen.  Whatever the hint is worth, the result is right: the row is visible
 * and is that query's, and there is only one such row.
 */
static HeapTuple
fetch_hinted(Relation rel, Oid output)
{
	FrontierHint *hint;
	HeapTupleData tuple;
	Buffer		buffer;
	Snapshot	snapshot;
	HeapTuple	result = NULL;
	bool		isnull;

	if (frontier_hints == NULL)
		return NULL;
	hint = hash_search(frontier_hints, &output, HASH_FIND, NULL);
	if (hint == NULL || ItemPointerGetBlockNumber(&hint->tid) >= RelationGetNumberOfBlocks(rel))
		return NULL;

	buffer = ReadBuffer(rel, ItemPointerGetBlockNumber(&hint->tid));
	heap_page_prune_opt(rel, buffer);
	ReleaseBuffer(buffer);
	snapshot = fresh_snapshot(RelationGetRelid(rel));
	tuple.t_self = hint->tid;
	if (heap_fetch(rel, snapshot, &tuple, &buffer, false))
	{
		if (DatumGetObjectId(heap_getattr(&tuple, Anum_frontier_output, RelationGetDescr(rel),
										  &isnull)) == output)
			result = heap_copytuple(&tuple);
		ReleaseBuffer(buffer);
	}
	UnregisterSnapshot(snapshot);
	return result;
}

static void
remember_frontier(Oid output, ItemPointer tid)
{
	FrontierHint *hint;

	if (frontier_hints == NULL)
	{
		HASHCTL		ctl;

		memset(&ctl, 0, sizeof(ctl));
		ctl.keysize = sizeof(Oid);
		ctl.entrysize = sizeof(FrontierHint);
		ctl.hcxt = TopMemoryContext;
		frontier_hints = hash_create("velostream frontier rows", 64, &ctl,
									 HASH_ELEM | HASH_BLOBS | HASH_CONTEXT);
	}
	hint = hash_search(frontier_hints, &output, HASH_ENTER, NULL);
	hint->tid = *tid;
}

/*
 * A frontier row has gone to another page, "except".  Prune a few of the
 * others, in turn, and remember what room they have.
 */
static void
reuse_pages(Relation rel, BlockNumber except)
{
	static BlockNumber next = 0;
	BlockNumber nblocks = RelationGetNumberOfBlocks(rel);

	for (int i = 0; i < REUSE_PAGES && i < nblocks; i++)
	{
		BlockNumber block = next++ % nblocks;
		Buffer		buffer;
		Size		room;

		if (block == except)
			continue;
		buffer = ReadBuffer(rel, block);
		heap_page_prune_opt(rel, buffer);
		LockBuffer(buffer, BUFFER_LOCK_SHARE);
		room = PageGetHeapFreeSpace(BufferGetPage(buffer));
		UnlockReleaseBuffer(buffer);
		RecordPageWithFreeSpace(rel, block, room);
	}
}

/* Read a row of velostream.frontier; the result is in CurrentMemoryContext. */
static void
frontier_from_tuple(HeapTuple tuple, TupleDesc desc, VsFrontierRow *row)
{
	Datum		v[Natts_frontier];
	bool		nulls[Natts_frontier];
	VsFrontier *f = &row->frontier;
	Oid		   *relids,
			   *tablespaces,
			   *databases,
			   *files;

	memset(row, 0, sizeof(*row));
	heap_deform_tuple(tuple, desc, v, nulls);
	f->lsn = DatumGetLSN(v[Anum_frontier_lsn - 1]);
	f->restart_lsn = DatumGetLSN(v[Anum_frontier_restart_lsn - 1]);
	f->nsources = read_oid_array(v[Anum_frontier_source_relids - 1], &relids);
	row->damaged = f->nsources < 0 ||
		read_oid_array(v[Anum_frontier_source_tablespaces - 1], &tablespaces) != f->nsources ||
		read_oid_array(v[Anum_frontier_source_databases - 1], &databases) != f->nsources ||
		read_oid_array(v[Anum_frontier_source_files - 1], &files) != f->nsources ||
		!read_snapshot(v, nulls, &f->snapshot);
	if (row->damaged)
		memset(f, 0, sizeof(*f));
	f->sources = palloc(Max(f->nsources, 1) * sizeof(VsSource));
	for (int i = 0; i < f->nsources; i++)
	{
		f->sources[i].relid = relids[i];
		f->sources[i].node = vs_make_file(tablespaces[i], databases[i], files[i]);
	}
	if (!row->damaged)
		vs_frontier_sort(f);
	row->fingerprint = (uint64) DatumGetInt64(v[Anum_frontier_fingerprint - 1]);
	row->rebuild = DatumGetBool(v[Anum_frontier_rebuild - 1]);
	if (!nulls[Anum_frontier_rebuild_reason - 1])
		row->rebuild_reason = TextDatumGetCString(v[Anum_frontier_rebuild_reason - 1]);
	row->output_node = vs_make_file(DatumGetObjectId(v[Anum_frontier_output_tablespace - 1]),
									DatumGetObjectId(v[Anum_frontier_output_database - 1]),
									DatumGetObjectId(v[Anum_frontier_output_file - 1]));
	if (!nulls[Anum_frontier_updated_at - 1])
		row->updated_at = DatumGetTimestampTz(v[Anum_frontier_updated_at - 1]);
	row->batches = DatumGetInt64(v[Anum_frontier_batches - 1]);
	row->rows_in = DatumGetInt64(v[Anum_frontier_rows_in - 1]);
	row->rows_out = DatumGetInt64(v[Anum_frontier_rows_out - 1]);
	row->changes = DatumGetInt64(v[Anum_frontier_changes - 1]);
	row->recomputed = DatumGetInt64(v[Anum_frontier_recomputed - 1]);
	row->ignored = DatumGetInt64(v[Anum_frontier_ignored - 1]);
	row->dead = DatumGetInt64(v[Anum_frontier_dead - 1]);
	row->rebuilds = DatumGetInt64(v[Anum_frontier_rebuilds - 1]);
	row->busy_us = DatumGetInt64(v[Anum_frontier_busy_us - 1]);
	f->horizon = DatumGetLSN(v[Anum_frontier_horizon - 1]);
	row->event_time = read_time(v, nulls, Anum_frontier_event_time);
	row->watermark = read_time(v, nulls, Anum_frontier_watermark);
	row->event_at = read_time(v, nulls, Anum_frontier_event_at);
	row->late = DatumGetInt64(v[Anum_frontier_late - 1]);
	row->partly_late = DatumGetInt64(v[Anum_frontier_partly_late - 1]);
	row->open_windows = DatumGetInt64(v[Anum_frontier_open_windows - 1]);
	row->next_close = read_time(v, nulls, Anum_frontier_next_close);
	row->arrived = DatumGetInt64(v[Anum_frontier_arrived - 1]);
}

/* A time, VS_NO_TIME where there is none. */
static TimestampTz
read_time(const Datum *values, const bool *nulls, AttrNumber attnum)
{
	return nulls[attnum - 1] ? VS_NO_TIME : DatumGetTimestampTz(values[attnum - 1]);
}

static void
set_time(AttrNumber attnum, TimestampTz time, Datum *values, bool *nulls)
{
	values[attnum - 1] = TimestampTzGetDatum(time);
	nulls[attnum - 1] = time == VS_NO_TIME;
}

/* The columns of velostream.frontier for a row to be written. */
static void
frontier_to_values(Oid output, const VsFrontierRow *row, Datum *v, bool *nulls)
{
	const VsFrontier *f = &row->frontier;

	memset(v, 0, Natts_frontier * sizeof(Datum));
	memset(nulls, 0, Natts_frontier * sizeof(bool));
	v[Anum_frontier_output - 1] = ObjectIdGetDatum(output);
	nulls[Anum_frontier_snapshot_xmin - 1] = (f->snapshot == NULL);
	nulls[Anum_frontier_snapshot_xmax - 1] = (f->snapshot == NULL);
	nulls[Anum_frontier_snapshot_xip - 1] = (f->snapshot == NULL);
	if (f->snapshot != NULL)
	{
		int			n = f->snapshot->nxip;
		Datum	   *xip = palloc(Max(n, 1) * sizeof(Datum));

		for (int i = 0; i < n; i++)
			xip[i] = FullTransactionIdGetDatum(f->snapshot->xip[i]);
		v[Anum_frontier_snapshot_xmin - 1] = FullTransactionIdGetDatum(f->snapshot->xmin);
		v[Anum_frontier_snapshot_xmax - 1] = FullTransactionIdGetDatum(f->snapshot->xmax);
		v[Anum_frontier_snapshot_xip - 1] =
			PointerGetDatum(construct_array(xip, n, XID8OID, sizeof(uint64), FLOAT8PASSBYVAL,
											TYPALIGN_DOUBLE));
	}
	v[Anum_frontier_lsn - 1] = LSNGetDatum(f->lsn);
	v[Anum_frontier_restart_lsn - 1] = LSNGetDatum(f->restart_lsn);
	v[Anum_frontier_source_relids - 1] = PointerGetDatum(oid_array(f, Anum_frontier_source_relids));
	v[Anum_frontier_source_tablespaces - 1] =
		PointerGetDatum(oid_array(f, Anum_frontier_source_tablespaces));
	v[Anum_frontier_source_databases - 1] =
		PointerGetDatum(oid_array(f, Anum_frontier_source_databases));
	v[Anum_frontier_source_files - 1] = PointerGetDatum(oid_array(f, Anum_frontier_source_files));
	v[Anum_frontier_fingerprint - 1] = Int64GetDatum((int64) row->fingerprint);
	v[Anum_frontier_rebuild - 1] = BoolGetDatum(row->rebuild);
	nulls[Anum_frontier_rebuild_reason - 1] = (row->rebuild_reason == NULL);
	if (row->rebuild_reason != NULL)
		v[Anum_frontier_rebuild_reason - 1] = CStringGetTextDatum(row->rebuild_reason);
	v[Anum_frontier_output_tablespace - 1] = ObjectIdGetDatum(VS_FILE_TABLESPACE(row->output_node));
	v[Anum_frontier_output_database - 1] = ObjectIdGetDatum(VS_FILE_DATABASE(row->output_node));
	v[Anum_frontier_output_file - 1] = ObjectIdGetDatum(VS_FILE_NUMBER(row->output_node));
	v[Anum_frontier_updated_at - 1] = TimestampTzGetDatum(row->updated_at);
	nulls[Anum_frontier_updated_at - 1] = (row->updated_at == 0);
	v[Anum_frontier_batches - 1] = Int64GetDatum(row->batches);
	v[Anum_frontier_rows_in - 1] = Int64GetDatum(row->rows_in);
	v[Anum_frontier_rows_out - 1] = Int64GetDatum(row->rows_out);
	v[Anum_frontier_changes - 1] = Int64GetDatum(row->changes);
	v[Anum_frontier_recomputed - 1] = Int64GetDatum(row->recomputed);
	v[Anum_frontier_ignored - 1] = Int64GetDatum(row->ignored);
	v[Anum_frontier_dead - 1] = Int64GetDatum(row->dead);
	v[Anum_frontier_rebuilds - 1] = Int64GetDatum(row->rebuilds);
	v[Anum_frontier_busy_us - 1] = Int64GetDatum(row->busy_us);
	v[Anum_frontier_horizon - 1] = LSNGetDatum(f->horizon);
	set_time(Anum_frontier_event_time, row->event_time, v, nulls);
	set_time(Anum_frontier_watermark, row->watermark, v, nulls);
	set_time(Anum_frontier_event_at, row->event_at, v, nulls);
	v[Anum_frontier_late - 1] = Int64GetDatum(row->late);
	v[Anum_frontier_partly_late - 1] = Int64GetDatum(row->partly_late);
	v[Anum_frontier_open_windows - 1] = Int64GetDatum(row->open_windows);
	set_time(Anum_frontier_next_close, row->next_close, v, nulls);
	v[Anum_frontier_arrived - 1] = Int64GetDatum(row->arrived);
	v[Anum_frontier_system - 1] = Int64GetDatum((int64) GetSystemIdentifier());
}

/* One of the four parallel arrays about the sources, chosen by its column. */
static ArrayType *
oid_array(const VsFrontier *frontier, int which)
{
	int			n = frontier->nsources;
	Datum	   *oids = palloc(Max(n, 1) * sizeof(Datum));

	for (int i = 0; i < n; i++)
	{
		const VsSource *source = &frontier->sources[i];

		switch (which)
		{
			case Anum_frontier_source_relids:
				oids[i] = ObjectIdGetDatum(source->relid);
				break;
			case Anum_frontier_source_tablespaces:
				oids[i] = ObjectIdGetDatum(VS_FILE_TABLESPACE(source->node));
				break;
			case Anum_frontier_source_databases:
				oids[i] = ObjectIdGetDatum(VS_FILE_DATABASE(source->node));
				break;
			default:
				oids[i] = ObjectIdGetDatum(VS_FILE_NUMBER(source->node));
		}
	}
	return construct_array(oids, n, OIDOID, sizeof(Oid), true, TYPALIGN_INT);
}

/* The elements of an oid[] without nulls, in place, and their number; or -1. */
static int
read_oid_array(Datum value, Oid **oids)
{
	ArrayType  *array = DatumGetArrayTypeP(value);

	*oids = (Oid *) ARR_DATA_PTR(array);
	if (array_contains_nulls(array) || ARR_ELEMTYPE(array) != OIDOID)
		return -1;
	return ArrayGetNItems(ARR_NDIM(array), ARR_DIMS(array));
}

/*
 * The snapshot of a frontier, NULL if there is none.  False if it cannot be
 * one: what looks into it takes its order and its bounds for granted.
 */
static bool
read_snapshot(const Datum *v, const bool *nulls, VsSnapshot **result)
{
	bool		null = nulls[Anum_frontier_snapshot_xmin - 1];
	FullTransactionId next = ReadNextFullTransactionId();
	ArrayType  *xip;
	VsSnapshot *s;

	if (nulls[Anum_frontier_snapshot_xmax - 1] != null ||
		nulls[Anum_frontier_snapshot_xip - 1] != null)
		return false;
	if (null)
		return true;

	xip = DatumGetArrayTypeP(v[Anum_frontier_snapshot_xip - 1]);
	if (array_contains_nulls(xip) || ARR_ELEMTYPE(xip) != XID8OID)
		return false;
	s = palloc0(sizeof(VsSnapshot));
	s->xmin = DatumGetFullTransactionId(v[Anum_frontier_snapshot_xmin - 1]);
	s->xmax = DatumGetFullTransactionId(v[Anum_frontier_snapshot_xmax - 1]);
	s->nxip = ArrayGetNItems(ARR_NDIM(xip), ARR_DIMS(xip));
	s->xip = palloc(Max(s->nxip, 1) * sizeof(FullTransactionId));
	memcpy(s->xip, ARR_DATA_PTR(xip), s->nxip * sizeof(FullTransactionId));
	if (!FullTransactionIdIsNormal(s->xmin) ||
		!FullTransactionIdPrecedesOrEquals(s->xmin, s->xmax) ||
		!FullTransactionIdPrecedesOrEquals(s->xmax, next))
		return false;
	for (int i = 0; i < s->nxip; i++)
	{
		if (FullTransactionIdPrecedes(s->xip[i], s->xmin) ||
			!FullTransactionIdPrecedes(s->xip[i], s->xmax) ||
			(i > 0 && !FullTransactionIdPrecedes(s->xip[i - 1], s->xip[i])))
			return false;
	}
	*result = s;
	return true;
}
