"""Every flipped byte that a reader could see is found; and what else is wrong with a file is said."""

from __future__ import annotations

import json
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from typer.testing import CliRunner

from lcdc_extract import toolbox
from lcdc_extract.features import FeatureStore, RunRecord, VideoFailed
from lcdc_extract.features.verify import verify
from tests.features.test_store import ATTRIBUTES, RECORD, add, rows

TEXTS = {"source": "/videos/küche 1.mp4", "source_sha256": "ab" * 32, "start_seconds": 0.5, "cut_off": ""}


@pytest.fixture
def features(tmp_path: Path) -> Path:
    """Three videos, one in a folder and one with copied rows, and a failure; written in two runs."""
    out = tmp_path / "f.h5"
    for names in (("a", "sub/b"), ("c",)):
        with FeatureStore(out, RunRecord(RECORD.identity, RECORD.attributes | {"config": '{"stride": 1}'})) as store:
            for name in names:
                writer = store.writer(name)
                writer.append(rows(3, ord(name[-1])))
                writer.finish(ATTRIBUTES | TEXTS | {"id": name}, rows_in_front=1 if name == "c" else 0)
            store.publish([VideoFailed("bad", "/videos/bad.mp4", "no video stream")])
    return out


def seen(path: Path) -> Any:
    """All that a reader sees, read with plain h5py."""
    found: dict[str, Any] = {}
    with h5py.File(path) as file:
        found["/"] = sorted((key, str(value)) for key, value in file.attrs.items())

        def look(name: str, item: Any) -> None:
            content = None
            if isinstance(item, h5py.Dataset):
                values = item[()]
                content = (item.dtype, item.shape, str(values) if item.dtype.hasobject else values.tobytes())
            found[name] = (attributes(item), content)

        file.visititems(look)
    return found


def attributes(item: Any) -> list[tuple[str, str]]:
    return sorted((key, str(value)) for key, value in item.attrs.items())


def places(size: int) -> Iterator[int]:
    yield from range(0, size, 997)
    yield from random.Random(0).sample(range(size), 200)


def test_a_file_that_is_whole(features: Path) -> None:
    assert verify(features) == []
    with h5py.File(features) as file:
        assert {len(group.attrs["sha256"]) for group in (file, file["videos/a"], file["videos/a/edge"])} == {64}


def test_every_flipped_byte_that_a_reader_sees_is_found(features: Path) -> None:
    content, before = features.read_bytes(), seen(features)
    visible = 0
    for place in places(len(content)):
        flipped = bytearray(content)
        flipped[place] ^= 1 << place % 8
        features.write_bytes(flipped)
        try:
            differs = seen(features) != before
        except Exception:
            differs = True
        visible += differs
        if differs:
            assert verify(features), f"byte {place}"
    assert visible > 100


@pytest.mark.parametrize("end", [0, 1, 100, 0.5, 0.9, -1])
def test_files_that_are_cut_off(features: Path, end: float) -> None:
    content = features.read_bytes()
    features.write_bytes(content[: int(end * len(content)) if isinstance(end, float) else end])
    faults = verify(features)
    assert faults
    assert faults[0].place == "/"


def change(path: Path, name: str, dataset: str) -> None:
    with h5py.File(path, "a") as file:
        values = file[f"videos/{name}/{dataset}"]
        values[1] = np.nan if dataset == "features" else values[0] + 7


@pytest.mark.parametrize("dataset", ["features", "frame_index", "time_seconds"])
def test_numbers_that_were_changed(features: Path, dataset: str) -> None:
    change(features, "sub/b", dataset)
    faults = verify(features)
    assert (faults[0].place, faults[0].what) == (
        "/videos/sub/b",
        f"the numbers of {dataset} are others than those that were written",
    )
    assert (dataset == "features") == any(fault.what == "some features are no numbers" for fault in faults)


def test_what_else_can_be_wrong(features: Path) -> None:
    with h5py.File(features, "a") as file:
        del file["videos/a"]
        file["videos/sub/b"].attrs["frames_decoded"] = 41
        file["extra"] = 1
    found = {(fault.place, fault.what.split(" (")[0]) for fault in verify(features)}
    assert ("/videos/a", "the video is in the index and nowhere else") in found
    assert ("/videos/sub/b", "its attributes are others than were written") in found
    assert any(place == "/index" and what.startswith("sub/b has {'rows': 3") for place, what in found)
    assert any(
        place == "/" and what.startswith("it holds extra, failures, index, videos; expected") for place, what in found
    )


def lcdc(*arguments: str | Path) -> tuple[int, str]:
    result = CliRunner().invoke(toolbox.app, ["verify", *map(str, arguments)])
    return result.exit_code, result.output


def test_the_command(features: Path, tmp_path: Path) -> None:
    assert lcdc(features) == (0, f"{features}: every digest is right\n")
    for name in ("a.mp4", "c.mp4", "new.mp4"):
        (tmp_path / "videos" / name).parent.mkdir(exist_ok=True)
        (tmp_path / "videos" / name).touch()
    code, output = lcdc(features, "--against", tmp_path / "videos", "--json")
    assert code == 1
    assert json.loads(output)["faults"] == [{"place": "/videos/new", "what": "it is not in the file"}]
    change(features, "a", "features")
    code, output = lcdc(features)
    assert code == 1
    assert "/videos/a: the numbers of features are others than those that were written" in output
    assert lcdc(tmp_path / "none.h5")[0] == 2
    (tmp_path / "text.h5").write_text("no HDF5")
    code, output = lcdc(tmp_path / "text.h5")
    assert code == 1
    assert "/: cannot be read (OSError" in output


def test_digests_are_kept_when_a_file_grows(features: Path) -> None:
    with h5py.File(features) as file:
        before = file["videos/a"].attrs["sha256"]
    with FeatureStore(features, RunRecord(RECORD.identity, {})) as store:
        add(store, "d", [rows(2)])
        store.publish([])
    assert [fault for fault in verify(features) if "d" in fault.place] == []
    with h5py.File(features) as file:
        assert file["videos/a"].attrs["sha256"] == before
