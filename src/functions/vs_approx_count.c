/*-------------------------------------------------------------------------
 *
 * vs_approx_count.c
 *	  The aggregate approx_count_distinct: a HyperLogLog.
 *
 * Each value's 64-bit hash names one of 2^14 registers, which keeps the
 * greatest rank (position of the first bit set) of the other 50 bits.  The
 * number of registers for each rank gives the estimate, by the formula of
 * Ertl (2017), which needs neither tables nor thresholds; its standard error
 * is 0.8 %.
 *
 * While few registers are set, they are a list of (register, rank), so that
 * small groups stay small.  The result depends on the set of values only, not
 * on how they were split and merged.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include <math.h>

#include "catalog/pg_type.h"
#include "functions/vs_functions_internal.h"
#include "port/pg_bitutils.h"
#include "utils/builtins.h"
#include "utils/memutils.h"
#include "vs_compat.h"

#define REGISTER_BITS	14
#define REGISTERS		(1 << REGISTER_BITS)
#define RANK_BITS		(64 - REGISTER_BITS)	/* hashes have ranks of 1 to
												 * RANK_BITS + 1 */
#define LIST_START		16
#define LIST_MAX		2048	/* longer lists take more space than registers */

typedef struct VsSketch
{
	TypeCacheEntry *type;		/* of the values; NULL where states are
								 * combined */
	Oid			collation;
	uint8	   *registers;		/* NULL: there is a list */
	int			count;			/* entries of the list, not always of
								 * different registers */
	int			size;			/* of the list */
	uint32	   *list;			/* register << 8 | rank */
} VsSketch;

PG_FUNCTION_INFO_V1(velostream_approx_add);
PG_FUNCTION_INFO_V1(velostream_approx_combine);
PG_FUNCTION_INFO_V1(velostream_approx_serialize);
PG_FUNCTION_INFO_V1(velostream_approx_deserialize);
PG_FUNCTION_INFO_V1(velostream_approx_final);

static uint64 hash_value(VsSketch *sketch, Datum value);
static inline uint64 mix(uint64 x);
static void sketch_set(MemoryContext context, VsSketch *sketch, uint32 entry);
static void list_full(MemoryContext context, VsSketch *sketch);
static int	unique_list(uint32 *list, int count);
static int	compare_entries(const void *a, const void *b);
static void sketch_merge(MemoryContext context, VsSketch *sketch, const VsSketch *other);
static double estimate(const int *ranks);
static double sigma(double x);
static double tau(double x);

/* approx_count_distinct(x): one more value. */
Datum
velostream_approx_add(PG_FUNCTION_ARGS)
{
	MemoryContext context = vs_aggregate_context(fcinfo);
	VsSketch   *sketch = PG_ARGISNULL(0) ? NULL : (VsSketch *) PG_GETARG_POINTER(0);
	uint64		hash;
	uint64		rest;
	int			rank;

	if (sketch == NULL)
	{
		Oid			type = vs_argument_type(fcinfo, 1);

		sketch = MemoryContextAllocZero(context, sizeof(VsSketch));
		sketch->type = lookup_type_cache(type, TYPECACHE_HASH_EXTENDED_PROC_FINFO);
		if (!OidIsValid(sketch->type->hash_extended_proc_finfo.fn_oid))
			ereport(ERROR,
					(errcode(ERRCODE_UNDEFINED_FUNCTION),
					 errmsg("could not identify an extended hash function for type %s", format_type_be(type))));
		sketch->collation = PG_GET_COLLATION();
	}
	if (PG_ARGISNULL(1))
		PG_RETURN_POINTER(sketch);

	hash = hash_value(sketch, PG_GETARG_DATUM(1));
	rest = hash >> REGISTER_BITS;
	rank = rest == 0 ? RANK_BITS + 1 : pg_rightmost_one_pos64(rest) + 1;
	sketch_set(context, sketch, (uint32) (hash & (REGISTERS - 1)) << 8 | rank);
	PG_RETURN_POINTER(sketch);
}

/*
 * Hash of a value.  The hash of the type, but for integers and times: theirs
 * has the entropy of 32 bits only.
 */
static uint64
hash_value(VsSketch *sketch, Datum value)
{
	switch (sketch->type->type_id)
	{
		case INT8OID:
		case TIMESTAMPOID:
		case TIMESTAMPTZOID:
			return mix(DatumGetInt64(value));
		case INT2OID:
			return mix(DatumGetInt16(value));
		case INT4OID:
		case DATEOID:
			return mix(DatumGetInt32(value));
		default:
			return mix(DatumGetUInt64(FunctionCall2Coll(&sketch->type->hash_extended_proc_finfo,
														sketch->collation, value, Int64GetDatum(0))));
	}
}

/* A bijection after which all bits depend on all bits (the finalizer of splitmix64). */
static inline uint64
mix(uint64 x)
{
	x += UINT64CONST(0x9e3779b97f4a7c15);
	x = (x ^ (x >> 30)) * UINT64CONST(0xbf58476d1ce4e5b9);
	x = (x ^ (x >> 27)) * UINT64CONST(0x94d049bb133111eb);
	return x ^ (x >> 31);
}

/* Raise a register to a rank. */
static void
sketch_set(MemoryContext context, VsSketch *sketch, uint32 entry)
{
	if (sketch->registers == NULL && sketch->count == sketch->size)
		list_full(context, sketch);
	if (sketch->registers == NULL)
		sketch->list[sketch->count++] = entry;
	else
		sketch->registers[entry >> 8] = Max(sketch->registers[entry >> 8], (uint8) entry);
}

/* Make room in the list, or turn it into registers. */
static void
list_full(MemoryContext context, VsSketch *sketch)
{
	sketch->count = unique_list(sketch->list, sketch->count);
	if (sketch->count * 2 <= sketch->size && sketch->size > 0)
		return;
	if (sketch->size < LIST_MAX)
	{
		sketch->size = Min(Max(LIST_START, sketch->size * 2), LIST_MAX);
		sketch->list = sketch->list == NULL ?
			MemoryContextAlloc(context, sketch->size * sizeof(uint32)) :
			repalloc(sketch->list, sketch->size * sizeof(uint32));
		return;
	}
	sketch->registers = MemoryContextAllocZero(context, REGISTERS);
	for (int i = 0; i < sketch->count; i++)
		sketch_set(context, sketch, sketch->list[i]);
	pfree(sketch->list);
	sketch->list = NULL;
	sketch->count = sketch->size = 0;
}

/* Sort a list and leave each register's greatest rank.  Returns how many are left. */
static int
unique_list(uint32 *list, int count)
{
	int			left = 0;

	if (count > 1)
		qsort(list, count, sizeof(uint32), compare_entries);
	for (int i = 0; i < count; i++)
	{
		if (left > 0 && list[left - 1] >> 8 == list[i] >> 8)
			left--;
		list[left++] = list[i];
	}
	return left;
}

static int
compare_entries(const void *a, const void *b)
{
	uint32		left = *(const uint32 *) a;
	uint32		right = *(const uint32 *) b;

	return left < right ? -1 : left > right;
}

Datum
velostream_approx_combine(PG_FUNCTION_ARGS)
{
	MemoryContext context = vs_aggregate_context(fcinfo);
	VsSketch   *sketch = PG_ARGISNULL(0) ? NULL : (VsSketch *) PG_GETARG_POINTER(0);

	if (PG_ARGISNULL(0) && PG_ARGISNULL(1))
		PG_RETURN_NULL();
	if (sketch == NULL)
		sketch = MemoryContextAllocZero(context, sizeof(VsSketch));
	if (!PG_ARGISNULL(1))
		sketch_merge(context, sketch, (VsSketch *) PG_GETARG_POINTER(1));
	PG_RETURN_POINTER(sketch);
}

static void
sketch_merge(MemoryContext context, VsSketch *sketch, const VsSketch *other)
{
	for (int i = 0; i < other->count; i++)
		sketch_set(context, sketch, other->list[i]);
	if (other->registers == NULL)
		return;
	for (int i = 0; i < REGISTERS; i++)
		if (other->registers[i] > 0)
			sketch_set(context, sketch, (uint32) i << 8 | other->registers[i]);
}

/* The list, or all registers: told apart by the length. */
Datum
velostream_approx_serialize(PG_FUNCTION_ARGS)
{
	VsSketch   *sketch = (VsSketch *) PG_GETARG_POINTER(0);
	Size		size;
	bytea	   *result;

	(void) vs_aggregate_context(fcinfo);
	sketch->count = unique_list(sketch->list, sketch->count);
	size = sketch->registers != NULL ? REGISTERS : sketch->count * sizeof(uint32);
	result = palloc(VARHDRSZ + size);
	SET_VARSIZE(result, VARHDRSZ + size);
	if (size > 0)
		memcpy(VARDATA(result), sketch->registers != NULL ? (void *) sketch->registers : sketch->list, size);
	PG_RETURN_BYTEA_P(result);
}

/* The result is in CurrentMemoryContext. */
Datum
velostream_approx_deserialize(PG_FUNCTION_ARGS)
{
	bytea	   *value = PG_GETARG_BYTEA_PP(0);
	Size		size = VARSIZE_ANY_EXHDR(value);
	VsSketch   *sketch = palloc0(sizeof(VsSketch));
	bool		valid = true;

	(void) vs_aggregate_context(fcinfo);
	if (size == REGISTERS)
	{
		sketch->registers = palloc(size);
		memcpy(sketch->registers, VARDATA_ANY(value), size);
		for (int i = 0; i < REGISTERS; i++)
			valid &= sketch->registers[i] <= RANK_BITS + 1;
	}
	else if (size % sizeof(uint32) == 0 && size <= LIST_MAX * sizeof(uint32))
	{
		sketch->count = sketch->size = size / sizeof(uint32);
		sketch->list = palloc(Max(size, 1));
		memcpy(sketch->list, VARDATA_ANY(value), size);
		for (int i = 0; i < sketch->count; i++)
			valid &= sketch->list[i] >> 8 < REGISTERS && (sketch->list[i] & 0xff) <= RANK_BITS + 1;
	}
	else
		valid = false;
	if (!valid)
		vs_report_stored();
	PG_RETURN_POINTER(sketch);
}

Datum
velostream_approx_final(PG_FUNCTION_ARGS)
{
	VsSketch   *sketch = PG_ARGISNULL(0) ? NULL : (VsSketch *) PG_GETARG_POINTER(0);
	int			ranks[RANK_BITS + 2] = {0};

	(void) vs_aggregate_context(fcinfo);
	if (sketch == NULL)
		PG_RETURN_INT64(0);
	sketch->count = unique_list(sketch->list, sketch->count);
	for (int i = 0; i < sketch->count; i++)
		ranks[sketch->list[i] & 0xff]++;
	for (int i = 0; sketch->registers != NULL && i < REGISTERS; i++)
		ranks[sketch->registers[i]]++;
	if (sketch->registers == NULL)
		ranks[0] = REGISTERS - sketch->count;
	PG_RETURN_INT64((int64) rint(estimate(ranks)));
}

/* Number of different values, from the number of registers with each rank. */
static double
estimate(const int *ranks)
{
	double		m = REGISTERS;
	double		z = m * tau(1 - ranks[RANK_BITS + 1] / m);

	for (int rank = RANK_BITS; rank > 0; rank--)
		z = 0.5 * (z + ranks[rank]);
	z += m * sigma(ranks[0] / m);
	return isinf(z) ? 0 : m * m / (2 * M_LN2 * z);
}

/* x + sum of x^(2^k) 2^(k-1), over all k > 0 */
static double
sigma(double x)
{
	double		y = 1;
	double		z = x;
	double		before;

	if (x == 1)
		return INFINITY;
	do
	{
		x *= x;
		before = z;
		z += x * y;
		y += y;
	} while (z != before);
	return z;
}

/* (1 - x - sum of (1 - x^(2^-k))^2 2^-k, over all k > 0) / 3 */
static double
tau(double x)
{
	double		y = 1;
	double		z = 1 - x;
	double		before;

	if (x == 0 || x == 1)
		return 0;
	do
	{
		x = sqrt(x);
		before = z;
		y *= 0.5;
		z -= (1 - x) * (1 - x) * y;
	} while (z != before);
	return z / 3;
}
