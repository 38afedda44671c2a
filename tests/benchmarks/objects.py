"""What a model costs before it is asked anything."""

import gc
import ssl
import threading
import time
import tracemalloc
from socket import socket
from typing import Any

from tests.benchmarks.contenders import CONTENDERS

MEASURED_SECONDS = 0.5
TRACED = 50


def further_objects(contender: str, server: str) -> tuple[float, ...]:
    """Milliseconds and kilobytes of an object after the first, and what opens before a call."""
    make = CONTENDERS[contender].make
    url = f"{server}/packed/20"
    make(url)
    before = _open()
    made = [make(url)]
    opened = _open() - before

    begin = time.process_time()
    count = 0
    while time.process_time() - begin < MEASURED_SECONDS:
        make(url)
        count += 1
    milliseconds = 1000 * (time.process_time() - begin) / count

    gc.collect()
    tracemalloc.start()
    size = tracemalloc.get_traced_memory()[0]
    made += [make(url) for _ in range(TRACED)]
    gc.collect()
    kilobytes = (tracemalloc.get_traced_memory()[0] - size) / TRACED / 1024
    tracemalloc.stop()
    return milliseconds, kilobytes, opened


def first_object(contender: str, server: str) -> tuple[float, ...]:
    """What the first object opens, and how many TLS contexts it and a second make when asked."""
    make = CONTENDERS[contender].make
    url = f"{server}/packed/20"
    _import(contender)
    before, contexts = _open(), _living(ssl.SSLContext)
    first = make(url)
    opened = _open() - before
    second = make(url)
    for chat in (first, second):
        chat.invoke("hi")
    return opened, _living(ssl.SSLContext) - contexts


def many_objects(contender: str, server: str, *, count: int) -> tuple[float, ...]:
    """Seconds for so many objects, all kept, and one of them asked."""
    make = CONTENDERS[contender].make
    begin = time.process_time()
    made = [make(f"{server}/packed/20") for _ in range(count)]
    seconds = time.process_time() - begin
    made[-1].invoke("hi")
    return (seconds,)


def _import(contender: str) -> None:
    exec(CONTENDERS[contender].statement, {})  # noqa: S102 - our own table's


def _open() -> int:
    return threading.active_count() + _living(socket) + _living(ssl.SSLContext)


def _living(kind: type[Any]) -> int:
    return sum(issubclass(type(thing), kind) for thing in gc.get_objects())
