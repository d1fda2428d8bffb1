-- One frame of the demo's live view.  :now and :of are seconds.
\pset tuples_only on
\pset format unaligned
SELECT format('-- %s of %s s: %s rows/s in', :now, :of,
              to_char(coalesce((SELECT rows FROM rows_per_second ORDER BY second DESC OFFSET 1 LIMIT 1), 0), 'FM999,999,999'));
SELECT format('   %-16s %-10s %12s rows in %8s batches   %8s behind',
              name, state, to_char(rows_in, 'FM999,999,999'), batches,
              coalesce(round(extract(epoch FROM q.lag) * 1000) || ' ms', '-'))
FROM velostream.queries q JOIN velostream.stat_queries USING (query, name)
ORDER BY name;
