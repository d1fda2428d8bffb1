#!/usr/bin/env bash
# A test without its expected output, or the other way round, does not run.
cd "$1" || exit 1
pairs() { # folder of inputs, their ending, folder of outputs
	comm -3 <(find "$1" -maxdepth 1 -name "*.$2" ! -name 'velostream--*' -exec basename {} ".$2" \; 2>/dev/null | sort) \
		<(find "$3" -maxdepth 1 -name '*.out' -exec basename {} .out \; 2>/dev/null | sed 's/_[0-9]$//' | sort -u) |
		sed "s|^\t\(.*\)|$3/\1.out: no test|; t; s|\(.*\)|$1/\1.$2: no expected output|"
}
pairs sql sql expected
pairs test/isolation/specs spec test/isolation/expected
