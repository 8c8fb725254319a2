"""Deployment without processes: the document's blocks, service and proxy files, what the commands refuse."""

from __future__ import annotations

import configparser
import datetime
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from cryptography.x509.oid import NameOID
from deploy_document import DEPLOY, ROOT, Machine, blocks
from flwr.common.config import parse_config_args
from small_federation import make_store

from fedfr_edge.apps.commands import federation_client, federation_server
from fedfr_edge.apps.commands.federation_client import ClientConfig, node_config
from fedfr_edge.apps.commands.federation_server import ServerConfig
from fedfr_edge.apps.deploy import certificates
from fedfr_edge.apps.deploy.programs import environment, require_free_port
from fedfr_edge.apps.deploy.superlink import APP, Keys, SuperLink
from fedfr_edge.config import resolve
from fedfr_edge.errors import ConfigError, FederationError
from fedfr_edge.federation.server_app import job_from_run_config

SERVICES = ("fedfr-server.service", "fedfr-client.service")


def new_key(path: Path, kind: type[Any] = ec.SECP384R1) -> Path:
    """An OpenSSH key pair: ``path`` and ``path.pub``."""
    key: Any = ed25519.Ed25519PrivateKey.generate() if kind is int else ec.generate_private_key(kind())
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.OpenSSH,
            serialization.NoEncryption(),
        )
    )
    public = key.public_key().public_bytes(serialization.Encoding.OpenSSH, serialization.PublicFormat.OpenSSH)
    path.with_suffix(".pub").write_bytes(public + b" a comment\n")
    return path


def new_certificate(
    folder: Path, *, days: tuple[int, int] = (-1, 365), names: tuple[str, ...] = ("localhost",)
) -> tuple[Path, Path]:
    """A certificate, valid from and to so many days from now, and its key."""
    folder.mkdir(parents=True, exist_ok=True)
    key = ec.generate_private_key(ec.SECP384R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "x")])
    now = datetime.datetime.now(datetime.UTC)
    built = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now + datetime.timedelta(days[0]))
        .not_valid_after(now + datetime.timedelta(days[1]))
    )
    if names:
        others = [x509.DNSName(item) for item in names]
        built = built.add_extension(x509.SubjectAlternativeName(others), critical=False)
    from cryptography.hazmat.primitives import hashes

    (folder / "crt").write_bytes(built.sign(key, hashes.SHA384()).public_bytes(serialization.Encoding.PEM))
    (folder / "key").write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
    )
    return folder / "crt", folder / "key"


def test_every_shell_block_is_grammatical_and_names_files_that_are_there() -> None:
    shell = [block for block in blocks() if block.language == "bash"]
    assert {block.where for block in shell} == {"root", "server", "client"}
    for block in shell:
        assert (block.where == "root") == block.text.startswith("# as root")
        done = subprocess.run(["bash", "-n"], input=block.text, text=True, capture_output=True, check=False)
        assert done.returncode == 0, done.stderr
        for name in re.findall(r"apps/deploy/(\S+)", block.text):
            assert (DEPLOY / name).is_file()


def test_the_documented_files_are_settings_that_the_commands_take(tmp_path: Path) -> None:
    machine = Machine(tmp_path, "client-00", {})
    machine.etc.mkdir()
    for block in blocks():
        if block.language == "toml":
            path = Path(machine.here(block.rest.strip()))
            path.write_text(machine.here(block.text))
    server = resolve(ServerConfig, federation_server.SECTION, machine.etc / "server.toml")
    client = resolve(ClientConfig, federation_client.SECTION, machine.etc / "client.toml")
    assert server.tls() == tuple(machine.etc / name for name in ("ca.crt", "server.crt", "server.key"))
    assert (server.rounds, server.clients, server.host) == (30, 2, "127.0.0.1")
    assert client.authority == machine.etc / "ca.crt"
    door = (DEPLOY / "nginx-fedfr.conf").read_text()
    assert f"listen {client.server.split(':')[1]} ssl;" in door
    assert f"server {server.host}:{server.port};" in door
    for path in (server.authority, server.certificate, server.certificate_key):
        assert f" {path};".replace(str(machine.etc), "/etc/fedfr") in door


def test_services_start_the_documented_commands() -> None:
    shell = "".join(block.text for block in blocks())
    for name in SERVICES:
        parsed = configparser.ConfigParser(strict=False, interpolation=None)
        parsed.optionxform = str  # type: ignore[assignment, method-assign]
        parsed.read(DEPLOY / name)
        service = parsed["Service"]
        command = service["ExecStart"].removeprefix("/opt/fedfr/bin/")
        assert f"\n{command}\n" in shell
        assert service["RestartSec"] == "30"
        assert service["Restart"] == {"server": "on-failure", "client": "always"}[name[6:12]]
        assert service["ProtectSystem"] == "strict"
        assert service["StateDirectory"] == "fedfr"


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="systemd-analyze is not installed")
def test_systemd_finds_no_fault_in_the_services(tmp_path: Path) -> None:
    for name in SERVICES:
        # The program is not installed there, and the user need not exist here.
        text = (DEPLOY / name).read_text().replace("/opt/fedfr/bin/fedfr", "/bin/true")
        (tmp_path / name).write_text(re.sub(r"^(User|Group)=.*\n", "", text, flags=re.M))
        command = ["systemd-analyze", "verify", "--man=no", str(tmp_path / name)]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        assert (done.returncode, done.stderr) == (0, ""), done.stderr


def test_the_proxy_lets_through_what_flowers_supernode_asks_for() -> None:
    import inspect

    from flwr.supernode import fleet_http_client

    asked = set(re.findall(r'"/v1/fleet/([\w-]+)"', inspect.getsource(fleet_http_client)))
    (allowed,) = re.findall(r"\^/v1/fleet/\(([\w|-]+)\)\$", (DEPLOY / "nginx-fedfr.conf").read_text())
    # A node with a key of its own neither registers nor unregisters itself.
    assert set(allowed.split("|")) == asked - {"register-node", "unregister-node"}


def test_certificates_are_looked_at(tmp_path: Path) -> None:
    good, key = new_certificate(tmp_path / "good", names=("localhost", "other"))
    assert certificates.check_certificate(good, "other") is None
    certificates.check_pair(good, key)
    soon, soon_key = new_certificate(tmp_path / "soon", days=(-1, 20))
    assert "runs out on" in str(certificates.check_certificate(soon, "localhost"))
    old, _ = new_certificate(tmp_path / "old", days=(-9, -1))
    nobody, _ = new_certificate(tmp_path / "nobody", names=())
    for path, host, expected in (
        (old, None, "not now"),
        (good, "127.0.0.1", r"made out to localhost, other, expected 127\.0\.0\.1"),
        (nobody, "localhost", "made out to nobody"),
        (key, None, "no certificate in PEM form"),
        (tmp_path / "absent", None, "cannot read"),
    ):
        with pytest.raises(ConfigError, match=expected):
            certificates.check_certificate(path, host)
    with pytest.raises(ConfigError, match="does not belong to"):
        certificates.check_pair(good, soon_key)
    with pytest.raises(ConfigError, match="no private key in PEM form"):
        certificates.check_pair(good, good)


def test_node_keys_are_looked_at(tmp_path: Path) -> None:
    mine = new_key(tmp_path / "mine")
    certificates.check_node_key(mine)
    one = certificates.check_node_public_key(mine.with_suffix(".pub"))
    mine.with_suffix(".pub").write_bytes(mine.with_suffix(".pub").read_bytes().replace(b"a comment", b"b"))
    assert certificates.check_node_public_key(mine.with_suffix(".pub")) == one
    for path, expected in (
        (new_key(tmp_path / "weak", ec.SECP256R1), "kind secp256r1, expected curve P-384"),
        (new_key(tmp_path / "other", int), "kind Ed25519"),
    ):
        with pytest.raises(ConfigError, match=expected):
            certificates.check_node_key(path)
        with pytest.raises(ConfigError, match="expected curve P-384"):
            certificates.check_node_public_key(path.with_suffix(".pub"))
    with pytest.raises(ConfigError, match="no OpenSSH private key"):
        certificates.check_node_key(mine.with_suffix(".pub"))
    with pytest.raises(ConfigError, match="no OpenSSH public key"):
        certificates.check_node_public_key(mine)


class ToldLink(SuperLink):
    """A SuperLink that writes down what it is told about keys."""

    def __init__(self, state: Path) -> None:
        super().__init__("127.0.0.1", 1, state, None)
        state.mkdir()
        self.told: list[str] = []

    def register(self, key: Path) -> str:
        self.told.append(f"+{key.stem}")
        return f"node of {key.stem}"

    def unregister(self, node: str) -> None:
        self.told.append(f"-{node}")


def test_the_folder_of_keys_says_who_may_take_part(tmp_path: Path) -> None:
    link, folder = ToldLink(tmp_path / "state"), tmp_path / "keys"
    for name in ("a", "b"):
        new_key(folder / name)
    keys = Keys(folder, link)
    assert len(keys.update()) == 2
    assert keys.update() == []
    new_key(folder / "c")
    (folder / "a.pub").unlink()
    assert len(keys.update()) == 2
    assert link.told == ["+a", "+b", "-node of a", "+c"]
    shutil.copy(folder / "c.pub", folder / "d.pub")
    with pytest.raises(ConfigError, match="hold the same key"):
        keys.update()
    (folder / "d.pub").write_text("nonsense")
    with pytest.raises(ConfigError, match="no OpenSSH public key"):
        keys.update()


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"server": "example.org"}, "server is 'example.org', expected host:port"),
        ({"server": "https://example.org:1"}, "expected host:port"),
        ({"insecure": True, "key": "mine"}, "insecure is on, but"),
        ({"insecure": False}, "authority or key is not set"),
        ({"store": "absent"}, "absent"),
        ({"public_store": ("absent",)}, "absent"),
        ({"client_id": ""}, "client-id is empty"),
    ],
)
def test_a_client_with_a_wrong_setting_does_not_start(
    tmp_path: Path, change: dict[str, Any], expected: str
) -> None:
    make_store(tmp_path / "faces", ["ann"], 2, seed=1)
    values: dict[str, Any] = {
        "client_id": "c",
        "server": "example.org:8443",
        "store": tmp_path / "faces",
        "private": tmp_path / "private",
        "state": tmp_path / "state",
        "insecure": True,
        **change,
    }
    with pytest.raises(Exception, match=expected) as caught:
        federation_client.run(resolve(ClientConfig, "x", None, values))
    assert type(caught.value).__module__ == "fedfr_edge.errors"
    assert not (tmp_path / "state").exists()


def test_what_a_client_tells_its_supernode_arrives(tmp_path: Path) -> None:
    config = ClientConfig(
        client_id="büro 1",
        server="a:1",
        store=tmp_path / "some faces",
        private=tmp_path / "p=q",
        state=tmp_path,
        public_store=(tmp_path / "one", tmp_path / "two"),
        share_proxies=True,
        threads=3,
        max_updates=30,
    )
    assert parse_config_args([node_config(config)]) == {
        "client-id": "büro 1",
        "store": str(tmp_path / "some faces"),
        "private": str(tmp_path / "p=q"),
        "public-stores": f"{tmp_path / 'one'}:{tmp_path / 'two'}",
        "device": "cpu",
        "threads": 3,
        "share-proxies": True,
        "max-updates": 30,
    }
    for name in ('a"b', "a'b", "a\\b", "a\nb"):
        with pytest.raises(ConfigError, match="client-id"):
            node_config(ClientConfig(name, "a:1", tmp_path, tmp_path, tmp_path))


def server_values(tmp_path: Path) -> dict[str, Any]:
    tmp_path.mkdir(parents=True, exist_ok=True)
    (tmp_path / "model").write_bytes(b"")
    return {
        "out": tmp_path / "run",
        "pretrained": tmp_path / "model",
        "state": tmp_path / "state",
        "clients": 2,
        "insecure": True,
    }


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"pretrained": "absent"}, "absent, which is no file"),
        ({"quorum": 3}, "quorum is 3 of 2 clients"),
        ({"insecure": False}, "authority, certificate, certificate-key not set"),
        ({"certificate": "x"}, "insecure is on, but"),
        ({"method": "nonsense"}, "method"),
        ({"host": "0.0.0.0"}, "host is 0.0.0.0: whoever reaches 0.0.0.0:8000 can start runs"),
        ({"host": "192.0.2.7"}, "listen on 127.0.0.1 behind the proxy"),
        ({"host": "fedfr.example.org"}, "expose-control = true"),
    ],
)
def test_a_server_with_a_wrong_setting_does_not_start(
    tmp_path: Path, change: dict[str, Any], expected: str
) -> None:
    with pytest.raises(ConfigError, match=expected):
        federation_server.run(resolve(ServerConfig, "x", None, {**server_values(tmp_path), **change}))
    assert not (tmp_path / "state").exists()


def test_a_superlink_that_others_reach_has_to_be_wanted(tmp_path: Path) -> None:
    for host in ("127.0.0.1", "127.1.2.3", "::1", "localhost"):
        config = resolve(ServerConfig, "x", None, {**server_values(tmp_path), "host": host})
        assert [remark[:10] for remark in federation_server._check(config)] == ["plain HTTP"]
    wanted = {**server_values(tmp_path), "host": "0.0.0.0", "expose_control": True}
    (remark, _) = federation_server._check(resolve(ServerConfig, "x", None, wanted))
    assert remark.startswith("whoever reaches 0.0.0.0:8000 can start runs, that is, run code on every client")


def test_a_port_that_is_taken_is_told(tmp_path: Path) -> None:
    import socket

    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(FederationError, match=rf"cannot listen on 127\.0\.0\.1:{port}"):
            require_free_port("127.0.0.1", port)
        config = resolve(ServerConfig, "x", None, {**server_values(tmp_path), "port": port})
        with pytest.raises(FederationError, match="running already"):
            federation_server.run(config)


def test_the_run_configuration_is_that_of_the_shipped_app(tmp_path: Path) -> None:
    import tomllib
    from types import SimpleNamespace

    values = {**server_values(tmp_path), "rounds": 5, "epochs": (2,), "seed": 3, "quorum": 1}
    config = resolve(ServerConfig, "x", None, values)
    given = federation_server._run_config(config)
    shipped = tomllib.loads((APP / "pyproject.toml").read_text())["tool"]["flwr"]["app"]["config"]
    # All but what the settings file says are set, so that no default of the app's is forgotten.
    assert shipped.keys() - given.keys() == {"rounds"}
    context: Any = SimpleNamespace(run_config=shipped | given)
    job = job_from_run_config(context)
    assert job.settings == config.hyper_parameters()
    assert (job.out, job.seed, job.terms.clients, job.terms.quorum) == (config.out, 3, 2, 1)
    assert (job.terms.repeats, job.terms.pause) == (config.repeats, config.pause)


def test_the_app_is_part_of_the_package() -> None:
    import tomllib

    assert APP == ROOT / "apps" / "flower"
    data = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]["package-data"]
    assert "flower/pyproject.toml" in data["fedfr_edge.apps"]
    assert {Path(name).suffix for name in data["fedfr_edge.apps.deploy"]} == {".conf", ".service"}


def test_flowers_programs_are_quiet(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FLWR_TELEMETRY_ENABLED", "1")
    found = environment(tmp_path)
    assert found["FLWR_TELEMETRY_ENABLED"] == "0"
    assert found["FLWR_DISABLE_UPDATE_CHECK"] == "1"
    assert found["FLWR_DISABLE_RUNTIME_DEPENDENCY_INSTALLATION"] == "1"
    assert found["FLWR_HOME"] == str(tmp_path)
