/* sql/velostream--0.1.0.sql */

-- complain if the script is sourced in psql, rather than by CREATE EXTENSION
\echo Use "CREATE EXTENSION velostream" to load this file. \quit

-- A member of the extension.  It must not exist before: whoever owned it could
-- put objects of his own under our names.
CREATE SCHEMA velostream;
GRANT USAGE ON SCHEMA velostream TO PUBLIC;
COMMENT ON SCHEMA velostream IS 'velostream: continuous queries';

--
-- Tables.  Columns and their order are known to src/registry/vs_registry.c
-- (Anum_*), and only to it: change both.
--

-- One row for each continuous query.  Dumped; regclass columns dump as names.
CREATE TABLE velostream.query (
	output		regclass NOT NULL,		--  1: the key
	view		regclass NOT NULL,		--  2: velostream.query_*, the definition
	state		regclass,				--  3: velostream.state_*, or null
	kind		"char" NOT NULL CHECK (kind IN ('t', 's')),					--  4: VsKind
	source_mode "char" NOT NULL CHECK (source_mode IN ('c', 'a')),			--  5: VsSourceMode
	on_error	"char" NOT NULL CHECK (on_error IN ('r', 'd', 's')),		--  6: VsOnError
	status		"char" NOT NULL CHECK (status IN ('r', 'p', 's')),			--  7: VsStatus
	with_data	boolean NOT NULL,		--  8: false: WITH NO DATA
	error		text,					--  9: that stopped it; 9 to 14 are null while it runs
	error_sqlstate text,				-- 10
	error_detail text,					-- 11
	error_hint	text,					-- 12
	error_context text,					-- 13
	stopped_at	timestamptz,			-- 14
	emit		"char" NOT NULL CHECK (emit IN ('c', 'f')),					-- 15: VsEmit
	late_data	"char" NOT NULL CHECK (late_data IN ('d', 'x', 'u', 'n')),	-- 16: VsLateData
	delay		bigint,					-- 17: max_out_of_orderness; 17 to 20 are in microseconds
	idle_timeout bigint,				-- 18
	max_future_skew bigint,				-- 19
	retention	bigint,					-- 20: window_retention
	PRIMARY KEY (output)
) USING heap;
COMMENT ON TABLE velostream.query IS 'continuous queries: their objects and options; see the view velostream.queries';
SELECT pg_extension_config_dump('velostream.query', '');

-- How far each query has read its sources, and its counters; rewritten by
-- every batch, hence the low fillfactor.  Not dumped: a query without a row
-- here came out of a dump, and is adopted and rebuilt; one with a row of another
-- cluster came with pg_upgrade, and is adopted.
CREATE TABLE velostream.frontier (
	output		oid NOT NULL,			--  1: the key
	snapshot_xmin xid8,					--  2: null, as 3 and 4: nothing was read yet
	snapshot_xmax xid8,					--  3
	snapshot_xip xid8[],				--  4: in progress in [xmin, xmax), ascending
	lsn			pg_lsn NOT NULL,		--  5: WAL was read up to here
	restart_lsn pg_lsn NOT NULL,		--  6: and must be read again from here
	source_relids oid[] NOT NULL,		--  7: heaps that were read, ascending;
	source_tablespaces oid[] NOT NULL,	--  8: 8 to 10 are their files, in the
	source_databases oid[] NOT NULL,	--  9: same order
	source_files oid[] NOT NULL,		-- 10
	fingerprint bigint NOT NULL,		-- 11: of the rewritten query
	rebuild		boolean NOT NULL,		-- 12: the next batch starts anew
	rebuild_reason text,				-- 13
	output_tablespace oid NOT NULL,		-- 14: 14 to 16: file of the output
	output_database oid NOT NULL,		-- 15
	output_file oid NOT NULL,			-- 16
	updated_at	timestamptz,			-- 17: when the snapshot was taken
	batches		bigint NOT NULL,		-- 18
	rows_in		bigint NOT NULL,		-- 19
	rows_out	bigint NOT NULL,		-- 20
	changes		bigint NOT NULL,		-- 21
	recomputed	bigint NOT NULL,		-- 22
	ignored		bigint NOT NULL,		-- 23
	dead		bigint NOT NULL,		-- 24
	rebuilds	bigint NOT NULL,		-- 25
	busy_us		bigint NOT NULL,		-- 26
	horizon		pg_lsn NOT NULL,		-- 27: life of the slot that holds it: where the WAL was when it was made
	event_time	timestamptz,			-- 28: the greatest one that was read
	watermark	timestamptz,			-- 29: windows that end here or before are closed
	event_at	timestamptz,			-- 30: when the last row came
	late		bigint NOT NULL,		-- 31
	partly_late	bigint NOT NULL,		-- 32
	open_windows bigint NOT NULL,		-- 33
	system		bigint NOT NULL,		-- 34: identifier of the cluster that wrote this row; pg_upgrade makes another
	next_close	timestamptz,			-- 35: with idle_timeout: windows close, or are forgotten, when the watermark is here
	arrived		bigint NOT NULL,		-- 36: places in the order of arrival that rows have had
	PRIMARY KEY (output)
) USING heap WITH (fillfactor = 20, vacuum_truncate = off);
COMMENT ON TABLE velostream.frontier IS 'how far each continuous query has read its sources, and its counters; see the view velostream.stat_queries';

-- Rows that a query with on_error = dead_letter left out.  Dumped, as they may
-- exist nowhere else; ctid and xmin are forgotten when the query is adopted.
CREATE TABLE velostream.dead_letter (
	query		regclass NOT NULL,		--  1: the output
	source		regclass NOT NULL,		--  2: the heap with the row
	source_ctid tid,					--  3
	source_xmin xid,					--  4
	"row"		jsonb,					--  5
	sqlstate	text NOT NULL,			--  6
	message		text NOT NULL,			--  7
	at			timestamptz NOT NULL	--  8
) USING heap;
CREATE INDEX dead_letter_query_idx ON velostream.dead_letter (query, source, source_ctid);
COMMENT ON TABLE velostream.dead_letter IS 'rows that continuous queries left out because of an error; see the view velostream.dead_letters';
SELECT pg_extension_config_dump('velostream.dead_letter', '');

-- Whatever default privileges say: these are read through the views.
REVOKE ALL ON velostream.query, velostream.frontier, velostream.dead_letter FROM PUBLIC;

--
-- Functions.  All of them are C functions that resolve names themselves; none
-- depends on search_path.  They check privileges themselves, so all of them
-- can be called by PUBLIC: the hashes are in index expressions of tables that
-- anybody may own.
--

CREATE FUNCTION velostream.key_hash(VARIADIC "any")
RETURNS bigint
LANGUAGE C IMMUTABLE PARALLEL SAFE CALLED ON NULL INPUT
AS 'MODULE_PATHNAME', 'velostream_key_hash';

COMMENT ON FUNCTION velostream.key_hash(VARIADIC "any") IS
'hash of a key: values that GROUP BY takes for equal, NULLs included, have the same hash';

CREATE FUNCTION velostream.key_order(VARIADIC "any")
RETURNS bigint
LANGUAGE C IMMUTABLE PARALLEL SAFE CALLED ON NULL INPUT
AS 'MODULE_PATHNAME', 'velostream_key_order';

COMMENT ON FUNCTION velostream.key_order(VARIADIC "any") IS
'of the size of windows (bigint), a window and a key: a number that grows with windows, and within a window with the hash of the key';

CREATE FUNCTION velostream.row_hash(VARIADIC "any")
RETURNS bigint
LANGUAGE C IMMUTABLE PARALLEL SAFE CALLED ON NULL INPUT
AS 'MODULE_PATHNAME', 'velostream_row_hash';

COMMENT ON FUNCTION velostream.row_hash(VARIADIC "any") IS
'hash of a row: values of the same bytes, however they are stored, have the same hash';

-- Cheap, to be the first of all conditions.
CREATE FUNCTION velostream.is_dead_letter(source oid, ctid tid, xmin xid)
RETURNS boolean
LANGUAGE C STABLE STRICT PARALLEL UNSAFE COST 0.0001
AS 'MODULE_PATHNAME', 'velostream_is_dead_letter';

COMMENT ON FUNCTION velostream.is_dead_letter(oid, tid, xid) IS
'in a batch: is this row of a source a dead letter of the query?  Used by velostream itself';

-- Evaluated after all other conditions, for each row once.
CREATE FUNCTION velostream.admit("time" anyelement)
RETURNS boolean
LANGUAGE C VOLATILE PARALLEL UNSAFE COST 1000000
AS 'MODULE_PATHNAME', 'velostream_admit';

COMMENT ON FUNCTION velostream.admit(anyelement) IS
'in a batch: does a row with this event time count?  Rows without one that can be used, and late ones, do not.  Used by velostream itself';

CREATE FUNCTION velostream.usable_time("time" anyelement, first bigint, "limit" bigint)
RETURNS anyelement
LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE
AS 'MODULE_PATHNAME', 'velostream_usable_time';

COMMENT ON FUNCTION velostream.usable_time(anyelement, bigint, bigint) IS
'the event time, or null if windows cannot take it: where groups are computed again from a source.  Used by velostream itself';

CREATE FUNCTION velostream.open_time("time" anyelement)
RETURNS anyelement
LANGUAGE C VOLATILE STRICT PARALLEL UNSAFE
AS 'MODULE_PATHNAME', 'velostream_open_time';

COMMENT ON FUNCTION velostream.open_time(anyelement) IS
'in a batch with late_data = include_in_next_window: the event time, or for a late row one of the first window that is open.  Used by velostream itself';

CREATE FUNCTION velostream.guard()
RETURNS trigger
LANGUAGE C
AS 'MODULE_PATHNAME', 'velostream_guard';

COMMENT ON FUNCTION velostream.guard() IS
'refuses INSERT, UPDATE, DELETE, TRUNCATE and COPY on the output of a continuous query';

CREATE FUNCTION velostream.on_table_rewrite()
RETURNS event_trigger
LANGUAGE C
AS 'MODULE_PATHNAME', 'velostream_on_table_rewrite';

COMMENT ON FUNCTION velostream.on_table_rewrite() IS
'refuses an ALTER TABLE that rewrites a table which a continuous query has read with source_mode = append: all its rows would count again';

CREATE EVENT TRIGGER velostream_table_rewrite ON table_rewrite
EXECUTE FUNCTION velostream.on_table_rewrite();

-- also where session_replication_role is "replica"
ALTER EVENT TRIGGER velostream_table_rewrite ENABLE ALWAYS;

COMMENT ON EVENT TRIGGER velostream_table_rewrite IS
'keeps rows of append sources from being counted again after a rewrite';

CREATE FUNCTION velostream.process(query regclass, batch_rows bigint DEFAULT NULL)
RETURNS TABLE(op text, "row" jsonb)
AS 'MODULE_PATHNAME', 'velostream_process'
LANGUAGE C VOLATILE PARALLEL UNSAFE;
COMMENT ON FUNCTION velostream.process(regclass, bigint) IS
'run one batch of a continuous query now, in this transaction, and return the changes it emitted; with batch_rows, emit after each so many input rows';

CREATE FUNCTION velostream.replay(query regclass)
RETURNS bigint
AS 'MODULE_PATHNAME', 'velostream_replay'
LANGUAGE C VOLATILE PARALLEL UNSAFE;
COMMENT ON FUNCTION velostream.replay(regclass) IS
'run one batch of a continuous query now, in this transaction, in which dead letters are tried again: rows that failed, and late ones where their closed windows can be corrected; returns how many of them count now';

CREATE FUNCTION velostream.query(query text, batch_rows integer DEFAULT 1)
RETURNS SETOF record
AS 'MODULE_PATHNAME', 'velostream_query'
LANGUAGE C STABLE PARALLEL UNSAFE CALLED ON NULL INPUT;
COMMENT ON FUNCTION velostream.query(text, integer) IS
'run a SELECT, also of the dialect, as a continuous query would, over the rows that are visible now, in the order of arrival, and return every row that it emits; so many rows are one batch, with 0 or null all are';

CREATE FUNCTION velostream.explain(query regclass)
RETURNS SETOF text
AS 'MODULE_PATHNAME', 'velostream_explain'
LANGUAGE C VOLATILE STRICT PARALLEL UNSAFE;
COMMENT ON FUNCTION velostream.explain(regclass) IS
'how a continuous query is kept up to date, and why so';

-- Control functions (src/worker/vs_control.c).

CREATE FUNCTION velostream.wait(query regclass DEFAULT NULL, timeout interval DEFAULT NULL)
RETURNS void
AS 'MODULE_PATHNAME', 'velostream_wait'
LANGUAGE C VOLATILE PARALLEL UNSAFE;
COMMENT ON FUNCTION velostream.wait(regclass, interval) IS
'returns when everything committed before the call is in the output of the query, or of all queries that you own; an error says why it is not';

CREATE FUNCTION velostream.pause(query regclass)
RETURNS void
AS 'MODULE_PATHNAME', 'velostream_pause'
LANGUAGE C VOLATILE PARALLEL UNSAFE;
COMMENT ON FUNCTION velostream.pause(regclass) IS
'waits for a running batch of the query to end, and lets no other begin until resume()';

CREATE FUNCTION velostream.resume(query regclass)
RETURNS void
AS 'MODULE_PATHNAME', 'velostream_resume'
LANGUAGE C VOLATILE PARALLEL UNSAFE;
COMMENT ON FUNCTION velostream.resume(regclass) IS
'goes on with a query that is paused or was stopped by an error, and tries a failing one at once';

CREATE FUNCTION velostream.rebuild(query regclass)
RETURNS void
AS 'MODULE_PATHNAME', 'velostream_rebuild'
LANGUAGE C VOLATILE PARALLEL UNSAFE;
COMMENT ON FUNCTION velostream.rebuild(regclass) IS
'lets the next batch of the query compute its output anew from the sources';

CREATE FUNCTION velostream.drop(query regclass)
RETURNS void
AS 'MODULE_PATHNAME', 'velostream_drop'
LANGUAGE C VOLATILE PARALLEL UNSAFE;
COMMENT ON FUNCTION velostream.drop(regclass) IS
'drops the query and its output, like DROP TABLE on the output';

-- The dialect (src/dialect/vs_execute.c).

CREATE FUNCTION velostream.execute(script text)
RETURNS TABLE(statement integer, command text, result text)
AS 'MODULE_PATHNAME', 'velostream_execute'
LANGUAGE C VOLATILE STRICT PARALLEL UNSAFE;
COMMENT ON FUNCTION velostream.execute(text) IS
'runs the statements of the Velostream dialect in a script, separated by semicolons, all or none; a row for each, with the lines that it answers';

CREATE FUNCTION velostream.contexts(
	OUT output oid,
	OUT frontier_xmin xid8,
	OUT frontier_lsn pg_lsn,
	OUT frontier_time timestamptz,
	OUT request_seq bigint,
	OUT done_seq bigint,
	OUT runner_pid integer,
	OUT pages_done bigint,
	OUT pages_total bigint,
	OUT cache_groups bigint,
	OUT cache_bytes bigint,
	OUT cache_hits bigint,
	OUT cache_misses bigint,
	OUT failures integer,
	OUT failed_at timestamptz,
	OUT retry_at timestamptz,
	OUT sqlstate text,
	OUT message text,
	OUT detail text,
	OUT hint text,
	OUT context text)
RETURNS SETOF record
AS 'MODULE_PATHNAME', 'velostream_contexts'
LANGUAGE C STRICT VOLATILE PARALLEL RESTRICTED ROWS 20;

COMMENT ON FUNCTION velostream.contexts() IS
	'the shared state of each continuous query of this database that the caller owns, or of all for members of pg_read_all_stats';

CREATE FUNCTION velostream.horizon(
	OUT slot_name text,
	OUT xmin xid,
	OUT age bigint,
	OUT cache_used bigint,
	OUT cache_size bigint)
RETURNS record
AS 'MODULE_PATHNAME', 'velostream_horizon'
LANGUAGE C STRICT VOLATILE PARALLEL SAFE;

COMMENT ON FUNCTION velostream.horizon() IS
	'how far this database''s replication slot holds back the cleanup of dead rows, in transactions, and how many bytes of the shared cache are in use by all databases';

--
-- Windows over time (src/functions/vs_window_funcs.c).  Aligned to 1970-01-01
-- 00:00, UTC for timestamptz; a bigint is milliseconds since then.
--

CREATE FUNCTION velostream.hop_support(internal)
RETURNS internal
LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE
AS 'MODULE_PATHNAME', 'velostream_hop_support';

COMMENT ON FUNCTION velostream.hop_support(internal) IS
'planner support for velostream.hop()';

CREATE FUNCTION velostream.cumulate_support(internal)
RETURNS internal
LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE
AS 'MODULE_PATHNAME', 'velostream_cumulate_support';

COMMENT ON FUNCTION velostream.cumulate_support(internal) IS
'planner support for velostream.cumulate()';

CREATE FUNCTION velostream.tumble(ts timestamp, size interval)
RETURNS timestamp
LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE
AS 'MODULE_PATHNAME', 'velostream_tumble_timestamp';

COMMENT ON FUNCTION velostream.tumble(timestamp, interval) IS
'start of the window of this size that the time is in';

CREATE FUNCTION velostream.tumble(ts timestamptz, size interval)
RETURNS timestamptz
LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE
AS 'MODULE_PATHNAME', 'velostream_tumble_timestamp';

COMMENT ON FUNCTION velostream.tumble(timestamptz, interval) IS
'start of the window of this size that the time is in';

CREATE FUNCTION velostream.tumble(ts date, size interval)
RETURNS date
LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE
AS 'MODULE_PATHNAME', 'velostream_tumble_date';

COMMENT ON FUNCTION velostream.tumble(date, interval) IS
'start of the window of this size that the time is in';

CREATE FUNCTION velostream.tumble(ts bigint, size interval)
RETURNS bigint
LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE
AS 'MODULE_PATHNAME', 'velostream_tumble_int8';

COMMENT ON FUNCTION velostream.tumble(bigint, interval) IS
'start of the window of this size that the time is in';

CREATE FUNCTION velostream.tumble_start(ts timestamp, size interval)
RETURNS timestamp
LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE
AS 'MODULE_PATHNAME', 'velostream_tumble_timestamp';

COMMENT ON FUNCTION velostream.tumble_start(timestamp, interval) IS
'the same as velostream.tumble()';

CREATE FUNCTION velostream.tumble_start(ts timestamptz, size interval)
RETURNS timestamptz
LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE
AS 'MODULE_PATHNAME', 'velostream_tumble_timestamp';

COMMENT ON FUNCTION velostream.tumble_start(timestamptz, interval) IS
'the same as velostream.tumble()';

CREATE FUNCTION velostream.tumble_start(ts date, size interval)
RETURNS date
LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE
AS 'MODULE_PATHNAME', 'velostream_tumble_date';

COMMENT ON FUNCTION velostream.tumble_start(date, interval) IS
'the same as velostream.tumble()';

CREATE FUNCTION velostream.tumble_start(ts bigint, size interval)
RETURNS bigint
LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE
AS 'MODULE_PATHNAME', 'velostream_tumble_int8';

COMMENT ON FUNCTION velostream.tumble_start(bigint, interval) IS
'the same as velostream.tumble()';

CREATE FUNCTION velostream.tumble_end(ts timestamp, size interval)
RETURNS timestamp
LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE
AS 'MODULE_PATHNAME', 'velostream_tumble_end_timestamp';

COMMENT ON FUNCTION velostream.tumble_end(timestamp, interval) IS
'end of the window of this size that the time is in';

CREATE FUNCTION velostream.tumble_end(ts timestamptz, size interval)
RETURNS timestamptz
LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE
AS 'MODULE_PATHNAME', 'velostream_tumble_end_timestamp';

COMMENT ON FUNCTION velostream.tumble_end(timestamptz, interval) IS
'end of the window of this size that the time is in';

CREATE FUNCTION velostream.tumble_end(ts date, size interval)
RETURNS date
LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE
AS 'MODULE_PATHNAME', 'velostream_tumble_end_date';

COMMENT ON FUNCTION velostream.tumble_end(date, interval) IS
'end of the window of this size that the time is in';

CREATE FUNCTION velostream.tumble_end(ts bigint, size interval)
RETURNS bigint
LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE
AS 'MODULE_PATHNAME', 'velostream_tumble_end_int8';

COMMENT ON FUNCTION velostream.tumble_end(bigint, interval) IS
'end of the window of this size that the time is in';

CREATE FUNCTION velostream.hop(ts timestamp, size interval, advance interval)
RETURNS SETOF timestamp
LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE ROWS 10
SUPPORT velostream.hop_support
AS 'MODULE_PATHNAME', 'velostream_hop_timestamp';

COMMENT ON FUNCTION velostream.hop(timestamp, interval, interval) IS
'starts of all windows of this size that the time is in; one starts at every multiple of advance';

CREATE FUNCTION velostream.hop(ts timestamptz, size interval, advance interval)
RETURNS SETOF timestamptz
LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE ROWS 10
SUPPORT velostream.hop_support
AS 'MODULE_PATHNAME', 'velostream_hop_timestamp';

COMMENT ON FUNCTION velostream.hop(timestamptz, interval, interval) IS
'starts of all windows of this size that the time is in; one starts at every multiple of advance';

CREATE FUNCTION velostream.hop(ts date, size interval, advance interval)
RETURNS SETOF date
LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE ROWS 10
SUPPORT velostream.hop_support
AS 'MODULE_PATHNAME', 'velostream_hop_date';

COMMENT ON FUNCTION velostream.hop(date, interval, interval) IS
'starts of all windows of this size that the time is in; one starts at every multiple of advance';

CREATE FUNCTION velostream.hop(ts bigint, size interval, advance interval)
RETURNS SETOF bigint
LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE ROWS 10
SUPPORT velostream.hop_support
AS 'MODULE_PATHNAME', 'velostream_hop_int8';

COMMENT ON FUNCTION velostream.hop(bigint, interval, interval) IS
'starts of all windows of this size that the time is in; one starts at every multiple of advance';

CREATE FUNCTION velostream.cumulate(ts timestamp, step interval, size interval)
RETURNS SETOF timestamp
LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE ROWS 10
SUPPORT velostream.cumulate_support
AS 'MODULE_PATHNAME', 'velostream_cumulate_timestamp';

COMMENT ON FUNCTION velostream.cumulate(timestamp, interval, interval) IS
'ends of all windows that the time is in; they share a start and grow by step up to size';

CREATE FUNCTION velostream.cumulate(ts timestamptz, step interval, size interval)
RETURNS SETOF timestamptz
LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE ROWS 10
SUPPORT velostream.cumulate_support
AS 'MODULE_PATHNAME', 'velostream_cumulate_timestamp';

COMMENT ON FUNCTION velostream.cumulate(timestamptz, interval, interval) IS
'ends of all windows that the time is in; they share a start and grow by step up to size';

CREATE FUNCTION velostream.cumulate(ts date, step interval, size interval)
RETURNS SETOF date
LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE ROWS 10
SUPPORT velostream.cumulate_support
AS 'MODULE_PATHNAME', 'velostream_cumulate_date';

COMMENT ON FUNCTION velostream.cumulate(date, interval, interval) IS
'ends of all windows that the time is in; they share a start and grow by step up to size';

CREATE FUNCTION velostream.cumulate(ts bigint, step interval, size interval)
RETURNS SETOF bigint
LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE ROWS 10
SUPPORT velostream.cumulate_support
AS 'MODULE_PATHNAME', 'velostream_cumulate_int8';

COMMENT ON FUNCTION velostream.cumulate(bigint, interval, interval) IS
'ends of all windows that the time is in; they share a start and grow by step up to size';

CREATE FUNCTION velostream.session(ts timestamp, gap interval)
RETURNS timestamp
LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE
AS 'MODULE_PATHNAME', 'velostream_session';

COMMENT ON FUNCTION velostream.session(timestamp, interval) IS
'in GROUP BY of a continuous query: start of the session that the time is in; a session ends when nothing comes for longer than the gap';

CREATE FUNCTION velostream.session(ts timestamptz, gap interval)
RETURNS timestamptz
LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE
AS 'MODULE_PATHNAME', 'velostream_session';

COMMENT ON FUNCTION velostream.session(timestamptz, interval) IS
'in GROUP BY of a continuous query: start of the session that the time is in; a session ends when nothing comes for longer than the gap';

CREATE FUNCTION velostream.session(ts date, gap interval)
RETURNS date
LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE
AS 'MODULE_PATHNAME', 'velostream_session';

COMMENT ON FUNCTION velostream.session(date, interval) IS
'in GROUP BY of a continuous query: start of the session that the time is in; a session ends when nothing comes for longer than the gap';

CREATE FUNCTION velostream.session(ts bigint, gap interval)
RETURNS bigint
LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE
AS 'MODULE_PATHNAME', 'velostream_session';

COMMENT ON FUNCTION velostream.session(bigint, interval) IS
'in GROUP BY of a continuous query: start of the session that the time is in; a session ends when nothing comes for longer than the gap';

CREATE FUNCTION velostream.buffer(size integer)
RETURNS integer
LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE
AS 'MODULE_PATHNAME', 'velostream_buffer';

COMMENT ON FUNCTION velostream.buffer(integer) IS
'as the first PARTITION BY item of window functions in a continuous query: they see the last size rows of their partition, in the order of arrival';

CREATE FUNCTION velostream.buffer(size integer, expire interval)
RETURNS integer
LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE
AS 'MODULE_PATHNAME', 'velostream_buffer';

COMMENT ON FUNCTION velostream.buffer(integer, interval) IS
'as the first PARTITION BY item of window functions in a continuous query: they see the last size rows of their partition, in the order of arrival; a partition for which no row came for longer than expire begins anew';

CREATE FUNCTION velostream.buffer(size integer, expire interval, ts timestamp)
RETURNS integer
LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE
AS 'MODULE_PATHNAME', 'velostream_buffer';

COMMENT ON FUNCTION velostream.buffer(integer, interval, timestamp) IS
'as the first PARTITION BY item of window functions in a continuous query: they see the last size rows of their partition, in the order of arrival; a partition whose last event time, ts, is more than expire behind the greatest one begins anew';

CREATE FUNCTION velostream.buffer(size integer, expire interval, ts timestamptz)
RETURNS integer
LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE
AS 'MODULE_PATHNAME', 'velostream_buffer';

COMMENT ON FUNCTION velostream.buffer(integer, interval, timestamptz) IS
'as the first PARTITION BY item of window functions in a continuous query: they see the last size rows of their partition, in the order of arrival; a partition whose last event time, ts, is more than expire behind the greatest one begins anew';

CREATE FUNCTION velostream.buffer(size integer, expire interval, ts date)
RETURNS integer
LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE
AS 'MODULE_PATHNAME', 'velostream_buffer';

COMMENT ON FUNCTION velostream.buffer(integer, interval, date) IS
'as the first PARTITION BY item of window functions in a continuous query: they see the last size rows of their partition, in the order of arrival; a partition whose last event time, ts, is more than expire behind the greatest one begins anew';

CREATE FUNCTION velostream.buffer(size integer, expire interval, ts bigint)
RETURNS integer
LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE
AS 'MODULE_PATHNAME', 'velostream_buffer';

COMMENT ON FUNCTION velostream.buffer(integer, interval, bigint) IS
'as the first PARTITION BY item of window functions in a continuous query: they see the last size rows of their partition, in the order of arrival; a partition whose last event time, ts, is more than expire behind the greatest one begins anew';

CREATE FUNCTION velostream.window_end(start timestamp, size interval)
RETURNS timestamp
LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE
AS 'MODULE_PATHNAME', 'velostream_window_end_timestamp';

COMMENT ON FUNCTION velostream.window_end(timestamp, interval) IS
'end of the window of this size that starts then; a day is 24 hours';

CREATE FUNCTION velostream.window_end(start timestamptz, size interval)
RETURNS timestamptz
LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE
AS 'MODULE_PATHNAME', 'velostream_window_end_timestamp';

COMMENT ON FUNCTION velostream.window_end(timestamptz, interval) IS
'end of the window of this size that starts then; a day is 24 hours';

CREATE FUNCTION velostream.window_end(start date, size interval)
RETURNS date
LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE
AS 'MODULE_PATHNAME', 'velostream_window_end_date';

COMMENT ON FUNCTION velostream.window_end(date, interval) IS
'end of the window of this size that starts then; a day is 24 hours';

CREATE FUNCTION velostream.window_end(start bigint, size interval)
RETURNS bigint
LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE
AS 'MODULE_PATHNAME', 'velostream_window_end_int8';

COMMENT ON FUNCTION velostream.window_end(bigint, interval) IS
'end of the window of this size that starts then; a day is 24 hours';

CREATE FUNCTION velostream.cumulate_start("end" timestamp, size interval)
RETURNS timestamp
LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE
AS 'MODULE_PATHNAME', 'velostream_cumulate_start_timestamp';

COMMENT ON FUNCTION velostream.cumulate_start(timestamp, interval) IS
'start of the window that ends then and is one of those that grow up to size';

CREATE FUNCTION velostream.cumulate_start("end" timestamptz, size interval)
RETURNS timestamptz
LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE
AS 'MODULE_PATHNAME', 'velostream_cumulate_start_timestamp';

COMMENT ON FUNCTION velostream.cumulate_start(timestamptz, interval) IS
'start of the window that ends then and is one of those that grow up to size';

CREATE FUNCTION velostream.cumulate_start("end" date, size interval)
RETURNS date
LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE
AS 'MODULE_PATHNAME', 'velostream_cumulate_start_date';

COMMENT ON FUNCTION velostream.cumulate_start(date, interval) IS
'start of the window that ends then and is one of those that grow up to size';

CREATE FUNCTION velostream.cumulate_start("end" bigint, size interval)
RETURNS bigint
LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE
AS 'MODULE_PATHNAME', 'velostream_cumulate_start_int8';

COMMENT ON FUNCTION velostream.cumulate_start(bigint, interval) IS
'start of the window that ends then and is one of those that grow up to size';

--
-- Functions of times (src/functions/vs_time_funcs.c).
--

CREATE FUNCTION velostream.from_unixtime(seconds bigint)
RETURNS timestamptz
LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE
AS 'MODULE_PATHNAME', 'velostream_from_unixtime';

COMMENT ON FUNCTION velostream.from_unixtime(bigint) IS
'the time so many seconds after 1970-01-01 00:00 UTC';

CREATE FUNCTION velostream.from_unixtime(seconds bigint, format text)
RETURNS text
LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE
AS 'MODULE_PATHNAME', 'velostream_from_unixtime_format';

COMMENT ON FUNCTION velostream.from_unixtime(bigint, text) IS
'the same, in UTC, printed as velostream.date_format() does';

CREATE FUNCTION velostream.unix_timestamp("time" timestamptz)
RETURNS bigint
LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE
AS 'MODULE_PATHNAME', 'velostream_unix_timestamp';

COMMENT ON FUNCTION velostream.unix_timestamp(timestamptz) IS
'seconds since 1970-01-01 00:00 UTC, rounded down';

CREATE FUNCTION velostream.unix_timestamp("time" timestamp)
RETURNS bigint
LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE
AS 'MODULE_PATHNAME', 'velostream_unix_timestamp';

COMMENT ON FUNCTION velostream.unix_timestamp(timestamp) IS
'seconds since 1970-01-01 00:00 of a time in UTC, rounded down';

CREATE FUNCTION velostream.unix_timestamp(day date)
RETURNS bigint
LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE
AS 'MODULE_PATHNAME', 'velostream_unix_timestamp_date';

COMMENT ON FUNCTION velostream.unix_timestamp(date) IS
'seconds from 1970-01-01 to the start of a day in UTC';

CREATE FUNCTION velostream.unix_timestamp()
RETURNS bigint
LANGUAGE C STABLE STRICT PARALLEL SAFE
AS 'MODULE_PATHNAME', 'velostream_unix_timestamp_now';

COMMENT ON FUNCTION velostream.unix_timestamp() IS
'seconds since 1970-01-01 00:00 UTC at the start of the transaction';

CREATE FUNCTION velostream.datediff(unit text, "from" timestamptz, "to" timestamptz)
RETURNS bigint
LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE
AS 'MODULE_PATHNAME', 'velostream_datediff';

COMMENT ON FUNCTION velostream.datediff(text, timestamptz, timestamptz) IS
'how many whole units (microsecond to week, month, quarter, year) lie between two times; negative if the second is earlier';

CREATE FUNCTION velostream.datediff(unit text, "from" timestamp, "to" timestamp)
RETURNS bigint
LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE
AS 'MODULE_PATHNAME', 'velostream_datediff';

COMMENT ON FUNCTION velostream.datediff(text, timestamp, timestamp) IS
'how many whole units (microsecond to week, month, quarter, year) lie between two times; negative if the second is earlier';

CREATE FUNCTION velostream.datediff(unit text, "from" date, "to" date)
RETURNS bigint
LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE
AS 'MODULE_PATHNAME', 'velostream_datediff_date';

COMMENT ON FUNCTION velostream.datediff(text, date, date) IS
'how many whole units (microsecond to week, month, quarter, year) lie between two times; negative if the second is earlier';

CREATE FUNCTION velostream.date_format("time" timestamptz, format text)
RETURNS text
LANGUAGE C STABLE STRICT PARALLEL SAFE
AS 'MODULE_PATHNAME', 'velostream_date_format_tz';

COMMENT ON FUNCTION velostream.date_format(timestamptz, text) IS
'the time in the session''s time zone, by a format of strftime: %Y-%m-%d %H:%M:%S';

CREATE FUNCTION velostream.date_format("time" timestamp, format text)
RETURNS text
LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE
AS 'MODULE_PATHNAME', 'velostream_date_format';

COMMENT ON FUNCTION velostream.date_format(timestamp, text) IS
'the time by a format of strftime: %Y-%m-%d %H:%M:%S';

CREATE FUNCTION velostream.date_format(day date, format text)
RETURNS text
LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE
AS 'MODULE_PATHNAME', 'velostream_date_format_date';

COMMENT ON FUNCTION velostream.date_format(date, text) IS
'the day by a format of strftime: %Y-%m-%d';

--
-- Aggregates (src/functions/).  All but first(x) and last(x) can be combined,
-- and their results do not depend on the order of rows.  What they are made of
-- has arguments of type internal, so that only they can call it.
--

CREATE FUNCTION velostream.first_add(internal, anyelement)
RETURNS internal
LANGUAGE C IMMUTABLE PARALLEL SAFE
AS 'MODULE_PATHNAME', 'velostream_first_add';

COMMENT ON FUNCTION velostream.first_add(internal, anyelement) IS
'transition function of first(x)';

CREATE FUNCTION velostream.first_add(internal, anyelement, "any")
RETURNS internal
LANGUAGE C IMMUTABLE PARALLEL SAFE
AS 'MODULE_PATHNAME', 'velostream_first_add';

COMMENT ON FUNCTION velostream.first_add(internal, anyelement, "any") IS
'transition function of first(x, time)';

CREATE FUNCTION velostream.last_add(internal, anyelement)
RETURNS internal
LANGUAGE C IMMUTABLE PARALLEL SAFE
AS 'MODULE_PATHNAME', 'velostream_last_add';

COMMENT ON FUNCTION velostream.last_add(internal, anyelement) IS
'transition function of last(x)';

CREATE FUNCTION velostream.last_add(internal, anyelement, "any")
RETURNS internal
LANGUAGE C IMMUTABLE PARALLEL SAFE
AS 'MODULE_PATHNAME', 'velostream_last_add';

COMMENT ON FUNCTION velostream.last_add(internal, anyelement, "any") IS
'transition function of last(x, time)';

CREATE FUNCTION velostream.pick_combine(internal, internal)
RETURNS internal
LANGUAGE C IMMUTABLE PARALLEL SAFE
AS 'MODULE_PATHNAME', 'velostream_pick_combine';

COMMENT ON FUNCTION velostream.pick_combine(internal, internal) IS
'combine function of first and last';

CREATE FUNCTION velostream.pick_serialize(internal)
RETURNS bytea
LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE
AS 'MODULE_PATHNAME', 'velostream_pick_serialize';

COMMENT ON FUNCTION velostream.pick_serialize(internal) IS
'serialization function of first and last';

CREATE FUNCTION velostream.pick_deserialize(bytea, internal)
RETURNS internal
LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE
AS 'MODULE_PATHNAME', 'velostream_pick_deserialize';

COMMENT ON FUNCTION velostream.pick_deserialize(bytea, internal) IS
'deserialization function of first and last';

CREATE FUNCTION velostream.pick_final(internal, anyelement)
RETURNS anyelement
LANGUAGE C IMMUTABLE PARALLEL SAFE
AS 'MODULE_PATHNAME', 'velostream_pick_final';

COMMENT ON FUNCTION velostream.pick_final(internal, anyelement) IS
'final function of first(x) and last(x)';

CREATE FUNCTION velostream.pick_final(internal, anyelement, "any")
RETURNS anyelement
LANGUAGE C IMMUTABLE PARALLEL SAFE
AS 'MODULE_PATHNAME', 'velostream_pick_final';

COMMENT ON FUNCTION velostream.pick_final(internal, anyelement, "any") IS
'final function of first(x, time) and last(x, time)';

CREATE AGGREGATE velostream.first(anyelement, "any") (
	sfunc = velostream.first_add,
	stype = internal,
	combinefunc = velostream.pick_combine,
	serialfunc = velostream.pick_serialize,
	deserialfunc = velostream.pick_deserialize,
	finalfunc = velostream.pick_final,
	finalfunc_extra,
	parallel = safe
);

COMMENT ON AGGREGATE velostream.first(anyelement, "any") IS
'value of the row with the least time; of rows with the same time, the least value';

CREATE AGGREGATE velostream.last(anyelement, "any") (
	sfunc = velostream.last_add,
	stype = internal,
	combinefunc = velostream.pick_combine,
	serialfunc = velostream.pick_serialize,
	deserialfunc = velostream.pick_deserialize,
	finalfunc = velostream.pick_final,
	finalfunc_extra,
	parallel = safe
);

COMMENT ON AGGREGATE velostream.last(anyelement, "any") IS
'value of the row with the greatest time; of rows with the same time, the greatest value';

CREATE AGGREGATE velostream.first_value(anyelement, "any") (
	sfunc = velostream.first_add,
	stype = internal,
	combinefunc = velostream.pick_combine,
	serialfunc = velostream.pick_serialize,
	deserialfunc = velostream.pick_deserialize,
	finalfunc = velostream.pick_final,
	finalfunc_extra,
	parallel = safe
);

COMMENT ON AGGREGATE velostream.first_value(anyelement, "any") IS
'the same as velostream.first()';

CREATE AGGREGATE velostream.last_value(anyelement, "any") (
	sfunc = velostream.last_add,
	stype = internal,
	combinefunc = velostream.pick_combine,
	serialfunc = velostream.pick_serialize,
	deserialfunc = velostream.pick_deserialize,
	finalfunc = velostream.pick_final,
	finalfunc_extra,
	parallel = safe
);

COMMENT ON AGGREGATE velostream.last_value(anyelement, "any") IS
'the same as velostream.last()';

CREATE AGGREGATE velostream.first(anyelement) (
	sfunc = velostream.first_add,
	stype = internal,
	finalfunc = velostream.pick_final,
	finalfunc_extra,
	parallel = safe
);

COMMENT ON AGGREGATE velostream.first(anyelement) IS
'value of the first row, in the order of ORDER BY in the call; not for continuous queries';

CREATE AGGREGATE velostream.last(anyelement) (
	sfunc = velostream.last_add,
	stype = internal,
	finalfunc = velostream.pick_final,
	finalfunc_extra,
	parallel = safe
);

COMMENT ON AGGREGATE velostream.last(anyelement) IS
'value of the last row, in the order of ORDER BY in the call; not for continuous queries';

CREATE FUNCTION velostream.values_combine(internal, internal)
RETURNS internal
LANGUAGE C IMMUTABLE PARALLEL SAFE
AS 'MODULE_PATHNAME', 'velostream_values_combine';

COMMENT ON FUNCTION velostream.values_combine(internal, internal) IS
'combine function of aggregates that keep values';

CREATE FUNCTION velostream.values_serialize(internal)
RETURNS bytea
LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE
AS 'MODULE_PATHNAME', 'velostream_values_serialize';

COMMENT ON FUNCTION velostream.values_serialize(internal) IS
'serialization function of aggregates that keep values';

CREATE FUNCTION velostream.values_deserialize(bytea, internal)
RETURNS internal
LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE
AS 'MODULE_PATHNAME', 'velostream_values_deserialize';

COMMENT ON FUNCTION velostream.values_deserialize(bytea, internal) IS
'deserialization function of aggregates that keep values';

CREATE FUNCTION velostream.collect_add(internal, anynonarray)
RETURNS internal
LANGUAGE C IMMUTABLE PARALLEL SAFE
AS 'MODULE_PATHNAME', 'velostream_collect_add';

COMMENT ON FUNCTION velostream.collect_add(internal, anynonarray) IS
'transition function of collect';

CREATE FUNCTION velostream.collect_final(internal, anynonarray)
RETURNS anyarray
LANGUAGE C IMMUTABLE PARALLEL SAFE
AS 'MODULE_PATHNAME', 'velostream_collect_final';

COMMENT ON FUNCTION velostream.collect_final(internal, anynonarray) IS
'final function of collect';

CREATE AGGREGATE velostream.collect(anynonarray) (
	sfunc = velostream.collect_add,
	stype = internal,
	combinefunc = velostream.values_combine,
	serialfunc = velostream.values_serialize,
	deserialfunc = velostream.values_deserialize,
	finalfunc = velostream.collect_final,
	finalfunc_extra,
	parallel = safe
);

COMMENT ON AGGREGATE velostream.collect(anynonarray) IS
'array of all values, sorted, NULLs last';

CREATE FUNCTION velostream.group_concat_add(internal, text)
RETURNS internal
LANGUAGE C IMMUTABLE PARALLEL SAFE
AS 'MODULE_PATHNAME', 'velostream_group_concat_add';

COMMENT ON FUNCTION velostream.group_concat_add(internal, text) IS
'transition function of group_concat(x)';

CREATE FUNCTION velostream.group_concat_add(internal, text, text)
RETURNS internal
LANGUAGE C IMMUTABLE PARALLEL SAFE
AS 'MODULE_PATHNAME', 'velostream_group_concat_add';

COMMENT ON FUNCTION velostream.group_concat_add(internal, text, text) IS
'transition function of group_concat(x, separator)';

CREATE FUNCTION velostream.group_concat_final(internal)
RETURNS text
LANGUAGE C IMMUTABLE PARALLEL SAFE
AS 'MODULE_PATHNAME', 'velostream_group_concat_final';

COMMENT ON FUNCTION velostream.group_concat_final(internal) IS
'final function of group_concat';

CREATE AGGREGATE velostream.group_concat(text) (
	sfunc = velostream.group_concat_add,
	stype = internal,
	combinefunc = velostream.values_combine,
	serialfunc = velostream.values_serialize,
	deserialfunc = velostream.values_deserialize,
	finalfunc = velostream.group_concat_final,
	parallel = safe
);

COMMENT ON AGGREGATE velostream.group_concat(text) IS
'all values but NULLs, sorted, with commas between them';

CREATE AGGREGATE velostream.group_concat(text, text) (
	sfunc = velostream.group_concat_add,
	stype = internal,
	combinefunc = velostream.values_combine,
	serialfunc = velostream.values_serialize,
	deserialfunc = velostream.values_deserialize,
	finalfunc = velostream.group_concat_final,
	parallel = safe
);

COMMENT ON AGGREGATE velostream.group_concat(text, text) IS
'all values but NULLs, sorted, with the second argument between them';

CREATE AGGREGATE velostream.listagg(text) (
	sfunc = velostream.group_concat_add,
	stype = internal,
	combinefunc = velostream.values_combine,
	serialfunc = velostream.values_serialize,
	deserialfunc = velostream.values_deserialize,
	finalfunc = velostream.group_concat_final,
	parallel = safe
);

COMMENT ON AGGREGATE velostream.listagg(text) IS
'all values but NULLs, sorted, with commas between them';

CREATE AGGREGATE velostream.listagg(text, text) (
	sfunc = velostream.group_concat_add,
	stype = internal,
	combinefunc = velostream.values_combine,
	serialfunc = velostream.values_serialize,
	deserialfunc = velostream.values_deserialize,
	finalfunc = velostream.group_concat_final,
	parallel = safe
);

COMMENT ON AGGREGATE velostream.listagg(text, text) IS
'all values but NULLs, sorted, with the second argument between them';

CREATE FUNCTION velostream.values_add(internal, anyelement)
RETURNS internal
LANGUAGE C IMMUTABLE PARALLEL SAFE
AS 'MODULE_PATHNAME', 'velostream_values_add';

COMMENT ON FUNCTION velostream.values_add(internal, anyelement) IS
'transition function of median';

CREATE FUNCTION velostream.median_final(internal, double precision)
RETURNS double precision
LANGUAGE C IMMUTABLE PARALLEL SAFE
AS 'MODULE_PATHNAME', 'velostream_median_final';

COMMENT ON FUNCTION velostream.median_final(internal, double precision) IS
'final function of median';

CREATE AGGREGATE velostream.median(double precision) (
	sfunc = velostream.values_add,
	stype = internal,
	combinefunc = velostream.values_combine,
	serialfunc = velostream.values_serialize,
	deserialfunc = velostream.values_deserialize,
	finalfunc = velostream.median_final,
	finalfunc_extra,
	parallel = safe
);

COMMENT ON AGGREGATE velostream.median(double precision) IS
'the value in the middle, or the mean of the two there';

CREATE FUNCTION velostream.median_final(internal, numeric)
RETURNS numeric
LANGUAGE C IMMUTABLE PARALLEL SAFE
AS 'MODULE_PATHNAME', 'velostream_median_final';

COMMENT ON FUNCTION velostream.median_final(internal, numeric) IS
'final function of median';

CREATE AGGREGATE velostream.median(numeric) (
	sfunc = velostream.values_add,
	stype = internal,
	combinefunc = velostream.values_combine,
	serialfunc = velostream.values_serialize,
	deserialfunc = velostream.values_deserialize,
	finalfunc = velostream.median_final,
	finalfunc_extra,
	parallel = safe
);

COMMENT ON AGGREGATE velostream.median(numeric) IS
'the value in the middle, or the mean of the two there';

CREATE FUNCTION velostream.median_final(internal, interval)
RETURNS interval
LANGUAGE C IMMUTABLE PARALLEL SAFE
AS 'MODULE_PATHNAME', 'velostream_median_final';

COMMENT ON FUNCTION velostream.median_final(internal, interval) IS
'final function of median';

CREATE AGGREGATE velostream.median(interval) (
	sfunc = velostream.values_add,
	stype = internal,
	combinefunc = velostream.values_combine,
	serialfunc = velostream.values_serialize,
	deserialfunc = velostream.values_deserialize,
	finalfunc = velostream.median_final,
	finalfunc_extra,
	parallel = safe
);

COMMENT ON AGGREGATE velostream.median(interval) IS
'the value in the middle, or the mean of the two there';

CREATE FUNCTION velostream.set_add(internal, anyelement)
RETURNS internal
LANGUAGE C IMMUTABLE PARALLEL SAFE
AS 'MODULE_PATHNAME', 'velostream_set_add';

COMMENT ON FUNCTION velostream.set_add(internal, anyelement) IS
'transition function of count_distinct';

CREATE FUNCTION velostream.count_distinct_final(internal)
RETURNS bigint
LANGUAGE C IMMUTABLE PARALLEL SAFE
AS 'MODULE_PATHNAME', 'velostream_count_distinct_final';

COMMENT ON FUNCTION velostream.count_distinct_final(internal) IS
'final function of count_distinct';

CREATE AGGREGATE velostream.count_distinct(anyelement) (
	sfunc = velostream.set_add,
	stype = internal,
	combinefunc = velostream.values_combine,
	serialfunc = velostream.values_serialize,
	deserialfunc = velostream.values_deserialize,
	finalfunc = velostream.count_distinct_final,
	parallel = safe
);

COMMENT ON AGGREGATE velostream.count_distinct(anyelement) IS
'number of different values, exact';

CREATE FUNCTION velostream.approx_combine(internal, internal)
RETURNS internal
LANGUAGE C IMMUTABLE PARALLEL SAFE
AS 'MODULE_PATHNAME', 'velostream_approx_combine';

COMMENT ON FUNCTION velostream.approx_combine(internal, internal) IS
'combine function of approx_count_distinct';

CREATE FUNCTION velostream.approx_serialize(internal)
RETURNS bytea
LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE
AS 'MODULE_PATHNAME', 'velostream_approx_serialize';

COMMENT ON FUNCTION velostream.approx_serialize(internal) IS
'serialization function of approx_count_distinct';

CREATE FUNCTION velostream.approx_deserialize(bytea, internal)
RETURNS internal
LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE
AS 'MODULE_PATHNAME', 'velostream_approx_deserialize';

COMMENT ON FUNCTION velostream.approx_deserialize(bytea, internal) IS
'deserialization function of approx_count_distinct';

CREATE FUNCTION velostream.approx_add(internal, anyelement)
RETURNS internal
LANGUAGE C IMMUTABLE PARALLEL SAFE
AS 'MODULE_PATHNAME', 'velostream_approx_add';

COMMENT ON FUNCTION velostream.approx_add(internal, anyelement) IS
'transition function of approx_count_distinct';

CREATE FUNCTION velostream.approx_final(internal)
RETURNS bigint
LANGUAGE C IMMUTABLE PARALLEL SAFE
AS 'MODULE_PATHNAME', 'velostream_approx_final';

COMMENT ON FUNCTION velostream.approx_final(internal) IS
'final function of approx_count_distinct';

CREATE AGGREGATE velostream.approx_count_distinct(anyelement) (
	sfunc = velostream.approx_add,
	stype = internal,
	combinefunc = velostream.approx_combine,
	serialfunc = velostream.approx_serialize,
	deserialfunc = velostream.approx_deserialize,
	finalfunc = velostream.approx_final,
	parallel = safe
);

COMMENT ON AGGREGATE velostream.approx_count_distinct(anyelement) IS
'number of different values, with a standard error of 0.8 %, in little memory';

CREATE FUNCTION velostream.ends_add(internal, anyelement)
RETURNS internal
LANGUAGE C IMMUTABLE PARALLEL SAFE
AS 'MODULE_PATHNAME', 'velostream_ends_add';

COMMENT ON FUNCTION velostream.ends_add(internal, anyelement) IS
'transition function of delta';

CREATE FUNCTION velostream.delta_final(internal, smallint)
RETURNS smallint
LANGUAGE C IMMUTABLE PARALLEL SAFE
AS 'MODULE_PATHNAME', 'velostream_delta_final';

COMMENT ON FUNCTION velostream.delta_final(internal, smallint) IS
'final function of delta';

CREATE AGGREGATE velostream.delta(smallint) (
	sfunc = velostream.ends_add,
	stype = internal,
	combinefunc = velostream.values_combine,
	serialfunc = velostream.values_serialize,
	deserialfunc = velostream.values_deserialize,
	finalfunc = velostream.delta_final,
	finalfunc_extra,
	parallel = safe
);

COMMENT ON AGGREGATE velostream.delta(smallint) IS
'max(x) - min(x)';

CREATE FUNCTION velostream.delta_final(internal, integer)
RETURNS integer
LANGUAGE C IMMUTABLE PARALLEL SAFE
AS 'MODULE_PATHNAME', 'velostream_delta_final';

COMMENT ON FUNCTION velostream.delta_final(internal, integer) IS
'final function of delta';

CREATE AGGREGATE velostream.delta(integer) (
	sfunc = velostream.ends_add,
	stype = internal,
	combinefunc = velostream.values_combine,
	serialfunc = velostream.values_serialize,
	deserialfunc = velostream.values_deserialize,
	finalfunc = velostream.delta_final,
	finalfunc_extra,
	parallel = safe
);

COMMENT ON AGGREGATE velostream.delta(integer) IS
'max(x) - min(x)';

CREATE FUNCTION velostream.delta_final(internal, bigint)
RETURNS bigint
LANGUAGE C IMMUTABLE PARALLEL SAFE
AS 'MODULE_PATHNAME', 'velostream_delta_final';

COMMENT ON FUNCTION velostream.delta_final(internal, bigint) IS
'final function of delta';

CREATE AGGREGATE velostream.delta(bigint) (
	sfunc = velostream.ends_add,
	stype = internal,
	combinefunc = velostream.values_combine,
	serialfunc = velostream.values_serialize,
	deserialfunc = velostream.values_deserialize,
	finalfunc = velostream.delta_final,
	finalfunc_extra,
	parallel = safe
);

COMMENT ON AGGREGATE velostream.delta(bigint) IS
'max(x) - min(x)';

CREATE FUNCTION velostream.delta_final(internal, real)
RETURNS real
LANGUAGE C IMMUTABLE PARALLEL SAFE
AS 'MODULE_PATHNAME', 'velostream_delta_final';

COMMENT ON FUNCTION velostream.delta_final(internal, real) IS
'final function of delta';

CREATE AGGREGATE velostream.delta(real) (
	sfunc = velostream.ends_add,
	stype = internal,
	combinefunc = velostream.values_combine,
	serialfunc = velostream.values_serialize,
	deserialfunc = velostream.values_deserialize,
	finalfunc = velostream.delta_final,
	finalfunc_extra,
	parallel = safe
);

COMMENT ON AGGREGATE velostream.delta(real) IS
'max(x) - min(x)';

CREATE FUNCTION velostream.delta_final(internal, double precision)
RETURNS double precision
LANGUAGE C IMMUTABLE PARALLEL SAFE
AS 'MODULE_PATHNAME', 'velostream_delta_final';

COMMENT ON FUNCTION velostream.delta_final(internal, double precision) IS
'final function of delta';

CREATE AGGREGATE velostream.delta(double precision) (
	sfunc = velostream.ends_add,
	stype = internal,
	combinefunc = velostream.values_combine,
	serialfunc = velostream.values_serialize,
	deserialfunc = velostream.values_deserialize,
	finalfunc = velostream.delta_final,
	finalfunc_extra,
	parallel = safe
);

COMMENT ON AGGREGATE velostream.delta(double precision) IS
'max(x) - min(x)';

CREATE FUNCTION velostream.delta_final(internal, numeric)
RETURNS numeric
LANGUAGE C IMMUTABLE PARALLEL SAFE
AS 'MODULE_PATHNAME', 'velostream_delta_final';

COMMENT ON FUNCTION velostream.delta_final(internal, numeric) IS
'final function of delta';

CREATE AGGREGATE velostream.delta(numeric) (
	sfunc = velostream.ends_add,
	stype = internal,
	combinefunc = velostream.values_combine,
	serialfunc = velostream.values_serialize,
	deserialfunc = velostream.values_deserialize,
	finalfunc = velostream.delta_final,
	finalfunc_extra,
	parallel = safe
);

COMMENT ON AGGREGATE velostream.delta(numeric) IS
'max(x) - min(x)';

CREATE FUNCTION velostream.delta_final(internal, date)
RETURNS integer
LANGUAGE C IMMUTABLE PARALLEL SAFE
AS 'MODULE_PATHNAME', 'velostream_delta_final';

COMMENT ON FUNCTION velostream.delta_final(internal, date) IS
'final function of delta';

CREATE AGGREGATE velostream.delta(date) (
	sfunc = velostream.ends_add,
	stype = internal,
	combinefunc = velostream.values_combine,
	serialfunc = velostream.values_serialize,
	deserialfunc = velostream.values_deserialize,
	finalfunc = velostream.delta_final,
	finalfunc_extra,
	parallel = safe
);

COMMENT ON AGGREGATE velostream.delta(date) IS
'max(x) - min(x)';

CREATE FUNCTION velostream.delta_final(internal, timestamp)
RETURNS interval
LANGUAGE C IMMUTABLE PARALLEL SAFE
AS 'MODULE_PATHNAME', 'velostream_delta_final';

COMMENT ON FUNCTION velostream.delta_final(internal, timestamp) IS
'final function of delta';

CREATE AGGREGATE velostream.delta(timestamp) (
	sfunc = velostream.ends_add,
	stype = internal,
	combinefunc = velostream.values_combine,
	serialfunc = velostream.values_serialize,
	deserialfunc = velostream.values_deserialize,
	finalfunc = velostream.delta_final,
	finalfunc_extra,
	parallel = safe
);

COMMENT ON AGGREGATE velostream.delta(timestamp) IS
'max(x) - min(x)';

CREATE FUNCTION velostream.delta_final(internal, timestamptz)
RETURNS interval
LANGUAGE C IMMUTABLE PARALLEL SAFE
AS 'MODULE_PATHNAME', 'velostream_delta_final';

COMMENT ON FUNCTION velostream.delta_final(internal, timestamptz) IS
'final function of delta';

CREATE AGGREGATE velostream.delta(timestamptz) (
	sfunc = velostream.ends_add,
	stype = internal,
	combinefunc = velostream.values_combine,
	serialfunc = velostream.values_serialize,
	deserialfunc = velostream.values_deserialize,
	finalfunc = velostream.delta_final,
	finalfunc_extra,
	parallel = safe
);

COMMENT ON AGGREGATE velostream.delta(timestamptz) IS
'max(x) - min(x)';

CREATE FUNCTION velostream.delta_final(internal, interval)
RETURNS interval
LANGUAGE C IMMUTABLE PARALLEL SAFE
AS 'MODULE_PATHNAME', 'velostream_delta_final';

COMMENT ON FUNCTION velostream.delta_final(internal, interval) IS
'final function of delta';

CREATE AGGREGATE velostream.delta(interval) (
	sfunc = velostream.ends_add,
	stype = internal,
	combinefunc = velostream.values_combine,
	serialfunc = velostream.values_serialize,
	deserialfunc = velostream.values_deserialize,
	finalfunc = velostream.delta_final,
	finalfunc_extra,
	parallel = safe
);

COMMENT ON AGGREGATE velostream.delta(interval) IS
'max(x) - min(x)';

--
-- Views.  A role sees the queries whose outputs it owns (through membership as
-- well), members of pg_monitor see all.
--

CREATE VIEW velostream.queries WITH (security_barrier) AS
SELECT q.output AS query,
	c.relname AS name,
	n.nspname AS schema,
	pg_get_userbyid(c.relowner) AS owner,
	pg_get_viewdef(q.view) AS definition,
	CASE q.kind WHEN 't' THEN 'table' ELSE 'stream' END AS kind,
	CASE q.source_mode WHEN 'c' THEN 'changes' ELSE 'append' END AS source_mode,
	CASE q.on_error WHEN 'r' THEN 'retry' WHEN 'd' THEN 'dead_letter' ELSE 'stop' END AS on_error,
	q.with_data,
	CASE
		WHEN q.status = 's' THEN 'stopped'
		WHEN q.status = 'p' THEN 'paused'
		WHEN x.failures > 0 THEN 'failing'
		WHEN f.output IS NULL THEN 'starting'
		WHEN f.rebuild THEN 'rebuilding'
		WHEN f.snapshot_xmin IS NULL AND x.runner_pid IS NULL THEN 'starting'
		WHEN f.snapshot_xmin IS NULL THEN 'backfilling'
		ELSE 'running'
	END AS state,
	CASE WHEN f.rebuild THEN f.rebuild_reason END AS rebuild_reason,
	clock_timestamp() - coalesce(x.frontier_time, f.updated_at) AS lag,
	x.failures,
	coalesce(x.message, q.error) AS last_error,
	coalesce(x.sqlstate, q.error_sqlstate) AS sqlstate,
	CASE WHEN x.message IS NOT NULL THEN x.detail
		WHEN pg_has_role(c.relowner, 'USAGE') THEN q.error_detail END AS error_detail,
	CASE WHEN x.message IS NULL THEN q.error_hint ELSE x.hint END AS error_hint,
	CASE WHEN x.message IS NOT NULL THEN x.context
		WHEN pg_has_role(c.relowner, 'USAGE') THEN q.error_context END AS error_context,
	coalesce(x.failed_at, q.stopped_at) AS failed_at,
	CASE WHEN q.status = 'r' THEN x.retry_at END AS retry_at,
	CASE q.emit WHEN 'c' THEN 'changes' ELSE 'final' END AS emit,
	CASE q.late_data WHEN 'd' THEN 'dead_letter' WHEN 'x' THEN 'drop' WHEN 'u' THEN 'update_previous'
		ELSE 'include_in_next_window' END AS late_data,
	q.delay * interval '1 microsecond' AS max_out_of_orderness,
	q.idle_timeout * interval '1 microsecond' AS idle_timeout,
	q.max_future_skew * interval '1 microsecond' AS max_future_skew,
	q.retention * interval '1 microsecond' AS window_retention,
	f.watermark,
	f.open_windows,
	f.late,
	f.dead
FROM velostream.query q
	JOIN pg_class c ON c.oid = q.output
	JOIN pg_namespace n ON n.oid = c.relnamespace
	LEFT JOIN velostream.frontier f ON f.output = q.output
	LEFT JOIN velostream.contexts() x ON x.output = q.output
WHERE pg_has_role(c.relowner, 'USAGE') OR pg_has_role('pg_monitor', 'USAGE');

COMMENT ON VIEW velostream.queries IS 'continuous queries: definition, state, lag and last error; one''s own, for members of pg_monitor all';
COMMENT ON COLUMN velostream.queries.name IS 'name of the output table';
COMMENT ON COLUMN velostream.queries.schema IS 'schema of the output table';
COMMENT ON COLUMN velostream.queries.owner IS 'owner of the output table, as whom the query runs';
COMMENT ON COLUMN velostream.queries.definition IS 'the query, with the columns that were added to identify a row';
COMMENT ON COLUMN velostream.queries.kind IS 'table: the current result; stream: a log of its changes';
COMMENT ON COLUMN velostream.queries.source_mode IS 'changes: the output equals the query; append: every committed INSERT counts once';
COMMENT ON COLUMN velostream.queries.on_error IS 'what happens when a row cannot be processed: retry, dead_letter or stop';
COMMENT ON COLUMN velostream.queries.with_data IS 'false: rows older than the query were left out (WITH NO DATA)';
COMMENT ON COLUMN velostream.queries.state IS 'running, starting, backfilling, rebuilding, failing (will be retried at retry_at), stopped (by an error, until resume()) or paused (until resume())';
COMMENT ON COLUMN velostream.queries.rebuild_reason IS 'why the output is, or is about to be, computed again';
COMMENT ON COLUMN velostream.queries.lag IS 'age of the snapshot that the output shows; an idle query''s is renewed about once a second while anything is written';
COMMENT ON COLUMN velostream.queries.failures IS 'batches failed in a row';
COMMENT ON COLUMN velostream.queries.last_error IS 'message of the last failure';
COMMENT ON COLUMN velostream.queries.sqlstate IS 'SQLSTATE of the last failure';
COMMENT ON COLUMN velostream.queries.error_detail IS 'detail of the last failure, if there was one; for those who have the owner''s rights, as it can have values of rows';
COMMENT ON COLUMN velostream.queries.error_hint IS 'hint of the last failure, if there was one';
COMMENT ON COLUMN velostream.queries.error_context IS 'where the last failure happened, in which group for example; for those who have the owner''s rights';
COMMENT ON COLUMN velostream.queries.failed_at IS 'when the last failure happened';
COMMENT ON COLUMN velostream.queries.retry_at IS 'when the failed batch is tried again';
COMMENT ON COLUMN velostream.queries.emit IS 'changes: rows of windows are emitted whenever they change; final: once, when their window closes';
COMMENT ON COLUMN velostream.queries.late_data IS 'what becomes of rows whose windows are closed: dead_letter, drop, update_previous (the closed window is corrected) or include_in_next_window';
COMMENT ON COLUMN velostream.queries.max_out_of_orderness IS 'the watermark is so far behind the greatest event time';
COMMENT ON COLUMN velostream.queries.idle_timeout IS 'without rows for so long, the watermark moves with the clock';
COMMENT ON COLUMN velostream.queries.max_future_skew IS 'rows further ahead of the clock do not move the watermark';
COMMENT ON COLUMN velostream.queries.window_retention IS 'windows take rows for so long after they have closed';
COMMENT ON COLUMN velostream.queries.watermark IS 'windows that end here or before are closed; as a timestamptz, whatever the type of the event times';
COMMENT ON COLUMN velostream.queries.open_windows IS 'rows of windows (or panes of them) that are kept until their window closes';
COMMENT ON COLUMN velostream.queries.late IS 'rows that came when all their windows were closed';
COMMENT ON COLUMN velostream.queries.dead IS 'rows put into velostream.dead_letters';
COMMENT ON COLUMN velostream.queries.query IS 'the output table';

CREATE VIEW velostream.stat_queries WITH (security_barrier) AS
SELECT q.output AS query,
	c.relname AS name,
	n.nspname AS schema,
	f.batches,
	f.rows_in,
	f.rows_out,
	f.changes,
	f.recomputed,
	f.ignored,
	f.dead,
	f.rebuilds,
	f.busy_us / 1000.0::double precision AS busy_ms,
	coalesce(x.frontier_time, f.updated_at) AS frontier_time,
	clock_timestamp() - coalesce(x.frontier_time, f.updated_at) AS lag,
	coalesce(x.frontier_lsn, f.lsn) AS frontier_lsn,
	pg_snapshot_xmax(pg_current_snapshot())::text::bigint
		- coalesce(x.frontier_xmin, f.snapshot_xmin)::text::bigint AS horizon_age,
	x.runner_pid,
	x.pages_done,
	x.pages_total,
	x.cache_groups,
	x.cache_bytes,
	x.cache_hits,
	x.cache_misses,
	f.event_time,
	f.watermark,
	f.late,
	f.partly_late,
	f.open_windows
FROM velostream.query q
	JOIN pg_class c ON c.oid = q.output
	JOIN pg_namespace n ON n.oid = c.relnamespace
	LEFT JOIN velostream.frontier f ON f.output = q.output
	LEFT JOIN velostream.contexts() x ON x.output = q.output
WHERE pg_has_role(c.relowner, 'USAGE') OR pg_has_role('pg_monitor', 'USAGE');

COMMENT ON VIEW velostream.stat_queries IS 'counters of continuous queries since their creation, progress of the running batch, and cache use; one''s own, for members of pg_monitor all';
COMMENT ON COLUMN velostream.stat_queries.name IS 'name of the output table';
COMMENT ON COLUMN velostream.stat_queries.schema IS 'schema of the output table';
COMMENT ON COLUMN velostream.stat_queries.batches IS 'batches committed';
COMMENT ON COLUMN velostream.stat_queries.rows_in IS 'rows that came into the sources, as batches met them: an update is one out and one in, what came and went between two batches is none; neither dead letters nor partitions that WHERE rules out are in it';
COMMENT ON COLUMN velostream.stat_queries.rows_out IS 'rows that went out of them; a rebuild takes all out and in again, so that rows_in - rows_out is at any time the number of rows that the output is made of';
COMMENT ON COLUMN velostream.stat_queries.changes IS 'changes written to the output';
COMMENT ON COLUMN velostream.stat_queries.recomputed IS 'groups computed again from the source';
COMMENT ON COLUMN velostream.stat_queries.ignored IS 'source_mode = append: how often a row was updated or deleted in the sources, which retracts nothing, since the backfill or the last rebuild';
COMMENT ON COLUMN velostream.stat_queries.dead IS 'rows left out because of an error (on_error = dead_letter) since the query was created or rebuilt: as many are in velostream.dead_letters';
COMMENT ON COLUMN velostream.stat_queries.rebuilds IS 'how often the output was computed anew';
COMMENT ON COLUMN velostream.stat_queries.busy_ms IS 'time spent in batches, in milliseconds';
COMMENT ON COLUMN velostream.stat_queries.frontier_time IS 'when the snapshot was taken that the output shows';
COMMENT ON COLUMN velostream.stat_queries.lag IS 'age of that snapshot';
COMMENT ON COLUMN velostream.stat_queries.frontier_lsn IS 'how far the WAL was read';
COMMENT ON COLUMN velostream.stat_queries.horizon_age IS 'number of transactions since the oldest that this query still has to tell apart: VACUUM keeps what they deleted';
COMMENT ON COLUMN velostream.stat_queries.runner_pid IS 'process that runs a batch now';
COMMENT ON COLUMN velostream.stat_queries.pages_done IS 'pages of the sources that the running batch (a backfill, for example) has read, renewed every 256 pages; null while none runs';
COMMENT ON COLUMN velostream.stat_queries.pages_total IS 'pages that it will read';
COMMENT ON COLUMN velostream.stat_queries.cache_groups IS 'groups in the shared cache';
COMMENT ON COLUMN velostream.stat_queries.cache_bytes IS 'their size';
COMMENT ON COLUMN velostream.stat_queries.cache_hits IS 'groups found in the cache';
COMMENT ON COLUMN velostream.stat_queries.cache_misses IS 'groups looked up in the tables';
COMMENT ON COLUMN velostream.stat_queries.event_time IS 'the greatest event time that moves the watermark';
COMMENT ON COLUMN velostream.stat_queries.watermark IS 'windows that end here or before are closed';
COMMENT ON COLUMN velostream.stat_queries.late IS 'rows that came when all their windows were closed';
COMMENT ON COLUMN velostream.stat_queries.partly_late IS 'rows that came when some of their windows were closed, and count in the others';
COMMENT ON COLUMN velostream.stat_queries.open_windows IS 'rows of windows (or panes of them) that are kept until their window closes';
COMMENT ON COLUMN velostream.stat_queries.query IS 'the output table';

-- Rows are data of the sources: members of pg_monitor see that there are dead
-- letters, their contents only as the query's owner.
CREATE VIEW velostream.dead_letters WITH (security_barrier) AS
SELECT d.query,
	d.source,
	d.source_ctid,
	d.source_xmin,
	CASE WHEN pg_has_role(c.relowner, 'USAGE') THEN d."row" END AS "row",
	d.sqlstate,
	d.message,
	d.at
FROM velostream.dead_letter d
	JOIN pg_class c ON c.oid = d.query
WHERE pg_has_role(c.relowner, 'USAGE') OR pg_has_role('pg_monitor', 'USAGE');

COMMENT ON VIEW velostream.dead_letters IS 'rows that continuous queries left out because of an error; those of one''s own queries, for members of pg_monitor all';
COMMENT ON COLUMN velostream.dead_letters.query IS 'the output table';
COMMENT ON COLUMN velostream.dead_letters.source IS 'the table, or partition, with the row';
COMMENT ON COLUMN velostream.dead_letters.source_ctid IS 'where the row was';
COMMENT ON COLUMN velostream.dead_letters.source_xmin IS 'transaction that wrote it';
COMMENT ON COLUMN velostream.dead_letters."row" IS 'the row, for the owner of the query';
COMMENT ON COLUMN velostream.dead_letters.sqlstate IS 'SQLSTATE of the error; VS001: the row is late; VS002: it has no event time that can be used';
COMMENT ON COLUMN velostream.dead_letters.message IS 'message of the error';
COMMENT ON COLUMN velostream.dead_letters.at IS 'when it was left out';

GRANT SELECT ON velostream.queries, velostream.stat_queries, velostream.dead_letters TO PUBLIC;
