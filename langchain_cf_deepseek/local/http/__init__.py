"""The HTTP of the local gateway: its server, and the client of an upstream server."""
