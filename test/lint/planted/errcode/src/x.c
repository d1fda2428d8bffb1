	ereport(ERROR,
			(errmsg("cannot (\")\" do")));
