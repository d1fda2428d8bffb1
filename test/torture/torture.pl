#!/usr/bin/perl
# Random histories against continuous queries.
#
#	torture.pl [--seed N] [--minutes M] [--crashes] [--steps N] [--all]
#		[--shrink SECONDS] [--work FOLDER] [--tamper] [--verbose]
#
# A seed determines a server's settings, source tables, queries, and a history
# of what several sessions do to them.  Whenever wait() has returned, every
# output must equal its plain query.  Without --minutes one history is run;
# with it, those of the seeds from N on.  A history that fails is shrunk, and
# left as an SQL script in the work folder.  --all goes on after a failure;
# --tamper spoils a row of an output, to see that it is found.
#
# velostream's server programs are those in PATH; see ./dev torture.
use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin;
use Getopt::Long;
use Time::HiRes qw(time);
use Torture::Run;
use Torture::Server;
use Torture::Shrink;
use Torture::Steps;

my %option = (steps => 250, shrink => 240, work => $ENV{TORTURE_WORK} // './torture-work');
GetOptions(\%option, 'seed=i', 'minutes=f', 'crashes', 'steps=i', 'all', 'shrink=i', 'work=s', 'tamper', 'verbose')
  && !@ARGV
  or die "usage: torture.pl [--seed N] [--minutes M] [--crashes] [--steps N] [--all]"
  . " [--shrink SECONDS] [--work FOLDER] [--tamper] [--verbose]\n";

$| = 1;
binmode STDOUT, ':encoding(UTF-8)';
my $begin = time;
my $seed = $option{seed} // int(rand(1_000_000));
my $server = Torture::Server->new($option{work});
my ($passed, $failed) = (0, 0);

$SIG{INT} = $SIG{TERM} = sub { exit 130 };
END { my $rc = $?; $server->finish if $server; $? = $rc }

do
{
	if (one_history($seed)) { $passed++ }
	else { $failed++ }
	$seed++;
} while ($option{minutes} && time - $begin < $option{minutes} * 60 && ($option{all} || !$failed));
print "$passed passed, $failed failed\n";
exit($failed ? 1 : 0);

# True if all is well.
sub one_history
{
	my ($number) = @_;
	my $history = Torture::Steps::write_history($number, $option{steps}, $option{crashes});
	my $started = time;

	spoil($history) if $option{tamper};
	$server->create($history->{settings});
	my $run = Torture::Run->new($server, $history, verbose => $option{verbose});
	my $failure = $run->run;
	my $what = sprintf('seed %d%s: %d steps, %d storms, %d queries, %d batches, %d checks (%d left out), %.0f s; errors: %s%s',
		$number, $option{crashes} ? ' --crashes' : '', $run->{steps}, $run->{storms}, scalar keys %{ $run->{queries} // {} },
		$run->{batches}, $run->{checks}, $run->{skipped}, time - $started, counts($run->{errors}),
		$option{crashes} ? '; crashes: ' . counts($run->{crashes}) : '');

	if (!$failure)
	{
		print "ok      torture $what\n";
		return 1;
	}
	print "FAILED  torture $what\n";
	print_failure($failure);
	my $script = "$option{work}/seed-$number.sql";
	Torture::Shrink::shrink($server, $history, $failure, $script, $option{shrink});
	print "        the history, shrunk: $script\n";
	return 0;
}

sub counts
{
	my ($counts) = @_;
	return join(' ', map { "$_ x$counts->{$_}" } sort keys %$counts) || 'none';
}

sub print_failure
{
	my ($failure) = @_;
	my $text = join("\n", "step $failure->{position}: $failure->{kind}" . ($failure->{query} ? " $failure->{query}" : ''),
		$failure->{text}, $failure->{sql} // ());

	utf8::decode($text);
	print map { "        $_\n" } split /\n/, substr($text, 0, 4000);
	return;
}

# Before the last check a row of an output is changed behind velostream's back.
sub spoil
{
	my ($history) = @_;
	my $steps = $history->{steps};

	splice(@$steps, -1, 0, {
			session => 'ctl',
			do => 'sql',
			sql => [ 'SET allow_system_table_mods = on', <<'END_OF_SQL' ] });
DO $do$
DECLARE
	q regclass;
	n int;
BEGIN
	FOR q IN SELECT output FROM velostream.query WHERE kind = 't' LOOP
		UPDATE pg_class SET relhastriggers = false WHERE oid = q;
		EXECUTE format('DELETE FROM %1$s WHERE ctid = (SELECT max(ctid) FROM %1$s)', q);
		GET DIAGNOSTICS n = ROW_COUNT;
		UPDATE pg_class SET relhastriggers = true WHERE oid = q;
		EXIT WHEN n > 0;
	END LOOP;
END $do$
END_OF_SQL
	return;
}
