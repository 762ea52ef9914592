"""`pid-extract` as a user meets it: runs, resumes, verifies, and fails in one line."""

import errno
import json
import os
import shutil
import signal
import subprocess
import sys
import time

import pytest

from extraction.cli.main import main
from extraction.model.shipped import WEIGHTS
from pid_jax.store import ActivationStore
from tests.process_environments import SLURM


@pytest.fixture
def pid_extract(command_line):
    return command_line("pid-extract", main)


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    from extraction.datasets.load import DataSettings, load_samples

    folder = tmp_path_factory.mktemp("data")
    samples = load_samples(DataSettings(reader="easy-vqa", per_task=5))
    for s in samples:
        shutil.copy(s.image, folder)
    rows = [
        {"id": s.id, "image": s.image_name, "question": s.question, "answer": s.answer, "task": s.task} for s in samples
    ]
    path = folder / "data.jsonl"
    path.write_text("\n".join(map(json.dumps, rows)))
    return path


def _one_line(err: str) -> bool:
    errors = [line for line in err.splitlines() if line.startswith("error:")]
    return len(errors) == 1 and "Traceback" not in err


def test_run_knockout_verify(pid_extract, data, tmp_path):
    out = tmp_path / "baseline"
    code, text, _ = pid_extract("run", "--jsonl", data, "--out", out, "--shard-size", 4, "--max-new-tokens", 2)
    assert code == 0
    assert "accuracy 1.0000 on 5 questions" in text
    code, text, _ = pid_extract("run", "--jsonl", data, "--out", out, "--shard-size", 4, "--max-new-tokens", 2)
    assert code == 0
    assert "10 of 10 samples are there and reused; nothing to do" in " ".join(text.split())
    code, text, _ = pid_extract("knockout", "--baseline", out, "--windows", "all,0-2", "--out", tmp_path)
    assert code == 0
    assert text.count("proved on real samples") == 2
    assert text.count("states are the baseline's to") == 2
    for name in ("baseline", "image-question@all", "image-question@0-2"):
        code, text, _ = pid_extract("verify", tmp_path / name)
        assert code == 0, name
        assert "10 samples in 3 shards, every id once" in " ".join(text.split())

    shard = out / "shard-00001.safetensors"
    shard.write_bytes(shard.read_bytes()[:-100])
    code, _, err = pid_extract("verify", out)
    assert code == 1
    assert "shard-00001" in err
    assert "Delete this file" in err
    assert _one_line(err)
    shard.unlink()
    code, text, _ = pid_extract("run", "--jsonl", data, "--out", out, "--shard-size", 4, "--max-new-tokens", 2)
    assert "6 of 10 samples are there and reused" in " ".join(text.split())
    assert pid_extract("verify", out)[0] == 0


def test_knockouts_of_heads_and_random_controls(pid_extract, data, tmp_path):
    base, out = tmp_path / "b", tmp_path / "k"
    assert pid_extract("run", "--jsonl", data, "--out", base, "--layers", "0,-1", "--max-new-tokens", 1)[0] == 0
    command = ("knockout", "--baseline", base, "--out", out)
    code, text, _ = pid_extract(*command, "--heads", "2.1,4.*", "--heads", "5.0", "--control", "random", "--draws", 2)
    assert code == 0
    names = [
        f"{kind}image-question@{heads}"
        for kind in ("", "random-1-of-", "random-2-of-")
        for heads in ("2.1+4.all", "5.0")
    ]
    assert sorted(path.name for path in out.iterdir()) == sorted(names)
    assert text.count("weights of other heads are unchanged") == len(names)
    code, text, _ = pid_extract(*command, "--replace", "noise", "--windows", "all,2-3,0-1", "--seed", 3)
    assert code == 0
    assert text.count("have their means to") == 2
    assert {path.name for path in out.iterdir()} == {*names, "image-noise@all", "image-noise@2-7"}
    condition = ActivationStore.open(out / "random-2-of-image-question@5.0").manifest.condition
    assert condition["heads"] == [[5, 0]]
    assert condition["control"] == {"of": "image-question@5.0", "method": "random", "seed": 0, "draw": 2}
    for more, word in (
        (("--heads", "2"), "heads"),
        (("--heads", "2.9"), "heads"),
        (("--heads", "2.0", "--windows", "0-1"), "--windows"),
        (("--control", "shuffled"), "--control"),
        (("--replace", "zero"), "method"),
        (("--replace", "mean", "--control", "random"), "--replace"),
        (("--control", "random", "--draws", 0), "draws"),
        (("--control", "random", "--draws", 1, "--heads", "5.0", "--seed", 1), "condition"),
    ):
        code, _, err = pid_extract(*command, *more)
        assert code == 1
        assert _one_line(err)
        assert word in err


def test_decision(pid_extract, data, tmp_path):
    base, out = tmp_path / "b", tmp_path / "d"
    assert pid_extract("run", "--jsonl", data, "--out", base, "--layers", "0,-1", "--max-new-tokens", 2)[0] == 0
    code, text, _ = pid_extract("decision", "--baseline", base, "--out", out)
    assert code == 0
    assert text.count("proved on real samples") == 2
    assert "20 of 20 samples are there" in " ".join(
        pid_extract("decision", "--baseline", base, "--out", out)[1].split()
    )
    code, text, _ = pid_extract("decision", "--baseline", base, "--out", out, "--absent", "replaced", "--draws", 2)
    assert code == 0
    names = ["image-only@cut", "image-only@replaced-1", "image-only@replaced-2"]
    names += [name.replace("image", "question") for name in names]
    assert sorted(path.name for path in out.iterdir()) == sorted(names)
    assert all(name in text or name.endswith("cut") for name in names)
    for more, word in (
        (("--absent", "noise"), "absent"),
        (("--draws", 2), "draws"),
        (("--absent", "replaced", "--draws", 2, "--seed", 1), "seed"),
        (("--baseline", out / names[0]), "baseline"),
        (("--baseline", tmp_path), "no activation store"),
    ):
        code, _, err = pid_extract("decision", "--baseline", base, "--out", out, *more)
        assert code == 1
        assert _one_line(err)
        assert word in err


def test_an_image_replaced_after_the_baseline(pid_extract, data, tmp_path):
    folder = tmp_path / "data"
    shutil.copytree(data.parent, folder)
    code, _, _ = pid_extract("run", "--jsonl", folder / data.name, "--out", tmp_path / "b", "--layers", "0,-1")
    assert code == 0
    assert ActivationStore.open(tmp_path / "b").layers == (0, 8)
    records = [json.loads(line) for line in data.read_text().splitlines()]
    names = list(dict.fromkeys(record["image"] for record in records))
    shutil.copy(folder / names[0], folder / names[-1])
    code, _, err = pid_extract("knockout", "--baseline", tmp_path / "b", "--out", tmp_path)
    assert code == 1
    assert names[-1] in " ".join(err.split())
    assert _one_line(err)


def test_other_settings_do_not_overwrite_a_store(pid_extract, data, tmp_path):
    assert pid_extract("run", "--jsonl", data, "--out", tmp_path / "s", "--max-new-tokens", 2)[0] == 0
    code, _, err = pid_extract("run", "--jsonl", data, "--out", tmp_path / "s", "--max-new-tokens", 3)
    assert code == 1
    assert "settings.max_new_tokens: 2 there, 3 asked for" in " ".join(err.split())


def test_store_of_another_schema(pid_extract, tmp_path):
    (tmp_path / "manifest.json").write_text('{"schema": "pid_jax.ActivationStore/99"}')
    code, _, err = pid_extract("verify", tmp_path)
    assert code == 1
    assert "schema 'pid_jax.ActivationStore/99'" in err
    assert _one_line(err)


def test_model_without_processor(pid_extract, data, tmp_path):
    model = tmp_path / "model"
    model.mkdir()
    for name in ("config.json", "model.safetensors"):
        shutil.copy(WEIGHTS / name, model / name)
    code, _, err = pid_extract("run", "--model", model, "--jsonl", data, "--out", tmp_path / "s", "--local-files-only")
    assert code == 1
    assert "Copy the processor files" in " ".join(err.split())
    assert _one_line(err)


@pytest.mark.parametrize("choice", [[], ["--easy-vqa", "--jsonl", "x.jsonl"]])
def test_exactly_one_data_set(pid_extract, tmp_path, choice):
    code, _, err = pid_extract("run", *choice, "--out", tmp_path / "s")
    assert code == 1
    assert "exactly one of --gqa FOLDER, --csv FILE, --jsonl FILE, --dataset FOLDER and --easy-vqa" in err


def test_debug_shows_the_traceback(pid_extract, tmp_path):
    with pytest.raises(ValueError, match="exactly one"):
        pid_extract("run", "--out", tmp_path / "s", "--debug")


@pytest.mark.slow
def test_roles_layers_and_right_answers_only(pid_extract, data, tmp_path):
    options = ("--roles", "question,last", "--layers", "0,4", "--keep", "correct", "--per-task", 3, "--num-workers", 1)
    code, text, _ = pid_extract("run", "--jsonl", data, "--out", tmp_path / "s", "--max-new-tokens", 2, *options)
    assert code == 0
    assert "accuracy 1.0000 on 3 questions" in text
    code, text, _ = pid_extract("info", tmp_path / "s", "--json")
    found = json.loads(text)
    assert (found["layers"], found["roles"]) == ([0, 4], ["last", "question"])
    assert {task["task"]: task["count"] for task in found["tasks"]} == {"what": 3, "yes-no": 3}
    code, text, _ = pid_extract("knockout", "--baseline", tmp_path / "s", "--windows", "sliding:7", "--out", tmp_path)
    assert code == 0
    assert text.count("proved on real samples") == 8


@pytest.fixture
def with_bad_lines(data, tmp_path):
    path = data.parent / f"{tmp_path.name}.jsonl"
    path.write_text(data.read_text() + "\n{not json\n[]\n")
    return path


@pytest.mark.parametrize(
    ("options", "code"), [((), 0), (("--max-errors", 2), 0), (("--max-errors", 1), 1), (("--strict",), 1)]
)
def test_limits_on_errors(pid_extract, with_bad_lines, tmp_path, options, code):
    found, _, err = pid_extract(
        "run", "--jsonl", with_bad_lines, "--out", tmp_path / "s", "--max-new-tokens", 2, *options
    )
    assert found == code
    if code:
        assert "2 samples could not be extracted" in err
        assert _one_line(err)
    else:
        assert err.count("record: ") == 2


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--layers", "x"), "layers must be 'all' or numbers"),
        (("--layers", "0,9"), "layers must be within 0 (embeddings) to 8"),
        (("--roles", "picture"), "roles must be among"),
        (("--keep", "best"), "keep must be 'all' or 'correct'"),
        (("--device", "cpu", "--device-map", "auto"), "not both"),
        (("--template", "USER: {q}"), "template must hold '<image>' exactly once"),
    ],
)
def test_options_that_make_no_sense(pid_extract, data, tmp_path, options, message):
    code, _, err = pid_extract("run", "--jsonl", data, "--out", tmp_path / "s", *options)
    assert code == 1
    assert message in " ".join(err.split())
    assert _one_line(err)


@pytest.mark.slow
@pytest.mark.parametrize("launcher", ["torchrun", "srun"])
def test_two_processes_as_a_launcher_starts_them(data, tmp_path, launcher):
    """Only the first one speaks, and says which launcher it found; together they make every shard."""
    names = {
        "torchrun": ("RANK", "WORLD_SIZE", "LOCAL_RANK"),
        "srun": ("SLURM_PROCID", "SLURM_NTASKS", "SLURM_LOCALID"),
    }
    common = SLURM if launcher == "srun" else {}
    command = [sys.executable, "-m", "extraction.cli", "run", "--jsonl", str(data), "--out", str(tmp_path / "s")]
    command += ["--shard-size", "2", "--max-new-tokens", "2"]
    numbers = [dict(zip(names[launcher], (str(rank), "2", str(rank)), strict=True)) for rank in (0, 1)]
    environments = [{**os.environ, **common, **one} for one in numbers]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    running = [subprocess.Popen(command, env=environment, **pipes) for environment in environments]
    texts = [process.communicate(timeout=120) for process in running]
    assert [process.returncode for process in running] == [0, 0], texts
    assert "accuracy 1.0000 on 5 questions" in texts[0][0]
    assert f"2 processes, started by {launcher}" in texts[0][1]
    assert texts[1] == ("", "")
    store = ActivationStore.open(tmp_path / "s")
    assert store.verify() == []
    assert len(store.ids) == 10


def test_a_full_disk_is_one_line_and_the_same_command_goes_on(pid_extract, data, tmp_path, monkeypatch):
    """At the second shard, in the thread that writes; at the manifest, before anything."""

    def flush_or_fail(path):
        if full in path.name:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    command = ("run", "--jsonl", data, "--out", tmp_path / "s", "--shard-size", 2, "--max-new-tokens", 2)
    for full, left in (("manifest", set()), ("shard-00001", {"manifest.json", "shard-00000.safetensors"})):
        with monkeypatch.context() as patch:
            patch.setattr("pid_jax.runtime.files._flush", flush_or_fail)
            code, _, err = pid_extract(*command)
        assert code == 1
        assert f"{full}." in err
        assert "cannot be written (No space left on device): free space on this disk, then run the same command" in err
        assert _one_line(err)
        assert {path.name for path in (tmp_path / "s").iterdir()} == left
    assert pid_extract(*command)[0] == 0
    assert ActivationStore.open(tmp_path / "s").verify() == []


@pytest.mark.parametrize(
    ("number", "code"), [(signal.SIGTERM, 143), pytest.param(signal.SIGINT, 130, marks=pytest.mark.slow)]
)
def test_a_run_that_is_stopped_says_how_to_resume(tmp_path, number, code):
    out, options = tmp_path / "s", ("--per-task", "2000", "--shard-size", "8", "--max-new-tokens", "2")
    command = [sys.executable, "-m", "extraction.cli", "run", "--easy-vqa", *options, "--num-workers", "1"]
    with subprocess.Popen([*command, "--out", str(out)], stderr=subprocess.PIPE, text=True) as running:
        while not list(out.glob("shard-*")):
            assert running.poll() is None
            time.sleep(0.05)
        os.kill(running.pid, number)
        err = running.communicate(timeout=60)[1]
    assert running.returncode == code
    assert f"Stopped. Shards that are complete in {out} are kept" in " ".join(err.split())
    assert "Traceback" not in err
    store = ActivationStore.open(out)
    assert 0 < len(store.present_shards()) < store.manifest.shard_count
    assert not list(out.glob(".*"))
    store.headers_of(store.present_shards())


@pytest.mark.parametrize("command", [("run", "--jsonl", "q.jsonl"), ("knockout", "--baseline", "none")])
def test_a_place_that_cannot_be_written_is_refused_before_data_are_read(pid_extract, tmp_path, command):
    (tmp_path / "file").touch()
    code, _, err = pid_extract(*command, "--out", tmp_path / "file" / "s")
    assert code == 1
    assert "cannot be a folder" in err
    assert _one_line(err)


@pytest.mark.slow
def test_gqa_in_one_command(pid_extract, tmp_path):
    code, text, _ = pid_extract("gqa-demo", "--out", tmp_path, "--per-task", 4, "--windows", "all,0-2")
    assert code == 0
    assert text.count("proved on real samples") == 2
    for task in ("ChooseAttr", "ChooseCat", "ChooseRel", "CompareAttr", "LogicalObj", "QueryAttr"):
        assert f"{task}: accuracy" in text
    stores = sorted(path.name for path in (tmp_path / "stores").iterdir())
    assert stores == ["baseline", "image-question@0-2", "image-question@all"]
    assert all(ActivationStore.open(tmp_path / "stores" / name).verify() == [] for name in stores)


def test_strict_stays_strict_at_the_second_try(pid_extract, with_bad_lines, tmp_path):
    for _ in range(2):
        code, _, err = pid_extract("run", "--jsonl", with_bad_lines, "--out", tmp_path / "s", "--strict")
        assert code == 1
        assert "delete" in err
        assert "shard-0000" in err


def test_names_that_look_like_markup_are_text(pid_extract, data, tmp_path):
    """Rich would take [red] for a color and stumble over [/x]."""
    rows = [json.loads(line) for line in data.read_text().splitlines()]
    for i, row in enumerate(rows):
        row["task"] = "[/x]" if i % 2 else "[red]colors[/red]"
    path = data.parent / f"{tmp_path.name}.jsonl"
    path.write_text("\n".join(map(json.dumps, rows)))
    store = tmp_path / "s[bold]x[/y]"
    code, text, _ = pid_extract("run", "--jsonl", path, "--out", store, "--max-new-tokens", 2)
    assert code == 0
    assert "[red]colors[/red]: accuracy 1.0000" in text
    assert "[/x]: accuracy 1.0000" in text
    assert "s[bold]x[/y]" in text
    for command in (("verify", store), ("info", store), ("merge", store, "--out", tmp_path / "m[/z]")):
        code, text, _ = pid_extract(*command)
        assert code == 0, command
    assert "m[/z]" in text


def test_failures_of_the_answers_are_listed(pid_extract, with_bad_lines, tmp_path):
    code, _, err = pid_extract("run", "--jsonl", with_bad_lines, "--out", tmp_path / "s", "--keep", "correct")
    assert code == 0
    assert err.count("record: ") == 2
    assert "s.answers" in err


def test_a_task_without_a_right_answer_is_named(pid_extract, data, tmp_path):
    rows = [json.loads(line) for line in data.read_text().splitlines()]
    for row in rows:
        row["answer"] = "nonsense" if row["task"] == "what" else row["answer"]
    path = data.parent / f"{tmp_path.name}.jsonl"
    path.write_text("\n".join(map(json.dumps, rows)))
    options = ("--keep", "correct", "--tasks", "what,yes-no", "--max-new-tokens", 2)
    code, _, err = pid_extract("run", "--jsonl", path, "--out", tmp_path / "s", *options)
    assert code == 1
    assert "No question of what was answered correctly" in err


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--max-errors", -1), "max_errors must be 0 or more"),
        (("--num-workers", -1), "num_workers must be 0 or more"),
        (("--roles", "last,last"), "roles must be different"),
    ],
)
def test_numbers_out_of_range(pid_extract, data, tmp_path, options, message):
    code, _, err = pid_extract("run", "--jsonl", data, "--out", tmp_path / "s", *options)
    assert code == 1
    assert message in err
    assert _one_line(err)
