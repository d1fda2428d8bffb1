#!/usr/bin/env bash
# All lints run, and find what they are for: each is executable, and complains
# about the tree with its bug in planted/.
here=$(cd "$(dirname "$0")" && pwd)
top=$(cd "$1" && pwd)
[ "$here" = "$top/test/lint" ] || { echo "$1: no lints here"; exit 1; }
for lint in "$here"/*; do
	name=$(basename "$lint")
	case $name in
	planted | lints.sh) continue ;;
	*.sh | *.pl) ;;
	*) echo "$name: neither .sh nor .pl, so it does not run"; continue ;;
	esac
	[ -x "$lint" ] || echo "$name: not executable, so it does not run"
	[ -d "$here/planted/${name%.*}" ] || { echo "$name: no planted/${name%.*}"; continue; }
	[ -n "$("$lint" "$here/planted/${name%.*}" 2>&1)" ] || echo "$name: does not find the planted bug"
done
for bug in "$here"/planted/*; do
	compgen -G "$here/$(basename "$bug").*" >/dev/null || echo "planted/$(basename "$bug"): no such lint"
done
