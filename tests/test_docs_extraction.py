"""What the guides say on extraction and studies runs as it stands, with small models and data, through to the page."""

import dataclasses
import json
import re
import shlex
import shutil
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("torch")
pytest.importorskip("transformers")

from PIL import Image

import extraction.cli.main
import pid_jax.cli.main
from pid_jax.plot.trajectories import plot_trajectories
from pid_jax.plot.windows import plot_windows
from pid_jax.store import ActivationStore
from pid_jax.study.config import read_config
from pid_jax.study.results import load_study, one_model
from tests.extraction import random_models
from tests.study_process import QUICK

ROOT = Path(__file__).parent.parent
COMMANDS = {"pid-extract": extraction.cli.main.main, "pid-jax": pid_jax.cli.main.main}
IMAGES = 60  # all studies have as many samples, so that little is compiled
TASKS = ("ChooseAttr", "LogicalObj")
# What a guide names, and what stands in for it here.
IN_SMALL = {
    "llava-hf/llava-1.5-7b-hf": "tiny-gqa-8",
    "--per-task 1000": f"--per-task {IMAGES}",
    "--template vicuna_v1": "--template plain",
    "sliding:7": "sliding:8",
    "--per-task 300": "--per-task 20",
    "--draws 20": "--draws 2",
}
WORDS = ("circle", "red", "blue", "thing", "photo")


def blocks(page: str, kind: str, heading: str = "") -> list[str]:
    """Return the blocks of a page that have this kind, below a heading if one is given."""
    text = (ROOT / page).read_text(encoding="utf-8")
    if heading:
        text = text.partition(f"\n{heading}\n")[2].partition("\n## ")[0]
    every = re.findall(r"^```(.*?)\n(.*?)^```$", text, re.DOTALL | re.MULTILINE)
    found = [block for own, block in every if own == kind]
    assert found, f"{page} has no block {kind!r} below {heading!r}"
    return found


@pytest.fixture
def run_block(command_line, monkeypatch):
    """Make a function that runs the lines of a console block one after the other, small, and returns their output."""
    spec = dataclasses.replace(QUICK, replicates=50, tasks=TASKS)
    monkeypatch.setattr("pid_jax.study.config.study_spec", lambda **options: spec)

    def run(block: str) -> str:
        for long, short in IN_SMALL.items():
            block = block.replace(long, short)
        said = ""
        for line in block.replace("\\\n", " ").splitlines():
            name, *arguments = shlex.split(_expand(line))
            code, out, err = command_line(name, COMMANDS[name])(*arguments)
            assert code == 0, f"{line}: {out}{err}"
            said += out
        return said

    return run


def _expand(line: str) -> str:
    """Do what the shell does with $(printf -- 'TEXT %s ' PATTERN)."""

    def expanded(found: re.Match[str]) -> str:
        return "".join(found[1] % path for path in sorted(Path().glob(found[2])))

    return re.sub(r"\$\(printf -- '(.*?)' (.*?)\)", expanded, line)


@pytest.mark.slow
def test_a_model_and_masks_of_your_own(run_block, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(random_models, "LAYERS", 8)
    vlm = random_models.random_llava()
    generator = np.random.default_rng(0)
    images = [Image.fromarray(generator.integers(0, 255, (32, 32, 3), dtype=np.uint8)) for _ in range(2 * IMAGES)]
    records = [
        (
            image,
            f"what is the color of the {generator.choice(WORDS)} ?",
            str(generator.choice(WORDS[1:3])),
            TASKS[i % 2],
        )
        for i, image in enumerate(images)
    ]
    example, of_boxes = blocks("docs/real_llava.md", "python", "## From Python")
    names = {"model": vlm.model, "processor": vlm.processor, "records": records}
    exec(compile(example, "real_llava.md", "exec"), names)
    assert list(names["stores"]) == ["image-question@0-6", "first-patch@0-6"]
    names["boxes"] = {sample.id: (0.0, 0.0, 0.5, 0.5) for sample in names["samples"][1:]}
    exec(compile(of_boxes, "real_llava.md", "exec"), names)
    own = names["extract_with_knockouts"](*(names[n] for n in ("model", "processor", "samples", "store")),
                                          [names["cut"]], "own")  # fmt: skip
    assert own["central-object@0-6"].verify() == []
    (command,) = blocks("docs/real_llava.md", "", "## From Python")
    assert "Figures: study/figures" in run_block(command)
    results = load_study("study/results.nc")
    assert results["condition"].values.tolist() == ["baseline", *names["stores"]]
    assert results["edges"].values.tolist() == ["", "image-question", "first-patch"]
    assert results["window"].values.tolist() == ["", "0-6", "0-6"]
    assert results["cut_last"].values.tolist() == [[-1, 6, 6]]
    _check_figures(one_model(results, "baseline"))
    page = Path("study/report.html").read_text(encoding="utf-8")
    (block,) = re.findall(r'id="data">(.*?)</script>', page, re.DOTALL)
    labels = json.loads(block)["labels"]
    assert labels["edges"] == {"image-question": "Image→Question", "first-patch": "first-patch"}
    shown = ["Baseline", "Image→Question cut, layers 0–6", "first-patch cut, layers 0–6"]
    assert list(labels["condition"].values()) == shown


def _check_figures(model):
    """Both cuts have maps, entries of the legend, and columns."""
    maps = plot_windows(model)
    firsts = maps.axes[: 2 * len(TASKS) : len(TASKS)]
    wanted = ["Image→Question in blocks", "first-patch in blocks"]
    assert [axes.get_ylabel().replace("\n", " ") for axes in firsts] == wanted
    assert [label.get_text() for axes in firsts for label in axes.get_yticklabels()] == ["0-6", "0-6"]
    assert [text.get_text() for text in maps.legends[0].get_texts()] == ["Image→Question", "first-patch"]
    columns = plot_trajectories(model).axes[:3]
    assert ["cut in blocks 0–6" in [text.get_text() for text in axes.texts] for axes in columns] == [False, True, True]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("guides")


@pytest.fixture
def stores(folder, run_block, monkeypatch):
    """A folder with the stores that the README's commands write, and generated images for a real model's."""
    monkeypatch.chdir(folder)
    *extract, _ = blocks("README.md", "", "## On a real LLaVA")[0].replace("\\\n", " ").splitlines()
    if not Path("stores").exists():
        run_block(f"pid-extract make-gqa --images {IMAGES} --out gqa")
        run_block("\n".join(extract))
    return folder / "stores"


@pytest.mark.slow
def test_stores_of_the_readme_through_to_the_page(stores, run_block):
    study = blocks("README.md", "", "## On a real LLaVA")[0].splitlines()[-1]
    assert [study] == blocks("docs/study.md", "", "## With your own stores")[0].splitlines()
    run_block(study)
    assert load_study("study/results.nc")["edges"].values.tolist() == ["", "image-question", "image-question"]
    assert Path("study/report.html").exists()


@pytest.mark.slow
def test_recipe_of_the_six_tasks(stores, run_block):
    found = blocks("docs/recipes.md", "", "## LLaVA on the six tasks of GQA")
    commands = [block for block in found if block.startswith("pid-")]
    assert len(commands) == 4
    assert "ChooseRel" in run_block(commands[0])
    said = run_block(commands[3])
    assert said.count("Page:") == 2
    assert load_study("study-windows/results.nc").sizes["condition"] > 3


@pytest.mark.slow
def test_decisions_as_the_guide_says(tmp_path, run_block, monkeypatch):
    monkeypatch.chdir(tmp_path)
    run_block(blocks("docs/decision_level.md", "")[0])
    names: dict = {}
    for block in blocks("docs/decision_level.md", "python"):
        exec(compile(block, "decision_level.md", "exec"), names)
    assert names["found"].pointwise.synergy.shape == names["decision"].ids.shape
    assert names["what"].p_image.shape == names["what"].p_both.shape == (20, len(names["what"].answers))
    assert len(list(Path("stores").glob("*@replaced-*"))) == 4


@pytest.mark.slow
def test_reading_a_store_as_the_guides_say(stores):
    names: dict = {}
    first, target, merge = blocks("docs/store.md", "python")
    exec(compile(first, "store.md", "exec"), names)
    exec(compile(target, "store.md", "exec"), names)
    assert isinstance(names["store"], ActivationStore)
    assert len(names["reader"].read(names["store"], "norm")) == len(names["store"].ids)
    exec(compile(blocks("docs/real_llava.md", "python")[0], "real_llava.md", "exec"), names)
    (stream,) = blocks("docs/recipes.md", "python", "## More samples than fit in memory")
    exec(compile(stream, "recipes.md", "exec"), names)
    assert names["estimate"].settings
    for machine in ("machine-1", "machine-2"):
        shutil.copytree(stores / "baseline", Path(machine) / "baseline", dirs_exist_ok=True)
    exec(compile(merge, "store.md", "exec"), names)
    assert ActivationStore.open("baseline").ids.tolist() == names["store"].ids.tolist()


@pytest.mark.slow
def test_reading_data_as_the_guide_says(stores):
    exec(compile(blocks("docs/data.md", "python")[0], "data.md", "exec"), names := {})
    samples = names["load_samples"](names["DataSettings"](reader="gqa", path="gqa", tasks=("ChooseRel",)))
    assert {sample.task for sample in samples} == {"ChooseRel"}


def test_study_file_of_the_guide_is_read(tmp_path):
    (text,) = blocks("docs/study.md", "toml")
    for name in ("image-question@all", "question-only@replaced-0", "image-only@replaced-0"):
        (tmp_path / "stores/1.5" / name).mkdir(parents=True)
    path = tmp_path / "study.toml"
    path.write_text(text, encoding="utf-8")
    config = read_config(path)
    assert [model.name for model in config.models] == ["LLaVA-1.5-7B", "LLaVA-1.6-7B"]
    assert config.models[0].knockouts == (str(tmp_path / "stores/1.5/image-question@all"),)
    assert len(config.models[0].decision) == 2
    assert config.multiverse is not None
    assert config.spec.dims == (12, 12, 8)
