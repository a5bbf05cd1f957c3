"""`lcdc plot`: a picture of a video's features."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from lcdc_extract.errors import ConfigError, OutputError
from lcdc_extract.terminal import as_options, err, out, plain_errors


@plain_errors
def plot(
    file: Annotated[Path, typer.Argument(metavar="FEATS", help="A feature file that lcdc-extract wrote.")],
    *,
    video: Annotated[str | None, typer.Option(metavar="ID", help="Draw this video only. Default: all.")] = None,
    out_path: Annotated[
        Path | None,
        typer.Option(
            "--out",
            help="The PNG file; for several videos, the folder. A picture already there is replaced. Default: "
            "feats.png for feats.h5, or the folder feats-pictures where it holds several videos.",
        ),
    ] = None,
    weights: Annotated[
        str | None,
        typer.Option(metavar="NAME|PATH", help="Where the weights are that made FEATS. Default: where they were."),
    ] = None,
    source: Annotated[Path | None, typer.Option(metavar="FILE", help="Where the video is, if it has moved.")] = None,
    frames: Annotated[bool, typer.Option("--frames/--no-frames", help="Show frames of the video.")] = True,
    classes: Annotated[
        bool, typer.Option("--classes/--no-classes", help="Show predicted classes, where the weights have any.")
    ] = True,
) -> None:
    """Draw frames, predicted classes and the self-similarity of the features over time."""
    if source and not frames:
        raise ConfigError("--source names frames to show, --no-frames shows none; give one of the two")
    if weights and not classes:
        raise ConfigError("--weights names classes to show, --no-classes shows none; give one of the two")
    from lcdc_extract import plots
    from lcdc_extract.features import open_features
    from lcdc_extract.picture import NoClassScores, find_classifier, find_source, video_picture

    plots.require_matplotlib()
    with open_features(file) as features:
        targets = _targets(file, list(features), video, out_path)
        if source and len(targets) > 1:
            raise ConfigError(f"--source is one file, {file} holds {len(targets)} videos; choose one with --video ID")
        sources = {name: find_source(features.attributes_of(name), source) if frames else None for name in targets}
        classifier = None
        try:
            classifier = find_classifier(features.attributes, weights) if classes else None
        except NoClassScores as reason:
            err.print(f"note: no class scores: {as_options(str(reason))}", soft_wrap=True)
        for name, target in targets.items():
            picture = video_picture(name, features[name], features.attributes, sources[name], classifier)
            try:
                target.parent.mkdir(parents=True, exist_ok=True)
                plots.draw_video(target, picture)
            except OSError as error:
                raise OutputError(f"--out {target} cannot be written: {error}") from error
            out.print(str(target), soft_wrap=True)


def _targets(file: Path, names: Sequence[str], chosen: str | None, out_path: Path | None) -> dict[str, Path]:
    """The PNG file of each video to draw, by id."""
    if not names:
        raise OutputError(f"{file} holds no videos; `lcdc inspect {file}` shows why")
    if chosen is not None and chosen not in names:
        raise ConfigError(f"--video {chosen} is not in {file}; it holds {', '.join(names)}")
    if chosen is None and len(names) > 1:
        if out_path is not None and (out_path.suffix.lower() == ".png" or out_path.is_file()):
            raise ConfigError(
                f"--out {out_path} is one file, {file} holds {len(names)} videos; give a folder, or choose one video "
                "with --video ID"
            )
        return {name: _below(out_path or _pictures(file), name) for name in names}
    name = names[0] if chosen is None else chosen
    single = file.with_suffix(".png") if len(names) == 1 else _below(_pictures(file), name)
    target = out_path or single
    if target.suffix.lower() != ".png" or target.is_dir():
        raise ConfigError(f"--out is {target}; expected the name of one .png file, for the picture of {name}")
    return {name: target}


def _pictures(file: Path) -> Path:
    return file.with_name(file.stem + "-pictures")


def _below(folder: Path, name: str) -> Path:
    return folder / f"{name}.png"
