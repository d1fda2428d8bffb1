-- What must be equal when the load has stopped: name, rows compared, rows that differ.
\set ON_ERROR_STOP on
\pset tuples_only on
\pset format unaligned
\pset fieldsep ' '

SELECT count(*), count(*) FILTER (WHERE tbalance <> coalesce(total, 0)),
       'sum(delta) per teller is what pgbench keeps in pgbench_tellers.tbalance'
FROM pgbench_tellers FULL JOIN teller_totals USING (tid);

SELECT count(*), count(*) FILTER (WHERE bbalance <> coalesce(total, 0)),
       'sum(delta) per branch is what pgbench keeps in pgbench_branches.bbalance'
FROM pgbench_branches FULL JOIN branch_totals USING (bid);

SELECT count(*), count(*) FILTER (WHERE (o.accounts, o.balance) IS DISTINCT FROM (q.accounts, q.balance)),
       'accounts and balance per branch are what the plain query says'
FROM branch_accounts o
FULL JOIN (SELECT bid, count(*) AS accounts, sum(abalance) AS balance
           FROM pgbench_accounts GROUP BY bid) q USING (bid);

SELECT 1, (a.balance <> t.total)::int, 'the balance of all accounts is the sum of all deltas'
FROM (SELECT sum(balance) AS balance FROM branch_accounts) a,
     (SELECT sum(total) AS total FROM teller_totals) t;

SELECT 1, (s.rows <> h.rows)::int, 'the counts per second add up to all ' || h.rows || ' rows of history'
FROM (SELECT sum(rows) AS rows FROM rows_per_second) s,
     (SELECT count(*) AS rows FROM pgbench_history) h;

-- Every output against its definition, both ways.
SELECT format($$
    WITH query AS MATERIALIZED (%2$s),
         missing AS (SELECT * FROM query EXCEPT ALL SELECT * FROM %1$s),
         excess AS (SELECT * FROM %1$s EXCEPT ALL SELECT * FROM query)
    SELECT (SELECT count(*) FROM query),
           (SELECT count(*) FROM missing) + (SELECT count(*) FROM excess),
           'table %1$s is its query, run now (EXCEPT ALL, both ways)'$$,
    name, rtrim(definition, E'; \n'))
FROM velostream.queries ORDER BY name
\gexec
