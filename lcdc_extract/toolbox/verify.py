"""`lcdc verify`: whether a feature file is what was written, and holds what it should."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from lcdc_extract.errors import OutputError
from lcdc_extract.terminal import FAILED_VIDEOS, out, plain_errors


@plain_errors
def verify(
    file: Annotated[Path, typer.Argument(help="A feature file that lcdc-extract wrote.")],
    against: Annotated[
        list[str] | None,
        typer.Option(
            metavar="VIDEOS", help="Videos that must be in it, given as to lcdc-extract. May come several times."
        ),
    ] = None,
    json_output: Annotated[bool, typer.Option("--json", help="Print JSON instead of text.")] = False,
) -> None:
    """Read a feature file to its last byte and compare it with the digests that were written with it.

    Exit code 0: nothing is wrong. 1: something is. 2: there is no such file.
    """
    from lcdc_extract.features.verify import Fault, verify

    if not file.is_file():
        raise OutputError(f"there is no file {file}; give a feature file, as lcdc-extract writes it")
    faults = verify(file)
    compares = bool(against) and not faults
    if against and compares:
        faults = [Fault(f"/videos/{name}", "it is not in the file") for name in _missing(file, against)]
    if json_output:
        typer.echo(json.dumps({"file": str(file), "faults": [asdict(fault) for fault in faults]}, indent=2))
    else:
        for fault in faults:
            out.print(f"{fault.place}: {fault.what}", style="red", soft_wrap=True, markup=False, highlight=False)
        wrong = f"{len(faults)} faults" if faults else "every digest is right"
        out.print(f"{file}: {wrong}", soft_wrap=True, markup=False, highlight=False)
        if against and not compares:
            out.print("It was not compared with the videos, because what it holds cannot be relied on.")
    if faults:
        raise typer.Exit(FAILED_VIDEOS)


def _missing(file: Path, inputs: list[str]) -> list[str]:
    from lcdc_extract.features import open_features
    from lcdc_extract.video import discover

    found = discover(inputs)
    wanted = [part.id for video in found.videos for part in video.wanted] + [video.id for video in found.refused]
    with open_features(file) as features:
        return [name for name in wanted if name not in features]
