/*-------------------------------------------------------------------------
 *
 * vs_hash.h
 *	  The 64-bit hash by which groups and rows are looked up, and the equality
 *	  that goes with it.
 *
 *-------------------------------------------------------------------------
 */
#ifndef VS_HASH_H
#define VS_HASH_H

#include "postgres.h"

/* At most so many columns are hashed, the first ones: functions have no more arguments. */
#define VS_HASH_COLUMNS		90

typedef struct VsHasher VsHasher;

/*
 * A hasher for values of these types, in CurrentMemoryContext.  Hashes are
 * those of velostream.key_hash (values that are equal for GROUP BY hash
 * alike), or with "image" of velostream.row_hash (values of the same bytes
 * do).  Error if a type has no equality, unless "image".
 */
extern VsHasher *vs_hasher_make(int n, const Oid *types, const Oid *collations, bool image);

/* Detoasted copies are left in CurrentMemoryContext at most until the call returns. */
extern uint64 vs_hasher_hash(VsHasher *hasher, const Datum *values, const bool *nulls);

/* NULL equals NULL. */
extern bool vs_hasher_equal(VsHasher *hasher, const Datum *a, const bool *anull,
							const Datum *b, const bool *bnull);

#endif							/* VS_HASH_H */
