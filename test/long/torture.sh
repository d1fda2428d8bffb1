#!/usr/bin/env bash
# Random histories for TORTURE_MINUTES (20 minutes), half of them with crashes,
# from a seed that is new every time and printed.
# Called by ./dev check --long.  The histories have a server of their own.
set -euo pipefail
top=$(cd "$(dirname "$0")/../.." && pwd)
seed=${TORTURE_SEED:-$((RANDOM * 32768 + RANDOM))}
minutes=${TORTURE_MINUTES:-20}

run() {
	if [ "$(id -u)" = 0 ]; then runuser -u postgres -- "$@"; else "$@"; fi
}

[ -z "${PREFIX:-}" ] || PATH=$(echo "$PREFIX"/lib/postgresql/*/bin):$PATH
torture=$top/test/torture
[ -z "${PREFIX:-}" ] || torture=$PREFIX/tree/test/torture
half=$(awk "BEGIN { print $minutes / 2 }")
run env PATH="$PATH" perl "$torture/torture.pl" --work "$WORK/torture" --seed "$seed" --minutes "$half"
run env PATH="$PATH" perl "$torture/torture.pl" --work "$WORK/torture" --seed "$seed" --minutes "$half" --crashes
