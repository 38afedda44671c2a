"""Every example of Cloudflare's page on DeepSeek, changed only where the page says "your".

https://developers.cloudflare.com/ai-gateway/usage/providers/deepseek/ (CC BY 4.0). One example is
left out: that for Workers imports `@cloudflare/ai-gateway`, which npm does not have.
"""

import json
import shutil
from collections.abc import Iterator

import pytest

from langchain_cf_deepseek.local import LocalGateway
from tests.real_clients.conftest import Node, output_of

HOST = "https://gateway.ai.cloudflare.com"
CHAT = r"""
curl https://gateway.ai.cloudflare.com/v1/{account_id}/{gateway_id}/deepseek/chat/completions \
 --header 'content-type: application/json' \
 --header 'Authorization: Bearer DEEPSEEK_TOKEN' \
 --data '{
    "model": "deepseek-chat",
    "messages": [
        {
            "role": "user",
            "content": "What is Cloudflare?"
        }
    ]
}'
"""
COMPAT_ENDPOINT = (
    "https://gateway.ai.cloudflare.com/v1/{account_id}/{gateway_id}/compat/chat/completions"
)
COMPAT_MODEL = '"model": "deepseek/{model}"'


@pytest.fixture(scope="module")
def open_gateway() -> Iterator[LocalGateway]:
    """A gateway without authentication, as the page assumes, with the page's placeholder as key."""
    with LocalGateway(authenticated=False, api_key="DEEPSEEK_TOKEN") as gateway:
        yield gateway


def _curl(command: str, gateway: LocalGateway, *options: str) -> str:
    if shutil.which("curl") is None or shutil.which("bash") is None:
        pytest.skip("`curl` or `bash` is not on the path")
    for printed, own in {
        HOST: gateway.url,
        "{account_id}": gateway.account_id,
        "{gateway_id}": gateway.gateway_id,
    }.items():
        command = command.replace(printed, own)
    script = " ".join(
        ["curl --silent --show-error", *options, command.strip().removeprefix("curl")]
    )
    return output_of(["bash", "-c", script])


def test_the_curl_example_gets_a_completion(open_gateway: LocalGateway) -> None:
    open_gateway.reply(content="A network.")
    completion = json.loads(_curl(CHAT, open_gateway))
    assert completion["object"] == "chat.completion"
    assert completion["model"] == "deepseek-flash"
    assert completion["choices"][0]["message"] == {"role": "assistant", "content": "A network."}


def test_the_curl_example_streams(open_gateway: LocalGateway) -> None:
    command = CHAT.replace('"model": "deepseek-chat"', '"model": "deepseek-chat", "stream": true')
    events = _curl(command, open_gateway, "--no-buffer").strip().split("\n\n")
    assert events[-1] == "data: [DONE]"
    assert all(event.startswith("data: {") for event in events[:-1])


def test_the_curl_example_names_a_wrong_key(open_gateway: LocalGateway) -> None:
    wrong = CHAT.replace("DEEPSEEK_TOKEN", "WRONG_TOKEN")
    error = json.loads(_curl(wrong, open_gateway))["error"]
    assert "Authentication Fails" in error["message"]


def test_the_compat_endpoint_takes_the_model_as_the_page_writes_it(
    open_gateway: LocalGateway,
) -> None:
    open_gateway.reply(content="A network.")
    native = CHAT.partition("curl ")[2].partition(" ")[0]
    command = CHAT.replace(native, COMPAT_ENDPOINT).replace(
        '"model": "deepseek-chat"', COMPAT_MODEL.format(model="deepseek-chat")
    )
    completion = json.loads(_curl(command, open_gateway))
    assert completion["choices"][0]["message"]["content"] == "A network."


def test_the_example_for_the_openai_sdk_gets_a_message(
    open_gateway: LocalGateway, run_client: Node
) -> None:
    open_gateway.reply(content="A network.")
    message = run_client("openai", "page_example", gateway=open_gateway)
    assert message == {"role": "assistant", "content": "A network."}
