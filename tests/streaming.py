"""Response bodies that tests serve through a fault: completions and event streams."""

import json
from typing import Any

USAGE: dict[str, Any] = {"prompt_tokens": 7, "completion_tokens": 5, "total_tokens": 12}


def completion(
    finish_reason: str | None = "stop", *, usage: dict[str, Any] | None = USAGE, **message: Any
) -> dict[str, Any]:
    """Return the body of a response that is not streamed."""
    choice = {
        "index": 0,
        "message": {"role": "assistant", "content": "", **message},
        "finish_reason": finish_reason,
    }
    return {"id": "1", "model": "deepseek-flash", "choices": [choice], "usage": usage}


def tool_call(arguments: Any = "{}", name: Any = "f", **fields: Any) -> dict[str, Any]:
    """Return a tool call, or a piece of one."""
    return {"type": "function", "function": {"name": name, "arguments": arguments}} | fields


def event_stream(*events: dict[str, Any], done: bool = True) -> dict[str, Any]:
    """Return the arguments of a fault that responds with an event stream."""
    text = "".join(f"data: {json.dumps(event)}\n\n" for event in events)
    end = "data: [DONE]\n\n" if done else ""
    return {"body": text + end, "content_type": "text/event-stream"}


def delta(finish_reason: str | None = None, /, **fields: Any) -> dict[str, Any]:
    """Return one event of a stream."""
    choice = {"index": 0, "delta": fields, "finish_reason": finish_reason}
    return {"id": "1", "model": "deepseek-flash", "choices": [choice]}


def streamed(
    *deltas: dict[str, Any], finish_reason: str = "stop", usage: dict[str, Any] | None = USAGE
) -> dict[str, Any]:
    """Return the arguments of a fault that streams deltas, then finish and usage."""
    events = [delta(**fields) for fields in deltas]
    return event_stream(*events, {**delta(finish_reason, content=""), "usage": usage})


def serve(gw: Any, path: str, whole: dict[str, Any], *deltas: dict[str, Any]) -> None:
    """Serve the same completion on any path: as one body to `invoke` and `ainvoke`, else streamed.

    Args:
        gw: The local gateway.
        path: The method that will send the request.
        whole: The body, from `completion`.
        *deltas: The deltas of the stream; by default one delta holds the whole message.
    """
    if path in {"invoke", "ainvoke"}:
        gw.fault(body=whole)
        return
    choice = whole["choices"][0]
    message = {key: value for key, value in choice["message"].items() if key != "role"}
    calls = message.get("tool_calls")
    if calls and not deltas:
        message["tool_calls"] = [{"index": index, **call} for index, call in enumerate(calls)]
    extra = {key: choice[key] for key in choice.keys() - {"index", "message", "finish_reason"}}
    last = delta(choice["finish_reason"], content="")
    last["choices"][0] |= extra
    events = [delta(**fields) for fields in (deltas or (message,))]
    gw.fault(**event_stream(*events, {**last, "usage": whole["usage"]}))
