#!/usr/bin/env bash
# The benchmarks, as one markdown table.  Called by ./dev bench, which gives
# it a server.  BENCH_SCALE=0.01 BENCH_REPEATS=1 BENCH_SECONDS=2 try the
# scripts themselves.
set -euo pipefail
cd "$(dirname "$0")"

names=(aggregate upsert size writers latency idle today memory dialect query windows)
if [ "${1:-}" = --list ]; then
	for name in "${names[@]}"; do
		sed -n '2,/^[^#]/{s/^# *//;t p;b;:p p}' "$name.pl" | head -n 1 | sed "s/^/$name: /"
	done
	exit
fi
[ $# = 0 ] || names=("$@")
for name in "${names[@]}"; do
	[ -e "$name.pl" ] || { echo "no such benchmark: $name; ./dev bench --list names them" >&2; exit 2; }
done

memory=$(awk '/^MemTotal/ { printf "%.0f", $2 / 1048576 }' /proc/meminfo)
model=$(awk -F': *' '/^model name/ { print $2; exit }' /proc/cpuinfo)
load=$(cut -d ' ' -f 1 /proc/loadavg)
echo "$(nproc) cores (${model:-unknown}), $memory GB, $(psql -qAtXc "SELECT 'PostgreSQL ' || current_setting('server_version') || ', shared_buffers ' || current_setting('shared_buffers')
	|| ', velostream.cache_size ' || current_setting('velostream.cache_size')"), $(date +%F); load average before: $load"
echo
echo '| | velostream | against | ratio | target | met |'
echo '|---|--:|--:|--:|---|---|'
failed=0
for name in "${names[@]}"; do
	perl "$name.pl" || { echo "| $name failed | | | | | |"; failed=1; }
done
exit $failed
