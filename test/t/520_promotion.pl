# A standby takes over under load: its primary dies, with transactions open
# and one prepared; and later it takes over from that one in turn.
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
my @changes = qw(totals one rows bag chain stream);
my $primary = new_node('primary');
create_queries($primary, 'postgres');

for my $round (1 .. 2)
{
	my $standby = PostgreSQL::Test::Cluster->new("standby_$round");
	my %before;

	my $load = start_load($primary, 'postgres');
	$primary->backup("b$round");
	$standby->init_from_backup($primary, "b$round", has_streaming => 1);
	$standby->start;

	# both wrote before the end, and the second one commits after it
	my $open = $primary->background_psql('postgres');
	$open->query_safe(q{BEGIN; INSERT INTO log (g, v, n) VALUES (1, 1, 1); UPDATE src SET v = -1 WHERE id > 1000;});
	$primary->safe_psql('postgres', <<"END");
BEGIN;
WITH i AS (INSERT INTO log (g, v, n) SELECT i % 10, i, i FROM generate_series(1, 100) i RETURNING id, g, v, n),
	p AS (INSERT INTO log_part SELECT id, g, v FROM i WHERE id % 2 = 0)
INSERT INTO ledger SELECT * FROM i;
INSERT INTO src (g, v) VALUES (1, $round);
PREPARE TRANSACTION 'later';
END
	load_more($primary, 'postgres');
	$primary->wait_for_catchup($standby);
	$before{$_} = rebuilds($primary, 'postgres', $_) for @append, @changes;
	# the second one has received, but not replayed, what is written now
	$standby->safe_psql('postgres', 'SELECT pg_wal_replay_pause()') if $round == 2;
	load_more($primary, 'postgres');
	$round == 1 ? $primary->stop('immediate') : $primary->kill9;
	stop_load($load);
	eval { $open->quit };

	$standby->promote;
	$load = start_load($standby, 'postgres');
	$standby->safe_psql('postgres', q{COMMIT PREPARED 'later'});
	load_more($standby, 'postgres');
	oracle_under_load($standby, "round $round: right while the load runs");
	stop_load($load, $standby, 'postgres');
	all_right($standby, 'postgres', "round $round: promoted");
	is(join(' ', map { rebuilds($standby, 'postgres', $_) - $before{$_} } @append),
		'0 0 0 0 0', 'append goes on');
	is(join(' ', map { rebuilds($standby, 'postgres', $_) - $before{$_} } @changes),
		'1 1 1 1 1 1', 'changes: rebuilt, once');
	crash($standby);
	all_right($standby, 'postgres', "round $round: after a crash");
	log_is_clean($standby);
	$primary = $standby;
}

# One test: at a moment when the load holds still.
sub oracle_under_load
{
	my ($node, $name) = @_;
	local $Test::Builder::Level = $Test::Builder::Level + 1;
	my $lock = $node->background_psql('postgres');
	my $result;

	$lock->query_safe('BEGIN; LOCK TABLE ledger, src IN EXCLUSIVE MODE;');
	$result = all_right($node, 'postgres', $name);
	$lock->query_safe('COMMIT');
	$lock->quit;
	return $result;
}

$primary->stop;
done_testing();
