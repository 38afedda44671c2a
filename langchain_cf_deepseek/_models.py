"""What each model can do and which prompt format it reads: look-ups in the table of models.

The table is edited in `data/profile_augmentations.toml`; its generated form, `data/_profiles.py`,
is also what the local gateway serves and prices.
"""

from collections.abc import Mapping
from copy import deepcopy
from typing import Any, cast

from langchain_core.language_models import ModelProfile

from langchain_cf_deepseek.data._profiles import PROFILES, SERVING, UNIFIED_PROFILES
from langchain_cf_deepseek.data.routings import DEFAULT_ROUTING, Routing


def profile_of(model: str, *, routing: Routing = DEFAULT_ROUTING) -> ModelProfile | None:
    """Return a copy of the profile of `model`; `None` for an unknown model.

    Args:
        model: With or without `deepseek/`, or a name of Workers AI.
        routing: The routing; on `unified` Cloudflare serves some models from another provider.
    """
    name = model.removeprefix("deepseek/")
    profile = PROFILES.get(name)
    if routing == "unified":
        profile = UNIFIED_PROFILES.get(name, profile)
    return cast("ModelProfile", deepcopy(profile))


def known_models(routing: Routing) -> list[str]:
    """Return the names of the known models, as `model` accepts them on `routing`."""
    if routing == "provider-native":
        return [name for name in PROFILES if "/" not in name]
    return list(PROFILES)


def sees_images(profile: ModelProfile | None) -> bool:
    """Return whether a model has vision; an unknown model is assumed to have it."""
    return profile is None or profile.get("image_inputs", True)


def serves_server_tools(model: str) -> bool:
    """Return whether a model can have DeepSeek's server tools, which only `deepseek-flash` has.

    A name outside the table, such as a dynamic route, can lead to it; Workers AI cannot.
    """
    name = model.removeprefix("deepseek/")
    if name.startswith("custom-"):
        name = name.rsplit("/", 1)[-1]
    if name in SERVING:
        return SERVING[name].get("served") == "deepseek-flash"
    return not name.startswith("@cf/")


def is_served_by_deepseek(model: str, *, routing: Routing) -> bool:
    """Return whether DeepSeek's own API serves a model, rather than a provider chosen elsewhere."""
    name = model.removeprefix("deepseek/")
    return "/" not in name and not (routing == "unified" and name in UNIFIED_PROFILES)


def prompt_version(model: str) -> str | None:
    """Return the published model whose prompt format `model` reads; `None` for an unknown model."""
    serving = SERVING.get(model.removeprefix("deepseek/"), {})
    return serving.get("version")


def is_default_profile(profile: Mapping[str, Any]) -> bool:
    """Return whether `profile` is one of the table, rather than set by the user."""
    return profile in (*PROFILES.values(), *UNIFIED_PROFILES.values())
