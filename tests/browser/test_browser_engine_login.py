"""A person's way through the mode in which the page decides: enrolled, let in, a stranger not; all kept here.

The back end runs as in the page, worker and store included; frames of rendered people go in where those of
the camera would.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import acting
import cv2
import numpy as np
import onnx
import pytest
from acting import FRONT, Pose
from in_browser import PICTURES, Site, as_rgba, serving

from fedfr_edge.apps.known_models import shipped_models
from fedfr_edge.recognition.capture import quality_gate
from fedfr_edge.recognition.lockout import WITHOUT_LIVENESS
from fedfr_edge.recognition.policy import LoginPolicy
from fedfr_edge.recognition.template import make_template
from fedfr_edge.types import Image
from fedfr_edge.vision.align import align
from fedfr_edge.vision.detect import open_detector

if TYPE_CHECKING:
    from playwright.sync_api import Browser, BrowserContext, Page

ANA, BEN, EVE = 3, 1, 5
"""Numbers of rendered people whom the shipped model tells apart well."""

SIDES = (FRONT, Pose(yaw=25), Pose(yaw=-25), Pose(near=1.4), Pose(near=0.65, pitch=10))
"""What guided enrolment asks for, in its order."""

FILM = """
async ([request, frames]) => {
  const session = await backend.begin(request);
  const replies = [];
  for (const frame of frames) {
    replies.push(await session.look(asCanvas(frame)));
    if (replies.at(-1).login?.verdict || replies.at(-1).enrol?.done) break;
  }
  session.close();
  return replies;
}
"""
ALBUM = """
async ([request, photographs]) => {
  const session = await backend.begin({ ...request, photos: photographs.length });
  const replies = [];
  for (const photograph of photographs) replies.push(await session.look(asCanvas(photograph)));
  return [...replies, await session.finish()];
}
"""
PHOTO = """
async (bytes) => {
  const file = new File([new Uint8Array(bytes)], "photo.png", { type: "image/png" });
  return (await backend.photo({ kind: "login", files: [file] })).login.verdict;
}
"""
REFUSED = """
async ([call, ...given]) => {
  try {
    await backend[call](...given);
    return null;
  } catch (error) {
    return { code: error.code, text: error.text };
  }
}
"""
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


class Here:
    """The page's back end, in a browser profile of its own.

    Attributes:
        requests: (method, address, whether something went along) of all that the page asked the network for.
    """

    def __init__(self, browser: Browser, site: Site) -> None:
        self.site = site
        self.context: BrowserContext = browser.new_context()
        self.requests: list[tuple[str, str, bool]] = []
        self.context.on("request", self._hear)
        self.page: Page = self.open()

    def open(self) -> Page:
        """Another page of the same profile; with the back end."""
        page = self.context.new_page()
        page.goto(self.site.address + "style.css")
        page.evaluate(PICTURES)
        page.evaluate(
            'async () => { globalThis.backend = await (await import("/engine/local.js")).openBackend(); }'
        )
        return page

    def film(self, kind: str, images: list[Image], **request: str) -> list[dict[str, Any]]:
        """Frames into a session, until it is over; the replies."""
        sent = [as_rgba(image) for image in images]
        return list(self.page.evaluate(FILM, [{"kind": kind, **request}, sent]))

    def enrol(self, name: str, person: int) -> dict[str, Any]:
        """Enrol a rendered person; the last reply."""
        return self.film("enrol", [acting.frame(person, pose) for pose in SIDES], name=name)[-1]

    def login(self, person: int, **request: str) -> dict[str, Any]:
        """The verdict on a rendered person."""
        reply = self.film("login", [acting.frame(person)], **request)[-1]
        return dict(reply["login"]["verdict"])

    def refused(self, call: str, *given: Any) -> dict[str, str]:
        """What the back end says to a call that it does not do."""
        told = self.page.evaluate(REFUSED, [call, *given])
        assert told is not None, "it was done"
        return dict(told)

    def people(self) -> list[dict[str, Any]]:
        return list(self.page.evaluate("() => backend.people()"))

    def remove(self, person_id: str) -> None:
        self.page.evaluate("(id) => backend.remove(id)", person_id)

    def log(self) -> list[dict[str, Any]]:
        return list(self.page.evaluate("() => backend.log()"))

    def locked(self) -> dict[str, Any] | None:
        found: dict[str, Any] | None = self.page.evaluate("() => backend.info.locked")
        return found

    def later(self, seconds: float) -> None:
        """Let time pass."""
        self.page.evaluate(
            "(ms) => { const now = Date.now.bind(Date); Date.now = () => now() + ms; }", 1000 * seconds
        )

    def _hear(self, request: Any) -> None:
        self.requests.append((request.method, request.url, request.post_data_buffer is not None))


@pytest.fixture(scope="module")
def site() -> Iterator[Site]:
    (model,) = shipped_models()
    with serving(model, policy=LoginPolicy(quality=quality_gate)) as running:
        yield running


@pytest.fixture
def here(browser: Browser, site: Site) -> Iterator[Here]:
    opened = Here(browser, site)
    yield opened
    opened.context.close()


@pytest.fixture(scope="module")
def known(browser: Browser, site: Site) -> Iterator[Here]:
    """A profile in which Ana is enrolled; tests leave it so."""
    opened = Here(browser, site)
    opened.enrol("Ana", ANA)
    yield opened
    opened.context.close()


def test_browser_enrols_and_lets_in_and_refuses_a_stranger(here: Here, site: Site) -> None:
    loaded = len(here.requests)
    replies = here.film("enrol", [acting.frame(ANA, pose) for pose in SIDES], name=" Ana ")
    assert [reply["enrol"]["taken"] for reply in replies] == [1, 2, 3, 4, 5]
    asked = ["turn_left", "turn_right", "closer", "farther", "front"]
    assert [reply["enrol"]["next"]["code"] for reply in replies] == asked
    assert replies[0]["enrol"]["look"]["text"] == "Turn your head a little to your left."
    assert [reply["enrol"]["done"] for reply in replies] == [False] * 4 + [True]
    done = replies[-1]["enrol"]
    assert done["person"]["name"] == "Ana"
    (person,) = here.people()
    assert (person["id"], person["name"]) == (done["person"]["id"], "Ana")
    # The renderer's closer look is the first one again: it counts once, and that is said.
    assert person["images"] == 4
    (remark,) = done["report"]
    assert remark.startswith("Look 4 (closer) is look 1 (front) again")

    verdict = here.login(ANA)
    assert verdict["accepted"]
    assert verdict["person"] == {"id": person["id"], "name": "Ana"}
    assert verdict["text"] == "Welcome, Ana."
    assert verdict["score"] > verdict["threshold"] == site.encoder.manifest.threshold_at(1e-3).threshold
    assert verdict["model"] == site.encoder.digest
    assert "WebAssembly" in verdict["provider"]
    assert here.login(ANA, claim="Ana")["accepted"]
    for stranger in (BEN, EVE):
        verdict = here.login(stranger)
        assert not verdict["accepted"]
        assert (verdict["reason"], verdict["person"]) == ("not_recognised", None)
        assert verdict["score"] < verdict["threshold"]
    assert here.login(BEN, claim="Ana")["reason"] == "not_recognised"
    assert here.login(ANA, claim="Zoe")["reason"] == "not_enrolled"

    log = here.log()
    assert [entry["event"] for entry in log] == ["login"] * 6 + ["enrol"]
    expected = [None, *["accepted"] * 2, *["not_recognised"] * 3, "not_enrolled"]
    assert [entry["reason"] for entry in reversed(log)] == expected
    assert {entry["name"] for entry in log if entry["person"]} == {"Ana"}

    here.remove(person["id"])
    assert here.people() == []
    assert here.login(ANA)["reason"] == "empty_gallery"
    # From the time when everything was loaded nothing was asked for, and nothing ever went along.
    assert here.requests[loaded:] == []
    assert {(method, body) for method, _, body in here.requests} == {("GET", False)}


def test_browser_scores_as_python_does(known: Here, site: Site) -> None:
    from fedfr_edge.recognition.gallery import Gallery
    from fedfr_edge.recognition.guided import EnrolSession
    from fedfr_edge.recognition.session import LoginSession

    gallery = Gallery(site.encoder.digest, site.encoder.dim)
    detector = open_detector(provider="cpu", threads=1)
    session = EnrolSession(encoder=site.encoder, gallery=gallery, detector=detector, name="Ana")
    for number, pose in enumerate(SIDES):
        assert session.look(acting.frame(ANA, pose), float(number)).accepted
    gallery.add("Ana", session.finish().template)
    for person in (ANA, BEN):
        login = LoginSession(encoder=site.encoder, gallery=gallery, detector=detector, policy=LoginPolicy())
        decision = login.look(acting.frame(person), 0.0).decision
        assert decision is not None
        # Frames are first looked at in a smaller size, which moves landmarks by parts of a pixel.
        assert known.login(person)["score"] == pytest.approx(decision.score, abs=0.03)


def test_browser_says_what_is_wrong_with_a_look(known: Here) -> None:
    face = acting.frame(BEN)
    two = acting.scene([(BEN, Pose(at=0.25)), (EVE, Pose(at=0.75))])
    small = acting.frame(BEN, Pose(near=0.2))
    dark = (face // 6).astype(np.uint8)
    nobody = np.full_like(face, 90)
    away = acting.frame(BEN, Pose(yaw=45))
    frames = [two, small, dark, nobody, away, face, face, acting.frame(EVE, Pose(yaw=25))]
    replies = known.film("enrol", frames, name="Ben")
    looks = [reply["enrol"]["look"] for reply in replies]
    assert [look["code"] for look in looks[:4]] == ["several_faces", "too_small", "too_dark", "no_face"]
    assert [look["accepted"] for look in looks] == [False] * 5 + [True, False, False]
    assert looks[0]["text"] == "Be alone in the picture."
    assert looks[1]["text"] == "Come closer."
    assert replies[1]["advice"] == [{"code": "too_small", "text": "Come closer."}]
    assert [reply["faces"] for reply in replies[:4]] == [2, 1, 1, 0]
    assert replies[0]["box"] is None
    assert replies[3]["box"] is None
    left, top, right, bottom = replies[5]["box"]
    assert 0 <= left < 320 < right <= 640
    assert 0 <= top < 240 < bottom <= 480
    # The same look again is not what was asked for, and somebody else may not finish it.
    assert looks[6]["code"] is None
    assert looks[7]["code"] == "not_the_same_person"
    assert [person["name"] for person in known.people()] == ["Ana"], "nobody is enrolled before the end"

    poor = known.film("login", [small, nobody])
    assert [reply["advice"][0]["code"] for reply in poor] == ["too_small", "no_face"]
    assert all(reply["login"]["verdict"] is None for reply in poor)


def test_browser_takes_names_as_python_does(known: Here) -> None:
    def told(name: str) -> str:
        return known.refused("begin", {"kind": "enrol", "name": name})["code"]

    assert told("Ana") == told("  Ana\n") == "name_taken"
    assert {told(name) for name in ("", "   ", "a\tb", "x" * 201, "x" * 10_000)} == {"name"}
    known.page.evaluate('async () => (await backend.begin({ kind: "enrol", name: "דניאל 💃" })).close()')


def test_browser_keeps_templates_sealed(known: Here, site: Site) -> None:
    stored = known.page.evaluate(STORED)
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
    exported = known.page.evaluate(
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


def test_browser_pauses_after_failures(here: Here, site: Site) -> None:
    here.enrol("Ana", ANA)
    stranger = [acting.frame(EVE)]
    for failure in range(WITHOUT_LIVENESS.failures):
        assert here.locked() is None
        verdict = here.film("login", stranger)[-1]["login"]["verdict"]
        assert verdict["reason"] == "not_recognised"
        assert (verdict["wait_seconds"] is None) == (failure + 1 < WITHOUT_LIVENESS.failures)
    assert 0 < verdict["wait_seconds"] <= WITHOUT_LIVENESS.pause
    verdict = here.login(ANA)
    assert verdict["reason"] == "locked"
    assert "wait" in verdict["text"]
    # Another page of the same browser knows, and so does one that is loaded anew.
    here.page = here.open()
    assert here.login(ANA)["reason"] == "locked"
    here.later(WITHOUT_LIVENESS.pause + 1)
    assert here.locked() is None
    assert here.film("login", stranger)[-1]["login"]["verdict"]["wait_seconds"] > WITHOUT_LIVENESS.pause
    here.later(-3600)  # a clock that goes back does not shorten it
    assert here.locked() is not None
    here.later(3600 + 2 * WITHOUT_LIVENESS.pause)
    assert here.login(ANA)["accepted"]
    assert here.locked() is None


def test_browser_counts_a_login_that_is_broken_off(browser: Browser) -> None:
    (model,) = shipped_models()
    with serving(model, policy=LoginPolicy(frames=(2, 3))) as site:
        here = Here(browser, site)
        here.enrol("Ana", ANA)
        assert here.film("login", [acting.frame(EVE)])[-1]["login"]["verdict"] is None
        here.page.wait_for_function("async () => (await backend.log()).length === 2")
        assert {entry["reason"] for entry in here.log()} == {None, "not_recognised"}
        # Two of three: one look of somebody else does not matter, and two of Ana's are enough.
        replies = here.film("login", [acting.frame(person) for person in (ANA, EVE, ANA)])
        verdicts = [reply["login"]["verdict"] for reply in replies]
        assert verdicts[:2] == [None, None]
        assert verdicts[2]["accepted"]
        replies = here.film("login", [acting.frame(person) for person in (EVE, EVE, ANA)])
        assert len(replies) == 2
        assert replies[-1]["login"]["verdict"]["reason"] == "not_recognised"
        here.context.close()


def test_browser_refuses_another_models_people(browser: Browser, tmp_path: Path, free_port: int) -> None:
    (model,) = shipped_models()
    other = onnx.load(model)
    other.doc_string = "another file"
    changed = tmp_path / "changed.onnx"
    changed.write_bytes(other.SerializeToString())
    with serving(model, port=free_port) as site:
        here = Here(browser, site)
        here.enrol("Ana", ANA)
    with serving(changed, port=free_port) as site:
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


@pytest.fixture
def free_port() -> int:
    from served import free_port

    return free_port()


def test_browser_takes_photographs_as_python_does(here: Here, site: Site) -> None:
    """Photographs are looked at as the library looks at them, so scores are the library's."""
    poses = (FRONT, Pose(yaw=25), Pose(yaw=-25))
    detector = open_detector(provider="cpu", threads=1)

    def embed(*images: Image) -> np.ndarray:
        crops = [align(image, detector.detect(image)[0].landmarks) for image in images]
        return np.asarray(site.encoder.embed(np.stack(crops)))

    template = make_template(embed(*(acting.frame(ANA, pose) for pose in poses)), site.encoder.digest)
    nobody = np.full_like(acting.frame(ANA), 90)
    sent = [as_rgba(image) for image in (*(acting.frame(ANA, pose) for pose in poses), nobody)]
    *looks, done = here.page.evaluate(ALBUM, [{"kind": "enrol", "name": "Ana"}, sent])
    assert [look["enrol"]["look"]["accepted"] for look in looks] == [True, True, True, False]
    assert [look["enrol"]["needed"] for look in looks] == [4] * 4
    assert done["enrol"]["done"]
    assert done["enrol"]["report"] == []
    for person, accepted in ((ANA, True), (BEN, False)):
        image = acting.frame(person, Pose(yaw=8))
        verdict = here.page.evaluate(PHOTO, png(image))
        (score,) = embed(image) @ template.vector
        assert verdict["score"] == pytest.approx(float(score), abs=0.01)
        assert verdict["accepted"] == accepted
    with pytest.raises(Exception, match="no picture that this browser can read"):
        here.page.evaluate(PHOTO, list(b"not an image"))
    # Without one face there is nobody to enrol.
    with pytest.raises(Exception, match="nobody was enrolled"):
        here.page.evaluate(ALBUM, [{"kind": "enrol", "name": "Ben"}, [as_rgba(nobody)]])
    assert [person["name"] for person in here.people()] == ["Ana"]


def png(image: Image) -> list[int]:
    return list(cv2.imencode(".png", image[:, :, ::-1])[1].tobytes())
