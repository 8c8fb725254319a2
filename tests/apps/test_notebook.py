"""The notebook: committed without outputs, and run from its first cell to its last in the long tier."""

from __future__ import annotations

import base64
import json
import struct
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

NOTEBOOK = Path(__file__).resolve().parents[2] / "docs" / "notebook" / "from-faces-to-login.ipynb"

# In a process of its own: Jupyter's event loop and its warnings are not ours.
RUN = """
import sys
import nbformat
from nbclient import NotebookClient
notebook = nbformat.read(sys.argv[1], 4)
where = {"metadata": {"path": sys.argv[2]}}
NotebookClient(notebook, timeout=900, kernel_name="python3", resources=where).execute()
nbformat.write(notebook, sys.argv[3])
"""


def cells(path: Path, kind: str) -> list[dict[str, Any]]:
    return [one for one in json.loads(path.read_text(encoding="utf-8"))["cells"] if one["cell_type"] == kind]


def test_what_is_committed_has_no_outputs() -> None:
    found = cells(NOTEBOOK, "code")
    assert len(found) > 10
    for cell in found:
        assert cell["outputs"] == []
        assert cell["execution_count"] is None
        compile("".join(cell["source"]), "cell", "exec")


@pytest.mark.long
def test_every_cell_runs_and_shows_its_picture(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", RUN, str(NOTEBOOK), str(tmp_path), str(tmp_path / "done.ipynb")],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-4000:]
    found = cells(tmp_path / "done.ipynb", "code")
    pictures, text = [], ""
    for output in (output for cell in found for output in cell["outputs"]):
        assert output["output_type"] != "error"
        data = output.get("data", {})
        if "image/png" in data:
            pictures.append(base64.b64decode(data["image/png"]))
        text += "".join(output.get("text", "")) + "".join(data.get("image/svg+xml", ""))
    assert len(pictures) == 8
    assert all(min(struct.unpack(">II", picture[16:24])) > 200 for picture in pictures)
    assert "<svg" in text
    # As in the quickstart: most of both kinds are decided rightly.
    last = next(line for line in text.splitlines() if line.startswith("let in as themselves"))
    in_, people, out, strangers = (int(word) for word in last.replace(";", "").split() if word.isdigit())
    assert 2 * in_ > people
    assert 2 * out > strangers
