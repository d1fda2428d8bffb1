# The disk is full in the middle of a batch: under the output, the state, a
# stream, the WAL, all of the server.  The error is shown, nothing is lost, and
# queries go on when there is space again.  VELOSTREAM_SMALL_DISK names an
# empty file system of about 100 MB; ./dev makes one if it is root.
use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../perl";
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(usleep);
use VelostreamTest;

my $disk = $ENV{VELOSTREAM_SMALL_DISK};
my $filler = defined $disk ? "$disk/filler" : undef;
my $rows = 10000;	# of each change
my $tables = <<'END';
CREATE TABLE src (id serial PRIMARY KEY, g int, v int) TABLESPACE pg_default;
CREATE TABLE log (g int, v int) TABLESPACE pg_default;
INSERT INTO src (g, v) SELECT i % 10, i FROM generate_series(1, 1000) i;
INSERT INTO log SELECT i % 10, 1 FROM generate_series(1, 500) i;
END

# Fill the disk but for so many kB.
sub fill_disk
{
	my ($kb) = @_;
	my $block = 'x' x 4096;
	my $size = 0;

	open(my $fh, '>', $filler) or die "$filler: $!";
	while (my $n = syswrite($fh, $block)) { $size += $n }
	die "$filler: $!" unless $!{ENOSPC};
	truncate($fh, $size > $kb * 1024 ? $size - $kb * 1024 : 0) or die "$filler: $!";
	close($fh);
	return;
}

sub free_disk
{
	unlink $filler or die "$filler: $!";
	return;
}

# What the queries are, by name: state, SQLSTATE and error.
sub states
{
	my ($node, $db) = @_;
	my %states;

	for my $line (split /\n/, $node->safe_psql($db, 'SELECT name, state, sqlstate, last_error FROM velostream.queries'))
	{
		my ($name, @rest) = split /\|/, $line;
		$states{$name} = join(' ', grep { $_ ne '' } @rest);
	}
	return \%states;
}

# Run a statement, on a server that may be down: writing to a psql that has
# ended is an error, too.
sub succeeds
{
	my ($node, $sql) = @_;
	return eval { $node->psql('postgres', $sql) == 0 };
}

# Nothing in the log that must not be, where the WAL's disk is full.
sub log_is_clean_but_for_the_disk
{
	my ($node) = @_;
	my @found = grep { /TRAP:|PANIC:|terminated by signal (?![69])|still referenced|was not closed/ }
	  grep { !/PANIC:.*No space left on device/ } split /\n/, slurp_file($node->logfile);

	return is(join("\n", @found), '', $node->name . ': the log is clean, but for the full disk');
}

# The database's tables on the small disk, the sources elsewhere.
sub test_tables
{
	my $node = new_node('tables', install => 0, conf => 'velostream.max_backoff = 1s');
	my $db = 'small';
	my $letters = 0;
	my $count = 500;
	my @queries = qw(totals rows letters stream log_totals);
	my ($states, $before);

	mkdir "$disk/space" or die "$disk/space: $!";
	$node->safe_psql('postgres', "CREATE TABLESPACE small LOCATION '$disk/space'");
	$node->safe_psql('postgres', 'CREATE DATABASE small');
	install($node, $db);
	$node->safe_psql($db, $tables . <<'END');
CREATE TABLE fine WITH (velostream.continuous) AS SELECT g % 10 AS g, count(*), sum(v) FROM src GROUP BY 1;
SET default_tablespace = small;
CREATE TABLE totals WITH (velostream.continuous) AS SELECT g, count(*), sum(v), stddev(v) FROM src GROUP BY g;
CREATE TABLE rows WITH (velostream.continuous, velostream.on_error = stop) AS SELECT id, v FROM src;
CREATE TABLE letters WITH (velostream.continuous, velostream.on_error = dead_letter) AS
	SELECT g, count(*), max(v) FROM src GROUP BY g;
CREATE TABLE stream WITH (velostream.continuous, velostream.kind = stream, velostream.source_mode = append) AS
	SELECT g, v FROM log;
CREATE TABLE log_totals WITH (velostream.continuous, velostream.source_mode = append) AS
	SELECT g, count(*), sum(v) FROM log GROUP BY g;
END
	oracle($node, $db, 'tables: the beginning');
	for my $where ('output', 'state')
	{
		if ($where eq 'state')
		{
			# only what totals remembers is on the small disk
			@queries = ('totals');
			$node->safe_psql($db, <<'END');
SELECT velostream.pause('totals');
SET allow_system_table_mods = on;
ALTER TABLE ALL IN TABLESPACE small SET TABLESPACE pg_default;
ALTER INDEX ALL IN TABLESPACE small SET TABLESPACE pg_default;
DO $$
BEGIN
	EXECUTE format('ALTER TABLE %s SET TABLESPACE small', (SELECT state FROM velostream.query WHERE output = 'totals'::regclass));
END $$;
SELECT velostream.resume('totals');
END
		}
		for my $kb (0, 200)
		{
			my $name = "tables: $where, $kb kB";

			$before = value($node, $db, '(SELECT concat(count(*), sum(count)) FROM totals)');
			$node->safe_psql($db, 'SELECT velostream.pause(output) FROM velostream.query WHERE output <> \'fine\'::regclass');
			$node->safe_psql($db, <<"END");
INSERT INTO src (g, v) SELECT i + $count, i FROM generate_series(1, $rows) i;
UPDATE src SET g = g + 1 WHERE id % 7 = 0;
DELETE FROM src WHERE id % 11 = 0;
INSERT INTO log SELECT i + $count, 1 FROM generate_series(1, $rows) i;
END
			$count += $rows;
			fill_disk($kb);
			$node->safe_psql($db, 'SELECT velostream.resume(output) FROM velostream.query WHERE status = \'p\'');
			for my $query (@queries)
			{
				poll($node, $db, "failures > 0 FROM velostream.queries WHERE name = '$query'");
			}
			$states = states($node, $db);
			for my $query (@queries)
			{
				like($states->{$query}, qr/^failing 53100 could not (extend|write).*No space left on device/,
					"$name: $query says so");
			}
			$node->safe_psql($db, "SELECT velostream.wait('fine')");
			is(value($node, $db, "differences('fine')"), 0, "$name: the others go on");
			is(value($node, $db, '(SELECT concat(count(*), sum(count)) FROM totals)'), $before, "$name: nothing of a batch is seen");
			free_disk();
			for my $query (@queries)
			{
				poll($node, $db, "state = 'running' FROM velostream.queries WHERE name = '$query'");
			}
			oracle($node, $db, "$name: there is space again", totals => {
					'SELECT count(*) FROM stream' => $count,
					'SELECT sum(count) FROM log_totals' => $count,
					'SELECT count(*) FROM velostream.dead_letters' => 0 });
		}
	}
	log_is_clean($node);
	$node->stop;
	system_or_bail('rm', '-rf', "$disk/space");
	return;
}

# The WAL on the small disk: PostgreSQL ends at once when it cannot be written.
sub test_wal
{
	my $node = new_node('wal', extra => [ '-X', "$disk/wal", '--wal-segsize=1' ],
		conf => "max_wal_size = 8MB\nmin_wal_size = 2MB\nwal_recycle = off\nvelostream.max_backoff = 1s\n");
	my $count = 500;

	$node->safe_psql('postgres', $tables . <<'END');
CREATE TABLE totals WITH (velostream.continuous) AS SELECT g, count(*), sum(v), stddev(v) FROM src GROUP BY g;
CREATE TABLE letters WITH (velostream.continuous, velostream.on_error = dead_letter) AS SELECT id, v FROM src;
CREATE TABLE stream WITH (velostream.continuous, velostream.kind = stream, velostream.source_mode = append) AS
	SELECT g, v FROM log;
END
	oracle($node, 'postgres', 'wal: the beginning');
	for my $kb (0, 1500)
	{
		my $offset = -s $node->logfile;

		$node->safe_psql('postgres', 'SELECT velostream.pause(output) FROM velostream.query');
		$node->safe_psql('postgres', <<"END");
INSERT INTO src (g, v) SELECT i + $count, i FROM generate_series(1, $rows) i;
UPDATE src SET g = g + 1 WHERE id % 7 = 0;
INSERT INTO log SELECT i + $count, 1 FROM generate_series(1, $rows) i;
CHECKPOINT;
END
		$count += $rows;
		my $stopped = stop_at($node, 'delta-open');
		$node->safe_psql('postgres', 'SELECT velostream.resume(output) FROM velostream.query');
		wait_stopped($node, 'delta-open', $stopped);
		fill_disk($kb);
		set_guc($node, 'velostream.stop_at' => '');
		$node->wait_for_log(qr/PANIC:.*No space left on device/, $offset);
		ok(1, "wal, $kb kB: it is full in the middle of a batch");
		$node->wait_for_log(qr/all server processes terminated|database system is shut down|shutting down due to startup/, $offset);
		free_disk();

		# dead, or up again by itself
		$node->stop('immediate', fail_ok => 1);
		$node->{_pid} = undef;
		start_again($node);
		poll($node, 'postgres', q{count(*) = 3 FROM velostream.queries WHERE state = 'running'});
		oracle($node, 'postgres', "wal, $kb kB: there is space again", totals => {
				'SELECT count(*) FROM stream' => $count,
				'SELECT count(*) FROM velostream.dead_letters' => 0 });
	}
	log_is_clean_but_for_the_disk($node);
	$node->stop;
	system_or_bail('rm', '-rf', "$disk/wal");
	return;
}

# All of the server on the small disk, ever again full while people write.
sub test_server
{
	my $node = new_node('all', extra => ['--wal-segsize=1'],
		conf => "max_wal_size = 8MB\nmin_wal_size = 2MB\nvelostream.max_backoff = 1s\nvelostream.cache_size = 1MB\nwork_mem = 64kB\n");
	my $data = $node->data_dir;
	my $failed = 0;

	srand($ENV{FULL_DISK_SEED} // 1);
	$node->stop;
	system_or_bail('cp', '-a', $data, "$disk/data");
	system_or_bail('rm', '-rf', $data);
	symlink("$disk/data", $data) or die "$data: $!";
	$node->start;
	$node->safe_psql('postgres', $tables . <<'END');
CREATE TABLE totals WITH (velostream.continuous) AS SELECT g, count(*), sum(v), stddev(v) FROM src GROUP BY g;
CREATE TABLE maxima WITH (velostream.continuous, velostream.on_error = dead_letter) AS SELECT g % 100 AS g, max(v) FROM src GROUP BY 1;
CREATE TABLE log_totals WITH (velostream.continuous, velostream.source_mode = append) AS SELECT g, count(*) FROM log GROUP BY g;
END
	oracle($node, 'postgres', 'server: the beginning');
	for my $round (1 .. 4)
	{
		fill_disk(int(rand(2000)));
		for my $i (1 .. 4)
		{
			for my $sql (
				'INSERT INTO log SELECT i % 1000, 1 FROM generate_series(1, 1000) i',
				"INSERT INTO src (g, v) SELECT i + 1000 * $i, i FROM generate_series(1, 3000) i",
				'UPDATE src SET g = g + 1 WHERE id % 7 = 0',
				"CREATE TABLE q$i WITH (velostream.continuous) AS SELECT g, avg(v) FROM src GROUP BY g",
				"SELECT count(*) FROM velostream.process('totals')",
				'CHECKPOINT',
				"SELECT velostream.rebuild('maxima')",
				"DROP TABLE IF EXISTS q$i")
			{
				$failed++ unless succeeds($node, $sql);
			}
		}
		free_disk();
		unless (succeeds($node, 'SELECT 1'))
		{
			$node->stop('immediate', fail_ok => 1);
			$node->{_pid} = undef;
			start_again($node);
		}
		$node->safe_psql('postgres', 'DROP TABLE IF EXISTS q1, q2, q3, q4; DELETE FROM src WHERE id % 2 = 0; VACUUM; CHECKPOINT');
		poll($node, 'postgres', q{count(*) = 3 FROM velostream.queries WHERE state = 'running'});
		oracle($node, 'postgres', "server: round $round", totals => {
				'SELECT sum(count) - (SELECT count(*) FROM log) FROM log_totals' => 0,
				'SELECT count(*) FROM velostream.dead_letters' => 0 });
	}
	cmp_ok($failed, '>', 0, "server: there was a full disk, $failed times");
	log_is_clean_but_for_the_disk($node);
	$node->stop;
	unlink $data or die "$data: $!";
	rename("$disk/data", $data) or system_or_bail('rm', '-rf', "$disk/data");
	return;
}

SKIP:
{
	skip 'there is no small disk (VELOSTREAM_SMALL_DISK); ./dev makes one as root', 1 unless defined $disk;
	test_tables();
	test_wal();
	test_server();
}
done_testing();
