"""What the pages say is so: their code runs from top to bottom and prints what they show."""

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

import pytest

from langchain_cf_deepseek.local import LocalGateway
from tests.doctor.expected_output import repeatable
from tests.pages import account, blocks, printed

ROOT = Path(__file__).parent.parent
PAGES = sorted([ROOT / "README.md", *(ROOT / "docs").glob("*.md")])
README = (ROOT / "README.md").read_text()

# Run as printed, in new environments, by `.ci/run` and `.ci/package`.
INSTALLATION = re.compile(r"python3 -m venv |\.venv/bin/pip |\.venv/bin/pytest ")


@pytest.fixture
def _account_of_a_reader(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    with LocalGateway(stored_key={"search-team": "local-deepseek-key"}) as gateway:
        for name, value in account(gateway).items():
            monkeypatch.setenv(name, value)
        yield


@pytest.mark.usefixtures("_account_of_a_reader")
@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_the_python_of_a_page_prints_what_the_page_shows(page: Path) -> None:
    names: dict[str, object] = {"__name__": "__main__"}
    # Ray is large, so only `.ci/run` has it, in the environment of the notebooks.
    has_ray = find_spec("ray") is not None
    code = [b for b in blocks(page.read_text(), "python") if has_ray or "import ray" not in b.code]
    assert {block.line: repeatable(printed(block, names, str(page))) for block in code} == {
        block.line: repeatable(block.shown) for block in code
    }


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_the_commands_of_a_page_print_what_the_page_shows(page: Path) -> None:
    here = str(Path(sys.executable).parent)
    for block in blocks(page.read_text(), "bash"):
        lines = [line for line in block.code.splitlines() if not INSTALLATION.match(line)]
        done = subprocess.run(  # noqa: S603 - our own pages
            ["bash", "-euo", "pipefail", "-c", "\n".join(lines).replace(".venv/bin/", "")],  # noqa: S607
            env=os.environ | {"PATH": f"{here}:{os.environ['PATH']}"},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=True,
            timeout=60,
        )
        assert repeatable(done.stdout) == repeatable(block.shown)


def test_the_tests_that_the_readme_names_exist() -> None:
    named = re.findall(r"`(test_\w+\.py)::(test_\w+)`", README)
    missing = [
        (file, name)
        for file, name in named
        if not re.search(rf"^def {name}\(", (ROOT / "tests" / file).read_text(), re.MULTILINE)
    ]
    assert named
    assert missing == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_the_links_of_a_page_lead_somewhere(page: Path) -> None:
    targets = re.findall(r"\]\((?!https?:|#)([^)#]+)", page.read_text())
    assert [target for target in targets if not (page.parent / target).exists()] == []
