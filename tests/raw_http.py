"""The server side of HTTP, where a test decides which bytes are sent."""

import socket


def read_request(connection: socket.socket) -> bool:
    """Read a whole request; unread bytes would turn the response into a reset.

    Returns:
        Whether a request arrived.
    """
    length = 0
    with connection.makefile("rb") as file:
        while (line := file.readline()) not in (b"", b"\r\n"):
            name, _, value = line.partition(b":")
            if name.lower() == b"content-length":
                length = int(value)
        file.read(length)
    return bool(line)
