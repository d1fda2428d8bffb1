-- Who may do what, and as whom things run.
SET client_min_messages = warning;
CREATE ROLE regress_vs_alice;
CREATE ROLE regress_vs_bob;
CREATE ROLE regress_vs_monitor IN ROLE pg_monitor;
CREATE ROLE regress_vs_member IN ROLE regress_vs_alice;
RESET client_min_messages;
CREATE SCHEMA perm;
GRANT USAGE ON SCHEMA perm TO PUBLIC;
CREATE SCHEMA alice AUTHORIZATION regress_vs_alice;
SET search_path = perm, public;
CREATE TABLE src (id int PRIMARY KEY, g text, v int, secret text);
INSERT INTO src SELECT i, 'g' || i % 3, i, 's' || i FROM generate_series(1, 30) i;
GRANT SELECT (id, g, v) ON src TO regress_vs_alice;

-- ----------
-- a plain role and its query
-- ----------
SET ROLE regress_vs_alice;
CREATE TABLE alice.leak WITH (velostream.continuous) AS SELECT id, secret FROM src;
CREATE TABLE alice.leak WITH (velostream.continuous) AS SELECT id FROM src WHERE secret = 's1';
CREATE TABLE alice.leak WITH (velostream.continuous) AS SELECT src FROM src;
CREATE TABLE alice.leak WITH (velostream.continuous) AS SELECT g, count(*) FROM src GROUP BY g HAVING max(secret) > '';
CREATE TABLE perm.q WITH (velostream.continuous) AS SELECT id FROM src;
CREATE TABLE velostream.q WITH (velostream.continuous) AS SELECT id FROM src;
CREATE TABLE alice.q WITH (velostream.continuous) AS SELECT g, count(*) AS n, sum(v) AS total, max(v) AS most FROM src GROUP BY g;
SELECT velostream.wait('alice.q', '60s');
SELECT velostream.wait();
TABLE alice.q ORDER BY g;
SELECT velostream.pause('alice.q');
SELECT state FROM velostream.queries;
SELECT velostream.resume('alice.q');
SELECT velostream.rebuild('alice.q');
SELECT velostream.wait('alice.q', '60s');
SELECT name, owner, state FROM velostream.queries;
SELECT name, rebuilds FROM velostream.stat_queries;
SELECT count(*) FROM velostream.contexts();
SELECT count(*) >= 0 AS processed FROM velostream.process('alice.q');
SELECT count(*) > 0 AS explained FROM velostream.explain('alice.q');
-- but not what is under it
SELECT * FROM velostream.query;
SELECT * FROM velostream.frontier;
SELECT * FROM velostream.dead_letter;
UPDATE velostream.frontier SET rebuild = false;
SELECT format('SELECT * FROM %s', oid::regclass) AS peep FROM pg_class
	WHERE relname LIKE 'state\_q%' AND relkind = 'r' AND relnamespace = 'velostream'::regnamespace \gset
\set VERBOSITY sqlstate
:peep;
\set VERBOSITY default
CREATE TABLE velostream.mine (a int);
ALTER TABLE alice.q DISABLE TRIGGER velostream_guard;
DELETE FROM alice.q;
-- a member of the role may do as the role
SET ROLE regress_vs_member;
SELECT name, owner, state FROM velostream.queries;
SELECT velostream.wait('alice.q', '60s');
SELECT velostream.pause('alice.q'), velostream.resume('alice.q');

-- others see nothing, and can do nothing
SET ROLE regress_vs_bob;
SELECT count(*) FROM velostream.queries;
SELECT count(*) FROM velostream.stat_queries;
SELECT count(*) FROM velostream.dead_letters;
SELECT count(*) FROM velostream.contexts();
SELECT velostream.wait();
RESET ROLE;
GRANT USAGE ON SCHEMA alice TO regress_vs_bob, regress_vs_monitor;
SET ROLE regress_vs_bob;
SELECT velostream.wait('alice.q');
SELECT velostream.process('alice.q');
SELECT velostream.pause('alice.q');
SELECT velostream.resume('alice.q');
SELECT velostream.rebuild('alice.q');
SELECT velostream.drop('alice.q');
SELECT velostream.explain('alice.q');
DROP TABLE alice.q;
SELECT * FROM alice.q;
CREATE TABLE bobs WITH (velostream.continuous) AS SELECT n FROM alice.q;
SET ROLE regress_vs_monitor;
SELECT name, owner, state FROM velostream.queries WHERE schema = 'alice';
SELECT name, batches > 0 AS batches FROM velostream.stat_queries WHERE schema = 'alice';
SELECT count(*) FROM velostream.contexts();
SELECT velostream.pause('alice.q');
RESET ROLE;
-- nor can the other's functions be aimed at tables that are no queries
SELECT velostream.process('src');
SELECT velostream.explain('src');

-- ----------
-- SELECT revoked, and granted again
-- ----------
REVOKE SELECT ON src FROM regress_vs_alice;
REVOKE SELECT (id, g, v) ON src FROM regress_vs_alice;
INSERT INTO src VALUES (31, 'g1', 31);
SET ROLE regress_vs_alice;
SELECT velostream.wait('alice.q', '60s');
SELECT velostream.process('alice.q');
SELECT state, last_error, sqlstate FROM velostream.queries;
RESET ROLE;
GRANT SELECT ON src TO regress_vs_alice;
SET ROLE regress_vs_alice;
SELECT velostream.resume('alice.q');
SELECT velostream.wait('alice.q', '60s');
SELECT state, last_error FROM velostream.queries;
TABLE alice.q ORDER BY g;
RESET ROLE;

-- ----------
-- row-level security: as the owner
-- ----------
CREATE POLICY few ON src FOR SELECT USING (CURRENT_USER = 'regress_vs_alice' AND v <= 15);
ALTER TABLE src ENABLE ROW LEVEL SECURITY;
INSERT INTO src VALUES (32, 'g1', 1), (33, 'g1', 100);
SELECT velostream.wait('alice.q', '60s');
TABLE alice.q ORDER BY g;
SELECT rebuilds, rebuild_reason FROM velostream.stat_queries JOIN velostream.queries USING (query) WHERE query = 'alice.q'::regclass;
ALTER POLICY few ON src USING (CURRENT_USER = 'regress_vs_alice' AND v <= 5);
SELECT velostream.wait('alice.q', '60s');
TABLE alice.q ORDER BY g;
UPDATE src SET v = 3 WHERE id = 10;
UPDATE src SET v = 30 WHERE id = 1;
SELECT velostream.wait('alice.q', '60s');
SET ROLE regress_vs_alice;
SELECT differences('alice.q');
TABLE alice.q ORDER BY g;
-- the source's owner is only subject to it when it is forced
RESET ROLE;
CREATE ROLE regress_vs_owner;
GRANT CREATE, USAGE ON SCHEMA perm TO regress_vs_owner;
ALTER TABLE src OWNER TO regress_vs_owner;
SET ROLE regress_vs_owner;
CREATE TABLE own WITH (velostream.continuous) AS SELECT count(*) AS n FROM src;
SELECT velostream.wait('own', '60s');
TABLE own;
ALTER TABLE src FORCE ROW LEVEL SECURITY;
INSERT INTO src VALUES (34, 'g1', 1);
RESET ROLE;
INSERT INTO src VALUES (34, 'g1', 1);
SELECT velostream.wait('own', '60s');
TABLE own;
ALTER TABLE src NO FORCE ROW LEVEL SECURITY;
SELECT velostream.wait('own', '60s');
TABLE own;
-- who owns the output, what he is called, and which roles he has, decides which rows count
CREATE ROLE regress_vs_first;
CREATE ROLE regress_vs_second;
CREATE ROLE regress_vs_group;
CREATE SCHEMA roles;
GRANT ALL ON SCHEMA roles TO regress_vs_first, regress_vs_second;
CREATE TABLE owned (id int, owner text, x int);
ALTER TABLE owned ENABLE ROW LEVEL SECURITY;
CREATE POLICY own ON owned USING (owner = CURRENT_USER);
CREATE POLICY others ON owned TO regress_vs_group USING (owner = 'all');
GRANT SELECT ON owned TO regress_vs_first, regress_vs_second;
INSERT INTO owned VALUES (1, 'regress_vs_first', 1), (2, 'regress_vs_second', 2), (3, 'regress_vs_renamed', 4), (4, 'all', 8);
SET ROLE regress_vs_first;
CREATE TABLE roles.mine WITH (velostream.continuous) AS SELECT owner, sum(x) FROM owned GROUP BY 1;
RESET ROLE;
SELECT velostream.wait('roles.mine', '60s');
TABLE roles.mine ORDER BY owner;
ALTER TABLE roles.mine OWNER TO regress_vs_second;
INSERT INTO owned VALUES (5, 'regress_vs_first', 16), (6, 'regress_vs_second', 32);
SELECT velostream.wait('roles.mine', '60s');
TABLE roles.mine ORDER BY owner;
ALTER ROLE regress_vs_second RENAME TO regress_vs_renamed;
INSERT INTO owned VALUES (7, 'regress_vs_renamed', 64);
SELECT velostream.wait('roles.mine', '60s');
TABLE roles.mine ORDER BY owner;
GRANT regress_vs_group TO regress_vs_renamed;
INSERT INTO owned VALUES (8, 'all', 128);
SELECT velostream.wait('roles.mine', '60s');
TABLE roles.mine ORDER BY owner;
SET client_min_messages = warning;
DROP TABLE owned CASCADE;
DROP SCHEMA roles CASCADE;
DROP ROLE regress_vs_first, regress_vs_renamed, regress_vs_group;
RESET client_min_messages;
DROP POLICY few ON src;
SELECT velostream.wait('alice.q', '60s');
TABLE alice.q ORDER BY g;
ALTER TABLE src DISABLE ROW LEVEL SECURITY;
SELECT velostream.wait('alice.q', '60s');
SELECT velostream.wait('own', '60s');
TABLE alice.q ORDER BY g;
-- a role that may bypass it
ALTER TABLE src ENABLE ROW LEVEL SECURITY;
ALTER ROLE regress_vs_alice BYPASSRLS;
SELECT velostream.wait('alice.q', '60s');
SET ROLE regress_vs_alice;
SELECT differences('alice.q');
RESET ROLE;
ALTER ROLE regress_vs_alice NOBYPASSRLS;
SELECT velostream.wait('alice.q', '60s');
TABLE alice.q;
ALTER TABLE src DISABLE ROW LEVEL SECURITY;
SELECT velostream.wait('alice.q', '60s');

-- ----------
-- attacks
-- ----------
-- wait until the workers run, or do not
CREATE PROCEDURE workers(enabled boolean)
LANGUAGE plpgsql AS $$
BEGIN
	FOR i IN 1 .. 200 LOOP
		BEGIN
			PERFORM velostream.wait('alice.q', '60s');
			EXIT WHEN enabled;
		EXCEPTION WHEN object_not_in_prerequisite_state THEN
			EXIT WHEN NOT enabled;
		END;
		COMMIT;
		PERFORM pg_sleep(0.1);
	END LOOP;
	PERFORM pg_sleep(0.2);
END $$;
CREATE TABLE trace (who text, what text);
GRANT INSERT ON trace TO PUBLIC;
GRANT CREATE ON SCHEMA public TO regress_vs_bob, regress_vs_alice;
-- names like those of built-in functions and operators
SET ROLE regress_vs_bob;
CREATE FUNCTION public.int4pl(int, int) RETURNS int LANGUAGE plpgsql IMMUTABLE AS
$$BEGIN RAISE EXCEPTION 'int4pl of bob'; END$$;
CREATE FUNCTION public.upper(text) RETURNS text LANGUAGE plpgsql IMMUTABLE AS
$$BEGIN RAISE EXCEPTION 'upper of bob'; END$$;
CREATE FUNCTION public.key_hash(VARIADIC int[]) RETURNS bigint LANGUAGE plpgsql IMMUTABLE AS
$$BEGIN RAISE EXCEPTION 'key_hash of bob'; END$$;
CREATE FUNCTION public.eq_text(text, text) RETURNS boolean LANGUAGE plpgsql IMMUTABLE AS
$$BEGIN RAISE EXCEPTION 'eq of bob'; END$$;
CREATE OPERATOR public.= (LEFTARG = text, RIGHTARG = text, PROCEDURE = public.eq_text);
CREATE FUNCTION pg_temp.lower(text) RETURNS text LANGUAGE plpgsql IMMUTABLE AS
$$BEGIN RAISE EXCEPTION 'lower of bob'; END$$;
RESET ROLE;
CREATE TABLE upped WITH (velostream.continuous) AS SELECT pg_catalog.upper(g) AS g, lower(g) AS l, count(*) FROM src GROUP BY 1, 2;
SET search_path = public, perm, pg_catalog;
INSERT INTO perm.src VALUES (40, 'x', 1);
SELECT velostream.wait('perm.upped', '60s');
SET search_path = perm, public;
SELECT differences('upped');
DROP TABLE upped;
-- a function of the user's own that looks around: as the owner, with a fixed search_path
CREATE FUNCTION note(text) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
	INSERT INTO perm.trace VALUES (current_user, $1);
	PERFORM set_config('search_path', 'evil', false), set_config('work_mem', '77MB', false),
		set_config('regress_vs.mine', 'set', false);
END $$;
CREATE FUNCTION look(text) RETURNS text LANGUAGE plpgsql IMMUTABLE AS $$
DECLARE
	path text := current_setting('search_path');
BEGIN
	PERFORM perm.note(path);
	PERFORM set_config('search_path', path, true);
	RETURN $1;
END $$;
CREATE FUNCTION look_secretly(int) RETURNS text LANGUAGE plpgsql IMMUTABLE SECURITY DEFINER AS $$
BEGIN
	RETURN current_user;
END $$;
SET ROLE regress_vs_alice;
CREATE TABLE alice.looked WITH (velostream.continuous) AS
SELECT look(g) AS g, look_secretly(v) = 'postgres' AS definer, count(*) FROM src WHERE id <= 2 GROUP BY 1, 2;
RESET ROLE;
SELECT velostream.wait('alice.looked', '60s');
SELECT DISTINCT * FROM trace;
TABLE alice.looked ORDER BY g;
-- in a superuser's session, too
ALTER SYSTEM SET velostream.enabled = off;
SELECT pg_reload_conf(), pg_sleep(0.3) \gset
CALL workers(false);
TRUNCATE trace;
UPDATE src SET id = -1 WHERE id = 1;
SELECT op FROM velostream.process('alice.looked');
SELECT DISTINCT * FROM trace;
SELECT current_user = session_user AS same, current_setting('search_path') AS search_path,
	current_setting('work_mem') = '77MB' AS mem, current_setting('regress_vs.mine', true) AS mine;
ALTER SYSTEM RESET velostream.enabled;
SELECT pg_reload_conf(), pg_sleep(0.3) \gset
CALL workers(true);
DROP TABLE alice.looked;
-- a function that wants to be somebody else
CREATE FUNCTION escalate() RETURNS text LANGUAGE plpgsql AS $$
DECLARE
	cmd text;
BEGIN
	FOREACH cmd IN ARRAY ARRAY[
		'SET ROLE postgres', 'RESET ROLE', 'SET SESSION AUTHORIZATION postgres', 'RESET SESSION AUTHORIZATION',
		'SET LOCAL ROLE postgres', 'ALTER ROLE regress_vs_alice SUPERUSER',
		'CREATE TEMP TABLE t (a int)', 'DECLARE c CURSOR WITH HOLD FOR SELECT 1',
		'PREPARE escalate AS SELECT 1', 'LISTEN escalate', 'DISCARD ALL',
		'CREATE INDEX ON perm.src (v)', 'SET CONSTRAINTS ALL DEFERRED']
	LOOP
		BEGIN
			EXECUTE cmd;
			INSERT INTO perm.trace VALUES (current_user, 'did ' || cmd);
		EXCEPTION WHEN OTHERS THEN
			-- PostgreSQL 16 says it in other words
			INSERT INTO perm.trace VALUES (current_user,
				regexp_replace(SQLERRM, '^must be superuser to alter superuser.*', 'permission denied to alter role'));
		END;
	END LOOP;
	RETURN 'x';
END $$;
CREATE FUNCTION escalate_trigger() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
	PERFORM perm.escalate();
	RETURN NULL;
END $$;
CREATE FUNCTION escalate_pure(int) RETURNS int LANGUAGE plpgsql IMMUTABLE AS $$
BEGIN
	PERFORM perm.escalate();
	RETURN $1;
END $$;
TRUNCATE trace;
SET ROLE regress_vs_alice;
CREATE TRIGGER escalate AFTER UPDATE ON alice.q FOR EACH ROW EXECUTE FUNCTION escalate_trigger();
RESET ROLE;
UPDATE src SET v = v + 1 WHERE id = 2;
SELECT velostream.wait('alice.q', '60s');
SELECT DISTINCT * FROM trace ORDER BY 1, 2;
SELECT rolsuper FROM pg_roles WHERE rolname = 'regress_vs_alice';
ALTER SYSTEM SET velostream.enabled = off;
SELECT pg_reload_conf(), pg_sleep(0.3) \gset
CALL workers(false);
TRUNCATE trace;
UPDATE src SET v = v + 1 WHERE id = 2;
SELECT op FROM velostream.process('alice.q');
SELECT DISTINCT * FROM trace ORDER BY 1, 2;
ALTER SYSTEM RESET velostream.enabled;
SELECT pg_reload_conf(), pg_sleep(0.3) \gset
CALL workers(true);
DROP TRIGGER escalate ON alice.q;
-- one that could wait for the end of the transaction, when the worker is a superuser
-- again: it runs with the others
SET ROLE regress_vs_alice;
CREATE CONSTRAINT TRIGGER escalate AFTER UPDATE ON alice.q DEFERRABLE INITIALLY DEFERRED
	FOR EACH ROW EXECUTE FUNCTION escalate_trigger();
RESET ROLE;
TRUNCATE trace;
UPDATE src SET v = v + 1 WHERE id = 2;
SELECT velostream.wait('alice.q', '60s');
SELECT velostream.process('alice.q');
SELECT DISTINCT * FROM trace ORDER BY 1, 2;
DROP TRIGGER escalate ON alice.q;
SELECT velostream.resume('alice.q');
SELECT velostream.wait('alice.q', '60s');
-- made into a function of an index, a default, a check, of a generated column
-- (on an empty table, or ALTER TABLE would call it here, where RESET ROLE is allowed)
ALTER SYSTEM SET velostream.enabled = off;
SELECT pg_reload_conf(), pg_sleep(0.3) \gset
CALL workers(false);
TRUNCATE trace;
SET ROLE regress_vs_alice;
CREATE TABLE alice.w WITH (velostream.continuous) AS SELECT g, count(*)::int AS n FROM src GROUP BY g;
CREATE INDEX ON alice.w (escalate_pure(n));
ALTER TABLE alice.w ADD COLUMN d text DEFAULT escalate(), ADD CHECK (escalate_pure(n) > 0),
	ADD COLUMN e int GENERATED ALWAYS AS (escalate_pure(n)) STORED;
RESET ROLE;
ALTER SYSTEM RESET velostream.enabled;
SELECT pg_reload_conf(), pg_sleep(0.3) \gset
CALL workers(true);
SELECT velostream.wait('alice.w', '60s');
SELECT DISTINCT * FROM trace ORDER BY 1, 2;
TRUNCATE trace;
ALTER SYSTEM SET velostream.enabled = off;
SELECT pg_reload_conf(), pg_sleep(0.3) \gset
CALL workers(false);
SELECT velostream.rebuild('alice.w');
UPDATE src SET g = g || '!';
SELECT DISTINCT op FROM velostream.process('alice.w') ORDER BY 1;
SELECT DISTINCT who FROM trace;
UPDATE src SET g = rtrim(g, '!');
ALTER SYSTEM RESET velostream.enabled;
SELECT pg_reload_conf(), pg_sleep(0.3) \gset
CALL workers(true);
DROP TABLE alice.w;
-- an aggregate's, a cast's, an input function's owner is nobody special either
TRUNCATE trace;
CREATE FUNCTION agg_step(int, int) RETURNS int LANGUAGE plpgsql IMMUTABLE AS $$
BEGIN
	PERFORM perm.note('step');
	RETURN coalesce($1, 0) + coalesce($2, 0);
END $$;
CREATE AGGREGATE agg (int) (sfunc = agg_step, combinefunc = agg_step, stype = int);
SET ROLE regress_vs_alice;
CREATE TABLE alice.w WITH (velostream.continuous) AS SELECT g, agg(v) FROM src GROUP BY g;
RESET ROLE;
SELECT velostream.wait('alice.w', '60s');
ALTER SYSTEM SET velostream.enabled = off;
SELECT pg_reload_conf(), pg_sleep(0.3) \gset
CALL workers(false);
UPDATE src SET v = v + 1 WHERE id = 3;
SELECT op FROM velostream.process('alice.w');
SELECT DISTINCT * FROM trace;
ALTER SYSTEM RESET velostream.enabled;
SELECT pg_reload_conf(), pg_sleep(0.3) \gset
CALL workers(true);
SET ROLE regress_vs_alice;
SELECT differences('alice.w');
RESET ROLE;
SET search_path = perm, public;		-- here it was called by us
RESET work_mem;
-- EXECUTE taken away
REVOKE EXECUTE ON FUNCTION agg(int) FROM PUBLIC;
UPDATE src SET v = v + 1 WHERE id = 3;
SELECT velostream.wait('alice.w', '60s');
SELECT state, last_error, sqlstate FROM velostream.queries WHERE name = 'w';
GRANT EXECUTE ON FUNCTION agg(int) TO PUBLIC;
SELECT velostream.resume('alice.w');
SELECT velostream.wait('alice.w', '60s');
SELECT state FROM velostream.queries WHERE name = 'w';
-- views: with the rights of their owners, or of the one who asks
CREATE VIEW definers AS SELECT id, secret FROM src WHERE id < 3;
CREATE VIEW invokers WITH (security_invoker) AS SELECT id, secret FROM src WHERE id < 3;
GRANT SELECT ON definers, invokers TO regress_vs_alice;
REVOKE SELECT ON src FROM regress_vs_alice;
SET ROLE regress_vs_alice;
CREATE TABLE alice.definers WITH (velostream.continuous) AS SELECT id, secret FROM definers;
CREATE TABLE alice.invokers WITH (velostream.continuous) AS SELECT id, secret FROM invokers;
SELECT velostream.wait('alice.definers', '60s');
TABLE alice.definers ORDER BY id;
RESET ROLE;

SET client_min_messages = warning;
DROP SCHEMA alice CASCADE;
DROP SCHEMA perm CASCADE;
DROP OWNED BY regress_vs_alice, regress_vs_bob, regress_vs_monitor, regress_vs_member, regress_vs_owner;
DROP ROLE regress_vs_alice, regress_vs_bob, regress_vs_monitor, regress_vs_member, regress_vs_owner;
SELECT count(*) FROM velostream.query;
