"""The training loop: phases of steps, validated every epoch, stored so that any kill costs a minute or two."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from lcdc_extract.errors import DeviceError, TrainingError
from lcdc_extract.train.batch import Batch, Source
from lcdc_extract.train.config import SAVE_EVERY_SECONDS
from lcdc_extract.train.history import write_history
from lcdc_extract.train.loss import mean_values, measure
from lcdc_extract.train.network import TrainingNetwork
from lcdc_extract.train.processes import Processes
from lcdc_extract.train.recipe import Phase, Recipe
from lcdc_extract.train.state import TrainState, save_state

Report = Callable[[dict[str, Any]], None]
"""Called with what has happened: a step, an epoch, a video decoded, a note."""


class Trainer:
    """Trains `network` in place.

    Args:
        state: a fresh one, or where an earlier run stopped; it then holds the network's weights.
        mean: of R, G and B on the 0..255 scale, subtracted from frames.
        report: called after every step with its loss and rate, and after every epoch with its row of the history.
    """

    def __init__(
        self,
        network: TrainingNetwork,
        recipe: Recipe,
        source: Source,
        state: TrainState,
        *,
        mean: Sequence[float],
        out: Path,
        processes: Processes,
        device: torch.device,
        precision: str = "float32",
        report: Report = lambda _: None,
    ) -> None:
        self._network = network.to(device)
        self._network.lcdc.encoder.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self._recipe, self._source, self._state = recipe, source, state
        self._out, self._processes, self._device, self._report = out, processes, device, report
        self._precision = precision
        self._mean = torch.tensor(mean, device=device)[:, None, None]
        self._saved = time.monotonic()
        if state.network:
            network.load_state_dict(state.network)

    def run(self) -> None:
        """All phases that are left.

        Raises:
            TrainingError: the loss or its gradient is not a number any more, or the disk refuses.
            DeviceError: the GPU has too little memory.
        """
        while self._state.phase < len(self._recipe.phases):
            phase = self._recipe.phases[self._state.phase]
            steps = phase.epochs * self._source.steps_per_epoch(phase, self._processes.count)
            try:
                self._run_phase(phase, steps)
            except torch.OutOfMemoryError as error:
                raise DeviceError(
                    f"the GPU ran out of memory with batches of {phase.batch} times {phase.frames} frames. Try "
                    "--precision bfloat16, or --recipe authors with its 3 times 16; the last checkpoint is kept."
                ) from error
            self._state.phase, self._state.step, self._state.optimizer = self._state.phase + 1, 0, {}
            self._save()

    def _run_phase(self, phase: Phase, steps: int) -> None:
        optimizer = self._optimizer(phase)
        if self._state.optimizer:
            optimizer.load_state_dict(self._state.optimizer)
        self._network.freeze_encoder(phase.frozen == "encoder")
        state, processes, epoch_steps = self._state, self._processes, steps // phase.epochs
        left = range(state.step, steps)
        started = time.monotonic()
        for step, batch in zip(left, self._source.batches(phase, left, processes.rank, processes.count), strict=True):
            self._set_mode(phase.trains_batch_norm(step, steps))
            rate = self._recipe.rate(phase, step, steps)
            for group in optimizer.param_groups:
                group["lr"] = rate * group["relative"]
            loss = self._step(phase, batch.to(self._device), optimizer)
            now = time.monotonic()
            state.step, state.seconds, started = step + 1, state.seconds + now - started, now
            state.loss, state.clips = state.loss + loss, state.clips + phase.batch * processes.count
            self._report({"phase": phase.name, "step": step + 1, "steps": steps, "loss": loss, "rate": rate})
            if (step + 1) % epoch_steps == 0:
                self._end_epoch(phase, (step + 1) // epoch_steps, state.loss / epoch_steps, rate)
                state.loss = 0.0
            if now - self._saved > SAVE_EVERY_SECONDS:
                self._save(optimizer)

    def _step(self, phase: Phase, batch: Batch, optimizer: torch.optim.Optimizer) -> float:
        """One step; returns the loss, averaged over all processes like its gradient."""
        with self._autocast():
            loss = measure(self._network, phase, batch, self._recipe, self._mean).loss
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        loss = loss.detach()
        trained = [parameter for parameter in self._network.parameters() if parameter.grad is not None]
        gradients = [parameter.grad for parameter in trained if parameter.grad is not None]
        self._processes.average([loss, *gradients])
        norm = nn.utils.get_total_norm(gradients)
        if not (loss.isfinite() and norm.isfinite()):
            raise TrainingError(
                f"the loss became {loss.item()}, its gradient {norm.item()}, in phase {phase.name}, step "
                f"{self._state.step + 1}. The last checkpoint is kept; try --precision float32 or another --init."
            )
        if self._recipe.clip_norm is not None:
            nn.utils.clip_grads_with_norm_(trained, self._recipe.clip_norm, norm)
        optimizer.step()
        return loss.item()

    def _end_epoch(self, phase: Phase, epoch: int, loss: float, rate: float) -> None:
        self._processes.average(self._network.buffers())  # running statistics of batch norm
        found = self._validate(phase)
        state = self._state
        row = {
            "phase": phase.name,
            "epoch": epoch,
            "clips": state.clips,
            "seconds": round(state.seconds, 1),
            "learning_rate": rate,
            "loss": loss,
            **{f"validation_{name}": value for name, value in found.items()},
        }
        state.history.append(row)
        if self._processes.first:
            write_history(self._out, state.history)
        self._report(row)

    @torch.no_grad()
    def _validate(self, phase: Phase) -> dict[str, float]:
        self._network.eval()
        with self._autocast():
            found = [
                measure(self._network, phase, batch.to(self._device), self._recipe, self._mean)
                for batch in self._source.validation(phase)
            ]
        return mean_values(found)

    def _set_mode(self, train_batch_norm: bool) -> None:
        """The encoder's batch norm learns or rests; what classifies is always in training."""
        self._network.train()
        self._network.lcdc.encoder.train(train_batch_norm)

    def _optimizer(self, phase: Phase) -> torch.optim.Optimizer:
        """Parameters grouped by learning rate and decay, only those this phase trains."""
        recipe = self._recipe
        groups: dict[tuple[float, float], list[Tensor]] = {}
        encoder = {id(parameter) for parameter in self._network.lcdc.encoder.parameters()}
        for name, parameter in self._network.named_parameters():
            parameter.requires_grad_(_is_trained(name.removeprefix("lcdc."), id(parameter) in encoder, phase, recipe))
            parameter.grad = None  # what an earlier phase left would count in the norm
            if not parameter.requires_grad:
                continue
            pretrained = id(parameter) in encoder and phase.task == "classify"
            rate = recipe.encoder_rate if pretrained else 1.0
            if "_offset" in name:
                rate = recipe.offset_rate
            decay = recipe.weight_decay if parameter.ndim > 1 else 0.0
            groups.setdefault((rate, decay), []).append(parameter)
        parameters: Iterable[dict[str, Any]] = [
            {"params": members, "relative": rate, "weight_decay": decay} for (rate, decay), members in groups.items()
        ]
        if recipe.optimizer == "momentum":
            return torch.optim.SGD(parameters, lr=phase.learning_rate, momentum=0.9)
        return torch.optim.AdamW(parameters, lr=phase.learning_rate)

    def _autocast(self) -> AbstractContextManager[Any]:
        if self._precision == "float32":
            return nullcontext()
        return torch.autocast(self._device.type, getattr(torch, self._precision))

    def _save(self, optimizer: torch.optim.Optimizer | None = None) -> None:
        """The first process alone decides when and writes; the others wait for it in the next step's average."""
        self._saved = time.monotonic()
        if self._processes.first:
            self._state.network = self._network.state_dict()
            self._state.optimizer = {} if optimizer is None else optimizer.state_dict()
            save_state(self._out, self._state)


def _is_trained(name: str, encoder: bool, phase: Phase, recipe: Recipe) -> bool:
    if phase.task == "layout":
        return encoder or name.startswith("layout_classifier")
    if name.startswith("layout_classifier"):
        return bool(recipe.layout_loss) and phase.frozen == "nothing"
    return not (encoder and phase.frozen == "encoder")
