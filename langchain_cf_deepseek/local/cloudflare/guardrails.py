"""Guardrails: prompts and responses are judged by their text."""

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
from langchain_cf_deepseek.local.exchange import (
    Call,
    CallNext,
    GatewayResponse,
    RefusedError,
    parse_json,
)
from langchain_cf_deepseek.local.faults.error_bodies import refusal

PROMPT_BLOCKED = 2016
RESPONSE_BLOCKED = 2017
SCANNER_DOWN = 7013

_REST_CODES = {
    422: {PROMPT_BLOCKED: RESPONSE_BLOCKED, RESPONSE_BLOCKED: RESPONSE_BLOCKED},
    424: {PROMPT_BLOCKED: PROMPT_BLOCKED, RESPONSE_BLOCKED: RESPONSE_BLOCKED},
}
"""Status -> the REST host's code for each code of the gateway host."""


@dataclass(frozen=True)
class Guardrails:
    """What the gateway searches for in prompts and responses, and what it does on a match.

    With guardrails, the gateway host responds to `stream: true` with a JSON body. The REST host
    streams, and only judges the prompt.
    https://developers.cloudflare.com/ai-gateway/features/guardrails/usage-considerations/

    Example:
        ```python
        loud = Guardrails(prompt=["explosives"], response=str.isupper)
        LocalGateway(rules=Rules(guardrails=loud))
        ```
    """

    prompt: TextMatcher = ()
    """Searched for in all messages, system messages included."""
    response: TextMatcher = ()
    """Searched for in the answer and its reasoning."""
    action: Literal["flag", "block"] = "block"
    """A flag only appears in Cloudflare's logs."""
    down: bool = False
    """Whether the scanner is unavailable, so that `block` refuses every request."""

    def blocks(self, matcher: TextMatcher, messages: Any) -> bool:
        """Whether messages have to be blocked."""
        text = "\n".join(message_texts(messages))
        return self.action == "block" and bool(text) and text_matches(matcher, text)


class Guard:
    """Judges the chat requests and responses of a gateway."""

    def __init__(self, guardrails: Guardrails | None, assumptions: Assumptions) -> None:
        self._guardrails = guardrails
        self._assumptions = assumptions

    async def step(self, call: Call, call_next: CallNext) -> GatewayResponse:
        """Judge the prompt, then the response."""
        rules, body = self._guardrails, call.request.body
        if rules is None or not isinstance(body, dict) or "messages" not in body:
            return await call_next()
        if rules.action == "block" and rules.down:
            raise refusal(call, SCANNER_DOWN)
        if rules.blocks(rules.prompt, body["messages"]):
            raise self._refusal(call, PROMPT_BLOCKED)
        streamed = body.get("stream") is True
        if streamed and call.on_rest_host:
            return await call_next()
        if streamed:
            call.rewrite({key: body[key] for key in body if not key.startswith("stream")})
        response = await call_next()
        if rules.blocks(rules.response, _messages(response)):
            raise self._refusal(call, RESPONSE_BLOCKED)
        if streamed and response.status == HTTPStatus.OK:
            response.content_type = self._assumptions.guardrail_content_type
        return response

    def _refusal(self, call: Call, code: int) -> RefusedError:
        if not call.on_rest_host:
            return refusal(call, code)
        status = self._assumptions.rest_guardrail_status
        return refusal(call, _REST_CODES[status][code], status=status)


def _messages(response: GatewayResponse) -> list[Any]:
    payload = parse_json(response.body) if isinstance(response.body, bytes) else None
    choices = payload.get("choices") if isinstance(payload, dict) else None
    return [choice.get("message") for choice in choices or () if isinstance(choice, dict)]
