/*-------------------------------------------------------------------------
 *
 * vs_worker.c
 *	  A worker: its process, and when it sleeps and wakes.
 *
 * What it does while awake is in vs_schedule.c.  Each pass looks at all
 * queries; a pass that ran a batch is followed by another one.  A pass that
 * found nothing to do is followed by sleep, in one of two ways:
 *
 *	armed	 until a commit rings the bell, or something is to be done at a
 *			 known time, at most velostream.naptime;
 *	polling	 for POLL_INTERVAL, after the bell rang twice within that time for
 *			 nothing.  Other commits than those that a query waits for are
 *			 frequent then.  It ends when no WAL was written meanwhile.
 *
 * One worker of a database polls; others are armed meanwhile, and are woken
 * when that one runs a batch.
 *
 * So a commit is processed at once unless there are more than 200 fruitless
 * ones a second, and no rate of commits wakes a worker more often than that.
 *
 * Hints are read from flushed WAL only.  Should others not flush what was
 * there at the beginning of the pass, this process does, after
 * velostream.flush_delay; but only if a transaction has ended since all was
 * flushed, for what one in progress has written is of no use to anybody.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/transam.h"
#include "access/xact.h"
#include "access/xlog.h"
#include "capture/vs_capture.h"
#include "miscadmin.h"
#include "pgstat.h"
#include "postmaster/bgworker.h"
#include "postmaster/interrupt.h"
#include "storage/ipc.h"
#include "storage/latch.h"
#include "tcop/tcopprot.h"
#include "utils/guc.h"
#include "utils/timestamp.h"

#include "vs_guc.h"
#include "worker/vs_worker_internal.h"

#define POLL_INTERVAL	5		/* ms */

/* How the last passes went; see pace(). */
static bool polling = false;
static TimestampTz last_fruitless = 0;
static XLogRecPtr last_start = InvalidXLogRecPtr;

/*
 * Transactions of others that have ended, as noted last, and how far WAL has to
 * be flushed until all that they wrote can be read; 0: it is.
 */
static uint64 completions = 0;
static TimestampTz unflushed_since = 0;
static XLogRecPtr unflushed_upto = InvalidXLogRecPtr;

static void settle(void);
static void check_orders(void);
static void pace(XLogRecPtr start);
static void note_completions(uint64 count, XLogRecPtr start);
static long flush_timeout(TimestampTz now);

/* The entry point of a worker: its database is in the slot that the launcher prepared. */
void
velostream_worker_main(Datum arg)
{
	uint32		generation;
	Oid			dbid;

	pqsignal(SIGHUP, SignalHandlerForConfigReload);
	pqsignal(SIGTERM, die);
	BackgroundWorkerUnblockSignals();
	/* a SIGHUP that came before there was a handler is lost */
	ConfigReloadPending = true;

	memcpy(&generation, MyBgworkerEntry->bgw_extra, sizeof(generation));
	if (!vs_slot_attach(DatumGetInt32(arg), generation, &dbid))
		proc_exit(0);
	BackgroundWorkerInitializeConnectionByOid(dbid, InvalidOid, 0);
	settle();
	vs_schedule_init();

	for (;;)
	{
		XLogRecPtr	start;
		uint64		count;

		ResetLatch(MyLatch);
		check_orders();

		vs_watch(VS_WATCH_AWAKE);
		count = vs_xact_completion_count() - vs_schedule_quiet_commits();
		pg_read_barrier();
		start = GetXLogInsertRecPtr();
		note_completions(count, start);
		if (vs_schedule_pass(start))
		{
			polling = false;
			last_fruitless = 0;
		}
		else
			pace(start);
	}
}

/*
 * Settings that a database or its users may have chosen, but not for us.
 *
 * Batches commit asynchronously.  A crash then takes back the last ones whole:
 * output, state and frontier, and their rows are read again.  Versions that
 * the lost frontiers had released are still there: whatever removed them was
 * logged after those commits, so if that survived, they did too.
 */
static void
settle(void)
{
	static const char *const settings[][2] = {
		{"application_name", "velostream worker"},
		{"default_transaction_isolation", "read committed"},
		{"default_transaction_read_only", "off"},
		{"default_transaction_deferrable", "off"},
		{"session_replication_role", "origin"},
		{"synchronous_commit", "off"},

		/*
		 * of a deadlock with a user's commands, we are the victim; and the
		 * other queries are not to wait for long
		 */
		{"deadlock_timeout", "20ms"},
		{"lock_timeout", "200ms"},
		{"statement_timeout", "0"},
		{"idle_in_transaction_session_timeout", "0"},
	};

	for (int i = 0; i < lengthof(settings); i++)
		SetConfigOption(settings[i][0], settings[i][1], PGC_SUSET, PGC_S_OVERRIDE);
	vs_guc_fix_planner(true);
	pgstat_report_appname("velostream worker");
	pgstat_report_activity(STATE_IDLE, NULL);
}

/* Signals, settings, and the launcher's wish that we end. */
static void
check_orders(void)
{
	CHECK_FOR_INTERRUPTS();
	if (ConfigReloadPending)
	{
		ConfigReloadPending = false;
		ProcessConfigFile(PGC_SIGHUP);
	}
	if (!vs_enabled || vs_slot_told_to_stop())
	{
		vs_slot_outcome(VS_OUTCOME_STOPPED);
		proc_exit(0);
	}
}

/*
 * Sleep after a pass that found nothing to do in the WAL up to "start", or
 * return at once if something came in between.
 */
static void
pace(XLogRecPtr start)
{
	TimestampTz now = GetCurrentTimestamp();
	bool		moved = start != last_start;
	long		timeout = vs_schedule_timeout(now);
	long		flush;
	long		stat;

	if (polling)
		polling = moved;
	else
		polling = moved && !TimestampDifferenceExceeds(last_fruitless, now, POLL_INTERVAL);
	last_fruitless = now;
	last_start = start;

	if (vs_watch_by_other())
	{
		vs_watch(VS_WATCH_ARMED);
		polling = false;
	}
	else if ((flush = flush_timeout(now)) == 0)
		return;
	else if (polling || flush > 0)
		timeout = Min(timeout, flush > 0 ? Min(flush, POLL_INTERVAL) : POLL_INTERVAL);
	else
	{
		vs_watch(VS_WATCH_ARMED);
		if (GetXLogInsertRecPtr() != start)
			return;
	}

	stat = pgstat_report_stat(false);
	if (stat > 0)
		timeout = Min(timeout, stat);
	(void) WaitLatch(MyLatch, WL_LATCH_SET | WL_TIMEOUT | WL_EXIT_ON_PM_DEATH,
					 Max(timeout, 1), PG_WAIT_EXTENSION);
}

/*
 * "count" transactions of others had ended before the WAL ended at "start".
 * As long as earlier ones wait to be flushed, later ones are left for then.
 */
static void
note_completions(uint64 count, XLogRecPtr start)
{
	if (unflushed_since != 0 && vs_hints_flushed(unflushed_upto))
		unflushed_since = 0;
	if (unflushed_since != 0 || count == completions)
		return;
	completions = count;
	if (vs_hints_flushed(start))
		return;
	unflushed_since = GetCurrentTimestamp();
	unflushed_upto = start;
}

/*
 * Is the WAL flushed of the transactions that were noted, so that the pass has
 * seen all of them?  Then -1.  If not: how long to wait for others to flush
 * it, or 0 after having done so.
 */
static long
flush_timeout(TimestampTz now)
{
	if (vs_schedule_idle() || unflushed_since == 0)
		return -1;
	if (TimestampDifferenceExceeds(unflushed_since, now, vs_flush_delay))
	{
		vs_hints_flush(unflushed_upto);
		unflushed_since = 0;
		return 0;
	}
	return Max(vs_flush_delay - (now - unflushed_since) / 1000, 1);
}
