"""`registry.toml`: weights by name, with the digest each file must have and where it may be fetched.

There may be three: of the LCDC_WEIGHTS folder, of the user, and of the package. `register.py` writes them.
"""

from __future__ import annotations

import dataclasses
import os
import re
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from lcdc_extract.errors import WeightsError

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

SCHEMA = "lcdc-registry/1"
FILE = "registry.toml"
FOLDER_VARIABLE = "LCDC_WEIGHTS"
VARIANTS = ("paper", "released", "custom")
PLAIN_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")
PACKAGE = Path(__file__).resolve().parents[1]


@dataclass(frozen=True)
class Entry:
    """One set of weights."""

    name: str
    file: str
    """A plain file name; it is looked for in the folders of `folders()`."""
    sha256: str
    size: int
    """Bytes."""
    variant: str
    """What the file's network must turn out to be; one of `VARIANTS`."""
    trained_on: str
    licence: str
    url: str = ""
    """Where `lcdc weights fetch` gets it; empty where the file comes with the registry."""

    def __post_init__(self) -> None:
        self._check("name", PLAIN_NAME.fullmatch(self.name), "letters, digits, '.', '_' and '-'")
        plain = PLAIN_NAME.fullmatch(self.file) and self.file.endswith(".safetensors")
        self._check("file", plain, "the plain name of a .safetensors file, without a folder")
        self._check("sha256", re.fullmatch("[0-9a-f]{64}", self.sha256), "64 hexadecimal digits")
        self._check("size", self.size > 0, "a number of bytes")
        self._check("variant", self.variant in VARIANTS, f"one of {', '.join(VARIANTS)}")
        web = urlsplit(self.url).scheme in ("http", "https") and urlsplit(self.url).hostname
        self._check("url", not self.url or web, "an http or https address")

    def _check(self, field: str, fits: object, expected: str) -> None:
        if not fits:
            raise WeightsError(f"entry {self.name!r}: {field} is {getattr(self, field)!r}; expected {expected}")


def read_registry(path: Path) -> dict[str, Entry]:
    """The entries of one registry file, by name.

    Raises:
        WeightsError: not TOML, another schema, or an entry that is incomplete or points outside its folder.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, ValueError) as error:
        raise WeightsError(f"{path} cannot be read: {error}") from error
    return parse_registry(text, path)


def parse_registry(text: str, path: Path) -> dict[str, Entry]:
    """As `read_registry`, of the text that is, or will be, in the file `path`."""
    try:
        content = tomllib.loads(text)
    except ValueError as error:
        raise WeightsError(f"{path} cannot be read: {error}") from error
    if content.get("schema") != SCHEMA:
        raise WeightsError(f"{path} has the schema {content.get('schema')!r}; expected {SCHEMA!r}")
    try:
        return {name: _entry(name, fields) for name, fields in content.get("weights", {}).items()}
    except WeightsError as error:
        raise WeightsError(f"{path}: {error}") from error


def registry() -> dict[str, Entry]:
    """Every entry by name; the first of a name wins."""
    entries: dict[str, Entry] = {}
    for found in registries().values():
        entries = found | entries
    return entries


def registries() -> dict[Path, dict[str, Entry]]:
    """The registry files there are, in order: of the LCDC_WEIGHTS folder, of the user, of the package."""
    files = [folder / FILE for folder in folders() if folder != cache_folder()]
    return {path: read_registry(path) for path in files if path.is_file()}


def folders() -> list[Path]:
    """Where files are looked for, in order: LCDC_WEIGHTS, the user's, the package's own, fetched ones."""
    chosen = chosen_folder()
    return [*([chosen] if chosen else []), user_folder(), package_folder(), cache_folder()]


def chosen_folder() -> Path | None:
    """The folder that $LCDC_WEIGHTS names, if it names one.

    Raises:
        WeightsError: it is not a directory.
    """
    chosen = os.environ.get(FOLDER_VARIABLE)
    if chosen and not Path(chosen).is_dir():
        raise WeightsError(f"{FOLDER_VARIABLE} is {chosen}, which is not a directory. Correct or unset it.")
    return Path(chosen) if chosen else None


def user_folder() -> Path:
    """The user's own weights and registry: `$XDG_DATA_HOME/lcdc-extract/weights`, by default below `~/.local/share`."""
    return _base_folder("XDG_DATA_HOME", ".local/share") / "lcdc-extract" / "weights"


def package_folder() -> Path:
    """The weights that come with the package: inside it when installed, beside it in a source checkout."""
    installed, checkout = PACKAGE / "data" / "weights", PACKAGE.parent / "weights"
    return installed if (installed / FILE).is_file() else checkout


def cache_folder() -> Path:
    """Where fetched files go: `$XDG_CACHE_HOME/lcdc-extract/weights`, by default below `~/.cache`."""
    return _base_folder("XDG_CACHE_HOME", ".cache") / "lcdc-extract" / "weights"


def find_file(entry: Entry) -> Path | None:
    """The first folder's file of that name; its digest is checked when it is loaded."""
    return next((folder / entry.file for folder in folders() if (folder / entry.file).is_file()), None)


def _base_folder(variable: str, below_home: str) -> Path:
    chosen = os.environ.get(variable)
    return Path(chosen) if chosen else Path.home() / below_home


def _entry(name: str, fields: Any) -> Entry:
    types = {field.name: int if field.name == "size" else str for field in dataclasses.fields(Entry)}
    if not isinstance(fields, dict):
        raise WeightsError(f"entry {name!r} is {fields!r}; expected a table")
    unknown = sorted(fields.keys() - types.keys() | fields.keys() & {"name"})
    missing = sorted(types.keys() - fields.keys() - {"name", "url"})
    if unknown or missing:
        raise WeightsError(f"entry {name!r}: unknown fields {unknown}, missing fields {missing}")
    for field, value in fields.items():
        if type(value) is not types[field]:
            raise WeightsError(f"entry {name!r}: {field} is {value!r}; expected {types[field].__name__}")
    return Entry(name=name, **fields)
