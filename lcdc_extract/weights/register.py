"""Writing `registry.toml`: weights of a user or a lab under a name that colleagues can fetch and use."""

from __future__ import annotations

import json
import re
import shutil
from dataclasses import asdict
from pathlib import Path

from lcdc_extract.errors import WeightsError
from lcdc_extract.files import InUseError, acquire, replacing, write_text
from lcdc_extract.weights.file import load_weights
from lcdc_extract.weights.registry import (
    FILE,
    FOLDER_VARIABLE,
    SCHEMA,
    Entry,
    chosen_folder,
    package_folder,
    parse_registry,
    registries,
    user_folder,
)
from lcdc_extract.weights.resolve import UNTRAINED

EMPTY = f'# Weights by name, as `lcdc weights register` writes them.\n\nschema = "{SCHEMA}"\n'
NOT_STATED = "not stated"


def register(
    name: str,
    path: Path,
    *,
    url: str = "",
    trained_on: str | None = None,
    licence: str | None = None,
    overwrite: bool = False,
) -> tuple[Entry, Path]:
    """Gives a weights file a name, in the registry of the LCDC_WEIGHTS folder or else of the user.

    The file is loaded once, to be sure of it, and copied beside the registry as `NAME.safetensors`.

    Args:
        name: letters, digits, '.', '_' and '-'.
        path: a weights file.
        url: where others can fetch it.
        trained_on: the training data; None takes what the file says.
        licence: None takes what the file says.
        overwrite: replace an entry of that name.

    Returns:
        The entry, and the registry that it is in.

    Raises:
        WeightsError: the name is taken or no name, the file holds no weights, or the registry cannot be read or
            written.
    """
    if name == UNTRAINED or name in registries().get(package_folder() / FILE, {}):
        raise WeightsError(f"{name} is a name of the package itself. Choose another.")
    weights = load_weights(path)
    says = weights.info.provenance
    entry = Entry(
        name=name,
        file=f"{name}.safetensors",
        url=url,
        sha256=weights.sha256,
        size=path.stat().st_size,
        variant=weights.info.network.variant,
        trained_on=trained_on or says.get("training_data") or says.get("training data") or NOT_STATED,
        licence=licence or says.get("licence") or NOT_STATED,
    )
    folder = chosen_folder() or user_folder()
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with acquire(folder / f"{FILE}.lock"):
            text = _with_entry(folder / FILE, entry, overwrite)
            _copy(path, folder / entry.file)
            write_text(folder / FILE, text)
    except InUseError:
        raise WeightsError(f"another process writes {folder / FILE}; try again") from None
    except (OSError, UnicodeEncodeError) as error:
        raise WeightsError(
            f"{folder / FILE} cannot be written: {error}. Name another folder by {FOLDER_VARIABLE}."
        ) from error
    return entry, folder / FILE


def _with_entry(registry: Path, entry: Entry, overwrite: bool) -> str:
    """The text of a registry with this entry added or replaced; all else, comments included, stays.

    Only the usual form of an entry, a table of its own, can be replaced. What comes out is parsed, so that a file in
    another form is refused rather than damaged.
    """
    before = registry.read_text(encoding="utf-8") if registry.exists() else EMPTY
    entries = parse_registry(before, registry)
    if entry.name in entries and not overwrite:
        raise WeightsError(f"{entry.name} is registered already, in {registry}. Choose another name, or `overwrite`.")
    after = _replaced(before, entry)
    try:
        as_meant = parse_registry(after, registry) == entries | {entry.name: entry}
    except WeightsError:
        as_meant = False
    if not as_meant:
        raise WeightsError(
            f"the entry {entry.name} of {registry} is written in an unusual way. Remove it by hand first."
        )
    return after


def _replaced(text: str, entry: Entry) -> str:
    """Puts the entry's table in place of the one of that name, or at the end."""
    lines = text.splitlines(keepends=True)
    wanted = re.compile(rf"""\s*\[\s*weights\s*\.\s*(["']?){re.escape(entry.name)}\1\s*\]""")
    header = next((i for i, line in enumerate(lines) if wanted.match(line)), None)
    if header is None:
        return f"{text.rstrip()}\n\n{_table(entry)}"
    end = next((i for i in range(header + 1, len(lines)) if lines[i].lstrip().startswith("[")), len(lines))
    own = lines[header + 1 : end]
    kept = [line for line in own if line.strip() == "" or line.lstrip().startswith("#")]
    return "".join([*lines[:header], _table(entry), *kept, *lines[end:]])


def _table(entry: Entry) -> str:
    """The entry in TOML, whose strings are written as JSON's are, but for one character."""
    stated = {key: value for key, value in asdict(entry).items() if key != "name" and value != ""}
    quoted = {key: json.dumps(value, ensure_ascii=False).replace("\x7f", r"\u007f") for key, value in stated.items()}
    return "\n".join([f'[weights."{entry.name}"]', *(f"{key} = {value}" for key, value in quoted.items()), ""])


def _copy(path: Path, target: Path) -> None:
    if target.exists() and target.samefile(path):
        return
    with replacing(target) as unfinished:
        shutil.copyfile(path, unfinished)
