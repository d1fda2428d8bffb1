# A snapshot is taken while others begin subtransactions, more than fit into
# shared memory: one that has its id, but has not yet written down whose child
# it is, is in progress all the same, and its row is not lost.  The moment is
# short: of a million subtransactions one or two meet a batch in it.
use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../perl";
use PostgreSQL::Test::Utils;
use Test::More;
use VelostreamTest;

my $node = new_node('new_subtransactions',
	conf => "velostream.naptime = 10ms\nvelostream.flush_delay = 0\nsynchronous_commit = off");

$node->safe_psql('postgres', <<'END');
CREATE TABLE log (v int);
CREATE TABLE all_rows WITH (velostream.continuous) AS SELECT count(*) FROM log;
CREATE TABLE all_logged WITH (velostream.continuous, velostream.source_mode = append) AS SELECT count(*) FROM log;
CREATE FUNCTION many() RETURNS void LANGUAGE plpgsql AS $$
BEGIN
	FOR i IN 1 .. 150 LOOP
		BEGIN
			INSERT INTO log VALUES (i);
		EXCEPTION WHEN others THEN
			RAISE;
		END;
	END LOOP;
END $$;
END
my $many = $node->basedir . '/many.sql';
my $one = $node->basedir . '/one.sql';
append_to_file($many, "SELECT many();\n");
append_to_file($one, "INSERT INTO log VALUES (0);\n");

# the single rows move the batches on, and the end of each snapshot
my @loads = map {
	IPC::Run::start([ 'pgbench', '-n', '-c', $_->[0], '-T', 10, '-f', $_->[1], $node->connstr('postgres') ],
		'<', \undef, '>', \my $out, '2>', \my $err)
} ([ 4, $many ], [ 2, $one ]);
ok((grep { $_->finish } @loads) == 2, 'the load');
my $rows = value($node, 'postgres', 'count(*) FROM log');
cmp_ok($rows, '>', 10_000, 'many rows');
oracle($node, 'postgres', 'all are counted', totals => { 'SELECT count FROM all_logged' => $rows });

log_is_clean($node);
$node->stop;
done_testing();
