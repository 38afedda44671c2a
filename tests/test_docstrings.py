"""The code of the docstrings runs and prints what they show."""

import ast
import re
from collections.abc import Iterator
from itertools import chain, pairwise
from pathlib import Path

import pytest

import langchain_cf_deepseek
from langchain_cf_deepseek import local
from langchain_cf_deepseek.data.routings import VARIABLES
from langchain_cf_deepseek.local import LocalGateway
from tests.doctor.expected_output import repeatable
from tests.pages import account, blocks, printed

PACKAGE = Path(langchain_cf_deepseek.__file__).parent
FILES = sorted(PACKAGE.rglob("*.py"))


def _documented() -> Iterator[tuple[str, str]]:
    """Yield name and docstring of each module, class and function that has code in it."""
    for file in FILES:
        name = str(file.relative_to(PACKAGE))
        for node in ast.walk(ast.parse(file.read_text())):
            if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
                text = ast.get_docstring(node) or ""
                if "```python" in text:
                    yield f"{name}:{getattr(node, 'name', '')}", text


DOCUMENTED = dict(_documented())


@pytest.mark.parametrize("name", DOCUMENTED)
def test_docstring_code_prints_what_the_docstring_shows(
    gw: LocalGateway, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    for variable, value in account(gw).items():
        monkeypatch.setenv(variable, value)
    names: dict[str, object] = {}
    if name.startswith("local/"):
        # The docstrings share their imports and gateway.
        names |= {public: getattr(local, public) for public in local.__all__} | {"gateway": gw}
    for block in blocks(DOCUMENTED[name], "python"):
        out = repeatable(printed(block, names, name))
        assert not block.shown or out == repeatable(block.shown)


def test_docstrings_of_the_public_classes_have_code() -> None:
    assert {
        "chat_models.py:ChatCloudflareDeepSeek",
        "gateway.py:GatewayOptions",
        "local/faults/specification.py:Fault",
        "local/gateway.py:LocalGateway",
        "local/cloudflare/rules.py:Rules",
        "logs.py:GatewayLogs",
    } <= DOCUMENTED.keys()


def _fields_from_the_environment() -> Iterator[tuple[str, str, str]]:
    """Yield variable, name and docstring of each field that is read from the environment."""
    for file in FILES:
        nodes = ast.walk(ast.parse(file.read_text()))
        bodies = [node.body for node in nodes if isinstance(node, ast.ClassDef)]
        for field, below in chain.from_iterable(map(pairwise, bodies)):
            pattern = r"^(\w+): .*from_env\((?:VARIABLES\['(\w+)'\]|'(\w+)')"
            if found := re.search(pattern, ast.unparse(field)):
                yield found[3] or VARIABLES[found[2]], found[1], ast.unparse(below)


def test_fields_read_from_the_environment_name_their_variable() -> None:
    fields = list(_fields_from_the_environment())
    assert {variable for variable, _, _ in fields} == {
        "CF_AIG_TOKEN",
        "CLOUDFLARE_ACCOUNT_ID",
        "CLOUDFLARE_AI_GATEWAY_BASE_URL",
        "CLOUDFLARE_AI_GATEWAY_ROUTING",
        "CLOUDFLARE_API_TOKEN",
        "CLOUDFLARE_BASE_URL",
        "CLOUDFLARE_GATEWAY_ID",
        "DEEPSEEK_API_KEY",
    }
    assert [name for variable, name, text in fields if variable not in text] == []
