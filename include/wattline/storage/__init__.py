"""Where rows live: one contract a table, one protocol, one adapter a database."""
