"""The outcomes of faults with other clients, measured next to this one.

    python -m tests.benchmarks.fault_comparison

prints a table in Markdown. Every call has the same settings, those of the case, and no retries.
"""

import logging
import threading
import warnings
from collections import Counter

import openai
from langchain_core.exceptions import ModelError
from langchain_core.messages import AIMessage

from langchain_cf_deepseek.local import LocalGateway, Reply
from tests.benchmarks.clients import CLIENTS, TOKEN
from tests.conftest import PATHS
from tests.fault_outcomes import EXPECTED_OUTCOMES, INVOKE_PATHS, STREAM_PATHS, FaultCase, Outcome

HANGS_AFTER = 5.0
"""Seconds; far above every timeout that a case sets."""

RIGHT = "right"
TAKEN = "**taken for an answer**"
HANGS = "**hangs**"
ANONYMOUS = "anonymous"

TYPED_ERRORS = (ModelError, openai.APIStatusError, openai.APIConnectionError, TimeoutError)
"""The classes that say what happened."""


def _describe_error(error: BaseException, expected: Outcome) -> str:
    """Return the name of an error, whether it is typed, and where it is wrong about a retry.

    A class that only a bug or a lower library raises, and the SDK's root class, are anonymous:
    a program cannot decide by them.
    """
    name = type(error).__name__
    if not isinstance(error, TYPED_ERRORS):
        return f"{ANONYMOUS} `{name}`"
    advice = ""
    if (
        isinstance(error, ModelError)
        and expected.error
        and error.is_retryable is not expected.retryable
    ):
        advice = f", {'' if error.is_retryable else 'not '}retryable"
    return f"`{name}`{advice}"


def _judge_message(message: AIMessage, expected: Outcome, reply: Reply) -> str:
    calls = [(call["name"], call["args"]) for call in message.tool_calls]
    scripted = [(call.name, call.args) for call in reply.tool_calls]
    is_right = (message.text, calls) == (reply.content, scripted)
    return RIGHT if is_right and expected.error is None else TAKEN


def _measure(client: str, path: str, row: FaultCase, expected: Outcome) -> str:
    ends: list[str] = []

    def ask() -> None:
        try:
            message = PATHS[path](llm, "Count")
        except Exception as error:  # noqa: BLE001 - every error is measured
            ends.append(_describe_error(error, expected))
        else:
            ends.append(_judge_message(message, expected, row.reply))

    with LocalGateway() as gw:
        gw.reply(row.reply)
        with row.arrange(gw) as base_url:
            llm = CLIENTS[client](gw, base_url, max_retries=0, **row.settings)
            thread = threading.Thread(target=ask)
            thread.start()
            thread.join(HANGS_AFTER)
            if thread.is_alive():
                ends.append(HANGS)
        followed = [request for request in gw.requests[1:] if TOKEN in request.headers]
    # Closing the gateway has ended every call.
    thread.join()
    return ends[0] + (", **after taking the gateway token there**" if followed else "")


def _cell(ends: dict[str, str]) -> str:
    """Return a table cell that names paths only where they differ."""
    if len(set(ends.values())) == 1:
        return next(iter(ends.values()))
    groups = [
        (kind, {path: ends[path] for path in paths if path in ends})
        for kind, paths in (("invoke", INVOKE_PATHS), ("stream", STREAM_PATHS))
    ]
    cells = []
    for kind, group in groups:
        same = len(set(group.values())) == 1
        cells += (
            [f"{kind}: {next(iter(group.values()))}"]
            if same
            else [f"{path}: {end}" for path, end in group.items()]
        )
    return "; ".join(cells)


def _kind(end: str) -> str:
    for kind in (RIGHT, TAKEN, HANGS):
        if end.startswith(kind):
            return kind
    return "anonymous error" if end.startswith(ANONYMOUS) else "typed error"


def main() -> None:
    """Run every case with every client and path, and print the outcomes."""
    warnings.simplefilter("ignore")
    # Other clients outlive their event loops, which asyncio logs at length.
    logging.disable()
    header = f"{' | '.join(CLIENTS)} |\n{'| --- ' * (len(CLIENTS) + 1)}|"
    counts: dict[str, Counter[str]] = {client: Counter() for client in CLIENTS}
    print(f"| what happens | {header}")
    for name, row in EXPECTED_OUTCOMES.items():
        cells = []
        for client in CLIENTS:
            ends = {
                path: _measure(client, path, row, expected)
                for path in PATHS
                if (expected := row.outcome(path))
            }
            counts[client].update(map(_kind, ends.values()))
            cells.append(_cell(ends))
        print(f"| {name} | {' | '.join(cells)} |", flush=True)
    print(f"\n| of {sum(counts['here'].values())} calls | {header}")
    for kind in (RIGHT, "typed error", "anonymous error", TAKEN, HANGS):
        print(f"| {kind} | {' | '.join(str(counts[client][kind]) for client in CLIENTS)} |")


if __name__ == "__main__":
    main()
