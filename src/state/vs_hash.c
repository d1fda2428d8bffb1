/*-------------------------------------------------------------------------
 *
 * vs_hash.c
 *	  The 64-bit hash by which groups and rows are looked up, and the equality
 *	  that goes with it.
 *
 * velostream.key_hash(VARIADIC "any") and velostream.row_hash(VARIADIC "any")
 * are what the locator indexes are made of; the batch computes the same
 * numbers with a prepared hasher.  There is only one way: the SQL functions
 * make a hasher for the types and collations of their arguments and keep it
 * in fn_extra.
 *
 * Keys are hashed by the default hash operator class of their type, so that
 * whatever GROUP BY takes for equal has one hash.  A type that can only be
 * sorted is hashed by its bytes where its btree operator class says that
 * equal values have equal bytes; the rest (tsvector, say, or an array of a
 * type that cannot be hashed) all hash alike, which is right, but makes every
 * lookup walk through all groups that differ in nothing else.
 *
 * Rows are hashed by their bytes, as datum_image_eq compares them: whether a
 * value is compressed, out of line, has a short header or is expanded does
 * not matter.  Composite values are taken field by field, because how a field
 * is stored inside, and the header of the tuple (hint bits, ctid), depend on
 * where the value comes from.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/detoast.h"
#include "access/htup_details.h"
#include "access/nbtree.h"
#include "catalog/pg_type.h"
#include "common/hashfn.h"
#include "fmgr.h"
#include "functions/vs_window_funcs.h"
#include "nodes/nodeFuncs.h"
#include "nodes/primnodes.h"
#include "state/vs_hash.h"
#include "utils/builtins.h"
#include "utils/datum.h"
#include "utils/fmgroids.h"
#include "utils/lsyscache.h"
#include "utils/typcache.h"

#define HASH_OF_NULL	UINT64CONST(0x9e3779b97f4a7c15)
#define HASH_OF_ANY		UINT64CONST(0xd1b54a32d192ed03)

/* So much of the hash is in key_order(). */
#define ORDER_HASH_BITS	24
#define SIGN_BIT		(UINT64CONST(1) << 63)

typedef enum HashWay
{
	HASH_EXTENDED,				/* 64-bit hash function of the type */
	HASH_PLAIN,					/* its 32-bit hash function */
	HASH_IMAGE,					/* the bytes */
	HASH_CONSTANT				/* all alike */
} HashWay;

typedef struct HashColumn
{
	Oid			type;
	Oid			collation;
	int16		typlen;
	bool		typbyval;
	bool		composite;
	HashWay		way;
	FmgrInfo	hashfn;
	FmgrInfo	eqfn;			/* not if by image */
	FunctionCallInfo hash;
	FunctionCallInfo eq;
} HashColumn;

struct VsHasher
{
	int			n;
	bool		image;
	Oid			window_type;	/* of a call of key_order() */
	HashColumn	columns[FLEXIBLE_ARRAY_MEMBER];
};

PG_FUNCTION_INFO_V1(velostream_key_hash);
PG_FUNCTION_INFO_V1(velostream_row_hash);
PG_FUNCTION_INFO_V1(velostream_key_order);

static uint64 hash_arguments(FunctionCallInfo fcinfo, VsHasher *hasher, int first);
static VsHasher *hasher_of_call(FunctionCallInfo fcinfo, int first, bool image);
static void prepare_column(HashColumn *column, Oid type, Oid collation, bool image);
static bool equal_is_equal_image(TypeCacheEntry *typentry, Oid collation);
static FunctionCallInfo prepare_call(Oid function, FmgrInfo *flinfo, int nargs, Oid collation);
static uint64 hash_column(HashColumn *column, Datum value);
static uint64 hash_image(Datum value, bool byval, int16 len, bool composite);
static uint64 hash_bits(Datum value, int16 len);
static uint64 hash_fields(Datum value);
static bool equal_column(VsHasher *hasher, HashColumn *column, Datum a, Datum b);
static bool equal_image(Datum a, Datum b, bool byval, int16 len, bool composite);
static bool equal_fields(Datum a, Datum b);
static TupleDesc open_record(Datum value, HeapTupleHeader *header, Datum **values, bool **nulls);

/* SQL: key_hash(VARIADIC "any") returns bigint */
Datum
velostream_key_hash(PG_FUNCTION_ARGS)
{
	PG_RETURN_INT64((int64) hash_arguments(fcinfo, hasher_of_call(fcinfo, 0, false), 0));
}

/* SQL: row_hash(VARIADIC "any") returns bigint */
Datum
velostream_row_hash(PG_FUNCTION_ARGS)
{
	PG_RETURN_INT64((int64) hash_arguments(fcinfo, hasher_of_call(fcinfo, 0, true), 0));
}

/*
 * SQL: key_order(VARIADIC "any") returns bigint.  The number of the window, and
 * in the bits below it the upper ones of the hash, negative ones first: groups in
 * this order are nearly in that of (window, key_hash(key)), which takes longer to
 * compare.
 */
Datum
velostream_key_order(PG_FUNCTION_ARGS)
{
	FmgrInfo   *flinfo = fcinfo->flinfo;
	VsHasher   *hasher;
	uint64		number;
	uint64		hash;

	if (PG_NARGS() < 3 || PG_ARGISNULL(0) || PG_ARGISNULL(1))
		PG_RETURN_NULL();
	/* as in hasher_of_call, the types never change */
	if (flinfo->fn_extra == NULL &&
		(get_fn_expr_argtype(flinfo, 0) != INT8OID ||
		 !vs_time_is_type(get_fn_expr_argtype(flinfo, 1))))
		PG_RETURN_NULL();
	if (PG_GETARG_INT64(0) <= 0)
		PG_RETURN_NULL();
	hasher = hasher_of_call(fcinfo, 2, false);
	if (!OidIsValid(hasher->window_type))
		hasher->window_type = get_fn_expr_argtype(flinfo, 1);
	number = vs_time_number(hasher->window_type, PG_GETARG_DATUM(1)) / PG_GETARG_INT64(0);
	hash = hash_arguments(fcinfo, hasher, 2) ^ SIGN_BIT;
	PG_RETURN_INT64((int64) (number << ORDER_HASH_BITS | hash >> (64 - ORDER_HASH_BITS)));
}

/* The hash of all arguments from "first" on. */
static uint64
hash_arguments(FunctionCallInfo fcinfo, VsHasher *hasher, int first)
{
	Datum		values[FUNC_MAX_ARGS];
	bool		nulls[FUNC_MAX_ARGS];

	for (int i = 0; i < hasher->n; i++)
	{
		values[i] = PG_GETARG_DATUM(first + i);
		nulls[i] = PG_ARGISNULL(first + i);
	}
	return vs_hasher_hash(hasher, values, nulls);
}

/* The hasher for this call's arguments, kept in fn_extra. */
static VsHasher *
hasher_of_call(FunctionCallInfo fcinfo, int first, bool image)
{
	FmgrInfo   *flinfo = fcinfo->flinfo;
	VsHasher   *hasher = flinfo->fn_extra;
	int			n = PG_NARGS() - first;
	Oid			types[FUNC_MAX_ARGS];
	Oid			collations[FUNC_MAX_ARGS];
	MemoryContext old;

	/* the expression of a call, and with it the types, never changes */
	if (hasher != NULL && hasher->n == n)
		return hasher;

	if (get_fn_expr_variadic(flinfo))
		ereport(ERROR,
				(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
				 errmsg("cannot hash the elements of a VARIADIC array"),
				 errhint("Pass the values one by one, or the array without VARIADIC.")));
	for (int i = 0; i < n; i++)
	{
		types[i] = get_fn_expr_argtype(flinfo, first + i);
		if (!OidIsValid(types[i]) || types[i] == UNKNOWNOID)
			ereport(ERROR,
					(errcode(ERRCODE_INDETERMINATE_DATATYPE),
					 errmsg("could not determine data type for argument %d", first + i + 1),
					 errhint("Cast the argument to its type.")));
		collations[i] = InvalidOid;
		if (flinfo->fn_expr != NULL && IsA(flinfo->fn_expr, FuncExpr))
			collations[i] = exprCollation(list_nth(((FuncExpr *) flinfo->fn_expr)->args, first + i));
	}

	old = MemoryContextSwitchTo(flinfo->fn_mcxt);
	hasher = vs_hasher_make(n, types, collations, image);
	MemoryContextSwitchTo(old);
	flinfo->fn_extra = hasher;
	return hasher;
}

VsHasher *
vs_hasher_make(int n, const Oid *types, const Oid *collations, bool image)
{
	VsHasher   *hasher = palloc0(offsetof(VsHasher, columns) + n * sizeof(HashColumn));

	hasher->n = n;
	hasher->image = image;
	for (int i = 0; i < n; i++)
		prepare_column(&hasher->columns[i], types[i], collations[i], image);
	return hasher;
}

/* How values of this type are hashed and compared. */
static void
prepare_column(HashColumn *column, Oid type, Oid collation, bool image)
{
	TypeCacheEntry *typentry;

	column->type = type;
	column->collation = collation;
	get_typlenbyval(type, &column->typlen, &column->typbyval);
	column->composite = type_is_rowtype(type);
	column->way = HASH_IMAGE;
	if (image)
		return;

	/* asking for all at once: the hash function has to fit the equality */
	typentry = lookup_type_cache(type, TYPECACHE_EQ_OPR | TYPECACHE_BTREE_OPFAMILY |
								 TYPECACHE_HASH_PROC | TYPECACHE_HASH_EXTENDED_PROC);
	if (!OidIsValid(typentry->eq_opr))
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_FUNCTION),
				 errmsg("could not identify an equality operator for type %s",
						format_type_be(type))));
	column->eq = prepare_call(get_opcode(typentry->eq_opr), &column->eqfn, 2, collation);

	/* of text, that is the hash of the bytes; to compute it here saves a call */
	if (typentry->hash_extended_proc == F_HASHTEXTEXTENDED && OidIsValid(collation) &&
		get_collation_isdeterministic(collation))
		column->way = HASH_IMAGE;
	else if (OidIsValid(typentry->hash_extended_proc))
	{
		column->way = HASH_EXTENDED;
		column->hash = prepare_call(typentry->hash_extended_proc, &column->hashfn, 2, collation);
		column->hash->args[1].value = Int64GetDatum(0);
	}
	else if (OidIsValid(typentry->hash_proc))
	{
		column->way = HASH_PLAIN;
		column->hash = prepare_call(typentry->hash_proc, &column->hashfn, 1, collation);
	}
	else if (!equal_is_equal_image(typentry, collation))
		column->way = HASH_CONSTANT;
}

/* Does the type's btree operator class promise that equal values have equal bytes? */
static bool
equal_is_equal_image(TypeCacheEntry *typentry, Oid collation)
{
	Oid			function;

	if (!OidIsValid(typentry->btree_opf))
		return false;
	function = get_opfamily_proc(typentry->btree_opf, typentry->btree_opintype,
								 typentry->btree_opintype, BTEQUALIMAGE_PROC);
	return OidIsValid(function) &&
		DatumGetBool(OidFunctionCall1Coll(function, collation,
										  ObjectIdGetDatum(typentry->btree_opintype)));
}

static FunctionCallInfo
prepare_call(Oid function, FmgrInfo *flinfo, int nargs, Oid collation)
{
	FunctionCallInfo fcinfo = palloc0(SizeForFunctionCallInfo(nargs));

	fmgr_info(function, flinfo);
	InitFunctionCallInfoData(*fcinfo, flinfo, nargs, collation, NULL, NULL);
	return fcinfo;
}

uint64
vs_hasher_hash(VsHasher *hasher, const Datum *values, const bool *nulls)
{
	uint64		hash = 0;

	for (int i = 0; i < Min(hasher->n, VS_HASH_COLUMNS); i++)
		hash = hash_combine64(hash, nulls[i] ? HASH_OF_NULL :
							  hash_column(&hasher->columns[i], values[i]));
	return hash;
}

/* The hash of one value, which is not null. */
static uint64
hash_column(HashColumn *column, Datum value)
{
	Datum		result;

	if (column->way == HASH_IMAGE)
		return hash_image(value, column->typbyval, column->typlen, column->composite);
	if (column->way == HASH_CONSTANT)
		return HASH_OF_ANY;

	column->hash->args[0].value = value;
	column->hash->isnull = false;
	result = FunctionCallInvoke(column->hash);
	if (column->hash->isnull)
		elog(ERROR, "hash function %u returned NULL", column->hashfn.fn_oid);
	if (column->way == HASH_EXTENDED)
		return DatumGetUInt64(result);
	/* 32 bits, spread over 64 (Fibonacci hashing): the upper ones matter too */
	return (uint64) DatumGetUInt32(result) * UINT64CONST(0x9E3779B97F4A7C15);
}

/* A hash that is the same wherever equal_image is true. */
static uint64
hash_image(Datum value, bool byval, int16 len, bool composite)
{
	if (composite)
		return hash_fields(value);
	if (byval)
		return hash_bits(value, len);
	if (len == -1)
	{
		struct varlena *bytes = PG_DETOAST_DATUM_PACKED(value);
		uint64		hash = hash_bytes_extended((unsigned char *) VARDATA_ANY(bytes),
											   VARSIZE_ANY_EXHDR(bytes), 0);

		if ((Pointer) bytes != DatumGetPointer(value))
			pfree(bytes);
		return hash;
	}
	return hash_bytes_extended((unsigned char *) DatumGetPointer(value),
							   len == -2 ? (int) strlen(DatumGetCString(value)) : len, 0);
}

/* Only the bytes that the type has; the rest of a Datum may differ. */
static uint64
hash_bits(Datum value, int16 len)
{
	uint64		bits;

	switch (len)
	{
		case sizeof(uint8):
			bits = DatumGetUInt8(value);
			break;
		case sizeof(uint16):
			bits = DatumGetUInt16(value);
			break;
		case sizeof(uint32):
			bits = DatumGetUInt32(value);
			break;
		default:
			bits = (uint64) value;
			break;
	}

	/* the finalizer of MurmurHash3 */
	bits ^= bits >> 33;
	bits *= UINT64CONST(0xff51afd7ed558ccd);
	bits ^= bits >> 33;
	bits *= UINT64CONST(0xc4ceb9fe1a85ec53);
	bits ^= bits >> 33;
	return bits;
}

/* The hash of a composite value: of the images of its fields. */
static uint64
hash_fields(Datum value)
{
	HeapTupleHeader header;
	Datum	   *values;
	bool	   *nulls;
	TupleDesc	desc = open_record(value, &header, &values, &nulls);
	uint64		hash = 0;

	for (int i = 0; i < desc->natts; i++)
	{
		Form_pg_attribute att = TupleDescAttr(desc, i);

		if (att->attisdropped)
			continue;
		hash = hash_combine64(hash, nulls[i] ? HASH_OF_NULL :
							  hash_image(values[i], att->attbyval, att->attlen,
										 type_is_rowtype(att->atttypid)));
	}
	ReleaseTupleDesc(desc);
	pfree(values);
	pfree(nulls);
	if ((Pointer) header != DatumGetPointer(value))
		pfree(header);
	return hash;
}

bool
vs_hasher_equal(VsHasher *hasher, const Datum *a, const bool *anull,
				const Datum *b, const bool *bnull)
{
	for (int i = 0; i < hasher->n; i++)
	{
		if (anull[i] != bnull[i])
			return false;
		if (!anull[i] && !equal_column(hasher, &hasher->columns[i], a[i], b[i]))
			return false;
	}
	return true;
}

static bool
equal_column(VsHasher *hasher, HashColumn *column, Datum a, Datum b)
{
	Datum		result;

	if (hasher->image)
		return equal_image(a, b, column->typbyval, column->typlen, column->composite);

	column->eq->args[0].value = a;
	column->eq->args[1].value = b;
	column->eq->isnull = false;
	result = FunctionCallInvoke(column->eq);
	return !column->eq->isnull && DatumGetBool(result);
}

static bool
equal_image(Datum a, Datum b, bool byval, int16 len, bool composite)
{
	return composite ? equal_fields(a, b) : datum_image_eq(a, b, byval, len);
}

/* As record_image_eq, but at every depth. */
static bool
equal_fields(Datum a, Datum b)
{
	HeapTupleHeader headers[2];
	Datum	   *values[2];
	bool	   *nulls[2];
	TupleDesc	adesc = open_record(a, &headers[0], &values[0], &nulls[0]);
	TupleDesc	bdesc = open_record(b, &headers[1], &values[1], &nulls[1]);
	bool		equal = (adesc->natts == bdesc->natts);

	for (int i = 0; equal && i < adesc->natts; i++)
	{
		Form_pg_attribute att = TupleDescAttr(adesc, i);
		Form_pg_attribute other = TupleDescAttr(bdesc, i);

		if (att->attisdropped && other->attisdropped)
			continue;
		equal = (att->atttypid == other->atttypid && nulls[0][i] == nulls[1][i] &&
				 (nulls[0][i] || equal_image(values[0][i], values[1][i], att->attbyval,
											 att->attlen, type_is_rowtype(att->atttypid))));
	}
	ReleaseTupleDesc(adesc);
	ReleaseTupleDesc(bdesc);
	for (int i = 0; i < 2; i++)
	{
		pfree(values[i]);
		pfree(nulls[i]);
		if ((Pointer) headers[i] != DatumGetPointer(i == 0 ? a : b))
			pfree(headers[i]);
	}
	return equal;
}

/* The fields of a composite value; the caller releases the descriptor and frees the rest. */
static TupleDesc
open_record(Datum value, HeapTupleHeader *header, Datum **values, bool **nulls)
{
	TupleDesc	desc;
	HeapTupleData tuple;

	*header = DatumGetHeapTupleHeader(value);
	desc = lookup_rowtype_tupdesc(HeapTupleHeaderGetTypeId(*header),
								  HeapTupleHeaderGetTypMod(*header));
	tuple.t_len = HeapTupleHeaderGetDatumLength(*header);
	ItemPointerSetInvalid(&tuple.t_self);
	tuple.t_tableOid = InvalidOid;
	tuple.t_data = *header;
	*values = palloc(desc->natts * sizeof(Datum));
	*nulls = palloc(desc->natts * sizeof(bool));
	heap_deform_tuple(&tuple, desc, *values, *nulls);
	return desc;
}
