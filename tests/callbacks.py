"""Callback handlers that record what LangChain passes to them."""

from langchain_core.tracers import Run
from langchain_core.tracers.base import BaseTracer


class RunTracer(BaseTracer):
    """Keeps every finished run."""

    def __init__(self) -> None:
        super().__init__()
        self.runs: list[Run] = []

    def _persist_run(self, run: Run) -> None:
        self.runs.append(run)
