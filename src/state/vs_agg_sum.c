/*-------------------------------------------------------------------------
 *
 * vs_agg_sum.c
 *	  Arithmetic on serialized sums: what sum, avg, variance and stddev over
 *	  int8 and numeric keep as their transition value.
 *
 * The layouts are those of int8_avg_serialize, numeric_avg_serialize,
 * numeric_poly_serialize and numeric_serialize in PostgreSQL 15: all integers
 * big-endian,
 *
 *		int64 N
 *		number sumX
 *		number sumX2							if squares
 *		int32 maxScale, int64 maxScaleCount		if scales
 *		int64 NaNcount, pInfcount, nInfcount	if scales
 *
 * and a number is int32 ndigits, weight, sign, dscale, then ndigits int16
 * digits to the base 10000, the first worth 10000^weight.  Rows that are NaN
 * or infinite are in their counts only, so a number is always finite.
 *
 * Adding here gives what deserializing, combining and serializing would, in a
 * fraction of the time; for subtracting there is no function in PostgreSQL at
 * all.  The sums are not bounded by the limits of type numeric (sumX2 may
 * have twice its scale), which is why numeric's own functions do not do.
 * A state that does not parse to its last byte (another version may have
 * another layout) is left to the caller's general way.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "port/pg_bswap.h"
#include "vs_agg_internal.h"
#include "vs_compat.h"

#define SUM_BASE			10000
#define SUM_POSITIVE		0x0000	/* NUMERIC_POS */
#define SUM_NEGATIVE		0x4000	/* NUMERIC_NEG */
#define SUM_MAX_WEIGHT		(1 << 20)	/* far beyond what numeric.c can make */
#define SUM_LOCAL_DIGITS	64

typedef struct SumNumber
{
	int32		ndigits;
	int32		weight;
	bool		negative;
	int32		dscale;
	const char *digits;			/* big-endian, not aligned */
} SumNumber;

typedef struct SumState
{
	int64		n;				/* finite rows */
	SumNumber	sums[2];		/* sumX, sumX2 */
	int32		maxscale;
	int64		maxscale_count;
	int64		nans;
	int64		pinfs;
	int64		ninfs;
} SumState;

typedef struct SumReader
{
	const char *next;
	const char *end;
	bool		ok;
} SumReader;

static bool read_state(VsSumLayout layout, bytea *bytes, SumState *state);
static SumNumber read_number(SumReader *reader);
static int32 read_int32(SumReader *reader);
static int64 read_int64(SumReader *reader);
static bool subtract_scales(SumState *a, const SumState *b);
static SumNumber add_numbers(const SumNumber *a, const SumNumber *b, bool subtract);
static void accumulate(int32 *acc, int high, const SumNumber *x, bool negative);
static bool normalize(int32 *acc, int n);
static int32 carry_over(int32 *acc, int n);
static SumNumber pack_number(const int32 *acc, int n, int high);
static bytea *write_state(VsSumLayout layout, const SumState *state);
static char *write_number(char *p, const SumNumber *x);
static char *write_int32(char *p, int32 value);
static char *write_int64(char *p, int64 value);

/* The sum of two states; NULL if one of them cannot be read. */
bytea *
vs_sum_add(VsSumLayout layout, bytea *a, bytea *b)
{
	SumState	x;
	SumState	y;

	if (!read_state(layout, a, &x) || !read_state(layout, b, &y))
		return NULL;

	x.n += y.n;
	x.nans += y.nans;
	x.pinfs += y.pinfs;
	x.ninfs += y.ninfs;
	if (y.n > 0)
	{
		if (y.maxscale > x.maxscale)
		{
			x.maxscale = y.maxscale;
			x.maxscale_count = y.maxscale_count;
		}
		else if (y.maxscale == x.maxscale)
			x.maxscale_count += y.maxscale_count;
		x.sums[0] = add_numbers(&x.sums[0], &y.sums[0], false);
		if (layout.squares)
			x.sums[1] = add_numbers(&x.sums[1], &y.sums[1], false);
	}
	return write_state(layout, &x);
}

/*
 * The first state without what went into the second; *result is NULL if
 * nothing is left.  False if that cannot be told.
 */
bool
vs_sum_subtract(VsSumLayout layout, bytea *a, bytea *b, bytea **result)
{
	SumState	x;
	SumState	y;

	if (!read_state(layout, a, &x) || !read_state(layout, b, &y))
		return false;
	if (y.n > x.n || y.nans > x.nans || y.pinfs > x.pinfs || y.ninfs > x.ninfs)
		return false;
	if (layout.scales && !subtract_scales(&x, &y))
		return false;

	x.n -= y.n;
	x.nans -= y.nans;
	x.pinfs -= y.pinfs;
	x.ninfs -= y.ninfs;
	if (x.n == 0)
		memset(x.sums, 0, sizeof(x.sums));
	else if (y.n > 0)
	{
		x.sums[0] = add_numbers(&x.sums[0], &y.sums[0], true);
		if (layout.squares)
			x.sums[1] = add_numbers(&x.sums[1], &y.sums[1], true);
	}

	if (x.n == 0 && x.nans == 0 && x.pinfs == 0 && x.ninfs == 0)
		*result = NULL;
	else
		*result = write_state(layout, &x);
	return true;
}

bool
vs_sum_is_empty(VsSumLayout layout, bytea *a)
{
	SumState	x;

	return read_state(layout, a, &x) &&
		x.n == 0 && x.nans == 0 && x.pinfs == 0 && x.ninfs == 0;
}

/*
 * Take the display scales of b's rows out of a's; called before N is
 * adjusted.  False if the greatest scale that remains is unknown, as in
 * do_numeric_discard.
 */
static bool
subtract_scales(SumState *a, const SumState *b)
{
	if (b->n == 0)
		return true;
	if (b->n == a->n)
	{
		a->maxscale = 0;
		a->maxscale_count = 0;
		return true;
	}
	if (b->maxscale > a->maxscale)
		return false;
	if (b->maxscale == a->maxscale)
	{
		a->maxscale_count -= b->maxscale_count;
		if (a->maxscale > 0 && a->maxscale_count <= 0)
			return false;
	}
	return true;
}

/*
 * Parse a state.  The digits stay where they are; "bytes" must be neither
 * compressed nor external.
 */
static bool
read_state(VsSumLayout layout, bytea *bytes, SumState *state)
{
	SumReader	reader;

	memset(state, 0, sizeof(SumState));
	reader.next = VARDATA_ANY(bytes);
	reader.end = reader.next + VARSIZE_ANY_EXHDR(bytes);
	reader.ok = true;

	state->n = read_int64(&reader);
	state->sums[0] = read_number(&reader);
	if (layout.squares)
		state->sums[1] = read_number(&reader);
	if (layout.scales)
	{
		state->maxscale = read_int32(&reader);
		state->maxscale_count = read_int64(&reader);
		state->nans = read_int64(&reader);
		state->pinfs = read_int64(&reader);
		state->ninfs = read_int64(&reader);
	}
	return reader.ok && reader.next == reader.end && state->n >= 0;
}

/* One sum of a state, checked; its digits stay where they are. */
static SumNumber
read_number(SumReader *reader)
{
	SumNumber	x;
	int32		sign;

	x.ndigits = read_int32(reader);
	x.weight = read_int32(reader);
	sign = read_int32(reader);
	x.negative = (sign == SUM_NEGATIVE);
	x.dscale = read_int32(reader);
	x.digits = reader->next;
	if (!reader->ok ||
		(sign != SUM_POSITIVE && sign != SUM_NEGATIVE) ||
		x.weight < -SUM_MAX_WEIGHT || x.weight > SUM_MAX_WEIGHT ||
		x.ndigits < 0 || x.ndigits > (reader->end - reader->next) / (int) sizeof(int16))
	{
		reader->ok = false;
		x.ndigits = 0;
	}
	reader->next += x.ndigits * sizeof(int16);
	return x;
}

static int32
read_int32(SumReader *reader)
{
	uint32		value;

	if (!reader->ok || reader->end - reader->next < (int) sizeof(value))
	{
		reader->ok = false;
		return 0;
	}
	memcpy(&value, reader->next, sizeof(value));
	reader->next += sizeof(value);
	return (int32) pg_ntoh32(value);
}

static int64
read_int64(SumReader *reader)
{
	uint64		value;

	if (!reader->ok || reader->end - reader->next < (int) sizeof(value))
	{
		reader->ok = false;
		return 0;
	}
	memcpy(&value, reader->next, sizeof(value));
	reader->next += sizeof(value);
	return (int64) pg_ntoh64(value);
}

/*
 * a + b or a - b, exactly, with the greater scale of the two.  The digits of
 * the result are in CurrentMemoryContext, or those of "a".
 */
static SumNumber
add_numbers(const SumNumber *a, const SumNumber *b, bool subtract)
{
	SumNumber	result;
	int32		local[SUM_LOCAL_DIGITS];
	int32	   *acc = local;
	int			high;
	int			low;
	int			n;
	bool		negative;

	if (b->ndigits == 0)
		result = *a;
	else
	{
		high = b->weight;
		low = b->weight - b->ndigits + 1;
		if (a->ndigits > 0)
		{
			high = Max(high, a->weight);
			low = Min(low, a->weight - a->ndigits + 1);
		}
		high++;					/* room for a carry */
		n = high - low + 1;
		if (n > SUM_LOCAL_DIGITS)
			acc = palloc(n * sizeof(int32));
		memset(acc, 0, n * sizeof(int32));
		accumulate(acc, high, a, a->negative);
		accumulate(acc, high, b, b->negative != subtract);
		negative = normalize(acc, n);
		result = pack_number(acc, n, high);
		result.negative = negative && result.ndigits > 0;
		if (acc != local)
			pfree(acc);
	}
	result.dscale = Max(a->dscale, b->dscale);
	return result;
}

/* Add x, or -x, digit by digit; acc[0] is worth 10000^high. */
static void
accumulate(int32 *acc, int high, const SumNumber *x, bool negative)
{
	for (int i = 0; i < x->ndigits; i++)
	{
		uint16		digit;

		memcpy(&digit, x->digits + i * sizeof(digit), sizeof(digit));
		digit = pg_ntoh16(digit);
		acc[high - x->weight + i] += negative ? -(int32) digit : (int32) digit;
	}
}

/*
 * Make proper digits, 0 .. 9999, of the absolute value; true if the value is
 * negative.  The first digit is zero on entry, so nothing is carried out of a
 * positive value.
 */
static bool
normalize(int32 *acc, int n)
{
	if (carry_over(acc, n) == 0)
		return false;

	/* borrowed: the digits are those of 10000^n - |value| */
	for (int i = 0; i < n; i++)
		acc[i] = -acc[i];
	(void) carry_over(acc, n);
	return true;
}

/* Carry, and borrow, from right to left; what is left over, 0 or -1. */
static int32
carry_over(int32 *acc, int n)
{
	int32		carry = 0;

	for (int i = n - 1; i >= 0; i--)
	{
		int32		value = acc[i] + carry;

		carry = value / SUM_BASE;
		value %= SUM_BASE;
		if (value < 0)
		{
			value += SUM_BASE;
			carry--;
		}
		acc[i] = value;
	}
	Assert(carry == 0 || carry == -1);
	return carry;
}

/* A positive number of n digits, without zeros at either end. */
static SumNumber
pack_number(const int32 *acc, int n, int high)
{
	SumNumber	result;
	int			first = 0;
	int			last = n;
	char	   *p;

	while (first < last && acc[first] == 0)
		first++;
	while (last > first && acc[last - 1] == 0)
		last--;

	memset(&result, 0, sizeof(result));
	result.ndigits = last - first;
	if (result.ndigits == 0)
		return result;
	result.weight = high - first;
	p = palloc(result.ndigits * sizeof(uint16));
	result.digits = p;
	for (int i = first; i < last; i++)
	{
		uint16		digit = pg_hton16((uint16) acc[i]);

		memcpy(p, &digit, sizeof(digit));
		p += sizeof(digit);
	}
	return result;
}

/* A state in the form that PostgreSQL serializes it to. */
static bytea *
write_state(VsSumLayout layout, const SumState *state)
{
	Size		size = VARHDRSZ + sizeof(int64);
	bytea	   *result;
	char	   *p;

	for (int i = 0; i <= (layout.squares ? 1 : 0); i++)
		size += 4 * sizeof(int32) + state->sums[i].ndigits * sizeof(int16);
	if (layout.scales)
		size += sizeof(int32) + 4 * sizeof(int64);

	result = (bytea *) palloc(size);
	SET_VARSIZE(result, size);
	p = VARDATA(result);
	p = write_int64(p, state->n);
	p = write_number(p, &state->sums[0]);
	if (layout.squares)
		p = write_number(p, &state->sums[1]);
	if (layout.scales)
	{
		p = write_int32(p, state->maxscale);
		p = write_int64(p, state->maxscale_count);
		p = write_int64(p, state->nans);
		p = write_int64(p, state->pinfs);
		p = write_int64(p, state->ninfs);
	}
	Assert(p == (char *) result + size);
	return result;
}

static char *
write_number(char *p, const SumNumber *x)
{
	p = write_int32(p, x->ndigits);
	p = write_int32(p, x->weight);
	p = write_int32(p, x->negative ? SUM_NEGATIVE : SUM_POSITIVE);
	p = write_int32(p, x->dscale);
	if (x->ndigits > 0)
		memcpy(p, x->digits, x->ndigits * sizeof(int16));
	return p + x->ndigits * sizeof(int16);
}

static char *
write_int32(char *p, int32 value)
{
	uint32		out = pg_hton32((uint32) value);

	memcpy(p, &out, sizeof(out));
	return p + sizeof(out);
}

static char *
write_int64(char *p, int64 value)
{
	uint64		out = pg_hton64((uint64) value);

	memcpy(p, &out, sizeof(out));
	return p + sizeof(out);
}
