"""The two shipped LLaVAs answer the six GQA tasks about scenes they never saw; their training is sound."""

import dataclasses
from collections import Counter

import pytest

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")

from PIL import Image  # noqa: E402

from extraction.cli.main import main  # noqa: E402
from extraction.datasets.load import DataSettings, select  # noqa: E402
from extraction.model.load import load_model  # noqa: E402
from extraction.model.prompts import TEMPLATES  # noqa: E402
from extraction.model.shipped import SHIPPED  # noqa: E402
from extraction.passes.batch import make_batch  # noqa: E402
from extraction.passes.edges import Knockout  # noqa: E402
from extraction.passes.encode import Encoder  # noqa: E402
from extraction.scenes.folder import scene_samples, write_gqa_folder  # noqa: E402
from extraction.scenes.questions import ASK, ask_questions  # noqa: E402
from extraction.scenes.scene import image_ids, make_scene  # noqa: E402
from extraction.tiny.architecture import IMAGE_TOKENS, build_model  # noqa: E402
from extraction.tiny.evaluate import evaluate_tiny, generate_answers  # noqa: E402
from extraction.tiny.tokenizer import SCENE_VOCABULARY, VOCABULARY, build_processor, build_tokenizer  # noqa: E402
from extraction.tiny.train_scenes import (  # noqa: E402
    SCENE_DECODER,
    SCENE_TOWER,
    practice_questions,
    scene_classes,
    scene_pixels,
    train_on_scenes,
)

LAYERS = {"tiny-gqa-8": 8, "tiny-gqa-6": 6}
IMAGES, PER_TASK = 40, 20
MINIATURE = {
    "tower": dataclasses.replace(SCENE_TOWER, steps=30, images_per_step=16),
    "decoder": dataclasses.replace(SCENE_DECODER, steps=12, images_per_step=3),
}


@pytest.fixture(scope="module", params=LAYERS)
def name(request):
    return request.param


@pytest.fixture(scope="module")
def vlm(name):
    return load_model(name)


@pytest.fixture(scope="module")
def questions(tmp_path_factory):
    """Held-out questions as JPEG files; another seed than that of the training."""
    folder = tmp_path_factory.mktemp("data") / "gqa"
    write_gqa_folder(folder, images=IMAGES, seed=1)
    samples = [sample for i in image_ids("val", IMAGES) for sample in scene_samples(folder, i, 1)]
    return select(samples, DataSettings(reader="gqa", path=folder, tasks=tuple(ASK), per_task=PER_TASK))


def test_shipped_models_are_genuine_and_offline(name, monkeypatch):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    loaded = load_model(name, dtype="float16")
    assert type(loaded.model) is transformers.LlavaForConditionalGeneration
    assert type(loaded.processor) is transformers.LlavaProcessor
    assert len(loaded.layers) == LAYERS[name]
    assert {parameter.dtype for parameter in loaded.model.parameters()} == {torch.float32}
    assert loaded.model.config.get_text_config().vocab_size == len(loaded.processor.tokenizer) == len(SCENE_VOCABULARY)
    assert loaded.model.config.image_token_id == loaded.processor.image_token_id


def test_shipped_accuracy(name, questions):
    accuracy = evaluate_tiny(SHIPPED[name], questions)
    assert set(accuracy) == set(ASK)
    assert min(accuracy.values()) >= 0.95, accuracy


def test_answers_need_the_image(name, questions):
    """With the image cut from all that follows, answers are guesses."""
    edges = tuple(("image", group) for group in ("question", "suffix", "last"))
    blind = evaluate_tiny(SHIPPED[name], questions, knockout=Knockout(edges=edges, first=0, last=LAYERS[name] - 1))
    assert sum(blind.values()) / len(blind) < 0.65, blind


def test_answers_are_one_word_and_the_same_alone_or_in_a_batch(vlm, questions):
    batch = questions[:12]
    assert len({len(sample.question.split()) for sample in batch}) > 1
    answers = generate_answers(vlm, batch)
    assert all(answer in SCENE_VOCABULARY for answer in answers)
    assert answers == [generate_answers(vlm, [sample])[0] for sample in batch]


def test_question_tokens_are_the_words_as_they_stand(vlm, questions):
    for sample in questions[::10]:
        batch = make_batch(vlm, [Encoder.of(vlm, TEMPLATES["plain"]).prepare(sample)])
        ids, groups = batch.inputs["input_ids"][0], batch.groups
        assert int(groups.mask("image").sum()) == IMAGE_TOKENS
        assert "".join(vlm.processor.tokenizer.convert_ids_to_tokens(ids[groups.mask("question")[0]].tolist())) == (
            sample.question.replace(" ", "")
        )


def test_no_question_or_answer_has_an_unknown_word():
    tokenizer = build_tokenizer(SCENE_VOCABULARY)
    assert len(set(SCENE_VOCABULARY)) == len(SCENE_VOCABULARY)
    asked = [question for i in image_ids("val", 1500) for question in ask_questions(make_scene(0, i))]
    for text in {question.text for question in asked} | {question.answer for question in asked}:
        assert tokenizer.unk_token_id not in tokenizer(text)["input_ids"], text
    assert tokenizer.unk_token_id in tokenizer("is the Circle red?")["input_ids"]


def test_vocabularies_begin_alike():
    """Special tokens have the same ids in all shipped models."""
    assert VOCABULARY[:9] == SCENE_VOCABULARY[:9]


def test_training_sees_what_the_processor_makes_of_the_files(questions):
    processor = build_processor(SCENE_VOCABULARY).image_processor
    sample = questions[0]
    with Image.open(sample.image) as picture:
        expected = processor(picture.convert("RGB"), return_tensors="pt")["pixel_values"]
    scene = make_scene(1, int(sample.image.stem))
    torch.testing.assert_close(scene_pixels([scene], processor), expected, atol=1e-6, rtol=1e-6)


def test_classes_are_those_of_left_and_right():
    scene = make_scene(0, 1)
    classes = scene_classes([scene, make_scene(0, 2)])
    assert classes.shape == (2, 2, 5)
    assert classes[0, :, 4].tolist() == [0, 1]
    assert (classes[0, 0, 0] == classes[0, 1, 0]).item() is False, "the two shapes differ"


def test_practice_has_every_task_and_more_of_what_is_hard():
    found = set()
    for image_id in image_ids("train", 20):
        scene = make_scene(0, image_id)
        counts = Counter(sample.task for sample in practice_questions(scene))
        differ = scene.things[0].color != scene.things[1].color
        assert counts.pop("LogicalObj") == (5 if differ else 1)
        assert counts == {"ChooseAttr": 1, "ChooseCat": 2, "ChooseRel": 2, "CompareAttr": 2, "QueryAttr": 3}
        found.add(differ)
    assert found == {True, False}


@pytest.mark.parametrize("layers", [2, 6])
def test_residual_branches_are_scaled_by_the_depth(layers):
    model = build_model(build_tokenizer(SCENE_VOCABULARY), torch.Generator().manual_seed(0), layers)
    blocks = model.model.language_model.layers
    assert len(blocks) == layers
    ratio = blocks[0].self_attn.o_proj.weight.std() / blocks[0].self_attn.v_proj.weight.std()
    assert ratio.item() == pytest.approx((2 * layers) ** -0.5, rel=0.05)


@pytest.mark.slow
def test_miniature_training_lowers_both_losses_and_is_reproducible(tmp_path):
    lines: list[str] = []
    first = train_on_scenes(tmp_path / "first", layers=2, seed=0, report=lines.append, **MINIATURE)
    second = train_on_scenes(tmp_path / "second", layers=2, seed=0, **MINIATURE)
    other = train_on_scenes(tmp_path / "other", layers=2, seed=1, **MINIATURE)
    assert sum(first.tower_loss[-5:]) < sum(first.tower_loss[:5])
    assert sum(first.decoder_loss[-3:]) < 0.7 * sum(first.decoder_loss[:3])
    assert first.decoder_loss == second.decoder_loss != other.decoder_loss
    weights = [(made.folder / "model.safetensors").read_bytes() for made in (first, second, other)]
    assert weights[0] == weights[1] != weights[2]
    assert "held-out" in lines[-1]
    loaded = load_model(str(first.folder), dtype="float32").model
    assert sum(parameter.numel() for parameter in loaded.parameters()) == first.parameters


def test_training_names_what_is_wrong(command_line, tmp_path):
    with pytest.raises(ValueError, match="layers"):
        train_on_scenes(tmp_path / "new", layers=0)
    (tmp_path / "file").write_text("kept")
    with pytest.raises(FileExistsError, match="new or empty folder"):
        train_on_scenes(tmp_path, layers=6)
    pid_extract = command_line("pid-extract", main)
    code, _, err = pid_extract("train-tiny", "--layers", 6, "--out", tmp_path / "new")
    assert code == 1
    assert "--layers must be 8 for easy-vqa, got 6" in err
