# A deleted row of which the WAL says nothing (which must not be: here the file
# is changed by hand) fails one batch; the next one looks at all pages.
use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../perl";
use PostgreSQL::Test::Utils;
use Test::More;
use VelostreamTest;

my $node = new_node('missing_hint');
my ($path, $xid, $page, $fh, $lp, $offset, $infomask);

$node->safe_psql('postgres', <<'END_SQL');
CREATE TABLE src (id serial PRIMARY KEY, g int, v int);
INSERT INTO src (g, v) VALUES (1, 1), (1, 2), (2, 3);
CREATE TABLE totals WITH (velostream.continuous) AS
	SELECT g, count(*), sum(v) FROM src GROUP BY g;
END_SQL
oracle($node, 'postgres', 'the beginning');
$node->safe_psql('postgres', q{SELECT velostream.pause('totals')});
$path = $node->data_dir . '/' . value($node, 'postgres', q{pg_relation_filepath('src')});
$xid = value($node, 'postgres', 'txid_current()');
$node->stop;
# PostgreSQL 18 has them by default; elsewhere there is nothing to disable
PostgreSQL::Test::Utils::system_log('pg_checksums', '--disable', '--pgdata', $node->data_dir);

# DELETE FROM src WHERE id = 2, by $xid
open($fh, '+<:raw', $path) or die "$path: $!";
read($fh, $page, 8192) == 8192 or die 'short read';
$lp = unpack('V', substr($page, 24 + 4, 4));
$offset = $lp & 0x7fff;
$infomask = unpack('v', substr($page, $offset + 20, 2));
substr($page, $offset + 4, 4) = pack('V', $xid);
substr($page, $offset + 20, 2) = pack('v', $infomask & ~0x0800);
seek($fh, 0, 0);
print $fh $page;
close($fh);

$node->start;
is(value($node, 'postgres', 'string_agg(id::text, $$ $$ ORDER BY id) FROM src'), '1 3', 'the row is gone');
$node->safe_psql('postgres', 'INSERT INTO src (g, v) VALUES (2, 4)');
$node->safe_psql('postgres', q{SELECT velostream.resume('totals')});
poll($node, 'postgres', q{differences('totals') = 0});
oracle($node, 'postgres', 'healed', totals => { '(SELECT sum(count) FROM totals)' => 3 });
like(slurp_file($node->logfile), qr/a deleted row was found in block 0 of relation "src", of which no WAL record told/,
	'the log tells');
my @errors = slurp_file($node->logfile) =~ /ERROR:  a deleted row was found/g;
is(scalar @errors, 1, '... once');
$node->safe_psql('postgres', 'DELETE FROM src WHERE id = 1; INSERT INTO src (g, v) VALUES (3, 1)');
oracle($node, 'postgres', 'and goes on');
log_is_clean($node);
$node->stop;
done_testing();
