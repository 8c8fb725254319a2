"""A process that starts, decides on photographs and says what it holds: for cold starts and memory.

Run as ``python -m fedfr_edge.apps.bench.device_start SIDE TASK PHOTO...``. It prints a line when the first
decision is there, and a JSON object when all are.
"""

from __future__ import annotations

import sys


def main(arguments: list[str]) -> None:
    """Decide on each photograph."""
    from .device_sides import Ours, Side, Task, Theirs

    kind, task, *photos = arguments
    side: Side = (Ours if kind == "ours" else Theirs)(Task.from_json(task), threads=1)
    for number, photo in enumerate(photos):
        with open(photo, "rb") as file:
            side.decide(file.read())
        if number == 0:
            print("decided", flush=True)
    import json

    from .isolated import peak_bytes, resident_bytes

    print(json.dumps({"resident_bytes": resident_bytes(), "peak_bytes": peak_bytes()}), flush=True)


if __name__ == "__main__":
    main(sys.argv[1:])
