"""Which HTTP library is used: httpx or httpx2, whichever the `openai` SDK stands on."""

import sys
from typing import Any

import openai

_LIBRARIES = ("httpx", "httpx2")


def library_of(kind: type[Any]) -> Any:
    """Return the HTTP library that a class, or a class it inherits from, is from.

    Raises:
        ValueError: It is from none.
    """
    for base in kind.__mro__:
        root = base.__module__.partition(".")[0]
        if root in _LIBRARIES:
            return sys.modules[root]
    msg = f"{kind.__qualname__} is no class of {' or '.join(_LIBRARIES)}"
    raise ValueError(msg)


http = library_of(openai.DefaultHttpxClient)
"""The library; both have the same names."""
