"""What processes exchange, with threads in their place, and what launchers tell them."""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from threading import Barrier
from types import SimpleNamespace
from typing import Any

import jax
import numpy as np
import pytest

from pid_jax.runtime.launch import Launch, find_launch, find_process
from pid_jax.runtime.processes import ALONE, ProcessError, Processes, join_processes
from pid_jax.settings.estimate import PCA, NoReduction
from pid_jax.study.scores import LostSamplesError, read_scores
from tests.process_environments import OPEN_MPI, PMI, SLURM, TORCHRUN


@dataclass(frozen=True, kw_only=True)
class ThreadInstead(Processes):
    """Meets other threads of this process."""

    meeting: Barrier
    board: list[tuple[bytes, bool]]

    def _meet(self, content, *, has_failed):
        self.board[self.rank] = content, has_failed
        self.meeting.wait(timeout=60)
        contents, failed = map(list, zip(*self.board, strict=True))
        self.meeting.wait(timeout=60)
        return contents, failed


def in_threads(count, action) -> list[Any]:
    """Do the same as each of several processes; return what each returned or raised."""

    def attempt(processes):
        try:
            return action(processes)
        except (ProcessError, OSError, LostSamplesError) as error:
            return error

    common = {"count": count, "meeting": Barrier(count), "board": [(b"", False)] * count}
    with ThreadPoolExecutor(count) as threads:
        return list(threads.map(attempt, [ThreadInstead(rank=rank, **common) for rank in range(count)]))


LAYERS, COUNT = 5, 30
ROWS = {"a": [np.arange(0, COUNT, 2)] * 3, "b": [np.arange(1, COUNT, 2)] * 3}
# Store, layer, and rows that have NaN there.
DAMAGE = {
    "none": [],
    "a knockout": [("k1", 3, slice(None))],
    "a knockout twice": [("k1", 3, slice(None)), ("k1", 2, slice(None))],
    "one task": [("k2", 1, slice(0, None, 2))],
    "a knockout before the baseline": [("k1", 0, slice(None)), ("b", 1, slice(None))],
    "a knockout behind the baseline": [("k1", 2, slice(None)), ("b", 1, slice(None))],
    "the baseline for one task": [(path, layer, slice(1, None, 2)) for path, layer in (("b", 4), ("b", 3), ("k2", 0))],
}
LOSSES = {
    "single samples": [("k1", 3, slice(4, 5)), ("b", 0, slice(7, 8)), ("k2", 4, slice(4, 5))],
    "a task and its samples": [("k1", 1, slice(1, None, 2)), ("k1", 0, slice(3, 4)), ("k1", 4, slice(5, 6))],
}


def read_as(processes, damage, reduction, dim, layers=LAYERS):
    def read(store, layer):
        if (store.path, layer) == ("k2", damage_of_reading):
            raise OSError("the disk is gone")
        states = np.random.default_rng([layer, len(store.path), ord(store.path[-1])]).normal(size=(COUNT, 6))
        for path, at, rows in (DAMAGE | LOSSES).get(damage, []):
            if (store.path, layer) == (path, at):
                states[rows] = np.nan
        return states.astype(np.float32)

    damage_of_reading = 3 if damage == "reading" else None
    ids = np.array([f"{row:02d}" for row in range(COUNT)])
    stores: Any = [SimpleNamespace(path=path, ids=ids) for path in ("b", "k1", "k2")]
    words = {"name": "image", "layers": range(layers), "read": read, "key": jax.random.key(0)}
    return read_scores(stores, ROWS, reduction=reduction, dim=dim, processes=processes, **words)


def assert_equal(found, expected):
    assert found.keys() == expected.keys()
    for task, scores in expected.items():
        for one, other in zip(found[task], scores, strict=True):
            if isinstance(other, str):
                assert one == other
            else:
                for name in ("values", "explained_variance", "angle"):
                    np.testing.assert_array_equal(getattr(one, name), getattr(other, name), strict=True)


@pytest.mark.parametrize("count", [2, 3, 7])
@pytest.mark.parametrize("damage", [*DAMAGE, "reading"])
def test_scores_and_reasons_do_not_depend_on_the_number_of_processes(count, damage):
    expected = read_as(ALONE, damage, PCA(dim=(2, 2, 2)), 2)
    assert damage == "none" or any(isinstance(one, str) for scores in expected.values() for one in scores)
    for found in in_threads(count, lambda processes: read_as(processes, damage, PCA(dim=(2, 2, 2)), 2)):
        assert_equal(found, expected)


@pytest.mark.parametrize("count", [1, 2, 7])
def test_all_processes_lose_the_same_samples(count):
    for error in in_threads(count, lambda processes: read_as(processes, "single samples", PCA(dim=(2, 2, 2)), 2)):
        assert isinstance(error, LostSamplesError)
        assert error.samples.keys() == {"04", "07"}


@pytest.mark.parametrize("count", [1, 2, 7])
def test_no_sample_is_lost_to_states_that_are_not_used(count):
    """Task "b" of "k1" cannot be used by layer 1, whatever its samples are at other layers."""
    reason = in_threads(count, lambda processes: read_as(processes, "a task and its samples", PCA(dim=(2, 2, 2)), 2))
    for scores in reason:
        assert [isinstance(one, str) for one in scores["b"]] == [False, True, False]
        assert not any(isinstance(one, str) for one in scores["a"])


def test_states_without_a_reduction_and_one_layer_for_three_processes():
    expected = read_as(ALONE, "none", NoReduction(), None, layers=1)
    for found in in_threads(3, lambda processes: read_as(processes, "none", NoReduction(), None, layers=1)):
        assert_equal(found, expected)


def test_a_failure_reaches_all():
    def act(processes):
        processes.barrier()
        if processes.rank == 1:
            error = OSError("no  space\nleft")
            processes.tell_failure(error)
            raise error
        processes.barrier()

    first, failed, last = in_threads(3, act)
    assert str(first) == str(last) == "Process 1 of 3 failed: no space left"
    assert isinstance(failed, OSError)


def test_processes_that_differ_stop():
    found = in_threads(2, lambda processes: processes.agree(f"x{processes.rank // 2}", "numbers"))
    assert found == [None, None]
    for error in in_threads(3, lambda processes: processes.agree(f"x{processes.rank // 2}", "numbers")):
        assert isinstance(error, ProcessError)
        assert "Process 2 has other numbers than process 0: 'x1' and 'x0'" in str(error)
    long = "y" * 1000
    for error in in_threads(2, lambda processes: processes.agree(long + str(processes.rank), "texts")):
        assert isinstance(error, ProcessError)


@pytest.mark.parametrize("value", [np.array([0.1, np.nan, -0.0]), np.array("täxt"), np.zeros((0, 3)), np.arange(5)])
def test_arrays_arrive_as_they_are(value):
    for found in in_threads(2, lambda processes: processes.gather_arrays({"a/b [c]": value} if processes.rank else {})):
        assert found[0] == {}
        np.testing.assert_array_equal(found[1]["a/b [c]"], value, strict=True)


def test_slurm():
    assert find_launch(SLURM) == Launch(rank=3, count=4, local_rank=1, launcher="srun")


def test_torchrun():
    assert find_launch(TORCHRUN) == Launch(rank=1, count=2, local_rank=0, launcher="torchrun", coordinator="h:29500")
    listening = TORCHRUN | {"TORCHELASTIC_USE_AGENT_STORE": "True"}
    assert find_launch(listening).coordinator == "h:29501"
    by_hand = {name: value for name, value in TORCHRUN.items() if name != "LOCAL_RANK"}
    assert find_launch(by_hand).local_rank is None


def test_torchrun_inside_of_slurm_counts():
    assert find_launch(SLURM | TORCHRUN) == find_launch(TORCHRUN)


def test_a_script_that_sets_world_size_and_uses_srun():
    """Scripts set it, and MASTER_ADDR, for another library."""
    assert find_launch(SLURM | {"WORLD_SIZE": "4", "MASTER_ADDR": "n1", "MASTER_PORT": "29500"}) == find_launch(SLURM)
    assert find_process({"WORLD_SIZE": "1"}) == Launch()
    with pytest.raises(ValueError, match=r"RANK.*WORLD_SIZE"):
        find_process({"WORLD_SIZE": "4"})


def test_mpirun():
    """Processes of mpirun meet where MASTER_ADDR and MASTER_PORT say; so do those of another mpiexec."""
    place = {"MASTER_ADDR": "h", "MASTER_PORT": "29500"}
    by_mpirun = Launch(rank=5, count=8, local_rank=2, launcher="mpirun", coordinator="h:29500")
    assert find_launch(OPEN_MPI | place) == by_mpirun
    assert find_launch(SLURM | OPEN_MPI | place) == by_mpirun  # it starts one helper a machine by srun
    by_mpiexec = Launch(rank=6, count=9, local_rank=3, launcher="mpiexec", coordinator="h:29500")
    assert find_launch(PMI | place) == find_launch(SLURM | PMI | place) == by_mpiexec


def test_srun_that_sets_the_numbers_of_pmi_too():
    assert find_launch(SLURM | {"PMI_RANK": "3", "PMI_SIZE": "4"}) == find_launch(SLURM)


@pytest.mark.parametrize(
    ("environment", "match"),
    [
        ({}, r"neither RANK.* nor SLURM_JOB_ID.* are set\. Start every process with `srun`"),
        ({"SLURM_NTASKS": "4", "SLURM_PROCID": "0"}, "--distributed needs a launcher"),  # a batch script without srun
        ({"RANK": "0"}, "WORLD_SIZE, MASTER_ADDR, MASTER_PORT must be set beside RANK, which torchrun sets"),
        (OPEN_MPI, "MASTER_ADDR, MASTER_PORT must be set beside OMPI_COMM_WORLD_RANK, OMPI_COMM_WORLD_SIZE"),
        (TORCHRUN | {"MASTER_ADDR": ""}, "MASTER_ADDR must be set beside RANK"),
        (TORCHRUN | {"RANK": "2"}, "RANK 2 must be below WORLD_SIZE 2"),
        (TORCHRUN | {"RANK": "-1"}, "RANK must be a whole number, got '-1'"),
        (TORCHRUN | {"MASTER_PORT": "70000"}, "MASTER_PORT 70000 must be from 1 to 65535"),
        (TORCHRUN | {"LOCAL_RANK": "x"}, "LOCAL_RANK must be a whole number"),
        (SLURM | {"SLURM_PROCID": "4"}, "SLURM_PROCID 4 must be below SLURM_NTASKS 4"),
        ({k: v for k, v in SLURM.items() if k != "SLURM_PROCID"}, "SLURM_PROCID must be set beside SLURM_JOB_ID"),
    ],
)
def test_environments_that_say_nothing_or_contradict_themselves(environment, match):
    with pytest.raises(ValueError, match=match):
        find_launch(environment)


def test_one_process_alone_leaves_jax_as_it_is():
    with join_processes(Launch(rank=0, count=1, coordinator="nowhere:1")) as processes:
        assert processes == ALONE
        assert processes.gather(b"x") == [b"x"]
        processes.barrier()
        processes.agree("a", "things")
    assert not jax.distributed.is_initialized()


@pytest.mark.parametrize("count", [1, 2, 5, 9])
def test_every_item_is_that_of_one_process(count):
    items = list(range(7))
    shares = [Processes(rank=rank, count=count).share(items) for rank in range(count)]
    assert sorted(item for share in shares for item in share) == items
    assert np.ptp([len(share) for share in shares]) <= 1
