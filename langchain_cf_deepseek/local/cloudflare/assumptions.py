"""Assumptions where the services' documentation is silent or contradicts itself."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class Assumptions:
    """How the gateway behaves where the behaviour of Cloudflare or DeepSeek is not published.

    A client has to work with every alternative.
    """

    timeout_status: Literal[400, 502, 504] = 504
    """The status of code 2005 when `cf-aig-request-timeout` has expired."""
    unknown_route_status: Literal[400, 404] = 404
    """The status for an unknown dynamic route: 404 with code 7003, or 400 with code 2005."""
    missing_key_code: Literal[2001, 2021] | None = None
    """The code of the gateway host when a request has no DeepSeek key and none is stored.

    None means that the gateway forwards the request, and DeepSeek refuses it.
    """
    retry_client_errors: bool = False
    """Whether the gateway retries after a 4xx of the provider; after 429 it always does."""
    dlp_status: Literal[400, 424] = 400
    """The status of codes 2029 and 2030."""
    rest_guardrail_status: Literal[422, 424] = 422
    """The status of the REST host when a guardrail blocks.

    422 has code 2017 for prompt and response, 424 has code 2016 for a prompt.
    """
    guardrail_content_type: str = "application/json"
    """The content type of the JSON with which the gateway host responds to `stream: true`."""
    spend_limit_code: Literal[2041, 2045] = 2045
    """The code of a spend limit: observed were 2041 in September 2026 and 2045 in October."""
    deepseek_paths: bool = True
    """Whether the gateway forwards `/files` and `/v1/tools/`: Cloudflare documents neither."""
    november_2026: bool = True
    """Whether DeepSeek's chat has what it published in November 2026: server tools, file ids,
    `safety_check`, `title`, a checked `latest_reminder`.

    Other servers of the model do not: they refuse server tools and ignore the other fields.
    """
    server_tool_blocks: Literal["content", "key", "none"] = "content"
    """Where a chat response has the calls, results and citations of server tools.

    `content`: `content` is a list of blocks; in deltas they have an `index`. `key`: a list beside
    `content`, under a name of this gateway's own, `server_tool_blocks`. `none`: only the text. The
    form of DeepSeek's own responses is not published.
    """
