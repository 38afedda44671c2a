"""What a test scripts while a local gateway runs: replies, documents, faults."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from langchain_cf_deepseek.local.application import GatewayApplication
from langchain_cf_deepseek.local.deepseek.files import ScriptedDocument
from langchain_cf_deepseek.local.deepseek.service import DeepSeek
from langchain_cf_deepseek.local.faults.catalog import failure
from langchain_cf_deepseek.local.faults.specification import Fault
from langchain_cf_deepseek.local.simulated_model.scripted_replies import Reply


class Scripting:
    """The methods of `LocalGateway` that script what happens next."""

    _application: GatewayApplication

    def reply(self, reply: Reply | None = None, /, **fields: Any) -> None:
        """Script the next reply of the simulated model; replies are used in order.

        Args:
            reply: The reply.
            **fields: The fields of a `Reply`, as an alternative to `reply`.

        Raises:
            TypeError: The gateway has an upstream instead of the simulated model.
        """
        self._simulated_service("Replies")
        self._application.generation.replies.append(reply or Reply(**fields))

    def fault(self, fault: Fault | None = None, /, **fields: Any) -> None:
        """Request a fault for later requests.

        Args:
            fault: The fault.
            **fields: The fields of a `Fault`, as an alternative to `fault`.
        """
        self._application.generation.faults.add(fault or Fault(**fields))

    def fail_next(self, name: str, *, times: int | None = 1) -> None:
        """Request a known failure of Cloudflare or DeepSeek.

        Args:
            name: One of `FAILURES`, `gateway-token` or `spend-limit` for instance.
            times: How many requests fail; None means all.

        Raises:
            ValueError: No failure has that name.
        """
        self.fault(replace(failure(name), times=times))

    def document(self, filename: str, text: str | None = None, *, seconds: float = 0.0) -> None:
        """Script how uploaded files of one name are parsed, as DeepSeek does it: silently.

        Args:
            filename: The name.
            text: The text that requests with the file's id get. None means the text of a plain text
                or of an uncompressed PDF; other files are not read.
            seconds: How long the parsing takes. No byte is sent meanwhile, and if the client
                disconnects, the file is kept all the same.

        Raises:
            TypeError: The gateway has an upstream instead of the simulated model.
        """
        service = self._simulated_service("Documents")
        service.files.scripted[filename] = ScriptedDocument(text, seconds)

    def expire_files(self) -> None:
        """Let all uploaded files that have an expiry expire now.

        Raises:
            TypeError: The gateway has an upstream instead of the simulated model.
        """
        self._simulated_service("Files").files.expire()

    def _simulated_service(self, scripted: str) -> DeepSeek:
        service = self._application.generation.provider
        if not isinstance(service, DeepSeek):
            msg = f"{scripted} cannot be scripted: the gateway has an upstream."
            raise TypeError(msg)
        return service
