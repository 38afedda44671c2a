"""Every path returns the same message: content, reasoning, tools, usage, gateway metadata."""

import asyncio
import base64
import pickle
from typing import Any

import pytest
from langchain_core.callbacks import BaseCallbackHandler
from langchain_core.language_models import LanguageModelInput
from langchain_core.load import dumpd
from langchain_core.messages import (
    AIMessage,
    AIMessageChunk,
    HumanMessage,
    SystemMessage,
    ToolMessage,
)
from langchain_core.messages.tool import tool_call
from langchain_core.messages.utils import message_chunk_to_message
from langchain_core.outputs import ChatGenerationChunk
from langchain_core.rate_limiters import InMemoryRateLimiter
from langchain_core.tools import tool
from langgraph.checkpoint.serde.jsonplus import JsonPlusSerializer

from langchain_cf_deepseek import ChatCloudflareDeepSeek
from langchain_cf_deepseek._api.chunks import build_text_chunk
from langchain_cf_deepseek.local import LocalGateway, Reply, ToolCall
from tests.conftest import PATHS, PICTURE, Ask


@tool
def get_weather(city: str, unit: str = "celsius") -> str:
    """Get the weather of a city."""
    return f"18 degrees {unit} in {city}"


ANSWERS = {
    "text": Reply(content="Rayleigh scattering.", reasoning="Short waves scatter more."),
    "text in other scripts": Reply(content="空は青い 🌊 — größer", reasoning="考える\n\nüber 🌊"),
    "one tool call": Reply(
        reasoning="I need the weather.",
        tool_calls=[ToolCall("get_weather", {"city": "Paris"})],
    ),
    "two tool calls with text": Reply(
        content="Let me look.",
        reasoning="Both cities.",
        tool_calls=[
            ToolCall("get_weather", {"city": "Zürich"}),
            ToolCall("get_weather", {"city": "São Paulo", "unit": "kelvin"}),
        ],
    ),
    "cache hit": Reply(content="Yes.", reasoning="Easy.", cached_tokens=128),
    "cut by the limit": Reply(content="Rayleigh", reasoning="Short.", finish_reason="length"),
}


def _comparable(message: AIMessage) -> dict[str, Any]:
    """Return the parts of a message that do not differ between requests."""
    metadata = dict(message.response_metadata)
    assert metadata.pop("id")
    facts = dict(metadata.pop("cloudflare_gateway"))
    ids = {facts.pop(name) for name in ("log_id", "event_id", "request_id")}
    assert len(ids) == 1
    assert facts.pop("ray")
    return {
        "content": message.content,
        "additional_kwargs": message.additional_kwargs,
        "response_metadata": metadata,
        "cloudflare_gateway": facts,
        "tool_calls": [{**call, "id": bool(call["id"])} for call in message.tool_calls],
        "invalid_tool_calls": message.invalid_tool_calls,
        "usage_metadata": message.usage_metadata,
        "content_blocks": [
            {**block, "id": bool(block.get("id"))} for block in message.content_blocks
        ],
    }


@pytest.mark.parametrize("routing", ["provider-native", "unified", "compat"])
@pytest.mark.parametrize("answer", ANSWERS)
def test_paths_return_the_same_message(gw: LocalGateway, routing: Any, answer: str) -> None:
    llm = gw.chat_model(routing=routing).bind_tools([get_weather])
    messages = {}
    for name, ask in PATHS.items():
        gw.reply(ANSWERS[answer])
        messages[name] = _comparable(ask(llm, "Tell me."))
    # JSON responses of the unified endpoint say whose key was used; its events do not.
    sources = {
        name: message["cloudflare_gateway"].pop("key_source", None)
        for name, message in messages.items()
    }
    whole = "Unified" if routing == "unified" else None
    assert sources == {"invoke": whole, "ainvoke": whole, "stream": None, "astream": None}
    assert messages == dict.fromkeys(PATHS, messages["invoke"])


def test_message_holds_everything_of_the_completion(gw: LocalGateway, ask: Ask) -> None:
    gw.reply(ANSWERS["text"])
    message = ask(gw.chat_model(), "Why is the sky blue?")
    usage = message.response_metadata["token_usage"]
    facts = message.response_metadata["cloudflare_gateway"]
    assert message.content == "Rayleigh scattering."
    assert message.additional_kwargs == {"reasoning_content": "Short waves scatter more."}
    assert message.content_blocks == [
        {"type": "reasoning", "reasoning": "Short waves scatter more."},
        {"type": "text", "text": "Rayleigh scattering."},
    ]
    assert message.usage_metadata == {
        "input_tokens": usage["prompt_tokens"],
        "output_tokens": usage["completion_tokens"],
        "total_tokens": usage["total_tokens"],
        "input_token_details": {"cache_read": 0},
        "output_token_details": {
            "reasoning": usage["completion_tokens_details"]["reasoning_tokens"]
        },
    }
    assert message.usage_metadata["output_token_details"]["reasoning"] > 0
    assert {
        name: message.response_metadata[name]
        for name in ("model_provider", "model_name", "finish_reason")
    } == {"model_provider": "deepseek", "model_name": "deepseek-flash", "finish_reason": "stop"}
    assert facts == {
        "log_id": facts["log_id"],
        "event_id": facts["log_id"],
        "request_id": facts["log_id"],
        "cache_status": "MISS",
        "step": 0,
        "ray": facts["ray"],
    }


def test_batch_and_abatch_return_the_same_messages(gw: LocalGateway) -> None:
    llm = gw.chat_model(thinking="disabled")
    questions: list[LanguageModelInput] = [f"Question number {number}" for number in range(8)]
    batch = llm.batch(questions)
    abatch = asyncio.run(llm.abatch(questions, config={"max_concurrency": 4}))
    assert [message.content for message in batch] == [message.content for message in abatch]
    assert [str(number) in message.content for number, message in enumerate(batch)] == [True] * 8
    assert all("log_id" in message.response_metadata["cloudflare_gateway"] for message in batch)


@pytest.mark.parametrize("usage_chunk", ["deepseek", "catalogue"])
def test_usage_and_gateway_metadata_come_once_in_a_stream(usage_chunk: Any) -> None:
    with LocalGateway(usage_chunk=usage_chunk) as gw:
        chunks = list(gw.chat_model(routing="unified").stream("Why is the sky blue?"))
    assert [bool(chunk.usage_metadata) for chunk in chunks].count(True) == 1
    facts = ["cloudflare_gateway" in chunk.response_metadata for chunk in chunks]
    assert facts == [True] + [False] * (len(chunks) - 1)
    providers = ["model_provider" in chunk.response_metadata for chunk in chunks]
    assert providers == facts
    assert chunks[-1].chunk_position == "last"


@pytest.mark.parametrize("model", ["deepseek-flash", "deepseek-v4-pro"])
def test_model_name_is_on_the_first_and_last_chunk_and_once_in_the_sum(
    gw: LocalGateway, model: str
) -> None:
    """Other classes send it with the finish; LangChain's event streams read it at the start."""
    chunks = list(gw.chat_model(model=model).stream("Why is the sky blue?"))
    (closing,) = [chunk for chunk in chunks if "finish_reason" in chunk.response_metadata]
    assert chunks[0].response_metadata["model_name"] == model
    assert closing.response_metadata["model_name"] == model
    message = message_chunk_to_message(sum(chunks[1:], chunks[0]))
    assert message.response_metadata["model_name"] == model
    for copy in (pickle.loads(pickle.dumps(message)), load_dumped(message)):
        assert copy.response_metadata["model_name"] == model


def load_dumped(message: Any) -> Any:
    return JsonPlusSerializer().loads_typed(JsonPlusSerializer().dumps_typed(message))


def test_usage_streamed_after_the_completion_is_counted(ask: Ask) -> None:
    with LocalGateway(usage_chunk="catalogue") as gw:
        message = ask(gw.chat_model(routing="unified", model="deepseek-v4-pro"), "Hello")
    assert message.response_metadata["finish_reason"] == "stop"
    assert message.usage_metadata is not None
    assert message.usage_metadata["total_tokens"] > 0


def test_reasoning_chunks_are_never_empty(gw: LocalGateway) -> None:
    gw.reply(ANSWERS["text"])
    chunks = list(gw.chat_model().stream("Why?"))
    reasonings = [
        chunk.additional_kwargs["reasoning_content"]
        for chunk in chunks
        if "reasoning_content" in chunk.additional_kwargs
    ]
    assert len(reasonings) > 1
    assert all(reasonings)
    assert "".join(reasonings) == "Short waves scatter more."


@pytest.mark.parametrize("answer", ANSWERS)
def test_content_blocks_are_the_same_on_every_path(gw: LocalGateway, answer: str) -> None:
    llm = gw.chat_model(output_version="v1").bind_tools([get_weather])
    contents = {}
    for name, ask in PATHS.items():
        gw.reply(ANSWERS[answer])
        contents[name] = [
            {key: value for key, value in block.items() if key not in {"index", "id"}}
            for block in ask(llm, "Tell me.").content
            if isinstance(block, dict)
        ]
    assert contents == dict.fromkeys(PATHS, contents["invoke"])
    assert contents["invoke"][0]["type"] == "reasoning"


def test_reasoning_is_sent_back_with_every_assistant_message(gw: LocalGateway, ask: Ask) -> None:
    """https://github.com/langchain-ai/langchain/issues/34166"""
    call = {"name": "get_weather", "args": {"city": "Paris"}, "id": "call_1", "type": "tool_call"}
    history = [
        SystemMessage("Be brief."),
        HumanMessage("Hello"),
        AIMessage("Hi.", additional_kwargs={"reasoning_content": "A greeting."}),
        HumanMessage("And now?"),
        AIMessage(
            [{"type": "reasoning", "reasoning": "From a block."}, {"type": "text", "text": "Now."}]
        ),
        HumanMessage("Weather in Paris?"),
        AIMessage("", tool_calls=[call]),
        ToolMessage("18 degrees", tool_call_id="call_1"),
    ]
    ask(gw.chat_model().bind_tools([get_weather]), history)
    assert gw.requests[-1].body["messages"] == [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": "Hello"},
        {"role": "assistant", "content": "Hi.", "reasoning_content": "A greeting."},
        {"role": "user", "content": "And now?"},
        {"role": "assistant", "content": "Now.", "reasoning_content": "From a block."},
        {"role": "user", "content": "Weather in Paris?"},
        {
            "role": "assistant",
            "content": "",
            "reasoning_content": "",
            "tool_calls": [
                {
                    "type": "function",
                    "id": "call_1",
                    "function": {"name": "get_weather", "arguments": '{"city": "Paris"}'},
                }
            ],
        },
        {"role": "tool", "content": "18 degrees", "tool_call_id": "call_1"},
    ]


def test_reasoning_is_not_sent_back_when_thinking_is_disabled(gw: LocalGateway, ask: Ask) -> None:
    history = [
        HumanMessage("Hello"),
        AIMessage("Hi.", additional_kwargs={"reasoning_content": "A greeting."}),
        HumanMessage("And now?"),
    ]
    ask(gw.chat_model(thinking="disabled"), history)
    assert gw.requests[-1].body["messages"][1] == {"role": "assistant", "content": "Hi."}


def test_tool_loop_that_was_streamed_is_valid_for_strict_deepseek(
    gw: LocalGateway, ask: Ask
) -> None:
    """https://github.com/langchain-ai/langchain/issues/39370"""
    llm = gw.chat_model().bind_tools([get_weather])
    question = HumanMessage("What is the weather in Paris? Use the tool.")
    first = ask(llm, [question])
    (call,) = first.tool_calls
    assert call["args"]["city"] == "Paris"
    result = get_weather.invoke(call)
    assert "18 degrees" in ask(llm, [question, first, result]).content


def test_parameters_are_sent_under_deepseeks_names(gw: LocalGateway, ask: Ask) -> None:
    llm = gw.chat_model(
        temperature=0.5,
        max_completion_tokens=500,
        stop=["END"],
        reasoning_effort="low",
        user_id="user-1",
        extra_body={"title": {"enabled": True}},
        model_kwargs={"seed": 7},
    )
    ask(llm, "Hello", top_p=0.9, max_tokens=400, extra_body={"safety_check": {"level": "low"}})
    body = gw.requests[-1].body
    stream = {"stream": True, "stream_options": {"include_usage": True}}
    assert {k: v for k, v in body.items() if k not in stream} == {
        "model": "deepseek-flash",
        "messages": [{"role": "user", "content": "Hello"}],
        "temperature": 0.5,
        "max_tokens": 400,
        "stop": ["END"],
        "reasoning_effort": "low",
        "user_id": "user-1",
        "title": {"enabled": True},
        "seed": 7,
        "top_p": 0.9,
        "safety_check": {"level": "low"},
    }
    assert {k: v for k, v in body.items() if k in stream} in ({}, stream)


def test_log_probabilities_cover_every_token_of_text_and_reasoning(
    gw: LocalGateway, ask: Ask
) -> None:
    gw.reply(content="Two words.", reasoning="Count them.")
    message = ask(gw.chat_model(logprobs=True, top_logprobs=2), "Hello")
    given = message.response_metadata["logprobs"]
    assert {
        part: [(entry["token"], len(entry["top_logprobs"])) for entry in entries]
        for part, entries in given.items()
    } == {
        "content": [("Two", 2), (" words", 2), (".", 2)],
        "reasoning_content": [("Count", 2), (" them", 2), (".", 2)],
    }


def test_stop_word_ends_the_text_before_it(gw: LocalGateway, ask: Ask) -> None:
    gw.reply(content="one two STOP three", reasoning="Counting.")
    assert ask(gw.chat_model(), "Count", stop=["STOP"]).content == "one two "


def test_options_of_one_call_reach_the_wire(gw: LocalGateway, ask: Ask) -> None:
    ask(
        gw.chat_model(default_query={"a": "1"}, default_headers={"X-Team": "search"}),
        "Hello",
        extra_headers={"x-team": "ads", "X-Job": "nightly"},
        extra_query={"b": "2"},
        timeout=30,
    )
    (request,) = gw.requests
    assert request.query == "a=1&b=2"
    assert (request.headers["x-team"], request.headers["x-job"]) == ("ads", "nightly")
    assert "extra_headers" not in request.body


def test_parameter_of_a_call_that_is_unknown_is_rejected_before_sending(
    gw: LocalGateway, ask: Ask
) -> None:
    with pytest.raises(ValueError, match=r"unknown parameters \['temprature'\]"):
        ask(gw.chat_model(), "Hello", temprature=0)
    assert gw.requests == []


PICTURE_DATA = base64.b64encode(PICTURE).decode()
IMAGE = {
    "type": "image_url",
    "image_url": {"url": f"data:image/png;base64,{PICTURE_DATA}"},
}


def test_images_are_sent_in_deepseeks_format_to_a_model_with_vision(
    gw: LocalGateway, ask: Ask
) -> None:
    forms: list[str | dict[Any, Any]] = [
        IMAGE,
        {"type": "image", "base64": PICTURE_DATA, "mime_type": "image/png"},
        {
            "type": "image",
            "source": {"type": "base64", "media_type": "image/png", "data": PICTURE_DATA},
        },
    ]
    text: dict[Any, Any] = {"type": "text", "text": "What is this?"}
    ask(gw.chat_model(), [HumanMessage([text, *forms])])
    assert gw.requests[-1].body["messages"] == [{"role": "user", "content": [text] + [IMAGE] * 3}]


def test_images_are_not_sent_to_a_model_without_vision(gw: LocalGateway, ask: Ask) -> None:
    """DeepSeek would answer without having seen it."""
    with pytest.raises(ValueError, match=r"messages\[0\] .* cannot read images"):
        ask(gw.chat_model(model="deepseek-v4-pro"), [HumanMessage([IMAGE])])
    assert gw.requests == []


def test_streaming_can_be_turned_off(gw: LocalGateway) -> None:
    (chunk,) = gw.chat_model(disable_streaming=True).stream("Hello")
    assert chunk.content
    assert "stream" not in gw.requests[-1].body


def test_streaming_can_be_turned_on_for_invoke(gw: LocalGateway) -> None:
    message = gw.chat_model(streaming=True).invoke("Hello")
    assert message.usage_metadata is not None
    assert gw.requests[-1].body["stream"] is True


def test_stream_usage_false_requests_no_usage(gw: LocalGateway) -> None:
    list(gw.chat_model(stream_usage=False).stream("Hello"))
    list(gw.chat_model().stream("Hello", stream_usage=False))
    assert [request.body.get("stream_options") for request in gw.requests] == [None, None]


def test_rate_limiter_is_used_on_every_path(gw: LocalGateway, ask: Ask) -> None:
    class Counting(InMemoryRateLimiter):
        asked = 0

        def acquire(self, *, blocking: bool = True) -> bool:
            Counting.asked += 1
            return super().acquire(blocking=blocking)

        async def aacquire(self, *, blocking: bool = True) -> bool:
            Counting.asked += 1
            return await super().aacquire(blocking=blocking)

    limiter = Counting(requests_per_second=1000, check_every_n_seconds=0.001, max_bucket_size=10)
    ask(gw.chat_model(rate_limiter=limiter), "Hello")
    assert Counting.asked == 1


class _Tokens(BaseCallbackHandler):
    def __init__(self) -> None:
        self.tokens: list[str] = []
        self.end: Any = None

    def on_llm_new_token(self, token: Any, **_: Any) -> None:
        self.tokens.append(token)

    def on_llm_end(self, response: Any, **_: Any) -> None:
        self.end = response


def test_callbacks_receive_each_token_and_the_message(gw: LocalGateway) -> None:
    gw.reply(ANSWERS["text"])
    heard = _Tokens()
    list(gw.chat_model().stream("Why?", config={"callbacks": [heard]}))
    assert "".join(heard.tokens) == "Rayleigh scattering."
    message = heard.end.generations[0][0].message
    assert message.content == "Rayleigh scattering."
    assert message.usage_metadata["total_tokens"] > 0


def test_callbacks_of_invoke_receive_the_token_usage(gw: LocalGateway) -> None:
    heard = _Tokens()
    message = gw.chat_model().invoke("Why?", config={"callbacks": [heard]})
    assert heard.end.llm_output["token_usage"] == message.response_metadata["token_usage"]


def test_astream_events_carry_the_answer(gw: LocalGateway) -> None:
    gw.reply(ANSWERS["text"])

    async def collect() -> list[Any]:
        return [event async for event in gw.chat_model().astream_events("Why?", version="v2")]

    events = asyncio.run(collect())
    texts = [
        event["data"]["chunk"].content
        for event in events
        if event["event"] == "on_chat_model_stream"
    ]
    assert "".join(texts) == "Rayleigh scattering."
    assert events[-1]["data"]["output"].response_metadata["finish_reason"] == "stop"


@pytest.mark.parametrize("answer", ["text", "two tool calls with text"])
def test_protocol_events_carry_reasoning_text_and_tool_calls(gw: LocalGateway, answer: str) -> None:
    gw.reply(ANSWERS[answer])
    llm = gw.chat_model().bind_tools([get_weather])
    stream: Any = llm.stream_events("Why?", version="v3")
    message = stream.output
    kinds = [block["type"] for block in message.content_blocks]
    assert kinds == ["reasoning", "text"] + ["tool_call"] * len(ANSWERS[answer].tool_calls)
    assert message.usage_metadata["total_tokens"] > 0
    assert "log_id" in message.response_metadata["cloudflare_gateway"]


def test_tracing_has_provider_and_model(gw: LocalGateway) -> None:
    llm = gw.chat_model(temperature=0.5, max_tokens=100)
    assert llm._get_ls_params(stop=["END"]) == {
        "ls_provider": "deepseek",
        "ls_model_name": "deepseek-flash",
        "ls_model_type": "chat",
        "ls_temperature": 0.5,
        "ls_max_tokens": 100,
        "ls_stop": ["END"],
    }
    assert llm.invoke("Hello").response_metadata["model_provider"] == "deepseek"


def test_tracing_has_the_package_versions(gw: LocalGateway) -> None:
    llm: ChatCloudflareDeepSeek = gw.chat_model()
    assert llm.metadata is not None
    assert {"langchain-openai", "langchain-cf-deepseek"} <= llm.metadata["lc_versions"].keys()


def test_chunk_copied_from_a_template_equals_a_constructed_one() -> None:
    kwargs = {"reasoning_content": "Hm."}
    copied = build_text_chunk("Hi", kwargs, {"id": "1"})
    made = ChatGenerationChunk(
        message=AIMessageChunk(
            content="Hi", additional_kwargs=kwargs, response_metadata={"id": "1"}
        )
    )
    assert copied == made
    assert dumpd(copied.message) == dumpd(made.message)
    assert (copied + copied).model_dump() == (made + made).model_dump()
    other = build_text_chunk("Ho", {}, {}).message
    assert isinstance(other, AIMessageChunk)
    other.tool_calls.append(tool_call(name="f", args={}, id="1"))
    assert build_text_chunk("Ho", {}, {}).message.model_dump()["tool_calls"] == []
