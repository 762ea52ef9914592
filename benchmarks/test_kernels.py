"""CPU seconds of every kernel and reference by pytest-benchmark: `python -m pytest benchmarks/test_kernels.py`."""

import time

import pytest

from benchmarks.kernels import KERNELS, REFERENCES

IN_PROCESS = [name for name in KERNELS if not name.startswith("import")]


@pytest.mark.benchmark(timer=time.process_time, min_rounds=5, warmup=True, warmup_iterations=1)
@pytest.mark.parametrize("name", IN_PROCESS)
def test_kernel(benchmark, name):
    benchmark.group = "kernels"
    benchmark(KERNELS[name].make())


@pytest.mark.benchmark(timer=time.process_time, min_rounds=5, warmup=True, warmup_iterations=1)
@pytest.mark.parametrize("name", [name for name in REFERENCES if not name.startswith("import")])
def test_reference(benchmark, name):
    benchmark.group = "references"
    benchmark(REFERENCES[name]())


@pytest.mark.parametrize("name", [name for name in KERNELS if name not in IN_PROCESS])
def test_import(benchmark, name):
    """Wall seconds: the work is done by another process."""
    benchmark.group = "imports"
    benchmark(KERNELS[name].make())
