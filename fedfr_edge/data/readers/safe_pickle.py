"""Reading a pickle of plain values and NumPy arrays without running anything that it names.

A pickle may name any function of any module and have it called while it is read. This reader knows
the dozen names that plain values and arrays need and answers them with stand-ins of its own, which only
note what they were given; NumPy itself is called afterwards, with checked numbers. Every other name ends
the reading. Pickles of Python 2 are read with their texts as bytes.
"""

from __future__ import annotations

import io
import math
import pickle
from pathlib import Path
from typing import Any, NoReturn

import numpy as np
import numpy.typing as npt

from fedfr_edge.errors import DataError

_KINDS = frozenset("biuf")
_MALFORMED = (
    pickle.UnpicklingError,
    ArithmeticError,
    AttributeError,
    EOFError,
    ImportError,
    LookupError,
    MemoryError,
    RecursionError,
    TypeError,
    ValueError,
)
"""What a damaged pickle raises: the unpickler follows it until something does not fit."""


class Forbidden(Exception):
    """A name that plain values and arrays do not need."""


class _Standin:
    """Cannot be altered by the pickle: it has no attributes."""

    __slots__ = ()


class _Type(_Standin):
    """Stands for ``numpy.ndarray``, which is only ever handed to :class:`_Reconstruct`."""

    __slots__ = ()


class _Dtype:
    """What a pickle says about a NumPy dtype."""

    def __init__(self, code: str) -> None:
        self.code, self.order = code, "="

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        self.order = _text(state[1])

    def numpy(self) -> np.dtype[Any]:
        """The dtype, if it is one of plain numbers."""
        dtype = np.dtype(self.code)
        if dtype.kind not in _KINDS:
            raise ValueError(f"arrays of dtype {self.code!r}, expected numbers")
        return dtype.newbyteorder("<" if self.order == "|" else self.order)  # type: ignore[arg-type]


class _Array:
    """What a pickle says about a NumPy array."""

    shape: tuple[int, ...] = (0,)
    dtype: _Dtype | None = None
    fortran = False
    data: Any = b""

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        self.shape, self.dtype, self.fortran, self.data = state[-4:]

    def value(self) -> npt.NDArray[Any] | list[Any]:
        """The array; of an array of objects, the list of its elements."""
        if not isinstance(self.dtype, _Dtype):
            raise ValueError("an array without a dtype")
        if isinstance(self.data, list) and self.dtype.code.startswith("O"):
            return self.data
        dtype = self.dtype.numpy()
        shape = tuple(int(side) for side in self.shape)
        if not isinstance(self.data, bytes | bytearray) or min(shape, default=0) < 0:
            raise ValueError("an array of another form")
        if math.prod(shape) * dtype.itemsize != len(self.data):
            raise ValueError(f"an array of shape {shape} with {len(self.data)} bytes")
        return np.frombuffer(self.data, dtype).reshape(shape, order="F" if self.fortran else "C")


class _Reconstruct(_Standin):
    __slots__ = ()

    def __call__(self, *_: Any) -> _Array:
        return _Array()


class _MakeDtype(_Standin):
    __slots__ = ()

    def __call__(self, code: Any, *_: Any) -> _Dtype:
        return _Dtype(_text(code))


class _Scalar(_Standin):
    __slots__ = ()

    def __call__(self, dtype: Any, data: Any) -> Any:
        if not isinstance(dtype, _Dtype):
            raise ValueError("a scalar without a dtype")
        return np.frombuffer(_bytes(data), dtype.numpy(), 1)[0].item()


class _FromBuffer(_Standin):
    __slots__ = ()

    def __call__(self, data: Any, dtype: Any, shape: Any, order: Any) -> _Array:
        array = _Array()
        array.shape, array.dtype, array.fortran, array.data = shape, dtype, order == "F", _bytes(data)
        return array


class _Encode(_Standin):
    """Python 3's way of writing bytes in the format of Python 2."""

    __slots__ = ()

    def __call__(self, text: Any, encoding: Any = "latin1") -> bytes:
        if not isinstance(text, str) or _text(encoding) not in ("latin1", "latin-1"):
            raise ValueError("bytes of another form")
        return text.encode("latin1")


class _MakeBytes(_Standin):
    __slots__ = ()

    def __call__(self, data: Any = b"", encoding: Any = "latin1") -> bytes:
        return _Encode()(data, encoding) if isinstance(data, str) else _bytes(data)


def _known() -> dict[tuple[str, str], _Standin]:
    names: dict[tuple[str, str], _Standin] = {
        ("numpy", "ndarray"): _Type(),
        ("numpy", "dtype"): _MakeDtype(),
        ("_codecs", "encode"): _Encode(),
    }
    for core in ("numpy.core", "numpy._core"):
        names[f"{core}.multiarray", "_reconstruct"] = _Reconstruct()
        names[f"{core}.multiarray", "scalar"] = _Scalar()
        names[f"{core}.numeric", "_frombuffer"] = _FromBuffer()
    for builtins in ("builtins", "__builtin__"):
        names[builtins, "bytes"] = names[builtins, "bytearray"] = _MakeBytes()
    return names


class _Unpickler(pickle.Unpickler):
    def __init__(self, data: bytes) -> None:
        super().__init__(io.BytesIO(data), encoding="bytes")
        self._known = _known()

    def find_class(self, module: str, name: str, /) -> Any:
        found = self._known.get((module, name))
        if found is None:
            raise Forbidden(f"{module}.{name}")
        return found

    def persistent_load(self, identifier: Any, /) -> NoReturn:
        raise Forbidden("an object outside the file")


def load_plain(path: Path) -> Any:
    """What the pickle in ``path`` holds: lists, tuples, dicts, bytes, texts, numbers, arrays of numbers.

    Arrays stay wrapped until :func:`plain` is asked for them. Nothing that the file names is imported
    or called.

    Raises:
        DataError: it cannot be read, is damaged, or names something else.
    """
    try:
        data = path.read_bytes()
    except OSError as error:
        raise DataError(f"cannot read {path}: {error.strerror}; check the path") from error
    try:
        return _Unpickler(data).load()
    except Forbidden as error:
        raise DataError(
            f"{path} is refused: this pickle wants {str(error)!r}, expected lists, bytes, numbers and arrays "
            "only; nothing of it was run, and it should not be opened elsewhere unless you trust its origin"
        ) from None
    except _MALFORMED as error:
        what = str(error) or type(error).__name__
        raise DataError(
            f"{path} is no pickle, or damaged ({' '.join(what.split())[:100]}); copy or download it again"
        ) from error


def plain(value: Any) -> Any:
    """``value`` of :func:`load_plain`, a NumPy array where it stands for one.

    Raises:
        ValueError: an array whose shape, dtype and bytes do not fit.
    """
    return value.value() if isinstance(value, _Array) else value


def _text(value: Any) -> str:
    if isinstance(value, bytes):
        return value.decode("latin1")
    if not isinstance(value, str):
        raise ValueError("a dtype or encoding that is no text")
    return value


def _bytes(value: Any) -> bytes:
    if not isinstance(value, bytes | bytearray):
        raise ValueError("bytes of another form")
    return bytes(value)
