"""How a decoded picture is turned and mirrored before it is shown."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from lcdc_extract.errors import VideoError

_ROUND = 0.01
"""Cosines and sines closer than this to -1, 0 or 1 are that."""


@dataclass(frozen=True)
class Orientation:
    """First the axes change places, then each may be reversed."""

    transposed: bool = False
    upside_down: bool = False
    """Rows from the last to the first."""
    mirrored: bool = False
    """Columns from the last to the first."""

    @property
    def upright(self) -> bool:
        """Whether the picture is shown as it was decoded."""
        return self == Orientation()

    def apply(self, rgb: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
        """The picture as it is shown: contiguous (H, W, 3) from (H, W, 3)."""
        turned = rgb.swapaxes(0, 1) if self.transposed else rgb
        turned = turned[::-1] if self.upside_down else turned
        return np.ascontiguousarray(turned[:, ::-1] if self.mirrored else turned)

    @staticmethod
    def of(matrix: Sequence[int]) -> Orientation:
        """The orientation that a display matrix means, as in ISO/IEC 14496-12, 6.2.2: nine numbers a b u c d v x y w.

        A decoded place (p, q), p to the right and q down, is shown at (a p + c q, b p + d q), moved into the picture.

        Raises:
            VideoError: it turns by no multiple of 90 degrees.
        """
        a, b, c, d = (matrix[place] / max(_length(matrix), 1) for place in (0, 1, 3, 4))
        straight, turned = abs(b) < _ROUND and abs(c) < _ROUND, abs(a) < _ROUND and abs(d) < _ROUND
        if straight == turned:
            raise VideoError(
                f"the file asks players to turn or skew its pictures by the matrix ({a:.3f} {b:.3f} {c:.3f} {d:.3f}); "
                "expected a multiple of 90 degrees, mirrored or not. Convert it: ffmpeg -i IN OUT.mp4"
            )
        return Orientation(False, d < 0, a < 0) if straight else Orientation(True, b < 0, c < 0)


def _length(matrix: Sequence[int]) -> float:
    """The length of a turned unit vector, which takes a common factor out of the matrix."""
    return max(float(np.hypot(matrix[0], matrix[1])), float(np.hypot(matrix[3], matrix[4])))
