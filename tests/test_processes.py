"""What a process keeps open from construction to exit, and one model in several processes."""

import os
from pathlib import Path

import pytest

from langchain_cf_deepseek.local import LocalGateway
from tests.subprocesses import run_python
from tests.workload import count_http_clients

# In development mode asyncio also logs that a machine is slow.
NO_WORD_OF_SPEED = "import logging; logging.getLogger('asyncio').setLevel(logging.ERROR)\n"


def _run(gw: LocalGateway, script: str | Path) -> str:
    """Run a script in which every warning is an error and nothing must be left open."""
    program = ["-c", NO_WORD_OF_SPEED + script] if isinstance(script, str) else [str(script)]
    done = run_python("-X", "dev", "-W", "error", *program, env=gw.environment())
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout


# One process serves two tests, because starting it takes longer than either.
LIFE_OF_A_PROCESS = """
import asyncio, sys, threading
from langchain_cf_deepseek import ChatCloudflareDeepSeek

sockets = []
sys.addaudithook(lambda event, args: sockets.append(event) if event.startswith("socket.") else None)
models = [ChatCloudflareDeepSeek(model="deepseek-flash") for _ in range(100)]
copies = [model.with_gateway(cache_ttl=60) for model in models]
print(len(models), sockets, threading.active_count())

llm = models.pop()

async def ask():
    await asyncio.gather(*(llm.ainvoke("Hello") for _ in range(5)))
    async for chunk in llm.astream("Hello"):
        pass

async def leave_early():
    async for chunk in llm.astream("Hello"):
        break

async def forget_the_model():
    await ChatCloudflareDeepSeek(model="deepseek-flash").ainvoke("Hello")

async def close():
    async with ChatCloudflareDeepSeek(model="deepseek-flash") as other:
        await other.ainvoke("Hello")
    await llm.ainvoke("Hello")
    await llm.aclose()

for work in (ask, leave_early, forget_the_model, close, ask):
    asyncio.run(work())

loop = asyncio.new_event_loop()
loop.run_until_complete(ask())
loop.run_until_complete(loop.shutdown_asyncgens())
loop.close()

llm.invoke("Hello")
for chunk in llm.stream("Hello"):
    break
ChatCloudflareDeepSeek(model="deepseek-flash").invoke("Hello")
unfinished = llm.stream("Hello")
next(unfinished)
print("done")
"""


@pytest.fixture(scope="module")
def life_of_a_process(running_gateway: LocalGateway) -> list[str]:
    return _run(running_gateway, LIFE_OF_A_PROCESS).splitlines()


def test_construction_opens_no_socket_and_starts_no_thread(life_of_a_process: list[str]) -> None:
    assert life_of_a_process[0] == "100 [] 1"


def test_process_leaves_nothing_open_when_loops_end_and_the_interpreter_exits(
    life_of_a_process: list[str],
) -> None:
    # `_run` has checked that the process raised no warning.
    assert life_of_a_process[1:] == ["done"]


def test_construction_builds_no_client(gw: LocalGateway) -> None:
    before = count_http_clients()
    models = [gw.chat_model().with_gateway(cache_ttl=60) for _ in range(10)]
    assert (len(models), count_http_clients() - before) == (10, 0)
    models[0].invoke("Hello")
    assert count_http_clients() - before == 1


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system cannot fork")
def test_forked_and_spawned_processes_can_use_a_used_model(
    gw: LocalGateway, tmp_path: Path
) -> None:
    script = tmp_path / "processes.py"
    script.write_text(
        NO_WORD_OF_SPEED
        + """
import asyncio, multiprocessing, os
from langchain_cf_deepseek import ChatCloudflareDeepSeek

def ask(llm):
    return llm.invoke("Hello").content

async def aask(llm):
    return (await llm.ainvoke("Hello")).content

if __name__ == "__main__":
    llm = ChatCloudflareDeepSeek(model="deepseek-flash")
    answer = ask(llm)
    unfinished = llm.stream("Hello")
    first = next(unfinished)

    # Parent and child continue with the same object, and the parent with its open stream.
    child = os.fork()
    same = [ask(llm) == answer, asyncio.run(aask(llm)) == answer, ask(llm) == answer]
    if not child:
        llm.close()
        os._exit(0 if all(same) else 1)
    status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    rest = "".join(chunk.content for chunk in (first, *unfinished))
    print(status, same, rest == answer, ask(llm) == answer)

    for method in ("fork", "spawn"):
        with multiprocessing.get_context(method).Pool(1) as pool:
            print(method, pool.apply(ask, (llm,)) == answer)
            pool.close()
            pool.join()
"""
    )
    assert _run(gw, script) == ("0 [True, True, True] True True\nfork True\nspawn True\n")
