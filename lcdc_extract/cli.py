"""`lcdc-extract`: options -> ExtractConfig -> pipeline; errors -> exit codes."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from lcdc_extract.config import Align, Decoder, Edges, ExtractConfig, OnDamage, PartEdges, Precision
from lcdc_extract.terminal import FAILED_VIDEOS, as_options, out, plain_errors, show_version, stoppable

if TYPE_CHECKING:
    from lcdc_extract.pipeline import RunSummary

SAMPLING, NETWORK, DECODING, SPEED, RUN = "Frames and rows", "Network", "Decoding", "Speed", "Run"

app = typer.Typer(
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
    rich_markup_mode="rich",
)


@app.command()
@plain_errors
def lcdc_extract(
    inputs: Annotated[
        list[str],
        typer.Argument(
            metavar="VIDEOS",
            help="Video files, folders and archives of numbered pictures, directories (searched recursively), "
            "patterns, @list.txt, @parts.csv (path,start,end in seconds), or - for a list on stdin.",
            show_default=False,
        ),
    ],
    *,
    out_file: Annotated[
        Path, typer.Option("--out", "-o", metavar="FILE", help="The HDF5 file to write.", show_default=False)
    ],
    weights: Annotated[
        str | None,
        typer.Option(
            help="A weights file, a name from `lcdc weights list`, or `untrained` for a random network. "
            "Left out: lcdc-synth, which comes with the package.",
            rich_help_panel=NETWORK,
        ),
    ] = None,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda or cuda:N.", rich_help_panel=NETWORK)] = "auto",
    precision: Annotated[
        Precision, typer.Option(help="Arithmetic of the network.", rich_help_panel=NETWORK)
    ] = "float32",
    preset: Annotated[
        str | None,
        typer.Option(
            help="Sampling of the paper: 50salads (frame step 5, stride 2) or gtea (1, 5).", rich_help_panel=SAMPLING
        ),
    ] = None,
    frame_step: Annotated[
        int | None, typer.Option(help="The network sees every N-th frame.", rich_help_panel=SAMPLING)
    ] = None,
    fps: Annotated[
        float | None,
        typer.Option(help="The network sees the frames nearest to this rate.", rich_help_panel=SAMPLING),
    ] = None,
    frames_fps: Annotated[
        float | None,
        typer.Option(
            help="How many pictures a second, of folders and archives of pictures; 25 if left out.",
            rich_help_panel=SAMPLING,
        ),
    ] = None,
    stride: Annotated[
        int | None, typer.Option(help="A feature for every N-th of those frames.", rich_help_panel=SAMPLING)
    ] = None,
    edges: Annotated[
        Edges,
        typer.Option(
            help="Where the 16-frame window would leave the video: move it inside, or repeat the edge frame.",
            rich_help_panel=SAMPLING,
        ),
    ] = "clamp",
    align: Annotated[
        Align,
        typer.Option(help="`released` gives the row count of the authors' script.", rich_help_panel=SAMPLING),
    ] = "exact",
    part_edges: Annotated[
        PartEdges,
        typer.Option(
            help="Where parts of videos begin and end: windows see the frames beyond, or are moved inside.",
            rich_help_panel=SAMPLING,
        ),
    ] = "see",
    batch_size: Annotated[
        int | None,
        typer.Option(help="Frames in one batch; 16 on a CPU, 256 on a GPU if left out.", rich_help_panel=SPEED),
    ] = None,
    decoders: Annotated[int, typer.Option(help="Videos decoded side by side.", rich_help_panel=SPEED)] = 2,
    decoder: Annotated[
        Decoder,
        typer.Option(
            help="auto: decord, and PyAV for files that decord cannot be trusted with. Or only one of them.",
            rich_help_panel=DECODING,
        ),
    ] = "auto",
    on_damage: Annotated[
        OnDamage,
        typer.Option(help="Damaged videos: mark their rows, or let them fail.", rich_help_panel=DECODING),
    ] = "mark",
    video_stream: Annotated[
        int | None,
        typer.Option(
            metavar="N",
            help="Which video stream, from 0, of files with several. Left out: the one that ffmpeg takes.",
            rich_help_panel=DECODING,
        ),
    ] = None,
    deinterlace: Annotated[
        bool,
        typer.Option(
            "--deinterlace", help="Make whole pictures of interlaced ones, by ffmpeg's bwdif.", rich_help_panel=DECODING
        ),
    ] = False,
    longest_gap: Annotated[
        float,
        typer.Option(
            metavar="SECONDS",
            help="With --fps: for how long one frame may stand in where the video has none.",
            rich_help_panel=SAMPLING,
        ),
    ] = 60.0,
    decode_timeout: Annotated[
        float,
        typer.Option(
            metavar="SECONDS", help="A video that gives no frame for so long has failed.", rich_help_panel=SPEED
        ),
    ] = 60.0,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Start anew instead of continuing an earlier run.", rich_help_panel=RUN)
    ] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Only say what would be done.", rich_help_panel=RUN)
    ] = False,
    json_events: Annotated[
        bool, typer.Option("--json", help="Events as JSON lines on stdout.", rich_help_panel=RUN)
    ] = False,
    version: Annotated[
        bool,
        typer.Option(
            "--version", callback=show_version, is_eager=True, help="Print the version and exit.", rich_help_panel=RUN
        ),
    ] = False,
) -> None:
    """Write LCDC features (fc_new_2, 1024 numbers per frame) of VIDEOS to an HDF5 file.

    Exit code 0: all done. 1: some videos failed or are incomplete, the rest is in the file. 2: nothing could be done as
    asked. 3: a bug.
    Stopped by Ctrl-C or killed, finished videos are kept: the same command continues.
    """
    config = ExtractConfig(
        inputs=tuple(inputs),
        out=out_file,
        weights=weights,
        preset=preset,
        frame_step=frame_step,
        fps=fps,
        frames_fps=frames_fps,
        stride=stride,
        edges=edges,
        align=align,
        part_edges=part_edges,
        device=device,
        precision=precision,
        batch_size=batch_size,
        decoder=decoder,
        on_damage=on_damage,
        video_stream=video_stream,
        deinterlace=deinterlace,
        longest_gap_seconds=longest_gap,
        decoders=decoders,
        decode_timeout_seconds=decode_timeout,
        overwrite=overwrite,
    )
    if dry_run:
        _show_plan(config, json_events)
        return
    summary = _run(config, json_events)
    if not json_events:
        print_summary(summary)
    if not summary.ok:
        raise typer.Exit(FAILED_VIDEOS)


def main() -> None:
    """Entry point of `lcdc-extract`."""
    app()


def _run(config: ExtractConfig, json_events: bool) -> RunSummary:
    with stoppable(lambda: _what_is_kept(config.out)):
        from lcdc_extract.pipeline import extract  # inside: importing torch takes seconds, and may be interrupted too
        from lcdc_extract.progress.extraction import choose_reporter

        with closing(choose_reporter(json_events)) as report:
            return extract(config, report)


def _what_is_kept(path: Path) -> str:
    from lcdc_extract.features import parts_folder

    if parts_folder(path).is_dir():
        return f"Stopped. Finished videos are kept in {parts_folder(path)}; the same command continues from there."
    return "Stopped before a video was finished." if not path.exists() else f"Stopped. {path} is as it was before."


def print_summary(summary: RunSummary) -> None:
    """The table at the end of a run, on stdout."""
    from rich.table import Table

    table = Table(title=f"{summary.frames} frames in {summary.seconds:.0f} s", title_justify="left")
    table.add_column("video", overflow="fold")
    table.add_column("rows", justify="right")
    table.add_column("frames", justify="right")
    table.add_column("", overflow="fold")
    for video in summary.finished:
        table.add_row(
            video.id,
            str(video.rows),
            str(video.frames),
            as_options("; ".join(video.notes)),
            style="yellow" if video.incomplete else "",
        )
    for video_id in summary.already_finished:
        incomplete = ", incomplete" if video_id in summary.incomplete_before else ""
        table.add_row(video_id, "", "", f"already finished{incomplete}")
    for failure in summary.failures:
        table.add_row(failure.id, "", "", f"failed: {as_options(failure.reason)}", style="red")
    out.print(table)
    if summary.videos_in_file:
        out.print(f"{summary.out}: {summary.videos_in_file} videos", soft_wrap=True)
    else:
        out.print(f"{summary.out} was not written: no video could be read", soft_wrap=True)


def _show_plan(config: ExtractConfig, json_output: bool) -> None:
    import json
    from dataclasses import asdict

    from rich.table import Table

    from lcdc_extract.pipeline import dry_run

    planned = dry_run(config)
    if json_output:
        typer.echo(as_options(json.dumps(asdict(planned), default=str)))
        return
    table = Table(title=f"would write {config.out}", title_justify="left")
    table.add_column("video", overflow="fold")
    for column in ("frames", "rows"):
        table.add_column(column, justify="right")
    table.add_column("", overflow="fold")
    for video in planned.videos:
        frames, rows = ("?" if number is None else str(number) for number in (video.frames, video.rows))
        table.add_row(video.id, frames, rows, as_options(video.remark))
    out.print(table)
    for text in planned.skipped:
        out.print(f"skipped: {text}", soft_wrap=True)
    if not planned.frames_per_second:
        out.print("nothing is left to do")
        return
    out.print(
        f"{'about' if planned.complete else 'at least'} {planned.seconds:.0f} s at {planned.frames_per_second:.1f} "
        f"frames/s, measured on {planned.device} just now; frame counts are what the containers announce"
    )
