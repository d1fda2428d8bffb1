# Twenty thousand small batches without VACUUM: the tables of the extension, and
# the output, do not grow.
use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../perl";
use PostgreSQL::Test::Utils;
use Test::More;
use VelostreamTest;

my $node = new_node('small_batches', conf => "fsync = off\nsynchronous_commit = off\n");
my $size = q{SELECT pg_total_relation_size('velostream.%s') / 8192};

$node->safe_psql('postgres', <<'END_SQL');
CREATE TABLE src (id serial PRIMARY KEY, g int, v int);
CREATE TABLE totals WITH (velostream.continuous) AS
	SELECT g, count(*), sum(v) FROM src GROUP BY g;
CREATE TABLE best WITH (velostream.continuous) AS
	SELECT g, min(v), max(v) FROM src GROUP BY g;
CREATE PROCEDURE work(n int) LANGUAGE plpgsql AS $$
BEGIN
	FOR i IN 1 .. n LOOP
		INSERT INTO src (g, v) VALUES (i % 5, i);
		COMMIT;
		PERFORM velostream.process('totals');
		COMMIT;
		PERFORM velostream.process('best');
		COMMIT;
	END LOOP;
END $$;
END_SQL
$node->safe_psql('postgres', 'CALL work(10000)', timeout => 300);
cmp_ok(value($node, 'postgres', 'sum(batches) FROM velostream.stat_queries'), '>=', 15_000, 'many batches');
oracle($node, 'postgres', 'right');
for my $table ('frontier', 'query')
{
	my $pages = $node->safe_psql('postgres', sprintf($size, $table));

	note("$table: $pages pages");
	cmp_ok($pages, '<=', 40, "velostream.$table did not grow");
}
cmp_ok(value($node, 'postgres', "pg_relation_size('totals') / 8192"), '<=', 20, 'nor did the output');
log_is_clean($node);
$node->stop;
done_testing();
