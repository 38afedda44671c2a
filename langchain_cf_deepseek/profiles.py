"""What each model can do, as LangChain's model profiles."""

from typing import cast

from langchain_core.language_models import ModelProfile

from langchain_cf_deepseek.data.profiles import PROFILES


def profile_of(model: str) -> ModelProfile | None:
    """Return a copy of the profile of `model`, by whatever name; `None` when it is not known."""
    profile = PROFILES.get(model) or PROFILES.get(model.removeprefix("deepseek/"))
    return cast("ModelProfile", dict(profile)) if profile else None


def sees_images(profile: ModelProfile | None) -> bool:
    """Return whether a model takes images; one that is not known gets the benefit of the doubt."""
    return profile is None or profile.get("image_inputs", True)
