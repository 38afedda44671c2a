"""No async call blocks its event loop, as LangChain's own tests and `langgraph dev` demand."""

import pytest

from langchain_cf_deepseek.local import LocalGateway
from tests.subprocesses import run_python

# In a process of its own, for the first call reads certificates and imports modules.
FIRST_CALLS = """
import asyncio, sys
sys.modules.update(dict.fromkeys(sys.argv[2:]))

from blockbuster import blockbuster_ctx
from langchain_cf_deepseek import ChatCloudflareDeepSeek
from langchain_cf_deepseek.logs import GatewayLogs

async def ainvoke(llm):
    return (await llm.ainvoke("What is 6 * 7?")).text

async def astream(llm):
    return "".join([chunk.text async for chunk in llm.astream("What is 6 * 7?")])

async def logs(llm):
    message = await llm.ainvoke("What is 6 * 7?")
    await GatewayLogs().aget(message)
    return message.text

async def main():
    ask = {"ainvoke": ainvoke, "astream": astream, "logs": logs}[sys.argv[1]]
    async with ChatCloudflareDeepSeek(model="deepseek-flash") as llm:
        with blockbuster_ctx():
            print(await ask(llm))

asyncio.run(main())
"""


@pytest.mark.parametrize("without", [[], ["aiohttp"]], ids=["fast", "without fast"])
@pytest.mark.parametrize("call", ["ainvoke", "astream", "logs"])
def test_first_async_call_of_a_process_does_not_block_its_event_loop(
    gw: LocalGateway, call: str, without: list[str]
) -> None:
    settings = {
        **gw.environment(),
        "CLOUDFLARE_API_TOKEN": gw.cloudflare_api_token,
        "CLOUDFLARE_BASE_URL": f"{gw.url}/client/v4",
    }
    done = run_python("-c", FIRST_CALLS, call, *without, env=settings)
    assert (done.stdout, done.stderr) == ("6 * 7 = 42\n", "")
