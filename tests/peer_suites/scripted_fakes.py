"""A pytest plugin that puts `ChatCloudflareDeepSeek` in the place of a test suite's fake models.

What the fake would return is scripted as the local gateway's next reply, then requested over HTTP.
"""

import importlib
import os
import tomllib
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, ClassVar, Literal

import pytest
from langchain_core import language_models
from langchain_core.callbacks import AsyncCallbackManagerForLLMRun, CallbackManagerForLLMRun
from langchain_core.language_models import BaseChatModel, fake_chat_models
from langchain_core.messages import AIMessage, AIMessageChunk, BaseMessage
from langchain_core.outputs import ChatGenerationChunk, ChatResult
from pydantic import BaseModel, Field
from typing_extensions import override

from langchain_cf_deepseek import CFDeepSeekError, ChatCloudflareDeepSeek
from langchain_cf_deepseek.local import LocalGateway

_FAKE_MODULES = ("tests.unit_tests.agents.model", "tests.model")
"""Where the suites of `langchain` and `langgraph-prebuilt` define `FakeToolCallingModel`."""

_gateway = LocalGateway()
_counts: Counter[str] = Counter()


def _reset_gateway() -> None:
    _counts["requests"] += len(_gateway.requests)
    _gateway.reset()


class _ScriptedModel(ChatCloudflareDeepSeek):
    """Requests from the local gateway what a fake model would return."""

    model_name: str = Field(default="deepseek-flash", alias="model")
    fake: ClassVar[type[BaseChatModel]]

    def _scripted_message(self, messages: list[BaseMessage], kwargs: dict[str, Any]) -> AIMessage:
        result = self.fake._generate(self, messages, **kwargs)
        message = result.generations[0].message
        assert isinstance(message, AIMessage)
        return message

    @contextmanager
    def _script_reply(
        self, messages: list[BaseMessage], kwargs: dict[str, Any]
    ) -> Iterator[AIMessage]:
        message = self._scripted_message(messages, kwargs)
        _gateway.reply(content=message.text, tool_calls=message.tool_calls)
        try:
            yield message
        except CFDeepSeekError as error:
            _counts[type(error).__name__] += 1
            raise
        finally:
            # A request that was not sent, or was rejected, leaves its reply unused.
            _reset_gateway()

    @override
    def _generate(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: CallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> ChatResult:
        with self._script_reply(messages, kwargs) as scripted:
            result = super()._generate(messages, stop, run_manager, **kwargs)
        return _with_scripted_ids(result, scripted)

    @override
    async def _agenerate(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: AsyncCallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> ChatResult:
        with self._script_reply(messages, kwargs) as scripted:
            result = await super()._agenerate(messages, stop, run_manager, **kwargs)
        return _with_scripted_ids(result, scripted)

    @override
    def _stream(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: CallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> Iterator[ChatGenerationChunk]:
        with self._script_reply(messages, kwargs) as scripted:
            for chunk in super()._stream(messages, stop, run_manager, **kwargs):
                yield _chunk_with_scripted_ids(chunk, scripted)

    @override
    async def _astream(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: AsyncCallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> AsyncIterator[ChatGenerationChunk]:
        with self._script_reply(messages, kwargs) as scripted:
            async for chunk in super()._astream(messages, stop, run_manager, **kwargs):
                yield _chunk_with_scripted_ids(chunk, scripted)


def _with_scripted_ids(result: ChatResult, scripted: AIMessage) -> ChatResult:
    """Give a message the ids that the tests expect; without metadata, which no fake has."""
    message = result.generations[0].message
    assert isinstance(message, AIMessage)
    for tool_call, expected in zip(message.tool_calls, scripted.tool_calls, strict=True):
        tool_call["id"] = expected["id"]
    _replace_metadata(message, scripted)
    result.generations[0].generation_info = None
    result.llm_output = None
    return result


def _chunk_with_scripted_ids(
    chunk: ChatGenerationChunk, scripted: AIMessage
) -> ChatGenerationChunk:
    message = chunk.message
    assert isinstance(message, AIMessageChunk)
    for tool_call in message.tool_call_chunks:
        if tool_call["id"] is not None:
            tool_call["id"] = scripted.tool_calls[tool_call["index"] or 0]["id"]
    _replace_metadata(message, scripted)
    chunk.generation_info = None
    return chunk


def _replace_metadata(message: AIMessage, scripted: AIMessage) -> None:
    message.id = scripted.id
    message.response_metadata = {}
    message.usage_metadata = None


class _ScriptedToolCallingModel(_ScriptedModel):
    tool_calls: list[list[Any]] | None = None
    structured_response: Any | None = None
    index: int = 0
    tool_style: Literal["openai", "anthropic"] = "openai"

    @override
    def _scripted_message(self, messages: list[BaseMessage], kwargs: dict[str, Any]) -> AIMessage:
        schema_name = kwargs.get("result_tool")
        if schema_name is None:
            return super()._scripted_message(messages, kwargs)
        # The fake's `with_structured_output` returns this without a request.
        result = self.structured_response
        args = result.model_dump() if isinstance(result, BaseModel) else result
        return AIMessage("", tool_calls=[{"name": schema_name, "args": args, "id": "result"}])


class _ScriptedGenericModel(_ScriptedModel):
    messages: Iterator[AIMessage | str]


def pytest_configure() -> None:
    _gateway.start()
    os.environ.update(_gateway.environment())
    _ScriptedGenericModel.fake = fake_chat_models.GenericFakeChatModel
    for module in (fake_chat_models, language_models):
        vars(module)["GenericFakeChatModel"] = _ScriptedGenericModel
    module = _fake_module()
    _ScriptedToolCallingModel.fake = module.FakeToolCallingModel
    module.FakeToolCallingModel = _ScriptedToolCallingModel


def _fake_module() -> Any:
    for name in _FAKE_MODULES:
        try:
            return importlib.import_module(name)
        except ModuleNotFoundError:
            continue
    msg = f"Run this plugin in the folder of a suite that has one of {', '.join(_FAKE_MODULES)}."
    raise pytest.UsageError(msg)


def pytest_unconfigure() -> None:
    _gateway.stop()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    groups = tomllib.loads(Path(__file__).with_name("expected_failures.toml").read_text())["group"]
    for item in items:
        for group in groups:
            if any(_contains(entry, item.nodeid) for entry in group["tests"]):
                item.add_marker(pytest.mark.xfail(reason=group["reason"], strict=True))


def _contains(entry: str, test: str) -> bool:
    return test == entry or test.startswith((f"{entry}::", f"{entry}["))


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    terminalreporter.write_line(f"sent to the local gateway, and errors raised: {dict(_counts)}")
