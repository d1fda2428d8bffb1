# Window functions over buffers: what is in the buffers outlives restarts, and
# a batch that ends halfway, at whatever step, leaves them as they were.
use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../perl";
use PostgreSQL::Test::Utils;
use Test::More;
use VelostreamTest;

my $node = new_node('row_windows',
	conf => "velostream.workers_per_database = 2\nvelostream.max_backoff = 500ms");
my $rows = 0;

$node->safe_psql('postgres', <<'END');
CREATE TABLE tick (id int, symbol int, ts int, x int);
-- one pass, or each buffer by itself, as the rows come; each buffer by itself
CREATE TABLE passes WITH (velostream.continuous, velostream.source_mode = append) AS
	SELECT id, lag(x, 2) OVER w AS l, sum(x) OVER (w ORDER BY ts) AS s, array_agg(id) OVER w AS ids
	FROM tick WINDOW w AS (PARTITION BY velostream.buffer(4), symbol);
CREATE TABLE ranks WITH (velostream.continuous, velostream.source_mode = append, velostream.kind = stream) AS
	SELECT id, rank() OVER (PARTITION BY velostream.buffer(4), symbol ORDER BY ts) AS r FROM tick;
END

# The windows of each row, over the last four rows of its symbol.
my $reference = <<'END';
SELECT r.id, b.* FROM tick r CROSS JOIN LATERAL (
	SELECT (array_agg(x ORDER BY id DESC))[3] AS l, sum(x) FILTER (WHERE ts <= r.ts) AS s,
		array_agg(id ORDER BY id) AS ids, 1 + count(*) FILTER (WHERE ts < r.ts) AS rank
	FROM (SELECT * FROM tick s WHERE s.symbol = r.symbol AND s.id <= r.id ORDER BY id DESC LIMIT 4) b) b
END

sub change
{
	$node->safe_psql('postgres', <<"END");
INSERT INTO tick SELECT i, i % 3, CASE WHEN i % 7 = 0 THEN i - 10 ELSE i END, i * i % 101
FROM generate_series($rows + 1, $rows + 10) i;
END
	$rows += 10;
	return;
}

sub right
{
	my ($name, $db) = @_;
	local $Test::Builder::Level = $Test::Builder::Level + 1;
	my $result = $node->safe_psql($db // 'postgres', <<"END");
SELECT velostream.wait(timeout => '120s') \\g /dev/null
WITH reference AS MATERIALIZED ($reference), stream AS (
	SELECT id, r FROM ranks WHERE _op = 'insert' AND
		_offset > (SELECT coalesce(max(_offset), 0) FROM ranks WHERE _op = 'reset'))
SELECT (SELECT count(*) FROM passes),
	(SELECT count(*) FROM (SELECT id, l, s, ids FROM reference EXCEPT ALL TABLE passes) d),
	(SELECT count(*) FROM stream),
	(SELECT count(*) FROM (SELECT id, rank FROM reference EXCEPT ALL TABLE stream) d)
END
	return is($result, "$rows|0|$rows|0", $name);
}

change();
right('before');
$node->restart;
change();
right('after a restart');
for my $point (qw(delta-open after-merge before-frontier after-frontier before-publish))
{
	for my $how ('is terminated', 'loses its server')
	{
		my $offset = stop_at($node, $point);
		my $pid = wait_stopped($node, $point, $offset, \&change);

		change();
		$node->safe_psql('postgres', "SELECT pg_terminate_backend($pid)")
		  if $how eq 'is terminated';
		$node->stop('immediate') if $how eq 'loses its server';
		$node->start if $how eq 'loses its server';
		go_on($node);
		right("a worker at $point $how");
	}
}

# process() returns the rows in the order of arrival, whatever batch_rows is.
workers_off($node);
change();
my $order = "string_agg(row ->> 'id', ',') = (SELECT string_agg(id::text, ',' ORDER BY id) FROM tick WHERE id > $rows - 10)";
is($node->safe_psql('postgres', "SELECT $order FROM velostream.process('passes', batch_rows => 1)"),
	't', 'process(), in order, row by row');
is($node->safe_psql('postgres', "SELECT $order FROM velostream.process('ranks')"),
	't', 'process(), in order, at once');
set_guc($node, 'velostream.enabled' => 'on');
go_on($node);
right('after process()');

# a restored query starts from the source as it is
my $dump = $node->basedir . '/dump.sql';
$node->safe_psql('postgres', 'CREATE DATABASE copy');
$node->command_ok([ 'pg_dump', '-f', $dump, '-d', $node->connstr('postgres') ], 'dump');
$node->command_ok([ 'psql', '-qX', '-v', 'ON_ERROR_STOP=1', '-f', $dump, '-d', $node->connstr('copy') ],
	'restore');
right('restored', 'copy');

log_is_clean($node);
$node->stop;
done_testing();
