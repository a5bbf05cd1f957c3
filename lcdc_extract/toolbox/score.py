"""`lcdc score`: how well an action segmentation network does on a file of features."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from lcdc_extract.terminal import err, out, plain_errors

if TYPE_CHECKING:
    from lcdc_extract.labels import IntArray, Segments, Split
    from lcdc_extract.score import LabelledRows


@plain_errors
def score(
    file: Annotated[Path, typer.Argument(help="A feature file that lcdc-extract wrote.")],
    *,
    labels: Annotated[Path, typer.Option(help="Directory with <video>.txt, a class name per frame; or a .csv file.")],
    splits: Annotated[Path, typer.Option(help="Directory with train.split1.bundle, test.split1.bundle and so on.")],
    mapping: Annotated[
        Path | None, typer.Option(help="Class list, `<id> <name>` a line. Default: mapping.txt beside the labels.")
    ] = None,
    out_folder: Annotated[
        Path | None, typer.Option("--out", help="Folder for the results. Default: <file>-score beside the file.")
    ] = None,
    epochs: Annotated[int, typer.Option(help="Passes over the training videos.")] = 200,
    seed: Annotated[int, typer.Option(help="Of the initial weights, dropout and the order of videos.")] = 0,
    sample_rate: Annotated[int, typer.Option(help="The network sees every N-th row.")] = 1,
    length_tolerance: Annotated[
        int,
        typer.Option(
            min=0,
            help="Frames by which label files and video may differ at the end. Segments may always end 1 s after it.",
        ),
    ] = 0,
    background: Annotated[
        list[str] | None,
        typer.Option(help="Class that Lea's convention ignores. Repeatable. Default: the one named background."),
    ] = None,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda or cuda:N.")] = "auto",
    pictures: Annotated[bool, typer.Option("--pictures/--no-pictures", help="Draw a PNG per test video.")] = True,
    json_output: Annotated[bool, typer.Option("--json", help="Print JSON instead of the table.")] = False,
) -> None:
    """Train ED-TCN on features and frame labels, and score its segmentation of each split's test videos."""
    from lcdc_extract import plots
    from lcdc_extract.devices import choose_device
    from lcdc_extract.labels import read_labels, read_splits
    from lcdc_extract.progress.console import Steps
    from lcdc_extract.score import ScoreConfig, check_folder, score_splits, summary, write_results

    folder = out_folder or file.with_name(file.stem + "-score")
    config = ScoreConfig(epochs, seed, sample_rate, tuple(background) if background else None)
    chosen = choose_device(device)
    check_folder(folder)
    if pictures:
        plots.require_matplotlib()
    names, known = read_labels(labels, mapping)
    all_splits = read_splits(splits, known)
    rows, made_by = _read(file, known, all_splits, length_tolerance)
    with Steps("epochs", epochs * len(all_splits), "ED-TCN") as steps:
        results = list(
            score_splits(rows.features, rows.labels, names, all_splits, config, device=chosen, progress=steps.advance)
        )
    content = made_by | {"device": str(chosen), "notes": rows.notes} | summary(results, names, config)
    try:
        write_results(folder, results, rows, names, content, pictures=pictures)
    finally:  # scores that cannot be stored are worth reading all the same
        if json_output:
            typer.echo(json.dumps(content, indent=2))
        else:
            print_scores(content)
    if not json_output:
        out.print(f"predictions and scores.json are in {folder}", soft_wrap=True)


def print_scores(content: dict[str, Any]) -> None:
    """One line per convention and split, from the content of `scores.json`."""
    from rich.table import Table

    from lcdc_extract.score import CONVENTIONS

    for key, convention in CONVENTIONS.items():
        ignored = ", ".join(content["ignored"][key]) or "nothing"
        table = Table("split", title=f"{convention}\nwithout {ignored} in edit and F1", title_justify="left")
        for column in content["mean"][key]:
            table.add_column(column, justify="right")
        for name, split in content["splits"].items():
            table.add_row(name, *(f"{value:.2f}" for value in split[key].values()))
        table.add_section()
        table.add_row("mean", *(f"{value:.2f}" for value in content["mean"][key].values()))
        out.print(table)


def _read(
    file: Path, known: dict[str, IntArray | Segments], splits: list[Split], length_tolerance: int
) -> tuple[LabelledRows, dict[str, Any]]:
    """The rows the splits need with their labels, and what made the features."""
    from lcdc_extract.features import open_features
    from lcdc_extract.score import label_rows

    videos = [video for split in splits for video in (*split.train, *split.test)]
    with open_features(file) as features:
        rows = label_rows(features, known, videos, length_tolerance)
        made_by = features.attributes
    trained = bool(made_by["trained"])
    for note in rows.notes:
        err.print(f"note: {note}", soft_wrap=True)
    if not trained:
        err.print("WARNING: the features come from an untrained network; the scores say nothing.", soft_wrap=True)
    weights = {name: made_by[name] for name in ("weights", "weights_sha256")}
    return rows, {"features": str(file), **weights, "trained": trained}
