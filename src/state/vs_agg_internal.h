/*-------------------------------------------------------------------------
 *
 * vs_agg_internal.h
 *	  What the files of the split aggregates share.
 *
 *-------------------------------------------------------------------------
 */
#ifndef VS_AGG_INTERNAL_H
#define VS_AGG_INTERNAL_H

#include "postgres.h"

/*
 * The serialized form of PostgreSQL's own sums over integers and numerics
 * (numeric.c): N and sumX always, the rest as said here.
 */
typedef struct VsSumLayout
{
	bool		squares;		/* sumX2 follows sumX */
	bool		scales;			/* maxScale, its count, NaN, +Inf, -Inf follow */
} VsSumLayout;

/* a + b, in CurrentMemoryContext; NULL if one of them has another layout. */
extern bytea *vs_sum_add(VsSumLayout layout, bytea *a, bytea *b);

/*
 * a - b exactly, as if the rows of b had never been in a.  False if that
 * cannot be told from the two.  *result is NULL when no row is left.
 */
extern bool vs_sum_subtract(VsSumLayout layout, bytea *a, bytea *b, bytea **result);

/* No row at all went in; false also if the layout is another. */
extern bool vs_sum_is_empty(VsSumLayout layout, bytea *a);

#endif							/* VS_AGG_INTERNAL_H */
