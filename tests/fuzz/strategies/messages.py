"""Content blocks, messages and histories."""

import base64
from collections.abc import Callable
from itertools import chain
from typing import Any

from hypothesis import assume
from hypothesis import strategies as st
from langchain_core.messages import (
    AIMessage,
    AIMessageChunk,
    BaseMessage,
    ChatMessage,
    FunctionMessage,
    HumanMessage,
    RemoveMessage,
    SystemMessage,
    ToolMessage,
)

from tests import conftest
from tests.fuzz.strategies.values import (
    URL,
    Json,
    json_values,
    odd_values,
    optional,
    plain_texts,
    spoiled,
    texts,
)

PICTURE = base64.b64encode(conftest.PICTURE).decode()


def _block(kind: str, **fields: st.SearchStrategy[Any] | Any) -> st.SearchStrategy[Json]:
    given = {
        name: field if isinstance(field, st.SearchStrategy) else st.just(field)
        for name, field in fields.items()
    }
    return st.fixed_dictionaries({"type": st.just(kind), **given})


_call = {"id": st.sampled_from(["call_1", "call_2", ""]), "name": st.sampled_from(["f", "g"])}
_citation = {"type": "citation", "url": URL, "title": "Cats"}

text_blocks = st.one_of(
    _block("text", text=texts),
    _block("text", text=texts, cache_control={"type": "ephemeral"}),
    _block("text", text=texts, annotations=[_citation], index="lc_txt_0", id="b1"),
    _block("text-plain", text=texts, mime_type="text/plain", title="On cats"),
)
image_blocks = st.one_of(
    _block("image", url=URL),
    _block("image", base64=PICTURE, mime_type="image/png"),
    _block("image", file_id="file-api-1"),
    _block("image", source_type="base64", data=PICTURE, mime_type="image/png"),
    _block("image", source_type="url", url=URL),
    _block("image", source_type="id", id="file-api-1"),
    _block("image", source={"type": "url", "url": URL}),
    _block("image", source={"type": "file", "file_id": "file-api-1"}),
    _block("image", source={"type": "base64", "data": PICTURE, "media_type": "image/png"}),
    _block("image_url", image_url=URL),
    _block("image_url", image_url={"url": URL, "detail": "low"}),
    _block("image_url", image_url={"url": f"data:image/png;base64,{PICTURE}"}),
    _block("file", file_id="file-api-1"),
    _block("file", base64=PICTURE, mime_type="image/png"),
    _block("file", file={"file_id": "file-api-1"}),
    _block("file", file={"file_data": f"data:image/png;base64,{PICTURE}", "filename": "a.png"}),
)
reasoning_blocks = st.one_of(
    _block("reasoning", reasoning=texts),
    _block("reasoning", reasoning=texts, index="lc_rsn_0", extras={"signature": "s"}),
    _block("reasoning", id="rs_1", summary=[{"type": "summary_text", "text": "So."}]),
    _block("reasoning", id="rs_1", summary=[], encrypted_content="x"),
    _block("thinking", thinking=texts, signature="s"),
)
call_blocks = st.one_of(
    _block("tool_call", args={"x": 1}, **_call),
    _block("tool_call_chunk", args='{"x": 1}', index=0, **_call),
    _block("invalid_tool_call", args="{", error="bad", **_call),
    _block("tool_use", input={"x": 1}, **_call),
    _block("function_call", call_id=_call["id"], name=_call["name"], arguments='{"x": 1}'),
)
foreign_blocks = st.one_of(
    _block("audio", base64="aGk=", mime_type="audio/wav"),
    _block("video", url=URL),
    _block("file", base64="aGk=", mime_type="application/pdf"),
    _block("file", url="https://example.com/a.pdf"),
    _block("file", file={"filename": "a.pdf", "file_data": "data:application/pdf;base64,aGk="}),
    _block("text-plain", url="https://example.com/a.txt"),
    _block("input_audio", input_audio={"data": "aGk=", "format": "wav"}),
    _block("input_text", text=texts),
    _block("input_image", image_url=URL),
    _block("output_text", text=texts, annotations=[]),
    _block("refusal", refusal=texts),
    _block("media", mime_type="image/png", data=PICTURE),
    _block("document", source={"type": "text", "data": "x", "media_type": "text/plain"}),
    _block("redacted_thinking", data="x"),
    _block("executable_code", language="python", executable_code="1 + 1"),
    _block("tool_result", tool_use_id="call_1", content="18"),
    _block("server_tool_use", id="srv_1", name="web_search", input={"query": "cats"}),
    _block("server_tool_call", id="srv_1", name="web_search", args={"query": "cats"}),
    _block("server_tool_result", tool_call_id="srv_1", status="success", output="found"),
    _block("web_search_call", id="ws_1", status="completed"),
    _block("non_standard", value={"kind": "x"}),
    _block("compaction", content=texts),
    _block("mcp_tool_use", id="mcp_1", name="f", server_name="s", input={}),
    _block("web_search_tool_result", tool_use_id="srv_1", content=[]),
    _block("reasoning_content", reasoning_content={"text": "So.", "signature": "s"}),
    _block("reasoning_content", reasoning_content={"redacted_content": "x"}),
    st.just({"cachePoint": {"type": "default"}}),
    st.just({"reasoningContent": {"reasoningText": {"text": "So."}}}),
    st.just({"toolUse": {"toolUseId": "call_1", "name": "f", "input": {}}}),
    _block("thinking", thinking=[{"type": "text", "text": "So."}, {"type": "reference"}]),
    _block("reference", reference_ids=[1]),
    _block("code_execution_result", code_execution_result="2", outcome=1),
    _block("image_generation_call", id="ig_1", result=PICTURE),
    _block("code_interpreter_call", id="ci_1", code="1", outputs=[]),
    _block("custom_tool_call", call_id="call_1", name="f", input="x"),
    _block("mcp_call", id="mcp_1", name="f", arguments="{}", output="x"),
    _block("input_file", file_id="file-api-1"),
    st.fixed_dictionaries({"text": texts}),
    st.just({}),
)
rows = st.one_of(
    _block("file", name="README.md", size=12),
    _block("file", file_id="F123"),
    _block("file", url=URL, mime_type="application/pdf"),
    _block("resource_link", uri=URL, name="a"),
    _block("search_result", source=URL, title="Cats", content=[]),
    _block("tool_reference", tool_name="f"),
    _block("json", json={"x": 1}),
    _block("image", alt=texts),
    _block("text"),
    st.dictionaries(plain_texts, json_values, max_size=3),
)
blocks = st.one_of(text_blocks, image_blocks, reasoning_blocks, call_blocks, foreign_blocks)
any_blocks = blocks | spoiled(blocks) | st.dictionaries(plain_texts, odd_values, max_size=2)


def contents(*usual: st.SearchStrategy[Json]) -> st.SearchStrategy[Any]:
    """Generate message content: mostly the `usual` blocks, sometimes anything."""
    parts = st.one_of(texts, *usual)
    return st.one_of(
        texts,
        st.lists(parts, max_size=3),
        st.lists(parts | any_blocks, max_size=3),
    )


call_ids = st.sampled_from(["call_1", "call_2", "", "\0"])
tool_calls = st.fixed_dictionaries(
    {
        "id": st.none() | call_ids,
        "name": st.sampled_from(["f", "g", "", "f g", "\ud800"]),
        "args": st.dictionaries(texts, json_values | odd_values, max_size=2),
    }
)
invalid_tool_calls = st.fixed_dictionaries(
    {
        "id": st.none() | call_ids,
        "name": st.none() | st.sampled_from(["f", ""]),
        "args": st.none() | st.sampled_from(["", "{", "[1]", '{"x": "\ud800"}']),
        "error": st.none() | texts,
    }
)
raw_tool_calls = st.fixed_dictionaries(
    {"id": call_ids, "type": st.just("function")},
    optional={
        "function": st.fixed_dictionaries(
            {"name": st.just("f"), "arguments": st.sampled_from(['{"x": 1}', "{", "", "null"])}
        )
    },
)
call_pieces = st.fixed_dictionaries(
    {
        "id": st.just("call_1"),
        "name": st.just("f"),
        "args": st.sampled_from(['{"x"', "{}", ""]),
        "index": st.none() | st.integers(0, 1),
    }
)
names = st.none() | texts
ROLES = ["system", "user", "assistant", "tool", "developer", "latest_reminder", "human", "function"]
additional_kwargs = optional(
    prefix=st.booleans(),
    reasoning_content=st.none() | texts,
    refusal=st.none() | texts,
    tool_calls=st.lists(raw_tool_calls, max_size=2),
    function_call=st.none() | st.just({"name": "f", "arguments": "{}"}),
    deepseek=optional(note=texts, search=odd_values, tool_calls=odd_values, content=texts),
    audio=st.sampled_from([{"id": "audio_1"}, {"id": "audio_1", "transcript": "Hi"}]),
    reasoning=st.just({"id": "rs_1", "summary": [{"type": "summary_text", "text": "So."}]}),
    reasoning_details=st.just([{"type": "reasoning.encrypted", "data": "x"}]),
)


def _messages(
    kind: Callable[..., BaseMessage],
    /,
    content: st.SearchStrategy[Any] = texts,
    needed: dict[str, st.SearchStrategy[Any]] | None = None,
    **fields: st.SearchStrategy[Any],
) -> st.SearchStrategy[BaseMessage]:
    """Generate messages with the fields `needed` and any of the other `fields`."""

    @st.composite
    def build(draw: st.DrawFn) -> BaseMessage:
        given = draw(st.fixed_dictionaries({"content": content, **(needed or {})}, optional=fields))
        try:
            return kind(**given)
        except (TypeError, ValueError):  # LangChain itself cannot express it
            assume(False)
            raise

    return build()


assistant_turns = _messages(
    AIMessage,
    contents(text_blocks, reasoning_blocks, call_blocks),
    additional_kwargs=additional_kwargs,
    tool_calls=st.lists(tool_calls, max_size=2),
    invalid_tool_calls=st.lists(invalid_tool_calls, max_size=1),
    response_metadata=st.sampled_from(
        [
            {},
            {"output_version": "v1"},
            {"model_provider": "openai"},
            {"model_provider": "anthropic"},
        ]
    ),
    name=names,
)
usual_messages = st.one_of(
    _messages(HumanMessage, contents(text_blocks, image_blocks), name=names),
    _messages(SystemMessage, contents(text_blocks), name=names),
    assistant_turns,
    _messages(
        AIMessageChunk,
        contents(text_blocks, reasoning_blocks, call_blocks),
        tool_call_chunks=st.lists(call_pieces, max_size=2),
    ),
    _messages(
        ToolMessage,
        contents(text_blocks, image_blocks, rows),
        {"tool_call_id": call_ids},
        status=st.sampled_from(["success", "error"]),
        artifact=odd_values,
        name=names,
    ),
    _messages(
        ChatMessage,
        contents(text_blocks, image_blocks),
        {"role": texts | st.sampled_from(ROLES)},
        additional_kwargs=additional_kwargs,
        name=names,
    ),
)
messages = st.one_of(
    usual_messages,
    _messages(FunctionMessage, needed={"name": plain_texts}),
    plain_texts.map(lambda id_: RemoveMessage(id=id_)),
)


@st.composite
def exchanges(draw: st.DrawFn) -> list[BaseMessage]:
    """Generate a question, an assistant message, and a result for each of its tool calls."""
    turn = draw(assistant_turns)
    assert isinstance(turn, AIMessage)
    ids = [call["id"] for call in [*turn.tool_calls, *turn.invalid_tool_calls]]
    results: list[BaseMessage] = [ToolMessage("18", tool_call_id=id_) for id_ in ids if id_]
    return [HumanMessage("json?"), turn, *results]


histories = st.one_of(
    st.lists(usual_messages, max_size=4),
    st.lists(exchanges(), min_size=1, max_size=2).map(lambda turns: [*chain(*turns)]),
    st.lists(messages, max_size=2).map(lambda before: [*before, HumanMessage("json?")]),
)
