#!/usr/bin/perl
# CPU to keep an aggregate of 1000 groups right while 5 million rows arrive in
# batches of 100 000, against one plain SELECT over the same rows.  Ours is all
# that the launcher and the workers used, whatever for.
#
# The plain SELECT is the first one over these rows, in a new session: like us,
# it has to look up what became of the transactions that wrote them, and touches
# their pages for the first time.  What it takes when it is repeated, which
# nobody needs who has not changed anything, is printed for comparison.
use strict;
use warnings;
use FindBin;
use lib $FindBin::Bin;
use Bench;

my $batch = scaled(100_000);
my $batches = 50;
my $query = 'SELECT customer_id, count(*), sum(amount), avg(qty) FROM orders GROUP BY 1';
my $file = "$ENV{BENCH_DATA}/orders.copy";

# One measurement, in CPU time: our processes; the plain SELECT; the same once more.
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
	$_->close foreach $writer, $reader;

	my $plain = session('bench');
	$plain->run('SET jit = off; SET max_parallel_workers_per_gather = 0');
	my $first = ($plain->timed($query))[1];
	my $again = median(map { ($plain->timed($query))[1] } 1 .. 3);
	$plain->close;
	check_oracle('bench', 'totals');
	return ($ours, $first, $again);
}

foreach my $case ([ 'COPY', 'NOT NULL', 1.3 ], [ 'COPY', 'NULL', 1.3 ], [ 'INSERT ... SELECT', 'NOT NULL', 2 ])
{
	my ($load, $null, $target) = @$case;
	my (@ours, @first, @again);
	foreach (1 .. repeats())
	{
		my ($ours, $first, $again) = measure($load, $null);
		push @ours, $ours;
		push @first, $first;
		push @again, $again;
	}
	my $ratio = median(map { $ours[$_] / $first[$_] } 0 .. $#ours);
	my $what = sprintf('CPU for %d x %d rows by %s, columns %s, 1000 groups', $batches, $batch, $load, $null);
	row("$what; against one plain SELECT",
		ms(median(@ours)), ms(median(@first)), ratio($ratio), "at most $target x", $ratio <= $target);
	row("the same; against the SELECT when it is repeated", ms(median(@ours)), ms(median(@again)),
		ratio(median(map { $ours[$_] / $again[$_] } 0 .. $#ours)), '', undef);
}
