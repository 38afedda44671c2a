"""Faults that a test can request: their catalog, their specification, and how they are injected."""
