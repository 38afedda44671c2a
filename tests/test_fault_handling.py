"""Every fault on every path: the completion or the typed error that is expected."""

import sys
from pathlib import Path

import pytest

from langchain_cf_deepseek import ChatCloudflareDeepSeek
from langchain_cf_deepseek.errors import CFDeepSeekError
from langchain_cf_deepseek.local import LocalGateway, Reply
from tests.conftest import PATHS
from tests.fault_outcomes import COMPLETION, EXPECTED_OUTCOMES, Outcome, outcomes_table

CASES = [
    pytest.param(
        name,
        path,
        marks=pytest.mark.skipif(
            name == "connection not accepted" and sys.platform != "linux",
            reason="other systems than Linux refuse what does not fit in the queue",
        ),
    )
    for name, row in EXPECTED_OUTCOMES.items()
    for path in PATHS
    if row.outcome(path)
]


class _OutcomeReport:
    """Prints the outcomes that were measured."""

    def __init__(self) -> None:
        self.measured: dict[str, dict[str, Outcome]] = {}

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        terminalreporter.section("outcomes of faults, measured")
        for name, ends in self.measured.items():
            # Sync and async in one line where they agree, as they should.
            paths_by_text: dict[str, str] = {}
            for path, end in ends.items():
                paths_by_text[str(end)] = " ".join(
                    filter(None, [paths_by_text.get(str(end)), path])
                )
            for text, paths in paths_by_text.items():
                terminalreporter.write_line(f"{name:<50} {paths:<30} {text}")


@pytest.fixture(scope="module")
def report(pytestconfig: pytest.Config) -> _OutcomeReport:
    plugin = _OutcomeReport()
    pytestconfig.pluginmanager.register(plugin)
    return plugin


def _outcome(llm: ChatCloudflareDeepSeek, path: str, reply: Reply) -> Outcome:
    """Return the outcome of one request."""
    try:
        message = PATHS[path](llm, "Count")
    except CFDeepSeekError as error:
        if not reply.content.startswith(error.partial):
            pytest.fail(f"{error.partial!r} is not the start of the text")
        return Outcome(type(error), error.is_retryable, bool(error.partial))
    assert message.content == reply.content
    assert message.additional_kwargs.get("reasoning_content") == reply.reasoning
    calls = [(call["name"], call["args"]) for call in message.tool_calls]
    assert calls == [(call.name, call.args) for call in reply.tool_calls]
    return COMPLETION


@pytest.mark.parametrize(("name", "path"), CASES)
def test_fault_has_the_expected_outcome(
    gw: LocalGateway, report: _OutcomeReport, name: str, path: str
) -> None:
    row = EXPECTED_OUTCOMES[name]
    gw.reply(row.reply)
    with row.arrange(gw) as base_url:
        end = _outcome(
            gw.chat_model(base_url=base_url, max_retries=0, **row.settings), path, row.reply
        )
    report.measured.setdefault(name, {})[path] = end
    assert end == row.outcome(path)
    # No redirect was followed, and no request was repeated.
    assert len(gw.requests) <= 1


def test_failures_page_shows_the_table_of_outcomes() -> None:
    page = (Path(__file__).parent.parent / "docs" / "failures.md").read_text()
    shown = page.partition("<!-- fault matrix -->\n")[2].partition("\n<!-- end -->")[0]
    assert shown == outcomes_table()
