"""The benchmarks' own arithmetic, and what its server sends."""

import asyncio
from collections.abc import Iterator
from math import nan

import pytest

from tests.benchmarks.contenders import CONTENDERS
from tests.benchmarks.measures import Goal, Measure, Row
from tests.benchmarks.report import ratio, report
from tests.benchmarks.server import connections, running_server


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    with running_server() as address:
        yield address


def test_ratio_is_the_median_over_rounds_that_did_not_fail() -> None:
    figures = {"ours": [1.0, 2.0, 9.0, 1.0], "least": [2.0, 2.0, 3.0, nan], "openai": [0.0]}
    assert ratio(figures, "least") == 1.0
    assert ratio(figures, "openai") is None
    assert ratio(figures, "deepseek") is None


def test_report_has_a_table_for_each_group_and_a_result_for_each_goal() -> None:
    rows = (
        Row("cost (µs)", (Goal(0.8, "least"), Goal(0.15, "deepseek"), Goal(5))),
        Row("speed", (Goal(2.5, "least", at_least=True),)),
    )
    measure = Measure("chunk", rows, lambda *_: ())
    figures = {
        "cost (µs)": {"ours": [3.0], "least": [4.0], "deepseek": [nan]},
        "speed": {"ours": [1234.0], "least": [617.0]},
    }
    heads = "ours | minimal class | ChatDeepSeek | ours / minimal class | ours / ChatDeepSeek"
    cost_goals = "≤ 0.8 minimal class: 0.75 met; ≤ 0.15 ChatDeepSeek: failed; ≤ 5: 3 met"
    assert report([measure], figures).splitlines() == [
        "## chunk",
        "",
        f"|  | {heads} | goal |",
        "| --- | ---: | ---: | ---: | ---: | ---: | --- |",
        f"| cost (µs) | 3 | 4 | failed | 0.75 | failed | {cost_goals} |",
        "| speed | 1,234 | 617 |  | 2 |  | ≥ 2.5 minimal class: 2 **missed** |",
    ]


@pytest.mark.parametrize("how", ["packed", "brisk", "paced", "held"])
def test_benchmark_server_sends_every_chunk_in_each_mode(server: str, how: str) -> None:
    llm = CONTENDERS["ours"].make(f"{server}/{how}/20")

    async def ask() -> list[str]:
        async with llm:
            return [chunk.text async for chunk in llm.astream("hi") if chunk.text]

    with llm:
        assert [chunk.text for chunk in llm.stream("hi") if chunk.text] == ["word "] * 10
        assert llm.invoke("hi").text == "hello there"
    assert asyncio.run(ask()) == ["word "] * 10


def test_benchmark_server_counts_the_connections_that_sent_a_request(server: str) -> None:
    before = connections(server)
    with CONTENDERS["ours"].make(f"{server}/packed/20") as llm:
        for _ in range(3):
            llm.invoke("hi")
    assert connections(server) == before + 1
