"""`lcdc weights`: convert, pack, register, fetch, list, check and describe the network's numbers."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from lcdc_extract.config import PRESETS
from lcdc_extract.errors import ConfigError, LcdcError, WeightsError
from lcdc_extract.terminal import BAD_INPUT, out, plain_errors

if TYPE_CHECKING:
    from lcdc_extract.weights.registry import Entry

app = typer.Typer(help="Convert, pack, register, fetch, list and check weights.", no_args_is_help=True)

Overwrite = Annotated[bool, typer.Option("--overwrite", help="Replace the output if it exists.")]
OutFile = Annotated[Path, typer.Option("--out", help="The .safetensors file to write.")]
NameOrFile = Annotated[str, typer.Argument(help="A weights file, or a name from `lcdc weights list`.")]


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
    out_file: OutFile,
    classes: Annotated[Path | None, typer.Option(help="Text file with one class name per line.")] = None,
    preset: Annotated[str | None, typer.Option(help=f"Sampling to store: {', '.join(PRESETS)}.")] = None,
    group: Annotated[int | None, typer.Option(min=0, max=3, help="Group to take from 72-channel offsets.")] = None,
    like: Annotated[Path | None, typer.Option(help="Weights file that a training checkpoint started from.")] = None,
    antialias: Annotated[
        bool | None,
        typer.Option(help="Smooth frames when they are made smaller, as newer scikit-image does. [default: no]"),
    ] = None,
    trained_on: Annotated[str, typer.Option(help="Training data, for the record.")] = "not stated",
    licence: Annotated[str, typer.Option(help="Licence of the source, for the record.")] = "not stated",
    drop: Annotated[list[str] | None, typer.Option(help="Leave out this source name. Repeatable.")] = None,
    verbose: Annotated[bool, typer.Option("--verbose", help="Show every tensor instead of a summary.")] = False,
    overwrite: Overwrite = False,
) -> None:
    """Convert a checkpoint, and show where the numbers came from."""
    if preset is not None and preset not in PRESETS:
        raise ConfigError(f"--preset is {preset!r}; the presets are {', '.join(PRESETS)}")
    _check_output(out_file, overwrite)
    names = _class_names(classes) if classes else ()
    from lcdc_extract.progress.weights import print_conversion, print_info
    from lcdc_extract.weights.convert import ConvertOptions
    from lcdc_extract.weights.convert import convert as run
    from lcdc_extract.weights.file import save_weights

    options = ConvertOptions(
        class_names=names,
        sampling=PRESETS[preset] if preset else None,
        group=group,
        antialias=antialias,
        like=like,
        trained_on=trained_on,
        licence=licence,
        drop=tuple(drop or ()),
    )
    result = run(source, options)
    save_weights(out_file, result.network, result.info)
    print_conversion(result.origins, verbose)
    print_info(str(out_file), result.info)


@app.command()
@plain_errors
def pack(
    source: NameOrFile,
    *,
    out_file: OutFile,
    int8: Annotated[bool, typer.Option("--int8/--float32", help="Kernels as int8, or everything as float32.")],
    overwrite: Overwrite = False,
) -> None:
    """Store weights smaller, and measure what that does to the features."""
    _check_output(out_file, overwrite)
    from lcdc_extract.progress.weights import print_info
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


@app.command()
@plain_errors
def register(
    name: Annotated[str, typer.Argument(help="What to call the weights.")],
    file: Annotated[Path, typer.Argument(help="The weights file.")],
    *,
    url: Annotated[str, typer.Option(help="Where others can fetch the file. [default: nowhere]")] = "",
    trained_on: Annotated[str | None, typer.Option(help="Training data. [default: what the file says]")] = None,
    licence: Annotated[str | None, typer.Option(help="Licence. [default: what the file says]")] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace an entry of that name.")] = False,
) -> None:
    """Give weights a name, for yourself and for everybody who gets your registry.toml."""
    from lcdc_extract.weights.register import register as run

    entry, registry = run(name, file, url=url, trained_on=trained_on, licence=licence, overwrite=overwrite)
    out.print(f"{name} is registered in {registry}, its file is {registry.parent / entry.file}", soft_wrap=True)
    if url:
        out.print(
            f"Put that file at {url}; whoever has this registry.toml can `lcdc weights fetch {name}`", soft_wrap=True
        )


@app.command()
@plain_errors
def fetch(name: Annotated[str, typer.Argument(help="A name from `lcdc weights list`.")]) -> None:
    """Download registered weights into the user's cache; run again to resume."""
    from lcdc_extract.progress.weights import download
    from lcdc_extract.weights.fetch import fetch as run

    entry = _entry(name)
    with download(entry) as on_bytes:
        path = run(entry, on_bytes)
    out.print(f"{path}: sha256 {entry.sha256}, as registered", soft_wrap=True)


@app.command("list")
@plain_errors
def list_weights() -> None:
    """List the registered weights: which registry names them, and where their files are."""
    from lcdc_extract.progress.weights import print_registries
    from lcdc_extract.weights.registry import folders, registries

    print_registries(registries())
    out.print("files are looked for in: " + ", ".join(str(folder) for folder in folders()))


@app.command()
@plain_errors
def info(weights: NameOrFile) -> None:
    """Show what a weights file says about itself, without loading it."""
    from lcdc_extract.progress.weights import print_info
    from lcdc_extract.weights.file import read_info
    from lcdc_extract.weights.registry import find_file

    found = _path_or_entry(weights)
    path = found if isinstance(found, Path) else find_file(found)
    if path is None:
        raise WeightsError(f"{weights} is registered, but its file is not on this machine; see `lcdc weights list`")
    print_info(str(path), read_info(path))


@app.command()
@plain_errors
def verify(
    weights: Annotated[
        list[str] | None, typer.Argument(help="Files or names; every registered file without any.")
    ] = None,
) -> None:
    """Check digests, load the networks strictly, and say what is wrong."""
    from lcdc_extract.progress.weights import print_checks
    from lcdc_extract.weights.registry import find_file, registry

    names = weights or [entry.name for entry in registry().values() if find_file(entry)]
    checks = [_check(name) for name in names]
    print_checks(checks)
    good = sum(state == "ok" for state, _, _ in checks)
    out.print(f"{good} of {len(checks)} are good")
    if good < len(checks):
        raise typer.Exit(BAD_INPUT)


def _check(name: str) -> tuple[str, str, str]:
    from lcdc_extract.weights.file import load_weights
    from lcdc_extract.weights.resolve import load_entry

    try:
        found = _path_or_entry(name)
        loaded = load_weights(found) if isinstance(found, Path) else load_entry(found)
    except LcdcError as error:
        return "failed", name, str(error)
    compared = "no digest to compare with" if isinstance(found, Path) else "as registered"
    return "ok", name, f"sha256 {loaded.sha256}, {compared}"


def _path_or_entry(name: str) -> Path | Entry:
    from lcdc_extract.weights.resolve import weights_path

    path = weights_path(name)
    return path if path is not None else _entry(name)


def _entry(name: str) -> Entry:
    from lcdc_extract.weights.registry import registry

    entry = registry().get(name)
    if entry is None:
        raise WeightsError(f"{name} is not registered; see `lcdc weights list`")
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
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"--classes {path} cannot be read: {error}") from error
    return tuple(line.strip() for line in lines if line.strip())
