"""Cloudflare's part of the local gateway: access, caching, limits, routes, and their settings."""
