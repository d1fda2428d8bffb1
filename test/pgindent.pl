#!/usr/bin/perl
# Format C sources as PostgreSQL 15's pgindent does, with Debian's pg_bsd_indent.
#
#	pgindent.pl [--check] TYPEDEFS FOLDER
#
# --check changes nothing: it prints what would change, and exits with 1.
use strict;
use warnings;
use File::Find;
use File::Temp qw(tempdir);

my $check = @ARGV && $ARGV[0] eq '--check' ? shift : 0;
die "usage: pgindent.pl [--check] TYPEDEFS FOLDER\n" if @ARGV != 2;
my ($typedefs, $folder) = @ARGV;

my $tmp = tempdir(CLEANUP => 1);
my $options = '-bad -bap -bbb -bc -bl -cli1 -cp33 -cdb -nce -d0 -di12 -nfc1 -i4 -l79 '
  . '-lp -lpl -nip -npro -sac -tpg -ts4';

# Names that system headers make types, but which are used as something else.
my %not_a_type = map { $_ => 1 } qw(ANY FD_SET U void abs allocfunc boolean date digit ilist interval
  iterator other pointer printfunc reference string timestamp type wrap);

sub slurp
{
	my ($file) = @_;
	local $/;
	open(my $fh, '<', $file) or die "$file: $!\n";
	return scalar <$fh>;
}

sub spew
{
	my ($file, $text) = @_;
	open(my $fh, '>', $file) or die "$file: $!\n";
	print $fh $text;
	close($fh) or die "$file: $!\n";
}

# The text of a source as it should be.
sub indent
{
	my ($source) = @_;
	$source =~ s!^([ \t]*)//(.*)$!$1/* $2 */!gm;
	$source =~ s!/\* +---!/*---X_X!g;
	spew("$tmp/x.c", $source);
	my $errors = `cd $tmp && pg_bsd_indent $options -U$tmp/typedefs x.c 2>&1`; # leaves x.c.BAK there
	die "pg_bsd_indent: $errors\n" if $? || $errors ne '';
	$source = slurp("$tmp/x.c");
	$source =~ s!/\*---X_X!/* ---!g;
	$source =~ s!\*/(/\*.*\*/)$!*/\t$1!gm;
	$source =~ s!^([A-Za-z_]\S*)[ \t]+\*$!$1 *!gm;
	return $source;
}

spew("$tmp/typedefs", join('', map { "$_\n" } 'bool', grep { !$not_a_type{$_} } split(/\n/, slurp($typedefs))));

my @files;
find({ no_chdir => 1, wanted => sub { push @files, $_ if /\.[ch]$/ } }, $folder);
my $wrong = 0;
foreach my $file (sort @files)
{
	my $old = slurp($file);
	my $new = eval { indent($old) };
	# a comment that was broken into lines is filled by the next pass
	for (my $pass = 0; !$check && defined $new && $pass < 4; $pass++) { $new = indent($new) }
	if (!defined $new)
	{
		print "$file: $@";
		$wrong++;
		next;
	}
	next if $new eq $old;
	if ($check)
	{
		spew("$tmp/new.c", $new);
		system('diff', '-u', '--label', $file, '--label', "$file, formatted", $file, "$tmp/new.c");
		$wrong++;
	}
	else
	{
		spew($file, $new);
		print "formatted $file\n";
	}
}
exit($wrong ? 1 : 0);
