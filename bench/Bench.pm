# What the benchmarks share: psql sessions that stay open, the CPU time and
# memory of a process, statistics, and rows of the table that is printed.
# The environment says which server (PGHOST ...), as ./dev bench sets it.
package Bench;

use strict;
use warnings;
use Exporter 'import';
use IPC::Open2;
use List::Util qw(sum max);
use POSIX ();
use Time::HiRes qw(time sleep);

our @EXPORT = qw(session database sql set_server repeats scaled median percentile process_cpu
  children_cpu velostream_cpu velostream_pids anon_memory pgbench check_oracle row ms ratio time sleep max sum);

# One psql, with one backend.  run() returns what it printed, or dies.
sub session { return Bench->open_session(@_) }

sub open_session
{
	my ($class, $database) = @_;
	local $ENV{PGDATABASE} = $database;
	my $pid = open2(my $out, my $in, 'exec psql -qAtX -v ON_ERROR_STOP=1 2>&1');
	my $self = bless { psql => $pid, in => $in, out => $out }, $class;
	$self->{backend} = $self->run('SELECT pg_backend_pid()');
	return $self;
}

# Begin a command, without waiting for its end.
sub send
{
	my ($self, $sql) = @_;
	print { $self->{in} } "$sql\n;\n\\echo -- done\n";
	$self->{in}->flush;
}

# Wait for the end of what was sent; returns what it printed.
sub receive
{
	my ($self) = @_;
	my $text = '';
	while (defined(my $line = readline($self->{out})))
	{
		if ($line eq "-- done\n")
		{
			chomp $text;
			return $text;
		}
		$text .= $line;
	}
	die "psql ended: $text";
}

# Has what was sent something to say?
sub ready
{
	my ($self, $seconds) = @_;
	my $bits = '';
	vec($bits, fileno($self->{out}), 1) = 1;
	return select($bits, undef, undef, $seconds) > 0;
}

sub run
{
	my ($self, $sql) = @_;
	$self->send($sql);
	return $self->receive;
}

# (wall seconds, CPU seconds of the backend) of a command.
sub timed
{
	my ($self, $sql) = @_;
	my ($cpu, $wall) = ($self->cpu, time);
	$self->run($sql);
	$wall = time - $wall;
	return ($wall, $self->cpu - $cpu);
}

# (seconds that the worker takes for what $sql changes, in one batch; seconds
# of $sql itself).
sub timed_batch
{
	my ($self, $output, $sql) = @_;
	$self->run("SELECT velostream.pause('$output')");
	my ($change) = $self->timed($sql);
	my $begin = time;
	$self->run("SELECT velostream.resume('$output')");
	$self->run("SELECT velostream.wait('$output')");
	return (time - $begin, $change);
}

sub cpu { return process_cpu($_[0]{backend}) }

sub close
{
	my ($self) = @_;
	close($self->{in});
	waitpid($self->{psql}, 0);
}

# A new database of that name, with the extension.
sub database
{
	my ($name) = @_;
	sql('postgres', "DROP DATABASE IF EXISTS $name WITH (FORCE)");
	sql('postgres', "CREATE DATABASE $name");
	sql($name, 'CREATE EXTENSION velostream');
}

# One command in a session of its own.
sub sql
{
	my ($database, $sql) = @_;
	my $session = session($database);
	my $result = $session->run("SET client_min_messages = warning; $sql");
	$session->close;
	return $result;
}

# A server-wide setting, until the end of the benchmark run; '' resets it.
sub set_server
{
	my ($name, $value) = @_;
	sql('postgres', $value eq '' ? "ALTER SYSTEM RESET $name" : "ALTER SYSTEM SET $name = $value");
	sql('postgres', 'SELECT pg_reload_conf()');
	sleep(0.5);
}

# How often a measurement is repeated; never fewer than 5 in a published table.
sub repeats { return $ENV{BENCH_REPEATS} || 5 }

# A number of rows, smaller in a trial run of the benchmarks themselves.
sub scaled { return int($_[0] * ($ENV{BENCH_SCALE} || 1)) || 1 }

sub percentile
{
	my ($p, @values) = @_;
	@values = sort { $a <=> $b } @values;
	return $values[ POSIX::ceil($p * @values) - 1 ];
}

sub median
{
	my @values = sort { $a <=> $b } @_;
	my $middle = int(@values / 2);
	return @values % 2 ? $values[$middle] : ($values[ $middle - 1 ] + $values[$middle]) / 2;
}

sub read_file
{
	my ($file) = @_;
	local $/;
	CORE::open(my $fh, '<', $file) or return '';
	return scalar readline($fh) // '';
}

# CPU seconds of a process so far, to the nanosecond where the kernel keeps it.
sub process_cpu
{
	my ($pid) = @_;
	my $precise = read_file("/proc/$pid/schedstat");
	return $1 / 1e9 if $precise =~ /^(\d+) / && $1 > 0;
	my @stat = split(' ', read_file("/proc/$pid/stat") =~ s/^.*\) //r);
	return @stat ? ($stat[11] + $stat[12]) / POSIX::sysconf(POSIX::_SC_CLK_TCK()) : 0;
}

# CPU seconds of all backends that have ended so far.
sub children_cpu
{
	my ($postmaster) = read_file("$ENV{BENCH_DATA}/postmaster.pid") =~ /^(\d+)/;
	my @stat = split(' ', read_file("/proc/$postmaster/stat") =~ s/^.*\) //r);
	return ($stat[13] + $stat[14]) / POSIX::sysconf(POSIX::_SC_CLK_TCK());
}

# Our launcher and workers.
sub velostream_pids
{
	return split(/\n/, sql('postgres', "SELECT pid FROM pg_stat_activity WHERE backend_type ILIKE 'velostream%'"));
}

# CPU seconds of all of them so far; none may end between two calls.
sub velostream_cpu { return sum(0, map { process_cpu($_) } velostream_pids()) }

# Private memory of a process, in MB.
sub anon_memory
{
	my ($pid) = @_;
	return read_file("/proc/$pid/status") =~ /^RssAnon:\s+(\d+)/m ? $1 / 1024 : 0;
}

# Run pgbench with a script; returns its transactions per second.
sub pgbench
{
	my ($database, $script, @options) = @_;
	my $file = "/tmp/velostream-bench-$$.sql";
	CORE::open(my $fh, '>', $file) or die "$file: $!";
	print $fh $script;
	CORE::close($fh);
	my $out = `pgbench -n -M prepared -f $file @options $database 2>&1`;
	unlink($file);
	$out =~ /^tps = ([\d.]+)/m or die "pgbench: $out";
	return $1;
}

# A wrong result is no result.
sub check_oracle
{
	my ($database, $output) = @_;
	my $query = sql($database, "SELECT rtrim(definition, E'; \\n') FROM velostream.queries WHERE name::text = '$output'");
	my $wrong = sql($database, "WITH q AS MATERIALIZED ($query)
		SELECT (SELECT count(*) FROM (SELECT * FROM q EXCEPT ALL SELECT * FROM $output) a)
			 + (SELECT count(*) FROM (SELECT * FROM $output EXCEPT ALL SELECT * FROM q) b)");
	die "$output differs from its query in $wrong rows\n" if $wrong ne '0';
}

sub ms { return sprintf('%.*f ms', $_[0] < 0.01 ? 2 : $_[0] < 0.1 ? 1 : 0, $_[0] * 1000) }
sub ratio { return sprintf('%.*f x', $_[0] < 0.1 ? 3 : 2, $_[0]) }

# A row of the table; "met" is undefined where there is no target.
sub row
{
	my ($what, $ours, $theirs, $ratio, $target, $met) = @_;
	$| = 1;
	print '| ', join(' | ', $what, $ours, $theirs, $ratio, $target, defined $met ? $met ? 'yes' : '**no**' : ''), " |\n";
}

1;
