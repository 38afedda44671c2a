"""The logs API, through Cloudflare's own Python SDK, sync and async."""

import asyncio
import json
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import cloudflare
import httpx
import pytest

from langchain_cf_deepseek import CFDeepSeekIncompleteStreamError
from langchain_cf_deepseek.local import (
    DlpProfile,
    Fault,
    Guardrails,
    LocalGateway,
    Route,
    Routing,
    Rules,
    ToolCall,
)
from langchain_cf_deepseek.local.cloudflare.prices import PRICES
from langchain_cf_deepseek.local.request_log import entries, store
from tests.local_gateway.conftest import QUESTION, Caller, chunks

HOUR = {"cf-aig-cache-ttl": "3600"}
WEATHER = {"name": "get_weather", "parameters": {"type": "object"}}
TOOLS = [{"type": "function", "function": WEATHER}]


class SDK:
    """The SDK's methods for logs, with the ids of one gateway."""

    def __init__(self, gateway: LocalGateway, *, is_async: bool = False) -> None:
        self.is_async = is_async
        self.base_url = f"{gateway.url}/client/v4"
        self.token = gateway.cloudflare_api_token
        self.ids = {"account_id": gateway.account_id, "gateway_id": gateway.gateway_id}

    def __call__(self, method: str, *args: Any, **kwargs: Any) -> Any:
        arguments = {**self.ids, **kwargs}
        if self.is_async:
            return asyncio.run(self._ask_async(method, *args, **arguments))
        with cloudflare.Cloudflare(
            api_token=self.token, base_url=self.base_url, max_retries=0
        ) as client:
            answer = getattr(client.ai_gateway.logs, method)(*args, **arguments)
            return list(answer) if method == "list" else answer

    async def _ask_async(self, method: str, *args: Any, **arguments: Any) -> Any:
        async with cloudflare.AsyncCloudflare(
            api_token=self.token, base_url=self.base_url, max_retries=0
        ) as client:
            asked = getattr(client.ai_gateway.logs, method)(*args, **arguments)
            return [row async for row in asked] if method == "list" else await asked

    def ids_of(self, **query: Any) -> list[str]:
        return [row.id for row in self("list", **query)]

    def refusal(self, *args: Any, **kwargs: Any) -> tuple[int, list[tuple[int, str]]]:
        with pytest.raises(cloudflare.APIStatusError) as caught:
            self(*args, **kwargs)
        faults = json.loads(caught.value.response.content)["errors"]
        return caught.value.status_code, [(fault["code"], fault["message"]) for fault in faults]


@pytest.fixture(params=["sync", "async"])
def sdk(gw: LocalGateway, request: pytest.FixtureRequest) -> SDK:
    return SDK(gw, is_async=request.param == "async")


@pytest.fixture
def one(gw: LocalGateway) -> SDK:
    """The sync SDK only, for tests of the gateway itself."""
    return SDK(gw)


def log_id(response: httpx.Response) -> str:
    return response.headers["cf-aig-log-id"]


def fields_of(entry: Any, *names: str) -> dict[str, Any]:
    return {name: getattr(entry, name) for name in names}


def test_a_call_is_logged_with_every_field_of_the_sdk(ask: Caller, sdk: SDK) -> None:
    ask.gateway.reply(content="Rayleigh scattering.", cached_tokens=10)
    before = datetime.now(UTC)
    answer = ask.post(
        headers={
            "cf-aig-metadata": '{"team":"search","try":2,"eval":true}',
            "cf-aig-event-id": "mine",
            "user-agent": "a test",
        },
        thinking={"type": "disabled"},
    )
    entry = sdk("get", log_id(answer))
    assert before - timedelta(seconds=1) < entry.created_at < datetime.now(UTC)
    assert 0 <= entry.duration < 60_000
    usage = answer.json()["usage"]
    sent = {
        "model": "deepseek-flash",
        "messages": [QUESTION],
        "thinking": {"type": "disabled"},
    }
    # The SDK types the metadata as a string; Cloudflare sends an object.
    assert entry.to_dict(mode="python", warnings=False) == {
        "id": log_id(answer),
        "created_at": entry.created_at,
        "duration": entry.duration,
        "event_id": "mine",
        "path": "chat/completions",
        "step": 0,
        "provider": "deepseek",
        "model": "deepseek-flash",
        "model_type": None,
        "success": True,
        "status_code": 200,
        "cached": False,
        "tokens_in": usage["prompt_tokens"],
        "tokens_out": usage["completion_tokens"],
        "cost": pytest.approx(
            (10 * 0.003 + (usage["prompt_tokens"] - 10) * 0.15 + usage["completion_tokens"] * 0.60)
            / 1_000_000
        ),
        "custom_cost": False,
        "metadata": {"team": "search", "try": 2, "eval": True},
        "feedback": None,
        "score": None,
        "request_type": None,
        "request_content_type": "application/json",
        "request_size": len(json.dumps(sent, separators=(",", ":"))),
        "request_head": json.dumps(sent, separators=(",", ":")),
        "request_head_complete": True,
        "response_content_type": "application/json",
        "response_size": len(answer.content),
        "response_head": answer.text,
        "response_head_complete": True,
        "user_agent": "a test",
        "authentication": True,
        "wholesale": False,
        "compatibilityMode": False,
        "dlp_action": None,
    }
    assert sdk("request", log_id(answer)) == sent
    assert sdk("response", log_id(answer)) == answer.json()


@pytest.mark.parametrize(
    ("routing", "model", "expected"),
    [
        ("provider-native", "deepseek-v4-pro", ("deepseek", "deepseek-v4-pro", False)),
        ("provider-native", "deepseek-chat", ("deepseek", "deepseek-chat", False)),
        ("compat", "deepseek/deepseek-flash", ("deepseek", "deepseek-flash", False)),
        ("compat", "dynamic/support", ("deepseek", "deepseek-flash", False)),
        ("compat", "custom-mine/some-model", ("custom-mine", "some-model", False)),
        ("compat", "@cf/deepseek-ai/x", ("workers-ai", "@cf/deepseek-ai/x", False)),
        ("unified", "deepseek/deepseek-flash", ("deepseek", "deepseek-flash", True)),
        ("unified", "deepseek/deepseek-v4-pro", ("fireworks", "deepseek-v4-pro", True)),
    ],
)
def test_an_entry_has_the_provider_and_its_price(
    ask: Caller, one: SDK, routing: Routing, model: str, expected: tuple[str, str, bool]
) -> None:
    body = {"model": model, "messages": [QUESTION]}
    answer = ask.post(body, routing=routing, headers={"cf-aig-gateway-id": "local"})
    entry = one("get", log_id(answer))
    assert (entry.provider, entry.model, entry.wholesale) == expected
    served = "deepseek-flash" if entry.model == "deepseek-chat" else entry.model
    price = PRICES.get((entry.provider, served))
    if price is None:
        assert entry.cost == 0
    else:
        dollars = entry.tokens_in * price.prompt + entry.tokens_out * price.completion
        assert entry.cost == pytest.approx(dollars / 1_000_000)


@pytest.mark.parametrize(
    ("own", "dollars"),
    [
        ({"total_cost": 0.25}, lambda _: 0.25),
        (
            {"per_token_in": 0.001, "per_token_out": 0.01},
            lambda usage: usage["prompt_tokens"] * 0.001 + usage["completion_tokens"] * 0.01,
        ),
        (
            {"per_token_in": 0.001, "per_cache_read_token": 0.0001},
            lambda usage: (usage["prompt_tokens"] - 10) * 0.001 + 10 * 0.0001,
        ),
    ],
)
def test_a_callers_own_prices_replace_the_price_list(
    ask: Caller, one: SDK, own: dict[str, float], dollars: Callable[[dict[str, int]], float]
) -> None:
    ask.gateway.reply(content="x", cached_tokens=10)
    answer = ask.post(headers={"cf-aig-custom-cost": json.dumps(own)})
    entry = one("get", log_id(answer))
    assert entry.custom_cost is True
    assert entry.cost == pytest.approx(dollars(answer.json()["usage"]))


@pytest.mark.parametrize("own", ["", "free", "[]", '{"total_cost":"much"}'])
def test_malformed_prices_are_ignored(ask: Caller, one: SDK, own: str) -> None:
    entry = one("get", log_id(ask.post(headers={"cf-aig-custom-cost": own})))
    assert entry.custom_cost is False
    assert entry.cost > 0


@pytest.mark.parametrize(
    ("sent", "kept"),
    [
        ('{"a":1,"b":"x","c":true,"d":1.5,"e":2,"f":3}', ["a", "b", "c", "d", "e"]),
        ('{"a":1,"cf.user":2}', ["a"]),
        ('{"a":1,"b":null}', []),
        ('{"a":1,"b":{"c":2}}', []),
        ('["a"]', []),
        ("a=1", []),
    ],
)
def test_metadata_is_parsed_by_cloudflares_rules(
    ask: Caller, one: SDK, sent: str, kept: list[str]
) -> None:
    entry = one("get", log_id(ask.post(headers={"cf-aig-metadata": sent})))
    assert list(entry.metadata) == kept


def test_refused_calls_are_logged_too_and_cost_nothing(ask: Caller, sdk: SDK) -> None:
    refused = [
        ask.post(temperature=9),
        ask.post(headers={"authorization": "Bearer wrong-key"}),
        ask.post({"model": "nobody/x"}, routing="compat"),
        ask.post(
            {"model": "deepseek/deepseek-chat", "messages": [QUESTION]},
            routing="unified",
            headers={"cf-aig-gateway-id": "local"},
        ),
    ]
    names = ("status_code", "success", "cost", "tokens_in", "tokens_out", "provider", "model")
    expected = [
        (400, "deepseek", "deepseek-flash"),
        (401, "deepseek", "deepseek-flash"),
        (400, "nobody", "nobody/x"),
        (402, "deepseek", "deepseek-chat"),
    ]
    for answer, (status, provider, model) in zip(refused, expected, strict=True):
        assert answer.status_code == status
        logged = fields_of(sdk("get", log_id(answer)), *names)
        values = (status, False, 0, 0, 0, provider, model)
        assert logged == dict(zip(names, values, strict=True))
        assert sdk("response", log_id(answer)) == answer.json()


def test_a_response_from_the_cache_is_logged_and_costs_nothing(ask: Caller, one: SDK) -> None:
    first, second = (ask.post(headers=HOUR) for _ in range(2))
    names = ("cached", "success", "cost", "tokens_in")
    bought = one("get", log_id(first))
    assert (bought.cached, bought.cost > 0, bought.tokens_in > 0) == (False, True, True)
    found = fields_of(one("get", log_id(second)), *names)
    assert found == {"cached": True, "success": True, "cost": 0, "tokens_in": 0}
    assert one("response", log_id(second)) == first.json()


def test_a_call_without_logging_has_no_entry(ask: Caller, one: SDK) -> None:
    answer = ask.post(headers={"cf-aig-collect-log": "false"})
    assert "cf-aig-log-id" in answer.headers
    assert one("list") == []


def test_a_log_without_its_bodies_has_everything_else(ask: Caller, sdk: SDK) -> None:
    answer = ask.post(headers={"cf-aig-collect-log-payload": "false"})
    entry = sdk("get", log_id(answer))
    assert entry.tokens_in == answer.json()["usage"]["prompt_tokens"]
    assert (entry.request_head, entry.request_size, entry.request_head_complete) == (None, 0, False)
    assert sdk.refusal("request", log_id(answer)) == (404, [(7002, "Request not found")])
    assert sdk.refusal("response", log_id(answer)) == (404, [(7002, "Response not found")])


def test_an_entry_has_the_start_of_a_long_body(ask: Caller, one: SDK) -> None:
    answer = ask.post(messages=[{"role": "user", "content": "x" * 9000}])
    entry = one("get", log_id(answer))
    assert entry.request_head == answer.request.content.decode()[:4096]
    assert (entry.request_size, entry.request_head_complete) == (len(answer.request.content), False)


def test_the_unified_endpoint_logs_calls_without_sending_the_id() -> None:
    with LocalGateway(unified_headers=False) as gateway:
        llm = gateway.chat_model(routing="unified", gateway_id=None, gateway={"event_id": "mine"})
        assert "log_id" not in llm.invoke("Hi").response_metadata["cloudflare_gateway"]
        sdk = SDK(gateway)
        assert sdk("list") == []
        assert [row.event_id for row in sdk("list", gateway_id="default")] == ["mine"]


def calls_of(answer: dict[str, Any]) -> list[dict[str, Any]]:
    called: list[dict[str, Any]] = answer["choices"][0]["message"]["tool_calls"]
    return called


@pytest.mark.parametrize("routing", ["provider-native", "unified", "compat"])
def test_a_stream_is_logged_as_an_assembled_completion(
    ask: Caller, one: SDK, routing: Routing
) -> None:
    calls = [ToolCall("get_weather", {"city": "Rome"}), ToolCall("get_weather", {"city": "Oslo"})]
    for _ in range(2):
        ask.gateway.reply(content="Let me see.", reasoning="Two cities.", tool_calls=calls)
    headers = {"cf-aig-gateway-id": "local"}
    whole = ask.post(routing=routing, headers=headers, tools=TOOLS).json()
    streamed = ask.post(routing=routing, headers=headers, tools=TOOLS, stream=True)
    stored = one("response", log_id(streamed))
    first = chunks(streamed.text)[0]
    asked = zip(*(calls_of(answer) for answer in (whole, stored)), strict=True)
    for call, stored_call in asked:
        assert stored_call == {**call, "id": stored_call["id"]}
    whole["choices"][0]["message"]["tool_calls"] = calls_of(stored)
    del whole["choices"][0]["logprobs"]
    whole.pop("gatewayMetadata", None)
    assert stored == {**whole, "id": first["id"], "created": first["created"]}
    entry = one("get", log_id(streamed))
    assert entry.response_content_type == "text/event-stream"
    assert entry.tokens_out == whole["usage"]["completion_tokens"]
    assert entry.cost > 0


@pytest.mark.parametrize(
    ("fault", "text"),
    [
        (Fault(then="cut", after_chunks=3), "one two"),
        (Fault(then="reset", after_chunks=3), "one two"),
        (Fault(then="bad_json", after_chunks=2), "one three"),
    ],
)
def test_a_broken_stream_is_logged_as_far_as_received(
    gw: LocalGateway, one: SDK, fault: Fault, text: str
) -> None:
    gw.reply(content="one two three")
    gw.fault(fault)
    llm = gw.chat_model(thinking="disabled")
    with pytest.raises(CFDeepSeekIncompleteStreamError) as caught:
        list(llm.stream("Count."))
    stored = one("response", caught.value.gateway["log_id"])
    assert stored["choices"][0]["message"] == {"role": "assistant", "content": text}


def test_an_abandoned_stream_is_logged(ask: Caller, one: SDK) -> None:
    ask.gateway.fault(then="stall", after_chunks=2, seconds=60)
    sent = {"model": "deepseek-flash", "messages": [QUESTION], "stream": True}
    url = f"{ask.gateway.base_url()}/chat/completions"
    headers = ask.headers("provider-native")
    with ask.http.stream("POST", url, json=sent, headers=headers) as answer:
        pieces = answer.iter_bytes()
        assert next(pieces).startswith(b"data: ")
        assert one.refusal("get", log_id(answer)) == (404, [(7002, "Log not found")])
    for _ in range(200):
        if one("list"):
            break
        time.sleep(0.01)
    assert one("response", log_id(answer))["object"] == "chat.completion"


def test_a_stream_of_other_events_is_stored_unchanged(ask: Caller, one: SDK) -> None:
    for text in ("data: [1]\n\n", 'data: {"choices":[null]}\n\n', "data: 1\n\ndata: {\n\n"):
        ask.gateway.fault(body=text, content_type="text/event-stream")
        answer = ask.post(stream=True)
        assert one("response", log_id(answer)) == text
    ask.gateway.fault(
        body='data: {"error":{"message":"busy"}}\n\n', content_type="text/event-stream"
    )
    answer = ask.post(stream=True)
    assert one("response", log_id(answer)) == {"error": {"message": "busy"}}
    ask.gateway.fault(body={"usage": {"prompt_tokens": "many", "prompt_tokens_details": 3}})
    assert one("get", log_id(ask.post())).tokens_in == 0


@pytest.fixture
def five(ask: Caller) -> list[str]:
    """Five calls of different kinds; their log ids, the oldest first."""
    answers = [
        ask.post(headers=HOUR | {"cf-aig-metadata": '{"team":"search","eval":true}'}),
        ask.post(headers=HOUR),
        ask.post(temperature=9),
        ask.post(routing="compat", headers={"cf-aig-event-id": "an event"}),
        ask.post(
            {"model": "deepseek-v4-pro", "messages": [QUESTION, QUESTION, QUESTION]},
            headers={"cf-aig-custom-cost": '{"total_cost":2}', "user-agent": "a browser"},
        ),
    ]
    return [log_id(answer) for answer in answers]


def condition(key: str, operator: str, *values: Any) -> dict[str, Any]:
    return {"key": key, "operator": operator, "value": list(values)}


@pytest.mark.parametrize(
    ("filters", "found"),
    [
        ([condition("model", "eq", "deepseek-v4-pro")], [4]),
        ([condition("model", "eq", "deepseek-v4-pro", "deepseek-flash")], [0, 1, 2, 3, 4]),
        ([condition("model", "neq", "deepseek-v4-pro")], [0, 1, 2, 3]),
        ([condition("model", "contains", "PRO")], [4]),
        ([condition("cached", "eq", True)], [1]),
        ([condition("success", "neq", True)], [2]),
        ([condition("metadata.key", "eq", "team")], [0]),
        ([condition("metadata.value", "eq", "true")], [0]),
        ([condition("metadata.key", "neq", "team")], [1, 2, 3, 4]),
        ([condition("event_id", "eq", "an event")], [3]),
        ([{"value": ["an event"], "operator": "eq", "key": "event_id"}], [3]),
        ([condition("provider", "eq", "deepseek"), condition("success", "eq", False)], [2]),
    ],
)
def test_filters_select_their_logs_in_either_form(
    five: list[str], sdk: SDK, filters: list[dict[str, Any]], found: list[int]
) -> None:
    expected = [five[number] for number in found]
    assert sdk.ids_of(filters=filters, order_by_direction="asc") == expected
    as_json = {"filters": json.dumps(filters)}
    assert sdk.ids_of(extra_query=as_json, direction="asc") == expected


def test_a_log_is_found_by_its_id(five: list[str], sdk: SDK) -> None:
    assert sdk.ids_of(filters=[condition("id", "eq", five[2])]) == [five[2]]


def test_filters_of_several_values_are_sent_as_json(five: list[str], one: SDK) -> None:
    filters = [condition("cached", "eq", False), condition("model", "eq", "deepseek-v4-pro", "x")]
    status, [(code, message)] = one.refusal("list", filters=filters)
    assert (status, code) == (400, 7001)
    assert message.endswith("or a JSON array of filters in `filters`")
    assert one.ids_of(extra_query={"filters": json.dumps(filters)}) == [five[4]]


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ({"success": False}, [2]),
        ({"cached": True}, [1]),
        ({"model": "deepseek-v4-pro"}, [4]),
        ({"provider": "workers-ai"}, []),
        ({"meta_info": True, "success": False}, [2]),
    ],
)
def test_plain_parameters_select_their_logs(
    five: list[str], sdk: SDK, query: dict[str, Any], found: list[int]
) -> None:
    assert sdk.ids_of(**query) == [five[number] for number in found]


def test_logs_are_listed_by_page_the_newest_first(five: list[str], sdk: SDK) -> None:
    assert sdk.ids_of() == five[::-1]
    assert sdk.ids_of(per_page=2) == five[::-1]
    ids: dict[str, Any] = sdk.ids
    with cloudflare.Cloudflare(api_token=sdk.token, base_url=sdk.base_url) as client:
        page = client.ai_gateway.logs.list(per_page=2, page=3, **ids)
    assert [row.id for row in page.result] == five[:1]
    assert page.result_info is not None
    assert page.result_info.to_dict() == {
        "page": 3,
        "per_page": 2,
        "count": 1,
        "total_count": 5,
    }


@pytest.mark.parametrize(
    ("order", "first"), [("model", 4), ("success", 4), ("cached", 1), ("created_at", 4)]
)
def test_logs_are_listed_in_the_requested_order(
    five: list[str], one: SDK, order: str, first: int
) -> None:
    down = one.ids_of(order_by=order)
    assert down[0] == five[first]
    assert one.ids_of(order_by=order, order_by_direction="asc") == down[::-1]


@pytest.mark.parametrize(
    ("query", "message"),
    [
        ({"order_by": "cost"}, "Expected 'created_at' |"),
        ({"order_by_direction": "up"}, "Expected 'asc' | 'desc', received 'up'"),
        ({"success": "yes"}, "Expected 'true' | 'false', received 'yes'"),
        ({"min_cost": 1, "success": True}, "min_cost: the local gateway does not support this"),
        ({"search": "x"}, "search: the local gateway does not support this"),
        ({"per_page": 100}, "per_page: expected a whole number, at least 1 and at most 50"),
        ({"page": 0}, "page: expected a whole number, at least 1"),
        ({"page": 1.5}, "page: expected a whole number, at least 1"),
        ({"filters": [condition("price", "eq", 1)]}, "received 'price'"),
        ({"filters": [condition("model", "is", 1)]}, "Expected 'eq' | 'neq' |"),
        ({"filters": [condition("cached", "eq", "no")]}, "received 'no'"),
        ({"filters": [condition("cached", "eq")]}, "filters: expected an array of values"),
        ({"filters": [{"operator": "eq"}]}, "filters: expected a key and an operator in each"),
        ({"extra_query": {"filters": '[{"key":"model"}]'}}, "received None"),
        ({"extra_query": {"filters": "{}"}}, "filters: expected an array of objects"),
        (
            {"extra_query": {"filters": '[{"key":"model","operator":"eq","value":1}]'}},
            "filters: expected an array of values",
        ),
    ],
)
def test_invalid_parameters_are_refused(sdk: SDK, query: dict[str, Any], message: str) -> None:
    status, [(code, received)] = sdk.refusal("list", **query)
    assert (status, code) == (400, 7001)
    assert message in received


def test_feedback_changes_only_its_fields(ask: Caller, sdk: SDK) -> None:
    tagged = ask.post(headers={"cf-aig-metadata": '{"team":"search"}'})
    names = ("feedback", "score", "metadata")
    changes: list[tuple[dict[str, Any], tuple[Any, ...]]] = [
        ({"feedback": 1}, (1, None, {"team": "search"})),
        ({"score": 80}, (1, 80, {"team": "search"})),
        ({"metadata": {"judge": "me"}}, (1, 80, {"judge": "me"})),
        ({"feedback": -1, "score": 0}, (-1, 0, {"judge": "me"})),
        ({"score": None, "metadata": None}, (-1, None, {})),
    ]
    for change, values in changes:
        assert sdk("edit", log_id(tagged), **change) == {}
        entry = sdk("get", log_id(tagged))
        assert fields_of(entry, *names) == dict(zip(names, values, strict=True))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"feedback": 2}, "feedback: expected number between -1 and 1"),
        ({"feedback": True}, "feedback: expected number between -1 and 1"),
        ({"score": 101}, "score: expected number between 0 and 100"),
        ({"score": "good"}, "score: expected number between 0 and 100"),
        ({"metadata": {"a": None}}, "metadata: expected strings, numbers and booleans"),
        ({"metadata": ["a"]}, "metadata: expected strings, numbers and booleans"),
    ],
)
def test_feedback_out_of_bounds_is_refused(
    ask: Caller, one: SDK, change: dict[str, Any], message: str
) -> None:
    answer = ask.post()
    assert one.refusal("edit", log_id(answer), **change) == (400, [(7001, message)])


def test_feedback_without_json_is_refused(ask: Caller, one: SDK, http: httpx.Client) -> None:
    path = f"accounts/{one.ids['account_id']}/ai-gateway/gateways/local/logs/{log_id(ask.post())}"
    headers = {"authorization": f"Bearer {one.token}"}
    answer = http.patch(f"{one.base_url}/{path}", headers=headers, content=b"good")
    assert answer.json()["errors"] == [{"code": 7001, "message": "Expected object"}]


def test_logs_are_deleted_by_filter_order_and_number(five: list[str], sdk: SDK) -> None:
    assert sdk("delete", filters=[condition("success", "eq", False)]).success is True
    assert sdk.ids_of() == [five[number] for number in (4, 3, 1, 0)]
    assert sdk("delete", order_by="model", order_by_direction="desc", limit=1).success is True
    assert sdk.ids_of() == [five[number] for number in (3, 1, 0)]
    assert sdk.refusal("delete", order_by="price")[1][0][0] == 7001
    assert sdk("delete").success is True
    assert sdk.ids_of() == []


def test_a_log_is_visible_only_after_its_delay(monkeypatch: pytest.MonkeyPatch) -> None:
    with LocalGateway(log_delay=600) as gateway:
        message = gateway.chat_model().invoke("Hi")
        wanted = message.response_metadata["cloudflare_gateway"]["log_id"]
        sdk = SDK(gateway)
        missing = (404, [(7002, "Log not found")])
        assert sdk.refusal("get", wanted) == missing
        assert sdk.refusal("edit", wanted, feedback=1) == missing
        assert sdk("list") == []
        later = time.monotonic() + 600
        monkeypatch.setattr(gateway._application.generation.logs, "_clock", lambda: later)
        assert sdk("get", wanted).id == wanted


def test_the_logs_require_the_api_token(ask: Caller, sdk: SDK) -> None:
    answer = ask.post()
    for wrong in (ask.gateway.gateway_token, ask.gateway.api_key):
        sdk.token = wrong
        assert sdk.refusal("get", log_id(answer)) == (401, [(10000, "Authentication error")])


def test_unknown_logs_gateways_and_paths_are_not_found(
    ask: Caller, one: SDK, http: httpx.Client
) -> None:
    wanted = log_id(ask.post())
    assert one.refusal("get", "01J") == (404, [(7002, "Log not found")])
    assert one.refusal("get", wanted, gateway_id="default") == (404, [(7002, "Log not found")])
    assert one.refusal("get", wanted, gateway_id="x") == (404, [(7002, "Gateway not found")])
    status, faults = one.refusal("get", wanted, account_id="f" * 32)
    assert (status, [code for code, _ in faults]) == (404, [7003, 7000])
    logs_url = f"{one.base_url}/accounts/{one.ids['account_id']}/ai-gateway/gateways/local/logs"
    headers = {"authorization": f"Bearer {one.token}"}
    for method, path in (("POST", ""), ("DELETE", f"/{wanted}"), ("GET", f"/{wanted}/headers")):
        answer = http.request(method, logs_url + path, headers=headers)
        assert (answer.status_code, answer.json()["errors"][0]["code"]) == (404, 7003)


def test_reset_drops_the_logs(ask: Caller, one: SDK) -> None:
    ask.post()
    ask.gateway.reset()
    assert one("list") == []


@pytest.fixture
def small_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(store, "MAX_LOGS", 3)
    monkeypatch.setattr(store, "MAX_STORED_BYTES", 5000)
    monkeypatch.setattr(entries, "MAX_BODY_BYTES", 4000)


@pytest.mark.usefixtures("small_memory")
def test_the_oldest_logs_are_dropped(ask: Caller, one: SDK) -> None:
    small = [log_id(ask.post(messages=[QUESTION])) for _ in range(4)]
    assert one.ids_of() == small[:0:-1]
    large = [{"role": "user", "content": "x" * 2500}]
    kept = log_id(ask.post(messages=large))
    assert one.ids_of() == [kept, small[3]]
    newer = log_id(ask.post(messages=large))
    assert one.ids_of() == [newer]
    one("delete")
    newest = log_id(ask.post(messages=large))
    assert one.ids_of() == [newest]


@pytest.mark.usefixtures("small_memory")
def test_bodies_that_are_too_large_are_not_stored(ask: Caller, one: SDK) -> None:
    answer = ask.post(messages=[{"role": "user", "content": "x" * 4000}])
    assert one("get", log_id(answer)).tokens_in > 0
    assert one.refusal("request", log_id(answer)) == (404, [(7002, "Request not found")])


def test_a_log_tells_the_step_that_answered_and_what_dlp_did(http: httpx.Client) -> None:
    rules = Rules(
        routes={"support": Route(["deepseek/deepseek-flash", "@cf/deepseek-ai/r1"])},
        dlp=[DlpProfile(["sky"], "request", action="flag")],
    )
    with LocalGateway(rules=rules) as gateway:
        gateway.fault(status=503)
        answer = Caller(gateway, http).post(routing="compat", model="dynamic/support")
        entry = SDK(gateway)("get", log_id(answer))
    assert fields_of(entry, "step", "provider", "model", "dlp_action", "status_code") == {
        "step": 1,
        "provider": "workers-ai",
        "model": "@cf/deepseek-ai/r1",
        "dlp_action": "FLAG",
        "status_code": 200,
    }


def test_a_log_keeps_the_request_as_it_came_though_a_guardrail_changed_it(
    http: httpx.Client,
) -> None:
    with LocalGateway(rules=Rules(guardrails=Guardrails())) as gateway:
        answer = Caller(gateway, http).post(stream=True)
        sdk = SDK(gateway)
        assert sdk("request", log_id(answer))["stream"] is True
        assert sdk("response", log_id(answer)) == answer.json()
