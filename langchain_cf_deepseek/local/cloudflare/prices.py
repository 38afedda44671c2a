"""What a call costs in the logs: the price lists, and a caller's own prices.

https://api-docs.deepseek.com/quick_start/pricing and
https://developers.cloudflare.com/ai/models/deepseek/deepseek-v4-pro/
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from langchain_cf_deepseek.local.exchange import parse_json

_MILLION = 1_000_000


@dataclass(frozen=True)
class Usage:
    """The tokens of one answer."""

    tokens_in: int = 0
    """The whole prompt, what the provider had in its prompt cache included."""
    cached: int = 0
    """How many of them came from the provider's prompt cache."""
    tokens_out: int = 0
    """The whole answer, reasoning included."""


def usage_of(completion: dict[str, Any]) -> Usage:
    """Read the tokens of an answer; none where it says nothing."""
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
    answer: float

    def of(self, usage: Usage) -> float:
        """Return the US dollars for an answer."""
        dollars = (
            usage.cached * self.cached
            + (usage.tokens_in - usage.cached) * self.prompt
            + usage.tokens_out * self.answer
        )
        return round(dollars / _MILLION, 12)


PRICES: Mapping[tuple[str, str], Price] = {
    ("deepseek", "deepseek-flash"): Price(cached=0.003, prompt=0.15, answer=0.60),
    ("deepseek", "deepseek-v4-pro"): Price(cached=0.022, prompt=0.66, answer=1.98),
    ("fireworks", "deepseek-v4-pro"): Price(cached=0.145, prompt=1.74, answer=3.48),
}
"""By provider and model served. DeepSeek's are those outside its peak hours."""

_FREE = Price(0, 0, 0)


def cost(provider: str, model: str, usage: Usage, custom: str) -> tuple[float, bool]:
    """Return the US dollars for an answer, and whether they follow the caller's own prices.

    Args:
        provider: Who served it.
        model: The name of the model served.
        usage: The tokens.
        custom: The header `cf-aig-custom-cost`; one that cannot be read counts as absent.
    """
    own = _own_prices(custom)
    if own is None:
        return PRICES.get((provider, model), _FREE).of(usage), False
    if "total_cost" in own:
        return own["total_cost"], True
    prompt = own.get("per_token_in", 0)
    price = Price(
        cached=own.get("per_cache_read_token", prompt) * _MILLION,
        prompt=prompt * _MILLION,
        answer=own.get("per_token_out", 0) * _MILLION,
    )
    return price.of(usage), True


def _own_prices(custom: str) -> dict[str, float] | None:
    prices = parse_json(custom)
    if not isinstance(prices, dict):
        return None
    return prices if all(isinstance(price, int | float) for price in prices.values()) else None
