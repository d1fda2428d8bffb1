# Settings: without shared_preload_libraries; on and off; how many workers;
# none left; little memory; and no worker leaks.
use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../perl";
use PostgreSQL::Test::Utils;
use Test::More;
use VelostreamTest;

my $node = new_node('settings', preload => 0, install => 0, conf => <<'END');
velostream.cache_size = 1MB
work_mem = 64kB
END
my $count = 0;
my ($rc, $out, $err);

# not preloaded
($rc, $out, $err) = $node->psql('postgres', 'CREATE EXTENSION velostream');
if ($rc == 0)
{
	$node->safe_psql('postgres', 'CREATE TABLE src (id serial PRIMARY KEY, g int, v int)');
	for my $sql (
		'CREATE TABLE t WITH (velostream.continuous) AS SELECT g, count(*) FROM src GROUP BY g',
		'SELECT velostream.wait()',
		q{SELECT velostream.process('src')},
		'SELECT * FROM velostream.queries')
	{
		($rc, $out, $err) = $node->psql('postgres', $sql);
		next if $sql =~ /velostream\.queries/ && $rc == 0;
		if ($sql =~ /^CREATE/)
		{
			# the library is not there to say anything else
			like($err, qr/shared_preload_libraries|unrecognized parameter/, $sql);
			next;
		}
		like($err, qr/velostream must be loaded via shared_preload_libraries/, $sql);
	}
	$node->safe_psql('postgres', 'DROP EXTENSION velostream CASCADE; DROP TABLE src');
}
else
{
	like($err, qr/velostream must be loaded via shared_preload_libraries/, 'CREATE EXTENSION');
}
$node->append_conf('postgresql.conf', "shared_preload_libraries = 'velostream'");
$node->restart;
install($node, 'postgres');

$node->safe_psql('postgres', <<'END');
CREATE TABLE src (id serial PRIMARY KEY, g int, v int);
CREATE TABLE log (g int, v int);
INSERT INTO src (g, v) SELECT i % 10, i FROM generate_series(1, 1000) i;
CREATE TABLE totals WITH (velostream.continuous) AS
	SELECT g, count(*), sum(v), stddev(v) FROM src GROUP BY g;
CREATE TABLE rows WITH (velostream.continuous) AS SELECT id, v FROM src WHERE g < 5;
CREATE TABLE maxima WITH (velostream.continuous) AS SELECT g, max(v) FROM src GROUP BY g;
CREATE TABLE log_totals WITH (velostream.continuous, velostream.source_mode = append) AS
	SELECT g, count(*) FROM log GROUP BY g;
END

sub change
{
	$node->safe_psql('postgres', <<'END');
INSERT INTO log SELECT i % 10, 1 FROM generate_series(1, 100) i;
INSERT INTO src (g, v) SELECT i % 10, i FROM generate_series(1, 50) i;
UPDATE src SET g = (g + 1) % 10 WHERE id % 7 = 0;
DELETE FROM src WHERE id % 11 = 0;
END
	$count += 100;
	return;
}

sub right
{
	my ($name) = @_;
	local $Test::Builder::Level = $Test::Builder::Level + 1;

	change();
	return oracle($node, 'postgres', $name,
		totals => { 'SELECT sum(count) FROM log_totals' => $count });
}

sub have_workers
{
	my ($n, $name) = @_;
	local $Test::Builder::Level = $Test::Builder::Level + 1;

	poll($node, 'postgres', "count(*) = $n FROM pg_stat_activity WHERE backend_type = 'velostream worker'");
	return is(scalar(my @w = workers($node, 'postgres')), $n, $name);
}

right('the beginning');
have_workers(2, 'two workers');
is(value($node, 'postgres', q{count(*) FROM pg_stat_activity WHERE backend_type = 'velostream launcher'}),
	1, 'one launcher');

for my $n (0, 1, 3, 1, 2)
{
	set_guc($node, 'velostream.workers_per_database' => $n);
	have_workers($n, "velostream.workers_per_database = $n");
	if ($n > 0)
	{
		right("$n workers");
		next;
	}
	change();
	($rc, $out, $err) = $node->psql('postgres', q{SELECT velostream.wait('totals')});
	like($err, qr/workers_per_database/, 'wait() says that there are none');
}
set_guc($node, 'velostream.enabled' => 'off');
have_workers(0, 'velostream.enabled = off');
change();
($rc, $out, $err) = $node->psql('postgres', q{SELECT velostream.wait('totals')});
like($err, qr/velostream\.enabled/, 'wait() says so');
$node->restart;
have_workers(0, 'also after a restart');
change();
set_guc($node, 'velostream.enabled' => 'on');
right('on again');
have_workers(2, 'two workers again');

# a batch of far more groups than fit into anything
$node->safe_psql('postgres', <<'END');
CREATE TABLE many (k text, v int);
CREATE TABLE by_key WITH (velostream.continuous) AS
	SELECT k, count(*), sum(v), avg(v), min(v) FROM many GROUP BY k;
INSERT INTO many SELECT 'a rather long key, so that it takes space ' || i % 30000, i
	FROM generate_series(1, 60000) i;
END
right('60000 rows in 30000 groups, work_mem = 64kB, cache_size = 1MB');
$node->safe_psql('postgres', <<'END');
UPDATE many SET v = v + 1, k = k || 'x' WHERE v % 3 = 0;
DELETE FROM many WHERE v % 5 = 0;
INSERT INTO many SELECT 'another ' || i, i FROM generate_series(1, 5000) i;
END
right('most of them change');
cmp_ok(value($node, 'postgres', 'cache_used FROM velostream.horizon()'), '<=', 1024 * 1024, 'the cache is as small as it should be');
my ($used) = value($node, 'postgres', 'sum(cache_bytes) FROM velostream.stat_queries');
cmp_ok($used, '<=', 1024 * 1024, 'all queries together, too');
$node->safe_psql('postgres', 'DROP TABLE many CASCADE');

# thirty rounds of everything that starts and ends workers
for my $i (1 .. 30)
{
	$node->safe_psql('postgres', <<"END");
CREATE TABLE q$i WITH (velostream.continuous) AS SELECT g % 3 AS g, count(*) FROM src GROUP BY 1;
SELECT pg_terminate_backend(pid) FROM pg_stat_activity
	WHERE backend_type = 'velostream @{[ $i % 10 == 0 ? 'launcher' : 'worker' ]}' AND $i % 2 = 0;
INSERT INTO src (g, v) VALUES ($i, $i);
END
	$node->safe_psql('postgres', 'DROP TABLE q' . ($i - 2)) if $i > 2;
}
right('after 30 rounds');
poll($node, 'postgres', q{count(*) = 2 FROM pg_stat_activity WHERE backend_type = 'velostream worker'});
poll($node, 'postgres', q{count(*) = 1 FROM pg_stat_activity WHERE backend_type = 'velostream launcher'});
is(value($node, 'postgres', q{count(*) FROM pg_stat_activity WHERE backend_type LIKE 'velostream%'}),
	3, 'no worker leaked');
is(value($node, 'postgres', q{count(*) FROM pg_stat_activity WHERE state = 'idle in transaction'}),
	0, 'nor a transaction');

# nowhere to start a worker: two places are taken by launchers, one by PostgreSQL's own
$node->append_conf('postgresql.conf', 'max_worker_processes = 3');
my $offset = -s $node->logfile;
$node->restart;
$node->wait_for_log(qr/out of background worker slots/, $offset);
install($node, 'postgres');
$node->safe_psql('postgres', 'CREATE DATABASE more');
install($node, 'more');
right('one worker has to do');
$node->append_conf('postgresql.conf', 'max_worker_processes = 2');
$node->restart;
change();
($rc, $out, $err) = $node->psql('postgres', q{SELECT velostream.wait('totals', timeout => '10s')});
isnt($rc, 0, 'without any worker wait() fails');
$node->safe_psql('postgres', q{SELECT count(*) FROM velostream.process('totals')});
is(value($node, 'postgres', q{differences('totals')}), 0, 'process() works');
$node->append_conf('postgresql.conf', 'max_worker_processes = 10');
$node->restart;
right('enough of them again');

log_is_clean($node);
$node->stop;
done_testing();
