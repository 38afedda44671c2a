"""What the simulated model says, which tools it calls, and what it fills in."""

import json
from typing import Any

import pytest
from deepseek_recipe import (
    AssistantMessage,
    Conversation,
    DataUrlImageSource,
    Message,
    SystemMessage,
    ToolDefinition,
    ToolMessage,
    UserMessage,
)
from deepseek_recipe import ToolCall as MadeCall

from langchain_cf_deepseek.local import Reply, ScriptedCall
from langchain_cf_deepseek.local.simulated_model.replies import MAX_QUESTION_LENGTH, simulated_reply
from tests.local_gateway.images import PNG

Done = tuple[tuple[str, dict[str, Any], str], ...]
IMAGE = "<\uff5cimage\uff5c>"


def tool(name: str, description: str, **properties: Any) -> ToolDefinition:
    schema = {"type": "object", "properties": properties, "required": list(properties)}
    return ToolDefinition(name, description, schema)


STRING, INTEGER = {"type": "string"}, {"type": "integer"}
WEATHER = tool("get_weather", "Get the weather at a location.", location=STRING)
FORECAST = tool("weather_forecast", "Get the weather of the next days.", location=STRING)
SEARCH = tool("web_search", "Search the web for current facts, the weather too.", query=STRING)
CLOCK = tool("clock", "Tell the time and date.")
ADD = tool("my_adder_tool", "Adds two integers.", a=INTEGER, b=INTEGER)
MULTIPLY = tool("multiply", "Multiply two numbers.", a=INTEGER, b=INTEGER)
REPORT = tool("WeatherReport", "A report.", city=STRING, degrees=INTEGER, sky=STRING)


def ask(
    question: str,
    *tools: ToolDefinition,
    done: Done = (),
    before: tuple[Message, ...] = (),
    **kwargs: Any,
) -> Reply:
    turn: list[Message] = []
    if done:
        made = [
            MadeCall(str(number), name, json.dumps(args))
            for number, (name, args, _) in enumerate(done)
        ]
        turn = [
            AssistantMessage("", "", made),
            *(ToolMessage(result, str(number)) for number, (_, _, result) in enumerate(done)),
        ]
    messages = [*before, UserMessage(question), *turn]
    return simulated_reply(Conversation(messages, tools=tools, **kwargs))


def calls(reply: Reply) -> list[tuple[str, dict[str, Any]]]:
    return [(call.name, dict(call.args)) for call in reply.tool_calls]


@pytest.mark.parametrize(
    ("question", "tools", "expected"),
    [
        (
            "What is the weather in San Francisco, CA?",
            [WEATHER],
            [("get_weather", {"location": "San Francisco, CA"})],
        ),
        ("weather in paris", [WEATHER], [("get_weather", {"location": "paris"})]),
        ("And the weather?", [WEATHER], [("get_weather", {"location": "And the weather?"})]),
        (
            "What's the weather in Paris, London and Rome today?",
            [WEATHER],
            [
                ("get_weather", {"location": "Paris"}),
                ("get_weather", {"location": "London"}),
                ("get_weather", {"location": "Rome"}),
            ],
        ),
        (
            "What is the weather in Oslo?",
            [SEARCH, FORECAST, WEATHER, CLOCK],
            [("weather_forecast", {"location": "Oslo"})],
        ),
        ("What time is it?", [WEATHER, CLOCK], [("clock", {})]),
        (
            "Search the web for LangChain news",
            [WEATHER, SEARCH],
            [("web_search", {"query": "Search the web for LangChain news"})],
        ),
        (
            'Use web_search for "LangChain 2"',
            [SEARCH],
            [("web_search", {"query": "LangChain 2"})],
        ),
        ("What is 1 + 2", [MULTIPLY, ADD], [("my_adder_tool", {"a": 1, "b": 2})]),
        ("What is 3 times 4?", [ADD, MULTIPLY], [("multiply", {"a": 3, "b": 4})]),
        (
            "Multiply 3 by 4 and add 5 to 6.",
            [ADD, MULTIPLY],
            [("multiply", {"a": 3, "b": 4}), ("my_adder_tool", {"a": 3, "b": 4})],
        ),
        (
            "Add 2 and 3, then multiply the result by 4.",
            [MULTIPLY, ADD],
            [("my_adder_tool", {"a": 2, "b": 3})],
        ),
        ("Please use a tool for Paris.", [WEATHER], [("get_weather", {"location": "Paris"})]),
        ("Hello!", [WEATHER], []),
        ("Do not use any tools. What is the weather in Rome?", [WEATHER], []),
        ("What is the weather in Rome?", [], []),
        (
            "A report on the weather in Rome, please.",
            [REPORT],
            [
                (
                    "WeatherReport",
                    {
                        "city": "Rome",
                        "degrees": 1,
                        "sky": "sky: weather in Rome",
                    },
                )
            ],
        ),
    ],
)
def test_the_tools_that_match_the_question_are_called(
    question: str, tools: list[ToolDefinition], expected: list[tuple[str, dict[str, Any]]]
) -> None:
    assert calls(ask(question, *tools)) == expected


@pytest.mark.parametrize(
    ("question", "expected"),
    [
        ("Hello!", [("get_weather", {"location": "Hello"})]),
        ("What is 1 + 2?", [("my_adder_tool", {"a": 1, "b": 2})]),
    ],
)
def test_a_forced_choice_calls_the_best_tool_or_the_first(
    question: str, expected: list[tuple[str, dict[str, Any]]]
) -> None:
    assert calls(ask(question, WEATHER, ADD, tool_choice="required")) == expected


def test_a_forced_choice_repeats_a_tool_call() -> None:
    done: Done = (("clock", {}, "noon"),)
    assert calls(ask("Now?", CLOCK, done=done, tool_choice="required")) == [("clock", {})]


def test_tool_choice_none_means_no_tool_call() -> None:
    assert calls(ask("What is the weather in Rome?", WEATHER, tool_choice="none")) == []


def test_the_answer_quotes_the_results() -> None:
    done = (
        ("get_weather", {"location": "Rome"}, "It's sunny."),
        ("get_weather", {"location": "Oslo"}, "It rains."),
    )
    assert ask("The weather in Rome and Oslo?", WEATHER, SEARCH, done=done) == Reply(
        "get_weather: It's sunny.\nget_weather: It rains.",
        'The user says: "The weather in Rome and Oslo?" The tools have answered.',
    )


def test_the_next_step_uses_the_result() -> None:
    done = (("my_adder_tool", {"a": 2, "b": 3}, "5"),)
    reply = ask("Add 2 and 3, then multiply the result by 4.", ADD, MULTIPLY, done=done)
    assert calls(reply) == [("multiply", {"a": 5, "b": 4})]


@pytest.mark.parametrize("choice", ["auto", "required"])
def test_a_response_format_is_filled_in_last_and_from_the_results(choice: str) -> None:
    question = "What is the weather in Paris?"
    first = ask(question, REPORT, WEATHER, tool_choice=choice)
    assert calls(first) == [("get_weather", {"location": "Paris"})]
    done = (("get_weather", {"location": "Paris"}, "clear, 22 degrees"),)
    last = ask(question, REPORT, WEATHER, tool_choice=choice, done=done)
    assert calls(last) == [
        ("WeatherReport", {"city": "Paris", "degrees": 22, "sky": "clear, 22 degrees"})
    ]


def test_results_of_earlier_turns_do_not_count() -> None:
    before = (
        UserMessage("The weather in Rome?"),
        AssistantMessage("", "", [MadeCall("1", "get_weather", '{"location": "Rome"}')]),
        ToolMessage("It's sunny.", "1"),
        AssistantMessage("It's sunny."),
    )
    reply = ask("And the weather in Oslo?", WEATHER, before=before)
    assert calls(reply) == [("get_weather", {"location": "Oslo"})]


def test_unusual_histories_are_accepted() -> None:
    conversation = Conversation(
        [
            UserMessage("What is the weather in Rome?"),
            AssistantMessage("", "", [MadeCall("1", "a", "no json"), MadeCall("2", "b", "[1]")]),
            ToolMessage("one", "1"),
            ToolMessage("two", "2"),
            ToolMessage("orphan", "3"),
        ]
    )
    assert simulated_reply(conversation).content == "a: one\nb: two"
    assert simulated_reply(Conversation([SystemMessage("Begin.")])).content.startswith("You asked:")


@pytest.mark.parametrize(
    ("question", "before", "content"),
    [
        ("hi", (), "Hello! How can I help you today?"),
        ("What is 1 + 2?", (), "1 + 2 = 3"),
        ("7-2.5", (), "7 - 2.5 = 4.5"),
        ("6 * 7", (), "6 * 7 = 42"),
        ("1 / 4", (), "1 / 4 = 0.25"),
        (
            "What is my name?",
            (UserMessage("Hi. My name is Ada."), AssistantMessage("Hello Ada.")),
            "You told me: My name is Ada.",
        ),
        (
            "My cat is called Tom. What is my cat called?",
            (),
            "You told me: My cat is called Tom.",
        ),
        (
            "How long is the warranty?",
            (SystemMessage("The price is 9 EUR. The warranty is two years long."),),
            "You told me: The warranty is two years long.",
        ),
    ],
)
def test_the_conversation_itself_can_hold_the_answer(
    question: str, before: tuple[Message, ...], content: str
) -> None:
    assert ask(question, before=before).content == content


@pytest.mark.parametrize("question", ["Why is the sky blue?", "how are you", "1 / 0", ""])
def test_an_unknown_answer_is_admitted(question: str) -> None:
    content = ask(question).content
    assert content.startswith(f'You asked: "{question}" I am the simulated model')


def test_the_reasoning_is_one_line() -> None:
    reply = ask("What is the weather in Rome?", WEATHER)
    assert reply.reasoning == 'The user says: "What is the weather in Rome?" get_weather can tell.'


def test_a_long_question_is_quoted_in_part_and_read_in_time() -> None:
    question = f"{'with { word ' * 200_000} the weather in Rome"
    reply = ask(question, WEATHER)
    assert calls(reply) == [("get_weather", {"location": "Rome"})]
    assert reply.reasoning is not None
    assert len(reply.reasoning) < 300 < MAX_QUESTION_LENGTH


def test_images_are_counted_with_their_sizes() -> None:
    sources = [DataUrlImageSource(PNG), DataUrlImageSource("data:image/png;base64,?")]
    message = UserMessage(f"{IMAGE}{IMAGE} What is this?", sources)
    content = "I see 2 images: an image of 3 x 2 pixels, an image."
    assert simulated_reply(Conversation([message])).content == content
    one = UserMessage(f"{IMAGE} What is this?", sources[:1])
    content = "I see 1 image: an image of 3 x 2 pixels."
    assert simulated_reply(Conversation([one])).content == content


def test_an_image_from_a_tool_is_a_result() -> None:
    made = AssistantMessage("", "", [MadeCall("1", "draw", "{}")])
    result = ToolMessage(IMAGE, "1", [DataUrlImageSource(PNG)])
    reply = simulated_reply(Conversation([UserMessage("A picture!"), made, result]))
    assert reply.content == "draw: an image of 3 x 2 pixels"


SCHEMA = {
    "type": "object",
    "properties": {"name": STRING, "age": INTEGER},
    "required": ["name", "age"],
}


@pytest.mark.parametrize(
    "question",
    [
        f"My friend Ada is 36. Answer as json: {json.dumps(SCHEMA)}",
        f"My friend Ada is 36. json: {json.dumps({'schema': SCHEMA})}",
        f"My friend Ada is 36. json: {json.dumps({'json_schema': SCHEMA})}",
        'My friend Ada is 36. Answer in json like {"name": "x", "age": 1}.',
    ],
)
def test_json_follows_the_schema_in_the_text(question: str) -> None:
    reply = ask(question, response_format="json_object")
    assert json.loads(reply.content) == {"name": "Ada", "age": 36}


def test_json_follows_the_schema_in_the_system_message() -> None:
    before = (SystemMessage(f"Reply in json. {{not this}} {json.dumps(SCHEMA)}"),)
    reply = ask(
        "Ada is thirty, her friend Bob is 36.", before=before, response_format="json_object"
    )
    assert json.loads(reply.content) == {"name": "Bob", "age": 36}


def test_json_follows_an_example() -> None:
    question = 'json, please: {"a": [{"b": true}], "c": [], "d": null, "e": 1.5, "f": {"g": 1}}'
    reply = ask(question, response_format="json_object")
    assert json.loads(reply.content) == {
        "a": [{"b": False}],
        "c": ["c: json, please:"],
        "d": None,
        "e": 1,
        "f": {"g": 1},
    }


def test_json_has_the_keys_that_the_text_names() -> None:
    question = "Tell me a joke about cats. Return JSON with 'setup' and 'punchline' keys."
    reply = ask(question, response_format="json_object")
    assert json.loads(reply.content) == {"setup": "setup: cats", "punchline": "punchline: cats"}


def test_json_without_any_hint_holds_the_answer() -> None:
    reply = ask("What is 1 + 2? json", response_format="json_object")
    assert json.loads(reply.content) == {"answer": "1 + 2 = 3"}


def test_a_scripted_tool_call_can_be_langchains_own() -> None:
    call = {"type": "tool_call", "name": "clock", "args": {"zone": "CET"}, "id": "a"}
    reply = Reply(tool_calls=[call])  # type: ignore[list-item]  # a star import brings it
    assert reply == Reply(tool_calls=[ScriptedCall("clock", {"zone": "CET"})])
