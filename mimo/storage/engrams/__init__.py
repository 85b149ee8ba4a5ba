"""What is remembered, as it stands in its tables: added, changed, searched, taken out and in."""
