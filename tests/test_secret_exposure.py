"""No representation, callback, error, log line or cache entry of a model shows a credential."""

import json
import pickle
import traceback
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

import pytest
from langchain_core.caches import InMemoryCache
from langchain_core.callbacks import BaseCallbackHandler
from langchain_core.load import dumpd, dumps
from langchain_core.messages import AIMessage
from langchain_core.runnables import ConfigurableField
from pydantic import SecretStr

from langchain_cf_deepseek import (
    ChatCloudflareDeepSeek,
    GatewayOptions,
)
from langchain_cf_deepseek._http import clients
from langchain_cf_deepseek.errors import CFDeepSeekError
from langchain_cf_deepseek.local import Fault, LocalGateway, deepseek_error
from tests.callbacks import RunTracer
from tests.conftest import PATHS, Ask

NO_SECRETS: list[str] = []

CALL_SECRET = {"Authorization-Of-The-Call": "secret-of-the-call"}

HEADER_SECRETS: dict[str, Any] = {
    "CF-Access-Client-Secret": SecretStr("secret-of-access"),
    "X-Plain": "secret-of-a-plain-header",
}


def _model_with_secrets(gw: LocalGateway, **kwargs: Any) -> ChatCloudflareDeepSeek:
    return gw.chat_model(
        **{
            "cloudflare_api_token": gw.cloudflare_api_token,
            "default_headers": HEADER_SECRETS,
            "max_retries": 0,
            **kwargs,
        }
    )


def _visible_secrets(gw: LocalGateway, *values: object) -> list[str]:
    """Return the secrets that `values` show in `str`, `repr` and JSON."""
    texts = [str(values), repr(values), json.dumps(values, default=repr, skipkeys=True)]
    secrets = [
        gw.api_key,
        gw.gateway_token,
        gw.cloudflare_api_token,
        "secret-of-access",
        "secret-of-a-plain-header",
        "secret-of-the-call",
    ]
    return [secret for secret in secrets if any(secret in text for text in texts)]


def test_secrets_are_in_no_representation_of_a_model(gw: LocalGateway) -> None:
    llm = _model_with_secrets(gw)
    llm.invoke("Hello", extra_headers=CALL_SECRET)
    forms: dict[str, object] = {
        "repr": repr(llm),
        "str": str(llm),
        "dumps": dumps(llm),
        "dumpd": dumpd(llm),
        "model_dump": llm.model_dump(),
        "model_dump in JSON mode": llm.model_dump(mode="json"),
        "model_dump_json": llm.model_dump_json(),
        "to_json": llm.to_json(),
        "identifying parameters": llm._identifying_params,
        "invocation parameters": llm._get_invocation_params(extra_headers=CALL_SECRET),
        "LangSmith parameters": dict(llm._get_ls_params(extra_headers=CALL_SECRET)),
        "key of the LLM cache": llm._get_llm_string(),
        "endpoint": llm.endpoint,
        "graph": llm.get_graph().to_json(with_schemas=True),
        "configured": repr(llm.configurable_fields(api_key=ConfigurableField(id="api_key"))),
    }
    assert {name: _visible_secrets(gw, form) for name, form in forms.items()} == dict.fromkeys(
        forms, NO_SECRETS
    )


class _CallbackRecorder(BaseCallbackHandler):
    """Records everything that is passed to a callback."""

    def __init__(self) -> None:
        self.recorded: dict[str, list[object]] = {}

    def _record(self, name: str, /, *args: object, **kwargs: object) -> None:
        self.recorded.setdefault(name, []).append((args, kwargs))

    def on_chat_model_start(self, *args: Any, **kwargs: Any) -> None:
        self._record("start", *args, **kwargs)

    def on_llm_new_token(self, *args: Any, **kwargs: Any) -> None:
        self._record("token", *args, **kwargs)

    def on_llm_end(self, *args: Any, **kwargs: Any) -> None:
        self._record("end", *args, **kwargs)

    def on_llm_error(self, *args: Any, **kwargs: Any) -> None:
        self._record("error", *args, **kwargs)


# The fault, and the settings of the model.
FAILURES: dict[str, tuple[Fault, dict[str, Any]]] = {
    "refused credential, echoed": (
        deepseek_error(401, "Your api key: local-deepseek-key is invalid"),
        {},
    ),
    "busy": (deepseek_error(503, "Service is too busy."), {}),
    "HTML": (Fault(body="<html>local-gateway-token</html>", content_type="text/html"), {}),
    "reset": (Fault(then="reset"), {}),
    "timeout": (Fault(delay=0.3), {"timeout": 0.1}),
    "connection refused": (Fault(), {"base_url": "http://127.0.0.1:9/deepseek"}),
}


@pytest.mark.parametrize(
    ("failure", "bound"), [(None, True), (None, False), *((name, False) for name in FAILURES)]
)
def test_secrets_are_not_passed_to_callbacks_and_tracers(
    gw: LocalGateway, ask: Ask, failure: str | None, bound: bool
) -> None:
    recorder, tracer = _CallbackRecorder(), RunTracer()
    settings: dict[str, Any] = {}
    if failure:
        fault, settings = FAILURES[failure]
        gw.fault(fault)
    call: dict[str, Any] = {"extra_headers": CALL_SECRET, "gateway": GatewayOptions(event_id="x")}
    llm: Any = _model_with_secrets(gw, **settings)
    if bound:
        llm, call = llm.bind(**call), {}
    with suppress(CFDeepSeekError):
        ask(llm, "Hello", config={"callbacks": [recorder, tracer]}, **call)
    (run,) = tracer.runs
    assert recorder.recorded.keys() - {"token"} == {"start", "error" if failure else "end"}
    values = {**recorder.recorded, "run": run.model_dump(), "run as JSON": run.model_dump_json()}
    assert {name: _visible_secrets(gw, what) for name, what in values.items()} == dict.fromkeys(
        values, NO_SECRETS
    )


def test_tracing_shows_a_hit_of_the_gateways_cache(gw: LocalGateway, ask: Ask) -> None:
    tracer = RunTracer()
    llm = gw.chat_model(gateway={"cache_ttl": 60})
    for _ in range(2):
        ask(llm, "Hello", config={"callbacks": [tracer]})
    statuses = []
    for run in tracer.runs:
        message = (run.outputs or {})["generations"][0][0]["message"]
        metadata = message["kwargs"]["response_metadata"]
        statuses.append(metadata["cloudflare_gateway"]["cache_status"])
    assert statuses == ["MISS", "HIT"]


def _with_causes(error: BaseException | None) -> Iterator[BaseException]:
    """Yield an error and all its causes."""
    if error is not None:
        yield error
        yield from _with_causes(error.__cause__)
        if error.__context__ is not error.__cause__:
            yield from _with_causes(error.__context__)


def _held_headers(error: BaseException) -> list[object]:
    """Return the headers of every request and response that an error holds."""
    held = list(vars(error).values())
    held += [value._request for value in held if getattr(value, "_request", None)]
    return [list(value.headers.raw) for value in held if hasattr(value, "headers")]


def _raise_failure(gw: LocalGateway, ask: Ask, failure: str) -> dict[str, BaseException]:
    """Return the error of a failure and all its causes."""
    fault, settings = FAILURES[failure]
    gw.fault(fault)
    with pytest.raises(CFDeepSeekError) as caught:
        ask(_model_with_secrets(gw, **settings), "Hello", extra_headers=CALL_SECRET)
    return {
        f"{number}: {type(error).__name__}": error
        for number, error in enumerate(_with_causes(caught.value))
    }


@pytest.mark.parametrize("failure", FAILURES)
def test_secrets_are_not_shown_by_errors(gw: LocalGateway, ask: Ask, failure: str) -> None:
    errors = _raise_failure(gw, ask, failure)
    values: dict[str, tuple[object, ...]] = {
        name: (str(error), repr(error), repr(vars(error)), getattr(error, "__notes__", []))
        for name, error in errors.items()
    }
    error = next(iter(errors.values()))
    values["traceback"] = tuple(traceback.format_exception(error))
    values["pickle"] = (pickle.dumps(error).decode("latin-1"),)
    values["requests and answers"] = (_held_headers(error),)
    assert {name: _visible_secrets(gw, *texts) for name, texts in values.items()} == dict.fromkeys(
        values, NO_SECRETS
    )


@pytest.mark.parametrize("failure", FAILURES)
def test_secrets_are_in_no_request_held_by_the_cause_of_an_error(
    gw: LocalGateway, ask: Ask, failure: str
) -> None:
    errors = _raise_failure(gw, ask, failure)
    leaks = {name: _visible_secrets(gw, _held_headers(error)) for name, error in errors.items()}
    assert leaks == dict.fromkeys(errors, NO_SECRETS)


@pytest.mark.parametrize("failure", [None, *FAILURES])
def test_secrets_are_in_no_log_line(
    gw: LocalGateway,
    ask: Ask,
    failure: str | None,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # Direct connections log nothing, so those behind a proxy are tested.
    monkeypatch.setattr(clients, "_has_proxy", lambda: True)
    # Below DEBUG, so that the HTTP library's trace of each header is logged too.
    caplog.set_level(1)
    for name in ("openai", "httpx", "httpx2", "httpcore", "httpcore2", "h11", "langchain_core"):
        caplog.set_level(1, logger=name)
    settings: dict[str, Any] = {}
    if failure:
        fault, settings = FAILURES[failure]
        gw.fault(fault)
    with suppress(CFDeepSeekError):
        ask(_model_with_secrets(gw, **settings), "Hello", extra_headers=CALL_SECRET)
    spoke = {record.name.partition(".")[0] for record in caplog.records}
    assert spoke & {"asyncio", "httpcore", "httpcore2"}
    lines = [(record.getMessage(), record.exc_text) for record in caplog.records]
    assert [line for line in lines if _visible_secrets(gw, *line)] == []


def test_secrets_are_not_in_langchains_cache(gw: LocalGateway) -> None:
    cache = InMemoryCache()
    llm = _model_with_secrets(gw, cache=cache)
    for path in ("invoke", "ainvoke"):
        answer: AIMessage = PATHS[path](llm, path, extra_headers=CALL_SECRET)
        assert answer.content
    assert len(cache._cache) == 2
    assert _visible_secrets(gw, list(cache._cache.items())) == []
