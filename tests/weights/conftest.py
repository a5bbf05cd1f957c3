"""The released graph on random numbers, run once by the oracle and once by the network, for all tests of a session."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import torch
from scipy.ndimage import zoom
from torch import Tensor

from lcdc_extract.config import PreprocessConfig
from lcdc_extract.network.encoder import EncodedFrames
from lcdc_extract.network.lcdc import LCDC
from lcdc_extract.network.preprocess import preprocess
from lcdc_extract.weights.convert import tensorflow
from lcdc_extract.weights.convert.carry_out import carry_out
from lcdc_extract.weights.convert.checkpoint import in_memory
from tests.weights import released_oracle as oracle
from tests.weights.samples import module_of

ORDER = [0, 1, 2, 3, 1, 0, 3, 2, 0, 2, 1, 3, 0, 1, 3, 2]
"""A snippet of 16 frames, four of them different: a frame's maps do not depend on its neighbours."""
MEAN = np.array([123.68, 116.78, 103.94])


def pictures(count: int, seed: int) -> oracle.Array:
    """(count, 224, 224, 3) uint8: coarse random colours with some noise on them."""
    generator = np.random.default_rng(seed)
    coarse = [zoom(generator.standard_normal((8, 8, 3)), (28, 28, 1), order=1) for _ in range(count)]
    noise = generator.standard_normal((count, 224, 224, 3))
    return np.clip(118 + 60 * np.stack(coarse) + 15 * noise, 0, 255).astype(np.uint8)


@dataclass
class Lab:
    """One snippet, seen by both."""

    variables: oracle.Variables
    pixels: Tensor
    """(4, 3, 224, 224)."""
    expected: dict[str, oracle.Array]
    """Joints of the oracle; those of frames have four, those of the snippet one entry."""
    network: LCDC
    found: dict[str, Tensor]
    """Joints of the network, in the oracle's layout."""
    encoded: EncodedFrames

    def features(self, encoded: EncodedFrames) -> Tensor:
        """fc_new_2 of the snippet, from its four frames."""
        snippet = EncodedFrames(encoded.appearance[ORDER], encoded.offsets[ORDER])
        return self.network.head(snippet.appearance[None], snippet.offsets[None])[0]


def expected_joints(variables: oracle.Variables, rgb: oracle.Array) -> dict[str, oracle.Array]:
    joints = oracle.run_frames(variables, (rgb - MEAN).astype(np.float32))
    offsets = [joints[f"offset {block}"][ORDER] for block in oracle.DEFORMABLE]
    return joints | oracle.run_snippet(variables, joints["conv_new_1"][ORDER], offsets)


def found_joints(lab: Lab) -> dict[str, Tensor]:
    """Runs the network with its joints listened to."""
    network, seen = lab.network, {}

    def listen(joint: str, layer: str, *, before: bool = False) -> None:
        module = module_of(network, layer)
        if before:
            handles.append(module.register_forward_pre_hook(lambda _, x: seen.update({joint: x[0].clone()})))
        else:
            handles.append(module.register_forward_hook(lambda _, __, y: seen.update({joint: y.clone()})))

    handles: list[torch.utils.hooks.RemovableHandle] = []
    listen("pool1", "res2a_branch1", before=True)
    listen("res3d", "res4a_branch1", before=True)
    listen("res4f", "res5a_branch1", before=True)
    listen("res5c", "conv_new_1", before=True)
    listen("padded fusion", "spacetime_conv1", before=True)
    listen("fc_new_1", "fc_new_2", before=True)
    for block in oracle.DEFORMABLE:
        listen(f"offset {block}", f"res{block}_branch2b_offset")
    lab.encoded = network.encoder(lab.pixels)
    seen["conv_new_1"] = lab.encoded.appearance
    seen["fc_new_2"] = lab.features(lab.encoded)
    seen["fusion"] = seen.pop("padded fusion")[0, :, 1:-2].movedim(0, -1)  # (262, 18, ...) -> (15, 14, 14, 262)
    seen["fc_new_1"] = seen["fc_new_1"][0]
    for handle in handles:
        handle.remove()
    frames = ("pool1", "res3d", "res4f", "res5c", "conv_new_1", *(f"offset {block}" for block in oracle.DEFORMABLE))
    return {name: x.movedim(1, -1) if name in frames else x for name, x in seen.items()}


@pytest.fixture(scope="session")
def variables() -> oracle.Variables:
    return oracle.random_variables()


@pytest.fixture(scope="session")
def lab(variables: oracle.Variables) -> Lab:
    rgb = pictures(4, seed=1)
    network, _ = carry_out(tensorflow.scheme(in_memory(variables)))
    network.requires_grad_(False)
    pixels = preprocess(torch.from_numpy(rgb), PreprocessConfig(), torch.float32)
    nothing = EncodedFrames(torch.empty(0), torch.empty(0))
    lab = Lab(variables, pixels, expected_joints(variables, rgb), network, {}, nothing)
    lab.found = found_joints(lab)
    return lab


@pytest.fixture
def own_folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty LCDC_WEIGHTS folder, no weights of the user and an empty cache; returns the folder."""
    folder = tmp_path / "weights"
    folder.mkdir()
    monkeypatch.setenv("LCDC_WEIGHTS", str(folder))
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return folder
