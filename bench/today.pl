#!/usr/bin/perl
# What people do today, with the same workload: rows arrive in a table of
# 2 million, and an aggregate of 1000 groups is brought up to date.
use strict;
use warnings;
use FindBin;
use lib $FindBin::Bin;
use Bench;

my $old = scaled(2_000_000);
my $query = 'SELECT customer_id, count(*), sum(amount), avg(qty) FROM orders GROUP BY 1';

database('bench');
my $s = session('bench');
$s->run('CREATE TABLE orders (order_id bigint, customer_id int, amount int, qty int)');
$s->run("INSERT INTO orders SELECT i, i % 1000, 150 + i % 100, i % 7 FROM generate_series(1, $old) i");
$s->run('CREATE TABLE counted (LIKE orders)');
$s->run('CREATE TABLE upserted (customer_id int PRIMARY KEY, n bigint, total bigint, qty bigint) WITH (fillfactor = 70)');
$s->run('CREATE FUNCTION count_orders() RETURNS trigger LANGUAGE plpgsql AS $$
	BEGIN
		INSERT INTO upserted AS t SELECT customer_id, count(*), sum(amount), sum(qty) FROM news GROUP BY 1
		ON CONFLICT (customer_id) DO UPDATE
		SET n = t.n + excluded.n, total = t.total + excluded.total, qty = t.qty + excluded.qty;
		RETURN NULL;
	END $$');
$s->run('CREATE TRIGGER count_orders AFTER INSERT ON counted REFERENCING NEW TABLE AS news
	FOR EACH STATEMENT EXECUTE FUNCTION count_orders()');
$s->run("CREATE MATERIALIZED VIEW refreshed AS $query");
$s->run('CREATE UNIQUE INDEX ON refreshed (customer_id)');
$s->run("CREATE TABLE totals WITH (velostream.continuous) AS $query");
$s->run('SELECT velostream.wait()');

foreach my $new (scaled(100_000), 1)
{
	my (@ours, @refresh, @trigger);
	foreach (0 .. repeats())
	{
		my $rows = "SELECT i, i % 1000, 150 + i % 100, i % 7 FROM generate_series(1, $new) i";
		my ($batch, $plain) = $s->timed_batch('totals', "INSERT INTO orders $rows");
		my ($counted) = $s->timed("INSERT INTO counted $rows");
		push @trigger, max(0, $counted - $plain);
		push @ours, $batch;
		push @refresh, ($s->timed('REFRESH MATERIALIZED VIEW CONCURRENTLY refreshed'))[0];
	}
	shift @$_ foreach \@ours, \@refresh, \@trigger;
	my ($ours, $refresh, $trigger) = map { median(@$_) } \@ours, \@refresh, \@trigger;
	my $what = "$new new row" . ($new > 1 ? 's' : '') . " in $old, 1000 groups";
	row("$what; against REFRESH MATERIALIZED VIEW CONCURRENTLY", ms($ours), ms($refresh), ratio($ours / $refresh), '(today)');
	row("$what; against what a statement trigger with ON CONFLICT adds to the INSERT",
		ms($ours), ms($trigger), $trigger > 0 ? ratio($ours / $trigger) : '', '(today)');
}
check_oracle('bench', 'totals');
$s->close;
