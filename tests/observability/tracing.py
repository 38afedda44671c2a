"""What a tracer records of one request, in one form for all tracers."""

import re
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

_LOG_ID = re.compile(r"log id ([0-9a-f-]{36})")


@dataclass(frozen=True)
class TracedRequest:
    """One request to the model, as a tracer shows it; None is what it does not show."""

    provider: str | None = None
    requested_model: str | None = None
    served_model: str | None = None
    input_tokens: int | None = None
    output_tokens: int | None = None
    cached_tokens: int | None = None
    reasoning_tokens: int | None = None
    tool_calls: list[tuple[str, Mapping[str, Any]]] = field(default_factory=list)
    error_class: str | None = None
    log_id: str | None = None
    seconds: float = field(default=0, compare=False)


@dataclass(frozen=True)
class Tracing:
    """A tracer that is switched on."""

    read_requests: Callable[[], list[TracedRequest]]
    """Flushes, and returns what was traced, oldest first."""
    read_export: Callable[[], bytes]
    """Everything that the tracer sent or stored, uncompressed."""
    callbacks: Sequence[Any] = ()
    """Handlers to pass with a request, where the tracer does not register itself."""


@dataclass(frozen=True)
class Tracer:
    """How to switch a tracer on, and where it deviates from the response."""

    start: Callable[[Path], AbstractContextManager[Tracing]]
    modules: Sequence[str]
    """Modules that must be installed."""
    deviations: Mapping[str, Any] = field(default_factory=dict)
    """Fields of `TracedRequest` that differ for every completion, with the values shown."""
    stream_deviations: Mapping[str, Any] = field(default_factory=dict)
    """The same for streamed completions only."""
    error_deviations: Mapping[str, Any] = field(default_factory=dict)
    """The same for failed requests."""


def log_id_in(error_message: str) -> str | None:
    found = _LOG_ID.search(error_message)
    return found and found[1]
