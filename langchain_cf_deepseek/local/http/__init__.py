"""The HTTP of the local gateway: server, event streams, and forwarding to an upstream server."""
