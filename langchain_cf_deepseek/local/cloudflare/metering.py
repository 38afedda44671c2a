"""What a call costs, and reading it from an answer as that passes, streamed or whole."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import aclosing
from typing import Any

from langchain_cf_deepseek._http.sse import EventDecoder
from langchain_cf_deepseek.local.cloudflare.prices import Usage, cost, usage_of
from langchain_cf_deepseek.local.deepseek.models import Model
from langchain_cf_deepseek.local.exchange import Call, GatewayResponse, Stream, parse_json

Account = Callable[[Usage], None]


def price_call(call: Call, usage: Usage, models: Mapping[str, Model]) -> tuple[str, float, bool]:
    """Return who served a call, the US dollars, and whether the caller set the price."""
    model = models.get(call.model)
    resold = call.unified_billing and model is not None and model.resold
    provider = "fireworks" if resold else call.provider
    served = model.served if model else call.model
    own = call.request.headers.get("cf-aig-custom-cost", "")
    return provider, *cost(provider, served, usage, own)


def with_metering(answer: GatewayResponse, account: Account) -> GatewayResponse:
    """Report the token usage of an answer; of a stream before the usage is sent."""
    if isinstance(answer.body, bytes):
        _report(parse_json(answer.body), account)
    else:
        answer.body = _meter_stream(answer.body, account)
    return answer


async def _meter_stream(body: Stream, account: Account) -> Stream:
    decoder = EventDecoder()
    async with aclosing(body):
        async for piece in body:
            for data in decoder.feed(piece):
                _report(parse_json(data), account)
            yield piece


def _report(payload: Any, account: Account) -> None:
    if isinstance(payload, dict) and payload.get("usage"):
        account(usage_of(payload))
