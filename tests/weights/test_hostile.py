"""Files made to run code, to fill the memory, or to reach other files: refused, and nothing of them runs."""

from __future__ import annotations

import os
import pickle
import tracemalloc
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from lcdc_extract.errors import WeightsError
from lcdc_extract.weights.convert import ConvertOptions, convert
from lcdc_extract.weights.convert.safe_pickle import read_arrays
from lcdc_extract.weights.resolve import resolve_weights
from tests.weights.samples import write_pickle


class Payload:
    """Creates a file when it is unpickled in the ordinary way."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, (str(self.mark),)


@pytest.fixture
def mark(tmp_path: Path) -> Path:
    """Appears when a payload runs; the fixture proves that it would."""
    path = tmp_path / "code-ran"
    pickle.loads(pickle.dumps(Payload(path)))
    assert path.exists()
    path.rmdir()
    return path


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_hostile_pickle(tmp_path: Path, mark: Path, protocol: int) -> None:
    content = {"conv1": {"weights": np.ones(3, np.float32), "biases": Payload(mark)}}
    path = write_pickle(tmp_path / "init.pkl", content, protocol)
    with pytest.raises(WeightsError, match=r"nothing of it was run: it asks for (posix|nt)\.mkdir"):
        convert(path, ConvertOptions())
    assert not mark.exists()


def test_hostile_pth(tmp_path: Path, mark: Path) -> None:
    for path, zipped in ((tmp_path / "new.pth", True), (tmp_path / "old.pth", False)):
        torch.save({"conv1.weight": Payload(mark)}, path, _use_new_zipfile_serialization=zipped)
        with pytest.raises(WeightsError, match="nothing of it was run"):
            convert(path, ConvertOptions())
    assert not mark.exists()


@pytest.mark.parametrize("suffix", [".pth", ".safetensors", ".pkl"])
def test_a_pickle_under_any_name(tmp_path: Path, mark: Path, suffix: str) -> None:
    path = write_pickle(tmp_path / f"w{suffix}", {"conv1": Payload(mark)})
    with pytest.raises(WeightsError):
        convert(path, ConvertOptions())
    with pytest.raises(WeightsError):
        resolve_weights(str(path))
    assert not mark.exists()


@pytest.mark.parametrize(
    "value",
    [
        np.array([{"a": 1}], dtype=object),
        np.array(["text"]),
        np.zeros(2, dtype=[("x", "f4")]),
        np.float32(1),
        {"deeper": np.ones(1)},
        [np.ones(1)],
        None,
        len,
    ],
    ids=["objects", "text", "records", "scalar", "nested", "list", "none", "builtin"],
)
def test_only_arrays_of_numbers(tmp_path: Path, value: Any) -> None:
    for protocol in (2, 5):
        with pytest.raises(WeightsError):
            read_arrays(write_pickle(tmp_path / "w.pkl", {"conv1": {"weights": value}}, protocol))


def test_attributes_of_the_stand_ins_cannot_be_reached(tmp_path: Path) -> None:
    path = tmp_path / "w.pkl"
    path.write_bytes(b"\x80\x04\x8c\x05numpy\x8c\x10ndarray.__init__\x93.")  # STACK_GLOBAL numpy ndarray.__init__
    with pytest.raises(WeightsError, match=r"asks for numpy\.ndarray\.__init__"):
        read_arrays(path)


def test_an_array_that_lies_about_its_size(tmp_path: Path) -> None:
    content = pickle.dumps({"a": {"weights": np.arange(300, dtype=np.float32)}}, protocol=2)
    lying = content.replace(b"M\x2c\x01", b"J\xff\xff\xff\x7f")  # 300 -> 2**31 - 1
    assert lying != content
    path = tmp_path / "w.pkl"
    path.write_bytes(lying)
    with pytest.raises(WeightsError, match="comes with 1200 bytes"):
        read_arrays(path)


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
@pytest.mark.parametrize("dtype", ["<f4", ">f8", "<f2", "<i8"])
def test_good_pickles_of_every_protocol(tmp_path: Path, protocol: int, dtype: str) -> None:
    array = np.arange(24).reshape(2, 3, 4).astype(dtype)
    content = {"conv1": {"weights": array, "turned": array.transpose(2, 0, 1), "fortran": np.asfortranarray(array)}}
    found = read_arrays(write_pickle(tmp_path / "w.pkl", content, protocol))
    for name, expected in content["conv1"].items():
        np.testing.assert_array_equal(found[f"conv1/{name}"], expected)


def test_a_pickle_of_python_2_and_of_numpy_1(tmp_path: Path) -> None:
    """Written by hand after what Python 2.7 with numpy 1.13 writes: byte strings throughout."""
    data = np.array([1.5, -2.0], dtype="<f4").tobytes()
    text = b"(dp0\nS'conv1'\np1\n(dp2\nS'biases'\np3\ncnumpy.core.multiarray\n_reconstruct\np4\n(cnumpy\nndarray\np5\n"
    text += b"(I0\ntp6\nS'b'\np7\ntp8\nRp9\n(I1\n(I2\ntp10\ncnumpy\ndtype\np11\n(S'f4'\np12\nI0\nI1\ntp13\nRp14\n"
    text += b"(I3\nS'<'\np15\nNNNI-1\nI-1\nI0\ntp16\nbI00\nS'" + repr(data)[2:-1].encode() + b"'\np17\ntp18\nbss."
    path = tmp_path / "w.pkl"
    path.write_bytes(text)
    np.testing.assert_array_equal(read_arrays(path)["conv1/biases"], np.array([1.5, -2.0], np.float32))


@pytest.mark.parametrize("content", [b"", b"\x80", b"garbage", b"\x80\x04N.", b"\x80\x04]\x94."])
def test_damaged_pickles(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "w.pkl"
    path.write_bytes(content)
    with pytest.raises(WeightsError):
        convert(path, ConvertOptions())


def test_zip_bomb(tmp_path: Path) -> None:
    path = tmp_path / "bomb.pth"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive, archive.open("bomb/data.pkl", "w") as entry:
        for _ in range(256):
            entry.write(bytes(2**20))
    assert path.stat().st_size < 2**20
    tracemalloc.start()
    with pytest.raises(WeightsError, match=r"'bomb/data\.pkl' is compressed"):
        convert(path, ConvertOptions())
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 16 * 2**20


def test_overlapping_entries(tmp_path: Path) -> None:
    """A directory that lists the same bytes many times unpacks to many times the file."""
    path = tmp_path / "overlap.pth"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("a/data.pkl", bytes(2**16))
        for number in range(64):
            twin = zipfile.ZipInfo(f"a/data/{number}")
            original = archive.getinfo("a/data.pkl")
            twin.header_offset, twin.CRC = original.header_offset, original.CRC
            twin.file_size = twin.compress_size = original.file_size
            archive.filelist.append(twin)
    with pytest.raises(WeightsError, match="claim to unpack to"):
        convert(path, ConvertOptions())


def test_damaged_pth(tmp_path: Path) -> None:
    path = tmp_path / "w.pth"
    torch.save({"conv1.weight": torch.ones(1000)}, path)
    whole = path.read_bytes()
    for content in (whole[:-30], whole[: len(whole) // 2], b"", b"PK\x03\x04"):
        path.write_bytes(content)
        with pytest.raises(WeightsError):
            convert(path, ConvertOptions())


def test_a_state_dict_of_other_things(tmp_path: Path) -> None:
    torch.save([torch.ones(1)], tmp_path / "w.pth")
    with pytest.raises(WeightsError, match="holds no state dict"):
        convert(tmp_path / "w.pth", ConvertOptions())
