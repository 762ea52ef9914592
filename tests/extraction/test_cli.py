"""`pid-extract` as a user meets it: runs, resumes, verifies, and fails in one line."""

import json
import shutil

import pytest

from extraction.cli import main
from extraction.tiny import WEIGHTS


@pytest.fixture
def pid_extract(command_line):
    return command_line("pid-extract", main)


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    from extraction.datasets.easy_vqa import load_easy_vqa

    folder = tmp_path_factory.mktemp("data")
    samples = load_easy_vqa("test", per_task=5)
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
