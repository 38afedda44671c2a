"""The simulated model: how it reads a conversation, what it replies, and in which tokens."""
