"""What a task costs at least: its floating point operations and bytes, at the speeds that this machine has reached.

Operations are counted to leading order, for the multiplications and additions that no way around is known for. The
speeds are those of a large matrix product and of a scalar product of long vectors, on one core: CPU seconds of all
threads can be compared with them.
"""

from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np
from threadpoolctl import threadpool_limits

from benchmarks.measure import cpu_seconds

PRODUCT_SIZE, VECTOR_BYTES, REPEATS = 1500, 2**30, 5


@cache
def product_rate(dtype: str = "float64") -> float:
    """Measure the floating point operations of a matrix product in a CPU second."""
    a = np.random.default_rng(0).normal(size=(PRODUCT_SIZE, PRODUCT_SIZE)).astype(dtype)
    return 2 * PRODUCT_SIZE**3 / _fastest(lambda: a @ a)


@cache
def read_rate() -> float:
    """Measure the bytes that a scalar product of vectors larger than all caches reads in a CPU second."""
    a = np.ones(VECTOR_BYTES // 8)
    return VECTOR_BYTES / _fastest(lambda: a @ a)


def _fastest(action: Callable[[], object]) -> float:
    with threadpool_limits(limits=1, user_api="blas"):
        return cpu_seconds(action, blocks=REPEATS, seconds=0)[0]


def floor_seconds(operations: float, data_bytes: float = 0.0, dtype: str = "float64") -> float:
    """Return the CPU seconds that arithmetic or reading alone would take, whichever is more."""
    return max(operations / product_rate(dtype), data_bytes / read_rate())


def gaussian_operations(dim: int) -> float:
    """Count what the atoms of one problem with d1 = d2 = dt = dim need; their certificate is not counted.

    In units of dim³: Cholesky factors of the joint covariance (9), of source_2 with the target (8/3), of the target
    (1/3), of three conditional covariances (1) and of the pencil (1/3); triangular solves for the cross-covariances (3)
    and the pencil (2); three products of a cross-covariance with itself (4); eigenvectors by reduction to tridiagonal
    form (4/3) and back (2).
    """
    return (9 + 8 / 3 + 1 / 3 + 1 + 1 / 3 + 3 + 2 + 4 + 4 / 3 + 2) * dim**3


def gaussian_bytes(dim: int) -> int:
    """Count the bytes of one covariance of 3 dim coordinates in float64."""
    return 8 * (3 * dim) ** 2


def covariance_operations(samples: int, dims: int) -> float:
    """Count one triangle of a sample covariance."""
    return float(samples * dims * dims)


def coupling_operations(dim: int, couplings: int, width: int, seen: int) -> float:
    """Count the matrix products of fitting one flow of affine couplings with one hidden layer.

    Args:
        dim: Coordinates of the variable.
        couplings: Couplings of the flow.
        width: Width of the hidden layer.
        seen: Samples seen in all steps together; a backward pass takes two forward ones.
    """
    half = dim // 2
    return seen * 3 * 2.0 * couplings * (half * width + width * 2 * half)


def speeds() -> dict[str, Any]:
    """Name the measured speeds, for the page of a benchmark."""
    return {
        "dgemm (GFLOP/s)": product_rate("float64") / 1e9,
        "sgemm (GFLOP/s)": product_rate("float32") / 1e9,
        "read (GB/s)": read_rate() / 1e9,
    }
