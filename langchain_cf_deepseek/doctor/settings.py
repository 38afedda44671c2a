"""The check of the settings: which are set, and whether a credential is in the wrong variable.

No part of a credential is shown, nor of an id that could be a credential.
"""

import re
from collections.abc import Iterator

from pydantic import ValidationError

from langchain_cf_deepseek._routing import routing_by_suffix
from langchain_cf_deepseek._settings import first_validation_message
from langchain_cf_deepseek.data.routings import (
    CREDENTIAL_VARIABLES,
    ID_PATTERNS,
    ROUTINGS,
    VARIABLES,
)
from langchain_cf_deepseek.doctor.reachability import address
from langchain_cf_deepseek.doctor.result import CheckResult
from langchain_cf_deepseek.doctor.setup import Setup

_KEY, _TOKEN = "a DeepSeek key", "a Cloudflare token"

_EXPECTED_VALUE = {
    "account_id": "the account's id",
    "gateway_id": "the gateway's name",
    "api_key": _KEY,
    "gateway_token": _TOKEN,
    "cloudflare_api_token": _TOKEN,
}
"""What a setting must contain, by field."""

_CREDENTIAL_PATTERNS = (
    (re.compile(r"sk-[\w-]{20,}"), _KEY, _EXPECTED_VALUE.keys()),
    (re.compile(r"cf[au]t_[\w-]{20,}"), _TOKEN, _EXPECTED_VALUE.keys()),
    # Older tokens look like the keys of other services, so they are recognised in ids only.
    (re.compile(r"(?=.*[A-Z])(?=.*[a-z])(?=.*[0-9])[\w-]{40}"), _TOKEN, ID_PATTERNS.keys()),
)
"""Patterns of credentials, and the settings in which they are recognised."""

_SHOWN = {**ID_PATTERNS, "routing": re.compile("|".join(ROUTINGS))}
"""The settings whose value is shown if it matches the pattern."""


def check_settings(setup: Setup) -> CheckResult:
    """Return which settings are set, and what is wrong with them."""
    shown = list(_lines(setup))
    if change := next(_misplaced_values(setup), None):
        return CheckResult("fail", "\n".join(["a value is in the wrong variable", *shown]), change)
    try:
        host = address(setup.llm.endpoint)
    except ValidationError as error:
        found = "\n".join(["a setting is missing or malformed", *shown])
        return CheckResult("fail", found, first_validation_message(error))
    return CheckResult("ok", "\n".join([f"{setup.routing} through {host}", *shown]))


def _lines(setup: Setup) -> Iterator[str]:
    for field, variable in VARIABLES.items():
        value = setup.values[field]
        is_unused = field in CREDENTIAL_VARIABLES.keys() - setup.sent
        if value and (pattern := _SHOWN.get(field)):
            is_shown = pattern.fullmatch(value) and not _misplaced_kind(field, value)
            yield f"{variable}: {value if is_shown else f'malformed ({len(value)} characters)'}"
        elif value:
            yield f"{variable}: set" + (f", not sent on {setup.routing}" if is_unused else "")
        elif field in _EXPECTED_VALUE and not is_unused:
            yield f"{variable}: not set"


def _misplaced_kind(field: str, value: str) -> str | None:
    """Return what kind of credential a setting contains, if it is one of another setting."""
    for pattern, kind, fields in _CREDENTIAL_PATTERNS:
        if field in fields and kind != _EXPECTED_VALUE[field] and pattern.fullmatch(value.strip()):
            return kind
    return None


def _misplaced_values(setup: Setup) -> Iterator[str]:
    """Yield what to change for each value in the wrong variable."""
    for field, expected in _EXPECTED_VALUE.items():
        value = setup.values[field]
        is_used = field in ID_PATTERNS or field in setup.sent
        if value and is_used and (kind := _misplaced_kind(field, value)):
            yield f"Set {VARIABLES[field]} to {expected}: it contains what looks like {kind}."
    key, token = setup.values["api_key"], setup.values["gateway_token"]
    if key and key == token and "api_key" in setup.sent:
        yield (
            f"Set DEEPSEEK_API_KEY to {_KEY} and CF_AIG_TOKEN to {_TOKEN}: both contain the same "
            "text."
        )
    other_routing = routing_by_suffix(setup.values["base_url"] or "")
    if other_routing and setup.is_routing_known and other_routing != setup.routing:
        yield (
            f"Set CLOUDFLARE_AI_GATEWAY_BASE_URL to a URL of routing {setup.routing!r}: it ends "
            f"like one of {other_routing!r}."
        )
