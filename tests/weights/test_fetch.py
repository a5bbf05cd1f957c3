"""Downloads that may be cut short, against a server on this machine."""

from __future__ import annotations

import dataclasses
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from lcdc_extract.errors import WeightsError
from lcdc_extract.files import acquire
from lcdc_extract.weights.fetch import LOCK, fetch, partial_path
from lcdc_extract.weights.registry import Entry, cache_folder
from lcdc_extract.weights.resolve import resolve_weights
from tests.weights.test_registry import fields, register

CONTENT = bytes(range(256)) * 4096


class Server(ThreadingHTTPServer):
    """Serves CONTENT; `cut` bytes at most per answer, ranges unless told otherwise, or a `refusal`."""

    cut: int | None = None
    ranges = True
    refusal = 0
    content = CONTENT

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.asked: list[str] = []
        self.goes_on = threading.Event()
        """Unset, an answer that is cut stays open."""
        self.goes_on.set()

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
        if (start and not rest) or self.server.refusal:
            self.send_error(self.server.refusal or 416)
            return
        self.send_response(206 if start else 200)
        if start:
            total = len(self.server.content)
            self.send_header("Content-Range", f"bytes {start}-{total - 1}/{total}")
        self.send_header("Content-Length", str(len(rest)))
        self.end_headers()
        self.wfile.write(rest[: self.server.cut])
        self.wfile.flush()
        self.server.goes_on.wait()

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
    running.goes_on.set()
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
    assert {file.name for file in cache_folder().iterdir()} - {partial_path(entry).with_suffix(LOCK).name} == {
        path.name
    }


def test_what_is_there_is_not_fetched_again(server: Server, entry: Entry) -> None:
    path = fetch(entry)
    assert fetch(entry) == path
    assert len(server.asked) == 1
    path.write_bytes(CONTENT[:-1] + b"x")
    assert fetch(entry).read_bytes() == CONTENT
    assert len(server.asked) == 2


def test_fetch_resumes(server: Server, entry: Entry) -> None:
    server.cut = 700_000
    with pytest.raises(WeightsError, match=r"stopped after 700,000 of 1,048,576 bytes\. Run `lcdc weights fetch lab`"):
        fetch(entry)
    assert not (cache_folder() / "lab.safetensors").exists()
    assert partial_path(entry).stat().st_size == 700_000
    assert fetch(entry).read_bytes() == CONTENT
    assert server.asked == ["/lab.safetensors", "bytes=700000-"]


def test_fetch_resumes_after_a_kill(server: Server, entry: Entry) -> None:
    server.cut = 700_000
    server.goes_on.clear()
    code = f"from lcdc_extract.weights import fetch, registry; fetch.fetch(registry.{entry!r})"
    killed = subprocess.Popen([sys.executable, "-c", code])
    deadline = time.monotonic() + 60
    while not (partial_path(entry).exists() and partial_path(entry).stat().st_size > 600_000):
        assert killed.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.01)
    killed.kill()
    killed.wait()
    held = partial_path(entry).stat().st_size
    server.cut = None
    server.goes_on.set()
    assert fetch(entry).read_bytes() == CONTENT
    assert server.asked == ["/lab.safetensors", f"bytes={held}-"]


def test_one_fetch_at_a_time(server: Server, entry: Entry) -> None:
    cache_folder().mkdir(parents=True)
    with (
        acquire(partial_path(entry).with_suffix(LOCK)),
        pytest.raises(WeightsError, match="lab is being fetched by another process"),
    ):
        fetch(entry)
    assert server.asked == []


def test_the_beginning_of_another_file_is_not_taken(server: Server, entry: Entry, tmp_path: Path) -> None:
    """The name was registered again, for a newer file, after a download was cut short."""
    server.cut = 700_000
    with pytest.raises(WeightsError):
        fetch(entry)
    server.content, server.cut = bytes(reversed(CONTENT)), None
    (tmp_path / "newer.safetensors").write_bytes(server.content)
    newer = fields(tmp_path / "newer.safetensors", file=entry.file)
    assert fetch(Entry(name="lab", url=server.url, **newer)).read_bytes() == server.content


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
    partial_path(entry).write_bytes(CONTENT + CONTENT)
    assert fetch(entry).read_bytes() == CONTENT


def test_fetch_recovers_from_a_file_that_shrank(server: Server, entry: Entry) -> None:
    server.cut = 700_000
    with pytest.raises(WeightsError):
        fetch(entry)
    server.content = CONTENT[:600_000]
    with pytest.raises(WeightsError, match="is shorter than the 700,000 bytes that are here of 1,048,576"):
        fetch(entry)
    server.content, server.cut = CONTENT, None
    assert fetch(entry).read_bytes() == CONTENT


@pytest.mark.parametrize(
    ("code", "message"),
    [(404, r"answers 404 Not Found\. Ask whoever registered lab"), (503, "answers 503 .* Try again later")],
)
def test_fetch_says_what_the_server_says(server: Server, entry: Entry, code: int, message: str) -> None:
    server.refusal = code
    with pytest.raises(WeightsError, match=message):
        fetch(entry)


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
