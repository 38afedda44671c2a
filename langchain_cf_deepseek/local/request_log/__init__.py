"""The gateway's request log: its entries, their store, and Cloudflare's API for them."""
