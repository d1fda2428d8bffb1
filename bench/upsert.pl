#!/usr/bin/perl
# One batch that changes 200 000 random groups of a million, against the same
# change as INSERT ... ON CONFLICT DO UPDATE.
use strict;
use warnings;
use FindBin;
use lib $FindBin::Bin;
use Bench;

my $groups = scaled(1_000_000);
my $changed = scaled(200_000);

database('bench');
my $s = session('bench');
$s->run("
	CREATE TABLE events (grp int NOT NULL, v int NOT NULL);
	INSERT INTO events SELECT i, i % 100 FROM generate_series(1, $groups) i;
	CREATE TABLE totals WITH (velostream.continuous) AS
		SELECT grp, count(*) AS n, sum(v) AS total FROM events GROUP BY grp;
	CREATE TABLE upserted (grp int PRIMARY KEY, n bigint, total bigint) WITH (fillfactor = 70);
	INSERT INTO upserted SELECT grp, count(*), sum(v) FROM events GROUP BY grp;
	CREATE TABLE news (grp int, v int)");
$s->run('SELECT velostream.wait()');

my (@ours, @theirs, @ratio);
foreach (0 .. repeats())
{
	$s->run("
		TRUNCATE news;
		INSERT INTO news SELECT grp, 1 FROM (SELECT grp FROM upserted ORDER BY random() LIMIT $changed) g");
	$s->run('VACUUM totals');
	$s->run('VACUUM upserted');
	my ($ours) = $s->timed_batch('totals', 'INSERT INTO events SELECT * FROM news');
	my ($theirs) = $s->timed('INSERT INTO upserted AS u SELECT grp, count(*), sum(v) FROM news GROUP BY grp
		ON CONFLICT (grp) DO UPDATE SET n = u.n + excluded.n, total = u.total + excluded.total');
	push @ours, $ours;
	push @theirs, $theirs;
}
# the first one fills caches
shift @ours;
shift @theirs;
check_oracle('bench', 'totals');
$s->close;
@ratio = map { $ours[$_] / $theirs[$_] } 0 .. $#ours;
row("a batch that changes $changed of $groups groups; against INSERT ... ON CONFLICT DO UPDATE",
	ms(median(@ours)), ms(median(@theirs)), ratio(median(@ratio)), 'at most 0.5 x', median(@ratio) <= 0.5);
