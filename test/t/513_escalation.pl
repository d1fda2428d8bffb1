# Code of one role never runs as another one, nor outside of a
# security-restricted operation: wherever it can be hidden in an output or a
# source, in the worker, in a superuser's session, and after a restore.
use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../perl";
use PostgreSQL::Test::Utils;
use Test::More;
use VelostreamTest;

my $node = new_node('escalation', conf => "velostream.max_backoff = 300ms\nvelostream.workers_per_database = 1");
my ($rc, $out, $err);

# Everything of mallory's: evil() notes who it runs as, and tries to become
# somebody; it is immutable, so it can be put anywhere.
$node->safe_psql('postgres', <<'END');
CREATE ROLE mallory LOGIN;
CREATE ROLE victim LOGIN;
CREATE ROLE watcher LOGIN IN ROLE pg_monitor;
CREATE ROLE member LOGIN IN ROLE mallory;
CREATE SCHEMA m AUTHORIZATION mallory;
CREATE SCHEMA y AUTHORIZATION victim;
GRANT USAGE ON SCHEMA m TO PUBLIC;
GRANT CREATE, USAGE ON SCHEMA y, public TO mallory;
CREATE TABLE public.trace (who name, place text, did text, restricted boolean);
GRANT INSERT ON public.trace TO PUBLIC;
CREATE FUNCTION m.act(place text) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
	restricted boolean := false;
	did text := '';
BEGIN
	BEGIN
		CREATE TEMP TABLE IF NOT EXISTS probe (a int);
	EXCEPTION WHEN insufficient_privilege THEN
		restricted := SQLERRM ~ 'security-restricted';
	WHEN OTHERS THEN
	END;
	BEGIN
		IF restricted THEN
			RESET SESSION AUTHORIZATION;
			did := did || 'session ';
		END IF;
	EXCEPTION WHEN OTHERS THEN
	END;
	BEGIN
		IF restricted THEN
			SET ROLE postgres;
			did := did || 'role ';
		END IF;
	EXCEPTION WHEN OTHERS THEN
	END;
	BEGIN
		ALTER ROLE mallory SUPERUSER;
		did := did || 'superuser ';
	EXCEPTION WHEN OTHERS THEN
	END;
	INSERT INTO public.trace VALUES (current_user, act.place, did, restricted);
END $$;
CREATE FUNCTION m.evil(i int, place text) RETURNS int LANGUAGE plpgsql IMMUTABLE AS $$
BEGIN
	PERFORM m.act(place);
	RETURN i;
EXCEPTION WHEN OTHERS THEN RETURN i;
END $$;
ALTER FUNCTION m.act OWNER TO mallory;
ALTER FUNCTION m.evil OWNER TO mallory;
END

# What ran as whom, other than mallory in a restricted operation.
sub traced
{
	my ($name, %params) = @_;
	local $Test::Builder::Level = $Test::Builder::Level + 1;
	my $places = $params{places} // 1;
	my $bad = $node->safe_psql($params{db} // 'postgres',
		"SELECT DISTINCT who, place, did, restricted FROM trace WHERE who <> 'mallory' OR did <> '' OR NOT restricted");
	my $seen = $node->safe_psql($params{db} // 'postgres', 'SELECT count(DISTINCT place) FROM trace');

	is($bad, '', "$name: as mallory, and restricted");
	cmp_ok($seen, '>=', $places, "... at $seen places");
	is(value($node, 'postgres', "rolsuper FROM pg_roles WHERE rolname = 'mallory'"), 'f', '... who is nobody special');
	$node->safe_psql($params{db} // 'postgres', 'ALTER ROLE mallory NOSUPERUSER; TRUNCATE trace');
	return;
}

# velostream.enabled goes with SIGHUP
sub enabled
{
	my ($on) = @_;

	set_guc($node, 'velostream.enabled' => $on ? 'on' : 'off');
	poll($node, 'postgres', ($on ? 'count(*) > 0' : 'count(*) = 0') . q{ FROM pg_stat_activity WHERE backend_type = 'velostream worker'});
	return;
}

# ----------
# every place where an expression can stand
# ----------
enabled(0);
$node->safe_psql('postgres', <<'END');
SET ROLE mallory;
SET search_path = m;
CREATE TABLE src (id int PRIMARY KEY, g int, t text);
CREATE DOMAIN picky AS int CHECK (m.evil(VALUE, 'domain') IS NOT NULL);
CREATE TYPE thing AS (x int);
CREATE FUNCTION thing_json(thing) RETURNS json LANGUAGE sql IMMUTABLE AS 'SELECT to_json(m.evil(1, ''cast to json''))';
CREATE CAST (thing AS json) WITH FUNCTION thing_json(thing);
CREATE FUNCTION thing_int(thing) RETURNS int LANGUAGE sql IMMUTABLE AS 'SELECT m.evil(1, ''cast'')';
CREATE CAST (thing AS int) WITH FUNCTION thing_int(thing) AS ASSIGNMENT;
CREATE FUNCTION thing_step(int, thing) RETURNS int LANGUAGE sql IMMUTABLE AS 'SELECT m.evil($1, ''aggregate'') + 1';
CREATE FUNCTION thing_combine(int, int) RETURNS int LANGUAGE sql IMMUTABLE AS 'SELECT m.evil($1, ''combine'') + $2';
CREATE FUNCTION thing_final(int) RETURNS int LANGUAGE sql IMMUTABLE AS 'SELECT m.evil($1, ''final'')';
CREATE AGGREGATE things (thing) (sfunc = thing_step, combinefunc = thing_combine, finalfunc = thing_final, stype = int, initcond = '0');
CREATE FUNCTION eq(thing, int) RETURNS boolean LANGUAGE sql IMMUTABLE AS 'SELECT m.evil(1, ''operator'') = 1';
CREATE OPERATOR = (LEFTARG = thing, RIGHTARG = int, PROCEDURE = eq);
CREATE FUNCTION eqt(thing, thing) RETURNS boolean LANGUAGE sql IMMUTABLE AS 'SELECT m.evil(1, ''equality'') = 1';
CREATE OPERATOR = (LEFTARG = thing, RIGHTARG = thing, PROCEDURE = eqt, HASHES, MERGES);
CREATE VIEW seen AS SELECT id, m.evil(g, 'view') AS g, t FROM src WHERE m.evil(1, 'constant in a view') = 1;
CREATE TABLE q1 WITH (velostream.continuous) AS
	SELECT id, m.evil(g, 'select list')::picky AS p, ROW(g)::thing AS c FROM seen
	WHERE m.evil(7, 'constant') = 7 AND ROW(g)::thing = 1 AND (ROW(g)::thing)::int = 1;
CREATE TABLE q2 WITH (velostream.continuous) AS
	SELECT m.evil(g, 'key') AS k, things(ROW(id)::thing), max(m.evil(id, 'argument')) FILTER (WHERE m.evil(1, 'filter') = 1)
	FROM src GROUP BY 1 HAVING m.evil(count(*)::int, 'having') > 0;
CREATE TABLE q3 WITH (velostream.continuous, velostream.kind = stream, velostream.on_error = dead_letter) AS
	SELECT ROW(g)::thing AS c, 1 / (id % 50) AS z FROM src;
CREATE FUNCTION trig() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN PERFORM m.act(TG_ARGV[0]); RETURN NULL; END $$;
DO $$
DECLARE q text;
BEGIN
	FOREACH q IN ARRAY ARRAY['q1', 'q2', 'q3'] LOOP
		EXECUTE format('CREATE INDEX ON %1$s (m.evil(1, ''constant in index of %1$s''))', q);
		EXECUTE format('CREATE TRIGGER t AFTER INSERT OR UPDATE OR DELETE ON %1$s FOR EACH ROW WHEN (m.evil(1, ''when'') = 1) EXECUTE FUNCTION trig(''trigger of %1$s'')', q);
		EXECUTE format('ALTER TABLE %1$s ENABLE ALWAYS TRIGGER t', q);
		EXECUTE format('ALTER TABLE %1$s ADD COLUMN more int DEFAULT m.evil(1, ''default of %1$s''), ADD COLUMN gen int GENERATED ALWAYS AS (m.evil(2, ''generated of %1$s'')) STORED, ADD CHECK (m.evil(1, ''check of %1$s'') = 1)', q);
		EXECUTE format('CREATE STATISTICS s_%1$s ON (m.evil(more, ''statistics'')), more FROM %1$s', q);
		EXECUTE format('ALTER TABLE %1$s ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY', q);
		EXECUTE format('CREATE POLICY p ON %1$s USING (m.evil(1, ''policy of output'') = 1) WITH CHECK (m.evil(1, ''policy of output'') = 0)', q);
	END LOOP;
END $$;
CREATE UNIQUE INDEX ON src (id) INCLUDE (g) WHERE m.evil(1, 'predicate of source') = 1;
CREATE INDEX ON src (m.evil(g, 'index of source'), m.evil(3, 'constant in index of source'));
ALTER TABLE src ADD CHECK (m.evil(1, 'check of source') = 1);
CREATE POLICY p ON src USING (m.evil(1, 'policy') = 1);
ALTER TABLE src ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
INSERT INTO src SELECT i, i % 5, 't' || i FROM generate_series(1, 60) i;
END
$node->safe_psql('postgres', 'TRUNCATE trace; ALTER ROLE mallory NOSUPERUSER');
enabled(1);
$node->safe_psql('postgres', q{SELECT velostream.wait(q, '20s') FROM unnest('{m.q1,m.q2,m.q3}'::regclass[]) q});
traced('in a worker', places => 20);
is(value($node, 'postgres', q{count(*) FROM velostream.dead_letters WHERE query = 'm.q3'::regclass}), 1, 'a dead letter');
enabled(0);
# (a superuser's own UPDATE would run mallory's index expressions as himself)
$node->safe_psql('postgres', 'SET ROLE mallory; UPDATE m.src SET g = g + 1; DELETE FROM m.src WHERE id < 10; RESET ROLE; TRUNCATE trace');
enabled(1);
$node->safe_psql('postgres', q{SELECT velostream.wait(q, '20s') FROM unnest('{m.q1,m.q2,m.q3}'::regclass[]) q});
traced('changes, in a worker', places => 15);
$node->safe_psql('postgres', q{SELECT velostream.rebuild(q) FROM unnest('{m.q1,m.q2,m.q3}'::regclass[]) q; SELECT velostream.wait(q, '20s') FROM unnest('{m.q1,m.q2,m.q3}'::regclass[]) q});
traced('a rebuild, in a worker', places => 15);

# a superuser looks at it, and processes it
enabled(0);
for my $who ('postgres', 'watcher')
{
	$node->safe_psql('postgres', <<"END");
SET ROLE $who;
SELECT * FROM velostream.queries; SELECT * FROM velostream.stat_queries; SELECT * FROM velostream.dead_letters;
SELECT velostream.explain('m.q1'); SELECT velostream.explain('m.q2'); SELECT velostream.explain('m.q3');
SELECT * FROM velostream.contexts(); SELECT * FROM velostream.horizon();
END
	traced("$who looks", places => 0);
}
$node->safe_psql('postgres', q{SET ROLE mallory; DELETE FROM m.src WHERE id % 4 = 0; INSERT INTO m.src VALUES (100, 1, 'x'); RESET ROLE; TRUNCATE trace});
for my $query ('q1', 'q2', 'q3')
{
	$node->safe_psql('postgres', "SELECT velostream.process('m.$query', 3)");
	traced("a superuser processes $query", places => 4);
}
$node->safe_psql('postgres', q{SELECT velostream.pause(q), velostream.resume(q), velostream.rebuild(q) FROM unnest('{m.q1,m.q2,m.q3}'::regclass[]) q});
traced('a superuser controls', places => 0);
($rc, $out, $err) = $node->psql('postgres', "SET ROLE watcher; SELECT velostream.process('m.q1')");
like($err, qr/must be owner/, 'pg_monitor may not process');
($rc, $out, $err) = $node->psql('postgres', "SET ROLE watcher; SELECT velostream.wait('m.q1', '1s')");
like($err, qr/must be owner/, '... nor wait');
$node->safe_psql('postgres', "SET ROLE member; SELECT velostream.process('m.q1'); SELECT velostream.explain('m.q1')");
traced('a member of the role processes', places => 0);

# ----------
# a restore: workers adopt
# ----------
my $dump = $node->basedir . '/dump.sql';

# nothing but indexes, by names that come before and after our own
$node->safe_psql('postgres', <<'END');
SET ROLE mallory;
CREATE TABLE m.r1 WITH (velostream.continuous) AS SELECT g, count(*), sum(id) FROM m.src GROUP BY g;
CREATE INDEX aaa ON m.r1 ((count + m.evil(1, 'index before')));
CREATE INDEX aab ON m.r1 ((count + 1)) WHERE m.evil(1, 'predicate before') + count > 0;
CREATE INDEX zzz ON m.r1 ((count + m.evil(1, 'index behind')));
RESET ROLE;
ALTER ROLE mallory NOSUPERUSER;
END
$node->command_ok([ 'pg_dump', '-f', $dump, '-d', $node->connstr('postgres') ], 'dump');
$node->safe_psql('postgres', 'CREATE DATABASE restored');
$node->command_ok([ 'psql', '-X', '-q', '-d', $node->connstr('restored'), '-f', $dump ], 'restore');
# (COPY by a superuser runs what is generated and checked as himself)
$node->safe_psql('restored', 'ALTER ROLE mallory NOSUPERUSER; TRUNCATE trace');
enabled(1);
poll($node, 'restored', q{count(*) = 4 FROM velostream.frontier WHERE NOT rebuild AND snapshot_xmin IS NOT NULL});
is($node->safe_psql('restored', q{SELECT DISTINCT who, place, did FROM trace WHERE who <> 'mallory' OR did ~ 'superuser'}), '', 'adopted, and nothing ran as somebody else');
is(value($node, 'postgres', "rolsuper FROM pg_roles WHERE rolname = 'mallory'"), 'f', 'mallory is still nobody special');
$node->safe_psql('restored', 'ALTER ROLE mallory NOSUPERUSER; DROP SCHEMA m CASCADE');
# adopted by a superuser's own hands
enabled(0);
$node->safe_psql('postgres', 'CREATE DATABASE restored2');
$node->command_ok([ 'psql', '-X', '-q', '-d', $node->connstr('restored2'), '-f', $dump ], 'restore');
$node->safe_psql('restored2', q{ALTER ROLE mallory NOSUPERUSER; TRUNCATE trace; SELECT velostream.explain('m.r1'); SELECT count(*) FROM velostream.process('m.r1'); SELECT velostream.resume('m.q1')});
is($node->safe_psql('restored2', q{SELECT DISTINCT who, place, did FROM trace WHERE who <> 'mallory' OR did ~ 'superuser'}), '', 'adopted by a superuser, and nothing ran as him');
is(value($node, 'postgres', "rolsuper FROM pg_roles WHERE rolname = 'mallory'"), 'f', 'mallory is still nobody special');
$node->safe_psql('postgres', 'ALTER ROLE mallory NOSUPERUSER; DROP SCHEMA m CASCADE; CREATE SCHEMA m; GRANT USAGE, CREATE ON SCHEMA m TO mallory, victim; TRUNCATE trace; DROP DATABASE restored WITH (FORCE); DROP DATABASE restored2 WITH (FORCE)');
enabled(1);

# ----------
# outputs that become something else, or somebody else's
# ----------
$node->safe_psql('postgres', <<'END');
CREATE TABLE m.secret (id int PRIMARY KEY, g int, t text);
INSERT INTO m.secret SELECT i, i % 3, 's' || i FROM generate_series(1, 30) i;
ALTER TABLE m.secret ENABLE ROW LEVEL SECURITY;
CREATE POLICY mallorys ON m.secret TO mallory USING (g = 0);
CREATE POLICY victims ON m.secret TO victim USING (g > 0);
GRANT SELECT ON m.secret TO mallory, victim;
SET ROLE mallory;
CREATE TABLE m.mine WITH (velostream.continuous) AS SELECT id, t FROM m.secret;
CREATE TABLE m.sums WITH (velostream.continuous) AS SELECT g, count(*) FROM m.secret GROUP BY g;
END
$node->safe_psql('postgres', q{SELECT velostream.wait('m.mine', '20s'), velostream.wait('m.sums', '20s')});
is(value($node, 'postgres', 'count(*) FROM m.mine'), 10, 'what mallory may see');
# to another owner, mid-way: by its policies and privileges from now on
$node->safe_psql('postgres', 'ALTER TABLE m.mine OWNER TO victim; ALTER TABLE m.sums OWNER TO victim');
$node->safe_psql('postgres', 'INSERT INTO m.secret VALUES (31, 1), (32, 0)');
$node->safe_psql('postgres', q{SELECT velostream.wait('m.mine', '20s'), velostream.wait('m.sums', '20s')});
is($node->safe_psql('postgres', 'SET ROLE victim; SELECT count(*), (SELECT count(*) FROM ((TABLE m.mine EXCEPT ALL SELECT id, t FROM m.secret) UNION ALL (SELECT id, t FROM m.secret EXCEPT ALL TABLE m.mine)) x) FROM m.mine'),
	'21|0', 'what its new owner may see');
is($node->safe_psql('postgres', 'SELECT min(g), sum(count) FROM m.sums'), '1|21', '... in groups');
for my $command ('SELECT * FROM m.mine', "SELECT velostream.process('m.mine')", "SELECT velostream.explain('m.mine')", "SELECT velostream.drop('m.mine')")
{
	($rc, $out, $err) = $node->psql('postgres', "SET ROLE mallory; $command");
	like($err, qr/permission denied|must be owner/, "its old owner may not: $command");
}
# no way to hand an output to somebody with code of one's own in it
$node->safe_psql('postgres', 'ALTER TABLE m.mine OWNER TO mallory; TRUNCATE trace');
for my $command ('ALTER TABLE m.mine OWNER TO victim', 'ALTER TABLE m.mine OWNER TO postgres', 'REASSIGN OWNED BY mallory TO victim',
	'ALTER VIEW velostream.queries OWNER TO mallory', 'CREATE TABLE velostream.query_mine (a int)',
	'CREATE FUNCTION velostream.key_hash(int) RETURNS bigint LANGUAGE sql AS $$SELECT 1::bigint$$', 'CREATE EVENT TRIGGER e ON sql_drop EXECUTE FUNCTION velostream.on_table_rewrite()',
	'ALTER EVENT TRIGGER velostream_table_rewrite DISABLE', 'ALTER FUNCTION velostream.key_hash OWNER TO mallory', 'SET velostream.stop_at = \'batch-begin\'',
	'SET session_replication_role = replica', 'ALTER EXTENSION velostream DROP TABLE velostream.query', 'DROP EXTENSION velostream CASCADE', 'DROP TRIGGER velostream_guard ON m.mine',
	'ALTER TABLE m.mine DISABLE TRIGGER velostream_guard_row', 'ALTER TABLE m.mine DISABLE TRIGGER ALL', 'ALTER TRIGGER velostream_guard ON m.mine RENAME TO x',
	'CREATE OR REPLACE TRIGGER velostream_guard BEFORE INSERT ON m.mine EXECUTE FUNCTION suppress_redundant_updates_trigger()',
	'CREATE RULE "_RETURN" AS ON SELECT TO m.mine DO INSTEAD SELECT 1 AS id, NULL::text AS t', 'CREATE RULE r AS ON INSERT TO m.mine DO INSTEAD NOTHING',
	'CREATE TRIGGER b BEFORE UPDATE ON m.mine FOR EACH ROW EXECUTE FUNCTION suppress_redundant_updates_trigger()',
	'CREATE TABLE m.child () INHERITS (m.mine)', 'CREATE TABLE m.child2 (LIKE m.mine); ALTER TABLE m.child2 INHERIT m.mine', 'CREATE TABLE m.par (LIKE m.mine); ALTER TABLE m.mine INHERIT m.par',
	'CREATE TABLE m.pt (LIKE m.mine) PARTITION BY LIST (id); ALTER TABLE m.pt ATTACH PARTITION m.mine DEFAULT', 'ALTER TABLE m.mine SET UNLOGGED', 'ALTER TABLE m.mine SET SCHEMA velostream',
	'ALTER TABLE m.mine SET SCHEMA pg_temp', 'ALTER TABLE m.mine DROP COLUMN t', 'ALTER TABLE m.mine ALTER t TYPE name', 'ALTER TABLE m.mine OF m.thing', 'CREATE TYPE m.th AS (id int, t text); ALTER TABLE m.mine OF m.th; SELECT 1/0',
	'INSERT INTO m.mine VALUES (1)', 'COPY m.mine FROM PROGRAM $$true$$', 'MERGE INTO m.mine USING (SELECT 1) x ON true WHEN MATCHED THEN DELETE', 'WITH x AS (DELETE FROM m.mine RETURNING 1) SELECT 1',
	'CREATE VIEW m.vm AS SELECT * FROM m.mine; DELETE FROM m.vm', 'SELECT * FROM m.mine FOR UPDATE; UPDATE m.mine SET id = id WHERE false', 'PREPARE x AS DELETE FROM m.mine; EXECUTE x')
{
	($rc, $out, $err) = $node->psql('postgres', "SET ROLE mallory; BEGIN; $command; COMMIT", on_error_stop => 0);
	like($err, qr/ERROR/, "refused: $command");
}
# moved and renamed, it goes on; replaced by something of the same name, that is left alone
$node->safe_psql('postgres', <<'END');
SET ROLE mallory;
ALTER TABLE m.mine SET SCHEMA y;
ALTER TABLE y.mine RENAME TO moved;
ALTER TABLE y.moved RENAME COLUMN t TO "t""t";
CREATE VIEW m.mine AS SELECT m.id, m.t FROM m.secret m;
RESET ROLE;
INSERT INTO m.secret VALUES (33, 0), (34, 0);
SELECT velostream.wait('y.moved', '20s');
END
is(value($node, 'postgres', 'count(*) FROM y.moved'), 13, 'moved and renamed');

# ----------
# an owner who can do nothing any more; one who is gone
# ----------
$node->safe_psql('postgres', 'REVOKE SELECT ON m.secret FROM mallory; INSERT INTO m.secret VALUES (40, 0)');
($rc, $out, $err) = $node->psql('postgres', "SELECT velostream.wait('y.moved', '10s')");
like($err, qr/permission denied for table secret/, 'SELECT taken away');
is(value($node, 'postgres', 'count(*) FROM y.moved WHERE id = 40'), 0, '... and the row is not there');
$node->safe_psql('postgres', 'REASSIGN OWNED BY mallory TO victim; DROP OWNED BY mallory; REVOKE ALL ON SCHEMA public, m, y FROM mallory; DROP OWNED BY member; DROP ROLE mallory');
$node->safe_psql('postgres', q{SELECT velostream.resume('y.moved'); SELECT velostream.wait('y.moved', '20s')});
is(value($node, 'postgres', 'count(*) FROM y.moved WHERE id = 31'), 1, 'somebody else owns it');

log_is_clean($node);
$node->stop;
done_testing();
