"""Cloudflare's part of the local gateway: admission, cache, limits, routes, and their settings."""
