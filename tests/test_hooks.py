"""The hooks of a chat model that subclasses, agents and token counters use."""

import math
from typing import Any

import pytest
from langchain_core.messages import HumanMessage
from pydantic import ValidationError

from langchain_cf_deepseek import ChatCloudflareDeepSeek
from langchain_cf_deepseek.local import LocalGateway
from tests.conftest import Ask

TOOL = {"type": "function", "function": {"name": "f"}}
WORKERS_AI = "@cf/deepseek-ai/deepseek-v4-flash-0731"


class _WithHook(ChatCloudflareDeepSeek):
    """A subclass like many of langchain-openai's base class."""

    def _get_request_payload(self, *args: Any, **kwargs: Any) -> dict[str, Any]:
        payload = super()._get_request_payload(*args, **kwargs)
        payload["messages"][-1]["content"] += " Be brief."
        return {
            **payload,
            "max_tokens": 9,
            "extra_headers": {"X-Team": "search"},
            "extra_body": {"title": {"enabled": True}},
        }


def test_payload_of_a_subclass_is_what_is_sent(gw: LocalGateway, ask: Ask) -> None:
    llm = gw.chat_model()
    settings = {name: getattr(llm, name) for name in ("account_id", "gateway_id", "base_url")}
    secrets: Any = {"api_key": llm.api_key, "gateway_token": llm.gateway_token}
    ask(_WithHook(model="deepseek-flash", **settings, **secrets), "Hi")
    (request,) = gw.requests
    sent = {name: request.body.get(name) for name in ("messages", "max_tokens", "title")}
    assert sent == {
        "messages": [{"role": "user", "content": "Hi Be brief."}],
        "max_tokens": 9,
        "title": {"enabled": True},
    }
    assert request.headers["x-team"] == "search"
    assert {"extra_headers", "extra_body"}.isdisjoint(request.body)


@pytest.mark.filterwarnings("ignore:DeepSeek ignores `parallel_tool_calls`")
def test_bind_tools_sends_its_arguments(gw: LocalGateway, ask: Ask) -> None:
    bound: Any = gw.chat_model().bind_tools([TOOL], tool_choice="any", parallel_tool_calls=False)
    ask(bound, "Hi")
    body = gw.requests[-1].body
    assert (body["tool_choice"], body["parallel_tool_calls"]) == ("required", False)


def test_parallel_tool_calls_false_warns_because_deepseek_ignores_it(
    gw: LocalGateway, ask: Ask
) -> None:
    bound: Any = gw.chat_model().bind_tools([TOOL], parallel_tool_calls=False)
    with pytest.warns(UserWarning, match="DeepSeek ignores `parallel_tool_calls`"):
        ask(bound, "Hi")


@pytest.mark.parametrize(
    ("settings", "sent"),
    [
        ({}, (None, None)),
        ({"thinking": "disabled"}, (None, "none")),
        ({"reasoning_effort": "none"}, (None, "none")),
        ({"thinking": "enabled"}, (None, "high")),
        ({"thinking": "enabled", "reasoning_effort": "max"}, (None, "max")),
    ],
)
@pytest.mark.parametrize("model", [WORKERS_AI, "dynamic/support", "cloudflare/auto"])
def test_thinking_is_switched_off_by_the_effort_for_models_without_the_thinking_parameter(
    gw: LocalGateway, model: str, settings: dict[str, Any], sent: tuple[Any, Any]
) -> None:
    payload = gw.chat_model(routing="unified", model=model, **settings)._get_request_payload("Hi")
    assert (payload.get("thinking"), payload.get("reasoning_effort")) == sent


def test_forced_tool_call_on_workers_ai_is_sent_without_thinking(
    gw: LocalGateway, ask: Ask
) -> None:
    llm = gw.chat_model(routing="unified", model=WORKERS_AI)
    bound: Any = llm.bind_tools([TOOL], tool_choice="any")
    ask(bound, "Hi")
    body = gw.requests[-1].body
    assert (body.get("thinking"), body["reasoning_effort"]) == (None, "none")


def test_token_ids_are_those_of_deepseeks_tokenizer(gw: LocalGateway) -> None:
    llm = gw.chat_model()
    for text in ("", "Hello, world!", "größer 空 🌊", "a\ud83c", "<|User|>"):
        assert len(llm.get_token_ids(text)) == llm.get_num_tokens(text)
    hello = [*llm.get_token_ids("Hello"), *llm.get_token_ids(" Hello")]
    assert llm.get_token_ids("Hello Hello") == hello


def test_token_count_of_a_file_by_id_warns(gw: LocalGateway) -> None:
    message = HumanMessage([{"type": "file", "file_id": "file-api-1"}])
    with pytest.warns(UserWarning, match="only DeepSeek knows how many tokens"):
        assert gw.chat_model().get_num_tokens_from_messages([message]) >= 1024


def test_token_ids_without_the_tokenizer_raise_an_error_with_a_hint(
    gw: LocalGateway, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("langchain_cf_deepseek._tokens._prompts", lambda: None)
    with pytest.raises(ImportError, match=r"langchain-cf-deepseek\[tokens\]"):
        gw.chat_model().get_token_ids("Hi")


@pytest.mark.parametrize("seconds", [math.inf, -math.inf, math.nan, -1, 1e300])
@pytest.mark.parametrize("field", ["timeout", "stream_chunk_timeout"])
def test_timeout_that_is_invalid_is_rejected_at_construction(
    gw: LocalGateway, field: str, seconds: float
) -> None:
    with pytest.raises(ValidationError, match=field):
        gw.chat_model(**{field: seconds})
