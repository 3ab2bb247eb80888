"""A build from a private package index over HTTPS, whose certificate CA_BUNDLE provides."""

from __future__ import annotations

import hashlib
import ssl
import subprocess
import threading
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from tests.container.conftest import Engine
from tests.container.private_engine import LOCKS

WHEEL = "tiny-1.0-py3-none-any.whl"
INFO = {
    "METADATA": "Metadata-Version: 2.1\nName: tiny\nVersion: 1.0\n",
    "WHEEL": "Wheel-Version: 1.0\nGenerator: a test\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    "RECORD": "",
}


@dataclass(frozen=True)
class Index:
    """A package index on the loopback interface that serves one package."""

    url: str
    certificate: Path
    wheel_sha256: str
    requested: list[str] = field(default_factory=list)  # paths


@pytest.fixture
def index(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Index]:
    folder = tmp_path_factory.mktemp("index")
    certificate, key = make_certificate(folder)
    packages = folder / "served" / "simple" / "tiny"
    packages.mkdir(parents=True)
    requested: list[str] = []

    class Handler(SimpleHTTPRequestHandler):
        def log_request(self, *_: object) -> None:
            requested.append(self.path)

    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Handler, directory=folder / "served"))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    server.socket = context.wrap_socket(  # the handshake happens in the request's thread
        server.socket, server_side=True, do_handshake_on_connect=False
    )
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield Index(
        f"https://127.0.0.1:{server.server_port}/simple",
        certificate,
        make_wheel(packages / WHEEL),
        requested,
    )
    server.shutdown()
    server.server_close()


def make_certificate(folder: Path) -> tuple[Path, Path]:
    """Create a self-signed certificate, valid for one day, and its key."""
    certificate, key = folder / "certificate.pem", folder / "key.pem"
    subprocess.run(
        [
            "openssl",
            "req",
            "-x509",
            "-newkey",
            "rsa:2048",
            "-nodes",
            "-days",
            "1",
            "-subj",
            "/CN=a test",
            "-addext",
            "subjectAltName=IP:127.0.0.1",
            "-keyout",
            str(key),
            "-out",
            str(certificate),
        ],
        check=True,
        capture_output=True,
    )
    return certificate, key


def make_wheel(path: Path) -> str:
    """Write a package without modules and return its SHA-256."""
    with zipfile.ZipFile(path, "w") as wheel:
        for name, text in INFO.items():
            wheel.writestr(f"tiny-1.0.dist-info/{name}", text)
    return hashlib.sha256(path.read_bytes()).hexdigest()


@pytest.fixture
def private_build(index: Index, checkout: Path) -> dict[str, str]:
    """Make the checkout need only the served package; return the variables for its build."""
    for lock in LOCKS:
        path = checkout / "requirements" / f"{lock}.txt"
        path.write_text(f"tiny==1.0 --hash=sha256:{index.wheel_sha256}\n")
    conf = checkout / "pip.conf"
    conf.write_text(f"[global]\nindex-url = {index.url}\nretries = 0\n")
    return {"PIP_CONF": str(conf), "BUILD_NETWORK": "host"}


def test_a_build_with_the_certificate_downloads_from_the_index(
    engine: Engine, index: Index, checkout: Path, private_build: dict[str, str]
) -> None:
    """With the index's certificate in CA_BUNDLE, the build downloads the package from it."""
    settings = {**private_build, "CA_BUNDLE": str(index.certificate)}
    done = engine.container("image", root=checkout, **settings)
    assert done.returncode == 0, done.stderr
    assert f"/simple/tiny/{WHEEL}" in index.requested


@pytest.mark.parametrize("bundle", ["none", "empty"])
def test_a_build_without_the_certificate_fails_with_the_reason(
    engine: Engine, index: Index, checkout: Path, private_build: dict[str, str], bundle: str
) -> None:
    """Without the index's certificate, the build fails and reports that pip does not trust it."""
    empty = checkout / "empty.pem"
    empty.touch()
    settings = {**private_build, "CA_BUNDLE": str(empty) if bundle == "empty" else ""}
    done = engine.container("image", root=checkout, **settings)
    assert done.returncode == 2
    assert "pip does not trust the certificate of an index" in done.stderr
    assert index.requested == []
