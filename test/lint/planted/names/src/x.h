extern int	counter;
