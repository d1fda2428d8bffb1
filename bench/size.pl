#!/usr/bin/perl
# 10 000 new rows in a source of 10 million, against the same in one of 100 000.
use strict;
use warnings;
use FindBin;
use lib $FindBin::Bin;
use Bench;

my %rows = (large => scaled(10_000_000), small => scaled(100_000));
my $new = scaled(10_000);

database('bench');
my $s = session('bench');
foreach my $size (sort keys %rows)
{
	$s->run("
		CREATE TABLE $size (customer_id int, amount int, qty int);
		INSERT INTO $size SELECT i % 1000, 150 + i % 100, i % 7 FROM generate_series(1, $rows{$size}) i;
		CREATE TABLE ${size}_totals WITH (velostream.continuous) AS
			SELECT customer_id, count(*), sum(amount), avg(qty) FROM $size GROUP BY 1");
	$s->run('SELECT velostream.wait()');
}
my %times;
foreach my $round (0 .. 2 * repeats())
{
	foreach my $size ($round % 2 ? sort keys %rows : reverse sort keys %rows)
	{
		my ($seconds) = $s->timed_batch("${size}_totals",
			"INSERT INTO $size SELECT i % 1000, 1, 1 FROM generate_series(1, $new) i");
		push @{ $times{$size} }, $seconds if $round > 0;
	}
}
check_oracle('bench', "${_}_totals") foreach keys %rows;
$s->close;
my ($large, $small) = map { median(@{ $times{$_} }) } qw(large small);
row("$new new rows in a source of $rows{large}; against one of $rows{small}",
	ms($large), ms($small), ratio($large / $small), 'at most 1.2 x', $large / $small <= 1.2);
