"""DeepSeek's part of the local gateway: its chat API, models, prompt cache and formats."""
