"""Generates `_profiles.py`: `python -m langchain_cf_deepseek.data.refresh`.

It has a row for each entry of `profile_augmentations.toml`, which starts from the public data of
models.dev, in the copy that the package `langchain-deepseek` ships.
"""

import json
import tomllib
from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any

_Table = dict[str, Any]

AUGMENTATIONS = Path(__file__).with_name("profile_augmentations.toml")
TARGET = Path(__file__).with_name("_profiles.py")

_NO_PROFILE_KEYS = ("like", "serving", "unified")

_HEADER = '''\
"""Model profiles, generated: do not edit.

Written by `python -m langchain_cf_deepseek.data.refresh` from langchain-deepseek {version}, whose
data are those of models.dev (https://github.com/sst/models.dev, MIT License), with the changes in
`profile_augmentations.toml`.
"""

from typing import Any

SOURCE_VERSION = "{version}"
'''


def generate(
    public: Mapping[str, Mapping[str, Any]], source_version: str, augmentations: str
) -> str:
    """Return the text of `_profiles.py`.

    Args:
        public: Profiles by model, as `langchain_deepseek.data._profiles` has them.
        source_version: The version of that package.
        augmentations: The text of `profile_augmentations.toml`.
    """
    defaults: _Table = {}
    entries: _Table = {}
    for key, value in tomllib.loads(augmentations)["overrides"].items():
        (entries if isinstance(value, dict) else defaults)[key] = value
    profiles: _Table = {}
    unified: _Table = {}
    serving: _Table = {}
    for model, entry in entries.items():
        serving[model] = _complete(entry["serving"], model, entries)
        changes = {key: entry[key] for key in entry if key not in _NO_PROFILE_KEYS}
        profiles[model] = {**public[entry.get("like", model)], **defaults, **changes}
        if "unified" in entry:
            unified[model] = profiles[model] | entry["unified"]
    return (
        _HEADER.format(version=source_version)
        + _assignment("PROFILES", dict(sorted(profiles.items())))
        + _assignment("UNIFIED_PROFILES", unified)
        + _assignment("SERVING", serving)
    )


def _complete(serving: _Table, model: str, entries: _Table) -> _Table:
    """Return the `serving` of `model` with all of its keys."""
    served = serving.get("served", model)
    return {
        "served": served,
        "version": entries[served]["serving"]["version"],
        "thinking": serving.get("thinking"),
        "sold": serving.get("sold", True),
        "prices": serving.get("prices", {}),
    }


def _assignment(name: str, table: _Table) -> str:
    return f"\n{name}: dict[str, dict[str, Any]] = {_literal(table)}\n"


def _literal(value: Any, indent: str = "") -> str:
    if isinstance(value, dict) and value:
        inner = indent + "    "
        entries = [f"{inner}{_literal(key)}: {_literal(value[key], inner)},\n" for key in value]
        return "{\n" + "".join(entries) + indent + "}"
    return json.dumps(value) if isinstance(value, str | list) else repr(value)


def main() -> None:
    """Write the file from the installed `langchain-deepseek`."""
    from langchain_deepseek.data._profiles import _PROFILES  # noqa: PLC0415 - its one home

    text = generate(
        _PROFILES, version("langchain-deepseek"), AUGMENTATIONS.read_text(encoding="utf-8")
    )
    TARGET.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
