"""Gateway options are checked and sent as headers, and gateway metadata is read back."""

import asyncio
import json
import math
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from langchain_core.messages import AIMessage
from langchain_core.runnables import ConfigurableField, Runnable
from pydantic import ValidationError

from langchain_cf_deepseek import CFDeepSeekInvalidRequestError, GatewayOptions
from langchain_cf_deepseek.gateway import parse_gateway_headers
from langchain_cf_deepseek.local import LocalGateway
from tests.conftest import Ask

# Each option: a value, its header, and the text of that header.
OPTIONS: dict[str, tuple[Any, str, str]] = {
    "skip_cache": (True, "cf-aig-skip-cache", "true"),
    "cache_ttl": (3600, "cf-aig-cache-ttl", "3600"),
    "cache_key": ("my key", "cf-aig-cache-key", "my key"),
    "metadata": (
        {"team": "search", "größe": "1 m", "run": 7, "rate": 0.5, "test": True},
        "cf-aig-metadata",
        r'{"team":"search","gr\u00f6\u00dfe":"1 m","run":7,"rate":0.5,"test":true}',
    ),
    "collect_log": (True, "cf-aig-collect-log", "true"),
    "collect_log_payload": (False, "cf-aig-collect-log-payload", "false"),
    "custom_cost": (
        {"per_token_in": 0.25, "per_token_out": 2, "per_cache_read_token": 0},
        "cf-aig-custom-cost",
        '{"per_token_in":0.25,"per_token_out":2.0,"per_cache_read_token":0.0}',
    ),
    "event_id": ("trace-1", "cf-aig-event-id", "trace-1"),
    "otel_trace_id": (
        "0af7651916cd43dd8448eb211c80319c",
        "cf-aig-otel-trace-id",
        "0af7651916cd43dd8448eb211c80319c",
    ),
    "otel_parent_span_id": ("b7ad6b7169203331", "cf-aig-otel-parent-span-id", "b7ad6b7169203331"),
    "request_timeout_ms": (30_000, "cf-aig-request-timeout", "30000"),
    "max_attempts": (5, "cf-aig-max-attempts", "5"),
    "retry_delay_ms": (5000, "cf-aig-retry-delay", "5000"),
    "backoff": ("exponential", "cf-aig-backoff", "exponential"),
    "byok_alias": ("production", "cf-aig-byok-alias", "production"),
    "no_wholesale": (True, "cf-aig-no-wholesale", "true"),
    "zdr": (False, "cf-aig-zdr", "false"),
    "allowed_models": (
        ["deepseek/*", "openai/gpt-5"],
        "cf-aig-allowed-models",
        "deepseek/*,openai/gpt-5",
    ),
    "allowed_providers": (
        ["deepseek", "workers-ai"],
        "cf-aig-allowed-providers",
        "deepseek,workers-ai",
    ),
    "session_id": ("session-1", "cf-aig-session-id", "session-1"),
    "turn_id": ("turn-1", "cf-aig-turn-id", "turn-1"),
    "no_session_affinity": (False, "cf-aig-no-session-affinity", "false"),
}

EVERY_OPTION = {option: value for option, (value, _, _) in OPTIONS.items()}
EVERY_HEADER = {header: text for _, header, text in OPTIONS.values()}


def _option_headers(gw: LocalGateway) -> list[dict[str, str]]:
    """Return the option headers of each request."""
    return [
        {
            name: text
            for name, text in request.headers.items()
            if name.startswith("cf-aig-") and name != "cf-aig-authorization"
        }
        for request in gw.requests
    ]


def _gateway_metadata(message: AIMessage) -> dict[str, Any]:
    facts: dict[str, Any] = message.response_metadata["cloudflare_gateway"]
    return facts


def _configured(gw: LocalGateway, options: Any) -> tuple[Runnable[Any, Any], dict[str, Any]]:
    configurable = gw.chat_model().configurable_fields(gateway=ConfigurableField(id="gateway"))
    return configurable.with_config(configurable={"gateway": options}), {}


# Each way to give options: the runnable, and the arguments of the call.
Way = Callable[[LocalGateway, dict[str, Any]], tuple[Any, dict[str, Any]]]
WAYS: dict[str, Way] = {
    "construction": lambda gw, options: (gw.chat_model(gateway=options), {}),
    "construction, as an object": lambda gw, options: (
        gw.chat_model(gateway=GatewayOptions(**options)),
        {},
    ),
    "with_gateway": lambda gw, options: (gw.chat_model().with_gateway(**options), {}),
    "bind": lambda gw, options: (gw.chat_model().bind(gateway=options), {}),
    "bind, as an object": lambda gw, options: (
        gw.chat_model().bind(gateway=GatewayOptions(**options)),
        {},
    ),
    "call": lambda gw, options: (gw.chat_model(), {"gateway": options}),
    "call, as an object": lambda gw, options: (
        gw.chat_model(),
        {"gateway": GatewayOptions(**options)},
    ),
    "configurable_fields": _configured,
    "configurable_fields, as an object": lambda gw, options: _configured(
        gw, GatewayOptions(**options)
    ),
}


def test_option_table_of_this_file_has_every_option() -> None:
    assert list(OPTIONS) == list(GatewayOptions.model_fields)


@pytest.mark.parametrize("way", WAYS)
def test_option_reaches_the_wire_however_it_is_given(gw: LocalGateway, ask: Ask, way: str) -> None:
    llm, call = WAYS[way](gw, EVERY_OPTION)
    ask(llm, "Hello", **call)
    assert _option_headers(gw) == [EVERY_HEADER]


@pytest.mark.parametrize("option", OPTIONS)
def test_option_is_sent_as_one_header(option: str) -> None:
    value, header, text = OPTIONS[option]
    assert GatewayOptions(**{option: value}).headers == {header: text}


def test_without_options_no_option_header_is_sent(gw: LocalGateway, ask: Ask) -> None:
    ask(gw.chat_model(), "Hello")
    ask(gw.chat_model(gateway=None), "Hello", gateway=None)
    ask(gw.chat_model(gateway={}).with_gateway(), "Hello", gateway={})
    ask(gw.chat_model(gateway=dict.fromkeys(OPTIONS)), "Hello", gateway=GatewayOptions())
    assert _option_headers(gw) == [{}] * 4


@pytest.mark.parametrize("path", ["batch", "abatch", "batch_as_completed", "abatch_as_completed"])
def test_option_reaches_the_wire_with_every_request_of_a_batch(gw: LocalGateway, path: str) -> None:
    llm = gw.chat_model(gateway={"event_id": "beaten by the call"})
    questions = ["one", "two", "three"]

    async def all_as_completed() -> None:
        async for _ in llm.abatch_as_completed(questions, gateway=EVERY_OPTION):
            pass

    if path == "batch":
        llm.batch(list(questions), gateway=EVERY_OPTION)
    elif path == "abatch":
        asyncio.run(llm.abatch(list(questions), gateway=EVERY_OPTION))
    elif path == "batch_as_completed":
        list(llm.batch_as_completed(questions, gateway=EVERY_OPTION))
    else:
        asyncio.run(all_as_completed())
    assert _option_headers(gw) == [EVERY_HEADER] * 3


def test_options_of_a_call_override_a_copy_and_the_model_and_metadata_is_merged(
    gw: LocalGateway, ask: Ask
) -> None:
    model = gw.chat_model(
        gateway={
            "cache_ttl": 60,
            "cache_key": "model",
            "event_id": "model",
            "metadata": {"team": "search", "stage": "test", "run": 1},
        }
    )
    copy = model.with_gateway(
        cache_key="copy", event_id="copy", metadata={"stage": "live", "job": "nightly"}
    )
    ask(copy, "Hello", gateway={"event_id": "call", "metadata": {"run": 2}})
    ask(copy, "Hello")
    ask(model, "Hello")
    assert _option_headers(gw) == [
        {
            "cf-aig-cache-ttl": "60",
            "cf-aig-cache-key": "copy",
            "cf-aig-event-id": "call",
            "cf-aig-metadata": '{"team":"search","stage":"live","run":2,"job":"nightly"}',
        },
        {
            "cf-aig-cache-ttl": "60",
            "cf-aig-cache-key": "copy",
            "cf-aig-event-id": "copy",
            "cf-aig-metadata": '{"team":"search","stage":"live","run":1,"job":"nightly"}',
        },
        {
            "cf-aig-cache-ttl": "60",
            "cf-aig-cache-key": "model",
            "cf-aig-event-id": "model",
            "cf-aig-metadata": '{"team":"search","stage":"test","run":1}',
        },
    ]


def test_metadata_without_entries_merges_to_no_change(gw: LocalGateway, ask: Ask) -> None:
    ask(gw.chat_model(gateway={"metadata": {"team": "search"}}), "Hello", gateway={"metadata": {}})
    ask(gw.chat_model(gateway={"metadata": {}}), "Hello")
    assert _option_headers(gw) == [{"cf-aig-metadata": '{"team":"search"}'}, {}]


def test_option_none_unsets_the_option(gw: LocalGateway, ask: Ask) -> None:
    llm = gw.chat_model(gateway=EVERY_OPTION)
    nothing = dict.fromkeys(OPTIONS)
    ask(llm, "Hello", gateway=nothing)
    ask(llm.with_gateway(**nothing), "Hello")
    ask(llm, "Hello", gateway=GatewayOptions(**nothing))
    ask(llm.with_gateway(**nothing), "Hello", gateway={"cache_ttl": 60})
    assert _option_headers(gw) == [{}, {}, {}, {"cf-aig-cache-ttl": "60"}]


def test_skip_cache_is_sent_only_when_true(gw: LocalGateway, ask: Ask) -> None:
    ask(gw.chat_model(gateway={"skip_cache": False}), "Hello")
    ask(gw.chat_model(gateway={"skip_cache": True}), "Hello", gateway={"skip_cache": False})
    assert _option_headers(gw) == [{}, {}]


def test_header_of_the_call_overrides_an_option_and_is_sent_once(
    gw: LocalGateway, ask: Ask
) -> None:
    llm = gw.chat_model(
        default_headers={"CF-AIG-Event-Id": "header of the model"},
        gateway={"cache_ttl": 60, "event_id": "option"},
    )
    ask(llm, "Hello", extra_headers={"CF-AIG-Cache-TTL": "120"})
    assert _option_headers(gw) == [{"cf-aig-cache-ttl": "120", "cf-aig-event-id": "option"}]


def test_options_copy_with_a_change_sends_the_change() -> None:
    options = GatewayOptions(cache_ttl=60)
    assert options.headers == {"cf-aig-cache-ttl": "60"}
    copy = options.model_copy(update={"cache_ttl": 120})
    assert copy.headers == {"cf-aig-cache-ttl": "120"}


@pytest.mark.parametrize(
    ("ttl", "text"),
    [
        (60, "60"),
        (timedelta(minutes=1), "60"),
        (timedelta(hours=1), "3600"),
        (timedelta(days=30), "2592000"),
        (30 * 24 * 3600, "2592000"),
    ],
)
def test_cache_ttl_is_seconds_or_a_timedelta(
    gw: LocalGateway, ask: Ask, ttl: int | timedelta, text: str
) -> None:
    ask(gw.chat_model(gateway={"cache_ttl": ttl}), "Hello")
    assert _option_headers(gw) == [{"cf-aig-cache-ttl": text}]


SIX = dict.fromkeys("abcdef", 1)

TOO_MANY = "Value error, has 6 entries, but Cloudflare keeps only the first 5"

NO_HEADER_TEXT = (
    "Value error, is sent in an HTTP header: use printable ASCII, without white space at its ends"
)


def _no_entry(key: str) -> str:
    return (
        f"Value error, entry {key!r} must be a string, a finite number or a boolean: for a single "
        "value of another type, Cloudflare drops all metadata"
    )


def _no_hex(digits: int) -> str:
    return f"Value error, must be {digits} hexadecimal digits, not all of them 0"


# Options that Cloudflare would drop, truncate or misread; the location and text of the error.
REFUSED: dict[str, tuple[dict[str, Any], tuple[str | int, ...], str]] = {
    "sixth entry": ({"metadata": SIX}, ("metadata",), TOO_MANY),
    "null": ({"metadata": {"team": None}}, ("metadata",), _no_entry("team")),
    "nested": ({"metadata": {"team": {"name": "x"}}}, ("metadata",), _no_entry("team")),
    "list": ({"metadata": {"team": ["x"]}}, ("metadata",), _no_entry("team")),
    "NaN": ({"metadata": {"rate": math.nan}}, ("metadata",), _no_entry("rate")),
    "infinity": ({"metadata": {"rate": -math.inf}}, ("metadata",), _no_entry("rate")),
    "reserved key": (
        {"metadata": {"cf.team": "x"}},
        ("metadata",),
        "Value error, key 'cf.team' is reserved: Cloudflare drops keys that start with 'cf.'",
    ),
    "key that is no string": (
        {"metadata": {7: "x"}},
        ("metadata", 7, "[key]"),
        "Input should be a valid string",
    ),
    "metadata that is no dict": (
        {"metadata": "team=search"},
        ("metadata",),
        "Input should be a valid dictionary",
    ),
    "TTL too short": (
        {"cache_ttl": 59},
        ("cache_ttl",),
        "Input should be greater than or equal to 60",
    ),
    "TTL too short, as a timedelta": (
        {"cache_ttl": timedelta(seconds=59)},
        ("cache_ttl",),
        "Input should be greater than or equal to 60",
    ),
    "TTL too long": (
        {"cache_ttl": 30 * 24 * 3600 + 1},
        ("cache_ttl",),
        "Input should be less than or equal to 2592000",
    ),
    "TTL too long, as a timedelta": (
        {"cache_ttl": timedelta(days=30, seconds=1)},
        ("cache_ttl",),
        "Input should be less than or equal to 2592000",
    ),
    "TTL with a fraction": (
        {"cache_ttl": 60.5},
        ("cache_ttl",),
        "Input should be a valid integer, got a number with a fractional part",
    ),
    "trace id too short": ({"otel_trace_id": "0af7"}, ("otel_trace_id",), _no_hex(32)),
    "trace id of other letters": ({"otel_trace_id": "g" * 32}, ("otel_trace_id",), _no_hex(32)),
    "trace id of zeros": ({"otel_trace_id": "0" * 32}, ("otel_trace_id",), _no_hex(32)),
    "span id too long": ({"otel_parent_span_id": "a" * 32}, ("otel_parent_span_id",), _no_hex(16)),
    "no attempt": (
        {"max_attempts": 0},
        ("max_attempts",),
        "Input should be greater than or equal to 1",
    ),
    "sixth attempt": (
        {"max_attempts": 6},
        ("max_attempts",),
        "Input should be less than or equal to 5",
    ),
    "delay too long": (
        {"retry_delay_ms": 5001},
        ("retry_delay_ms",),
        "Input should be less than or equal to 5000",
    ),
    "negative delay": (
        {"retry_delay_ms": -1},
        ("retry_delay_ms",),
        "Input should be greater than or equal to 0",
    ),
    "no time at all": (
        {"request_timeout_ms": 0},
        ("request_timeout_ms",),
        "Input should be greater than or equal to 1",
    ),
    "unknown backoff": (
        {"backoff": "cubic"},
        ("backoff",),
        "Input should be 'constant', 'linear' or 'exponential'",
    ),
    "negative price": (
        {"custom_cost": {"total_cost": -1}},
        ("custom_cost", "total_cost"),
        "Input should be greater than or equal to 0",
    ),
    "price that is no number": (
        {"custom_cost": {"total_cost": math.nan}},
        ("custom_cost", "total_cost"),
        "Input should be a finite number",
    ),
    "cost without a price": (
        {"custom_cost": {}},
        ("custom_cost",),
        "Value error, has no price: set per_token_in and per_token_out, or total_cost",
    ),
    "unknown option": ({"cash_ttl": 60}, ("cash_ttl",), "Extra inputs are not permitted"),
    "no model allowed": (
        {"allowed_models": []},
        ("allowed_models",),
        "List should have at least 1 item after validation, not 0",
    ),
    "two models in one entry": (
        {"allowed_models": ["a,b"]},
        ("allowed_models", 0),
        "Value error, must not contain a comma, which separates the entries of this header",
    ),
    "entry with a line end": (
        {"allowed_providers": ["a\r\nX-Evil: b"]},
        ("allowed_providers", 0),
        NO_HEADER_TEXT,
    ),
    "empty text": (
        {"cache_key": ""},
        ("cache_key",),
        "String should have at least 1 character",
    ),
    **{
        f"text with {what}": ({"cache_key": text}, ("cache_key",), NO_HEADER_TEXT)
        for what, text in {
            "CR LF": "a\r\nX-Evil: b",
            "LF": "a\nX-Evil: b",
            "LF at its end": "a\n",
            "NUL": "a\0b",
            "letters beyond ASCII": "größe",
            "a space at its end": "a ",
        }.items()
    },
    **{
        f"{option} with LF": ({option: "a\nb"}, (option,), NO_HEADER_TEXT)
        for option in ("event_id", "byok_alias", "session_id", "turn_id")
    },
}


def _validation_error(caught: pytest.ExceptionInfo[ValidationError]) -> tuple[Any, str]:
    (error,) = caught.value.errors()
    return error["loc"], error["msg"]


@pytest.mark.parametrize("case", REFUSED)
def test_invalid_option_is_rejected_before_sending_and_named(
    gw: LocalGateway, ask: Ask, case: str
) -> None:
    options, where, expected = REFUSED[case]
    with pytest.raises(CFDeepSeekInvalidRequestError) as caught:
        ask(gw.chat_model(), "Hello", gateway=options)
    error = caught.value
    field = ".".join(["gateway", *map(str, where)])
    message = expected.removeprefix("Value error, ")
    assert (error.message, error.origin) == (f"`{field}`: {message}.", "client")
    assert gw.requests == []


@pytest.mark.parametrize("case", REFUSED)
def test_invalid_option_is_rejected_by_a_model_and_its_copy(gw: LocalGateway, case: str) -> None:
    options, where, expected = REFUSED[case]
    with pytest.raises(ValidationError) as at_construction:
        gw.chat_model(gateway=options)
    with pytest.raises(ValidationError) as at_the_copy:
        gw.chat_model().with_gateway(**options)
    assert _validation_error(at_construction) == (("gateway", *where), expected)
    assert _validation_error(at_the_copy) == (where, expected)


def test_metadata_with_a_sixth_entry_after_merging_is_rejected(gw: LocalGateway, ask: Ask) -> None:
    llm = gw.chat_model(gateway={"metadata": {"a": 1, "b": 2, "c": 3}})
    more = {"c": 4, "d": 5, "e": 6, "f": 7}
    with pytest.raises(CFDeepSeekInvalidRequestError, match=r"`gateway\.metadata`: has 6"):
        ask(llm, "Hello", gateway={"metadata": more})
    with pytest.raises(ValidationError) as at_the_copy:
        llm.with_gateway(metadata=more)
    assert _validation_error(at_the_copy) == (("metadata",), TOO_MANY)
    assert gw.requests == []


def test_metadata_of_any_text_stays_in_its_header(gw: LocalGateway, ask: Ask) -> None:
    metadata = {"line\r\nX-Evil: a": "b\r\nX-Evil: c", "emoji": "🌊"}
    ask(gw.chat_model(), "Hello", gateway={"metadata": metadata})
    assert _option_headers(gw) == [
        {"cf-aig-metadata": (r'{"line\r\nX-Evil: a":"b\r\nX-Evil: c","emoji":"\ud83c\udf0a"}')}
    ]
    assert "x-evil" not in gw.requests[-1].headers


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("X-Team", "private\r\nX-Evil: b"),
        ("X-Team", "private\nX-Evil: b"),
        ("X-Team", "private größe"),
        ("X-Team\r\nX-Evil", "private"),
        ("X Team", "private"),
        ("", "private"),
    ],
)
def test_header_injection_in_a_call_is_rejected_before_sending(
    gw: LocalGateway, ask: Ask, name: str, value: str
) -> None:
    with pytest.raises(CFDeepSeekInvalidRequestError) as caught:
        ask(gw.chat_model(), "Hello", extra_headers={name: value})
    assert caught.value.message == (
        f"header {name!r}: names and values must be printable ASCII in one line, without white "
        "space at their ends."
    )
    assert gw.requests == []


BYOK_IGNORED = "routing 'unified' ignores the gateway option `byok_alias`."


def test_byok_alias_on_unified_routing_warns_once(gw: LocalGateway, ask: Ask) -> None:
    llm = gw.chat_model(routing="unified")
    with pytest.warns(UserWarning, match="byok_alias") as caught:
        ask(llm, "Hello", gateway={"byok_alias": "production"})
    assert [str(warning.message) for warning in caught] == [BYOK_IGNORED]
    # Warnings are errors in tests: a second one would fail these.
    ask(llm, "Hello", gateway={"byok_alias": "production"})
    ask(llm.with_gateway(byok_alias="other"), "Hello")


@pytest.mark.parametrize("routing", ["provider-native", "compat"])
def test_byok_alias_on_other_routings_does_not_warn(
    gw: LocalGateway, ask: Ask, routing: Any
) -> None:
    ask(gw.chat_model(routing=routing, gateway={"byok_alias": "production"}), "Hello")
    assert _option_headers(gw) == [{"cf-aig-byok-alias": "production"}]


def test_byok_alias_unset_on_unified_routing_does_not_warn(gw: LocalGateway, ask: Ask) -> None:
    llm = gw.chat_model(routing="unified", gateway={"byok_alias": "production"})
    ask(llm, "Hello", gateway={"byok_alias": None})
    assert _option_headers(gw) == [{"cf-aig-gateway-id": "local"}]


@pytest.mark.parametrize("routing", ["provider-native", "unified", "compat"])
def test_cache_ttl_serves_the_second_response_from_the_gateways_cache(
    gw: LocalGateway, ask: Ask, routing: Any
) -> None:
    llm = gw.chat_model(routing=routing, gateway={"cache_ttl": 60})
    first, second = ask(llm, "Hello"), ask(llm, "Hello")
    assert [_gateway_metadata(message)["cache_status"] for message in (first, second)] == [
        "MISS",
        "HIT",
    ]
    assert gw.upstream_calls == 1
    assert (second.content, second.additional_kwargs, second.usage_metadata) == (
        first.content,
        first.additional_kwargs,
        first.usage_metadata,
    )


def test_cache_ttl_absent_means_nothing_is_cached(gw: LocalGateway, ask: Ask) -> None:
    statuses = [_gateway_metadata(ask(gw.chat_model(), "Hello"))["cache_status"] for _ in range(2)]
    assert (statuses, gw.upstream_calls) == (["MISS", "MISS"], 2)


def test_skip_cache_bypasses_a_cached_response(gw: LocalGateway, ask: Ask) -> None:
    llm = gw.chat_model(gateway={"cache_ttl": 60})
    ask(llm, "Hello")
    fresh = ask(llm, "Hello", gateway={"skip_cache": True})
    assert (_gateway_metadata(fresh)["cache_status"], gw.upstream_calls) == ("MISS", 2)
    assert _gateway_metadata(ask(llm, "Hello"))["cache_status"] == "HIT"
    assert gw.upstream_calls == 2


def test_cache_key_joins_requests_with_different_bodies(gw: LocalGateway, ask: Ask) -> None:
    llm = gw.chat_model(gateway={"cache_key": "greeting"})
    answers = [ask(llm, "Hello"), ask(llm, "Good morning")]
    assert [_gateway_metadata(message)["cache_status"] for message in answers] == ["MISS", "HIT"]
    assert answers[0].content == answers[1].content
    assert gw.upstream_calls == 1
    other = ask(llm, "Good morning", gateway={"cache_key": "other"})
    assert (_gateway_metadata(other)["cache_status"], gw.upstream_calls) == ("MISS", 2)


def test_event_id_is_returned_in_the_gateway_metadata(gw: LocalGateway, ask: Ask) -> None:
    facts = _gateway_metadata(ask(gw.chat_model(), "Hello", gateway={"event_id": "trace-7"}))
    assert facts == {
        "log_id": facts["log_id"],
        "event_id": "trace-7",
        "request_id": facts["log_id"],
        "cache_status": "MISS",
        "step": 0,
        "ray": facts["ray"],
    }


def test_log_id_is_returned_even_if_no_log_is_kept(gw: LocalGateway, ask: Ask) -> None:
    facts = _gateway_metadata(ask(gw.chat_model(), "Hello", gateway={"collect_log": False}))
    assert facts.keys() == {"log_id", "event_id", "request_id", "cache_status", "step", "ray"}


DLP = {"findings": [{"profile": {"profile_id": "p"}, "check": "REQUEST"}], "action": "FLAG"}

EVERY_FACT = {
    "cf-aig-log-id": "log",
    "cf-aig-event-id": "event",
    "cf-aig-request-id": "request",
    "cf-aig-cache-status": "HIT",
    "cf-aig-trace-id": "trace",
    "cf-aig-run-id": "run",
    "cf-aig-step": "1",
    "cf-aig-model": "deepseek-flash",
    "cf-aig-provider": "deepseek",
    "cf-aig-routed-model": "@cf/deepseek-ai/deepseek-v4-pro",
    "cf-aig-routing-reason": "pinned_by_turn",
    "cf-aig-routing-decision-id": "decision",
    "cf-aig-dlp": json.dumps(DLP),
    "cf-ray": "ray",
}

FACTS = {
    "log_id": "log",
    "event_id": "event",
    "request_id": "request",
    "cache_status": "HIT",
    "trace_id": "trace",
    "run_id": "run",
    "step": 1,
    "model": "deepseek-flash",
    "provider": "deepseek",
    "routed_model": "@cf/deepseek-ai/deepseek-v4-pro",
    "routing_reason": "pinned_by_turn",
    "routing_decision_id": "decision",
    "dlp": DLP,
    "ray": "ray",
}


def test_gateway_headers_are_all_read_on_every_path(gw: LocalGateway, ask: Ask) -> None:
    gw.fault(headers=EVERY_FACT)
    assert _gateway_metadata(ask(gw.chat_model(), "Hello")) == FACTS


def test_gateway_metadata_omits_missing_headers() -> None:
    assert parse_gateway_headers({}) == {}
    assert (
        parse_gateway_headers({"content-type": "application/json", "cf-aig-cache-status": ""}) == {}
    )
    assert [parse_gateway_headers({header: text}) for header, text in EVERY_FACT.items()] == [
        {fact: value} for fact, value in FACTS.items()
    ]


@pytest.mark.parametrize(
    ("header", "text", "facts"),
    [
        ("cf-aig-step", "0", {"step": 0}),
        ("cf-aig-step", "12", {"step": 12}),
        ("cf-aig-step", "first", {"step": "first"}),
        ("cf-aig-step", "-1", {"step": "-1"}),
        ("cf-aig-step", "²", {"step": "²"}),
        ("cf-aig-step", "9" * 5000, {"step": "9" * 5000}),
        ("cf-aig-dlp", '{"findings":', {"dlp": '{"findings":'}),
        ("cf-aig-dlp", "flagged", {"dlp": "flagged"}),
        ("cf-aig-dlp", '{"score":NaN}', {"dlp": '{"score":NaN}'}),
        ("cf-aig-dlp", "[" * 50_000, {"dlp": "[" * 50_000}),
    ],
)
def test_gateway_header_that_cannot_be_parsed_stays_text(
    header: str, text: str, facts: dict[str, Any]
) -> None:
    assert parse_gateway_headers({header: text}) == facts
