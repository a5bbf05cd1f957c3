"""From options to a weights file that the extractor reads."""

from __future__ import annotations

import csv
import dataclasses
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import torch

from lcdc_extract import plots
from lcdc_extract.config import RELEASED, ExtractConfig, NetworkConfig, PreprocessConfig
from lcdc_extract.errors import TrainingError
from lcdc_extract.features import open_features
from lcdc_extract.files import UNFINISHED, acquire
from lcdc_extract.pipeline import extract
from lcdc_extract.synth.actions import CLASSES
from lcdc_extract.train import synthetic
from lcdc_extract.train.config import TrainConfig
from lcdc_extract.train.events import (
    EpochDone,
    Event,
    PhaseStarted,
    StepDone,
    TrainingNote,
    VideoDecoded,
    WeightsWritten,
)
from lcdc_extract.train.history import write_history
from lcdc_extract.train.network import initialise_head
from lcdc_extract.train.recipe import MODERN, RECIPES, SYNTHETIC_CPU, Phase
from lcdc_extract.train.run import LOCK, _initial_network, _say_what_is_drawn, _training_network, train
from lcdc_extract.weights.file import WeightsInfo, load_weights, save_weights
from tests.clips import render_clip
from tests.network.random_networks import random_lcdc
from tests.train.tiny import write_labels

NAMES = ("background", "cut", "peel")
PHASE = Phase("snippets", "classify", epochs=3, batch=2, learning_rate=1e-3, size=32, windows=(0, 8))
SMALL = dataclasses.replace(MODERN, phases=(PHASE,))


@dataclass
class Run:
    """A finished run on two videos, one of them for validation."""

    folder: Path
    config: TrainConfig
    weights: Path
    events: list[Event]


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    folder = tmp_path_factory.mktemp("run")
    for name in "ab":
        render_clip(folder / "videos" / f"{name}.mp4", num_frames=28)
    write_labels(folder, dict.fromkeys("ab", ["cut"] * 14 + ["peel"] * 14))
    (folder / "test.bundle").write_text("b.txt\n")
    config = TrainConfig(
        out=folder / "out",
        videos=folder / "videos",
        labels=folder / "groundTruth",
        validation=folder / "test.bundle",
        device="cpu",
    )
    events: list[Event] = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(RECIPES, "modern", SMALL)
        return Run(folder, config, train(config, events.append), events)


def test_the_weights_say_what_they_are(run: Run) -> None:
    loaded = load_weights(run.weights)
    assert run.weights == run.folder / "out" / "weights.safetensors"
    assert loaded.info.trained
    assert loaded.info.class_names == NAMES
    assert loaded.info.network == NetworkConfig(num_classes=3)
    provenance = loaded.info.provenance
    assert provenance["recipe"] == "modern, seed 0"
    assert provenance["initial weights"] == "scratch"
    assert provenance["training data"] == f"videos of {run.folder / 'videos'}"
    assert provenance["seen"].startswith("6 clips")
    assert 0 <= float(provenance["validation accuracy"]) <= 1


def test_the_extractor_takes_them(run: Run) -> None:
    render_clip(run.folder / "short.mp4", num_frames=3)
    out = run.folder / "f.h5"
    extract(ExtractConfig((str(run.folder / "short.mp4"),), out, weights=str(run.weights), device="cpu"))
    with open_features(out) as file:
        assert file.attributes["trained"]
        assert np.isfinite(file["short"].features).all()
        assert file["short"].features.shape == (3, 1024)


def test_from_scratch_batch_norm_rests_in_the_last_epoch(run: Run) -> None:
    with (run.folder / "out" / "history.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [(row["phase"], row["epoch"], row["clips"]) for row in rows] == [
        ("snippets", "1", "2"),
        ("snippets", "2", "4"),
        ("snippets", "3", "6"),
    ]
    assert all(row["validation_accuracy"] and row["validation_motion_accuracy"] for row in rows)
    assert all(row["validation_iou"] == "" for row in rows)
    assert not torch.equal(load_weights(run.weights).network.encoder.bn_conv1.running_mean, torch.zeros(64))


def test_events(run: Run) -> None:
    kinds = [type(event) for event in run.events]
    assert kinds == [*[VideoDecoded] * 2, PhaseStarted, *[StepDone, EpochDone] * 3, WeightsWritten]
    assert [event.number for event in run.events if isinstance(event, VideoDecoded)] == [1, 2]
    assert PhaseStarted("snippets", 0, 3) in run.events
    assert (run.folder / "out" / "curves.png").read_bytes().startswith(b"\x89PNG")
    assert not list((run.folder / "out").rglob("*" + UNFINISHED))


def test_a_finished_run_is_not_done_again(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(RECIPES, "modern", SMALL)
    before = load_weights(run.weights).sha256
    events: list[Event] = []
    train(run.config, events.append)
    assert events == [WeightsWritten(run.weights)]
    assert load_weights(run.weights).sha256 == before


def test_another_run_may_not_use_the_directory(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(RECIPES, "modern", SMALL)
    with pytest.raises(
        TrainingError, match=r"checkpoint\.pt belongs to a run with other settings: seed was 0, now 1\."
    ):
        train(dataclasses.replace(run.config, seed=1))
    monkeypatch.setitem(RECIPES, "modern", dataclasses.replace(SMALL, weight_decay=0.5))
    with pytest.raises(TrainingError, match=r"weight_decay was 0\.02, now 0\.5"):
        train(run.config)
    monkeypatch.setitem(RECIPES, "modern", SMALL)
    labels = run.folder / "groundTruth" / "a.txt"
    before = labels.read_text()
    labels.write_text(before.replace("peel", "cut"))
    with pytest.raises(TrainingError, match=r"data was '1 labelled videos, .*', now '1 labelled videos"):
        train(run.config)
    labels.write_text(before)


def test_one_run_at_a_time(run: Run) -> None:
    lock = acquire(run.folder / "out" / LOCK)
    try:
        with pytest.raises(TrainingError, match="another run is training in"):
            train(run.config)
    finally:
        lock.release()


def test_helpers_start_alike_in_every_process() -> None:
    lcdc = random_lcdc(NetworkConfig(num_classes=3))
    state = torch.get_rng_state()
    one, other, third = (_training_network(lcdc, 1.0, seed).state_dict() for seed in (5, 5, 6))
    assert torch.equal(torch.get_rng_state(), state)
    assert all(torch.equal(one[name], other[name]) for name in one)
    assert not torch.equal(one["layout_classifier.weight"], third["layout_classifier.weight"])


def test_a_file_in_the_place_of_the_directory(tmp_path: Path) -> None:
    (tmp_path / "out").touch()
    with pytest.raises(TrainingError, match="cannot make the directory"):
        train(TrainConfig(out=tmp_path / "out", recipe="synthetic-cpu"))


def test_synthetic_actions_need_no_decoder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(synthetic, "STEPS_PER_EPOCH", 1)
    monkeypatch.setattr(synthetic, "VALIDATION_BATCHES", 1)
    small = [dataclasses.replace(phase, epochs=1, batch=2, size=64) for phase in SYNTHETIC_CPU.phases[:2]]
    monkeypatch.setitem(RECIPES, "synthetic-cpu", dataclasses.replace(SYNTHETIC_CPU, phases=tuple(small)))
    weights = load_weights(train(TrainConfig(out=tmp_path, recipe="synthetic-cpu", device="cpu")))
    assert weights.info.class_names == CLASSES
    with (tmp_path / "history.csv").open() as file:
        frames, clips = csv.DictReader(file)
    assert frames["validation_iou"]
    assert clips["validation_accuracy"]
    check = "import lcdc_extract.train.run, sys; assert not {'decord', 'av', 'matplotlib'} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", check], check=True)


def test_without_matplotlib_the_table_is_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(plots, "find_spec", lambda _: None)
    events: list[Event] = []
    _say_what_is_drawn(events.append)
    (note,) = events
    assert isinstance(note, TrainingNote)
    assert "only in history.csv: pictures need matplotlib" in note.text
    write_history(tmp_path, [EpochDone("a", 1, 2, 0.5, 0.1, 1.5)])
    assert [path.name for path in tmp_path.iterdir()] == ["history.csv"]
    assert (tmp_path / "history.csv").read_text().splitlines()[1] == "a,1,2,0.5,0.1,1.5,,,"


def weights(path: Path, trained: bool, variant: NetworkConfig, names: tuple[str, ...] = ()) -> Path:
    network = random_lcdc(dataclasses.replace(variant, num_classes=len(names)))
    info = WeightsInfo(
        trained=trained, network=network.config, class_names=names, preprocess=PreprocessConfig(mean=(1, 2, 3))
    )
    save_weights(path, network, info)
    return path


@pytest.mark.parametrize(
    ("trained", "names", "head_kept", "classes_kept"),
    [
        (False, (), False, False),  # as of an ImageNet ResNet-50
        (True, ("a", "b"), True, False),
        (True, ("peel", "cut", "background"), True, False),
        (True, NAMES, True, True),
    ],
)
def test_initial_weights(
    tmp_path: Path, trained: bool, names: tuple[str, ...], head_kept: bool, classes_kept: bool
) -> None:
    path = weights(tmp_path / "w.safetensors", trained, RELEASED if trained else NetworkConfig(), names)
    given = load_weights(path)
    config = TrainConfig(tmp_path, recipe="synthetic-cpu", init=str(path))
    network, info, digest = _initial_network(config, NAMES, motion_gain=1.0)
    assert digest == given.sha256
    assert info == given.info
    assert network.config == dataclasses.replace(given.info.network, num_classes=3)
    assert torch.equal(network.encoder.conv1.weight, given.network.encoder.conv1.weight)
    encoders = zip(network.encoder.state_dict().values(), given.network.encoder.state_dict().values(), strict=True)
    assert all(torch.equal(mine, theirs) for mine, theirs in encoders)
    fc = torch.equal(network.head.fc_new_1.weight, given.network.head.fc_new_1.weight)
    assert fc == head_kept
    if not head_kept:
        fresh = random_lcdc(NetworkConfig(num_classes=3)).head
        initialise_head(fresh, torch.Generator().manual_seed(0))
        assert torch.equal(network.head.spacetime_conv1.weight, fresh.spacetime_conv1.weight)
    if classes_kept:
        assert torch.equal(network.head.cls_score.weight, given.network.head.cls_score.weight)
    else:
        assert network.head.cls_score.weight.std().item() == pytest.approx(0.01, rel=0.1)


def test_a_run_from_a_released_network(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its means are used and passed on, and where it came from is written down."""
    monkeypatch.setitem(RECIPES, "modern", dataclasses.replace(SMALL, phases=(dataclasses.replace(PHASE, epochs=1),)))
    path = weights(run.folder / "w.safetensors", True, RELEASED, ("a", "b"))
    config = dataclasses.replace(run.config, out=run.folder / "fine", init=str(path), validation=None)
    info = load_weights(train(config)).info
    assert info.network == dataclasses.replace(RELEASED, num_classes=3)
    assert info.preprocess.mean == (1, 2, 3)
    assert info.provenance["initial weights"] == str(path)
    with (config.out / "history.csv").open() as file:
        (row,) = csv.DictReader(file)
    assert row["validation_accuracy"] == ""
