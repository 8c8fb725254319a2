"""Every ``fedfr`` command that a page shows is one that there is, with options and values that it takes."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import click
import pytest

from fedfr_edge.cli import application

ROOT = Path(__file__).resolve().parents[1]
PAGES = sorted([ROOT / "README.md", *(ROOT / "docs").rglob("*.md")])
BLOCK = re.compile(r"^```(?:bash)?[^\n]*\n(.*?)^```$", re.MULTILINE | re.DOTALL)
INLINE = re.compile(r"`(fedfr [^`]+)`")


def commands(text: str) -> list[list[str]]:
    """The words of each command in a page's blocks, and of those in a line that have options."""
    lines = [
        line.strip()
        for block in BLOCK.findall(text)
        for line in block.replace("\\\n", " ").splitlines()
        if re.match(r"\s*(if )?(\S+/)?fedfr ", line)
    ]
    flat = re.sub(r"\s+", " ", BLOCK.sub("", text))
    lines += [line for line in INLINE.findall(flat) if " --" in line and "…" not in line]
    found = []
    for line in lines:
        plain = re.sub(r"\$\([^)]*\)", "SHELL", line.removeprefix("if "))
        words = shlex.split(plain, comments=True)
        stops = [place for place, word in enumerate(words) if word in {"|", ">", "&", "&&", "2>&1", ";"}]
        found.append(words[1 : min(stops, default=len(words))])
    return found


def check(words: list[str]) -> None:
    """Parse without running.

    Raises:
        click.ClickException: the command line is wrong.
    """
    command: click.Command = application
    context = click.Context(application, info_name="fedfr")
    rest = list(words)
    while isinstance(command, click.Group):
        assert rest, "a command of the group is to be named"
        found = command.get_command(context, rest[0])
        if found is None and rest[0].startswith("-"):
            return  # an option of fedfr itself
        assert found is not None, f"there is no command {rest[0]!r}"
        command, rest = found, rest[1:]
    command.make_context("fedfr", rest)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_the_commands_of_a_page_are_taken(page: Path) -> None:
    for words in commands(page.read_text(encoding="utf-8")):
        try:
            check(words)
        except click.exceptions.Exit:
            continue  # --help
        except click.ClickException as error:
            if re.search(r"'[A-Z]+' is not", error.format_message()):
                continue  # capitals stand for a value of the reader's
            pytest.fail(f"fedfr {shlex.join(words)}: {error.format_message()}")


def test_a_wrong_option_is_found() -> None:
    text = "```bash\nfedfr data split store --poblic 3\n```\n"
    (words,) = commands(text)
    with pytest.raises(click.ClickException, match="poblic"):
        check(words)
    assert sum(len(commands(page.read_text(encoding="utf-8"))) for page in PAGES) > 80
