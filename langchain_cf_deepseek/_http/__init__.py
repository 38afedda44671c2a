"""Requests out, bytes in: clients, retries, and decoding of responses. No rules of DeepSeek."""
