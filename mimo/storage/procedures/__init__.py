"""What was learned to do, and every run of it, as they stand in their tables."""
