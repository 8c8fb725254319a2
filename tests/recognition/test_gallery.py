from __future__ import annotations

import math
import unicodedata

import numpy as np
import pytest

from fedfr_edge.errors import GalleryError, ModelMismatchError
from fedfr_edge.recognition.gallery import Gallery
from fedfr_edge.recognition.template import Template, make_template, score

MODEL, OTHER = "a" * 64, "b" * 64


def at(angle: float, model: str = MODEL) -> Template:
    """A template in the plane at ``angle`` degrees: the cosine of two is that of their difference."""
    radians = math.radians(angle)
    return Template(np.array([math.cos(radians), math.sin(radians)], np.float32), model, 1)


@pytest.fixture
def gallery() -> Gallery:
    gallery = Gallery(MODEL, 2)
    gallery.add("Ana", at(0))
    gallery.add("Ben", at(60))
    return gallery


def test_template_is_the_normalised_mean() -> None:
    embeddings = np.array([[1, 0], [0, 1], [0.6, 0.8]], np.float32)
    template = make_template(embeddings, MODEL)
    # Σ = (1.6, 1.8), length √(2.56 + 3.24) = √5.8
    assert template.vector == pytest.approx([1.6 / math.sqrt(5.8), 1.8 / math.sqrt(5.8)], abs=1e-7)
    assert template.vector.dtype == np.float32
    assert (template.images, template.model_digest) == (3, MODEL)


def test_template_of_one_is_that_one() -> None:
    row = np.array([[0.6, -0.8]], np.float32)
    assert np.array_equal(make_template(row, MODEL).vector, row[0])


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        (np.empty((0, 2), np.float32), "at least one"),
        (np.array([1, 0], np.float32), "at least one"),
        (np.array([[2, 0]], np.float32), "no unit vector"),
        (np.array([[np.nan, 0]], np.float32), "no unit vector"),
        (np.array([[1, 0], [-1, 0]], np.float32), "no direction in common"),
    ],
)
def test_no_template_of_nothing(rows: np.ndarray, message: str) -> None:
    with pytest.raises(GalleryError, match=message):
        make_template(rows, MODEL)


def test_the_score_is_the_cosine() -> None:
    assert score(at(10), at(70)) == pytest.approx(0.5, abs=1e-6)
    with pytest.raises(
        ModelMismatchError, match=r"aaaaaaaaaaaa….*bbbbbbbbbbbb…|bbbbbbbbbbbb….*aaaaaaaaaaaa…"
    ):
        score(at(0), at(0, OTHER))


def test_identify_takes_the_best_above_the_threshold(gallery: Gallery) -> None:
    match = gallery.identify(at(50), 0.9)
    assert match.person is not None
    assert match.person.name == "Ben"
    assert match.score == pytest.approx(math.cos(math.radians(10)), abs=1e-6)


def test_a_stranger_is_unknown_with_the_best_score(gallery: Gallery) -> None:
    match = gallery.identify(at(180), 0.9)
    assert match.person is None
    assert match.score == pytest.approx(math.cos(math.radians(120)), abs=1e-6)
    assert match.threshold == 0.9


def test_a_score_equal_to_the_threshold_accepts(gallery: Gallery) -> None:
    score = gallery.identify(at(50), -1).score
    assert score is not None
    assert gallery.identify(at(50), score).person is not None
    assert gallery.identify(at(50), math.nextafter(score, 2)).person is None


def test_verify_compares_with_the_person_claimed_only(gallery: Gallery) -> None:
    ana = gallery.find("Ana")
    assert ana is not None
    assert gallery.verify(ana, at(50), 0.9).person is None
    assert gallery.verify(ana, at(50), 0.6).person == ana
    ben = gallery.find("Ben")
    assert ben is not None
    assert gallery.verify(ben, at(50), 0.9).score == gallery.identify(at(50), 0.9).score


def test_an_empty_gallery_knows_nobody() -> None:
    match = Gallery(MODEL, 2).identify(at(0), 0.5)
    assert (match.person, match.score) == (None, None)


def test_templates_of_another_model_are_errors_everywhere(gallery: Gallery) -> None:
    foreign = at(0, OTHER)
    ana = gallery.find("Ana")
    assert ana is not None
    for attempt in (
        lambda: gallery.add("Eve", foreign),
        lambda: gallery.replace("Ana", foreign),
        lambda: gallery.identify(foreign, 0.5),
        lambda: gallery.verify(ana, foreign, 0.5),
    ):
        with pytest.raises(ModelMismatchError, match="enrol again"):
            attempt()
    assert [person.name for person in gallery.people] == ["Ana", "Ben"]
    assert gallery.find("Ana") == ana


def test_a_template_of_another_length_is_an_error(gallery: Gallery) -> None:
    with pytest.raises(GalleryError, match=r"\(3,\)"):
        gallery.add("Eve", Template(np.array([1, 0, 0], np.float32), MODEL, 1))


def test_names_are_unique_and_replaceable(gallery: Gallery) -> None:
    with pytest.raises(GalleryError, match="--replace"):
        gallery.add(" Ana ", at(90))
    old = gallery.find("Ana")
    new = gallery.replace("Ana", at(90))
    assert old is not None
    assert new.id != old.id
    assert len(gallery) == 2
    assert gallery.identify(at(90), 0.99).person == new


def test_a_name_that_is_somebodys_id_replaces_its_own_entry(gallery: Gallery) -> None:
    ana = gallery.find("Ana")
    assert ana is not None
    gallery.add(ana.id, at(90))
    gallery.replace(ana.id, at(120))
    assert gallery.find("Ana") == ana
    assert [person.name for person in gallery.people].count(ana.id) == 1


def test_remove_by_name_or_id(gallery: Gallery) -> None:
    ben = gallery.find("Ben")
    assert ben is not None
    assert gallery.remove(ben.id) == ben
    gallery.remove("Ana")
    assert len(gallery) == 0
    with pytest.raises(GalleryError, match="nobody called 'Ana'"):
        gallery.remove("Ana")


def test_ids_are_random() -> None:
    ids = {Gallery(MODEL, 2).add("Ana", at(0)).id for _ in range(20)}
    assert len(ids) == 20


def test_names_are_compared_in_one_unicode_form(gallery: Gallery) -> None:
    gallery.add(unicodedata.normalize("NFD", "Zoë"), at(120))
    assert gallery.find(unicodedata.normalize("NFC", "Zoë")) is not None
    with pytest.raises(GalleryError):
        gallery.add("Zoë", at(120))


@pytest.mark.parametrize("name", ["", "  ", "a\nb", "x" * 201])
def test_unusable_names(gallery: Gallery, name: str) -> None:
    with pytest.raises(GalleryError, match="no usable name"):
        gallery.add(name, at(0))
