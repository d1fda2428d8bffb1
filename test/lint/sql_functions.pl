#!/usr/bin/perl
# What the install scripts look up in the library is there, and the other way
# round.
use strict;
use warnings;

sub matches
{
	my ($re, @files) = @_;
	my %found;
	foreach my $file (@files)
	{
		local (@ARGV, $/) = ($file);
		my $text = <>;
		$found{$1} = $file while $text =~ /$re/g;
	}
	return \%found;
}

my $sql = matches(qr/'MODULE_PATHNAME'\s*,\s*'(\w+)'/, glob("$ARGV[0]/sql/velostream--*.sql"));
my $c = matches(qr/PG_FUNCTION_INFO_V1\((\w+)\)/, glob("$ARGV[0]/src/*.c $ARGV[0]/src/*/*.c"));
print "$sql->{$_}: $_ is not in the library\n" foreach grep { !$c->{$_} } sort keys %$sql;
print "$c->{$_}: $_ is not in an install script\n" foreach grep { !$sql->{$_} } sort keys %$c;
