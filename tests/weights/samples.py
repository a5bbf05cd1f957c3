"""State dicts and pickles of other people's networks, with names written out by construction."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from lcdc_extract.config import PAPER, NetworkConfig
from lcdc_extract.network.lcdc import LCDC
from lcdc_extract.weights.file import WeightsInfo, layer_state, save_weights
from lcdc_extract.weights.fresh import fresh_network
from tests.network.random_networks import randomise
from tests.weights import released_oracle as oracle

SIZES = {1: (64, 256, 3), 2: (128, 512, 4), 3: (256, 1024, 6), 4: (512, 2048, 3)}
"""Of torchvision's layer1 .. layer4: width, output channels, blocks."""


def module_of(network: LCDC, layer: str) -> nn.Module:
    """The module of a layer of Table 4, found by where its numbers are; how modules nest is the network's affair."""
    place = layer_state(network)[f"{layer}.weight"].data_ptr()
    weights = ((module, module._parameters.get("weight")) for module in network.modules())
    return next(module for module, weight in weights if weight is not None and weight.data_ptr() == place)


def torchvision_resnet50(seed: int = 0) -> dict[str, Tensor]:
    """A state dict with the 320 names and shapes of torchvision's resnet50, and random numbers."""
    generator = torch.Generator().manual_seed(seed)
    state: dict[str, Tensor] = {}

    def convolution(name: str, outputs: int, inputs: int, size: int) -> None:
        shape = (outputs, inputs, size, size)
        state[f"{name}.weight"] = torch.randn(shape, generator=generator) / (inputs * size * size) ** 0.5

    def norm(name: str, channels: int) -> None:
        state[f"{name}.weight"] = 0.5 + torch.rand(channels, generator=generator)
        state[f"{name}.bias"] = 0.2 * torch.randn(channels, generator=generator)
        state[f"{name}.running_mean"] = 0.2 * torch.randn(channels, generator=generator)
        state[f"{name}.running_var"] = 0.5 + torch.rand(channels, generator=generator)
        state[f"{name}.num_batches_tracked"] = torch.tensor(7)

    convolution("conv1", 64, 3, 7)
    norm("bn1", 64)
    inputs = 64
    for layer, (width, outputs, blocks) in SIZES.items():
        for block in range(blocks):
            name = f"layer{layer}.{block}"
            for i, (o, c, size) in enumerate([(width, inputs, 1), (width, width, 3), (outputs, width, 1)], start=1):
                convolution(f"{name}.conv{i}", o, c, size)
                norm(f"{name}.bn{i}", o)
            if block == 0:
                convolution(f"{name}.downsample.0", outputs, inputs, 1)
                norm(f"{name}.downsample.1", outputs)
            inputs = outputs
    state["fc.weight"] = torch.randn(1000, 2048, generator=generator)
    state["fc.bias"] = torch.randn(1000, generator=generator)
    return state


def initial_weights(*, groups: int, seed: int = 0) -> dict[str, dict[str, oracle.Array]]:
    """The authors' initial weights: a detector's backbone, offsets for `groups` groups, no temporal head."""
    generator = np.random.default_rng(seed)
    layers: dict[str, dict[str, oracle.Array]] = {}
    for name, variable in oracle.random_variables(seed).items():
        layer, parameter = name.split("/")
        if layer.startswith(("spacetime", "cls_score")):
            continue
        if layer in ("res5a_branch2b", "res5b_branch2b", "res5c_branch2b"):
            array = variable.transpose(2, 3, 1, 0)  # (out, in, kh, kw) -> (kh, kw, in, out)
        elif layer.endswith("_offset") and groups > 1:
            array = generator.standard_normal((*variable.shape[:-1], 18 * groups)).astype(np.float32)
        else:
            array = variable
        layers.setdefault(layer, {})[parameter] = array
    layers["rpn_conv"] = {"weights": np.zeros((3, 3, 4, 4), np.float32)}
    layers["bbox_pred"] = {"biases": np.zeros(8, np.float32)}
    return layers


def write_pickle(path: Path, content: Any, protocol: int = 2) -> Path:
    path.write_bytes(pickle.dumps(content, protocol=protocol))
    return path


def small_file(path: Path, config: NetworkConfig = PAPER, **info: Any) -> LCDC:
    """Writes a weights file with random numbers everywhere; returns its network."""
    network = fresh_network(config)
    randomise(network, 0)
    save_weights(path, network, WeightsInfo(network=config, **{"trained": False} | info))
    return network
