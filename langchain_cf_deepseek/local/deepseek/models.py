"""The models that the local gateway serves, as DeepSeek's price page lists them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from deepseek_recipe import ModelVersion


@dataclass(frozen=True)
class Model:
    """One model name, and what stands behind it."""

    served: str
    """The name that answers carry."""
    version: ModelVersion
    """The published model whose rules and markup apply."""
    thinking: bool | None = None
    """Thinking fixed on or off by the name; None leaves it to the request."""
    billed: bool = True
    """Whether Cloudflare sells it, so that the unified endpoint needs no key of DeepSeek's."""
    resold: bool = False
    """Whether what Cloudflare sells comes from a reseller, in the reseller's form of chunks."""


_FLASH = Model("deepseek-flash", ModelVersion.DeepseekV41Flash)

MODELS: Mapping[str, Model] = {
    "deepseek-flash": _FLASH,
    "deepseek-v4-pro": Model("deepseek-v4-pro", ModelVersion.DeepseekV4Pro, resold=True),
    "deepseek-v4-flash": _FLASH,
    "deepseek-v4-flash-vision-exp": _FLASH,
    "deepseek-chat": Model(
        "deepseek-flash", ModelVersion.DeepseekV41Flash, thinking=False, billed=False
    ),
    "deepseek-reasoner": Model(
        "deepseek-flash", ModelVersion.DeepseekV41Flash, thinking=True, billed=False
    ),
}
"""The current models, and the retired names that DeepSeek still answers."""
