# A psql that stays open, with one backend.
package Torture::Session;

use strict;
use warnings;

use IPC::Open2;
use Time::HiRes qw(time);

my $PATIENCE = 150;    # seconds for one statement

# Settings that a session begins with: nobody waits for long, and the points
# at which batches stop (velostream.stop_at) are for the workers only.
my $BEGIN = <<'END_OF_SQL';
SET client_min_messages = error; SET velostream.stop_at = ''; SET lock_timeout = '100ms';
SET statement_timeout = '120s';
END_OF_SQL

sub new
{
	my ($class, $database) = @_;
	local $ENV{PGDATABASE} = $database;
	local $ENV{PGOPTIONS} = '';
	my $pid = open2(my $out, my $in, 'exec psql -qAtX 2>&1');
	binmode($in, ":encoding(UTF-8)");
	my $self = bless { psql => $pid, in => $in, out => $out, buffer => '' }, $class;

	# does this session have a transaction open, and which savepoints
	$self->{open} = 0;
	$self->{savepoints} = [];
	for my $set (split /;\s*/, $BEGIN)
	{
		my ($state, $text) = $self->run($set);
		die "$set: $state $text\n" if $state ne '00000' && $state ne 'lost';
	}
	return $self;
}

# Run one statement.  Returns its SQLSTATE and what was printed; the state is
# "lost" if the connection is, and "hangs" if it takes too long.
sub run
{
	my ($self, $sql) = @_;
	my $end = time + $PATIENCE;

	return ('lost', 'no connection') unless $self->{in};
	local $SIG{PIPE} = 'IGNORE';
	print { $self->{in} } "$sql\n;\n\\echo -- done :SQLSTATE\n";
	$self->{in}->flush;
	while ($self->{buffer} !~ /^-- done (\w+)\n/m)
	{
		my $bits = '';
		vec($bits, fileno($self->{out}), 1) = 1;
		return ('hangs', $self->{buffer}) if time > $end;
		next if select($bits, undef, undef, 1) <= 0;
		next if sysread($self->{out}, $self->{buffer}, 65536, length $self->{buffer});
		my $text = $self->{buffer};
		$self->close;
		return ('lost', $text);
	}
	my ($state) = $self->{buffer} =~ /^-- done (\w+)$/m;
	my $text = $self->{buffer} =~ s/^-- done \w+\n//mr;
	chomp $text;
	$self->{buffer} = '';
	return ($state, $text);
}

sub close
{
	my ($self) = @_;

	return unless $self->{in};
	CORE::close($self->{in});
	CORE::close($self->{out});
	$self->{in} = undef;
	waitpid($self->{psql}, 0);
	return;
}

1;
