# A base backup that is taken under load: started as a server of its own, and
# brought to points in time in the middle of the load.
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
my $node = PostgreSQL::Test::Cluster->new('original');
my (%targets, %ledger, $xid);

$node->init(allows_streaming => 1, has_archiving => 1, extra => ['--no-sync']);
$node->append_conf('postgresql.conf', <<'END');
shared_preload_libraries = 'velostream'
max_connections = 40
max_worker_processes = 20
autovacuum = off
log_line_prefix = '%m [%p] %b %q%a '
END
$node->start;
install($node, 'postgres');
create_queries($node, 'postgres');

my $load = start_load($node, 'postgres');
$node->backup('b');
load_more($node, 'postgres');
# a transaction that is open when the points come
my $open = $node->background_psql('postgres');
$open->query_safe('BEGIN; INSERT INTO log (g, v, n) VALUES (1, 1, 1); UPDATE src SET v = -1 WHERE id > 1000;');
$targets{name} = 'here';
value($node, 'postgres', q{pg_create_restore_point('here')});
load_more($node, 'postgres');
$node->safe_psql('postgres', 'VACUUM (FREEZE) src');
$targets{lsn} = value($node, 'postgres', 'pg_current_wal_insert_lsn()');
load_more($node, 'postgres');
$targets{xid} = $node->safe_psql('postgres', <<'END');
WITH i AS (INSERT INTO log (g, v, n) SELECT i % 10, i, -1 FROM generate_series(1, 10) i RETURNING id, g, v, n),
	p AS (INSERT INTO log_part SELECT id, g, v FROM i WHERE id % 2 = 0),
	l AS (INSERT INTO ledger SELECT * FROM i)
SELECT pg_current_xact_id();
END
load_more($node, 'postgres');
$open->query_safe('ROLLBACK');
$open->quit;
stop_load($load, $node, 'postgres');
all_right($node, 'postgres', 'the original');
$node->safe_psql('postgres', 'SELECT pg_switch_wal()');
poll($node, 'postgres', q{last_archived_wal >= pg_walfile_name(pg_current_wal_lsn() - 1) OR
	last_archived_wal = pg_walfile_name(pg_switch_wal() - 1) FROM pg_stat_archiver});

# Right as it comes up, and after more load.
sub check_copy
{
	my ($copy, $name) = @_;
	local $Test::Builder::Level = $Test::Builder::Level + 1;

	all_right($copy, 'postgres', "$name: right");
	is(join(' ', map { rebuilds($copy, 'postgres', $_) } @append), '0 0 0 0 0', "$name: append goes on");
	my $more = start_load($copy, 'postgres');
	load_more($copy, 'postgres');
	stop_load($more, $copy, 'postgres');
	crash($copy);
	all_right($copy, 'postgres', "$name: goes on");
	log_is_clean($copy);
	return;
}

my $own = PostgreSQL::Test::Cluster->new('own');
$own->init_from_backup($node, 'b');
$own->append_conf('postgresql.conf', 'archive_mode = off');
$own->start;
check_copy($own, 'a server of its own');
$own->stop;

my $all = value($node, 'postgres', 'count(*) FROM ledger');
for my $kind (sort keys %targets)
{
	my $copy = PostgreSQL::Test::Cluster->new("to_$kind");

	$copy->init_from_backup($node, 'b', has_restoring => 1, standby => 0);
	$copy->append_conf('postgresql.conf', <<"END");
archive_mode = off
recovery_target_$kind = '$targets{$kind}'
recovery_target_action = promote
END
	$copy->start;
	poll($copy, 'postgres', 'NOT pg_is_in_recovery()');
	cmp_ok(value($copy, 'postgres', 'count(*) FROM ledger'), '<', $all, "$kind: before the end");
	is(value($copy, 'postgres', q{count(*) FROM ledger WHERE n = -1}), 10, 'xid: with that transaction')
	  if $kind eq 'xid';
	check_copy($copy, $kind);
	$copy->stop;
}
all_right($node, 'postgres', 'the original, at last');
log_is_clean($node);
$node->stop;
done_testing();
