"""`lcdc weights`: convert, pack, list, info, verify and fetch the network's numbers."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from lcdc_extract.config import PRESETS
from lcdc_extract.errors import ConfigError, LcdcError, WeightsError
from lcdc_extract.terminal import BAD_INPUT, out, plain_errors

if TYPE_CHECKING:
    from lcdc_extract.weights.convert import Row
    from lcdc_extract.weights.file import WeightsInfo
    from lcdc_extract.weights.registry import Entry

app = typer.Typer(help="Convert, pack, list, check and fetch weights.", no_args_is_help=True)

Overwrite = Annotated[bool, typer.Option("--overwrite", help="Replace the output if it exists.")]


@app.command()
@plain_errors
def convert(
    source: Annotated[
        Path,
        typer.Argument(
            help="model.ckpt-1000 (TensorFlow), initial weights (.pkl), or a state dict (.pth, .safetensors)."
        ),
    ],
    *,
    out_file: Annotated[Path, typer.Option("--out", help="The .safetensors file to write.")],
    classes: Annotated[Path | None, typer.Option(help="Text file with one class name per line.")] = None,
    preset: Annotated[str | None, typer.Option(help=f"Sampling to store: {', '.join(PRESETS)}.")] = None,
    group: Annotated[int | None, typer.Option(min=0, max=3, help="Group to take from 72-channel offsets.")] = None,
    like: Annotated[Path | None, typer.Option(help="Weights file that a training checkpoint started from.")] = None,
    trained_on: Annotated[str, typer.Option(help="Training data, for the record.")] = "not stated",
    licence: Annotated[str, typer.Option(help="Licence of the source, for the record.")] = "not stated",
    drop: Annotated[list[str] | None, typer.Option(help="Leave out this source name. Repeatable.")] = None,
    overwrite: Overwrite = False,
) -> None:
    """Convert a checkpoint, and show where every number came from."""
    if preset is not None and preset not in PRESETS:
        raise ConfigError(f"unknown preset {preset!r}; the presets are {', '.join(PRESETS)}")
    _check_output(out_file, overwrite)
    names = _class_names(classes) if classes else ()
    from lcdc_extract.weights.convert import ConvertOptions
    from lcdc_extract.weights.convert import convert as run
    from lcdc_extract.weights.file import save_weights

    options = ConvertOptions(
        class_names=names,
        sampling=PRESETS[preset] if preset else None,
        group=group,
        like=like,
        trained_on=trained_on,
        licence=licence,
        drop=tuple(drop or ()),
    )
    result = run(source, options)
    save_weights(out_file, result.network, result.info)
    print_conversion(result.rows)
    print_info(str(out_file), result.info)


@app.command()
@plain_errors
def pack(
    source: Annotated[str, typer.Argument(help="A weights file, or a name from `lcdc weights list`.")],
    out_file: Annotated[Path, typer.Option("--out", help="The .safetensors file to write.")],
    int8: Annotated[bool, typer.Option("--int8/--float32", help="Kernels as int8, or everything as float32.")],
    overwrite: Overwrite = False,
) -> None:
    """Store weights smaller, and measure what that does to the features."""
    _check_output(out_file, overwrite)
    from lcdc_extract.weights.file import load_weights, save_weights
    from lcdc_extract.weights.measure import storage_error
    from lcdc_extract.weights.resolve import resolve_weights

    weights = resolve_weights(source)
    info = dataclasses.replace(weights.info, storage="int8" if int8 else "float32", storage_error={})
    save_weights(out_file, weights.network, info)
    if int8:
        stored = load_weights(out_file).network
        error = storage_error(weights.network, stored, info.preprocess)
        info = dataclasses.replace(info, storage_error=error)
        save_weights(out_file, weights.network, info)
    print_info(str(out_file), info)


@app.command("list")
@plain_errors
def list_weights() -> None:
    """List the registered weights and where each is."""
    from rich.table import Table

    from lcdc_extract.weights.registry import find_file, folders, registry

    entries = registry().values()
    table = Table("name", "variant", "MB", "trained on", "licence", title=f"{len(entries)} registered")
    table.add_column("file", overflow="fold")
    for entry in entries:
        path = find_file(entry)
        missing = f"not here: lcdc weights fetch {entry.name}" if entry.url else "not here"
        megabytes = f"{entry.size / 1e6:.1f}"
        table.add_row(
            entry.name, entry.variant, megabytes, entry.trained_on, entry.licence, str(path) if path else missing
        )
    out.print(table)
    out.print("looked for in: " + ", ".join(str(folder) for folder in folders()))


@app.command()
@plain_errors
def info(weights: Annotated[str, typer.Argument(help="A weights file, or a name from `lcdc weights list`.")]) -> None:
    """Show what a weights file says about itself, without loading it."""
    from lcdc_extract.weights.file import read_info
    from lcdc_extract.weights.registry import find_file

    found = _path_or_entry(weights)
    path = found if isinstance(found, Path) else find_file(found)
    if path is None:
        raise WeightsError(
            f"{weights} is registered, but its file is not on this machine: lcdc weights fetch {weights}"
        )
    print_info(str(path), read_info(path))


@app.command()
@plain_errors
def verify(
    weights: Annotated[
        list[str] | None, typer.Argument(help="Files or names; every registered file without any.")
    ] = None,
) -> None:
    """Check digests, load the networks strictly, and say what is wrong."""
    from lcdc_extract.weights.file import load_weights
    from lcdc_extract.weights.registry import find_file, registry
    from lcdc_extract.weights.resolve import load_entry

    names = weights or [entry.name for entry in registry().values() if find_file(entry)]
    failed = 0
    for name in names:
        try:
            found = _path_or_entry(name)
            loaded = load_weights(found) if isinstance(found, Path) else load_entry(found)
            compared = "no digest to compare with" if isinstance(found, Path) else "as registered"
            out.print(f"ok      {name}: sha256 {loaded.sha256}, {compared}", soft_wrap=True)
        except LcdcError as error:
            failed += 1
            out.print(f"failed  {name}: {error}", soft_wrap=True)
    out.print(f"{len(names) - failed} of {len(names)} are good")
    if failed:
        raise typer.Exit(BAD_INPUT)


@app.command()
@plain_errors
def fetch(name: Annotated[str, typer.Argument(help="A name from `lcdc weights list`.")]) -> None:
    """Download registered weights into the user's cache; run again to resume."""
    from rich.progress import DownloadColumn, Progress

    from lcdc_extract.terminal import err
    from lcdc_extract.weights.fetch import fetch as run
    from lcdc_extract.weights.registry import registry

    entry = registry().get(name)
    if entry is None:
        raise WeightsError(f"{name} is not registered; see `lcdc weights list`")
    with Progress(*Progress.get_default_columns(), DownloadColumn(), console=err) as progress:
        task = progress.add_task(name, total=entry.size)
        path = run(entry, lambda held: progress.update(task, completed=held))
    out.print(f"{path}: sha256 {entry.sha256}, as registered", soft_wrap=True)


def print_conversion(rows: tuple[Row, ...]) -> None:
    """Every name on either side."""
    from rich.table import Table

    table = Table("source", "target", "change", "shape", title="where every number came from", title_justify="left")
    for column in table.columns:
        column.overflow = "fold"
    for row in rows:
        table.add_row(row.source or "-", row.target or "-", row.change, " x ".join(map(str, row.shape)) or "number")
    out.print(table)
    mapped = sum(bool(row.source and row.target) for row in rows)
    left_out, new = sum(not row.target for row in rows), sum(not row.source for row in rows)
    out.print(f"{mapped} mapped, {left_out} left out, {new} not from the source")


def print_info(name: str, info: WeightsInfo) -> None:
    """What a reader of the metadata wants to know."""
    from rich.table import Table

    table = Table(title=name, title_justify="left", show_header=False)
    table.add_column()
    table.add_column(overflow="fold")
    state = "yes" if info.trained else "NO: features of this network mean nothing until it is trained"
    rows = {"trained": state, "storage": info.storage}
    rows |= {name: f"{value:.3g}" for name, value in info.storage_error.items()}
    rows |= {f"network: {name}": str(value) for name, value in dataclasses.asdict(info.network).items()}
    rows |= {f"input: {name}": str(value) for name, value in dataclasses.asdict(info.preprocess).items()}
    rows |= {f"sampling: {name}": str(value) for name, value in dataclasses.asdict(info.sampling).items()}
    rows |= {"classes": ", ".join(info.class_names) or "no names"} | info.provenance
    for what, value in rows.items():
        table.add_row(what, value)
    out.print(table)


def _path_or_entry(name: str) -> Path | Entry:
    from lcdc_extract.weights.registry import registry
    from lcdc_extract.weights.resolve import weights_path

    path = weights_path(name)
    if path is not None:
        return path
    entry = registry().get(name)
    if entry is None:
        raise WeightsError(f"{name} is neither a file nor registered; see `lcdc weights list`")
    return entry


def _check_output(path: Path, overwrite: bool) -> None:
    if path.suffix != ".safetensors":
        raise ConfigError(f"--out is {path}; expected a name that ends in .safetensors")
    if not path.parent.is_dir():
        raise ConfigError(f"--out is {path}; the directory {path.parent} is not there")
    if path.exists() and not overwrite:
        raise ConfigError(f"{path} exists. Choose another name, or give --overwrite.")


def _class_names(path: Path) -> tuple[str, ...]:
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"--classes {path} cannot be read: {error}") from error
    return tuple(line.strip() for line in lines if line.strip())
