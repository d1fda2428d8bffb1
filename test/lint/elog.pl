#!/usr/bin/perl
# elog is for what cannot happen, and for debugging; what a user can meet is
# an ereport with an errcode.  An error that refuses something is one of those.
use strict;
use warnings;

foreach my $file (glob("$ARGV[0]/src/*.c $ARGV[0]/src/*/*.c"))
{
	local (@ARGV, $/) = ($file);
	my $text = <>;
	while ($text =~ /\belog\(\s*(\w+)\s*,\s*"([^"]*)/g)
	{
		my ($level, $message, $line) = ($1, $2, 1 + (substr($text, 0, $-[0]) =~ tr/\n//));
		next if $level =~ /^DEBUG/;
		next if $level =~ /^(ERROR|PANIC|FATAL)$/
		  && $message !~ /^(cannot|only|permission denied)|not (supported|allowed)|already exists|does not exist/;
		print "$file:$line: elog($level, \"$message\"): use ereport\n";
	}
}
