"""Every fault of the matrix, on every path: the right answer, or the typed error that is due."""

import sys
from pathlib import Path

import pytest

from langchain_cf_deepseek import ChatCloudflareDeepSeek
from langchain_cf_deepseek.errors import CFDeepSeekError
from langchain_cf_deepseek.local import LocalGateway, Reply
from tests.conftest import PATHS
from tests.fault_outcomes import MATRIX, RIGHT, End, table

CASES = [
    pytest.param(
        name,
        path,
        marks=pytest.mark.skipif(
            name == "nobody accepts the connection" and sys.platform != "linux",
            reason="other systems than Linux refuse what does not fit in the queue",
        ),
    )
    for name, row in MATRIX.items()
    for path in PATHS
    if row.end(path)
]


class _Report:
    """Prints the matrix as it was measured."""

    def __init__(self) -> None:
        self.measured: dict[str, dict[str, End]] = {}

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        terminalreporter.section("fault matrix, measured")
        for name, ends in self.measured.items():
            # Sync and async in one line where they agree, as they should.
            told: dict[str, str] = {}
            for path, end in ends.items():
                told[str(end)] = " ".join(filter(None, [told.get(str(end)), path]))
            for text, paths in told.items():
                terminalreporter.write_line(f"{name:<50} {paths:<30} {text}")


@pytest.fixture(scope="module")
def report(pytestconfig: pytest.Config) -> _Report:
    plugin = _Report()
    pytestconfig.pluginmanager.register(plugin)
    return plugin


def _end(llm: ChatCloudflareDeepSeek, path: str, reply: Reply) -> End:
    """Ask for an answer, and see what that ends in."""
    try:
        message = PATHS[path](llm, "Count")
    except CFDeepSeekError as error:
        if not reply.content.startswith(error.partial):
            pytest.fail(f"{error.partial!r} is no beginning of the answer")
        return End(type(error), error.is_retryable, bool(error.partial))
    assert message.content == reply.content
    assert message.additional_kwargs.get("reasoning_content") == reply.reasoning
    calls = [(call["name"], call["args"]) for call in message.tool_calls]
    assert calls == [(call.name, call.args) for call in reply.tool_calls]
    return RIGHT


@pytest.mark.parametrize(("name", "path"), CASES)
def test_fault_has_the_expected_outcome(
    gw: LocalGateway, report: _Report, name: str, path: str
) -> None:
    row = MATRIX[name]
    gw.reply(row.reply)
    with row.arrange(gw) as base_url:
        end = _end(gw.chat_model(base_url=base_url, max_retries=0, **row.settings), path, row.reply)
    report.measured.setdefault(name, {})[path] = end
    assert end == row.end(path)
    # Nobody followed a redirect, and nobody asked twice.
    assert len(gw.requests) <= 1


def test_failures_page_shows_the_table_of_outcomes() -> None:
    page = (Path(__file__).parent.parent / "docs" / "failures.md").read_text()
    shown = page.partition("<!-- fault matrix -->\n")[2].partition("\n<!-- end -->")[0]
    assert shown == table()
