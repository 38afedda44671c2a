"""Text with code in it, as programs: the blocks of a page or docstring, and what they print."""

import ast
import asyncio
import inspect
import io
import re
from collections.abc import Iterator
from contextlib import redirect_stdout
from dataclasses import dataclass
from textwrap import dedent
from typing import Any

from langchain_cf_deepseek.local import LocalGateway

_BLOCK = re.compile(
    r"^(?P<indent> *)```(?P<language>bash|python)\n(?P<code>.*?)^(?P=indent)```$"
    r"(?:\s*^(?P=indent)```text\n(?P<shown>.*?)^(?P=indent)```$)?",
    re.MULTILINE | re.DOTALL,
)


@dataclass(frozen=True)
class Block:
    """A fenced block of code, with the fenced `text` that follows it at once, if one does."""

    language: str
    code: str
    line: int
    shown: str
    """What a reader is told that the code prints."""


def blocks(text: str, language: str) -> Iterator[Block]:
    for found in _BLOCK.finditer(text):
        if found["language"] == language:
            line = text.count("\n", 0, found.start()) + 2
            yield Block(language, dedent(found["code"]), line, dedent(found["shown"] or ""))


def printed(block: Block, names: dict[str, Any], source: str) -> str:
    """Run a block of Python, which finds and leaves `names`, and return what it prints."""
    # A traceback shows the line of the page, and a docstring may hold `await`.
    code = compile(
        "\n" * (block.line - 1) + block.code,
        source,
        "exec",
        flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT,
        dont_inherit=True,
    )
    with redirect_stdout(io.StringIO()) as out:
        result = eval(code, names)  # noqa: S307 - our own pages
        if inspect.iscoroutine(result):
            asyncio.run(result)
    return out.getvalue()


def account(gateway: LocalGateway) -> dict[str, str]:
    """The environment of a reader whose account, logs included, is that of a local gateway."""
    return gateway.environment() | {
        "CLOUDFLARE_API_TOKEN": gateway.cloudflare_api_token,
        "CLOUDFLARE_BASE_URL": f"{gateway.url}/client/v4",
    }
