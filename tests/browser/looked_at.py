"""What can be measured of how a page looks and reads: names of controls, contrast, sizes."""

from __future__ import annotations

from typing import Any

from playwright.sync_api import Page

_ON_THE_PAGE = """
() => {
  const rgb = (text) => text.match(/[\\d.]+/g).map(Number);
  const light = ([r, g, b]) => [r, g, b].map((v) => v / 255)
    .map((v) => (v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4))
    .reduce((sum, v, i) => sum + v * [0.2126, 0.7152, 0.0722][i], 0);
  const ground = (element) => {
    for (let at = element; at; at = at.parentElement) {
      const colour = rgb(getComputedStyle(at).backgroundColor);
      if (colour.length === 3 || colour[3] === 1) return colour;
    }
    return [255, 255, 255];
  };
  const shown = (element) => element.checkVisibility({ visibilityProperty: true }) &&
    element.getBoundingClientRect().width > 0;
  const low = [], small = [], wide = [];
  const texts = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  for (let node = texts.nextNode(); node; node = texts.nextNode()) {
    const element = node.parentElement;
    if (!node.data.trim() || !shown(element)) continue;
    if (element.closest(':disabled, .button:has(:disabled)')) continue;
    const [a, b] = [rgb(getComputedStyle(element).color), ground(element)].map(light).sort((x, y) => y - x);
    const ratio = (a + 0.05) / (b + 0.05);
    if (ratio < 4.5) low.push([node.data, ratio]);
  }
  const controls = 'a:not(.skip), button, .button, input:not([type=file]), summary';
  for (const element of document.querySelectorAll(controls)) {
    if (!shown(element)) continue;
    const { width, height } = element.getBoundingClientRect();
    if (width < 24 || height < 34) small.push([element.outerHTML.slice(0, 80), width, height]);
  }
  if (document.documentElement.scrollWidth > innerWidth) wide.push(document.documentElement.scrollWidth);
  return { low, small, wide };
}
"""


def faults_of(page: Page) -> dict[str, Any]:
    """What people with weak eyes, thick fingers or narrow screens would stumble over; empty if all is well.

    Texts with a contrast below 4.5 (WCAG 2 AA; what cannot be used now is exempt), controls smaller than a
    finger can hit, and contents wider than the screen.
    """
    return {name: found for name, found in page.evaluate(_ON_THE_PAGE).items() if found}


def nameless(page: Page) -> list[str]:
    """Roles of what can be used, but has no name that a screen reader could read out."""
    session = page.context.new_cdp_session(page)
    tree = session.send("Accessibility.getFullAXTree")["nodes"]
    session.detach()
    wanted = {
        "button",
        "link",
        "textbox",
        "progressbar",
        "dialog",
        "navigation",
        "region",
        "DisclosureTriangle",
    }
    return [
        node["role"]["value"]
        for node in tree
        if not node["ignored"]
        and node["role"]["value"] in wanted
        and not node.get("name", {}).get("value", "").strip()
    ]
