#!/usr/bin/perl
# Sliding windows against tumbling ones over the same rows, and sessions against
# plain SQL for gaps and islands; times are those of the batches, by the clock.
use strict;
use warnings;
use FindBin;
use lib $FindBin::Bin;
use Bench;

my $n = scaled(1_000_000);

# Seconds in batches of a query so far.
sub busy { return $_[0]->run("SELECT busy_ms / 1000 FROM velostream.stat_queries WHERE name = '$_[1]'") }

# A day of rows, 100 keys: 60 windows overlap.
sub sliding
{
	database('bench');
	my $s = session('bench');
	my ($tumbling, $sliding);
	$s->run('CREATE TABLE source (k int, ts timestamptz, v int)');
	$s->run("INSERT INTO source SELECT i % 100, '2024-01-01'::timestamptz + i * interval '1 day' / $n, i % 1000
		FROM generate_series(0, $n - 1) i");
	$s->run('VACUUM ANALYZE source');
	foreach my $window ("tumble(ts, '1 min')", "hop(ts, '1 hour', '1 min')")
	{
		my $name = (split(/\W/, $window))[0];
		$s->run("CREATE TABLE $name WITH (velostream.continuous) AS
			SELECT k, velostream.$window AS start, count(*), sum(v), avg(v), max(v) FROM source GROUP BY 1, 2");
		$s->run("SELECT velostream.wait('$name')");
	}
	my @seconds = map { busy($s, $_) } qw(tumble hop);
	check_oracle('bench', 'tumble');
	check_oracle('bench', 'hop');
	$s->close;
	return @seconds;
}

# 1000 keys whose sessions have 20 rows, 30 s apart; 1 row in 16 comes up to four
# minutes late; 20 batches.
sub sessions
{
	my $batches = 20;
	my $islands = "SELECT k, min(ts) AS start, max(ts) AS last, count(*), sum(v) FROM
		(SELECT *, sum(first) OVER (PARTITION BY k ORDER BY ts) AS session FROM
			(SELECT *, coalesce(ts - lag(ts) OVER (PARTITION BY k ORDER BY ts) > interval '30 min', true)::int AS first
				FROM source) a) b GROUP BY k, session";
	database('bench');
	my $s = session('bench');
	$s->run('SET jit = off; SET max_parallel_workers_per_gather = 0');
	$s->run('CREATE TABLE source (k int, ts timestamptz, v int)');
	$s->run("CREATE TABLE kept WITH (velostream.continuous, velostream.source_mode = append) AS
		SELECT k, velostream.session(ts, '30 min') AS start, max(ts) AS last, count(*), sum(v) FROM source GROUP BY 1, 2");
	$s->run("SELECT velostream.wait('kept')");
	my $ours = -busy($s, 'kept');
	foreach my $batch (0 .. $batches - 1)
	{
		my ($first, $last) = ($n / $batches * $batch, $n / $batches * ($batch + 1) - 1);
		$s->run("INSERT INTO source SELECT i / 20 % 1000,
			'2024-01-01'::timestamptz + i / 20 * interval '10 days' / ($n / 20.0) + i % 20 * interval '30 s'
				- CASE WHEN hashint8(i) & 31 < 2 THEN (hashint8(-i) & 255) * interval '1 s' ELSE interval '0' END,
			i % 1000 FROM generate_series($first, $last) i");
		$s->run("SELECT velostream.wait('kept')");
	}
	$ours += busy($s, 'kept');
	$s->run('VACUUM ANALYZE source');
	$s->run($islands);
	my ($plain) = $s->timed($islands);
	my $wrong = $s->run("WITH q AS MATERIALIZED ($islands)
		SELECT (SELECT count(*) FROM (SELECT * FROM q EXCEPT ALL SELECT * FROM kept) a)
			 + (SELECT count(*) FROM (SELECT * FROM kept EXCEPT ALL SELECT * FROM q) b)");
	die "sessions differ from plain SQL in $wrong rows\n" if $wrong ne '0';
	$s->close;
	return ($ours, $plain);
}

sub report
{
	my ($what, $target, $measure) = @_;
	my @pairs = map { [ $measure->() ] } 1 .. repeats();
	my ($ours, $theirs) = map { my $i = $_; median(map { $_->[$i] } @pairs) } 0, 1;
	my $ratio = median(map { $_->[0] / $_->[1] } @pairs);
	row($what, ms($ours), ms($theirs), ratio($ratio), "at most $target x", $ratio <= $target);
}

report("$n rows of a day and 100 keys, sliding windows of 1 hour by 1 minute; against tumbling ones of 1 minute",
	3, sub { return reverse sliding() });
report("$n rows of 1000 keys in 20 batches, 6 % late, sessions of 20 rows; against plain SQL for gaps and islands over all rows",
	1, \&sessions);
