/*-------------------------------------------------------------------------
 *
 * vs_plan_internal.h
 *	  What the files of plan/ share.
 *
 *-------------------------------------------------------------------------
 */
#ifndef VS_PLAN_INTERNAL_H
#define VS_PLAN_INTERNAL_H

#include "plan/vs_plan.h"
#include "utils/relcache.h"

extern void vs_check_leaf(Relation rel);
extern RangeTblEntry *vs_query_source_rte(Query *query, Index *rtindex);
extern List *vs_primary_key_columns(Query *query);
extern Aggref *vs_make_count(void);
extern void vs_count_nulls(VsAgg *agg);

#endif							/* VS_PLAN_INTERNAL_H */
