"""Files that name other files or addresses: none of those is ever opened, whatever the file is called."""

from __future__ import annotations

import os
import socket
import struct
from collections.abc import Iterator
from pathlib import Path

import pytest

from lcdc_extract.video import DecodingFailed
from tests.ffmpeg import render
from tests.video.reference import failure, run, source

SDP = (
    "v=0\no=- 0 0 IN IP4 127.0.0.1\ns=x\nc=IN IP4 127.0.0.1\nt=0 0\nm=video {port} RTP/AVP 96\na=rtpmap:96 H264/90000\n"
)
MPD = (
    '<?xml version="1.0"?>\n<MPD xmlns="urn:mpeg:dash:schema:mpd:2011" type="static" mediaPresentationDuration="PT1S" '
    'profiles="urn:mpeg:dash:profile:isoff-on-demand:2011"><Period><AdaptationSet mimeType="video/mp4">'
    '<Representation id="1" bandwidth="1"><BaseURL>{other}</BaseURL></Representation></AdaptationSet></Period></MPD>'
)
HLS = "#EXTM3U\n#EXT-X-TARGETDURATION:2\n#EXTINF:1,\n{other}\n#EXT-X-ENDLIST\n"

LISTS = {
    "concat script": "ffconcat version 1.0\nfile '{other}'\n",
    "concat script without a header": "file '{other}'\n",
    "playlist": HLS,
    "playlist behind blanks": "\ufeff \n" + HLS,
    "master playlist": "#EXTM3U\n#EXT-X-STREAM-INF:BANDWIDTH=1\n{other}\n",
    "session description": SDP,
    "manifest": MPD,
    "manifest behind a remark": MPD.replace("?>\n", "?>\n<!-- a\nremark -->\n"),
    "subtitles": "1\n00:00:00,000 --> 00:00:01,000\n{other}\n",
    "winamp playlist": "[playlist]\nFile1={other}\nNumberOfEntries=1\n",
}


class Canary:
    """A file and an address that nobody must touch: whoever opens the file waits for us, and we see it."""

    def __init__(self, folder: Path) -> None:
        self.file = folder / "canary.ts"
        os.mkfifo(self.file)
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.listener.setblocking(False)
        self.port = self.listener.getsockname()[1]

    def was_touched(self) -> bool:
        try:
            os.close(os.open(self.file, os.O_WRONLY | os.O_NONBLOCK))
        except OSError:  # nobody reads
            pass
        else:
            return True
        try:
            self.listener.accept()
        except BlockingIOError:
            return False
        return True


@pytest.fixture
def canary(tmp_path: Path) -> Iterator[Canary]:
    found = Canary(tmp_path)
    yield found
    found.listener.close()


def test_the_canary_would_tell(canary: Canary) -> None:
    reader = os.open(canary.file, os.O_RDONLY | os.O_NONBLOCK)
    assert canary.was_touched()
    os.close(reader)
    assert not canary.was_touched()
    socket.create_connection(("127.0.0.1", canary.port)).close()
    assert canary.was_touched()


@pytest.mark.parametrize("decoder", ["auto", "decord", "av"])
def test_what_lists_name_is_not_opened(decoder: str, canary: Canary, tmp_path: Path) -> None:
    others = (str(canary.file), canary.file.name, f"file:{canary.file}", f"http://127.0.0.1:{canary.port}/a.ts")
    paths = []
    for kind, text in LISTS.items():
        for number, other in enumerate(others):
            paths.append(tmp_path / f"{kind} {number}.mp4")
            paths[-1].write_text(text.format(other=other, port=canary.port))
    for event in run(map(source, paths), decoder=decoder, timeout_seconds=20):
        assert isinstance(event, DecodingFailed), event
        assert "a list of other files" in event.reason or "not recognised as a video" in event.reason
        assert not canary.was_touched(), event.source


def test_a_number_in_a_name_stands_for_no_other_file(canary: Canary, tmp_path: Path) -> None:
    path = tmp_path / "%03d.png"
    canary.file.rename(tmp_path / "000.png")
    canary.file = tmp_path / "000.png"
    path.write_bytes(b"no picture")
    assert "not recognised as a video" in failure(path, timeout_seconds=20)
    assert not canary.was_touched()


@pytest.mark.parametrize("decoder", ["auto", "decord"])
def test_a_movie_whose_data_is_in_another_file(decoder: str, canary: Canary, tmp_path: Path) -> None:
    """QuickTime may refer to its data by an alias: a reference to the file itself becomes one to another."""
    path = render(tmp_path / "a.mov", "-c:v libx264", seconds=0.4)
    path.write_bytes(referring(path.read_bytes(), alias(canary.file)))
    assert "the video stream is empty" in failure(path, decoder=decoder, timeout_seconds=20)
    assert not canary.was_touched()


def alias(target: Path) -> bytes:
    """A data reference as in QuickTime File Format, "Data Reference Atoms", with an absolute path (record 2)."""
    place = str(target).encode()
    names = b"\3" + b"vol".ljust(27, b"\0") + bytes(12) + b"\6" + b"canary".ljust(63, b"\0")
    levels = bytes(16) + struct.pack(">HH", 1, 1) + bytes(16)
    records = struct.pack(">HH", 2, len(place)) + place + bytes(len(place) % 2) + struct.pack(">hH", -1, 0)
    return b"alis" + bytes(4) + bytes(10) + names + levels + records


def referring(content: bytes, reference: bytes) -> bytes:
    """A movie (index at its end) with another entry in its first table of data references."""
    place = content.index(b"dref") + 4 + 8
    old = int.from_bytes(content[place : place + 4], "big")
    new = (len(reference) + 4).to_bytes(4, "big") + reference
    changed = bytearray(content[:place] + new + content[place + old :])
    for name in (b"moov", b"trak", b"mdia", b"minf", b"dinf", b"dref"):
        size = content.rindex(name, 0, place) - 4
        total = int.from_bytes(changed[size : size + 4], "big") + len(new) - old
        changed[size : size + 4] = total.to_bytes(4, "big")
    return bytes(changed)
