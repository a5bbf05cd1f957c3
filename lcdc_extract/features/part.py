"""One video's rows on their way to the feature file: a plain file of records, and a card that makes it count.

Not HDF5: on a full disk HDF5 reports a failed write late or never, and the rows would be lost without a word.
The card is JSON, with digests of the rows and of itself.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from lcdc_extract.config import FEATURE_SIZE
from lcdc_extract.files import sha256_of, write_text

ROW = np.dtype(
    [
        ("features", "<f4", (FEATURE_SIZE,)),
        ("frame_index", "<i8"),
        ("time_seconds", "<f8"),
        ("edge", "?"),
        ("damaged", "?"),
    ]
)
BLOCK_ROWS = 1024
"""Rows in memory at once when parts are put together: 4 MiB."""


class DamagedPartError(Exception):
    """A part is not what was written; the message names it."""


class PartWriter:
    """Appends rows to `<path>.rows`; `finish` publishes `<path>.json` by rename, and only that makes the part count."""

    def __init__(self, path: Path, identity: dict[str, Any], *, anew: bool) -> None:
        """Starts a part.

        Args:
            identity: of the run, see `RunRecord`.
            anew: whether the run's parts replace the output, instead of joining it.
        """
        self.path = path
        self._run = {"identity": identity, "anew": anew}
        self._rows = path.with_suffix(".rows")
        self._rows.write_bytes(b"")
        self._sha256 = hashlib.sha256()
        self._count = 0

    def append(self, rows: dict[str, npt.NDArray[Any]]) -> None:
        """Adds rows; the keys are the fields of `ROW`.

        Raises:
            OSError: the disk is full, or worse.
        """
        block = np.empty(len(rows["edge"]), ROW)
        for name in ROW.names or ():
            block[name] = rows[name]
        content = block.tobytes()
        with self._rows.open("ab") as file:  # not kept open: a video may have a thousand parts
            file.write(content)
        self._sha256.update(content)
        self._count += len(block)

    def finish(self, attributes: dict[str, Any], rows_in_front: int = 0, rows_behind: int = 0) -> int:
        """Publishes the part.

        Args:
            rows_in_front, rows_behind: how often the first and last row are repeated; a negative number of rows
                behind is cut off.

        Returns:
            The number of rows, copies included.
        """
        with self._rows.open("ab") as file:
            os.fsync(file.fileno())
        card = self._run | {
            "rows": self._count,
            "rows_sha256": self._sha256.hexdigest(),
            "rows_in_front": rows_in_front,
            "rows_behind": rows_behind,
            "attributes": attributes,
        }
        write_text(self.path.with_suffix(".json"), json.dumps({"sha256": _digest(card), "card": card}))
        return self._count + rows_in_front + rows_behind

    def discard(self) -> None:
        """Throws the rows away."""
        self._rows.unlink(missing_ok=True)


class Part:
    """A published part. It keeps no file open: thousands of them may wait to be put together."""

    def __init__(self, card: Path) -> None:
        """Reads a part's card.

        Raises:
            DamagedPartError: it is not as it was written, or the file of rows is gone or has another size.
        """
        try:
            content = json.loads(card.read_text(encoding="utf-8"))
            fields = content["card"]
            right = content["sha256"] == _digest(fields)
        except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
            raise DamagedPartError(f"{card.name} cannot be read ({type(error).__name__})") from error
        if not right:
            raise DamagedPartError(f"{card.name} is another than was written")
        self.attributes: dict[str, Any] = fields["attributes"]
        self.id: str = self.attributes["id"]
        self.identity: dict[str, Any] = fields["identity"]
        self.anew: bool = fields["anew"]
        self._rows_sha256: str = fields["rows_sha256"]
        self._count: int = fields["rows"]
        self._front: int = fields["rows_in_front"]
        self._behind: int = fields["rows_behind"]
        self._rows = card.with_suffix(".rows")
        found, expected = self._rows.stat().st_size if self._rows.exists() else 0, self._count * ROW.itemsize
        if found != expected:
            raise DamagedPartError(f"{self.id}: its rows have {found} bytes; expected {expected}")

    def check(self) -> None:
        """Reads the rows and compares them with their digest.

        Raises:
            DamagedPartError: they are others than were written.
        """
        if sha256_of(self._rows) != self._rows_sha256:
            raise DamagedPartError(f"{self.id}: its rows are others than were written")

    @property
    def size_bytes(self) -> int:
        """Of its rows and attributes, about as much as they take in a feature file."""
        return len(self) * ROW.itemsize + len(json.dumps(self.attributes))

    def __len__(self) -> int:
        return self._count + self._front + self._behind

    def blocks(self) -> Iterator[tuple[int, npt.NDArray[Any]]]:
        """Yields (first row, up to `BLOCK_ROWS` records of dtype `ROW`); copied rows are flagged as edges."""
        with self._rows.open("rb") as file:
            for begin in range(0, len(self), BLOCK_ROWS):
                wanted = np.arange(begin, min(begin + BLOCK_ROWS, len(self))) - self._front
                stored = np.clip(wanted, 0, self._count - 1)
                file.seek(int(stored[0]) * ROW.itemsize)
                block = np.fromfile(file, ROW, int(stored[-1] - stored[0]) + 1)[stored - stored[0]]
                block["edge"] |= stored != wanted
                yield begin, block


def _digest(card: Any) -> str:
    return hashlib.sha256(json.dumps(card, sort_keys=True).encode()).hexdigest()
