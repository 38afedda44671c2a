"""Runs commands, and the JavaScript clients of `clients/`: each scenario in its own process."""

import asyncio
import json
import os
import shutil
from asyncio.subprocess import PIPE
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

from langchain_cf_deepseek.local import LocalGateway, Routing

HERE = Path(__file__).parent
MAX_SECONDS = 60

Node = Callable[..., Any]


def output_of(command: list[str], environment: Mapping[str, str] = os.environ) -> str:
    """Run a command and return its standard output."""

    async def run() -> str:
        process = await asyncio.create_subprocess_exec(*command, env=environment, stdout=PIPE)
        try:
            output, _ = await asyncio.wait_for(process.communicate(), MAX_SECONDS)
        except TimeoutError:
            process.kill()
            await process.wait()
            raise
        assert process.returncode == 0
        return output.decode()

    return asyncio.run(run())


@pytest.fixture(scope="session")
def node() -> str:
    """The path of node, once the clients are installed."""
    for name in ("node", "npm"):
        if shutil.which(name) is None:
            pytest.skip(f"`{name}` is not on the path")
    if not (HERE / "node_modules").exists():
        pytest.skip("run `npm ci --omit=optional` in tests/real_clients first")
    path = shutil.which("node")
    assert path is not None
    return path


@pytest.fixture
def run_client(gw: LocalGateway, node: str) -> Node:
    """Run a scenario of a JavaScript client; returns its result or its error."""

    def run(
        client: str,
        scenario: str,
        argument: Any = None,
        *,
        gateway: LocalGateway = gw,
        routing: Routing = "provider-native",
        **environment: str,
    ) -> Any:
        default_environment = {
            "GATEWAY_URL": gateway.url,
            "BASE_URL": gateway.base_url(routing),
            "ACCOUNT_ID": gateway.account_id,
            "GATEWAY_ID": gateway.gateway_id,
            "GATEWAY_TOKEN": gateway.gateway_token,
            "API_KEY": gateway.api_key,
            "CLOUDFLARE_API_TOKEN": gateway.cloudflare_api_token,
        }
        script = HERE / "clients" / f"{client}.mjs"
        command = [node, str(script), scenario, json.dumps(argument or {})]
        outcome = json.loads(output_of(command, default_environment | environment))
        return outcome["result"] if "result" in outcome else outcome["error"]

    return run
