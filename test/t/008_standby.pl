# A standby: queries rest there; after its promotion append goes on, and the
# others are rebuilt.
use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../perl";
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use VelostreamTest;

my $primary = new_node('primary');
my $count = 0;

$primary->safe_psql('postgres', <<'END');
CREATE TABLE src (id serial PRIMARY KEY, g int, v int);
CREATE TABLE log (g int, v int);
INSERT INTO src (g, v) SELECT i % 10, i FROM generate_series(1, 1000) i;
CREATE TABLE totals WITH (velostream.continuous) AS
	SELECT g, count(*), sum(v), stddev(v) FROM src GROUP BY g;
CREATE TABLE rows WITH (velostream.continuous) AS SELECT id, v FROM src WHERE g < 5;
CREATE TABLE log_totals WITH (velostream.continuous, velostream.source_mode = append) AS
	SELECT g, count(*) FROM log GROUP BY g;
END

sub change
{
	my ($node) = @_;
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
	my ($node, $name) = @_;
	local $Test::Builder::Level = $Test::Builder::Level + 1;
	return oracle($node, 'postgres', $name,
		totals => { 'SELECT sum(count) FROM log_totals' => $count });
}

change($primary);
right($primary, 'the primary');
$primary->backup('b');
my $standby = PostgreSQL::Test::Cluster->new('standby');
$standby->init_from_backup($primary, 'b', has_streaming => 1);
$standby->start;

change($primary);
right($primary, 'the primary, with a standby');
$primary->wait_for_catchup($standby);
is($standby->safe_psql('postgres', 'SELECT wrong()'), '', 'the standby shows the same');
is(value($standby, 'postgres', 'sum(count) FROM log_totals'), $count, 'append, too');
is(scalar(workers($standby, 'postgres')), 0, 'no worker there');
for my $call (q{wait('totals')}, q{process('totals')}, q{pause('totals')}, q{rebuild('totals')})
{
	my ($rc, $out, $err) = $standby->psql('postgres', "SELECT velostream.$call");
	like($err, qr/cannot execute .* (during recovery|in a read-only transaction)/, "$call on the standby");
}
for my $rows (0, 1, 7)
{
	is($standby->safe_psql('postgres', <<"END"), '0|10', "query() works there, $rows rows at a time");
WITH e AS MATERIALIZED (SELECT * FROM ROWS FROM (velostream.query(
		'SELECT g, count(*), sum(v), stddev(v) FROM src GROUP BY g', $rows) AS (g int, n bigint, s bigint, d numeric)) WITH ORDINALITY),
	o AS (SELECT DISTINCT ON (g) g, n, s, d FROM e ORDER BY g, ordinality DESC),
	p AS (SELECT g, count(*), sum(v), stddev(v) FROM src GROUP BY g)
SELECT count(*), (SELECT count(*) FROM p) FROM ((TABLE o EXCEPT ALL TABLE p) UNION ALL (TABLE p EXCEPT ALL TABLE o)) d
END
}
is(value($standby, 'postgres', 'count(*) FROM velostream.queries'), 3, 'the views work there');
is(value($standby, 'postgres', 'count(*) FROM velostream.stat_queries'), 3, 'both of them');

# what the primary did not process before it went away
$primary->safe_psql('postgres', q{SELECT velostream.pause(output) FROM velostream.query});
change($primary);
$primary->safe_psql('postgres', 'VACUUM src');
$primary->wait_for_catchup($standby);
$primary->stop('immediate');
$standby->promote;
$standby->safe_psql('postgres', q{SELECT velostream.resume(output) FROM velostream.query});
right($standby, 'promoted');
cmp_ok(value($standby, 'postgres', q{rebuilds FROM velostream.stat_queries WHERE name = 'totals'}), '>', 0, 'changes: rebuilt');
is(value($standby, 'postgres', q{rebuilds FROM velostream.stat_queries WHERE name = 'log_totals'}), 0, 'append: went on');
change($standby);
right($standby, 'goes on');
crash($standby);
change($standby);
right($standby, 'and after a crash');

log_is_clean($primary);
log_is_clean($standby);
$standby->stop;
done_testing();
