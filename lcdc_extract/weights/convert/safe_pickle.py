"""Numbers out of a pickle without running it.

A pickle names functions for the reader to call. This reader knows the few names that arrays need and answers each with
a stand-in of its own, so nothing a file names is ever imported or called, numpy's own reconstruction included.
"""

from __future__ import annotations

import io
import math
import pickle
import re
from pathlib import Path
from typing import Any

import numpy as np

from lcdc_extract.errors import WeightsError
from lcdc_extract.weights.convert.checkpoint import Array
from lcdc_extract.weights.limits import check_size

DTYPE = re.compile(r"[<>|=]?[fiu][1248]")


def read_arrays(path: Path) -> dict[str, Array]:
    """A pickled {layer: {name: array}} as {layer/name: array}; also pickles of Python 2 and of any numpy.

    Raises:
        WeightsError: the pickle holds anything but arrays and plain containers, or is damaged.
    """
    check_size(path)
    content = path.read_bytes()
    try:
        found = _Unpickler(io.BytesIO(content), encoding="latin1").load()
    except WeightsError as error:
        raise WeightsError(f"{path} is refused, and nothing of it was run: {error}") from error
    except Exception as error:  # a damaged pickle can fail in any way
        raise WeightsError(f"{path} is not a readable pickle of arrays: {type(error).__name__}: {error}") from error
    return _by_name(found, path)


class _Dtype:
    """Stands for numpy.dtype: takes plain numbers only."""

    def __init__(self, text: Any, *_: Any) -> None:
        if isinstance(text, bytes):
            text = text.decode("latin1")
        if not isinstance(text, str) or not DTYPE.fullmatch(text):
            raise WeightsError(f"it holds an array of type {text!r}; expected numbers")
        self.dtype = np.dtype(text)

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        """(version, byte order, ...); the rest describes records, which numbers have not."""
        order = state[1].decode("latin1") if isinstance(state[1], bytes) else state[1]
        if order not in ("<", ">", "|") or any(field is not None for field in state[2:5]):
            raise WeightsError("it holds an array of records; expected numbers")
        self.dtype = self.dtype.newbyteorder(">" if order == ">" else "<")


class _Array:
    """Stands for numpy.ndarray."""

    def __init__(self, *_: Any) -> None:
        self.array: Array | None = None

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        """(version, shape, dtype, Fortran order, bytes)"""
        _, shape, dtype, fortran, content = state[-5:]
        self.array = _from_bytes(content, dtype, shape, "F" if fortran else "C")


def _from_bytes(content: Any, dtype: Any, shape: Any, order: str = "C") -> Array:
    if isinstance(content, str):  # bytes of Python 2
        content = content.encode("latin1")
    if not isinstance(dtype, _Dtype) or not isinstance(content, bytes | bytearray):
        raise WeightsError("it holds an array of objects; expected numbers")
    count = math.prod(int(size) for size in shape)
    if count * dtype.dtype.itemsize != len(content):
        raise WeightsError(f"an array of shape {tuple(shape)} comes with {len(content)} bytes")
    array: Array = np.frombuffer(content, dtype.dtype).reshape(shape, order="F" if order == "F" else "C")
    return array


def _buffer_array(content: Any, dtype: Any, shape: Any, order: str = "C", axes: Any = None) -> _Array:
    """Stands for numpy's _frombuffer; `axes` is how numpy since 2.3 writes an array that is neither C nor F."""
    result = _Array()
    array = _from_bytes(content, dtype, shape, order)
    result.array = array if axes is None else array.transpose(axes)
    return result


def _latin1(text: str, encoding: str = "") -> bytes:
    if encoding != "latin1":
        raise WeightsError(f"it holds text in {encoding!r}")
    return text.encode("latin1")


STAND_INS = {
    "numpy.ndarray": _Array,
    "numpy.dtype": _Dtype,
    "_codecs.encode": _latin1,
    "collections.OrderedDict": dict,
} | {
    f"numpy.{core}.{name}": stand_in
    for core in ("core", "_core")
    for name, stand_in in (("multiarray._reconstruct", _Array), ("numeric._frombuffer", _buffer_array))
}


class _Unpickler(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        if f"{module}.{name}" not in STAND_INS:
            raise WeightsError(f"it asks for {module}.{name}; expected arrays and plain containers only")
        return STAND_INS[f"{module}.{name}"]


def _by_name(found: Any, path: Path) -> dict[str, Array]:
    wrong = WeightsError(f"{path} holds no {{layer: {{name: array}}}}; expected the authors' pickled initial weights")
    if not isinstance(found, dict):
        raise wrong
    arrays: dict[str, Array] = {}
    for layer, parameters in found.items():
        if not isinstance(layer, str) or not isinstance(parameters, dict):
            raise wrong
        for name, value in parameters.items():
            if not isinstance(name, str) or not isinstance(value, _Array) or value.array is None:
                raise wrong
            arrays[f"{layer}/{name}"] = value.array
    return arrays
