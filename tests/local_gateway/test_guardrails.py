"""Guardrails: what is looked for, what is refused, and what becomes of a stream."""

import json
from typing import Any, Literal

import pytest

from langchain_cf_deepseek.local import Assumptions, Guardrails, Routing
from tests.local_gateway.conftest import AT_LOCAL, QUESTION, Ruled, chunks, content_of, text_of
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
    ruled: Ruled, routing: Routing, assumptions: Assumptions, status: int, body: Any, stream: bool
) -> None:
    ask = ruled(guardrails=Guardrails(prompt=["SKY"]), assumptions=assumptions)
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
def test_an_answer_is_blocked_for_what_it_says_or_thinks(
    ruled: Ruled, said: str, routing: Routing, assumptions: Assumptions, status: int, body: Any
) -> None:
    ask = ruled(guardrails=Guardrails(response=["secret"]), assumptions=assumptions)
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
def test_all_texts_of_a_prompt_count(ruled: Ruled, messages: list[dict[str, Any]]) -> None:
    ask = ruled(guardrails=Guardrails(prompt=["bomb"]))
    assert ask.post(messages=messages).status_code == 424


@pytest.mark.parametrize("messages", ["bomb", ["bomb"], [{"role": "user", "content": 3}]])
def test_what_is_no_message_is_left_to_deepseek(ruled: Ruled, messages: Any) -> None:
    ask = ruled(guardrails=Guardrails(prompt=["bomb"]))
    assert ask.post(messages=messages).status_code == 400


def test_a_function_may_judge(ruled: Ruled) -> None:
    ask = ruled(guardrails=Guardrails(prompt=lambda text: len(text) > 30, response=str.isupper))
    assert ask.post().status_code == 200
    assert ask.post(messages=[{**QUESTION, "content": "x" * 31}]).status_code == 424
    ask.gateway.reply(content="LOUD")
    assert ask.post(thinking={"type": "disabled"}).status_code == 424


def test_an_error_is_not_judged(ruled: Ruled) -> None:
    ask = ruled(guardrails=Guardrails(response=lambda _: True))
    ask.gateway.fail_next("deepseek-busy")
    assert ask.post().status_code == 503


@pytest.mark.parametrize("routing", ["provider-native", "compat"])
@pytest.mark.parametrize("content_type", ["application/json", "text/event-stream"])
def test_the_gateway_host_answers_a_stream_in_one_piece(
    ruled: Ruled, routing: Routing, content_type: str
) -> None:
    ask = ruled(
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


def test_the_gateway_host_blocks_an_answer_to_a_stream_too(ruled: Ruled) -> None:
    ask = ruled(guardrails=Guardrails(response=["secret"]))
    ask.gateway.reply(content="A secret.")
    assert ask.post(stream=True).status_code == 424


def test_the_rest_host_streams_and_judges_the_prompt_only(ruled: Ruled) -> None:
    ask = ruled(guardrails=Guardrails(response=["secret"]))
    ask.gateway.reply(content="A secret.")
    assert content_of(ask.stream(routing="unified", headers=AT_LOCAL)) == "A secret."


@pytest.mark.parametrize(("action", "status"), [("block", 503), ("flag", 200)])
def test_without_its_scanner_a_gateway_lets_nothing_pass_that_it_may_have_to_block(
    ruled: Ruled, action: Literal["block", "flag"], status: int
) -> None:
    ask = ruled(guardrails=Guardrails(prompt=["sky"], action=action, down=True))
    answer = ask.post()
    assert answer.status_code == status
    if status == 503:
        assert answer.json() == gateway_error(7013, 503, "Guardrails are unavailable")


@pytest.mark.parametrize("routing", ROUTINGS)
def test_a_flag_changes_no_answer(ruled: Ruled, routing: Routing) -> None:
    ask = ruled(guardrails=Guardrails(prompt=["sky"], response=["sky"], action="flag"))
    assert text_of(ask.post(routing=routing, headers=AT_LOCAL))


def test_a_list_of_models_has_nothing_to_judge(ruled: Ruled) -> None:
    ask = ruled(guardrails=Guardrails(prompt=["deepseek"], response=["deepseek"]))
    url = f"{ask.gateway.base_url()}/models"
    assert ask.http.get(url, headers=ask.headers("provider-native")).status_code == 200


def test_streams_are_whole_without_guardrails(ruled: Ruled) -> None:
    answer = ruled().post(stream=True)
    assert chunks(answer.text)
