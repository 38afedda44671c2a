"""Tool calls of every server get an id, a name and arguments, on every path."""

from typing import Any

import pytest
from langchain.agents import create_agent
from langchain_core.messages import HumanMessage, ToolMessage

from langchain_cf_deepseek import errors
from langchain_cf_deepseek.local import LocalGateway
from tests.conftest import PATHS
from tests.streaming import completion, event_stream, serve, tool_call

TOOLS = [{"type": "function", "function": {"name": name}} for name in ("f", "g")]


def _tool_calls(
    gw: LocalGateway, path: str, calls: list[Any], *deltas: Any, **settings: Any
) -> Any:
    serve(gw, path, completion("tool_calls", tool_calls=calls), *deltas)
    return PATHS[path](gw.chat_model(max_retries=0, **settings), "Hi", tools=TOOLS).tool_calls


def _pieces(*pieces: dict[str, Any]) -> list[dict[str, Any]]:
    return [{"tool_calls": [piece]} for piece in pieces]


@pytest.mark.parametrize("ids", [[None, None], ["", ""], ["a", "a"], [None, "a"], [7, "7"]])
@pytest.mark.parametrize("is_absent", [False, True])
def test_tool_call_without_a_unique_id_gets_one_and_can_be_sent_back(
    gw: LocalGateway, path: str, ids: list[Any], *, is_absent: bool
) -> None:
    calls = [tool_call('{"x": 1}', id=ids[0]), tool_call('{"x": 2}', id=ids[1])]
    if is_absent:
        calls = [
            {key: value for key, value in call.items() if key != "id" or value} for call in calls
        ]
    serve(gw, path, completion("tool_calls", tool_calls=calls, reasoning_content="r"))
    llm = gw.chat_model(max_retries=0).bind_tools(TOOLS)
    message = PATHS[path](llm, "Hi")
    assert [call["args"] for call in message.tool_calls] == [{"x": 1}, {"x": 2}]
    made = [call["id"] for call in message.tool_calls]
    assert all(made)
    assert len(set(made)) == 2
    results = [ToolMessage("done", tool_call_id=call_id) for call_id in made]
    PATHS[path](llm, [HumanMessage("Hi"), message, *results])
    sent = gw.requests[-1].body["messages"][1]["tool_calls"]
    assert [call["id"] for call in sent] == made


def test_tool_calls_without_ids_do_not_stop_an_agent(gw: LocalGateway) -> None:
    """A result needs the id of its call; without one, a run failed after its tools had run."""

    def f(x: int) -> str:
        """Do it."""
        return f"did {x}"

    gw.fault(
        body=completion("tool_calls", tool_calls=[tool_call('{"x": 1}'), tool_call('{"x": 2}')])
    )
    messages = create_agent(gw.chat_model(), [f]).invoke({"messages": [HumanMessage("Do it")]})
    results = [message for message in messages["messages"] if message.type == "tool"]
    assert [message.content for message in results] == ["did 1", "did 2"]
    assert len({message.tool_call_id for message in results}) == 2


@pytest.mark.parametrize("name", [None, ""])
def test_tool_call_without_a_name_is_an_error(gw: LocalGateway, path: str, name: Any) -> None:
    with pytest.raises(errors.CFDeepSeekAPIError, match="a tool call has no name"):
        _tool_calls(gw, path, [tool_call(name=name, id="a")])


@pytest.mark.parametrize("version", ["v0", "v1"])
def test_tool_call_id_that_is_generated_is_the_same_on_all_chunks(
    gw: LocalGateway, stream_path: str, version: str
) -> None:
    deltas = _pieces(
        tool_call('{"x"', index=0),
        {"index": 0, "function": {"arguments": ": 1"}},
        {"index": 0, "function": {"arguments": "}"}},
    )
    (call,) = _tool_calls(gw, stream_path, [], *deltas, output_version=version)
    assert call["args"] == {"x": 1}
    assert call["id"]


TWO = [("f", {"x": 1}), ("g", {"y": 2})]
PIECES: dict[str, list[dict[str, Any]]] = {
    "one index, whole": [
        tool_call('{"x": 1}', id="a", index=0),
        tool_call('{"y": 2}', "g", id="b", index=0),
    ],
    "one index, in pieces": [
        tool_call("", id="a", index=0),
        {"index": 0, "function": {"arguments": '{"x":'}},
        {"index": 0, "function": {"arguments": " 1}"}},
        tool_call("", "g", id="b", index=0),
        {"index": 0, "function": {"arguments": '{"y": 2}'}},
    ],
    "one index, interleaved by id": [
        tool_call("", id="a", index=0),
        tool_call("", "g", id="b", index=0),
        {"index": 0, "id": "a", "function": {"arguments": '{"x": 1}'}},
        {"index": 0, "id": "b", "function": {"arguments": '{"y": 2}'}},
    ],
    "no index and no id": [tool_call('{"x": 1}'), tool_call('{"y": 2}', "g")],
    "one index and no id": [tool_call('{"x": 1}', index=0), tool_call('{"y": 2}', "g", index=0)],
    "one id for both": [
        tool_call('{"x": 1}', id="a", index=0),
        tool_call('{"y": 2}', "g", id="a", index=1),
    ],
    "one id and one index for both": [
        tool_call('{"x": 1}', id="a", index=0),
        tool_call('{"y": 2}', "g", id="a", index=0),
    ],
    "objects": [tool_call({"x": 1}, id="a", index=0), tool_call({"y": 2}, "g", id="b", index=1)],
    "objects without index": [tool_call({"x": 1}, id="a"), tool_call({"y": 2}, "g", id="b")],
    "an empty object first": [
        tool_call({}, id="a", index=0),
        {"index": 0, "function": {"arguments": '{"x": 1}'}},
        tool_call({}, "g", id="b", index=1),
        {"index": 1, "function": {"arguments": '{"y": 2}'}},
    ],
    "an id for every piece": [
        tool_call('{"x"', id="a", index=0),
        {"index": 0, "id": "a2", "function": {"arguments": ": 1}"}},
        tool_call('{"y"', "g", id="b", index=1),
        {"index": 1, "id": "b2", "function": {"arguments": ": 2}"}},
    ],
    "name and id with every piece": [
        tool_call('{"x"', id="a", index=0),
        tool_call(": 1}", id="a", index=0),
        tool_call('{"y"', "g", id="b", index=1),
        tool_call(": 2}", "g", id="b", index=1),
    ],
    "the id after the name": [
        tool_call("", index=0),
        {"index": 0, "id": "a", "function": {"arguments": '{"x": 1}'}},
        tool_call('{"y": 2}', "g", id="b", index=1),
    ],
    "the name after the id": [
        {"index": 0, "id": "a", "type": "function"},
        {"index": 0, "function": {"name": "f", "arguments": '{"x": 1}'}},
        tool_call('{"y": 2}', "g", id="b", index=1),
    ],
    "the name with the second piece": [
        {"index": 0, "id": "a", "function": {"name": "", "arguments": ""}},
        tool_call("", index=0),
        {"index": 0, "function": {"name": None, "arguments": '{"x": 1}'}},
        tool_call('{"y": 2}', "g", id="b", index=1),
    ],
    "a summary of the calls at the end": [
        tool_call('{"x": 1}', id="a", index=0),
        tool_call('{"y": 2}', "g", id="b", index=1),
        tool_call('{"x": 1}', id="a", index=0),
        tool_call('{"y": 2}', "g", id="b", index=1),
    ],
    "a summary of objects at the end": [
        tool_call({"x": 1}, id="a", index=0),
        tool_call({"y": 2}, "g", id="b", index=1),
        tool_call({"x": 1}, id="a", index=0),
    ],
    "snapshots that grow": [
        tool_call('{"x"', id="a", index=0),
        tool_call('{"x": 1}', id="a", index=0),
        tool_call('{"y"', "g", id="b", index=1),
        tool_call('{"y": 2', "g", id="b", index=1),
        tool_call('{"y": 2}', "g", id="b", index=1),
    ],
    "a placeholder before the arguments": [
        tool_call("{}", id="a", index=0),
        tool_call('{"x": 1}', id="a", index=0),
        tool_call("{}", "g", id="b", index=1),
        tool_call('{"y": 2}', "g", id="b", index=1),
    ],
    "text indexes": [
        tool_call('{"x": 1}', id="a", index="0"),
        tool_call('{"y": 2}', "g", index="1"),
    ],
    "without the key function": [
        {"index": 0, "id": "a", "name": "f", "arguments": '{"x": 1}'},
        {"index": 1, "id": "b", "name": "g", "arguments": '{"y": 2}'},
    ],
}


@pytest.mark.parametrize("pieces", PIECES)
@pytest.mark.parametrize("version", ["v0", "v1"])
def test_tool_call_pieces_of_two_calls_become_two_calls(
    gw: LocalGateway, stream_path: str, pieces: str, version: str
) -> None:
    """Ollama, Workers AI and OpenRouter stream several tool calls with one index."""
    calls = _tool_calls(gw, stream_path, [], *_pieces(*PIECES[pieces]), output_version=version)
    assert [(call["name"], call["args"]) for call in calls] == TWO
    assert len({call["id"] for call in calls}) == 2


def test_tool_calls_of_a_completion_are_distinguished_by_their_position(
    gw: LocalGateway, path: str
) -> None:
    calls = [tool_call('{"x": 1}', id="a", index=0), tool_call('{"x": 1}', id="a", index=0)]
    assert len(_tool_calls(gw, path, calls)) == 2 or path in {"stream", "astream"}
    gw.fault(body=completion("tool_calls", tool_calls=calls))
    message = PATHS[path](gw.chat_model(), "Hi", tools=TOOLS)
    assert len({call["id"] for call in message.tool_calls}) == 2


@pytest.mark.parametrize(
    ("arguments", "args"),
    [
        ('{"x": "a\nb\tc\x0bd"}', {"x": "a\nb\tc\x0bd"}),
        ("null", {}),
        ("", {}),
        (" \n ", {}),
        (None, {}),
        ({}, {}),
        ({"x": {"y": [1]}}, {"x": {"y": [1]}}),
        (' {"x": 1} ', {"x": 1}),
        ('{"x": NaN}', None),
    ],
)
@pytest.mark.parametrize("version", ["v0", "v1"])
def test_tool_call_arguments_are_parsed_as_langchain_parses_them(
    gw: LocalGateway, path: str, arguments: Any, args: Any, version: str
) -> None:
    (call,) = _tool_calls(gw, path, [tool_call(arguments, id="a")], output_version=version)
    assert call["args"] == args or args is None


@pytest.mark.parametrize("text", ["null", " ", '{"x": 1}'])
def test_tool_call_arguments_can_arrive_letter_by_letter(
    gw: LocalGateway, stream_path: str, text: str
) -> None:
    first = tool_call("", id="a", index=0)
    pieces = [{"index": 0, "function": {"arguments": letter}} for letter in text]
    (call,) = _tool_calls(gw, stream_path, [], *_pieces(first, *pieces))
    assert call["args"] == ({"x": 1} if "x" in text else {})


@pytest.mark.parametrize("arguments", ['{"x": 1', "[1]", "true", [1], '{"x": 1}}', "nul", True])
def test_tool_call_arguments_that_are_malformed_are_an_error(
    gw: LocalGateway, path: str, arguments: Any
) -> None:
    with pytest.raises(errors.CFDeepSeekAPIError, match="are not a JSON object") as caught:
        _tool_calls(gw, path, [tool_call(arguments, id="a")])
    assert caught.value.is_retryable
    assert caught.value.raw_message is not None
    assert len(caught.value.raw_message.invalid_tool_calls) == 1


def test_tool_call_in_the_function_call_format_is_read(gw: LocalGateway, path: str) -> None:
    function = {"name": "f", "arguments": '{"x": 1}'}
    serve(gw, path, completion("stop", content=None, function_call=function))
    (call,) = PATHS[path](gw.chat_model(), "Hi", tools=TOOLS).tool_calls
    assert (call["name"], call["args"]) == ("f", {"x": 1})


@pytest.mark.parametrize("last", [{}, {"content": ""}])
def test_message_after_its_deltas_adds_nothing(
    gw: LocalGateway, stream_path: str, last: dict[str, Any]
) -> None:
    message = {"content": "Hi.", "tool_calls": [tool_call('{"x": 1}', id="a")]}
    choice = {"delta": last, "message": message, "finish_reason": "tool_calls"}
    deltas = [{"content": "Hi."}, {"tool_calls": [tool_call('{"x": 1}', id="a", index=0)]}]
    events = [{"choices": [{"delta": delta}]} for delta in deltas]
    gw.fault(**event_stream(*events, {"choices": [choice]}))
    answer = PATHS[stream_path](gw.chat_model(), "Hi", tools=TOOLS)
    assert answer.content == "Hi."
    assert len(answer.tool_calls) == 1
