"""The pages: their code prints what they show, and what they name exists."""

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from pkgutil import resolve_name

import pytest
from pydantic import SecretStr

import langchain_cf_deepseek
from langchain_cf_deepseek import ChatCloudflareDeepSeek
from langchain_cf_deepseek.local import LocalGateway
from tests.doctor.expected_output import repeatable
from tests.pages import account, anchors, blocks, code_words, printed, tree

ROOT = Path(__file__).parent.parent
PACKAGE = Path(langchain_cf_deepseek.__file__).parent
PAGES = {
    page.relative_to(ROOT).as_posix(): page.read_text()
    for page in sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/*.md")])
}
ARCHITECTURE = "docs/architecture.md"
GUIDES = ["CONTRIBUTING.md", ARCHITECTURE]

NAMED_TEST = re.compile(r"`([\w/]+\.py)::(test_\w+)`")
LINK = re.compile(r"\]\((?!https?:)([^)#]*)#?([^)]*)\)")

# Run as printed, in new environments, by `.ci/run` and `.ci/package`.
INSTALLATION = re.compile(r"python3 -m venv |\.venv/bin/pip |\.venv/bin/pytest ")


def _pages_with(text: str) -> list[str]:
    return [name for name, page in PAGES.items() if text in page]


@pytest.fixture
def _account_of_a_reader(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    with LocalGateway(stored_key={"search-team": "local-deepseek-key"}) as gateway:
        for name, value in account(gateway).items():
            monkeypatch.setenv(name, value)
        yield


@pytest.mark.usefixtures("_account_of_a_reader")
@pytest.mark.parametrize("page", _pages_with("```python\n"))
def test_the_python_of_a_page_prints_what_the_page_shows(page: str) -> None:
    names: dict[str, object] = {"__name__": "__main__"}
    # Ray is large, so only `.ci/run` has it, in the environment of the notebooks.
    has_ray = find_spec("ray") is not None
    code = [b for b in blocks(PAGES[page], "python") if has_ray or "import ray" not in b.code]
    assert {block.line: repeatable(printed(block, names, page)) for block in code} == {
        block.line: repeatable(block.shown) for block in code
    }


@pytest.mark.parametrize("page", _pages_with("```bash\n"))
def test_the_commands_of_a_page_print_what_the_page_shows(page: str) -> None:
    here = str(Path(sys.executable).parent)
    for block in blocks(PAGES[page], "bash"):
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


def test_the_exports_of_the_readme_are_all_that_a_model_needs(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name, value in re.findall(r"^export (\w+)=(\S+)$", PAGES["README.md"], re.MULTILINE):
        monkeypatch.setenv(name, value)
    llm = ChatCloudflareDeepSeek(model="deepseek-flash")
    path = "/v1/0123456789abcdef0123456789abcdef/my-gateway/deepseek/chat/completions"
    assert llm.endpoint == f"https://gateway.ai.cloudflare.com{path}"
    assert llm.api_key == SecretStr("sk-...")


@pytest.mark.parametrize("page", _pages_with(".py::test_"))
def test_the_tests_that_a_page_names_exist(page: str) -> None:
    missing = [
        (file, name)
        for file, name in NAMED_TEST.findall(PAGES[page])
        if not re.search(rf"^def {name}\(", (ROOT / "tests" / file).read_text(), re.MULTILINE)
    ]
    assert missing == []


@pytest.mark.parametrize("page", PAGES)
def test_the_links_of_a_page_lead_somewhere(page: str) -> None:
    broken = []
    for target, anchor in LINK.findall(PAGES[page]):
        file = (ROOT / page).parent / target if target else ROOT / page
        if not file.exists() or (anchor and anchor not in anchors(file.read_text())):
            broken.append((target, anchor))
    assert broken == []


@pytest.mark.parametrize("guide", GUIDES)
def test_the_files_that_a_guide_names_exist(guide: str) -> None:
    words = code_words(PAGES[guide])
    named = [word for word in words if re.fullmatch(r"[\w.-]+(/[\w.-]*)+|\w+\.(py|toml|md)", word)]
    if not (ROOT / ".ci").exists():  # a source distribution has none
        named = [name for name in named if not name.startswith(".ci/")]
    assert named
    assert [n for n in named if not (ROOT / n).exists() and not (PACKAGE / n).exists()] == []


@pytest.mark.parametrize("page", _pages_with("tests"))
def test_the_test_modules_that_a_page_names_exist(page: str) -> None:
    named = [word for word in code_words(PAGES[page]) if re.match(r"tests[./]", word)]
    files = [name if "/" in name else name.replace(".", "/") for name in named]
    assert [f for f in files if not (ROOT / f).exists() and not (ROOT / f"{f}.py").exists()] == []


@pytest.mark.parametrize("guide", GUIDES)
def test_the_modules_and_functions_that_a_guide_names_exist(guide: str) -> None:
    rooms = {PACKAGE.name, *(path.stem for path in PACKAGE.iterdir())}
    named = [
        word
        for word in code_words(PAGES[guide])
        if re.fullmatch(r"\w+(\.\w+)+", word)
        and word.partition(".")[0] in rooms
        and not word.endswith((".py", ".toml"))
    ]
    assert named
    for name in named:
        resolve_name(f"{PACKAGE.name}.{name.removeprefix(f'{PACKAGE.name}.')}")


def test_the_map_of_the_package_shows_every_module() -> None:
    modules = {
        path.relative_to(PACKAGE.parent).as_posix()
        for path in [*PACKAGE.rglob("*.py"), *PACKAGE.rglob("*.toml")]
        if path.name != "__init__.py"
    }
    shown = tree(PAGES[ARCHITECTURE], PACKAGE.name)
    assert set(shown) == modules
    assert len(shown) == len(modules)
