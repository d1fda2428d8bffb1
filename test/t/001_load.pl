# Workers keep up with a real load, and end up right: pgbench with upserts,
# updates, deletes, savepoints and rollbacks; rollbacks of their own; commits
# that are not flushed; transactions prepared before a restart; the doorbell.
use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../perl";
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(sleep time);
use VelostreamTest;

my $node = new_node('load', conf => 'max_wal_size = 1GB');

$node->safe_psql('postgres', <<'END');
CREATE TABLE item (id int PRIMARY KEY, g int, v int, note text);
CREATE TABLE log (g int, v int);
CREATE TABLE spent (n bigint);
CREATE TABLE per_group WITH (velostream.continuous) AS
	SELECT g, count(*), sum(v), avg(v), max(v), count(*) FILTER (WHERE v % 2 = 0) AS even
	FROM item GROUP BY g;
CREATE TABLE overall WITH (velostream.continuous) AS
	SELECT count(*), sum(v) FROM item WHERE v > 10;
CREATE TABLE keyed WITH (velostream.continuous) AS
	SELECT id, g, v * 2 AS v2 FROM item WHERE g < 5;
CREATE TABLE bag WITH (velostream.continuous) AS
	SELECT g, v % 10 AS d FROM item WHERE g BETWEEN 3 AND 6;
CREATE TABLE sizes WITH (velostream.continuous) AS
	SELECT count, count(*) AS groups FROM per_group GROUP BY count;
CREATE TABLE log_totals WITH (velostream.continuous, velostream.source_mode = append) AS
	SELECT g, count(*), sum(v) FROM log GROUP BY g;
CREATE TABLE log_rows WITH (velostream.continuous, velostream.source_mode = append,
	velostream.kind = stream) AS
	SELECT g, v FROM log WHERE g < 3;
END
oracle($node, 'postgres', 'empty sources');

# The load.  The rows that log got are counted by other means: in spent.
my %scripts = (
	"upsert\@5" => <<'END',
\set id random(1, 400)
\set g random(0, 19)
\set v random(0, 1000)
INSERT INTO item VALUES (:id, :g, :v, repeat('x', :v % 200))
	ON CONFLICT (id) DO UPDATE SET g = excluded.g, v = item.v + 1, note = excluded.note;
END
	"update\@3" => <<'END',
\set g random(0, 19)
\set v random(-5, 5)
UPDATE item SET v = v + :v WHERE id IN (SELECT id FROM item WHERE g = :g ORDER BY id LIMIT 3 FOR UPDATE SKIP LOCKED);
END
	"delete\@2" => <<'END',
\set id random(1, 400)
DELETE FROM item WHERE id BETWEEN :id AND :id + 1;
END
	"savepoint\@3" => <<'END',
\set id random(1, 400)
\set v random(0, 1000)
BEGIN;
INSERT INTO log VALUES (:v % 7, :v);
SAVEPOINT a;
INSERT INTO log VALUES (1, 1000000), (2, 1000000);
DELETE FROM item WHERE id = :id;
ROLLBACK TO a;
SAVEPOINT b;
INSERT INTO log VALUES (:v % 5, 1);
RELEASE b;
INSERT INTO spent VALUES (:v + 1);
COMMIT;
END
	"rollback\@2" => <<'END',
\set v random(0, 1000)
BEGIN;
INSERT INTO log SELECT i % 7, 1000000 FROM generate_series(1, 50) i;
UPDATE item SET v = 0 WHERE g = :v % 20;
ROLLBACK;
END
	"asynchronous\@3" => <<'END',
\set v random(0, 1000)
SET synchronous_commit = off;
BEGIN;
INSERT INTO log VALUES (:v % 7, :v);
INSERT INTO spent VALUES (:v);
COMMIT;
RESET synchronous_commit;
END
	"insert_delete\@1" => <<'END',
\set id random(1000, 2000)
BEGIN;
INSERT INTO item VALUES (:id, 3, 5) ON CONFLICT DO NOTHING;
DELETE FROM item WHERE id = :id;
COMMIT;
END
	"vacuum\@1" => <<'END',
\set x random(1, 60)
SET client_min_messages = error;
\if :x = 1
VACUUM (TRUNCATE off, SKIP_LOCKED) item;
\elif :x = 2
VACUUM (FREEZE, TRUNCATE off, SKIP_LOCKED) log;
\endif
END
	"control\@1" => <<'END',
\set x random(1, 40)
\if :x = 1
SELECT velostream.pause('bag');
SELECT velostream.resume('bag');
\elif :x = 2
SELECT velostream.rebuild('keyed');
\elif :x = 3
SELECT count(*) FROM velostream.process('per_group');
\elif :x = 4
BEGIN;
SELECT count(*) FROM velostream.process('log_totals');
ROLLBACK;
\elif :x < 10
SELECT pg_sleep(0.05);
DO $$ BEGIN
CREATE TABLE late_:x WITH (velostream.continuous) AS
	SELECT v % 7 AS d, count(*), avg(v) FROM item GROUP BY 1;
CREATE TABLE late_log_:x WITH (velostream.continuous, velostream.source_mode = append) AS
	SELECT g, count(*), sum(v) FROM log GROUP BY g;
EXCEPTION WHEN duplicate_table OR unique_violation THEN NULL;
END $$;
\endif
END
);
$node->pgbench(
	'-n -c 6 -j 2 -T 10 --max-tries=10', 0,
	[qr/number of failed transactions: 0/], [qr/^$/],
	'six clients', \%scripts);
ok(value($node, 'postgres', 'count(*) > 1000 FROM spent'), 'enough of them');
my $log_rows = value($node, 'postgres', 'count(*) FROM log');
my $spent = value($node, 'postgres', 'sum(n) FROM spent');
my %totals = (
	'SELECT sum(sum) FROM log_totals' => $spent,
	'SELECT sum(count) FROM log_totals' => $log_rows,
	'SELECT count(*) FROM log_rows' =>
	  value($node, 'postgres', 'count(*) FROM log WHERE g < 3'),
	q{SELECT count(*) FROM log_rows WHERE _op <> 'insert'} => 0);
my $late = $node->safe_psql('postgres',
	q{SELECT relname FROM pg_class WHERE relname ~ '^late_log_[0-9]+$'});
ok($late, 'queries were created under the load');
$totals{"SELECT sum(sum) FROM $_"} = $spent for split /\n/, $late;
oracle($node, 'postgres', 'after the load', totals => \%totals);

# deleting what was counted does not shrink totals
$node->safe_psql('postgres', 'DELETE FROM log; VACUUM log');
oracle($node, 'postgres', 'append sources forget nothing', totals => \%totals);
cmp_ok(value($node, 'postgres', q{ignored FROM velostream.stat_queries WHERE name = 'log_totals'}),
	'>', 0, 'and it is counted');

# what is rolled back adds nothing
$node->safe_psql('postgres', <<'END');
BEGIN; INSERT INTO log SELECT 1, 1 FROM generate_series(1, 1000); ROLLBACK;
BEGIN; INSERT INTO item SELECT i, 1, 1 FROM generate_series(10001, 11000) i; ROLLBACK;
END
oracle($node, 'postgres', 'ROLLBACK adds nothing', totals => \%totals);

delete @totals{ grep { /late_/ } keys %totals };

# many subtransactions, some of them rolled back
$node->safe_psql('postgres', <<'END');
DO $$
BEGIN
	FOR i IN 1 .. 200 LOOP
		BEGIN
			INSERT INTO log VALUES (1, 1);
			IF i % 4 = 0 THEN RAISE division_by_zero; END IF;
		EXCEPTION WHEN division_by_zero THEN NULL;
		END;
	END LOOP;
END $$;
END
$totals{'SELECT sum(sum) FROM log_totals'} = $spent + 150;
$totals{'SELECT sum(count) FROM log_totals'} = $log_rows + 150;
$totals{'SELECT count(*) FROM log_rows'} += 150;
oracle($node, 'postgres', '200 subtransactions, 50 rolled back', totals => \%totals);

# transactions that commit long after others, not in the order of their ids
my @late = map { $node->background_psql('postgres') } 1 .. 3;
$late[$_]->query_safe("BEGIN; INSERT INTO log VALUES (5, 1); INSERT INTO item VALUES ($_ + 20000, 2, 2)")
  for 0 .. 2;
$node->safe_psql('postgres', 'INSERT INTO log VALUES (5, 1)');
for my $i (2, 0, 1)
{
	$node->safe_psql('postgres', 'INSERT INTO log VALUES (5, 1)');
	oracle($node, 'postgres', "before late commit $i");
	$late[$i]->query_safe('COMMIT');
}
$_->quit for @late;
$totals{'SELECT sum(sum) FROM log_totals'} += 7;
$totals{'SELECT sum(count) FROM log_totals'} += 7;
oracle($node, 'postgres', 'late commits', totals => \%totals);

# prepared transactions, committed and rolled back after a restart and a crash
$node->safe_psql('postgres', <<'END');
BEGIN; INSERT INTO log SELECT 1, 1 FROM generate_series(1, 10); UPDATE item SET v = v + 1 WHERE g = 1; PREPARE TRANSACTION 'a';
BEGIN; INSERT INTO log SELECT 1, 1 FROM generate_series(1, 10); SAVEPOINT s; DELETE FROM item WHERE g = 2; PREPARE TRANSACTION 'b';
BEGIN; INSERT INTO log SELECT 1, 1 FROM generate_series(1, 10); PREPARE TRANSACTION 'c';
INSERT INTO log VALUES (5, 1);
END
$totals{'SELECT sum(sum) FROM log_totals'} += 1;
$totals{'SELECT sum(count) FROM log_totals'} += 1;
$totals{'SELECT count(*) FROM log_rows'} += 0;
oracle($node, 'postgres', 'prepared transactions are in progress', totals => \%totals);
$node->restart;
oracle($node, 'postgres', 'also after a restart', totals => \%totals);
$node->safe_psql('postgres', q{COMMIT PREPARED 'a'});
for my $what ('SELECT sum(sum) FROM log_totals', 'SELECT sum(count) FROM log_totals',
	'SELECT count(*) FROM log_rows')
{
	$totals{$what} += 10;
}
oracle($node, 'postgres', 'COMMIT PREPARED', totals => \%totals);
crash($node);
$node->safe_psql('postgres', q{ROLLBACK PREPARED 'c'; INSERT INTO log VALUES (5, 1)});
$totals{'SELECT sum(sum) FROM log_totals'} += 1;
$totals{'SELECT sum(count) FROM log_totals'} += 1;
oracle($node, 'postgres', 'ROLLBACK PREPARED', totals => \%totals);
$node->restart;
$node->safe_psql('postgres', q{COMMIT PREPARED 'b'});
for my $what ('SELECT sum(sum) FROM log_totals', 'SELECT sum(count) FROM log_totals',
	'SELECT count(*) FROM log_rows')
{
	$totals{$what} += 10;
}
oracle($node, 'postgres', 'COMMIT PREPARED after a crash', totals => \%totals);

# a commit wakes a worker: nothing waits for the end of its nap
set_guc($node, 'velostream.naptime' => '60s');
oracle($node, 'postgres', 'before the naps', totals => \%totals);
my %best = (on => 60, off => 60);
for my $how ('on', 'off', 'on', 'off')
{
	# workers move idle queries on for a second or so; then they sleep
	my $frontiers = q{(SELECT string_agg(frontier_time::text, ',' ORDER BY name) FROM velostream.stat_queries)};
	my $last = '';
	for my $i (1 .. 20)
	{
		my $now = value($node, 'postgres', $frontiers);

		last if $now eq $last;
		$last = $now;
		sleep 2.5;
	}

	my $start = time;
	$node->safe_psql('postgres', "SET synchronous_commit = $how; INSERT INTO log VALUES (6, 1)");
	$totals{"SELECT sum($_) FROM log_totals"} += 1 for 'count', 'sum';
	poll($node, 'postgres', "sum(count) = $totals{'SELECT sum(count) FROM log_totals'} FROM log_totals");
	$best{$how} = time - $start if time - $start < $best{$how};
}
# without the bell it takes some seconds at least; the machine may be slow once
cmp_ok($best{$_}, '<', 2, "a commit is seen at once, synchronous_commit = $_") for 'on', 'off';
oracle($node, 'postgres', 'after the naps', totals => \%totals);

log_is_clean($node);
$node->stop;
done_testing();
