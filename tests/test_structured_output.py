"""Structured output and tool choice work by default, and never conflict with thinking."""

import asyncio
import json
from collections.abc import Callable
from typing import Any, Generic, TypeVar

import pytest
from langchain_core.exceptions import OutputParserException
from langchain_core.messages import HumanMessage, SystemMessage
from langchain_core.prompts import ChatPromptTemplate
from langchain_core.runnables.utils import AddableDict
from pydantic import BaseModel, Field
from typing_extensions import TypedDict

from langchain_cf_deepseek import errors
from langchain_cf_deepseek.local import LocalGateway, ToolCall
from tests.conftest import Ask


class Joke(BaseModel):
    """A joke to tell."""

    setup: str = Field(description="The question", min_length=3)
    punchline: str = Field(description="The answer")
    rating: int | None = Field(default=None, description="From 1 to 10")


class JokeDict(TypedDict):
    """A joke to tell."""

    setup: str
    punchline: str


JOKE_SCHEMA = {
    "title": "joke",
    "description": "A joke to tell.",
    "type": "object",
    "properties": {"setup": {"type": "string"}, "punchline": {"type": "string"}},
    "required": ["setup", "punchline"],
}

TOLD: dict[str, Any] = {"setup": "Why did the cat cross?", "punchline": "It did not."}

Run = Callable[[Any, Any], Any]
Item = TypeVar("Item")


def _streamed(parts: list[Any]) -> Any:
    """Return the sum of dict parts, or the last parsed result."""
    return sum(parts[1:], start=parts[0]) if isinstance(parts[0], AddableDict) else parts[-1]


def _stream(chain: Any, asked: Any) -> Any:
    return _streamed(list(chain.stream(asked)))


def _astream(chain: Any, asked: Any) -> Any:
    async def collect() -> list[Any]:
        return [part async for part in chain.astream(asked)]

    return _streamed(asyncio.run(collect()))


RUNS: dict[str, Run] = {
    "invoke": lambda chain, asked: chain.invoke(asked),
    "ainvoke": lambda chain, asked: asyncio.run(chain.ainvoke(asked)),
    "stream": _stream,
    "astream": _astream,
}


@pytest.fixture(params=RUNS)
def run(request: pytest.FixtureRequest) -> Run:
    return RUNS[request.param]


def _as_dict(value: Any) -> Any:
    return value.model_dump(exclude_none=True) if isinstance(value, BaseModel) else value


@pytest.mark.parametrize("schema", [Joke, JokeDict, JOKE_SCHEMA])
@pytest.mark.parametrize("method", ["function_calling", "json_schema"])
@pytest.mark.parametrize("routing", ["provider-native", "unified"])
def test_default_method_is_a_forced_tool_call_without_thinking(
    gw: LocalGateway, run: Run, schema: Any, method: Any, routing: Any
) -> None:
    """https://github.com/langchain-ai/langchain/issues/40769"""
    gw.reply(tool_calls=[ToolCall("joke" if schema is JOKE_SCHEMA else schema.__name__, TOLD)])
    chain = gw.chat_model(routing=routing).with_structured_output(schema, method=method)
    answer = run(chain, "Tell me a joke about cats")
    assert _as_dict(answer) == TOLD
    assert isinstance(answer, Joke if schema is Joke else dict)
    body = gw.requests[-1].body
    assert body["thinking"] == {"type": "disabled"}
    assert body["tool_choice"]["type"] == "function"
    assert "reasoning_effort" not in body


@pytest.mark.parametrize("schema", [Joke, JokeDict, JOKE_SCHEMA])
@pytest.mark.parametrize("wish", [{"thinking": "enabled"}, {"reasoning_effort": "high"}])
def test_thinking_enabled_gives_reasoning_and_result_together(
    gw: LocalGateway, run: Run, schema: Any, wish: dict[str, Any]
) -> None:
    gw.reply(content=json.dumps(TOLD), reasoning="Cats cross.")
    chain = gw.chat_model(**wish).with_structured_output(schema, include_raw=True)
    answer = run(chain, [SystemMessage("Be funny."), HumanMessage("A joke about cats")])
    assert _as_dict(answer["parsed"]) == TOLD
    assert answer["parsing_error"] is None
    assert answer["raw"].additional_kwargs["reasoning_content"] == "Cats cross."
    body = gw.requests[-1].body
    assert body["response_format"] == {"type": "json_object"}
    assert "tools" not in body
    system = body["messages"][0]["content"]
    assert system.startswith("Be funny.\n\nAnswer with one JSON object that matches this JSON")
    assert "punchline" in system


@pytest.mark.parametrize("schema", [Joke, JokeDict, JOKE_SCHEMA])
@pytest.mark.parametrize("content", ['{"setup": "x"}', "[1]"])
def test_result_that_does_not_match_the_schema_is_an_error(
    gw: LocalGateway, schema: Any, content: str
) -> None:
    chain = gw.chat_model(thinking="enabled").with_structured_output(schema, include_raw=True)
    gw.reply(content=content, reasoning="r")
    answer = chain.invoke("A joke")
    assert isinstance(answer, dict)
    assert answer["parsed"] is None
    assert isinstance(answer["parsing_error"], OutputParserException)


class Report(BaseModel):
    """A report."""

    title: str = "none"
    lines: list[str] = []
    amount: float = 0


class ReportDict(TypedDict, total=False):
    """A report."""

    title: str
    amount: float


REPORT_SCHEMA = {
    "title": "report",
    "description": "A report.",
    "type": "object",
    "properties": {"title": {"type": "string"}, "amount": {"type": "number"}},
}
REPORT: dict[str, Any] = {"title": "Q3 of the year", "lines": ["one", "two"], "amount": 12500.75}


@pytest.mark.parametrize("schema", [Report, ReportDict, REPORT_SCHEMA])
@pytest.mark.parametrize(
    ("method", "settings"),
    [
        ("function_calling", {}),
        ("function_calling", {"thinking": "enabled"}),
        ("json_schema", {"reasoning_effort": "max"}),
        ("json_mode", {}),
        ("json_mode", {"thinking": "disabled"}),
    ],
)
@pytest.mark.parametrize("limit", [1, 4, 9, 14, 20, 25])
def test_result_truncated_by_the_limit_is_an_error_naming_it(
    gw: LocalGateway, run: Run, schema: Any, method: Any, settings: dict[str, Any], limit: int
) -> None:
    """With defaults in the schema, an incomplete object is valid too."""
    name = "report" if schema is REPORT_SCHEMA else schema.__name__
    calls = method == "function_calling" and not settings
    for include_raw in (False, True):
        if calls:
            gw.reply(tool_calls=[ToolCall(name, REPORT)])
        else:
            gw.reply(content=json.dumps(REPORT), reasoning="A report.")
        llm = gw.chat_model(max_tokens=limit, max_retries=0, **settings)
        chain = llm.with_structured_output(schema, method=method, include_raw=include_raw)
        if not include_raw:
            with pytest.raises(errors.CFDeepSeekMaxTokensError, match="max_tokens"):
                run(chain, "A report as JSON")
            continue
        answer = run(chain, "A report as JSON")
        assert answer["parsed"] is None
        assert isinstance(answer["parsing_error"], errors.CFDeepSeekMaxTokensError)
        assert answer["raw"].usage_metadata["output_tokens"] == limit
        assert answer["raw"].usage_metadata == answer["parsing_error"].usage_metadata


@pytest.mark.parametrize("schema", [Report, ReportDict, REPORT_SCHEMA])
def test_partial_results_are_yielded_while_the_response_streams(
    gw: LocalGateway, schema: Any
) -> None:
    gw.reply(content=json.dumps(REPORT), reasoning="A report.")
    chain = gw.chat_model(thinking="enabled").with_structured_output(schema)
    parts = [_as_dict(part) for part in chain.stream("A report")]
    assert len(parts) > 3
    assert parts[-1] == REPORT


@pytest.mark.parametrize("schema", [Report, ReportDict, REPORT_SCHEMA])
@pytest.mark.parametrize("content", ["null", "5", '{"name": "Ada"]}', "no JSON", '{"amount": 125'])
@pytest.mark.parametrize("settings", [{"thinking": "enabled"}, {"method": "json_mode"}])
def test_response_without_a_complete_result_is_an_error_on_every_path(
    gw: LocalGateway, run: Run, schema: Any, content: str, settings: dict[str, Any]
) -> None:
    model, method = dict(settings), settings.get("method", "function_calling")
    model.pop("method", None)
    body = {
        "choices": [{"message": {"content": content}, "finish_reason": "stop"}],
        "usage": {"prompt_tokens": 1, "completion_tokens": 2, "total_tokens": 3},
    }
    chain = gw.chat_model(max_retries=0, **model).with_structured_output(schema, method=method)
    gw.fault(body=body)
    with pytest.raises((OutputParserException, errors.CFDeepSeekAPIError)):
        run(chain, "json")


def test_forced_tool_call_answered_in_text_is_an_error_holding_the_text(
    gw: LocalGateway, run: Run
) -> None:
    gw.reply(content="I would rather not.")
    with pytest.raises(errors.CFDeepSeekAPIError, match="I would rather not"):
        run(gw.chat_model(max_retries=0).with_structured_output(Report), "A report")
    gw.reply(content="I would rather not.")
    chain = gw.chat_model(max_retries=0).with_structured_output(Report, include_raw=True)
    answer = run(chain, "A report")
    assert (answer["parsed"], answer["raw"].text) == (None, "I would rather not.")
    assert isinstance(answer["parsing_error"], errors.CFDeepSeekAPIError)


def test_service_error_is_raised_even_with_include_raw(gw: LocalGateway, run: Run) -> None:
    gw.fail_next("deepseek-key")
    with pytest.raises(errors.CFDeepSeekAuthenticationError):
        run(gw.chat_model().with_structured_output(Report, include_raw=True), "A report")


@pytest.mark.parametrize("call", [{"thinking": "enabled"}, {"reasoning_effort": "high"}])
@pytest.mark.parametrize("include_raw", [False, True])
def test_method_is_chosen_by_the_parameters_of_the_call(
    gw: LocalGateway, call: dict[str, Any], *, include_raw: bool
) -> None:
    gw.reply(content=json.dumps(REPORT), reasoning="A report.")
    chain: Any = gw.chat_model().with_structured_output(Report, include_raw=include_raw)
    answer = chain.invoke("A report", **call)
    assert (answer["parsed"] if include_raw else answer) == Report(**REPORT)
    assert gw.requests[-1].body["response_format"] == {"type": "json_object"}
    gw.reply(tool_calls=[ToolCall("Report", REPORT)])
    thinker: Any = gw.chat_model(**call).with_structured_output(Report, include_raw=include_raw)
    answer = thinker.invoke("A report", thinking="disabled")
    assert (answer["parsed"] if include_raw else answer) == Report(**REPORT)
    assert "response_format" not in gw.requests[-1].body


BOX_SCHEMA: dict[str, Any] = {
    "type": "object",
    "properties": {"item": {"type": "integer"}},
    "required": ["item"],
}


class Box(BaseModel, Generic[Item]):
    """A box."""

    item: Item


@pytest.mark.parametrize("settings", [{}, {"thinking": "enabled"}])
@pytest.mark.parametrize(
    "schema",
    [
        Box[int],
        {**BOX_SCHEMA, "title": "a box"},
        {**BOX_SCHEMA, "title": "\u7bb1"},
    ],
)
def test_schema_name_can_be_invalid_as_a_tool_name(
    gw: LocalGateway, run: Run, schema: Any, settings: dict[str, Any]
) -> None:
    chain = gw.chat_model(**settings).with_structured_output(schema)
    assert _as_dict(run(chain, "Put 7 into the box.")) == {"item": 7}


def get_rate(currency: str) -> str:
    """Get the rate of a currency."""
    return currency


@pytest.mark.parametrize("settings", [{}, {"thinking": "enabled"}])
def test_further_tools_are_sent_with_the_result_schema(
    gw: LocalGateway, run: Run, settings: dict[str, Any]
) -> None:
    chain = gw.chat_model(**settings).with_structured_output(Report, tools=[get_rate])
    if settings:
        gw.reply(content=json.dumps(REPORT), reasoning="A report.")
    else:
        gw.reply(tool_calls=[ToolCall("Report", REPORT)])
    assert run(chain, "A report") == Report(**REPORT)
    names = [tool["function"]["name"] for tool in gw.requests[-1].body["tools"]]
    assert names == (["get_rate"] if settings else ["Report", "get_rate"])


def test_tool_call_of_another_tool_is_not_a_result(gw: LocalGateway, run: Run) -> None:
    llm = gw.chat_model(thinking="enabled")
    chain = llm.with_structured_output(Report, tools=[get_rate], include_raw=True)
    gw.reply(tool_calls=[ToolCall("get_rate", {"currency": "EUR"})], reasoning="First the rate.")
    answer = run(chain, "A report")
    assert answer["parsed"] is None
    assert "called 'get_rate' instead" in str(answer["parsing_error"])
    assert answer["raw"].tool_calls[0]["args"] == {"currency": "EUR"}


def test_result_without_the_raw_message_is_the_default(gw: LocalGateway) -> None:
    gw.reply(content=f"```json\n{json.dumps(TOLD)}\n```", reasoning="r")
    chain = gw.chat_model(thinking="enabled").with_structured_output(Joke)
    assert chain.invoke("A joke") == Joke(**TOLD)


def test_json_mode_adds_the_word_json_when_the_prompt_lacks_it(gw: LocalGateway, ask: Ask) -> None:
    """DeepSeek rejects JSON mode if the prompt does not contain the word."""
    llm = gw.chat_model()
    ask(llm, "Give me a joke", response_format={"type": "json_object"})
    assert gw.requests[-1].body["messages"] == [
        {"role": "system", "content": "Answer with one JSON object."},
        {"role": "user", "content": "Give me a joke"},
    ]
    ask(llm, "Give me a joke as Json", response_format={"type": "json_object"})
    assert gw.requests[-1].body["messages"] == [
        {"role": "user", "content": "Give me a joke as Json"}
    ]


def test_json_mode_parses_to_the_class(gw: LocalGateway, run: Run) -> None:
    gw.reply(content=json.dumps(TOLD), reasoning="r")
    chain = gw.chat_model().with_structured_output(Joke, method="json_mode")
    assert run(chain, "A joke with setup and punchline") == Joke(**TOLD)


@pytest.mark.parametrize("settings", [{}, {"thinking": "enabled"}])
def test_lone_surrogates_in_a_result_become_the_replacement_character(
    gw: LocalGateway, run: Run, settings: dict[str, Any]
) -> None:
    text = r'{"setup": "\ud83d\ude00\ud83d..", "punchline": "b"}'
    calls = [{"id": "a", "function": {"name": "Joke", "arguments": text}}]
    message = {"content": text} if settings else {"tool_calls": calls}
    gw.fault(body={"choices": [{"message": message, "finish_reason": "stop"}]})
    chain = gw.chat_model(**settings).with_structured_output(Joke)
    assert run(chain, "A joke") == Joke(setup="\U0001f600\ufffd..", punchline="b")


def test_chain_of_prompt_model_and_schema_works(gw: LocalGateway, run: Run) -> None:
    gw.reply(tool_calls=[ToolCall("Joke", TOLD)])
    prompt = ChatPromptTemplate.from_messages(
        [("system", "Be funny."), ("human", "A joke about {it}")]
    )
    chain = prompt | gw.chat_model().with_structured_output(Joke)
    assert run(chain, {"it": "cats"}) == Joke(**TOLD)


@pytest.mark.parametrize(
    "response_format",
    [
        {"type": "json_schema", "json_schema": {"name": "joke", "schema": JOKE_SCHEMA}},
        {"type": "json_schema", "json_schema": JOKE_SCHEMA},
        Joke,
        JokeDict,
    ],
)
def test_json_schema_becomes_json_mode_with_the_schema_in_the_prompt(
    gw: LocalGateway, ask: Ask, response_format: Any
) -> None:
    """https://github.com/langchain-ai/langchain/issues/29282"""
    gw.reply(content=json.dumps(TOLD), reasoning="r")
    parts: list[str | dict[Any, Any]] = [
        {"type": "text", "text": "A"},
        {"type": "text", "text": "B"},
    ]
    message = ask(
        gw.chat_model(), [SystemMessage(parts), HumanMessage("x")], response_format=response_format
    )
    assert json.loads(message.text) == TOLD
    body = gw.requests[-1].body
    assert body["response_format"] == {"type": "json_object"}
    assert len(body["messages"][0]["content"]) == 3
    assert "punchline" in body["messages"][0]["content"][2]["text"]


TOOLS: list[dict[str, Any]] = [
    {
        "type": "function",
        "function": {
            "name": name,
            "description": f"Do {name}.",
            "parameters": {
                "type": "object",
                "properties": {
                    "text": {"type": "string", "minLength": 2},
                    "kinds": {"type": "array", "maxItems": 3, "items": {"$ref": "#/$defs/kind"}},
                },
                "required": ["text"],
                "$defs": {
                    "kind": {"type": "object", "properties": {"minLength": {"type": "integer"}}}
                },
            },
        },
    }
    for name in ("search", "write")
]

NAMED = {"type": "function", "function": {"name": "search"}}
OFF = {"type": "disabled"}


@pytest.mark.parametrize(
    ("choice", "sent", "thinking"),
    [
        ("any", "required", OFF),
        ("required", "required", OFF),
        (True, "required", OFF),
        ({"type": "any"}, "required", OFF),
        ("search", NAMED, OFF),
        (NAMED, NAMED, OFF),
        ({"type": "function", "name": "search"}, NAMED, OFF),
        ({"type": "tool", "name": "search"}, NAMED, OFF),
        ("auto", "auto", None),
        ({"type": "auto"}, "auto", None),
        ("none", "none", None),
        (False, None, None),
        (None, None, None),
    ],
)
def test_tool_choice_in_every_spelling_becomes_deepseeks(
    gw: LocalGateway, ask: Ask, choice: Any, sent: Any, thinking: Any
) -> None:
    ask(gw.chat_model().bind_tools(TOOLS, tool_choice=choice), "search for cats")
    ask(gw.chat_model(), "search for cats", tools=TOOLS, tool_choice=choice)
    for request in gw.requests:
        assert request.body.get("tool_choice") == sent
        assert request.body.get("thinking") == thinking


def test_tool_choice_that_names_no_tool_is_rejected(gw: LocalGateway) -> None:
    with pytest.raises(ValueError, match="names no tool"):
        gw.chat_model().invoke("x", tools=TOOLS, tool_choice={"type": "function"})


def test_tool_choice_without_tools_is_not_sent(gw: LocalGateway, ask: Ask) -> None:
    ask(gw.chat_model(), "Hello", tool_choice="any")
    assert "tool_choice" not in gw.requests[-1].body
    assert "thinking" not in gw.requests[-1].body


@pytest.mark.parametrize("wish", [{"thinking": "enabled"}, {"reasoning_effort": "low"}])
def test_thinking_enabled_overrides_a_forced_choice_and_warns_once(
    gw: LocalGateway, wish: dict[str, Any]
) -> None:
    llm = gw.chat_model(**wish).bind_tools(TOOLS, tool_choice="any")
    with pytest.warns(UserWarning, match="does not take a forced tool choice") as caught:
        llm.invoke("search for cats")
    llm.invoke("search for cats")
    assert len(caught) == 1
    assert [request.body["tool_choice"] for request in gw.requests] == ["auto", "auto"]
    assert all(("reasoning_effort" in wish) == ("reasoning_effort" in r.body) for r in gw.requests)


def test_thinking_disabled_by_the_user_leaves_the_choice_alone(gw: LocalGateway, ask: Ask) -> None:
    for llm in (gw.chat_model(thinking="disabled"), gw.chat_model(extra_body={"thinking": OFF})):
        ask(llm.bind_tools(TOOLS, tool_choice="any"), "search for cats")
        assert gw.requests[-1].body["thinking"] == OFF
        assert gw.requests[-1].body["tool_choice"] == "required"


@pytest.mark.parametrize(
    ("model", "call", "thinking", "effort"),
    [
        ({}, {}, None, None),
        ({"thinking": "enabled"}, {}, {"type": "enabled"}, None),
        ({"thinking": "enabled"}, {"thinking": "disabled"}, OFF, None),
        ({"thinking": "disabled"}, {"thinking": "enabled"}, {"type": "enabled"}, None),
        ({"thinking": "disabled"}, {"thinking": None}, None, None),
        ({"reasoning_effort": "high"}, {"thinking": "disabled"}, OFF, None),
        ({"reasoning_effort": "high"}, {"reasoning_effort": "none"}, OFF, None),
        ({"reasoning_effort": "none"}, {}, OFF, None),
        ({"thinking": "disabled"}, {"reasoning_effort": "max"}, None, "max"),
        ({"thinking": "disabled", "reasoning_effort": "none"}, {}, OFF, None),
        ({"extra_body": {"thinking": OFF}}, {"reasoning_effort": "low"}, None, "low"),
        ({}, {"thinking": {"type": "enabled", "budget_tokens": 9}}, "itself", None),
    ],
)
def test_thinking_and_effort_are_never_sent_in_conflict(
    gw: LocalGateway, ask: Ask, model: Any, call: Any, thinking: Any, effort: Any
) -> None:
    message = ask(gw.chat_model(**model), "Hello", **call)
    body = gw.requests[-1].body
    assert body.get("thinking") == (call["thinking"] if thinking == "itself" else thinking)
    assert body.get("reasoning_effort") == effort
    assert ("reasoning_content" in message.additional_kwargs) is (thinking != OFF)


def test_thinking_mode_that_is_unknown_is_rejected(gw: LocalGateway, ask: Ask) -> None:
    with pytest.raises(ValueError, match="`thinking` must be 'enabled' or 'disabled', not 'auto'"):
        ask(gw.chat_model(), "Hello", thinking="auto")


def test_strict_tools_go_to_the_beta_path_with_a_strict_schema(gw: LocalGateway, ask: Ask) -> None:
    """https://github.com/langchain-ai/langchain/issues/40029: behind a gateway too."""
    tools = [json.loads(json.dumps(tool)) for tool in TOOLS]
    tools[0]["function"]["strict"] = True
    before = json.dumps(tools)
    ask(gw.chat_model(), "search for cats", tools=tools)
    assert json.dumps(tools) == before
    request = gw.requests[-1]
    assert request.path.endswith("/deepseek/beta/chat/completions")
    for tool in request.body["tools"]:
        assert tool["function"]["strict"] is True
        assert tool["function"]["parameters"] == {
            "type": "object",
            "properties": {
                "text": {"type": "string"},
                "kinds": {"type": "array", "items": {"$ref": "#/$defs/kind"}},
            },
            "required": ["text", "kinds"],
            "additionalProperties": False,
            "$defs": {
                "kind": {
                    "type": "object",
                    "properties": {"minLength": {"type": "integer"}},
                    "required": ["minLength"],
                    "additionalProperties": False,
                }
            },
        }


def test_strict_output_works_on_the_beta_path(gw: LocalGateway, run: Run) -> None:
    gw.reply(tool_calls=[ToolCall("Joke", {**TOLD, "rating": 7})])
    chain = gw.chat_model().with_structured_output(Joke, strict=True)
    assert run(chain, "A joke") == Joke(**TOLD, rating=7)
    assert "/beta/" in gw.requests[-1].path
    parameters = gw.requests[-1].body["tools"][0]["function"]["parameters"]
    assert parameters["required"] == ["setup", "punchline", "rating"]
    assert "minLength" not in json.dumps(parameters)


def test_strict_without_a_beta_path_is_dropped_and_warns_once(gw: LocalGateway) -> None:
    chain = gw.chat_model(routing="unified").with_structured_output(Joke, strict=True)
    with pytest.warns(UserWarning, match="beta path") as caught:
        chain.invoke("A joke")
    chain.invoke("A joke")
    assert len(caught) == 1
    assert "/beta/" not in gw.requests[-1].path
    assert "strict" not in gw.requests[-1].body["tools"][0]["function"]


def test_strict_in_json_mode_is_dropped_and_warns(gw: LocalGateway) -> None:
    tools = [{"type": "function", "function": {**TOOLS[0]["function"], "strict": True}}]
    with pytest.warns(UserWarning, match="does not take strict tools in JSON mode"):
        gw.chat_model().invoke("JSON", tools=tools, response_format={"type": "json_object"})
    assert "strict" not in gw.requests[-1].body["tools"][0]["function"]
