"""``fedfr enrol``, ``login`` and ``doctor``: in this process, and as programs without torch and Flower."""

from __future__ import annotations

import json
import os
import runpy
import stat
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from fedfr_edge.cli import main
from fedfr_edge.config import resolve

tiny_model = runpy.run_path(str(Path(__file__).parents[1] / "recognition" / "tiny_model.py"))

BLOCKING = """
import sys
BLOCKED = {blocked!r}
class Block:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in BLOCKED:
            raise ImportError(f"blocked: {{name}}")
sys.meta_path.insert(0, Block())
from fedfr_edge.cli import main
status = main(sys.argv[1:])
ours = [name for name in sys.modules if name.startswith("fedfr_edge.")]
bad = [n for n in ours if n.split(".")[1] in ("train", "federation", "export", "data", "evaluation")]
assert not bad, bad
assert not BLOCKED & set(sys.modules), "blocked modules were imported"
sys.exit(status)
"""

Run = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def without() -> Run:
    """Runs ``fedfr`` in a process of its own in which some packages cannot be imported."""

    def run(
        blocked: set[str], *arguments: str | Path, **environment: str
    ) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-W", "error", "-c", BLOCKING.format(blocked=blocked), *map(str, arguments)],
            capture_output=True,
            text=True,
            timeout=120,
            env={**os.environ, "OMP_NUM_THREADS": "1", **environment},
        )

    return run


class Device:
    """A folder with a model, aligned faces of three people, and short-hands for the commands."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.model = tiny_model["write"](folder / "m.onnx")
        self.gallery = folder / "g.vault"
        self.people = {}
        for name, face in zip(("ana", "ben", "eve"), tiny_model["faces"](3), strict=True):
            (folder / name).mkdir()
            self.people[name] = folder / name
            for number, shift in enumerate((0, 6)):
                image = np.clip(face.astype(int) + shift, 0, 255).astype(np.uint8)
                cv2.imwrite(str(folder / name / f"{number}.png"), image[:, :, ::-1])

    def common(self) -> list[str]:
        return ["--model", str(self.model), "--gallery", str(self.gallery)]

    def enrol(self, *arguments: str | Path) -> int:
        return main(["enrol", *self.common(), "--aligned", *map(str, arguments)])

    def login(self, *arguments: str | Path) -> int:
        return main(["login", *self.common(), "--aligned", *map(str, arguments)])


@pytest.fixture
def device(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Device:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    return Device(tmp_path)


def content(gallery: Path) -> dict[str, bytes]:
    return {file.name: file.read_bytes() for file in gallery.iterdir()}


def one_line_error(capsys: pytest.CaptureFixture[str]) -> str:
    captured = capsys.readouterr()
    lines = [line for line in captured.err.splitlines() if not line.startswith("photographs:")]
    assert len(lines) == 1, captured.err
    assert lines[0].startswith("error: ")
    return lines[0]


# --- the whole path without torch and Flower ---------------------------------------------------


def test_enrol_and_login_without_torch_and_flower(device: Device, without: Run) -> None:
    blocked = {"torch", "flwr", "insightface", "matplotlib", "onnxscript", "safetensors", "pandas"}
    common = [*device.common(), "--aligned"]
    for name in ("ana", "ben"):
        done = without(blocked, "enrol", *common, device.people[name])
        assert done.returncode == 0, done.stderr
        assert f"enrolled {name}" in done.stdout
    done = without(blocked, "login", *common, device.people["ana"] / "1.png")
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("accepted: ana\n")
    done = without(blocked, "login", *common, device.people["eve"] / "0.png", "--json")
    assert done.returncode == 1
    assert done.stderr == ""
    assert json.loads(done.stdout)["reason"] == "not_recognised"


def test_whole_photographs_without_torch_and_flower(device: Device, without: Run, dev_data: Path) -> None:
    photographs = dev_data / "faces" / "celebrity_photos"
    mine, strangers = photographs / "angelina_jolie", photographs / "denzel_washington"
    blocked = {"torch", "flwr", "insightface", "matplotlib"}
    picture = sorted(mine.iterdir())[0]
    done = without(blocked, "enrol", *device.common(), "--name", "Angie", picture)
    assert done.returncode == 0, done.stderr
    done = without(blocked, "login", *device.common(), picture)
    assert done.returncode == 0, done.stderr + done.stdout
    assert done.stdout.startswith("accepted: Angie\n")
    done = without(blocked, "login", *device.common(), sorted(strangers.iterdir())[0])
    assert done.returncode == 1
    assert done.stdout.startswith("refused (not_recognised)")
    assert done.stderr == ""


def test_real_photographs_that_cannot_be_used(
    device: Device, dev_data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    photographs = dev_data / "photos" / "face_recognition" / "examples"
    several, one = photographs / "two_people.jpg", photographs / "obama.jpg"
    nobody = tmp_path / "nobody.png"
    cv2.imwrite(str(nobody), np.full((200, 300, 3), 90, np.uint8))
    enrol = ["enrol", *device.common(), "--name", "Ana"]
    assert main([*enrol, str(several)]) == 1
    assert "2 faces were found, expected exactly one" in one_line_error(capsys)
    assert main([*enrol, str(nobody)]) == 1
    assert "no face was found" in one_line_error(capsys)
    assert not device.gallery.exists()
    assert main([*enrol, str(several), str(one), str(nobody)]) == 0
    captured = capsys.readouterr().out
    assert "skipped two_people.jpg (several_faces)" in captured
    assert "skipped nobody.png (no_face)" in captured
    assert "from 1 of 3 photographs" in captured
    login = ["login", *device.common(), "--json"]
    assert main([*login, str(several)]) in (0, 1)
    assert json.loads(capsys.readouterr().out)["faces_seen"] == 2
    assert main([*login[:-1], str(several)]) in (0, 1)
    assert "remark: 2 faces seen, the large and central one was compared" in capsys.readouterr().out
    dark = tmp_path / "dark.png"
    cv2.imwrite(str(dark), cv2.imread(str(one)) // 8)
    assert main([*login, str(dark)]) in (0, 1)
    assert json.loads(capsys.readouterr().out)["quality"] == ["too_dark"]
    assert main([*login[:-1], str(dark)]) in (0, 1)
    assert "remark: too_dark: more light on the face" in capsys.readouterr().out
    assert main([*login, str(nobody)]) == 1
    answer = json.loads(capsys.readouterr().out)
    assert (answer["reason"], answer["faces_seen"], answer["score"]) == ("no_face", 0, None)


# --- enrol -------------------------------------------------------------------------------------


def test_enrol_writes_gallery_key_and_a_record_without_names(device: Device) -> None:
    assert device.enrol("--name", "Anastasia Example", device.people["ana"]) == 0
    key, record = device.folder / "g.vault.key", device.gallery / "enrol.toml"
    assert stat.S_IMODE(device.gallery.stat().st_mode) == 0o700
    for private in (*device.gallery.iterdir(), key):
        assert stat.S_IMODE(private.stat().st_mode) == 0o600
    written = b"".join(content(device.gallery).values()) + key.read_bytes()
    assert b"Anastasia" not in written
    assert b"0.png" not in written
    from fedfr_edge.apps.commands.enrol import EnrolConfig

    config = resolve(EnrolConfig, "enrol", record)
    assert (config.gallery, config.aligned, config.name) == (device.gallery, True, None)


def test_a_folder_gives_its_name_and_a_bad_file_is_skipped(
    device: Device, capsys: pytest.CaptureFixture[str]
) -> None:
    (device.people["ana"] / "broken.jpg").write_bytes(b"no picture")
    (device.people["ana"] / "notes.txt").write_text("not meant")
    assert device.enrol(device.people["ana"]) == 0
    out = capsys.readouterr().out
    assert "skipped broken.jpg (unreadable)" in out
    assert "enrolled ana" in out
    assert "left out 1.png (repeated): is 0.png again" in out  # the same with a little more light
    assert "from 1 of 3 photographs" in out


def test_a_name_twice_needs_replace(device: Device, capsys: pytest.CaptureFixture[str]) -> None:
    assert device.enrol(device.people["ana"]) == 0
    before = content(device.gallery)
    capsys.readouterr()
    assert device.enrol("--name", "ana", device.people["ben"]) == 1
    assert "--replace" in one_line_error(capsys)
    assert content(device.gallery) == before
    assert device.enrol("--name", "ana", "--replace", device.people["ben"]) == 0
    assert device.login(device.people["ben"] / "0.png") == 0
    assert device.login(device.people["ana"] / "0.png") == 1


def test_photographs_are_added_kept_and_left_out(device: Device, capsys: pytest.CaptureFixture[str]) -> None:
    """A little noise gives other photographs of the same face; those of another are left out or refused."""
    rng = np.random.default_rng(0)
    for name, count in (("ana", 4), ("ben", 1)):
        face = cv2.imread(str(device.people[name] / "0.png"))
        for number in range(count):
            grain = rng.integers(-75, 76, (14, 14, 3)).repeat(8, 0).repeat(8, 1)
            changed = np.clip(face.astype(int) + grain, 0, 255).astype(np.uint8)
            cv2.imwrite(str(device.folder / f"{name}{number}.png"), changed)
    more = [device.folder / f"ana{number}.png" for number in range(4)]
    assert device.enrol("--name", "Ana", *more[:3], device.folder / "ben0.png", "--no-drop-outliers") == 0
    assert "left out" not in capsys.readouterr().out
    assert device.enrol("--name", "Ana", "--add", "--replace", more[0]) == 1
    assert "both --add and --replace" in one_line_error(capsys)
    assert device.enrol("--name", "Eve", "--add", more[0]) == 1
    assert "nobody called 'Eve'" in one_line_error(capsys)
    arguments = ["--name", "Ana", "--replace", "--combine", "all"]
    assert device.enrol(*arguments, *more[:3], device.folder / "ben0.png") == 0
    out = capsys.readouterr().out
    assert "left out ben0.png (unlike_the_others)" in out
    assert "from 3 of 4 photographs; 1 in" in out
    before = content(device.gallery)
    assert device.enrol("--name", "Ana", "--add", "--combine", "all", device.folder / "ben0.png") == 1
    assert "do not look like the 'Ana' who is enrolled" in one_line_error(capsys)
    assert content(device.gallery) == before
    assert device.enrol("--name", "Ana", "--add", "--combine", "all", more[3]) == 0
    assert "from 1 of 1 photographs, added to 3; 1 in" in capsys.readouterr().out
    assert device.enrol("--name", "Twin", more[0]) == 0
    assert "remark: hard to tell from 'Ana', who is enrolled: 1 of 1 images" in capsys.readouterr().out


def test_somebody_too_like_is_reported_by_the_threshold_of_a_login(
    device: Device, capsys: pytest.CaptureFixture[str]
) -> None:
    """A model that was calibrated at a milder rate than the default alone: a login goes by that one."""
    mild = tiny_model["THRESHOLDS"][:1]
    tiny_model["write"](device.model, thresholds=mild)
    assert device.enrol(device.people["ana"]) == 0
    assert device.enrol("--name", "Anna", device.people["ana"] / "1.png") == 0
    capsys.readouterr()
    assert device.enrol("--name", "Hannah", "--json", device.people["ana"] / "1.png") == 0
    assert {each["name"] for each in json.loads(capsys.readouterr().out)["too_like"]} == {"ana", "Anna"}


def test_a_failed_enrolment_leaves_nothing_behind(device: Device, capsys: pytest.CaptureFixture[str]) -> None:
    before = sorted(device.folder.iterdir())
    bad = device.people["ana"] / "broken.jpg"
    bad.write_bytes(b"no picture")
    assert device.enrol("--name", "ana", bad) == 1
    assert "broken.jpg" in one_line_error(capsys)
    assert sorted(device.folder.iterdir()) == before


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["missing.jpg", "--name", "x"], "no such file or folder: missing.jpg"),
        (["{folder}", "--name", "x"], "holds no photographs"),
        (["{ana}/0.png"], "give --name"),
        (["--name", "x"], "no photographs are given"),
        (["{ana}", "--model", "none.onnx"], "cannot read model none.onnx"),
        (["{ana}", "--model", "{ana}/0.png"], "is no ONNX model"),
        (["{ana}", "--key", "passphrase", "--key-file", "k"], "contradicts --key passphrase"),
        (["{ana}", "--name", "a\x07b"], "no usable name"),
    ],
)
def test_bad_input_to_enrol_is_one_line(
    device: Device, capsys: pytest.CaptureFixture[str], arguments: list[str], message: str
) -> None:
    empty = device.folder / "empty"
    empty.mkdir()
    filled = [text.format(folder=empty, ana=device.people["ana"]) for text in arguments]
    assert device.enrol(*filled) == 1
    assert message in one_line_error(capsys)
    assert not device.gallery.exists()


def test_a_full_disk_keeps_the_old_gallery(device: Device, capsys: pytest.CaptureFixture[str]) -> None:
    """The limit on file size stands in for a full disk: the write really fails half-way."""
    resource = pytest.importorskip("resource")
    assert device.enrol(device.people["ana"]) == 0
    before = content(device.gallery)
    capsys.readouterr()
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    import signal

    old = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    try:
        resource.setrlimit(resource.RLIMIT_FSIZE, (100, limits[1]))
        status = device.enrol(device.people["ben"])
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        signal.signal(signal.SIGXFSZ, old)
    assert status == 1
    assert "cannot write" in one_line_error(capsys)
    assert content(device.gallery) == before
    assert not list(device.folder.glob(".*tmp"))
    assert device.login(device.people["ana"] / "0.png") == 0


# --- login -------------------------------------------------------------------------------------


def test_login_says_what_its_threshold_rests_on(device: Device, capsys: pytest.CaptureFixture[str]) -> None:
    device.enrol(device.people["ana"])
    capsys.readouterr()
    assert device.login(device.people["ana"] / "0.png") == 0
    out = capsys.readouterr().out
    assert (
        "threshold 0.9000 (FAR 1e-3 per comparison: 100 of 100000 non-mated comparisons of test faces)" in out
    )
    assert "remark" not in out
    assert device.login(device.people["ana"] / "0.png", "--far", "1e-4") == 0
    out = capsys.readouterr().out
    assert "threshold 0.9500" in out
    assert "too few to show it" in out
    assert device.login(device.people["eve"] / "0.png", "--threshold", "-1") == 0
    assert "(a threshold given)" in capsys.readouterr().out


def test_login_json_has_every_value(device: Device, capsys: pytest.CaptureFixture[str]) -> None:
    device.enrol(device.people["ana"])
    capsys.readouterr()
    assert device.login("--json", device.people["ana"] / "0.png") == 0
    answer = json.loads(capsys.readouterr().out)
    assert set(answer) == {
        *("accepted", "reason", "detail", "person", "score", "threshold", "far", "far_supported"),
        *("faces_seen", "quality", "model", "second", "rests_on", "wait_seconds", "provider"),
    }
    assert (answer["accepted"], answer["reason"]) == (True, "accepted")
    assert answer["person"]["name"] == "ana"


def test_login_by_claim(device: Device, capsys: pytest.CaptureFixture[str]) -> None:
    device.enrol(device.people["ana"])
    device.enrol(device.people["ben"])
    photo = device.people["ana"] / "1.png"
    assert device.login(photo, "--name", "ana") == 0
    assert device.login(photo, "--name", "ben") == 1
    capsys.readouterr()
    assert device.login(photo, "--name", "eve") == 1
    assert capsys.readouterr().out.startswith("refused (not_enrolled)")


def test_a_gallery_of_another_model_is_an_error(device: Device, capsys: pytest.CaptureFixture[str]) -> None:
    device.enrol(device.people["ana"])
    device.model = tiny_model["write"](device.folder / "other.onnx", seed=1)
    capsys.readouterr()
    assert device.login(device.people["ana"] / "0.png") == 1
    assert "different models cannot be compared" in one_line_error(capsys)
    before = content(device.gallery)
    assert device.enrol(device.people["ben"]) == 1
    assert "different models cannot be compared" in one_line_error(capsys)
    assert content(device.gallery) == before


def test_a_tampered_gallery_is_an_error(device: Device, capsys: pytest.CaptureFixture[str]) -> None:
    device.enrol(device.people["ana"])
    (people,) = device.gallery.glob("people-*")
    data = bytearray(people.read_bytes())
    data[-1] ^= 1
    people.write_bytes(data)
    before = content(device.gallery)
    capsys.readouterr()
    assert device.login(device.people["ana"] / "0.png") == 1
    assert "was altered: the record of" in one_line_error(capsys)
    assert device.enrol(device.people["ben"]) == 1
    assert "was altered: the record of" in one_line_error(capsys)
    assert content(device.gallery) == before


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["missing.png"], "no such file or folder: missing.png"),
        (["{folder}/m.onnx"], "m.onnx"),
        (["{ana}/0.png", "--gallery", "none.vault"], "cannot read gallery none.vault"),
        (["{ana}/0.png", "--gallery", "{folder}/m.onnx"], "no gallery of fedfr-edge"),
        (["{ana}/0.png", "--key-file", "none.key"], "cannot read key file none.key"),
        (["{ana}/0.png", "--far", "0.5"], "it has: 1e-2, 1e-3, 1e-4"),
        (["{ana}/0.png", "--threshold", "nan"], "finite"),
        (["{ana}/0.png", "--threshold", "1.5"], "at most 1"),
    ],
)
def test_bad_input_to_login_is_one_line(
    device: Device, capsys: pytest.CaptureFixture[str], arguments: list[str], message: str
) -> None:
    device.enrol(device.people["ana"])
    capsys.readouterr()
    filled = [text.format(folder=device.folder, ana=device.people["ana"]) for text in arguments]
    assert device.login(*filled) == 1
    assert message in one_line_error(capsys)


def test_passphrase_from_the_environment(
    device: Device, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    photo = device.people["ana"] / "0.png"
    monkeypatch.setenv("FEDFR_PASSPHRASE", "correct horse")
    assert device.enrol("--key", "passphrase", device.people["ana"]) == 0
    assert not (device.folder / "g.vault.key").exists()
    assert device.login("--key", "passphrase", photo) == 0
    capsys.readouterr()
    monkeypatch.setenv("FEDFR_PASSPHRASE", "wrong horse")
    assert device.login("--key", "passphrase", photo) == 1
    assert "does not fit" in one_line_error(capsys)
    monkeypatch.delenv("FEDFR_PASSPHRASE")
    assert device.login("--key", "passphrase", photo) == 1
    assert "FEDFR_PASSPHRASE" in one_line_error(capsys)
    assert device.login(photo) == 1
    assert "--key passphrase" in one_line_error(capsys)


def test_a_login_that_cannot_be_logged_is_not_granted(
    device: Device, capsys: pytest.CaptureFixture[str]
) -> None:
    device.enrol(device.people["ana"])
    log = device.gallery / "audit.jsonl"
    log.rename(device.folder / "away")
    log.mkdir()
    capsys.readouterr()
    assert device.login(device.people["ana"] / "0.png") == 1
    assert "cannot write" in one_line_error(capsys)


def test_five_failures_pause_logins(device: Device, capsys: pytest.CaptureFixture[str]) -> None:
    device.enrol(device.people["ana"])
    mine, other = device.people["ana"] / "0.png", device.people["eve"] / "0.png"
    for _ in range(7):
        assert device.login("--no-lockout", other) == 1
    for _ in range(5):
        assert device.login(other) == 1
        assert capsys.readouterr().out.splitlines()[-2].startswith("refused (not_recognised)")
    assert device.login(mine) == 1
    assert capsys.readouterr().out.startswith("refused (locked): 5 failures in a row, wait 30 s")
    assert device.login("--no-lockout", mine) == 0
    capsys.readouterr()
    assert main(["gallery", "unlock", "--gallery", str(device.gallery)]) == 0
    assert "5 failures forgotten" in capsys.readouterr().out
    assert device.login(mine) == 0


def test_a_start_of_the_machine_asks_for_another_factor(
    device: Device, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    from fedfr_edge.recognition.lockout import MachineClock

    device.enrol(device.people["ana"])
    monkeypatch.setattr(MachineClock, "start", lambda self: "the next one")
    capsys.readouterr()
    assert device.login("--json", device.people["ana"] / "0.png") == 1
    answer = json.loads(capsys.readouterr().out)
    assert (answer["reason"], answer["score"], answer["faces_seen"]) == ("other_factor", None, 0)
    assert main(["gallery", "unlock", "--gallery", str(device.gallery)]) == 0
    assert device.login(device.people["ana"] / "0.png") == 0


def test_names_are_printed_as_they_are(device: Device, capsys: pytest.CaptureFixture[str]) -> None:
    name = "[bold]:smile: Ana[/bold]"
    device.enrol("--name", name, device.people["ana"])
    assert f"enrolled {name} " in capsys.readouterr().out
    device.login(device.people["ana"] / "0.png")
    assert capsys.readouterr().out.startswith(f"accepted: {name}\n")


@pytest.mark.parametrize("command", ["enrol", "login", "doctor"])
def test_help_says_what_goes_in_and_comes_out(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([command, "--help"]) == 0
    text = capsys.readouterr().out
    assert "In:" in text
    assert "Out:" in text
    assert "--config" in text


# --- doctor ------------------------------------------------------------------------------------


def report_of(folder: Path) -> dict[str, Any]:
    report = json.loads((folder / "doctor.json").read_text())
    report["by_name"] = {check["name"]: check for check in report["checks"]}
    return report


def test_doctor_on_a_working_device(device: Device, capsys: pytest.CaptureFixture[str]) -> None:
    output = device.folder / "doctor.json"
    assert main(["doctor", "--model", str(device.model), "-o", str(output)]) == 0
    report, out = report_of(device.folder), capsys.readouterr().out
    assert report["works"] is True
    for name in (
        "python",
        "numpy",
        "opencv",
        "onnxruntime",
        "providers",
        "detector",
        "cryptography",
        "model",
    ):
        assert report["by_name"][name]["status"] == "ok", report["by_name"][name]
        assert name in out
    assert "CPUExecutionProvider" in report["by_name"]["providers"]["found"]
    assert out.endswith("The device part works.\n")


def test_doctor_says_how_to_mend_each_fault(device: Device, without: Run) -> None:
    blocked = {"cv2", "onnxruntime", "keyring"}
    done = without(blocked, "doctor", "-o", device.folder / "doctor.json", "--model", device.model)
    assert done.returncode == 1
    assert done.stderr == ""
    report = report_of(device.folder)
    assert report["works"] is False
    faults = {check["name"] for check in report["checks"] if check["status"] == "fault"}
    assert faults == {"opencv", "onnxruntime", "providers", "detector", "model"}
    assert all(check["mend"] for check in report["checks"] if check["status"] != "ok")
    assert "libgl1" in report["by_name"]["opencv"]["mend"]
    assert "fedfr-edge[cpu]" in report["by_name"]["onnxruntime"]["mend"]
    assert report["by_name"]["keyring"]["status"] == "absent"


def test_doctor_without_the_optional_parts_is_content(
    device: Device, monkeypatch: pytest.MonkeyPatch
) -> None:
    import importlib.metadata

    from fedfr_edge.extras import EXTRAS

    real = importlib.metadata.version

    def version(name: str) -> str:
        if name in EXTRAS:
            raise importlib.metadata.PackageNotFoundError(name)
        return real(name)

    monkeypatch.setattr(importlib.metadata, "version", version)
    assert main(["doctor", "-o", str(device.folder / "doctor.json")]) == 0
    by_name = report_of(device.folder)["by_name"]
    for name, extra in EXTRAS.items():
        assert by_name[name]["status"] == "absent"
        assert f"fedfr-edge[{extra}]" in by_name[name]["mend"]


def test_doctor_reports_both_onnxruntimes(device: Device, monkeypatch: pytest.MonkeyPatch) -> None:
    import importlib.metadata

    real = importlib.metadata.version
    monkeypatch.setattr(
        importlib.metadata, "version", lambda name: "1.31.1" if name == "onnxruntime-gpu" else real(name)
    )
    assert main(["doctor", "-o", str(device.folder / "doctor.json")]) == 0
    found = report_of(device.folder)["by_name"]["onnxruntime"]
    assert found["status"] == "warning"
    assert "pip uninstall -y onnxruntime onnxruntime-gpu" in found["mend"]


def test_doctor_warns_of_a_version_out_of_range(device: Device, monkeypatch: pytest.MonkeyPatch) -> None:
    import importlib.metadata

    real = importlib.metadata.version
    monkeypatch.setattr(
        importlib.metadata, "version", lambda name: "2.14.0" if name == "torch" else real(name)
    )
    assert main(["doctor", "-o", str(device.folder / "doctor.json")]) == 0
    found = report_of(device.folder)["by_name"]["torch"]
    assert found["status"] == "warning"
    assert "2.14.0, expected torch" in found["found"]


def test_doctor_requires_the_provider_asked_for(device: Device) -> None:
    import onnxruntime

    if "CUDAExecutionProvider" in onnxruntime.get_available_providers():
        pytest.skip("this onnxruntime may really have CUDA")
    output = device.folder / "doctor.json"
    for provider, code, status in (("cuda!", 1, "fault"), ("cuda", 0, "warning"), ("auto", 0, "ok")):
        assert main(["doctor", "--provider", provider, "-o", str(output)]) == code
        found = report_of(device.folder)["by_name"]["providers"]
        assert found["status"] == status
        assert ("fedfr-edge[gpu]" in found["mend"]) is (status != "ok")


def test_doctor_reports_a_bad_model_and_a_bad_folder(device: Device) -> None:
    output = device.folder / "doctor.json"
    arguments = ["--model", str(device.people["ana"] / "0.png"), "--folder", str(device.folder / "none")]
    assert main(["doctor", *arguments, "-o", str(output)]) == 1
    by_name = report_of(device.folder)["by_name"]
    assert by_name["model"]["status"] == by_name["disk"]["status"] == "fault"
    assert "copy it again" in by_name["model"]["mend"]
