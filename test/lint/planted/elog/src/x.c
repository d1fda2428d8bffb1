	elog(ERROR, "cannot do this");
