# What stopped a query is known after a restart, too; and what wait() says when
# another session has not committed.
use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../perl";
use PostgreSQL::Test::Utils;
use Test::More;
use VelostreamTest;

my $node = new_node('errors_kept');
my ($rc, $out, $err, $shown);
my $state = q{SELECT state, last_error, sqlstate, error_context IS NOT NULL, failed_at
	FROM velostream.queries WHERE name = 'ratios'};

$node->safe_psql('postgres', <<'END_SQL');
CREATE TABLE src (id serial PRIMARY KEY, g int, v int);
INSERT INTO src (g, v) VALUES (1, 1), (2, 2);
CREATE TABLE ratios WITH (velostream.continuous, velostream.on_error = stop) AS
	SELECT g, sum(100 / v) AS r FROM src GROUP BY g;
END_SQL
oracle($node, 'postgres', 'the beginning');
$node->safe_psql('postgres', 'INSERT INTO src (g, v) VALUES (1, 0)');
poll($node, 'postgres', q{state = 'stopped' FROM velostream.queries WHERE name = 'ratios'});
$shown = $node->safe_psql('postgres', $state);
like($shown, qr/^stopped\|division by zero\|22012\|t\|2/, 'stopped, and why');

# a resume that is rolled back changes nothing
$node->safe_psql('postgres', "BEGIN; SELECT velostream.resume('ratios'); ROLLBACK");
is($node->safe_psql('postgres', $state), $shown, 'resume rolled back');
is(value($node, 'postgres', 'failures FROM velostream.queries'), 1, '... nor the count of failures');
$node->safe_psql('postgres', "BEGIN; SAVEPOINT a; SELECT velostream.resume('ratios'); ROLLBACK TO a; COMMIT");
is(value($node, 'postgres', 'failures FROM velostream.queries'), 1, '... nor in a savepoint');

for my $how ('restart', 'crash')
{
	$how eq 'crash' ? crash($node) : $node->restart;
	like($node->safe_psql('postgres', $state), qr/^stopped\|division by zero\|22012\|t\|2/, "after a $how");
	($rc, $out, $err) = $node->psql('postgres', q{SELECT velostream.wait('ratios', '10s')});
	like($err, qr/is stopped\nDETAIL:  The last error was: division by zero/, '... and wait() says so');
}

# a pause keeps it, resume() forgets it
$node->safe_psql('postgres', "SELECT velostream.pause('ratios')");
like($node->safe_psql('postgres', $state), qr/^paused\|division by zero\|22012/, 'paused after that');
$node->safe_psql('postgres', "DELETE FROM src WHERE v = 0; SELECT velostream.resume('ratios')");
oracle($node, 'postgres', 'resumed');
like($node->safe_psql('postgres', $state), qr/^running\|\|\|f\|$/, '... and forgotten');
is(value($node, 'postgres', 'num_nulls(error, error_sqlstate, error_detail, error_hint, error_context, stopped_at) FROM velostream.query'),
	6, '... everywhere');

# a transaction that has run a batch and goes on
my $session = $node->background_psql('postgres');
$session->query_safe('BEGIN');
my $pid = $session->query_safe('SELECT pg_backend_pid()');
$node->safe_psql('postgres', 'INSERT INTO src (g, v) VALUES (3, 3)');
$session->query_safe("SELECT count(*) FROM velostream.process('ratios')");
($rc, $out, $err) = $node->psql('postgres', q{SELECT velostream.wait('ratios', '2s')});
like($err, qr/timeout while waiting.*\nDETAIL:  Process $pid has run a batch in a transaction that it has not committed yet/,
	'wait() names who has not committed');
$session->query_safe('ROLLBACK');
$session->quit;
oracle($node, 'postgres', 'rolled back');

log_is_clean($node);
$node->stop;
done_testing();
