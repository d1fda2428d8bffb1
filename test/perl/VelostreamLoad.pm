# Queries of every kind and a load on their sources, for tests that copy a
# server, or let another one take over, meanwhile.
#
# The load keeps every row that it inserts into a source of mode append, in the
# same transaction, in the table "ledger": it tells what an append query must
# have counted, whatever part of history the server at hand has.
package VelostreamLoad;

use strict;
use warnings;

use Exporter 'import';
use IPC::Run;
use PostgreSQL::Test::Utils;
use Test::More;
use VelostreamTest;

our @EXPORT = qw(create_queries start_load load_more stop_load all_right rebuilds);

# What append queries show, and what they must show.
my %append = (
	'TABLE log_totals' => 'SELECT g, count(*), sum(v), avg(v), stddev(n) FROM ledger GROUP BY g',
	'TABLE log_part_totals' => 'SELECT g, count(*), max(v) FROM ledger WHERE id % 2 = 0 GROUP BY g',
	'TABLE log_rows' => 'SELECT id, v FROM ledger WHERE g < 3',
	'TABLE log_letters' => 'SELECT g, sum(100 / (v - 7)), count(*) FROM ledger WHERE v <> 7 GROUP BY g',
	'SELECT g, v FROM log_stream' => 'SELECT g, v FROM ledger WHERE v % 5 = 0');

# Sources and queries, the queries filled.  Of the rows of log, the load
# changes the first 1000 only, which all queries have seen: those of a server
# that is promoted go by what is still there of rows inserted before.
sub create_queries
{
	my ($node, $db) = @_;

	$node->safe_psql($db, <<'END');
CREATE TABLE src (id bigserial PRIMARY KEY, g int, v int);
CREATE TABLE log (id bigserial, g int, v bigint, n numeric);
CREATE TABLE log_part (id bigint, g int, v bigint) PARTITION BY RANGE (g);
CREATE TABLE log_part_1 PARTITION OF log_part FOR VALUES FROM (0) TO (5);
CREATE TABLE log_part_2 PARTITION OF log_part FOR VALUES FROM (5) TO (10);
CREATE TABLE ledger (id bigint, g int, v bigint, n numeric);
INSERT INTO src (g, v) SELECT i % 10, i FROM generate_series(1, 1000) i;
INSERT INTO log (g, v, n) SELECT i % 10, i % 20, i / 3.0 FROM generate_series(1, 1000) i;
INSERT INTO log_part SELECT id, g, v FROM log WHERE id % 2 = 0;
INSERT INTO ledger SELECT id, g, v, n FROM log;

CREATE TABLE totals WITH (velostream.continuous) AS
	SELECT g, count(*), sum(v), stddev(v), min(v) FROM src GROUP BY g HAVING count(*) > 1;
CREATE TABLE one WITH (velostream.continuous) AS SELECT count(*), sum(v) FROM src;
CREATE TABLE rows WITH (velostream.continuous) AS SELECT id, v FROM src WHERE g < 5;
CREATE TABLE bag WITH (velostream.continuous) AS SELECT g, v % 10 AS d FROM src WHERE v % 2 = 0;
CREATE TABLE chain WITH (velostream.continuous) AS
	SELECT count, count(*) AS groups FROM totals GROUP BY count;
CREATE TABLE stream WITH (velostream.continuous, velostream.kind = stream) AS
	SELECT g, count(*) AS n FROM src GROUP BY g;
CREATE TABLE log_totals WITH (velostream.continuous, velostream.source_mode = append) AS
	SELECT g, count(*), sum(v), avg(v), stddev(n) FROM log GROUP BY g;
CREATE TABLE log_part_totals WITH (velostream.continuous, velostream.source_mode = append) AS
	SELECT g, count(*), max(v) FROM log_part GROUP BY g;
CREATE TABLE log_rows WITH (velostream.continuous, velostream.source_mode = append) AS
	SELECT id, v FROM log WHERE g < 3;
CREATE TABLE log_letters WITH (velostream.continuous, velostream.source_mode = append,
	velostream.on_error = dead_letter) AS
	SELECT g, sum(100 / (v - 7)), count(*) FROM log GROUP BY g;
CREATE TABLE log_stream WITH (velostream.continuous, velostream.kind = stream,
	velostream.source_mode = append) AS
	SELECT g, v FROM log WHERE v % 5 = 0;
END
	all_right($node, $db, 'the beginning');
	return;
}

# pgbench, until stop_load; returns when it has done something.
sub start_load
{
	my ($node, $db) = @_;
	my $script = PostgreSQL::Test::Utils::tempdir() . '/load.sql';
	my %load = (out => '', err => '');

	append_to_file($script, <<'END');
\set g random(0, 9)
\set v random(0, 100)
\set old random(1, 500)
\set new random(501, 1000)
\set unsafe random(0, 1)
\set how random(0, 9)
BEGIN;
\if :unsafe
SET LOCAL synchronous_commit = off;
\endif
WITH i AS (INSERT INTO log (g, v, n) SELECT :g, (:v + i) % 20, i / 3.0 FROM generate_series(1, 4) i
	RETURNING id, g, v, n),
	p AS (INSERT INTO log_part SELECT id, g, v FROM i WHERE id % 2 = 0)
INSERT INTO ledger SELECT * FROM i;
UPDATE src SET g = (g + 1) % 10, v = v + 1 WHERE id = :new;
DELETE FROM src WHERE id = :old;
INSERT INTO src (g, v) SELECT :g, :v FROM generate_series(1, 2);
UPDATE log SET v = v + 100 WHERE id = :new;
DELETE FROM log WHERE id = :old;
SAVEPOINT a;
INSERT INTO log (g, v, n) VALUES (:g, :v, 1);
INSERT INTO src (g, v) VALUES (:g, :v);
ROLLBACK TO a;
\if :how
COMMIT;
\else
ROLLBACK;
\endif
END
	$load{run} = IPC::Run::start(
		[ 'pgbench', '-n', '-c', 3, '-T', 600, '--rate', 200, '--max-tries', 100, '-f', $script,
			$node->connstr($db) ],
		'<', \undef, '>', \$load{out}, '2>', \$load{err});
	load_more($node, $db);
	return \%load;
}

# Wait until the load has committed a good deal more.
sub load_more
{
	my ($node, $db) = @_;
	my $before = value($node, $db, 'count(*) FROM ledger');

	return poll($node, $db, "count(*) > $before + 400 FROM ledger");
}

# With a node, its sessions have ended at return; else it is the server's end
# that ended the load.
sub stop_load
{
	my ($load, $node, $db) = @_;

	$load->{run}->kill_kill;
	poll($node, $db, q{count(*) = 0 FROM pg_stat_activity WHERE application_name = 'pgbench'})
	  if $node;
	return;
}

# How often a query was rebuilt.
sub rebuilds
{
	my ($node, $db, $name) = @_;
	return value($node, $db, "rebuilds FROM velostream.stat_queries WHERE name = '$name'");
}

# One test, while nobody writes: every output is what it must be, those in mode
# append by the ledger, and the stream, played back since its last reset.
sub all_right
{
	my ($node, $db, $name) = @_;
	local $Test::Builder::Level = $Test::Builder::Level + 1;
	my %totals = map {
		("SELECT count(*) FROM (($_ EXCEPT ALL $append{$_}) UNION ALL ($append{$_} EXCEPT ALL $_)) d" => 0)
	} keys %append;

	$totals{q{SELECT count(*) FROM velostream.dead_letters WHERE query = 'log_letters'::regclass}} =
	  value($node, $db, 'count(*) FROM ledger WHERE v = 7');
	$totals{<<'END'} = 0;
WITH last AS (
	SELECT DISTINCT ON (g) g, n, _op FROM stream
	WHERE _offset > coalesce((SELECT max(_offset) FROM stream WHERE _op = 'reset'), 0)
	ORDER BY g, _offset DESC),
content AS (SELECT g, n FROM last WHERE _op <> 'delete'),
wanted AS (SELECT g, count(*) FROM src GROUP BY g)
SELECT count(*) FROM ((TABLE content EXCEPT ALL TABLE wanted) UNION ALL (TABLE wanted EXCEPT ALL TABLE content)) d
END
	return oracle($node, $db, $name, totals => \%totals);
}

1;
