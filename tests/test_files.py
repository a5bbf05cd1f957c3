"""Files that are there completely or not at all; locks and digests."""

from __future__ import annotations

import errno
import hashlib
import os
import subprocess
import sys
from pathlib import Path

import pytest

from lcdc_extract import files
from lcdc_extract.files import InUseError, acquire, publish, replacing, sha256_of, write_text


def test_a_file_is_replaced_as_a_whole(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    write_text(path, "one\n")
    with replacing(path) as unfinished:
        unfinished.write_text("two\n")
        assert path.read_text() == "one\n"
    assert path.read_text() == "two\n"
    assert [entry.name for entry in tmp_path.iterdir()] == ["a.txt"]


def test_after_an_error_the_old_file_stands(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    write_text(path, "one\n")
    with pytest.raises(OSError, match="full"):
        write_half(path)
    assert path.read_text() == "one\n"
    assert [entry.name for entry in tmp_path.iterdir()] == ["a.txt"]


def write_half(path: Path) -> None:
    with replacing(path) as unfinished:
        unfinished.write_text("half")
        raise OSError(errno.ENOSPC, "disk full")


def test_content_is_on_the_disk_before_its_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    done: list[str] = []
    fsync, replace = os.fsync, os.replace

    def record_sync(descriptor: int) -> None:
        done.append("sync " + os.path.basename(os.readlink(f"/proc/self/fd/{descriptor}")))
        fsync(descriptor)

    def record_rename(source: Path, target: Path) -> None:
        done.append(f"rename to {Path(target).name}")
        replace(source, target)

    monkeypatch.setattr(os, "fsync", record_sync)
    monkeypatch.setattr(os, "replace", record_rename)
    write_text(tmp_path / "a.txt", "text")
    assert done == ["sync a.txt.unfinished", "rename to a.txt", f"sync {tmp_path.name}"]


def test_a_file_system_that_cannot_sync_folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fsync(descriptor: int) -> None:
        if os.path.isdir(f"/proc/self/fd/{descriptor}"):
            raise OSError(errno.EINVAL, "Invalid argument")

    monkeypatch.setattr(os, "fsync", fsync)
    write_text(tmp_path / "a.txt", "text")
    monkeypatch.setattr(os, "fsync", lambda _: (_ for _ in ()).throw(OSError(errno.EIO, "bad disk")))
    with pytest.raises(OSError, match="bad disk"):
        write_text(tmp_path / "a.txt", "other")
    assert (tmp_path / "a.txt").read_text() == "text"


def test_a_folder_is_published_too(tmp_path: Path) -> None:
    (tmp_path / "new").mkdir()
    (tmp_path / "new" / "a.txt").touch()
    publish(tmp_path / "new", tmp_path / "final")
    assert (tmp_path / "final" / "a.txt").exists()


def test_a_lock_keeps_other_processes_out(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    attempt = (
        "import sys; from pathlib import Path; from lcdc_extract.files import acquire, InUseError\n"
        "try: acquire(Path(sys.argv[1]))\nexcept InUseError: sys.exit(5)"
    )

    def other() -> int:
        return subprocess.run([sys.executable, "-c", attempt, str(path)], check=False).returncode

    with acquire(path):
        assert other() == 5
        with pytest.raises(InUseError):
            acquire(path)
    assert other() == 0
    lock = acquire(path)
    lock.release()
    assert other() == 0


def test_digests(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(files, "_BLOCK_BYTES", 7)
    one, two = tmp_path / "1", tmp_path / "2"
    one.write_bytes(b"x" * 20)
    two.write_bytes(b"y")
    blocks: list[None] = []
    assert sha256_of(one, two, on_block=lambda: blocks.append(None)) == hashlib.sha256(b"x" * 20 + b"y").hexdigest()
    assert len(blocks) == 4
