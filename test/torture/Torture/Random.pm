# Choices that a seed determines.  All are made while a history is written
# down, none while it runs: so a history can be run again, in parts.
package Torture::Random;

use strict;
use warnings;

use Exporter 'import';

our @EXPORT = qw(between chance pick some weighted);

# An integer from $low to $high.
sub between { return $_[0] + int(rand($_[1] - $_[0] + 1)) }

# True in so many of 100 cases.
sub chance { return rand(100) < $_[0] }

sub pick { return $_[ int(rand(scalar @_)) ] }

# So many of a list, in random order.
sub some
{
	my ($count, @list) = @_;
	my @found;

	push @found, splice(@list, int(rand(scalar @list)), 1) while @list && @found < $count;
	return @found;
}

# One of [weight, value], ...: a value.
sub weighted
{
	my @list = @_;
	my $sum = 0;

	$sum += $_->[0] for @list;
	$sum = rand($sum);
	for my $entry (@list)
	{
		return $entry->[1] if ($sum -= $entry->[0]) < 0;
	}
	return $list[-1][1];
}

1;
