"""A person's way through the mode in which the page decides: enrolled, let in, a stranger not; all kept here.

The back end runs as in the page, worker and store included; frames of rendered people go in where those of
the camera would.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import acting
import cv2
import numpy as np
import pytest
from acting import FRONT, Pose
from in_browser import Site, as_rgba, serving
from page_backend import SIDES, Here
from served import ANA, BEN, EVE

from fedfr_edge.apps.known_models import shipped_models
from fedfr_edge.recognition.capture import quality_gate
from fedfr_edge.recognition.lockout import WITHOUT_LIVENESS
from fedfr_edge.recognition.policy import LoginPolicy
from fedfr_edge.recognition.template import make_template
from fedfr_edge.types import Image
from fedfr_edge.vision.align import align
from fedfr_edge.vision.detect import open_detector

if TYPE_CHECKING:
    from playwright.sync_api import Browser

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


@pytest.fixture(scope="module")
def site() -> Iterator[Site]:
    (model,) = shipped_models()
    with serving(model, policy=LoginPolicy(quality=quality_gate)) as running:
        yield running


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
