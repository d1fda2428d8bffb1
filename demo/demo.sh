#!/usr/bin/env bash
# Continuous queries under pgbench's load, and the proof that they are right.
# Called by ./dev demo, which gives it a server.  DEMO_SECONDS, DEMO_CLIENTS
# and DEMO_SCALE change the load.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
seconds=${DEMO_SECONDS:-30} clients=${DEMO_CLIENTS:-4} scale=${DEMO_SCALE:-10}
copy_rows=10000
tmp=$(mktemp -d)
jobs=()

# End what this script started, children first.
cleanup() {
	touch "$tmp/stop"
	for job in "${jobs[@]}"; do kill "$job" 2>/dev/null || true; done
	wait
	rm -rf "$tmp"
}
trap cleanup EXIT
trap 'exit 130' INT TERM

sql() { psql -qAtX -v ON_ERROR_STOP=1 "$@"; }

# Keep a continuous bulk load going: rows of no amount, so that the balances
# that pgbench keeps stay the truth.
load_by_copy() {
	local rows=0
	until [ -e "$tmp/stop" ]; do
		sql -c 'COPY pgbench_history (tid, bid, aid, delta) FROM STDIN' <"$tmp/rows"
		rows=$((rows + copy_rows))
		sleep 0.1
	done
	echo "rows by COPY: $rows" >"$tmp/copied"
}

# One frame of the live view.
frame() {
	sql -v "now=$1" -v "of=$seconds" -f "$here/frame.sql"
}

# Show frames until the load ends: in place on a terminal, else every 5 s a new one.
watch_load() {
	local begin=$SECONDS lines=0 text every=5
	[ ! -t 1 ] || every=1
	while kill -0 "$1" 2>/dev/null; do
		sleep "$every" &
		wait $!
		text=$(frame $((SECONDS - begin))) || return
		[ "$lines" = 0 ] || [ ! -t 1 ] || printf '\033[%dA\033[J' "$lines"
		printf '%s\n' "$text"
		lines=$(wc -l <<<"$text")
	done
}

# Run the proof, print a line per comparison; fails if one does.
prove() {
	local compared differ what bad=0 count=0
	sql -f "$here/proof.sql" >"$tmp/proof" || return 1
	while read -r compared differ what; do
		count=$((count + 1))
		if [ "$differ" = 0 ] && [ "$compared" -gt 0 ]; then
			printf 'ok      %s (%d rows)\n' "$what" "$compared"
		else
			printf 'FAILED  %s: %d of %d rows differ\n' "$what" "$differ" "$compared"
			bad=$((bad + 1))
		fi
	done <"$tmp/proof"
	printf '%d comparisons, %d failed\n' "$count" "$bad"
	[ "$bad" = 0 ] && [ "$count" -ge 9 ]
}

echo "Setting up: pgbench at scale $scale, and four continuous queries."
sql -c 'CREATE DATABASE demo'
export PGDATABASE=demo
pgbench -i -q -s "$scale" >"$tmp/init" 2>&1 || { cat "$tmp/init"; exit 1; }
sql -f "$here/setup.sql"
sed -n '/^CREATE TABLE/,/;$/p' "$here/setup.sql"
awk -v n="$copy_rows" -v scale="$scale" 'BEGIN {
	for (i = 0; i < n; i++) {
		tid = int(rand() * scale * 10) + 1
		printf "%d\t%d\t%d\t0\n", tid, int((tid - 1) / 10) + 1, int(rand() * scale * 100000) + 1
	}
}' >"$tmp/rows"
sql -c 'SELECT velostream.wait()' >/dev/null

echo
echo "Load for $seconds s: $clients pgbench clients, and COPY with $copy_rows rows at a time."
pgbench -n -M prepared -c "$clients" -T "$seconds" >"$tmp/pgbench" 2>&1 &
bench=$!
load_by_copy &
loader=$!
jobs=("$bench")
watch_load "$bench"
wait "$bench" || { cat "$tmp/pgbench"; exit 1; }
touch "$tmp/stop"
wait "$loader"
jobs=()
begin=$(date +%s%N)
sql -c 'SELECT velostream.wait()' >/dev/null
waited=$((($(date +%s%N) - begin) / 1000000))

echo
grep -E '^(tps|number of transactions actually)' "$tmp/pgbench"
cat "$tmp/copied"
echo "velostream.wait() after the load: $waited ms"
echo
prove
