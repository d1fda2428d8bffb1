#!/usr/bin/env bash
# The demo's load for SOAK_SECONDS (20 minutes), with its proof at the end.
# Meanwhile nothing of ours may grow (memory, open files, locks, tables, WAL
# that is kept), and the horizon must keep up; at the end the statistics must
# add up with what the load says it wrote.
# Called by ./dev check --long, which gives it a server.
set -euo pipefail
top=$(cd "$(dirname "$0")/../.." && pwd)
seconds=${SOAK_SECONDS:-1200}
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT
[ -z "${PREFIX:-}" ] || PATH=$(echo "$PREFIX"/lib/postgresql/*/bin):$PATH

sql() { psql -qAtX -F ' ' -v ON_ERROR_STOP=1 -d demo "$@"; }

# The most of what a process of a type has: private memory in kB, open files.
# A process may end while we look.
most() {
	local pid kb fds most_kb=0 most_fds=0
	for pid in $(sql -c "SELECT pid FROM pg_stat_activity WHERE backend_type = '$1'"); do
		kb=$(awk '/^RssAnon/ { print $2 }' "/proc/$pid/status" 2>/dev/null || echo 0)
		fds=$(find "/proc/$pid/fd" -mindepth 1 2>/dev/null | wc -l || true)
		[ "${kb:-0}" -le "$most_kb" ] || most_kb=$kb
		[ "$fds" -le "$most_fds" ] || most_fds=$fds
	done
	echo "$most_kb $most_fds"
}

# One line, of the columns below.
columns='worker_kB worker_files launcher_kB launcher_files locks wal_MB catalog_kB outputs_kB cache_kB horizon'
sample() {
	echo "$(most 'velostream worker') $(most 'velostream launcher') $(sql <<'END'
SELECT (SELECT count(*) FROM pg_locks JOIN pg_stat_activity USING (pid) WHERE backend_type LIKE 'velostream%'),
	(SELECT sum(size) / 1024 / 1024 FROM pg_ls_waldir())::int,
	(SELECT sum(pg_total_relation_size(oid)) / 1024 FROM pg_class
	 WHERE relnamespace = 'velostream'::regnamespace AND relkind = 'r')::int,
	(SELECT sum(pg_total_relation_size(output)) / 1024 FROM velostream.query WHERE output <> 'rows_per_second'::regclass)::int,
	(SELECT max(cache_used) / 1024 FROM velostream.horizon())::int,
	(SELECT coalesce(max(age), 0) FROM velostream.horizon())
END
)"
}

DEMO_SECONDS=$seconds "$top/demo/demo.sh" >"$tmp/demo" 2>&1 &
demo=$!
until grep -q '^Load for' "$tmp/demo"; do
	kill -0 $demo || { cat "$tmp/demo"; exit 1; }
	sleep 1
done
for ((i = 1; i < 16; i++)); do
	sleep $((seconds / 16))
	sample >>"$tmp/samples"
done
wait $demo || { cat "$tmp/demo"; exit 1; }
tail -n 14 "$tmp/demo"
{ echo "$columns"; cat "$tmp/samples"; } | column -t

# The most in the last quarter against the most in the second.
awk -v columns="$columns" 'BEGIN {
	n = split(columns, name, " ")
	split("4096 10 2048 10 60 512 1024 4096 1024 100000", slack, " ")
}
{
	part = NR < 5 ? "warm" : NR < 9 ? "early" : NR < 13 ? "middle" : "late"
	for (i = 1; i <= n; i++) if ($i > most[part, i]) most[part, i] = $i
}
END {
	if (NR != 15 || most["early", 1] == 0 || most["early", 3] == 0) { print "there were no workers, or no launcher"; exit 1 }
	for (i = 1; i <= n; i++)
		if (most["late", i] > most["early", i] * 1.25 + slack[i]) {
			printf "%s has grown from %d to %d\n", name[i], most["early", i], most["late", i]; bad = 1
		}
	if (most["late", n] > 100000) { print "the horizon does not keep up"; bad = 1 }
	exit bad
}' "$tmp/samples"

# What the load wrote, by its own count, and what the queries have counted.
transactions=$(sed -n 's/^number of transactions actually processed: \([0-9]*\).*/\1/p' "$tmp/demo")
copied=$(sed -n 's/^rows by COPY: \([0-9]*\)$/\1/p' "$tmp/demo")
sql -v "t=$transactions" -v "c=$copied" >"$tmp/sums" <<'END'
SELECT name, rows_in, rows_out, ignored, dead,
	dead = 0 AND rebuilds = 0 AND
	-- an account that is updated twice in a batch counts once
	CASE name WHEN 'branch_accounts' THEN
		rows_in - rows_out = (SELECT count(*) FROM pgbench_accounts) AND rows_out BETWEEN 1 AND :t
	ELSE rows_in = :t + :c AND rows_out = 0 AND ignored = 0 END
FROM velostream.stat_queries
END
echo "written: $transactions transactions, $copied rows by COPY; name, rows in, out, ignored, dead, right:"
cat "$tmp/sums"
if [ "$(wc -l <"$tmp/sums")" != 4 ] || grep -qv ' t$' "$tmp/sums"; then
	echo 'the statistics do not add up'
	exit 1
fi

# At rest nothing is locked.
for ((i = 0; i < 600; i++)); do
	[ "$(sql -c "SELECT count(*) FROM pg_locks JOIN pg_stat_activity USING (pid)
		WHERE backend_type LIKE 'velostream%'")" != 0 ] || exit 0
	sleep 0.1
done
echo 'locks are held at rest'
exit 1
