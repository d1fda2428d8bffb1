#!/usr/bin/env bash
# The demo's load for SOAK_SECONDS (10 minutes), with its proof at the end; no
# process of ours may grow meanwhile, and the horizon must keep up.
# Called by ./dev check --long, which gives it a server.
set -euo pipefail
top=$(cd "$(dirname "$0")/../.." && pwd)
seconds=${SOAK_SECONDS:-600}
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT
[ -z "${PREFIX:-}" ] || PATH=$(echo "$PREFIX"/lib/postgresql/*/bin):$PATH

# Private memory of the largest worker in the demo's database, in kB, and the
# age of the horizon in transactions.
sample() {
	local pid kb most=0
	for pid in $(psql -qAtX -d demo -c "SELECT pid FROM pg_stat_activity
			WHERE datname = 'demo' AND backend_type LIKE 'velostream%'"); do
		kb=$(awk '/^RssAnon/ { print $2 }' "/proc/$pid/status" 2>/dev/null || echo 0)
		[ "${kb:-0}" -le "$most" ] || most=$kb
	done
	echo "$most $(psql -qAtX -d demo -c 'SELECT coalesce(max(age), 0) FROM velostream.horizon()')"
}

DEMO_SECONDS=$seconds "$top/demo/demo.sh" >"$tmp/demo" 2>&1 &
demo=$!
sleep $((seconds / 4))
read -r early _ < <(sample)
sleep $((seconds / 2))
read -r late age < <(sample)
wait $demo || { cat "$tmp/demo"; exit 1; }
tail -n 12 "$tmp/demo"

echo "largest worker: $early kB after a quarter, $late kB after three; horizon $age transactions behind"
if [ "$early" = 0 ] || [ "$late" -gt $((early + early / 4 + 4096)) ]; then
	echo "a worker has grown, or there was none"
	exit 1
fi
if [ "$age" -gt 100000 ]; then
	echo "the horizon does not keep up"
	exit 1
fi
