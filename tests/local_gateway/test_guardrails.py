"""Guardrails: what is searched, what is refused, and how streams are handled."""

import json
from typing import Any, Literal

import pytest

from langchain_cf_deepseek.local import Assumptions, Guardrails, Routing
from tests.local_gateway.conftest import (
    AT_LOCAL,
    QUESTION,
    StartGateway,
    chunks,
    content_of,
    text_of,
)
from tests.local_gateway.test_admission import ROUTINGS, gateway_error, rest_error

PROMPT = "Prompt blocked due to security configurations"
RESPONSE = "Response blocked due to security configurations"
REST_424 = Assumptions(rest_guardrail_status=424)


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize(
    ("routing", "assumptions", "status", "body"),
    [
        ("provider-native", Assumptions(), 424, gateway_error(2016, 424, PROMPT)),
        ("compat", Assumptions(), 424, gateway_error(2016, 424, PROMPT)),
        ("unified", Assumptions(), 422, rest_error((2017, RESPONSE))),
        ("unified", REST_424, 424, rest_error((2016, PROMPT))),
    ],
)
def test_a_prompt_is_blocked_before_it_is_sent(
    start_gateway: StartGateway,
    routing: Routing,
    assumptions: Assumptions,
    status: int,
    body: Any,
    stream: bool,
) -> None:
    ask = start_gateway(guardrails=Guardrails(prompt=["SKY"]), assumptions=assumptions)
    refused = ask.post(routing=routing, stream=stream, headers=AT_LOCAL)
    assert (refused.status_code, refused.json()) == (status, body)
    assert ask.gateway.upstream_calls == 0


@pytest.mark.parametrize(
    ("routing", "assumptions", "status", "body"),
    [
        ("provider-native", Assumptions(), 424, gateway_error(2017, 424, RESPONSE)),
        ("compat", Assumptions(), 424, gateway_error(2017, 424, RESPONSE)),
        ("unified", Assumptions(), 422, rest_error((2017, RESPONSE))),
        ("unified", REST_424, 424, rest_error((2017, RESPONSE))),
    ],
)
@pytest.mark.parametrize("said", ["content", "reasoning"])
def test_a_response_is_blocked_for_its_content_or_reasoning(
    start_gateway: StartGateway,
    said: str,
    routing: Routing,
    assumptions: Assumptions,
    status: int,
    body: Any,
) -> None:
    ask = start_gateway(guardrails=Guardrails(response=["secret"]), assumptions=assumptions)
    ask.gateway.reply(**{"content": "x", said: "The Secret is out."})
    refused = ask.post(routing=routing, headers=AT_LOCAL)
    assert (refused.status_code, refused.json()) == (status, body)
    assert text_of(ask.post(routing=routing, headers=AT_LOCAL))


@pytest.mark.parametrize(
    "messages",
    [
        [{"role": "system", "content": "Never mention a bomb."}, QUESTION],
        [{"role": "user", "content": [{"type": "text", "text": "A bomb?"}]}],
        [QUESTION, {"role": "assistant", "content": "", "reasoning_content": "bomb"}, QUESTION],
    ],
)
def test_all_texts_of_a_prompt_are_judged(
    start_gateway: StartGateway, messages: list[dict[str, Any]]
) -> None:
    ask = start_gateway(guardrails=Guardrails(prompt=["bomb"]))
    assert ask.post(messages=messages).status_code == 424


@pytest.mark.parametrize("messages", ["bomb", ["bomb"], [{"role": "user", "content": 3}]])
def test_a_malformed_message_is_left_to_deepseek(
    start_gateway: StartGateway, messages: Any
) -> None:
    ask = start_gateway(guardrails=Guardrails(prompt=["bomb"]))
    assert ask.post(messages=messages).status_code == 400


def test_a_function_can_judge(start_gateway: StartGateway) -> None:
    ask = start_gateway(
        guardrails=Guardrails(prompt=lambda text: len(text) > 30, response=str.isupper)
    )
    assert ask.post().status_code == 200
    assert ask.post(messages=[{**QUESTION, "content": "x" * 31}]).status_code == 424
    ask.gateway.reply(content="LOUD")
    assert ask.post(thinking={"type": "disabled"}).status_code == 424


def test_an_error_is_not_judged(start_gateway: StartGateway) -> None:
    ask = start_gateway(guardrails=Guardrails(response=lambda _: True))
    ask.gateway.fail_next("deepseek-busy")
    assert ask.post().status_code == 503


@pytest.mark.parametrize("routing", ["provider-native", "compat"])
@pytest.mark.parametrize("content_type", ["application/json", "text/event-stream"])
def test_the_gateway_host_responds_to_a_stream_request_with_json(
    start_gateway: StartGateway, routing: Routing, content_type: str
) -> None:
    ask = start_gateway(
        guardrails=Guardrails(response=["secret"], action="flag"),
        assumptions=Assumptions(guardrail_content_type=content_type),
    )
    ask.gateway.reply(content="No secret here.")
    answer = ask.post(routing=routing, stream=True, stream_options={"include_usage": True})
    assert answer.headers["content-type"] == content_type
    assert json.loads(answer.text)["object"] == "chat.completion"
    assert text_of(answer) == "No secret here."
    ask.gateway.fail_next("deepseek-busy")
    assert ask.post(routing=routing, stream=True).status_code == 503


def test_the_gateway_host_blocks_the_response_to_a_stream_request_too(
    start_gateway: StartGateway,
) -> None:
    ask = start_gateway(guardrails=Guardrails(response=["secret"]))
    ask.gateway.reply(content="A secret.")
    assert ask.post(stream=True).status_code == 424


def test_the_rest_host_streams_and_judges_the_prompt_only(start_gateway: StartGateway) -> None:
    ask = start_gateway(guardrails=Guardrails(response=["secret"]))
    ask.gateway.reply(content="A secret.")
    assert content_of(ask.stream(routing="unified", headers=AT_LOCAL)) == "A secret."


@pytest.mark.parametrize(("action", "status"), [("block", 503), ("flag", 200)])
def test_without_its_scanner_a_gateway_that_blocks_refuses_every_request(
    start_gateway: StartGateway, action: Literal["block", "flag"], status: int
) -> None:
    ask = start_gateway(guardrails=Guardrails(prompt=["sky"], action=action, down=True))
    answer = ask.post()
    assert answer.status_code == status
    if status == 503:
        assert answer.json() == gateway_error(7013, 503, "Guardrails are unavailable")


@pytest.mark.parametrize("routing", ROUTINGS)
def test_a_flag_changes_no_response(start_gateway: StartGateway, routing: Routing) -> None:
    ask = start_gateway(guardrails=Guardrails(prompt=["sky"], response=["sky"], action="flag"))
    assert text_of(ask.post(routing=routing, headers=AT_LOCAL))


def test_a_list_of_models_has_nothing_to_judge(start_gateway: StartGateway) -> None:
    ask = start_gateway(guardrails=Guardrails(prompt=["deepseek"], response=["deepseek"]))
    url = f"{ask.gateway.base_url()}/models"
    assert ask.http.get(url, headers=ask.headers("provider-native")).status_code == 200


def test_streams_are_complete_without_guardrails(start_gateway: StartGateway) -> None:
    answer = start_gateway().post(stream=True)
    assert chunks(answer.text)
