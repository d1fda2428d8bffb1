# Users' locks hold up the query that needs what they lock, and no other; and
# that is not counted as a failure of the query.
use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../perl";
use PostgreSQL::Test::Utils;
use Test::More;
use VelostreamTest;

my $node = new_node('locks', conf => 'velostream.workers_per_database = 1');

$node->safe_psql('postgres', <<'END');
CREATE TABLE a (k int, v int);
CREATE TABLE b (k int, v int);
INSERT INTO a SELECT i % 3, i FROM generate_series(1, 9) i;
INSERT INTO b SELECT i % 3, i FROM generate_series(1, 9) i;
CREATE TABLE qa WITH (velostream.continuous) AS SELECT k, count(*), sum(v) FROM a GROUP BY k;
CREATE TABLE qb WITH (velostream.continuous) AS SELECT k, count(*), sum(v) FROM b GROUP BY k;
END
oracle($node, 'postgres', 'the beginning');

my $session = $node->background_psql('postgres');
for my $lock ('SELECT k FROM qa FOR UPDATE', 'LOCK TABLE a', 'LOCK TABLE qa IN SHARE MODE',
	'ALTER TABLE a ADD note text; ALTER TABLE a DROP note')
{
	$session->query_safe("BEGIN; $lock");
	if ($lock =~ /qa/)
	{
		$node->safe_psql('postgres', 'UPDATE a SET v = v + 1');
	}
	else
	{
		$session->query_safe('UPDATE a SET v = v + 1');
	}
	for (1 .. 3)
	{
		$node->safe_psql('postgres', 'UPDATE b SET v = v + 1');
		my ($rc, $out, $err) = $node->psql('postgres', q{SELECT velostream.wait('qb', '20s')});
		is($err, '', "$lock: the other query goes on");
	}
	is(value($node, 'postgres', q{state || failures FROM velostream.queries WHERE name = 'qa'}),
		'running0', '... and this one does not fail');
	$session->query_safe('COMMIT');
	oracle($node, 'postgres', "$lock: gone");
}
$session->quit;

log_is_clean($node);
$node->stop;
done_testing();
