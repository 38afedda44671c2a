"""The checks that need a response: to the first request, and to three further ones."""

import difflib
import re
from textwrap import shorten

from langchain_cf_deepseek._errors.rules import SET_DEEPSEEK_KEY
from langchain_cf_deepseek._models import known_models
from langchain_cf_deepseek.doctor.reachability import address, diagnose_connection, proxy_to
from langchain_cf_deepseek.doctor.result import CheckResult
from langchain_cf_deepseek.doctor.setup import (
    Setup,
    check_of,
    gateway_metadata,
    is_credential_error,
)
from langchain_cf_deepseek.errors import CFDeepSeekError

_MAX_TEXT_LENGTH = 300

_SEE_LOG = "Look up the request in the gateway's log, in the Cloudflare dashboard."
_UNAUTHENTICATED = (
    "requires no token, so anyone who knows its URL can use it: turn on Authenticated Gateway in "
    "its settings"
)


def check_host(setup: Setup) -> CheckResult:
    """Check that the host responds at all; if not, return why."""
    url = setup.llm.endpoint
    if error := setup.failure("host"):
        return CheckResult("fail", *diagnose_connection(error, url))
    proxy = proxy_to(url)
    return CheckResult(
        "ok", f"{address(url)} responds" + (f", through the proxy {proxy}" if proxy else "")
    )


def check_gateway(setup: Setup) -> CheckResult:
    """Check that Cloudflare accepts the credentials, and that the gateway requires them."""
    is_unified = "cloudflare_api_token" in setup.sent
    variable = "CLOUDFLARE_API_TOKEN" if is_unified else "CF_AIG_TOKEN"
    if error := setup.failure("gateway"):
        if not is_credential_error(error):
            return _failed(error)
        is_sent = is_unified or setup.values["gateway_token"]
        what = (
            f"{variable} was rejected" if is_sent else f"needs a token, and {variable} is not set"
        )
        return _failed(error, f"{what} ({_codes(error)})")
    if is_unified:
        return CheckResult(
            "ok", f"{variable} is accepted, gateway {setup.values['gateway_id'] or 'default'}"
        )
    if setup.values["gateway_token"]:
        wrong = setup.send_with_wrong_token()
        if isinstance(wrong, CFDeepSeekError) and wrong.origin != "deepseek":
            is_rejected = check_of(wrong) == "gateway" and is_credential_error(wrong)
            outcome = "accepted, and a wrong token is rejected" if is_rejected else "not rejected"
            return CheckResult("ok", f"{variable} is {outcome}")
    return CheckResult("warn", _UNAUTHENTICATED)


def check_key(setup: Setup) -> CheckResult:
    """Check the DeepSeek key in use: one that is sent, or one stored in the gateway."""
    is_sent = "api_key" in setup.sent and setup.values["api_key"]
    if error := setup.failure("DeepSeek key"):
        if is_sent:
            return _failed(error, f"DEEPSEEK_API_KEY is sent, and was rejected ({_codes(error)})")
        if error.hint == SET_DEEPSEEK_KEY:
            return _failed(
                error, f"no key is sent, and none is stored in the gateway ({_codes(error)})"
            )
        return _failed(error, f"the key stored in the gateway was rejected ({_codes(error)})")
    outcome = "accepted" if setup.reached_deepseek else "not rejected"
    if is_sent:
        return CheckResult("ok", f"DEEPSEEK_API_KEY is sent, and {outcome}")
    if "api_key" in setup.sent:
        return CheckResult(
            "ok", f"no key is sent; the one stored in the gateway (BYOK) is {outcome}"
        )
    source = str(gateway_metadata(setup.first_response).get("key_source"))
    return CheckResult("ok", _KEY_SOURCES.get(source, "a stored key, or Cloudflare's own, is used"))


# By `key_source`, which Cloudflare's API sends.
_KEY_SOURCES = {
    "BYOK": "no key is sent; the one stored in the gateway (BYOK) is accepted",
    "Unified": "no key is sent or stored; Cloudflare pays DeepSeek and bills you (Unified Billing)",
}


def check_model(setup: Setup) -> CheckResult:
    """Check that the model is known; if not, return the known ones."""
    if error := setup.failure("model"):
        known = known_models(setup.routing)
        near = difflib.get_close_matches(setup.model.removeprefix("deepseek/"), known, n=1)
        guess = f"Did you mean {near[0]!r}? " if near else ""
        change = f"{error.hint} {guess}Known names: {', '.join(known)}."
        return CheckResult("fail", _message(error), change)
    if isinstance(setup.first_response, CFDeepSeekError):
        return CheckResult("ok", f"{setup.model} is not rejected")
    served = shorten(str(setup.first_response.response_metadata["model_name"]), _MAX_TEXT_LENGTH)
    is_same = served == setup.model
    return CheckResult("ok", served if is_same else f"{setup.model}, served as {served}")


def check_balance(setup: Setup) -> CheckResult:
    """Check that the balance is enough for a request."""
    if error := setup.failure("balance"):
        return _failed(error)
    return CheckResult("ok", "enough for a request")


def check_answer(setup: Setup) -> CheckResult:
    """Check that the response is a valid completion; reports every error of no other check."""
    if isinstance(setup.first_response, CFDeepSeekError):
        return _failed(setup.first_response)
    return CheckResult("ok", "complete, with a finish reason")


def check_streaming(setup: Setup) -> CheckResult:
    """Check that a stream arrives in chunks, up to its finish reason."""
    chunks = setup.stream()
    if isinstance(chunks, CFDeepSeekError):
        return _failed(chunks)
    if sum(bool(chunk.content) for chunk in chunks) == 1:
        return CheckResult(
            "warn",
            "arrives in one chunk: guardrails of the gateway cause that",
        )
    return CheckResult("ok", "arrives in chunks, with a finish reason")


def check_cache(setup: Setup) -> CheckResult:
    """Check that the gateway answers a repeated request from its cache."""
    again = setup.repeat()
    if isinstance(again, CFDeepSeekError):
        return _failed(again)
    status = gateway_metadata(again).get("cache_status")
    if status is None:
        return CheckResult(
            "warn", "the response has no `cf-aig-cache-status`: it is unknown whether it is cached"
        )
    if status == "HIT":
        return CheckResult("ok", "a repeated request with `cache_ttl` was a HIT")
    return CheckResult(
        "warn", f"a repeated request with `cache_ttl` was a {status}: nothing was cached"
    )


def check_log(setup: Setup) -> CheckResult:
    """Check that the gateway sends the id of the log entry of the first request."""
    log_id = gateway_metadata(setup.first_response).get("log_id")
    if log_id is None:
        return CheckResult(
            "warn",
            "the response has no `cf-aig-log-id`: logging is off, or the id is not sent here",
        )
    return CheckResult("ok", f"log id {log_id}")


def _failed(error: CFDeepSeekError, found: str = "") -> CheckResult:
    return CheckResult("fail", found or _message(error), error.hint or _SEE_LOG)


def _message(error: CFDeepSeekError) -> str:
    """Return the message of an error, without its hint."""
    message = str(error).removesuffix(error.hint)
    # Services quote the end of a key behind asterisks.
    masked = re.sub(r"\S*\*\S*", "**********", message)
    return shorten(masked, _MAX_TEXT_LENGTH, placeholder=" ...")


def _codes(error: CFDeepSeekError) -> str:
    """Return status and code of an error whose text can quote a part of the credential."""
    code = f", code {error.code}" if isinstance(error.code, int) else ""
    return f"status {error.status_code}{code}"
