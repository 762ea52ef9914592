"""Several processes share a study: what they give is what one gives, and one that fails or is killed loses nothing."""

import json
import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from pid_jax.store import tensor_name
from pid_jax.study.results import load_study, save_study
from tests.process_environments import ALL_NAMES
from tests.study_process import run_small
from tests.study_stores import CUT, EARLY, make_store

LAYERS = 3
TARGET = "final-norm state at the last position"
STUDY = """
dims = [3, 3, 2]
gaussianize = "copula"
compared = []
replicates = 50
measures = ["mmi"]

[[models]]
name = "m"
store = "b"
knockouts = ["k", "damaged"]

[multiverse]
dims = [[2, 2, 2]]
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A study of a model with a whole and a damaged knockout."""
    path = tmp_path_factory.mktemp("study")
    make_store(path / "b", layers=LAYERS)
    make_store(path / "k", CUT, seed=1, layers=LAYERS)
    damaged = make_store(path / "damaged", EARLY, seed=2, layers=LAYERS)
    shard = sorted(Path(damaged.path).glob("shard-*"))[1]
    content = bytearray(shard.read_bytes())
    content[damage_place(damaged)] ^= 0xFF
    shard.write_bytes(content)
    (path / "study.toml").write_text(STUDY)
    return path


def damage_place(store):
    """Find a byte of the question's states at layer 1, which the second process reads."""
    return store.headers[1].places[tensor_name("question", 1)].start


@pytest.fixture(scope="module")
def alone(folder):
    """The bytes of the results of one process."""
    results, _ = run_small(folder, folder / "alone")
    return save_study(results, folder / "alone.nc").read_bytes()


def free_port():
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return free.getsockname()[1]


def environment(**variables):
    kept = {name: value for name, value in os.environ.items() if name not in ALL_NAMES}
    return kept | {"TF_CPP_MIN_LOG_LEVEL": "3"} | variables


def by_torchrun():
    """What torchrun would say to two processes."""
    port = str(free_port())
    common = {"WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port}
    return [environment(RANK=rank, **common) for rank in "01"]


def by_slurm():
    """What srun would say to two processes."""
    common = {"SLURM_JOB_ID": str(free_port()), "SLURM_STEP_NODELIST": "localhost", "SLURM_NTASKS": "2"}
    return [environment(SLURM_PROCID=rank, SLURM_LOCALID=rank, **common) for rank in "01"]


def command(folder, cells, kind):
    return [sys.executable, "-m", "tests.study_process", str(folder), str(folder / cells), kind]


def start(folder, cells, kind="quick", environments=by_torchrun):
    """Run two processes to their ends; return exit codes and what they wrote to stderr."""
    running = [
        subprocess.Popen(command(folder, cells, kind), env=one, stderr=subprocess.PIPE, text=True)
        for one in environments()
    ]
    try:
        errors = [process.communicate(timeout=400)[1] for process in running]
    finally:
        for process in running:
            process.kill()
    return [process.returncode for process in running], errors


def said_by(folder, cells, rank):
    return json.loads((folder / f"{cells}-{rank}.json").read_text())


@pytest.fixture(scope="module")
def shared(folder):
    codes, errors = start(folder, "shared")
    assert codes == [0, 0], errors
    return [said_by(folder, "shared", rank) for rank in (0, 1)]


@pytest.mark.slow
def test_two_processes_give_the_bytes_of_one(folder, alone, shared):
    for rank in (0, 1):
        assert (folder / f"shared-{rank}.nc").read_bytes() == alone
    assert {path.name for path in (folder / "shared").iterdir()} == {path.name for path in (folder / "alone").iterdir()}


@pytest.mark.slow
def test_every_process_reads_its_own_layers_and_the_target_is_read_once(shared):
    own, other = (set(said["reads"]) for said in shared)
    assert not own & other
    roles = [(role, layer) for role in ("image", "question") for layer in range(LAYERS)]
    every = {f"{store} {role} {layer}" for store in ("b", "k", "damaged") for role, layer in (*roles, ("last", "norm"))}
    assert own | other == every
    assert {read.split()[-1] for read in other} == {"1"}


@pytest.mark.slow
def test_a_damaged_shard_has_one_reason_in_all_processes(folder, alone, shared):
    for name in ("alone", "shared-0", "shared-1"):
        found = load_study(folder / f"{name}.nc").sel(model="m", condition="image-question@0-0")
        assert (found.cell == "failed").all()
        for problem in found.problem.values:
            assert "shard-00001.safetensors is damaged" in problem
            assert "question at layer 1" in problem


def test_a_killed_process_leaves_a_study_that_goes_on(folder, alone):
    codes, errors = start(folder, "killed", "killed")
    assert codes == [1, -signal.SIGKILL]
    assert "Another process was lost" in errors[0]
    assert not (folder / "killed-0.nc").exists()
    assert list((folder / "killed").glob(".*.partial"))
    there = {path.name for path in (folder / "killed").glob("*.nc")}
    whole = {path.name for path in (folder / "alone").glob("*.nc")}
    assert there < whole
    before = {name: (folder / "killed" / name).stat().st_mtime_ns for name in there}
    results, lines = run_small(folder, folder / "killed")
    assert lines == [f"m, {TARGET}: {len(there)} of 6 cells are there and reused."]
    assert save_study(results, folder / "resumed.nc").read_bytes() == alone
    assert before == {name: (folder / "killed" / name).stat().st_mtime_ns for name in there}


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_verdicts_and_universes_of_two_processes_are_those_of_one(folder):
    codes, errors = start(folder, "universes", "whole")
    assert codes == [0, 0], errors
    results, _ = run_small(folder, folder / "whole", "whole")
    assert results.sizes["universe"] == 2
    expected = save_study(results, folder / "whole.nc").read_bytes()
    for rank in (0, 1):
        assert (folder / f"universes-{rank}.nc").read_bytes() == expected


@pytest.mark.slow
def test_two_processes_of_slurm_go_on_where_one_of_two_was_killed(folder, alone):
    start(folder, "twice", "killed")
    there = len(list((folder / "twice").glob("*.nc")))
    codes, errors = start(folder, "twice", environments=by_slurm)
    assert codes == [0, 0], errors
    assert said_by(folder, "twice", 0)["lines"] == [f"m, {TARGET}: {there} of 6 cells are there and reused."]
    assert (folder / "twice-0.nc").read_bytes() == alone


@pytest.mark.slow
def test_torchrun_itself(folder, alone):
    pytest.importorskip("torch")
    launcher = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node=2", f"--master-port={free_port()}"]
    run = [*launcher, "--no-python", *command(folder, "torchrun", "quick")]
    done = subprocess.run(run, env=environment(), capture_output=True, text=True, timeout=200)
    assert done.returncode == 0, done.stderr
    for rank in (0, 1):
        assert (folder / f"torchrun-{rank}.nc").read_bytes() == alone


@pytest.mark.slow
@pytest.mark.parametrize(
    ("accident", "own", "other"),
    [
        (
            "full",
            "nc cannot be written (No space left on device): free space",
            "nc cannot be written (No space left on device)",
        ),
        ("other", "Process 1 has other models, stores or settings than process 0", "Process 1 has other models"),
    ],
)
def test_an_error_in_one_process_ends_both(folder, accident, own, other):
    codes, errors = start(folder, accident, accident)
    assert codes == [1, 1]
    assert own in errors[0]
    assert other in errors[1]


def test_the_command_needs_a_launcher(command_line, monkeypatch, folder):
    from pid_jax.cli.main import main as cli

    for name in ALL_NAMES:
        monkeypatch.delenv(name, raising=False)
    run = command_line("pid-jax", cli)
    code, _, error = run("study", folder / "study.toml", "--out", folder / "out", "--distributed")
    assert code == 1
    assert "--distributed needs a launcher" in error
    assert not (folder / "out").exists()
