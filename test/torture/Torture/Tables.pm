# Source tables, and the values in them.
#
# All have the same columns: id (unique), p (the partition), k (the key type
# of this table), g, v, n, f, b, d, t.  A "log" has a shadow table that gets
# every row that is inserted into it, as it is inserted, in the same
# transaction: what an append query counts.
package Torture::Tables;

use strict;
use warnings;

use Torture::Random;

our @VALUES = qw(k g v n f b d t);
our @COLUMNS = (qw(id p), @VALUES);

# Key types: their name, the class that queries know them by, and values, some
# of which are equal without being the same.
my @KEYS = (
	[ 'int', 'int', -1, 0, 1, 2, 3, 2147483 ],
	[ 'bigint', 'int', 0, 1, 2, 3, '5000000000' ],
	[ 'text', 'text', 'a', 'b', 'B', '', 'a ', "\x{e9}" ],
	[ 'varchar(10)', 'text', 'a', 'b', '', 'cc' ],
	[ 'numeric', 'num', '1', '1.0', '1.00', '2', '2.5', '0.0', '-1e20' ],
	[ 'date', 'date', '2020-01-01', '2020-02-29', 'infinity', '1999-12-31' ],
	[ 'uuid', 'other', '00000000-0000-0000-0000-000000000001', '00000000-0000-0000-0000-000000000002',
		'ffffffff-ffff-ffff-ffff-ffffffffffff' ],
	[ 'pair', 'other', '(1,a)', '(1,b)', '(2,a)', '(,a)', '(,)' ],
	[ 'int[]', 'other', '{}', '{1}', '{1,2}', '{NULL,1}' ],
	[ 'interval', 'other', '1 day', '24:00:00', '1 mon', '30 days', '00:00:01' ],
	[ 'float8', 'float', '0', '-0', '1.5', 'NaN', 'Infinity' ],
	[ 'char(4)', 'text', 'a', 'a   ', 'b', '' ],
	[ 'boolean', 'bool', 't', 'f' ],
);

# Types and values of the other columns; '' stands for itself, undef for NULL.
my %DOMAINS = (
	g => [ 'int', 'int', 0 .. 5, undef ],
	v => [ 'int', 'int', -5 .. 9, 1000, undef ],
	n => [ 'numeric', 'num', '0', '1.5', '2.50', '-3.25', '100', '1e-8', '12345678901234567890.123', undef ],
	f => [ 'float8', 'float', '0', '0.5', '-2.25', '1024', undef ],
	b => [ 'boolean', 'bool', 't', 'f', undef ],
	d => [ 'date', 'date', '2021-01-01', '2021-01-02', '2021-12-31', undef ],
	t => [ 'text', 'text', 'x', 'y', '', 'xyz', undef ],
);

# A table of a seed.
sub new
{
	my ($class, $name, %params) = @_;
	my $key = pick(@KEYS);
	my $self = bless {
		name => $name,
		kind => $params{kind} // pick(qw(plain plain plain part)),
		log => $params{log} // 0,
		next_id => 1,
		partitions => 0, }, $class;

	$self->{values} = { %DOMAINS, k => [ @$key, undef ] };
	$self->{values}{n} = [ @{ $DOMAINS{n} }, 'NaN' ] if chance(20);
	$self->{values}{n} = [ @{ $self->{values}{n} }, 'Infinity', '-Infinity' ] if chance(10);
	$self->{values}{t} = [ @{ $DOMAINS{t} }, ('long') x 3 ] if chance(30);
	$self->{primary_key} = $self->{log} ? chance(40) : chance(75);
	$self->{fillfactor} = pick(100, 100, 50, 10);
	$self->{index} = chance(30);
	$self->{child} = $self->{primary_key} && chance(40);
	return $self;
}

# Columns as queries see them: name and class.
sub columns
{
	my ($self) = @_;
	return ([ id => 'int' ], [ p => 'int' ], map { [ $_ => $self->{values}{$_}[1] ] } @VALUES);
}

# The key by which a row is known, if there is one.
sub key
{
	my ($self) = @_;
	return unless $self->{primary_key};
	return $self->{kind} eq 'part' ? qw(id p) : 'id';
}

# What makes it.
sub create
{
	my ($self) = @_;
	my $name = $self->{name};
	my @columns = ('id int NOT NULL', 'p int NOT NULL', map { "$_ $self->{values}{$_}[0]" } @VALUES);
	my $primary_key = $self->{primary_key} ? ', PRIMARY KEY (' . join(', ', $self->key) . ')' : '';
	my $columns = join(', ', @columns);
	my @sql;

	if ($self->{kind} eq 'part')
	{
		@sql = (
			"CREATE TABLE $name ($columns$primary_key) PARTITION BY LIST (p)",
			"CREATE TABLE ${name}_p0 PARTITION OF $name FOR VALUES IN (0)",
			"CREATE TABLE ${name}_p1 (junk int, $columns)",
			"ALTER TABLE ${name}_p1 DROP COLUMN junk",
			"ALTER TABLE $name ATTACH PARTITION ${name}_p1 FOR VALUES IN (1)");
	}
	else
	{
		@sql = ("CREATE TABLE $name ($columns$primary_key) WITH (fillfactor = $self->{fillfactor})");
		push @sql, "ALTER TABLE $name ALTER t SET STORAGE EXTERNAL";
	}
	push @sql, "CREATE INDEX ON $name (" . pick('k', 'g', 'k, g') . ')' if $self->{index};
	push @sql, $self->create_log($columns) if $self->{log};
	push @sql, $self->create_child if $self->{child};
	return @sql;
}

sub create_log
{
	my ($self, $columns) = @_;
	my $name = $self->{name};
	my $list = join(', ', @COLUMNS);
	my $new = join(', ', map { "NEW.$_" } @COLUMNS);

	return ("CREATE TABLE ${name}_log (nr bigserial PRIMARY KEY, $columns)",
		"CREATE TABLE ${name}_gone (nr bigserial PRIMARY KEY)",
		"CREATE FUNCTION note_$name() RETURNS trigger LANGUAGE plpgsql AS \$\$ BEGIN IF TG_OP = 'INSERT' THEN"
		  . " INSERT INTO public.${name}_log ($list) VALUES ($new);"
		  . " ELSE INSERT INTO public.${name}_gone DEFAULT VALUES; END IF; RETURN NULL; END \$\$",
		"CREATE TRIGGER note AFTER INSERT OR UPDATE OR DELETE ON $name FOR EACH ROW EXECUTE FUNCTION note_$name()");
}

# Inserting into it locks the rows that it refers to.
sub create_child
{
	my ($self) = @_;
	my $name = $self->{name};
	my @key = $self->key;
	my $key = join(', ', @key);

	return "CREATE TABLE ${name}_child (" . join(', ', map { "$_ int" } @key)
	  . ", FOREIGN KEY ($key) REFERENCES $name ($key) ON UPDATE CASCADE ON DELETE " . pick('CASCADE', 'SET NULL') . ')';
}

# A value of a column as a literal.
sub literal
{
	my ($self, $column, $value) = @_;
	my $type = $self->{values}{$column}[0];

	return "NULL::$type" unless defined $value;
	return "repeat('long', 900)" if $value eq 'long';
	return "'$value'::$type";
}

sub domain
{
	my ($self, $column) = @_;
	my ($type, $class, @values) = @{ $self->{values}{$column} };
	return @values;
}

sub value { return $_[0]->literal($_[1], pick($_[0]->domain($_[1]))) }

# An expression over the integer "i" that goes through the values of a column.
sub cycle
{
	my ($self, $column) = @_;
	my ($type, $class, @values) = @{ $self->{values}{$column} };
	my $list = join(', ', map { !defined $_ ? 'NULL' : $_ eq 'long' ? "repeat('long', 900)" : "'$_'" } @values);

	return "(ARRAY[$list])[1 + (i * " . between(1, 11) . ' + ' . between(0, 20) . ') % ' . @values . "]::$type";
}

# Ids that are new, or, now and then, not.
sub ids
{
	my ($self, $count) = @_;
	my $first = $self->{next_id};

	return between(1, $first) if chance(5);
	$self->{next_id} += $count;
	return $first;
}

sub partition
{
	my ($self) = @_;
	return $self->{kind} eq 'part' ? between(0, 1 + ($self->{partitions} > 0 ? 1 : 0)) : between(0, 3);
}

1;
