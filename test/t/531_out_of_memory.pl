# Processes that get no more memory (a limit on their address space), and a
# cache that is as small as it can be: the error is shown, nothing is lost, no
# process crashes, others go on, and all is well when there is memory again.
use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../perl";
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(usleep);
use VelostreamTest;

my $node = new_node('memory', conf => <<'END');
velostream.cache_size = 1MB
velostream.hint_buffer = 1MB
velostream.max_backoff = 500ms
velostream.workers_per_database = 1
work_mem = 64MB
END
my %failed;
my ($rc, $out, $err);

# From now on a process gets so much more memory, in kB; undef: all it wants.
# False if there is no such process any more.
sub limit_memory
{
	my ($pid, $more) = @_;
	my $limit = 'unlimited';

	if (defined $more)
	{
		open(my $fh, '<', "/proc/$pid/status") or return 0;
		my ($size) = join('', <$fh>) =~ /^VmSize:\s+(\d+) kB/m or return 0;
		$limit = ($size + $more) * 1024;
	}
	return system("prlimit --pid $pid --as=$limit: 2>/dev/null") == 0;
}

# Process ids of workers, and of launchers.
sub servants
{
	return split /\n/, $node->safe_psql('postgres',
		q{SELECT pid FROM pg_stat_activity WHERE backend_type LIKE 'velostream%'});
}

sub error_of
{
	my ($query) = @_;
	return value($node, 'postgres',
		"concat_ws(' ', state, sqlstate, last_error) FROM velostream.queries WHERE name = '$query'");
}

$node->safe_psql('postgres', <<'END');
CREATE TABLE src (id serial PRIMARY KEY, g int, v int, t text);
CREATE TABLE small (g int, v int);
INSERT INTO src (g, v, t) SELECT i % 10, i, i FROM generate_series(1, 1000) i;
INSERT INTO small SELECT i % 10, i FROM generate_series(1, 1000) i;
CREATE TABLE fine WITH (velostream.continuous) AS SELECT g, count(*), sum(v) FROM small GROUP BY g;
CREATE TABLE totals WITH (velostream.continuous) AS SELECT g, count(*), sum(v), stddev(v) FROM src GROUP BY g;
CREATE TABLE maxima WITH (velostream.continuous) AS SELECT g, max(t) FROM src GROUP BY g;
CREATE TABLE rows WITH (velostream.continuous) AS SELECT id, v, md5(t) FROM src;
CREATE TABLE stops WITH (velostream.continuous, velostream.on_error = stop) AS SELECT g, max(t || 'x') FROM src GROUP BY g;
CREATE TABLE letters WITH (velostream.continuous, velostream.on_error = dead_letter) AS
	SELECT g, max(length(t || 'x')) FROM src GROUP BY g;
END
oracle($node, 'postgres', 'the beginning');

# one value that is too large for the worker, without being too large
my ($worker) = workers($node, 'postgres');
limit_memory($worker, 30_000) or die 'no worker, or no prlimit';
$node->safe_psql('postgres', q{INSERT INTO src (g, v, t) VALUES (1, 1, repeat('z', 60000000)), (2, 2, 'z')});
for my $query (qw(maxima rows stops letters))
{
	poll($node, 'postgres', "failures > 1 FROM velostream.queries WHERE name = '$query'");
	is(error_of($query), 'failing 53200 out of memory', "a large value: $query says so");
}
$node->safe_psql('postgres', "INSERT INTO small SELECT 3, i FROM generate_series(1, 1000) i; SELECT velostream.wait('fine'), velostream.wait('totals')");
is(value($node, 'postgres', q{differences('fine') + differences('totals')}), 0, 'the others go on');
is((workers($node, 'postgres'))[0], $worker, 'in the same worker');
limit_memory($worker, undef);
oracle($node, 'postgres', 'there is memory', totals => { 'SELECT count(*) FROM velostream.dead_letters' => 0 });
is((workers($node, 'postgres'))[0], $worker, 'still the same worker');
$node->safe_psql('postgres', 'DELETE FROM src WHERE length(t) > 1000');
oracle($node, 'postgres', 'the large value is gone');

# in a session
my $session = $node->background_psql('postgres', on_error_stop => 0);
my $pid = $session->query('SELECT pg_backend_pid()');
workers_off($node);
$node->safe_psql('postgres', 'INSERT INTO src (g, v, t) SELECT i, i, i FROM generate_series(1, 30000) i');
for my $query (qw(totals maxima rows letters))
{
	for (my $more = 0; $more < 40_000; $more = $more * 2 + 50)
	{
		my $complaint;

		limit_memory($pid, $more) or die 'the session has ended';
		$session->query("SELECT count(*) FROM velostream.process('$query')");
		$complaint = $session->{stderr};
		$session->{stderr} = '';
		limit_memory($pid, undef);
		last if $complaint !~ /ERROR/;
		like($complaint, qr/out of memory/, "process('$query') with $more kB");
		$failed{process}++;
	}
	$session->query_safe("SELECT count(*) FROM velostream.process('$query')");
	is(value($node, 'postgres', "differences('$query')"), 0, "process('$query') is right after that");
}
cmp_ok($failed{process} // 0, '>', 0, 'there was not enough memory');
$session->quit;
set_guc($node, 'velostream.enabled' => 'on');
oracle($node, 'postgres', 'after process()');

# everywhere, at any place: plans are made anew, groups come, queries too
srand($ENV{MEMORY_SEED} // 1);
for my $round (1 .. 25)
{
	my @pids = servants();
	my $seen = value($node, 'postgres', 'coalesce(sum(batches), 0) FROM velostream.stat_queries');
	my $offset = -s $node->logfile;

	limit_memory($_, int(rand(3) ** 8)) for @pids;
	$node->safe_psql('postgres', <<"END");
INSERT INTO src (g, v, t) SELECT i + 100 * $round, i, repeat('y', i % 3000) FROM generate_series(1, 5000) i;
UPDATE src SET v = v + 1, g = g + 1 WHERE id % 7 = 0;
DELETE FROM src WHERE id % 11 = $round % 11;
ALTER TABLE src ADD COLUMN c$round int;
CREATE TABLE q$round WITH (velostream.continuous) AS SELECT g % 1000 AS g, avg(v), max(t) FROM src GROUP BY 1;
INSERT INTO small SELECT $round, i FROM generate_series(1, 100) i;
END
	$node->safe_psql('postgres', "DROP TABLE q@{[ $round - 2 ]}") if $round > 2;
	for (1 .. 40)
	{
		last if slurp_file($node->logfile, $offset) =~ /out of memory/
		  || value($node, 'postgres', 'coalesce(sum(batches), 0) FROM velostream.stat_queries') > $seen + 6;
		usleep(50_000);
	}
	$failed{rounds}++ if slurp_file($node->logfile, $offset) =~ /out of memory/;
	limit_memory($_, undef) for @pids;
	next if $round % 5;
	go_on($node);
	poll($node, 'postgres', q{count(*) FILTER (WHERE state <> 'running') = 0 FROM velostream.queries});
	oracle($node, 'postgres', "after $round rounds", totals => { 'SELECT count(*) FROM velostream.dead_letters' => 0 });
}
cmp_ok($failed{rounds} // 0, '>', 5, "there was not enough memory in $failed{rounds} rounds");
unlike(slurp_file($node->logfile), qr/terminated by signal|all server processes terminated/, 'no process crashed');
log_is_clean($node);
$node->stop;
done_testing();
