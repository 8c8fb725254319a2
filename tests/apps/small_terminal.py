"""A terminal small enough to read: it keeps the lines that a program's output leaves on the screen."""

from __future__ import annotations

import re

_PIECE = re.compile(r"\x1b\[(\??[\d;]*)([A-Za-z])|(\r\n|\r|\n)|([^\x1b\r\n]+)|(.)", re.DOTALL)


class SmallTerminal:
    """Understands text, line ends, cursor up, and erasing a line; colours are dropped."""

    def __init__(self) -> None:
        self.lines: list[str] = [""]
        self.row = self.column = 0

    def feed(self, text: str) -> None:
        for numbers, command, end, plain, _ in _PIECE.findall(text):
            if command == "A":
                self.row = max(0, self.row - int(numbers or 1))
            elif command == "K":
                line = self.lines[self.row]
                self.lines[self.row] = "" if numbers == "2" else line[: self.column]
            elif end == "\r":
                self.column = 0
            elif end:
                self.row, self.column = self.row + 1, 0
                if self.row == len(self.lines):
                    self.lines.append("")
            elif plain:
                line = self.lines[self.row].ljust(self.column)
                self.lines[self.row] = line[: self.column] + plain + line[self.column + len(plain) :]
                self.column += len(plain)

    def shown(self) -> list[str]:
        """The lines that are not empty."""
        return [line.rstrip() for line in self.lines if line.strip()]
