"""The checks behind `langchain-cf-deepseek doctor`: does a set-up work, and if not, why.

What a check costs, in requests. A request is some 25 tokens of prompt and at most 16 of answer,
without thinking and without retries; one that is refused, or answered from the gateway's cache,
costs nothing.

    settings      none
    host          one, from which the checks up to `answer` read what they say, and `log` too
    gateway       one with a token that is wrong on purpose, where a token is set: refused, or
                  answered from the cache by a gateway that asks for no token
    DeepSeek key  none
    model         none
    balance       none
    answer        none
    streaming     one
    cache         the first one again: answered from the cache, unless the check warns
    log           none

Which answer means what is known to `_errors.rules`, and what then to do to the hint of the error.
Here stands which check an error belongs to, and what the set-up has to do with it.
"""

from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass

from langchain_cf_deepseek._redaction import maskable_secrets, redact
from langchain_cf_deepseek._routing import CREDENTIAL_VARIABLES, Routing
from langchain_cf_deepseek.doctor import checks
from langchain_cf_deepseek.doctor.settings import check_settings
from langchain_cf_deepseek.doctor.setup import Setup
from langchain_cf_deepseek.doctor.verdict import Verdict

__all__ = ["Verdict", "diagnose"]


@dataclass(frozen=True)
class _Check:
    """One check."""

    name: str

    needs: str | None
    """The check without whose success this one is pointless."""

    run: Callable[[Setup], Verdict]


_CHECKS = (
    _Check("settings", None, check_settings),
    _Check("host", "settings", checks.check_host),
    _Check("gateway", "host", checks.check_gateway),
    _Check("DeepSeek key", "gateway", checks.check_key),
    _Check("model", "DeepSeek key", checks.check_model),
    _Check("balance", "model", checks.check_balance),
    _Check("answer", "balance", checks.check_answer),
    _Check("streaming", "answer", checks.check_streaming),
    _Check("cache", "answer", checks.check_cache),
    _Check("log", "gateway", checks.check_log),
)


def diagnose(
    environment: Mapping[str, str], *, model: str, routing: Routing | None = None
) -> dict[str, Verdict]:
    """Check a set-up; no credential is in what is returned.

    Args:
        environment: The environment variables that make the set-up.
        model: Which model to ask.
        routing: Which door to take, instead of the one that `environment` names.

    Returns:
        What each check comes to, by its name, in order.
    """
    verdicts: dict[str, Verdict] = {}
    # What is behind the failure or the skipping of a check.
    root_of: dict[str | None, str] = {}
    with ExitStack() as opened:
        setup = Setup(environment, model, routing, opened)
        for check in _CHECKS:
            root = root_of.get(check.needs)
            verdict = (
                Verdict("skipped", f"pointless before `{root}` is well")
                if root
                else check.run(setup)
            )
            if verdict.outcome in {"fail", "skipped"}:
                root_of[check.name] = root or check.name
            verdicts[check.name] = verdict
    credentials = maskable_secrets(setup.values[field] or "" for field in CREDENTIAL_VARIABLES)
    return {
        name: Verdict(verdict.outcome, *redact([verdict.found, verdict.change], credentials))
        for name, verdict in verdicts.items()
    }
