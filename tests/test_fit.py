"""The model in LangChain's configuration, tracing, graphs and middleware."""

import asyncio
import json
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import groupby
from typing import Any

import pytest
from langchain.agents import create_agent
from langchain.agents.middleware import (
    ModelCallLimitMiddleware,
    ModelRetryMiddleware,
    SummarizationMiddleware,
)
from langchain.chat_models import init_chat_model
from langchain_core.callbacks import BaseCallbackHandler
from langchain_core.messages import AIMessage, HumanMessage, message_chunk_to_message
from langchain_core.prompts import ChatPromptTemplate
from langchain_core.runnables import ConfigurableField, RunnableConfig
from langchain_core.tracers import LangChainTracer
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.graph import START, MessagesState, StateGraph
from langsmith import Client

from langchain_cf_deepseek import CFDeepSeekAPIError, ChatCloudflareDeepSeek
from langchain_cf_deepseek.local import LocalGateway
from tests.conftest import Ask
from tests.tools import get_weather

QUESTION = "What is the weather in Paris? Use the tool."
AT_ONCE = 3


class _Started(BaseCallbackHandler):
    """Records the arguments of the start of a run."""

    def __init__(self) -> None:
        self.runs: list[dict[str, Any]] = []

    def on_chat_model_start(self, *_: Any, **told: Any) -> None:
        own = {name: told["metadata"].get(name) for name in ("job", "ls_provider")}
        self.runs.append({"name": told["name"], "tags": told["tags"], "metadata": own})


def test_run_tags_metadata_and_name_reach_callbacks_and_are_never_sent(
    gw: LocalGateway, ask: Ask
) -> None:
    started = _Started()
    config: RunnableConfig = {
        "callbacks": [started],
        "metadata": {"job": "nightly"},
        "run_name": "weather",
        "tags": ["search"],
    }
    llm = gw.chat_model()
    ask(llm, "Hello")
    ask(llm, "Hello", config=config)
    assert started.runs == [
        {
            "name": "weather",
            "tags": ["search"],
            "metadata": {"job": "nightly", "ls_provider": "deepseek"},
        }
    ]
    without, with_config = ((request.body, request.headers) for request in gw.requests)
    assert with_config == without


class _Meeting(BaseCallbackHandler):
    """Holds runs until `AT_ONCE` of them have started, and counts them."""

    def __init__(self) -> None:
        self._all_here = threading.Barrier(AT_ONCE, timeout=10)
        self._lock = threading.Lock()
        self._now = 0
        self.most = 0

    def on_chat_model_start(self, *_: Any, **__: Any) -> None:
        with self._lock:
            self._now += 1
            self.most = max(self.most, self._now)
        self._all_here.wait()

    def on_llm_end(self, *_: Any, **__: Any) -> None:
        with self._lock:
            self._now -= 1


def _batch(llm: ChatCloudflareDeepSeek, asked: list[Any], config: RunnableConfig) -> Any:
    return llm.batch(asked, config)


def _abatch(llm: ChatCloudflareDeepSeek, asked: list[Any], config: RunnableConfig) -> Any:
    return asyncio.run(llm.abatch(asked, config))


@pytest.mark.parametrize("batch", [_batch, _abatch])
def test_batch_has_at_most_max_concurrency_requests_in_flight(
    gw: LocalGateway, batch: Callable[..., list[AIMessage]]
) -> None:
    meeting = _Meeting()
    config: RunnableConfig = {"callbacks": [meeting], "max_concurrency": AT_ONCE}
    answers = batch(gw.chat_model(), [f"What is {n} + 1?" for n in range(3 * AT_ONCE)], config)
    assert [answer.text for answer in answers] == [f"{n} + 1 = {n + 1}" for n in range(3 * AT_ONCE)]
    assert meeting.most == AT_ONCE


def test_batch_returns_typed_errors_with_return_exceptions(
    gw: LocalGateway,
) -> None:
    gw.fail_next("spend-limit")
    found = gw.chat_model().batch(
        ["What is 1 + 1?", "What is 2 + 2?"], {"max_concurrency": 1}, return_exceptions=True
    )
    assert [getattr(one, "code", None) or one.text for one in found] == [2045, "2 + 2 = 4"]


class _LangSmith(ThreadingHTTPServer):
    """Receives the runs that a tracer sends to LangSmith."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _LangSmithHandler)
        self.runs: dict[str, dict[str, Any]] = {}


class _LangSmithHandler(BaseHTTPRequestHandler):
    server: _LangSmith

    def do_POST(self) -> None:
        run = json.loads(self.rfile.read(int(self.headers["content-length"])))
        self.server.runs.setdefault(run["id"], {}).update(run)
        self.send_response(202)
        self.send_header("content-length", "2")
        self.end_headers()
        self.wfile.write(b"{}")

    def do_PATCH(self) -> None:
        self.do_POST()

    def log_message(self, *_: Any) -> None:
        """Log nothing."""


@pytest.fixture
def langsmith() -> Iterator[_LangSmith]:
    with _LangSmith() as server:
        serving = threading.Thread(target=server.serve_forever)
        serving.start()
        yield server
        server.shutdown()
        serving.join()


def test_langsmith_receives_provider_model_usage_and_metadata_and_no_credential(
    gw: LocalGateway, ask: Ask, langsmith: _LangSmith
) -> None:
    client = Client(
        api_url=f"http://127.0.0.1:{langsmith.server_port}",
        api_key="langsmith-key",
        auto_batch_tracing=False,
    )
    gw.reply(content="Rayleigh scattering.", reasoning="Short waves.", cached_tokens=4)
    llm = gw.chat_model(temperature=0.5)
    tracer = LangChainTracer(client=client)
    message = ask(llm, "Why is the sky blue?", config={"callbacks": [tracer]})
    (run,) = langsmith.runs.values()
    told = run["extra"]["metadata"]
    names = ("ls_provider", "ls_model_name", "ls_model_type", "ls_temperature", "usage_metadata")
    assert {name: told[name] for name in names} == {
        "ls_provider": "deepseek",
        "ls_model_name": "deepseek-flash",
        "ls_model_type": "chat",
        "ls_temperature": 0.5,
        "usage_metadata": message.usage_metadata,
    }
    sent = run["outputs"]["generations"][0][0]["message"]["kwargs"]
    assert sent["additional_kwargs"] == {"reasoning_content": "Short waves."}
    assert sent["response_metadata"] == message.response_metadata
    assert gw.api_key not in json.dumps(run)
    assert gw.gateway_token not in json.dumps(run)


def _graph(llm: ChatCloudflareDeepSeek, *, is_async: bool, saver: Any = None) -> Any:
    def answer(state: MessagesState) -> dict[str, Any]:
        return {"messages": llm.invoke(state["messages"])}

    async def aanswer(state: MessagesState) -> dict[str, Any]:
        return {"messages": await llm.ainvoke(state["messages"])}

    graph = StateGraph(MessagesState)
    graph.add_node("answer", aanswer if is_async else answer)
    graph.add_edge(START, "answer")
    return graph.compile(checkpointer=saver)


def _streamed(graph: Any, asked: Any, modes: list[str]) -> list[Any]:
    return list(graph.stream(asked, stream_mode=modes))


def _astreamed(graph: Any, asked: Any, modes: list[str]) -> list[Any]:
    async def collect() -> list[Any]:
        return [part async for part in graph.astream(asked, stream_mode=modes)]

    return asyncio.run(collect())


@pytest.mark.parametrize("is_async", [False, True], ids=["stream", "astream"])
def test_graph_stream_modes_give_the_same_message(gw: LocalGateway, is_async: bool) -> None:
    gw.reply(content="Rayleigh scattering.", reasoning="Short waves.")
    stream = _astreamed if is_async else _streamed
    parts = stream(
        _graph(gw.chat_model(), is_async=is_async),
        {"messages": [HumanMessage("Why is the sky blue?", id="1")]},
        ["messages", "updates", "values"],
    )
    (updated,) = (part["answer"]["messages"] for mode, part in parts if mode == "updates")
    *_, last = (part["messages"] for mode, part in parts if mode == "values")
    chunks = [part[0] for mode, part in parts if mode == "messages"]
    summed = message_chunk_to_message(sum(chunks[1:], chunks[0]))
    assert last == [HumanMessage("Why is the sky blue?", id="1"), updated]
    assert summed == updated
    assert updated.text == "Rayleigh scattering."
    kinds = [
        "reasoning" if chunk.additional_kwargs else "text"
        for chunk in chunks
        if chunk.additional_kwargs or chunk.text
    ]
    assert [kind for kind, _ in groupby(kinds)] == ["reasoning", "text"]


def test_graph_keeps_a_conversation_and_sends_its_reasoning_back(gw: LocalGateway) -> None:
    graph = _graph(gw.chat_model(), is_async=False, saver=InMemorySaver())
    config: RunnableConfig = {"configurable": {"thread_id": "1"}}
    gw.reply(content="Rayleigh scattering.", reasoning="Short waves.")
    graph.invoke({"messages": "Why is the sky blue?"}, config)
    state = graph.invoke({"messages": "Really?"}, config)
    assert [message.type for message in state["messages"]] == ["human", "ai", "human", "ai"]
    assert gw.requests[-1].body["messages"] == [
        {"role": "user", "content": "Why is the sky blue?"},
        {
            "role": "assistant",
            "content": "Rayleigh scattering.",
            "reasoning_content": "Short waves.",
        },
        {"role": "user", "content": "Really?"},
    ]


def test_model_call_limit_counts_calls_of_the_agent_and_not_retries(
    gw: LocalGateway,
) -> None:
    agents: list[Any] = [
        create_agent(
            gw.chat_model(),
            [get_weather],
            middleware=[ModelCallLimitMiddleware(run_limit=limit)],
        )
        for limit in (1, 2)
    ]
    gw.fail_next("deepseek-busy")
    texts = [agent.invoke({"messages": QUESTION})["messages"][-1].text for agent in agents]
    assert texts == [
        "Model call limits exceeded: run limit (1/1)",
        "get_weather: 18 degrees in Paris",
    ]
    assert len(gw.requests) == 2 + 2


@pytest.mark.parametrize(("above", "requests"), [(0, 2), (1, 1)])
def test_summarization_middleware_uses_the_models_token_counter(
    gw: LocalGateway, above: int, requests: int
) -> None:
    llm = gw.chat_model()
    history = [HumanMessage("Long ago. " * 50), AIMessage("Indeed."), HumanMessage("Hello")]
    counter: Any = llm.get_num_tokens_from_messages
    agent: Any = create_agent(
        llm,
        middleware=[
            SummarizationMiddleware(
                llm,
                trigger=("tokens", counter(history) + above),
                keep=("messages", 1),
                token_counter=counter,
            )
        ],
    )
    agent.invoke({"messages": history})
    assert len(gw.requests) == requests


def test_attempts_of_gateway_client_and_middleware_multiply(gw: LocalGateway) -> None:
    gw.fail_next("deepseek-busy", times=None)
    agent: Any = create_agent(
        gw.chat_model(gateway={"max_attempts": 2, "retry_delay_ms": 1}, max_retries=1),
        middleware=[ModelRetryMiddleware(max_retries=1, initial_delay=0.01, on_failure="error")],
    )
    with pytest.raises(CFDeepSeekAPIError):
        agent.invoke({"messages": "Hello"})
    assert (len(gw.requests), gw.upstream_calls) == (2 * 2, 2 * 2 * 2)


def test_chain_reads_model_thinking_and_gateway_options_from_the_config_of_a_call(
    gw: LocalGateway, ask: Ask
) -> None:
    chain: Any = ChatPromptTemplate(
        [("human", "{question}")]
    ) | gw.chat_model().configurable_fields(
        model_name=ConfigurableField("model"),
        thinking=ConfigurableField("thinking"),
        gateway=ConfigurableField("gateway"),
    )
    configurable = {
        "model": "deepseek-v4-pro",
        "thinking": "disabled",
        "gateway": {"metadata": {"tenant": "a"}},
    }
    for config in ({}, {"configurable": configurable}):
        assert ask(chain, {"question": "Hello"}, config=config).text
    assert [
        (
            request.body["model"],
            request.body.get("thinking"),
            request.headers.get("cf-aig-metadata"),
        )
        for request in gw.requests
    ] == [
        ("deepseek-flash", None, None),
        ("deepseek-v4-pro", {"type": "disabled"}, '{"tenant":"a"}'),
    ]


def test_chain_chooses_one_of_several_models_by_the_config_of_a_call(
    gw: LocalGateway, ask: Ask
) -> None:
    llm: Any = gw.chat_model().configurable_alternatives(
        ConfigurableField("door"),
        default_key="provider-native",
        unified=gw.chat_model(routing="unified"),
    )
    for config in ({}, {"configurable": {"door": "unified"}}):
        assert ask(llm, "Hello", config=config).text
    assert [request.body["model"] for request in gw.requests] == [
        "deepseek-flash",
        "deepseek/deepseek-flash",
    ]


def test_init_chat_model_makes_models_of_langchains_own_providers_only() -> None:
    made = init_chat_model("deepseek-flash", api_key="a key")
    assert type(made).__name__ == "ChatDeepSeek"
    with pytest.raises(ValueError, match="Supported model providers are: anthropic"):
        init_chat_model("deepseek-flash", model_provider="cf_deepseek")
