"""Uploads by content: each content once, also when several calls need it at the same time."""

import asyncio
import threading
from collections.abc import Awaitable, Callable, Iterator, Mapping
from concurrent.futures import CancelledError, Future
from contextlib import contextmanager
from os import PathLike
from typing import Any, Self, TypeAlias

from langchain_cf_deepseek._files_api import UploadedFile

Source: TypeAlias = str | PathLike[str] | bytes
"""A file: its path, or its content."""

Upload: TypeAlias = Callable[[Source, str | None], UploadedFile]
"""Uploads a file under a name."""

AsyncUpload: TypeAlias = Callable[[Source, str | None], Awaitable[UploadedFile]]
"""`Upload` for an event loop."""


class Uploads:
    """The files uploaded so far by their content, so that each is uploaded once.

    A call that finds the same content being uploaded waits for it. Calls of different event loops
    do not wait for each other, so neither can block the other.
    """

    def __init__(self, done: Mapping[Any, UploadedFile] | None = None) -> None:
        self._done = dict(done or {})
        self._running: dict[Any, Future[UploadedFile]] = {}
        self._lock = threading.Lock()

    def __reduce__(self) -> tuple[type[Self], tuple[dict[Any, UploadedFile]]]:
        return type(self), (self._done.copy(),)

    def __len__(self) -> int:
        return len(self._done)

    def once(self, key: Any, upload: Callable[[], UploadedFile]) -> UploadedFile:
        """Return the file of a content, uploaded by `upload` unless it is there already."""
        while True:
            future, is_owner = self._claim(None, key)
            if is_owner:
                with self._running_as(None, key, future):
                    future.set_result(file := upload())
                return file
            try:
                return future.result()
            except CancelledError:  # the call that uploaded it gave up
                continue

    async def aonce(self, key: Any, upload: Callable[[], Awaitable[UploadedFile]]) -> UploadedFile:
        """`once` for an event loop."""
        loop = asyncio.get_running_loop()
        while True:
            future, is_owner = self._claim(loop, key)
            if is_owner:
                with self._running_as(loop, key, future):
                    future.set_result(file := await upload())
                return file
            waiter = asyncio.wrap_future(future)
            await asyncio.wait([waiter])
            if not waiter.cancelled():
                return waiter.result()

    def forget(self, file_id: str) -> None:
        """Forget a file that was deleted."""
        with self._lock:
            self._done = {key: file for key, file in self._done.items() if file.id != file_id}

    def _claim(self, loop: Any, key: Any) -> tuple[Future[UploadedFile], bool]:
        """Return the future of a content, and whether the caller has to upload it."""
        with self._lock:
            file = self._done.get(key)
            if file is not None and not file.is_expired:
                future: Future[UploadedFile] = Future()
                future.set_result(file)
                return future, False
            if (loop, key) in self._running:
                return self._running[loop, key], False
            return self._running.setdefault((loop, key), Future()), True

    @contextmanager
    def _running_as(self, loop: Any, key: Any, future: Future[UploadedFile]) -> Iterator[None]:
        try:
            yield
        except Exception as error:
            future.set_exception(error)
            raise
        finally:
            with self._lock:
                del self._running[loop, key]
                if future.done() and not future.exception():
                    self._done[key] = future.result()
            future.cancel()  # no effect unless the upload was interrupted
