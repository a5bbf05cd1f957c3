"""`lcdc inspect`: what is in a feature file."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any

import typer

from lcdc_extract.cli import lcdc_extract
from lcdc_extract.terminal import as_options, out, plain_errors


@plain_errors
def inspect(
    file: Annotated[Path, typer.Argument(help="A feature file that lcdc-extract wrote.")],
    json_output: Annotated[bool, typer.Option("--json", help="Print JSON instead of tables.")] = False,
) -> None:
    """Show what is in a feature file and what made it."""
    from lcdc_extract.features import open_features

    with open_features(file) as features:
        made_by, videos, failures = features.attributes, features.summary(), features.failures
    if json_output:
        content = {"attributes": made_by, "videos": videos, "failures": [vars(failure) for failure in failures]}
        typer.echo(json.dumps(content, default=_plain, indent=2))
        return
    print_made_by(made_by)
    print_videos(videos)
    if failures:
        print_failures([(failure.id, as_options(failure.reason, lcdc_extract)) for failure in failures])


def print_made_by(attributes: dict[str, Any]) -> None:
    """The attributes that matter to a reader."""
    sampling = json.loads(attributes["sampling"])
    rate = f"{sampling['fps']:g} frames/s" if sampling["fps"] else f"frame step {sampling['frame_step']}"
    state = "trained" if attributes["trained"] else "UNTRAINED: meaningless features"
    out.print(
        f"made by lcdc-extract {attributes['tool_version']} on {attributes['created']}, {attributes['feature_layer']}\n"
        f"weights {attributes['weights']} ({state}, sha256 {attributes['weights_sha256'][:12]})\n"
        f"{rate}, stride {sampling['stride']}, edges {sampling['edges']}, align {sampling['align']}; "
        f"{attributes['precision']} on {attributes['device']}, operator {attributes['operator']}"
    )


def print_videos(videos: list[dict[str, Any]]) -> None:
    """One line a video."""
    from rich.table import Table

    table = Table(title=f"{len(videos)} videos", title_justify="left")
    table.add_column("video", overflow="fold")
    for column in ("rows", "edge rows", "damaged rows", "frames decoded", "frames/s", "size"):
        table.add_column(column, justify="right")
    table.add_column("")
    for video in videos:
        table.add_row(
            video["id"],
            str(video["rows"]),
            str(video["edge_rows"]),
            str(video["damaged_rows"]),
            str(video["frames_decoded"]),
            f"{video['frames_per_second']:.2f}",
            f"{video['width']}x{video['height']}",
            "[red]incomplete[/]" if video["incomplete"] else "",
        )
    out.print(table)


def print_failures(failures: list[tuple[str, str]]) -> None:
    """Videos that could not be read."""
    from rich.table import Table

    table = Table("video", "reason", title=f"{len(failures)} failed", title_justify="left", title_style="red")
    for video_id, reason in failures:
        table.add_row(video_id, reason)
    out.print(table)


def _plain(value: Any) -> Any:
    return value.item() if hasattr(value, "item") else str(value)
