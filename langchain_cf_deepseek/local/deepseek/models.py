"""The models that the local gateway serves: those of DeepSeek in the one table of models."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from deepseek_recipe import ModelVersion

from langchain_cf_deepseek.data._profiles import PROFILES, SERVING

_FLASH_CONTEXT_TOKENS: int = PROFILES["deepseek-flash"]["max_input_tokens"]


@dataclass(frozen=True)
class Model:
    """What is served under one model name."""

    served: str
    """The model name in responses."""
    version: ModelVersion
    """The published model whose rules and markup apply."""
    thinking: bool | None = None
    """Thinking that the name turns on or off; without it the request decides."""
    billed: bool = True
    """Whether Cloudflare sells it, so that the unified endpoint needs no DeepSeek key."""
    resold: bool = False
    """Whether Cloudflare sells it from a reseller, whose form of responses then applies."""
    context_tokens: int = _FLASH_CONTEXT_TOKENS
    """Upper bound of prompt and completion together."""


MODELS: Mapping[str, Model] = {
    name: Model(
        served=serving["served"],
        version=getattr(ModelVersion, serving["version"]),
        thinking=serving["thinking"],
        billed=serving["sold"],
        resold="fireworks" in serving["prices"],
        context_tokens=PROFILES[name]["max_input_tokens"],
    )
    for name, serving in SERVING.items()
    if "/" not in name
}
"""The current models, and the retired names that DeepSeek still accepts."""
