"""Calls leave nothing behind: no socket, no thread, no object."""

import gc
import threading
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from langchain_cf_deepseek.local import LocalGateway
from tests.workload import USES, objects_of_calls

TIMES = 40
SOON = 5.0
"""Seconds in which the gateway must notice that its client has closed the connection."""
PAUSE = 0.05

OPEN_FILES = Path("/dev/fd")


@pytest.fixture
def _only_new_objects() -> Iterator[None]:
    """Leave the objects of earlier tests out of the count.

    With those of a whole run a count takes so long that the gateway's thread can hardly work.
    """
    gc.collect()
    gc.freeze()
    yield
    gc.unfreeze()


def _alive(gw: LocalGateway) -> Counter[str]:
    gw.reset()
    return Counter(
        {
            "open files": len(list(OPEN_FILES.iterdir())),
            "threads": threading.active_count(),
            "objects": objects_of_calls(),
        }
    )


def _alive_when_idle(gw: LocalGateway) -> Counter[str]:
    """Return what is alive once it no longer changes: the gateway closes its connections last."""
    alive = _alive(gw)
    time.sleep(PAUSE)
    while alive != (alive := _alive(gw)):
        time.sleep(PAUSE)
    return alive


@pytest.mark.usefixtures("_only_new_objects")
@pytest.mark.skipif(not OPEN_FILES.exists(), reason="this system does not list open files")
@pytest.mark.parametrize("use", USES)
def test_calls_leave_no_file_thread_or_object(gw: LocalGateway, use: str) -> None:
    USES[use](gw, 5)
    before = _alive_when_idle(gw)
    USES[use](gw, TIMES)
    end = time.monotonic() + SOON
    while (left := _alive(gw) - before) and time.monotonic() < end:
        time.sleep(PAUSE)
    assert left == Counter()
