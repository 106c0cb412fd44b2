"""What the providers deliver, turned into our names, units, UTC days and north-first grids, or refused."""
