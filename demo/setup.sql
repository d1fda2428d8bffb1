-- The queries of the demo, over the tables that `pgbench -i` has made.
\set ON_ERROR_STOP on
SET client_min_messages = warning;
CREATE EXTENSION velostream;

-- pgbench's history is a log: what it gained is counted once.
CREATE TABLE teller_totals WITH (velostream.continuous, velostream.source_mode = 'append') AS
    SELECT tid, count(*) AS rows, sum(delta) AS total
    FROM pgbench_history GROUP BY tid;

CREATE TABLE branch_totals WITH (velostream.continuous, velostream.source_mode = 'append') AS
    SELECT bid, count(*) AS rows, sum(delta) AS total
    FROM pgbench_history GROUP BY bid;

CREATE TABLE rows_per_second WITH (velostream.continuous, velostream.source_mode = 'append') AS
    SELECT date_trunc('second', mtime) AS second, count(*) AS rows
    FROM pgbench_history GROUP BY 1;

-- Every transaction of pgbench updates an account.
CREATE TABLE branch_accounts WITH (velostream.continuous) AS
    SELECT bid, count(*) AS accounts, sum(abalance) AS balance
    FROM pgbench_accounts GROUP BY bid;

-- The loader's rows (demo.sh) say neither when nor what.
ALTER TABLE pgbench_history ALTER mtime SET DEFAULT now();
