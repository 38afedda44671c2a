"""Cloudflare's SDK for JavaScript on the gateway's logs, as `test_logs_api.py` has Python's."""

from langchain_cf_deepseek.local import LocalGateway
from tests.real_clients.conftest import Node


def test_a_request_is_listed_read_rated_and_deleted(gw: LocalGateway, run_client: Node) -> None:
    gw.reply(content="Rayleigh scattering.")
    message = gw.chat_model(gateway={"metadata": {"team": "search"}}).invoke("Why is it blue?")
    id_ = message.response_metadata["cloudflare_gateway"]["log_id"]

    assert run_client("cloudflare", "list") == [
        {"id": id_, "model": "deepseek-flash", "provider": "deepseek", "success": True}
    ]
    assert run_client("cloudflare", "list", {"model": "deepseek-v4-pro"}) == []
    usage = message.usage_metadata
    assert usage is not None
    entry = run_client("cloudflare", "get", {"id": id_})
    assert (entry["model"], entry["tokens_in"], entry["tokens_out"]) == (
        "deepseek-flash",
        usage["input_tokens"],
        usage["output_tokens"],
    )
    bodies = run_client("cloudflare", "bodies", {"id": id_})
    assert bodies["request"]["messages"] == [{"role": "user", "content": "Why is it blue?"}]
    assert bodies["response"]["choices"][0]["message"]["content"] == "Rayleigh scattering."
    edited = run_client("cloudflare", "edit", {"id": id_, "feedback": 1, "score": 90})
    assert edited["success"] is True
    assert run_client("cloudflare", "remove", {"id": id_}) == []


def test_a_wrong_token_is_an_authentication_error(run_client: Node) -> None:
    error = run_client("cloudflare", "list", CLOUDFLARE_API_TOKEN="wrong")
    assert (error["type"], error["status"]) == ("AuthenticationError", 401)


def test_an_unknown_log_is_not_found(run_client: Node) -> None:
    error = run_client("cloudflare", "get", {"id": "01a00000-0000-7000-8000-000000000000"})
    assert (error["type"], error["status"]) == ("NotFoundError", 404)
