"""The upload of a folder: pairs of path and result, as they are ready."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from concurrent.futures import ThreadPoolExecutor, as_completed
from os import PathLike, fspath
from pathlib import Path

from langchain_cf_deepseek._errors.invalid_requests import refused_before_sending
from langchain_cf_deepseek._files_api import UploadedFile
from langchain_cf_deepseek._files_once import AsyncUpload, Upload
from langchain_cf_deepseek.errors import CFDeepSeekError


class FolderUpload:
    """What `upload_folder` returns: (path, file or error) pairs, sync or async, and a length."""

    paths: tuple[Path, ...]
    """The files to upload."""

    def __init__(
        self, paths: tuple[Path, ...], upload: Upload, aupload: AsyncUpload, max_concurrency: int
    ) -> None:
        self.paths = paths
        self._upload, self._aupload = upload, aupload
        self._max_concurrency = max_concurrency

    def __repr__(self) -> str:
        return f"FolderUpload({len(self)} files)"

    def __len__(self) -> int:
        return len(self.paths)

    def __iter__(self) -> Iterator[tuple[Path, UploadedFile | CFDeepSeekError]]:
        executor = ThreadPoolExecutor(self._max_concurrency)
        try:
            futures = {executor.submit(self._upload, path, None): path for path in self.paths}
            for future in as_completed(futures):
                try:
                    result: UploadedFile | CFDeepSeekError = future.result()
                except CFDeepSeekError as error:
                    result = error
                yield futures[future], result
        finally:  # also when the caller stops halfway
            executor.shutdown(cancel_futures=True)

    async def __aiter__(self) -> AsyncIterator[tuple[Path, UploadedFile | CFDeepSeekError]]:
        slots = asyncio.Semaphore(self._max_concurrency)

        async def upload(path: Path) -> tuple[Path, UploadedFile | CFDeepSeekError]:
            async with slots:
                try:
                    return path, await self._aupload(path, None)
                except CFDeepSeekError as error:
                    return path, error

        tasks = [asyncio.ensure_future(upload(path)) for path in self.paths]
        try:
            for task in asyncio.as_completed(tasks):
                yield await task
        finally:
            for started in tasks:
                started.cancel()


@refused_before_sending("path")
def list_folder(path: str | PathLike[str], pattern: str) -> tuple[Path, ...]:
    """Return the files of a folder that match `pattern`, without hidden ones.

    Raises:
        CFDeepSeekInvalidRequestError: There is no such folder, or the pattern is invalid.
    """
    folder = Path(path)
    if not folder.is_dir():
        msg = f"{fspath(path)!r} is not a folder: use `upload` for one file."
        raise ValueError(msg)
    found = (p for p in folder.glob(pattern) if not p.name.startswith(".") and p.is_file())
    return tuple(sorted(found))
