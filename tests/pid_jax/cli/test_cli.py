"""`pid-jax` as a user meets it."""

import os
import re
import signal
import subprocess
import sys
import time

import numpy as np
import pandas as pd
import pytest

from pid_jax.cli.main import main
from pid_jax.decompose.result import PIDEstimate
from pid_jax.runtime.files import check_file, check_folder
from pid_jax.study.files import save_studies
from pid_jax.study.metrics.verdicts import CLAIMS
from pid_jax.study.results import load_study
from pid_jax.study.run import TargetStudy
from tests.study_results import planted, planted_answer, planted_questions
from tests.study_stores import CUT, make_store


@pytest.fixture
def pid_jax(command_line):
    return command_line("pid-jax", main)


@pytest.fixture
def arrays(tmp_path):
    generator = np.random.default_rng(0)
    target = generator.normal(size=(200, 3))
    path = tmp_path / "arrays.npz"
    values = {name: target + generator.normal(size=(200, 3)) for name in ("source_1", "source_2")}
    np.savez(path, target=target, **values)
    return path


@pytest.mark.slow
def test_estimate(pid_jax, arrays, tmp_path):
    out = tmp_path / "estimate.nc"
    code, text, _ = pid_jax("estimate", arrays, "--bits", "--dims", "2,2,2", "--standardize", "--out", out)
    assert code == 0
    assert "in bits" in text
    loaded = PIDEstimate.load(out)
    assert loaded.settings["reduction"]["standardize"]
    assert loaded.unit == "bits"
    assert loaded.dims == (2, 2, 2)


def test_estimate_needs_the_three_names(pid_jax, tmp_path):
    path = tmp_path / "a.npz"
    np.savez(path, source_1=np.zeros(3), vision=np.zeros(3))
    code, _, err = pid_jax("estimate", path)
    assert code == 1
    assert "has no array source_2, target" in " ".join(err.split())


@pytest.mark.parametrize("dims", ["12", "1,2", "a,b,c", "0,1,1"])
def test_bad_dims(pid_jax, arrays, dims):
    code, _, err = pid_jax("estimate", arrays, "--dims", dims)
    assert code == 1
    assert err.count("error:") == 1
    assert "Traceback" not in err


@pytest.mark.parametrize("command", [["report", "none.nc"], ["study", "--store", "none"]])
def test_missing_input_is_one_line(pid_jax, tmp_path, command):
    code, _, err = pid_jax(*command, "--out", tmp_path / "o")
    assert code == 1
    assert err.count("error:") == 1
    assert "none" in err
    assert "Traceback" not in err


def test_debug_shows_the_traceback(pid_jax, tmp_path):
    with pytest.raises(ValueError, match="does not exist"):
        pid_jax("report", "none.nc", "--out", tmp_path, "--debug")


def test_a_file_that_is_no_npz(pid_jax, tmp_path):
    path = tmp_path / "a.npz"
    path.write_text("x")
    code, _, err = pid_jax("estimate", path)
    assert code == 1
    assert "is no .npz file" in err


@pytest.mark.slow
def test_an_estimate_that_failed_is_no_success(pid_jax, tmp_path):
    target = np.random.default_rng(0).normal(size=(100, 2))
    np.savez(tmp_path / "a.npz", source_1=target, source_2=target[:, :1], target=target)
    code, _, err = pid_jax("estimate", tmp_path / "a.npz", "--dims", "2,1,2")
    assert code == 1
    assert "INFINITE_INFORMATION: The sources determine some direction" in " ".join(err.split())


@pytest.fixture
def one_each(arrays, tmp_path):
    """The arrays of the .npz in files of their own: two columns, one, and one axis."""
    with np.load(arrays) as loaded:
        parts = {name: loaded[name] for name in ("source_1", "source_2", "target")}
    parts = {"source_1": parts["source_1"], "source_2": parts["source_2"][:, :1], "target": parts["target"][:, 0]}
    np.savez(tmp_path / "whole.npz", **parts)
    np.save(tmp_path / "source_1.npy", parts["source_1"])
    np.savetxt(tmp_path / "source_2.csv", parts["source_2"], fmt="%.17g")
    lines = ["\ufefflogit", *(f"{x:.17g}" for x in parts["target"]), ""]
    (tmp_path / "target.tsv").write_text("\n".join(lines), encoding="utf-8")
    return [tmp_path / name for name in ("source_1.npy", "source_2.csv", "target.tsv")]


QUICK = ("--dims", "2,2,2", "--gaussianize", "copula")


@pytest.mark.slow
def test_a_file_for_each_variable(pid_jax, one_each, tmp_path):
    code, text, err = pid_jax("estimate", *one_each, *QUICK)
    assert code == 0, err
    assert pid_jax("estimate", tmp_path / "whole.npz", *QUICK)[1] == text
    frame = pd.DataFrame(np.load(one_each[0]), columns=["a", "b, c", "d\n(e)"])
    frame.to_csv(tmp_path / "frame.csv", index=False)
    assert pid_jax("estimate", tmp_path / "frame.csv", *one_each[1:], *QUICK)[1] == text


@pytest.mark.parametrize(
    ("table", "message"),
    [
        ("a,b\n1,2\n3,x\n", r"'x' in column 1 in line 3, wanted 2 numbers"),
        ("1,2\n3\n", "1 columns in line 2, wanted 2 numbers"),
        ("1,2\n3,\n", "'' in column 1 in line 2"),
        ("a,b\n", "has no row of numbers"),
        ('"a\n\nb",c\n1,2\n\n3,x\n', r"'x' in column 1 in line 6, wanted 2 numbers"),
        ('a,b\n1,2\n"3,4\n5,6\n', r"holds no row of a table from line 3 on \(unexpected end of data\)"),
        (f"1,2\n{'x' * 200_000},2\n", r"holds no row of a table from line 2 on \(field larger"),
        (f"1,2\n{'x' * 500},2\n", r"'x{80}\.\.\.' in column 0 in line 2"),
        (b"1,2\n3,\xe9\n", "is no text in UTF-8"),
        (",a\n0,1.5\n1,2.5\n", r"a first column without a name, .* to_csv\(index=False\)"),
    ],
)
def test_tables_that_hold_no_numbers(pid_jax, one_each, tmp_path, table, message):
    path = tmp_path / "bad.csv"
    path.write_bytes(table if isinstance(table, bytes) else table.encode())
    code, _, err = pid_jax("estimate", one_each[0], path, one_each[2])
    assert code == 1
    assert re.search(rf"bad\.csv has {message}|bad\.csv {message}", " ".join(err.split()))


def test_files_of_the_wrong_number_or_kind(pid_jax, one_each, tmp_path):
    for given in (one_each[:2], one_each[:1], [*one_each, one_each[0]], [tmp_path / "whole.npz", *one_each[1:]]):
        code, _, err = pid_jax("estimate", *given)
        assert code == 1
        assert "give one .npz that holds source_1, source_2, target, or three files" in " ".join(err.split())
    code, _, err = pid_jax("estimate", tmp_path / "none.npy", *one_each[1:])
    assert code == 1
    assert "none.npy" in err
    (tmp_path / "text.npy").write_text("x")
    code, _, err = pid_jax("estimate", tmp_path / "text.npy", *one_each[1:])
    assert code == 1
    assert "text.npy cannot be read" in " ".join(err.split())


def test_objects_are_named_by_array_and_file(pid_jax, one_each, tmp_path):
    objects = np.array([[1.0, None]] * 9, object)
    np.savez(tmp_path / "o.npz", source_1=np.eye(9), source_2=objects, target=np.eye(9))
    np.save(tmp_path / "o.npy", objects)
    for given, name in (([tmp_path / "o.npz"], "source_2 in"), ([one_each[0], tmp_path / "o.npy", one_each[2]], "")):
        code, _, err = pid_jax("estimate", *given)
        assert code == 1
        assert re.search(rf"{name} ?\S*o\.np. holds Python objects, wanted numbers: .*astype", " ".join(err.split()))


def test_a_damaged_npz_is_one_line(pid_jax, arrays, tmp_path):
    content = bytearray(arrays.read_bytes())
    content[200:400] = bytes(200)
    (tmp_path / "damaged.npz").write_bytes(content)
    code, _, err = pid_jax("estimate", tmp_path / "damaged.npz")
    assert code == 1
    assert "damaged.npz cannot be read" in " ".join(err.split())


@pytest.mark.parametrize("seed", [10**20 - 1, 2**32, -1])
@pytest.mark.parametrize("command", [["estimate", "a.npz"], ["study", "--store", "s", "--out", "o"]])
def test_seeds_out_of_range(pid_jax, command, seed):
    code, _, err = pid_jax(*command, "--seed", seed)
    assert code == 1
    assert "error: --seed needs a whole number from 0 to 4294967295" in " ".join(err.split())


@pytest.mark.parametrize(
    ("command", "argument", "message"),
    [
        (("estimate", "ARRAYS"), ".", "--out . is a folder, wanted a file"),
        (("estimate", "ARRAYS"), "FILE/a.nc", "is a file: choose another place"),
        (("study", "--store", "none"), "FILE", "is a file: choose another place"),
        (("report", "none.nc"), "FILE/deep/er", "is a file: choose another place"),
        (("demo",), "FILE", "is a file: choose another place"),
        (("small-study",), "FILE", "is a file: choose another place"),
    ],
)
def test_what_cannot_be_written_is_refused_first(pid_jax, arrays, tmp_path, monkeypatch, command, argument, message):
    def computes(*args, **options):
        raise AssertionError("nothing is to be computed")

    monkeypatch.setattr("pid_jax.estimate.samples.estimate_pid", computes)
    monkeypatch.setattr("pid_jax.cli.demo._pid_extract", computes)
    (tmp_path / "file").write_text("")
    given = [str(arrays) if one == "ARRAYS" else one for one in command]
    code, _, err = pid_jax(*given, "--out", argument.replace("FILE", str(tmp_path / "file")))
    assert code == 1
    assert message in " ".join(err.split())


def test_folders_that_are_read_only(tmp_path, monkeypatch):
    monkeypatch.setattr("os.access", lambda place, mode: False)  # root may write everywhere
    for check in (check_file, check_folder):
        with pytest.raises(ValueError, match="--out"):
            check(tmp_path / "deep" / "er", "--out")


STUDY = '[[models]]\nname = "m"\nstore = "b"\nknockouts = ["k"]\n'
SETTINGS = 'target = "final-norm"\ndims = [3, 3, 2]\ngaussianize = "copula"\ncompared = []\nreplicates = 50\n'


@pytest.fixture(scope="module")
def study_folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("study")
    make_store(folder / "b")
    make_store(folder / "k", CUT, seed=1)
    make_store(folder / "o", CUT | {"name": "image-last@all"}, settings={"model": {"name": "other"}})
    (folder / "study.toml").write_text(SETTINGS + STUDY)
    return folder


@pytest.mark.slow
def test_a_study_file_to_results_and_page(pid_jax, study_folder):
    out = study_folder / "out"
    code, text, _ = pid_jax("study", study_folder / "study.toml", "--out", out)
    assert code == 0
    assert "What this study says of the claims" in text
    results = load_study(out / "results.nc")
    assert results.verdict.shape == (1, len(CLAIMS))
    assert (out / "report.html").stat().st_size > 1e6
    before = (out / "results.nc").read_bytes(), (out / "report.html").read_bytes()
    code, text, _ = pid_jax("study", study_folder / "study.toml", "--out", out)
    assert code == 0
    assert "4 of 4 cells are there and reused" in text
    assert ((out / "results.nc").read_bytes(), (out / "report.html").read_bytes()) == before


@pytest.mark.parametrize("option", ["--seed", "--dims", "--standardize", "--tasks", "--targets", "--knockout"])
def test_options_that_a_study_file_has_entries_for(pid_jax, study_folder, option):
    value = () if option == "--standardize" else ("1",)
    code, _, err = pid_jax("study", study_folder / "study.toml", option, *value, "--out", study_folder / "out3")
    assert code == 1
    assert f"{option} and a study file were given" in " ".join(err.split())


def test_a_report_of_all_targets_of_a_folder(pid_jax, tmp_path, monkeypatch):
    """Files of the first state have plain names, those of other targets begin with the target."""
    drawn = []
    monkeypatch.setattr("pid_jax.plot.files.save_missing", lambda figures, *rest: drawn.extend(figures) or [])
    made = {"answer": planted_answer(replicates=2), "final-norm": planted(replicates=2)}
    studies = {name: TargetStudy(results=results) for name, results in made.items()}
    studies["answer"] = TargetStudy(results=made["answer"], questions=planted_questions(made["answer"]))
    written = [path.name for path in save_studies(studies, tmp_path)]
    assert written == ["answer.nc", "questions.nc", "results.nc"]
    code, _, _ = pid_jax("report", tmp_path, "--out", tmp_path / "out")
    assert code == 0
    assert {"answer-information-six", "trajectories-six", "answer-models", "models"} <= {*drawn}
    assert len(drawn) == len({*drawn})
    assert "questions-data" in (tmp_path / "out" / "report.html").read_text()
    code, _, err = pid_jax("report", tmp_path / "out", "--out", tmp_path / "out")
    assert code == 1
    assert "results.nc" in err


def stopped_after(count):
    """Draw so many figures, then be stopped by Ctrl-C."""
    drawn = []

    def save_figure(figure, path, digest=""):
        if len(drawn) == count:
            raise KeyboardInterrupt
        drawn.append(path)
        return path

    return save_figure


def test_what_is_complete_when_the_drawing_is_stopped(pid_jax, tmp_path, monkeypatch):
    save_studies({"final-norm": TargetStudy(results=planted(replicates=2))}, tmp_path)
    results = (tmp_path / "results.nc").read_bytes()
    monkeypatch.setattr("pid_jax.plot.files.save_figure", stopped_after(2))
    code, text, err = pid_jax("report", tmp_path, "--out", tmp_path, "--figures", "models,trajectories-*")
    assert code == 130
    assert "Page: " in text
    assert f"pid-jax report {tmp_path}" in err
    assert (tmp_path / "report.html").read_text().rstrip().endswith("</html>")
    assert (tmp_path / "results.nc").read_bytes() == results


def test_no_figures_and_many(pid_jax, tmp_path, monkeypatch):
    many = planted({f"m{i}": 3 for i in range(8)}, cuts={}, replicates=2)
    save_studies({"final-norm": TargetStudy(results=many)}, tmp_path)
    drawn = []
    monkeypatch.setattr("pid_jax.plot.files.save_missing", lambda figures, *rest: drawn.extend(figures) or [])
    for given, wanted in ((("--figures", "none"), []), ((), ["models"])):
        drawn.clear()
        code, text, _ = pid_jax("report", tmp_path, "--out", tmp_path, *given)
        assert code == 0
        assert drawn == wanted
    assert "--figures all" in text


@pytest.mark.slow
def test_what_is_left_out_is_one_line_each(pid_jax, study_folder):
    stores = ("--store", study_folder / "b", "--knockout", study_folder / "k", "--knockout", study_folder / "o")
    options = ("--dims", "3,3,2", "--gaussianize", "copula", "--targets", "final-norm", "--out", study_folder / "out2")
    code, _, err = pid_jax("study", *stores, *options)
    assert code == 0
    assert "is left out: it was not made like" in " ".join(err.split())
    code, _, err = pid_jax("study", *stores, *options, "--strict")
    assert code == 1
    assert "1 parts of the study had to be left out" in " ".join(err.split())


@pytest.mark.slow
def test_a_figure_that_fails_hides_nothing_that_was_found(pid_jax, study_folder, monkeypatch):
    def fails(*given, **options):
        raise ValueError("no figure")

    monkeypatch.setattr("pid_jax.plot.windows.draw_effects", fails)
    content = (SETTINGS + STUDY).replace('"k"]', '"k", "o"]')
    (study_folder / "other.toml").write_text(content)
    out = study_folder / "out4"
    code, text, err = pid_jax("study", study_folder / "other.toml", "--out", out)
    assert code == 1
    err = " ".join(err.split())
    assert err.index("is left out: it was not made like") < err.index("error: no figure")
    assert "What this study says of the claims" in text
    assert load_study(out / "results.nc").attrs["problems"] != "[]"
    assert "it was not made like" in (out / "report.html").read_text()


DAMAGES = {
    "manifest.json": lambda path: path.write_text(path.read_text().replace('"shard_size": 50', '"shard_size": 60')),
    "no manifest.json": lambda path: (path.parent / "manifest.json").unlink(),
    "1 of 3 shards are missing": lambda path: (path.parent / "shard-00001.safetensors").unlink(),
}


@pytest.mark.parametrize("named", DAMAGES)
def test_a_store_that_was_tampered_with_is_one_line(pid_jax, tmp_path, named):
    make_store(tmp_path / "b")
    DAMAGES[named](tmp_path / "b" / "manifest.json")
    code, _, err = pid_jax("study", "--store", tmp_path / "b", "--targets", "final-norm", "--out", tmp_path / "o")
    assert code == 1
    assert named in err
    assert str(tmp_path / "b") in err
    assert err.count("error:") == 1
    assert "Traceback" not in err


def test_folders_of_cells_and_figures_are_looked_at_first(pid_jax, tmp_path):
    for name in ("cells", "figures"):
        out = tmp_path / name
        out.mkdir()
        (out / name).write_text("")
        code, _, err = pid_jax("study", "--store", "none", "--out", out)
        assert code == 1
        assert f"--out {out / name} cannot be a folder" in " ".join(err.split())


@pytest.mark.slow
@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, 130), (signal.SIGKILL, -9)])
def test_a_study_that_is_stopped_resumes(study_folder, tmp_path, number, code):
    """As soon as a cell is there."""
    command = [sys.executable, "-m", "pid_jax.cli", "study", str(study_folder / "study.toml"), "--figures", "none"]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    with subprocess.Popen([*command, "--out", str(tmp_path)], **pipes) as running:
        while not list((tmp_path / "cells").glob("*.nc")):
            assert running.poll() is None
            time.sleep(0.02)
        os.kill(running.pid, number)
        err = running.communicate(timeout=100)[1]
    assert running.returncode == code
    assert (f"Cells in {tmp_path / 'cells'} are kept" in " ".join(err.split())) == (code > 0)
    assert "Traceback" not in err
    assert not (tmp_path / "results.nc").exists()
    done = subprocess.run([*command, "--out", str(tmp_path)], capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    assert "of 4 cells are there and reused" in done.stdout
    assert (tmp_path / "report.html").exists()


def test_a_study_needs_one_description(pid_jax, tmp_path):
    for given, what in (((), "neither"), ((tmp_path / "x.toml", "--store", "b"), "both")):
        code, _, err = pid_jax("study", *given, "--out", tmp_path / "o")
        assert code == 1
        assert f"needs a study file or --store, got {what}" in " ".join(err.split())
