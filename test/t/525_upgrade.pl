# pg_upgrade from PostgreSQL 15, of which VELOSTREAM_OLD names an installation:
# append goes on where it was, the others are rebuilt, and all that belongs to
# a query still does.
use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../perl";
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use VelostreamLoad;
use VelostreamTest;

plan skip_all => 'VELOSTREAM_OLD is not set (./dev check versions does)' unless $ENV{VELOSTREAM_OLD};

my @append = qw(log_totals log_part_totals log_rows log_letters log_stream);
my @changes = qw(totals one rows bag chain stream);
my $old = new_node('old',
	install_path => $ENV{VELOSTREAM_OLD},
	conf => "wal_level = replica\nmax_wal_senders = 10");
my $new = PostgreSQL::Test::Cluster->new('new');
my $options = q{SELECT string_agg(concat_ws(' ', query, owner, kind, source_mode, on_error, state), ', ' ORDER BY name) FROM velostream.queries};
my ($settings, $batches, $rc, $out, $err);

create_queries($old, 'postgres');
$old->safe_psql('postgres', <<'END');
CREATE ROLE alice;
GRANT CREATE ON SCHEMA public TO alice;
GRANT SELECT ON src, log TO alice;
CREATE FUNCTION twice(int) RETURNS int LANGUAGE sql IMMUTABLE RETURN $1 * 2;
CREATE AGGREGATE total (int) (sfunc = int4pl, stype = int, combinefunc = int4pl, parallel = safe);
SET ROLE alice;
CREATE TABLE hers WITH (velostream.continuous) AS SELECT g, total(v) FROM src GROUP BY g;
CREATE TABLE hers_log WITH (velostream.continuous, velostream.source_mode = append) AS
	SELECT twice(g) AS g, total(v::int) FROM log GROUP BY 1;
RESET ROLE;
CREATE TABLE paused WITH (velostream.continuous, velostream.source_mode = append) AS
	SELECT g, count(*) FROM log GROUP BY g;
CREATE TABLE hops WITH (velostream.continuous, velostream.source_mode = append) AS
	SELECT g, velostream.hop(id, '1 s', '500 ms') AS w, count(*), stddev(n) FROM log GROUP BY 1, 2;
CREATE TABLE final WITH (velostream.continuous, velostream.source_mode = append, velostream.emit = final,
	velostream.max_out_of_orderness = '500 ms') AS
	SELECT velostream.tumble(id, '100 ms') AS w, count(*) FROM log GROUP BY 1;
CREATE TABLE previous WITH (velostream.continuous, velostream.source_mode = append) AS
	SELECT g, count(*) OVER (PARTITION BY velostream.buffer(3), g) AS n FROM log;
CREATE TABLE most WITH (velostream.continuous, velostream.source_mode = append) AS
	SELECT g, count(*) AS n, velostream.last(id) AS last FROM log GROUP BY g ORDER BY n DESC LIMIT 3;
-- collations get other OIDs
CREATE COLLATION german (provider = icu, locale = 'de');
CREATE TABLE texts WITH (velostream.continuous, velostream.source_mode = append) AS
	SELECT g, velostream.collect(v::text COLLATE german) AS all_of_them, velostream.first(id::text COLLATE german, v) AS first,
		velostream.count_distinct(v::text COLLATE german) FROM log GROUP BY g;
END

sub right
{
	my ($node, $name) = @_;
	local $Test::Builder::Level = $Test::Builder::Level + 1;

	all_right($node, 'postgres', $name);
	is($node->safe_psql('postgres', <<'END'), 0, '... and what a role has made of its own functions');
SELECT count(*) FROM (
	(TABLE hers_log EXCEPT ALL SELECT twice(g), sum(v)::int FROM ledger GROUP BY 1)
	UNION ALL (SELECT twice(g), sum(v)::int FROM ledger GROUP BY 1 EXCEPT ALL TABLE hers_log)) d
END
	is($node->safe_psql('postgres', <<'END'), 0, '... and windows');
WITH hopped AS (SELECT g, velostream.hop(id, '1 s', '500 ms') AS w, count(*), stddev(n) FROM ledger GROUP BY 1, 2)
SELECT count(*) FROM ((TABLE hops EXCEPT ALL TABLE hopped) UNION ALL (TABLE hopped EXCEPT ALL TABLE hops)) d
END
	is($node->safe_psql('postgres', <<'END'), 't|0', '... and those that have closed, once');
WITH closed AS (SELECT velostream.tumble(id, '100 ms') AS w, count(*) FROM ledger GROUP BY 1 HAVING max(id) / 100 * 100 + 600 <= (SELECT max(id) FROM ledger))
SELECT (SELECT count(*) > 1 FROM final),
	(SELECT count(*) FROM ((TABLE final EXCEPT ALL TABLE closed) UNION ALL (TABLE closed EXCEPT ALL TABLE final)) d)
END
	is($node->safe_psql('postgres', <<'END'), 0, '... and states with a collation');
WITH plain AS (SELECT g, velostream.collect(v::text COLLATE german), velostream.first(id::text COLLATE german, v),
	velostream.count_distinct(v::text COLLATE german) FROM ledger GROUP BY g)
SELECT count(*) FROM ((TABLE texts EXCEPT ALL TABLE plain) UNION ALL (TABLE plain EXCEPT ALL TABLE texts)) d
END
	is($node->safe_psql('postgres', <<'END'), 0, '... and the first rows');
WITH plain AS (SELECT g, count(*) AS n FROM ledger GROUP BY g ORDER BY n DESC, g LIMIT 3)
SELECT count(*) FROM ((SELECT g, n FROM most EXCEPT ALL TABLE plain) UNION ALL (TABLE plain EXCEPT ALL SELECT g, n FROM most)) d
END
	return is($node->safe_psql('postgres', <<'END'), 0, '... and rows of buffers');
WITH numbered AS (SELECT g, least(row_number() OVER (PARTITION BY g), 3) FROM ledger)
SELECT count(*) FROM ((TABLE previous EXCEPT ALL TABLE numbered) UNION ALL (TABLE numbered EXCEPT ALL TABLE previous)) d
END
}

right($old, 'before');
$old->safe_psql('postgres', q{SELECT velostream.pause('paused')});
my $load = start_load($old, 'postgres');
load_more($old, 'postgres');
$settings = $old->safe_psql('postgres', $options);
$batches = value($old, 'postgres', q{sum(batches) FROM velostream.stat_queries WHERE name LIKE 'log%'});

# what no batch has seen is there after it; the paused query has waited longer
workers_off($old);
load_more($old, 'postgres');
stop_load($load, $old, 'postgres');
$old->safe_psql('postgres', 'VACUUM (FREEZE)');
$old->safe_psql('postgres', 'ALTER SYSTEM RESET velostream.enabled');

# late releases of 15 mark every column, of every table, with an option that
# pg_upgrade cannot bring to a release that does not know it
$old->safe_psql($_, <<'END') for 'postgres', 'template1';
UPDATE pg_attribute SET attoptions = NULL WHERE attoptions::text LIKE '{pg\_attver=%}'
END
$old->stop;

$new->init(allows_streaming => 1, no_data_checksums => 1, extra => ['--no-sync']);
$new->append_conf('postgresql.conf', <<'END');
shared_preload_libraries = 'velostream'
max_worker_processes = 20
autovacuum = off
log_line_prefix = '%m [%p] %b %q%a '
END
chdir PostgreSQL::Test::Utils::tempdir();
command_ok([ 'pg_upgrade', '-d', $old->data_dir, '-D', $new->data_dir,
		'-b', "$ENV{VELOSTREAM_OLD}/bin", '-B', $new->config_data('--bindir'),
		'-s', $new->host, '-p', $old->port, '-P', $new->port ],
	'pg_upgrade');
$new->start;
$new->safe_psql('postgres', q{SELECT velostream.resume('paused')});
right($new, 'upgraded');
is($new->safe_psql('postgres', $options), $settings =~ s/paused (.*?) paused/paused $1 running/r,
	'the queries are the same');
is(join(' ', map { rebuilds($new, 'postgres', $_) } @append, 'hers_log', 'paused', 'hops', 'final', 'previous', 'texts', 'most'),
	'0 0 0 0 0 0 0 0 0 0 0 0', 'append goes on');
is(join(' ', map { rebuilds($new, 'postgres', $_) } @changes, 'hers'),
	'1 1 1 1 1 1 1', 'changes: rebuilt');
cmp_ok(value($new, 'postgres', q{sum(batches) FROM velostream.stat_queries WHERE name LIKE 'log%'}), '>', $batches,
	'counters go on');
is(value($new, 'postgres', q{sum(count) FROM paused}), value($new, 'postgres', 'count(*) FROM ledger'),
	'the paused one, too');

$load = start_load($new, 'postgres');
load_more($new, 'postgres');
stop_load($load, $new, 'postgres');
right($new, 'goes on');
is(join(' ', map { rebuilds($new, 'postgres', $_) } @append, @changes), '0 0 0 0 0 1 1 1 1 1 1', 'nothing more is rebuilt');
$new->restart;
right($new, 'after a restart');

# what belongs together
($rc, $out, $err) = $new->psql('postgres', 'DELETE FROM totals');
like($err, qr/ERROR/, 'an output is guarded');
for my $command ('DROP TABLE log', 'ALTER TABLE totals DROP COLUMN sum', 'ALTER TABLE totals ALTER COLUMN sum TYPE numeric',
	'DROP TRIGGER velostream_guard ON totals', 'DROP FUNCTION twice(int)', 'DROP EXTENSION velostream')
{
	($rc, $out, $err) = $new->psql('postgres', $command);
	isnt($rc, 0, "$command: refused");
}
$new->safe_psql('postgres', <<'END');
ALTER TABLE chain RENAME COLUMN groups TO n;
DROP TABLE chain;
SELECT velostream.drop(output) FROM velostream.query;
END
is($new->safe_psql('postgres', q{SELECT string_agg(relname, ' ') FROM pg_class WHERE relname ~ '^(query|state)_\d|^(query|state)_(totals|log|hers|hops|final|previous)'}),
	'', 'nothing is left of queries that are dropped');
is(value($new, 'postgres', 'count(*) FROM velostream.frontier'), 0, '... nor of their frontiers');
log_is_clean($new);
$new->stop;
done_testing();
