/*-------------------------------------------------------------------------
 *
 * vs_memory.c
 *	  Rows in this process's memory, in the place of a table's.
 *
 * For a query that is run once (process/vs_query.c) output and state are not
 * tables.  Rows are an array of minimal tuples; a row's number, split in two,
 * is its TID.  A hash table with chains through the array finds them by the
 * hash that a table's locator would have, and two skip lists in the order of
 * panes and of windows.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "emit/vs_memory.h"
#include "port/pg_bitutils.h"
#include "utils/memutils.h"

#define NO_ROW				PG_UINT32_MAX
#define ROWS_PER_BLOCK		256
#define FIRST_SIZE			1024	/* a power of 2 */

#define MAX_HEIGHT			16	/* of a skip list: a quarter of its nodes is
								 * higher by one */

typedef struct PlaceNode
{
	VsPlace		place;
	int			height;
	struct PlaceNode *next[FLEXIBLE_ARRAY_MEMBER];
} PlaceNode;

typedef struct MemoryRow
{
	MinimalTuple tuple;			/* NULL: the row was deleted */
	uint64		hash;
	uint32		space;			/* allocated for the tuple */
	uint32		next;			/* in its chain, or in that of free rows */
	VsPlace		place;
} MemoryRow;

struct VsMemory
{
	MemoryContext context;
	MemoryRow  *rows;
	uint32	   *chains;			/* first row of each */
	uint32		size;			/* of both arrays; a power of 2 */
	uint32		nrows;			/* used so far, free ones included */
	uint32		free;			/* first free row */
	PlaceNode  *orders[2];		/* heads of the lists, by "panes"; or NULL */
	uint64		random;
};

static uint32 new_row(VsMemory *memory);
static void grow(VsMemory *memory);
static void link_row(VsMemory *memory, uint32 n);
static VsPlace in_order(bool panes, const VsPlace *place);
static int	compare(const VsPlace *a, const VsPlace *b);
static PlaceNode *make_node(VsMemory *memory, int height);
static PlaceNode *last_before(PlaceNode *head, const VsPlace *place, bool or_at, PlaceNode **path);
static void add_to_order(VsMemory *memory, bool panes, const VsPlace *place);
static void take_from_order(VsMemory *memory, bool panes, const VsPlace *place);

VsMemory *
vs_memory_begin(MemoryContext parent, bool ordered)
{
	MemoryContext context = AllocSetContextCreate(parent, "velostream rows in memory",
												  ALLOCSET_DEFAULT_SIZES);
	VsMemory   *memory = MemoryContextAllocZero(context, sizeof(VsMemory));

	memory->context = context;
	memory->free = NO_ROW;
	for (int i = 0; i < 2 && ordered; i++)
		memory->orders[i] = make_node(memory, MAX_HEIGHT);
	return memory;
}

static void
set_tid(ItemPointer tid, uint32 n)
{
	ItemPointerSet(tid, n / ROWS_PER_BLOCK, n % ROWS_PER_BLOCK + 1);
}

static uint32
row_number(ItemPointer tid)
{
	return ItemPointerGetBlockNumber(tid) * ROWS_PER_BLOCK +
		ItemPointerGetOffsetNumber(tid) - 1;
}

/* Put a copy of the tuple into a row, in the place of the one there, if it fits. */
static void
set_tuple(VsMemory *memory, MemoryRow *row, MinimalTuple tuple)
{
	if (row->tuple == NULL || tuple->t_len > row->space)
	{
		if (row->tuple != NULL)
			pfree(row->tuple);
		row->tuple = NULL;
		row->tuple = MemoryContextAlloc(memory->context, tuple->t_len);
		row->space = tuple->t_len;
	}
	memcpy(row->tuple, tuple, tuple->t_len);
}

/* Add a copy of the tuple; *tid is where.  "place" may be NULL if there is no order. */
void
vs_memory_insert(VsMemory *memory, MinimalTuple tuple, uint64 hash, const VsPlace *place,
				 ItemPointer tid)
{
	uint32		n = new_row(memory);
	MemoryRow  *row = &memory->rows[n];

	row->tuple = NULL;
	row->hash = hash;
	set_tuple(memory, row, tuple);
	link_row(memory, n);
	set_tid(tid, n);
	if (memory->orders[0] == NULL)
		return;
	row->place = *place;
	row->place.row = n;
	add_to_order(memory, true, &row->place);
	add_to_order(memory, false, &row->place);
}

void
vs_memory_update(VsMemory *memory, ItemPointer tid, MinimalTuple tuple)
{
	set_tuple(memory, &memory->rows[row_number(tid)], tuple);
}

/* The row goes, and its number becomes free. */
void
vs_memory_delete(VsMemory *memory, ItemPointer tid)
{
	uint32		n = row_number(tid);
	MemoryRow  *row = &memory->rows[n];
	uint32	   *link = &memory->chains[row->hash & (memory->size - 1)];

	while (*link != n)
		link = &memory->rows[*link].next;
	*link = row->next;
	if (memory->orders[0] != NULL)
	{
		take_from_order(memory, true, &row->place);
		take_from_order(memory, false, &row->place);
	}
	pfree(row->tuple);
	row->tuple = NULL;
	row->next = memory->free;
	memory->free = n;
}

MinimalTuple
vs_memory_fetch(VsMemory *memory, ItemPointer tid)
{
	uint32		n = row_number(tid);

	return n < memory->nrows ? memory->rows[n].tuple : NULL;
}

MinimalTuple
vs_memory_next(VsMemory *memory, uint64 hash, ItemPointer tid)
{
	uint32		n = NO_ROW;

	if (ItemPointerIsValid(tid))
		n = memory->rows[row_number(tid)].next;
	else if (memory->size > 0)
		n = memory->chains[hash & (memory->size - 1)];
	for (; n != NO_ROW; n = memory->rows[n].next)
	{
		if (memory->rows[n].hash != hash)
			continue;
		set_tid(tid, n);
		return memory->rows[n].tuple;
	}
	return NULL;
}

MinimalTuple
vs_memory_scan(VsMemory *memory, ItemPointer tid)
{
	uint32		n = ItemPointerIsValid(tid) ? row_number(tid) + 1 : 0;

	while (n < memory->nrows && memory->rows[n].tuple == NULL)
		n++;
	if (n >= memory->nrows)
		return NULL;
	set_tid(tid, n);
	return memory->rows[n].tuple;
}

/* The number of a row that is not used. */
static uint32
new_row(VsMemory *memory)
{
	uint32		n = memory->free;

	if (n != NO_ROW)
	{
		memory->free = memory->rows[n].next;
		return n;
	}
	if (memory->nrows == memory->size)
		grow(memory);
	return memory->nrows++;
}

/* Make room for twice as many rows; none of those there is free. */
static void
grow(VsMemory *memory)
{
	uint32		size = memory->size == 0 ? FIRST_SIZE : memory->size * 2;

	if (size == 0)
		ereport(ERROR,
				(errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED),
				 errmsg("too many groups to be kept in memory")));
	if (memory->size > 0)
	{
		memory->rows = repalloc_huge(memory->rows, size * sizeof(MemoryRow));
		pfree(memory->chains);
	}
	else
		memory->rows = MemoryContextAllocHuge(memory->context, size * sizeof(MemoryRow));
	memory->chains = MemoryContextAllocHuge(memory->context, size * sizeof(uint32));
	memory->size = size;
	memset(memory->chains, 0xff, size * sizeof(uint32));	/* NO_ROW */
	for (uint32 n = 0; n < memory->nrows; n++)
		link_row(memory, n);
}

static void
link_row(VsMemory *memory, uint32 n)
{
	MemoryRow  *row = &memory->rows[n];
	uint32	   *chain = &memory->chains[row->hash & (memory->size - 1)];

	row->next = *chain;
	*chain = n;
}

/* ----------
 * Order: skip lists
 * ----------
 */

MinimalTuple
vs_memory_step(VsMemory *memory, bool panes, bool forward, VsPlace *place, ItemPointer tid)
{
	PlaceNode  *head = memory->orders[panes];
	VsPlace		from = in_order(panes, place);
	PlaceNode  *node = last_before(head, &from, forward, NULL);

	if (forward)
		node = node->next[0];
	if (node == NULL || node == head)
		return NULL;
	*place = node->place;
	set_tid(tid, (uint32) place->row);
	return memory->rows[place->row].tuple;
}

/* The place of a row in one of the orders. */
static VsPlace
in_order(bool panes, const VsPlace *place)
{
	VsPlace		result = *place;

	if (!panes)
		result.others = 0;
	return result;
}

static int
compare(const VsPlace *a, const VsPlace *b)
{
	if (a->others != b->others)
		return a->others < b->others ? -1 : 1;
	if (a->time != b->time)
		return a->time < b->time ? -1 : 1;
	return a->row < b->row ? -1 : a->row > b->row ? 1 : 0;
}

static PlaceNode *
make_node(VsMemory *memory, int height)
{
	PlaceNode  *node = MemoryContextAllocZero(memory->context, offsetof(PlaceNode, next) +
											  height * sizeof(PlaceNode *));

	node->height = height;
	return node;
}

/*
 * The last node before a place (or_at: or at it), which may be the head.
 * "path", if not NULL, gets that node for each height.
 */
static PlaceNode *
last_before(PlaceNode *head, const VsPlace *place, bool or_at, PlaceNode **path)
{
	PlaceNode  *node = head;

	for (int h = MAX_HEIGHT - 1; h >= 0; h--)
	{
		while (node->next[h] != NULL && compare(&node->next[h]->place, place) < (or_at ? 1 : 0))
			node = node->next[h];
		if (path)
			path[h] = node;
	}
	return node;
}

/* Add a row, whose place no other one has. */
static void
add_to_order(VsMemory *memory, bool panes, const VsPlace *place)
{
	VsPlace		here = in_order(panes, place);
	PlaceNode  *path[MAX_HEIGHT];
	PlaceNode  *node;
	int			height;

	/* the upper bits of a linear congruential generator: two for each level */
	memory->random = memory->random * UINT64CONST(6364136223846793005) +
		UINT64CONST(1442695040888963407);
	height = 1 + pg_rightmost_one_pos32((uint32) (memory->random >> 32) |
										(1U << (2 * MAX_HEIGHT - 2))) / 2;
	(void) last_before(memory->orders[panes], &here, false, path);
	node = make_node(memory, height);
	node->place = here;
	for (int h = 0; h < height; h++)
	{
		node->next[h] = path[h]->next[h];
		path[h]->next[h] = node;
	}
}

static void
take_from_order(VsMemory *memory, bool panes, const VsPlace *place)
{
	VsPlace		here = in_order(panes, place);
	PlaceNode  *path[MAX_HEIGHT];
	PlaceNode  *node = last_before(memory->orders[panes], &here, false, path)->next[0];

	Assert(node != NULL && compare(&node->place, &here) == 0);
	for (int h = 0; h < node->height; h++)
		path[h]->next[h] = node->next[h];
	pfree(node);
}
