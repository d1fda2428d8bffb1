#!/usr/bin/perl
# velostream.query(), row by row: CPU time, as rows a second.
use strict;
use warnings;
use FindBin;
use lib $FindBin::Bin;
use Bench;

my $n = scaled(1_000_000);
my $aggregates = 'symbol, count(*), avg(price), min(price), max(price), sum(quantity)';
my @queries = (
	[ 'filter and projection',
		'SELECT order_id, customer_id, order_date, total_amount FROM s0 WHERE total_amount > 100',
		'i int, c int, d timestamp, a numeric' ],
	[ '5 aggregates of 200 groups (float8)', "SELECT $aggregates FROM s2 GROUP BY symbol",
		's text, n bigint, a float8, lo float8, hi float8, q bigint' ],
	[ 'the same (numeric)', "SELECT $aggregates FROM s2n GROUP BY symbol",
		's text, n bigint, a numeric, lo numeric, hi numeric, q bigint' ]);

database('bench');
my $s = session('bench');
$s->run("CREATE TABLE s0 AS SELECT i AS order_id, i % 1000 AS customer_id, timestamp '2024-01-01' + i * interval '1 s' AS order_date,
	(150 + i % 100)::numeric AS total_amount FROM generate_series(0, $n - 1) i");
$s->run("CREATE TABLE $_->[0] AS SELECT 'SYM' || i % 200 AS symbol, (100 + i % 100)::$_->[1] AS price, i % 1000 AS quantity
	FROM generate_series(0, $n - 1) i") foreach [ 's2', 'float8' ], [ 's2n', 'numeric' ];
$s->run('VACUUM ANALYZE');
$s->run('SET max_parallel_workers_per_gather = 0');

sub rate { return sprintf('%.0f K rows/s', $n / $_[0] / 1000) }

# The CPU time of a command, the best of some.
sub best
{
	my ($sql) = @_;
	my @times = map { ($s->timed($sql))[1] } 0 .. repeats();
	return (sort { $a <=> $b } @times)[0];
}

foreach my $query (@queries)
{
	my ($what, $text, $columns) = @$query;
	my $plain = best("SELECT count(*) FROM ($text OFFSET 0) t");
	foreach my $rows (1, 0)
	{
		my $ours = best("SELECT count(*) FROM velostream.query('$text', $rows) AS t($columns)");
		row("velostream.query(): $what, $n rows, " . ($rows ? 'row by row' : 'at once') . '; against the plain query once',
			rate($ours), rate($plain), ratio($ours / $plain), '');
	}
}
$s->close;
