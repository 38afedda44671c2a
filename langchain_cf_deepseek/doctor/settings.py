"""The check of the settings: which are there, and whether a credential is in the wrong place.

No value of a credential is shown, nor any part of one; nor one of an id that may be a credential.
"""

import re
from collections.abc import Iterator
from typing import get_args

from pydantic import ValidationError

from langchain_cf_deepseek._routing import CREDENTIAL_VARIABLES, ID_FORMS, Routing, routing_of
from langchain_cf_deepseek._settings import VARIABLES, first_validation_message
from langchain_cf_deepseek.doctor.reachability import address
from langchain_cf_deepseek.doctor.setup import Setup
from langchain_cf_deepseek.doctor.verdict import Verdict

_KEY, _TOKEN = "a DeepSeek key", "a Cloudflare token"

_EXPECTED_VALUE = {
    "account_id": "the account's id",
    "gateway_id": "the gateway's name",
    "api_key": _KEY,
    "gateway_token": _TOKEN,
    "cloudflare_api_token": _TOKEN,
}
"""What belongs into a setting, by field."""

_FORMS = (
    (re.compile(r"sk-[\w-]{20,}"), _KEY, _EXPECTED_VALUE.keys()),
    (re.compile(r"cf[au]t_[\w-]{20,}"), _TOKEN, _EXPECTED_VALUE.keys()),
    # The older form of a token may be that of another provider's key too.
    (re.compile(r"(?=.*[A-Z])(?=.*[a-z])(?=.*[0-9])[\w-]{40}"), _TOKEN, ID_FORMS.keys()),
)
"""What credentials look like, and the settings in which one is told by its looks."""

_PLAIN = {**ID_FORMS, "routing": re.compile("|".join(get_args(Routing)))}
"""The settings whose value is shown, and what it looks like."""


def check_settings(setup: Setup) -> Verdict:
    """Return which settings are there, and what they lack."""
    shown = list(_lines(setup))
    for change in _misplaced(setup):
        return Verdict("fail", "\n".join(["something is in the wrong place", *shown]), change)
    try:
        host = address(setup.llm.endpoint)
    except ValidationError as error:
        found = "\n".join(["something is missing or malformed", *shown])
        return Verdict("fail", found, first_validation_message(error))
    return Verdict("ok", "\n".join([f"{setup.routing} through {host}", *shown]))


def _lines(setup: Setup) -> Iterator[str]:
    for field, variable in VARIABLES.items():
        value = setup.values[field]
        is_unused = field in CREDENTIAL_VARIABLES.keys() - setup.sent
        if value and (form := _PLAIN.get(field)):
            is_plain = form.fullmatch(value) and not _other(field, value)
            yield f"{variable}: {value if is_plain else f'malformed ({len(value)} characters)'}"
        elif value:
            yield f"{variable}: set" + (f", not sent on {setup.routing}" if is_unused else "")
        elif field in _EXPECTED_VALUE and not is_unused:
            yield f"{variable}: not set"


def _other(field: str, value: str) -> str | None:
    """Return what a setting holds by its looks, if that belongs elsewhere."""
    for form, what, fields in _FORMS:
        if field in fields and what != _EXPECTED_VALUE[field] and form.fullmatch(value.strip()):
            return what
    return None


def _misplaced(setup: Setup) -> Iterator[str]:
    """Yield what to do about each value that belongs elsewhere."""
    for field, belongs in _EXPECTED_VALUE.items():
        value = setup.values[field]
        if value and field in ID_FORMS.keys() | setup.sent and (other := _other(field, value)):
            yield f"Set {VARIABLES[field]} to {belongs}: it holds what looks like {other}."
    key, token = setup.values["api_key"], setup.values["gateway_token"]
    if key and key == token and "api_key" in setup.sent:
        yield (
            f"Set DEEPSEEK_API_KEY to {_KEY} and CF_AIG_TOKEN to {_TOKEN}: both hold the same text."
        )
    other_routing = routing_of(setup.values["base_url"] or "")
    if other_routing and setup.has_routing and other_routing != setup.routing:
        yield (
            f"Set CLOUDFLARE_AI_GATEWAY_BASE_URL to an address of routing {setup.routing!r}: it "
            f"ends like one of {other_routing!r}."
        )
