-- What every test uses.

-- The columns of an output that its query fills: not those added to it.
CREATE FUNCTION query_columns(q regclass) RETURNS text
LANGUAGE sql SECURITY DEFINER AS $$
	SELECT string_agg(quote_ident(a.attname), ', ' ORDER BY a.attnum)
	FROM velostream.query v
		JOIN pg_attribute d ON d.attrelid = v.view AND d.attnum > 0
		JOIN pg_attribute a ON a.attrelid = v.output AND a.attnum = d.attnum
	WHERE v.output = q
$$;

-- Rows by which an output and its query differ, both ways: 0 is right.
CREATE FUNCTION differences(q regclass) RETURNS bigint
LANGUAGE plpgsql AS $$
DECLARE
	def text;
	cols text;
	n bigint;
BEGIN
	SELECT rtrim(definition, ';') INTO STRICT def
	FROM velostream.queries WHERE query = q;
	cols := query_columns(q);
	EXECUTE format('SELECT count(*) FROM ((SELECT %3$s FROM %1$s EXCEPT ALL (%2$s)) '
				   'UNION ALL ((%2$s) EXCEPT ALL SELECT %3$s FROM %1$s)) d', q, def, cols) INTO n;
	RETURN n;
END $$;

-- Every row has its entry in each index, as its expressions have it: batches make
-- entries of the locators themselves.  (A PostgreSQL built from source may be
-- without amcheck.)
CREATE SCHEMA amcheck;
DO $$
BEGIN
	IF EXISTS (SELECT FROM pg_available_extensions WHERE name = 'amcheck') THEN
		CREATE EXTENSION amcheck SCHEMA amcheck;
	END IF;
END $$;
CREATE FUNCTION check_indexes() RETURNS void
LANGUAGE plpgsql SECURITY DEFINER AS $$
DECLARE
	i regclass;
BEGIN
	IF to_regprocedure('amcheck.bt_index_check(regclass, boolean)') IS NULL THEN
		RETURN;
	END IF;
	FOR i IN SELECT indexrelid FROM pg_index JOIN pg_class c ON c.oid = indexrelid
			 WHERE relam = (SELECT oid FROM pg_am WHERE amname = 'btree') AND indisvalid
				 AND indrelid IN (SELECT output FROM velostream.query UNION SELECT state FROM velostream.query)
	LOOP
		PERFORM amcheck.bt_index_check(i, true);
	END LOOP;
END $$;

-- Wait for all queries, then count the differences of each; only wrong ones are shown.
CREATE PROCEDURE check_all()
LANGUAGE plpgsql AS $$
DECLARE
	q regclass;
	n bigint;
BEGIN
	PERFORM velostream.wait(timeout => '60s');
	COMMIT;
	FOR q IN SELECT query FROM velostream.queries
			 WHERE kind = 'table' AND source_mode = 'changes' ORDER BY query::text
	LOOP
		n := differences(q);
		IF n <> 0 THEN
			RAISE WARNING '% differs from its query in % rows', q, n;
		END IF;
	END LOOP;
	PERFORM check_indexes();
END $$;

-- The checks can fail: a query that rests while its source changes.
CREATE TABLE probe (a int);
CREATE TABLE probe_out WITH (velostream.continuous) AS SELECT a, count(*) FROM probe GROUP BY a;
CALL check_all();
SELECT velostream.pause('probe_out');
INSERT INTO probe VALUES (1);
SELECT differences('probe_out');
SELECT velostream.resume('probe_out');
CALL check_all();
SELECT differences('probe_out');
DROP TABLE probe CASCADE;
