# Velostream's own workloads S0 to S3b: the table "source", a query over it, and
# the same by hand.  What Velostream publishes of itself (its best figure; source
# in memory, a sink that counts, nothing stored) is there to compare, in thousands
# of rows a second.
package Workloads;

use strict;
use warnings;
use Exporter 'import';

our @EXPORT = qw(@workloads create_source insert_rows);

my %trades = (
	columns => 'id bigint, trader text, symbol text, price int, quantity int, trade_time bigint',
	rows => "SELECT i AS id, 'T' || i % 50 AS trader, 'SYM' || i % 100 AS symbol, 100 + i % 50 AS price,
		i % 1000 AS quantity, 1000000 + 1000 * i AS trade_time",
	query => "SELECT trader, symbol, velostream.tumble(trade_time, '1 min') AS window_start, count(*), avg(price),
		sum(quantity), sum(price * quantity) AS volume FROM source GROUP BY 1, 2, 3",
	result => 'trader text, symbol text, window_start bigint, count bigint, avg numeric, sum bigint, volume bigint');

our @workloads = (
	{   name => 'S0, filter and projection', target => 1.3, published => 767,
		columns => 'order_id bigint, customer_id int, order_date timestamptz, total_amount int',
		rows => "SELECT i, i % 1000, '2024-01-01'::timestamptz + i * interval '1 s', 150 + i % 100",
		query => 'SELECT order_id, customer_id, order_date, total_amount FROM source WHERE total_amount > 100',
		result => 'order_id bigint, customer_id int, order_date timestamptz, total_amount int',
		options => ', velostream.source_mode = append' },
	{   name => 'S1, average of the last 100 rows of 10 symbols', target => 1.5, published => 865,
		columns => 'symbol text, price int, ts bigint',
		rows => "SELECT 'SYM' || i % 10, 100 + i % 50, 1000::bigint * i",
		query => 'SELECT symbol, ts, avg(price) OVER (PARTITION BY velostream.buffer(100), symbol ORDER BY ts) FROM source',
		hand => 'SELECT symbol, ts, avg(price) OVER (PARTITION BY symbol ORDER BY ts ROWS BETWEEN 99 PRECEDING AND CURRENT ROW) FROM source',
		result => 'symbol text, ts bigint, avg numeric',
		options => ', velostream.source_mode = append' },
	{   name => 'S2, 200 groups', target => 1.3, published => 571, plain => 1,
		columns => 'id bigint, symbol text, price int, quantity int',
		rows => "SELECT i, 'SYM' || i % 200, 100 + i % 100, i % 1000",
		query => 'SELECT symbol, count(*), avg(price), min(price), max(price), sum(quantity) FROM source GROUP BY 1',
		result => 'symbol text, count bigint, avg numeric, min int, max int, sum bigint',
		options => '' },
	{   name => 'S3a, tumbling windows, EMIT FINAL', target => 1.3, published => 231, %trades,
		once => 'SELECT trader, symbol, _window_start, count(*), avg(price), sum(quantity), sum(price * quantity)
			FROM source GROUP BY trader, symbol WINDOW TUMBLING(trade_time, 1m) EMIT FINAL',
		options => ', velostream.emit = final' },
	{   name => 'S3b, the same, EMIT CHANGES', target => 1.5, published => 9.4, %trades, options => '' });

# autovacuum may have later rows put before earlier ones; then they arrive so
sub create_source
{
	my ($s, $workload) = @_;
	$s->run("CREATE TABLE source ($workload->{columns}) WITH (autovacuum_enabled = off)");
}

# Rows number "first" to "last".
sub insert_rows
{
	my ($s, $workload, $first, $last) = @_;
	$s->run("INSERT INTO source $workload->{rows} FROM generate_series($first, $last) i");
}

1;
