# Runs a history in a new database, and compares what velostream has made of
# it with the plain queries.  A failure is a hash: kind, and what is known.
package Torture::Run;

use strict;
use warnings;

use Time::HiRes qw(sleep time);
use Torture::Session;
use Torture::Writer;

# Errors that a random history may well meet: locks, keys, and objects that
# are not there (any more).
my %TOLERATED = map { $_ => 1 } (
	'55P03', '40P01', '40001', '23505', '23514', '23502',    # locks, duplicate keys, partitions
	'23503',                                                 # a child in the way of DETACH
	'42P01', '42704', '42703', '42P07', '2BP01',             # no such object, or in use by others
	'0A000', '55000', '55006', '25001', '42809',             # not here, not now
	'3B001', '25P01', '42P10');

my $number = 0;

sub new
{
	my ($class, $server, $history, %params) = @_;
	return bless {
		server => $server,
		history => $history,
		begun => time,
		sessions => {},
		prepared => {},
		checks => 0,
		accounts => 0,
		storms => 0,
		batches => 0,
		crashes => {},
		skipped => 0,
		steps => 0,
		errors => {},
		stopped => '',
		%params }, $class;
}

# Run it; returns the failure, or nothing.
sub run
{
	my ($self) = @_;
	my $server = $self->{server};
	my $position = 0;
	my $failure;

	$self->{database} = 'torture_' . ++$number;
	$self->{log} = $server->log_size;
	$server->sql('postgres', "CREATE DATABASE $self->{database}");
	$server->sql($self->{database}, 'CREATE EXTENSION velostream');
	for my $step (@{ $self->{history}{steps} })
	{
		$failure = eval { $self->step($step); 1 } ? undef : $@;
		$self->{steps}++;
		if (!$failure && $self->{steps} % 10 == 0)
		{
			my @complaints = $server->log_complaints($self->{log});
			$failure = { kind => 'log', text => join("\n", @complaints) } if @complaints;
		}
		last if $failure;
		$position++;
	}
	$failure = { kind => 'died', text => $failure } if $failure && !ref $failure;
	$self->{batches} = $server->sql($self->{database}, 'SELECT coalesce(sum(batches), 0) FROM velostream.stat_queries')
	  unless $failure;
	if ($failure)
	{
		my @complaints = eval { $server->log_complaints($self->{log}) };
		$failure = { kind => 'log', text => join("\n", @complaints, $failure->{text}) } if @complaints;
		$failure->{position} = $position;
	}
	elsif (my @complaints = $server->log_complaints($self->{log}))
	{
		$failure = { kind => 'log', text => join("\n", @complaints), position => $position - 1 };
	}
	$self->clean_up;
	return $failure;
}

# Nothing is left of it.
sub clean_up
{
	my ($self) = @_;

	$self->forget_sessions;
	eval {
		$self->{server}->wait_up;
		$self->go_on if $self->{stopped};
		$self->do_work;
		my $session = Torture::Session->new($self->{database});
		my ($state, $gids) = $session->run("SELECT gid FROM pg_prepared_xacts");
		$session->run("ROLLBACK PREPARED '$_'") for split /\n/, $gids;
		$session->close;
		$self->{server}->sql('postgres', "DROP DATABASE $self->{database} WITH (FORCE)");
		1;
	} or print "# could not drop $self->{database}: $@";
	return;
}

sub step
{
	my ($self, $step) = @_;
	my $do = 'do_' . $step->{do};

	printf "# %.1f s: %s %s\n", time - $self->{begun}, $step->{do}, join('; ', map { substr($_, 0, 150) } @{ $step->{sql} // [] })
	  if $self->{verbose};
	return $self->$do($step);
}

# ----------
# Statements
# ----------

sub session
{
	my ($self, $name) = @_;
	my $session = $self->{sessions}{$name};

	return $session if $session && $session->{in};
	$self->{server}->wait_up;
	return $self->{sessions}{$name} = Torture::Session->new($self->{database});
}

sub forget_sessions
{
	my ($self) = @_;

	$_->close for values %{ $self->{sessions} };
	$self->{sessions} = {};
	return;
}

# One statement.  True if it went well; an error ends the transaction.
sub statement
{
	my ($self, $session, $sql, %params) = @_;
	my ($state, $text) = $session->run($sql);

	return 1 if $state eq '00000';
	$self->{errors}{$state}++;
	print "#   $state $text\n" if $self->{verbose};
	die { kind => 'error', text => "$state $text", sql => $sql }
	  unless $TOLERATED{$state} && ($text =~ /^ERROR/m);
	$session->run('ROLLBACK') if $session->{open};
	is_over($session);
	return 0;
}

# The session has no transaction open (any more).
sub is_over
{
	my ($session) = @_;

	$session->{open} = $session->{holds} = 0;
	$session->{savepoints} = [];
	return;
}

# Statements as one transaction, or as a part of the one that is open.
sub together
{
	my ($self, $session, $end, @sql) = @_;
	my $alone = !$session->{open} && @sql > 1;

	$session->{open} = 1 if $alone && $self->statement($session, 'BEGIN');
	for my $sql (@sql)
	{
		return 0 unless $self->statement($session, $sql);
	}
	return 1 unless $alone;
	$session->{open} = 0;
	return $self->statement($session, $end);
}

sub do_sql
{
	my ($self, $step) = @_;
	my $session = $self->session($step->{session});
	my $done = $self->together($session, $step->{rollback} ? 'ROLLBACK' : 'COMMIT', @{ $step->{sql} });

	$session->{holds} = 1 if $step->{holds} && $session->{open};
	return $done;
}

sub do_begin
{
	my ($self, $step) = @_;
	my $session = $self->session($step->{session});

	return if $session->{open};
	$session->{open} = 1 if $self->statement($session, $step->{sql}[0]);
	return;
}

sub do_commit
{
	my ($self, $step) = @_;
	my $session = $self->session($step->{session});

	return unless $session->{open};
	is_over($session);
	return $self->statement($session, uc $step->{do});
}

sub do_rollback { return do_commit(@_) }

sub do_savepoint
{
	my ($self, $step) = @_;
	my $session = $self->session($step->{session});
	my $name = 's' . scalar @{ $session->{savepoints} };

	return unless $session->{open};
	push @{ $session->{savepoints} }, $name if $self->statement($session, "SAVEPOINT $name");
	return;
}

sub do_back
{
	my ($self, $step) = @_;
	my $session = $self->session($step->{session});

	return unless $session->{open} && @{ $session->{savepoints} };
	return $self->statement($session, "ROLLBACK TO $session->{savepoints}[-1]");
}

sub do_release
{
	my ($self, $step) = @_;
	my $session = $self->session($step->{session});

	return unless $session->{open} && @{ $session->{savepoints} };
	return $self->statement($session, 'RELEASE ' . pop @{ $session->{savepoints} });
}

sub do_prepare
{
	my ($self, $step) = @_;
	my $session = $self->session($step->{session});

	return unless $session->{open};
	return $self->do_commit({ %$step, do => 'rollback' }) if $session->{holds};
	is_over($session);
	$self->{prepared}{ $step->{gid} } = 1
	  if $self->statement($session, "PREPARE TRANSACTION '$self->{database}_$step->{gid}'");
	return;
}

sub do_finish
{
	my ($self, $step) = @_;

	return unless delete $self->{prepared}{ $step->{gid} };
	return $self->statement($self->session('ctl'), "$step->{how} PREPARED '$self->{database}_$step->{gid}'");
}

# ----------
# Queries
# ----------

# What an append query counts from when it begins is written down in the same
# transaction; nothing may happen until its first batch is done.
sub do_create
{
	my ($self, $step) = @_;
	my $query = $step->{query};

	return if $query->{shadows} && $self->held_up;
	return unless $self->together($self->session('ctl'), 'COMMIT', @{ $query->{create} });
	$self->{queries}{ $query->{name} } = $query;
	return unless $query->{shadows};
	return $self->wait_for($query->{name});
}

# Dropped, and created under the same name.
sub do_recreate
{
	my ($self, $step) = @_;
	my $query = $step->{query};

	return if $query->{shadows};
	return $self->together($self->session('ctl'), 'COMMIT', "DROP TABLE $query->{name}", @{ $query->{create} });
}

sub do_rebuild
{
	my ($self, $step) = @_;
	my $query = $step->{query};

	return if $query->{shadows} && ($self->held_up || !$self->running($query->{name}));
	return unless $self->together($self->session('ctl'), 'COMMIT', $query->rebuild);
	return $self->wait_for($query->{name}) if $query->{shadows};
	return;
}

# A function is replaced, and all queries that use it are rebuilt.
sub do_replace
{
	my ($self, $step) = @_;
	my @using = grep { $_->{text} =~ /public\.vary/ } map { $self->{queries}{$_} // () } $self->all_queries;

	for my $query (grep { $_->{shadows} } @using)
	{
		return if $self->held_up || !$self->running($query->{name});
	}
	return unless $self->together($self->session('ctl'), 'COMMIT', @{ $step->{sql} }, map { $_->rebuild } @using);
	$self->wait_for($_->{name}) for grep { $_->{shadows} } @using;
	return;
}

# TRUNCATE and DETACH take rows of a log away that were not counted yet.
sub do_truncate
{
	my ($self, $step) = @_;

	if ($step->{wait})
	{
		return if $self->held_up;
		my ($state, $paused) = $self->session('ctl')->run(q{SELECT count(*) FROM velostream.query WHERE status <> 'r'});
		return if $paused ne '0';
		$self->wait_for;
	}
	return unless $self->do_sql({ %$step, session => 'ctl' });
	return $self->wait_for if $step->{wait} && $step->{counted};
	return;
}

# A call of process() that is cancelled, at a point if one is given; what came
# before in the transaction stays, and it goes on.
sub do_cancel
{
	my ($self, $step) = @_;
	my $session = $self->session($step->{session});
	my $inside = $session->{open};

	for my $sql ($inside ? 'SAVEPOINT cancelled' : 'BEGIN', "SET LOCAL velostream.stop_at = '$step->{point}'",
		"SET LOCAL statement_timeout = " . ($step->{point} ? 50 : $step->{ms}))
	{
		return unless $self->statement($session, $sql);
	}
	my ($state, $text) = $session->run("SELECT count(*) FROM velostream.process('$step->{query}{name}')");
	$self->{errors}{$state}++ if $state ne '00000';
	die { kind => 'error', text => "$state $text", sql => 'process' }
	  unless $state eq '00000' || $state eq '57014' || ($TOLERATED{$state} && $text =~ /^ERROR/m);
	my $end = $state eq '00000' ? 'COMMIT' : 'ROLLBACK';
	return $self->statement($session, $end) unless $inside;
	return $self->statement($session, 'ROLLBACK TO cancelled') if $end eq 'ROLLBACK';
	$session->{holds} = 1;
	$self->statement($session, $_) for "SET LOCAL velostream.stop_at = ''", "SET LOCAL statement_timeout = '120s'";
	return;
}

# Is there anything that keeps batches from going on?  Sessions give up the
# locks that they have on outputs first.
sub held_up
{
	my ($self) = @_;

	for my $name (sort keys %{ $self->{sessions} })
	{
		$self->do_commit({ session => $name, do => 'commit' }) if $self->{sessions}{$name}{holds};
	}
	return $self->{stopped} || $self->blocked;
}

sub all_queries
{
	my ($self) = @_;
	my ($state, $names) = $self->session('ctl')->run(
		q{SELECT output FROM velostream.query WHERE output::text NOT LIKE '%.%' ORDER BY output::text});

	die { kind => 'error', text => $names } if $state ne '00000';
	return split /\n/, $names;
}

# Names of the queries that are there and run, down to their sources.
sub running
{
	my ($self, @which) = @_;
	my ($state, $rows) = $self->session('ctl')->run(
		q{SELECT output, status FROM velostream.query WHERE output::text NOT LIKE '%.%' ORDER BY output::text});
	my %status = map { split /\|/ } split /\n/, $rows;
	my @found;

	die { kind => 'error', text => $rows } if $state ne '00000';
	for my $name (@which ? @which : sort keys %status)
	{
		my $query = $self->{queries}{$name} or next;
		push @found, $name if !grep { ($status{$_} // 'r') ne 'r' } $name, @{ $query->{sources} };
		pop @found if @found && $found[-1] eq $name && !$status{$name};
	}
	return @found;
}

# Does anybody hold a lock that no reader passes?  Then there is nothing to
# wait for.
sub blocked
{
	my ($self) = @_;

	for my $try (1 .. 10)
	{
		my ($state, $count) = $self->session('ctl')->run(<<'END_OF_SQL');
SELECT count(*) FROM pg_locks l LEFT JOIN pg_stat_activity a USING (pid)
WHERE l.locktype = 'relation' AND l.mode = 'AccessExclusiveLock' AND l.granted
	AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database())
	AND l.pid IS DISTINCT FROM pg_backend_pid()
	AND (l.pid IS NULL OR a.backend_type = 'client backend')
END_OF_SQL
		return 0 if $state eq '00000' && $count eq '0';
		return 1 unless $self->{stopped} eq '' && $try < 2;
		sleep 0.05;
	}
	return 1;
}

sub wait_for
{
	my ($self, $name) = @_;
	my $session = $self->session('ctl');

	return $self->process($name ? $name : $self->running) if $self->{resting};
	my $which = $name ? "'$name', " : '';
	my ($state, $text) = $session->run("SELECT velostream.wait(${which}timeout => '60s')");

	return if $state eq '00000' || ($name && $state eq '42P01');
	my ($s, $states) = $session->run('SELECT name, state, last_error FROM velostream.queries');
	die { kind => 'wait', query => $name, text => "$state $text\n$states" };
}

# Without workers the batches are ours, sources first.
sub process
{
	my ($self, @names) = @_;
	my %wanted = map { $_ => 1 } map { $_, @{ $self->{queries}{$_}{sources} } } @names;

	for my $name (sort { substr($a, 1) <=> substr($b, 1) } grep { /^q/ } keys %wanted)
	{
		my ($state, $text);

		# a worker's last batch may still run
		for my $try (1 .. 100)
		{
			($state, $text) = $self->session('ctl')->run("SELECT count(*) FROM velostream.process('$name')");
			last if $state ne '55P03';
		}
		die { kind => 'process', query => $name, text => "$state $text" } if $state ne '00000';
	}
	return;
}

# All outputs equal their queries.
sub do_check
{
	my ($self, $step) = @_;

	if ($self->held_up)
	{
		$self->{skipped}++;
		return;
	}
	my @running = $self->running;
	my ($state, $all) = $self->session('ctl')->run('SELECT count(*) FROM velostream.query');
	if ($self->{resting}) { $self->process(@running) }
	elsif ($all eq scalar @running) { $self->wait_for }
	else { $self->wait_for($_) for @running }
	$self->{checks}++;
	$self->compare($self->{queries}{$_}) for @running;
	return;
}

sub compare
{
	my ($self, $query) = @_;
	my $session = $self->session('ctl');
	my ($state, $text) = $session->run($query->compare);

	die { kind => 'error', query => $query->{name}, text => "$state $text", sql => $query->compare } if $state ne '00000';
	return $self->account($query) if $text =~ /^0\|/;

	# is it only late?
	for my $try (1 .. 20)
	{
		sleep 0.2;
		my ($again, $now) = $session->run($query->compare);
		die { kind => 'late', query => $query->{name}, text => "wrong after wait(), right some time later: $text" }
		  if $again eq '00000' && $now =~ /^0\|/;
	}
	my ($s, $about) = $session->run(
		"SELECT string_agg(e, E'\\n') FROM velostream.explain('$query->{name}') e");
	my ($s2, $stat) = $session->run("SELECT s::text FROM velostream.stat_queries s WHERE name = '$query->{name}'");
	die { kind => 'wrong', query => $query->{name}, text => "rows|missing|wrong: $text\n$about\n$stat" };
}

# Its figures add up.
sub account
{
	my ($self, $query) = @_;
	my ($state, $text) = $self->session('ctl')->run($query->accounts);

	$self->{accounts}++;
	return if $state eq '00000' && $text eq '';
	my ($s, $stat) = $self->session('ctl')->run("SELECT s::text FROM velostream.stat_queries s WHERE name = '$query->{name}'");
	die { kind => 'account', query => $query->{name}, text => "what|shown|counted: $text\n$stat", sql => $query->accounts };
}

# ----------
# Storms
# ----------

# Writers run side by side.  Now and then the lock that each of their
# transactions takes holds them, and everything is compared.
sub do_storm
{
	my ($self, $step) = @_;
	my @pauses = @{ $step->{pauses} };
	my $end = time + 120;

	return if $self->held_up;
	my @writers = map { $self->start_writer($_, @{ $step->{writers}[$_] }) } 0 .. $#{ $step->{writers} };
	while (grep { $_->is_running } @writers)
	{
		sleep((shift(@pauses) // 100) / 1000);
		die { kind => 'hangs', text => 'the writers of a storm do not end' } if time > $end;
		next unless @pauses;
		$self->compare_in_between;
		next unless @pauses == 1 && $step->{crash};
		my $crash = 'do_' . $step->{crash}{do};
		$self->$crash($step->{crash});
	}
	$self->{storms}++;
	$self->check_writer($_, $step->{crash}) for @writers;
	return;
}

sub start_writer
{
	my ($self, $nr, @sql) = @_;
	return Torture::Writer->new("$self->{server}{dir}/writer-$nr", $self->{database}, @sql);
}

sub compare_in_between
{
	my ($self) = @_;
	my $session = $self->session('ctl');

	$self->statement($session, $_) for 'SET lock_timeout = 0', 'SELECT pg_advisory_lock(7)', "SET lock_timeout = '100ms'";
	$self->do_check;
	$self->statement($session, 'SELECT pg_advisory_unlock(7)');
	return;
}

# Of its errors those are known that follow another one, or a crash.
sub check_writer
{
	my ($self, $writer, $crash) = @_;

	for my $line (split /\n/, $writer->output)
	{
		my ($level, $state) = $line =~ /(ERROR|FATAL|PANIC):\s+(\w{5})/ or next;
		next if $state eq '25P02' || ($crash && ($level eq 'FATAL' || $state =~ /^57/));
		$self->{errors}{$state}++;
		die { kind => 'error', text => "in a storm: $line" } unless $TOLERATED{$state} && $level eq 'ERROR';
	}
	return;
}

# ----------
# Crashes
# ----------

# The connections are gone, and with them all open transactions.
sub do_kill
{
	my ($self, $step) = @_;
	my @pids = $self->{server}->children(qr/$step->{which}/);

	return unless @pids;
	return unless $self->{server}->kill_child($pids[ $step->{nr} % @pids ]);
	$self->{crashes}{kill}++;
	$self->forget_sessions;
	return;
}

sub do_immediate
{
	my ($self, $step) = @_;
	my $server = $self->{server};

	$self->{crashes}{ $step->{do} }++;
	$server->stop($step->{do} eq 'restart' ? 'fast' : 'immediate');
	$server->start;
	$self->forget_sessions;
	return;
}

sub do_restart { return do_immediate(@_) }

sub do_killall
{
	my ($self) = @_;

	$self->{crashes}{killall}++;
	$self->{server}->kill_postmaster;
	$self->forget_sessions;
	return;
}

# Workers are terminated, or their batches cancelled.
sub do_signal
{
	my ($self, $step) = @_;
	return $self->statement($self->session('ctl'),
		"SELECT $step->{how}(pid) FROM pg_stat_activity WHERE backend_type = 'velostream worker'");
}

# Workers end, and come back.
sub do_rest
{
	my ($self) = @_;

	return if $self->{stopped} || $self->{resting};
	$self->{resting} = 1;
	return $self->enable('off');
}

sub do_work
{
	my ($self) = @_;

	return unless $self->{resting};
	$self->{resting} = 0;
	return $self->enable('on');
}

# It takes a moment until this session and the launcher have heard of it.
sub enable
{
	my ($self, $value) = @_;

	$self->set_server('velostream.enabled', $value);
	for my $try (1 .. 400)
	{
		my ($state, $now) = $self->session('ctl')->run(<<'END_OF_SQL');
SELECT current_setting('velostream.enabled'), count(*) > 0 FROM pg_stat_activity
WHERE backend_type = 'velostream worker' AND datname = current_database()
END_OF_SQL
		return if $now eq ($value eq 'on' ? 'on|t' : 'off|f');
		sleep 0.05;
	}
	die { kind => 'enabled', text => "velostream.enabled = $value is not followed" };
}

sub set_server
{
	my ($self, $name, $value) = @_;
	my $session = $self->session('ctl');

	$self->statement($session, $value eq '' ? "ALTER SYSTEM RESET $name" : "ALTER SYSTEM SET $name = '$value'");
	return $self->statement($session, 'SELECT pg_reload_conf()');
}

# From now on batches stop at this point.
sub do_stop
{
	my ($self, $step) = @_;

	return if $self->{resting};
	$self->{stop_log} = $self->{server}->log_size;
	$self->{stopped} = $step->{point};
	return $self->set_server('velostream.stop_at', $step->{point});
}

# What has stopped dies, or goes on.
sub do_end
{
	my ($self, $step) = @_;
	my $server = $self->{server};

	return unless $self->{stopped};
	my $how = $step->{how} // 'go on';
	sleep 0.1;
	my ($pid) = $server->log_since($self->{stop_log}) =~ /\[(\d+)\] velostream worker [^\n]*velostream stopped at/;
	if ($pid && $how eq 'kill')
	{
		$self->forget_sessions if $server->kill_child($pid);
	}
	$self->statement($self->session('ctl'), "SELECT pg_terminate_backend($pid)") if $pid && $how eq 'terminate';
	$self->do_immediate({ do => 'immediate' }) if $how eq 'immediate';
	$self->{crashes}{"$self->{stopped} $how"}++ if $pid && $how ne 'go on';
	return $self->go_on;
}

# Nothing stops any more; CREATE EXTENSION ends the launcher's pause after
# workers that died young.
sub go_on
{
	my ($self) = @_;

	$self->{stopped} = '';
	$self->set_server('velostream.stop_at', '');
	return $self->statement($self->session('ctl'), 'CREATE EXTENSION IF NOT EXISTS velostream');
}

1;
