"""Data loss prevention: requests and answers searched as raw text, tool arguments included."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

from langchain_cf_deepseek.local.cloudflare.assumptions import Assumptions
from langchain_cf_deepseek.local.cloudflare.text_matchers import TextMatcher, text_matches
from langchain_cf_deepseek.local.event_streams import assemble_completion
from langchain_cf_deepseek.local.exchange import Answer, Call, CallNext, dump, read_body, replay
from langchain_cf_deepseek.local.faults.error_bodies import refusal

Check = Literal["REQUEST", "RESPONSE"]

REQUEST_BLOCKED = 2029
RESPONSE_BLOCKED = 2030


@dataclass(frozen=True)
class DlpProfile:
    """What must not leave or come back.

    A profile that checks answers holds a stream back whole, and then releases it.
    https://developers.cloudflare.com/ai-gateway/features/dlp/

    Example:
        ```python
        card = DlpProfile(["4111 1111"], check="request", action="flag")
        LocalGateway(rules=Rules(dlp=[card]))
        ```
    """

    matches: TextMatcher
    """Looked for in the raw JSON."""
    check: Literal["request", "response", "both"] = "both"
    action: Literal["flag", "block"] = "block"
    """A flag is told in the header `cf-aig-dlp`, as a block is."""
    profile_id: str = "local-profile"
    entry_ids: Sequence[str] = ("local-entry",)
    policy_ids: Sequence[str] = ("local-policy",)


class Dlp:
    """Searches what passes a gateway."""

    def __init__(self, profiles: Sequence[DlpProfile], assumptions: Assumptions) -> None:
        self._profiles: dict[Check, list[DlpProfile]] = {
            "REQUEST": [profile for profile in profiles if profile.check != "response"],
            "RESPONSE": [profile for profile in profiles if profile.check != "request"],
        }
        self._status = assumptions.dlp_status

    async def step(self, call: Call, call_next: CallNext) -> Answer:
        """Search the request, then the answer."""
        if not any(self._profiles.values()):
            return await call_next()
        found = self._found("REQUEST", call.raw)
        self._tell(call, found, REQUEST_BLOCKED)
        answer = await call_next()
        if not self._profiles["RESPONSE"]:
            return answer
        streamed = not isinstance(answer.body, bytes)
        pieces = await read_body(answer.body)
        raw = b"".join(pieces)
        found += self._found("RESPONSE", raw + _put_together(raw) if streamed else raw)
        self._tell(call, found, RESPONSE_BLOCKED)
        answer.body = replay(pieces) if streamed else raw
        return answer

    def _found(self, check: Check, raw: bytes) -> list[tuple[Check, DlpProfile]]:
        text = raw.decode(errors="replace")
        return [(check, each) for each in self._profiles[check] if text_matches(each.matches, text)]

    def _tell(self, call: Call, found: list[tuple[Check, DlpProfile]], code: int) -> None:
        """Put what was found into the header, and refuse the call if it has to be blocked."""
        if not found:
            return
        blocked = any(profile.action == "block" for _, profile in found)
        findings = [_redacted_match(check, profile) for check, profile in found]
        header = {"findings": findings, "action": "BLOCK" if blocked else "FLAG"}
        call.facts["cf-aig-dlp"] = json.dumps(header)
        if blocked:
            raise refusal(call, code, status=self._status)


def _put_together(stream: bytes) -> bytes:
    """Undo the cutting of words into chunks; a stream of anything else holds no cut words."""
    try:
        return dump(assemble_completion(stream))
    except (AttributeError, IndexError, KeyError, TypeError):
        return b""


def _redacted_match(check: Check, profile: DlpProfile) -> dict[str, Any]:
    return {
        "profile": {
            "context": {},
            "entry_ids": list(profile.entry_ids),
            "profile_id": profile.profile_id,
        },
        "policy_ids": list(profile.policy_ids),
        "check": check,
    }
