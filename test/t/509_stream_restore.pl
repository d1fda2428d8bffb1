# Offsets of a stream go on where they were when it comes back from a dump.
use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../perl";
use PostgreSQL::Test::Utils;
use Test::More;
use VelostreamTest;

my $node = new_node('stream');
$node->safe_psql('postgres', <<'END');
CREATE TABLE s (id int PRIMARY KEY, k int);
CREATE TABLE s_changes WITH (velostream.continuous, velostream.kind = stream) AS
	SELECT k, count(*) AS n FROM s GROUP BY k;
INSERT INTO s SELECT i, i % 3 FROM generate_series(1, 9) i;
SELECT velostream.wait();
UPDATE s SET k = 5 WHERE k = 0;
SELECT velostream.wait();
END
my $before = $node->safe_psql('postgres', 'SELECT max(_offset) FROM s_changes');
cmp_ok($before, '>', 3, 'offsets before');

my $dump = $node->basedir . '/dump.sql';
$node->safe_psql('postgres', 'CREATE DATABASE copy');
$node->command_ok([ 'pg_dump', '-f', $dump, '-d', $node->connstr('postgres') ], 'dump');
$node->command_ok([ 'psql', '-qX', '-v', 'ON_ERROR_STOP=1', '-f', $dump, '-d', $node->connstr('copy') ],
	'restore');
$node->safe_psql('copy', 'INSERT INTO s VALUES (100, 100)');
$node->poll_query_until('copy',
	q{SELECT count(*) = 1 FROM s_changes WHERE k = 100 AND _op = 'insert'})
  or die 'the stream did not go on';
is($node->safe_psql('copy', 'SELECT count(*) - count(DISTINCT _offset) FROM s_changes'),
	0, 'no offset twice');
is($node->safe_psql('copy', qq{SELECT min(_offset) > $before FROM s_changes WHERE _offset >=
	(SELECT _offset FROM s_changes WHERE _op = 'reset')}), 't', 'the reset comes after all that was');
# the content of the stream, since the reset, is the query
is($node->safe_psql('copy', <<'END'), 0, 'content since the reset');
WITH content AS (
	SELECT DISTINCT ON (k) k, n, _op FROM s_changes
	WHERE _offset > (SELECT max(_offset) FROM s_changes WHERE _op = 'reset')
	ORDER BY k, _offset DESC)
SELECT count(*) FROM (
	(SELECT k, n FROM content WHERE _op <> 'delete' EXCEPT ALL SELECT k, count(*) FROM s GROUP BY k)
	UNION ALL
	(SELECT k, count(*) FROM s GROUP BY k EXCEPT ALL SELECT k, n FROM content WHERE _op <> 'delete')) d
END
$node->stop;
done_testing();
