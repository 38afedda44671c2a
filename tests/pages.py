"""The parts of a page or docstring: blocks of code, what they print, names, headings, trees."""

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
    """A fenced block of code, with the fenced `text` directly after it, if there is one."""

    language: str
    code: str
    line: int
    shown: str
    """The output that the page shows."""


def blocks(text: str, language: str) -> Iterator[Block]:
    for found in _BLOCK.finditer(text):
        if found["language"] == language:
            line = text.count("\n", 0, found.start()) + 2
            yield Block(language, dedent(found["code"]), line, dedent(found["shown"] or ""))


def printed(block: Block, names: dict[str, Any], source: str) -> str:
    """Run a block of Python with the globals `names`, and return what it prints."""
    # So that a traceback shows the line of the page; examples in docstrings can `await`.
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


def code_words(text: str) -> list[str]:
    """Return the words of a page that are between backticks."""
    return [word for code in re.findall(r"`([^`\n]+)`", text) for word in code.split()]


def anchors(text: str) -> set[str]:
    """Return the anchors of the headings of a page, as GitHub names them."""
    headings = re.findall(r"^#+ (.+)$", text, re.MULTILINE)
    return {re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings}


def tree(text: str, root: str) -> list[str]:
    """Return the files of the tree that a page draws of the folder `root`, as paths."""
    drawn = text.partition(f"\n{root}/\n")[2].partition("\n```")[0]
    folders: list[str] = []
    files = []
    for line in drawn.splitlines():
        name = line.split()[0]
        depth = (len(line) - len(line.lstrip())) // 2 - 1
        folders[depth:] = [name] if name.endswith("/") else []
        if not name.endswith("/"):
            files.append(f"{root}/{''.join(folders)}{name}")
    return files


def account(gateway: LocalGateway) -> dict[str, str]:
    """The environment of a reader whose account, logs included, is that of a local gateway."""
    return gateway.environment() | {
        "CLOUDFLARE_API_TOKEN": gateway.cloudflare_api_token,
        "CLOUDFLARE_BASE_URL": f"{gateway.url}/client/v4",
    }
