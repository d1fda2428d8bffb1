# The library works with the version of the extension that its control file
# names, and no other.
use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../perl";
use PostgreSQL::Test::Utils;
use Test::More;
use VelostreamTest;

my $node = new_node('version');
my $version = value($node, 'postgres', q{default_version FROM pg_available_extensions WHERE name = 'velostream'});
my $offset;

is(value($node, 'postgres', q{extversion FROM pg_extension WHERE extname = 'velostream'}), $version,
	'the default version is installed');
$node->safe_psql('postgres', <<'END_SQL');
CREATE TABLE src (id serial PRIMARY KEY, g int);
CREATE TABLE totals WITH (velostream.continuous) AS SELECT g, count(*) FROM src GROUP BY g;
END_SQL
oracle($node, 'postgres', 'the library accepts it');

$offset = -s $node->logfile;
$node->safe_psql('postgres', "UPDATE pg_extension SET extversion = '$version.1' WHERE extname = 'velostream'");
$node->restart;
$node->wait_for_log(
	qr/has version \Q$version.1\E, but the loaded library is \Q$version\E\n/, $offset);
pass('the library names its own version, that of the control file');
$node->safe_psql('postgres', "UPDATE pg_extension SET extversion = '$version' WHERE extname = 'velostream'");
$node->restart;
$node->safe_psql('postgres', 'INSERT INTO src (g) VALUES (1)');
oracle($node, 'postgres', 'and goes on');
log_is_clean($node);
$node->stop;
done_testing();
