"""What a check comes to."""

from dataclasses import dataclass
from typing import Literal

Outcome = Literal["ok", "warn", "fail", "skipped"]


@dataclass(frozen=True)
class Verdict:
    """What a check comes to."""

    outcome: Outcome

    found: str
    """What was found, or why the check was skipped; several lines of the settings."""

    change: str = ""
    """The one thing to change; only a failure has it."""
