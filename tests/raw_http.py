"""The server's side of HTTP, where a test says what goes over the socket."""

import socket


def read_request(connection: socket.socket) -> bool:
    """Read a request whole, for what is left unread would turn the answer into a reset.

    Returns:
        Whether there was one.
    """
    length = 0
    with connection.makefile("rb") as file:
        while (line := file.readline()) not in (b"", b"\r\n"):
            name, _, value = line.partition(b":")
            if name.lower() == b"content-length":
                length = int(value)
        file.read(length)
    return bool(line)
