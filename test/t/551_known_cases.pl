# Cases whose results are known, in the dialect: by query(), process() of all
# rows at once, process() row by row, and the worker; with the rows there before
# the query (backfill), and after it (live).
use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../perl";
use PostgreSQL::Test::Utils;
use Test::More;
use VelostreamTest;

my $node = new_node('known_cases', conf => "velostream.enabled = off\ntimezone = 'UTC'");

# source: columns of the table; rows: in the order of arrival; select: of the
# dialect; output: its columns with types, as query() wants them; result: the
# final rows, sorted.  "together": the result where all rows are one batch, if that makes
# a difference; "emitted": what query() returns row by row, if that is more than the last
# row of each key.
my $v = 'amount int, ts bigint';
my $count = 'w bigint, e bigint, n bigint';
my $five = 'FROM s WINDOW TUMBLING(ts, 5s)';
my $bounds = '_window_start AS w, _window_end AS e';
my $disorder = q{('A', 10, 100), ('A', 20, 500), ('A', 50, 2100), ('A', 5, 800), ('B', 30, 1200), ('Z', 0, 10000)};
my $per_key = "SELECT k, $bounds, count(*) AS n, sum(amount) AS total FROM s GROUP BY k WINDOW TUMBLING(ts, 1s)";
my $per_key_output = 'k text, w bigint, e bigint, n bigint, total bigint';
my $sessions = "SELECT k, $bounds, count(*) AS n, sum(amount) AS total FROM s GROUP BY k WINDOW SESSION(ts, 30s)";
my $before = '(100, 100, 0), (100, 150, 10000), (100, 200, 50000), (100, 250, 60000), (101, 400, 0)';

my @cases = (
	{ name => '1 count', source => $v, rows => '(100, 1000), (200, 2000), (300, 3000), (400, 6000), (500, 7000)',
		select => "SELECT $bounds, count(*) AS n $five", output => $count, result => '0 5000 3, 5000 10000 2' },
	{ name => '1 sum', source => $v, rows => '(100, 1000), (200, 2000), (300, 6000), (400, 7000)',
		select => "SELECT $bounds, sum(amount) AS n $five", output => $count, result => '0 5000 300, 5000 10000 700' },
	{ name => '1 min, max', source => $v, rows => '(100, 1000), (300, 2000), (200, 3000), (500, 6000), (400, 7000)',
		select => "SELECT $bounds, min(amount) AS low, max(amount) AS high $five", output => 'w bigint, e bigint, low int, high int',
		result => '0 5000 100 300, 5000 10000 400 500' },
	{ name => '2 where', source => $v, rows => '(100, 1000), (300, 2000), (400, 3000), (200, 6000), (500, 7000)',
		select => "SELECT $bounds, count(*) AS n FROM s WHERE amount > 250 WINDOW TUMBLING(ts, 5s)", output => $count, result => '0 5000 2, 5000 10000 1' },
	{ name => '2 having', source => $v, rows => '(100, 1000), (200, 2000), (300, 3000), (400, 6000)',
		select => "SELECT $bounds, count(*) AS n $five HAVING COUNT(*) >= 2", output => $count, result => '0 5000 3' },
	{ name => '2 no match', source => $v, rows => '(100, 1000), (200, 6000)',
		select => "SELECT $bounds, count(*) AS n FROM s WHERE amount > 1000 WINDOW TUMBLING(ts, 5s)", output => $count, result => '' },
	{ name => '2 at the bound', source => $v, rows => '(1, 1000), (1, 9999), (1, 10000), (1, 15000)',
		select => "SELECT $bounds, count(*) AS n FROM s WINDOW TUMBLING(ts, 10s)", output => $count, result => '0 10000 2, 10000 20000 2' },
	{ name => '3', source => $v, rows => '(50, 1000), (300, 2000), (200, 3000), (400, 4000), (80, 5000), (350, 11000), (90, 12000)',
		select => "SELECT $bounds, count(*) AS n, sum(amount) AS total, avg(amount)::int AS mean FROM s WHERE amount > 100 WINDOW TUMBLING(ts, 10s)",
		output => "$count, total bigint, mean int", result => '0 10000 3 900 300, 10000 20000 1 350 350' },
	{ name => '4', source => "k text, $v",
		rows => join(', ', map { my $w = $_; map { my $g = $_; map { sprintf "('%s', %d, %d)", chr(65 + $g), 10 * ($g + 1) + $_, 1000 * $w + 100 * $g + $_ } 0, 1 } 0 .. 4 } 0 .. 5),
		select => $per_key, output => $per_key_output, key => 2,
		result => join(', ', map { my $g = $_; map { sprintf '%s %d %d 2 %d', chr(65 + $g), 1000 * $_, 1000 * $_ + 1000, 20 * ($g + 1) + 1 } 0 .. 5 } 0 .. 4) },
	{ name => '5', source => "k text, $v", rows => q{('A', 10, 100), ('A', 20, 500), ('B', 30, 1000)},
		select => $per_key, output => $per_key_output, key => 2, result => 'A 0 1000 2 30, B 1000 2000 1 30' },
	{ name => '6 within the bound', source => "k text, $v", rows => $disorder, key => 2,
		select => "$per_key EMIT FINAL WITH ('watermark.max_out_of_orderness' = '1300ms')", output => $per_key_output,
		result => 'A 0 1000 3 35, A 2000 3000 1 50, B 1000 2000 1 30' },
	# rows of one batch are not late for one another
	{ name => '6 without a bound', source => "k text, $v", rows => $disorder, key => 2,
		select => "$per_key EMIT FINAL", output => $per_key_output, dead => 2,
		result => 'A 0 1000 2 30, A 2000 3000 1 50', together => 'A 0 1000 3 35, A 2000 3000 1 50, B 1000 2000 1 30' },
	{ name => '7', source => 'status text, amount int', rows => q{('p', 100), ('p', 200), ('c', 150), ('p', 300), ('p', 50)},
		select => 'SELECT status, count(*) AS n, sum(amount) AS total FROM s GROUP BY status EMIT CHANGES', output => 'status text, n bigint, total bigint', key => 1,
		result => 'c 1 150, p 4 650', emitted => 'p 1 100, p 2 300, c 1 150, p 3 600, p 4 650' },
	{ name => '8 two sessions', source => "k int, $v", rows => $before, select => "$sessions EMIT CHANGES", output => 'k int, w bigint, e bigint, n bigint, total bigint', key => 2,
		result => '100 0 40000 2 250, 100 50000 90000 2 450, 101 0 30000 1 400' },
	# what query() has returned before the sessions were joined stays returned
	{ name => '8 joined', source => "k int, $v", rows => "$before, (100, 300, 25000)", select => "$sessions EMIT CHANGES", output => 'k int, w bigint, e bigint, n bigint, total bigint', key => 2,
		result => '100 0 90000 5 1000, 101 0 30000 1 400',
		emitted => '100 0 30000 1 100, 100 0 40000 2 250, 100 50000 80000 1 200, 100 50000 90000 2 450, 101 0 30000 1 400, 100 0 90000 5 1000' },
	{ name => '8 keys', source => "k text, $v", rows => q{('A', 1, 0), ('B', 1, 4000), ('A', 1, 8000), ('B', 1, 12000)}, key => 2,
		select => "SELECT k, $bounds, count(*) AS n FROM s GROUP BY k WINDOW SESSION(ts, 5s) EMIT CHANGES", output => "k text, $count",
		result => 'A 0 5000 1, A 8000 13000 1, B 12000 17000 1, B 4000 9000 1' },
	# EMIT FINAL without a window is for query() alone
	{ name => '9', source => 'city text, temp int', once => 1, key => 1,
		rows => q{('London', 15), ('London', 10), ('London', 20), ('Paris', 20), ('Paris', 25), ('Paris', 15), ('Tokyo', 30), ('Tokyo', 35), ('Tokyo', 25)},
		select => 'SELECT city, min(temp), avg(temp)::int, max(temp) FROM s GROUP BY city EMIT FINAL', output => 'city text, low int, mean int, high int',
		result => 'London 10 15 20, Paris 15 20 25, Tokyo 25 30 35' },
	{ name => '11 keys', source => 'k int, amount int', rows => '(1, 100), (NULL, 200), (NULL, 300), (2, 400)', key => 1,
		select => 'SELECT k, count(*) AS n, sum(amount) AS total FROM s GROUP BY k', output => 'k int, n bigint, total bigint', result => '- 2 500, 1 1 100, 2 1 400' },
	{ name => '11 values', source => 'amount int', rows => '(100), (NULL), (200), (NULL)', key => 0,
		select => 'SELECT count(*) AS n, count(amount) AS amounts, sum(amount) AS total, avg(amount)::int AS mean FROM s', output => 'n bigint, amounts bigint, total bigint, mean int', result => '4 2 300 150' },
	# the rows of a buffer are not those of the plain query
	{ name => '12', source => 'x int', rows => '(100), (200), (300), (400)', key => 1,
		select => 'SELECT x, LAG(x) OVER (ROWS WINDOW BUFFER 100 ROWS) AS before FROM s', output => 'x int, before int',
		result => '100 -, 200 100, 300 200, 400 300' },
	{ name => '13', source => $v, rows => join(', ', map { "(1, ${_}000)" } 1, 55 .. 59, 61, 71),
		select => "SELECT $bounds, count(*) AS n FROM s WINDOW TUMBLING(ts, 10s) EMIT FINAL", output => $count, result => '0 10000 1, 50000 60000 5, 60000 70000 1' });

# Final rows need no closing, where a case is not about it.
$_->{select} .= ' EMIT CHANGES' for grep { $_->{select} !~ /EMIT/ } @cases;

# Sorted rows, from lines.
sub sorted { return join ', ', sort split /\n/, shift }

sub run_sql { return $node->safe_psql('postgres', "SET client_min_messages = error; SET search_path = known, public; $_[0]") }

# The single rows of a VALUES list.
sub single { return $_[0] =~ /(\([^()]*\))/g }

# The rows of the output of a case as lines; NULL is -.
sub lines
{
	my ($case, $from) = @_;
	my @names = map { (split)[0] } split /, /, $case->{output};
	return "SELECT concat_ws(' ', " . join(', ', map { "coalesce($_\::text, '-')" } @names) . ") FROM $from";
}

# One way: the source loaded before or after the query is made.
sub run_case
{
	my ($case, $way, $when) = @_;
	my @rows = single($case->{rows});
	my @loads = $way eq 'row by row' || $way eq 'worker, row by row' ? @rows : (join ', ', @rows);
	my $step = { 'one batch' => 'SELECT FROM velostream.process(\'o\')', 'row by row' => 'SELECT FROM velostream.process(\'o\', 1)' }->{$way}
	  // q{SELECT velostream.wait('o', timeout => '60s')};
	my $make = "SELECT FROM velostream.execute(\$q\$ CREATE TABLE o AS $case->{select} \$q\$)";
	my $together = $way eq 'one batch' || $way eq 'worker';
	my $expected = $together ? $case->{together} // $case->{result} : $case->{result};

	run_sql("DROP SCHEMA IF EXISTS known CASCADE; CREATE SCHEMA known; CREATE TABLE s ($case->{source})");
	run_sql($make) if $when eq 'live';
	run_sql("INSERT INTO s VALUES $_") for $when eq 'live' ? () : @loads;
	run_sql($make) if $when ne 'live';
	if ($when eq 'live')
	{
		run_sql($step);
		for my $load (@loads) { run_sql("INSERT INTO s VALUES $load"); run_sql($step); }
	}
	run_sql($step);
	is(sorted(run_sql(lines($case, 'o'))), join(', ', sort split /, /, $expected), "$case->{name}: $way, $when");
	is(run_sql(q{SELECT dead FROM velostream.stat_queries WHERE name = 'o'}), $together ? 0 : $case->{dead}, "$case->{name}: $way, $when: dead letters")
	  if $case->{dead};
	is(run_sql('SELECT wrong()'), '', "$case->{name}: $way, $when: the oracle") unless $case->{select} =~ /SESSION|FINAL/;
	return;
}

# query(): all at once, and row by row, where the last row of each key counts.
for my $case (@cases)
{
	my $key = $case->{key} // 1;
	my %last;

	run_sql("DROP SCHEMA IF EXISTS known CASCADE; CREATE SCHEMA known; CREATE TABLE s ($case->{source}); INSERT INTO s VALUES $case->{rows}");
	my $call = sub { lines($case, "velostream.query(\$q\$ $case->{select} \$q\$, $_[0]) AS t($case->{output})") };
	is(sorted(run_sql($call->(0))), join(', ', sort split /, /, $case->{together} // $case->{result}), "$case->{name}: query() of all");
	my @emitted = split /\n/, run_sql($call->(1));
	if ($case->{emitted}) { is(join(', ', @emitted), $case->{emitted}, "$case->{name}: query() row by row"); next; }
	$last{ join ' ', grep { defined } (split)[ 0 .. $key - 1 ] } = $_ for @emitted;
	is(join(', ', sort values %last), join(', ', sort split /, /, $case->{result}), "$case->{name}: query() row by row");
	is(scalar @emitted, scalar keys %last, "$case->{name}: each once") if $case->{select} =~ /FINAL/;
}
for my $way ('one batch', 'row by row')
{
	for my $case (grep { !$_->{once} } @cases) { run_case($case, $way, $_) for 'backfill', 'live'; }
}
set_guc($node, 'velostream.enabled' => 'on');
for my $case (grep { !$_->{once} } @cases)
{
	run_case($case, 'worker', $_) for 'backfill', 'live';
	run_case($case, 'worker, row by row', 'live');
}

log_is_clean($node);
$node->stop;
done_testing();
