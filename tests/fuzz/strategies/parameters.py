"""Parameters of a call."""

from hypothesis import strategies as st
from pydantic import BaseModel

from tests.fuzz.strategies.values import optional, spoiled, texts


class Joke(BaseModel):
    """A joke."""

    setup: str
    rating: int | None = None


SCHEMA = {"title": "Joke", "type": "object", "properties": {"setup": {"type": "string"}}}

functions = st.fixed_dictionaries(
    {"name": st.sampled_from(["f", "g", "h" * 128])},
    optional={
        "description": texts,
        "parameters": st.none() | st.sampled_from([SCHEMA, {"type": "object", "properties": {}}]),
        "strict": st.none() | st.booleans(),
    },
)
tools = st.fixed_dictionaries({"type": st.just("function"), "function": functions})
server_tools = st.sampled_from([{"type": "deepseek_web_search"}, {"type": "deepseek_read_url"}])
tool_choices = st.one_of(
    st.none(),
    st.booleans(),
    st.sampled_from(["auto", "none", "any", "required", "f", "nobody", ""]),
    st.sampled_from(
        [
            {"type": "function", "function": {"name": "f"}},
            {"type": "function", "name": "f"},
            {"type": "tool", "name": "f"},
            {"type": "any"},
            {"type": "auto"},
            {"type": "allowed_tools", "allowed_tools": {"mode": "auto"}},
            {"name": "f"},
        ]
    ),
)
response_formats = st.one_of(
    st.none(),
    st.sampled_from(
        [
            {"type": "text"},
            {"type": "json_object"},
            {"type": "json_schema", "json_schema": {"name": "Joke", "schema": SCHEMA}},
            {"type": "json_schema", "json_schema": SCHEMA},
            {"type": "json_schema"},
            {"type": "grammar", "grammar": "x"},
            SCHEMA,
            Joke,
        ]
    ),
)
efforts = st.sampled_from(["none", "minimal", "low", "medium", "high", "xhigh", "max", "ultra"])
parameters = optional(
    tools=st.lists(tools, max_size=2, unique_by=str)
    | st.lists(tools | server_tools | spoiled(tools), max_size=2),
    tool_choice=tool_choices,
    response_format=response_formats,
    stop=st.none() | st.sampled_from([["x"], [], ["x"] * 16, ["x"] * 17, [""]]),
    thinking=st.sampled_from(
        [None, "enabled", "disabled", "adaptive", {"type": "enabled", "budget_tokens": 9}]
    ),
    reasoning_effort=st.none() | efforts,
    temperature=st.none() | st.floats(-1, 3) | st.integers(0, 2),
    top_p=st.none() | st.floats(0, 1),
    max_tokens=st.none() | st.integers(-1, 400_000),
    max_completion_tokens=st.integers(1, 9),
    n=st.just(1),
    seed=st.integers(0, 2**63),
    logprobs=st.just(True),
    top_logprobs=st.none() | st.integers(0, 21),
    presence_penalty=st.floats(-3, 3),
    frequency_penalty=st.floats(-3, 3),
    parallel_tool_calls=st.none() | st.booleans(),
    user_id=st.none() | texts,
    extra_body=st.none() | optional(top_k=st.integers(), temperature=st.floats(0, 1)),
    model=st.sampled_from(["deepseek-flash", "deepseek-v4-pro", "deepseek/deepseek-flash"]),
)
any_parameters = parameters | spoiled(parameters)
