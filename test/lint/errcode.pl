#!/usr/bin/perl
# Every ereport at WARNING or above has an errcode.
use strict;
use warnings;

foreach my $file (glob("$ARGV[0]/src/*.c $ARGV[0]/src/*/*.c"))
{
	local (@ARGV, $/) = ($file);
	my $text = <>;
	while ($text =~ /\bereport(\((?:[^()"]++|"(?:[^"\\]|\\.)*+"|(?1))*+\))/g)
	{
		my ($call, $line) = ($1, 1 + (substr($text, 0, $-[0]) =~ tr/\n//));
		next if $call =~ /^\(\s*(LOG|NOTICE|INFO|DEBUG\d|LOG_SERVER_ONLY)\b/ || $call =~ /\berrcode(_for_\w+)?\(/;
		print "$file:$line: ereport without errcode\n";
	}
}
