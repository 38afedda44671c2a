"""The checks that need an answer: what the first request says of each, and three further ones."""

import difflib
import re
from textwrap import shorten

from langchain_cf_deepseek._errors.rules import SET_DEEPSEEK_KEY
from langchain_cf_deepseek._models import known_models
from langchain_cf_deepseek.doctor.reachability import address, diagnose_connection, proxy_to
from langchain_cf_deepseek.doctor.setup import Setup, check_of, facts, is_credential_error
from langchain_cf_deepseek.doctor.verdict import Verdict
from langchain_cf_deepseek.errors import CFDeepSeekError

_LONGEST = 300

_LOOK_IT_UP = "Look the request up in the gateway's log, in the Cloudflare dashboard."
_OPEN_TO_ALL = (
    "asks for no token, so whoever knows its address can use it: turn on Authenticated Gateway in "
    "its settings"
)


def check_host(setup: Setup) -> Verdict:
    """Return whether the host answers at all, and if not, what is in the way."""
    url = setup.llm.endpoint
    if error := setup.failure("host"):
        return Verdict("fail", *diagnose_connection(error, url))
    proxy = proxy_to(url)
    return Verdict(
        "ok", f"{address(url)} answers" + (f", through the proxy {proxy}" if proxy else "")
    )


def check_gateway(setup: Setup) -> Verdict:
    """Return whether Cloudflare lets requests in, and whether the gateway lets in everybody."""
    is_unified = "cloudflare_api_token" in setup.sent
    variable = "CLOUDFLARE_API_TOKEN" if is_unified else "CF_AIG_TOKEN"
    if error := setup.failure("gateway"):
        if not is_credential_error(error):
            return _failed(error)
        is_sent = is_unified or setup.values["gateway_token"]
        what = f"{variable} was refused" if is_sent else f"needs a token, and {variable} is not set"
        return _failed(error, f"{what} ({_numbers(error)})")
    if is_unified:
        return Verdict(
            "ok", f"{variable} is accepted, gateway {setup.values['gateway_id'] or 'default'}"
        )
    if setup.values["gateway_token"]:
        wrong = setup.ask_with_a_wrong_token()
        if isinstance(wrong, CFDeepSeekError) and wrong.origin != "deepseek":
            refused = check_of(wrong) == "gateway" and is_credential_error(wrong)
            proof = "accepted, and a wrong token refused" if refused else "not refused"
            return Verdict("ok", f"{variable} is {proof}")
    return Verdict("warn", _OPEN_TO_ALL)


def check_key(setup: Setup) -> Verdict:
    """Return which DeepSeek key is in use: one that is sent, or one stored in the gateway."""
    is_sent = "api_key" in setup.sent and setup.values["api_key"]
    if error := setup.failure("DeepSeek key"):
        if is_sent:
            return _failed(error, f"DEEPSEEK_API_KEY is sent, and was refused ({_numbers(error)})")
        if error.hint == SET_DEEPSEEK_KEY:
            return _failed(
                error, f"none is sent, and none stored in the gateway ({_numbers(error)})"
            )
        return _failed(error, f"the one stored in the gateway was refused ({_numbers(error)})")
    fate = "accepted" if setup.reached_deepseek else "not refused"
    if is_sent:
        return Verdict("ok", f"DEEPSEEK_API_KEY is sent, and {fate}")
    if "api_key" in setup.sent:
        return Verdict("ok", f"none is sent; the one stored in the gateway (BYOK) is {fate}")
    source = str(facts(setup.first).get("key_source"))
    return Verdict(
        "ok", _SOURCES.get(source, "none is sent; one stored there, or Cloudflare's own")
    )


# What Cloudflare's API says of the key that it used.
_SOURCES = {
    "BYOK": "none is sent; the one stored in the gateway (BYOK) is accepted",
    "Unified": "none is sent nor stored; Cloudflare pays and bills you (Unified Billing)",
}


def check_model(setup: Setup) -> Verdict:
    """Return whether the model is known, and which ones are if not."""
    asked = setup.model
    if error := setup.failure("model"):
        known = known_models(setup.routing)
        near = difflib.get_close_matches(asked.removeprefix("deepseek/"), known, n=1)
        guess = f"Did you mean {near[0]!r}? " if near else ""
        change = f"{error.hint} {guess}Known names: {', '.join(known)}."
        return Verdict("fail", _words(error), change)
    if isinstance(setup.first, CFDeepSeekError):
        return Verdict("ok", f"{asked} is not refused")
    served = shorten(str(setup.first.response_metadata["model_name"]), _LONGEST)
    return Verdict("ok", asked if served == asked else f"{asked}, served as {served}")


def check_balance(setup: Setup) -> Verdict:
    """Return whether there is money for a request."""
    if error := setup.failure("balance"):
        return _failed(error)
    return Verdict("ok", "enough for a request")


def check_answer(setup: Setup) -> Verdict:
    """Return whether an answer came, for all reasons that no other check is about."""
    if isinstance(setup.first, CFDeepSeekError):
        return _failed(setup.first)
    return Verdict("ok", "comes whole, with its finish")


def check_streaming(setup: Setup) -> Verdict:
    """Return whether an answer comes piece by piece, up to its finish."""
    chunks = setup.stream()
    if isinstance(chunks, CFDeepSeekError):
        return _failed(chunks)
    if sum(bool(chunk.content) for chunk in chunks) == 1:
        return Verdict(
            "warn",
            "came in one piece instead of a stream: guardrails of the gateway do that",
        )
    return Verdict("ok", "comes piece by piece, with its finish")


def check_cache(setup: Setup) -> Verdict:
    """Return whether the gateway answers a repeated request from its cache."""
    again = setup.ask_again()
    if isinstance(again, CFDeepSeekError):
        return _failed(again)
    status = facts(again).get("cache_status")
    if status is None:
        return Verdict(
            "warn", "the answer has no `cf-aig-cache-status`, so whether it is kept is unknown"
        )
    if status == "HIT":
        return Verdict("ok", "a repeated request with `cache_ttl` was a HIT")
    return Verdict("warn", f"a repeated request with `cache_ttl` was a {status}: nothing was kept")


def check_log(setup: Setup) -> Verdict:
    """Return under which id the gateway logged the first request."""
    log_id = facts(setup.first).get("log_id")
    if log_id is None:
        return Verdict(
            "warn", "the answer has no `cf-aig-log-id`: logs are off, or not told of here"
        )
    return Verdict("ok", f"log id {log_id}")


def _failed(error: CFDeepSeekError, found: str = "") -> Verdict:
    return Verdict("fail", found or _words(error), error.hint or _LOOK_IT_UP)


def _words(error: CFDeepSeekError) -> str:
    """Return what an error says, without its hint."""
    said = str(error).removesuffix(error.hint)
    # Services quote the end of a key behind asterisks.
    return shorten(re.sub(r"\S*\*\S*", "**********", said), _LONGEST, placeholder=" ...")


def _numbers(error: CFDeepSeekError) -> str:
    """Return the numbers of a refusal, whose words may quote a part of the credential."""
    code = f", code {error.code}" if isinstance(error.code, int) else ""
    return f"status {error.status_code}{code}"
