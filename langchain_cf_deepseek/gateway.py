"""Cloudflare AI Gateway request options, and the gateway metadata in its response headers.

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


def _check_header_text(value: str) -> str:
    if not _PRINTABLE_ASCII.fullmatch(value) or value != value.strip():
        msg = "is sent in an HTTP header: use printable ASCII, without white space at its ends"
        raise ValueError(msg)
    return value


def _check_list_item(value: str) -> str:
    if "," in _check_header_text(value):
        msg = "must not contain a comma, which separates the entries of this header"
        raise ValueError(msg)
    return value


def _to_seconds(value: Any) -> Any:
    return value.total_seconds() if isinstance(value, timedelta) else value


def _check_metadata(value: Any) -> Any:
    """Reject what Cloudflare silently drops."""
    if not isinstance(value, Mapping):
        return value
    if len(value) > _MAX_METADATA:
        msg = f"has {len(value)} entries, but Cloudflare keeps only the first {_MAX_METADATA}"
        raise ValueError(msg)
    for key, entry in value.items():
        if str(key).startswith("cf."):
            msg = f"key {key!r} is reserved: Cloudflare drops keys that start with 'cf.'"
            raise ValueError(msg)
        if not isinstance(entry, str | int | float) or (
            isinstance(entry, float) and not math.isfinite(entry)
        ):
            msg = (
                f"entry {key!r} must be a string, a finite number or a boolean: for a single value "
                "of another type, Cloudflare drops all metadata"
            )
            raise ValueError(msg)
    return dict(value)


Metadata = Annotated[dict[str, str | int | float | bool], BeforeValidator(_check_metadata)]
"""Tags of a log entry: at most five; strings, numbers or booleans; no key with `cf.`."""

HeaderText = Annotated[str, Field(min_length=1), AfterValidator(_check_header_text)]


def _check_hex_id(value: str, digits: int) -> str:
    if not re.fullmatch(rf"[0-9a-fA-F]{{{digits}}}", value) or not value.strip("0"):
        msg = f"must be {digits} hexadecimal digits, not all of them 0"
        raise ValueError(msg)
    return value


_TraceId = Annotated[str, AfterValidator(partial(_check_hex_id, digits=32))]
_SpanId = Annotated[str, AfterValidator(partial(_check_hex_id, digits=16))]
_HeaderList = Annotated[list[Annotated[str, AfterValidator(_check_list_item)]], Field(min_length=1)]
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
    def _check_not_empty(self) -> Self:
        if not self.model_dump(exclude_none=True):
            msg = "has no price: set per_token_in and per_token_out, or total_cost"
            raise ValueError(msg)
        return self


class GatewayOptions(BaseModel):
    """Options of the gateway for a request.

    Every field is one `cf-aig-*` request header; without it the gateway's own setting applies. Set
    them on the model, with `with_gateway`, or per call: options of a call override those of
    `with_gateway`, which override those of the model; `metadata` is merged key by key.

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
    """Do not answer this request from the gateway's cache."""

    cache_ttl: Annotated[int, Field(ge=60, le=_MONTH), BeforeValidator(_to_seconds)] | None = None
    """How long the gateway caches the response: seconds or a `timedelta`, 60 s to 30 days."""

    cache_key: HeaderText | None = None
    """Replaces the key that the gateway computes from endpoint, credentials and body.

    Turns on caching for the request, for five minutes unless `cache_ttl` is set.
    """

    metadata: Metadata | None = None
    """Tags of the log entry: at most five; strings, numbers or booleans; no key with `cf.`."""

    collect_log: bool | None = None
    """Whether the gateway keeps a log entry at all."""

    collect_log_payload: bool | None = None
    """Whether the log entry holds the bodies of request and response."""

    custom_cost: CustomCost | None = None
    """A price of your own for the log entry's cost. Not documented for `unified` routing."""

    event_id: HeaderText | None = None
    """Your own trace id, returned as `event_id`; it links related log entries.

    Not documented for `unified` routing.
    """

    otel_trace_id: _TraceId | None = None
    """OpenTelemetry trace of the gateway's spans: 32 hexadecimal digits.

    Not documented for `unified` routing.
    https://developers.cloudflare.com/ai-gateway/observability/otel-integration/
    """

    otel_parent_span_id: _SpanId | None = None
    """OpenTelemetry span that is the parent of the gateway's spans: 16 hexadecimal digits.

    Not documented for `unified` routing.
    """

    request_timeout_ms: Annotated[int, Field(ge=1)] | None = None
    """How many milliseconds the gateway waits for the first byte of DeepSeek's response."""

    max_attempts: Annotated[int, Field(ge=1, le=5)] | None = None
    """How often the gateway tries a request in all, 1 to 5; if set, the client does not retry."""

    retry_delay_ms: Annotated[int, Field(ge=0, le=5000)] | None = None
    """Milliseconds between the gateway's attempts, at most 5000."""

    backoff: Literal["constant", "linear", "exponential"] | None = None
    """How the delay between the gateway's attempts grows."""

    byok_alias: HeaderText | None = None
    """Which of the DeepSeek keys stored in the gateway to use; ignored on `unified` routing."""

    no_wholesale: bool | None = None
    """Reject the request rather than pay for it with Cloudflare's Unified Billing."""

    zdr: bool | None = None
    """Zero data retention; has an effect only with Unified Billing."""

    allowed_models: _HeaderList | None = None
    """Auto Router: the models to choose from; `*` matches any name up to the next `/`."""

    allowed_providers: _HeaderList | None = None
    """Auto Router: the providers to choose from."""

    session_id: HeaderText | None = None
    """Auto Router: requests of one session are routed to one model."""

    turn_id: HeaderText | None = None
    """Auto Router: requests of one turn are routed to one model."""

    no_session_affinity: bool | None = None
    """Auto Router: choose a model for every request separately."""

    def __init__(self, **options: Any) -> None:
        construct(super().__init__, **options)

    @classmethod
    def of(cls, options: "GatewayOptions | Mapping[str, Any] | None") -> "GatewayOptions":
        """Return `options`, a dict of them checked and converted."""
        if isinstance(options, GatewayOptions):
            return options
        return _NO_OPTIONS if options is None else cls.model_validate(options)

    def merge(self, over: "GatewayOptions | Mapping[str, Any] | None") -> "GatewayOptions":
        """Return these options, overridden by those of `over`; metadata is merged key by key.

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
        """The request headers of the options."""
        return {
            _HEADER_OF.get(name, "cf-aig-" + name.replace("_", "-")): _header_value(value)
            for name, value in self
            # Cloudflare's own builders send `skip-cache` only when true; false is the default.
            if value not in (None, {}) and (name, value) != ("skip_cache", False)
        }


_NO_OPTIONS = GatewayOptions()

# The fields with a unit in their name; all others have the name of their header.
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
    # JSON has the form in which Cloudflare reads numbers and booleans, and escapes non-ASCII.
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
    """Return the gateway metadata in the headers of a response, as plain JSON values.

    Headers that were not sent are left out. Which of them the REST host sends for a named model is
    not documented, so none is required.
    """
    # One pass: each look-up in the HTTP library's headers would iterate over all of them.
    received = dict(headers.items())
    metadata: dict[str, Any] = {
        key: value for header, key in _METADATA_KEY.items() if (value := received.get(header))
    }
    if re.fullmatch(r"[0-9]{1,9}", metadata.get("step", "")):
        metadata["step"] = int(metadata["step"])
    if "dlp" in metadata:
        metadata["dlp"] = _json_or_text(metadata["dlp"])
    return metadata


def _json_or_text(text: str) -> Any:
    try:
        return json.loads(text, parse_constant=_reject_constant)
    except (ValueError, RecursionError):
        return text


def _reject_constant(name: str) -> None:
    msg = f"{name} is not JSON"
    raise ValueError(msg)
