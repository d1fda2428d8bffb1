# Nobody but velostream writes to an output: not logical replication either,
# which fires no statement triggers.
use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../perl";
use PostgreSQL::Test::Utils;
use Test::More;
use VelostreamTest;

my $node = new_node('guard', conf => "wal_level = logical\nwal_retrieve_retry_interval = 100ms\n");
my $connect = $node->connstr . ' dbname=publisher';
my $offset;

$node->safe_psql('postgres', 'CREATE DATABASE publisher');
$node->safe_psql('publisher', <<'END_SQL');
CREATE TABLE totals (g int PRIMARY KEY, count bigint);
INSERT INTO totals VALUES (1, 100);
CREATE PUBLICATION p FOR TABLE totals;
SELECT pg_create_logical_replication_slot('s', 'pgoutput');
END_SQL
$node->safe_psql('postgres', <<'END_SQL');
CREATE TABLE src (id serial PRIMARY KEY, g int);
INSERT INTO src (g) VALUES (1), (1), (2);
CREATE TABLE totals WITH (velostream.continuous) AS SELECT g, count(*) FROM src GROUP BY g;
ALTER TABLE totals ADD PRIMARY KEY (g);
END_SQL
oracle($node, 'postgres', 'the beginning');

for my $change ('INSERT INTO totals VALUES (7, 7)', 'UPDATE totals SET count = 8 WHERE g = 1',
	'DELETE FROM totals WHERE g = 1', 'TRUNCATE totals')
{
	$offset = -s $node->logfile;
	$node->safe_psql('postgres', <<"END_SQL");
CREATE SUBSCRIPTION s CONNECTION '$connect' PUBLICATION p
	WITH (create_slot = false, slot_name = s, copy_data = false);
END_SQL
	$node->safe_psql('publisher', $change);
	$node->wait_for_log(qr/ERROR: .*cannot (insert into|update|delete from|truncate) table "totals"/, $offset);
	$node->safe_psql('postgres', 'ALTER SUBSCRIPTION s DISABLE; ALTER SUBSCRIPTION s SET (slot_name = NONE)');
	$node->safe_psql('postgres', 'DROP SUBSCRIPTION s');
	poll($node, 'postgres', q{NOT active FROM pg_replication_slots WHERE slot_name = 's'});
	$node->safe_psql('publisher', <<'END_SQL');
SELECT pg_drop_replication_slot('s');
SELECT pg_create_logical_replication_slot('s', 'pgoutput');
END_SQL
	oracle($node, 'postgres', "replication could not: $change");
}

# the initial copy
$offset = -s $node->logfile;
$node->safe_psql('publisher', 'INSERT INTO totals VALUES (1, 100)');
$node->safe_psql('postgres', <<"END_SQL");
CREATE SUBSCRIPTION s CONNECTION '$connect' PUBLICATION p WITH (create_slot = false, slot_name = s);
END_SQL
$node->wait_for_log(qr/ERROR: .*cannot insert into table "totals"/, $offset);
$node->safe_psql('postgres', 'DROP SUBSCRIPTION s');
$node->safe_psql('postgres', 'INSERT INTO src (g) VALUES (1), (3); DELETE FROM src WHERE g = 2');
oracle($node, 'postgres', 'nor the initial copy; our own writes go on');

log_is_clean($node);
$node->stop;
done_testing();
