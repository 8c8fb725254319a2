"""Lines of the library as sentences of the page."""

from __future__ import annotations

from fedfr_edge.recognition.guided import ADVICE


def sentence(text: str) -> str:
    """A line as a sentence, with a capital and a full stop."""
    text = " ".join(text.split())
    return text[:1].upper() + text[1:] + ("" if not text or text.endswith((".", "!", "?")) else ".")


def words(code: str) -> str:
    """What a person should do about a code of a look."""
    return sentence(ADVICE.get(code, code.replace("_", " ")))
