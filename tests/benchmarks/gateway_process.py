"""A local gateway in a process of its own, so that what is measured here is the client alone."""

import multiprocessing
from multiprocessing.connection import Connection
from typing import Any, Self

from typing_extensions import override

from langchain_cf_deepseek.local import Fault, LocalGateway


def _serve(orders: Connection) -> None:
    with LocalGateway() as gateway:
        orders.send(gateway.url)
        while order := orders.recv():
            name, arguments = order
            getattr(gateway, name)(*arguments)
            orders.send(None)


class GatewayProcess(LocalGateway):
    """Takes the place of a `LocalGateway`; faults and resets are passed on."""

    @override
    def start(self) -> Self:
        context = multiprocessing.get_context("spawn")
        self._orders, theirs = context.Pipe()
        self._process = context.Process(target=_serve, args=(theirs,), daemon=True)
        self._process.start()
        self._url: str = self._orders.recv()
        return self

    @override
    def stop(self) -> None:
        self._orders.send(None)
        self._process.join()
        self._orders.close()

    @property
    @override
    def url(self) -> str:
        return self._url

    @override
    def fault(self, fault: Fault | None = None, /, **fields: Any) -> None:
        self._order("fault", fault or Fault(**fields))

    @override
    def reset(self) -> None:
        self._order("reset")

    def _order(self, name: str, *arguments: Any) -> None:
        self._orders.send((name, arguments))
        self._orders.recv()
