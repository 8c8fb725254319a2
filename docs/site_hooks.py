"""What MkDocs is told beside mkdocs.yml: pages that are made, not written, and how docstrings are read."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files

from fedfr_edge.apps.command_pages import commands_page

ROOT = Path(__file__).resolve().parents[1]

_ROLE = re.compile(r":(?:attr|class|data|exc|func|meth|mod):<code>[~.]*([^<]+)</code>")

# A block's info string may say more than its language, for the tests that run a page: "```bash server".
_INFO = re.compile(r"^```(\w+) (.+)$", re.MULTILINE)


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the commands, from their own help, and the changelog."""
    made = {
        "reference/commands.md": commands_page(),
        "changelog.md": (ROOT / "CHANGELOG.md").read_text(encoding="utf-8"),
    }
    for place, text in made.items():
        files.append(File.generated(config, place, content=text))
    return files


def on_page_markdown(markdown: str, **_: Any) -> str:
    """Of a block's info string the site knows the language, and the place of a file as its title."""

    def known(match: re.Match[str]) -> str:
        place = next((word for word in match[2].split() if word.startswith("/")), "")
        return f"```{match[1]}" + (f' title="{place}"' if place else "")

    return _INFO.sub(known, markdown)


def on_page_content(html: str, **_: Any) -> str:
    """Docstrings name things as Sphinx does; the page shows the names alone."""
    html = _ROLE.sub(lambda match: f"<code>{match[1].rpartition('.')[2]}</code>", html)
    return html.replace("<p>::</p>", "").replace("::</p>", ":</p>")
