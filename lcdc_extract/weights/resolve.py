"""From a path or a name to a network."""

from __future__ import annotations

import dataclasses
import hashlib
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from lcdc_extract.config import PAPER
from lcdc_extract.errors import WeightsError
from lcdc_extract.weights.file import Weights, WeightsInfo, check_digest, layer_state, load_weights, read_info
from lcdc_extract.weights.fresh import fresh_network
from lcdc_extract.weights.registry import FOLDER_VARIABLE, Entry, find_file, registry, user_folder

UNTRAINED = "untrained"
DEFAULT = "lcdc-synth"
"""Used when no weights are named."""
CHOICES = f"""\
  PATH.safetensors  weights made for this package
  NAME              one of `lcdc weights list`
  {UNTRAINED}         a random network: correct shapes, meaningless features, for trying things out"""


@dataclass(frozen=True)
class FoundWeights:
    """Weights that are there, described but not loaded."""

    name: str
    sha256: str
    info: WeightsInfo
    load: Callable[[], Weights]
    """Builds the network, once more checked against the digest."""


def resolve_weights(name: str | None) -> Weights:
    """Loads weights by path or by name; see `find_weights`."""
    return find_weights(name).load()


def find_weights(name: str | None) -> FoundWeights:
    """Finds weights by path or by name, or builds the `untrained` network. Never uses the internet.

    A path wins over a name; None is `DEFAULT`. A name is looked up in the registry and its file in the LCDC_WEIGHTS
    folder, among the user's and the package's own weights and in the user's cache, in this order; its digest is
    checked. `NAME.safetensors` in the LCDC_WEIGHTS folder needs no entry.

    Raises:
        WeightsError: nothing of that name, or the file cannot be used.
    """
    if name == UNTRAINED:
        weights = untrained()
        return FoundWeights(weights.name, weights.sha256, weights.info, lambda: weights)
    if name is not None and (path := weights_path(name)) is not None:
        return _described(path.stem, path, None)
    name = name or DEFAULT
    entry = registry().get(name)
    if entry is None:
        raise WeightsError(f"the weights {name!r} are neither a file nor a name this package knows. Choose:\n{CHOICES}")
    return _described(entry.name, entry_path(entry), entry)


def _described(name: str, path: Path, entry: Entry | None) -> FoundWeights:
    sha256 = check_digest(path, entry.sha256 if entry else None)
    info = read_info(path)
    if entry:
        check_variant(entry, info)

    def load() -> Weights:
        return dataclasses.replace(load_weights(path, sha256), name=name)

    return FoundWeights(name, sha256, info, load)


def weights_path(name: str) -> Path | None:
    """The file that `name` is, or is in the LCDC_WEIGHTS folder without an entry; None where it must be registered."""
    path = Path(name)
    if path.is_dir():
        raise WeightsError(f"{name}, given as weights, is a directory; expected one .safetensors file")
    if path.exists():
        return path
    folder = os.environ.get(FOLDER_VARIABLE)
    own = Path(folder, f"{name}.safetensors") if folder and path.name == name else None
    return own if own is not None and own.is_file() and name not in registry() else None


def load_entry(entry: Entry) -> Weights:
    """Loads a registered file.

    Raises:
        WeightsError: it is not on this machine, has another digest, or is not what the entry says.
    """
    return _described(entry.name, entry_path(entry), entry).load()


def check_variant(entry: Entry, info: WeightsInfo) -> None:
    """Raises WeightsError where a file is not the network its entry says."""
    found = info.network.variant
    if found != entry.variant:
        raise WeightsError(
            f"{entry.file} is a {found} network; its entry {entry.name!r} says {entry.variant}. If it is right, "
            "correct the entry."
        )


def entry_path(entry: Entry) -> Path:
    """The file of an entry on this machine.

    Raises:
        WeightsError: it is not here; says how to get it.
    """
    path = find_file(entry)
    if path is None:
        hint = (
            f"Get it with: lcdc weights fetch {entry.name}"
            if entry.url
            else f"Put it into the folder ${FOLDER_VARIABLE} or into {user_folder()}"
        )
        raise WeightsError(f"{entry.name} is registered, but its file {entry.file} is not on this machine. {hint}")
    return path


def untrained(seed: int = 0) -> Weights:
    """The paper's network with random numbers from `seed`, the same on every machine."""
    network = fresh_network(PAPER, seed)
    digest = hashlib.sha256()
    for name, tensor in sorted(layer_state(network).items()):
        digest.update(name.encode() + tensor.numpy().tobytes())
    info = WeightsInfo(trained=False, network=PAPER, provenance={"source": f"random numbers, seed {seed}"})
    return Weights(UNTRAINED, digest.hexdigest(), info, network)
