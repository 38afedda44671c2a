"""How many examples a run tries: few and always the same ones, or a campaign of new ones.

`FUZZ_EXAMPLES=20000 pytest tests/fuzz` is a campaign of 20,000 examples of every property.
"""

import os

from hypothesis import HealthCheck, settings

_NEW_EXAMPLES = int(os.environ.get("FUZZ_EXAMPLES", "0"))

settings.register_profile(
    "fuzz",
    deadline=None,  # a shared machine stumbles now and then; what hangs is caught by time-outs
    derandomize=not _NEW_EXAMPLES,
    max_examples=_NEW_EXAMPLES or 200,
    print_blob=True,
    suppress_health_check=[HealthCheck.too_slow],
)
settings.load_profile("fuzz")


def share(part: float) -> settings:
    """Settings of a property whose examples are slow: that part of them, but at least ten."""
    return settings(max_examples=max(10, int(settings().max_examples * part)))
