"""The command line, as a process of its own where that matters, in this process elsewhere."""

import io
import json
import os
import pty
import re
import shlex
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import redirect_stdout, suppress
from importlib.metadata import entry_points
from pathlib import Path
from typing import get_args

import pytest

from langchain_cf_deepseek import ChatCloudflareDeepSeek, __version__
from langchain_cf_deepseek.cli import chat, main
from langchain_cf_deepseek.data.routings import Routing
from langchain_cf_deepseek.local import LocalGateway, gateway_error
from tests.subprocesses import run_python

QUESTION = "Why is the sky blue?"
SECONDS = 30
"""Far above what a command takes; one that hangs is stopped then."""

STREAM = """\
data: {"model": "some-model", "choices": [{"index": 0, "delta": {"content": "Hi."}}]}

data: {"choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]}

data: [DONE]

"""


@pytest.fixture(autouse=True)
def _plain_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NO_COLOR", raising=False)


@pytest.fixture
def _interruptible() -> Iterator[None]:
    """Let children react to Ctrl-C, even where the tests run in a shell's background."""
    earlier = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, earlier)


@pytest.fixture
def account(gw: LocalGateway, monkeypatch: pytest.MonkeyPatch) -> LocalGateway:
    """The gateway whose account the environment variables name."""
    for name, value in gw.environment().items():
        monkeypatch.setenv(name, value)
    return gw


def on_a_terminal(*arguments: str) -> tuple[int, str]:
    """The exit status of a command, and what the terminal shows that it writes to."""
    controller, end = pty.openpty()
    with os.fdopen(end, "w") as stream, redirect_stdout(stream):
        status = main(arguments)
    pieces: list[bytes] = []
    # What was written arrives in pieces; behind the last one is an error, for the other end closed.
    with os.fdopen(controller, "rb", buffering=0) as shown, suppress(OSError):
        pieces.extend(iter(lambda: shown.read(4096), b""))
    return status, b"".join(pieces).decode().replace("\r\n", "\n")


def command(*arguments: str) -> list[str]:
    return [sys.executable, "-m", "langchain_cf_deepseek", *arguments]


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    return run_python("-m", "langchain_cf_deepseek", *arguments, timeout=SECONDS)


def start_command(*arguments: str) -> subprocess.Popen[str]:
    process = subprocess.Popen(  # noqa: S603  # our own command
        command(*arguments), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    alarm = threading.Timer(SECONDS, process.kill)
    alarm.daemon = True
    alarm.start()
    return process


def parse_exports(lines: str) -> dict[str, str]:
    """Return the variables that `export NAME=value` lines set in a shell."""
    words = [shlex.split(line) for line in lines.splitlines()]
    assert [word[0] for word in words] == ["export"] * len(words)
    return dict(word[1].split("=", 1) for word in words)


def test_help_imports_neither_langchain_nor_openai_nor_pydantic() -> None:
    script = (
        "import sys\n"
        "from langchain_cf_deepseek.cli import main\n"
        "try:\n    main(['--help'])\n"
        "except SystemExit as end:\n    print('status', end.code)\n"
        "print({name.partition('.')[0] for name in sys.modules}"
        " & {'langchain_core', 'langchain_openai', 'openai', 'httpx', 'pydantic', 'uvicorn'})"
    )
    done = run_python("-c", script)
    assert done.stdout.splitlines()[-2:] == ["status 0", "set()"]
    assert done.stderr == ""


def test_installed_command_is_main() -> None:
    (script,) = entry_points(group="console_scripts", name="langchain-cf-deepseek")
    assert script.load() is main


def test_version_option_prints_the_package_version(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match=r"^0$"):
        main(["--version"])
    assert capsys.readouterr() == (f"langchain-cf-deepseek {__version__}\n", "")


def test_option_choices_are_those_of_the_model() -> None:
    thinking = ChatCloudflareDeepSeek.model_fields["thinking"].annotation
    assert get_args(get_args(thinking)[0]) == chat.THINKING


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "the following arguments are required: COMMAND"),
        (["chat"], "the following arguments are required: question"),
        (["chat", "Hi", "--routing", "native"], "argument --routing: invalid choice"),
        (["serve", "--port", "70000"], "'70000' is not a port: use a number up to 65535"),
        (["serve", "--port", "-1"], "'-1' is not a port: use a number up to 65535"),
        (["serve", "--upstream", "localhost:80/v1"], "'localhost:80/v1' is not a complete URL"),
        (["serve", "--upstream", "http://[/v1"], "argument --upstream: invalid"),
        (
            ["serve", "--upstream", "http://127.0.0.1/v1/chat/completions"],
            "it must end before /chat/completions",
        ),
    ],
)
def test_invalid_arguments_exit_with_status_2(
    arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit, match=r"^2$"):
        main(arguments)
    assert message in capsys.readouterr().err


def test_chat_local_prints_reasoning_then_the_answer_then_one_line_of_metadata() -> None:
    done = run("chat", "--local", QUESTION)
    assert done.stdout == (
        "[reasoning]\n"
        'The user says: "Why is the sky blue?" No tool is needed.\n'
        "\n"
        "[answer]\n"
        'You asked: "Why is the sky blue?" I am the simulated model of a local gateway and know '
        "nothing about the world, but this answer took the same path as a real one.\n"
    )
    assert re.fullmatch(
        r"deepseek-flash \(local gateway, simulated model\) \| tokens: \d+ in \(0 cached\), "
        r"\d+ out \(\d+ reasoning\) \| gateway cache: MISS \| log id: [0-9a-f-]{36}\n",
        done.stderr,
    )
    assert done.returncode == 0


def test_chat_uses_the_account_of_the_environment_and_calls_nothing_local(
    account: LocalGateway, capsys: pytest.CaptureFixture[str]
) -> None:
    account.reply(content="Rayleigh.\n", reasoning="Short waves.\n", cached_tokens=4)
    status = main(["chat", QUESTION])
    out, err = capsys.readouterr()
    assert out == "[reasoning]\nShort waves.\n\n[answer]\nRayleigh.\n"
    assert re.fullmatch(
        r"deepseek-flash \| tokens: \d+ in \(4 cached\), \d+ out \(\d+ reasoning\) \| "
        r"gateway cache: MISS \| log id: [0-9a-f-]{36}\n",
        err,
    )
    assert status == 0


def test_chat_prints_no_headings_without_reasoning(
    account: LocalGateway, capsys: pytest.CaptureFixture[str]
) -> None:
    account.reply(content="Rayleigh.")
    assert main(["chat", QUESTION]) == 0
    assert capsys.readouterr().out == "Rayleigh.\n"


def test_chat_omits_missing_metadata(
    account: LocalGateway, capsys: pytest.CaptureFixture[str]
) -> None:
    unsaid = dict.fromkeys(("cf-aig-log-id", "cf-aig-cache-status"))
    account.fault(body=STREAM, content_type="text/event-stream", headers=unsaid)
    assert main(["chat", QUESTION]) == 0
    assert capsys.readouterr() == ("Hi.\n", "some-model\n")


def test_chat_json_is_one_object_and_says_whether_the_gateway_is_local(
    account: LocalGateway, capsys: pytest.CaptureFixture[str]
) -> None:
    account.reply(content="Дифракция 😀", reasoning="Hm.")
    assert main(["chat", QUESTION, "--json"]) == 0
    out, err = capsys.readouterr()
    record = json.loads(out)
    assert list(record) == ["content", "reasoning", "model", "local_gateway", "usage", "gateway"]
    usage, gateway = record.pop("usage"), record.pop("gateway")
    assert record == {
        "content": "Дифракция 😀",
        "reasoning": "Hm.",
        "model": "deepseek-flash",
        "local_gateway": False,
    }
    assert list(usage) == [
        "input_tokens",
        "output_tokens",
        "total_tokens",
        "input_token_details",
        "output_token_details",
    ]
    assert list(gateway) == ["log_id", "event_id", "request_id", "cache_status", "step", "ray"]
    assert out.isascii()
    assert out.count("\n") == 1
    assert err == ""


def test_chat_works_with_the_output_version_of_the_environment(
    account: LocalGateway,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("LC_OUTPUT_VERSION", "v1")
    account.reply(content="Rayleigh.", reasoning="Hm.")
    assert main(["chat", QUESTION]) == 0
    assert capsys.readouterr().out == "[reasoning]\nHm.\n\n[answer]\nRayleigh.\n"


def test_chat_replaces_characters_that_the_output_cannot_encode(
    account: LocalGateway, monkeypatch: pytest.MonkeyPatch
) -> None:
    written = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(written, encoding="ascii"))
    account.reply(content="naïve")
    assert main(["chat", QUESTION]) == 0
    assert written.getvalue() == b"na\\xefve\n"


def test_terminal_shows_reasoning_dimmed(account: LocalGateway) -> None:
    account.reply(content="Rayleigh.", reasoning="Short waves.")
    assert on_a_terminal("chat", QUESTION) == (0, "\x1b[2mShort waves.\x1b[0m\n\nRayleigh.\n")


def test_terminal_is_not_left_dimmed_when_the_stream_breaks(account: LocalGateway) -> None:
    account.fault(then="cut", after_chunks=3)
    assert on_a_terminal("chat", QUESTION) == (1, "\x1b[2mThe user\x1b[0m\n")


def test_terminal_output_obeys_no_color(
    account: LocalGateway, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NO_COLOR", "1")
    account.reply(content="Rayleigh.", reasoning="Short waves.")
    expected = "[reasoning]\nShort waves.\n\n[answer]\nRayleigh.\n"
    assert on_a_terminal("chat", QUESTION) == (0, expected)


def test_terminal_control_characters_of_an_answer_are_escaped(account: LocalGateway) -> None:
    account.reply(content="a\x1b[31mb\r\n\tc\x9bd")
    status, shown = on_a_terminal("chat", QUESTION)
    assert (status, shown.expandtabs()) == (0, "a[31mb\n        cd\n")


@pytest.mark.parametrize(
    ("routing", "model"),
    [
        ("provider-native", "deepseek-v4-pro"),
        ("unified", "deepseek/deepseek-v4-pro"),
        ("compat", "deepseek/deepseek-v4-pro"),
    ],
)
def test_chat_options_reach_the_wire(
    routing: Routing, model: str, gw: LocalGateway, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = gw.environment(routing)
    del settings["CLOUDFLARE_AI_GATEWAY_ROUTING"]
    for name, value in settings.items():
        monkeypatch.setenv(name, value)
    options = ["--routing", routing, "--model", "deepseek-v4-pro", "--system", "Be brief."]
    assert main(["chat", QUESTION, *options, "--thinking", "enabled", "--effort", "max"]) == 0
    assert [request.path for request in gw.requests] == [
        f"{gw.base_url(routing).removeprefix(gw.url)}/chat/completions"
    ]
    assert gw.requests[0].body == {
        "model": model,
        "messages": [
            {"role": "system", "content": "Be brief."},
            {"role": "user", "content": QUESTION},
        ],
        "thinking": {"type": "enabled"},
        "reasoning_effort": "max",
        "stream": True,
        "stream_options": {"include_usage": True},
    }


def test_chat_dash_reads_the_question_from_standard_input(
    account: LocalGateway, monkeypatch: pytest.MonkeyPatch
) -> None:
    stdin = io.TextIOWrapper(io.BytesIO(b"Why\xff is the\nsky blue?\n"), encoding="utf-8")
    monkeypatch.setattr(sys, "stdin", stdin)
    assert main(["chat", "-"]) == 0
    assert account.requests[0].body["messages"] == [
        {"role": "user", "content": "Why\N{REPLACEMENT CHARACTER} is the\nsky blue?\n"}
    ]


def test_chat_argument_that_is_not_unicode_is_sent_with_replacement_characters(
    account: LocalGateway,
) -> None:
    assert main(["chat", "Why\udcff?", "--system", "\udcfe"]) == 0
    assert account.requests[0].body["messages"] == [
        {"role": "system", "content": "\N{REPLACEMENT CHARACTER}"},
        {"role": "user", "content": "Why\N{REPLACEMENT CHARACTER}?"},
    ]


def test_chat_does_not_send_an_empty_question(
    account: LocalGateway,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(sys, "stdin", io.StringIO("\n"))
    assert main(["chat", "-"]) == 2
    assert capsys.readouterr() == ("", "The question is empty.\n")
    assert account.requests == []


def test_upstream_option_serves_behind_the_local_gateway(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
    with LocalGateway(authenticated=False, stored_key=True) as upstream:
        upstream.reply(content="Rayleigh.")
        where = ["--local", "--upstream", upstream.base_url()]
        assert main(["chat", QUESTION, *where, "--model", "deepseek-v4-pro"]) == 0
        assert [request.body["model"] for request in upstream.requests] == ["deepseek-v4-pro"]
    out, err = capsys.readouterr()
    assert out == "Rayleigh.\n"
    assert err.startswith("deepseek-v4-pro (local gateway, upstream model) | tokens: ")


def test_chat_json_says_that_the_gateway_is_local(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["chat", QUESTION, "--local", "--json", "--routing", "unified"]) == 0
    assert json.loads(capsys.readouterr().out)["local_gateway"] is True


def test_upstream_option_without_the_local_gateway_is_rejected(
    account: LocalGateway, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["chat", QUESTION, "--upstream", "http://127.0.0.1:9/v1"]) == 2
    assert capsys.readouterr().err == (
        "--upstream needs --local: it answers behind the gateway on this machine.\n"
    )
    assert account.requests == []


def test_missing_local_extra_names_what_to_install(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in [name for name in sys.modules if name.startswith("langchain_cf_deepseek.local")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "uvicorn", None)
    assert main(["chat", QUESTION, "--local"]) == 2
    assert capsys.readouterr().err == (
        'The local gateway needs more packages: pip install "langchain-cf-deepseek[local]" '
        "(import of uvicorn halted; None in sys.modules)\n"
    )


def test_missing_credentials_are_named_with_the_local_option() -> None:
    done = run("chat", QUESTION)
    assert done.stderr == (
        "routing 'provider-native' needs a credential: set `api_key` (DEEPSEEK_API_KEY) to a "
        "DeepSeek key, or `gateway_token` (CF_AIG_TOKEN) to use a key stored in the gateway.\n"
        "To try it without an account, with a gateway on this machine: "
        "langchain-cf-deepseek chat --local ...\n"
    )
    assert (done.returncode, done.stdout) == (2, "")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--effort", "big"], "`reasoning_effort` must be one of none, minimal, low, medium"),
        (["--effort", "low", "--thinking", "disabled"], "`thinking` is disabled, so "),
        (["--model", "gpt/4"], "`model` 'gpt/4' is not a recognised model name"),
        (["--model", ""], "`model`: String should have at least 1 character.\n"),
    ],
)
def test_invalid_setting_is_named_in_plain_text(
    arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["chat", QUESTION, "--local", *arguments]) == 2
    out, err = capsys.readouterr()
    assert err.startswith(message)
    assert (out, err.count("\n")) == ("", 1)


def test_error_prints_one_paragraph_and_exits_with_status_1(
    account: LocalGateway, capsys: pytest.CaptureFixture[str]
) -> None:
    account.fault(gateway_error(2009, 401, "Not\nauthorized"))
    assert main(["chat", QUESTION]) == 1
    out, err = capsys.readouterr()
    assert out == ""
    assert re.match(r"Cloudflare AI Gateway \(status 401, code 2009, .*`gateway_token`", err)
    assert err.count("\n") == 1


@pytest.mark.parametrize("form", [[], ["--json"]])
def test_error_keeps_the_text_printed_before_it(
    form: list[str], account: LocalGateway, capsys: pytest.CaptureFixture[str]
) -> None:
    account.reply(content="One two three.")
    account.fault(then="cut", after_chunks=3)
    assert main(["chat", QUESTION, *form]) == 1
    out, err = capsys.readouterr()
    assert out == ("" if form else "One two\n")
    assert err.startswith("The connection (status 200, log id ")
    assert err.count("\n") == 1


@pytest.mark.usefixtures("_interruptible")
def test_ctrl_c_ends_a_chat_with_status_130_and_keeps_the_text(account: LocalGateway) -> None:
    account.reply(content="One two three.")
    account.fault(then="stall", after_chunks=3, seconds=SECONDS)
    with start_command("chat", QUESTION) as process:
        assert process.stdout
        assert process.stdout.read(len("One two")) == "One two"
        process.send_signal(signal.SIGINT)
        assert process.communicate() == ("\n", "")
    assert process.returncode == 130


def test_ctrl_c_in_this_process_is_status_130(account: LocalGateway) -> None:
    account.fault(then="stall", after_chunks=3, seconds=SECONDS)

    def interrupt_once_asked() -> None:
        given_up = time.monotonic() + SECONDS
        while not account.requests and time.monotonic() < given_up:
            time.sleep(0.01)
        os.kill(os.getpid(), signal.SIGINT)

    earlier = signal.signal(signal.SIGINT, signal.default_int_handler)
    thread = threading.Thread(target=interrupt_once_asked)
    thread.start()
    try:
        assert main(["chat", QUESTION]) == 130
    finally:
        thread.join()
        signal.signal(signal.SIGINT, earlier)


def test_closed_pipe_ends_a_chat_silently(account: LocalGateway) -> None:
    # The rest is sent after the pipe is closed.
    account.fault(then="stall", after_chunks=2, seconds=2)
    with start_command("chat", QUESTION) as process:
        assert process.stdout
        assert process.stderr
        assert process.stdout.readline() == "[reasoning]\n"
        process.stdout.close()
        assert process.stderr.read() == ""
    assert process.returncode == 141


def test_closed_pipe_in_this_process_is_status_141(
    account: LocalGateway,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    reader, writer = os.pipe()
    os.close(reader)
    with os.fdopen(writer, "w") as stream:
        monkeypatch.setattr(sys, "stdout", stream)
        assert main(["chat", QUESTION]) == 141
    assert capsys.readouterr().err == ""
    assert len(account.requests) == 1


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="only Linux has /dev/full")
def test_unwritable_output_is_one_line_and_status_1(
    account: LocalGateway,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with Path("/dev/full").open("w") as stream:
        monkeypatch.setattr(sys, "stdout", stream)
        assert main(["chat", QUESTION]) == 1
    assert capsys.readouterr().err == (
        "langchain-cf-deepseek: [Errno 28] No space left on device\n"
    )
    assert len(account.requests) == 1


@pytest.mark.usefixtures("_interruptible")
def test_serve_prints_variables_that_work_and_ends_with_status_0_on_ctrl_c(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    with start_command("serve") as process:
        assert process.stdout
        lines = "".join(process.stdout.readline() for _ in range(8))
        variables = parse_exports(lines)
        for name, value in variables.items():
            monkeypatch.setenv(name, value)
        status = main(["chat", QUESTION])
        process.send_signal(signal.SIGINT)
        rest, notes = process.communicate()
    assert (status, process.returncode, rest) == (0, 0, "")
    assert capsys.readouterr().out.startswith("[reasoning]\n")
    url = re.sub(r"/v1/.*", "", variables["CLOUDFLARE_AI_GATEWAY_BASE_URL"])
    account, gateway = variables["CLOUDFLARE_ACCOUNT_ID"], variables["CLOUDFLARE_GATEWAY_ID"]
    assert variables == {
        "CLOUDFLARE_AI_GATEWAY_ROUTING": "provider-native",
        "CLOUDFLARE_ACCOUNT_ID": account,
        "CLOUDFLARE_GATEWAY_ID": gateway,
        "CLOUDFLARE_AI_GATEWAY_BASE_URL": f"{url}/v1/{account}/{gateway}/deepseek",
        "DEEPSEEK_API_KEY": "local-deepseek-key",
        "CF_AIG_TOKEN": "local-gateway-token",
        "CLOUDFLARE_API_TOKEN": "local-cloudflare-token",
        "CLOUDFLARE_BASE_URL": f"{url}/client/v4",
    }
    assert notes == (
        f"# Local gateway on {url}, which uses fake credentials and a simulated model: not for "
        "production.\n"
        "# Paste these lines where the client runs; Ctrl-C stops the gateway.\n"
    )


def test_serve_takes_routing_upstream_and_port_and_ends_with_status_0_on_sigterm(
    gw: LocalGateway, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    reader, writer = os.pipe()
    printed: list[str] = []

    def end_once_printed() -> None:
        with os.fdopen(reader) as lines:
            printed.extend(lines.readline() for _ in range(6))
        os.kill(os.getpid(), signal.SIGTERM)

    earlier = signal.getsignal(signal.SIGTERM)
    thread = threading.Thread(target=end_once_printed)
    thread.start()
    with os.fdopen(writer, "w") as stream:
        monkeypatch.setattr(sys, "stdout", stream)
        upstream = gw.base_url()
        status = main(["serve", "--port", "0", "--upstream", upstream, "--routing", "unified"])
    thread.join()
    assert status == 0
    assert signal.getsignal(signal.SIGTERM) is earlier
    variables = parse_exports("".join(printed))
    assert variables["CLOUDFLARE_AI_GATEWAY_BASE_URL"].startswith("http://127.0.0.1:")
    assert variables["CLOUDFLARE_AI_GATEWAY_BASE_URL"].endswith("/ai/v1")
    assert variables["CLOUDFLARE_API_TOKEN"] == "local-cloudflare-token"
    assert "which uses fake credentials: not for production." in capsys.readouterr().err


def test_port_in_use_is_one_line_and_status_1(
    gw: LocalGateway, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["serve", "--port", gw.url.rpartition(":")[2]]) == 1
    out, err = capsys.readouterr()
    assert re.fullmatch(r"langchain-cf-deepseek: .*Address already in use.*\n", err)
    assert out == ""
