"""`cf-aig-metadata`, parsed as Cloudflare does: invalid entries are silently dropped."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import islice

from langchain_cf_deepseek.local.exchange import parse_json

MAX_ENTRIES = 5

Value = str | int | float | bool


def parse_metadata(headers: Mapping[str, str]) -> dict[str, Value]:
    """Parse the metadata of a request.

    Of the first five entries, those under `cf.` are dropped; one value of another type drops all.
    """
    found = parse_json(headers.get("cf-aig-metadata", ""))
    if not isinstance(found, dict) or not all(isinstance(each, Value) for each in found.values()):
        return {}
    kept = islice(found.items(), MAX_ENTRIES)
    return {key: value for key, value in kept if not key.startswith("cf.")}
