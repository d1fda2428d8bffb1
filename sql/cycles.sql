-- A query must not come to read its own output through a view that is replaced later.
CREATE TABLE cycle_src (id serial PRIMARY KEY, g int, v bigint);
INSERT INTO cycle_src (g, v) VALUES (1, 1), (1, 2), (2, 3);
CREATE VIEW cycle_view AS SELECT g, v FROM cycle_src;
CREATE VIEW cycle_view_2 AS SELECT g, v FROM cycle_src WHERE v > 0;
CREATE TABLE cycle_1 WITH (velostream.continuous) AS
SELECT g, count(*) AS v FROM cycle_view GROUP BY g;
CREATE TABLE cycle_2 WITH (velostream.continuous) AS
SELECT g, sum(v)::bigint AS v FROM cycle_1 GROUP BY g;
CREATE TABLE cycle_3 WITH (velostream.continuous) AS
SELECT g, max(v) AS v FROM cycle_view_2 GROUP BY g;
SELECT velostream.wait();

-- directly
CREATE OR REPLACE VIEW cycle_view AS SELECT g, v FROM cycle_1;
SELECT * FROM velostream.process('cycle_1');
SELECT velostream.wait('cycle_1');
SELECT state, last_error, sqlstate FROM velostream.queries WHERE name = 'cycle_1';

-- through another query
CREATE OR REPLACE VIEW cycle_view AS SELECT g, v FROM cycle_2;
SELECT * FROM velostream.process('cycle_1');

-- through a view and three queries
CREATE OR REPLACE VIEW cycle_view_2 AS SELECT g, v FROM cycle_2 WHERE v > 0;
CREATE OR REPLACE VIEW cycle_view AS SELECT g, v FROM cycle_3;
SELECT * FROM velostream.process('cycle_3');
SELECT * FROM velostream.process('cycle_1');

-- a detour that is no cycle
CREATE OR REPLACE VIEW cycle_view_2 AS SELECT g, v FROM cycle_src WHERE v > 1;
SELECT velostream.resume('cycle_1'), velostream.resume('cycle_3');
SELECT velostream.wait();
INSERT INTO cycle_src (g, v) VALUES (2, 7), (3, 8);
SELECT velostream.wait();
SELECT c.g, c.v, c2.v, c3.v FROM cycle_1 c FULL JOIN cycle_2 c2 USING (g) FULL JOIN cycle_3 c3 USING (g) ORDER BY c.g;
CREATE OR REPLACE VIEW cycle_view AS SELECT g, v FROM cycle_src;
SELECT velostream.wait();
CALL check_all();
DROP TABLE cycle_src CASCADE;
