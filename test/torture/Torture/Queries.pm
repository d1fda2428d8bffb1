# Continuous queries, each with the plain query that its output must equal.
#
# What a query is made of stands in tables below; a capability of velostream is
# covered by adding lines there:
#
#	an expression, a filter, an aggregate, a condition on groups: a line in
#		@EXPRESSIONS, @FILTERS, @AGGREGATES or @HAVINGS
#	an option, or what is made next to the query: a line in @TRAITS
#	another clause (windows, sessions, EMIT): a line in @SHAPES with a function
#		that makes such queries from a source, or nothing if the source has not
#		what it takes.  It returns a hash:
#			items	the select list: [SQL, class], ...
#			head	what stands before it (DISTINCT)
#			tail	what stands after WHERE
#			rows	true: a row of the output is one of the source
#			keys	the items that a row of the output is known by; all_keys if
#					no key is missing in the select list
#			oracle	a function that makes of the query the plain one that its
#					output must equal, where that is not the query itself;
#					{source} stands for the source
#			options	more options
#			window	true: the first column tells windows apart
#			lossy	true: rows may be dead letters though they can be computed
#			output	SQL that reads what the output says, if not its rows
#
# Columns have classes: int, num, float, bool, date, text, other; and avg, which
# is no column of a source, as its digits depend on how it was computed.
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
	[ 'public.vary(%s)', 'int', 'int' ],    # is replaced now and then
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

# Traits of a query: in how many of 100 cases, and what changes the query's hash
# accordingly, if that makes sense for it.
my @TRAITS = (
	[ 75, sub { $_[0]{append} = 1 if $_[0]{logged} } ],
	[ 12, \&make_stream ],
	[ 20, sub { $_[0]{no_data} = 1 if $_[0]{append} && !$_[0]{from_stream} } ],
	[ 12, sub { $_[0]{counted} = 1 } ],
	[ 15, \&limit ],
);

# Shapes: how often, and what makes [select list with classes], the clauses
# before and after WHERE.
my @SHAPES = (
	[ 10, \&groups ],
	[ 6, \&windows ],
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

# Windows over a column of milliseconds or dates, which may be NULL.  Some are
# final: late rows correct those that are closed.
sub windows
{
	my ($source) = @_;
	my $type = pick(qw(int int date));
	my $column = column($source, $type) // return;
	my $lossy = $type eq 'date' || chance(40);
	my $time = $type eq 'date' ? $column : $lossy ? "($column)::bigint" : "coalesce($column, 0)::bigint";
	my $kind = pick(qw(tumble hop hop cumulate session session));
	my ($size, $step) = @{ $kind eq 'cumulate' ? pick([ 3, 1 ], [ 8, 2 ]) : pick([ 1, 1 ], [ 3, 1 ], [ 4, 2 ], [ 5, 3 ], [ 2, 3 ]) };
	my ($length, $part) = map { $type eq 'date' ? "'$_ days'" : "'$_ ms'" } $size, $step;
	my $call = "velostream.$kind($time, "
	  . ($kind eq 'hop' ? "$length, $part" : $kind eq 'cumulate' ? "$part, $length" : $length) . ')';
	my $other = $kind eq 'cumulate' ? "velostream.cumulate_start($call, $length)"
	  : $kind eq 'session' ? "velostream.window_end(max($time), $length)" : "velostream.window_end($call, $length)";
	my @keys = different(weighted([ 2, 0 ], [ 6, 1 ], [ 2, 2 ]), sub { chance(50) ? $source->{favourite} : item($source) });
	my @group = (@keys, [ $call, $type ]);
	my %window = (
		time => $time, call => $call, ends => $kind eq 'cumulate' ? 'c1' : 'c2',
		gap => $kind eq 'session' ? $size : undef,
		partition => @keys ? 'PARTITION BY ' . join(', ', map { "($_->[0])" } @keys) : '');

	return {
		items => [ $group[-1], [ $other, $type ], @keys, different(between(1, 4), sub { aggregate($source) }) ],
		keys => \@group,
		all_keys => 1,
		tail => 'GROUP BY ' . join(', ', map { "($_->[0])" } @group) . (chance(20) ? ' HAVING ' . having($source) : ''),
		options => chance(35) ? [ 'velostream.emit = final', 'velostream.late_data = update_previous' ] : [],
		lossy => $lossy,
		window => 1,
		oracle => sub { window_oracle(\%window, @_) } };
}

# The plain query of one with windows: rows without a time are left out,
# sessions are gaps and islands, and of what is final the watermark decides.
sub window_oracle
{
	my ($window, $query) = @_;
	my ($time, $call, $partition) = @$window{qw(time call partition)};
	my $rows = "(SELECT * FROM {source} WHERE ($query->{where}) AND $time IS NOT NULL AND ($time)::text !~ 'infinity') timed";
	my $sql = $query->{text};

	if ($window->{gap})
	{
		$rows = "(SELECT *, sum(starts) OVER ($partition ORDER BY $time) AS session FROM"
		  . " (SELECT *, ($time - lag($time) OVER ($partition ORDER BY $time) > $window->{gap} IS NOT FALSE)::int AS starts"
		  . " FROM $rows) gaps) islands";
		$sql =~ s/GROUP BY(.*)\Q($call)\E/GROUP BY$1session/;
		$sql =~ s/\Q$call\E/min($time)/g;
	}
	$sql =~ s/FROM \{source\}( WHERE \(\Q$query->{where}\E\))?/FROM $rows/;
	return $sql unless @{ $query->{shape}{options} };

	my $ends = $time =~ /bigint/ ? "to_timestamp($window->{ends} / 1000.0)" : "$window->{ends}::timestamp AT TIME ZONE 'UTC'";
	return "SELECT * FROM ($sql) windows WHERE $ends <= (SELECT watermark FROM velostream.stat_queries WHERE name = '$query->{name}')";
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
		base => $table->{name},
		sources => [] };
}

# A view over a table, which may leave rows and columns out.
sub view_source
{
	my ($name, $table) = @_;
	my $source = table_source($table);
	my @columns = ($source->{favourite}, different(between(3, 9), sub { pick(grep { $_->[0] ne 'k' } $table->columns) }));

	return {
		name => $name,
		columns => \@columns,
		key => [],
		favourite => $columns[0],
		base => $table->{kind} eq 'part' ? undef : $table->{name},
		sources => [ $table->{name} ],
		over => $source,
		select => 'SELECT ' . join(', ', map { $_->[0] } @columns) . " FROM $table->{name}" };
}

# A view that filters one way or another: it may be replaced.
sub create_view
{
	my ($view) = @_;
	my $where = chance(60) ? ' WHERE ' . condition($view->{over}) : '';

	$where = '' if $where =~ /false/;    # no row would be read, and counted
	return "CREATE OR REPLACE VIEW $view->{name} AS $view->{select}$where";
}

# A query's output as a source.
sub query_source
{
	my ($query) = @_;
	# averages have as many digits as it takes: their sums are rounded
	my @columns = grep { $_->[1] ne 'avg' } @{ $query->{columns} };

	push @columns, [ _op => 'text' ], [ _offset => 'int' ] if $query->{stream};
	return unless @columns;
	return {
		name => $query->{name},
		columns => \@columns,
		key => [],
		favourite => pick(@columns),
		base => $query->{name},
		stream => $query->{stream},
		sources => $query->{sources} };
}

# A new query over one of these sources.
#	create: statements that make it; name, columns: its output
#	oracle: what the output must equal; output: how to read it, if not TABLE
#	append, stream, no_data: its options; counted: a trigger counts the changes
#	dead: the column whose zeros make rows fail, which become dead letters
#	base: the relation whose rows are those of the source, if they can be counted
sub new
{
	my ($class, $name, @sources) = @_;
	my ($source, $shape);

	until ($shape)
	{
		$source = pick(@sources);
		$shape = weighted(@SHAPES)->($source);
	}
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
		logged => $source->{stream} || ($source->{table} && $source->{table}{log}),
		from_stream => $source->{stream},
		shape => $shape,
		dead => $dead,
		where => $where || 'true',
		text => $text, }, $class;

	# a planner that knows that no row passes, or none of a partition, reads none
	$self->{base} = $source->{base}
	  unless $shape->{lossy} || $where =~ /false/ || ($source->{table} && $source->{table}{kind} eq 'part' && $where =~ /\bp\b/);
	for my $trait (@TRAITS)
	{
		my ($percent, $change) = @$trait;
		$change->($self) if chance($percent);
	}
	$self->{stream_keys} = join(', ', map { $columns[$_][0] }
		  grep { my $item = $shape->{items}[$_]; grep { $_ == $item } @{ $shape->{keys} } } 0 .. $#columns)
	  if $shape->{keys};
	$self->{shadows} = $self->{append} && !$self->{from_stream};

	# rows that cannot be computed are left out
	my $from = $self->{from} = $self->{shadows} ? "${name}_counts" : $source->{name};
	$from = "(SELECT * FROM $from WHERE ($dead = 0) IS NOT TRUE)" if $dead;
	$self->{oracle} = ($shape->{oracle} ? $shape->{oracle}->($self) : $text) =~ s/\{source\}/$from s/r;
	$self->{oracle} = "SELECT $self->{list} FROM (SELECT *, row_number() OVER ($self->{partition} ORDER BY $self->{order}) AS place"
	  . " FROM ($self->{oracle}) whole) placed WHERE place <= $self->{limit}"
	  if $self->{limit};
	$self->{output} = $shape->{output} // $self->read_output;
	$self->{create} = [ $self->create ];
	return $self;
}

sub make_stream
{
	my ($self) = @_;
	my $shape = $self->{shape};

	$self->{stream} = 1 if $self->{append} ? $shape->{rows} : $shape->{keys} && $shape->{all_keys};
	return;
}

# The first rows of the result, or of each window.  Their order is total: rows
# that are equal and yet look different would do both.
sub limit
{
	my ($self) = @_;
	my $shape = $self->{shape};
	my $bag = $shape->{rows} && !$shape->{keys};

	return if $self->{stream} || $shape->{options} && @{ $shape->{options} } || $shape->{keys} && !$shape->{all_keys};
	return if grep { $_->[1] eq 'other' || $bag && $_->[1] =~ /num|float|avg/ } @{ $self->{columns} };
	my @order = grep { $_->[1] ne 'avg' } @{ $self->{columns} };

	return unless @order;
	@order = (pick(@order), @order);
	$self->{order} = join(', ', "$order[0][0] " . pick('DESC', 'ASC NULLS FIRST'), map { $_->[0] } @order);
	$self->{partition} = $shape->{window} ? 'PARTITION BY c1' : '';
	$self->{limit} = between(1, 12);
	return;
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
# from then on: <name>_counts.  It ignores what goes from then on.
sub create
{
	my ($self) = @_;
	my ($name, $source) = @$self{qw(name source)};
	my $columns = join(', ', @Torture::Tables::COLUMNS);
	my @options = ('velostream.continuous');
	my @sql;

	push @options, 'velostream.source_mode = append' if $self->{append};
	push @options, 'velostream.kind = stream' if $self->{stream};
	push @options, 'velostream.on_error = dead_letter' if $self->{dead};
	push @options, @{ $self->{shape}{options} // [] };
	@sql = ("CREATE TABLE ${name}_base AS SELECT $columns FROM $source" . ($self->{no_data} ? ' WITH NO DATA' : ''),
		"CREATE TABLE ${name}_seen AS SELECT nr FROM ${source}_log",
		"CREATE TABLE ${name}_ignored AS SELECT nr FROM ${source}_gone",
		"CREATE VIEW ${name}_counts AS SELECT $columns FROM ${name}_base UNION ALL"
		  . " SELECT $columns FROM ${source}_log l WHERE NOT EXISTS (SELECT FROM ${name}_seen s WHERE s.nr = l.nr)")
	  if $self->{shadows};
	push @sql, "CREATE TABLE $name WITH (" . join(', ', @options) . ') AS '
	  . ($self->{text} =~ s/\{source\}/$source/r)
	  . ($self->{limit} ? " ORDER BY $self->{order} LIMIT $self->{limit}" : '') . ($self->{no_data} ? ' WITH NO DATA' : '');
	push @sql, "CREATE TABLE IF NOT EXISTS ${name}_changes (nr bigserial)", "DELETE FROM ${name}_changes",
	  "CREATE TRIGGER counted AFTER INSERT OR UPDATE OR DELETE ON $name"
	  . " FOR EACH ROW EXECUTE FUNCTION public.count_change('public.${name}_changes')"
	  if $self->{counted};
	return @sql;
}

# A rebuild of an append query counts what is there now.
sub rebuild
{
	my ($self) = @_;
	my ($name, $source) = @$self{qw(name source)};
	my $columns = join(', ', @Torture::Tables::COLUMNS);

	return ("SELECT velostream.rebuild('$name')") unless $self->{shadows};
	return ("DELETE FROM ${name}_base", "INSERT INTO ${name}_base SELECT $columns FROM $source",
		"DELETE FROM ${name}_seen", "INSERT INTO ${name}_seen SELECT nr FROM ${source}_log",
		"DELETE FROM ${name}_ignored", "INSERT INTO ${name}_ignored SELECT nr FROM ${source}_gone",
		"SELECT velostream.rebuild('$name')");
}

# Figures of stat_queries that must equal what can be counted: a query whose
# result has a row for each that does not, with both numbers.
sub accounts
{
	my ($self) = @_;
	my $name = $self->{name};
	my $base = $self->{shadows} ? "${name}_counts" : $self->{base};
	my $letters = "SELECT count(*) FROM velostream.dead_letters WHERE query = '$name'::regclass";
	my %is = (dead => [ 'dead', $self->{shadows} && $self->{dead} && $self->{base}
			? "SELECT count(*) FROM $base WHERE ($self->{where}) AND $self->{dead} = 0" : $letters ],
		letters => [ 'dead', $letters ],
		ignored => [ 'ignored', $self->{shadows}
			? "SELECT count(*) FROM $self->{source}_gone g WHERE NOT EXISTS (SELECT FROM ${name}_ignored i WHERE i.nr = g.nr)"
			: 'SELECT 0' ]);

	$is{counted} = [ 'rows_in - rows_out', "SELECT count(*) FROM $base"
		  . ($self->{dead} ? " WHERE (($self->{where}) AND $self->{dead} = 0) IS NOT TRUE" : '') ]
	  if $self->{base};
	delete $is{ignored} unless $self->{base};
	$is{changes} = [ 'changes', "SELECT count(*) FROM $name" ] if $self->{stream};
	$is{changes} = [ 'changes', "SELECT count(*) FROM ${name}_changes" ] if $self->{counted};
	return "SELECT * FROM (" . join(' UNION ALL ', map {
			my ($figure, $sql) = @{ $is{$_} };
			"SELECT '$_' AS what, $figure AS shown, ($sql) AS counted FROM velostream.stat_queries WHERE name = '$name'"
		} sort keys %is) . ') a WHERE shown <> counted';
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
