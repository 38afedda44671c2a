"""Data loss prevention: requests and responses are searched as raw text."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

from langchain_cf_deepseek.local.cloudflare.assumptions import Assumptions
from langchain_cf_deepseek.local.cloudflare.text_matchers import TextMatcher, text_matches
from langchain_cf_deepseek.local.event_streams import assemble_completion
from langchain_cf_deepseek.local.exchange import (
    Call,
    CallNext,
    GatewayResponse,
    as_stream,
    dump,
    read_body,
)
from langchain_cf_deepseek.local.faults.error_bodies import refusal

Check = Literal["REQUEST", "RESPONSE"]

REQUEST_BLOCKED = 2029
RESPONSE_BLOCKED = 2030


@dataclass(frozen=True)
class DlpProfile:
    """What requests and responses must not contain.

    A profile that checks responses buffers a whole stream before it is sent.
    https://developers.cloudflare.com/ai-gateway/features/dlp/

    Example:
        ```python
        card = DlpProfile(["4111 1111"], check="request", action="flag")
        LocalGateway(rules=Rules(dlp=[card]))
        ```
    """

    matches: TextMatcher
    """Searched for in the raw JSON."""
    check: Literal["request", "response", "both"] = "both"
    action: Literal["flag", "block"] = "block"
    """Either is reported in the header `cf-aig-dlp`."""
    profile_id: str = "local-profile"
    entry_ids: Sequence[str] = ("local-entry",)
    policy_ids: Sequence[str] = ("local-policy",)


class Dlp:
    """Searches the requests and responses of a gateway."""

    def __init__(self, profiles: Sequence[DlpProfile], assumptions: Assumptions) -> None:
        self._profiles: dict[Check, list[DlpProfile]] = {
            "REQUEST": [profile for profile in profiles if profile.check != "response"],
            "RESPONSE": [profile for profile in profiles if profile.check != "request"],
        }
        self._status = assumptions.dlp_status

    async def step(self, call: Call, call_next: CallNext) -> GatewayResponse:
        """Search the request, then the response."""
        if not any(self._profiles.values()):
            return await call_next()
        findings = self._find("REQUEST", call.raw)
        self._report(call, findings, REQUEST_BLOCKED)
        response = await call_next()
        if not self._profiles["RESPONSE"]:
            return response
        streamed = not isinstance(response.body, bytes)
        pieces = await read_body(response.body)
        raw = b"".join(pieces)
        findings += self._find("RESPONSE", raw + _assembled(raw) if streamed else raw)
        self._report(call, findings, RESPONSE_BLOCKED)
        response.body = as_stream(pieces) if streamed else raw
        return response

    def _find(self, check: Check, raw: bytes) -> list[tuple[Check, DlpProfile]]:
        text = raw.decode(errors="replace")
        return [(check, each) for each in self._profiles[check] if text_matches(each.matches, text)]

    def _report(self, call: Call, findings: list[tuple[Check, DlpProfile]], code: int) -> None:
        """Put findings into the header, and refuse the call if one of them blocks."""
        if not findings:
            return
        blocked = any(profile.action == "block" for _, profile in findings)
        reported = [_finding(check, profile) for check, profile in findings]
        header = {"findings": reported, "action": "BLOCK" if blocked else "FLAG"}
        call.gateway_headers["cf-aig-dlp"] = json.dumps(header)
        if blocked:
            raise refusal(call, code, status=self._status)


def _assembled(stream: bytes) -> bytes:
    """Return the completion of a stream, in which no word is split between chunks."""
    try:
        return dump(assemble_completion(stream))
    except (AttributeError, IndexError, KeyError, TypeError):
        return b""


def _finding(check: Check, profile: DlpProfile) -> dict[str, Any]:
    return {
        "profile": {
            "context": {},
            "entry_ids": list(profile.entry_ids),
            "profile_id": profile.profile_id,
        },
        "policy_ids": list(profile.policy_ids),
        "check": check,
    }
