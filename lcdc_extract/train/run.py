"""`lcdc train` from its options to a weights file."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import torch

from lcdc_extract import __version__, plots
from lcdc_extract.config import NetworkConfig, PreprocessConfig, SamplingDefaults, to_dict
from lcdc_extract.devices import choose_device
from lcdc_extract.errors import PlotError, TrainingError
from lcdc_extract.files import InUseError, acquire
from lcdc_extract.network.lcdc import LCDC
from lcdc_extract.train.batch import TrainingData
from lcdc_extract.train.config import TrainConfig
from lcdc_extract.train.events import Reporter, TrainingNote, WeightsWritten, silent
from lcdc_extract.train.network import TrainingNetwork, divide_motion, initialise, initialise_head
from lcdc_extract.train.processes import Processes, local_device
from lcdc_extract.train.recipe import RECIPES, Recipe
from lcdc_extract.train.state import TrainState, load_state
from lcdc_extract.train.synthetic import SyntheticActions
from lcdc_extract.train.trainer import Trainer
from lcdc_extract.weights.file import WeightsInfo, save_weights
from lcdc_extract.weights.resolve import resolve_weights

WEIGHTS = "weights.safetensors"
LOCK = ".lock"
SCRATCH = "scratch"


def train(config: TrainConfig, report: Reporter = silent) -> Path:
    """Trains until the recipe is done, or goes on where an earlier run into the same directory stopped.

    Args:
        report: called with the events of `events.py`, in the first process only.

    Returns:
        The weights file, ready for `lcdc-extract --weights`.

    Raises:
        TrainingError: the directory belongs to another run, or training diverged.
        LcdcError: device, videos, labels or initial weights cannot be used.
    """
    device = local_device(choose_device(config.device))
    _make_directory(config.out)
    with Processes(device) as processes, _alone(config.out, processes):
        return _train(config, device, processes, report if processes.first else silent)


def _train(config: TrainConfig, device: torch.device, processes: Processes, report: Reporter) -> Path:
    recipe, path = recipe_of(config), config.out / WEIGHTS
    _say_what_is_drawn(report)
    run = _identity(config, recipe) | {"processes": processes.count}
    load_state(config.out, run)  # the wrong directory is refused before videos are decoded
    data = _training_data(config, device, processes, report)
    lcdc, base, digest = _initial_network(config, data.class_names, recipe.motion_gain)
    run |= {"data": data.fingerprint, "class_names": list(data.class_names), "initial_weights": digest}
    state = load_state(config.out, run) or TrainState(run)
    finished = state.phase == len(recipe.phases) and path.exists()
    divide_motion(lcdc.head, recipe.motion_gain)
    Trainer(
        _training_network(lcdc, recipe.motion_gain, config.seed),
        recipe,
        data,
        state,
        mean=(base.preprocess if base else PreprocessConfig()).mean,
        out=config.out,
        processes=processes,
        device=device,
        precision=config.precision,
        report=report,
    ).run()
    divide_motion(lcdc.head, 1 / recipe.motion_gain)
    if processes.first and not finished:  # written again it would have another digest
        save_weights(path, lcdc.cpu(), _describe(config, state, lcdc.config, data, base))
    report(WeightsWritten(path))
    return path


def recipe_of(config: TrainConfig) -> Recipe:
    """The recipe by name; videos without pretrained weights also train batch norm."""
    recipe = RECIPES[config.recipe]
    return recipe.from_scratch() if config.init == SCRATCH and not config.synthetic else recipe


def _make_directory(out: Path) -> None:
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise TrainingError(f"cannot make the directory {out}: {error.strerror}. Give another one.") from error


@contextmanager
def _alone(out: Path, processes: Processes) -> Iterator[None]:
    """Keeps a second run out of the directory; the first process does so for all."""
    if not processes.first:
        yield
        return
    try:
        lock = acquire(out / LOCK)
    except InUseError:
        raise TrainingError(f"another run is training in {out}. Wait for it, or give another directory.") from None
    except OSError as error:
        raise TrainingError(f"cannot write to {out}: {error.strerror}. Give another directory.") from error
    try:
        yield
    finally:
        lock.release()


def _say_what_is_drawn(report: Reporter) -> None:
    try:
        plots.require_matplotlib()
    except PlotError as error:
        report(TrainingNote(f"the curves are only in history.csv: {error}"))


def _training_data(config: TrainConfig, device: torch.device, processes: Processes, report: Reporter) -> TrainingData:
    if config.synthetic:
        return SyntheticActions(config.seed, device)
    from lcdc_extract.train.videos import LabelledVideos

    return LabelledVideos(config, device, processes, report)


def _initial_network(
    config: TrainConfig, class_names: tuple[str, ...], motion_gain: float
) -> tuple[LCDC, WeightsInfo | None, str]:
    """The network to start from, what the file it came from says, and that file's SHA-256.

    Of weights that are not trained, as those of an ImageNet ResNet-50, the head holds random numbers and is made anew;
    of trained ones only cls_score is, where it has other classes.
    """
    generator = torch.Generator().manual_seed(config.seed)
    if config.init == SCRATCH:
        network = LCDC(NetworkConfig(num_classes=len(class_names)))
        initialise(network, generator, motion_gain)
        return network, None, SCRATCH
    weights = resolve_weights(config.init)
    network = LCDC(dataclasses.replace(weights.info.network, num_classes=len(class_names)))
    initialise_head(network.head, generator, motion_gain)
    network.encoder.load_state_dict(weights.network.encoder.state_dict())
    if weights.info.trained:
        same_classes = weights.info.class_names == class_names
        given = weights.network.head.state_dict()
        kept = {name: value for name, value in given.items() if same_classes or not name.startswith("cls_score.")}
        network.head.load_state_dict(network.head.state_dict() | kept)
    return network, weights.info, weights.sha256


def _training_network(lcdc: LCDC, motion_gain: float, seed: int) -> TrainingNetwork:
    """The same helpers in every process and at every start; torch's global random state is left as it was."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return TrainingNetwork(lcdc, motion_gain)


def _identity(config: TrainConfig, recipe: Recipe) -> dict[str, object]:
    """What a run that goes on must have in common with the one that stopped, besides its data."""
    plain = {name: value for name, value in to_dict(config).items() if name not in ("out", "device")}
    optimisation = {name: value for name, value in to_dict(recipe).items() if name != "phases"}
    phases = [dataclasses.asdict(phase) | {"windows": list(phase.windows)} for phase in recipe.phases]
    return plain | optimisation | {"phases": phases}


def _describe(
    config: TrainConfig, state: TrainState, network: NetworkConfig, data: TrainingData, base: WeightsInfo | None
) -> WeightsInfo:
    provenance = {
        "source": f"lcdc train, lcdc-extract {__version__}",
        "recipe": f"{config.recipe}, seed {config.seed}",
        "seen": f"{state.clips} clips or frames in {state.seconds / 60:.0f} minutes",
        "training data": "synthetic actions (lcdc synth)" if config.synthetic else f"videos of {config.videos}",
        "initial weights": config.init,
    }
    for name, value in dataclasses.asdict(state.history[-1]).items():
        if name.startswith("validation") and value is not None:
            provenance[name.replace("_", " ")] = f"{value:.3f}"
    provenance |= {f"started from: {name}": text for name, text in (base.provenance if base else {}).items()}
    return WeightsInfo(
        trained=True,
        network=network,
        preprocess=PreprocessConfig(mean=base.preprocess.mean) if base else PreprocessConfig(),
        sampling=SamplingDefaults(frame_step=config.frame_step),
        class_names=data.class_names,
        provenance=provenance,
    )
