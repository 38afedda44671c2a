"""The cost of a request, and the token usage in a response, streamed or whole."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import aclosing
from typing import Any

from langchain_cf_deepseek.local.cloudflare.prices import Usage, cost, usage_of
from langchain_cf_deepseek.local.deepseek.models import Model
from langchain_cf_deepseek.local.exchange import Answer, Call, Stream, parse_json
from langchain_cf_deepseek.local.http.events import EventSplitter, event_payload

ReportUsage = Callable[[Usage], None]


def price_call(call: Call, usage: Usage, models: Mapping[str, Model]) -> tuple[str, float, bool]:
    """Return the provider of a request, the US dollars, and whether the caller set the price."""
    model = models.get(call.model)
    resold = call.billed and model is not None and model.resold
    provider = "fireworks" if resold else call.provider
    served = model.served if model else call.model
    own = call.request.headers.get("cf-aig-custom-cost", "")
    return provider, *cost(provider, served, usage, own)


def with_metering(answer: Answer, report: ReportUsage) -> Answer:
    """Return a response whose token usage is reported; of a stream before the usage is sent."""
    if isinstance(answer.body, bytes):
        _report_usage(parse_json(answer.body), report)
    else:
        answer.body = _meter_stream(answer.body, report)
    return answer


async def _meter_stream(body: Stream, report: ReportUsage) -> Stream:
    splitter = EventSplitter()
    async with aclosing(body):
        async for piece in body:
            for event in splitter.feed(piece):
                _report_usage(event_payload(event), report)
            yield piece


def _report_usage(payload: Any, report: ReportUsage) -> None:
    if isinstance(payload, dict) and payload.get("usage"):
        report(usage_of(payload))
