"""What a server or client does, as lines for people and as JSON for programs."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

from fedfr_edge import atomic

from .. import console


class Events:
    """Prints events and adds them to a file of JSON lines.

    Args:
        path: the file; its folder is made, mode 0700.
    """

    def __init__(self, path: Path) -> None:
        self.path = path

    def __call__(self, event: str, text: str, **fields: Any) -> None:
        """One event.

        Args:
            event: a word that names its kind, such as ``round``.
            text: the same for people.
            fields: what a program may want of it (JSON-able).

        Raises:
            WriteError: the disk refused.
        """
        console.out.print(text)
        line = {"time": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()), "event": event, "text": text}
        with atomic.write_errors(self.path):
            self.path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            with self.path.open("a") as file:
                file.write(json.dumps(line | fields, ensure_ascii=False) + "\n")
