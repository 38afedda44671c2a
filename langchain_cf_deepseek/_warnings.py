"""Issues warnings once per process, not once per request."""

import warnings
from functools import cache


@cache
def warn_once(message: str) -> None:
    """Issue a `UserWarning` with `message`, unless it was issued before."""
    warnings.warn(message, UserWarning, stacklevel=2)
