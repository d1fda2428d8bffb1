#!/usr/bin/env bash
# Every shell script passes shellcheck.
cd "$1" || exit 1
find . \( -name .git -o -path ./build -o -path ./test/lint/planted \) -prune -o \
	-type f ! -name '*.[ch]' -print0 |
	while IFS= read -r -d '' file; do
		! head -n 1 "$file" 2>/dev/null | LC_ALL=C grep -qaE '^#!.*\b(ba)?sh\b' || printf '%s\0' "$file"
	done | xargs -0 -r shellcheck -x
