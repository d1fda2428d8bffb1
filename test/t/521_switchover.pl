# Two servers change places, and change back, after clean stops: the first one
# still has its slot, if it was no hot standby, but that has held nothing meanwhile.
use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../perl";
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use VelostreamTest;

my $first = new_node('first');
my $second = PostgreSQL::Test::Cluster->new('second');
my $count = 1000;

$first->safe_psql('postgres', <<'END');
CREATE TABLE src (id serial PRIMARY KEY, g int, v int);
CREATE TABLE log (id serial, g int);
INSERT INTO src (g, v) SELECT i % 10, i FROM generate_series(1, 1000) i;
INSERT INTO log (g) SELECT i % 10 FROM generate_series(1, 1000) i;
CREATE TABLE totals WITH (velostream.continuous) AS
	SELECT g, count(*), sum(v) FROM src GROUP BY g;
CREATE TABLE log_totals WITH (velostream.continuous, velostream.source_mode = append) AS
	SELECT g, count(*) FROM log GROUP BY g;
END

sub right
{
	my ($node, $name) = @_;
	local $Test::Builder::Level = $Test::Builder::Level + 1;
	return oracle($node, 'postgres', $name, totals => { 'SELECT sum(count) FROM log_totals' => $count });
}

# Stop one, promote the other, and let the first follow it.
sub change_places
{
	my ($from, $to) = @_;

	$from->stop('fast');
	$to->promote;
	$from->enable_streaming($to);
	$from->append_conf('postgresql.conf', "recovery_target_timeline = 'latest'");
	$from->start;
	return;
}

right($first, 'the beginning');
$first->backup('b');
$second->init_from_backup($first, 'b', has_streaming => 1);
$second->append_conf('postgresql.conf', 'velostream.enabled = off');
$second->start;
$first->wait_for_catchup($second);

$first->append_conf('postgresql.conf', 'hot_standby = off');
change_places($first, $second);

# workers rest there: what they do not see goes away, or is frozen
$second->safe_psql('postgres', <<'END');
INSERT INTO src (g, v) SELECT 1, i FROM generate_series(1, 500) i;
UPDATE src SET v = v + 1 WHERE id % 3 = 0;
DELETE FROM src WHERE id % 7 = 0;
INSERT INTO log (g) SELECT i % 10 FROM generate_series(1, 500) i;
END
$count += 500;
$second->safe_psql('postgres', 'SELECT pg_current_xact_id()') for 1 .. 5;
$second->safe_psql('postgres', 'VACUUM (FREEZE) src');
$second->safe_psql('postgres', 'VACUUM (FREEZE) log');
$second->wait_for_catchup($first);

change_places($second, $first);
right($first, 'back again');
is(value($first, 'postgres', q{rebuilds FROM velostream.stat_queries WHERE name = 'totals'}), 1, 'changes: rebuilt');
is(value($first, 'postgres', q{rebuilds FROM velostream.stat_queries WHERE name = 'log_totals'}), 0, 'append: goes on');

# the slot holds again
$first->safe_psql('postgres', q{SELECT velostream.pause('totals')});
$first->safe_psql('postgres', 'UPDATE src SET v = v + 1 WHERE id % 3 = 0');
$first->safe_psql('postgres', 'SELECT pg_current_xact_id()') for 1 .. 5;
$first->safe_psql('postgres', 'VACUUM (FREEZE) src');
$first->safe_psql('postgres', q{SELECT velostream.resume('totals')});
right($first, 'further on');
is(value($first, 'postgres', q{rebuilds FROM velostream.stat_queries WHERE name = 'totals'}), 1, 'nothing more is rebuilt');

# nor does it hold anything on behalf of the other one
$first->append_conf('postgresql.conf', <<'END');
hot_standby = on
hot_standby_feedback = on
wal_receiver_status_interval = 1
END
change_places($first, $second);
is(value($first, 'postgres', 'pg_is_in_recovery()'), 't', 'a hot standby');
poll($first, 'postgres', 'count(*) = 0 FROM pg_replication_slots');
my $xid = value($second, 'postgres', 'pg_current_xact_id()');
poll($second, 'postgres', "backend_xmin::text::bigint >= $xid FROM pg_stat_replication");
pass('its feedback moves on');

log_is_clean($_) for $first, $second;
$first->stop;
$second->stop;
done_testing();
