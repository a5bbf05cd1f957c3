"""Names, digests, the order of places, and downloads that may be cut short."""

from __future__ import annotations

import dataclasses
import shutil
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from lcdc_extract.errors import WeightsError
from lcdc_extract.weights import registry as registry_module
from lcdc_extract.weights import resolve
from lcdc_extract.weights.fetch import fetch
from lcdc_extract.weights.file import sha256_of
from lcdc_extract.weights.registry import Entry, cache_folder, find_file, package_folder, read_registry, registry
from lcdc_extract.weights.resolve import resolve_weights
from tests.weights.samples import small_file

CONTENT = bytes(range(256)) * 4096


@pytest.fixture(scope="module")
def weights_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("file") / "lab.safetensors"
    small_file(path)
    return path


def fields(path: Path, **changes: Any) -> dict[str, Any]:
    return {
        "file": path.name,
        "sha256": sha256_of(path),
        "size": path.stat().st_size,
        "variant": "paper",
        "trained_on": "nothing",
        "licence": "MIT",
    } | changes


def register(folder: Path, **entries: dict[str, Any]) -> Path:
    lines = ['schema = "lcdc-registry/1"']
    for name, values in entries.items():
        lines.append(f'[weights."{name}"]')
        lines += [f"{key} = {value!r}" for key, value in values.items()]
    path = folder / "registry.toml"
    path.write_text("\n".join(lines).replace("True", "true"))
    return path


def test_the_registry_of_the_package_is_good() -> None:
    assert (package_folder() / "README.md").is_file()
    text = (package_folder() / "README.md").read_text()
    for entry in read_registry(package_folder() / "registry.toml").values():
        assert f"## {entry.name}" in text


def test_a_name_is_loaded_and_its_digest_checked(own_folders: Path, weights_file: Path) -> None:
    shutil.copy(weights_file, own_folders)
    register(own_folders, lab=fields(weights_file))
    weights = resolve_weights("lab")
    assert (weights.name, weights.sha256) == ("lab", sha256_of(weights_file))
    with (own_folders / "lab.safetensors").open("r+b") as file:
        file.seek(-1, 2)
        file.write(b"\x01")
    with pytest.raises(WeightsError, match=r"has the SHA-256 .*, expected .*: it is damaged or another file"):
        resolve_weights("lab")


def test_the_digest_is_checked_before_anything_is_parsed(own_folders: Path, weights_file: Path) -> None:
    register(own_folders, lab=fields(weights_file))
    (own_folders / "lab.safetensors").write_bytes((2).to_bytes(8, "little") + b"{}")
    with pytest.raises(WeightsError, match="has the SHA-256"):
        resolve_weights("lab")


def test_the_entry_must_say_the_right_variant(own_folders: Path, weights_file: Path) -> None:
    shutil.copy(weights_file, own_folders)
    register(own_folders, lab=fields(weights_file, variant="released"))
    with pytest.raises(WeightsError, match="is a paper network; its entry says released"):
        resolve_weights("lab")


def test_order_of_places(
    own_folders: Path, tmp_path: Path, weights_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shipped = tmp_path / "shipped"
    for folder in (shipped, cache_folder(), own_folders):
        folder.mkdir(parents=True, exist_ok=True)
        shutil.copy(weights_file, folder)
    monkeypatch.setattr(registry_module, "package_folder", lambda: shipped)
    register(shipped, lab=fields(weights_file, trained_on="shipped"))
    for folder in (own_folders, shipped, cache_folder()):
        assert find_file(registry()["lab"]) == folder / "lab.safetensors"
        (folder / "lab.safetensors").unlink()
    assert find_file(registry()["lab"]) is None
    with pytest.raises(WeightsError, match=r"lab is registered, but its file lab\.safetensors is not on this machine"):
        resolve_weights("lab")
    register(own_folders, lab=fields(weights_file, trained_on="my own"))
    assert registry()["lab"].trained_on == "my own"


def test_a_path_wins_and_an_unregistered_file_needs_no_entry(
    own_folders: Path, weights_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copy(weights_file, own_folders / "mine.safetensors")
    assert resolve_weights("mine").name == "mine"
    assert resolve_weights(str(weights_file)).name == "lab"
    with pytest.raises(WeightsError, match="is a directory"):
        resolve_weights(str(own_folders))
    monkeypatch.setenv("LCDC_WEIGHTS", str(weights_file))
    with pytest.raises(WeightsError, match=r"LCDC_WEIGHTS is .*, which is not a directory"):
        resolve_weights("mine")


def test_the_default(own_folders: Path, weights_file: Path) -> None:
    for name in (None, "nobody"):
        with pytest.raises(WeightsError, match="untrained"):
            resolve_weights(name)
    shutil.copy(weights_file, own_folders)
    register(own_folders, **{resolve.DEFAULT: fields(weights_file)})
    assert resolve_weights(None).name == "lcdc-synth"
    assert resolve_weights("untrained").name == "untrained"


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"file": "../../secret.safetensors"}, "without a folder"),
        ({"file": "/etc/passwd"}, "without a folder"),
        ({"file": "..safetensors"}, "without a folder"),
        ({"file": "weights.pkl"}, "without a folder"),
        ({"url": "file:///etc/passwd"}, "an http or https address"),
        ({"url": "https://"}, "an http or https address"),
        ({"sha256": "abc"}, "64 hexadecimal digits"),
        ({"size": 0}, "a number of bytes"),
        ({"size": "10"}, "expected int"),
        ({"size": True}, "expected int"),
        ({"variant": "other"}, "one of paper, released"),
        ({"colour": "red"}, r"unknown fields \['colour'\]"),
        ({"name": "other"}, r"unknown fields \['name'\]"),
    ],
)
def test_bad_entries(own_folders: Path, weights_file: Path, changes: dict[str, Any], message: str) -> None:
    register(own_folders, lab=fields(weights_file, **changes))
    with pytest.raises(WeightsError, match=f"(?s)registry.toml.*'lab'.*{message}"):
        resolve_weights("lab")


@pytest.mark.parametrize("name", ["../lab", "a b", "", ".hidden"])
def test_bad_names(own_folders: Path, weights_file: Path, name: str) -> None:
    register(own_folders, **{name: fields(weights_file)})
    with pytest.raises(WeightsError, match="name is"):
        registry()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("schema = ", "cannot be read"),
        ('schema = "other/9"', "expected 'lcdc-registry/1'"),
        ('schema = "lcdc-registry/1"\n[weights]\nlab = 3', "expected a table"),
        ('schema = "lcdc-registry/1"\n[weights.lab]\nfile = "a.safetensors"', "missing fields"),
    ],
)
def test_bad_registries(own_folders: Path, text: str, message: str) -> None:
    (own_folders / "registry.toml").write_text(text)
    with pytest.raises(WeightsError, match=message):
        registry()


class Server(ThreadingHTTPServer):
    """Serves CONTENT; `cut` bytes at most per answer, ranges unless told otherwise."""

    cut: int | None = None
    ranges = True
    content = CONTENT

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.asked: list[str] = []

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}/lab.safetensors"


class Handler(BaseHTTPRequestHandler):
    server: Server

    def do_GET(self) -> None:
        asked = self.headers.get("Range", "")
        self.server.asked.append(asked or self.path)
        start = int(asked.removeprefix("bytes=").removesuffix("-")) if asked and self.server.ranges else 0
        rest = self.server.content[start:]
        if start and not rest:
            self.send_error(416)
            return
        self.send_response(206 if start else 200)
        if start:
            total = len(self.server.content)
            self.send_header("Content-Range", f"bytes {start}-{total - 1}/{total}")
        self.send_header("Content-Length", str(len(rest)))
        self.end_headers()
        self.wfile.write(rest[: self.server.cut])

    def log_message(self, *_: Any) -> None:
        """Quiet."""


@pytest.fixture
def server(own_folders: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
    running = Server()
    thread = threading.Thread(target=running.serve_forever)
    thread.start()
    yield running
    running.shutdown()
    thread.join()
    running.server_close()


@pytest.fixture
def entry(server: Server, tmp_path: Path) -> Entry:
    path = tmp_path / "lab.safetensors"
    path.write_bytes(CONTENT)
    return Entry(name="lab", url=server.url, **fields(path))


def test_fetch(server: Server, entry: Entry) -> None:
    held: list[int] = []
    path = fetch(entry, held.append)
    assert path == cache_folder() / "lab.safetensors"
    assert path.read_bytes() == CONTENT
    assert held[-1] == len(CONTENT)
    assert not list(cache_folder().glob("*.part"))


def test_fetch_resumes(server: Server, entry: Entry) -> None:
    server.cut = 700_000
    with pytest.raises(WeightsError, match=r"stopped after 700,000 of 1,048,576 bytes\. Run `lcdc weights fetch lab`"):
        fetch(entry)
    assert not (cache_folder() / "lab.safetensors").exists()
    assert (cache_folder() / "lab.safetensors.part").stat().st_size == 700_000
    assert fetch(entry).read_bytes() == CONTENT
    assert server.asked == ["/lab.safetensors", "bytes=700000-"]


def test_fetch_starts_again_where_the_server_cannot_resume(server: Server, entry: Entry) -> None:
    server.cut = 700_000
    with pytest.raises(WeightsError):
        fetch(entry)
    server.cut, server.ranges = None, False
    assert fetch(entry).read_bytes() == CONTENT


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (CONTENT[:-1] + b"x", "has the SHA-256 .*, the registry expects"),
        (CONTENT + b"x", "is longer than the 1,048,576 bytes"),
        (CONTENT[:-9], "stopped after 1,048,567 of"),
    ],
)
def test_fetch_refuses_other_files(server: Server, entry: Entry, content: bytes, message: str) -> None:
    server.content = content
    with pytest.raises(WeightsError, match=message):
        fetch(entry)
    assert not (cache_folder() / "lab.safetensors").exists()
    server.content = CONTENT
    if len(content) >= len(CONTENT):  # nothing of the wrong file is left to resume
        assert fetch(entry).read_bytes() == CONTENT


def test_fetch_recovers_from_a_part_that_is_too_long(server: Server, entry: Entry) -> None:
    cache_folder().mkdir(parents=True)
    (cache_folder() / "lab.safetensors.part").write_bytes(CONTENT + CONTENT)
    assert fetch(entry).read_bytes() == CONTENT


def test_fetch_says_what_failed(server: Server, entry: Entry) -> None:
    gone = dataclasses.replace(entry, url=server.url.replace("127.0.0.1", "nowhere.invalid"))
    with pytest.raises(WeightsError, match=r"could not be fetched from .*nowhere\.invalid"):
        fetch(gone)
    with pytest.raises(WeightsError, match="has no address"):
        fetch(dataclasses.replace(entry, url=""))


def test_fetch_goes_through_the_proxy(server: Server, entry: Entry, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("http_proxy", server.url.removesuffix("/lab.safetensors"))
    monkeypatch.setenv("no_proxy", "")
    elsewhere = dataclasses.replace(entry, url="http://weights.invalid/lab.safetensors")
    assert fetch(elsewhere).read_bytes() == CONTENT
    assert server.asked == ["http://weights.invalid/lab.safetensors"]


def test_only_fetch_uses_the_network(server: Server, entry: Entry, own_folders: Path) -> None:
    values = {name: value for name, value in dataclasses.asdict(entry).items() if name != "name"}
    register(own_folders, lab=values)
    with pytest.raises(WeightsError, match="Get it with: lcdc weights fetch lab"):
        resolve_weights("lab")
    assert server.asked == []
