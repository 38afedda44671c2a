"""DeepSeek's chat API: its rules, its errors, its chunks."""

import json
from typing import Any

import httpx
import pytest

from langchain_cf_deepseek.local import LocalGateway, Reply, Routing, ToolCall
from langchain_cf_deepseek.local.deepseek import prompt_cache
from langchain_cf_deepseek.local.deepseek.chat import Passback
from tests.local_gateway.conftest import QUESTION, Caller, chunks, content_of
from tests.local_gateway.images import GIF, PNG

TOOL: dict[str, Any] = {
    "type": "function",
    "function": {
        "name": "get_weather",
        "parameters": {"type": "object", "properties": {"city": {"type": "string"}}},
    },
}
OFF = {"type": "disabled"}
DELTA_KEYS = {"id", "object", "created", "model", "system_fingerprint", "choices"}


def error_of(response: httpx.Response) -> str:
    assert response.status_code == 400
    assert response.headers["content-type"] == "application/octet-stream"
    body = response.json()
    assert body["error"].pop("message")
    assert body == {
        "error": {"type": "invalid_request_error", "param": None, "code": "invalid_request_error"}
    }
    return str(response.json()["error"]["message"])


def message_of(response: httpx.Response) -> dict[str, Any]:
    assert response.status_code == 200, response.text
    message: dict[str, Any] = response.json()["choices"][0]["message"]
    return message


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        (
            {"model": "gpt-5"},
            (
                "The supported API model names are deepseek-flash, deepseek-v4-pro, "
                "but you passed gpt-5."
            ),
        ),
        ({"messages": []}, "Empty input messages"),
        (
            {"temperature": 3},
            "Invalid temperature value, the valid range of temperature is [0, 2]",
        ),
        ({"top_p": 0}, "Invalid top_p value, the valid range of top_p is (0, 1.0]"),
        (
            {"max_tokens": 0},
            "Invalid max_tokens value, the valid range of max_tokens is [1, 393216]",
        ),
        ({"n": 2}, "Invalid n value (currently only n = 1 is supported)"),
        (
            {"stream_options": {"include_usage": True}},
            "stream_options should be set along with stream = true",
        ),
        (
            {"response_format": {"type": "json_object"}},
            (
                "Prompt must contain the word 'json' in some form to use 'response_format' of type "
                "'json_object'."
            ),
        ),
        (
            {"tools": [TOOL], "tool_choice": "required"},
            "Thinking mode does not support this tool_choice",
        ),
        (
            {"user_id": "ü" * 257},
            (
                "Invalid 'user_id': string too long. Expected a string with maximum length 512, "
                "but got a string with length 514 instead"
            ),
        ),
        (
            {
                "messages": [
                    QUESTION,
                    {
                        "role": "assistant",
                        "content": "",
                        "tool_calls": [
                            {
                                "id": "1",
                                "type": "function",
                                "function": {"name": "get_weather", "arguments": "{}"},
                            }
                        ],
                    },
                    {"role": "tool", "tool_call_id": "1", "content": "sunny"},
                ]
            },
            "The `reasoning_content` in the thinking mode must be passed back to the API.",
        ),
        (
            {
                "messages": [
                    {
                        "role": "user",
                        "content": [
                            {
                                "type": "image_url",
                                "image_url": {"url": "data:image/png;base64,bm8gaW1hZ2U="},
                            }
                        ],
                    }
                ]
            },
            (
                ".messages[0].image[0]: You have uploaded an unsupported image. Please make sure "
                "your image is valid and has one of the following formats: webp, png, jpeg, "
                "and gif."
            ),
        ),
    ],
)
def test_a_bad_request_is_refused_in_deepseeks_words(
    ask: Caller, fields: dict[str, Any], message: str
) -> None:
    assert error_of(ask.post(**fields)) == message


def test_a_prompt_beyond_the_context_is_refused(ask: Caller) -> None:
    response = ask.post(messages=[{"role": "user", "content": "word " * 800_000}])
    assert error_of(response).startswith("This model's maximum context length is 1048576 tokens.")


@pytest.mark.parametrize(
    ("content", "text"),
    [
        (
            b'{"model"',
            (
                "Failed to parse the request body as JSON: EOF while parsing an object at line 1 "
                "column 8"
            ),
        ),
        (
            b'{"model":"deepseek-flash","messages":[{"role":"developer","content":"x"}]}',
            (
                "Failed to deserialize the JSON body into the target type: unknown variant "
                "`developer`, expected one of `system`, `user`, `assistant`, `tool`, "
                "`latest_reminder`"
            ),
        ),
        (
            b"[" * 100_000,
            (
                "Failed to parse the request body as JSON: recursion limit exceeded at line 1 "
                "column 128"
            ),
        ),
    ],
)
def test_a_malformed_body_is_refused_in_plain_text(ask: Caller, content: bytes, text: str) -> None:
    response = ask.http.post(
        f"{ask.gateway.base_url()}/chat/completions",
        headers=ask.headers("provider-native"),
        content=content,
    )
    assert (response.status_code, response.headers["content-type"], response.text) == (
        400,
        "text/plain",
        text,
    )


@pytest.mark.parametrize(
    ("routing", "model"),
    [("provider-native", "deepseek-flash"), ("compat", "deepseek/deepseek-flash")],
)
def test_a_lone_surrogate_is_refused(ask: Caller, routing: Routing, model: str) -> None:
    message = r'{"role":"user","content":"\ud83d"}'
    response = ask.http.post(
        f"{ask.gateway.base_url(routing)}/chat/completions",
        headers=ask.headers(routing),
        content=f'{{"model":"{model}","messages":[{message}]}}',
    )
    assert response.status_code == 400
    assert response.text.startswith("Failed to parse the request body as JSON: ")


@pytest.mark.parametrize(
    ("passback", "model", "status"),
    [
        ("off", "deepseek-v4-pro", 200),
        ("pro-like", "deepseek-v4-pro", 400),
        ("pro-like", "deepseek-flash", 200),
        ("strict", "deepseek-flash", 400),
    ],
)
def test_missing_reasoning_is_refused_as_configured(
    http: httpx.Client, passback: Passback, model: str, status: int
) -> None:
    call = {"id": "1", "type": "function", "function": {"name": "f", "arguments": "{}"}}
    messages = [
        QUESTION,
        {"role": "assistant", "content": "", "tool_calls": [call]},
        {"role": "tool", "tool_call_id": "1", "content": "sunny"},
    ]
    with LocalGateway(passback=passback) as gateway:
        ask = Caller(gateway, http)
        assert ask.post(model=model, messages=messages).status_code == status


def test_a_completion_has_the_shape_of_deepseeks(ask: Caller) -> None:
    ask.gateway.reply(content="It scatters.", reasoning="Think first.", cached_tokens=128)
    body = ask.post().json()
    assert body == {
        "id": body["id"],
        "object": "chat.completion",
        "created": body["created"],
        "model": "deepseek-flash",
        "choices": [
            {
                "index": 0,
                "message": {
                    "role": "assistant",
                    "content": "It scatters.",
                    "reasoning_content": "Think first.",
                },
                "logprobs": None,
                "finish_reason": "stop",
            }
        ],
        "usage": {
            "prompt_tokens": 128,
            "completion_tokens": 7,
            "total_tokens": 135,
            "prompt_tokens_details": {"cached_tokens": 128},
            "completion_tokens_details": {"reasoning_tokens": 3},
            "prompt_cache_hit_tokens": 128,
            "prompt_cache_miss_tokens": 0,
        },
        "system_fingerprint": "788526beb18ceae7ec1573d8a79f02b9",
    }


def test_a_stream_has_the_chunks_of_deepseeks(ask: Caller) -> None:
    ask.gateway.reply(content="It scatters", reasoning="Think")
    streamed = ask.stream()
    assert [chunk.keys() - DELTA_KEYS for chunk in streamed] == [set()] * 4 + [{"usage"}]
    assert len({chunk["id"] for chunk in streamed}) == 1
    assert [chunk["choices"][0]["delta"] for chunk in streamed] == [
        {"role": "assistant", "content": None, "reasoning_content": ""},
        {"content": None, "reasoning_content": "Think"},
        {"content": "It", "reasoning_content": None},
        {"content": " scatters", "reasoning_content": None},
        {"content": "", "reasoning_content": None},
    ]
    assert [chunk["choices"][0]["finish_reason"] for chunk in streamed] == [None] * 4 + ["stop"]


def test_usage_can_be_requested_in_every_chunk(ask: Caller) -> None:
    streamed = ask.stream(stream_options={"include_usage": True})
    assert [chunk["usage"] for chunk in streamed[:-1]] == [None] * (len(streamed) - 1)
    assert streamed[-1]["usage"]["total_tokens"] > 0


@pytest.mark.parametrize("model", ["deepseek-flash", "deepseek-v4-pro"])
@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize(
    "forced", [None, "required", {"type": "function", "function": {"name": "get_weather"}}]
)
def test_tool_calls_are_sent_complete(ask: Caller, model: str, stream: bool, forced: Any) -> None:
    args: list[dict[str, Any]] = [{"city": "Zürich <1>", "n": [1, 2.5, None]}, {}]
    ask.gateway.reply(tool_calls=[ToolCall("get_weather", each) for each in args])
    fields: dict[str, Any] = {"model": model, "tools": [TOOL], "stream": stream, "thinking": OFF}
    response = ask.post(**fields, **({"tool_choice": forced} if forced else {}))
    if stream:
        calls: list[dict[str, Any]] = [{"id": "", "arguments": ""} for _ in args]
        for chunk in chunks(response.text):
            for part in chunk["choices"][0]["delta"].get("tool_calls", ()):
                calls[part["index"]]["id"] += part.get("id", "")
                calls[part["index"]]["arguments"] += part["function"]["arguments"]
        finish = chunks(response.text)[-1]["choices"][0]["finish_reason"]
    else:
        calls = [{"id": c["id"], **c["function"]} for c in message_of(response)["tool_calls"]]
        finish = response.json()["choices"][0]["finish_reason"]
    assert finish == "tool_calls"
    assert [json.loads(call["arguments"]) for call in calls] == args
    assert [call["id"][:8] for call in calls] == ["call_00_", "call_01_"]


def test_a_scripted_tool_call_needs_no_tool_in_the_request(ask: Caller) -> None:
    ask.gateway.reply(content="Let me see.", tool_calls=[ToolCall("f", {"x": 1})])
    message = message_of(ask.post())
    assert (message["content"], message["tool_calls"][0]["function"]) == (
        "Let me see.",
        {"name": "f", "arguments": '{"x": 1}'},
    )


def test_a_model_can_ignore_a_forced_choice(ask: Caller) -> None:
    ask.gateway.reply(content="No.")
    response = ask.post(tools=[TOOL], tool_choice="required", thinking=OFF)
    assert message_of(response) == {"role": "assistant", "content": "No."}


@pytest.mark.parametrize(
    ("model", "thinking", "thinks"),
    [
        ("deepseek-flash", None, True),
        ("deepseek-flash", OFF, False),
        ("deepseek-v4-pro", {"type": "enabled"}, True),
        ("deepseek-chat", None, False),
        ("deepseek-chat", {"type": "enabled"}, False),
        ("deepseek-reasoner", OFF, True),
    ],
)
def test_reasoning_is_sent_only_while_thinking(
    ask: Caller, model: str, thinking: dict[str, str] | None, thinks: bool
) -> None:
    ask.gateway.reply(content="Yes.", reasoning="Hm.")
    asked: dict[str, Any] = {"thinking": thinking} if thinking else {}
    response = ask.post(model=model, **asked)
    expected = {"role": "assistant", "content": "Yes."}
    assert message_of(response) == (expected | {"reasoning_content": "Hm."} if thinks else expected)


def test_an_alias_has_the_served_name_in_the_response(ask: Caller) -> None:
    assert ask.post(model="deepseek-v4-flash").json()["model"] == "deepseek-flash"


@pytest.mark.parametrize("limit", [1, 3, 6])
def test_max_tokens_truncates_reasoning_and_content_alike(ask: Caller, limit: int) -> None:
    ask.gateway.reply(content="four five six", reasoning="one two three")
    body = ask.post(max_tokens=limit).json()
    assert body["choices"][0]["finish_reason"] == "length"
    assert body["usage"]["completion_tokens"] == limit
    assert body["choices"][0]["message"] == {
        "role": "assistant",
        "reasoning_content": "one two three"[: {1: 3, 3: 13, 6: 13}[limit]],
        "content": {1: "", 3: "", 6: "four five"}[limit],
    }


def test_a_truncated_tool_call_has_malformed_arguments(ask: Caller) -> None:
    ask.gateway.reply(tool_calls=[ToolCall("get_weather", {"city": "a b c d e f g h"})])
    body = ask.post(tools=[TOOL], thinking=OFF, max_tokens=40).json()
    assert body["choices"][0]["finish_reason"] == "length"
    with pytest.raises(json.JSONDecodeError):
        json.loads(body["choices"][0]["message"]["tool_calls"][0]["function"]["arguments"])


def test_a_stop_string_ends_the_answer_but_not_the_reasoning(ask: Caller) -> None:
    ask.gateway.reply(content="How are you today", reasoning="you")
    response = ask.post(stop=["you"])
    assert message_of(response) == {
        "role": "assistant",
        "reasoning_content": "you",
        "content": "How are ",
    }
    assert response.json()["choices"][0]["finish_reason"] == "stop"


def test_json_mode_blanks_out_the_prose(ask: Caller) -> None:
    ask.gateway.reply(content='Sure: {"a": 1}')
    ask.gateway.reply(content="I cannot do that.")
    asked: dict[str, Any] = {
        "messages": [{"role": "user", "content": "json"}],
        "response_format": {"type": "json_object"},
    }
    contents = [message_of(ask.post(**asked))["content"] for _ in range(2)]
    assert (json.loads(contents[0]), contents[1].strip()) == ({"a": 1}, "")


@pytest.mark.parametrize(
    ("prefix", "message"),
    [
        ({"content": "```python\n"}, {"role": "assistant", "content": "on"}),
        (
            {"content": "", "reasoning_content": "I"},
            {"role": "assistant", "reasoning_content": "go", "content": "on"},
        ),
    ],
)
def test_a_prefix_is_continued(
    ask: Caller, prefix: dict[str, str], message: dict[str, str]
) -> None:
    ask.gateway.reply(content="on", reasoning="go")
    turn = {"role": "assistant", "prefix": True, **prefix}
    beta = ask.post(messages=[QUESTION, turn], path="beta/chat/completions")
    assert message_of(beta) == message


@pytest.mark.parametrize(
    ("routing", "path"),
    [
        ("provider-native", "chat/completions"),
        ("provider-native", "v1/chat/completions"),
        ("compat", "chat/completions"),
        ("unified", "chat/completions"),
    ],
)
def test_a_prefix_is_refused_outside_the_beta_path(
    ask: Caller, routing: Routing, path: str
) -> None:
    turn = {"role": "assistant", "prefix": True, "content": "on"}
    response = ask.post(messages=[QUESTION, turn], routing=routing, path=path)
    beta = 'base_url="https://api.deepseek.com/beta"'
    assert error_of(response) == f"prefix is only available when using beta api (set {beta})"


SAID = ("Hi", " ü", " ", "😀")
THOUGHT = ("So", ".")


def probabilities(message: dict[str, Any], part: str) -> list[dict[str, Any]]:
    return (message["logprobs"] or {}).get(part) or []


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("top", [None, 0, 1, 20])
@pytest.mark.parametrize("model", ["deepseek-flash", "deepseek-v4-pro"])
def test_each_token_has_its_log_probability_when_requested(
    ask: Caller, model: str, top: int | None, stream: bool
) -> None:
    ask.gateway.reply(content="".join(SAID), reasoning="".join(THOUGHT))
    wanted: dict[str, Any] = {"logprobs": True} | ({} if top is None else {"top_logprobs": top})
    response = ask.post(model=model, stream=stream, **wanted)
    payloads = chunks(response.text) if stream else [response.json()]
    choices = [payload["choices"][0] for payload in payloads]
    for part, tokens in (("content", SAID), ("reasoning_content", THOUGHT)):
        given = [entry for choice in choices for entry in probabilities(choice, part)]
        assert [entry["token"] for entry in given] == list(tokens)
        for entry in given:
            assert bytes(entry["bytes"]).decode() == entry["token"]
            assert -1 < entry["logprob"] <= 0
            assert len(entry["top_logprobs"]) == (top or 0)
            assert [other["logprob"] for other in entry["top_logprobs"]] == [
                entry["logprob"],
                *[-9999.0] * 19,
            ][: top or 0]


@pytest.mark.parametrize("stream", [False, True])
def test_log_probabilities_change_nothing_else(ask: Caller, stream: bool) -> None:
    found = []
    for wanted in (False, True):
        ask.gateway.reply(
            content="Done. stop",
            reasoning="Hm.",
            tool_calls=[ToolCall("get_weather", {"city": "x, y"})],
        )
        response = ask.post(tools=[TOOL], logprobs=wanted, stop=["stop"], stream=stream)
        last = chunks(response.text)[-1] if stream else response.json()
        found.append((last["choices"][0]["finish_reason"], last["usage"]))
    assert found[0] == found[1]


@pytest.mark.parametrize("stream", [False, True])
def test_a_scripted_finish_reason_is_sent(ask: Caller, stream: bool) -> None:
    ask.gateway.reply(Reply("Half", finish_reason="content_filter"))
    response = ask.post(stream=stream)
    last = chunks(response.text)[-1] if stream else response.json()
    assert last["choices"][0]["finish_reason"] == "content_filter"


def test_a_refused_request_uses_up_no_reply(ask: Caller) -> None:
    ask.gateway.reply(content="kept")
    ask.post(temperature=9)
    assert message_of(ask.post())["content"] == "kept"


def test_replies_are_used_in_order_and_dropped_on_reset(ask: Caller) -> None:
    ask.gateway.reply(content="one")
    ask.gateway.reply(content="two")
    assert [message_of(ask.post())["content"] for _ in range(2)] == ["one", "two"]
    ask.gateway.reply(content="three")
    ask.gateway.reset()
    assert message_of(ask.post())["content"].startswith("You asked:")


def test_a_repeated_prefix_is_a_hit_of_the_context_cache(ask: Caller) -> None:
    long = {"role": "system", "content": "Be brief. " * 100}

    def hit(**fields: Any) -> int:
        messages = [long, QUESTION]
        usage = ask.post(**{"messages": messages, **fields}).json()["usage"]
        assert usage["prompt_cache_hit_tokens"] % 128 == 0
        return int(usage["prompt_cache_hit_tokens"])

    assert (hit(), hit(), hit(user_id="other")) == (0, 256, 0)
    assert hit(messages=[long, {"role": "user", "content": "Something else?"}]) == 256
    assert hit(messages=[QUESTION, long]) == 0
    ask.gateway.reset()
    assert hit() == 0


def test_the_context_cache_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(prompt_cache, "MAX_BLOCKS", 2)
    memory = prompt_cache.PromptCache()
    for letter in "abc":
        memory.cached_tokens(letter * 500, "")
    assert [memory.cached_tokens(letter * 500, "") for letter in "cba"] == [128, 128, 0]


@pytest.mark.parametrize("count", [1, 3])
def test_keep_alives_precede_the_response(http: httpx.Client, count: int) -> None:
    with LocalGateway(keep_alive=count) as gateway:
        ask = Caller(gateway, http)
        streamed = ask.post(stream=True).text
        assert streamed.startswith(": keep-alive\n\n" * count + "data: {")
        assert ask.post().text.startswith("\n" * count + "{")
        unified = ask.post(routing="unified")
        assert unified.text.startswith("\n" * count + "{")
        assert unified.json()["gatewayMetadata"] == {"keySource": "Unified"}


def test_flash_reads_images_and_pro_does_not(ask: Caller) -> None:
    urls = (PNG, GIF, "https://example.com/a.png")
    pictures = [{"type": "image_url", "image_url": {"url": url}} for url in urls]
    parts = [{"type": "text", "text": "What is this?"}, *pictures]
    asked: dict[str, Any] = {"messages": [{"role": "user", "content": parts}]}
    seen = message_of(ask.post(**asked))["content"]
    assert seen == ("I see 3 images: an image of 3 x 2 pixels, an image of 1 x 1 pixels, an image.")
    blind = message_of(ask.post(model="deepseek-v4-pro", **asked))["content"]
    assert "[Unsupported Image]" in blind


class TestCatalogue:
    """How the unified endpoint streams what Cloudflare resells."""

    @staticmethod
    def form(streamed: list[dict[str, Any]]) -> tuple[str, int, list[bool]]:
        last = streamed[-1]
        usages = [chunk.get("usage") is not None for chunk in streamed]
        assert usages == [False] * (len(streamed) - 1) + [True]
        return last["model"], len(last["choices"]), ["raw_output" in c for c in last["choices"]]

    @pytest.mark.parametrize("model", ["deepseek-v4-pro", "deepseek-flash"])
    def test_only_pro_comes_from_the_catalogue_by_default(self, ask: Caller, model: str) -> None:
        streamed = ask.stream(routing="unified", model=f"deepseek/{model}")
        pro = model == "deepseek-v4-pro"
        assert self.form(streamed) == (
            ("accounts/fireworks/models/deepseek-v4-pro", 0, []) if pro else (model, 1, [False])
        )
        assert [chunk.get("usage", "absent") for chunk in streamed[:-1]] == [
            None if pro else "absent"
        ] * (len(streamed) - 1)

    def test_a_chunk_of_the_catalogue_has_a_raw_output(self, ask: Caller) -> None:
        streamed = ask.stream(routing="unified", model="deepseek/deepseek-v4-pro")
        assert [chunk["choices"][0]["raw_output"] for chunk in streamed[:-1]] == [None] * (
            len(streamed) - 1
        )
        assert streamed[-2]["choices"][0]["finish_reason"] == "stop"

    def test_a_completion_of_the_catalogue_names_its_host(self, ask: Caller) -> None:
        body = ask.post(routing="unified", model="deepseek/deepseek-v4-pro").json()
        assert body["model"] == "accounts/fireworks/models/deepseek-v4-pro"
        assert body["gatewayMetadata"] == {"keySource": "Unified"}

    def test_with_a_stored_key_pro_comes_from_deepseek(self, http: httpx.Client) -> None:
        with LocalGateway(stored_key=True) as gateway:
            streamed = Caller(gateway, http).stream(
                routing="unified", model="deepseek/deepseek-v4-pro"
            )
            assert self.form(streamed) == ("deepseek-v4-pro", 1, [False])

    def test_the_format_can_be_chosen(self, http: httpx.Client) -> None:
        with LocalGateway(usage_chunk="catalogue") as gateway:
            ask = Caller(gateway, http)
            gateway.reply(content="one", finish_reason="length")
            streamed = ask.stream(routing="unified")
            assert self.form(streamed) == ("accounts/fireworks/models/deepseek-flash", 0, [])
            assert streamed[-2]["choices"][0]["finish_reason"] == "length"
            assert self.form(ask.stream(routing="compat"))[1] == 1
        with LocalGateway(usage_chunk="deepseek") as gateway:
            ask = Caller(gateway, http)
            streamed = ask.stream(routing="unified", model="deepseek/deepseek-v4-pro")
            assert self.form(streamed) == ("deepseek-v4-pro", 1, [False])


def test_a_long_reply_keeps_every_character(ask: Caller) -> None:
    text = "Zürich, 世界 😀 e\u0301 <b>{|}</b>\n\n\ttab " * 200 + "end"
    ask.gateway.reply(content=text)
    assert content_of(ask.stream()) == text
