# The examples of the documentation do what it says: each ```sql block of these
# pages runs without an error, in order, and every table is then right.
use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../perl";
use PostgreSQL::Test::Utils;
use Test::More;
use VelostreamTest;

my $node = new_node('docs');
my %rows = (
	'dialect' => <<'END',
INSERT INTO trades (symbol, trader, price, quantity, ts)
SELECT 'S' || i % 3, 't' || i % 7, 100 + i % 1000, 1 + i % 13, '2024-01-01'::timestamptz + i * interval '7 seconds' FROM generate_series(1, 5000) i;
END
	'coming-from' => <<'END');
INSERT INTO market_data (symbol, price, volume, event_time)
SELECT 'S' || i % 3, i, 1, '2024-01-01'::timestamptz + i * interval '7 seconds' FROM generate_series(1, 500) i;
INSERT INTO pageviews (user_id, page, ts) SELECT i, 'p' || i % 5, '2024-01-01'::timestamptz + i * interval '1 minute' FROM generate_series(1, 500) i;
INSERT INTO conditions (device, temperature, ts) SELECT i % 3, i, '2024-01-01'::timestamptz + i * interval '20 minutes' FROM generate_series(1, 500) i;
END

foreach my $page ('dialect', 'coming-from')
{
	(my $db = "docs_$page") =~ tr!-!_!;
	my $text = slurp_file("$FindBin::RealBin/../../docs/$page.md");
	my @blocks = $text =~ /^```sql\n(.*?)^```/msg;

	cmp_ok(scalar @blocks, '>', 3, "$page: there are examples");
	$node->safe_psql('postgres', "CREATE DATABASE $db");
	install($node, $db);
	foreach my $block (@blocks)
	{
		my ($rc, $out, $err) = $node->psql($db, $block, timeout => 60);
		my ($name) = $block =~ /(\S.*)/;

		ok($rc == 0 && $err !~ /ERROR|WARNING/, "$page: $name") or diag("$block\n$err");
	}
	$node->safe_psql($db, $rows{$page});
	$node->safe_psql($db, q{SELECT velostream.wait(timeout => '60s')});
	# a session cannot be computed by PostgreSQL
	is($node->safe_psql($db, q{SELECT string_agg(query::text || ': ' || differences(query), ', ') FROM velostream.queries
WHERE CASE WHEN kind = 'table' AND source_mode = 'changes' AND emit = 'changes' AND definition !~ 'session\(' THEN differences(query) <> 0 END}), '', "$page: every table is its query");
	cmp_ok($node->safe_psql($db, q{SELECT count(*) FROM velostream.queries WHERE kind = 'table' AND source_mode = 'changes' AND emit = 'changes'}), '>', 3, "$page: there are tables");
}

$node->stop;
done_testing();
