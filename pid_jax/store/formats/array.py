"""An array in a file that is read where and when its values are wanted."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

# Types of numbers that states may have; bfloat16 is a type of ml_dtypes, which NumPy knows by its name.
_KINDS = "fiu"
_BFLOAT16 = "bfloat16"


class FormatError(ValueError):
    """A file or an array that cannot be used; the message names it and says what to do."""


@dataclass(frozen=True, kw_only=True)
class LazyArray:
    """An array of which only type and shape have been read.

    Attributes:
        where: Its file, and its name in it, for messages.
        shape: Its shape.
        dtype: Its type; bfloat16 is that of ml_dtypes.
        load: Reads the part that a tuple of whole numbers and slices selects, one for each axis.
        problem: Why its values cannot be used, "" if they can: a file may hold other things than states.
    """

    where: str
    shape: tuple[int, ...]
    dtype: np.dtype
    load: Callable[[tuple[int | slice, ...]], Any]
    problem: str = ""

    def read(self, index: tuple[int | slice, ...] = ()) -> np.ndarray:
        """Read a part.

        Args:
            index: Whole numbers and slices of step 1, for the first axes; all if not given.

        Returns:
            The values in their own type, bfloat16 as float32, which holds the same values.

        Raises:
            FormatError: If the file cannot be read any more, or is damaged.
        """
        if self.problem:
            raise FormatError(f"{self.where} {self.problem}.")
        whole = (*index, *(slice(None) for _ in self.shape[len(index) :]))
        try:
            values = np.asarray(self.load(whole))
        except FormatError:
            raise
        except Exception as error:  # libraries of formats have errors of their own
            raise FormatError(f"{self.where} cannot be read ({_one_line(error)}): write it again.") from error
        return values.astype(np.float32) if values.dtype.name == _BFLOAT16 else values

    @property
    def is_numeric(self) -> bool:
        """Whether it holds real numbers."""
        return self.dtype.kind in _KINDS or self.dtype.name == _BFLOAT16

    @property
    def is_text(self) -> bool:
        """Whether it holds texts."""
        return self.dtype.kind == "U"


def unusable(where: str, problem: str) -> LazyArray:
    """Return what stands for an array that cannot be used."""

    def refuse(index: tuple[int | slice, ...]) -> Any:
        raise FormatError(f"{where} {problem}.")

    return LazyArray(where=where, shape=(), dtype=np.dtype(object), load=refuse, problem=problem)


def from_memory(where: str, values: Any) -> LazyArray:
    """Wrap an array in memory: of NumPy, JAX, PyTorch (also bfloat16 and on a device), or anything NumPy can read.

    Raises:
        FormatError: If it is none.
    """
    try:
        array = np.asarray(_on_host(values))
    except (TypeError, ValueError, RuntimeError) as error:
        raise FormatError(f"{where} is no array ({_one_line(error)}): give an array of numbers.") from error
    if array.dtype == object and all(isinstance(one, str) for one in array.ravel()):
        array = array.astype(np.str_)
    if array.dtype == object:
        raise FormatError(f"{where} holds Python objects or rows of several lengths, wanted an array of numbers.")
    return LazyArray(where=where, shape=array.shape, dtype=array.dtype, load=lambda index: array[index])


def _on_host(values: Any) -> Any:
    """Bring a tensor of PyTorch into memory that NumPy can read."""
    if not hasattr(values, "detach"):
        return values
    tensor = values.detach().cpu()
    return tensor.float().numpy() if str(tensor.dtype) == f"torch.{_BFLOAT16}" else tensor.numpy()


def reading(where: str, action: Callable[[], Any], remedy: str) -> Any:
    """Call what opens a file, and name the file in its errors.

    Raises:
        FormatError: If it fails, with the remedy.
    """
    try:
        return action()
    except FormatError:
        raise
    except PermissionError as error:
        raise FormatError(f"{where} must not be read ({error.strerror}): change its permissions.") from error
    except Exception as error:  # libraries of formats have errors of their own
        raise FormatError(f"{where} cannot be read ({_one_line(error)}): {remedy}.") from error


def _one_line(error: Exception) -> str:
    lines = str(error).strip().splitlines()
    return lines[0].rstrip(".") if lines else type(error).__name__
