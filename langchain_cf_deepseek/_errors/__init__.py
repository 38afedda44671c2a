"""Which failed response becomes which exception, and what its message says."""
