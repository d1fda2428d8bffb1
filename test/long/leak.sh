#!/usr/bin/env bash
# LEAK_BATCHES (a million) batches of a row or two, half of them by workers and
# half in sessions: no process, nor the shared cache, grows meanwhile.
# Called by ./dev check --long, which gives it a server.
set -euo pipefail
batches=${LEAK_BATCHES:-1000000}
tmp=$(mktemp -d)
jobs=()
cleanup() {
	sql -d postgres -c "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'leak'" >/dev/null || true
	for job in "${jobs[@]}"; do kill "$job" 2>/dev/null || true; done
	wait
	rm -rf "$tmp"
}
trap cleanup EXIT
[ -z "${PREFIX:-}" ] || PATH=$(echo "$PREFIX"/lib/postgresql/*/bin):$PATH
export PGDATABASE=leak

sql() { psql -qAtX -F ' ' -v ON_ERROR_STOP=1 "$@"; }
done_so_far() { sql -c 'SELECT sum(batches)::bigint FROM velostream.stat_queries'; }

# What to watch: private memory in kB of each of our processes, and the cache.
sample() {
	local pid type
	while read -r pid type; do
		echo "$pid $type $(awk '/^RssAnon/ { print $2 }' "/proc/$pid/status")"
	done < <(sql -c "SELECT pid, replace(backend_type, ' ', '_') FROM pg_stat_activity
			WHERE backend_type LIKE 'velostream%' AND (datname = current_database() OR datname IS NULL)
				OR application_name = 'leak'
			ORDER BY 2, 1")
	echo "0 cache $(sql -c 'SELECT max(cache_used) / 1024 FROM velostream.horizon()')"
}

# Sample twice: when a tenth of so many batches more is done, and all.
watch_until() {
	local what=$1 from till=$2
	from=$(done_so_far)
	for part in $(((till - from) / 10 + from)) "$till"; do
		while [ "$(done_so_far)" -lt "$part" ]; do
			for job in "${jobs[@]}"; do kill -0 "$job" || { cat "$tmp"/log*; exit 1; }; done
			sleep 1
		done
		sample >"$tmp/$([ "$part" = "$till" ] && echo late || echo early)"
	done
	echo "$what: from $from to $(done_so_far) batches; process, kB after a tenth, kB at the end"
	join <(sort "$tmp/early") <(sort "$tmp/late") >"$tmp/both"
	awk -v least="$3" '{
		print "  " $2, $3, $5
		if ($5 > $3 * 1.05 + 1024) { print "  it has grown"; bad = 1 }
	}
	END { if (NR < least) { print "  a process has gone"; bad = 1 } exit bad }' "$tmp/both"
}

# Every output in changes mode is its query; the others have counted all rows.
oracle() {
	sql -c "SELECT velostream.wait()" >"$tmp/wait"
	sql >"$tmp/wrong" <<'END'
SELECT format('SELECT %L FROM ((TABLE %2$s EXCEPT ALL (%3$s)) UNION ALL ((%3$s) EXCEPT ALL TABLE %2$s)) d HAVING count(*) > 0',
	name, name, rtrim(definition, E'; \n'))
FROM velostream.queries WHERE name <> 'log_stream'
\gexec
SELECT 'log_stream' WHERE (SELECT count(*) FROM log_stream) <> (SELECT count(*) FROM log);
END
	[ ! -s "$tmp/wrong" ] || { echo "wrong: $(cat "$tmp/wrong")"; exit 1; }
}

psql -qX -d postgres -c 'CREATE DATABASE leak'
sql <<'SETUP'
SET client_min_messages = warning;
CREATE EXTENSION velostream;
CREATE TABLE src (id int PRIMARY KEY, g int, v int, t text) WITH (fillfactor = 50);
INSERT INTO src SELECT i, i % 5, i, i FROM generate_series(1, 200) i;
CREATE TABLE log (g int, v int);
CREATE TABLE totals WITH (velostream.continuous) AS SELECT g, count(*), sum(v), avg(v::numeric), stddev(v) FROM src GROUP BY g;
CREATE TABLE maxima WITH (velostream.continuous) AS SELECT g, max(t), min(v) FROM src GROUP BY g;
CREATE TABLE rows WITH (velostream.continuous, velostream.on_error = dead_letter) AS SELECT id, v, upper(t) FROM src WHERE v % 2 = 0;
CREATE TABLE log_totals WITH (velostream.continuous, velostream.source_mode = append) AS SELECT g, count(*), sum(v) FROM log GROUP BY g;
CREATE TABLE log_stream WITH (velostream.continuous, velostream.kind = stream, velostream.source_mode = append) AS SELECT v FROM log;
CREATE PROCEDURE work() LANGUAGE plpgsql AS $$
BEGIN
	FOR i IN 1 .. 200 LOOP
		UPDATE src SET v = v + 1, g = (g + 1) % 5 WHERE id = 1 + random() * 199;
		INSERT INTO log VALUES (random() * 5, 1);
		COMMIT;
		PERFORM velostream.process('totals');
		COMMIT;
		PERFORM velostream.process('maxima');
		COMMIT;
		PERFORM velostream.process('rows');
		COMMIT;
		PERFORM velostream.process('log_totals');
		COMMIT;
		PERFORM velostream.process('log_stream');
		COMMIT;
	END LOOP;
END $$;
SELECT velostream.wait();
SETUP

cat >"$tmp/load.sql" <<'END'
\set id random(1, 200)
BEGIN;
UPDATE src SET v = v + 1, g = (g + 1) % 5 WHERE id = :id;
INSERT INTO log VALUES (:id % 5, 1);
COMMIT;
END
pgbench -n -M prepared -f "$tmp/load.sql" -T 100000 -c 1 >"$tmp/log1" 2>&1 &
jobs=($!)
watch_until workers $((batches / 2)) 4
kill "${jobs[0]}"
wait "${jobs[0]}" || true
jobs=()
oracle

sql -c "ALTER SYSTEM SET velostream.enabled = off" -c 'SELECT pg_reload_conf()' >"$tmp/off"
for i in 1 2; do
	# PL/pgSQL keeps a little for each COMMIT until a call ends: not too long ones
	yes 'CALL work();' | PGAPPNAME=leak psql -qAtX -v ON_ERROR_STOP=1 >"$tmp/log$i" 2>&1 &
	jobs+=($!)
done
watch_until sessions "$batches" 4
sql -c "SELECT pg_terminate_backend(pid, 60000) FROM pg_stat_activity WHERE application_name = 'leak'" >"$tmp/ended"
for job in "${jobs[@]}"; do wait "$job" || true; done
jobs=()
sql -c "ALTER SYSTEM RESET velostream.enabled" -c 'SELECT pg_reload_conf()' >"$tmp/on"
oracle
