"""A response is a valid completion or a typed error: truncated, leaked, failed and empty ones."""

import json
import pickle
from functools import partial
from typing import Any

import pytest
from langchain.agents import create_agent
from langchain.agents.middleware import ModelRetryMiddleware
from langchain_core.callbacks import get_usage_metadata_callback
from langchain_core.exceptions import ModelError
from langchain_core.messages import HumanMessage, ToolMessage

from langchain_cf_deepseek import errors
from langchain_cf_deepseek.errors import ModelRefusalError
from langchain_cf_deepseek.local import LocalGateway, ToolCall
from tests.callbacks import RunTracer
from tests.conftest import PATHS, Ask
from tests.streaming import USAGE, completion, event_stream, serve, tool_call

TOOLS = [
    {"type": "function", "function": {"name": "get_weather", "parameters": {"type": "object"}}}
]
TOKENS = {"input_tokens": 7, "output_tokens": 5, "total_tokens": 12}
BAR, DOUBLE, LOW = "\uff5c", "\u2016", "\u2581"


def _error(gw: LocalGateway, path: str, **kwargs: Any) -> errors.CFDeepSeekError:
    with pytest.raises(errors.CFDeepSeekError) as caught:
        PATHS[path](gw.chat_model(max_retries=0), "json", **kwargs)
    return caught.value


_call = partial(tool_call, name="get_weather", id="a")


# Truncated by the limit.


@pytest.mark.parametrize("arguments", ["", " ", "null", "{", '{"path": "/ho', "[]", "1"])
@pytest.mark.parametrize("others", [[], [_call('{"city": "Paris"}', id="b")]])
def test_tool_call_truncated_by_the_limit_is_an_error_with_usage_and_message(
    gw: LocalGateway, path: str, arguments: str, others: list[Any]
) -> None:
    """DeepSeek writes a call without arguments as `{}`, so an empty text is a truncated call."""
    calls = [*others, _call(arguments, name="wipe")]
    serve(gw, path, completion("length", content="Wiping.", tool_calls=calls))
    error = _error(gw, path, tools=TOOLS)
    assert type(error) is errors.CFDeepSeekMaxTokensError
    assert not error.is_retryable
    assert "max_tokens" in str(error)
    assert error.partial == "Wiping."
    assert error.usage_metadata == TOKENS
    assert error.raw_message is not None
    assert error.raw_message.content == "Wiping."
    assert error.raw_message.usage_metadata == TOKENS
    assert error.raw_message.response_metadata["finish_reason"] == "length"
    assert [call["args"] for call in error.raw_message.tool_calls] == [
        {"city": "Paris"} for _ in others
    ]
    (cut,) = error.raw_message.invalid_tool_calls
    assert (cut["name"], cut["args"]) == ("wipe", arguments)


def test_tool_call_that_is_complete_at_the_limit_is_returned(gw: LocalGateway, path: str) -> None:
    serve(gw, path, completion("length", tool_calls=[_call("{}")]))
    (call,) = PATHS[path](gw.chat_model(), "Hi", tools=TOOLS).tool_calls
    assert call["args"] == {}


@pytest.mark.parametrize("limit", [14, 18, 22])
def test_tool_call_that_is_truncated_is_not_run_by_an_agent(gw: LocalGateway, limit: int) -> None:
    ran = []

    def wipe(path: str = "/") -> str:
        """Wipe a folder."""
        ran.append(path)
        return "wiped"

    gw.reply(tool_calls=[ToolCall("wipe", {"path": "/home/ada/old"})])
    llm = gw.chat_model(max_tokens=limit, thinking="disabled", max_retries=0)
    retry = ModelRetryMiddleware(max_retries=2, on_failure="error", initial_delay=0)
    agent = create_agent(llm, [wipe], middleware=[retry])
    with pytest.raises(errors.CFDeepSeekMaxTokensError):
        agent.invoke({"messages": [HumanMessage("Wipe /home/ada/old")]})
    assert ran == []
    assert len(gw.requests) == 1


def test_usage_of_a_failed_response_is_counted_and_traced_once(gw: LocalGateway, path: str) -> None:
    serve(gw, path, completion("length", tool_calls=[_call("")]))
    tracer = RunTracer()
    with (
        get_usage_metadata_callback() as counted,
        pytest.raises(errors.CFDeepSeekMaxTokensError),
    ):
        PATHS[path](
            gw.chat_model().with_config(callbacks=[tracer]),
            "Hi",
            tools=TOOLS,
        )
    assert counted.usage_metadata == {"deepseek-flash": TOKENS}
    (run,) = tracer.runs
    assert "CFDeepSeekMaxTokensError" in str(run.error)
    assert run.outputs is not None
    traced = run.outputs["generations"][0][0]["message"]["kwargs"]
    assert traced["usage_metadata"] == TOKENS


def test_usage_is_counted_once_where_a_stream_falls_back_to_invoke(gw: LocalGateway) -> None:
    gw.fault(body=completion("length", tool_calls=[_call("")]))
    llm = gw.chat_model(disable_streaming=True)
    with get_usage_metadata_callback() as counted, pytest.raises(errors.CFDeepSeekMaxTokensError):
        list(llm.stream("Hi", tools=TOOLS))
    assert counted.usage_metadata == {"deepseek-flash": TOKENS}


JSON_MODE = {"response_format": {"type": "json_object"}}


@pytest.mark.parametrize("text", ["", "  ", '{"a": [1, 2', '{"amount": 125', "```json\n{", "["])
def test_json_truncated_by_the_limit_is_an_error(gw: LocalGateway, path: str, text: str) -> None:
    serve(gw, path, completion("length", content=text, reasoning_content="Think."))
    error = _error(gw, path, **JSON_MODE)
    assert type(error) is errors.CFDeepSeekMaxTokensError
    assert "max_tokens" in str(error)
    assert error.raw_message is not None
    assert error.raw_message.additional_kwargs == {"reasoning_content": "Think."}


@pytest.mark.parametrize("text", ['{"a": [1, 2', "```json\n{\n```", '{"a": 1,}', '{"a": nil}'])
def test_json_that_is_incomplete_with_finish_stop_is_not_repaired(
    gw: LocalGateway, path: str, text: str
) -> None:
    serve(gw, path, completion(content=text))
    error = _error(gw, path, **JSON_MODE)
    assert type(error) is errors.CFDeepSeekAPIError
    assert error.is_retryable
    assert error.partial == text


@pytest.mark.parametrize(
    "text",
    ['{"a": 1}', ' [1]\n\n  {"b": ', '{"a": "line\nbreak"}', '```json\n{"a": 1}\n```', "null", "5"],
)
@pytest.mark.parametrize("finish", ["stop", "length"])
def test_json_that_is_complete_is_returned_whatever_follows_it(
    gw: LocalGateway, path: str, text: str, finish: str
) -> None:
    serve(gw, path, completion(finish, content=text))
    assert PATHS[path](gw.chat_model(), "json", **JSON_MODE).content == text


def test_reasoning_truncated_by_the_limit_is_no_final_answer_of_an_agent(
    gw: LocalGateway, path: str
) -> None:
    serve(gw, path, completion("length", reasoning_content="Let me"))
    assert type(_error(gw, path, tools=TOOLS)) is errors.CFDeepSeekMaxTokensError
    serve(gw, path, completion("length", reasoning_content="Let me"))
    assert PATHS[path](gw.chat_model(), "Hi").content == ""


def test_text_truncated_by_the_limit_is_returned_with_its_finish_reason(
    gw: LocalGateway, path: str
) -> None:
    serve(gw, path, completion("length", content="Once upon"))
    message = PATHS[path](gw.chat_model(), "Hi", tools=TOOLS)
    assert message.content == "Once upon"
    assert message.response_metadata["finish_reason"] == "length"


@pytest.mark.parametrize("choice", ["any", "get_weather"])
@pytest.mark.parametrize(
    ("finish", "kind"),
    [("stop", errors.CFDeepSeekAPIError), ("length", errors.CFDeepSeekMaxTokensError)],
)
def test_forced_tool_call_answered_in_text_is_an_error_with_the_text(
    gw: LocalGateway, path: str, choice: str, finish: str, kind: type[Exception]
) -> None:
    serve(gw, path, completion(finish, content="I would rather not."))
    error = _error(gw, path, tools=TOOLS, tool_choice=choice)
    assert type(error) is kind
    assert error.partial == "I would rather not."


# Tool calls that leak as text.

INVOKE = f'<{BAR}DSML{BAR}invoke name="get_weather">\n'
LEAKS = {
    "V3.2": f"<{BAR}DSML{BAR}function_calls>\n{INVOKE}</{BAR}DSML{BAR}invoke>\n",
    "V3.2 after a sentence": f"Let me see. <{BAR}DSML{BAR}function_calls>",
    "V4": f"<{BAR}DSML{BAR}tool_calls>\n{INVOKE}</{BAR}DSML{BAR}invoke>",
    "V4.1": f"Let me look.\n\n<{BAR}{BAR}DSML{BAR}{BAR} calls>\n",
    "double line": f'<{DOUBLE}DSML{DOUBLE}invoke name="get_weather">',
    "ASCII bars with spaces": (
        '< | DSML | function_calls > < | DSML | invoke name="get_weather" > '
        '< | DSML | parameter name="city" > Paris < / | DSML | parameter > < / | DSML | invoke >'
    ),
    "ASCII bars": '<|DSML|invoke name="get_weather">',
    "no bars": '<invoke name="get_weather">\n<parameter name="city">Paris</parameter>\n</invoke>',
    "no bars in one line": (
        '<invoke name="get_weather"><parameter name="city">Paris</parameter></invoke>'
    ),
    "V3": (
        f"<{BAR}tool{LOW}calls{LOW}begin{BAR}><{BAR}tool{LOW}call{LOW}begin{BAR}>function"
        f'<{BAR}tool{LOW}sep{BAR}>get_weather\n```json\n{{"city": "Paris"}}\n```'
        f"<{BAR}tool{LOW}call{LOW}end{BAR}><{BAR}tool{LOW}calls{LOW}end{BAR}>"
    ),
    "V3 with ASCII bars": "<|tool_calls_begin|><|tool_call_begin|>function<|tool_sep|>get_weather",
    "a closing tag alone": f"18 degrees.\n</{BAR}DSML{BAR}function_calls>",
    "a closing tag without bars": "18 degrees.</function_calls>",
    "a closing parameter": f"Paris</{BAR}DSML{BAR}parameter>",
    "cut in an argument": f'{INVOKE}<{BAR}DSML{BAR}parameter name="city" string="true">Par',
    "cut in the tag": f"<{BAR}DSML{BAR}",
    "Hermes": '<tool_call>\n{"name": "get_weather", "arguments": {}}\n</tool_call>',
    "JSON": '{"name": "get_weather", "arguments": {"city": "Paris"}}',
    "JSON in a fence": '```json\n{"name": "get_weather", "parameters": {}}\n```',
    "V3.1": (
        f'<{BAR}tool{LOW}call{LOW}begin{BAR}>get_weather<{BAR}tool{LOW}sep{BAR}>{{"city": "Paris"}}'
    ),
    "V3 from its middle on": (
        f'function<{BAR}tool{LOW}sep{BAR}>get_weather\n```json\n{{"city": "Paris"}}\n```'
    ),
    "V3 without its tokens": 'functionget_weather\n```json\n{"city": "Paris"}\n```',
    "a name and arguments": 'get_weather{"city": "Paris"}',
    "Hermes, cut": '<tool_call>{"name": "get_weather", "arguments": {"city": "Par',
    "GLM": "<tool_call>get_weather\n<arg_key>city</arg_key>",
    "JSON behind the tag": f'<{BAR}DSML{BAR}invoke name="get_weather">{{"city": "Paris"}}',
    "arguments as a text": '{"name": "get_weather", "arguments": "{\\"city\\": \\"Paris\\"}"}',
    "a list of calls": '{"tool_calls": [{"function": {"name": "get_weather", "arguments": "{}"}}]}',
    "two calls as JSON": '{"name": "get_weather", "arguments": {}}\n' * 2,
    "an end token behind it": (
        f'{{"name": "get_weather", "arguments": {{}}}}<{BAR}end{LOW}of{LOW}sentence{BAR}>'
    ),
    "an invented result behind Hermes": (
        '<tool_call>\n{"name": "get_weather", "arguments": {}}\n</tool_call>\nIt is 30 degrees.'
    ),
    "an invented result behind a name misspelt": (
        f'<{BAR}DSML{BAR}invoke name="weather">\n</{BAR}DSML{BAR}invoke>\nIt is 30 degrees.'
    ),
    "an invented result behind it": f"{INVOKE}</{BAR}DSML{BAR}invoke>\n\nIt is 18 degrees.",
}


def _message(place: str, spelling: str) -> dict[str, Any]:
    return {place: LEAKS[spelling]}


@pytest.mark.parametrize("spelling", LEAKS)
@pytest.mark.parametrize("place", ["content", "reasoning_content"])
@pytest.mark.parametrize("finish", ["stop", "tool_calls"])
def test_leaked_tool_call_markup_is_a_retryable_error(
    gw: LocalGateway, path: str, spelling: str, place: str, finish: str
) -> None:
    """https://github.com/vllm-project/vllm/issues/45603"""
    serve(gw, path, completion(finish, **_message(place, spelling)))
    error = _error(gw, path, tools=TOOLS)
    assert type(error) is errors.CFDeepSeekAPIError
    assert error.is_retryable
    assert "markup of a tool call" in str(error)
    assert error.usage_metadata == TOKENS


def test_leaked_tool_call_markup_is_found_without_tools_after_earlier_tool_calls(
    gw: LocalGateway, path: str
) -> None:
    call = {"name": "get_weather", "args": {}, "id": "a", "type": "tool_call"}
    history: list[Any] = [
        ("user", "Weather?"),
        {"role": "assistant", "content": "", "tool_calls": [call]},
        ToolMessage("18", tool_call_id="a"),
    ]
    serve(gw, path, completion(content=LEAKS["V3.2"]))
    with pytest.raises(errors.CFDeepSeekAPIError, match="markup of a tool call"):
        PATHS[path](gw.chat_model(), history)


EXPLANATIONS = {
    "in backticks": f"DeepSeek writes `<{BAR}DSML{BAR}function_calls>` before a call.",
    "at the end, in backticks": f"It begins with `<{BAR}DSML{BAR}function_calls>`",
    "in a fence": f"A call:\n```xml\n{LEAKS['V3.2']}```\nThat is all.",
    "in a fence cut by the limit": f"A call:\n```xml\n<{BAR}DSML{BAR}function_calls>\n<{BAR}DSML",
    "in a sentence": 'It writes <invoke name="get_weather"> and closes it with </invoke>.',
    "in a Chinese sentence": f'\u6a21\u578b\u5199<{BAR}DSML{BAR}invoke name="f">\u8868\u793a.',
    "quoted": f'The first tag is "<{BAR}DSML{BAR}function_calls>" in V3.2.',
    "at the end of a sentence": f"The first tag is <{BAR}DSML{BAR}function_calls>.",
    "V3 in a sentence": f"Calls follow <{BAR}tool{LOW}calls{LOW}begin{BAR}> in V3.",
    "other XML": '<config>\n<parameter name="city">Paris</parameter>\n</config>',
    "in a fence of four": f"````\n```\n{LEAKS['V3.2']}```\n````",
    "in a fence with backticks": f"```\nuse `x`\n<{BAR}DSML{BAR}function_calls>\n```",
    "in HTML": f"<pre>\n<{BAR}DSML{BAR}function_calls>\n</pre>",
    "in an indented block": f"So::\n\n    <{BAR}DSML{BAR}function_calls>\n\nDone.",
    "in a quotation": f"> <{BAR}DSML{BAR}function_calls>\n\nThat is the first tag.",
    "XML of another language": '<target name="a">\n<invoke name="build"/>\n</target>',
    "the schema of a tool": (
        '{"name": "get_weather", "parameters": {"type": "object", "properties": {}}}'
    ),
    "JSON that calls nothing": '{"name": "Ada", "arguments": {}}',
}


@pytest.mark.parametrize("place", EXPLANATIONS)
def test_text_that_explains_tool_call_markup_is_returned(
    gw: LocalGateway, path: str, place: str
) -> None:
    serve(gw, path, completion(content=EXPLANATIONS[place]))
    assert PATHS[path](gw.chat_model(), "Hi", tools=TOOLS).content == EXPLANATIONS[place]


@pytest.mark.parametrize("spelling", LEAKS)
def test_tool_calls_next_to_leftover_markup_are_returned(
    gw: LocalGateway, path: str, spelling: str
) -> None:
    calls = [_call('{"city": "Paris"}')]
    serve(gw, path, completion("tool_calls", content=LEAKS[spelling], tool_calls=calls))
    message = PATHS[path](gw.chat_model(), "Hi", tools=TOOLS)
    assert [call["args"] for call in message.tool_calls] == [{"city": "Paris"}]


def test_malformed_tool_call_next_to_leftover_markup_is_reported_as_malformed(
    gw: LocalGateway, path: str
) -> None:
    calls = [_call('{"city": ')]
    serve(gw, path, completion("tool_calls", content=LEAKS["V3.2"], tool_calls=calls))
    error = _error(gw, path, tools=TOOLS)
    assert "'get_weather' are not a JSON object" in str(error)


# Finish reasons, and failures on a choice.


@pytest.mark.parametrize(
    "finish", ["error", "network_error", "repetition_truncation", "STOP", "eos", "next_year"]
)
def test_finish_reason_that_is_undocumented_is_an_error(
    gw: LocalGateway, path: str, finish: str
) -> None:
    serve(gw, path, completion(finish, content="Half a"))
    error = _error(gw, path)
    assert type(error) is errors.CFDeepSeekAPIError
    assert error.is_retryable
    assert error.partial == "Half a"
    assert error.usage_metadata == TOKENS
    assert finish in str(error)


@pytest.mark.parametrize("finish", ["error", "stop", None])
def test_error_on_a_choice_is_raised_with_its_message(
    gw: LocalGateway, path: str, finish: str | None
) -> None:
    """https://github.com/genkit-ai/genkit/issues/6259"""
    body = completion(finish, content="Half a")
    body["choices"][0]["error"] = {"code": 502, "message": "upstream lost"}
    serve(gw, path, body)
    error = _error(gw, path)
    assert isinstance(error, errors.CFDeepSeekAPIError)
    assert error.is_retryable
    assert "upstream lost" in str(error)
    assert error.code == 502
    assert error.partial == "Half a"


def test_refusal_raises_langchains_refusal_error_too(gw: LocalGateway, path: str) -> None:
    serve(gw, path, completion("content_filter", content="I was about to"))
    error = _error(gw, path)
    assert type(error) is errors.CFDeepSeekContentBlockedError
    assert isinstance(error, ModelRefusalError | ModelError)
    assert not error.is_retryable
    assert "Try again" not in error.hint
    assert "prompt" in error.hint
    assert error.raw_message is not None
    assert error.raw_message.content == error.partial == "I was about to"


def test_truncation_is_not_overridden_by_a_later_finish_reason(
    gw: LocalGateway, stream_path: str
) -> None:
    calls = [{"index": 0, **_call("", name="wipe")}]
    gw.fault(
        **event_stream(
            {"choices": [{"delta": {"tool_calls": calls}, "finish_reason": "length"}]},
            {"choices": [{"delta": {}, "finish_reason": "stop"}], "usage": USAGE},
        )
    )
    assert type(_error(gw, stream_path)) is errors.CFDeepSeekMaxTokensError


def test_refusal_field_raises_the_refusal_error(gw: LocalGateway, path: str) -> None:
    serve(gw, path, completion(content=None, refusal="I cannot help with that."))
    error = _error(gw, path, tools=TOOLS, tool_choice="any")
    assert type(error) is errors.CFDeepSeekContentBlockedError
    assert not error.is_retryable
    assert "I cannot help with that." in str(error)


@pytest.mark.parametrize("fields", [{}, {"message": None}, {"message": None, "delta": None}])
def test_choice_without_a_message_is_an_error(gw: LocalGateway, fields: dict[str, Any]) -> None:
    gw.fault(body={"choices": [{"index": 0, "finish_reason": "stop", **fields}], "usage": USAGE})
    assert "not of the shape" in str(_error(gw, "invoke"))


def test_text_of_a_text_completion_is_returned(gw: LocalGateway, path: str) -> None:
    choice = {"index": 0, "text": "Hello", "finish_reason": "stop"}
    gw.fault(body={"choices": [choice], "usage": USAGE})
    assert PATHS[path](gw.chat_model(), "Hi").content == "Hello"


def test_failure_finish_reason_is_not_overridden_by_a_later_one(gw: LocalGateway) -> None:
    last = {**completion("stop")["choices"][0], "delta": {}}
    gw.fault(
        **event_stream(
            {"choices": [{"delta": {"content": "a"}, "finish_reason": "content_filter"}]},
            {"choices": [{key: last[key] for key in ("delta", "finish_reason")}], "usage": USAGE},
        )
    )
    assert type(_error(gw, "stream")) is errors.CFDeepSeekContentBlockedError


def test_reasoning_without_text_is_a_message_without_text(gw: LocalGateway, path: str) -> None:
    serve(gw, path, completion(reasoning_content="Hm."))
    message = PATHS[path](gw.chat_model(), "Hi")
    assert (message.content, message.additional_kwargs) == ("", {"reasoning_content": "Hm."})


@pytest.mark.parametrize("path", ["stream", "astream"])
def test_broken_stream_keeps_the_message_received_so_far(gw: LocalGateway, path: str) -> None:
    deltas = [
        {"delta": {"reasoning_content": "Paris."}},
        {"delta": {"tool_calls": [{"index": 0, **_call('{"city": "Par')}]}},
    ]
    gw.fault(**event_stream(*({"choices": [choice]} for choice in deltas), done=False))
    error = _error(gw, path, tools=TOOLS)
    assert type(error) is errors.CFDeepSeekIncompleteStreamError
    assert error.raw_message is not None
    assert error.raw_message.additional_kwargs == {"reasoning_content": "Paris."}
    assert [call["args"] for call in error.raw_message.invalid_tool_calls] == ['{"city": "Par']
    assert json.loads(json.dumps(error.raw_message.response_metadata["cloudflare_gateway"]))


def test_error_with_its_message_survives_pickling(gw: LocalGateway, ask: Ask) -> None:
    gw.fault(body=completion("length", tool_calls=[_call("{")]))
    with pytest.raises(errors.CFDeepSeekMaxTokensError) as caught:
        ask(gw.chat_model(), "Hi", tools=TOOLS)
    copy = pickle.loads(pickle.dumps(caught.value))
    assert copy.raw_message == caught.value.raw_message
    assert copy.usage_metadata == TOKENS
