# A backfill tells how far it is, and survives in the middle of its pages.  What
# makes a batch fail is told with its detail and hint.
use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../perl";
use PostgreSQL::Test::Utils;
use Test::More;
use VelostreamTest;

my $node = new_node('progress', conf => 'velostream.max_backoff = 500ms');

$node->safe_psql('postgres', <<'END');
CREATE TABLE src (g int, filler text);
ALTER TABLE src ALTER filler SET STORAGE PLAIN;
INSERT INTO src SELECT i % 10, repeat('x', 1000) FROM generate_series(1, 7000) i;
END
my $pages = value($node, 'postgres', q{pg_relation_size('src') / 8192});
cmp_ok($pages, '>', 700, 'there is something to read');

my $offset = stop_at($node, 'delta-scan');
my $pid = wait_stopped($node, 'delta-scan', $offset, sub {
		$node->safe_psql('postgres', <<'END');
CREATE TABLE q WITH (velostream.continuous) AS SELECT g, count(*) FROM src GROUP BY g;
END
	});
is(value($node, 'postgres', q{concat_ws(' ', pages_done, pages_total) FROM velostream.stat_queries}),
	"256 $pages", 'pages read so far, of how many');
is(value($node, 'postgres', q{state FROM velostream.queries}), 'backfilling', 'the state says so');
kill_9($node, $pid);
go_on($node);
oracle($node, 'postgres', 'after the worker was killed in the middle of the pages');
poll($node, 'postgres', q{runner_pid IS NULL FROM velostream.stat_queries});
is(value($node, 'postgres', q{concat_ws(' ', pages_done, pages_total) FROM velostream.stat_queries}),
	'', 'nothing when nothing runs');

# detail and hint
$node->safe_psql('postgres', <<'END');
CREATE ROLE watcher IN ROLE pg_monitor;
CREATE TABLE nums (id serial PRIMARY KEY, v int);
CREATE FUNCTION picky(i int) RETURNS int LANGUAGE plpgsql IMMUTABLE AS $$
BEGIN
	IF i = 13 THEN
		RAISE 'not this one' USING DETAIL = 'It is 13.', HINT = 'Use 12.', ERRCODE = 'P0013';
	END IF;
	RETURN i;
END $$;
CREATE TABLE tries WITH (velostream.continuous) AS SELECT id, picky(v) AS v FROM nums;
CREATE TABLE stops WITH (velostream.continuous, velostream.on_error = stop) AS SELECT id, picky(v) AS v FROM nums;
INSERT INTO nums (v) VALUES (12), (13);
END
my ($rc, $out, $err) = $node->psql('postgres', q{SELECT velostream.wait('tries', '30s')});
like($err, qr/"tries" failed: not this one\nDETAIL:  It is 13\.\nHINT:  Use 12\.\nCONTEXT:.*picky.*batch of continuous query/s,
	'wait() says it all');
# ... to the owner: not to one whose query reads the one that fails
$node->safe_psql('postgres', <<'END');
CREATE ROLE bob;
CREATE SCHEMA bob AUTHORIZATION bob;
GRANT SELECT (id) ON tries TO bob;
SET ROLE bob;
CREATE TABLE bob.ids WITH (velostream.continuous) AS SELECT id FROM public.tries;
END
($rc, $out, $err) = $node->psql('postgres', q{SET ROLE bob; SELECT velostream.wait('bob.ids', '30s')});
like($err, qr/"tries" failed: not this one/, 'the reader of a query that fails is told so');
unlike($err, qr/It is 13/, '... without the detail');
poll($node, 'postgres', q{state = 'stopped' FROM velostream.queries WHERE name = 'stops'});
for my $how ('now', 'after a restart')
{
	$node->restart if $how ne 'now';
	poll($node, 'postgres', q{count(error_hint) = 2 FROM velostream.queries});
	is(value($node, 'postgres', q{string_agg(concat_ws('|', name, state, last_error, sqlstate, error_detail, error_hint), ', ' ORDER BY name)
			FROM velostream.queries WHERE name IN ('tries', 'stops')}),
		'stops|stopped|not this one|P0013|It is 13.|Use 12., tries|failing|not this one|P0013|It is 13.|Use 12.',
		"so does the view, $how");
	is($node->safe_psql('postgres', q{SET ROLE watcher;
			SELECT string_agg(concat_ws('|', name, last_error, error_detail), ', ' ORDER BY name) FROM velostream.queries WHERE name IN ('tries', 'stops')}),
		'stops|not this one, tries|not this one', "... to others without the detail, $how");
}
$node->safe_psql('postgres', q{DELETE FROM nums WHERE v = 13; SELECT velostream.resume('stops')});
oracle($node, 'postgres', 'the row is gone');
is(value($node, 'postgres', 'count(error_hint) + count(error_detail) FROM velostream.queries'), 0, 'and so is the error');

log_is_clean($node);
$node->stop;
done_testing();
