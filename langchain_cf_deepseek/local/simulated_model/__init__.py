"""The simulated model: what it reads, what it replies, and how that is tokenized."""
