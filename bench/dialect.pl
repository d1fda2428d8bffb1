#!/usr/bin/perl
# Velostream's own workloads, 1 million rows that are already in the table
# (backfill) and that arrive in batches of 100 000, against the same by hand.
use strict;
use warnings;
use FindBin;
use lib $FindBin::Bin;
use Bench;
use Workloads;

my $n = scaled(1_000_000);
my $batches = 10;

# Seconds of a query over all rows: into a table, or only computed.
sub by_hand
{
	my ($s, $workload) = @_;
	my $query = $workload->{hand} // $workload->{query};
	return ($s->timed($query))[0] if $workload->{plain};
	$s->run("DROP TABLE IF EXISTS by_hand; CREATE TABLE by_hand AS $query WITH NO DATA");
	return ($s->timed("INSERT INTO by_hand $query"))[0];
}

sub create_query
{
	my ($s, $workload) = @_;
	$s->run("CREATE TABLE kept WITH (velostream.continuous $workload->{options}) AS $workload->{query}");
	$s->run("SELECT velostream.wait('kept')");
}

# Seconds that its batches took so far, by the clock.
sub busy { return $_[0]->run('SELECT busy_ms / 1000 FROM velostream.stat_queries') }

# Seconds of batches: all rows at once; as they arrive, with each way to commit
# them; and by hand.
sub measure
{
	my ($workload) = @_;
	my ($backfill, %batched, $hand);
	database('bench');
	my $s = session('bench');
	$s->run("SET client_min_messages = warning");
	$s->run("SET jit = off; SET max_parallel_workers_per_gather = 0");
	create_source($s, $workload);
	insert_rows($s, $workload, 0, $n - 1);
	$s->run('VACUUM ANALYZE source');
	by_hand($s, $workload);
	$hand = by_hand($s, $workload);

	create_query($s, $workload);
	$backfill = busy($s);
	check($s, $workload);

	# as PostgreSQL comes, who commits writes the WAL to disk; with "off", who needs it
	foreach my $commit ('on', $workload->{plain} ? 'off' : ())
	{
		$s->run('DROP TABLE kept; TRUNCATE source');
		create_query($s, $workload);
		$s->run("SET synchronous_commit = $commit");
		$batched{$commit} = -busy($s);
		for my $i (0 .. $batches - 1)
		{
			insert_rows($s, $workload, $n / $batches * $i, $n / $batches * ($i + 1) - 1);
			$s->run("SELECT velostream.wait('kept')");
		}
		$batched{$commit} += busy($s);
		check($s, $workload);
	}
	$s->close;
	return { backfill => $backfill, hand => $hand, %batched };
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
	my @runs = map { measure($workload) } 1 .. repeats();
	my $target = $workload->{target};
	my $against = $workload->{plain} ? 'the plain SELECT' : 'INSERT INTO out SELECT by hand';
	my %ways = (backfill => 'in the table', on => "in $batches batches",
		off => "in $batches batches, written with synchronous_commit = off");
	foreach my $way (grep { exists $runs[0]{$_} } qw(backfill on off))
	{
		my ($ours, $hand) = map { my $side = $_; median(map { $_->{$side} } @runs) } $way, 'hand';
		my $ratio = median(map { $_->{$way} / $_->{hand} } @runs);
		row(sprintf('%s, %d rows %s (%d K rows/s; Velostream publishes %s K); against %s', $workload->{name},
				$n, $ways{$way}, $n / $ours / 1000, $workload->{published}, $against),
			ms($ours), ms($hand), ratio($ratio), $way eq 'off' ? ('', undef) : ("at most $target x", $ratio <= $target));
	}
}
