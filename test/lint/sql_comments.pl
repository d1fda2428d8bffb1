#!/usr/bin/perl
# Every function, table, view and type of the install script has a COMMENT ON;
# SECURITY DEFINER comes with SET search_path.
use strict;
use warnings;

foreach my $file (glob("$ARGV[0]/sql/velostream--*.sql"))
{
	next if $file =~ /--.*--/;
	local (@ARGV, $/) = ($file);
	my $text = <>;
	$text =~ s/^\s*--.*$//gm;
	my (%made, %commented);
	my $kind = qr/FUNCTION|PROCEDURE|AGGREGATE|VIEW|TABLE|TYPE|EVENT\s+TRIGGER/i;
	$commented{ lc "$1 $2" } = 1
	  while $text =~ /COMMENT\s+ON\s+($kind)\s+(?:velostream\.|\@extschema\@\.)?(\w+)/gi;
	while ($text =~ /CREATE\s+(?:OR\s+REPLACE\s+)?(?:UNLOGGED\s+)?($kind)\s+(?:velostream\.|\@extschema\@\.)?(\w+)([^;]*)/gi)
	{
		my ($what, $rest) = (lc "$1 $2", $3);
		my $line = 1 + (substr($text, 0, $-[0]) =~ tr/\n//);
		print "$file: $what has no COMMENT ON\n" if !$commented{$what};
		print "$file: $what is SECURITY DEFINER without SET search_path\n"
		  if $rest =~ /SECURITY\s+DEFINER/i && $rest !~ /SET\s+search_path/i;
	}
}
