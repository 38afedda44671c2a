"""Run the notebooks from top to bottom, each in a fresh kernel, and fail on the first error.

python notebooks/run.py              run all, change nothing
python notebooks/run.py 01 04        run some
python notebooks/run.py --save       run all, and store their outputs

Without `--save` it also fails if a notebook shows other kinds of output than the stored ones: those
are then from an earlier version of its cells.
"""

import argparse
import os
import sys
import time
from pathlib import Path
from typing import Any

import nbformat
from nbclient import NotebookClient
from traitlets.config import Config

HERE = Path(__file__).parent
CELL_SECONDS = 300
METADATA = {
    "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
    "language_info": {"name": "python"},
}


def main() -> None:
    """Run the notebooks that the command line names."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("numbers", nargs="*", metavar="01", help="which notebooks (all)")
    parser.add_argument("--save", action="store_true", help="store the outputs")
    arguments = parser.parse_args()
    # Without this a kernel warns that a debugger would miss breakpoints.
    os.environ["PYDEVD_DISABLE_FILE_VALIDATION"] = "1"
    paths = {path.name[:2]: path for path in sorted(HERE.glob("*.ipynb"))}
    if unknown := set(arguments.numbers) - paths.keys():
        parser.error(f"no notebook begins with {', '.join(sorted(unknown))}")
    for number in arguments.numbers or paths:
        _say(run(paths[number], save=arguments.save))


def run(path: Path, *, save: bool) -> str:
    """Run a notebook and return a line about it.

    Raises:
        nbclient.exceptions.CellExecutionError: A cell failed; the text has its traceback.
        SystemExit: The stored outputs are not those of its cells.
    """
    notebook: Any = nbformat.read(path, as_version=4)
    committed = [_kinds(cell) for cell in notebook.cells]
    began = time.monotonic()
    NotebookClient(
        notebook,
        kernel_name="python3",
        timeout=CELL_SECONDS,
        coalesce_streams=True,
        config=Config({"KernelManager": {"transport_encryption": "auto"}}),
        record_timing=False,
        resources={"metadata": {"path": str(HERE)}},
    ).execute()
    seconds = time.monotonic() - began
    if save:
        notebook.metadata = METADATA
        nbformat.write(notebook, path)
    for number, (cell, kinds) in enumerate(zip(notebook.cells, committed, strict=True)):
        if not save and _kinds(cell) != kinds:
            sys.exit(
                f"{path.name}, cell {number}: shows {_kinds(cell)}, but {kinds} is stored. "
                f"Run `python notebooks/run.py --save {path.name[:2]}` and look at the difference."
            )
    return f"{path.name}: {len(notebook.cells)} cells, {seconds:.0f} s"


def _kinds(cell: Any) -> list[str]:
    """Return the kinds of a cell's outputs: printed text, a value, a picture.

    Warnings are ignored: a library can add one in its next version.
    """
    return [
        output.get("name") or "+".join(sorted(output.data))
        for output in cell.get("outputs", ())
        if output.get("name") != "stderr"
    ]


def _say(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main()
