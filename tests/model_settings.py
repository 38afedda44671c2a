"""Model settings to copy and serialize, and the parts of a request that show them."""

from typing import Any

from langchain_cf_deepseek.local import LocalGateway

SETTINGS: dict[str, Any] = {
    "temperature": 0.5,
    "max_tokens": 300,
    "stop": ["END"],
    "thinking": "enabled",
    "reasoning_effort": "low",
    "user_id": "user-1",
    "extra_body": {"title": {"enabled": True}},
    "model_kwargs": {"seed": 7},
    "default_query": {"a": "1"},
    "timeout": (5.0, 30.0),
    "max_retries": 1,
    "stream_chunk_timeout": 5.0,
    "output_version": "v1",
    "gateway": {
        "cache_ttl": 3600,
        "metadata": {"team": "search"},
        "custom_cost": {"total_cost": 1},
        "allowed_models": ["deepseek/*"],
    },
}

HEADERS_OF_THE_CONNECTION = {"host", "content-length", "accept-encoding", "connection"}


def sent_settings(gw: LocalGateway) -> dict[str, Any]:
    """Return everything in the last request that a setting of the model can change."""
    request = gw.requests[-1]
    headers = {
        name: text
        for name, text in request.headers.items()
        if name not in HEADERS_OF_THE_CONNECTION
    }
    body = {name: value for name, value in request.body.items() if not name.startswith("stream")}
    return {"path": request.path, "query": request.query, **headers, **body}
