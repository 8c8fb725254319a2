"""What a page that decides keeps in its browser: sealed, bound to person and model, not to be altered."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import onnx
import pytest
from in_browser import Site, serving
from page_backend import Here
from served import ANA, BEN, EVE, free_port

from fedfr_edge.apps.known_models import shipped_models

if TYPE_CHECKING:
    from playwright.sync_api import Browser

STORED = """
async () => {
  const database = await new Promise((resolve) => {
    indexedDB.open("fedfr-edge").onsuccess = ({ target }) => resolve(target.result);
  });
  const all = {};
  for (const name of database.objectStoreNames) {
    const request = database.transaction(name).objectStore(name).getAll();
    all[name] = await new Promise((resolve) => (request.onsuccess = () => resolve(request.result)));
  }
  database.close();
  const plain = (value) => {
    if (value instanceof CryptoKey) return { key: value.algorithm.name, extractable: value.extractable };
    if (ArrayBuffer.isView(value)) return { bytes: Array.from(value) };
    if (value && typeof value === "object") {
      return Object.fromEntries(Object.entries(value).map(([name, one]) => [name, plain(one)]));
    }
    return value;
  };
  return Object.fromEntries(Object.entries(all).map(([name, rows]) => [name, rows.map(plain)]));
}
"""
SPOIL = """
async ([name, key]) => {
  const database = await new Promise((resolve) => {
    indexedDB.open("fedfr-edge").onsuccess = ({ target }) => resolve(target.result);
  });
  const store = database.transaction(name, "readwrite").objectStore(name);
  await new Promise((resolve) => {
    store.get(key).onsuccess = ({ target }) => {
      const value = target.result;
      (value.sealed ?? value).data[10] ^= 1;
      store.put(value, value.id ? undefined : key).onsuccess = resolve;
    };
  });
  database.close();
}
"""

SWAP = """
async () => {
  const database = await new Promise((resolve) => {
    indexedDB.open("fedfr-edge").onsuccess = ({ target }) => resolve(target.result);
  });
  const store = database.transaction("people", "readwrite").objectStore("people");
  await new Promise((resolve) => {
    store.getAll().onsuccess = ({ target }) => {
      const [person] = target.result;
      store.put({ ...person, id: "0123456789abcdef" }).onsuccess = resolve;
    };
  });
  database.close();
}
"""


@pytest.fixture(scope="module")
def site() -> Iterator[Site]:
    (model,) = shipped_models()
    with serving(model) as running:
        yield running


def test_browser_keeps_templates_sealed(here: Here, site: Site) -> None:
    here.enrol("Ana", ANA)
    stored = here.page.evaluate(STORED)
    keys = [value for value in stored["kept"] if "key" in value]
    assert keys == [{"key": "AES-GCM", "extractable": False}]
    (person,) = stored["people"]
    assert set(person) == {"id", "digest", "sealed"}
    raw = bytes(person["sealed"]["data"]["bytes"])
    assert b"Ana" not in raw
    # Nowhere in the bytes do as many numbers in a row look like a unit vector.
    size = 4 * site.encoder.dim
    assert len(raw) > size
    for start in range(len(raw) - size + 1):
        numbers = np.array(struct.unpack_from(f"<{site.encoder.dim}f", raw, start))
        with np.errstate(over="ignore", invalid="ignore"):
            assert not abs(np.linalg.norm(numbers) - 1) < 0.01
    assert not any("Ana" in str(entry) or "bytes" in str(entry) for entry in stored["log"])
    exported = here.page.evaluate(
        """async () => {
          const key = await backend.store.get("kept", "key");
          return crypto.subtle.exportKey("raw", key).then(() => "exported", (error) => error.name);
        }"""
    )
    assert exported == "InvalidAccessError"


def test_browser_refuses_what_was_altered(here: Here) -> None:
    def refused() -> bool:
        return "altered" in here.refused("begin", {"kind": "login"})["text"]

    here.enrol("Ana", ANA)
    assert here.login(EVE)["reason"] == "not_recognised"
    # The failures that were counted: nobody may log in until the people are enrolled anew.
    here.page.evaluate(SPOIL, ["kept", "attempts"])
    assert refused()
    (person,) = here.people()
    assert person["name"] == "Ana"
    here.remove(person["id"])
    assert here.login(ANA)["reason"] == "empty_gallery"
    # A person: the others may log in again once that entry is gone.
    damaged = here.enrol("Ana", ANA)["enrol"]["person"]["id"]
    here.enrol("Ben $& {name}", BEN)
    here.page.evaluate(SPOIL, ["people", damaged])
    assert refused()
    assert sorted(person["name"] for person in here.people()) == ["?", "Ben $& {name}"]
    here.remove(damaged)
    assert here.login(BEN)["text"] == "Welcome, Ben $& {name}."
    # An entry in another's place, or under another model, does not open either.
    here.page.evaluate(SWAP)
    assert refused()


def test_browser_refuses_another_models_people(browser: Browser, tmp_path: Path) -> None:
    (model,) = shipped_models()
    port = free_port()
    other = onnx.load(model)
    other.doc_string = "another file"
    changed = tmp_path / "changed.onnx"
    changed.write_bytes(other.SerializeToString())
    with serving(model, port=port) as site:
        here = Here(browser, site)
        here.enrol("Ana", ANA)
    with serving(changed, port=port) as site:
        here.site = site
        here.page = here.open()
        for kind in ("login", "enrol"):
            told = here.refused("begin", {"kind": kind, "name": "Ben"})
            assert told["code"] == "model_mismatch"
            assert "another model" in told["text"]
        locked = here.locked()
        assert locked is not None
        assert locked["reason"] == "model_mismatch"
        (person,) = here.people()
        assert person["name"] == "Ana"
        here.remove(person["id"])
        assert here.locked() is None
        assert here.login(ANA)["reason"] == "empty_gallery"
    here.context.close()
