"""The provider of a model, from the prefix of its name."""

from __future__ import annotations

from langchain_cf_deepseek.local.exchange import Call


def assign_provider(call: Call, name: str) -> bool:
    """Set a call's provider and model; returns whether the prefix is a provider's."""
    prefix, _, rest = name.partition("/")
    call.not_deepseek = prefix != "deepseek"
    if prefix == "deepseek" or prefix.startswith("custom-"):
        call.provider, call.model = prefix, rest
        return True
    call.model = name
    if prefix != "@cf":
        return False
    call.provider = "workers-ai"
    return True
