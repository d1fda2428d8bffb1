#!/usr/bin/perl
# A folder's *_internal.h is included in that folder only, functions/ includes
# nothing of the other folders, and what differs between versions of PostgreSQL
# is in vs_compat.h only.
use strict;
use warnings;

foreach my $file (glob("$ARGV[0]/src/*.[ch] $ARGV[0]/src/*/*.[ch]"))
{
	my ($folder) = $file =~ m!src/(?:(\w+)/)?[^/]+$!;
	open(my $fh, '<', $file) or die "$file: $!\n";
	while (<$fh>)
	{
		print "$file:$.: includes another folder's internals\n"
		  if /^#include\s+"(?:(\w+)\/)?vs_\w+_internal\.h"/ && defined $1 && $1 ne ($folder // '');
		print "$file:$.: functions/ is below all other folders\n"
		  if /^#include\s+"(\w+)\/vs_/ && $1 ne 'functions' && ($folder // '') eq 'functions';
		print "$file:$.: belongs into vs_compat.h\n"
		  if /^#.*\bPG_VERSION_NUM\b/ && $file !~ /vs_compat\.h$/;
	}
}
