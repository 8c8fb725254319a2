"""The commands as Markdown, from their own ``--help``: what is printed there cannot go stale here."""

from __future__ import annotations

from collections.abc import Iterator

import click

from fedfr_edge.cli import application

_WIDTH = 84


def commands_page() -> str:
    """One page with all commands, in the order of ``fedfr --help``."""
    lines = [
        "# Commands",
        "",
        "What `fedfr COMMAND --help` prints. Every command takes `--config FILE.toml`, writes the settings "
        "it ran with beside its result, and ends with status 0 only if it did its job.",
        "",
        *_fenced(application, "fedfr"),
    ]
    for path, command in _commands(application, "fedfr"):
        level = "##" if path.count(" ") == 1 else "###"
        lines += [f"{level} {path}", "", *_fenced(command, path)]
    return "\n".join(lines)


def _commands(group: click.Group, path: str) -> Iterator[tuple[str, click.Command]]:
    context = click.Context(group, info_name=path)
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        assert command is not None
        yield f"{path} {name}", command
        if isinstance(command, click.Group):
            yield from _commands(command, f"{path} {name}")


def _fenced(command: click.Command, path: str) -> list[str]:
    # The context is its own root, so that the usage line has the whole name once.
    context = click.Context(command, info_name=path, terminal_width=_WIDTH, max_content_width=_WIDTH)
    return ["```text", command.get_help(context).rstrip(), "```", ""]
