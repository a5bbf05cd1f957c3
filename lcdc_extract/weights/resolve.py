"""From what the user wrote after --weights to a network."""

from __future__ import annotations

import hashlib
from pathlib import Path

import torch

from lcdc_extract.config import PAPER
from lcdc_extract.errors import WeightsError
from lcdc_extract.network.lcdc import LCDC
from lcdc_extract.weights.file import Weights, WeightsInfo, layer_state, load_weights

UNTRAINED = "untrained"
CHOICES = f"""\
  --weights PATH.safetensors  weights made for this package
  --weights {UNTRAINED}         a random network: correct shapes, meaningless features, for trying things out"""


def resolve_weights(name: str | None) -> Weights:
    """Loads weights by path, or builds the `untrained` network.

    Raises:
        WeightsError: nothing of that name, or the file cannot be used.
    """
    if name == UNTRAINED:
        return untrained()
    if name is None:
        raise WeightsError(f"no weights were given, and no trained weights ship with this version. Choose:\n{CHOICES}")
    path = Path(name)
    if path.is_dir():
        raise WeightsError(f"--weights {name} is a directory; expected one .safetensors file")
    if not path.exists():
        raise WeightsError(f"--weights {name} is neither a file nor a name this package knows. Choose:\n{CHOICES}")
    return load_weights(path)


def untrained(seed: int = 0) -> Weights:
    """The paper's network with random numbers from `seed`, the same on every machine."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        network = LCDC(PAPER)
    digest = hashlib.sha256()
    for name, tensor in sorted(layer_state(network).items()):
        digest.update(name.encode() + tensor.numpy().tobytes())
    info = WeightsInfo(trained=False, network=PAPER, provenance={"source": f"random numbers, seed {seed}"})
    return Weights(UNTRAINED, digest.hexdigest(), info, network)
