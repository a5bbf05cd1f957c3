"""What `lcdc weights` prints: tables of what is registered, stored or converted, and how a download goes."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from rich.table import Table

from lcdc_extract.progress.console import Steps
from lcdc_extract.terminal import out
from lcdc_extract.weights.registry import find_file

if TYPE_CHECKING:
    from collections.abc import Callable

    from lcdc_extract.weights.convert import TensorOrigin
    from lcdc_extract.weights.file import WeightsInfo
    from lcdc_extract.weights.registry import Entry

MOST_NAMES = 24
"""As many names are listed; of more only the first few, and how many follow."""
FIRST_NAMES = 3


def table(title: str, *columns: str, numbers: Sequence[str] = ()) -> Table:
    """A table as these commands print it; `numbers` are the columns that are right-aligned. Nothing is cut short."""
    made = Table(title=title, title_justify="left", show_header=any(columns))
    for column in columns:
        made.add_column(column, overflow="fold", justify="right" if column in numbers else "left")
    return made


def print_conversion(origins: Sequence[TensorOrigin], verbose: bool) -> None:
    """Where the numbers came from: stage by stage with all exceptions, or every name on either side."""
    if verbose:
        _print_origins(origins)
    else:
        _print_stages(origins)
        _print_exceptions(origins)
    mapped = sum(bool(origin.source and origin.target) for origin in origins)
    left_out = sum(not origin.target for origin in origins)
    new = sum(not origin.source for origin in origins)
    out.print(f"{mapped} mapped, {left_out} left out, {new} not from the source")


def print_info(name: str, info: WeightsInfo) -> None:
    """What a reader of the metadata wants to know."""
    state = "yes" if info.trained else "NO: features of this network mean nothing until it is trained"
    network = {"variant": info.network.variant} | dataclasses.asdict(info.network)
    rows = {"trained": state, "storage": info.storage}
    rows |= {name: f"{value:.3g}" for name, value in info.storage_error.items()}
    rows |= {f"network: {name}": str(value) for name, value in network.items()}
    rows |= {f"input: {name}": str(value) for name, value in dataclasses.asdict(info.preprocess).items()}
    rows |= {f"sampling: {name}": str(value) for name, value in dataclasses.asdict(info.sampling).items()}
    rows |= {"classes": ", ".join(info.class_names) or "no names"} | info.provenance
    shown = table(name, "", "")
    for what, value in rows.items():
        shown.add_row(what, value)
    out.print(shown)


def print_registries(registries: dict[Path, dict[str, Entry]]) -> None:
    """Every entry of every registry, and where its file is."""
    seen: set[str] = set()
    for path, entries in registries.items():
        shown = table(str(path), "name", "variant", "MB", "trained on", "licence", "file", numbers=["MB"])
        for entry in entries.values():
            place = "hidden by the entry above" if entry.name in seen else _place(entry)
            shown.add_row(entry.name, entry.variant, f"{entry.size / 1e6:.1f}", entry.trained_on, entry.licence, place)
        seen |= entries.keys()
        out.print(shown)


def print_checks(checks: Sequence[tuple[str, str, str]]) -> None:
    """Rows of state, name, and what was found."""
    shown = table("", "", "weights", "found")
    for check in checks:
        shown.add_row(*check)
    out.print(shown)


@contextmanager
def download(entry: Entry) -> Iterator[Callable[[int], None]]:
    """Gives the block a function to call with the bytes held so far."""
    with Steps("B", entry.size, entry.name, unit_scale=True) as steps:
        yield lambda held: steps.advance(held - steps.done)


def _place(entry: Entry) -> str:
    path = find_file(entry)
    if path is not None:
        return str(path)
    return f"not here: lcdc weights fetch {entry.name}" if entry.url else "not here"


def _print_stages(origins: Sequence[TensorOrigin]) -> None:
    from lcdc_extract.weights.convert.summary import by_stage

    counts = ("tensors", "numbers", "new tensors", "new numbers")
    shown = table("where the numbers came from", "stage", *counts, numbers=counts)
    for stage, tensors in by_stage(origins).items():
        mapped = [origin for origin in tensors if origin.source]
        new = [origin for origin in tensors if not origin.source]
        shown.add_row(stage, *_counts(mapped), *(_counts(new) if new else ("", "")))
    out.print(shown)


def _print_exceptions(origins: Sequence[TensorOrigin]) -> None:
    from lcdc_extract.weights.convert.summary import exceptions

    for reason, tensors in exceptions(origins).items():
        names = [origin.target or origin.source for origin in tensors]
        rest = f", and {len(names) - FIRST_NAMES} more (--verbose)" if len(names) > MOST_NAMES else ""
        listed = ", ".join(names[:FIRST_NAMES] if rest else names)
        count, numbers = _counts(tensors)
        out.print(f"{reason}: {count} tensors, {numbers} numbers: {listed}{rest}", soft_wrap=True)


def _print_origins(origins: Sequence[TensorOrigin]) -> None:
    shown = table("where every number came from", "source", "target", "change", "shape")
    for origin in origins:
        shape = " x ".join(map(str, origin.shape)) or "number"
        shown.add_row(origin.source or "-", origin.target or "-", origin.change, shape)
    out.print(shown)


def _counts(origins: Sequence[TensorOrigin]) -> tuple[str, str]:
    return str(len(origins)), f"{sum(origin.numbers for origin in origins):,}"
