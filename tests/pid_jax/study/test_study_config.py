"""A study file says what it means, or what is wrong with it."""

import dataclasses
from importlib.resources import files

import pytest

from pid_jax.cli.demo import SMALL_EDGES, SMALL_MODELS, SMALL_STUDY
from pid_jax.pid.broja import BROJA
from pid_jax.pid.dependency import IDep
from pid_jax.pid.mmi import MMI
from pid_jax.settings.categorical import CategoricalSpec, LinearClassifier
from pid_jax.settings.estimate import PCA
from pid_jax.settings.gaussianize import Copula, NoGaussianization, RealNVP
from pid_jax.store.targets import Answer, AnswerLogits, FinalNorm, LogitLens
from pid_jax.study.config import ModelConfig, open_models, read_config, study_spec
from pid_jax.study.model import condition_name
from pid_jax.study.multiverse import Multiverse, list_universes
from pid_jax.study.spec import StudySpec
from tests.study_stores import CUT, EARLY, make_store

MODEL = '[[models]]\nname = "m"\nstore = "b"\n'
FULL = """
seed = 3
dims = [4, 5, 6]
standardize = true
gaussianize = "nothing"
compared = ["copula"]
measures = ["mmi"]
compared_measures = ["broja", "idep"]
target = "answer-logits"
replicates = 80
level = 0.9
keep = "correct"
tasks = ["a"]

[[models]]
name = "m"
store = "b"
knockouts = ["image-question@*", "s3://bucket/k"]
decision = ["*-only@cut"]

[[models]]
name = "n"
store = "s3://bucket/b"

[multiverse]
targets = ["logit-lens"]
dims = [[2, 2, 1]]
gaussianize = ["copula", "flow"]
measures = ["broja"]
conditions = ["image-question@all"]
full = true
"""


def write(folder, text):
    path = folder / "study.toml"
    path.write_text(text)
    return path


def test_every_entry_arrives(tmp_path):
    for name in ("image-question@all", "image-question@0-2", "question-only@cut", "image-only@cut"):
        (tmp_path / name).mkdir()
    config = read_config(write(tmp_path, FULL))
    assert config.seed == 3
    knockouts = (str(tmp_path / "image-question@0-2"), str(tmp_path / "image-question@all"), "s3://bucket/k")
    decision = (str(tmp_path / "image-only@cut"), str(tmp_path / "question-only@cut"))
    assert config.models == (
        ModelConfig(name="m", store=str(tmp_path / "b"), knockouts=knockouts, decision=decision),
        ModelConfig(name="n", store="s3://bucket/b"),
    )
    spec = config.spec
    assert spec.level == 0.9
    assert spec.pid.reduction == PCA(dim=(4, 5, 6), standardize=True)
    assert spec.pid.gaussianize == NoGaussianization()
    assert (spec.compared, spec.measures) == ((Copula(),), (MMI(),))
    assert spec.compared_measures == (BROJA(), IDep())
    assert spec.claim_measures == (MMI(), BROJA(), IDep())
    assert (spec.target, spec.replicates, spec.keep, spec.tasks) == (AnswerLogits(), 80, "correct", ("a",))
    assert config.multiverse == Multiverse(
        targets=(LogitLens(),),
        dims=((2, 2, 1),),
        gaussianizers=(Copula(), RealNVP(intervals=True)),
        measures=(BROJA(),),
        conditions=("image-question@all",),
        is_full=True,
    )


def test_the_shipped_study_can_be_read(tmp_path):
    for model in SMALL_MODELS:
        names = [*(f"{edges}@{window}" for edges in SMALL_EDGES for window in ("all", "0-2")), "image-only@cut"]
        for name in ("baseline", *names):
            (tmp_path / "stores" / model / name).mkdir(parents=True)
    shipped = files("pid_jax").joinpath(SMALL_STUDY).read_text(encoding="utf-8")
    (tmp_path / SMALL_STUDY).write_text(shipped, encoding="utf-8")
    config = read_config(tmp_path / SMALL_STUDY)
    assert [len(one.knockouts) for one in config.models] == [6, 6]
    assert config.targets == (Answer(), FinalNorm())
    assert config.multiverse is not None


def test_what_is_left_out_has_its_default(tmp_path):
    config = read_config(write(tmp_path, MODEL))
    assert config.spec == study_spec() == StudySpec()
    assert config.targets == ()
    assert config.multiverse is None
    assert config.seed == 0


def test_targets_and_classifier(tmp_path):
    config = read_config(write(tmp_path, 'targets = ["gold-answer", "logit-lens"]\nclassifier = "linear"\n' + MODEL))
    assert config.targets == (Answer(of="gold"), LogitLens())
    assert config.spec.target == LogitLens()
    assert config.spec.categorical == CategoricalSpec(classifier=LinearClassifier())
    assert read_config(write(tmp_path, 'target = "correctness"\n' + MODEL)).targets == (Answer(of="correct"),)
    with pytest.raises(TypeError, match="categorical"):
        StudySpec(categorical=LinearClassifier())  # pyright: ignore[reportArgumentType]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", r"needs at least one \[\[models\]\]"),
        ('[[models]]\nname = "m"', r"models\[0\] needs store"),
        ('[[models]]\nname = 3\nstore = "b"', "name needs a text, got 3"),
        (
            '[[models]]\nname = "m"\nstore = "b"\nlayers = 3',
            r"models\[0\] has no entry 'layers'; there are name, store",
        ),
        (MODEL + 'knockouts = "k"', "knockouts needs a list of texts"),
        (MODEL + 'knockouts = ["k*"]', r"no folder matches 'k\*'"),
        (MODEL + 'decision = ["*-only@cut"]', "decision: no folder matches"),
        ('level = "high"\n' + MODEL, "level needs a number"),
        ("level = 95\n" + MODEL, "level"),
        ("dim = [1, 2, 3]\n" + MODEL, "no entry 'dim'; there are seed, preset, dims"),
        ("dims = [1, 2]\n" + MODEL, r"dims needs three whole numbers above 0 .* got \[1, 2\]"),
        ("dims = [1, 2, true]\n" + MODEL, "dims needs three whole numbers"),
        ("seed = true\n" + MODEL, "seed needs a whole number, got True"),
        ('gaussianize = "flows"\n' + MODEL, "gaussianize needs one of .* got 'flows'"),
        ('measures = ["broja", "imin"]\n' + MODEL, r"measures\[1\] needs one of \['broja', 'mmi', .*\], got 'imin'"),
        ("replicates = 5\n" + MODEL, "needs at least 50 .* got 5"),
        ('keep = "some"\n' + MODEL, "keep needs one of .* got 'some'"),
        ('targets = ["answer", "answer"]\n' + MODEL, "targets"),
        ("targets = []\n" + MODEL, "targets"),
        ('target = "answer"\ntargets = ["answer"]\n' + MODEL, "targets"),
        ('classifier = "forest"\n' + MODEL, "classifier"),
        ('target = "logits"\n' + MODEL, "target needs one of .* got 'logits'"),
        ("multiverse = 3\n" + MODEL, "multiverse needs a table"),
        (MODEL + "[multiverse]\nfull = 1", "full needs true or false, got 1"),
        (MODEL + "[multiverse]\ndims = [1]", r"dims\[0\] needs three whole numbers"),
        ("a = ", "is no TOML file that can be read"),
    ],
)
def test_what_is_wrong_is_named(tmp_path, text, message):
    with pytest.raises(ValueError, match=message) as caught:
        read_config(write(tmp_path, text))
    assert str(tmp_path / "study.toml") in str(caught.value)


def test_a_missing_file_and_one_that_is_no_text(tmp_path):
    with pytest.raises(ValueError, match="does not exist"):
        read_config(tmp_path / "none.toml")
    path = tmp_path / "x.toml"
    path.write_bytes(b"\xff\xfe")
    with pytest.raises(ValueError, match="TOML"):
        read_config(path)


def test_paths_and_patterns(tmp_path, monkeypatch):
    """Files and what is named twice count once or not; ~ is home; brackets of the file's own folder are no pattern."""
    home, folder = tmp_path / "home", tmp_path / "study[1]"
    monkeypatch.setenv("HOME", str(home))
    for path in (home / "k@1", folder / "k@1", folder / "k@2"):
        path.mkdir(parents=True)
    (folder / "k@3.txt").write_text("")
    patterns = f'knockouts = ["k@*", "k@2", "~/k@*", "{home}/k@?", "../home/k@1"]'
    (model,) = read_config(write(folder, MODEL.replace('"b"', '"~/b"') + patterns)).models
    assert model.store == str(home / "b")
    others = (str(home / "k@1"), str(folder / "../home/k@1"))
    assert model.knockouts == (str(folder / "k@1"), str(folder / "k@2"), *others)


def test_a_folder_is_no_study_file(tmp_path):
    with pytest.raises(ValueError, match="TOML"):
        read_config(tmp_path)


def test_stores_behind_packages_or_rights_that_are_missing(tmp_path, monkeypatch):
    make_store(tmp_path / "b")
    (tmp_path / "k" / "manifest.json").mkdir(parents=True)
    knockouts = (str(tmp_path / "k"), "nobody-knows://bucket/k")
    models, problems = open_models([ModelConfig(name="m", store=str(tmp_path / "b"), knockouts=knockouts)])
    assert len(models) == 1
    assert len(problems) == 2


def test_stores_that_cannot_be_opened_are_named(tmp_path):
    make_store(tmp_path / "b")
    make_store(tmp_path / "k", CUT)
    (tmp_path / "empty").mkdir()
    paths = {name: str(tmp_path / name) for name in ("b", "k", "empty", "none")}
    models, problems = open_models(
        [
            ModelConfig(name="m", store=paths["b"], knockouts=(paths["empty"], paths["k"])),
            ModelConfig(name="n", store=paths["none"], knockouts=(paths["k"],)),
        ]
    )
    assert [model.name for model in models] == ["m"]
    assert [condition_name(store) for store in models[0].stores] == ["baseline", "image-question@all"]
    assert len(problems) == 2
    assert problems[0].startswith("model 'm': ")
    assert "is no activation store" in problems[0]
    assert problems[1].startswith("model 'n': ")


def test_universes_change_one_choice_at_a_time():
    spec = study_spec(gaussianize="copula")
    others = Multiverse(targets=(AnswerLogits(),), dims=((2, 2, 1), (12, 12, 8)), measures=(MMI(), BROJA()))
    universes = list_universes(spec, others)
    assert universes[0].labels == {
        "target": FinalNorm().label,
        "dims": "12,12,8",
        "gaussianizer": "Copula",
        "measure": "broja",
    }
    assert len(universes) == 4  # what the study has already is not tried twice
    for universe in universes[1:]:
        assert sum(a != b for a, b in zip(universe.labels.values(), universes[0].labels.values(), strict=True)) == 1
    applied = universes[2].apply(spec)
    assert applied.pid.reduction == PCA(dim=(2, 2, 1))
    assert applied.pid.gaussianize == Copula()
    assert applied.compared == ()
    full = list_universes(spec, dataclasses.replace(others, is_full=True))
    assert len(full) == len(set(full)) == 2 * 2 * 2
    assert full[0] == universes[0]


def test_the_study_itself_is_the_first_universe():
    spec = study_spec(gaussianize="copula", measures=("mmi", "broja"))
    (own,) = list_universes(spec, Multiverse())
    assert (own.gaussianizer, own.measure) == (Copula(), MMI())


def test_condition_names_are_kept(tmp_path):
    assert condition_name(make_store(tmp_path / "e", EARLY)) == "image-question@0-0"


def test_universes_of_an_answer_do_not_depend_on_dims_or_gaussianizer():
    multiverse = Multiverse(targets=(Answer(),), dims=((2, 2, 1),), gaussianizers=(NoGaussianization(),), is_full=True)
    universes = list_universes(StudySpec(), multiverse)
    assert len(universes) == 2 * 2 + 1
    (about,) = [one for one in universes if one.target == Answer()]
    assert (about.dims, about.gaussianizer) == (universes[0].dims, universes[0].gaussianizer)
