/*-------------------------------------------------------------------------
 *
 * vs_values.c
 *	  Aggregates that keep values: collect, group_concat, listagg, median,
 *	  count_distinct, delta.
 *
 * Their state, a VsBag, has the values that came, or as many of them as the
 * result depends on.  It can be serialized and combined, so that these
 * aggregates run in parallel and in continuous queries; and as nothing is
 * known there of the order in which rows come, no result depends on it: where
 * values stand in a row, they are sorted.
 *
 * The order is that of the type's default btree operator class, in the
 * collation of the argument; values that are equal, and those of types without
 * an order, go by their bytes.
 *
 * A bag is a sorted run of values and a tail of later ones.  Values that are
 * not passed by value stand in the bag's arena, and are known by their offset
 * there, so that a bag is copied, stored and read in one piece.  Merging the
 * tail into the run writes a new arena, without what is no longer needed.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/tupmacs.h"
#include "catalog/pg_collation.h"
#include "catalog/pg_type.h"
#include "functions/vs_functions_internal.h"
#include "lib/stringinfo.h"
#include "miscadmin.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/date.h"
#include "utils/datum.h"
#include "utils/float.h"
#include "utils/fmgroids.h"
#include "utils/fmgrprotos.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/numeric.h"
#include "utils/timestamp.h"
#include "vs_compat.h"

/* Which values a bag keeps. */
typedef enum BagKind
{
	BAG_ALL,
	BAG_SET,					/* one of those that are equal */
	BAG_ENDS					/* the least and the greatest */
} BagKind;

typedef struct VsBag
{
	MemoryContext context;		/* it, "items" and "arena" are there */
	BagKind		kind;
	TypeCacheEntry *type;
	Oid			collation;		/* of one that was read: not known, and not
								 * needed */
	int64		nulls;			/* NULLs among the values, where they count */
	Size		count;
	Size		sorted;			/* so many of the first items are the run */
	Size		capacity;		/* of "items" */
	Datum	   *items;			/* values, or offsets into "arena" */
	Size		used;			/* of "arena" */
	Size		size;
	char	   *arena;
	text	   *separator;		/* of group_concat, else NULL */
} VsBag;

/*
 * What a stored bag starts with; the separator, the values or the arena follow.
 * It may outlive the OID of its collation (pg_upgrade), which the aggregate
 * knows.
 */
typedef struct StoredBag
{
	int32		kind;
	Oid			type;
	int32		separator;		/* its size, 0 if there is none */
	int64		nulls;
	int64		count;
	int64		used;
} StoredBag;

#define BAG_START	16			/* items a new bag has room for */
#define BAG_MERGE	256			/* length of a tail from which on duplicates
								 * are looked for */

PG_FUNCTION_INFO_V1(velostream_collect_add);
PG_FUNCTION_INFO_V1(velostream_values_add);
PG_FUNCTION_INFO_V1(velostream_set_add);
PG_FUNCTION_INFO_V1(velostream_ends_add);
PG_FUNCTION_INFO_V1(velostream_group_concat_add);
PG_FUNCTION_INFO_V1(velostream_values_combine);
PG_FUNCTION_INFO_V1(velostream_values_serialize);
PG_FUNCTION_INFO_V1(velostream_values_deserialize);
PG_FUNCTION_INFO_V1(velostream_collect_final);
PG_FUNCTION_INFO_V1(velostream_group_concat_final);
PG_FUNCTION_INFO_V1(velostream_median_final);
PG_FUNCTION_INFO_V1(velostream_count_distinct_final);
PG_FUNCTION_INFO_V1(velostream_delta_final);

static inline int compare_by_type(TypeCacheEntry *type, Oid collation, Datum a, Datum b);
static Datum add_argument(FunctionCallInfo fcinfo, BagKind kind);
static VsBag *bag_argument(FunctionCallInfo fcinfo, BagKind kind);
static VsBag *bag_begin(MemoryContext context, BagKind kind, Oid type, Oid collation);
static void bag_add(VsBag *bag, Datum value);
static bool is_inside(VsBag *bag, Datum value);
static void bag_append(VsBag *bag, const VsBag *other);
static void bag_reserve(VsBag *bag, Size count, Size size);
static void bag_merge(VsBag *bag);
static Size merge_runs(VsBag *bag, const Datum *from, Datum *to);
static void bag_rewrite(VsBag *bag);
static int	compare_items(const void *a, const void *b, void *arg);
static void check_separator(VsBag *bag, const text *separator);
static Datum difference(Oid type, Datum least, Datum greatest);
static Datum middle(Oid type, Datum low, Datum high);
static void read_items(VsBag *bag, const char *data, Size length);

/* Where the state of the aggregate that calls must be. */
MemoryContext
vs_aggregate_context(FunctionCallInfo fcinfo)
{
	MemoryContext context;

	if (!AggCheckCallContext(fcinfo, &context))
		elog(ERROR, "aggregate function called in non-aggregate context");
	return context;
}

/* The type of an argument, without domains. */
Oid
vs_argument_type(FunctionCallInfo fcinfo, int argno)
{
	Oid			type = get_fn_expr_argtype(fcinfo->flinfo, argno);

	if (!OidIsValid(type))
		elog(ERROR, "could not determine input data type");
	return getBaseType(type);
}

/*
 * The type cache's entry for values that are kept.  Their type must be one that
 * a column can have: anonymous rows are numbered by each process for itself,
 * while a state outlives it.
 */
TypeCacheEntry *
vs_kept_type(Oid type)
{
	TypeCacheEntry *result = lookup_type_cache(type, TYPECACHE_CMP_PROC_FINFO);

	if (result->typtype == TYPTYPE_PSEUDO)
		ereport(ERROR,
				(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
				 errmsg("an aggregate of velostream cannot keep values of type %s", format_type_be(type)),
				 errhint("Cast them to a type that a column can have, rows to a named composite type.")));
	return result;
}

/* The value with all its bytes, not packed; may be the value itself. */
Datum
vs_flat_value(TypeCacheEntry *type, Datum value)
{
	return type->typlen == -1 ? PointerGetDatum(PG_DETOAST_DATUM(value)) : value;
}

/* What was stored is not what a serialization function made. */
void
vs_report_stored(void)
{
	ereport(ERROR,
			(errcode(ERRCODE_DATA_CORRUPTED),
			 errmsg("stored state of an aggregate is not valid")));
}

/*
 * Order of two flat values: that of the type, if it has one, then that of the
 * bytes.
 */
int
vs_compare_values(TypeCacheEntry *type, Oid collation, Datum a, Datum b)
{
	Size		length[2];
	int			result = compare_by_type(type, collation, a, b);

	if (result != 0)
		return result;
	if (type->typbyval)
		return a < b ? -1 : a > b;

	length[0] = datumGetSize(a, false, type->typlen);
	length[1] = datumGetSize(b, false, type->typlen);
	result = memcmp(DatumGetPointer(a), DatumGetPointer(b), Min(length[0], length[1]));
	return result != 0 ? result : length[0] < length[1] ? -1 : length[0] > length[1];
}

/* Order of two values by their type; 0 if it has none.  Common ones are compared here. */
static inline int
compare_by_type(TypeCacheEntry *type, Oid collation, Datum a, Datum b)
{
	switch (type->cmp_proc_finfo.fn_oid)
	{
		case InvalidOid:
			return 0;
		case F_BTINT4CMP:
		case F_DATE_CMP:
			return DatumGetInt32(a) < DatumGetInt32(b) ? -1 : DatumGetInt32(a) > DatumGetInt32(b);
		case F_BTINT8CMP:
		case F_TIMESTAMP_CMP:
		case F_TIMESTAMPTZ_CMP:
			return DatumGetInt64(a) < DatumGetInt64(b) ? -1 : DatumGetInt64(a) > DatumGetInt64(b);
		case F_BTFLOAT8CMP:
			return float8_lt(DatumGetFloat8(a), DatumGetFloat8(b)) ? -1 :
				float8_gt(DatumGetFloat8(a), DatumGetFloat8(b));
		default:
			return DatumGetInt32(FunctionCall2Coll(&type->cmp_proc_finfo, collation, a, b));
	}
}

/* collect(x): keeps NULLs as well. */
Datum
velostream_collect_add(PG_FUNCTION_ARGS)
{
	VsBag	   *bag = bag_argument(fcinfo, BAG_ALL);

	if (PG_ARGISNULL(1))
		bag->nulls++;
	else
		bag_add(bag, PG_GETARG_DATUM(1));
	PG_RETURN_POINTER(bag);
}

/* All values but NULLs. */
Datum
velostream_values_add(PG_FUNCTION_ARGS)
{
	return add_argument(fcinfo, BAG_ALL);
}

Datum
velostream_set_add(PG_FUNCTION_ARGS)
{
	return add_argument(fcinfo, BAG_SET);
}

Datum
velostream_ends_add(PG_FUNCTION_ARGS)
{
	return add_argument(fcinfo, BAG_ENDS);
}

/* Add a value to the state, unless it is NULL. */
static Datum
add_argument(FunctionCallInfo fcinfo, BagKind kind)
{
	VsBag	   *bag = bag_argument(fcinfo, kind);

	if (!PG_ARGISNULL(1))
		bag_add(bag, PG_GETARG_DATUM(1));
	PG_RETURN_POINTER(bag);
}

/* group_concat(x [, separator]) */
Datum
velostream_group_concat_add(PG_FUNCTION_ARGS)
{
	VsBag	   *bag = bag_argument(fcinfo, BAG_ALL);

	if (PG_ARGISNULL(1))
		PG_RETURN_POINTER(bag);
	if (PG_NARGS() == 2)
		check_separator(bag, cstring_to_text(","));
	else
		check_separator(bag, PG_ARGISNULL(2) ? cstring_to_text("") : PG_GETARG_TEXT_PP(2));
	bag_add(bag, PG_GETARG_DATUM(1));
	PG_RETURN_POINTER(bag);
}

/* The aggregate's state, a new one at first. */
static VsBag *
bag_argument(FunctionCallInfo fcinfo, BagKind kind)
{
	MemoryContext context = vs_aggregate_context(fcinfo);

	if (!PG_ARGISNULL(0))
		return (VsBag *) PG_GETARG_POINTER(0);
	return bag_begin(context, kind, vs_argument_type(fcinfo, 1), PG_GET_COLLATION());
}

static VsBag *
bag_begin(MemoryContext context, BagKind kind, Oid type, Oid collation)
{
	VsBag	   *bag = MemoryContextAllocZero(context, sizeof(VsBag));

	bag->context = context;
	bag->kind = kind;
	bag->type = vs_kept_type(type);
	if (kind != BAG_ALL && !OidIsValid(bag->type->cmp_proc_finfo.fn_oid))
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_FUNCTION),
				 errmsg("could not identify a comparison function for type %s", format_type_be(type))));

	/* where equal values have equal bytes, this order finds them sooner */
	if (kind == BAG_SET && OidIsValid(collation) && get_collation_isdeterministic(collation))
		collation = C_COLLATION_OID;
	bag->collation = collation;
	return bag;
}

static inline Datum
item_value(const VsBag *bag, Datum item)
{
	return bag->type->typbyval ? item : PointerGetDatum(bag->arena + item);
}

/* Add a value, as it comes. */
static void
bag_add(VsBag *bag, Datum value)
{
	TypeCacheEntry *type = bag->type;
	Datum		flat = vs_flat_value(type, value);
	Size		length;

	if (bag->kind == BAG_ENDS && is_inside(bag, flat))
		return;
	if (type->typbyval)
	{
		bag_reserve(bag, 1, 0);
		bag->items[bag->count++] = value;
		return;
	}
	length = datumGetSize(flat, false, type->typlen);
	bag_reserve(bag, 1, MAXALIGN(length));
	memcpy(bag->arena + bag->used, DatumGetPointer(flat), length);
	memset(bag->arena + bag->used + length, 0, MAXALIGN(length) - length);
	bag->items[bag->count++] = bag->used;
	bag->used += MAXALIGN(length);
	if (flat != value)
		pfree(DatumGetPointer(flat));
}

/* Is a value, as far as is known, neither the least nor the greatest? */
static bool
is_inside(VsBag *bag, Datum value)
{
	return bag->sorted == 2 &&
		vs_compare_values(bag->type, bag->collation, value, item_value(bag, bag->items[0])) >= 0 &&
		vs_compare_values(bag->type, bag->collation, value, item_value(bag, bag->items[1])) <= 0;
}

/* Add all values of another bag. */
static void
bag_append(VsBag *bag, const VsBag *other)
{
	if (other->separator != NULL)
		check_separator(bag, other->separator);
	bag->nulls += other->nulls;
	if (other->count == 0)
		return;

	bag_reserve(bag, other->count, other->used);
	for (Size i = 0; i < other->count; i++)
		bag->items[bag->count + i] = other->items[i] + (bag->type->typbyval ? 0 : bag->used);
	if (other->used > 0)
		memcpy(bag->arena + bag->used, other->arena, other->used);
	if (bag->count == 0)
		bag->sorted = other->sorted;
	bag->count += other->count;
	bag->used += other->used;
}

/* Make room for more values; what is not needed of those that are there goes first. */
static void
bag_reserve(VsBag *bag, Size count, Size size)
{
	if (bag->count + count > bag->capacity)
	{
		if (bag->kind != BAG_ALL && bag->count >= bag->sorted + BAG_MERGE)
			bag_merge(bag);

		/* at least half of it is free then, so that merging costs little */
		if (bag->items == NULL || bag->count * 2 + count > bag->capacity)
		{
			bag->capacity = Max(BAG_START, (bag->count + count) * 2);
			bag->items = bag->items == NULL ?
				MemoryContextAllocHuge(bag->context, bag->capacity * sizeof(Datum)) :
				repalloc_huge(bag->items, bag->capacity * sizeof(Datum));
		}
	}
	if (bag->used + size > bag->size)
	{
		bag->size = Max(BAG_START * sizeof(Datum), (bag->used + size) * 2);
		bag->arena = bag->arena == NULL ? MemoryContextAllocHuge(bag->context, bag->size) :
			repalloc_huge(bag->arena, bag->size);
	}
}

/* Sort all values, and leave out those that the bag need not keep. */
static void
bag_merge(VsBag *bag)
{
	Datum	   *items;
	Size		count = bag->count;

	if (bag->sorted == bag->count)
		return;
	qsort_arg(bag->items + bag->sorted, bag->count - bag->sorted, sizeof(Datum), compare_items, bag);

	items = MemoryContextAllocHuge(bag->context, bag->capacity * sizeof(Datum));
	bag->count = merge_runs(bag, bag->items, items);
	if (bag->kind == BAG_ENDS && bag->count > 2)
	{
		items[1] = items[bag->count - 1];
		bag->count = 2;
	}
	pfree(bag->items);
	bag->items = items;
	bag->sorted = bag->count;
	if (bag->count < count && !bag->type->typbyval)
		bag_rewrite(bag);
}

/* Merge the run and the sorted tail.  Returns how many are left. */
static Size
merge_runs(VsBag *bag, const Datum *from, Datum *to)
{
	const Datum *run = from;
	const Datum *tail = from + bag->sorted;
	const Datum *run_end = tail;
	const Datum *tail_end = from + bag->count;
	Size		count = 0;

	while (run < run_end || tail < tail_end)
	{
		Datum		next;

		if (tail == tail_end || (run < run_end && compare_items(run, tail, bag) <= 0))
			next = *run++;
		else
			next = *tail++;
		if (bag->kind == BAG_SET && count > 0 &&
			compare_by_type(bag->type, bag->collation, item_value(bag, to[count - 1]), item_value(bag, next)) == 0)
			continue;
		to[count++] = next;
	}
	return count;
}

/* Write the arena anew, with the values of the items only, in their order. */
static void
bag_rewrite(VsBag *bag)
{
	char	   *arena = MemoryContextAllocHuge(bag->context, bag->size);
	Size		used = 0;

	for (Size i = 0; i < bag->count; i++)
	{
		char	   *value = bag->arena + bag->items[i];
		Size		length = MAXALIGN(datumGetSize(PointerGetDatum(value), false, bag->type->typlen));

		memcpy(arena + used, value, length);
		bag->items[i] = used;
		used += length;
	}
	pfree(bag->arena);
	bag->arena = arena;
	bag->used = used;
}

static int
compare_items(const void *a, const void *b, void *arg)
{
	VsBag	   *bag = arg;

	CHECK_FOR_INTERRUPTS();
	return vs_compare_values(bag->type, bag->collation, item_value(bag, *(const Datum *) a),
							 item_value(bag, *(const Datum *) b));
}

/* One separator serves all values of a group: their order is not that of their rows. */
static void
check_separator(VsBag *bag, const text *separator)
{
	Size		length = VARSIZE_ANY_EXHDR(separator);

	if (bag->separator == NULL)
	{
		MemoryContext old = MemoryContextSwitchTo(bag->context);

		bag->separator = cstring_to_text_with_len(VARDATA_ANY(separator), length);
		MemoryContextSwitchTo(old);
	}
	else if (VARSIZE_ANY_EXHDR(bag->separator) != length ||
			 memcmp(VARDATA_ANY(bag->separator), VARDATA_ANY(separator), length) != 0)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("separator must be the same for all rows of a group")));
}

/* The first bag gets the values of the second. */
Datum
velostream_values_combine(PG_FUNCTION_ARGS)
{
	MemoryContext context = vs_aggregate_context(fcinfo);
	VsBag	   *bag = PG_ARGISNULL(0) ? NULL : (VsBag *) PG_GETARG_POINTER(0);
	VsBag	   *other;

	if (PG_ARGISNULL(1))
	{
		if (bag == NULL)
			PG_RETURN_NULL();
		PG_RETURN_POINTER(bag);
	}
	other = (VsBag *) PG_GETARG_POINTER(1);
	if (bag == NULL)
		bag = bag_begin(context, other->kind, other->type->type_id, PG_GET_COLLATION());
	if (bag->kind != other->kind || bag->type != other->type)
		vs_report_stored();
	bag_append(bag, other);
	PG_RETURN_POINTER(bag);
}

/* The values are stored in their order. */
Datum
velostream_values_serialize(PG_FUNCTION_ARGS)
{
	VsBag	   *bag = (VsBag *) PG_GETARG_POINTER(0);
	StoredBag	stored = {0};
	StringInfoData buf;

	(void) vs_aggregate_context(fcinfo);
	bag_merge(bag);
	stored.kind = bag->kind;
	stored.type = bag->type->type_id;
	stored.separator = bag->separator == NULL ? 0 : VARSIZE(bag->separator);
	stored.nulls = bag->nulls;
	stored.count = bag->count;
	stored.used = bag->used;

	initStringInfo(&buf);
	appendStringInfoSpaces(&buf, VARHDRSZ);
	appendBinaryStringInfo(&buf, (char *) &stored, sizeof(stored));
	if (bag->separator != NULL)
		appendBinaryStringInfo(&buf, (char *) bag->separator, stored.separator);
	if (!bag->type->typbyval)
	{
		/*
		 * a run in the order of the arena: one that is read back needs no
		 * items
		 */
		if (bag->count > 0)
			bag_rewrite(bag);
		if (bag->used > MaxAllocSize - buf.len - 1)
			ereport(ERROR,
					(errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED),
					 errmsg("state of an aggregate exceeds %d bytes", (int) MaxAllocSize)));
		if (bag->used > 0)
			appendBinaryStringInfo(&buf, bag->arena, bag->used);
	}
	for (Size i = 0; bag->type->typbyval && i < bag->count; i++)
	{
		Datum		value = 0;

		store_att_byval((char *) &value, bag->items[i], bag->type->typlen);
		appendBinaryStringInfo(&buf, (char *) &value, bag->type->typlen);
	}
	SET_VARSIZE(buf.data, buf.len);
	PG_RETURN_BYTEA_P(buf.data);
}

/* The result is in CurrentMemoryContext; the caller copies what it keeps. */
Datum
velostream_values_deserialize(PG_FUNCTION_ARGS)
{
	bytea	   *value = PG_GETARG_BYTEA_PP(0);
	char	   *data = VARDATA_ANY(value);
	Size		length = VARSIZE_ANY_EXHDR(value);
	StoredBag	stored;
	VsBag	   *bag;

	(void) vs_aggregate_context(fcinfo);
	if (length < sizeof(stored))
		vs_report_stored();
	memcpy(&stored, data, sizeof(stored));
	data += sizeof(stored);
	length -= sizeof(stored);
	if (stored.kind < BAG_ALL || stored.kind > BAG_ENDS || (stored.separator != 0 && stored.separator < VARHDRSZ) ||
		stored.separator > length || stored.nulls < 0 || stored.count < 0 || stored.used < 0)
		vs_report_stored();

	bag = bag_begin(CurrentMemoryContext, (BagKind) stored.kind, stored.type, InvalidOid);
	if (stored.separator > 0)
	{
		bag->separator = palloc(stored.separator);
		memcpy(bag->separator, data, stored.separator);
		SET_VARSIZE(bag->separator, stored.separator);
	}
	bag->nulls = stored.nulls;
	bag->count = bag->sorted = stored.count;
	bag->used = stored.used;
	read_items(bag, data + stored.separator, length - stored.separator);
	PG_RETURN_POINTER(bag);
}

/* The values of a bag whose head was read. */
static void
read_items(VsBag *bag, const char *data, Size length)
{
	TypeCacheEntry *type = bag->type;
	Size		offset = 0;

	if (bag->count > length || (type->typbyval ? bag->count * type->typlen : bag->used) != length ||
		(type->typbyval && bag->used > 0))
		vs_report_stored();
	bag->capacity = bag->count;
	bag->size = bag->used;
	if (bag->count > 0)
		bag->items = MemoryContextAllocHuge(CurrentMemoryContext, bag->count * sizeof(Datum));
	if (bag->used > 0)
	{
		bag->arena = palloc(bag->used);
		memcpy(bag->arena, data, bag->used);
	}

	for (Size i = 0; i < bag->count; i++)
	{
		if (type->typbyval)
		{
			Datum		value = 0;

			memcpy(&value, data + i * type->typlen, type->typlen);
			bag->items[i] = fetch_att((char *) &value, true, type->typlen);
			continue;
		}
		if (offset + (type->typlen == -1 ? VARHDRSZ : type->typlen) > bag->used ||
			(type->typlen == -1 && (!VARATT_IS_4B_U(bag->arena + offset) || VARSIZE(bag->arena + offset) < VARHDRSZ)))
			vs_report_stored();
		bag->items[i] = offset;
		offset += MAXALIGN(datumGetSize(PointerGetDatum(bag->arena + offset), false, type->typlen));
		if (offset > bag->used)
			vs_report_stored();
	}
}

/* collect(x): all values, sorted, then NULLs. */
Datum
velostream_collect_final(PG_FUNCTION_ARGS)
{
	VsBag	   *bag;
	ArrayBuildState *array;

	(void) vs_aggregate_context(fcinfo);
	if (PG_ARGISNULL(0))
		PG_RETURN_NULL();
	bag = (VsBag *) PG_GETARG_POINTER(0);
	bag_merge(bag);
	array = initArrayResult(get_fn_expr_argtype(fcinfo->flinfo, 1), CurrentMemoryContext, false);
	for (Size i = 0; i < bag->count; i++)
		array = accumArrayResult(array, item_value(bag, bag->items[i]), false, array->element_type,
								 CurrentMemoryContext);
	for (int64 i = 0; i < bag->nulls; i++)
		array = accumArrayResult(array, (Datum) 0, true, array->element_type, CurrentMemoryContext);
	PG_RETURN_DATUM(makeArrayResult(array, CurrentMemoryContext));
}

/* group_concat(x [, separator]): all values, sorted; NULL if there are none. */
Datum
velostream_group_concat_final(PG_FUNCTION_ARGS)
{
	VsBag	   *bag = PG_ARGISNULL(0) ? NULL : (VsBag *) PG_GETARG_POINTER(0);
	StringInfoData buf;

	(void) vs_aggregate_context(fcinfo);
	if (bag == NULL || bag->count == 0)
		PG_RETURN_NULL();
	bag_merge(bag);
	initStringInfo(&buf);
	for (Size i = 0; i < bag->count; i++)
	{
		text	   *value = (text *) DatumGetPointer(item_value(bag, bag->items[i]));

		if (i > 0)
			appendBinaryStringInfo(&buf, VARDATA(bag->separator), VARSIZE(bag->separator) - VARHDRSZ);
		appendBinaryStringInfo(&buf, VARDATA(value), VARSIZE(value) - VARHDRSZ);
	}
	PG_RETURN_TEXT_P(cstring_to_text_with_len(buf.data, buf.len));
}

/* median(x), as percentile_cont(0.5), but exact for numeric. */
Datum
velostream_median_final(PG_FUNCTION_ARGS)
{
	VsBag	   *bag = PG_ARGISNULL(0) ? NULL : (VsBag *) PG_GETARG_POINTER(0);
	Datum		low;
	Datum		high;

	(void) vs_aggregate_context(fcinfo);
	if (bag == NULL || bag->count == 0)
		PG_RETURN_NULL();
	bag_merge(bag);
	low = item_value(bag, bag->items[(bag->count - 1) / 2]);
	high = item_value(bag, bag->items[bag->count / 2]);
	if (bag->count % 2 == 1)
		PG_RETURN_DATUM(datumCopy(low, bag->type->typbyval, bag->type->typlen));
	PG_RETURN_DATUM(middle(bag->type->type_id, low, high));
}

/* Half way from one value to the other. */
static Datum
middle(Oid type, Datum low, Datum high)
{
	Datum		half = Float8GetDatum(0.5);

	switch (type)
	{
		case FLOAT8OID:
			return Float8GetDatum(DatumGetFloat8(low) + 0.5 * (DatumGetFloat8(high) - DatumGetFloat8(low)));
		case NUMERICOID:
			return DirectFunctionCall2(numeric_mul, DirectFunctionCall2(numeric_add, low, high),
									   NumericGetDatum(int64_div_fast_to_numeric(5, 1)));
		case INTERVALOID:
			return DirectFunctionCall2(interval_pl, low,
									   DirectFunctionCall2(interval_mul,
														   DirectFunctionCall2(interval_mi, high, low), half));
		default:
			elog(ERROR, "no median of type %u", type);
	}
}

/* count_distinct(x) */
Datum
velostream_count_distinct_final(PG_FUNCTION_ARGS)
{
	VsBag	   *bag = PG_ARGISNULL(0) ? NULL : (VsBag *) PG_GETARG_POINTER(0);

	(void) vs_aggregate_context(fcinfo);
	if (bag == NULL)
		PG_RETURN_INT64(0);
	bag_merge(bag);
	PG_RETURN_INT64(bag->count);
}

/* delta(x): max(x) - min(x) */
Datum
velostream_delta_final(PG_FUNCTION_ARGS)
{
	VsBag	   *bag = PG_ARGISNULL(0) ? NULL : (VsBag *) PG_GETARG_POINTER(0);

	(void) vs_aggregate_context(fcinfo);
	if (bag == NULL || bag->count == 0)
		PG_RETURN_NULL();
	bag_merge(bag);
	PG_RETURN_DATUM(difference(bag->type->type_id, item_value(bag, bag->items[0]),
							   item_value(bag, bag->items[bag->count - 1])));
}

/* As the type's operator -. */
static Datum
difference(Oid type, Datum least, Datum greatest)
{
	switch (type)
	{
		case INT2OID:
			return DirectFunctionCall2(int2mi, greatest, least);
		case INT4OID:
			return DirectFunctionCall2(int4mi, greatest, least);
		case INT8OID:
			return DirectFunctionCall2(int8mi, greatest, least);
		case FLOAT4OID:
			return DirectFunctionCall2(float4mi, greatest, least);
		case FLOAT8OID:
			return DirectFunctionCall2(float8mi, greatest, least);
		case NUMERICOID:
			return DirectFunctionCall2(numeric_sub, greatest, least);
		case DATEOID:
			return DirectFunctionCall2(date_mi, greatest, least);
		case TIMESTAMPOID:
		case TIMESTAMPTZOID:
			return DirectFunctionCall2(timestamp_mi, greatest, least);
		case INTERVALOID:
			return DirectFunctionCall2(interval_mi, greatest, least);
		default:
			elog(ERROR, "no difference of type %u", type);
	}
}
