"""Cheap looks at a file before any parser believes what it says about itself."""

from __future__ import annotations

import zipfile
from pathlib import Path

from lcdc_extract.errors import WeightsError

MAX_BYTES = 2 * 2**30
"""The largest file looked at; the network has 171 MB of float32, a checkpoint with optimiser state three times that."""
MAX_HEADER = 2**20
"""The largest header of a safetensors file; ours have about 40 kB."""


def check_size(path: Path) -> None:
    """Raises WeightsError where `path` is no file of a sensible size."""
    if not path.is_file():
        raise WeightsError(f"{path} is not a file")
    size = path.stat().st_size
    if not 0 < size <= MAX_BYTES:
        raise WeightsError(f"{path} has {size:,} bytes; expected between 1 and {MAX_BYTES:,}")


def check_safetensors(path: Path) -> None:
    """Raises WeightsError where the header's length cannot be true; safetensors itself checks every tensor's place."""
    check_size(path)
    size = path.stat().st_size
    with path.open("rb") as file:
        first = file.read(8)
    length = int.from_bytes(first, "little")
    if len(first) < 8 or length > min(MAX_HEADER, size - 8):
        raise WeightsError(
            f"{path} is not a complete safetensors file: its first bytes announce a header of {length:,} bytes, the "
            f"file has {size:,} and at most {MAX_HEADER:,} are accepted. If it was downloaded or copied, get it again."
        )


def check_pth(path: Path) -> None:
    """Raises WeightsError where a .pth would unpack to more than the file's own size.

    torch.save writes zip archives without compression, so an entry that is compressed, or entries that overlap, are a
    trap and not a network.
    """
    check_size(path)
    if not zipfile.is_zipfile(path):
        return  # the format before torch 1.6, a plain stream
    try:
        with zipfile.ZipFile(path) as archive:
            entries = archive.infolist()
    except (zipfile.BadZipFile, OSError, ValueError, NotImplementedError) as error:
        raise WeightsError(f"{path} is a damaged archive: {error}") from error
    packed = [entry.filename for entry in entries if entry.compress_type or entry.compress_size != entry.file_size]
    if packed:
        raise WeightsError(f"{path} is refused: its entry {packed[0]!r} is compressed, which torch.save never does")
    total = sum(entry.file_size for entry in entries)
    if total > path.stat().st_size:
        raise WeightsError(f"{path} is refused: {path.stat().st_size:,} bytes claim to unpack to {total:,}")
