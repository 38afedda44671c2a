"""What is said to Cloudflare AI Gateway in request headers, and what it says back in its own.

Header names and their meaning: https://developers.cloudflare.com/ai-gateway/glossary/
"""

import json
import math
import re
from collections.abc import Mapping
from datetime import timedelta
from functools import partial
from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, model_validator

from langchain_cf_deepseek._redaction import construct

_MONTH = 30 * 24 * 3600
_MAX_METADATA = 5
_PRINTABLE_ASCII = re.compile(r"[\x20-\x7e]+")


def _header_text(value: str) -> str:
    if not _PRINTABLE_ASCII.fullmatch(value) or value != value.strip():
        msg = "travels in an HTTP header: use printable ASCII, without white space at its ends"
        raise ValueError(msg)
    return value


def _list_item(value: str) -> str:
    if "," in _header_text(value):
        msg = "must not contain a comma, which separates the entries of this header"
        raise ValueError(msg)
    return value


def _seconds(value: Any) -> Any:
    return value.total_seconds() if isinstance(value, timedelta) else value


def _metadata(value: Any) -> Any:
    """Refuse what Cloudflare would drop without a word."""
    if not isinstance(value, Mapping):
        return value
    if len(value) > _MAX_METADATA:
        msg = f"holds {len(value)} entries, but Cloudflare keeps only the first {_MAX_METADATA}"
        raise ValueError(msg)
    for key, entry in value.items():
        if str(key).startswith("cf."):
            msg = f"key {key!r} is reserved: Cloudflare drops keys that start with 'cf.'"
            raise ValueError(msg)
        if not isinstance(entry, str | int | float) or (
            isinstance(entry, float) and not math.isfinite(entry)
        ):
            msg = (
                f"entry {key!r} must be a string, a finite number or a boolean: one value of "
                "another kind makes Cloudflare drop all metadata"
            )
            raise ValueError(msg)
    return dict(value)


Metadata = Annotated[dict[str, str | int | float | bool], BeforeValidator(_metadata)]
"""Tags of a log entry: at most five; strings, numbers or booleans; no key with `cf.`."""

HeaderText = Annotated[str, Field(min_length=1), AfterValidator(_header_text)]


def _hex_id(value: str, digits: int) -> str:
    if not re.fullmatch(rf"[0-9a-fA-F]{{{digits}}}", value) or not value.strip("0"):
        msg = f"must be {digits} hexadecimal digits, not all of them 0"
        raise ValueError(msg)
    return value


_TraceId = Annotated[str, AfterValidator(partial(_hex_id, digits=32))]
_SpanId = Annotated[str, AfterValidator(partial(_hex_id, digits=16))]
_HeaderList = Annotated[list[Annotated[str, AfterValidator(_list_item)]], Field(min_length=1)]
_Cost = Annotated[float, Field(ge=0, allow_inf_nan=False)]


class CustomCost(BaseModel):
    """A price of your own for the gateway's cost figures, in US dollars.

    https://developers.cloudflare.com/ai-gateway/configuration/custom-costs/
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    per_token_in: _Cost | None = None
    """Price of one prompt token."""

    per_token_out: _Cost | None = None
    """Price of one completion token."""

    per_cache_read_token: _Cost | None = None
    """Price of one prompt token read from the provider's prompt cache."""

    per_cache_write_token: _Cost | None = None
    """Price of one prompt token written to the provider's prompt cache."""

    total_cost: _Cost | None = None
    """Price of the whole request, instead of prices per token."""

    @model_validator(mode="after")
    def _names_a_price(self) -> Self:
        if not self.model_dump(exclude_none=True):
            msg = "names no price: set per_token_in and per_token_out, or total_cost"
            raise ValueError(msg)
        return self


class GatewayOptions(BaseModel):
    """What the gateway is asked to do with a request.

    Every field is one `cf-aig-*` request header; a field left out leaves the gateway's own setting
    in force. Given to the model, to `with_gateway`, or to one call; a call beats a copy made by
    `with_gateway`, which beats the model, and `metadata` is merged key by key.

    Example:
        ```python
        from langchain_cf_deepseek import ChatCloudflareDeepSeek, GatewayOptions

        options = GatewayOptions(cache_ttl=3600, metadata={"team": "search"})
        llm = ChatCloudflareDeepSeek(model="deepseek-flash", gateway=options)
        nightly = llm.with_gateway(metadata={"job": "nightly"})
        nightly.invoke("What is 6 * 7?", gateway={"skip_cache": True})
        print(nightly.gateway.headers)
        ```

        ```text
        {'cf-aig-cache-ttl': '3600', 'cf-aig-metadata': '{"team":"search","job":"nightly"}'}
        ```
    """

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)

    skip_cache: bool | None = None
    """Do not read this answer from the gateway's cache."""

    cache_ttl: Annotated[int, Field(ge=60, le=_MONTH), BeforeValidator(_seconds)] | None = None
    """How long the gateway keeps the answer: seconds or a `timedelta`, 60 s to 30 days."""

    cache_key: HeaderText | None = None
    """Replaces the key that the gateway computes from endpoint, credentials and body.

    Opts the request into caching, for five minutes unless `cache_ttl` says otherwise.
    """

    metadata: Metadata | None = None
    """Tags of the log entry: at most five; strings, numbers or booleans; no key with `cf.`."""

    collect_log: bool | None = None
    """Whether the gateway keeps a log entry at all."""

    collect_log_payload: bool | None = None
    """Whether the log entry holds the bodies of request and answer."""

    custom_cost: CustomCost | None = None
    """A price of your own for the log entry's cost. Not documented for `unified` routing."""

    event_id: HeaderText | None = None
    """Your own trace id; it comes back as `event_id` and ties related log entries together.

    Not documented for `unified` routing.
    """

    otel_trace_id: _TraceId | None = None
    """OpenTelemetry trace that the gateway's spans join: 32 hexadecimal digits.

    Not documented for `unified` routing.
    https://developers.cloudflare.com/ai-gateway/observability/otel-integration/
    """

    otel_parent_span_id: _SpanId | None = None
    """OpenTelemetry span that the gateway's spans are children of: 16 hexadecimal digits.

    Not documented for `unified` routing.
    """

    request_timeout_ms: Annotated[int, Field(ge=1)] | None = None
    """How many milliseconds the gateway waits for the first part of DeepSeek's answer."""

    max_attempts: Annotated[int, Field(ge=1, le=5)] | None = None
    """How often the gateway tries in all, 1 to 5; set, the client itself does not retry."""

    retry_delay_ms: Annotated[int, Field(ge=0, le=5000)] | None = None
    """Milliseconds between the gateway's attempts, at most 5000."""

    backoff: Literal["constant", "linear", "exponential"] | None = None
    """How the delay between the gateway's attempts grows."""

    byok_alias: HeaderText | None = None
    """Which of the DeepSeek keys stored in the gateway to use; ignored on `unified` routing."""

    no_wholesale: bool | None = None
    """Refuse the request rather than pay for it with Cloudflare's Unified Billing."""

    zdr: bool | None = None
    """Zero data retention; has an effect with Unified Billing only."""

    allowed_models: _HeaderList | None = None
    """Auto Router: the models to choose from; `*` stands for any name up to the next `/`."""

    allowed_providers: _HeaderList | None = None
    """Auto Router: the providers to choose from."""

    session_id: HeaderText | None = None
    """Auto Router: requests of one session stay with one model."""

    turn_id: HeaderText | None = None
    """Auto Router: requests of one turn stay with one model."""

    no_session_affinity: bool | None = None
    """Auto Router: choose anew for every request."""

    def __init__(self, **options: Any) -> None:
        construct(super().__init__, **options)

    @classmethod
    def of(cls, options: "GatewayOptions | Mapping[str, Any] | None") -> "GatewayOptions":
        """Return `options` checked, whichever of its forms it came in."""
        if isinstance(options, GatewayOptions):
            return options
        return _NO_OPTIONS if options is None else cls.model_validate(options)

    def merge(self, over: "GatewayOptions | Mapping[str, Any] | None") -> "GatewayOptions":
        """Return these options with those of `over` in front; metadata is merged key by key.

        Raises:
            pydantic.ValidationError: The merged options are not valid, for example because the
                metadata of both together has more than five entries.
        """
        over = GatewayOptions.of(over)
        if not over.model_fields_set:
            return self
        merged = self.model_dump(exclude_unset=True) | over.model_dump(exclude_unset=True)
        if self.metadata is not None and over.metadata is not None:
            merged["metadata"] = self.metadata | over.metadata
        return GatewayOptions.model_validate(merged)

    @property
    def headers(self) -> dict[str, str]:
        """The request headers that say all this."""
        return {
            _HEADER_OF.get(name, "cf-aig-" + name.replace("_", "-")): _header_value(value)
            for name, value in self
            # Cloudflare's own builders send `skip-cache` only when true; false is the default.
            if value not in (None, {}) and (name, value) != ("skip_cache", False)
        }


_NO_OPTIONS = GatewayOptions()

# The fields that carry their unit in their name. All others are called like their header.
_HEADER_OF = {
    "request_timeout_ms": "cf-aig-request-timeout",
    "retry_delay_ms": "cf-aig-retry-delay",
}


def _header_value(value: Any) -> str:
    if isinstance(value, list):
        return ",".join(value)
    if isinstance(value, BaseModel):
        value = value.model_dump(exclude_none=True)
    if isinstance(value, str):
        return value
    # JSON writes numbers and booleans as Cloudflare reads them, and escapes what is not ASCII.
    return json.dumps(value, separators=(",", ":"))


_METADATA_KEY = {
    "cf-aig-log-id": "log_id",
    "cf-aig-event-id": "event_id",
    "cf-aig-request-id": "request_id",
    "cf-aig-cache-status": "cache_status",
    "cf-aig-trace-id": "trace_id",
    "cf-aig-run-id": "run_id",
    "cf-aig-step": "step",
    "cf-aig-model": "model",
    "cf-aig-provider": "provider",
    "cf-aig-routed-model": "routed_model",
    "cf-aig-routing-reason": "routing_reason",
    "cf-aig-routing-decision-id": "routing_decision_id",
    "cf-aig-dlp": "dlp",
    "cf-ray": "ray",
}


def parse_gateway_headers(headers: Mapping[str, str]) -> dict[str, Any]:
    """Return what the gateway says of a request in its response headers, as plain JSON values.

    Headers that did not come are left out. Which of them the REST host sends for a named model is
    not documented, so none is relied on.
    """
    # Once through them all: a look-up in the HTTP library's headers goes through them, too.
    received = dict(headers.items())
    facts: dict[str, Any] = {
        fact: value for header, fact in _METADATA_KEY.items() if (value := received.get(header))
    }
    if re.fullmatch(r"[0-9]{1,9}", facts.get("step", "")):
        facts["step"] = int(facts["step"])
    if "dlp" in facts:
        facts["dlp"] = _json_or_text(facts["dlp"])
    return facts


def _json_or_text(text: str) -> Any:
    try:
        return json.loads(text, parse_constant=_refuse_constant)
    except (ValueError, RecursionError):
        return text


def _refuse_constant(name: str) -> None:
    msg = f"{name} is not JSON"
    raise ValueError(msg)
