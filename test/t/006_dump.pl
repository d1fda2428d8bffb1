# pg_dump and pg_restore: the queries come back, and rebuild.
use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../perl";
use PostgreSQL::Test::Utils;
use Test::More;
use VelostreamTest;

my $node = new_node('dump');
my $dir = PostgreSQL::Test::Utils::tempdir();

$node->safe_psql('postgres', <<'END');
CREATE ROLE alice;
GRANT CREATE ON SCHEMA public TO alice;
CREATE SCHEMA s;
CREATE TABLE src (id serial PRIMARY KEY, g int, v int);
CREATE TABLE log (g int, v int);
INSERT INTO src (g, v) SELECT i % 10, i FROM generate_series(1, 1000) i;
INSERT INTO log SELECT i % 10, 1 FROM generate_series(1, 500) i;
CREATE VIEW odd AS SELECT g, v FROM src WHERE v % 2 = 1;
GRANT SELECT ON src, odd TO alice;
CREATE TABLE totals WITH (velostream.continuous) AS
	SELECT g, count(*), sum(v), max(v) FROM src GROUP BY g;
CREATE TABLE s.state WITH (velostream.continuous) AS
	SELECT g AS "the group", avg(v), stddev(v) FROM src GROUP BY g HAVING count(*) > 3;
CREATE TABLE bag WITH (velostream.continuous, velostream.on_error = dead_letter) AS
	SELECT g, v % 10 AS d, 100 / (v + 1) AS q FROM src WHERE g < 8;
CREATE TABLE chain WITH (velostream.continuous) AS
	SELECT count, count(*) AS groups FROM totals GROUP BY count;
CREATE TABLE log_totals WITH (velostream.continuous, velostream.source_mode = append) AS
	SELECT g, count(*), sum(v) FROM log GROUP BY g;
CREATE TABLE stopped WITH (velostream.continuous, velostream.on_error = stop) AS
	SELECT count(*) FROM src;
CREATE INDEX ON totals (count);
SET ROLE alice;
CREATE TABLE hers WITH (velostream.continuous) AS SELECT g, sum(v) FROM odd GROUP BY g;
RESET ROLE;
END
oracle($node, 'postgres', 'the original');

my $options = q{SELECT string_agg(concat_ws(' ', schema, name, owner, kind, source_mode, on_error, with_data), ', ' ORDER BY schema, name) FROM velostream.queries};

# Restored, and right; then the sources change.
sub check_copy
{
	my ($db, $name, $src, $v) = @_;
	local $Test::Builder::Level = $Test::Builder::Level + 1;
	my $count = $node->safe_psql($db, 'SELECT count(*) FROM log');

	is($node->safe_psql($db, $options), $node->safe_psql('postgres', $options), "$name: the same queries");
	oracle($node, $db, "$name: right",
		totals => { 'SELECT sum(count) FROM log_totals' => $count });
	$node->safe_psql($db, <<"END");
INSERT INTO log SELECT 1, 1 FROM generate_series(1, 100);
DELETE FROM log WHERE g = 3;
UPDATE $src SET $v = $v + 100 WHERE id % 9 = 0;
DELETE FROM $src WHERE id % 10 = 0;
INSERT INTO $src (g, $v) SELECT i, i FROM generate_series(1, 20) i;
END
	oracle($node, $db, "$name: goes on",
		totals => { 'SELECT sum(count) FROM log_totals' => $count + 100 });
	my ($rc, $out, $err) = $node->psql($db, 'DELETE FROM log_totals');
	like($err, qr/ERROR/, "$name: the output is guarded");
	($rc, $out, $err) = $node->psql($db, "DROP TABLE $src");
	like($err, qr/CASCADE/, "$name: the source is needed");
	return;
}

sub copy_database
{
	my ($db, $how) = @_;

	$node->safe_psql('postgres', "CREATE DATABASE $db TEMPLATE template0");
	if ($how eq 'plain')
	{
		$node->command_ok([ 'pg_dump', '-f', "$dir/$db.sql", $node->connstr('postgres') ], 'pg_dump');
		$node->command_ok([ 'psql', '-qXv', 'ON_ERROR_STOP=1', '-o', '/dev/null', '-f', "$dir/$db.sql",
				$node->connstr($db) ], 'psql');
	}
	else
	{
		$node->command_ok([ 'pg_dump', '-Fc', '-f', "$dir/$db.dump", $node->connstr('postgres') ], 'pg_dump -Fc');
		$node->command_ok([ 'pg_restore', '-e', @{$how}, '-d', $node->connstr($db), "$dir/$db.dump" ],
			"pg_restore @{$how}");
	}
	return;
}

copy_database('plain', 'plain');
check_copy('plain', 'pg_dump | psql', 'src', 'v');
copy_database('custom', []);
check_copy('custom', 'pg_restore', 'src', 'v');

# after everything was renamed
$node->safe_psql('postgres', <<'END');
ALTER TABLE src RENAME TO source;
ALTER TABLE source RENAME COLUMN v TO value;
ALTER TABLE totals RENAME TO "The Totals";
ALTER TABLE "The Totals" RENAME COLUMN sum TO "The Sum";
ALTER TABLE s.state SET SCHEMA public;
ALTER SCHEMA s RENAME TO z;
ALTER TABLE bag SET SCHEMA z;
END
oracle($node, 'postgres', 'renamed');
copy_database('renamed', ['--single-transaction']);
check_copy('renamed', 'renamed', 'source', 'value');
copy_database('parallel', ['-j2']);
check_copy('parallel', 'in parallel', 'source', 'value');

# a copy of a copy
$node->command_ok([ 'pg_dump', '-f', "$dir/again.sql", $node->connstr('renamed') ], 'pg_dump of the copy');
$node->safe_psql('postgres', 'CREATE DATABASE again');
$node->command_ok([ 'psql', '-qXv', 'ON_ERROR_STOP=1', '-o', '/dev/null', '-f', "$dir/again.sql",
		$node->connstr('again') ], 'into another one');
check_copy('again', 'a copy of a copy', 'source', 'value');

# paused queries stay paused
$node->safe_psql('again', q{SELECT velostream.pause('"The Totals"')});
$node->command_ok([ 'pg_dump', '-f', "$dir/paused.sql", $node->connstr('again') ], 'pg_dump with a paused query');
$node->safe_psql('postgres', 'CREATE DATABASE paused');
$node->command_ok([ 'psql', '-qXv', 'ON_ERROR_STOP=1', '-o', '/dev/null', '-f', "$dir/paused.sql",
		$node->connstr('paused') ], 'restored');
is(value($node, 'paused', q{state FROM velostream.queries WHERE name = 'The Totals'}), 'paused', 'it is paused');
$node->safe_psql('paused', q{SELECT velostream.resume('"The Totals"')});
check_copy('paused', 'resumed', 'source', 'value');

# queries that never ran: their state tables have their indexes all the same
$node->safe_psql('postgres', <<'END');
BEGIN;
CREATE TABLE events (id int PRIMARY KEY, g int, at timestamp);
INSERT INTO events SELECT i, i % 3, '2024-01-01'::timestamp + i * interval '1 s' FROM generate_series(1, 100) i;
CREATE TABLE hops WITH (velostream.continuous) AS
	SELECT g, velostream.hop(at, '20 s', '10 s') AS since, count(*) FROM events GROUP BY 1, 2;
CREATE TABLE steps WITH (velostream.continuous) AS
	SELECT velostream.cumulate(at, '10 s', '1 min') AS until, count(*) FROM events GROUP BY 1;
CREATE TABLE best WITH (velostream.continuous) AS SELECT id, at FROM events ORDER BY g DESC LIMIT 7;
CREATE TABLE crowded WITH (velostream.continuous) AS SELECT id % 9 AS r, max(at) FROM events GROUP BY 1 ORDER BY count(*) DESC LIMIT 4;
SELECT velostream.pause(q) FROM unnest('{hops, steps, best, crowded}'::regclass[]) q;
COMMIT;
END
copy_database('unborn', []);
ok($node->poll_query_until('unborn', q{SELECT count(*) = 0 FROM velostream.query q
		WHERE NOT EXISTS (SELECT FROM velostream.frontier f WHERE f.output = q.output)}),
	'queries that never ran are adopted');
$node->safe_psql($_, q{SELECT velostream.resume(q) FROM unnest('{hops, steps, best, crowded}'::regclass[]) q}) for qw(unborn postgres);
oracle($node, 'unborn', 'queries that never ran before the dump',
	totals => { 'SELECT sum(count) FROM hops' => 200 });

oracle($node, 'postgres', 'the original, at last');
log_is_clean($node);
$node->stop;
done_testing();
