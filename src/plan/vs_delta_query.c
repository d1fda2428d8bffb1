/*-------------------------------------------------------------------------
 *
 * vs_delta_query.c
 *	  The queries that run over a delta, and their plans.
 *
 * A delta query is the user's query with another select list: group keys and
 * partial aggregates, or the output columns and the weight.  PostgreSQL plans
 * and runs it; while it is planned, scans of the source become delta scans
 * (capture/vs_delta_scan.c).  The Agg node at its top is told to deliver
 * transition values instead of results, as in a parallel aggregation.
 *
 * HAVING and the expressions above aggregates are not in it: they are applied
 * to whole groups, after the delta was merged.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/genam.h"
#include "access/htup_details.h"
#include "access/sysattr.h"
#include "access/table.h"
#include "access/xact.h"
#include "capture/vs_capture.h"
#include "catalog/pg_aggregate.h"
#include "catalog/pg_class.h"
#include "catalog/pg_constraint.h"
#include "catalog/pg_inherits.h"
#include "catalog/pg_operator.h"
#include "catalog/pg_type.h"
#include "nodes/makefuncs.h"
#include "nodes/nodeFuncs.h"
#include "optimizer/clauses.h"
#include "optimizer/optimizer.h"
#include "optimizer/planner.h"
#include "optimizer/tlist.h"
#include "parser/parse_clause.h"
#include "parser/parse_func.h"
#include "parser/parse_oper.h"
#include "parser/parsetree.h"
#include "plan/vs_plan.h"
#include "plan/vs_plan_internal.h"
#include "rewrite/rewriteManip.h"
#include "state/vs_hash.h"
#include "utils/fmgroids.h"
#include "utils/guc.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/rel.h"
#include "utils/syscache.h"
#include "vs_compat.h"

static Query *groups_query(VsPlan *plan, bool change, bool guarded);
static Expr *delta_key(VsPlan *plan, int key, bool guarded);
static bool is_indexed(Query *query, Expr *expr);
static Query *admit_query(VsPlan *plan, Query *query);
static Query *bucket_query(VsPlan *plan, bool several);
static Query *rows_query(VsPlan *plan, bool change);
static void leave_out_dead(Query *query);
static Query *recompute_query(VsPlan *plan, Bitmapset *null_keys, double nkeys);
static Expr *add_weight(Query *query);
static Expr *add_delta_column(Query *query, AttrNumber attno, Oid type);
static List *add_partial(List *tlist, Aggref *aggref, Expr *weight, int sign);
static bool cannot_be_null(VsPlan *plan, VsAgg *agg);
static List *add_zero(List *tlist);
static AttrNumber source_column(Query *query, Expr *expr, Oid *relid);
static Expr *hide_column(Expr *expr);
static PlannedStmt *plan_over_delta(VsPlan *plan, Query *query, const char *avoid);
static PlannedStmt *keep_stmt(VsPlan *plan, PlannedStmt *stmt);
static void check_leaves(VsPlan *plan, PlannedStmt *stmt);
static List *sort_by_hash(VsPlan *plan, Query *query, List *tlist);
static void split_aggregates(PlannedStmt *stmt);
static void retype_outer_vars(Plan *plan);

/* The plan for a delta in which no row has the weight -1. */
PlannedStmt *
vs_plan_insert(VsPlan *plan)
{
	if (plan->insert_plan == NULL)
	{
		Query	   *query = plan->strategy == VS_STRATEGY_ROW_WINDOW ? vs_row_window_rows(plan) :
		plan->strategy == VS_STRATEGY_GROUPS ?
		admit_query(plan, groups_query(plan, false, false)) : rows_query(plan, false);

		plan->insert_plan = plan_over_delta(plan, query, "enable_sort");
		plan->planned_groups[false] = plan->insert_plan->planTree->plan_rows;
	}
	return plan->insert_plan;
}

/* The plan for any delta. */
PlannedStmt *
vs_plan_change(VsPlan *plan)
{
	if (plan->change_plan == NULL)
	{
		Query	   *query = plan->strategy == VS_STRATEGY_GROUPS ?
		admit_query(plan, groups_query(plan, true, false)) : rows_query(plan, true);

		plan->change_plan = plan_over_delta(plan, query, "enable_sort");
		plan->planned_groups[true] = plan->change_plan->planTree->plan_rows;
	}
	return plan->change_plan;
}

/*
 * The plan for the same delta where most rows are groups of their own: to sort
 * the rows costs less than to hash them, and then to sort the groups.
 */
PlannedStmt *
vs_plan_sorted(VsPlan *plan)
{
	Assert(vs_plan_orders_groups(plan));
	if (plan->sorted_plan == NULL)
	{
		Query	   *query = admit_query(plan, groups_query(plan, false, false));

		query->groupClause = lcons(copyObject(linitial(query->sortClause)), query->groupClause);
		plan->sorted_plan = plan_over_delta(plan, query, "enable_hashagg");
	}
	return plan->sorted_plan;
}

/*
 * The plan that tells how many groups some rows are: for each row that counts,
 * what its group would be sorted by.
 */
PlannedStmt *
vs_plan_sample(VsPlan *plan)
{
	Assert(vs_plan_orders_groups(plan));
	if (plan->sample_plan == NULL)
	{
		Query	   *query = admit_query(plan, groups_query(plan, false, false));
		TargetEntry *order = llast_node(TargetEntry, query->targetList);

		order->resno = 1;
		order->ressortgroupref = 0;
		query->targetList = list_make1(order);
		query->groupClause = query->sortClause = NIL;
		query->hasAggs = false;
		plan->sample_plan = plan_over_delta(plan, query, "enable_sort");
	}
	return plan->sample_plan;
}

/*
 * Do groups come in an order?  Few of those that are emitted once are ever met
 * again.
 */
bool
vs_plan_orders_groups(VsPlan *plan)
{
	return plan->strategy == VS_STRATEGY_GROUPS && plan->nkeys > 0 &&
		(!plan->final || plan->corrects || plan->panes);
}

/* The plan for the same delta, bucket by bucket. */
PlannedStmt *
vs_plan_buckets(VsPlan *plan, bool several)
{
	if (plan->bucket_plans[several] == NULL)
		plan->bucket_plans[several] =
			plan_over_delta(plan, bucket_query(plan, several), "enable_hashagg");
	return plan->bucket_plans[several];
}

/*
 * The plan that computes whole groups again from the source: those whose keys
 * are in the tuplestore VS_RECOMPUTE_ENR, about nkeys of them, with NULLs in
 * exactly the keys of null_keys.  Its rows are as those of the insert plan.
 */
PlannedStmt *
vs_plan_recompute(VsPlan *plan, Bitmapset *null_keys, double nkeys)
{
	MemoryContext old;
	VsRecomputePlan *recompute;
	Query	   *query;
	PlannedStmt *stmt;
	ListCell   *lc;

	foreach(lc, plan->recompute_plans)
	{
		recompute = lfirst(lc);
		if (bms_equal(recompute->null_keys, null_keys))
			return recompute->stmt;
	}

	query = recompute_query(plan, null_keys, nkeys);
	stmt = planner(query, NULL, 0, NULL);
	check_leaves(plan, stmt);
	split_aggregates(stmt);

	old = MemoryContextSwitchTo(plan->context);
	recompute = palloc(sizeof(VsRecomputePlan));
	recompute->null_keys = bms_copy(null_keys);
	recompute->stmt = copyObject(stmt);
	plan->recompute_plans = lappend(plan->recompute_plans, recompute);
	MemoryContextSwitchTo(old);
	return recompute->stmt;
}

/*
 * The plan that computes the first rows again from the source, under the
 * batch's snapshot: rows of the output, in order.
 */
PlannedStmt *
vs_plan_top(VsPlan *plan)
{
	if (plan->top.stmt == NULL)
	{
		Query	   *query = copyObject(plan->top.query);
		PlannedStmt *stmt;

		if (plan->entry.on_error == VS_ON_ERROR_DEAD_LETTER)
			leave_out_dead(query);
		stmt = planner(query, NULL, 0, NULL);
		check_leaves(plan, stmt);
		plan->top.stmt = keep_stmt(plan, stmt);
	}
	return plan->top.stmt;
}

/* count(*): what tells whether a group has rows. */
Aggref *
vs_make_count(void)
{
	Aggref	   *count = makeNode(Aggref);

	count->aggfnoid = F_COUNT_;
	count->aggtype = INT8OID;
	count->aggtranstype = InvalidOid;
	count->aggstar = true;
	count->aggkind = AGGKIND_NORMAL;
	count->aggsplit = AGGSPLIT_SIMPLE;
	count->aggno = -1;
	count->aggtransno = -1;
	count->location = -1;
	return count;
}

/* Where the rows are counted anyway: count those without a value, not the others. */
void
vs_count_nulls(VsAgg *agg)
{
	TargetEntry *tle = linitial_node(TargetEntry, agg->partial_sum->args);
	NullTest   *test = makeNode(NullTest);

	Assert(agg->partial_sum->aggfilter == NULL);
	test->arg = copyObject(tle->expr);
	test->nulltesttype = IS_NULL;
	test->location = -1;
	agg->partial_count = vs_make_count();
	agg->partial_count->aggfilter = (Expr *) test;
	agg->count_nulls = true;
}

/* What the delta is grouped by; guarded: over rows that admit() has not seen. */
static Expr *
delta_key(VsPlan *plan, int key, bool guarded)
{
	Expr	   *expr = plan->keys[key].delta_expr;

	return guarded && plan->window.kind != VS_WINDOW_NONE ?
		vs_window_guard(&plan->window, expr) : copyObject(expr);
}

/* Keys and partial aggregates; change: of the rows that came and that went. */
static Query *
groups_query(VsPlan *plan, bool change, bool guarded)
{
	Query	   *query = copyObject(plan->query);
	Expr	   *weight = change ? add_weight(query) : NULL;
	List	   *tlist = NIL;
	ListCell   *lc;

	foreach(lc, query->groupClause)
	{
		TargetEntry *tle = get_sortgroupclause_tle(lfirst(lc), query->targetList);

		tle = flatCopyTargetEntry(tle);
		tle->expr = delta_key(plan, foreach_current_index(lc), guarded);
		tle->resno = list_length(tlist) + 1;
		if (plan->source_has_key && plan->nkeys > 1)
			tle->expr = hide_column(tle->expr);
		tlist = lappend(tlist, tle);
	}
	for (int i = 0; i < plan->naggs; i++)
	{
		VsAgg	   *agg = plan->aggs[i];

		Aggref	   *partial = copyObject(agg->partial);

		if (agg->by_arrival)
			llast_node(TargetEntry, partial->args)->expr =
				add_delta_column(query, VS_ARRIVAL_ATTNO, INT8OID);
		for (int sign = 1; sign >= (change ? -1 : 1); sign -= 2)
		{
			if (agg->partial_sum == NULL)
				tlist = add_partial(tlist, partial, weight, sign);
			else
			{
				tlist = add_partial(tlist, agg->partial_sum, weight, sign);
				if (agg->count_nulls && !change && cannot_be_null(plan, agg))
					tlist = add_zero(tlist);
				else
					tlist = add_partial(tlist, agg->partial_count, weight, sign);
			}
		}
	}
	query->havingQual = NULL;
	query->hasTargetSRFs = false;
	query->hasAggs = plan->naggs > 0;
	if (vs_plan_orders_groups(plan))
		tlist = sort_by_hash(plan, query, tlist);
	query->targetList = tlist;
	return query;
}

/*
 * The groups of each bucket, in the order of the buckets.  A bucket of one row
 * is one group, whatever its keys.
 */
static Query *
bucket_query(VsPlan *plan, bool several)
{
	Query	   *query = admit_query(plan, groups_query(plan, false, false));
	int			position = plan->nkeys + plan->delta_column[plan->naggs];
	SortGroupClause *clause = makeNode(SortGroupClause);
	TargetEntry *tle;
	ListCell   *lc;

	tle = makeTargetEntry(add_delta_column(query, VS_BUCKET_ATTNO, INT8OID),
						  position + 1, NULL, false);
	get_sort_group_operators(INT8OID, true, true, false,
							 &clause->sortop, &clause->eqop, NULL, &clause->hashable);
	clause->tleSortGroupRef = assignSortGroupRef(tle, query->targetList);
	for_each_from(lc, query->targetList, position)
		lfirst_node(TargetEntry, lc)->resno++;	/* the hash */
	query->targetList = list_insert_nth(query->targetList, position, tle);
	query->sortClause = list_make1(clause);
	if (!several)
		query->groupClause = NIL;

	/* a single key that is a primary key would take the bucket's place */
	for (int i = 0; i < plan->nkeys && plan->source_has_key; i++)
	{
		tle = list_nth_node(TargetEntry, query->targetList, i);
		tle->expr = hide_column(tle->expr);
	}
	query->groupClause = lcons(copyObject(clause), query->groupClause);
	return query;
}

/* Did our own transaction write this catalog tuple? */
static bool
made_by_us(HeapTuple tuple)
{
	return TransactionIdIsCurrentTransactionId(HeapTupleHeaderGetRawXmin(tuple->t_data));
}

/*
 * Is the argument of a sum a column of the source that has no NULL?  Rows that
 * the batch's snapshot sees keep to the constraints that are there, unless our
 * own transaction made these: the snapshot does not see what it did.  Rows that
 * went may be older in any case.
 */
static bool
cannot_be_null(VsPlan *plan, VsAgg *agg)
{
	TargetEntry *tle = linitial_node(TargetEntry, agg->partial_sum->args);
	Oid			relid = InvalidOid;
	AttrNumber	attno = source_column(plan->query, tle->expr, &relid);
	char	   *name;
	ListCell   *lc;

	if (attno <= 0)
		return false;
	name = get_attname(relid, attno, false);
	foreach(lc, plan->leaves)
	{
		HeapTuple	tuple = SearchSysCacheAttName(lfirst_oid(lc), name);
		Relation	rel;
		bool		never;

		if (!HeapTupleIsValid(tuple))
			return false;
		rel = table_open(lfirst_oid(lc), AccessShareLock);
		never = VS_COLUMN_NOT_NULL(RelationGetDescr(rel),
								   ((Form_pg_attribute) GETSTRUCT(tuple))->attnum) &&
			!made_by_us(tuple);
		table_close(rel, NoLock);
		ReleaseSysCache(tuple);
		if (!never)
			return false;
	}
	return true;
}

static List *
add_zero(List *tlist)
{
	Const	   *zero = makeConst(INT8OID, -1, InvalidOid, sizeof(int64), Int64GetDatum(0),
								 false, FLOAT8PASSBYVAL);

	return lappend(tlist, makeTargetEntry((Expr *) zero, list_length(tlist) + 1, NULL, false));
}

/*
 * Of a query with a window, let each row that passes WHERE be seen by the clock
 * of the batch, which may turn it away.
 */
static Query *
admit_query(VsPlan *plan, Query *query)
{
	if (plan->window.kind != VS_WINDOW_NONE)
		query->jointree->quals = (Node *)
			make_and_qual(query->jointree->quals, (Node *) vs_window_admit(&plan->window));
	return query;
}

/* The size of windows, in units of their type. */
static int64
window_size(VsWindow *window)
{
	int64		size = window->size;

	if (window->type == INT8OID)
		size /= 1000;
	else if (window->type == DATEOID)
		size /= USECS_PER_DAY;
	return Max(size, 1);
}

/*
 * Let the groups come in the order of the hash of their keys, which is the
 * last column, or, with a tumbling window, of key_order().  Rows of the output
 * and of the state, index entries and cache entries are then made in that
 * order, and later batches pass through them in that order: neighbours in the
 * delta are neighbours everywhere.
 */
static List *
sort_by_hash(VsPlan *plan, Query *query, List *tlist)
{
	SortGroupClause *clause = makeNode(SortGroupClause);
	bool		tumble = plan->window.kind == VS_WINDOW_TUMBLE;
	List	   *args = NIL;
	TargetEntry *tle;
	ListCell   *lc;

	foreach(lc, tlist)
	{
		if (foreach_current_index(lc) >= Min(plan->nkeys, VS_HASH_COLUMNS))
			break;
		args = lappend(args, copyObject(lfirst_node(TargetEntry, lc)->expr));
	}
	if (tumble)
	{
		TargetEntry *window = list_nth(tlist, plan->window.key);

		args = lcons(copyObject(window->expr), args);
		args = lcons(makeConst(INT8OID, -1, InvalidOid, sizeof(int64),
							   Int64GetDatum(window_size(&plan->window)), false,
							   FLOAT8PASSBYVAL), args);
	}
	tle = makeTargetEntry((Expr *) makeFuncExpr(tumble ? vs_registry_key_order() :
												vs_registry_key_hash(), INT8OID, args,
												InvalidOid, InvalidOid, COERCE_EXPLICIT_CALL),
						  list_length(tlist) + 1, NULL, false);
	get_sort_group_operators(INT8OID, true, true, false,
							 &clause->sortop, &clause->eqop, NULL, &clause->hashable);
	clause->tleSortGroupRef = assignSortGroupRef(tle, tlist);
	query->sortClause = list_make1(clause);
	return lappend(tlist, tle);
}

/*
 * Add an aggregate to a target list; where "weight" is given, over the rows
 * of that weight only.
 */
static List *
add_partial(List *tlist, Aggref *aggref, Expr *weight, int sign)
{
	aggref = copyObject(aggref);
	if (weight)
	{
		Expr	   *filter = make_opclause(Int4EqualOperator, BOOLOID, false,
										   copyObject(weight),
										   (Expr *) makeConst(INT4OID, -1, InvalidOid,
															  sizeof(int32), Int32GetDatum(sign),
															  false, true),
										   InvalidOid, InvalidOid);

		set_opfuncid((OpExpr *) filter);
		aggref->aggfilter = (Expr *)
			make_and_qual((Node *) filter, (Node *) aggref->aggfilter);
	}
	return lappend(tlist, makeTargetEntry((Expr *) aggref, list_length(tlist) + 1,
										  NULL, false));
}

/*
 * A group key that the planner does not take for a column.  It drops grouping
 * columns that depend on a primary key among them; but in a delta the key is
 * not unique: a row's old version and its new one stand side by side.  (A
 * relabelling that changes nothing at all would be stripped.)  It costs an
 * evaluation for each row, so it is done only where there is a key.
 */
static Expr *
hide_column(Expr *expr)
{
	Var		   *var = (Var *) expr;

	if (!IsA(var, Var))
		return expr;
	return (Expr *) makeRelabelType(expr, var->vartype, var->vartypmod == 0 ? -1 : 0,
									var->varcollid, COERCE_IMPLICIT_CAST);
}

/* Output columns; change: and the weight, sorted by key and weight. */
static Query *
rows_query(VsPlan *plan, bool change)
{
	Query	   *query = copyObject(plan->query);
	TargetEntry *weight;
	Index		ref = 0;

	if (!change)
		return query;

	weight = makeTargetEntry(add_weight(query), list_length(query->targetList) + 1,
							 pstrdup("weight"), false);
	query->targetList = lappend(query->targetList, weight);
	for (int i = 0; i <= plan->nkeys; i++)
	{
		SortGroupClause *clause = makeNode(SortGroupClause);
		TargetEntry *tle = weight;

		if (i < plan->nkeys)
			tle = list_nth(query->targetList, plan->keys[i].output_attno - 1);
		get_sort_group_operators(exprType((Node *) tle->expr), true, true, false,
								 &clause->sortop, &clause->eqop, NULL, &clause->hashable);
		clause->tleSortGroupRef = tle->ressortgroupref = ++ref;
		query->sortClause = lappend(query->sortClause, clause);
	}
	return query;
}

/* Is a key that column of the keys of the groups to compute again? */
static Expr *
key_qual(VsKey *key, Expr *expr, Index rtindex, AttrNumber column)
{
	Expr	   *op = make_opclause(key->eqop, BOOLOID, false, expr,
								   (Expr *) makeVar(rtindex, column, key->type, key->typmod,
													key->collation, 0),
								   InvalidOid, key->collation);

	set_opfuncid((OpExpr *) op);
	return op;
}

/* Is an expression over the source a column of an index that has all of its rows? */
static bool
is_indexed(Query *query, Expr *expr)
{
	Index		rtindex;
	RangeTblEntry *rte = vs_query_source_rte(query, &rtindex);
	Node	   *wanted;
	Relation	rel;
	bool		found = false;
	ListCell   *lc;

	if (rte->rtekind != RTE_RELATION ||
		(rte->inh && get_rel_relkind(rte->relid) != RELKIND_PARTITIONED_TABLE &&
		 has_subclass(rte->relid)))
		return false;
	wanted = eval_const_expressions(NULL, (Node *) copyObject(expr));
	rel = table_open(rte->relid, AccessShareLock);
	foreach(lc, RelationGetIndexList(rel))
	{
		Relation	index = index_open(lfirst_oid(lc), AccessShareLock);
		List	   *exprs = RelationGetIndexExpressions(index);

		if (index->rd_index->indisvalid && RelationGetIndexPredicate(index) == NIL)
		{
			ChangeVarNodes((Node *) exprs, 1, rtindex, 0);
			found |= list_member(exprs, wanted);
		}
		index_close(index, AccessShareLock);
	}
	table_close(rel, NoLock);
	return found;
}

/* The user's query, joined with the keys of the groups to compute again. */
static Query *
recompute_query(VsPlan *plan, Bitmapset *null_keys, double nkeys)
{
	Query	   *query = groups_query(plan, false, true);
	RangeTblEntry *rte = makeNode(RangeTblEntry);
	RangeTblRef *ref = makeNode(RangeTblRef);
	List	   *quals = NIL;

	if (plan->entry.on_error == VS_ON_ERROR_DEAD_LETTER)
		leave_out_dead(query);
	if (plan->nkeys == 0)
		return query;

	rte->rtekind = RTE_NAMEDTUPLESTORE;
	rte->enrname = pstrdup(VS_RECOMPUTE_ENR);
	rte->enrtuples = nkeys;
	rte->inFromCl = true;
	rte->eref = makeAlias(VS_RECOMPUTE_ENR, NIL);
	query->rtable = lappend(query->rtable, rte);
	ref->rtindex = list_length(query->rtable);
	query->jointree->fromlist = lappend(query->jointree->fromlist, ref);

	for (int i = 0; i < plan->nkeys; i++)
	{
		VsKey	   *key = &plan->keys[i];
		Expr	   *expr = delta_key(plan, i, true);

		rte->eref->colnames = lappend(rte->eref->colnames,
									  makeString(psprintf("key_%d", i + 1)));
		rte->coltypes = lappend_oid(rte->coltypes, key->type);
		rte->coltypmods = lappend_int(rte->coltypmods, key->typmod);
		rte->colcollations = lappend_oid(rte->colcollations, key->collation);

		if (bms_is_member(i, null_keys))
		{
			NullTest   *test = makeNode(NullTest);

			test->arg = expr;
			test->nulltesttype = IS_NULL;
			test->argisrow = false;
			test->location = -1;
			quals = lappend(quals, test);
			continue;
		}
		quals = lappend(quals, key_qual(key, expr, ref->rtindex, i + 1));

		/*
		 * for the planner to use the index; what is in it can be computed for
		 * every row
		 */
		if (!equal(expr, key->delta_expr) && is_indexed(plan->query, key->delta_expr))
			quals = lappend(quals, key_qual(key, copyObject(key->delta_expr), ref->rtindex, i + 1));
	}
	if (query->jointree->quals)
		quals = lappend(quals, query->jointree->quals);
	query->jointree->quals = (Node *) make_ands_explicit(quals);
	return query;
}

/*
 * Leave the rows that are dead letters out, before anything is computed from
 * them: where there are policies, these come after it, and among the
 * conditions of WHERE it is the cheapest.
 */
static void
leave_out_dead(Query *query)
{
	Index		rtindex;
	RangeTblEntry *rte = vs_query_source_rte(query, &rtindex);
	Oid			argtypes[] = {OIDOID, TIDOID, XIDOID};
	List	   *args;
	Expr	   *qual;
	Node	   *where = query->jointree->quals;

	if (rte->rtekind != RTE_RELATION)
	{
		leave_out_dead(rte->subquery);
		return;
	}
	args = list_make3(makeVar(rtindex, TableOidAttributeNumber, OIDOID, -1, InvalidOid, 0),
					  makeVar(rtindex, SelfItemPointerAttributeNumber, TIDOID, -1, InvalidOid, 0),
					  makeVar(rtindex, MinTransactionIdAttributeNumber, XIDOID, -1, InvalidOid, 0));
	qual = (Expr *) makeFuncExpr(LookupFuncName(list_make2(makeString(VS_SCHEMA_NAME),
														   makeString("is_dead_letter")),
												lengthof(argtypes), argtypes, false),
								 BOOLOID, args, InvalidOid, InvalidOid, COERCE_EXPLICIT_CALL);
	qual = makeBoolExpr(NOT_EXPR, list_make1(qual), -1);
	if (rte->securityQuals != NIL)
		rte->securityQuals = lcons(qual, rte->securityQuals);
	else
		query->jointree->quals = where ?
			(Node *) make_and_qual((Node *) qual, where) : (Node *) qual;
}

/* The weight of a row of the query's source, as an expression of that query's level. */
static Expr *
add_weight(Query *query)
{
	return add_delta_column(query, VS_WEIGHT_ATTNO, INT4OID);
}

/*
 * What a delta scan tells of a row by a system attribute, as an expression of
 * that query's level.  Views in between hand it up as one more column.
 */
static Expr *
add_delta_column(Query *query, AttrNumber attno, Oid type)
{
	Index		rtindex;
	RangeTblEntry *rte = vs_query_source_rte(query, &rtindex);
	TargetEntry *tle;

	if (rte->rtekind == RTE_RELATION)
		return (Expr *) makeVar(rtindex, attno, type, -1, InvalidOid, 0);

	tle = makeTargetEntry(add_delta_column(rte->subquery, attno, type),
						  list_length(rte->subquery->targetList) + 1,
						  pstrdup("velostream_delta"), false);
	rte->subquery->targetList = lappend(rte->subquery->targetList, tle);
	rte->eref->colnames = lappend(rte->eref->colnames, makeString(pstrdup(tle->resname)));
	return (Expr *) makeVar(rtindex, tle->resno, type, -1, InvalidOid, 0);
}

/*
 * Plan a query so that it reads the delta; the result is in the plan's context.
 *
 * "avoid" is the setting that is off for groups.  Groups of a delta are hashed,
 * even where that does not fit into work_mem: to sort all rows by all keys costs
 * far more.  Those of its buckets are not: the rows have their order already,
 * and there are as many groups as rows.
 */
static PlannedStmt *
plan_over_delta(VsPlan *plan, Query *query, const char *avoid)
{
	PlannedStmt *stmt;
	int			nestlevel = NewGUCNestLevel();

	if (plan->strategy == VS_STRATEGY_GROUPS)
		(void) set_config_option(avoid, "off", PGC_USERSET, PGC_S_SESSION,
								 GUC_ACTION_SAVE, true, 0, false);
	stmt = vs_delta_plan(query, plan->leaves);
	AtEOXact_GUC(true, nestlevel);

	check_leaves(plan, stmt);
	if (plan->strategy == VS_STRATEGY_GROUPS)
		split_aggregates(stmt);
	return keep_stmt(plan, stmt);
}

/* A copy in the plan's context. */
static PlannedStmt *
keep_stmt(VsPlan *plan, PlannedStmt *stmt)
{
	MemoryContext old = MemoryContextSwitchTo(plan->context);

	stmt = copyObject(stmt);
	MemoryContextSwitchTo(old);
	return stmt;
}

/*
 * ATTACH PARTITION does not wait for our lock on the parent, so the planner
 * may see a partition that the batch does not know: it would be read as a
 * whole, now and once more by the next batch.
 */
static void
check_leaves(VsPlan *plan, PlannedStmt *stmt)
{
	ListCell   *lc;

	foreach(lc, stmt->rtable)
	{
		RangeTblEntry *rte = lfirst_node(RangeTblEntry, lc);

		if (rte->rtekind == RTE_RELATION && rte->relkind == RELKIND_RELATION &&
			!list_member_oid(plan->leaves, rte->relid))
		{
			plan->valid = false;
			ereport(ERROR,
					(errcode(ERRCODE_T_R_SERIALIZATION_FAILURE),
					 errmsg("partition \"%s\" was attached while a batch began",
							get_rel_name(rte->relid))));
		}
	}
}

/*
 * The Agg node of a plan over groups: on top, or below the Sort.  NULL if there
 * is none, for want of aggregates.
 */
Agg *
vs_plan_agg(PlannedStmt *stmt)
{
	Plan	   *plan = stmt->planTree;

	if (IsA(plan, Sort) || IsA(plan, IncrementalSort))
		plan = plan->lefttree;
	return IsA(plan, Agg) ? (Agg *) plan : NULL;
}

/* Make the Agg node of a plan deliver serialized transition values. */
static void
split_aggregates(PlannedStmt *stmt)
{
	Agg		   *agg = vs_plan_agg(stmt);
	ListCell   *lc;

	if (agg == NULL)
	{
		/* no aggregates at all: any node that delivers the keys will do */
		foreach(lc, stmt->planTree->targetlist)
			if (contain_agg_clause((Node *) lfirst(lc)))
			elog(ERROR, "unexpected plan node %d above an aggregation",
				 (int) nodeTag(stmt->planTree));
		return;
	}
	if (agg->aggsplit != AGGSPLIT_SIMPLE)
		elog(ERROR, "unexpected split aggregation in a delta plan");

	agg->aggsplit = AGGSPLIT_INITIAL_SERIAL;
	foreach(lc, agg->plan.targetlist)
	{
		TargetEntry *tle = lfirst_node(TargetEntry, lc);

		if (IsA(tle->expr, Aggref))
			mark_partial_aggref((Aggref *) tle->expr, AGGSPLIT_INITIAL_SERIAL);
	}
	if (stmt->planTree != &agg->plan)
		retype_outer_vars(stmt->planTree);
}

/* What a Sort hands on has the types of what it gets. */
static void
retype_outer_vars(Plan *plan)
{
	ListCell   *lc;

	foreach(lc, plan->targetlist)
	{
		Var		   *var = (Var *) lfirst_node(TargetEntry, lc)->expr;
		TargetEntry *outer;

		if (IsA(var, Const))
			continue;
		if (!IsA(var, Var) || var->varno != OUTER_VAR)
			elog(ERROR, "unexpected expression in a Sort");
		outer = get_tle_by_resno(plan->lefttree->targetlist, var->varattno);
		var->vartype = exprType((Node *) outer->expr);
		var->vartypmod = exprTypmod((Node *) outer->expr);
		var->varcollid = exprCollation((Node *) outer->expr);
	}
}

/* The table column that an expression of a query's level is, or 0. */
static AttrNumber
source_column(Query *query, Expr *expr, Oid *relid)
{
	RangeTblEntry *rte;
	Var		   *var = (Var *) expr;
	TargetEntry *tle;

	if (!IsA(var, Var) || var->varlevelsup != 0)
		return 0;
	rte = vs_query_source_rte(query, NULL);
	if (rte->rtekind == RTE_RELATION)
	{
		*relid = rte->relid;
		return var->varattno;
	}
	tle = get_tle_by_resno(rte->subquery->targetList, var->varattno);
	return source_column(rte->subquery, tle->expr, relid);
}

/*
 * Was this constraint added by our own transaction, to a table that was there
 * before?  Then the snapshot of a batch that the transaction runs still sees
 * rows that break it.
 */
static bool
is_news(Oid relid, Oid constraint)
{
	HeapTuple	tuple = SearchSysCache1(CONSTROID, ObjectIdGetDatum(constraint));
	Relation	rel;
	bool		result;

	if (!HeapTupleIsValid(tuple))
		elog(ERROR, "cache lookup failed for constraint %u", constraint);
	result = made_by_us(tuple);
	ReleaseSysCache(tuple);
	if (!result)
		return false;
	rel = table_open(relid, AccessShareLock);
	result = rel->rd_createSubid == InvalidSubTransactionId;
	table_close(rel, NoLock);
	return result;
}

/*
 * Target entries that show the source's primary key, one for each of its
 * columns, or NIL if it has none or not all of it is shown.
 */
List *
vs_primary_key_columns(Query *query)
{
	RangeTblEntry *rte = vs_query_source_rte(query, NULL);
	Bitmapset  *wanted;
	Oid			constraint;
	Oid			relid = InvalidOid;
	List	   *columns = NIL;
	ListCell   *lc;

	while (rte->rtekind == RTE_SUBQUERY)
		rte = vs_query_source_rte(rte->subquery, NULL);
	/* a key of an inheritance parent says nothing about its children */
	if (rte->inh && get_rel_relkind(rte->relid) != RELKIND_PARTITIONED_TABLE &&
		has_subclass(rte->relid))
		return NIL;
	wanted = get_primary_key_attnos(rte->relid, true, &constraint);
	if (bms_is_empty(wanted) || is_news(rte->relid, constraint))
		return NIL;

	foreach(lc, query->targetList)
	{
		TargetEntry *tle = lfirst_node(TargetEntry, lc);
		AttrNumber	attno = source_column(query, tle->expr, &relid);
		int			member = attno - FirstLowInvalidHeapAttributeNumber;

		if (attno != 0 && bms_is_member(member, wanted))
		{
			wanted = bms_del_member(wanted, member);
			columns = lappend(columns, tle);
		}
	}
	return bms_is_empty(wanted) ? columns : NIL;
}
