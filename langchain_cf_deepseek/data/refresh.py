"""Writes `_profiles.py` anew: `python -m langchain_cf_deepseek.data.refresh`.

The public data are those of models.dev, in the copy that the package `langchain-deepseek` ships;
what we know better stands in `profile_augmentations.toml`.
"""

import json
import tomllib
from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any

Profiles = dict[str, dict[str, Any]]

AUGMENTATIONS = Path(__file__).with_name("profile_augmentations.toml")
TARGET = Path(__file__).with_name("_profiles.py")

_HEADER = '''\
"""Model profiles, generated: do not edit.

Written by `python -m langchain_cf_deepseek.data.refresh` from langchain-deepseek {version}, whose
data are those of models.dev (https://github.com/sst/models.dev, MIT License), with the changes in
`profile_augmentations.toml`.
"""

from typing import Any

SOURCE_VERSION = "{version}"
'''


def generated(public: Mapping[str, Mapping[str, Any]], source_version: str) -> str:
    """Return the text of `_profiles.py`.

    Args:
        public: Profiles by model, as `langchain_deepseek.data._profiles` has them.
        source_version: The version of that package.
    """
    augmentations = tomllib.loads(AUGMENTATIONS.read_text(encoding="utf-8"))
    profiles = _augmented(public, augmentations["overrides"])
    unified = {
        model: profiles[model] | changes for model, changes in augmentations["unified"].items()
    }
    return (
        _HEADER.format(version=source_version)
        + _table("PROFILES", profiles)
        + _table("UNIFIED_PROFILES", unified)
    )


def _augmented(public: Mapping[str, Mapping[str, Any]], overrides: dict[str, Any]) -> Profiles:
    for_all = {key: value for key, value in overrides.items() if not isinstance(value, dict)}
    by_model = {key: value for key, value in overrides.items() if isinstance(value, dict)}
    profiles = {}
    for model in [*public, *(by_model.keys() - public.keys())]:
        changes = dict(by_model.get(model, {}))
        base = public[changes.pop("like", model)]
        profiles[model] = {**base, **for_all, **changes}
    return dict(sorted(profiles.items()))


def _table(name: str, profiles: Profiles) -> str:
    lines = [f"\n{name}: dict[str, dict[str, Any]] = {{"]
    for model, profile in profiles.items():
        lines.append(f"    {_literal(model)}: {{")
        lines += [f"        {_literal(key)}: {_literal(profile[key])}," for key in profile]
        lines.append("    },")
    return "\n".join([*lines, "}\n"])


def _literal(value: Any) -> str:
    return repr(value) if isinstance(value, bool | int) else json.dumps(value)


def main() -> None:
    """Write the file from the installed `langchain-deepseek`."""
    from langchain_deepseek.data._profiles import _PROFILES  # noqa: PLC0415 - its one home

    TARGET.write_text(generated(_PROFILES, version("langchain-deepseek")), encoding="utf-8")


if __name__ == "__main__":
    main()
