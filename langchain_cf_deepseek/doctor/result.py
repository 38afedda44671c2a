"""The result of a check."""

from dataclasses import dataclass
from typing import Literal

Outcome = Literal["ok", "warn", "fail", "skipped"]


@dataclass(frozen=True)
class CheckResult:
    """The result of a check."""

    outcome: Outcome

    found: str
    """What was found, or which failed check made this one be skipped."""

    change: str = ""
    """The one thing to change; only a failure has it."""
