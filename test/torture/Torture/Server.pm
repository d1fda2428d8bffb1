# A server for one seed: its settings, its life and its deaths.
package Torture::Server;

use strict;
use warnings;

use Time::HiRes qw(sleep time);
use Torture::Random;
use Torture::Session;

# The settings of a seed: lists of which one line each is taken.
sub choose_settings
{
	return {
		segment => pick(1, 1, 16),
		checksums => pick(0, 1),
		lines => [
			pick('shared_buffers = 1MB', 'shared_buffers = 4MB', 'shared_buffers = 32MB'),
			pick('velostream.cache_size = 1MB', 'velostream.cache_size = 16MB'),
			pick('velostream.hint_buffer = 1MB', 'velostream.hint_buffer = 16MB'),
			'velostream.workers_per_database = ' . pick(1, 2, 3),
			'velostream.naptime = ' . pick(10, 100, 1000),
			'velostream.flush_delay = ' . pick(0, 10),
			'work_mem = ' . pick('64kB', '4MB'),
			'synchronous_commit = ' . pick('on', 'off'),
			'full_page_writes = ' . pick('on', 'off'),
			'wal_compression = ' . pick('on', 'off'),
			'wal_log_hints = ' . pick('on', 'off'),
			pick('autovacuum = off', "autovacuum = on\nautovacuum_naptime = 1s\nautovacuum_vacuum_threshold = 1\n"
				  . "autovacuum_vacuum_scale_factor = 0\nautovacuum_vacuum_insert_threshold = 1\n"
				  . "autovacuum_vacuum_insert_scale_factor = 0\nautovacuum_vacuum_cost_delay = 0"),
			pick('vacuum_freeze_min_age = 0', 'vacuum_freeze_min_age = 50000000'),
		] };
}

# The server in this folder; there is none yet.
sub new
{
	my ($class, $dir) = @_;
	return bless { dir => $dir, data => "$dir/data", log => "$dir/log" }, $class;
}

# A new, empty server.
sub create
{
	my ($self, $settings) = @_;
	my @lines = @{ $settings->{lines} };

	$self->stop('immediate') if $self->{running};
	system('rm', '-rf', $self->{data}, $self->{log}) == 0 or die 'could not remove an old server';
	mkdir $self->{dir};
	chomp($self->{socket} = `mktemp -d /tmp/velostream-XXXXXX`) unless $self->{socket};
	write_file("$self->{dir}/socket", "$self->{socket}\n");
	run_quietly('initdb', '-D', $self->{data}, '-U', 'postgres', '-A', 'trust', '-E', 'UTF8',
		'--locale=C.UTF-8', '--no-sync', "--wal-segsize=$settings->{segment}",
		$settings->{checksums} ? '--data-checksums' : ());
	push @lines, $settings->{segment} == 1
	  ? ('min_wal_size = 2MB', 'max_wal_size = 4MB')
	  : ('min_wal_size = 32MB', 'max_wal_size = 256MB');
	write_file("$self->{data}/torture.conf", join("\n", @lines, <<"END_OF_CONF"));

shared_preload_libraries = 'velostream'
max_prepared_transactions = 20
max_worker_processes = 20
max_connections = 60
max_replication_slots = 20
max_wal_senders = 10
timezone = 'UTC'
datestyle = 'ISO, MDY'
fsync = off
restart_after_crash = on
velostream.max_backoff = 500ms
log_line_prefix = '%m [%p] %b %q%u@%d '
listen_addresses = ''
unix_socket_directories = '$self->{socket}'
END_OF_CONF
	open(my $conf, '>>', "$self->{data}/postgresql.conf") or die "postgresql.conf: $!";
	print $conf "include 'torture.conf'\n";
	close($conf);
	@ENV{qw(PGHOST PGUSER PGDATABASE)} = ($self->{socket}, 'postgres', 'postgres');
	$self->start;
	return;
}

sub start
{
	my ($self) = @_;
	my $end = time + 60;

	$self->{running} = 1;

	# after a kill -9 its children need a moment to notice
	until (system("pg_ctl -s -w -t 60 -D '$self->{data}' -l '$self->{log}' start </dev/null >/dev/null 2>&1") == 0)
	{
		die "the server does not start; its log is $self->{log}\n" if time > $end;
		sleep 0.2;
	}
	return;
}

# Stop it: fast, or immediate.
sub stop
{
	my ($self, $mode) = @_;

	return unless $self->{running};

	# it runs until that is sure
	system("pg_ctl -s -w -t 120 -D '$self->{data}' -m $mode stop >/dev/null 2>&1");
	$self->{running} = 0;
	return;
}

# The end: nothing is left but data and log.
sub finish
{
	my ($self) = @_;

	$self->stop('immediate');
	system('rm', '-rf', $self->{socket}) if $self->{socket};
	$self->{socket} = undef;
	return;
}

sub postmaster
{
	my ($self) = @_;
	my ($pid) = read_file("$self->{data}/postmaster.pid") =~ /^(\d+)/;
	return $pid;
}

# Kill a process of the server, which then restarts all others; false if it
# was gone already.
sub kill_child
{
	my ($self, $pid) = @_;
	my $offset = $self->log_size;

	return 0 unless kill('KILL', $pid);
	for my $i (1 .. 600)
	{
		if ($self->log_since($offset) =~ /all server processes terminated; reinitializing/)
		{
			$self->wait_up;
			return 1;
		}
		sleep 0.05;
	}
	die "the server did not notice that process $pid was killed\n";
}

sub kill_postmaster
{
	my ($self) = @_;

	kill('KILL', $self->postmaster);
	sleep 0.2;
	$self->start;
	return;
}

sub wait_up
{
	my ($self) = @_;

	for my $i (1 .. 600)
	{
		return if system('psql -qAtX -d postgres -c "SELECT 1" >/dev/null 2>&1') == 0;
		sleep 0.05;
	}
	die "the server did not come back; its log is $self->{log}\n";
}

# Process ids of the postmaster's children, of one kind (a pattern on their titles).
sub children
{
	my ($self, $pattern) = @_;
	my $postmaster = $self->postmaster // return;
	my @found;

	for my $pid (split ' ', read_file("/proc/$postmaster/task/$postmaster/children"))
	{
		my $title = read_file("/proc/$pid/cmdline");
		push @found, $pid if $title =~ /$pattern/;
	}
	return sort { $a <=> $b } @found;
}

sub log_size { return -s $_[0]{log} // 0 }

sub log_since
{
	my ($self, $offset) = @_;
	return substr(read_file($self->{log}), $offset);
}

# What must never be in a log.
sub log_complaints
{
	my ($self, $offset) = @_;
	return grep {
		/TRAP:|PANIC:|leaked |runtime error:|terminated by signal (?!9:)| leak: |was not closed|you don.t own a lock|problem in alloc set/
	} split /\n/, $self->log_since($offset);
}

# One statement in a session of its own, which must succeed, and waits for locks.
sub sql
{
	my ($self, $database, $sql) = @_;
	my $session = Torture::Session->new($database);
	my ($state, $text) = $session->run('SET lock_timeout = 0');

	($state, $text) = $session->run($sql);
	$session->close;
	die "$sql: $state $text\n" if $state ne '00000';
	return $text;
}

sub run_quietly
{
	my (@command) = @_;
	my $line = join(' ', map { "'$_'" } @command);
	my $out = `$line 2>&1 </dev/null`;

	die "@command: $out\n" if $? != 0;
	return;
}

sub read_file
{
	my ($file) = @_;
	local $/;
	open(my $fh, '<', $file) or return '';
	return scalar readline($fh) // '';
}

sub write_file
{
	my ($file, $text) = @_;
	open(my $fh, '>', $file) or die "$file: $!\n";
	print $fh $text;
	close($fh);
	return;
}

1;
