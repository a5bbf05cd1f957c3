"""The training loop: phases of steps, validated every epoch, stored so that any kill costs a minute or two."""

from __future__ import annotations

import time
from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn, optim

from lcdc_extract.errors import DeviceError, TrainingError
from lcdc_extract.train.batch import Batch, TrainingData
from lcdc_extract.train.config import SAVE_EVERY_SECONDS
from lcdc_extract.train.events import EpochDone, PhaseStarted, Reporter, StepDone
from lcdc_extract.train.history import write_history
from lcdc_extract.train.loss import Measures, Objective, mean_values
from lcdc_extract.train.network import TrainingNetwork
from lcdc_extract.train.optimizer import optimizer_of
from lcdc_extract.train.processes import Processes
from lcdc_extract.train.recipe import Phase, Recipe
from lcdc_extract.train.state import TrainState, readable, save_state


class Trainer:
    """Trains `network` in place.

    Args:
        state: a fresh one, or where an earlier run stopped; it then holds the network's weights.
        mean: of R, G and B on the 0..255 scale, subtracted from frames.

    Raises:
        TrainingError: the state is that of another network.
    """

    def __init__(
        self,
        network: TrainingNetwork,
        recipe: Recipe,
        data: TrainingData,
        state: TrainState,
        *,
        mean: Sequence[float],
        out: Path,
        processes: Processes,
        device: torch.device,
        precision: str,
        report: Reporter,
    ) -> None:
        self._network = network.to(device)
        self._network.lcdc.encoder.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self._recipe, self._data, self._state = recipe, data, state
        self._out, self._processes, self._device, self._report = out, processes, device, report
        self._mean, self._precision = mean, precision
        self._saved = time.monotonic()
        if state.network:
            with readable(out):
                network.load_state_dict(state.network)

    def run(self) -> None:
        """All phases that are left.

        Raises:
            TrainingError: the loss or its gradient is not a number any more, or the disk refuses.
            DeviceError: the GPU has too little memory.
        """
        while self._state.phase < len(self._recipe.phases):
            phase = self._recipe.phases[self._state.phase]
            try:
                self._run_phase(phase)
            except torch.OutOfMemoryError as error:
                raise DeviceError(
                    f"the GPU ran out of memory with batches of {phase.batch} times {phase.frames} frames. Use a "
                    "larger one, or start anew in another directory with `precision='bfloat16'`, or with "
                    "`recipe='authors'` and its 3 times 16. The last checkpoint is kept."
                ) from error
            self._state.phase, self._state.step, self._state.optimizer = self._state.phase + 1, 0, {}
            self._save()

    def _run_phase(self, phase: Phase) -> None:
        state, processes = self._state, self._processes
        optimizer = self._start_phase(phase)
        objective = Objective(self._network, phase, self._recipe, self._mean).to(self._device)
        parallel = processes.parallel(objective)
        epoch_steps = self._data.steps_per_epoch(phase, processes.count)
        steps = phase.epochs * epoch_steps
        left = range(state.step, steps)
        self._report(PhaseStarted(phase.name, state.step, steps))
        started = time.monotonic()
        for step, batch in zip(left, self._data.batches(phase, left, processes.rank, processes.count), strict=True):
            rate = self._recipe.rate(phase, step, steps)
            self._set_mode(phase.trains_batch_norm(step, steps))
            loss = self._step(parallel, batch.to(self._device), optimizer, rate)
            now = time.monotonic()
            state.step, state.seconds, started = step + 1, state.seconds + now - started, now
            state.loss, state.clips = state.loss + loss, state.clips + phase.batch * processes.count
            self._report(StepDone(phase.name, state.step, steps, loss, rate))
            if state.step % epoch_steps == 0:
                self._end_epoch(objective, state.step // epoch_steps, state.loss / epoch_steps, rate)
                state.loss = 0.0
            if now - self._saved > SAVE_EVERY_SECONDS:
                self._save(optimizer)

    def _start_phase(self, phase: Phase) -> optim.Optimizer:
        optimizer = optimizer_of(self._network, phase, self._recipe)
        if self._state.optimizer:
            with readable(self._out):
                optimizer.load_state_dict(self._state.optimizer)
        self._network.freeze_encoder(phase.frozen == "encoder")
        return optimizer

    def _set_mode(self, train_batch_norm: bool) -> None:
        """The encoder's batch norm learns or rests; what classifies is always in training."""
        self._network.train()
        self._network.lcdc.encoder.train(train_batch_norm)

    def _step(self, objective: nn.Module, batch: Batch, optimizer: optim.Optimizer, rate: float) -> float:
        """One step; returns the loss, averaged over all processes like its gradient.

        Both are the same numbers in every process, so that all stop at the same step where one of them is no number.
        """
        for group in optimizer.param_groups:
            group["lr"] = rate * group["relative"]
        optimizer.zero_grad()
        with self._autocast():
            measures: Measures = objective(batch)
        measures.loss.backward()  # type: ignore[no-untyped-call]
        loss = measures.loss.detach()
        self._processes.average([loss])
        trained = [parameter for parameter in self._network.parameters() if parameter.grad is not None]
        norm = nn.utils.get_total_norm([parameter.grad for parameter in trained if parameter.grad is not None])
        self._check_finite(loss, norm)
        if self._recipe.clip_norm is not None:
            nn.utils.clip_grads_with_norm_(trained, self._recipe.clip_norm, norm)
        optimizer.step()
        return loss.item()

    def _check_finite(self, loss: Tensor, norm: Tensor) -> None:
        if loss.isfinite() and norm.isfinite():
            return
        other = "another `init`" if self._precision == "float32" else "`precision='float32'`"
        raise TrainingError(
            f"the loss became {loss.item()}, its gradient {norm.item()}, in phase "
            f"{self._recipe.phases[self._state.phase].name}, step {self._state.step + 1}. The last checkpoint is kept; "
            f"start anew in another directory with {other}."
        )

    def _end_epoch(self, objective: Objective, epoch: int, loss: float, rate: float) -> None:
        self._processes.average(self._network.buffers())  # running statistics of batch norm
        measures = {f"validation_{name}": value for name, value in self._validate(objective).items()}
        state, phase = self._state, objective.phase
        row = EpochDone(phase.name, epoch, state.clips, round(state.seconds, 1), rate, loss, **measures)
        state.history.append(row)
        if self._processes.first:
            write_history(self._out, state.history)
        self._report(row)

    @torch.no_grad()
    def _validate(self, objective: Objective) -> dict[str, float]:
        self._network.eval()
        with self._autocast():
            return mean_values([objective(batch.to(self._device)) for batch in self._data.validation(objective.phase)])

    def _autocast(self) -> AbstractContextManager[Any]:
        if self._precision == "float32":
            return nullcontext()
        return torch.autocast(self._device.type, getattr(torch, self._precision))

    def _save(self, optimizer: optim.Optimizer | None = None) -> None:
        """The first process alone decides when and writes; the others wait for its gradients in the next step."""
        self._saved = time.monotonic()
        if self._processes.first:
            self._state.network = self._network.state_dict()
            self._state.optimizer = {} if optimizer is None else optimizer.state_dict()
            save_state(self._out, self._state)
