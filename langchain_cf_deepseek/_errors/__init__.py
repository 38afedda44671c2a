"""Turns failed responses and invalid requests into exceptions: their class, message and hint."""
