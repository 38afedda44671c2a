"""The checks behind `langchain-cf-deepseek doctor`: whether a set-up works, and if not, why.

How many requests each check sends. A request has about 25 prompt tokens and at most 16 completion
tokens, without thinking and without retries; one that is rejected, or answered from the gateway's
cache, costs nothing.

    settings      none
    host          one, whose outcome the checks up to `answer`, and `log`, report on
    gateway       one with a token that is wrong on purpose, if a token is set: rejected, or
                  answered from the cache by a gateway that requires no token
    DeepSeek key  none
    model         none
    balance       none
    answer        none
    streaming     one
    cache         the first one again: answered from the cache, unless the check warns
    log           none

`_errors.rules` decides which response is which error, and holds the hints. Decided here: which
check an error belongs to.
"""

from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass

from langchain_cf_deepseek._redaction import maskable_secrets, redact
from langchain_cf_deepseek.data.routings import CREDENTIAL_VARIABLES, Routing
from langchain_cf_deepseek.doctor import checks
from langchain_cf_deepseek.doctor.result import CheckResult
from langchain_cf_deepseek.doctor.settings import check_settings
from langchain_cf_deepseek.doctor.setup import Setup

__all__ = ["CheckResult", "diagnose"]


@dataclass(frozen=True)
class _Check:
    """One check."""

    name: str

    needs: str | None
    """The check that must succeed first."""

    run: Callable[[Setup], CheckResult]


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
) -> dict[str, CheckResult]:
    """Check a set-up; the results contain no credential.

    Args:
        environment: The environment variables of the set-up.
        model: The model to use.
        routing: The routing to use, instead of the one in `environment`.

    Returns:
        The result of each check, by its name, in order.
    """
    results: dict[str, CheckResult] = {}
    # The check whose failure made a check fail or be skipped.
    root_of: dict[str | None, str] = {}
    with ExitStack() as opened:
        setup = Setup(environment, model, routing, opened)
        for check in _CHECKS:
            root = root_of.get(check.needs)
            result = CheckResult("skipped", f"`{root}` failed") if root else check.run(setup)
            if result.outcome in {"fail", "skipped"}:
                root_of[check.name] = root or check.name
            results[check.name] = result
    credentials = maskable_secrets(setup.values[field] or "" for field in CREDENTIAL_VARIABLES)
    return {
        name: CheckResult(result.outcome, *redact([result.found, result.change], credentials))
        for name, result in results.items()
    }
