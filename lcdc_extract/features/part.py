"""One video's rows on their way to the feature file: a plain file of records, and a JSON file that makes it count.

Not HDF5: on a full disk HDF5 reports a failed write late or never, and the rows would be lost without a word.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from lcdc_extract.config import FEATURE_SIZE
from lcdc_extract.errors import OutputError
from lcdc_extract.files import write_text

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


class PartWriter:
    """Appends rows to `<path>.rows`; `finish` publishes `<path>.json` by rename, and only that makes the part count."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._rows = path.with_suffix(".rows")
        self._rows.write_bytes(b"")
        self._count = 0

    def append(self, rows: dict[str, npt.NDArray[Any]]) -> None:
        """Adds rows; the keys are the fields of `ROW`.

        Raises:
            OSError: the disk is full, or worse.
        """
        block = np.empty(len(rows["edge"]), ROW)
        for name in ROW.names or ():
            block[name] = rows[name]
        with self._rows.open("ab") as file:  # not kept open: a video may have a thousand parts
            file.write(block.data)
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
        card = {"rows": self._count, "rows_in_front": rows_in_front, "rows_behind": rows_behind}
        write_text(self.path.with_suffix(".json"), json.dumps(card | {"attributes": attributes}))
        return self._count + rows_in_front + rows_behind

    def discard(self) -> None:
        """Throws the rows away."""
        self._rows.unlink(missing_ok=True)


class Part:
    """A published part. It keeps no file open: thousands of them may wait to be put together."""

    def __init__(self, card: Path) -> None:
        """Opens a part by its JSON file.

        Raises:
            OutputError: the rows it promises are not there.
        """
        content = json.loads(card.read_text())
        self.attributes: dict[str, Any] = content["attributes"]
        self._count: int = content["rows"]
        self._front: int = content["rows_in_front"]
        self._behind: int = content["rows_behind"]
        self._rows = rows = card.with_suffix(".rows")
        found, expected = rows.stat().st_size if rows.exists() else 0, self._count * ROW.itemsize
        if found != expected:
            raise OutputError(f"{rows} has {found} bytes, expected {expected}: damaged. Delete {card} and run again.")

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
