# Histories: lists of steps, written down before any of them runs.
#
# A step is a hash:
#	session		who does it: a, b, c; "ctl" never has a transaction open
#	do			what it is: sql, begin, commit, rollback, savepoint, back,
#				release, prepare, finish, create, recreate, rebuild, replace,
#				truncate, check, storm (several sessions at the same time),
#				cancel, rest, work (without, and again with workers),
#				and the crashes: kill, killall, immediate, restart,
#				signal, stop, end
#	sql			statements; several of them are one transaction
#	table		the table that it is about, if it is about one
#	query, ...	parameters
# Each can be left out without making the others meaningless: one that finds
# nothing to do does nothing.
#
# What can happen stands in the tables @WRITES, @LOCKS, @COMMANDS and @CRASHES:
# how often, and a function that makes the step's fields from the history and a
# table.  To add something, add a line; a kind of step of its own is a function
# do_<kind> in Run.pm.
package Torture::Steps;

use strict;
use warnings;

use FindBin;
use Torture::Queries;
use Torture::Random;
use Torture::Tables;

my @SESSIONS = qw(a b c);

# All points at which a batch can stop.
my @POINTS = do
{
	my %points;

	for my $file (glob "$FindBin::RealBin/../../src/*/*.c")
	{
		open(my $in, '<', $file) or die "$file: $!";
		/vs_wait_point\("([\w-]+)"\)/ and $points{$1} = 1 while <$in>;
		close($in);
	}
	sort keys %points;
};

# What happens in a transaction or alone, and in storms.
my @WRITES = (
	[ 16, \&insert_some ],
	[ 6, \&insert_many ],
	[ 5, \&copy ],
	[ 6, \&upsert ],
	[ 20, \&update ],
	[ 8, \&delete_some ],
	[ 3, \&subtransactions ],
	[ 6, \&lock_rows ],
	[ 3, \&insert_and_delete ],
	[ 3, \&merge ],
	[ 3, \&refer ],
	[ 3, \&read_some ],
);

# What happens in a transaction or alone, but not in storms.
my @LOCKS = (
	[ 1, \&alter ],
	[ 0.5, \&truncate_or_read ],
	[ 3, \&lock_output ],
	[ 3, \&cancel ],
);

# What happens outside of transactions.
my @COMMANDS = (
	[ 5, \&vacuum ],
	[ 1, \&rewrite ],
	[ 1, \&truncate_table ],
	[ 3, \&partition ],
	[ 3, \&create_query ],
	[ 1, \&drop_query ],
	[ 1, \&recreate ],
	[ 3, \&pause ],
	[ 1, \&rebuild ],
	[ 2, \&replace_view ],
	[ 1, \&replace_function ],
	[ 5, \&process ],
	[ 2, \&rest ],
	[ 2, \&alter_output ],
	[ 1, \&storm ],
	[ 1, sub { return { do => 'signal', how => 'pg_cancel_backend' } } ],
	[ 1, sub { return { sql => [ pick('CHECKPOINT', 'SELECT pg_switch_wal()') ] } } ],
	[ 1, \&forget_wal ],
);

# Those that come all at once.
my @HARD = (
	[ 4, { do => 'kill', which => 'velostream worker', nr => 0 } ],
	[ 2, { do => 'kill', which => 'postgres:', nr => 7 } ],
	[ 3, { do => 'immediate' } ],
	[ 1, { do => 'killall' } ],
);

my @CRASHES = (
	[ 4, sub { return { do => 'kill', which => pick('velostream worker', 'postgres:'), nr => between(0, 1000) } } ],
	[ 2, sub { return { do => 'immediate' } } ],
	[ 1, sub { return { do => 'killall' } } ],
	[ 1, sub { return { do => 'restart' } } ],
	[ 3, sub { return { do => 'signal', how => 'pg_terminate_backend' } } ],
	[ 8, \&stop_worker ],
	[ 2, sub { my $storm = storm(@_); $storm->{crash} = weighted(@HARD); return $storm } ],
);

# The history of a seed: its settings, and its steps.
sub write_history
{
	my ($seed, $length, $crashes) = @_;
	my ($settings, $h);

	srand($seed);
	require Torture::Server;
	$settings = Torture::Server::choose_settings();
	$h = {
		steps => [],
		tables => [ map { Torture::Tables->new("t$_") } 1 .. between(1, 2) ],
		queries => [],
		views => [],
		number => 0,
		in => { map { $_ => 0 } @SESSIONS },
		prepared => [],
		ends => {} };
	push @{ $h->{tables} }, Torture::Tables->new('log', log => 1) if chance(70);

	add($h, session => 'ctl', sql => ['CREATE TYPE pair AS (a int, b text)']);
	add($h, session => 'ctl', sql => [ vary() ]);
	add($h, session => 'ctl', sql => [ 'CREATE FUNCTION count_change() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN'
			  . " EXECUTE format('INSERT INTO %s DEFAULT VALUES', TG_ARGV[0]); RETURN NULL; END \$\$" ]);
	for my $table (@{ $h->{tables} })
	{
		add($h, session => 'ctl', table => $table->{name}, sql => [$_]) for $table->create;
		add($h, session => 'ctl', table => $table->{name}, %{ insert_many($h, $table) }) if chance(60);
	}
	for my $table (some(1, @{ $h->{tables} }))
	{
		last if chance(50);
		push @{ $h->{views} }, Torture::Queries::view_source('v1', $table);
		add($h, session => 'ctl', table => $table->{name}, sql => [ Torture::Queries::create_view($h->{views}[0]) ]);
	}
	add($h, session => 'ctl', %{ create_query($h) }) for 1 .. between(2, 6);
	random_step($h, $crashes) while @{ $h->{steps} } < $length;
	finish($h);
	return { seed => $seed, settings => $settings, steps => $h->{steps} };
}

sub add
{
	my ($h, %step) = @_;
	$step{do} //= 'sql';
	push @{ $h->{steps} }, \%step;
	for my $later (@{ delete $h->{ends}{ scalar @{ $h->{steps} } } // [] })
	{
		push @{ $h->{steps} }, $later;
	}
	return;
}

# Have this step come so many steps later.
sub later
{
	my ($h, $distance, %step) = @_;
	push @{ $h->{ends}{ @{ $h->{steps} } + $distance } }, { do => 'sql', %step };
	return;
}

sub random_step
{
	my ($h, $crashes) = @_;
	my $session = pick(@SESSIONS);

	return check($h) if chance(6);
	return add($h, session => 'ctl', %{ weighted(@CRASHES)->($h) }) if $crashes && chance(4);
	return about_table($h, 'ctl', @COMMANDS) if chance(22);
	return transaction($h, $session) if chance(25);
	return about_table($h, $session, @WRITES, @LOCKS);
}

# Something with a table, of such a list; the step knows which, unless it is
# about a query.
sub about_table
{
	my ($h, $session, @list) = @_;
	my $table = pick(@{ $h->{tables} });
	my $step = weighted(@list)->($h, $table);

	return add($h, session => $session, $step->{query} ? () : (table => $table->{name}), %$step);
}

# Something about the session's transaction.
sub transaction
{
	my ($h, $session) = @_;
	my $in = \$h->{in}{$session};

	if ($$in == 0)
	{
		return finish_prepared($h) if @{ $h->{prepared} } && chance(40);
		$$in = 1;
		return add($h, session => $session, do => 'begin',
			sql => [ 'BEGIN' . (chance(15) ? ' ISOLATION LEVEL REPEATABLE READ' : '') ]);
	}
	if (chance(45))
	{
		my $do = pick('savepoint', 'savepoint', 'back', 'release');
		return add($h, session => $session, do => $do);
	}
	$$in = 0;
	return prepare($h, $session) if chance(25);
	return add($h, session => $session, do => chance(70) ? 'commit' : 'rollback');
}

sub prepare
{
	my ($h, $session) = @_;
	my $gid = 'p' . ++$h->{number};

	push @{ $h->{prepared} }, $gid;
	return add($h, session => $session, do => 'prepare', gid => $gid);
}

sub finish_prepared
{
	my ($h, $what) = @_;
	my $gid = shift @{ $h->{prepared} };
	return add($h, session => 'ctl', do => 'finish', gid => $gid, how => $what // pick('COMMIT', 'COMMIT', 'ROLLBACK'));
}

sub check { return add($_[0], session => 'ctl', do => 'check') }

# The end: nothing is left open, and everything is compared once more.
sub finish
{
	my ($h) = @_;

	add($h, session => 'ctl', do => $_) for 'end', 'work';
	add($h, session => $_, do => 'commit') for @SESSIONS;
	check($h);
	finish_prepared($h) while @{ $h->{prepared} };
	add($h, session => 'ctl', query => $_, sql => ["SELECT velostream.resume('$_->{name}')"]) for @{ $h->{queries} };
	check($h);
	add($h, session => 'ctl', sql => ['VACUUM FREEZE']);
	add($h, session => 'ctl', table => $_->{name}, %{ update($h, $_) }) for @{ $h->{tables} };
	check($h);
	return;
}

# ----------
# Writes
# ----------

sub columns { return join(', ', @Torture::Tables::COLUMNS) }

sub insert_some
{
	my ($h, $table) = @_;
	my $count = weighted([ 6, 1 ], [ 4, between(2, 5) ]);
	my $id = $table->ids($count);
	my @rows = map {
		'(' . join(', ', $id++, $table->partition, map { $table->value($_) } @Torture::Tables::VALUES) . ')'
	} 1 .. $count;

	return { sql => [ "INSERT INTO $table->{name} (" . columns() . ') VALUES ' . join(', ', @rows) ] };
}

# SELECT of so many rows that differ.
sub many
{
	my ($table, $count) = @_;
	my $first = $table->ids($count);
	my $last = $first + $count - 1;
	my $partition = $table->partition;

	$partition = 'i % 2' if $partition < 2;
	return 'SELECT ' . join(', ', 'i', $partition, map { $table->cycle($_) } @Torture::Tables::VALUES)
	  . " FROM generate_series($first, $last) i";
}

sub insert_many
{
	my ($h, $table) = @_;
	my $count = weighted([ 5, between(5, 40) ], [ 3, between(100, 400) ], [ 1, 2000 ]);
	return { sql => [ "INSERT INTO $table->{name} (" . columns() . ') ' . many($table, $count) ] };
}

# The server itself makes the lines, so that the history is SQL alone.
sub copy
{
	my ($h, $table) = @_;
	return { sql => [ copy_lines($table, '') ] };
}

sub copy_lines
{
	my ($table, $options) = @_;
	my $count = between(1, 60);
	my $id = $table->ids($count);
	my $partition = $table->partition;
	my @lines = map {
		join('|', $id++, $partition, map {
				my $value = pick($table->domain($_)) // '\\N';
				$value eq 'long' ? 'long' x 900 : $value
			} @Torture::Tables::VALUES)
	} 1 .. $count;

	return "COPY $table->{name} (" . columns() . ") FROM PROGRAM \$program\$printf '%s\\n' "
	  . join(' ', map { "'$_'" } @lines) . "\$program\$ (DELIMITER '|'$options)";
}

sub upsert
{
	my ($h, $table) = @_;
	my $name = $table->{name};
	my @key = $table->key;

	return insert_some($h, $table) unless @key;
	my $count = between(1, 8);
	my $first = between(1, $table->{next_id});
	my $sql = "INSERT INTO $name (" . columns() . ') SELECT ' . join(', ', 'i', $table->partition,
		map { $table->cycle($_) } @Torture::Tables::VALUES) . " FROM generate_series($first, "
	  . ($first + $count) . ') i';

	$table->{next_id} = $first + $count + 1 if $table->{next_id} <= $first + $count;
	return { sql => ["$sql ON CONFLICT DO NOTHING"] } if chance(40);
	my $set = join(', ', map { "$_ = " . pick("excluded.$_", "$name.$_", $table->value($_)) } some(between(1, 4), qw(k g v n f b d t)));
	return { sql => [ "$sql ON CONFLICT (" . join(', ', @key) . ") DO UPDATE SET $set" ] };
}

# Which rows.
sub where
{
	my ($table) = @_;
	my $id = between(1, $table->{next_id});
	my $value = $table->value('k');
	my $modulus = between(3, 20);

	return weighted(
		[ 6, "id = $id" ],
		[ 4, "id BETWEEN $id AND " . ($id + between(1, 20)) ],
		[ 3, "id % $modulus = " . between(0, $modulus - 1) ],
		[ 2, 'g = ' . between(0, 5) ],
		[ 2, "k IS NOT DISTINCT FROM $value" ],
		[ 1, 'v IS NULL' ]);
}

sub update
{
	my ($h, $table) = @_;
	my ($name, $where) = ($table->{name}, where($table));
	my @sets = (
		[ 6, 'v = coalesce(v, 0) + ' . between(-2, 2) ],
		[ 3, 'v = ' . $table->value('v') ],
		[ 2, 'k = ' . $table->value('k') ],
		[ 2, 'g = (g + 1) % 6' ],
		[ 2, 'n = ' . $table->value('n') ],
		[ 2, 'f = ' . $table->value('f') . ', b = ' . $table->value('b') ],
		[ 2, 't = ' . $table->value('t') ],
		[ 1, 'd = ' . $table->value('d') ],
		[ 1, 'b = NOT b' ],
		[ 1, 'v = v' ],
		[ 1, 'id = id + ' . pick(100000, 1, -1) ],
		[ 2, 'p = ' . $table->partition ]);
	my $set = weighted(@sets);
	return { sql => ["UPDATE $name SET $set WHERE $where"] };
}

sub delete_some
{
	my ($h, $table) = @_;
	my $where = chance(5) ? 'true' : where($table);
	return { sql => ["DELETE FROM $table->{name} WHERE $where"] };
}

# Many subtransactions, some of which are rolled back.
sub subtransactions
{
	my ($h, $table) = @_;
	my $count = pick(5, 70, 300);
	my $columns = columns();
	my $first = $table->ids($count);
	my $values = join(', ', 'i', $table->partition, map { $table->cycle($_) } @Torture::Tables::VALUES);
	my $insert = "INSERT INTO $table->{name} ($columns) SELECT $values";
	my $update = pick('NULL', "UPDATE $table->{name} SET v = i WHERE id = i - 1", "DELETE FROM $table->{name} WHERE id = i - 3");
	my $modulus = between(2, 10);

	$update = "PERFORM $update" if $update eq 'NULL';
	return { sql => [ "DO \$do\$ BEGIN FOR i IN $first .. " . ($first + $count - 1) . " LOOP BEGIN $insert; $update;"
			  . " IF i % $modulus = 0 THEN RAISE division_by_zero; END IF;"
			  . ' EXCEPTION WHEN division_by_zero OR unique_violation THEN NULL; END; END LOOP; END $do$' ] };
}

sub lock_rows
{
	my ($h, $table) = @_;
	my $how = pick('UPDATE', 'NO KEY UPDATE', 'SHARE', 'SHARE', 'KEY SHARE', 'KEY SHARE');
	my $where = where($table);
	return { sql => ["SELECT count(*) FROM (SELECT 1 FROM $table->{name} WHERE $where FOR $how) l"] };
}

# In one transaction, or in two that follow each other.
sub insert_and_delete
{
	my ($h, $table) = @_;
	my $count = between(1, 30);
	my $first = $table->ids($count);
	my $last = $first + $count - 1;
	my $columns = columns();
	my $values = join(', ', 'i', $table->partition, map { $table->cycle($_) } @Torture::Tables::VALUES);

	return { sql => [ "INSERT INTO $table->{name} ($columns) SELECT $values FROM generate_series($first, $last) i",
			pick("DELETE FROM $table->{name} WHERE id BETWEEN $first AND $last",
				"UPDATE $table->{name} SET v = 3, g = 4 WHERE id BETWEEN $first AND $last",
				"DELETE FROM $table->{name} WHERE id BETWEEN $first AND $last AND id % 2 = 0") ] };
}

# All three actions of MERGE.
sub merge
{
	my ($h, $table) = @_;
	my $name = $table->{name};
	my $first = between(1, $table->{next_id});
	my $last = $first + between(1, 10);

	$table->{next_id} = $last + 1 if $table->{next_id} <= $last;
	return { sql => [ "MERGE INTO $name USING generate_series($first, $last) i ON id = i"
			  . ' WHEN MATCHED AND v % 3 = 0 THEN DELETE'
			  . ' WHEN MATCHED THEN UPDATE SET v = coalesce(v, 0) + 1, k = ' . $table->cycle('k')
			  . ' WHEN NOT MATCHED THEN INSERT (' . columns() . ') VALUES ('
			  . join(', ', 'i', $table->partition, map { $table->cycle($_) } @Torture::Tables::VALUES) . ')' ] };
}

# Readers prune pages and set hint bits.
sub read_some
{
	my ($h, $table) = @_;
	return { sql => ["SELECT count(t) FROM $table->{name} WHERE " . where($table)] };
}

sub truncate_or_read
{
	my ($h, $table) = @_;
	return $table->{log} ? read_some($h, $table) : { sql => ["TRUNCATE $table->{name} CASCADE"] };
}

# Rows that refer to others: they and their referents come to have several
# lockers.
sub refer
{
	my ($h, $table) = @_;
	my $name = $table->{name};
	my $key = join(', ', $table->key);

	return lock_rows($h, $table) unless $table->{child};
	return { sql => [ "DELETE FROM ${name}_child WHERE id % 7 = " . between(0, 6) ] } if chance(20);
	return { sql => [ "INSERT INTO ${name}_child ($key) SELECT $key FROM $name WHERE " . where($table) ] };
}

# What a user may do with an output, and what workers then run into.
sub lock_output
{
	my ($h, $table) = @_;
	my $query = a_query($h);
	my $name = $query->{name};
	my $rows = "SELECT count(*) FROM (SELECT 1 FROM $name LIMIT " . between(1, 50) . ' FOR '
	  . pick('UPDATE', 'SHARE', 'KEY SHARE') . ') l';
	my $whole = "LOCK TABLE $name IN " . pick('SHARE', 'SHARE ROW EXCLUSIVE', 'EXCLUSIVE', 'ACCESS EXCLUSIVE') . ' MODE';
	my $source = "LOCK TABLE $table->{name} IN " . pick('SHARE', 'ACCESS EXCLUSIVE') . ' MODE';

	return { query => $query, holds => 1, sql => pick([$rows], [$rows], [$whole], [ $rows, $source ], [ $source, $rows ],
			[ $rows, $whole ]) };
}

# A call of process() that is cancelled: at a point, or some time.
sub cancel
{
	my ($h) = @_;
	my @points = grep { $_ ne 'before-publish' } @POINTS;    # it has committed then

	return { do => 'cancel', query => a_query($h), point => chance(60) ? pick(@points) : '', ms => pick(1, 2, 5, 10, 30) };
}

sub alter
{
	my ($h, $table) = @_;
	my $column = 'x' . ++$h->{number};
	my $primary_key = $table->{name} . '_pkey';
	my @how = ("ADD COLUMN $column int", "ADD COLUMN $column text DEFAULT 'new'",
		"ADD COLUMN $column int, DROP COLUMN $column", 'ALTER v SET STATISTICS 10',
		'ALTER t SET STORAGE EXTENDED', 'REPLICA IDENTITY FULL');

	push @how, "DROP CONSTRAINT $primary_key" if $table->{primary_key} && !$table->{log} && chance(20);
	return { sql => [ "ALTER TABLE $table->{name} " . pick(@how) ] };
}

# ----------
# Commands
# ----------

# A table, an output, or what velostream keeps.
sub any_table
{
	my ($h, $table) = @_;
	my @names = ($table->{name}) x 6;

	push @names, map { $_->{name} } @{ $h->{queries} };
	push @names, 'velostream.frontier', 'velostream.query';
	return pick(@names);
}

sub vacuum
{
	my ($h, $table) = @_;
	my $name = any_table($h, $table);
	my $how = pick('VACUUM', 'VACUUM (FREEZE)', 'VACUUM (FREEZE, DISABLE_PAGE_SKIPPING)', 'VACUUM (INDEX_CLEANUP off)',
		'VACUUM ANALYZE', 'ANALYZE');
	return { sql => ["$how $name"] };
}

sub rewrite
{
	my ($h, $table) = @_;
	my $name = any_table($h, $table);

	return { sql => ["CLUSTER $table->{name} USING $table->{name}_pkey"] }
	  if $table->{primary_key} && $table->{kind} ne 'part' && chance(30);
	return { sql => ["ALTER TABLE $table->{name} ADD COLUMN r" . ++$h->{number} . ' float DEFAULT random()'] } if chance(20);
	return { sql => [ pick("VACUUM FULL $name", "REINDEX TABLE $name", "REINDEX TABLE CONCURRENTLY $name") ] };
}

# Of a log, when all its rows have been counted.  What is copied in the same
# transaction may be frozen.
sub truncate_table
{
	my ($h, $table) = @_;
	my @copy = $table->{kind} ne 'part' && chance(40) ? copy_lines($table, ', FREEZE') : ();
	return { do => 'truncate', wait => $table->{log}, sql => [ "TRUNCATE $table->{name} CASCADE", @copy ] };
}

# Partitions come and go.  Each comes once, as one that comes again might or
# might not be counted again; and its rows are counted when it comes, as a log's
# may not go before.
sub partition
{
	my ($h, $table) = @_;
	my ($name, $columns) = ($table->{name}, columns());

	return vacuum($h, $table) if $table->{kind} ne 'part' || $table->{partitions} > 3;
	my $nr = 2 + $table->{partitions}++;
	my $part = "${name}_p$nr";
	my $first = $table->ids(20);
	my $last = $first + 19;
	my $values = join(', ', 'i', $nr, map { $table->cycle($_) } @Torture::Tables::VALUES);
	my $insert = "INSERT INTO $part ($columns) SELECT $values FROM generate_series($first, $last) i";
	my @log = $table->{log} ? "INSERT INTO ${name}_log ($columns) SELECT $columns FROM $part" : ();
	my $away = between(10, 60);
	my %step = (session => 'ctl', do => 'truncate', wait => $table->{log}, table => $name);

	# CONCURRENTLY may stop half way; then rows may still come, which a log must not lose
	later($h, $away, %step,
		sql => [ "ALTER TABLE $name DETACH PARTITION $part" . ($table->{log} ? '' : pick('', ' CONCURRENTLY')) ]);
	later($h, $away + between(0, 20), %step, sql => ["ALTER TABLE $name DETACH PARTITION $part FINALIZE"]);
	later($h, $away + 30, %step, sql => ["DROP TABLE $part"]) if chance(50);
	return { sql => [ "CREATE TABLE $part PARTITION OF $name FOR VALUES IN ($nr)", chance(50) ? $insert : () ] } if chance(40);
	return { do => 'truncate', wait => $table->{log}, counted => 1,
		sql => [ "CREATE TABLE $part (LIKE $name INCLUDING DEFAULTS)", $insert, @log,
			"ALTER TABLE $name ATTACH PARTITION $part FOR VALUES IN ($nr)" ] };
}

sub create_query
{
	my ($h) = @_;
	my @sources = ((map { Torture::Queries::table_source($_) } @{ $h->{tables} }) x 2, @{ $h->{views} },
		map { Torture::Queries::query_source($_) } @{ $h->{queries} });
	my $query = Torture::Queries->new('q' . ++$h->{number}, @sources);

	push @{ $h->{queries} }, $query;
	return { do => 'create', query => $query };
}

sub a_query
{
	my ($h) = @_;
	return pick(@{ $h->{queries} });
}

sub drop_query
{
	my ($h) = @_;
	my $query = a_query($h);
	return { query => $query, sql => [ chance(80) ? "DROP TABLE $query->{name}" : "SELECT velostream.drop('$query->{name}')" ] };
}

# The same again, in one transaction.
sub recreate
{
	my ($h) = @_;
	return { do => 'recreate', query => a_query($h) };
}

sub pause
{
	my ($h) = @_;
	my $query = a_query($h);

	later($h, between(1, 5), session => 'ctl', %{ forget_wal() }) if chance(20);
	later($h, between(1, 40), session => 'ctl', query => $query, sql => ["SELECT velostream.resume('$query->{name}')"]);
	return { query => $query, sql => ["SELECT velostream.pause('$query->{name}')"] };
}

sub rebuild
{
	my ($h) = @_;
	return { do => 'rebuild', query => a_query($h) };
}

# Queries notice that by themselves.
sub replace_view
{
	my ($h, $table) = @_;

	return rebuild($h) unless @{ $h->{views} };
	return { sql => [ Torture::Queries::create_view($h->{views}[0]) ] };
}

# Of a function they do not: rebuild() is called in the same transaction.
sub replace_function { return { do => 'replace', sql => [ vary() ] } }

sub vary
{
	my $expression = '($1 + ' . between(0, 3) . ') % ' . between(2, 5);

	return 'CREATE OR REPLACE FUNCTION public.vary(bigint) RETURNS bigint IMMUTABLE '
	  . pick("LANGUAGE sql AS 'SELECT $expression'", "LANGUAGE plpgsql AS 'BEGIN RETURN $expression; END'");
}

# An output is a table: it can have indexes and columns of its user's.
sub alter_output
{
	my ($h) = @_;
	my $query = a_query($h);
	my $name = $query->{name};
	my $column = $query->{columns}[0][0];

	return { query => $query, sql => [ pick("CREATE INDEX ON $name ($column)", "CREATE INDEX CONCURRENTLY ON $name ($column)",
				"ALTER TABLE $name ADD COLUMN mine" . ++$h->{number} . ' int DEFAULT 7') ] };
}

# So much WAL that the old one is gone, and with it its hints.
sub forget_wal
{
	return { sql => [ "SELECT count(pg_logical_emit_message(false, 'torture', repeat('x', 900000))) FROM generate_series(1, 7)",
			'CHECKPOINT' ] };
}

# Several sessions write at the same time.  At some moments they are held, each
# between two transactions, and all outputs must be right.
sub storm
{
	my ($h) = @_;

	return { do => 'storm', pauses => [ map { between(10, 300) } 1 .. between(1, 5) ],
		writers => [ map { [ map { writes($h) } 1 .. between(5, 30) ] } 1 .. between(2, 4) ] };
}

# A transaction of a storm.
sub writes
{
	my ($h) = @_;
	my @sql;

	for (1 .. between(1, 3))
	{
		my $table = pick(@{ $h->{tables} });
		my @some = @{ weighted(@WRITES)->($h, $table)->{sql} };

		push @sql, chance(15) ? ('SAVEPOINT s', @some, pick('ROLLBACK TO s', 'RELEASE s')) : @some;
	}
	return ('BEGIN', 'SELECT pg_advisory_xact_lock_shared(7)', "SET LOCAL lock_timeout = '100ms'", @sql,
		chance(85) ? 'COMMIT' : 'ROLLBACK');
}

# A batch in a session, alone or between writes of its own.
sub process
{
	my ($h, $table) = @_;
	my $query = a_query($h);
	my $rows = chance(40) ? ', ' . pick(1, 3, 100) : '';
	my $process = "SELECT count(*) FROM velostream.process('$query->{name}'$rows)";
	my @write = map { @{ insert_some($h, $table)->{sql} } } 1 .. 2;

	return { query => $query, sql => [$process] } if chance(50);
	return { query => $query, sql => [ $write[0], $process, $write[1] ], rollback => chance(40) } if chance(50);
	return { query => $query, sql => [ 'SAVEPOINT s', $process, 'ROLLBACK TO s', $write[0], pick($process, 'SELECT 1') ] };
}

# For some steps no worker runs: batches are those of process(), perhaps with
# nothing left of the WAL that they would have read.
sub rest
{
	my ($h) = @_;

	later($h, between(2, 8), session => 'ctl', %{ forget_wal() }) if chance(40);
	later($h, between(8, 40), session => 'ctl', do => 'work');
	return { do => 'rest' };
}

# A worker stops in the middle of a batch, and some steps later it dies.
sub stop_worker
{
	my ($h) = @_;

	later($h, between(2, 12), session => 'ctl', do => 'end',
		how => pick('kill', 'kill', 'immediate', 'terminate', 'go on'));
	return { do => 'stop', point => pick(@POINTS) };
}

1;
