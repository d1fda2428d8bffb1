#!/usr/bin/perl
# Velostream's own workloads, 1 million rows that are already in the table
# (backfill) and that arrive in batches of 100 000, against the same by hand.
use strict;
use warnings;
use FindBin;
use lib $FindBin::Bin;
use Bench;

my $n = scaled(1_000_000);
my $batches = 10;

my $trades = "SELECT i AS id, 'T' || i % 50 AS trader, 'SYM' || i % 100 AS symbol, 100 + i % 50 AS price,
	i % 1000 AS quantity, 1000000 + 1000 * i AS trade_time";
my $s3 = "SELECT trader, symbol, velostream.tumble(trade_time, '1 min') AS window_start, count(*), avg(price),
	sum(quantity), sum(price * quantity) AS volume FROM source GROUP BY 1, 2, 3";
my @workloads = (
	{   name => 'S0, filter and projection', target => 1.3,
		columns => 'order_id bigint, customer_id int, order_date timestamptz, total_amount int',
		rows => "SELECT i, i % 1000, '2024-01-01'::timestamptz + i * interval '1 s', 150 + i % 100",
		query => 'SELECT order_id, customer_id, order_date, total_amount FROM source WHERE total_amount > 100',
		options => ', velostream.source_mode = append' },
	{   name => 'S1, average of the last 100 rows of 10 symbols', target => 1.5,
		columns => 'symbol text, price int, ts bigint',
		rows => "SELECT 'SYM' || i % 10, 100 + i % 50, 1000::bigint * i",
		query => 'SELECT symbol, ts, avg(price) OVER (PARTITION BY velostream.buffer(100), symbol ORDER BY ts) FROM source',
		hand => 'SELECT symbol, ts, avg(price) OVER (PARTITION BY symbol ORDER BY ts ROWS BETWEEN 99 PRECEDING AND CURRENT ROW) FROM source',
		options => ', velostream.source_mode = append' },
	{   name => 'S2, 200 groups', target => 1.3, plain => 1,
		columns => 'id bigint, symbol text, price int, quantity int',
		rows => "SELECT i, 'SYM' || i % 200, 100 + i % 100, i % 1000",
		query => 'SELECT symbol, count(*), avg(price), min(price), max(price), sum(quantity) FROM source GROUP BY 1',
		options => '' },
	{   name => 'S3a, tumbling windows, EMIT FINAL', target => 1.3,
		columns => 'id bigint, trader text, symbol text, price int, quantity int, trade_time bigint',
		rows => $trades, query => $s3, options => ', velostream.emit = final' },
	{   name => 'S3b, the same, EMIT CHANGES', target => 1.5,
		columns => 'id bigint, trader text, symbol text, price int, quantity int, trade_time bigint',
		rows => $trades, query => $s3, options => '' });

# Seconds of a query over all rows: into a table, or only computed.
sub by_hand
{
	my ($s, $workload) = @_;
	my $query = $workload->{hand} // $workload->{query};
	return ($s->timed($query))[0] if $workload->{plain};
	$s->run("DROP TABLE IF EXISTS by_hand; CREATE TABLE by_hand AS $query WITH NO DATA");
	return ($s->timed("INSERT INTO by_hand $query"))[0];
}

sub measure
{
	my ($workload) = @_;
	my ($backfill, $batched, $hand);
	database('bench');
	my $s = session('bench');
	$s->run("SET client_min_messages = warning");
	$s->run("SET jit = off; SET max_parallel_workers_per_gather = 0");
	# autovacuum may have later rows put before earlier ones; then they arrive so
	$s->run("CREATE TABLE source ($workload->{columns}) WITH (autovacuum_enabled = off)");
	$s->run("INSERT INTO source $workload->{rows} FROM generate_series(0, $n - 1) i");
	$s->run('VACUUM ANALYZE source');
	by_hand($s, $workload);
	$hand = by_hand($s, $workload);

	# what the batches take by the clock, not the creation of the query
	$s->run("CREATE TABLE kept WITH (velostream.continuous $workload->{options}) AS $workload->{query}");
	$s->run("SELECT velostream.wait('kept')");
	$backfill = $s->run("SELECT busy_ms / 1000 FROM velostream.stat_queries");
	check($s, $workload);

	$s->run('DROP TABLE kept; TRUNCATE source');
	$s->run("CREATE TABLE kept WITH (velostream.continuous $workload->{options}) AS $workload->{query}");
	$s->run("SELECT velostream.wait('kept')");
	my $before = $s->run("SELECT busy_ms / 1000 FROM velostream.stat_queries");
	for my $i (0 .. $batches - 1)
	{
		my ($first, $last) = ($n / $batches * $i, $n / $batches * ($i + 1) - 1);
		$s->run("INSERT INTO source $workload->{rows} FROM generate_series($first, $last) i");
		$s->run("SELECT velostream.wait('kept')");
	}
	$batched = $s->run("SELECT busy_ms / 1000 FROM velostream.stat_queries") - $before;
	check($s, $workload);
	$s->close;
	return ($backfill, $batched, $hand);
}

# Against the plain query: of EMIT FINAL those windows that have closed.
sub check
{
	my ($s, $workload) = @_;
	my $query = $workload->{hand} // $workload->{query};
	$query = "SELECT * FROM ($query) q WHERE window_start + 60000 <= (SELECT max(trade_time) FROM source)"
		if $workload->{options} =~ /final/;
	my $wrong = $s->run("WITH q AS MATERIALIZED ($query)
		SELECT (SELECT count(*) FROM (SELECT * FROM q EXCEPT ALL SELECT * FROM kept) a)
			 + (SELECT count(*) FROM (SELECT * FROM kept EXCEPT ALL SELECT * FROM q) b)");
	die "$workload->{name} differs from its query in $wrong rows\n" if $wrong ne '0';
}

foreach my $workload (@workloads)
{
	my (@backfill, @batched, @hand);
	foreach (1 .. repeats())
	{
		my ($backfill, $batched, $hand) = measure($workload);
		push @backfill, $backfill;
		push @batched, $batched;
		push @hand, $hand;
	}
	my $target = $workload->{target};
	my $against = $workload->{plain} ? 'the plain SELECT' : 'INSERT INTO out SELECT by hand';
	foreach (['in the table', \@backfill], ["in $batches batches", \@batched])
	{
		my ($how, $ours) = @$_;
		my $ratio = median(map { $ours->[$_] / $hand[$_] } 0 .. $#hand);
		row(sprintf('%s, %d rows %s (%d 000 rows/s); against %s', $workload->{name}, $n, $how,
				$n / median(@$ours) / 1000, $against),
			ms(median(@$ours)), ms(median(@hand)), ratio($ratio), "at most $target x", $ratio <= $target);
	}
}
