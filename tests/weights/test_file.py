"""The weights file: what is written is read, int8 costs what it says, and damaged files are refused with a reason."""

from __future__ import annotations

import dataclasses
import json
import struct
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from lcdc_extract.config import PAPER, PRESETS, RELEASED, NetworkConfig, PreprocessConfig
from lcdc_extract.errors import WeightsError
from lcdc_extract.files import sha256_of
from lcdc_extract.weights import measure
from lcdc_extract.weights.file import WeightsInfo, layer_state, load_weights, read_info, save_weights
from lcdc_extract.weights.fresh import fresh_network
from lcdc_extract.weights.limits import MAX_HEADER
from lcdc_extract.weights.measure import moving_texture, storage_error
from lcdc_extract.weights.storage import dequantise, quantise
from tests.network.random_networks import relative_l2
from tests.weights.samples import small_file


@pytest.fixture(scope="module")
def good(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("good") / "w.safetensors"
    config = dataclasses.replace(RELEASED, num_classes=2)
    info: dict[str, Any] = {"preprocess": PreprocessConfig(antialias=True), "sampling": PRESETS["50salads"]}
    small_file(path, config, class_names=("cut", "peel"), provenance={"licence": "MIT"}, **info)
    return path


def altered(path: Path, target: Path, **metadata: Any) -> Path:
    """A copy with other metadata; values are written as JSON."""
    with safe_open(path, "pt") as file:
        old = file.metadata()
    save_file(load_file(path), target, old | {name: json.dumps(value) for name, value in metadata.items()})
    return target


def raw(path: Path, header: dict[str, Any] | bytes, data: bytes = b"", length: int | None = None) -> Path:
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    path.write_bytes(struct.pack("<Q", len(text) if length is None else length) + text + data)
    return path


def test_what_is_written_is_read(good: Path) -> None:
    weights = load_weights(good)
    assert weights.info.class_names == ("cut", "peel")
    assert weights.info.network == dataclasses.replace(RELEASED, num_classes=2)
    assert weights.info.sampling == PRESETS["50salads"]
    assert weights.info.preprocess.antialias
    assert weights.sha256 == sha256_of(good)
    assert not weights.network.training
    stored = load_file(good)
    assert all(torch.equal(stored[name], tensor) for name, tensor in layer_state(weights.network).items())
    assert not any(tensor.is_meta for tensor in weights.network.state_dict().values())
    assert [file.name for file in good.parent.iterdir()] == [good.name]


def test_others_may_read_it_as_any_new_file(good: Path, tmp_path: Path) -> None:
    (tmp_path / "any").touch()
    assert good.stat().st_mode == (tmp_path / "any").stat().st_mode


@pytest.mark.parametrize(
    ("shape", "scaled"), [((5, 7), (5,)), ((5, 3, 2, 3), (5,)), ((1, 1), (1,)), ((5, 3, 4, 2, 2), (5, 3))]
)
def test_int8_is_within_half_a_step(shape: tuple[int, ...], scaled: tuple[int, ...]) -> None:
    kernel = torch.randn(shape, generator=torch.Generator().manual_seed(0))
    kernel[0] *= 100
    levels, scale = quantise(kernel)
    assert levels.shape == kernel.shape
    assert scale.shape == scaled
    step = kernel.abs().amax(dim=tuple(range(len(scaled), len(shape))), keepdim=True) / 127
    assert ((dequantise(levels, scale) - kernel).abs() <= 0.5001 * step).all()
    assert torch.equal(quantise(dequantise(levels, scale))[0], levels)
    assert torch.equal(dequantise(*quantise(torch.zeros(2, 3))), torch.zeros(2, 3))


def test_large_weights_of_motion_do_not_swamp_those_of_appearance() -> None:
    """spacetime_conv1 as training leaves it: weights of the six motion channels are a hundred times larger."""
    kernel = torch.randn(4, 262, 4, 3, 3, generator=torch.Generator().manual_seed(0))
    kernel[:, 256:] *= 100
    found = dequantise(*quantise(kernel))
    assert relative_l2(found[:, :256], kernel[:, :256]) < 0.01
    assert relative_l2(found[:, 256:], kernel[:, 256:]) < 0.01


def test_int8_storage(good: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(measure, "SNIPPETS", 1)  # seconds each
    weights, path = load_weights(good), tmp_path / "small.safetensors"
    save_weights(path, weights.network, dataclasses.replace(weights.info, storage="int8"))
    assert path.stat().st_size < 0.27 * good.stat().st_size
    stored = load_weights(path)
    before, after = layer_state(weights.network), layer_state(stored.network)
    for name, tensor in before.items():
        assert after[name].dtype == torch.float32
        exact = tensor.ndim == 1 or "_offset" in name
        assert torch.equal(after[name], tensor) == exact, name
        assert relative_l2(after[name], tensor) < 0.02
    error = storage_error(weights.network, stored.network, stored.info.preprocess)
    print(f"INT8 {error}")
    assert 1e-4 < error["relative_l2"] < 0.1
    assert 0.99 < error["cosine"] < 1


def test_the_texture_is_smooth_and_moves() -> None:
    frames = moving_texture(0).float()
    assert frames.shape == (16, 224, 224, 3)
    assert torch.equal(frames[1, :, :-3], frames[0, :, 3:])
    assert 20 < frames.std() < 90
    assert (frames[:, 1:] - frames[:, :-1]).abs().mean() < 6
    assert torch.equal(moving_texture(0), moving_texture(0))


@pytest.mark.parametrize(
    ("header", "data", "length", "message"),
    [
        ({}, b"", 2**63, "announce a header of 9,223,372,036,854,775,808 bytes"),
        ({}, b"", 100, "announce a header of 100 bytes, the file has 10"),
        (b"{" + b" " * MAX_HEADER + b"}", b"", None, "at most 1,048,576 are accepted"),
        (b"not json", b"", None, "not a complete safetensors file"),
        ({"a": {"dtype": "F32", "shape": [4], "data_offsets": [0, 16]}}, b"1234", None, "not a complete safetensors"),
        (
            {"a": {"dtype": "F32", "shape": [10**12], "data_offsets": [0, 4]}},
            b"1234",
            None,
            "not a complete safetensors",
        ),
        ({"a": {"dtype": "F32", "shape": [2**62, 4], "data_offsets": [0, 0]}}, b"", None, "not a complete safetensors"),
        (
            {"a": {"dtype": "F32", "shape": [1], "data_offsets": [4, 8]}},
            b"12345678",
            None,
            "not a complete safetensors",
        ),
    ],
)
def test_lying_sizes(tmp_path: Path, header: Any, data: bytes, length: int | None, message: str) -> None:
    path = raw(tmp_path / "w.safetensors", header, data, length)
    for read in (read_info, load_weights):
        with pytest.raises(WeightsError, match=message):
            read(path)


def test_truncated_empty_and_other_files(good: Path, tmp_path: Path) -> None:
    path = tmp_path / "w.safetensors"
    path.write_bytes(good.read_bytes()[:-100])
    with pytest.raises(WeightsError, match="not a complete safetensors file"):
        load_weights(path)
    path.write_bytes(b"")
    with pytest.raises(WeightsError, match="has 0 bytes"):
        load_weights(path)
    save_file({"a": torch.ones(1)}, path)
    with pytest.raises(WeightsError, match="names the schema None, expected 'lcdc-weights/1'"):
        load_weights(path)
    with path.open("wb") as file:  # sparse: 3 GiB that are not there
        file.truncate(3 * 2**30)
    with pytest.raises(WeightsError, match="expected between 1 and"):
        load_weights(path)


@pytest.mark.parametrize(
    ("metadata", "message"),
    [
        ({"network": {"num_classes": 10**12} | {"variant": "paper"}}, "does not fit the network"),
        ({"network": {"border": "other"}}, "expected one of zero, released"),
        ({"network": 3}, "damaged or from a newer version"),
        ({"network": {"colour": 1}}, "has no field colour"),
        ({"storage": "int4"}, "expected one of float32, int8"),
        ({"storage": "int8"}, "does not fit the network"),
        ({"class_names": ["a"]}, "1 class names for 2 classes"),
        ({"future": 1}, "has no field future"),
    ],
)
def test_metadata_that_lies(good: Path, tmp_path: Path, metadata: dict[str, Any], message: str) -> None:
    if "num_classes" in str(metadata):
        metadata = metadata | {"class_names": []}
    with pytest.raises(WeightsError, match=message):
        load_weights(altered(good, tmp_path / "w.safetensors", **metadata))


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("conv1.bias", None, "conv1.bias is missing"),
        ("extra", torch.ones(1), "extra belongs to no layer"),
        ("conv1.bias", torch.ones(63), r"conv1.bias is \(\(63,\), 'F32'\), expected \(\(64,\), 'F32'\)"),
        ("conv1.bias", torch.ones(64).half(), "'F16'"),
        ("conv1.bias", torch.full((64,), float("inf")), "not finite, in conv1.bias"),
    ],
)
def test_layers_that_do_not_fit(
    good: Path, tmp_path: Path, name: str, value: torch.Tensor | None, message: str
) -> None:
    with safe_open(good, "pt") as file:
        metadata = file.metadata()
    tensors = {key: tensor for key, tensor in (load_file(good) | {name: value}).items() if tensor is not None}
    save_file(tensors, tmp_path / "w.safetensors", metadata)
    with pytest.raises(WeightsError, match=message):
        load_weights(tmp_path / "w.safetensors")


def test_a_failed_write_leaves_the_old_file(good: Path, tmp_path: Path) -> None:
    network = fresh_network(PAPER)
    with pytest.raises(WeightsError, match="the metadata describes"):
        save_weights(good, network, WeightsInfo(trained=False, network=NetworkConfig(num_classes=3)))
    with pytest.raises(WeightsError, match="cannot write weights"):
        save_weights(tmp_path / "no" / "w.safetensors", network, WeightsInfo(trained=False, network=PAPER))
    assert not list(tmp_path.iterdir())
