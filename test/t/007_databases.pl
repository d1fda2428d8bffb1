# Several databases; dropping, copying and renaming them while workers run;
# dropping the extension.
use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../perl";
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(time);
use VelostreamTest;

my $node = new_node('databases', install => 0);
my %oid;
my %count;

sub make
{
	my ($db) = @_;

	$node->safe_psql('postgres', "CREATE DATABASE $db");
	install($node, $db);
	$node->safe_psql($db, <<'END');
CREATE TABLE src (id serial PRIMARY KEY, g int, v int);
CREATE TABLE log (g int, v int);
INSERT INTO src (g, v) SELECT i % 10, i FROM generate_series(1, 1000) i;
CREATE TABLE totals WITH (velostream.continuous) AS
	SELECT g, count(*), sum(v), stddev(v) FROM src GROUP BY g;
CREATE TABLE log_totals WITH (velostream.continuous, velostream.source_mode = append) AS
	SELECT g, count(*) FROM log GROUP BY g;
END
	$oid{$db} = value($node, 'postgres', "oid FROM pg_database WHERE datname = '$db'");
	$count{$db} = 0;
	return;
}

sub change
{
	my ($db) = @_;

	$node->safe_psql($db, <<'END');
INSERT INTO log SELECT i % 10, 1 FROM generate_series(1, 100) i;
INSERT INTO src (g, v) SELECT i % 10, i FROM generate_series(1, 50) i;
UPDATE src SET g = (g + 1) % 10 WHERE id % 7 = 0;
DELETE FROM src WHERE id % 11 = 0;
END
	$count{$db} += 100;
	return;
}

sub right
{
	my ($db, $name) = @_;
	local $Test::Builder::Level = $Test::Builder::Level + 1;

	change($db);
	return oracle($node, $db, "$db: $name",
		totals => { 'SELECT coalesce(sum(count), 0) FROM log_totals' => $count{$db} });
}

# Nothing of a database is left.
sub forgotten
{
	my ($id, $name) = @_;
	local $Test::Builder::Level = $Test::Builder::Level + 1;

	poll($node, 'postgres', "count(*) = 0 FROM pg_replication_slots WHERE slot_name = 'velostream_$id'");
	poll($node, 'postgres', "count(*) = 0 FROM pg_stat_activity WHERE backend_type = 'velostream worker' AND datid = $id");
	return is(
		value($node, 'postgres', "count(*) FROM pg_replication_slots WHERE slot_name = 'velostream_$id'"),
		0, "$name: slot and workers are gone");
}

make($_) for 'a', 'b', 'c';
right($_, 'at once') for 'a', 'b', 'c';
change($_) for 'a', 'b', 'c';
$node->restart;
right($_, 'after a restart') for 'c', 'b', 'a';
crash($node);
right($_, 'after a crash') for 'b', 'a', 'c';
is(scalar(workers($node, 'postgres')), 0, 'no worker where the extension is not');

# CREATE DATABASE ... TEMPLATE, while workers run
change('a');
$node->safe_psql('postgres', 'CREATE DATABASE a2 TEMPLATE a');
$count{a2} = $count{a};
$oid{a2} = value($node, 'postgres', q{oid FROM pg_database WHERE datname = 'a2'});
right('a2', 'a copy');
right('a', 'the original');
cmp_ok(value($node, 'a2', q{rebuilds FROM velostream.stat_queries WHERE name = 'totals'}), '<=', 1, 'rebuilt once at most');
$node->safe_psql('postgres', 'CREATE DATABASE a3 TEMPLATE a STRATEGY file_copy');
$count{a3} = $count{a};
$oid{a3} = value($node, 'postgres', q{oid FROM pg_database WHERE datname = 'a3'});
change($_) for 'a', 'a2', 'a3';
right($_, 'copied as files') for 'a3', 'a2', 'a';

# renamed, moved
$node->safe_psql('postgres', 'ALTER DATABASE a3 RENAME TO renamed');
$count{renamed} = $count{a3};
right('renamed', 'after it');

# DROP DATABASE, again and again, with workers at work
for my $db ('a2', 'renamed', 'c')
{
	my $id = $oid{$db} // $oid{a3};
	my $start = time;

	change($db);
	my ($rc, $out, $err) = $node->psql('postgres', "DROP DATABASE $db");
	is($err, '', "DROP DATABASE $db");
	cmp_ok(time - $start, '<', 30, 'is not blocked');
	forgotten($id, $db);
}
make('c');
right('c', 'created anew');
$node->psql('postgres', 'DROP DATABASE c WITH (FORCE)');
forgotten($oid{c}, 'c, by force');

# a DROP DATABASE that fails leaves the workers at work
my $session = $node->background_psql('b');
my ($rc, $out, $err) = $node->psql('postgres', 'DROP DATABASE b');
like($err, qr/is being accessed by other users/, 'DROP DATABASE fails for a session');
right('b', 'goes on after it');
$session->quit;

# DROP EXTENSION
($rc, $out, $err) = $node->psql('b', 'DROP EXTENSION velostream');
like($err, qr/cannot drop extension velostream because other objects depend on it/, 'DROP EXTENSION is refused');
right('b', 'goes on after it');
$node->safe_psql('b', 'BEGIN; DROP EXTENSION velostream CASCADE; ROLLBACK');
right('b', 'dropped and rolled back');
$node->safe_psql('b', 'DROP EXTENSION velostream CASCADE');
forgotten($oid{b}, 'DROP EXTENSION CASCADE');
is(value($node, 'b', q{count(*) FROM pg_class WHERE relname LIKE '%totals%' OR relname ~ '^(query|state)_'}),
	0, 'nothing of the queries is left');
is(value($node, 'b', q{count(*) FROM pg_namespace WHERE nspname = 'velostream'}), 0, 'nor the schema');
$node->safe_psql('b', 'INSERT INTO src (g, v) VALUES (1, 1); DROP TABLE src, log');
install($node, 'b');
$node->safe_psql('b', <<'END');
CREATE TABLE src (id serial PRIMARY KEY, g int, v int);
CREATE TABLE log (g int, v int);
CREATE TABLE totals WITH (velostream.continuous) AS
	SELECT g, count(*), sum(v), stddev(v) FROM src GROUP BY g;
CREATE TABLE log_totals WITH (velostream.continuous, velostream.source_mode = append) AS
	SELECT g, count(*) FROM log GROUP BY g;
END
$count{b} = 0;
right('b', 'CREATE EXTENSION again');

# and without a moment in between
$node->safe_psql('b', <<'END');
DROP EXTENSION velostream CASCADE;
CREATE EXTENSION velostream;
CREATE TABLE totals WITH (velostream.continuous) AS
	SELECT g, count(*), sum(v), stddev(v) FROM src GROUP BY g;
CREATE TABLE log_totals WITH (velostream.continuous, velostream.source_mode = append) AS
	SELECT g, count(*) FROM log GROUP BY g;
END
right('b', 'dropped and created at once');
right('a', 'all the while');

log_is_clean($node);
$node->stop;
done_testing();
