#!/usr/bin/perl
# What a query costs those who write: single-row inserts by 4 clients, with a
# query, without, and with the statement trigger that people use today.
use strict;
use warnings;
use FindBin;
use lib $FindBin::Bin;
use Bench;

my $seconds = $ENV{BENCH_SECONDS} || 10;
my %extra = (
	without => '',
	with => "CREATE TABLE totals WITH (velostream.continuous) AS
		SELECT customer_id, count(*), sum(amount), avg(qty) FROM orders GROUP BY 1",
	trigger => 'CREATE TABLE totals (customer_id int PRIMARY KEY, n bigint, total bigint, qty bigint) WITH (fillfactor = 70);
		CREATE FUNCTION count_orders() RETURNS trigger LANGUAGE plpgsql AS $$
		BEGIN
			INSERT INTO totals AS t SELECT customer_id, count(*), sum(amount), sum(qty) FROM news GROUP BY 1
			ON CONFLICT (customer_id) DO UPDATE
			SET n = t.n + excluded.n, total = t.total + excluded.total, qty = t.qty + excluded.qty;
			RETURN NULL;
		END $$;
		CREATE TRIGGER count_orders AFTER INSERT ON orders REFERENCING NEW TABLE AS news
			FOR EACH STATEMENT EXECUTE FUNCTION count_orders()');

my (%tps, %cpu);
set_server('autovacuum', 'off');
foreach (1 .. repeats())
{
	foreach my $case (qw(without with trigger))
	{
		database('bench');
		sql('bench', "CREATE TABLE orders (order_id bigint, customer_id int, amount int, qty int); $extra{$case}");
		sleep(1);
		my $cpu = children_cpu();
		my $tps = pgbench('bench', "\\set c random(0, 999)\nINSERT INTO orders VALUES (1, :c, 150, 2);\n",
			'-c 4 -j 2', "-T $seconds");
		sleep(0.5);
		push @{ $tps{$case} }, $tps;
		push @{ $cpu{$case} }, (children_cpu() - $cpu) / ($tps * $seconds);
		next if $case ne 'with';
		sql('bench', 'SELECT velostream.wait()');
		check_oracle('bench', 'totals');
	}
}
set_server('autovacuum', '');

sub us { return sprintf('%.1f us', $_[0] * 1e6) }
my %median = map { $_ => median(@{ $tps{$_} }) } keys %tps;
my %used = map { $_ => median(@{ $cpu{$_} }) } keys %cpu;
my $ratio = $median{with} / $median{without};
row('single-row inserts, 4 clients, transactions/s with a query; against without',
	(map { sprintf('%.0f', $median{$_}) } qw(with without)), ratio($ratio), 'at least 0.85 x', $ratio >= 0.85);
$ratio = $used{with} / $used{without};
row('CPU of the writing backends per such transaction; against without',
	us($used{with}), us($used{without}), ratio($ratio), 'no measurable difference', $ratio <= 1.05);
row('the same with a statement trigger and ON CONFLICT; against without',
	(map { sprintf('%.0f', $median{$_}) } qw(trigger without)), ratio($median{trigger} / $median{without}), '(today)');
