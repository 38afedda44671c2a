"""Invalid input raises a `CFDeepSeekInvalidRequestError` before sending, and is not retried."""

import json
import math
from collections.abc import Callable
from datetime import UTC, datetime
from functools import partial
from typing import Any

import openai
import pytest
from langchain.agents import create_agent
from langchain.agents.middleware import ModelRetryMiddleware
from langchain_core.callbacks import BaseCallbackHandler
from langchain_core.exceptions import ModelInvalidRequestError
from langchain_core.messages import AIMessage, HumanMessage
from pydantic import ValidationError

from langchain_cf_deepseek import (
    CFDeepSeekError,
    CFDeepSeekInvalidRequestError,
    ChatCloudflareDeepSeek,
    GatewayOptions,
)
from langchain_cf_deepseek.local import LocalGateway
from langchain_cf_deepseek.logs import GatewayLogs
from tests.conftest import ACCOUNT, Ask

IMAGE = {"type": "image_url", "image_url": {"url": "https://example.com/cat.png"}}
TOOL = {"type": "function", "function": {"name": "f"}}
TOKEN = "cfut_0123456789abcdefghijklmnopqrstuvwxyz"

REFUSED: dict[str, tuple[Any, dict[str, Any], str]] = {
    "an image for a model without vision": (
        [HumanMessage([IMAGE])],
        {"model": "deepseek-v4-pro"},
        "messages[0] (HumanMessage): this model cannot read images or files",
    ),
    "an unknown parameter": ("Hi", {"temprature": 0}, "unknown parameters ['temprature']"),
    "an option of the gateway as a parameter": (
        "Hi",
        {"cache_ttl": 60},
        "unknown parameters ['cache_ttl']: `cache_ttl`: an option of the gateway: use `gateway=",
    ),
    "a parameter of Workers AI": (
        "Hi",
        {"top_k": 5},
        "unknown parameters ['top_k']: `top_k`: only Workers AI (`@cf/...`) reads it",
    ),
    "a tool choice that names no tool": (
        "Hi",
        {"tools": [TOOL], "tool_choice": {"x": 1}},
        "`tool_choice` {'x': 1} names no tool.",
    ),
    "a datetime in a call": (
        [
            AIMessage(
                "",
                tool_calls=[
                    {"name": "f", "args": {"at": datetime(2026, 11, 22, tzinfo=UTC)}, "id": "a"}
                ],
            )
        ],
        {},
        "messages[0] (AIMessage): the tool call 'f': `args.at` cannot be sent",
    ),
    "a value that JSON has no form for": (
        "Hi",
        {"extra_body": {"x": [math.nan]}},
        "`x[0]` cannot be sent: JSON in UTF-8 cannot represent nan.",
    ),
    "an option of the gateway out of range": (
        "Hi",
        {"gateway": {"cache_ttl": 5}},
        "`gateway.cache_ttl`: Input should be greater than or equal to 60.",
    ),
    "an unknown option of the gateway": (
        "Hi",
        {"gateway": {"ttl": 60}},
        "`gateway.ttl`: Extra inputs are not permitted.",
    ),
    "a gateway that is no dict": ("Hi", {"gateway": 5}, "`gateway`: Input should be a valid dict"),
    "a header that could break out": (
        "Hi",
        {"extra_headers": {"X-Team": "a\r\nb"}},
        "header 'X-Team': names and values must be printable ASCII",
    ),
    "headers that are no dict": (
        "Hi",
        {"extra_headers": 5},
        "`extra_headers` must be a dict, not a int.",
    ),
    "a header without a name": ("Hi", {"extra_headers": {5: "x"}}, "header 5: the name must be"),
    "a query that is no dict": ("Hi", {"extra_query": "a=b"}, "`extra_query` must be a dict"),
    "a query that no address can hold": ("Hi", {"extra_query": {"a": "\ud800"}}, "'utf-8' codec"),
    "a timeout that is no number": ("Hi", {"timeout": "x"}, "`timeout` must be seconds"),
    "a timeout without an end": ("Hi", {"timeout": math.inf}, "`timeout` must be seconds"),
    "a model of another service": (
        "Hi",
        {"model": "@cf/deepseek-ai/deepseek-v4-flash-0731"},
        "`model` '@cf/deepseek-ai/deepseek-v4-flash-0731' is not served on",
    ),
    "an input that is no message": (5, {}, "Invalid input type <class 'int'>."),
    "a message of no known role": (
        [{"role": "critic", "content": "No."}],
        {},
        "Unexpected message type: 'critic'.",
    ),
    "a message without content": ([{"role": "user"}], {}, "Message dict must contain"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_invalid_input_raises_an_invalid_request_error_before_sending(
    gw: LocalGateway, ask: Ask, case: str
) -> None:
    asked, parameters, expected = REFUSED[case]
    with pytest.raises(CFDeepSeekInvalidRequestError) as caught:
        ask(gw.chat_model(), asked, **parameters)
    error = caught.value
    assert error.message.startswith(expected)
    assert str(error).startswith(f"langchain-cf-deepseek: {expected.rstrip('.')}")
    assert (error.origin, error.is_retryable, error.status_code) == ("client", False, None)
    caught_as = (ValueError, CFDeepSeekError, openai.BadRequestError, ModelInvalidRequestError)
    assert all(isinstance(error, kind) for kind in caught_as)
    assert gw.requests == []


def _without_schema(call: Callable[[], None]) -> None:
    """A function whose argument has no JSON schema."""


def _with_unresolvable_hint(x: object) -> None:
    """A function whose annotation names no type."""


_with_unresolvable_hint.__annotations__["x"] = "Nowhere"


BINDINGS: dict[str, Callable[[Any], Any]] = {
    "a number as a tool": lambda llm: llm.bind_tools([5]),
    "a dict that is no tool": lambda llm: llm.bind_tools([{"x": 1}]),
    "an argument without a schema": lambda llm: llm.bind_tools([_without_schema]),
    "a hint that leads nowhere": lambda llm: llm.bind_tools([_with_unresolvable_hint]),
    "no tools at all": lambda llm: llm.bind_tools(5),
    "a tool choice of the wrong type": lambda llm: llm.bind_tools([TOOL], tool_choice=5),
    "an unknown method": lambda llm: llm.with_structured_output(TOOL, method="guess"),
    "no schema": lambda llm: llm.with_structured_output(None),
}


@pytest.mark.parametrize("case", BINDINGS)
def test_invalid_tools_raise_an_invalid_request_error_when_bound(
    gw: LocalGateway, case: str
) -> None:
    with pytest.raises(CFDeepSeekInvalidRequestError) as caught:
        BINDINGS[case](gw.chat_model())
    assert (caught.value.origin, caught.value.is_retryable) == ("client", False)


class _RetryState(BaseCallbackHandler):
    count = 0

    def on_chat_model_start(self, *_: Any, **__: Any) -> None:
        self.count += 1


@pytest.mark.parametrize("case", ["an image", "an option of the gateway"])
def test_invalid_requests_are_not_retried_by_an_agent(gw: LocalGateway, case: str) -> None:
    models: dict[str, tuple[Any, HumanMessage]] = {
        "an image": (gw.chat_model(model="deepseek-v4-pro"), HumanMessage([IMAGE])),
        "an option of the gateway": (
            gw.chat_model().bind(gateway={"cache_ttl": 5}),
            HumanMessage("Hi"),
        ),
    }
    llm, asked = models[case]
    attempts = _RetryState()
    agent = create_agent(llm, middleware=[ModelRetryMiddleware(initial_delay=0)])
    with pytest.raises(CFDeepSeekInvalidRequestError):
        agent.invoke({"messages": [asked]}, {"callbacks": [attempts]})
    assert (attempts.count, gw.requests) == (1, [])


MISPLACED: dict[str, Callable[[], Any]] = {
    **{
        f"in {field}": partial(
            ChatCloudflareDeepSeek,
            **{"model": "deepseek-flash", "account_id": ACCOUNT, "gateway_id": "g", "api_key": "k"}
            | {field: token},
        )
        for field, token in {
            "account_id": TOKEN,
            "gateway_id": f"{TOKEN}/",
            "base_url": f"http://{TOKEN}.example.com",
            "base_url ": TOKEN,
            "routing": TOKEN,
            "model": f"{TOKEN}?",
            "reasoning_effort": TOKEN,
            "thinking": TOKEN,
            "output_version": TOKEN,
            "temperature": TOKEN,
            "timeout": TOKEN,
            "http_client": TOKEN,
            "gateway": {"byok": TOKEN},
            "default_headers": {"X-Team": f"{TOKEN}\n"},
            "default_query": TOKEN,
            "model_kwargs": {"token": TOKEN},
            "extra_body": {"messages": TOKEN},
            "stop": 5,
            "api_token": TOKEN,
        }.items()
    },
    "in a port": lambda: ChatCloudflareDeepSeek(
        model="deepseek-flash", api_key="k", base_url=f"https://example.com:{TOKEN}"
    ),
    "in a copy": lambda: ChatCloudflareDeepSeek(
        model="deepseek-flash", api_key="k", account_id=ACCOUNT, gateway_id="g"
    ).model_copy(update={"account_id": TOKEN}),
    "in options of the gateway": lambda: GatewayOptions(gateway_token=TOKEN),
    "in the settings of the logs": lambda: GatewayLogs(account_id=TOKEN),
    "in a validated dict": lambda: ChatCloudflareDeepSeek.model_validate(
        {"model": "deepseek-flash", "account_id": TOKEN, "api_key": "k"}
    ),
}


@pytest.mark.parametrize("case", MISPLACED)
def test_token_in_the_wrong_field_is_not_shown_by_the_error(case: str) -> None:
    with pytest.raises(ValidationError) as caught:
        MISPLACED[case]()
    error = caught.value
    told = [str(error), repr(error), repr(error.errors()), error.json(), repr(error.__context__)]
    assert [text for text in told if TOKEN in text] == []
    assert json.loads(error.json())[0]["input"] == "**********"
