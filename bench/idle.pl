#!/usr/bin/perl
# CPU of launcher and workers with 20 queries that have nothing to do: nothing
# is written at all, or another table takes 20 000 transactions a second.
use strict;
use warnings;
use FindBin;
use lib $FindBin::Bin;
use Bench;

my $seconds = $ENV{BENCH_SECONDS} || 10;

# Part of a core used by our processes while $work runs.
sub busy
{
	my ($work) = @_;
	my %before = map { $_ => process_cpu($_) } velostream_pids();
	my $begin = time;
	my $result = $work->();
	my $elapsed = time - $begin;
	my $cpu = sum(0, map { process_cpu($_) - ($before{$_} || 0) } velostream_pids());
	return ($cpu / $elapsed, $result);
}

database('bench');
foreach my $i (1 .. 20)
{
	sql('bench', "CREATE TABLE source$i (k int, v int);
		INSERT INTO source$i SELECT i % 1000, i FROM generate_series(1, 10000) i;
		CREATE TABLE totals$i WITH (velostream.continuous) AS SELECT k, count(*), sum(v) FROM source$i GROUP BY k");
}
sql('bench', 'CREATE TABLE other (k int, v int)');
sql('bench', 'SELECT velostream.wait()');
set_server('autovacuum', 'off');
sql('bench', 'CHECKPOINT');
sleep(5);

my (@quiet, @loaded, @tps);
foreach (1 .. repeats())
{
	push @quiet, (busy(sub { sleep($seconds) }))[0];
	my ($cpu, $tps) = busy(sub {
		pgbench('bench', "INSERT INTO other VALUES (1, 1);\n", '-c 4 -j 2 -R 20000', "-T $seconds");
	});
	push @loaded, $cpu;
	push @tps, $tps;
}
set_server('autovacuum', '');
sub percent { return sprintf('%.2f %%', 100 * $_[0]) }
row('20 idle queries, nothing written: part of a core', percent(median(@quiet)), '', '', 'under 0.5 %', median(@quiet) < 0.005);
row(sprintf('20 queries at rest, another table takes %.0f transactions/s: part of a core', median(@tps)),
	percent(median(@loaded)), '', '', 'under 5 %', median(@loaded) < 0.05);
