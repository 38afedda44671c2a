"""Faults that a test can request: specification, catalog of known failures, injection."""
