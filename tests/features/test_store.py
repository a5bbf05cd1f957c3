"""The output file, read back with plain h5py."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import hashlib
import json
import os
import resource
import shutil
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

from lcdc_extract.errors import OutputError
from lcdc_extract.features import FeatureStore, RunRecord, VideoFailed, check_ids, check_output, open_features, peek
from lcdc_extract.features.part import DamagedPartError, Part

RECORD = RunRecord({"weights_sha256": "ab", "stride": 1}, {"trained": False, "weights": "untrained"})
ATTRIBUTES = {"frames_decoded": 40, "frames_per_second": 25.0, "width": 64, "height": 48, "incomplete": False}


def rows(count: int, seed: int = 0) -> dict[str, np.ndarray[Any, Any]]:
    generator = np.random.default_rng(seed)
    return {
        "features": generator.random((count, 1024), dtype=np.float32),
        "frame_index": np.arange(count) * 5,
        "time_seconds": np.arange(count) / 7,
        "edge": np.arange(count) < 2,
        "damaged": np.arange(count) % 3 == 1,
    }


def add(store: FeatureStore, name: str, blocks: list[dict[str, np.ndarray[Any, Any]]], **padding: int) -> int:
    writer = store.writer(name)
    for block in blocks:
        writer.append(block)
    return writer.finish(ATTRIBUTES | {"id": name}, **padding)


def test_the_file_holds_what_was_written(tmp_path: Path) -> None:
    out = tmp_path / "feats.h5"
    with FeatureStore(out, RECORD) as store:
        assert add(store, "a", [rows(300), rows(7, 1)]) == 307
        add(store, "folder/b", [rows(3)])
        assert store.publish([VideoFailed("c", "/x/c.mp4", "no video stream")]) == 2
    with h5py.File(out) as file:
        assert file.attrs["schema"] == "lcdc-features/1"
        assert not file.attrs["trained"]
        assert json.loads(file.attrs["identity"]) == RECORD.identity
        for name in ("features", "frame_index", "time_seconds", "edge", "damaged"):
            expected = np.concatenate([rows(300)[name], rows(7, 1)[name]])
            assert file[f"videos/a/{name}"].dtype == expected.dtype
            np.testing.assert_array_equal(file[f"videos/a/{name}"][:], expected)
        assert file["videos/a"].attrs["complete"]
        assert file["videos/folder/b/features"].shape == (3, 1024)
        assert [row["id"].decode() for row in file["index"]] == ["a", "folder/b"]
        assert [row["rows"] for row in file["index"]] == [307, 3]
        assert [row["damaged_rows"] for row in file["index"]] == [102, 1]
        assert [row["reason"].decode() for row in file["failures"]] == ["no video stream"]
    assert [path.name for path in tmp_path.iterdir()] == ["feats.h5"]


@pytest.mark.parametrize(("front", "behind"), [(4, 3), (0, 1), (3, -2), (1, 0), (300, 0)])
def test_copied_rows(tmp_path: Path, front: int, behind: int) -> None:
    out = tmp_path / "feats.h5"
    source = rows(600)
    with FeatureStore(out, RECORD) as store:
        add(store, "a", [source], rows_in_front=front, rows_behind=behind)
        store.publish([])
    order = [0] * front + list(range(600)) + [599] * max(behind, 0)
    order = order[: len(order) + min(behind, 0)]
    with open_features(out) as file:
        np.testing.assert_array_equal(file["a"].features, source["features"][order])
        np.testing.assert_array_equal(file["a"].frame_index, source["frame_index"][order])
        np.testing.assert_array_equal(file["a"].damaged, source["damaged"][order])
        copied = [i < front or i >= front + 600 for i in range(len(order))]
        np.testing.assert_array_equal(file["a"].edge, source["edge"][order] | copied)


def test_finished_videos_survive_and_join_a_later_run(tmp_path: Path) -> None:
    out = tmp_path / "feats.h5"
    with FeatureStore(out, RECORD) as store:
        add(store, "a", [rows(5)])
        store.writer("half").append(rows(2))  # killed in the middle: never finished
    assert not out.exists()
    with FeatureStore(out, RECORD) as store:
        assert list(store.finished()) == ["a"]
        add(store, "b", [rows(6)])
        store.publish([VideoFailed("c", "c.mp4", "broken")])
    with FeatureStore(out, RECORD) as store:
        assert sorted(store.finished()) == ["a", "b"]
        add(store, "c", [rows(7)])
        store.publish([])
    with open_features(out) as file:
        assert {name: len(file[name].features) for name in file} == {"a": 5, "b": 6, "c": 7}
        assert file.failures == []


def damage(path: Path, how: str) -> None:
    """A flipped bit, nothing at all, or some text."""
    content = bytearray(path.read_bytes())
    if how == "flipped":
        content[len(content) // 2] ^= 4
        path.write_bytes(content)
    elif how == "gone":
        path.unlink()
    else:
        path.write_text(how)


@pytest.mark.parametrize("kind", ["rows", "json"])
@pytest.mark.parametrize("how", ["flipped", "gone", "", "{}", "[]", "\0garbage", "[" * 100_000])
def test_a_damaged_part_is_put_aside_and_made_again(tmp_path: Path, kind: str, how: str) -> None:
    out = tmp_path / "f.h5"
    with FeatureStore(out, RECORD) as store:
        add(store, "a", [rows(5)])
        damage(next(store.parts.glob(f"*.{kind}")), how)
        add(store, "b", [rows(4)])
    with FeatureStore(out, RECORD) as store:
        assert list(store.finished()) == ["b"]
        assert len(store.damaged) == (0 if (kind, how) == ("json", "gone") else 1)
        if kind == "rows":
            assert store.damaged[0].startswith("a: its rows ")
        add(store, "a", [rows(5)])
        assert store.publish([]) == 2
    assert [path.name for path in tmp_path.iterdir()] == ["f.h5"]
    with open_features(out) as file:
        np.testing.assert_array_equal(file["a"].features, rows(5)["features"])


def test_every_flipped_bit_of_a_card_is_noticed(tmp_path: Path) -> None:
    with FeatureStore(tmp_path / "f.h5", RECORD) as store:
        add(store, "a", [rows(1)])
        card = next(store.parts.glob("*.json"))
        content = card.read_bytes()
        before = json.loads(content)["card"]
        for place in range(len(content)):
            card.write_bytes(content[:place] + bytes([content[place] ^ 1 << place % 8]) + content[place + 1 :])
            with contextlib.suppress(DamagedPartError):
                Part(card)
                assert json.loads(card.read_text())["card"] == before, place
        card.write_bytes(content)


def test_a_part_that_is_damaged_while_it_waits_is_not_published(tmp_path: Path) -> None:
    out = tmp_path / "f.h5"
    with FeatureStore(out, RECORD) as store:
        add(store, "a", [rows(5)])
        add(store, "b", [rows(4)])
        damage(store.parts / (hashlib.sha256(b"a").hexdigest()[:24] + ".rows"), "flipped")
        with pytest.raises(OutputError, match=r"1 finished videos were damaged on the disk .*: a: its rows are others"):
            store.publish([])
    assert not out.exists()
    with FeatureStore(out, RECORD) as store:
        assert list(store.finished()) == ["b"]


def test_killed_while_parts_are_removed(tmp_path: Path) -> None:
    """The output holds them already; nothing is done twice and nothing is lost."""
    out = tmp_path / "f.h5"
    with FeatureStore(out, RECORD, overwrite=True) as store:
        for name in "ab":
            add(store, name, [rows(5)])
        shutil.copytree(store.parts, tmp_path / "saved")
        store.publish([])
    (tmp_path / "saved").rename(store.parts)
    (store.parts / "published").touch()
    next(store.parts.glob("*.json")).unlink()
    assert sorted(peek(out, RECORD)) == ["a", "b"]
    with FeatureStore(out, RECORD) as store:
        assert sorted(store.finished()) == ["a", "b"]
        assert not store.has_parts()
    assert [path.name for path in tmp_path.iterdir()] == ["f.h5"]


def test_many_parts_need_few_descriptors(tmp_path: Path) -> None:
    out, limits = tmp_path / "f.h5", resource.getrlimit(resource.RLIMIT_NOFILE)
    with FeatureStore(out, RECORD) as store:
        for number in range(60):
            add(store, f"v{number:02}", [rows(2, number)])
        resource.setrlimit(resource.RLIMIT_NOFILE, (len(os.listdir("/proc/self/fd")) + 20, limits[1]))
        try:
            assert store.publish([]) == 60
        finally:
            resource.setrlimit(resource.RLIMIT_NOFILE, limits)
    with open_features(out) as file:
        assert len(file) == 60
        np.testing.assert_array_equal(file["v59"].features, rows(2, 59)["features"])


def test_room_is_reserved_for_all_that_is_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Long lists of inputs, attributes and reasons of failures too: HDF5 does not survive a write that fails."""
    reserved: list[int] = []
    reserve = os.posix_fallocate

    def noted(descriptor: int, offset: int, length: int) -> None:
        reserved.append(length)
        reserve(descriptor, offset, length)

    monkeypatch.setattr(os, "posix_fallocate", noted)
    out = tmp_path / "f.h5"
    long_record = RunRecord(RECORD.identity, RECORD.attributes | {"config": "x" * 3_000_000})
    failures = [VideoFailed(f"f{number}", "p" * 4000, "r" * 2000) for number in range(300)]
    with FeatureStore(out, long_record) as store:
        writer = store.writer("a")
        writer.append(rows(3))
        writer.finish(ATTRIBUTES | {"id": "a", "damage": "d" * 500_000})
        store.publish(failures)
    first = out.stat().st_size
    assert 4_500_000 < first <= reserved[0]
    with FeatureStore(out, long_record) as store:
        add(store, "b", [rows(3)])
        store.publish(failures)
    assert first < out.stat().st_size <= reserved[1]


def test_no_room_for_the_output(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(descriptor: int, offset: int, length: int) -> None:
        assert length > 5 * (4 * 1024 + 8 + 8 + 1)
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    out = tmp_path / "f.h5"
    with FeatureStore(out, RECORD) as store:
        add(store, "a", [rows(5)])
        monkeypatch.setattr(os, "posix_fallocate", full)
        with pytest.raises(OSError, match="No space left"):
            store.publish([])
        monkeypatch.undo()
    assert not out.exists()
    with FeatureStore(out, RECORD) as store:
        assert list(store.finished()) == ["a"]
        store.publish([])
    assert 5 * 4113 < out.stat().st_size < 5 * 4113 + 30_000


def test_other_settings_are_refused_with_the_difference(tmp_path: Path) -> None:
    out = tmp_path / "feats.h5"
    other = RunRecord({"weights_sha256": "ab", "stride": 2}, {})
    with FeatureStore(out, RECORD) as store:
        add(store, "a", [rows(5)])
    with pytest.raises(OutputError, match="stride: the file has 1, this run 2"):
        FeatureStore(out, other)
    with FeatureStore(out, RECORD) as store:
        store.publish([])
    with pytest.raises(OutputError, match="`overwrite=True` to start anew"):
        FeatureStore(out, other)
    with FeatureStore(out, other, overwrite=True) as store:
        assert store.finished() == {}


def test_a_second_run_on_the_same_output_is_refused(tmp_path: Path) -> None:
    with FeatureStore(tmp_path / "feats.h5", RECORD), pytest.raises(OutputError, match="another run is writing"):
        FeatureStore(tmp_path / "feats.h5", RECORD)


def test_the_lock_lasts_until_the_run_has_ended(tmp_path: Path) -> None:
    out = tmp_path / "f.h5"
    with FeatureStore(out, RECORD) as store:
        add(store, "a", [rows(2)])
        store.publish([])
        with pytest.raises(OutputError, match="another run is writing"):
            FeatureStore(out, RECORD)
    assert [path.name for path in tmp_path.iterdir()] == ["f.h5"]


def test_a_lock_that_was_removed_meanwhile_is_taken_anew(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The run before us ends between our opening its lock file and our locking it."""
    flock, lock = fcntl.flock, tmp_path / "f.h5.parts" / "lock"

    def ended_just_now(descriptor: int, operation: int) -> None:
        monkeypatch.setattr(fcntl, "flock", flock)
        lock.unlink()
        flock(descriptor, operation)

    monkeypatch.setattr(fcntl, "flock", ended_just_now)
    with FeatureStore(tmp_path / "f.h5", RECORD):
        assert lock.exists()
        with pytest.raises(OutputError, match="another run is writing"):
            FeatureStore(tmp_path / "f.h5", RECORD)


def test_nothing_finished_leaves_nothing(tmp_path: Path) -> None:
    with FeatureStore(tmp_path / "feats.h5", RECORD) as store:
        assert store.publish([VideoFailed("a", "a.mp4", "broken")]) == 0
    assert list(tmp_path.iterdir()) == []


def test_foreign_files_are_left_untouched(tmp_path: Path) -> None:
    text, hdf5 = tmp_path / "notes.h5", tmp_path / "other.h5"
    text.write_text("my notes")
    with h5py.File(hdf5, "w") as file:
        file["x"] = 1
    for path in (text, hdf5):
        before = path.read_bytes()
        for overwrite in (False, True):
            with pytest.raises(OutputError, match="left untouched"):
                FeatureStore(path, RECORD, overwrite=overwrite)
        assert path.read_bytes() == before


def test_bad_places(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match="is a directory"):
        check_output(tmp_path)
    with pytest.raises(OutputError, match="does not exist"):
        check_output(tmp_path / "missing" / "feats.h5")


def test_ids_that_would_share_a_place() -> None:
    check_ids(["a", "a/b", "features", "a/b/c"])
    for clash in ("a/edge", "a/features/b"):
        with pytest.raises(OutputError, match=f"'a' and '{clash}'"):
            check_ids(["a", clash])


def test_overwrite_keeps_the_old_file_until_the_new_one_is_complete(tmp_path: Path) -> None:
    out = tmp_path / "f.h5"
    with FeatureStore(out, RECORD) as store:
        add(store, "a", [rows(5)])
        store.publish([VideoFailed("x", "x.mp4", "old failure")])
    other = RunRecord({"weights_sha256": "cd"}, {})
    with FeatureStore(out, other, overwrite=True) as store:
        add(store, "b", [rows(6)])
    with open_features(out) as file:  # interrupted: nothing has happened to it
        assert list(file) == ["a"]
    with FeatureStore(out, other, overwrite=True) as store:  # the same command goes on
        assert list(store.finished()) == ["b"]
        store.publish([])
    with open_features(out) as file:
        assert list(file) == ["b"]
        assert file.failures == []
    with FeatureStore(out, other, overwrite=True) as store:  # and once complete it starts anew
        assert store.finished() == {}


def test_overwrite_does_not_continue_a_run_that_was_no_fresh_start(tmp_path: Path) -> None:
    with FeatureStore(tmp_path / "f.h5", RECORD) as store:
        add(store, "a", [rows(5)])
    with FeatureStore(tmp_path / "f.h5", RECORD, overwrite=True) as store:
        assert store.finished() == {}
        assert not store.has_parts()


def test_names_that_are_not_text(tmp_path: Path) -> None:
    out = tmp_path / "f.h5"
    with FeatureStore(out, RECORD) as store:
        writer = store.writer("a")
        writer.append(rows(2))
        writer.finish(ATTRIBUTES | {"id": "a", "source": "/data/vid\udce9os/a.mp4"})
        store.publish([VideoFailed("b", "/data/vid\udce9os/b.mp4", "no\0thing")])
    with open_features(out) as file:
        assert file["a"].attributes["source"] == "/data/vid\\xe9os/a.mp4"
        assert file.failures == [VideoFailed("b", "/data/vid\\xe9os/b.mp4", "nothing")]


def test_peeking_touches_nothing(tmp_path: Path) -> None:
    out = tmp_path / "f.h5"
    with FeatureStore(out, RECORD) as store:
        add(store, "a", [rows(2)])
        before = sorted((path.name, path.stat().st_mtime_ns) for path in store.parts.iterdir())
        assert list(peek(out, RECORD)) == ["a"]  # while another run holds the lock
        assert peek(out, RECORD, overwrite=True) == {}
        with pytest.raises(OutputError, match="other settings"):
            peek(out, RunRecord({"stride": 3}, {}))
        assert before == sorted((path.name, path.stat().st_mtime_ns) for path in store.parts.iterdir())


def test_killed_while_cleaning_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The output is there; whatever is left of the parts must not stand in the way."""
    out = tmp_path / "f.h5"
    for survivors in range(3):
        with FeatureStore(out, RECORD, overwrite=True) as store:
            for name in ("a", "b"):
                add(store, name, [rows(2)])
            removed: list[Path] = []
            unlink = Path.unlink

            def dying(path: Path, missing_ok: bool = False) -> None:
                if len(removed) > survivors:  # noqa: B023
                    raise KeyboardInterrupt
                removed.append(path)  # noqa: B023
                unlink(path, missing_ok)  # noqa: B023

            with monkeypatch.context() as patch:
                patch.setattr(Path, "unlink", dying)
                with pytest.raises(KeyboardInterrupt):
                    store.publish([])
        with FeatureStore(out, RECORD) as store:
            assert sorted(store.finished()) == ["a", "b"]


def test_reader_refuses_other_files(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "other.h5", "w") as file:
        file["x"] = 1
    with pytest.raises(OutputError, match="expected 'lcdc-features/1'"):
        open_features(tmp_path / "other.h5")
    (tmp_path / "text.h5").write_text("no")
    with pytest.raises(OutputError, match="cannot be read as HDF5"):
        open_features(tmp_path / "text.h5")
