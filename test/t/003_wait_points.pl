# A batch is stopped between every two of its steps, and then its process, or
# the whole server, goes away: nothing is lost, nothing counts twice.
use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../perl";
use PostgreSQL::Test::Utils;
use Test::More;
use VelostreamTest;

my @points = qw(batch-begin delta-open between-writes after-merge
  before-frontier after-frontier batch-end before-publish);

my $node = new_node('wait_points',
	conf => "velostream.workers_per_database = 3\nvelostream.max_backoff = 500ms");
my $count = 0;

$node->safe_psql('postgres', <<'END');
CREATE TABLE src (id serial PRIMARY KEY, g int, v int);
CREATE TABLE log (g int, v int);
INSERT INTO src (g, v) SELECT i % 10, i FROM generate_series(1, 500) i;
-- state in the output; a state table and groups that are recomputed; rows; a log
CREATE TABLE plain WITH (velostream.continuous) AS
	SELECT g, count(*), sum(v) FROM src GROUP BY g;
CREATE TABLE state WITH (velostream.continuous) AS
	SELECT g, avg(v), stddev(v), max(v) FROM src GROUP BY g HAVING count(*) > 3;
CREATE TABLE rows WITH (velostream.continuous) AS SELECT id, v FROM src WHERE g < 5;
CREATE TABLE log_totals WITH (velostream.continuous, velostream.source_mode = append) AS
	SELECT g, count(*), avg(v) FROM log GROUP BY g;
CREATE TABLE log_rows WITH (velostream.continuous, velostream.source_mode = append,
	velostream.kind = stream) AS SELECT g, v FROM log;
END
my @queries = qw(plain state rows log_totals log_rows);

sub change
{
	$node->safe_psql('postgres', <<'END');
BEGIN;
INSERT INTO log SELECT i % 10, 1 FROM generate_series(1, 20) i;
INSERT INTO src (g, v) SELECT i % 12, i FROM generate_series(1, 20) i;
UPDATE src SET g = (g + 1) % 12 WHERE id % 7 = 0;
DELETE FROM src WHERE id % 11 = 0;
COMMIT;
END
	$count += 20;
	return;
}

sub right
{
	my ($name, @params) = @_;
	local $Test::Builder::Level = $Test::Builder::Level + 1;

	return oracle($node, 'postgres', $name, @params, totals => {
			'SELECT sum(count) FROM log_totals' => $count,
			'SELECT count(*) FROM log_rows' => $count,
			'SELECT count(DISTINCT _offset) FROM log_rows' => $count });
}

# workers
change();
right('before');
for my $point (@points)
{
	for my $how ('goes on', 'is terminated', 'is killed', 'loses its server')
	{
		my $offset = stop_at($node, $point);
		my $pid = wait_stopped($node, $point, $offset, \&change);

		change();
		$node->safe_psql('postgres', "SELECT pg_terminate_backend($pid)")
		  if $how eq 'is terminated';
		kill_9($node, $pid) if $how eq 'is killed';
		$node->stop('immediate') if $how eq 'loses its server';
		$node->start if $how eq 'loses its server';
		go_on($node);
		right("a worker at $point $how");
	}
}

# all workers at once, in different batches
for my $point (@points)
{
	my $offset = stop_at($node, $point);

	wait_stopped($node, $point, $offset, \&change);
	change();
	$node->safe_psql('postgres', <<'END');
SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE backend_type = 'velostream worker'
END
	go_on($node);
	right("all workers at $point are terminated");
}

# sessions that run a batch
workers_off($node);
for my $point (@points)
{
	for my $how ('canceled', 'terminated', 'killed')
	{
		# at the end of a commit nobody listens
		next if $point eq 'before-publish' && $how ne 'killed';
		for my $query ('state', 'log_totals')
		{
			change();
			end_session_at($node, $query, $point, $how);
			$node->safe_psql('postgres', "SELECT count(*) FROM velostream.process('$query')");
		}
		$node->safe_psql('postgres', join(';', map { "SELECT count(*) FROM velostream.process('$_')" } @queries));
		right("process() at $point is $how", wait => []);
	}
}
set_guc($node, 'velostream.enabled' => 'on');
change();
right('workers go on');

log_is_clean($node);
$node->stop;
done_testing();
