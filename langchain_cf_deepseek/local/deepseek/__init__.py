"""DeepSeek's part of the local gateway: its API, models and prompt cache."""
