#!/usr/bin/perl
# velostream.query() over Velostream's own workloads: CPU time, as rows a second.
use strict;
use warnings;
use FindBin;
use lib $FindBin::Bin;
use Bench;
use Workloads;

my $n = scaled(1_000_000);

sub rate { return sprintf('%.0f K rows/s', $n / $_[0] / 1000) }

# CPU seconds of a query of which all columns are computed, the best of some.
sub best
{
	my ($s, $query) = @_;
	my @times = map { ($s->timed("SELECT count(q) FROM ($query OFFSET 0) q"))[1] } 1 .. repeats();
	return (sort { $a <=> $b } @times)[0];
}

foreach my $workload (@workloads)
{
	database('bench');
	my $s = session('bench');
	$s->run('SET jit = off; SET max_parallel_workers_per_gather = 0');
	create_source($s, $workload);
	insert_rows($s, $workload, 0, $n - 1);
	$s->run('VACUUM ANALYZE source');
	my $plain = best($s, $workload->{hand} // $workload->{query});
	foreach my $rows (1, 0)
	{
		my $query = $workload->{once} // $workload->{query};
		my $ours = best($s, "SELECT * FROM velostream.query(\$q\$ $query \$q\$, $rows) AS t($workload->{result})");
		my $published = $workload->{published};
		row("velostream.query(): $workload->{name}, $n rows, " . ($rows ? 'row by row' : 'at once')
				. "; against the plain query once",
			rate($ours), rate($plain), ratio($ours / $plain),
			$rows ? ("above $published K rows/s, which Velostream publishes", $n / $ours / 1000 > $published) : ('', undef));
	}
	$s->close;
}
