"""The documentation as a site: it builds without a warning, whole, and asks no other host for anything."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from fedfr_edge.apps.command_pages import commands_page
from fedfr_edge.cli import COMMANDS

ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The built site; a link or a directive that leads nowhere fails here."""
    out = tmp_path_factory.mktemp("site")
    done = subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet", "--site-dir", str(out)],
        cwd=ROOT,
        env={**os.environ, "NO_MKDOCS_2_WARNING": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-4000:]
    return out


class _Loaded(HTMLParser):
    """What a browser fetches for a page by itself."""

    def __init__(self) -> None:
        super().__init__()
        self.addresses: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        names = {"script": "src", "img": "src", "iframe": "src", "link": "href", "source": "src"}
        value = dict(attrs).get(names.get(tag, ""))
        if value is not None:
            self.addresses.append(value)


def test_no_page_loads_anything_from_another_host(site: Path) -> None:
    pages = sorted(site.rglob("*.html"))
    assert len(pages) > 20
    for page in pages:
        found = _Loaded()
        found.feed(page.read_text(encoding="utf-8"))
        assert found.addresses
        assert [one for one in found.addresses if urlsplit(one).netloc] == []
    for sheet in site.rglob("*.css"):
        assert re.findall(r"url\([\"']?(?:https?:)?//", sheet.read_text(encoding="utf-8")) == []


def test_the_reference_holds_what_is_public(site: Path) -> None:
    import fedfr_edge

    page = (site / "reference" / "package.html").read_text(encoding="utf-8")
    for name in set(fedfr_edge.__all__) - {"__version__"}:
        assert f">{name}</span>" in page, name
    html = "".join(file.read_text(encoding="utf-8") for file in (site / "reference").glob("*.html"))
    assert ":func:" not in html.replace("<code>", "")
    for function in ("fedfr_edge.vision.align.align", "fedfr_edge.train.client.client_round"):
        assert f'id="{function}"' in html


def test_every_command_is_on_its_page_with_its_own_help(site: Path) -> None:
    text = commands_page()
    for name, entry in COMMANDS.items():
        assert f"\n## fedfr {name}\n" in text
        for inner in entry if isinstance(entry, dict) else ():
            assert f"\n### fedfr {name} {inner}\n" in text
    assert "Usage: fedfr data import [OPTIONS] [INPUTS]..." in text
    assert "Usage: fedfr data import" in (site / "reference" / "commands.html").read_text(encoding="utf-8")


def test_every_page_of_the_docs_can_be_reached(site: Path) -> None:
    menu = (site / "index.html").read_text(encoding="utf-8")
    for page in (ROOT / "docs").rglob("*.md"):
        address = page.relative_to(ROOT / "docs").with_suffix(".html").as_posix()
        assert f'href="{address}"' in menu, f"{page} is not in mkdocs.yml's nav"
