"""The HTTP library that the `openai` SDK uses: httpx or httpx2."""

import sys
from typing import Any

import openai

_LIBRARIES = ("httpx", "httpx2")


def library_of(kind: type[Any]) -> Any:
    """Return the HTTP library that a class or one of its bases comes from.

    Raises:
        ValueError: It comes from neither.
    """
    for base in kind.__mro__:
        root = base.__module__.partition(".")[0]
        if root in _LIBRARIES:
            return sys.modules[root]
    msg = f"{kind.__qualname__} is not a class of {' or '.join(_LIBRARIES)}"
    raise ValueError(msg)


http = library_of(openai.DefaultHttpxClient)
"""The library of the SDK; both libraries have the same names."""
