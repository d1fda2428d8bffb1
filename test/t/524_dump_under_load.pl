# pg_dump under load: what it restores is one moment, and rebuilds to what the
# sources were then; and a copy of that database, while the load goes on.
use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../perl";
use PostgreSQL::Test::Utils;
use Test::More;
use VelostreamLoad;
use VelostreamTest;

my $node = new_node('dump');
my $dump = $node->basedir . '/dump';

create_queries($node, 'postgres');
my $load = start_load($node, 'postgres');
$node->command_ok([ 'pg_dump', '-Fc', '-f', $dump, $node->connstr('postgres') ], 'pg_dump');
load_more($node, 'postgres');
$node->safe_psql('postgres', 'CREATE DATABASE copy');
$node->command_ok([ 'pg_restore', '-e', '-d', $node->connstr('copy'), $dump ], 'pg_restore');

# A restored append query has counted what its source held.
sub check_copy
{
	my ($db, $more) = @_;
	local $Test::Builder::Level = $Test::Builder::Level + 1;

	return oracle($node, $db, "$db: right", totals => {
			'SELECT sum(count) FROM log_totals' => value($node, $db, "count(*) + $more FROM log"),
			'SELECT count(*) FROM log_rows' => value($node, $db, "count(*) + $more FROM log WHERE g < 3"),
			'SELECT sum(count) FROM log_part_totals' => value($node, $db, 'count(*) FROM log_part') });
}

check_copy('copy', 0);
load_more($node, 'postgres');
$node->safe_psql('postgres', 'CREATE DATABASE template TEMPLATE copy');
check_copy('template', 0);
for my $db ('copy', 'template')
{
	# four rows come, and five go, of which two were among the four
	$node->safe_psql($db, <<'END');
INSERT INTO log (g, v, n) SELECT 1, 1000 + i, 1 FROM generate_series(1, 4) i;
DELETE FROM log WHERE v IN (1001, 1002) OR id IN (SELECT id FROM log WHERE g = 1 AND v < 1000 ORDER BY id LIMIT 3);
UPDATE src SET v = v + 1 WHERE id % 3 = 0;
DELETE FROM src WHERE id % 7 = 0;
END
	check_copy($db, 5);
}
load_more($node, 'postgres');
stop_load($load, $node, 'postgres');
all_right($node, 'postgres', 'the original');
check_copy($_, 5) for 'copy', 'template';
log_is_clean($node);
$node->stop;
done_testing();
