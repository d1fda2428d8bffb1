# Each example runs without an error in a database of its own, and what it
# leaves is what PostgreSQL computes from its sources by plain queries.
use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../perl";
use PostgreSQL::Test::Utils;
use Test::More;
use VelostreamTest;

my $node = new_node('examples', conf => "timezone = 'UTC'");

# What each leaves: output => [ columns, plain query ], beside the query of its
# own view, with which every table but one of sessions is compared, too.
my %plain = (
	trades_per_minute => {
		per_minute => [ 'symbol, minute, trades, turnover, low, high', <<'END' ] },
SELECT symbol, date_trunc('minute', ts), count(*), sum(price * quantity), min(price), max(price) FROM trades GROUP BY 1, 2
END
	shop_sessions => {
		sessions => [ 'visitor, _window_start, _window_end, clicks, basket', <<'END' ] },
SELECT visitor, min(ts), max(ts) + interval '30 minutes', count(*), max(basket)
FROM (SELECT *, count(*) FILTER (WHERE fresh) OVER (PARTITION BY visitor ORDER BY ts) AS n
	  FROM (SELECT *, ts - lag(ts) OVER (PARTITION BY visitor ORDER BY ts) > interval '30 minutes' AS fresh FROM clicks) c) s
GROUP BY visitor, n
END
	sliding_averages => {
		averages => [ 'sensor, at, round(celsius, 6), readings', <<'END' ] },
SELECT sensor, at, round(avg(celsius), 6), count(*)
FROM readings, generate_series(date_trunc('minute', ts) + interval '1 minute', date_trunc('minute', ts) + interval '10 minutes', interval '1 minute') at
GROUP BY 1, 2
END
	card_fraud => {
		suspicious => [ 'card, _window_start, payments, total', <<'END' ] },
SELECT card, date_bin('5 minutes', ts, 'epoch'), count(*), sum(amount) FROM payments WHERE amount > 0
GROUP BY 1, 2 HAVING count(*) >= 5 OR sum(amount) > 1000
END
	pipeline => {
		paid => [ 'id, shop, amount, ts', q{SELECT id, shop, amount, ts FROM orders WHERE status = 'paid'} ],
		hours => [ 'shop, _window_start, orders, amount, best_minute', <<'END' ] },
SELECT shop, date_trunc('hour', minute), sum(n), sum(amount), max(amount)
FROM (SELECT shop, date_trunc('minute', ts) AS minute, count(*) AS n, sum(amount) AS amount FROM orders WHERE status = 'paid' GROUP BY 1, 2) m
GROUP BY 1, 2
END
	quick_start => {
		large_orders => [ '_op, id, customer_id, amount', q{SELECT 'insert', id, customer_id, amount FROM orders WHERE amount > 100} ],
		customers => [ 'customer_id, orders, total', 'SELECT customer_id, count(*), sum(amount) FROM orders GROUP BY 1' ] });

my @files = sort glob "$FindBin::RealBin/../../examples/*.sql";
is(join(' ', map { m!([^/]+)\.sql$! } @files), join(' ', sort keys %plain), 'every example is tested');

for my $file (@files)
{
	my ($name) = $file =~ m!([^/]+)\.sql$!;

	$node->safe_psql('postgres', "CREATE DATABASE $name");
	install($node, $name);
	my ($rc, $out, $err) = $node->psql($name, slurp_file($file), timeout => 180);
	ok($rc == 0 && $err !~ /ERROR|WARNING/, "$name: runs") or diag($err);
	oracle($node, $name, "$name: every table is its query") unless $name eq 'shop_sessions';
	for my $output (sort keys %{ $plain{$name} })
	{
		my ($columns, $query) = @{ $plain{$name}{$output} };
		my $result = $node->safe_psql($name, <<"END");
SET search_path = $name;
WITH o AS (SELECT $columns FROM $output), p AS ($query)
SELECT (SELECT count(*) > 0 FROM o), count(*) FROM ((TABLE o EXCEPT ALL TABLE p) UNION ALL (TABLE p EXCEPT ALL TABLE o)) d
END
		is($result, 't|0', "$name: $output is the plain query over its sources");
	}
}

log_is_clean($node);
$node->stop;
done_testing();
