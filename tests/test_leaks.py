"""Nothing of a call is left when it is over: no socket, no thread, no object."""

import threading
import time
from collections import Counter
from pathlib import Path

import pytest

from langchain_cf_deepseek.local import LocalGateway
from tests.workload import WAYS, objects_of_calls

TIMES = 40
SOON = 5.0
"""Seconds in which the gateway must notice that its client hung up."""
PAUSE = 0.05

OPEN_FILES = Path("/dev/fd")


def _alive(gw: LocalGateway) -> Counter[str]:
    gw.reset()
    return Counter(
        {
            "open files": len(list(OPEN_FILES.iterdir())),
            "threads": threading.active_count(),
            "objects": objects_of_calls(),
        }
    )


def _settled(gw: LocalGateway) -> Counter[str]:
    """What is alive when nothing goes on any more: the gateway's end of a connection goes last."""
    alive = _alive(gw)
    time.sleep(PAUSE)
    while alive != (alive := _alive(gw)):
        time.sleep(PAUSE)
    return alive


@pytest.mark.skipif(not OPEN_FILES.exists(), reason="this system does not list open files")
@pytest.mark.parametrize("way", WAYS)
def test_calls_leave_no_file_thread_or_object(gw: LocalGateway, way: str) -> None:
    WAYS[way](gw, 5)
    before = _settled(gw)
    WAYS[way](gw, TIMES)
    end = time.monotonic() + SOON
    while (left := _alive(gw) - before) and time.monotonic() < end:
        time.sleep(PAUSE)
    assert left == Counter()
