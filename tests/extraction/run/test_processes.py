"""Processes that share a run: every shard has its turn, and environments are read as launchers set them."""

import pytest

from extraction.run.processes import Process
from tests.process_environments import OPEN_MPI, PMI, SLURM, TORCHRUN


def test_alone_without_a_launcher():
    assert Process.from_environment({}) == Process(rank=0, world_size=1, local_rank=None)


def test_environment_of_a_launcher():
    process = Process.from_environment({"RANK": "5", "WORLD_SIZE": "8", "LOCAL_RANK": "1", "MASTER_ADDR": "x"})
    assert process == Process(rank=5, world_size=8, local_rank=1, launcher="torchrun")
    assert not process.is_first


@pytest.mark.parametrize(
    ("environment", "expected"),
    [
        (SLURM, Process(rank=3, world_size=4, local_rank=1, launcher="srun")),
        (OPEN_MPI, Process(rank=5, world_size=8, local_rank=2, launcher="mpirun")),
        (PMI, Process(rank=6, world_size=9, local_rank=3, launcher="mpiexec")),
        ({"RANK": "1", "WORLD_SIZE": "2"}, Process(rank=1, world_size=2, launcher="torchrun")),  # a loop over machines
        (SLURM | TORCHRUN | OPEN_MPI, Process(rank=1, world_size=2, local_rank=0, launcher="torchrun")),
        ({"SLURM_NTASKS": "4", "SLURM_PROCID": "0", "SLURM_JOB_ID": "17"}, Process()),  # a batch script without srun
        (SLURM | {"SLURM_NTASKS": "1", "SLURM_PROCID": "0"}, Process(local_rank=1, launcher="srun")),
        ({"LOCAL_RANK": "2"}, Process(local_rank=2)),
    ],
)
def test_launchers(environment, expected):
    assert Process.from_environment(environment) == expected


@pytest.mark.parametrize(
    ("environment", "match"),
    [
        ({"RANK": "one", "WORLD_SIZE": "2"}, "RANK must be a whole number"),
        ({"RANK": "2", "WORLD_SIZE": "2"}, "RANK 2 must be below WORLD_SIZE 2"),
        ({"RANK": "-1", "WORLD_SIZE": "2"}, "RANK must be a whole number"),
        ({"RANK": "0"}, "WORLD_SIZE must be set beside RANK"),
        ({"WORLD_SIZE": "4"}, "RANK must be set beside WORLD_SIZE"),
        ({"RANK": "", "WORLD_SIZE": "4"}, "RANK must be set beside WORLD_SIZE"),
        (SLURM | {"SLURM_PROCID": ""}, "SLURM_PROCID must be set beside SLURM_JOB_ID"),
        (OPEN_MPI | {"OMPI_COMM_WORLD_SIZE": "5"}, "OMPI_COMM_WORLD_RANK 5 must be below OMPI_COMM_WORLD_SIZE 5"),
        ({"PMI_RANK": "0"}, "PMI_SIZE must be set beside PMI_RANK"),
    ],
)
def test_environments_that_make_no_sense(environment, match):
    with pytest.raises(ValueError, match=match):
        Process.from_environment(environment)


def test_own_shards_first_then_all_others():
    missing = [0, 1, 2, 5, 6, 9]
    orders = [list(Process(rank=rank, world_size=3).order(missing)) for rank in range(3)]
    assert orders == [[0, 6, 9, 5, 2, 1], [1, 9, 6, 5, 2, 0], [2, 5, 9, 6, 1, 0]]


def test_shares_do_not_depend_on_what_others_have_made_meanwhile():
    """Two processes that look at different moments still divide the shards that both see missing."""
    early, late = Process(rank=0, world_size=2), Process(rank=1, world_size=2)
    own_early = [i for i in early.order(list(range(10))) if i % 2 == 0]
    own_late = [i for i in late.order(list(range(3, 10))) if i % 2 == 1]
    assert not set(own_early) & set(own_late)
