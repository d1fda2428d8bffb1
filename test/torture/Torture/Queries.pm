# Continuous queries, each with the plain query that its output must equal.
#
# What a query is made of stands in tables of closures below; a capability of
# velostream is covered by adding a line there.  A closure gets the source and
# returns SQL, or nothing if the source has no column for it.  Columns have
# classes: int, num, float, bool, date, text, other.
package Torture::Queries;

use strict;
use warnings;

use Torture::Random;
use Torture::Tables;

# A column of one of these classes; of any without them.
sub column
{
	my ($source, @classes) = @_;
	my @fit = grep {
		my $class = $_->[1];
		!@classes || grep { $_ eq $class } @classes
	} @{ $source->{columns} };

	return @fit ? pick(@fit)->[0] : undef;
}

# SQL with the columns of the given classes in the places of %s; nothing
# without such a column.
sub with
{
	my ($source, $sql, @classes) = @_;
	my $column = column($source, @classes) // return;

	return $sql =~ s/%s/$column/gr;
}

# Expressions: SQL, the class of the result, and the classes that it takes.
my @EXPRESSIONS = (
	[ '%s + 1', 'int', 'int' ],
	[ '%s %% 3', 'int', 'int' ],
	[ 'coalesce(%s, -1)', 'int', 'int' ],
	[ 'CASE WHEN %s > 2 THEN 1 WHEN %s < 0 THEN NULL ELSE %s END', 'int', 'int' ],
	[ 'abs(%s)', 'num', 'num' ],
	[ '%s * 2', 'num', 'num' ],
	[ 'round(%s)', 'num', 'num' ],
	[ '%s * 2', 'float', 'float' ],
	[ 'NOT %s', 'bool', 'bool' ],
	[ '%s IS NULL', 'bool' ],
	[ 'extract(month FROM %s)', 'num', 'date' ],
	[ '%s + 1', 'date', 'date' ],
	[ 'length(%s)', 'int', 'text' ],
	[ 'left(%s, 1)', 'text', 'text' ],
	[ "coalesce(upper(%s), 'none')", 'text', 'text' ],
);

my @FILTERS = (
	[ '%s > 2', 'int', 'num', 'float' ],
	[ '%s % 2 = 0', 'int' ],
	[ '%s BETWEEN -1 AND 4 OR %s IS NULL', 'int' ],
	[ 'coalesce(%s, 7) IN (1, 2, 7)', 'int' ],
	[ '%s', 'bool' ],
	[ '%s IS NOT TRUE', 'bool' ],
	[ '%s IS NOT NULL' ],
	[ "%s >= '2021-01-02'", 'date' ],
	[ "%s < 'x'", 'text' ],
	[ 'length(%s) < 100', 'text' ],
	[ 'false', 'int' ],
);

# Aggregates: SQL, the class of the result, the classes of the argument, and
# how often.
my @AGGREGATES = (
	[ 8, 'count(*)', 'int' ],
	[ 4, 'count(%s)', 'int' ],
	[ 8, 'sum(%s)', 'num', 'int' ],
	[ 4, 'sum(%s)', 'num', 'num' ],
	[ 3, 'sum(%s)', 'float', 'float' ],
	[ 4, 'avg(%s)', 'avg', 'int' ],
	[ 3, 'avg(%s)', 'avg', 'num' ],
	[ 3, 'min(%s)', 'int', 'int' ],
	[ 3, 'max(%s)', 'int', 'int' ],
	[ 2, 'min(%s)', 'num', 'num' ],
	[ 2, 'max(%s)', 'float', 'float' ],
	[ 2, 'max(%s)', 'date', 'date' ],
	[ 2, 'min(%s)', 'text', 'text' ],
	[ 2, 'max(%s)', 'text', 'text' ],
	[ 2, 'bool_or(%s)', 'bool', 'bool' ],
	[ 2, 'bool_and(%s)', 'bool', 'bool' ],
	[ 1, 'bit_or(%s)', 'int', 'int' ],
	[ 1, 'bit_and(%s)', 'int', 'int' ],
	[ 2, 'stddev(%s)', 'avg', 'int' ],
	[ 1, 'var_pop(%s)', 'avg', 'num' ],
);

my @HAVINGS = (
	[ 'count(*) > 1' ],
	[ 'sum(%s) > 3', 'int' ],
	[ 'bool_or(%s)', 'bool' ],
	[ 'max(%s) < 6', 'int' ],
	[ 'min(%s) IS NOT NULL' , 'num' ],
	[ 'count(*) FILTER (WHERE %s IS NULL) = 0' ],
);

# Shapes: how often, and what makes [select list with classes], the clauses
# before and after WHERE.
my @SHAPES = (
	[ 10, \&groups ],
	[ 2, \&total ],
	[ 2, \&distinct ],
	[ 4, \&bag ],
	[ 4, \&keyed ],
);

# ----------
# Parts of a query
# ----------

sub expression
{
	my ($source) = @_;
	my ($sql, $class, @takes) = @{ pick(@EXPRESSIONS) };
	my $expression = with($source, $sql =~ s/%%/%/gr, @takes);

	return $expression ? [ $expression, $class ] : ();
}

# A column, or an expression.
sub item
{
	my ($source) = @_;
	my @found;

	return pick(@{ $source->{columns} }) if chance(70);
	push @found, expression($source) until @found;
	return $found[0];
}

# One of the patterns that the source has columns for.
sub clause
{
	my ($source, @patterns) = @_;
	my $sql;

	until ($sql)
	{
		my ($pattern, @classes) = @{ pick(@patterns) };
		$sql = with($source, $pattern, @classes);
	}
	return $sql;
}

sub condition { return clause($_[0], @FILTERS) }
sub having { return clause($_[0], @HAVINGS) }

sub aggregate
{
	my ($source) = @_;
	my ($sql, $pattern, $class, @takes);

	until ($sql)
	{
		($pattern, $class, @takes) = @{ weighted(map { my ($weight, @rest) = @$_; [ $weight, \@rest ] } @AGGREGATES) };
		$sql = $pattern =~ /%s/ ? with($source, $pattern, @takes) : $pattern;
	}
	$sql .= ' FILTER (WHERE ' . condition($source) . ')' if chance(20);
	return [ $sql, $class ];
}

# Expressions that are all different.
sub different
{
	my ($count, $make) = @_;
	my (%seen, @found);

	for (1 .. 50)
	{
		my $item = $make->();
		push @found, $item unless $seen{ $item->[0] }++;
		last if @found == $count;
	}
	return @found;
}

# ----------
# Shapes
# ----------

sub groups
{
	my ($source) = @_;
	my @keys = different(weighted([ 6, 1 ], [ 3, 2 ], [ 1, 3 ]), sub { chance(30) ? $source->{favourite} : item($source) });
	my @aggregates = different(between(1, 5), sub { aggregate($source) });
	my @shown = chance(85) ? @keys : some(@keys - 1, @keys);

	return {
		items => [ chance(80) ? (@shown, @aggregates) : (@aggregates, @shown) ],
		keys => \@shown,
		all_keys => @shown == @keys,
		tail => 'GROUP BY ' . join(', ', map { "($_->[0])" } @keys) . (chance(25) ? ' HAVING ' . having($source) : '') };
}

sub total
{
	my ($source) = @_;
	return {
		items => [ different(between(1, 4), sub { aggregate($source) }) ],
		tail => chance(20) ? 'HAVING ' . having($source) : '' };
}

sub distinct
{
	my ($source) = @_;
	return { head => 'DISTINCT', items => [ different(between(1, 3), sub { item($source) }) ], tail => '' };
}

sub bag
{
	my ($source) = @_;
	return { items => [ different(between(1, 4), sub { item($source) }) ], tail => '', rows => 1 };
}

sub keyed
{
	my ($source) = @_;
	my @key = @{ $source->{key} };

	return unless @key;
	my %key = map { $_ => 1 } @key;
	return {
		items => [ (map { [ $_ => 'int' ] } @key),
			grep { !$key{ $_->[0] } } different(between(1, 4), sub { item($source) }) ],
		tail => '',
		rows => 1 };
}

# ----------
# Queries
# ----------

# A table as a source.
sub table_source
{
	my ($table) = @_;
	return {
		name => $table->{name},
		columns => [ $table->columns ],
		key => [ $table->key ],
		favourite => [ k => $table->{values}{k}[1] ],
		table => $table,
		sources => [] };
}

# A view over a table, which may leave rows and columns out.
sub view_source
{
	my ($name, $table) = @_;
	my $source = table_source($table);
	my @columns = ($source->{favourite}, different(between(3, 9), sub { pick(grep { $_->[0] ne 'k' } $table->columns) }));
	my $where = chance(50) ? ' WHERE ' . condition($source) : '';

	return {
		name => $name,
		columns => \@columns,
		key => [],
		favourite => $columns[0],
		sources => [ $table->{name} ],
		create => "CREATE VIEW $name AS SELECT " . join(', ', map { $_->[0] } @columns) . " FROM $table->{name}$where" };
}

# A query's output as a source.
sub query_source
{
	my ($query) = @_;
	# averages have as many digits as it takes: their sums are rounded
	my @columns = grep { $_->[1] ne 'avg' } @{ $query->{columns} };

	return unless @columns;
	return {
		name => $query->{name},
		columns => \@columns,
		key => [],
		favourite => pick(@columns),
		sources => $query->{sources} };
}

# A new query over one of these sources.
#	create: statements that make it; name, columns: its output
#	oracle: what the output must equal; output: how to read it, if not TABLE
#	append, account: its mode; does rows_in equal the number of rows counted
sub new
{
	my ($class, $name, @sources) = @_;
	my ($source, $shape);

	until ($shape)
	{
		$source = pick(@sources);
		$shape = weighted(@SHAPES)->($source);
	}
	my $log = $source->{table} && $source->{table}{log};
	my $dead = $source->{table} && chance(6) ? column($source, 'int') : undef;
	my $nr = 0;

	push @{ $shape->{items} }, $shape->{rows} || $shape->{head} ? [ "12 / $dead", 'int' ] : [ "sum(12 / $dead)", 'num' ]
	  if $dead;
	my @columns = map { [ 'c' . ++$nr, $_->[1] ] } @{ $shape->{items} };
	my $where = chance(45) ? condition($source) : '';
	my $text = join(' ', 'SELECT', $shape->{head} // (),
		join(', ', map { "$shape->{items}[$_][0] AS $columns[$_][0]" } 0 .. $#columns),
		'FROM {source}', $where ? "WHERE ($where)" : (), $shape->{tail});
	my $self = bless {
		name => $name,
		source => $source->{name},
		sources => [ $source->{name}, @{ $source->{sources} } ],
		columns => \@columns,
		list => join(', ', map { $_->[0] } @columns),
		append => $log && chance(75) ? 1 : 0,
		account => !$where && !$dead,
		dead => $dead,
		text => $text, }, $class;

	$self->{stream} = ($self->{append} && $shape->{rows} && chance(25))
	  || (!$self->{append} && $shape->{keys} && $shape->{all_keys} && chance(8)) ? 1 : 0;
	$self->{no_data} = $self->{append} && chance(20) ? 1 : 0;
	$self->{stream_keys} = join(', ', map { $columns[$_][0] }
		  grep { my $item = $shape->{items}[$_]; grep { $_ == $item } @{ $shape->{keys} } } 0 .. $#columns)
	  if $shape->{keys};

	# rows that cannot be computed are left out
	my $from = $self->{append} ? "${name}_counts" : $source->{name};
	$from = "(SELECT * FROM $from WHERE ($dead = 0) IS NOT TRUE)" if $dead;
	$self->{oracle} = $text =~ s/\{source\}/$from s/r;
	$self->{output} = $self->read_output;
	$self->{create} = [ $self->create ];
	return $self;
}

# What its output says now: of a stream what came after a rebuild, and of
# groups the last word on each.
sub read_output
{
	my ($self) = @_;
	my ($name, $list, $keys) = @$self{qw(name list stream_keys)};
	my $valid = "FROM $name WHERE _op <> 'reset'"
	  . " AND _offset > (SELECT coalesce(max(_offset), 0) FROM $name WHERE _op = 'reset')";

	return "SELECT $list FROM $name" if !$self->{stream};
	return "SELECT $list $valid" if $self->{append};
	return "SELECT $list FROM (SELECT DISTINCT ON ($keys) * $valid ORDER BY $keys, _offset DESC) last WHERE _op <> 'delete'";
}

# An append query counts what is there when it begins, and what is inserted
# from then on: <name>_counts.
sub create
{
	my ($self) = @_;
	my ($name, $source) = @$self{qw(name source)};
	my $columns = join(', ', @Torture::Tables::COLUMNS);
	my @options = ('velostream.continuous');

	push @options, 'velostream.source_mode = append' if $self->{append};
	push @options, 'velostream.kind = stream' if $self->{stream};
	push @options, 'velostream.on_error = dead_letter' if $self->{dead};
	my $create = "CREATE TABLE $name WITH (" . join(', ', @options) . ') AS '
	  . ($self->{text} =~ s/\{source\}/$source/r) . ($self->{no_data} ? ' WITH NO DATA' : '');

	return ($create) unless $self->{append};
	return ("CREATE TABLE ${name}_base AS SELECT $columns FROM $source" . ($self->{no_data} ? ' WITH NO DATA' : ''),
		"CREATE TABLE ${name}_seen AS SELECT nr FROM ${source}_log",
		"CREATE VIEW ${name}_counts AS SELECT $columns FROM ${name}_base UNION ALL"
		  . " SELECT $columns FROM ${source}_log WHERE nr NOT IN (SELECT nr FROM ${name}_seen)",
		$create);
}

# A rebuild of an append query counts what is there now.
sub rebuild
{
	my ($self) = @_;
	my ($name, $source) = @$self{qw(name source)};
	my $columns = join(', ', @Torture::Tables::COLUMNS);

	return ("SELECT velostream.rebuild('$name')") unless $self->{append};
	return ("DELETE FROM ${name}_base", "INSERT INTO ${name}_base SELECT $columns FROM $source",
		"DELETE FROM ${name}_seen", "INSERT INTO ${name}_seen SELECT nr FROM ${source}_log",
		"SELECT velostream.rebuild('$name')");
}

# Rows by which the output and the oracle differ, both ways; its result is the
# number, and an example of each kind.
sub compare
{
	my ($self) = @_;
	my ($oracle, $output) = @$self{qw(oracle output)};

	return "SELECT count(*), min(line) FILTER (WHERE side = 'missing'), min(line) FILTER (WHERE side = 'wrong') FROM ("
	  . "SELECT 'missing' AS side, left(m::text, 200) AS line FROM (($oracle) EXCEPT ALL ($output)) m UNION ALL "
	  . "SELECT 'wrong', left(w::text, 200) FROM (($output) EXCEPT ALL ($oracle)) w) d";
}

1;
