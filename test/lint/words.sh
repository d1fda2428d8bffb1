#!/usr/bin/env bash
# Words that have no place in a published source: unfinished work, paths of
# somebody's machine, and who or what typed it.
cd "$1" || exit 1
find . \( -name .git -o -path ./build -o -path ./test/lint/planted -o -path ./test/isolation/output \) -prune -o \
	-type f ! -name '*.[od]' ! -name '*.so' -print0 |
	xargs -0 grep -nIiE 'TO''DO|FIX''ME|\bX''XX\b|/wor''k/|/roo''t/|/hom''e/[a-z]|shar''ed/[a-z]*\.md|cl''aude|anth''ropic|open''ai|chat''gpt|co-auth''ored'
exit 0
