"""What long conversations cost before they are sent: bodies of requests, and counts of tokens."""

import pydoc_data.topics
import time
from statistics import median
from typing import Any

from langchain_core.messages import AIMessage, BaseMessage, HumanMessage, SystemMessage, ToolMessage

from tests.benchmarks.contenders import CONTENDERS

PICTURE = {
    "type": "image_url",
    "image_url": {"url": "data:image/png;base64," + "iVBORw0KGgoAAAANSUhEUgAA" * 40},
}
TURN = 5
MEGABYTE = 1_000_000


def history(length: int) -> list[BaseMessage]:
    """Return so many messages: of five, a question with a picture, a tool call, its result, ..."""
    messages: list[BaseMessage] = [SystemMessage("You are a guide.")]
    for number in range(length // TURN):
        call = {"id": f"call_{number}", "name": "look", "args": {"place": "Paris", "n": number}}
        thoughts = {"reasoning_content": f"I should look up place number {number} first."}
        question = {"type": "text", "text": f"What is picture {number}?"}
        messages += [
            HumanMessage([question, PICTURE]),
            AIMessage("", tool_calls=[call], additional_kwargs=thoughts),
            ToolMessage(f"A tower, built in {number}.", tool_call_id=f"call_{number}"),
            AIMessage("That is **a tower**.", additional_kwargs=thoughts),
            HumanMessage(f"Thank you for number {number}. And what is next to it?"),
        ]
    return messages[:length]


def body_times(contender: str, server: str, *, lengths: tuple[int, ...]) -> tuple[float, ...]:
    """CPU milliseconds of a request's body by length; the longest per message, by the shortest."""
    model = CONTENDERS[contender].make(server)
    taken = [1000 * _cpu(model, history(length)) for length in lengths]
    growth = (taken[-1] / lengths[-1]) / (taken[0] / lengths[0])
    return (*taken, growth)


def _cpu(model: Any, messages: list[BaseMessage]) -> float:
    taken = []
    for _ in range(15):
        begin = time.process_time()
        body = model._get_request_payload(messages)
        taken.append(time.process_time() - begin)
        if len(body["messages"]) != len(messages):
            msg = f"{len(messages)} messages became {len(body['messages'])}"
            raise RuntimeError(msg)
    return median(taken)


def token_speed(contender: str, server: str) -> tuple[float]:
    """Megabytes of text counted exactly in a second of CPU, in messages of 2 kB of prose."""
    model = CONTENDERS[contender].make(server)
    model.get_num_tokens("load the tokenizer")
    prose = "".join(pydoc_data.topics.topics.values())
    prose = (prose * (MEGABYTE // len(prose) + 1))[:MEGABYTE]
    messages = [HumanMessage(prose[start : start + 2000]) for start in range(0, MEGABYTE, 2000)]
    begin = time.process_time()
    model.get_num_tokens_from_messages(messages)
    return (1 / (time.process_time() - begin),)
