# A session that runs a script by itself, beside the others.
package Torture::Writer;

use strict;
use warnings;

use POSIX ':sys_wait_h';

# Statements end up in "$file.sql", and what psql says about them in "$file.out".
sub new
{
	my ($class, $file, $database, @sql) = @_;
	my $self = bless { file => $file }, $class;

	open(my $out, '>:encoding(UTF-8)', "$file.sql") or die "$file.sql: $!\n";
	print $out "\\set VERBOSITY sqlstate\nSET client_min_messages = error; SET velostream.stop_at = '';\n";
	print $out "$_\n;\n" for @sql;
	close($out);
	$self->{pid} = fork // die "fork: $!\n";
	if (!$self->{pid})
	{
		open(STDIN, '<', "$file.sql") or POSIX::_exit(1);
		open(STDOUT, '>', "$file.out") or POSIX::_exit(1);
		open(STDERR, '>&', \*STDOUT) or POSIX::_exit(1);
		exec('psql', '-qAtX', '-d', $database) or POSIX::_exit(1);
	}
	return $self;
}

sub is_running
{
	my ($self) = @_;

	return 0 unless $self->{pid};
	$self->{pid} = 0 if waitpid($self->{pid}, WNOHANG) != 0;
	return $self->{pid} != 0;
}

sub output
{
	my ($self) = @_;
	local $/;
	open(my $in, '<', "$self->{file}.out") or return '';
	return scalar readline($in) // '';
}

1;
