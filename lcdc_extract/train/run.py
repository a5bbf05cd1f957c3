"""`lcdc train` from its options to a weights file."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import torch

from lcdc_extract import __version__
from lcdc_extract.config import NetworkConfig, SamplingDefaults, to_dict
from lcdc_extract.errors import TrainingError
from lcdc_extract.network.lcdc import LCDC
from lcdc_extract.pipeline.setup import choose_device
from lcdc_extract.train.batch import Source
from lcdc_extract.train.config import TrainConfig
from lcdc_extract.train.network import TrainingNetwork, divide_motion, initialise, initialise_head
from lcdc_extract.train.processes import Processes, local_device
from lcdc_extract.train.recipe import RECIPES, Recipe
from lcdc_extract.train.state import TrainState, load_state
from lcdc_extract.train.synthetic import SyntheticSource
from lcdc_extract.train.trainer import Report, Trainer
from lcdc_extract.weights.file import WeightsInfo, save_weights
from lcdc_extract.weights.resolve import resolve_weights

WEIGHTS = "weights.safetensors"
SCRATCH = "scratch"


def train(config: TrainConfig, report: Report = lambda _: None) -> Path:
    """Trains until the recipe is done, or goes on where an earlier run into the same directory stopped.

    Args:
        report: see `Trainer`; called in the first process only.

    Returns:
        The weights file, ready for `lcdc-extract --weights`.

    Raises:
        TrainingError: the directory belongs to another run, or training diverged.
        LcdcError: device, videos, labels or initial weights cannot be used.
    """
    device = local_device(choose_device(config.device))
    with Processes(device) as processes:
        _make_directory(config.out)
        recipe = recipe_of(config)
        source = _source(config, device)
        run = _identity(config, recipe)
        state = load_state(config.out, run) or TrainState(run)
        lcdc, base = _initial_network(config, len(source.class_names), recipe.motion_gain)
        divide_motion(lcdc.head, recipe.motion_gain)
        network = TrainingNetwork(lcdc, recipe.motion_gain)
        Trainer(
            network,
            recipe,
            source,
            state,
            out=config.out,
            processes=processes,
            device=device,
            precision=config.precision,
            report=report if processes.first else lambda _: None,
        ).run()
        divide_motion(lcdc.head, 1 / recipe.motion_gain)
        if processes.first:
            info = _describe(config, state, network.lcdc.config, source, base)
            save_weights(config.out / WEIGHTS, network.lcdc.cpu(), info)
    return config.out / WEIGHTS


def recipe_of(config: TrainConfig) -> Recipe:
    """The recipe by name; videos without pretrained weights also train batch norm."""
    recipe = RECIPES[config.recipe]
    return recipe.from_scratch() if config.init == SCRATCH and not config.synthetic else recipe


def _make_directory(out: Path) -> None:
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise TrainingError(f"cannot make the directory {out}: {error.strerror}. Give another --out.") from error


def _source(config: TrainConfig, device: torch.device) -> Source:
    if config.synthetic:
        return SyntheticSource(config.seed, device)
    from lcdc_extract.train.videos import VideoSource

    return VideoSource(config)


def _initial_network(config: TrainConfig, classes: int, motion_gain: float) -> tuple[LCDC, WeightsInfo | None]:
    generator = torch.Generator().manual_seed(config.seed)
    if config.init == SCRATCH:
        network = LCDC(NetworkConfig(num_classes=classes))
        initialise(network, generator, motion_gain)
        return network, None
    weights = resolve_weights(config.init)
    if weights.info.network.num_classes == classes:
        return weights.network, weights.info
    network = LCDC(dataclasses.replace(weights.info.network, num_classes=classes))
    initialise_head(network.head, generator, motion_gain)
    state = weights.network.state_dict()
    network.load_state_dict(
        {name: value for name, value in state.items() if not name.startswith("cls_score")}, strict=False
    )
    return network, weights.info


def _identity(config: TrainConfig, recipe: Recipe) -> dict[str, object]:
    """What a run that goes on must have in common with the one that stopped."""
    plain = {name: value for name, value in to_dict(config).items() if name not in ("out", "device")}
    return plain | {"phases": [dataclasses.asdict(phase) | {"windows": list(phase.windows)} for phase in recipe.phases]}


def _describe(
    config: TrainConfig, state: TrainState, network: NetworkConfig, source: Source, base: WeightsInfo | None
) -> WeightsInfo:
    last = state.history[-1] if state.history else {}
    provenance = {
        "source": f"lcdc train, lcdc-extract {__version__}",
        "recipe": f"{config.recipe}, seed {config.seed}",
        "seen": f"{state.clips} clips or frames in {state.seconds / 60:.0f} minutes",
        "training data": "synthetic actions (lcdc synth)" if config.synthetic else f"videos of {config.videos}",
        "initial weights": config.init,
    }
    provenance |= {
        name.replace("_", " "): f"{value:.3f}" for name, value in last.items() if name.startswith("validation")
    }
    provenance |= {f"started from: {name}": text for name, text in (base.provenance if base else {}).items()}
    return WeightsInfo(
        trained=True,
        network=network,
        sampling=SamplingDefaults(frame_step=config.frame_step),
        class_names=source.class_names,
        provenance=provenance,
    )
