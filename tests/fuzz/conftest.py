"""How many examples a run tries: a few fixed ones, or a campaign of new ones.

`FUZZ_EXAMPLES=20000 pytest tests/fuzz` is a campaign of 20,000 examples of every property.
"""

import os

import pytest
from hypothesis import HealthCheck, settings

_NEW_EXAMPLES = int(os.environ.get("FUZZ_EXAMPLES", "0"))

settings.register_profile(
    "fuzz",
    deadline=None,  # a shared machine is slow now and then; pytest's timeout ends what hangs
    derandomize=not _NEW_EXAMPLES,
    max_examples=_NEW_EXAMPLES or 200,
    print_blob=True,
    suppress_health_check=[HealthCheck.too_slow],
)
settings.load_profile("fuzz")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Let a campaign take as long as it needs."""
    if _NEW_EXAMPLES:
        for item in items:
            item.add_marker(pytest.mark.timeout(0))


def share(part: float) -> settings:
    """Return settings for slow examples: that part of their number, but at least ten."""
    return settings(max_examples=max(10, int(settings().max_examples * part)))
