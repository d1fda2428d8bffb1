/*-------------------------------------------------------------------------
 *
 * vs_plan_internal.h
 *	  What the files of plan/ share.
 *
 *-------------------------------------------------------------------------
 */
#ifndef VS_PLAN_INTERNAL_H
#define VS_PLAN_INTERNAL_H

#include "parser/parse_node.h"
#include "plan/vs_plan.h"
#include "utils/relcache.h"

extern void vs_check_leaf(Relation rel);
extern RangeTblEntry *vs_query_source_rte(Query *query, Index *rtindex);
extern List *vs_primary_key_columns(Query *query);
extern Aggref *vs_make_count(void);
extern void vs_count_nulls(VsAgg *agg);
extern void vs_set_key_type(VsKey *key, Node *expr);

/* vs_window.c */
pg_noreturn extern void vs_window_refuse(ParseState *pstate, int location,
										 const char *message, const char *hint);
extern void vs_window_check(ParseState *pstate, Query *query, VsSourceMode mode,
							const VsTimeOptions *options);
extern bool vs_window_is_generator(Query *query, Node *node);
extern Expr *vs_window_pane(const VsWindow *window, VsLateData late, bool timed);
extern Aggref *vs_window_extremum(const VsWindow *window, const char *name);
extern Expr *vs_window_admit(const VsWindow *window);
extern Expr *vs_window_guard(const VsWindow *window, Expr *key);

/* vs_limit.c */
extern void vs_limit_check(ParseState *pstate, Query *query, VsKind kind,
						   const VsTimeOptions *options, int order_location, int limit_location);
extern void vs_limit_normalize(Query *query);
extern void vs_limit_describe(VsPlan *plan);

/* vs_row_window.c */
extern bool vs_row_window_is(Query *query);
extern void vs_row_window_check(ParseState *pstate, Query *query, VsSourceMode mode);
extern void vs_row_window_describe(VsPlan *plan);
extern Query *vs_row_window_rows(VsPlan *plan);

#endif							/* VS_PLAN_INTERNAL_H */
