"""`lcdc train`: an LCDC network from labelled videos, or from synthetic actions."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from lcdc_extract.terminal import plain_errors, stoppable

DATA, RECIPE = "Data", "Recipe"


@plain_errors
def train(  # noqa: PLR0917
    directory: Annotated[Path, typer.Argument(metavar="OUT", help="Directory for checkpoint, curves and weights.")],
    recipe: Annotated[
        str,
        typer.Option(
            help="authors (the paper's), modern, or without videos: synthetic-cpu, synthetic-gpu.",
            rich_help_panel=RECIPE,
        ),
    ] = "modern",
    videos: Annotated[Path | None, typer.Option(help="Directory of videos.", rich_help_panel=DATA)] = None,
    labels: Annotated[
        Path | None,
        typer.Option(help="groundTruth directory (MS-TCN layout), or a CSV file of segments.", rich_help_panel=DATA),
    ] = None,
    mapping: Annotated[
        Path | None, typer.Option(help="Class names. [default: mapping.txt beside the labels]", rich_help_panel=DATA)
    ] = None,
    split: Annotated[
        Path | None, typer.Option(help="Bundle of videos to train on. [default: all]", rich_help_panel=DATA)
    ] = None,
    validation: Annotated[
        Path | None, typer.Option(help="Bundle of videos to validate on.", rich_help_panel=DATA)
    ] = None,
    frame_step: Annotated[int, typer.Option(help="Use every N-th frame.", rich_help_panel=DATA)] = 1,
    stride: Annotated[int, typer.Option(help="Frames from snippet to snippet.", rich_help_panel=DATA)] = 4,
    decoder: Annotated[str, typer.Option(help="auto, decord or av.", rich_help_panel=DATA)] = "auto",
    init: Annotated[str, typer.Option(help="Weights to start from, or scratch.", rich_help_panel=RECIPE)] = "scratch",
    device: Annotated[str, typer.Option(help="auto, cpu, cuda or cuda:N.", rich_help_panel=RECIPE)] = "auto",
    precision: Annotated[str, typer.Option(help="float32 or bfloat16.", rich_help_panel=RECIPE)] = "float32",
    seed: Annotated[int, typer.Option(help="Of weights, order and synthetic scenes.", rich_help_panel=RECIPE)] = 0,
) -> None:
    """Train an LCDC network. Started again with the same options, it goes on where it stopped."""
    from lcdc_extract.train.config import TrainConfig

    config = TrainConfig(
        out=directory,
        recipe=recipe,  # type: ignore[arg-type]  # checked by TrainConfig
        videos=videos,
        labels=labels,
        mapping=mapping,
        split=split,
        validation=validation,
        init=init,
        frame_step=frame_step,
        stride=stride,
        device=device,
        precision=precision,  # type: ignore[arg-type]
        seed=seed,
        decoder=decoder,  # type: ignore[arg-type]
    )
    with stoppable(lambda: _what_is_kept(directory)):
        from lcdc_extract.progress.training import TrainingProgress
        from lcdc_extract.train.run import train as run  # inside: importing torch may be interrupted too

        with TrainingProgress() as report:
            run(config, report)


def _what_is_kept(directory: Path) -> str:
    from lcdc_extract.train.config import CHECKPOINT, SAVE_EVERY_SECONDS

    if (directory / CHECKPOINT).exists():
        return (
            f"Stopped. The same command goes on from the last checkpoint in {directory}, about "
            f"{SAVE_EVERY_SECONDS / 60:.0f} minutes back at most."
        )
    return "Stopped before the first checkpoint. The same command starts anew; videos that were decoded stay decoded."
