# What the TAP tests share: a server with velostream, the oracle, and waiting
# for things to happen.
package VelostreamTest;

use strict;
use warnings;

use Exporter 'import';
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(usleep);

our @EXPORT = qw(
  new_node install install_oracle oracle value poll
  stop_at wait_stopped go_on set_guc workers workers_off end_session_at kill_9 wait_for_server crash start_again log_is_clean
);

# A new server that preloads velostream.  Parameters: conf (text), extra
# (arguments of initdb), preload and install (default 1: the extension and the
# oracle in database postgres), install_path (of an older PostgreSQL).
sub new_node
{
	my ($name, %params) = @_;
	my $node = PostgreSQL::Test::Cluster->new($name, install_path => $params{install_path});

	$node->init(
		# sets what an older version does not know
		allows_streaming => !$params{install_path},
		extra => [ '--no-sync', @{ $params{extra} // [] } ]);
	$node->append_conf('postgresql.conf', <<'END');
log_statement = none
restart_after_crash = on
shared_buffers = 32MB
max_connections = 40
max_worker_processes = 20
max_prepared_transactions = 20
autovacuum = off
log_line_prefix = '%m [%p] %b %q%a '
END
	$node->append_conf('postgresql.conf', "shared_preload_libraries = 'velostream'")
	  if $params{preload} // 1;
	$node->append_conf('postgresql.conf', $params{conf}) if $params{conf};
	$node->start;
	install($node, 'postgres') if $params{install} // 1;
	return $node;
}

# The extension, and the oracle: differences() counts the rows by which an
# output and its query differ, both ways; wrong() names the outputs that do.
sub install
{
	my ($node, $db) = @_;

	$node->safe_psql($db, 'CREATE EXTENSION IF NOT EXISTS velostream');
	install_oracle($node, $db);
	return;
}

sub install_oracle
{
	my ($node, $db) = @_;

	$node->safe_psql($db, <<'END');
CREATE OR REPLACE FUNCTION differences(q regclass) RETURNS bigint
LANGUAGE plpgsql AS $$
DECLARE
	def text;
	n bigint;
BEGIN
	SELECT rtrim(pg_get_viewdef(view), ';') INTO STRICT def
	FROM velostream.query WHERE output = q;
	EXECUTE format('SELECT count(*) FROM ((TABLE %1$s EXCEPT ALL (%2$s)) '
				   'UNION ALL ((%2$s) EXCEPT ALL TABLE %1$s)) d', q, def) INTO n;
	RETURN n;
END $$;
CREATE OR REPLACE FUNCTION wrong() RETURNS text
LANGUAGE sql VOLATILE AS $$
	SELECT coalesce(string_agg(output || ': ' || n, ', '), '')
	FROM (SELECT output, differences(output) AS n FROM velostream.query
		  WHERE kind = 't' AND source_mode = 'c') q
	WHERE n <> 0;
$$;
END
	return;
}

# One test: when all queries have seen all that is committed, every output in
# changes mode equals its query, and the value of each SQL expression in
# "totals" is the one given there.  Parameters: wait (a list of queries to
# wait for instead), totals.
sub oracle
{
	my ($node, $db, $name, %params) = @_;
	local $Test::Builder::Level = $Test::Builder::Level + 1;
	my @waits =
	  map { "SELECT velostream.wait('$_', timeout => '60s');" }
	  @{ $params{wait} // [] };
	my %totals = %{ $params{totals} // {} };
	my ($rc, $out, $err, @wrong);

	@waits = ("SELECT velostream.wait(timeout => '60s');") unless $params{wait};
	($rc, $out, $err) = $node->psql($db, join("\n", @waits));
	push @wrong, "wait: $err" if $rc != 0;
	($rc, $out, $err) = $node->psql($db, 'SELECT wrong();');
	push @wrong, "oracle: $out$err" if $rc != 0 || $out ne '';
	for my $expression (sort keys %totals)
	{
		($rc, $out, $err) = $node->psql($db, "SELECT ($expression);");
		push @wrong, "$expression: $out$err, expected $totals{$expression}"
		  if $rc != 0 || $out ne $totals{$expression};
	}
	return is(join("\n", @wrong), '', $name);
}

sub value
{
	my ($node, $db, $expression) = @_;
	return $node->safe_psql($db, "SELECT $expression");
}

# Wait until an expression is true, or is "expected"; a test only if it fails.
sub poll
{
	my ($node, $db, $expression, $expected) = @_;
	local $Test::Builder::Level = $Test::Builder::Level + 1;

	$node->poll_query_until($db, "SELECT $expression", $expected) and return 1;
	return fail("waiting for: $expression");
}

sub set_guc
{
	my ($node, %settings) = @_;

	$node->safe_psql('postgres',
		join('', map { "ALTER SYSTEM SET $_ = '$settings{$_}';" } sort keys %settings)
		  . 'SELECT pg_reload_conf()');
	return;
}

# Batches stop at this point from now on.
sub stop_at
{
	my ($node, $point) = @_;
	my $offset = -s $node->logfile;

	set_guc($node, 'velostream.stop_at' => $point);
	return $offset;
}

# Wait until a process stopped there, while "nudge" (SQL) runs now and then to
# give it something to do; returns the process's id.
sub wait_stopped
{
	my ($node, $point, $offset, $nudge) = @_;

	for my $i (1 .. 600)
	{
		my $log = slurp_file($node->logfile, $offset);

		return $1 if $log =~ /\[(\d+)\][^\n]*velostream stopped at "\Q$point\E"/;
		$nudge->() if $nudge && $i % 10 == 1;
		usleep(50_000);
	}
	die "nothing stopped at $point";
}

# Nothing stops any more.  The launcher makes ever longer pauses before it
# replaces workers that die young; CREATE EXTENSION puts an end to that.
sub go_on
{
	my ($node) = @_;
	$node->safe_psql('postgres', <<'END');
ALTER SYSTEM RESET velostream.stop_at;
SELECT pg_reload_conf();
SET client_min_messages = warning;
CREATE EXTENSION IF NOT EXISTS velostream;
END
	return;
}

# Process ids of the workers of a database.
sub workers
{
	my ($node, $db) = @_;
	return split /\n/, $node->safe_psql('postgres', <<"END");
SELECT pid FROM pg_stat_activity
WHERE backend_type = 'velostream worker' AND datname = '$db' ORDER BY pid
END
}

# All workers rest.
sub workers_off
{
	my ($node) = @_;
	local $Test::Builder::Level = $Test::Builder::Level + 1;

	set_guc($node, 'velostream.enabled' => 'off');
	return poll($node, 'postgres', q{count(*) = 0 FROM pg_stat_activity WHERE backend_type = 'velostream worker'});
}

# A session that runs a batch of a query stops at a point, and is there
# "canceled", "terminated" or "killed".
sub end_session_at
{
	my ($node, $query, $point, $how) = @_;
	my $offset = -s $node->logfile;
	my $session = $node->background_psql('postgres', on_error_stop => 0);

	$session->query_until(qr/begun/, <<"END");
\\echo begun
SET velostream.stop_at = '$point';
SELECT count(*) FROM velostream.process('$query');
END
	my $pid = wait_stopped($node, $point, $offset);

	$node->safe_psql('postgres', "SELECT pg_cancel_backend($pid)") if $how eq 'canceled';
	$node->safe_psql('postgres', "SELECT pg_terminate_backend($pid)") if $how eq 'terminated';
	kill_9($node, $pid) if $how eq 'killed';
	eval { $session->quit };
	return;
}

# Kill a process of the server, which then restarts all others.
sub kill_9
{
	my ($node, $pid) = @_;
	my $offset = -s $node->logfile;

	kill('KILL', $pid) == 1 or die "could not kill $pid: $!";
	$node->wait_for_log(qr/all server processes terminated; reinitializing/, $offset);
	wait_for_server($node);
	return;
}

# Wait until a server that restarts its processes answers.  A psql that it turns
# away may end before it has read what to ask, and that is an error here: EPIPE.
sub wait_for_server
{
	my ($node) = @_;

	for my $i (1 .. 1800)
	{
		return if eval { $node->psql('postgres', 'SELECT true') == 0 };
		usleep(100_000);
	}
	die 'the server did not come back';
}

# Stop the server as if the power went off, and start it again.
sub crash
{
	my ($node) = @_;
	$node->stop('immediate');
	$node->start;
	return;
}

# After a kill -9 of the postmaster: its children need a moment to notice.
sub start_again
{
	my ($node) = @_;

	for my $i (1 .. 100)
	{
		return if $node->start(fail_ok => 1);
		usleep(100_000);
		$node->{_pid} = undef;
	}
	die 'the server did not start';
}

# One test: nothing in the log that must never happen.
sub log_is_clean
{
	my ($node) = @_;
	local $Test::Builder::Level = $Test::Builder::Level + 1;
	my @found = grep {
		/TRAP:|PANIC:|terminated by signal (?!9)|reference leak|still referenced|was not closed|you don.t own a lock|problem in alloc set|LWLock/
	} split /\n/, slurp_file($node->logfile);

	return is(join("\n", @found), '', $node->name . ': the log is clean');
}

1;
