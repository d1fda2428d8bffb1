#!/usr/bin/perl
# Functions of more than 15 lines have a comment that is not just their name,
# here or at their declaration in a header; none is longer than 120 lines, and
# no file than 1500.  What other files can call is named vs_*, what SQL or the
# postmaster look up velostream_*.
use strict;
use warnings;

# Functions that a header documents: on their line, or above their paragraph.
my %documented;
foreach my $file (glob("$ARGV[0]/src/*.h $ARGV[0]/src/*/*.h"))
{
	open(my $fh, '<', $file) or die "$file: $!\n";
	my $under_comment = 0;
	while (<$fh>)
	{
		my $commented = $under_comment || m!/\*!;
		$documented{$1} = 1 if $commented && /^extern .*?(\w+)\(/;
		$under_comment = 1 if m!^ \*/!;
		$under_comment = 0 if /^\s*$/;
	}
}

foreach my $file (glob("$ARGV[0]/src/*.c $ARGV[0]/src/*/*.c"))
{
	open(my $fh, '<', $file) or die "$file: $!\n";
	my @lines = <$fh>;
	close($fh);
	printf("%s: %d lines, more than 1500\n", $file, scalar @lines) if @lines > 1500;

	# In PostgreSQL's style: type, name, { and } each begin a line.
	my ($name, $name_at);
	for (my $i = 0; $i < @lines; $i++)
	{
		($name, $name_at) = ($1, $i) if $lines[$i] =~ /^(\w+)\(/;
		next if !defined $name || $lines[$i] !~ /^\{/;
		my $end = $i;
		$end++ while $end < $#lines && $lines[$end] !~ /^\}/;
		my ($where, $type) = ("$file:" . ($name_at + 1), $lines[ $name_at - 1 ]);
		check_function($where, $name, $type, $end - $i - 1, comment_before($name_at - 2, \@lines));
		undef $name;
		$i = $end;
	}
}

# The comment that ends at line $i, or just above preprocessor lines there.
sub comment_before
{
	my ($i, $lines) = @_;
	$i-- while $i > 0 && $lines->[$i] =~ /^(#|PG_FUNCTION_INFO_V1|\s*$)/;
	return '' if $i < 0 || $lines->[$i] !~ m!\*/\s*$!;
	my $text = $lines->[$i];
	$text = $lines->[ --$i ] . $text while $i > 0 && $text !~ m!/\*!;
	return $text;
}

sub check_function
{
	my ($where, $name, $type, $length, $comment) = @_;
	print "$where: $name() has $length lines, more than 120\n" if $length > 120;
	print "$where: $name() is called from elsewhere, but not named vs_* or velostream_*\n"
	  if $type !~ /\bstatic\b/ && $name !~ /^(vs_|velostream_|_PG_init$)/;
	return if $length <= 15;
	(my $words = $comment) =~ s![/*\s_.():-]|\b(the|a|an|of)\b!!gi;
	(my $plain = $name) =~ s/^(vs_|velostream_)|_//g;
	print "$where: $name() has no comment\n" if $words eq '';
	print "$where: the comment of $name() only repeats its name\n"
	  if $words ne '' && lc($words) =~ /^(vs|velostream)?\Q$plain\E$/i;
}
