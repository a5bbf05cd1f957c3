"""Events of `lcdc train` for people: bars on a terminal, lines in a log."""

from __future__ import annotations

from lcdc_extract.progress.console import Steps, on_terminal, say
from lcdc_extract.terminal import out
from lcdc_extract.train.events import (
    EpochDone,
    Event,
    PhaseStarted,
    StepDone,
    TrainingNote,
    VideoDecoded,
    WeightsWritten,
)


class TrainingProgress:
    """Reports on standard error; where the weights are, on standard output. Use it as a context manager."""

    def __init__(self) -> None:
        self._steps: Steps | None = None

    def __call__(self, event: Event) -> None:
        """Shows one event."""
        if isinstance(event, TrainingNote):
            say(f"note: {event.text}")
        elif isinstance(event, VideoDecoded):
            self._decoded(event)
        elif isinstance(event, PhaseStarted):
            self._begin(Steps("steps", event.steps, event.phase, event.done))
            if not on_terminal():
                say(f"{event.phase}: begins at step {event.done + 1} of {event.steps}")
        elif isinstance(event, StepDone) and self._steps is not None:
            self._steps.title = f"{event.phase}, loss {event.loss:.3f}"
            self._steps.advance()
        elif isinstance(event, EpochDone):
            say(describe_epoch(event))
        elif isinstance(event, WeightsWritten):
            self._begin(None)
            out.print(f"weights are in {event.path}", soft_wrap=True)

    def __enter__(self) -> TrainingProgress:
        return self

    def __exit__(self, *_: object) -> None:
        self._begin(None)

    def _begin(self, steps: Steps | None) -> None:
        if self._steps is not None:
            self._steps.close()
        self._steps = steps

    def _decoded(self, event: VideoDecoded) -> None:
        self._steps = self._steps or Steps("videos", event.of, "decoding")
        self._steps.advance()
        if not on_terminal():
            say(f"decoded {event.id}, {event.number} of {event.of}")


def describe_epoch(event: EpochDone) -> str:
    """What an epoch measured, in one line."""
    measures = {
        "loss": event.loss,
        "validation iou": event.validation_iou,
        "validation accuracy": event.validation_accuracy,
        "validation motion accuracy": event.validation_motion_accuracy,
    }
    found = ", ".join(f"{name} {value:.3f}" for name, value in measures.items() if value is not None)
    return f"{event.phase}: epoch {event.epoch}, {found}"
