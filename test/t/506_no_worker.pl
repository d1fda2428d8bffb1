# Where no worker runs, process() does what they would: it lets the horizon move
# on, and adopts a query that was restored from a dump.
use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../perl";
use PostgreSQL::Test::Utils;
use Test::More;
use VelostreamTest;

my $node = new_node('no_worker', conf => "velostream.enabled = off\n");
my $dump = "$PostgreSQL::Test::Utils::tmp_check/no_worker.sql";
my $held = q{(SELECT txid_current() - xmin::text::bigint FROM pg_replication_slots
	WHERE slot_name = 'velostream_' || (SELECT oid FROM pg_database WHERE datname = 'postgres'))};

$node->safe_psql('postgres', <<'END_SQL');
CREATE TABLE src (id serial PRIMARY KEY, g int, v int);
INSERT INTO src (g, v) SELECT i % 3, i FROM generate_series(1, 30) i;
CREATE TABLE totals WITH (velostream.continuous) AS
	SELECT g, count(*), sum(v) FROM src GROUP BY g;
CREATE PROCEDURE work(n int) LANGUAGE plpgsql AS $$
BEGIN
	FOR i IN 1 .. n LOOP
		INSERT INTO src (g, v) VALUES (i % 3, i);
		COMMIT;
		PERFORM velostream.process('totals');
		COMMIT;
	END LOOP;
END $$;
CALL work(20);
END_SQL
is(value($node, 'postgres', q{differences('totals')}), 0, 'right');
cmp_ok(value($node, 'postgres', $held), '<', 10, 'the horizon has followed');

# ... after a restart as well, when nothing is loaded yet
$node->restart;
$node->safe_psql('postgres', 'CALL work(20)');
cmp_ok(value($node, 'postgres', $held), '<', 10, 'the horizon has followed after a restart');

# a transaction that has written frontiers does not take them for true
$node->restart;
$node->safe_psql('postgres', <<'END_SQL');
BEGIN;
INSERT INTO src (g, v) VALUES (7, 7);
SELECT FROM velostream.process('totals');
SELECT FROM velostream.process('totals');
ROLLBACK;
CALL work(3);
END_SQL
is(value($node, 'postgres', q{differences('totals')}), 0, 'right after a rollback');

# restored from a dump
$node->command_ok([ 'pg_dump', '-f', $dump, $node->connstr('postgres') ], 'dump');
$node->safe_psql('postgres', 'CREATE DATABASE copy');
$node->command_ok([ 'psql', '-X', '-q', '-v', 'ON_ERROR_STOP=1', '-f', $dump, $node->connstr('copy') ], 'restore');
is(value($node, 'copy', 'count(*) FROM velostream.frontier'), 0, 'not adopted yet');
$node->safe_psql('copy', 'INSERT INTO src (g, v) VALUES (8, 8)');
cmp_ok($node->safe_psql('copy', q{SELECT count(*) FROM velostream.process('totals')}), '>', 0, 'process() adopts it');
is(value($node, 'copy', q{differences('totals')}), 0, '... and it is right');
$node->safe_psql('copy', 'INSERT INTO src (g, v) VALUES (8, 9)');
is($node->safe_psql('copy', q{SELECT op FROM velostream.process('totals')}), 'update', '... and goes on from there');

# switched on again: whoever waits may hear of it before the launcher does
my $launcher = value($node, 'postgres', q{pid FROM pg_stat_activity WHERE backend_type = 'velostream launcher'});
kill('STOP', $launcher);
set_guc($node, 'velostream.enabled' => 'on');
my $waiter = $node->background_psql('postgres');
$waiter->query_until(qr/waits/, "\\echo waits\nSELECT 'answered', velostream.wait('totals', '60s');\n");
poll($node, 'postgres', q{count(*) = 1 FROM pg_stat_activity WHERE query LIKE 'SELECT ''answered''%'});
kill('CONT', $launcher);
like($waiter->query_safe('SELECT 1'), qr/answered/, 'wait() has its answer');
$waiter->quit;

log_is_clean($node);
$node->stop;
done_testing();
