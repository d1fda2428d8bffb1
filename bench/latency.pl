#!/usr/bin/perl
# From commit to visible in the output, at 100 commits a second.  A writer
# notes the time right before its commit; a reader looks at the output about
# every millisecond, with a new snapshot each time.  So the numbers include
# the writer's commit and up to a millisecond of looking.
use strict;
use warnings;
use FindBin;
use lib $FindBin::Bin;
use Bench;

my $seconds = $ENV{BENCH_SECONDS} || 10;

database('bench');
sql('bench', '
	CREATE TABLE events (id bigserial, at timestamptz DEFAULT clock_timestamp());
	CREATE TABLE newest WITH (velostream.continuous) AS SELECT count(*) AS n, max(id) AS id FROM events;
	CREATE TABLE seen (id bigint, at timestamptz)');

foreach my $case ([ 'on', 1 ], [ 'off', 0 ])
{
	my ($commit, $target) = @$case;
	my ($median, $late) = measure($commit);
	my ($p50, $p99) = (median(@$median), median(@$late));
	my $what = "commit to visible, 100 commits/s, synchronous_commit = $commit";
	row("$what: median", ms($p50), '', '', $target ? ('under 5 ms', $p50 < 0.005) : '');
	row("$what: 99th percentile", ms($p99), '', '', $target ? ('under 25 ms', $p99 < 0.025) : '');
}
check_oracle('bench', 'newest');

# ([medians], [99th percentiles]) of all repetitions.
sub measure
{
	my ($commit) = @_;
	my (@median, @late);
	foreach (1 .. repeats())
	{
		sql('bench', 'TRUNCATE seen; SELECT velostream.wait()');
		my $first = sql('bench', 'SELECT coalesce(max(id), 0) FROM events');
		my $reader = session('bench');
		$reader->send("DO \$\$
			DECLARE
				ids bigint[];
				times timestamptz[];
				now_id bigint;
				last_id bigint := $first;
				stop_at timestamptz := clock_timestamp() + interval '$seconds s' + interval '3 s';
			BEGIN
				WHILE clock_timestamp() < stop_at LOOP
					SELECT id INTO now_id FROM newest;
					COMMIT;
					IF now_id > last_id THEN
						ids := ids || now_id;
						times := times || clock_timestamp();
						last_id := now_id;
					END IF;
					PERFORM pg_sleep(0.0005);
				END LOOP;
				INSERT INTO seen SELECT * FROM unnest(ids, times);
			END \$\$");
		sleep(1);
		local $ENV{PGOPTIONS} = "-c synchronous_commit=$commit";
		pgbench('bench', "INSERT INTO events DEFAULT VALUES;\n", '-c 1 -R 100', "-T $seconds");
		$reader->receive;
		$reader->close;
		my ($p50, $p99, $rows, $unseen) = split(/\|/, sql('bench', "
			SELECT percentile_cont(0.5) WITHIN GROUP (ORDER BY late), percentile_cont(0.99) WITHIN GROUP (ORDER BY late),
				count(*), count(*) FILTER (WHERE late IS NULL)
			FROM (SELECT extract(epoch FROM (SELECT min(s.at) FROM seen s WHERE s.id >= e.id) - e.at) AS late
				FROM events e WHERE e.id > $first) l"));
		die "$unseen of $rows rows never became visible\n" if $unseen > 0;
		push @median, $p50;
		push @late, $p99;
	}
	return (\@median, \@late);
}
