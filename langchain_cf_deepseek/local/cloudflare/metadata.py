"""`cf-aig-metadata`, read as Cloudflare reads it: what is wrong with it is dropped in silence."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import islice

from langchain_cf_deepseek.local.exchange import parse_json

MAX_ENTRIES = 5

Value = str | int | float | bool


def parse_metadata(headers: Mapping[str, str]) -> dict[str, Value]:
    """Read the metadata of a request.

    The first five entries count, but not those under `cf.`; one value of another kind voids all.
    """
    found = parse_json(headers.get("cf-aig-metadata", ""))
    if not isinstance(found, dict) or not all(isinstance(each, Value) for each in found.values()):
        return {}
    kept = islice(found.items(), MAX_ENTRIES)
    return {key: value for key, value in kept if not key.startswith("cf.")}
