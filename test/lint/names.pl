#!/usr/bin/perl
# Files are vs_*.c; types Vs*, macros of ours VS_*; global variables vs_* or MyVs*.
use strict;
use warnings;

foreach my $file (glob("$ARGV[0]/src/*.[ch] $ARGV[0]/src/*/*.[ch]"))
{
	print "$file: not named vs_*\n" if $file !~ m!/(vs_\w+|velostream)\.[ch]$!;
	open(my $fh, '<', $file) or die "$file: $!\n";
	while (<$fh>)
	{
		my $where = "$file:$.";
		print "$where: type $1 is not named Vs*\n"
		  if /^(?:typedef\s+)?(?:struct|enum|union)\s+(\w+)\s*$/ && $1 !~ /^Vs/ && $file =~ /\.h$/;
		print "$where: macro $1 is not named VS_*\n"
		  if $file =~ /\.h$/ && $file !~ /vs_compat\.h$/ && /^#define\s+(\w+)/ && $1 !~ /^(VS_|VELOSTREAM_|Vs|vs_)/;
		print "$where: variable $1 is not named vs_* or MyVs*\n"
		  if /^extern\s[^()]*?(\w+)(\[\w*\])?;/ && $1 !~ /^(vs_|MyVs|velostream_)/;
	}
}
