# The WAL that a query has not read yet is gone: the source is swept instead.
use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../perl";
use PostgreSQL::Test::Utils;
use Test::More;
use VelostreamTest;

my $node = new_node('wal',
	extra => ['--wal-segsize=1'],
	conf => "max_wal_size = 4MB\nmin_wal_size = 2MB\nwal_keep_size = 0\nwal_recycle = off");
my $count = 500;

$node->safe_psql('postgres', <<'END');
CREATE TABLE src (id serial PRIMARY KEY, g int, v int);
CREATE TABLE log (g int, v int);
CREATE TABLE other (x text);
INSERT INTO src (g, v) SELECT i % 10, i FROM generate_series(1, 1000) i;
INSERT INTO log SELECT i % 10, 1 FROM generate_series(1, 500) i;
CREATE TABLE totals WITH (velostream.continuous) AS
	SELECT g, count(*), sum(v), max(v) FROM src GROUP BY g;
CREATE TABLE rows WITH (velostream.continuous) AS SELECT g, v FROM src WHERE g < 5;
CREATE TABLE log_totals WITH (velostream.continuous, velostream.source_mode = append) AS
	SELECT g, count(*), sum(v) FROM log GROUP BY g;
END

sub change
{
	$node->safe_psql('postgres', <<'END');
BEGIN;
INSERT INTO log SELECT i % 10, 1 FROM generate_series(1, 100) i;
INSERT INTO src (g, v) SELECT i % 10, i FROM generate_series(1, 50) i;
UPDATE src SET g = (g + 1) % 10 WHERE id % 7 = 0;
DELETE FROM src WHERE id % 11 = 0;
COMMIT;
DELETE FROM log WHERE ctid IN (SELECT ctid FROM log LIMIT 30);
END
	$count += 100;
	return;
}

# Write WAL until the segment that is current now is no more.
sub lose_wal
{
	my $old = value($node, 'postgres', 'pg_walfile_name(pg_current_wal_lsn())');

	for my $i (1 .. 20)
	{
		$node->safe_psql('postgres', <<'END');
INSERT INTO other SELECT repeat('x', 1000) FROM generate_series(1, 500);
TRUNCATE other;
SELECT pg_switch_wal();
CHECKPOINT;
END
		return pass('the WAL is gone') if !-e $node->data_dir . "/pg_wal/$old";
	}
	return fail('the WAL is gone');
}

sub right
{
	my ($name, $rebuilds) = @_;
	local $Test::Builder::Level = $Test::Builder::Level + 1;

	return oracle($node, 'postgres', $name, totals => {
			'SELECT sum(count) FROM log_totals' => $count,
			'SELECT sum(sum) FROM log_totals' => $count,
			'SELECT sum(rebuilds) FROM velostream.stat_queries' => 0 });
}

right('the beginning');
for my $restart ('', 'restart', 'crash')
{
	$node->safe_psql('postgres',
		'SELECT velostream.pause(output) FROM velostream.query');
	change();
	$node->restart if $restart eq 'restart';
	crash($node) if $restart eq 'crash';
	lose_wal();
	change();
	$node->safe_psql('postgres',
		'SELECT velostream.resume(output) FROM velostream.query');
	right("paused, WAL gone, $restart");
	change();
	right('and further on');
}

# workers rest, a transaction stays open meanwhile, and commits late
set_guc($node, 'velostream.enabled' => 'off');
my $late = $node->background_psql('postgres');
$late->query_safe('BEGIN; INSERT INTO log SELECT 3, 1 FROM generate_series(1, 100); UPDATE src SET v = v + 1 WHERE id < 7');
change();
lose_wal();
set_guc($node, 'velostream.enabled' => 'on');
right('velostream.enabled = off, WAL gone, a transaction open');
lose_wal();
$late->query_safe('COMMIT');
$count += 100;
right('it commits, and its WAL is gone');
$late->quit;

# the same, prepared, and the server is restarted in between
$node->safe_psql('postgres', <<'END');
BEGIN; INSERT INTO log SELECT 3, 1 FROM generate_series(1, 100); DELETE FROM src WHERE id % 5 = 0;
PREPARE TRANSACTION 'late';
END
lose_wal();
right('prepared, WAL gone');
$node->restart;
lose_wal();
$node->safe_psql('postgres', q{COMMIT PREPARED 'late'});
$count += 100;
right('restarted, committed');

# a damaged record, which refers to another block than it did
$node->safe_psql('postgres', 'SELECT velostream.pause(output) FROM velostream.query');
my $file = pack('V3', split(/\|/, $node->safe_psql('postgres', <<'END')));
SELECT t.oid, d.oid, pg_relation_filenode('src') FROM pg_tablespace t, pg_database d
	WHERE t.oid = d.dattablespace AND datname = current_database()
END
$node->safe_psql('postgres', 'SELECT pg_switch_wal()');
$node->safe_psql('postgres', 'INSERT INTO src (g, v) SELECT i % 10, i FROM generate_series(1, 2000) i');
my $segment = value($node, 'postgres', 'pg_walfile_name(pg_current_wal_lsn())');
$node->stop;
my $path = $node->data_dir . "/pg_wal/$segment";
my $wal = slurp_file($path);
my ($at, $damaged) = (0, 0);
while (($at = index($wal, $file, $at)) >= 0)
{
	# the record of an insert into a new page, without an image, not at the end of a page of WAL
	my ($record, $block) = ($at - 28, unpack('V', substr($wal, $at + 12, 4)));
	my ($length, $info, $manager) = (unpack('V', substr($wal, $record, 4)), unpack('CC', substr($wal, $record + 16, 2)));
	substr($wal, $at + 12, 4) = pack('V', 0), $damaged++
		if $manager == 10 && ($info & 0x70) == 0 && $block > 8 && $record % 8192 < 8192 - 2 * $length;
	$at += 16;
}
cmp_ok($damaged, '>', 500, 'records that are damaged');
open(my $fh, '>:raw', $path) or die "$path: $!";
print $fh $wal;
close($fh);
$node->start;
$node->safe_psql('postgres', 'SELECT velostream.resume(output) FROM velostream.query');
right('damaged WAL');
change();
right('and further on');

log_is_clean($node);
$node->stop;
done_testing();
