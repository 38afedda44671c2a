"""Sends requests and decodes responses: clients, retries, streams. No rules of DeepSeek."""
