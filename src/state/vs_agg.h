/*-------------------------------------------------------------------------
 *
 * vs_agg.h
 *	  Split aggregates: transition values that are combined, retracted and
 *	  finalized outside of an Agg node.
 *
 *-------------------------------------------------------------------------
 */
#ifndef VS_AGG_H
#define VS_AGG_H

#include "postgres.h"

#include "fmgr.h"
#include "nodes/execnodes.h"
#include "nodes/primnodes.h"
#include "velostream.h"

/* How rows are taken out of a transition value. */
typedef enum VsRetract
{
	VS_RETRACT_RECOMPUTE,		/* cannot: compute the group again */
	VS_RETRACT_SUBTRACT,		/* exact: subtract the transition value of the
								 * removed rows */
	VS_RETRACT_EXTREMUM			/* min, max: unless the removed extremum is
								 * the current one */
} VsRetract;

/* Can the transition value be made from the result and the number of rows? */
typedef enum VsShown
{
	VS_SHOWN_NOT,
	VS_SHOWN_SUM,				/* {count, sum}, which is there for the sake
								 * of retraction */
	VS_SHOWN_AVERAGE			/* {count, sum} of an average of integers */
} VsShown;

typedef struct VsAgg
{
	Aggref	   *aggref;			/* as in the query */
	Aggref	   *partial;		/* what runs over the delta (AGGSPLIT_SIMPLE
								 * as given back; the planner's output is
								 * marked INITIAL_SERIAL): aggref itself, or
								 * the moving form that can be retracted
								 * exactly (sum(int4) -> int8[] {count, sum}),
								 * or the one that goes by arrival */
	bool		by_arrival;		/* the last argument of "partial" stands for a
								 * row's place in the order of arrival */

	/*
	 * Where not NULL, these two run over the delta in the place of "partial":
	 * the sum and the count of its values cost a fraction of an array that is
	 * updated for each row.  vs_agg_join makes the transition value of them.
	 * With count_nulls, partial_count counts the rows that have no value: a
	 * test of a column is cheaper than a call, and most have one.
	 */
	Aggref	   *partial_sum;
	Aggref	   *partial_count;
	bool		count_nulls;

	VsShown		shown;
	Oid			transtype;		/* resolved transition type of "partial" */
	Oid			storetype;		/* what is stored and what the partial plan
								 * delivers: transtype, or bytea if serialized */
	int16		storelen;
	bool		storebyval;
	char		storealign;
	Oid			resulttype;
	int16		resultlen;
	bool		resultbyval;
	bool		plain;			/* result is the stored value: no final
								 * function, and storetype = resulttype */
	VsRetract	retract;
	/* filled by vs_agg_describe, private to vs_agg.c: */
	struct VsAggPrivate *priv;
} VsAgg;

/* All calls of one batch share this; it is the aggregates' "AggState". */
typedef struct VsAggContext VsAggContext;

extern VsAgg *vs_agg_describe(Aggref *aggref, VsSourceMode mode, const char **why_not);
extern VsAggContext *vs_agg_begin(MemoryContext parent);
extern void vs_agg_end(VsAggContext *cxt);

/* Frees all that results of the calls below rest on. Call once per group (or few). */
extern void vs_agg_reset(VsAggContext *cxt);

/* vs_agg_pair.c; both are for aggregates whose "shown" is not VS_SHOWN_NOT */
extern Datum vs_agg_join(Datum sum, bool sumnull, Datum count);
extern bool vs_agg_is_shown(VsAgg *agg, Datum state, Datum result, bool resultnull, int64 rows);
extern Datum vs_agg_from_shown(VsAgg *agg, Datum result, int64 rows);

extern Datum vs_agg_initial(VsAggContext *cxt, VsAgg *agg, bool *isnull);
extern Datum vs_agg_combine(VsAggContext *cxt, VsAgg *agg, Datum state, bool statenull,
							Datum delta, bool deltanull, bool *isnull);
extern bool vs_agg_retract(VsAggContext *cxt, VsAgg *agg, Datum state, bool statenull,
						   Datum minus, bool minusnull, Datum *result, bool *isnull);
extern Datum vs_agg_final(VsAggContext *cxt, VsAgg *agg, Datum state, bool statenull, bool *isnull);

#endif							/* VS_AGG_H */
