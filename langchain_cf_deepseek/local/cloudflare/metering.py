"""The cost of a request, and the token usage in a response, streamed or whole."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import aclosing
from typing import Any

from langchain_cf_deepseek._http.sse import EventDecoder
from langchain_cf_deepseek.local.cloudflare.prices import Usage, cost, usage_of
from langchain_cf_deepseek.local.deepseek.models import Model
from langchain_cf_deepseek.local.exchange import Call, GatewayResponse, Stream, parse_json

ReportUsage = Callable[[Usage], None]


def price_call(call: Call, usage: Usage, models: Mapping[str, Model]) -> tuple[str, float, bool]:
    """Return the provider of a request, the US dollars, and whether the caller set the price."""
    model = models.get(call.model)
    resold = call.unified_billing and model is not None and model.resold
    provider = "fireworks" if resold else call.provider
    served = model.served if model else call.model
    own = call.request.headers.get("cf-aig-custom-cost", "")
    return provider, *cost(provider, served, usage, own)


def with_metering(response: GatewayResponse, report: ReportUsage) -> GatewayResponse:
    """Return a response whose token usage is reported; of a stream before the usage is sent."""
    if isinstance(response.body, bytes):
        _report_usage(parse_json(response.body), report)
    else:
        response.body = _meter_stream(response.body, report)
    return response


async def _meter_stream(body: Stream, report: ReportUsage) -> Stream:
    decoder = EventDecoder()
    async with aclosing(body):
        async for piece in body:
            for data in decoder.feed(piece):
                _report_usage(parse_json(data), report)
            yield piece


def _report_usage(payload: Any, report: ReportUsage) -> None:
    if isinstance(payload, dict) and payload.get("usage"):
        report(usage_of(payload))
