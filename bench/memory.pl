#!/usr/bin/perl
# Private memory of the workers while batches of growing size pass through, at
# work_mem = 4 MB, and our shared memory against the settings.
use strict;
use warnings;
use FindBin;
use lib $FindBin::Bin;
use Bench;

# Highest private memory of any of our processes until wait() returns, in MB.
sub peak
{
	my ($sql) = @_;
	my $s = session('bench');
	$s->run($sql);
	my $peak = 0;
	my $looked = 0;
	my @pids;
	$s->send('SELECT velostream.wait()');
	do
	{
		@pids = velostream_pids() if $looked++ % 50 == 0;
		$peak = max($peak, map { anon_memory($_) } @pids);
	} until $s->ready(0.02);
	$s->receive;
	$s->close;
	return $peak;
}

set_server('work_mem', "'4MB'");
foreach my $case ([ 1000, 'by 1000 groups' ], [ scaled(2_000_000), 'each a group of its own' ])
{
	my ($groups, $text) = @$case;
	my %peak;
	foreach my $rows (scaled(100_000), scaled(2_000_000))
	{
		foreach (1 .. repeats())
		{
			database('bench');
			sql('bench', 'CREATE TABLE events (k int, v int);
				CREATE TABLE totals WITH (velostream.continuous) AS SELECT k, count(*), sum(v) FROM events GROUP BY k');
			sql('bench', 'SELECT velostream.wait()');
			push @{ $peak{$rows} }, peak("INSERT INTO events SELECT i % $groups, i FROM generate_series(1, $rows) i");
			check_oracle('bench', 'totals');
		}
	}
	my ($small, $large) = map { median(@{ $peak{$_} }) } sort { $a <=> $b } keys %peak;
	my ($few, $many) = sort { $a <=> $b } keys %peak;
	row("private memory of a worker, a batch of $many rows, $text; against a batch of $few",
		sprintf('%.1f MB', $large), sprintf('%.1f MB', $small), ratio($large / $small),
		'bounded by work_mem (4 MB)', $large - $small <= 8);
}
my ($used, $allowed) = split(/\|/, sql('bench', "
	SELECT sum(allocated_size) / 1048576.0,
		(SELECT sum(pg_size_bytes(current_setting(name))) FROM pg_settings
		 WHERE name IN ('velostream.cache_size', 'velostream.hint_buffer')) / 1048576.0
		+ current_setting('velostream.max_queries')::int * 2048 / 1048576.0
	FROM pg_shmem_allocations WHERE name ILIKE 'velostream%'"));
row('shared memory; against velostream.cache_size + hint_buffer + 2 kB for each of max_queries', sprintf('%.1f MB', $used),
	sprintf('%.1f MB', $allowed), ratio($used / $allowed), 'never above what the settings say', $used <= $allowed);
set_server('work_mem', '');
