"""The loop: resuming, modes, what is frozen, what stops it, what it keeps."""

from __future__ import annotations

import dataclasses
import errno
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from lcdc_extract.errors import DeviceError, TrainingError
from lcdc_extract.files import UNFINISHED
from lcdc_extract.train import trainer as trainer_module
from lcdc_extract.train.batch import IGNORED, Batch
from lcdc_extract.train.config import CHECKPOINT
from lcdc_extract.train.events import EpochDone, Event, StepDone
from lcdc_extract.train.loss import Measures, Objective, mean_values
from lcdc_extract.train.network import Scores, TrainingNetwork
from lcdc_extract.train.state import TrainState, load_state, save_state
from tests.train.tiny import (
    CLASSIFY,
    LAYOUT,
    RECIPE,
    RandomBatches,
    network,
    one_phase,
    same_weights,
    state_by_part,
    trainer,
)


@dataclass
class Finished:
    """A run of two phases that nobody interrupted."""

    network: TrainingNetwork
    state: TrainState
    after_layout: dict[str, torch.Tensor]
    modes: dict[str, list[bool]]


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Finished:
    trained, state = network(), TrainState({})
    after_layout: dict[str, torch.Tensor] = {}
    modes: dict[str, list[bool]] = {"bn_conv1": [], "spacetime_bn1": []}
    for layer, seen in zip(
        (trained.lcdc.encoder.bn_conv1, trained.lcdc.head.bn_spacetime_conv1), modes.values(), strict=True
    ):
        layer.register_forward_hook(lambda module, *_, seen=seen: seen.append(module.training))

    def report(event: Event) -> None:
        if isinstance(event, EpochDone) and event.phase == LAYOUT.name:
            after_layout.update({name: value.clone() for name, value in state_by_part(trained).items()})

    trainer(trained, RECIPE, tmp_path_factory.mktemp("run"), state, report=report).run()
    return Finished(trained, state, after_layout, modes)


class Killed(Exception):
    pass


def test_a_killed_run_goes_on_bit_by_bit(tmp_path: Path, finished: Finished, monkeypatch: pytest.MonkeyPatch) -> None:
    """Killed in the middle of an epoch of the second phase, where batch norm's statistics come from the first."""
    monkeypatch.setattr(trainer_module, "SAVE_EVERY_SECONDS", 0.0)

    def kill(event: Event) -> None:
        if isinstance(event, StepDone) and (event.phase, event.step) == (CLASSIFY.name, 2):
            raise Killed

    with pytest.raises(Killed):
        trainer(network(), RECIPE, tmp_path, report=kill).run()
    monkeypatch.undo()
    state = load_state(tmp_path, {})
    assert state is not None
    assert (state.phase, state.step) == (1, 1)
    assert state.loss > 0  # of the epoch's first step
    other = network()
    with torch.no_grad():
        for parameter in other.parameters():
            parameter.add_(1)
    trainer(other, RECIPE, tmp_path, state).run()
    assert same_weights(other, finished.network)
    assert [dataclasses.replace(row, seconds=0) for row in state.history] == [
        dataclasses.replace(row, seconds=0) for row in finished.state.history
    ]
    assert state.clips == finished.state.clips == 2 * 4 + 4 * 1
    assert (state.phase, state.step, state.optimizer) == (2, 0, {})


def test_after_validation_training_mode_is_back(finished: Finished) -> None:
    steps_and_validation = [True, True, False, False]
    assert finished.modes["bn_conv1"] == steps_and_validation + [False] * 8
    assert finished.modes["spacetime_bn1"] == steps_and_validation * 2


def test_a_phase_moves_what_it_trains_and_nothing_else(finished: Finished) -> None:
    before, after = finished.after_layout, state_by_part(finished.network)
    fresh = state_by_part(network())
    moved = {name for name in after if not torch.equal(before[name], after[name])}
    assert {"encoder.conv1.weight", "encoder.res5.a.branch2b_offset.weight", "head.fc_new_1.weight"} <= moved
    assert {"head.cls_score.weight", "head.bn_spacetime_conv1.running_mean", "motion_classifier.conv1.weight"} <= moved
    assert "encoder.res5.a.bn_branch2a.weight" in moved  # its statistics are stored, its scale is trained
    assert not moved & {"layout_classifier.weight", "encoder.res5.a.bn_branch2a.running_mean"}
    changed_by_layout = {name for name in before if not torch.equal(before[name], fresh[name])}
    assert {"encoder.conv1.weight", "encoder.bn_conv1.running_mean", "layout_classifier.weight"} <= changed_by_layout
    assert not changed_by_layout & {"head.fc_new_1.weight", "head.cls_score.weight", "motion_classifier.conv1.weight"}


def test_a_frozen_encoder_stays_as_it_is(tmp_path: Path) -> None:
    trained = network()
    recipe = dataclasses.replace(one_phase(frozen="encoder"), layout_loss=0.5)
    trainer(trained, recipe, tmp_path).run()
    fresh = state_by_part(network())
    moved = {name for name, value in state_by_part(trained).items() if not torch.equal(fresh[name], value)}
    assert {"head.fc_new_1.weight", "head.spacetime_conv1.weight", "motion_classifier.conv1.weight"} <= moved
    encoder = {name for name in fresh if name.startswith("encoder.")}
    assert "encoder.conv_new_1.weight" in encoder
    assert not moved & (encoder | {"layout_classifier.weight"})


def test_gradients_of_an_earlier_phase_are_gone(finished: Finished) -> None:
    """They would count in the norm that the gradient is clipped to."""
    left = [name for name, p in finished.network.named_parameters() if not p.requires_grad and p.grad is not None]
    assert left == []


def test_the_loss_falls_on_two_clips(tmp_path: Path) -> None:
    class TwoClips(RandomBatches):
        def draw(self, phase: Any, count: int, key: tuple[int, ...]) -> Batch:
            batch = super().draw(phase, 2, (1,))
            return dataclasses.replace(batch, labels=torch.tensor([[0], [2]]))

    losses: list[float] = []
    recipe = dataclasses.replace(one_phase(frozen="nothing", batch_norm="trained"), motion_loss=0.0)
    trainer(
        network(),
        recipe,
        tmp_path,
        data=TwoClips(steps=8, validation=0),
        report=lambda event: losses.append(event.loss) if isinstance(event, StepDone) else None,
    ).run()
    assert losses[0] == pytest.approx(1.1, abs=0.2)  # three classes by chance
    assert losses[-1] < 0.5 * losses[0]


def test_a_loss_that_is_no_number_stops_and_keeps_the_checkpoint(tmp_path: Path) -> None:
    (tmp_path / CHECKPOINT).write_bytes(b"the last one")
    trained = network()
    nn.init.constant_(trained.lcdc.head.cls_score.bias, float("nan"))
    with pytest.raises(
        TrainingError,
        match=r"loss became nan.*step 1\. The last checkpoint is kept; start anew in another .* with another `init`",
    ):
        trainer(trained, one_phase(), tmp_path).run()
    assert (tmp_path / CHECKPOINT).read_bytes() == b"the last one"


def test_a_gradient_that_is_no_number_does_not_reach_the_weights(tmp_path: Path) -> None:
    trained = network()
    trained.lcdc.head.cls_score.weight.register_hook(lambda gradient: gradient * float("inf"))
    with pytest.raises(TrainingError, match=r"gradient (nan|inf)"):
        trainer(trained, one_phase(), tmp_path).run()
    assert all(parameter.isfinite().all() for parameter in trained.parameters())


def test_bfloat16_leaves_offsets_and_weights_in_float32(tmp_path: Path) -> None:
    trained = network()
    seen: dict[str, tuple[torch.dtype, torch.dtype]] = {}
    for name, layer in trained.lcdc.encoder.named_modules():
        if not (name == "conv1" or name.endswith("branch2b_offset")):
            continue
        layer.register_forward_hook(
            lambda _, inputs, output, name=name: seen.update({name: (inputs[0].dtype, output.dtype)})
        )
    state = TrainState({})
    trainer(trained, one_phase(), tmp_path, state, precision="bfloat16", data=RandomBatches(1, 0)).run()
    offsets = [dtypes for name, dtypes in seen.items() if name.endswith("branch2b_offset")]
    assert offsets == [(torch.float32, torch.float32)] * 3
    assert seen["conv1"][1] == torch.bfloat16
    assert {parameter.dtype for parameter in trained.parameters()} == {torch.float32}
    assert state.history[0].loss == pytest.approx(
        1.5, abs=0.4
    )  # log 3, and 0.4 times the same of the motion classifier


class Echo(nn.Module):
    """Scores that are told."""

    def __init__(self, scores: torch.Tensor) -> None:
        super().__init__()
        self.scores = Scores(scores, -scores)

    def forward(self, frames: torch.Tensor, windows: tuple[int, ...], with_layout: bool) -> Scores:
        return self.scores


def measure(scores: torch.Tensor, batch: Batch) -> Measures:
    network: Any = Echo(scores)
    measures: Measures = Objective(network, CLASSIFY, RECIPE, mean=(0, 0, 0))(batch)
    return measures


def test_ignored_windows_change_neither_loss_nor_accuracy() -> None:
    torch.manual_seed(0)
    scores, frames = torch.randn(4, 3, 5), torch.zeros(4, 1, 3, 1, 1, dtype=torch.uint8)
    labels = torch.randint(0, 5, (4, 3))
    labels[1, 2] = labels[3, 0] = IGNORED
    kept = labels != IGNORED
    found = measure(scores, Batch(frames, labels))
    expected = measure(scores[kept][:, None], Batch(frames, labels[kept][:, None]))
    torch.testing.assert_close(found.loss, expected.loss)
    assert found.values == expected.values
    assert found.count == expected.count == 10
    right = (scores.argmax(dim=2) == labels)[kept]
    assert found.values["accuracy"] == pytest.approx(right.float().mean().item())


def test_batches_count_by_their_windows() -> None:
    labels = torch.tensor([[0], [0], [1]])
    frames = torch.zeros(3, 1, 3, 1, 1, dtype=torch.uint8)
    scores = torch.eye(2)[[0, 1, 1]][:, None]  # right, wrong, right
    parts = [measure(scores[rows], Batch(frames[rows], labels[rows])) for rows in (slice(0, 1), slice(1, 3))]
    assert mean_values(parts)["accuracy"] == pytest.approx(2 / 3)
    assert mean_values([]) == {}


def test_a_full_disk_keeps_the_last_checkpoint(tmp_path: Path) -> None:
    save_state(tmp_path, TrainState({"seed": 1}, step=7))
    (tmp_path / (CHECKPOINT + UNFINISHED)).symlink_to("/dev/full")
    with pytest.raises(TrainingError, match=r"checkpoint\.pt.*last checkpoint is kept"):
        save_state(tmp_path, TrainState({"seed": 1}, step=8))
    state = load_state(tmp_path, {"seed": 1})
    assert state is not None
    assert state.step == 7
    assert [path.name for path in tmp_path.iterdir()] == [CHECKPOINT]


def test_curves_that_cannot_be_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from lcdc_extract.train import history

    (tmp_path / (history.HISTORY + UNFINISHED)).symlink_to("/dev/full")
    with pytest.raises(TrainingError, match=f"(?s)curves.*{errno.ENOSPC}.*checkpoint is kept"):
        history.write_history(tmp_path, [EpochDone("a", 1, 2, 0.5, 0.1, 1.0)])


@pytest.mark.parametrize("content", [b"", b"not a checkpoint", b"PK\x03\x04 half a zip"])
def test_a_damaged_checkpoint(tmp_path: Path, content: bytes) -> None:
    (tmp_path / CHECKPOINT).write_bytes(content)
    with pytest.raises(TrainingError, match=r"cannot be read.*Move it away"):
        load_state(tmp_path, {})


def test_a_checkpoint_runs_no_code(tmp_path: Path) -> None:
    class Evil:
        def __reduce__(self) -> tuple[Any, ...]:
            return (Path.touch, (tmp_path / "touched",))

    torch.save({"run": {}, "phase": Evil()}, tmp_path / CHECKPOINT)
    with pytest.raises(TrainingError, match="cannot be read"):
        load_state(tmp_path, {})
    assert not (tmp_path / "touched").exists()


def test_another_run_is_refused_by_name(tmp_path: Path) -> None:
    save_state(tmp_path, TrainState({"seed": 1, "recipe": "modern", "videos": "a"}))
    with pytest.raises(TrainingError, match=r"seed was 1, now 2; videos was 'a', now 'b'\. Give them again"):
        load_state(tmp_path, {"seed": 2, "recipe": "modern", "videos": "b"})
    assert load_state(tmp_path / "elsewhere", {}) is None


def test_a_gpu_without_room_is_explained(tmp_path: Path) -> None:
    trained = network()

    def no_room(*_: object) -> None:
        raise torch.OutOfMemoryError("CUDA out of memory")

    trained.lcdc.encoder.conv1.register_forward_pre_hook(no_room)
    with pytest.raises(
        DeviceError, match=r"batches of 1 times 16 frames\..*another directory with `precision='bfloat16'`"
    ):
        trainer(trained, one_phase(), tmp_path).run()
