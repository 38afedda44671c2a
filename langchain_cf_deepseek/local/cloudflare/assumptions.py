"""Where Cloudflare's documentation is silent, or says two things: which reading to follow."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class Assumptions:
    """How the gateway behaves where nobody has published what Cloudflare does.

    A client has to get along with every one of them.
    """

    timeout_status: Literal[400, 502, 504] = 504
    """The status with which code 2005 tells that `cf-aig-request-timeout` ran out."""
    unknown_route_status: Literal[400, 404] = 404
    """A dynamic route that the gateway does not have: not found, or 400 with code 2005."""
    missing_key_code: Literal[2001, 2021] | None = None
    """What the gateway host says when nobody brought a DeepSeek key.

    None means that it sends the request on, and that DeepSeek refuses.
    """
    retry_client_errors: bool = False
    """Whether the gateway tries again after a 4xx of the provider, 429 apart, which it always does.
    """
    dlp_status: Literal[400, 424] = 400
    """The status of codes 2029 and 2030."""
    rest_guardrail_status: Literal[422, 424] = 422
    """What the REST host says when a guardrail blocks.

    422 comes with code 2017 for prompt and answer, 424 with 2016 for a prompt.
    """
    guardrail_content_type: str = "application/json"
    """What the gateway host calls the one piece in which it answers `stream: true`."""
    spend_limit_code: Literal[2041, 2045] = 2045
    """The code of a spend limit: 2041 was seen in September 2026, 2045 in October."""
