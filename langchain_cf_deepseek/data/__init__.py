"""Facts as data."""
