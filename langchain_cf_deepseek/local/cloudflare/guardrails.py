"""Guardrails: prompts and answers judged by what they say."""

from __future__ import annotations

from dataclasses import dataclass
from http import HTTPStatus
from typing import Any, Literal

from langchain_cf_deepseek.local.cloudflare.assumptions import Assumptions
from langchain_cf_deepseek.local.cloudflare.text_matchers import (
    TextMatcher,
    message_texts,
    text_matches,
)
from langchain_cf_deepseek.local.exchange import Answer, Call, CallNext, RefusedError, parse_json
from langchain_cf_deepseek.local.faults.error_bodies import refusal

PROMPT_BLOCKED = 2016
RESPONSE_BLOCKED = 2017
SCANNER_DOWN = 7013

_REST_CODES = {
    422: {PROMPT_BLOCKED: RESPONSE_BLOCKED, RESPONSE_BLOCKED: RESPONSE_BLOCKED},
    424: {PROMPT_BLOCKED: PROMPT_BLOCKED, RESPONSE_BLOCKED: RESPONSE_BLOCKED},
}
"""What the REST host makes of the codes, by the status that it gives them."""


@dataclass(frozen=True)
class Guardrails:
    """What the gateway looks for in prompts and answers, and what it then does.

    With guardrails on, the gateway host answers `stream: true` with one JSON body. The REST host
    streams, and then judges the prompt only.
    https://developers.cloudflare.com/ai-gateway/features/guardrails/usage-considerations/

    Example:
        ```python
        loud = Guardrails(prompt=["explosives"], response=str.isupper)
        LocalGateway(rules=Rules(guardrails=loud))
        ```
    """

    prompt: TextMatcher = ()
    """Looked for in all messages, system text included."""
    response: TextMatcher = ()
    """Looked for in the answer and its reasoning."""
    action: Literal["flag", "block"] = "block"
    """A flag is seen in Cloudflare's logs only."""
    down: bool = False
    """Whether the scanner is unavailable: then nothing passes that could have to be blocked."""

    def stops(self, finder: TextMatcher, messages: Any) -> bool:
        """Whether messages hold what must not pass."""
        text = "\n".join(message_texts(messages))
        return self.action == "block" and bool(text) and text_matches(finder, text)


class Guard:
    """Judges the chats of a gateway."""

    def __init__(self, guardrails: Guardrails | None, assumptions: Assumptions) -> None:
        self._guardrails = guardrails
        self._assumptions = assumptions

    async def step(self, call: Call, call_next: CallNext) -> Answer:
        """Judge the prompt, then the answer."""
        rules, body = self._guardrails, call.request.body
        if rules is None or not isinstance(body, dict) or "messages" not in body:
            return await call_next()
        if rules.action == "block" and rules.down:
            raise refusal(call, SCANNER_DOWN)
        if rules.stops(rules.prompt, body["messages"]):
            raise self._refusal(call, PROMPT_BLOCKED)
        streamed = body.get("stream") is True
        if streamed and call.on_rest_host:
            return await call_next()
        if streamed:
            call.rewrite({key: body[key] for key in body if not key.startswith("stream")})
        answer = await call_next()
        if rules.stops(rules.response, _messages(answer)):
            raise self._refusal(call, RESPONSE_BLOCKED)
        if streamed and answer.status == HTTPStatus.OK:
            answer.content_type = self._assumptions.guardrail_content_type
        return answer

    def _refusal(self, call: Call, code: int) -> RefusedError:
        if not call.on_rest_host:
            return refusal(call, code)
        status = self._assumptions.rest_guardrail_status
        return refusal(call, _REST_CODES[status][code], status=status)


def _messages(answer: Answer) -> list[Any]:
    payload = parse_json(answer.body) if isinstance(answer.body, bytes) else None
    choices = payload.get("choices") if isinstance(payload, dict) else None
    return [choice.get("message") for choice in choices or () if isinstance(choice, dict)]
