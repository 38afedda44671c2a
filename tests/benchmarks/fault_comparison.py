"""What other clients make of the faults of the matrix, measured beside ours.

    python -m tests.benchmarks.fault_comparison

prints a table in Markdown. Every call has the same bounds: the settings of the row, no retries.
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
from tests.fault_outcomes import MATRIX, STREAMED, WHOLE, End, Row

HANGS_AFTER = 5.0
"""Seconds; every bound that a row sets is far below."""

RIGHT = "right"
TAKEN = "**taken for an answer**"
HANGS = "**hangs**"
ANONYMOUS = "anonymous"

KNOWN = (ModelError, openai.APIStatusError, openai.APIConnectionError, TimeoutError)
"""The classes that tell what happened."""


def _told(error: BaseException, due: End) -> str:
    """Name an error, whether it tells what happened, and where it is wrong about a retry.

    A class that only a bug or a library beneath raises, or the root that the SDK raises when it
    knows no better, is anonymous: nobody can decide by it.
    """
    name = type(error).__name__
    if not isinstance(error, KNOWN):
        return f"{ANONYMOUS} `{name}`"
    advice = ""
    if isinstance(error, ModelError) and due.error and error.is_retryable is not due.retryable:
        advice = f", {'' if error.is_retryable else 'not '}retryable"
    return f"`{name}`{advice}"


def _judged(message: AIMessage, due: End, reply: Reply) -> str:
    calls = [(call["name"], call["args"]) for call in message.tool_calls]
    expected = [(call.name, call.args) for call in reply.tool_calls]
    is_right = (message.text, calls) == (reply.content, expected)
    return RIGHT if is_right and due.error is None else TAKEN


def _end(client: str, path: str, row: Row, due: End) -> str:
    ends: list[str] = []

    def ask() -> None:
        try:
            message = PATHS[path](llm, "Count")
        except Exception as error:  # noqa: BLE001 - whatever it is, it is measured
            ends.append(_told(error, due))
        else:
            ends.append(_judged(message, due, row.reply))

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
    # The gateway is gone, which ends every call.
    thread.join()
    return ends[0] + (", **after taking the gateway token there**" if followed else "")


def _cell(ends: dict[str, str]) -> str:
    """Say once what several paths have in common."""
    if len(set(ends.values())) == 1:
        return next(iter(ends.values()))
    groups = [
        (kind, {path: ends[path] for path in paths if path in ends})
        for kind, paths in (("invoke", WHOLE), ("stream", STREAMED))
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
    """Run every row over every client and path, and print what each gave."""
    warnings.simplefilter("ignore")
    # The clients of others outlive their event loops, which asyncio has much to say about.
    logging.disable()
    header = f"{' | '.join(CLIENTS)} |\n{'| --- ' * (len(CLIENTS) + 1)}|"
    counts: dict[str, Counter[str]] = {client: Counter() for client in CLIENTS}
    print(f"| what happens | {header}")
    for name, row in MATRIX.items():
        cells = []
        for client in CLIENTS:
            ends = {path: _end(client, path, row, due) for path in PATHS if (due := row.end(path))}
            counts[client].update(map(_kind, ends.values()))
            cells.append(_cell(ends))
        print(f"| {name} | {' | '.join(cells)} |", flush=True)
    print(f"\n| of {sum(counts['here'].values())} calls | {header}")
    for kind in (RIGHT, "typed error", "anonymous error", TAKEN, HANGS):
        print(f"| {kind} | {' | '.join(str(counts[client][kind]) for client in CLIENTS)} |")


if __name__ == "__main__":
    main()
