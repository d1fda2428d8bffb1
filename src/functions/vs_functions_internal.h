/*-------------------------------------------------------------------------
 *
 * vs_functions_internal.h
 *	  What the aggregates share.
 *
 *-------------------------------------------------------------------------
 */
#ifndef VS_FUNCTIONS_INTERNAL_H
#define VS_FUNCTIONS_INTERNAL_H

#include "postgres.h"

#include "fmgr.h"
#include "utils/typcache.h"
#include "vs_compat.h"

extern MemoryContext vs_aggregate_context(FunctionCallInfo fcinfo);
extern Oid	vs_argument_type(FunctionCallInfo fcinfo, int argno);
extern TypeCacheEntry *vs_kept_type(Oid type);
extern Datum vs_flat_value(TypeCacheEntry *type, Datum value);
pg_noreturn extern void vs_report_stored(void);
extern int	vs_compare_values(TypeCacheEntry *type, Oid collation, Datum a, Datum b);

#endif
