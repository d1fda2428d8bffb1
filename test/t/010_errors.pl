# Queries that fail: what wait() and the views say, retry, dead letters, stop;
# privileges that are taken away and given back.
use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../perl";
use PostgreSQL::Test::Utils;
use Test::More;
use VelostreamTest;

my $node = new_node('errors', conf => 'velostream.max_backoff = 1s');
my ($rc, $out, $err);

$node->safe_psql('postgres', <<'END');
CREATE TABLE src (id serial PRIMARY KEY, g int, v int);
CREATE TABLE log (g int, v int);
INSERT INTO src (g, v) SELECT i % 10, i FROM generate_series(1, 1000) i;
CREATE TABLE retry WITH (velostream.continuous) AS
	SELECT g, sum(1000 / v) FROM src GROUP BY g;
CREATE TABLE stops WITH (velostream.continuous, velostream.on_error = stop) AS
	SELECT g, sum(1000 / v) FROM src GROUP BY g;
CREATE TABLE letters WITH (velostream.continuous, velostream.on_error = dead_letter) AS
	SELECT g, sum(1000 / v), count(*) FROM src GROUP BY g;
CREATE TABLE letters_log WITH (velostream.continuous, velostream.on_error = dead_letter,
	velostream.source_mode = append) AS
	SELECT g, sum(1000 / v), count(*) FROM log GROUP BY g;
CREATE TABLE fine WITH (velostream.continuous) AS SELECT g, count(*), sum(v) FROM src GROUP BY g;
END
oracle($node, 'postgres', 'the beginning');

sub state
{
	my ($query) = @_;
	return value($node, 'postgres', "state FROM velostream.queries WHERE name = '$query'");
}

sub wait_fails
{
	my ($query, $message, $name) = @_;
	local $Test::Builder::Level = $Test::Builder::Level + 1;

	($rc, $out, $err) = $node->psql('postgres', "SELECT velostream.wait('$query', timeout => '30s')");
	isnt($rc, 0, "$name: wait() fails");
	return like($err, $message, "$name: it says so");
}

# a row that divides by zero
$node->safe_psql('postgres', <<'END');
INSERT INTO src (id, g, v) VALUES (5000, 3, 0), (5001, 3, 8), (5002, 4, 9);
INSERT INTO log SELECT i % 3, i FROM generate_series(-3, 3) i;
END
wait_fails('retry', qr/"retry" failed: division by zero/, 'retry');
is(state('retry'), 'failing', 'it is failing');
is(value($node, 'postgres', q{concat_ws(', ', sqlstate, last_error) FROM velostream.queries WHERE name = 'retry'}),
	'22012, division by zero', 'with its error');
like(value($node, 'postgres', q{error_context FROM velostream.queries WHERE name = 'retry'}),
	qr/batch of continuous query "retry"/, 'and its context');
poll($node, 'postgres', q{failures >= 4 FROM velostream.queries WHERE name = 'retry'});
is(value($node, 'postgres', q{retry_at - failed_at <= '1s' AND retry_at > failed_at FROM velostream.queries WHERE name = 'retry'}),
	't', 'it is tried again, after a pause of velostream.max_backoff at most');
wait_fails('stops', qr/"stops" (failed: division by zero|is stopped)/, 'stop');
poll($node, 'postgres', q{state = 'stopped' FROM velostream.queries WHERE name = 'stops'});
wait_fails('stops', qr/"stops" is stopped.*division by zero.*resume/s, 'stopped');
($rc, $out, $err) = $node->psql('postgres', 'SELECT velostream.wait()');
like($err, qr/division by zero/, 'wait() for all fails');

# the others are right meanwhile
$node->safe_psql('postgres', q{SELECT velostream.wait('fine'), velostream.wait('letters'), velostream.wait('letters_log')});
is(value($node, 'postgres', q{differences('fine')}), 0, 'a query that does not fail is right');
my $left_out = q{(SELECT count(*) FROM ((TABLE letters EXCEPT ALL
	SELECT g, sum(1000 / v), count(*) FROM src WHERE v <> 0 GROUP BY g) UNION ALL
	(SELECT g, sum(1000 / v), count(*) FROM src WHERE v <> 0 GROUP BY g EXCEPT ALL TABLE letters)) d)};
is(value($node, 'postgres', $left_out), 0, 'dead_letter: all rows but one are counted');
is(value($node, 'postgres', q{string_agg(concat_ws(' ', source, "row" ->> 'id', "row" ->> 'v', sqlstate, message), ',')
	FROM velostream.dead_letters WHERE query = 'letters'::regclass}),
	'src 5000 0 22012 division by zero', 'and that one is kept with its error');
is(value($node, 'postgres', q{dead FROM velostream.stat_queries WHERE name = 'letters'}), 1, 'and counted');
is(value($node, 'postgres', 'sum(count) FROM letters_log'), 6, 'append, too');
is(value($node, 'postgres', q{count(*) FROM velostream.dead_letters WHERE query = 'letters_log'::regclass}), 1, 'with a letter');

# kill it all: letters are neither lost nor written twice
crash($node);
$node->safe_psql('postgres', 'INSERT INTO src (g, v) VALUES (3, 7); INSERT INTO log VALUES (1, 0), (1, 1)');
$node->safe_psql('postgres', q{SELECT velostream.wait('fine'), velostream.wait('letters'), velostream.wait('letters_log')});
is(value($node, 'postgres', $left_out), 0, 'after a crash');
is(value($node, 'postgres', q{count(*) FROM velostream.dead_letters WHERE query = 'letters_log'::regclass}), 2, 'one more letter');
is(value($node, 'postgres', q{count(*) FROM velostream.dead_letters WHERE query = 'letters'::regclass}), 1, 'and no more');
is(state('stops'), 'stopped', 'what was stopped stays so');
wait_fails('retry', qr/division by zero/, 'after a crash');

# the row is mended
$node->safe_psql('postgres', 'UPDATE src SET v = 100 WHERE v = 0');
poll($node, 'postgres', q{state = 'running' FROM velostream.queries WHERE name = 'retry'});
$node->safe_psql('postgres', q{SELECT velostream.resume('stops')});
oracle($node, 'postgres', 'mended');
is(state('retry'), 'running', 'retry runs');
is(value($node, 'postgres', q{failures FROM velostream.queries WHERE name = 'retry'}), 0, 'without failures');
is(state('stops'), 'running', 'as does the one that was stopped');

# it fails because of what it was not asked about, and recovers by itself
$node->safe_psql('postgres', 'ALTER TABLE fine ADD CHECK (count < 200)');
$node->safe_psql('postgres', 'INSERT INTO src (g, v) SELECT 1, 1 FROM generate_series(1, 100)');
wait_fails('fine', qr/violates check constraint/, 'a constraint on the output');
$node->safe_psql('postgres', 'ALTER TABLE fine DROP CONSTRAINT fine_count_check');
poll($node, 'postgres', q{state = 'running' FROM velostream.queries WHERE name = 'fine'});
oracle($node, 'postgres', 'the constraint is gone');

# paused
$node->safe_psql('postgres', q{SELECT velostream.pause('fine')});
wait_fails('fine', qr/"fine" is paused.*resume/s, 'paused');
is(state('fine'), 'paused', 'shown as paused');
$node->safe_psql('postgres', 'INSERT INTO src (g, v) VALUES (1, 1)');
$node->safe_psql('postgres', q{SELECT velostream.resume('fine')});
oracle($node, 'postgres', 'resumed');

# timeout: a batch that stands still
my $offset = stop_at($node, 'before-frontier');
wait_stopped($node, 'before-frontier', $offset,
	sub { $node->safe_psql('postgres', 'INSERT INTO src (g, v) VALUES (1, 1)') });
($rc, $out, $err) = $node->psql('postgres', q{SELECT velostream.wait(timeout => '500ms')});
like($err, qr/timeout while waiting for continuous query/, 'timeout');
go_on($node);
oracle($node, 'postgres', 'after a timeout');

# in a transaction that keeps the worker from its work
($rc, $out, $err) = $node->psql('postgres',
	q{BEGIN; LOCK TABLE fine; INSERT INTO src (g, v) VALUES (1, 1); SELECT velostream.wait('fine', timeout => '20s'); COMMIT});
like($err, qr/cannot wait|lock|timeout/, 'wait() for what this transaction blocks');
($rc, $out, $err) = $node->psql('postgres', <<'END');
BEGIN;
CREATE TABLE young WITH (velostream.continuous) AS SELECT count(*) FROM src;
SELECT velostream.wait('young');
END
like($err, qr/in the transaction that created or changed it/, 'wait() for what is not committed');
($rc, $out, $err) = $node->psql('postgres', q{SELECT velostream.wait('src')});
like($err, qr/"src" is not the output of a continuous query/, 'wait() for a table');
oracle($node, 'postgres', 'after these');

# two-phase commit cannot have what shared memory knows
($rc, $out, $err) = $node->psql('postgres', q{BEGIN; INSERT INTO src (g, v) VALUES (1, 1);
	SELECT count(*) FROM velostream.process('fine'); PREPARE TRANSACTION 'x'});
like($err, qr/cannot PREPARE a transaction that has processed a continuous query/, 'PREPARE TRANSACTION is refused');
oracle($node, 'postgres', 'after it');

# privileges
$node->safe_psql('postgres', <<'END');
CREATE ROLE bob;
GRANT CREATE ON SCHEMA public TO bob;
GRANT SELECT ON src, log TO bob;
SET ROLE bob;
CREATE TABLE bobs WITH (velostream.continuous) AS SELECT g, count(*), sum(v) FROM src GROUP BY g;
CREATE TABLE bobs_log WITH (velostream.continuous, velostream.source_mode = append) AS SELECT count(*) FROM log;
END
oracle($node, 'postgres', q{another role's});
$node->safe_psql('postgres', 'REVOKE SELECT ON src, log FROM bob');
$node->safe_psql('postgres', 'INSERT INTO src (g, v) SELECT i % 3, 1 FROM generate_series(1, 10) i; INSERT INTO log SELECT 1, 1 FROM generate_series(1, 10)');
wait_fails('bobs', qr/permission denied for table src/, 'SELECT revoked');
is(state('bobs'), 'failing', 'the state says so');
is(value($node, 'postgres', q{sqlstate FROM velostream.queries WHERE name = 'bobs'}), '42501', 'with its SQLSTATE');
wait_fails('bobs_log', qr/permission denied for table log/, 'SELECT revoked, append');
$node->safe_psql('postgres', 'DELETE FROM src WHERE v = 1; VACUUM src');
$node->safe_psql('postgres', 'GRANT SELECT ON src, log TO bob');
poll($node, 'postgres', q{state = 'running' FROM velostream.queries WHERE name = 'bobs'});
poll($node, 'postgres', q{state = 'running' FROM velostream.queries WHERE name = 'bobs_log'});
oracle($node, 'postgres', 'granted again',
	totals => { 'SELECT count FROM bobs_log' => value($node, 'postgres', 'count(*) FROM log') });

log_is_clean($node);
$node->stop;
done_testing();
