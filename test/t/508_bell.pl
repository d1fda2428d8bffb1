# A batch in a user's session that is rolled back, or dies, wakes the workers that
# passed its query over: wait() does not have to wait for their next nap to end.
use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../perl";
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(time);
use VelostreamTest;

my $node = new_node('bell', conf => "velostream.naptime = 60s\n");

$node->safe_psql('postgres', <<'END_SQL');
CREATE TABLE src (id serial PRIMARY KEY, g int, v int);
INSERT INTO src (g, v) SELECT i % 3, i FROM generate_series(1, 30) i;
CREATE TABLE totals WITH (velostream.continuous) AS
	SELECT g, count(*), sum(v) FROM src GROUP BY g;
SELECT velostream.wait('totals', '60s');
END_SQL

for my $end ('ROLLBACK', 'ROLLBACK TO a', 'exit', 'terminate', 'COMMIT')
{
	my $session = $node->background_psql('postgres');
	my $waiter = $node->background_psql('postgres');
	my $pid = $session->query_safe('SELECT pg_backend_pid()');
	my $start;

	$session->query_safe('BEGIN; SAVEPOINT a');
	$session->query_safe(q{SELECT count(*) FROM velostream.process('totals')});
	$node->safe_psql('postgres', 'INSERT INTO src (g, v) VALUES (1, 1)');
	$waiter->query_until(qr/asked/, q{\echo asked
SELECT velostream.wait('totals', '60s');
});
	sleep(1);
	$start = time();
	if ($end eq 'exit') { $session->quit; }
	elsif ($end eq 'terminate') { $node->safe_psql('postgres', "SELECT pg_terminate_backend($pid, 60000)"); }
	else { $session->query_safe($end); }
	$waiter->quit;
	cmp_ok(time() - $start, '<', 10, "$end: wait() is answered");
	eval { $session->quit } if $end ne 'exit';
}
oracle($node, 'postgres', 'right');
log_is_clean($node);
$node->stop;
done_testing();
