# The primary dies while its standby lags: what that one had not replayed never
# was.  The old primary is rewound, follows, and takes over in turn.
use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../perl";
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use VelostreamLoad;
use VelostreamTest;

my @append = qw(log_totals log_part_totals log_rows log_letters log_stream);
my $primary = new_node('primary', conf => "wal_log_hints = on\nwal_keep_size = 1GB");
my $standby = PostgreSQL::Test::Cluster->new('standby');
my ($lost, $seen);

create_queries($primary, 'postgres');
$primary->backup('b');
$standby->init_from_backup($primary, 'b', has_streaming => 1);
$standby->start;
my $load = start_load($primary, 'postgres');
load_more($primary, 'postgres');
$primary->wait_for_catchup($standby);

# It has received nothing since, but batches and VACUUM go on over there.
$standby->append_conf('postgresql.conf', "primary_conninfo = ''");
$standby->reload;
poll($primary, 'postgres', 'count(*) = 0 FROM pg_stat_replication');
load_more($primary, 'postgres');
$primary->safe_psql('postgres', 'VACUUM (FREEZE) src');
$primary->safe_psql('postgres', 'VACUUM (FREEZE) log');
load_more($primary, 'postgres');
stop_load($load, $primary, 'postgres');
all_right($primary, 'postgres', 'the primary, before it dies');
$lost = value($primary, 'postgres', 'count(*) FROM ledger');
$seen = value($primary, 'postgres', 'sum(count) FROM log_totals');
is($seen, $lost, 'its batches had seen all of it');
$primary->stop('immediate');

$standby->promote;
cmp_ok(value($standby, 'postgres', 'count(*) FROM ledger'), '<', $lost, 'some of it never was');
all_right($standby, 'postgres', 'promoted');
$load = start_load($standby, 'postgres');
load_more($standby, 'postgres') for 1 .. 3;

# Ids of transactions, places in the WAL: the new ones are where the lost ones
# were.  pg_rewind asks for a clean stop, and for a checkpoint of the new timeline.
$standby->safe_psql('postgres', 'CHECKPOINT');
$primary->start;
$primary->stop('fast');
command_ok([ 'pg_rewind', '--target-pgdata', $primary->data_dir,
		'--source-server', $standby->connstr('postgres') ], 'pg_rewind');
$primary->append_conf('postgresql.conf', 'port = ' . $primary->port . "\nunix_socket_directories = '" . $primary->host . "'");
$primary->enable_streaming($standby);
$primary->append_conf('postgresql.conf', "wal_log_hints = on");
$primary->start;
load_more($standby, 'postgres');
$standby->wait_for_catchup($primary, 'replay');
is(value($primary, 'postgres', 'count(*) FROM pg_replication_slots'), 0, 'no slot was rewound');
load_more($standby, 'postgres');
$standby->stop('immediate');
stop_load($load);
$primary->promote;
all_right($primary, 'postgres', 'the first one again');
is(join(' ', map { rebuilds($primary, 'postgres', $_) } @append), '0 0 0 0 0', 'append went on all the time');
$load = start_load($primary, 'postgres');
load_more($primary, 'postgres');
stop_load($load, $primary, 'postgres');
all_right($primary, 'postgres', 'and goes on');
log_is_clean($_) for $primary, $standby;
$primary->stop;
done_testing();
