"""The gateway's log of requests: entries, storage, and Cloudflare's API for them."""
