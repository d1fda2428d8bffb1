# Makes a history that fails small: steps are left out as long as it still
# fails in the same way (delta debugging), within a time.
package Torture::Shrink;

use strict;
use warnings;

use Time::HiRes qw(time);
use Torture::Run;

# Write what is left to a script; in the end it says how sure that is.
sub shrink
{
	my ($server, $history, $failure, $script, $seconds) = @_;
	my $end = time + $seconds;
	my $state = {
		server => $server,
		history => $history,
		end => $end,
		kind => $failure->{kind},
		runs => 0,
		failure => $failure };
	my @steps = @{ $history->{steps} };

	# what came after the failure has not run
	@steps = @steps[ 0 .. $failure->{position} ] if $failure->{position} < @steps;
	write_script($state, $script, "as it failed", @steps);
	my $again = 0;
	for my $try (1 .. 4)
	{
		last if ($again = fails($state, @steps));
	}
	if (!$again)
	{
		write_script($state, $script, 'it did not fail again', @steps);
		return;
	}
	@steps = without_queries($state, @steps);
	@steps = reduce($state, @steps);
	write_script($state, $script, "shrunk in $state->{runs} runs", @steps);
	return;
}

# Does this still fail so?
sub fails
{
	my ($state, @steps) = @_;

	return 0 if time > $state->{end};
	$state->{runs}++;
	my $failure = Torture::Run->new($state->{server}, { %{ $state->{history} }, steps => \@steps })->run;
	return 0 unless $failure && $failure->{kind} eq $state->{kind};
	return 0 if $failure->{kind} eq 'error' && substr($failure->{text}, 0, 5) ne substr($state->{failure}{text}, 0, 5);
	$state->{failure} = $failure;
	return 1;
}

# Only the query that is wrong, what it reads from, and no other checks.
sub without_queries
{
	my ($state, @steps) = @_;
	my $name = $state->{failure}{query} or return @steps;
	my ($query) = map { $_->{query} } grep { $_->{do} eq 'create' && $_->{query}{name} eq $name } @steps;
	return @steps unless $query;
	my %needed = map { $_ => 1 } $name, @{ $query->{sources} };
	my $last = pop @steps;

	# from the boldest to the most careful
	for my $keep (
		sub { $needed{ $_->{query} ? $_->{query}{name} : $_->{table} // $name } && $_->{do} ne 'check' },
		sub { $needed{ $_->{query} ? $_->{query}{name} : $_->{table} // $name } },
		sub { !$_->{query} || $needed{ $_->{query}{name} } })
	{
		my @fewer = ((grep { $keep->() } @steps), $last);

		return @fewer if fails($state, @fewer) || fails($state, @fewer);
	}
	return (@steps, $last);
}

# Delta debugging: leave out halves, quarters, ... and in the end single steps.
sub reduce
{
	my ($state, @steps) = @_;
	my $size = int(@steps / 2) || 1;

	while (time < $state->{end})
	{
		my $smaller = 0;
		for (my $i = @steps - 1; $i >= 0 && time < $state->{end}; $i -= $size)
		{
			my $from = $i - $size + 1;
			$from = 0 if $from < 0;
			my @fewer = @steps;
			splice(@fewer, $from, $i - $from + 1);
			next unless @fewer && fails($state, @fewer);
			@steps = @fewer;
			$smaller = 1;
		}
		last if $size == 1 && !$smaller;
		$size = int(($size + 1) / 2) if $size > 1;
	}
	return @steps;
}

# A script to read, and to run by hand with a psql for each session.
sub write_script
{
	my ($state, $file, $remark, @steps) = @_;
	my %queries;

	open(my $out, '>:encoding(UTF-8)', $file) or die "$file: $!\n";
	print $out "-- seed $state->{history}{seed}, $remark: $state->{kind}\n";
	print $out "--   $_\n" for split /\n/, ($state->{failure}{query} // '') . ' ' . $state->{failure}{text};
	print $out "-- settings: wal-segsize $state->{history}{settings}{segment} MB"
	  . ($state->{history}{settings}{checksums} ? ', data checksums' : '') . "\n";
	print $out "--   $_\n" for map { split /\n/ } @{ $state->{history}{settings}{lines} };
	for my $step (@steps)
	{
		print $out "\n-- session $step->{session}" . ($step->{do} eq 'sql' ? '' : ": $step->{do}"),
		  (map { $step->{$_} ? " $_ $step->{$_}" : () } qw(which nr point how gid)), "\n";
		my @sql = $step->{do} eq 'create' ? @{ $step->{query}{create} }
		  : $step->{do} eq 'rebuild' ? $step->{query}->rebuild
		  : @{ $step->{sql} // [] };
		@sql = ("DROP TABLE $step->{query}{name}", @{ $step->{query}{create} }) if $step->{do} eq 'recreate';
		@sql = "SELECT velostream.process('$step->{query}{name}')" if $step->{do} eq 'cancel';
		@sql = uc $step->{do} if !@sql && $step->{do} =~ /^(commit|rollback)$/;
		@sql = ('BEGIN', @sql, $step->{rollback} ? 'ROLLBACK' : 'COMMIT') if @sql > 1;
		print $out "$_;\n" for @sql;
		for my $nr (0 .. $#{ $step->{writers} // [] })
		{
			print $out "-- side by side: session $nr\n", map { "$_;\n" } @{ $step->{writers}[$nr] };
		}
		$queries{ $step->{query}{name} } = $step->{query} if $step->{do} eq 'create';
		if ($step->{do} eq 'check' || ($step->{do} eq 'create' && $step->{query}{append}))
		{
			print $out "SELECT velostream.wait(timeout => '60s');\n";
		}
		if ($step->{do} eq 'check')
		{
			print $out $_->compare, ";\n", $_->accounts, ";\n" for map { $queries{$_} } sort keys %queries;
		}
	}
	close($out);
	return;
}

1;
