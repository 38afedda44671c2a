"""What a request costs in the logs: prices of the table of models, or the caller's own."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from langchain_cf_deepseek.data._profiles import SERVING
from langchain_cf_deepseek.local.exchange import parse_json

_MILLION = 1_000_000


@dataclass(frozen=True)
class Usage:
    """The tokens of one completion."""

    tokens_in: int = 0
    """The whole prompt, including what the provider read from its prompt cache."""
    cached: int = 0
    """How many of them were read from the provider's prompt cache."""
    tokens_out: int = 0
    """The whole completion, including reasoning."""


def usage_of(completion: dict[str, Any]) -> Usage:
    """Return the tokens of a completion; 0 where it states none."""
    usage = completion.get("usage")
    if not isinstance(usage, dict):
        return Usage()
    details = usage.get("prompt_tokens_details")
    cached = details.get("cached_tokens") if isinstance(details, dict) else None
    numbers = usage.get("prompt_tokens"), cached, usage.get("completion_tokens")
    return Usage(*(number if isinstance(number, int) else 0 for number in numbers))


@dataclass(frozen=True)
class Price:
    """US dollars for a million tokens."""

    cached: float
    """Prompt tokens read from the provider's prompt cache."""
    prompt: float
    """All other prompt tokens."""
    completion: float
    """Completion tokens, reasoning included."""

    def cost_of(self, usage: Usage) -> float:
        """Return the US dollars for a completion."""
        dollars = (
            usage.cached * self.cached
            + (usage.tokens_in - usage.cached) * self.prompt
            + usage.tokens_out * self.completion
        )
        return round(dollars / _MILLION, 12)


PRICES: Mapping[tuple[str, str], Price] = {
    (provider, name): Price(**price)
    for name, serving in SERVING.items()
    for provider, price in serving["prices"].items()
}
"""By provider and model served. DeepSeek's are those outside its peak hours."""

_FREE = Price(0, 0, 0)


def cost(provider: str, model: str, usage: Usage, custom: str) -> tuple[float, bool]:
    """Return the US dollars for a completion, and whether the caller's own prices apply.

    Args:
        provider: The provider that served it.
        model: The name of the model served.
        usage: The tokens.
        custom: The header `cf-aig-custom-cost`; a malformed one counts as absent.
    """
    own = _own_prices(custom)
    if own is None:
        return PRICES.get((provider, model), _FREE).cost_of(usage), False
    if "total_cost" in own:
        return own["total_cost"], True
    prompt = own.get("per_token_in", 0)
    price = Price(
        cached=own.get("per_cache_read_token", prompt) * _MILLION,
        prompt=prompt * _MILLION,
        completion=own.get("per_token_out", 0) * _MILLION,
    )
    return price.cost_of(usage), True


def _own_prices(custom: str) -> dict[str, float] | None:
    prices = parse_json(custom)
    if not isinstance(prices, dict):
        return None
    return prices if all(isinstance(price, int | float) for price in prices.values()) else None
