"""`lcdc synth`: videos of synthetic actions, with labels and splits."""

from __future__ import annotations

from collections import Counter
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from lcdc_extract.terminal import out, plain_errors, stoppable

if TYPE_CHECKING:
    from lcdc_extract.synth.write import VideoRecord


@plain_errors
def synth(
    folder: Annotated[
        Path, typer.Argument(metavar="OUT", help="The folder to write: new, empty, or of an earlier run.")
    ],
    *,
    videos: Annotated[int, typer.Option(help="How many, of 1 to 3 minutes each; at least 2.")],
    seed: Annotated[int, typer.Option(help="Another number, other videos.")],
    size: Annotated[int, typer.Option(help="Side of the pictures in pixels.")] = 224,
    device: Annotated[str, typer.Option(help="Where to draw: auto, cpu, cuda or cuda:N.")] = "auto",
) -> None:
    """Write videos of nine actions that differ by motion only, with labels and splits as MS-TCN reads them.

    Stopped by Ctrl-C or killed, finished videos are kept: the same command continues.
    """
    kept = f"Stopped. Finished videos in {folder} are kept; the same command continues."
    with stoppable(lambda: kept):
        from lcdc_extract.devices import choose_device  # inside: importing torch may be interrupted too
        from lcdc_extract.progress.synth import SetProgress
        from lcdc_extract.synth.write import SynthConfig, write_set

        config = SynthConfig(videos, seed, size)
        place = choose_device(device)
        with closing(SetProgress(videos)) as progress:
            records = write_set(folder, config, device=place, report=progress)
    print_set(folder, records)


def print_set(folder: Path, records: list[VideoRecord]) -> None:
    """What there is of each class, and what to do with it."""
    from rich.table import Table

    from lcdc_extract.synth.actions import FRAMES_PER_SECOND

    frames = sum((Counter(record.class_frames) for record in records), Counter[str]())
    segments = sum(record.segments for record in records)
    out.print(f"{folder}: {len(records)} videos, {frames.total()} frames, {segments} segments", soft_wrap=True)
    table = Table("class")
    table.add_column("seconds", justify="right")
    for name in records[0].class_frames:
        table.add_row(name, f"{frames[name] / FRAMES_PER_SECOND:.1f}")
    out.print(table)
    out.print(f"next: lcdc-extract {folder}/videos --out {folder}/feats.h5", soft_wrap=True)
