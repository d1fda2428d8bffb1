#!/usr/bin/perl
# CPU to keep an aggregate of 1000 groups right while 5 million rows arrive in
# batches of 100 000, against one plain SELECT over the same rows.  Ours is all
# that the launcher and the workers used, whatever for.
use strict;
use warnings;
use FindBin;
use lib $FindBin::Bin;
use Bench;

my $batch = scaled(100_000);
my $batches = 50;
my $query = 'SELECT customer_id, count(*), sum(amount), avg(qty) FROM orders GROUP BY 1';
my $file = "$ENV{BENCH_DATA}/orders.copy";

# One measurement: (CPU of our processes, CPU of the plain SELECT).
sub measure
{
	my ($load, $null) = @_;
	database('bench');
	my $writer = session('bench');
	my $reader = session('bench');
	$writer->run("CREATE TABLE orders (order_id bigint $null, customer_id int $null, amount int $null, qty int $null)");
	$writer->run("CREATE TABLE totals WITH (velostream.continuous) AS $query");
	my $rows = "SELECT i, i % 1000, 150 + i % 100, i % 7 FROM generate_series(1, $batch) i";
	$writer->run("COPY ($rows) TO '$file'");
	$reader->run('SELECT velostream.wait()');

	# as PostgreSQL comes: who commits writes the WAL to disk
	$writer->run('SET synchronous_commit = on');
	my $ours = velostream_cpu();
	foreach (1 .. $batches)
	{
		$writer->run($load eq 'COPY' ? "COPY orders FROM '$file'" : "INSERT INTO orders $rows");
		$reader->run('SELECT velostream.wait()');
	}
	$ours = velostream_cpu() - $ours;
	check_oracle('bench', 'totals');
	$reader->run('SET jit = off; SET max_parallel_workers_per_gather = 0');
	$reader->run($query);
	my $plain = median(map { ($reader->timed($query))[1] } 1 .. 3);
	$_->close foreach $writer, $reader;
	return ($ours, $plain);
}

foreach my $case ([ 'COPY', 'NOT NULL', 1.3 ], [ 'COPY', 'NULL', 1.3 ], [ 'INSERT ... SELECT', 'NOT NULL', 2 ])
{
	my ($load, $null, $target) = @$case;
	my (@ours, @plain, @ratio);
	foreach (1 .. repeats())
	{
		my ($ours, $plain) = measure($load, $null);
		push @ours, $ours;
		push @plain, $plain;
		push @ratio, $ours / $plain;
	}
	row(sprintf('CPU for %d x %d rows by %s, columns %s, 1000 groups; against one plain SELECT',
			$batches, $batch, $load, $null),
		ms(median(@ours)), ms(median(@plain)), ratio(median(@ratio)), "at most $target x", median(@ratio) <= $target);
}
