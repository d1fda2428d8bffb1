/*-------------------------------------------------------------------------
 *
 * vs_plan.c
 *	  What is known about a query before any row is read: its strategy, the
 *	  shape of its groups, and the expressions that make an output row.
 *
 * A plan lives in a memory context of its own and is kept by this process
 * until something it rests on is invalidated: a relation of the query, or any
 * function, type, operator or role (coarse, but those change rarely).  An
 * invalidation only marks the plan; vs_plan_get makes a new one, so a plan in
 * use never goes away under its user.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/relation.h"
#include "access/table.h"
#include "catalog/pg_am.h"
#include "catalog/pg_class.h"
#include "catalog/pg_constraint.h"
#include "catalog/pg_inherits.h"
#include "catalog/pg_type.h"
#include "common/hashfn.h"
#include "miscadmin.h"
#include "nodes/makefuncs.h"
#include "nodes/nodeFuncs.h"
#include "optimizer/optimizer.h"
#include "optimizer/tlist.h"
#include "parser/parse_oper.h"
#include "parser/parsetree.h"
#include "plan/vs_plan.h"
#include "plan/vs_plan_internal.h"
#include "rewrite/rewriteHandler.h"
#include "storage/lmgr.h"
#include "utils/hsearch.h"
#include "utils/inval.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/rel.h"
#include "utils/syscache.h"
#include "vs_compat.h"

typedef struct PlanCacheEntry
{
	Oid			output;			/* hash key */
	VsPlan	   *plan;
} PlanCacheEntry;

static HTAB *PlanCache = NULL;

/*
 * Relations that were invalidated while a plan was being made: it is not in
 * the cache yet, so that nothing could mark it.
 */
#define MAX_MISSED	32
static bool making = false;
static int	nmissed = 0;		/* more than MAX_MISSED: anything may have
								 * been */
static Oid	missed[MAX_MISSED];

static VsPlan *make_watched(const VsQueryEntry *query);
static VsPlan *make_plan(Query *query, const VsQueryEntry *entry, MemoryContext parent);
static Query *read_query(VsPlan *plan);
static void rewrite_query(VsPlan *plan, Query *query);
static Query *source_query(Query *query);
static void find_leaves(VsPlan *plan);
static void add_virtual_columns(VsPlan *plan);
static void check_cycle(VsPlan *plan);
static bool reads_relation(Oid relid, Oid target, List **seen);
static bool names_relation(Node *node, List **relids);
static void choose_strategy(VsPlan *plan);
static void describe_keys(VsPlan *plan);
static FmgrInfo *show_function(Oid type);
static void describe_window(VsPlan *plan);
static void describe_aggregates(VsPlan *plan);
static bool place_partials(VsPlan *plan);
static int	index_of(List **aggrefs, Aggref *aggref);
static void describe_group_tuple(VsPlan *plan);
static void describe_output(VsPlan *plan);
static void add_layout(VsPlan *plan);
static bool collect_aggrefs(Node *node, List **aggrefs);
static Node *replace_with_group_vars(Node *node, VsPlan *plan);

/* ----------
 * The cache of plans
 * ----------
 */

static void add_row_type(VsPlan *plan, Oid type);
static bool has_policies(Query *query);
static void add_role(VsPlan *plan);

static bool
lock_source(Oid relid, bool nowait)
{
	if (nowait)
		return ConditionalLockRelationOid(relid, AccessShareLock);
	LockRelationOid(relid, AccessShareLock);
	return true;
}

/*
 * The plan of a query, with AccessShareLock on its source and leaves, valid
 * under those locks.  The caller runs as the output's owner.  With nowait,
 * NULL if somebody else's lock is in the way (but making a plan waits).
 */
VsPlan *
vs_plan_get(Oid output, bool nowait)
{
	PlanCacheEntry *entry;
	bool		found;

	entry = hash_search(PlanCache, &output, HASH_ENTER, &found);
	if (!found)
		entry->plan = NULL;

	for (;;)
	{
		VsPlan	   *plan = entry->plan;
		ListCell   *lc;

		if (plan == NULL || !plan->valid)
		{
			VsQueryEntry query;

			vs_plan_forget(output);
			if (!vs_registry_read(output, &query))
				elog(ERROR, "no continuous query with OID %u", output);
			plan = make_watched(&query);
			entry = hash_search(PlanCache, &output, HASH_ENTER, NULL);
			entry->plan = plan;
		}
		if (!lock_source(plan->source, nowait))
			return NULL;
		foreach(lc, plan->views)
			if (!lock_source(lfirst_oid(lc), nowait))
			return NULL;
		foreach(lc, plan->leaves)
			if (!lock_source(lfirst_oid(lc), nowait))
			return NULL;
		if (plan->valid)
			return plan;
	}
}

/* Make a plan, and mark it if it rests on what was invalidated meanwhile. */
static VsPlan *
make_watched(const VsQueryEntry *query)
{
	VsPlan	   *plan;

	making = true;
	nmissed = 0;
	PG_TRY();
	{
		plan = vs_plan_make(query, CurrentMemoryContext);
		vs_plan_check_tables(plan);
		MemoryContextSetParent(plan->context, CacheMemoryContext);
	}
	PG_FINALLY();
	{
		making = false;
	}
	PG_END_TRY();

	if (nmissed > MAX_MISSED)
		plan->valid = false;
	for (int i = 0; i < Min(nmissed, MAX_MISSED); i++)
		if (list_member_oid(plan->relids, missed[i]))
			plan->valid = false;
	return plan;
}

/* Is the state table the one that vs_plan_state_columns wants? */
static bool
state_fits(VsPlan *plan)
{
	Oid			state = plan->entry.state;
	bool		fits = get_rel_relkind(state) == RELKIND_RELATION &&
	get_rel_namespace(state) == get_rel_namespace(plan->entry.view);

	for (int i = 0; fits && i < plan->groupdesc->natts; i++)
		fits = get_atttype(state, i + 1) == TupleDescAttr(plan->groupdesc, i)->atttypid;
	return fits;
}

/*
 * Rows are written to output and state as the plan has them: a row of
 * velostream.query that names other tables must not make us do that, nor an
 * aggregate that was replaced by one with another transition type.
 */
void
vs_plan_check_tables(VsPlan *plan)
{
	const VsQueryEntry *entry = &plan->entry;
	bool		needs_state = vs_plan_state_columns(plan) != NIL;
	bool		good = get_rel_relkind(entry->output) == RELKIND_RELATION;
	ListCell   *lc;

	foreach(lc, plan->query->targetList)
	{
		TargetEntry *tle = lfirst_node(TargetEntry, lc);

		if (tle->resjunk)
			continue;
		good &= get_atttype(entry->output, tle->resno) == exprType((Node *) tle->expr);
	}
	if (entry->kind == VS_KIND_STREAM)
		good &= get_atttype(entry->output, plan->ncolumns + 1) == TEXTOID &&
			get_atttype(entry->output, plan->ncolumns + 2) == INT8OID &&
			get_atttype(entry->output, plan->ncolumns + 3) == TIMESTAMPTZOID;
	if (!good)
		ereport(ERROR,
				(errcode(ERRCODE_DATA_CORRUPTED),
				 errmsg("what velostream.query says about continuous query \"%s\" is damaged",
						get_rel_name(entry->output)),
				 errhint("Drop the query and create it again.")));
	if (needs_state != OidIsValid(entry->state) || (needs_state && !state_fits(plan)))
		ereport(ERROR,
				(errcode(ERRCODE_DATATYPE_MISMATCH),
				 errmsg("the state table of continuous query \"%s\" does not fit its aggregates",
						get_rel_name(entry->output)),
				 errdetail("An aggregate was replaced by one with another transition type, or the query's row in velostream.query is damaged."),
				 errhint("Replace the aggregate with the old one, or drop the query and create it again.")));
}

/* Throw away this process's plan of a query, if it has one. */
void
vs_plan_forget(Oid output)
{
	PlanCacheEntry *entry = hash_search(PlanCache, &output, HASH_FIND, NULL);

	if (entry == NULL)
		return;
	if (entry->plan)
		MemoryContextDelete(entry->plan->context);
	entry->plan = NULL;
	hash_search(PlanCache, &output, HASH_REMOVE, NULL);
}

/* Relcache callback: mark what rests on a relation, or (InvalidOid) everything. */
static void
invalidate_by_relation(Datum arg, Oid relid)
{
	HASH_SEQ_STATUS seq;
	PlanCacheEntry *entry;

	if (making)
	{
		if (relid == InvalidOid)
			nmissed = MAX_MISSED + 1;
		else if (nmissed < MAX_MISSED)
			missed[nmissed++] = relid;
		else
			nmissed = MAX_MISSED + 1;
	}
	hash_seq_init(&seq, PlanCache);
	while ((entry = hash_seq_search(&seq)) != NULL)
	{
		if (entry->plan != NULL &&
			(relid == InvalidOid || list_member_oid(entry->plan->relids, relid)))
			entry->plan->valid = false;
	}
}

static void
invalidate_by_syscache(Datum arg, int cacheid, uint32 hashvalue)
{
	invalidate_by_relation(arg, InvalidOid);
}

void
vs_plan_init(void)
{
	static const int caches[] = {PROCOID, TYPEOID, OPEROID, AUTHOID, AUTHMEMMEMROLE, AGGFNOID};
	HASHCTL		ctl = {.keysize = sizeof(Oid),.entrysize = sizeof(PlanCacheEntry)};

	PlanCache = hash_create("velostream plans", 16, &ctl, HASH_ELEM | HASH_BLOBS);
	CacheRegisterRelcacheCallback(invalidate_by_relation, (Datum) 0);
	for (int i = 0; i < lengthof(caches); i++)
		CacheRegisterSyscacheCallback(caches[i], invalidate_by_syscache, (Datum) 0);
}

/* ----------
 * Making a plan
 * ----------
 */

/*
 * Make the plan of a query in a new context below "parent".  Takes
 * AccessShareLock on the source and its leaves.  The plans over the delta are
 * made later, when they are first needed.
 */
VsPlan *
vs_plan_make(const VsQueryEntry *entry, MemoryContext parent)
{
	return make_plan(NULL, entry, parent);
}

/*
 * The same for a query that has no relations of its own.  Its groups are kept
 * in memory, where finding a row costs less than finding out whether it is
 * needed.
 */
VsPlan *
vs_plan_make_once(Query *query, const VsQueryEntry *entry, MemoryContext parent)
{
	VsPlan	   *plan = make_plan(query, entry, parent);

	plan->state_sparse = false;
	return plan;
}

/* query: NULL, or what would be read from the view. */
static VsPlan *
make_plan(Query *query, const VsQueryEntry *entry, MemoryContext parent)
{
	MemoryContext work;
	MemoryContext old;
	VsPlan	   *plan;

	work = AllocSetContextCreate(CurrentMemoryContext, "velostream plan",
								 ALLOCSET_DEFAULT_SIZES);
	old = MemoryContextSwitchTo(work);
	plan = palloc0(sizeof(VsPlan));
	plan->context = work;
	plan->entry = *entry;
	plan->valid = true;

	rewrite_query(plan, query ? copyObject(query) : read_query(plan));
	find_leaves(plan);
	choose_strategy(plan);
	vs_limit_describe(plan);
	plan->changelog = plan->entry.kind == VS_KIND_STREAM || plan->top.standing;
	if (plan->strategy == VS_STRATEGY_GROUPS)
	{
		describe_aggregates(plan);
		describe_group_tuple(plan);
		describe_output(plan);
	}
	add_layout(plan);
	MemoryContextSwitchTo(old);

	MemoryContextSetParent(work, parent);
	return plan;
}

/*
 * How rows are identified, and what is stored of groups, can change with a
 * primary key or an aggregate that is replaced: then what is there is not what
 * we would write.  Adds it to the fingerprint.
 */
static void
add_layout(VsPlan *plan)
{
	uint64		hash = hash_combine64(plan->fingerprint, plan->strategy);

	for (int i = 0; i < plan->nkeys; i++)
		hash = hash_combine64(hash, plan->keys[i].output_attno);
	for (int i = 0; i < plan->naggs; i++)
	{
		hash = hash_combine64(hash, plan->aggs[i]->storetype);
		hash = hash_combine64(hash, plan->aggs[i]->shown);
	}
	for (int i = 0; plan->strategy == VS_STRATEGY_ROW_WINDOW && i < plan->groupdesc->natts; i++)
		hash = hash_combine64(hash, TupleDescAttr(plan->groupdesc, i)->atttypid);
	/* zero stands for "none yet" */
	plan->fingerprint = hash == 0 ? 1 : hash;
}

static uint64
hash_text(const char *text)
{
	return DatumGetUInt64(hash_any_extended((const unsigned char *) text, strlen(text), 0));
}

/* A hash of all that a node tree says. */
static uint64
hash_node(const void *node)
{
	char	   *text = nodeToString(node);
	uint64		hash = hash_text(text);

	pfree(text);
	return hash;
}

/* Take the definition from the view. */
static Query *
read_query(VsPlan *plan)
{
	Query	   *query = vs_registry_query(plan->entry.view);

	/* the planner and the rewriter want locks on what the query names */
	AcquireRewriteLocks(query, true, false);

	/* a view in it may have been replaced by what would have been refused */
	vs_query_check(copyObject(query), plan->entry.kind, plan->entry.mode, &plan->entry.time, NULL);
	return query;
}

/* Expand views and row security in the query, which is locked. */
static void
rewrite_query(VsPlan *plan, Query *query)
{
	List	   *rewritten;
	ListCell   *lc;

	rewritten = QueryRewrite(query);
	if (list_length(rewritten) != 1)
		elog(ERROR, "rewriting the query of relation %u gave %d queries",
			 plan->entry.output, list_length(rewritten));
	plan->query = linitial_node(Query, rewritten);

	plan->fingerprint = hash_node(plan->query);
	if (OidIsValid(plan->entry.owner) && has_policies(plan->query))
		add_role(plan);
	foreach(lc, plan->query->targetList)
	{
		TargetEntry *tle = lfirst_node(TargetEntry, lc);

		add_row_type(plan, exprType((Node *) tle->expr));
		if (!tle->resjunk)
			plan->ncolumns++;
	}
}

/* Do row-level security policies choose the rows, at any level of views? */
static bool
has_policies(Query *query)
{
	RangeTblEntry *rte = vs_query_source_rte(query, NULL);

	while (rte->rtekind == RTE_SUBQUERY && rte->securityQuals == NIL)
		rte = vs_query_source_rte(rte->subquery, NULL);
	return rte->securityQuals != NIL;
}

/*
 * Policies look at CURRENT_USER, which is the owner, and his name: with another
 * one, other rows count.  Adds both to the fingerprint.
 */
static void
add_role(VsPlan *plan)
{
	Oid			owner = plan->entry.owner;

	plan->fingerprint = hash_combine64(plan->fingerprint, owner);
	plan->fingerprint = hash_combine64(plan->fingerprint,
									   hash_text(GetUserNameFromId(owner, false)));
}

/*
 * Columns of composite types are compared and hashed as these are now: when
 * one gets or loses an attribute, rows that are there are not found any more.
 * Adds it to the fingerprint.
 */
static void
add_row_type(VsPlan *plan, Oid type)
{
	Oid			element;
	Oid			relid;
	Relation	rel;

	type = getBaseType(type);
	if (OidIsValid(element = get_element_type(type)))
		add_row_type(plan, element);
	relid = get_typ_typrelid(type);
	if (!OidIsValid(relid))
		return;

	rel = relation_open(relid, AccessShareLock);
	plan->relids = list_append_unique_oid(plan->relids, relid);
	for (int i = 0; i < RelationGetNumberOfAttributes(rel); i++)
	{
		Form_pg_attribute att = TupleDescAttr(RelationGetDescr(rel), i);

		plan->fingerprint = hash_combine64(plan->fingerprint,
										   att->attisdropped ? 0 : att->atttypid);
		if (!att->attisdropped)
			add_row_type(plan, att->atttypid);
	}
	relation_close(rel, AccessShareLock);
}

/* The only range table entry of a query's FROM. */
RangeTblEntry *
vs_query_source_rte(Query *query, Index *rtindex)
{
	RangeTblRef *ref;

	if (list_length(query->jointree->fromlist) != 1 ||
		!IsA(linitial(query->jointree->fromlist), RangeTblRef))
		elog(ERROR, "a continuous query must have one source");
	ref = linitial_node(RangeTblRef, query->jointree->fromlist);
	if (rtindex)
		*rtindex = ref->rtindex;
	return rt_fetch(ref->rtindex, query->rtable);
}

/* The innermost query: the one whose source is a table. */
static Query *
source_query(Query *query)
{
	RangeTblEntry *rte = vs_query_source_rte(query, NULL);

	while (rte->rtekind == RTE_SUBQUERY)
	{
		query = rte->subquery;
		rte = vs_query_source_rte(query, NULL);
	}
	if (rte->rtekind != RTE_RELATION)
		elog(ERROR, "the source of a continuous query must be a table");
	return query;
}

/* Find the heaps below the source, lock them, and note what to watch. */
static void
find_leaves(VsPlan *plan)
{
	Query	   *query = plan->query;
	RangeTblEntry *rte = vs_query_source_rte(source_query(query), NULL);
	List	   *relids;
	ListCell   *lc;
	Oid			constraint;

	plan->source = rte->relid;
	if (OidIsValid(plan->entry.output))
		check_cycle(plan);
	plan->source_has_key =
		get_primary_key_attnos(rte->relid, true, &constraint) != NULL;
	if (rte->inh)
		relids = find_all_inheritors(rte->relid, AccessShareLock, NULL);
	else
		relids = list_make1_oid(rte->relid);

	foreach(lc, relids)
	{
		Oid			relid = lfirst_oid(lc);
		Relation	rel = table_open(relid, AccessShareLock);

		plan->relids = lappend_oid(plan->relids, relid);
		if (rel->rd_rel->relkind == RELKIND_RELATION)
		{
			vs_check_leaf(rel);
			plan->leaves = lappend_oid(plan->leaves, relid);
		}
		else if (rel->rd_rel->relkind != RELKIND_PARTITIONED_TABLE)
			vs_check_leaf(rel);
		table_close(rel, NoLock);
	}

	add_virtual_columns(plan);

	/* views between the query and its source, and our own relations */
	for (rte = vs_query_source_rte(query, NULL);
		 rte->rtekind == RTE_SUBQUERY;
		 rte = vs_query_source_rte(rte->subquery, NULL))
	{
		if (!OidIsValid(rte->relid))
			continue;
		plan->relids = lappend_oid(plan->relids, rte->relid);
		plan->views = lappend_oid(plan->views, rte->relid);
	}
	plan->relids = lappend_oid(plan->relids, plan->entry.output);
	plan->relids = lappend_oid(plan->relids, plan->entry.view);
	if (OidIsValid(plan->entry.state))
		plan->relids = lappend_oid(plan->relids, plan->entry.state);
}

/*
 * Columns that are computed when they are read: another expression gives rows
 * other values, of which nothing tells in the tables.  Adds what the source's
 * columns are computed by to the fingerprint.  (In append mode a row keeps the
 * values that it was counted with.)
 */
static void
add_virtual_columns(VsPlan *plan)
{
	Relation	rel = table_open(plan->source, NoLock);
	TupleDesc	desc = RelationGetDescr(rel);

	for (int i = 0; i < desc->natts && plan->entry.mode == VS_SOURCE_CHANGES; i++)
	{
		if (TupleDescAttr(desc, i)->attisdropped ||
			!VS_COLUMN_IS_VIRTUAL(TupleDescAttr(desc, i)))
			continue;
		plan->fingerprint = hash_combine64(plan->fingerprint,
										   hash_node(build_column_default(rel, i + 1)));
	}
	table_close(rel, NoLock);
}

/*
 * When a query was created, its output was new.  But a view that is replaced
 * later can make it read its own output, directly or through other queries.
 */
static void
check_cycle(VsPlan *plan)
{
	List	   *seen = NIL;

	if (reads_relation(plan->source, plan->entry.output, &seen))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_OBJECT_DEFINITION),
				 errmsg("continuous query \"%s\" reads its own output",
						get_rel_name(plan->entry.output)),
				 plan->source == plan->entry.output ?
				 errdetail("A view that it reads has been changed.") :
				 errdetail("It reads \"%s\", which depends on it: a view has been changed.",
						   get_rel_name(plan->source)),
				 errhint("Change the view back with CREATE OR REPLACE VIEW, or drop the query.")));
}

/*
 * Is this relation the target, or does it follow from it through views and
 * queries?  The definitions are taken as they are stored, without row security.
 */
static bool
reads_relation(Oid relid, Oid target, List **seen)
{
	Oid			view = relid;
	List	   *relids = NIL;
	ListCell   *lc;

	if (relid == target)
		return true;
	if (list_member_oid(*seen, relid))
		return false;
	*seen = lappend_oid(*seen, relid);
	check_stack_depth();

	if (vs_registry_is_output(relid))
	{
		VsQueryEntry entry;

		if (!vs_registry_read(relid, &entry))
			return false;
		view = entry.view;
	}
	if (get_rel_relkind(view) != RELKIND_VIEW)
		return false;
	(void) names_relation((Node *) vs_registry_query(view), &relids);
	foreach(lc, relids)
	{
		if (reads_relation(lfirst_oid(lc), target, seen))
			return true;
	}
	return false;
}

/* Collect the relations that a query names, in subqueries as well. */
static bool
names_relation(Node *node, List **relids)
{
	if (node == NULL)
		return false;
	if (IsA(node, RangeTblEntry))
	{
		RangeTblEntry *rte = (RangeTblEntry *) node;

		if (rte->rtekind == RTE_RELATION)
			*relids = list_append_unique_oid(*relids, rte->relid);
		return false;
	}
	if (IsA(node, Query))
		return query_tree_walker((Query *) node, names_relation, relids,
								 QTW_EXAMINE_RTES_BEFORE);
	return expression_tree_walker(node, names_relation, relids);
}

/*
 * A source can be read by the difference of two snapshots only if it is a
 * permanent table of the heap access method.
 */
void
vs_check_leaf(Relation rel)
{
	if (rel->rd_rel->relkind != RELKIND_RELATION)
		ereport(ERROR,
				(errcode(ERRCODE_WRONG_OBJECT_TYPE),
				 errmsg("\"%s\" cannot be a source of a continuous query",
						RelationGetRelationName(rel)),
				 errdetail("It is neither a table nor a partitioned table."),
				 errhint("Copy its rows into an ordinary table and use that.")));
	if (!RelationIsPermanent(rel))
		ereport(ERROR,
				(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
				 errmsg("%s table \"%s\" cannot be a source of a continuous query",
						rel->rd_rel->relpersistence == RELPERSISTENCE_TEMP ? "temporary" : "unlogged",
						RelationGetRelationName(rel)),
				 errdetail("Its changes are not in the write-ahead log."),
				 errhint("Use a permanent, logged table.")));
	if (rel->rd_rel->relam != HEAP_TABLE_AM_OID)
		ereport(ERROR,
				(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
				 errmsg("table \"%s\" cannot be a source of a continuous query",
						RelationGetRelationName(rel)),
				 errdetail("Its table access method is not \"heap\"."),
				 errhint("Use a table of the access method \"heap\".")));
}

/*
 * Decide how the output is kept.  A filter and projection that shows the
 * source's whole primary key has one output row for each key; any other one
 * is a bag.
 */
static void
choose_strategy(VsPlan *plan)
{
	Query	   *query = plan->query;
	List	   *columns;
	ListCell   *lc;

	if (query->hasWindowFuncs)
	{
		plan->strategy = VS_STRATEGY_ROW_WINDOW;
		vs_row_window_describe(plan);
		return;
	}
	if (query->hasAggs || query->groupClause != NIL)
	{
		plan->strategy = VS_STRATEGY_GROUPS;
		plan->single_group = (query->groupClause == NIL);
		describe_keys(plan);
		describe_window(plan);
		return;
	}

	columns = vs_primary_key_columns(query);
	plan->strategy = columns == NIL ? VS_STRATEGY_BAG : VS_STRATEGY_ROWS;
	plan->nkeys = list_length(columns);
	plan->keys = palloc0(sizeof(VsKey) * Max(plan->nkeys, 1));
	foreach(lc, columns)
	{
		TargetEntry *tle = lfirst_node(TargetEntry, lc);
		VsKey	   *key = &plan->keys[foreach_current_index(lc)];

		vs_set_key_type(key, (Node *) tle->expr);
		get_sort_group_operators(key->type, false, true, false,
								 NULL, &key->eqop, NULL, NULL);
		key->output_attno = tle->resno;
	}
}

void
vs_set_key_type(VsKey *key, Node *expr)
{
	key->expr = key->delta_expr = (Expr *) expr;
	key->type = exprType(expr);
	key->typmod = exprTypmod(expr);
	key->collation = exprCollation(expr);
	get_typlenbyval(key->type, &key->typlen, &key->typbyval);
}

/* The group keys, each shown by a column of the output. */
static void
describe_keys(VsPlan *plan)
{
	List	   *clauses = plan->query->groupClause;
	ListCell   *lc;

	plan->nkeys = list_length(clauses);
	plan->keys = palloc0(sizeof(VsKey) * Max(plan->nkeys, 1));
	foreach(lc, clauses)
	{
		SortGroupClause *clause = lfirst_node(SortGroupClause, lc);
		TargetEntry *tle = get_sortgroupclause_tle(clause, plan->query->targetList);
		VsKey	   *key = &plan->keys[foreach_current_index(lc)];

		vs_set_key_type(key, (Node *) tle->expr);
		key->eqop = clause->eqop;
		if (tle->resjunk)
			elog(ERROR, "group key %d is not in the select list",
				 foreach_current_index(lc) + 1);
		key->output_attno = tle->resno;
		key->show = show_function(key->type);
	}
}

/*
 * How to show a value in the context of an error, where catalogs must not be
 * read: NULL for all types but these.
 */
static FmgrInfo *
show_function(Oid type)
{
	static const Oid shown[] = {
		BOOLOID, INT2OID, INT4OID, INT8OID, NUMERICOID, FLOAT4OID, FLOAT8OID, TEXTOID,
		VARCHAROID, BPCHAROID, DATEOID, TIMEOID, TIMESTAMPOID, TIMESTAMPTZOID, UUIDOID
	};

	for (int i = 0; i < lengthof(shown); i++)
	{
		FmgrInfo   *result;
		Oid			function;
		bool		varlena;

		if (shown[i] != type)
			continue;
		getTypeOutputInfo(type, &function, &varlena);
		result = palloc(sizeof(FmgrInfo));
		fmgr_info(function, result);
		return result;
	}
	return NULL;
}

/* The window among the keys, and whether windows close. */
static void
describe_window(VsPlan *plan)
{
	const VsTimeOptions *options = &plan->entry.time;
	VsWindow   *window = &plan->window;

	if (!vs_window_find(plan->query, window))
		return;
	plan->panes = window->kind != VS_WINDOW_TUMBLE;
	plan->final = options->emit == VS_EMIT_FINAL;
	plan->corrects = plan->final &&
		(options->late == VS_LATE_UPDATE || options->retention > 0);
	plan->timed = plan->final || options->delay >= 0 || options->retention >= 0 ||
		options->idle_timeout >= 0;

	/*
	 * Panes may be computed again from the source: either all rows of a pane
	 * may be late, or none.
	 */
	window->by_pane = window->kind == VS_WINDOW_SESSION && plan->timed &&
		plan->entry.mode == VS_SOURCE_CHANGES &&
		(options->late != VS_LATE_UPDATE || options->retention >= 0);
	if (plan->panes || (plan->timed && options->late == VS_LATE_NEXT))
		plan->keys[window->key].delta_expr =
			vs_window_pane(window, options->late, plan->timed);
}

/* Collect the different aggregates of a query, in the order they stand there. */
static bool
collect_aggrefs(Node *node, List **aggrefs)
{
	if (node == NULL)
		return false;
	if (IsA(node, Aggref))
	{
		*aggrefs = list_append_unique(*aggrefs, node);
		return false;
	}
	return expression_tree_walker(node, collect_aggrefs, aggrefs);
}

/* Where an aggregate stands in a list, to which it is added if need be. */
static int
index_of(List **aggrefs, Aggref *aggref)
{
	int			i = 0;

	*aggrefs = list_append_unique(*aggrefs, aggref);
	while (!equal(list_nth(*aggrefs, i), aggref))
		i++;
	return i;
}

/*
 * Which aggregates there are, each once, and how rows get in and out of them.
 * Where rows can go away, a count(*) that tells empty groups is one of them.
 */
static void
describe_aggregates(VsPlan *plan)
{
	Query	   *query = plan->query;
	List	   *aggrefs = NIL;
	ListCell   *lc;
	bool		counted;

	collect_aggrefs((Node *) query->targetList, &aggrefs);
	collect_aggrefs(query->havingQual, &aggrefs);
	if (plan->window.kind == VS_WINDOW_SESSION)
	{
		plan->first_time_agg = index_of(&aggrefs, vs_window_extremum(&plan->window, "min"));
		plan->last_time_agg = index_of(&aggrefs, vs_window_extremum(&plan->window, "max"));
	}

	/*
	 * where rows can go away, groups can become empty, and what came and went
	 * is told apart
	 */
	counted = plan->entry.mode == VS_SOURCE_CHANGES;
	plan->count_agg = -1;
	if (counted)
		plan->count_agg = index_of(&aggrefs, vs_make_count());

	plan->naggs = list_length(aggrefs);
	plan->aggs = palloc0(sizeof(VsAgg *) * Max(plan->naggs, 1));
	plan->delta_column = palloc0(sizeof(int) * (plan->naggs + 1));
	foreach(lc, aggrefs)
	{
		Aggref	   *aggref = lfirst_node(Aggref, lc);
		const char *why_not = NULL;
		VsAgg	   *agg = vs_agg_describe(aggref, plan->entry.mode, &why_not);

		if (agg == NULL)
			ereport(ERROR,
					(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
					 errmsg("aggregate %s cannot be kept up to date",
							get_func_name(aggref->aggfnoid)),
					 errdetail("%s", _(why_not))));
		plan->aggs[foreach_current_index(lc)] = agg;
		if (counted && agg->partial_sum && agg->partial_sum->aggfilter == NULL)
			vs_count_nulls(agg);
		/* serialized sums cannot always be subtracted: their scale may shrink */
		if (plan->entry.mode == VS_SOURCE_CHANGES &&
			(agg->retract != VS_RETRACT_SUBTRACT || agg->transtype == INTERNALOID))
			plan->recompute = true;
	}
	if (!place_partials(plan))
	{
		/* one value each for the sums of integers: slower, but narrower */
		for (int i = 0; i < plan->naggs; i++)
		{
			plan->aggs[i]->partial_sum = plan->aggs[i]->partial_count = NULL;
			plan->aggs[i]->count_nulls = false;
		}
		if (!place_partials(plan))
			ereport(ERROR,
					(errcode(ERRCODE_TOO_MANY_COLUMNS),
					 errmsg("a continuous query can have at most %d aggregates and group keys",
							(MaxTupleAttributeNumber - 1) / (counted ? 2 : 1)),
					 errhint("Distribute them over several queries.")));
	}
}

/* Number the partial values in a row of the delta plan; false: they are too many. */
static bool
place_partials(VsPlan *plan)
{
	int			n = 0;

	for (int i = 0; i < plan->naggs; i++)
	{
		plan->delta_column[i] = n;
		n += plan->aggs[i]->partial_sum ? 2 : 1;
	}
	plan->delta_column[plan->naggs] = n;
	/* rows come and go, and there is a column to sort by */
	return plan->nkeys + n * (plan->entry.mode == VS_SOURCE_CHANGES ? 2 : 1) + 1 <=
		MaxTupleAttributeNumber;
}

/*
 * Lay out the group tuple, and see whether the output alone can give it back:
 * then no state table is needed and a change writes one row instead of two.
 *
 * For a sum or an average of integers one has to know how many there are.  But
 * in a group in which no value is NULL they are as many as rows, so where the
 * output shows count(*), the state table has only the other groups (see
 * state/vs_agg_pair.c).
 */
static void
describe_group_tuple(VsPlan *plan)
{
	int			natts = plan->nkeys + plan->naggs;
	Aggref	   *count = vs_make_count();
	bool		shown = plan->query->havingQual == NULL && natts > 0;
	bool		sparse = false;
	bool		in_output;

	plan->groupdesc = CreateTemplateTupleDesc(natts);
	plan->group_output_attno = palloc0(sizeof(AttrNumber) * Max(natts, 1));
	plan->shown_count = -1;

	for (int i = 0; i < plan->nkeys; i++)
	{
		VsKey	   *key = &plan->keys[i];

		TupleDescInitEntry(plan->groupdesc, i + 1, psprintf("key_%d", i + 1),
						   key->type, key->typmod, 0);
		TupleDescInitEntryCollation(plan->groupdesc, i + 1, key->collation);
		plan->group_output_attno[i] = key->output_attno;
	}
	for (int i = 0; i < plan->naggs; i++)
	{
		VsAgg	   *agg = plan->aggs[i];
		TargetEntry *tle = tlist_member((Expr *) agg->aggref, plan->query->targetList);
		int			att = plan->nkeys + i;

		TupleDescInitEntry(plan->groupdesc, att + 1, psprintf("state_%d", i + 1),
						   agg->storetype, -1, 0);
		TupleDescInitEntryCollation(plan->groupdesc, att + 1,
									get_typcollation(agg->storetype));
		if (agg->plain && tle != NULL && !tle->resjunk)
		{
			plan->group_output_attno[att] = tle->resno;
			if (equal(agg->aggref, count))
				plan->shown_count = i;
		}
		else if (agg->shown != VS_SHOWN_NOT && agg->aggref->aggfilter == NULL &&
				 tle != NULL && !tle->resjunk)
		{
			plan->group_output_attno[att] = tle->resno;
			sparse = true;
		}
		else
			shown = false;
	}
	in_output = shown && !plan->changelog && !plan->final && !plan->panes;
	plan->state_in_row = shown && !sparse;
	plan->state_in_output = in_output && !sparse;
	plan->state_sparse = in_output && sparse && plan->nkeys > 0 && plan->shown_count >= 0;
}

/* The expressions that make an output row from keys and final values. */
static void
describe_output(VsPlan *plan)
{
	List	   *tlist = NIL;
	ListCell   *lc;

	plan->finaldesc = CreateTemplateTupleDesc(plan->nkeys + plan->naggs);
	for (int i = 0; i < plan->nkeys; i++)
	{
		TupleDescInitEntry(plan->finaldesc, i + 1, NULL,
						   plan->keys[i].type, plan->keys[i].typmod, 0);
		TupleDescInitEntryCollation(plan->finaldesc, i + 1, plan->keys[i].collation);
	}
	for (int i = 0; i < plan->naggs; i++)
	{
		Aggref	   *aggref = plan->aggs[i]->aggref;

		TupleDescInitEntry(plan->finaldesc, plan->nkeys + i + 1, NULL,
						   aggref->aggtype, -1, 0);
		TupleDescInitEntryCollation(plan->finaldesc, plan->nkeys + i + 1,
									aggref->aggcollid);
	}

	foreach(lc, plan->query->targetList)
	{
		TargetEntry *tle = copyObject(lfirst_node(TargetEntry, lc));

		tle->expr = (Expr *) replace_with_group_vars((Node *) tle->expr, plan);
		tle->expr = expression_planner(tle->expr);
		tlist = lappend(tlist, tle);
	}
	plan->output_tlist = tlist;
	if (plan->query->havingQual)
	{
		Node	   *having = replace_with_group_vars(plan->query->havingQual, plan);

		plan->having = (Node *) expression_planner((Expr *) having);
	}
}

/* Put Vars of the final tuple in the place of group keys and aggregates. */
static Node *
replace_with_group_vars(Node *node, VsPlan *plan)
{
	if (node == NULL)
		return NULL;
	for (int i = 0; i < plan->nkeys; i++)
		if (equal(node, plan->keys[i].expr))
			return (Node *) makeVar(1, i + 1, plan->keys[i].type,
									plan->keys[i].typmod, plan->keys[i].collation, 0);
	if (IsA(node, Aggref))
	{
		for (int i = 0; i < plan->naggs; i++)
		{
			Aggref	   *aggref = plan->aggs[i]->aggref;

			if (equal(node, aggref))
				return (Node *) makeVar(1, plan->nkeys + i + 1, aggref->aggtype,
										-1, aggref->aggcollid, 0);
		}
	}
	if (IsA(node, Var))
		elog(ERROR, "column of the source is neither grouped nor aggregated");
	return expression_tree_mutator(node, replace_with_group_vars, plan);
}

/* ColumnDefs of the state table a plan needs, or NIL. */
List *
vs_plan_state_columns(VsPlan *plan)
{
	List	   *columns = NIL;

	if ((plan->strategy != VS_STRATEGY_GROUPS && plan->strategy != VS_STRATEGY_ROW_WINDOW) ||
		plan->state_in_output)
		return NIL;
	for (int i = 0; i < plan->groupdesc->natts; i++)
	{
		Form_pg_attribute att = TupleDescAttr(plan->groupdesc, i);

		columns = lappend(columns, makeColumnDef(NameStr(att->attname), att->atttypid,
												 att->atttypmod, att->attcollation));
	}
	return columns;
}

/*
 * Output columns (int list of attnums) by which a row of the output is looked
 * up; "image" says that it is by their bytes.  NIL: there is only one row, or
 * rows are never looked up.
 */
List *
vs_plan_locator_columns(VsPlan *plan, bool *image)
{
	List	   *attnums = NIL;

	*image = false;
	if (plan->top.standing)
		return plan->top.window == 0 ? NIL : list_make1_int(plan->top.window);
	if (plan->entry.kind == VS_KIND_STREAM)
		return NIL;
	/* what is final is only inserted */
	if (plan->final && !plan->corrects)
		return NIL;
	if (plan->strategy == VS_STRATEGY_ROW_WINDOW)
		return NIL;
	if (plan->strategy == VS_STRATEGY_BAG)
	{
		if (plan->entry.mode == VS_SOURCE_APPEND)
			return NIL;
		*image = true;
		for (int i = 1; i <= plan->ncolumns; i++)
			attnums = lappend_int(attnums, i);
		return attnums;
	}
	if (plan->strategy == VS_STRATEGY_ROWS && plan->entry.mode == VS_SOURCE_APPEND)
		return NIL;
	for (int i = 0; i < plan->nkeys; i++)
		attnums = lappend_int(attnums, plan->keys[i].output_attno);
	return attnums;
}

List *
vs_plan_state_keys(VsPlan *plan)
{
	List	   *attnums = NIL;

	for (int i = 1; i <= plan->nkeys; i++)
		attnums = lappend_int(attnums, i);
	return attnums;
}

AttrNumber
vs_plan_locator_window(VsPlan *plan, bool state)
{
	if (plan->window.kind != VS_WINDOW_TUMBLE || (plan->top.standing && !state))
		return 0;
	return state ? plan->window.key + 1 : plan->keys[plan->window.key].output_attno;
}

/*
 * The column of the state table that has the windows, or panes, if they have
 * to be found by it: because they are panes, because they close, or because
 * LIMIT applies to each.  Of a buffer, it is the number of the row.
 */
AttrNumber
vs_plan_window_column(VsPlan *plan)
{
	if (plan->strategy == VS_STRATEGY_ROW_WINDOW)
		return plan->nkeys + 1;
	return plan->panes || plan->timed || (plan->top.standing && plan->top.window != 0) ?
		plan->window.key + 1 : 0;
}

const char *
vs_strategy_name(VsStrategy strategy)
{
	switch (strategy)
	{
		case VS_STRATEGY_GROUPS:
			return "groups";
		case VS_STRATEGY_ROWS:
			return "rows";
		case VS_STRATEGY_BAG:
			return "bag";
		case VS_STRATEGY_ROW_WINDOW:
			return "row windows";
	}
	return "unknown";
}
