"""What each model can do, as LangChain's model profiles."""

from collections.abc import Mapping
from copy import deepcopy
from typing import Any, cast

from langchain_core.language_models import ModelProfile

from langchain_cf_deepseek._routing import Routing
from langchain_cf_deepseek.data._profiles import PROFILES, UNIFIED_PROFILES


def profile_of(model: str, *, routing: Routing = "provider-native") -> ModelProfile | None:
    """Return a copy of the profile of `model`, by whatever name; `None` when it is not known.

    Args:
        model: With or without `deepseek/`, or a name of Workers AI.
        routing: The way to the model; on `unified` Cloudflare serves some from elsewhere.
    """
    name = model.removeprefix("deepseek/")
    profile = PROFILES.get(name)
    if routing == "unified":
        profile = UNIFIED_PROFILES.get(name, profile)
    return cast("ModelProfile", deepcopy(profile))


def known_models(routing: Routing) -> list[str]:
    """Return the names of the known models, as `model` takes them on `routing`."""
    if routing == "provider-native":
        return [name for name in PROFILES if "/" not in name]
    return list(PROFILES)


def sees_images(profile: ModelProfile | None) -> bool:
    """Return whether a model takes images; one that is not known gets the benefit of the doubt."""
    return profile is None or profile.get("image_inputs", True)


def is_default_profile(profile: Mapping[str, Any]) -> bool:
    """Return whether `profile` is that of a known model, and none that a user wrote."""
    return profile in (*PROFILES.values(), *UNIFIED_PROFILES.values())
