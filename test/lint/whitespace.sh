#!/usr/bin/env bash
# Trailing blanks, carriage returns, a missing newline at the end of a file.
cd "$1" || exit 1
find . \( -name .git -o -path ./build -o -path ./test/lint/planted -o -path ./expected -o -path ./test/isolation/expected \
	-o -path ./test/isolation/output -o -path ./tmp_check -o -path ./results \) -prune -o \
	-type f ! -name '*.out' ! -name '*.[od]' ! -name '*.so' ! -name '*.png' -print0 |
	while IFS= read -r -d '' file; do
		grep -nIHE $'[ \t\r]+$' "$file" | cut -c 1-100
		[ ! -s "$file" ] || [ -z "$(tail -c 1 "$file" | tr -d '\n')" ] || echo "$file: no newline at the end"
	done
exit 0
