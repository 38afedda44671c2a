"""The undocumented keys of a message, added up over deltas.

Texts are concatenated, objects merged, lists merged by `index` or else appended; of other values
the last one counts. A value of another type than the first one is ignored. LangChain adds chunks up
by other rules, so a delta is changed to make its sum the same: numbers become differences, and what
it cannot replace waits for the end of the response.
"""

from typing import Any

_CONSTANT = ("id", "index", "type")
"""Keys whose value identifies an entry, and is not concatenated when it is repeated."""


def merge_unknown(known: Any, delta: Any) -> Any:
    """Return a value with a delta of it."""
    if delta is None or known is None:
        return known if delta is None else delta
    if isinstance(known, dict) and isinstance(delta, dict):
        merged = dict(known)
        for key, value in delta.items():
            if key in _CONSTANT and known.get(key) is not None:
                continue
            merged[key] = merge_unknown(known.get(key), value)
        return merged
    if isinstance(known, list) and isinstance(delta, list):
        merged_list = list(known)
        for entry in delta:
            place = _find(merged_list, entry)
            if place is None:
                merged_list.append(entry)
            else:
                merged_list[place] = merge_unknown(merged_list[place], entry)
        return merged_list
    if type(known) is not type(delta):
        return known
    return known + delta if isinstance(known, str) else delta


def split_delta(known: Any, delta: Any) -> tuple[Any, Any]:
    """Return what the next chunk holds of a delta, and what the last chunk has to hold.

    Args:
        known: The value before the delta.
        delta: The delta.
    """
    if known is not None and type(known) is not type(delta):
        return None, None
    if isinstance(delta, bool | float):
        return None, delta
    if isinstance(delta, dict | list) and delta and known is None:
        known = type(delta)()
    if isinstance(known, dict) and isinstance(delta, dict):
        return _split_dict(known, delta)
    if isinstance(known, list) and isinstance(delta, list):
        return _split_list(known, delta)
    if _is_integer(known) and _is_integer(delta):
        return delta - known or None, None
    is_mergeable = known is None or (isinstance(known, str) and isinstance(delta, str))
    return (delta if is_mergeable else None), None


def _split_dict(known: dict[Any, Any], delta: dict[Any, Any]) -> tuple[Any, Any]:
    now: dict[Any, Any] = {}
    later: dict[Any, Any] = {}
    for key, value in delta.items():
        if key in _CONSTANT or value is None:
            if known.get(key) is None or key == "index":
                now[key] = value
            continue
        parts = split_delta(known.get(key), value)
        for side, part in zip((now, later), parts, strict=True):
            if part is not None:
                side[key] = part
    return now or None, later or None


def _split_list(known: list[Any], delta: list[Any]) -> tuple[Any, Any]:
    now: list[Any] = []
    later: list[Any] = []
    for entry in delta:
        if not isinstance(entry, dict) or not isinstance(entry.get("index"), int):
            now.append(entry)  # appended, and never merged
            continue
        place = _find(known, entry)
        new, last = _split_dict({} if place is None else known[place], entry)
        if new:
            now.append(new)
        if last:
            later.append({"index": entry["index"], **last})
    return now or None, later or None


def _find(entries: list[Any], entry: Any) -> int | None:
    """Return the place of the entry that another one continues."""
    if not isinstance(entry, dict) or not isinstance(entry.get("index"), int):
        return None
    for place, known in enumerate(entries):
        if isinstance(known, dict) and known.get("index") == entry["index"]:
            ids = known.get("id"), entry.get("id")
            if not all(ids) or ids[0] == ids[1]:
                return place
    return None


def _is_integer(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)
