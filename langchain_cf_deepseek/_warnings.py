"""Warnings that are said once in a process, however many requests give reason for them."""

import warnings
from functools import cache


@cache
def warn_once(message: str) -> None:
    """Warn with `message`, the first time it is given."""
    warnings.warn(message, UserWarning, stacklevel=2)
