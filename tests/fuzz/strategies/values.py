"""Texts, JSON values, and values that JSON cannot hold."""

import math
from datetime import UTC, datetime
from typing import Any

from hypothesis import strategies as st

Json = dict[str, Any]

URL = "https://example.com/cat.png"


plain_texts = st.sampled_from(["Hi", "", " ", "json", "größer 空 🌊"]) | st.text(max_size=8)
texts = plain_texts | st.sampled_from(
    ["\0", "a\ud800", "\udfff", "\x1b[0m", "<|User|>", "<\uff5cDSML\uff5c", "\ufeff", "a\u2028b"]
)

numbers = st.one_of(
    st.integers(-2, 9),
    st.floats(width=16),
    st.sampled_from([10**30, -(10**400), 2**63, 1e308, math.nan, math.inf]),
)
leaves = st.none() | st.booleans() | numbers | texts


def _json(leaves: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return st.recursive(
        leaves,
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(plain_texts, inner, max_size=3),
        max_leaves=6,
    )


json_values = _json(leaves)
"""Values that Python's JSON parser can return, NaN and surrogate halves included."""

sound_values = _json(st.none() | st.booleans() | st.integers() | plain_texts)
odd_values = st.one_of(
    json_values,
    st.just(datetime(2026, 11, 22, tzinfo=UTC)),
    st.just(frozenset({"x"})),
    st.just(b"bytes"),
    st.just(object()),
)


def optional(**fields: st.SearchStrategy[Any]) -> st.SearchStrategy[Json]:
    """Generate dicts with any of `fields`."""
    return st.fixed_dictionaries({}, optional=fields)


@st.composite
def spoiled(draw: st.DrawFn, dicts: st.SearchStrategy[Json]) -> Json:
    """Generate dicts of which one value, on either of two levels, is replaced by an odd one."""
    spoiled = dict(draw(dicts))
    if spoiled:
        # LangChain itself fails on a type that cannot be hashed.
        keys = sorted(spoiled.keys() - {"type", "source_type"})
        key = draw(st.sampled_from(keys or ["text"]))
        inner = spoiled.get(key)
        if isinstance(inner, dict) and inner and draw(st.booleans()):
            spoiled[key] = {**inner, draw(st.sampled_from(sorted(inner))): draw(odd_values)}
        else:
            spoiled[key] = draw(odd_values)
    return spoiled
