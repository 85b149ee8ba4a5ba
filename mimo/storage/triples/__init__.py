"""Facts, as they stand in their tables: taught, named, changed, concluded, and walked."""
