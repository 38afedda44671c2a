"""What the real model's server answers, asked with plain httpx: the shapes, never the words."""

import http.client
import json
from itertools import groupby
from typing import Any

import httpx
import pytest

WEATHER = {
    "type": "function",
    "function": {
        "name": "get_weather",
        "description": "The weather in a city.",
        "parameters": {
            "type": "object",
            "properties": {"city": {"type": "string", "maxLength": 8}},
            "required": ["city"],
        },
    },
}
CALL = {"id": "str", "type": "str", "function": {"name": "str", "arguments": "str"}}
USAGE = {
    "prompt_tokens": "int",
    "completion_tokens": "int",
    "total_tokens": "int",
    "prompt_tokens_details": {"cached_tokens": "int"},
}
CHUNK = {
    "id": "str",
    "object": "str",
    "created": "int",
    "model": "str",
    "system_fingerprint": "str",
}


def shape(value: Any) -> Any:
    """`value` with the name of its type in place of every string, number and null."""
    if isinstance(value, dict):
        return {key: shape(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [shape(inner) for inner in value]
    return type(value).__name__


def body(**options: Any) -> dict[str, Any]:
    question = {"role": "user", "content": "What is the weather in Paris?"}
    return {"model": "smollm2", "max_tokens": 64, "messages": [question], **options}


def ask(url: str, **options: Any) -> dict[str, Any]:
    response = httpx.post(f"{url}/chat/completions", json=body(**options), timeout=60)
    answer: dict[str, Any] = response.raise_for_status().json()
    del answer["timings"]  # llama.cpp's own
    return answer


def stream(url: str, **options: Any) -> list[dict[str, Any]]:
    request = body(stream=True, **options)
    with httpx.stream("POST", f"{url}/chat/completions", json=request, timeout=60) as response:
        assert response.headers["content-type"] == "text/event-stream"
        *events, done = [line for line in response.iter_lines() if line]
    assert done == "data: [DONE]"
    chunks = [json.loads(event.removeprefix("data: ")) for event in events]
    return [{key: chunk[key] for key in chunk if key != "timings"} for chunk in chunks]


def phases(chunks: list[dict[str, Any]]) -> list[list[str]]:
    """The keys of the deltas, each once while it repeats."""
    deltas = [list(chunk["choices"][0]["delta"]) for chunk in chunks if chunk["choices"]]
    return [keys for keys, _ in groupby(deltas)]


def test_model_list_names_the_model(real_model_url: str) -> None:
    answer = httpx.get(f"{real_model_url}/models").json()
    assert [model["id"] for model in answer["data"]] == ["smollm2"]


def test_completion_has_reasoning_content_and_usage(real_model_url: str) -> None:
    answer = ask(real_model_url)
    message = {"role": "str", "content": "str", "reasoning_content": "str"}
    assert shape(answer) == {
        **CHUNK,
        "choices": [{"index": "int", "finish_reason": "str", "message": message}],
        "usage": USAGE,
    }
    assert answer["object"] == "chat.completion"
    assert answer["choices"][0]["finish_reason"] == "stop"


def test_completion_without_thinking_has_no_reasoning_content(real_model_url: str) -> None:
    answer = ask(real_model_url, chat_template_kwargs={"enable_thinking": False})
    assert shape(answer["choices"][0]["message"]) == {"role": "str", "content": "str"}


def test_stream_sends_reasoning_then_content_then_usage(real_model_url: str) -> None:
    *deltas, usage = stream(real_model_url, stream_options={"include_usage": True})
    assert phases(deltas) == [["role", "content"], ["reasoning_content"], ["content"], []]
    assert shape(deltas[1]) == {
        **CHUNK,
        "choices": [
            {"index": "int", "finish_reason": "NoneType", "delta": {"reasoning_content": "str"}}
        ],
    }
    assert deltas[-1]["choices"] == [{"index": 0, "finish_reason": "stop", "delta": {}}]
    assert shape(usage) == {**CHUNK, "choices": [], "usage": USAGE}


def test_stream_has_no_usage_unless_requested(real_model_url: str) -> None:
    assert [chunk for chunk in stream(real_model_url) if "usage" in chunk] == []


def test_completion_ends_at_max_tokens(real_model_url: str) -> None:
    answer = ask(real_model_url, max_tokens=3)
    assert answer["choices"][0]["finish_reason"] == "length"
    assert answer["usage"]["completion_tokens"] == 3


def test_json_mode_returns_an_object(real_model_url: str) -> None:
    answer = ask(real_model_url, response_format={"type": "json_object"})
    assert isinstance(json.loads(answer["choices"][0]["message"]["content"]), dict)


@pytest.mark.parametrize("tool_choice", ["auto", "required"])
def test_tool_call_has_the_declared_arguments(real_model_url: str, tool_choice: str) -> None:
    (choice,) = ask(real_model_url, tools=[WEATHER], tool_choice=tool_choice)["choices"]
    message = {"role": "str", "content": "str", "reasoning_content": "str", "tool_calls": [CALL]}
    assert shape(choice) == {"index": "int", "finish_reason": "str", "message": message}
    assert choice["finish_reason"] == "tool_calls"
    (call,) = choice["message"]["tool_calls"]
    assert call["function"]["name"] == "get_weather"
    assert shape(json.loads(call["function"]["arguments"])) == {"city": "str"}


def test_tool_choice_none_prevents_tool_calls(real_model_url: str) -> None:
    (choice,) = ask(real_model_url, tools=[WEATHER], tool_choice="none")["choices"]
    message = {"role": "str", "content": "str", "reasoning_content": "str"}
    assert shape(choice["message"]) == message


def test_tool_call_arguments_are_streamed_in_pieces(real_model_url: str) -> None:
    chunks = stream(real_model_url, tools=[WEATHER], tool_choice="required")
    assert phases(chunks) == [["role", "content"], ["reasoning_content"], ["tool_calls"], []]
    assert chunks[-1]["choices"][0]["finish_reason"] == "tool_calls"
    calls = [chunk["choices"][0]["delta"].get("tool_calls") for chunk in chunks]
    (first,), *rest = [call for call in calls if call]
    assert shape(first) == {"index": "int", **CALL}
    assert {json.dumps(shape(piece)) for piece in rest} == {
        json.dumps([{"index": "int", "function": {"arguments": "str"}}])
    }
    arguments = "".join(piece["function"]["arguments"] for (piece,) in [[first], *rest])
    assert shape(json.loads(arguments)) == {"city": "str"}


def test_tool_result_gets_a_completion(real_model_url: str) -> None:
    function = {"name": "get_weather", "arguments": '{"city": "Paris"}'}
    call = {"id": "call-1", "type": "function", "function": function}
    (question,) = body()["messages"]
    messages = [
        question,
        {"role": "assistant", "content": "", "reasoning_content": "Hm.", "tool_calls": [call]},
        {"role": "tool", "tool_call_id": "call-1", "content": "Sunny."},
    ]
    (choice,) = ask(real_model_url, messages=messages, tools=[WEATHER])["choices"]
    assert shape(choice["message"]) == {
        "role": "str",
        "content": "str",
        "reasoning_content": "str",
    }


def test_invalid_request_gets_an_error_object(real_model_url: str) -> None:
    response = httpx.post(f"{real_model_url}/chat/completions", json={"model": "smollm2"})
    assert (response.status_code, shape(response.json())) == (
        400,
        {"error": {"code": "int", "message": "str", "type": "str"}},
    )


def test_stream_closes_the_connection_that_it_announced_to_keep(real_model_url: str) -> None:
    url = httpx.URL(real_model_url)
    connection = http.client.HTTPConnection(url.host, url.port or 80, timeout=60)
    connection.request("POST", f"{url.path}/chat/completions", json.dumps(body(stream=True)))
    response = connection.getresponse()
    kept, _, open_socket = response.headers["keep-alive"], response.read(), connection.sock
    assert (kept, open_socket.recv(1)) == ("timeout=5, max=100", b"")
    connection.close()
