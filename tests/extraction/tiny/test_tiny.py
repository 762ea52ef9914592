"""The shipped LLaVA is genuine, offline and right; its training packs without an error."""

import dataclasses

import pytest

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")
pytest.importorskip("easy_vqa", reason="easy-VQA ships in the package easy-vqa")

from PIL import Image  # noqa: E402

from extraction.datasets.easy_vqa import load_easy_vqa  # noqa: E402
from extraction.datasets.load import DataSettings, load_samples  # noqa: E402
from extraction.model.load import load_model  # noqa: E402
from extraction.model.shipped import WEIGHTS  # noqa: E402
from extraction.tiny.architecture import IMAGE_TOKENS, build_model, patch_features  # noqa: E402
from extraction.tiny.decoder import DECODER, encode_questions, pack, packed_logits  # noqa: E402
from extraction.tiny.evaluate import evaluate_tiny, generate_answers  # noqa: E402
from extraction.tiny.tokenizer import COLORS, PROMPT, SHAPES, VOCABULARY, build_tokenizer, expand_prompt  # noqa: E402
from extraction.tiny.train import TOWER, UNKNOWN, group_by_image, read_attributes, train_tiny  # noqa: E402
from extraction.tiny.training import single_thread  # noqa: E402

ROUNDING = 1e-5
"""Float32 logits of size 10 after eight blocks; the measured differences are below 1e-5."""


@pytest.fixture(autouse=True)
def _one_thread():
    with single_thread():
        yield


@pytest.fixture(scope="module")
def vlm():
    return load_model("tiny")


@pytest.fixture(scope="module")
def shipped(vlm):
    return vlm.model, vlm.processor


@pytest.fixture(scope="module")
def questions():
    return load_samples(DataSettings(reader="easy-vqa", per_task=200))


def _inputs(processor, sample):
    with Image.open(sample.image) as image:
        return processor(images=image.convert("RGB"), text=PROMPT.replace("{q}", sample.question), return_tensors="pt")


def test_weights_load_offline_as_llava(monkeypatch):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    loaded = load_model("tiny")
    model, processor = loaded.model, loaded.processor
    assert type(model) is transformers.LlavaForConditionalGeneration
    assert type(processor) is transformers.LlavaProcessor
    assert type(model.model.vision_tower).__name__ == "CLIPVisionModel"
    assert type(model.model.language_model).__name__ == "LlamaModel"
    assert {parameter.dtype for parameter in model.parameters()} == {torch.float32}
    assert model.lm_head.weight.data_ptr() != model.get_input_embeddings().weight.data_ptr()


def test_configuration_agrees_with_the_processor(shipped):
    model, processor = shipped
    assert model.config.image_token_id == processor.image_token_id
    assert model.config.vision_feature_select_strategy == processor.vision_feature_select_strategy
    assert model.config.vision_config.patch_size == processor.patch_size
    assert model.config.text_config.vocab_size == len(processor.tokenizer) == len(VOCABULARY)
    assert processor.num_additional_image_tokens == 1


def test_shipped_accuracy(questions):
    accuracy = evaluate_tiny(WEIGHTS, questions)
    assert set(accuracy) == {"what", "yes-no"}
    assert min(accuracy.values()) >= 0.97, accuracy


def test_answers_end_after_one_token(vlm, questions):
    model, processor = vlm.model, vlm.processor
    answers = generate_answers(vlm, questions[:32])
    assert all(answer in (*SHAPES, *COLORS, "yes", "no") for answer in answers)
    inputs = _inputs(processor, questions[0])
    generated = model.generate(**inputs, do_sample=False)[0, inputs["input_ids"].shape[1] :]
    first = model(**inputs).logits[0, -1].argmax()
    assert generated.tolist() == [first, model.config.text_config.eos_token_id]


def test_batched_answers_equal_single_answers(vlm, questions):
    batch = questions[:12]
    assert len({len(sample.question.split()) for sample in batch}) > 1
    assert generate_answers(vlm, batch) == [generate_answers(vlm, [s])[0] for s in batch]


def test_processor_expands_to_sixteen_image_tokens(shipped, questions):
    model, processor = shipped
    sample = questions[0]
    inputs = _inputs(processor, sample)
    assert int((inputs["input_ids"] == model.config.image_token_id).sum()) == IMAGE_TOKENS == 16
    assert inputs["input_ids"][0].tolist() == processor.tokenizer(expand_prompt(sample.question))["input_ids"]


def test_chat_template_writes_the_prompt(shipped):
    _, processor = shipped
    content = [{"type": "image"}, {"type": "text", "text": "what shape is present?"}]
    text = processor.apply_chat_template([{"role": "user", "content": content}], add_generation_prompt=True)
    assert text == PROMPT.replace("{q}", "what shape is present?")


def test_no_question_has_an_unknown_word():
    tokenizer = build_tokenizer()
    samples = load_easy_vqa("train") + load_easy_vqa("test")
    texts = {sample.question for sample in samples} | {sample.answer for sample in samples}
    for text in texts:
        assert tokenizer.unk_token_id not in tokenizer(text)["input_ids"], text


def test_image_states_do_not_depend_on_the_question(shipped, questions):
    model, processor = shipped
    group = next(group for group in group_by_image(load_easy_vqa("test")).values() if len(group) > 1)
    states = []
    for sample in (group[0], group[-1]):
        inputs = _inputs(processor, sample)
        hidden = model(**inputs, output_hidden_states=True, use_cache=False).hidden_states
        is_image = inputs["input_ids"][0] == model.config.image_token_id
        states.append(torch.stack([layer[0, is_image] for layer in hidden]))
    assert group[0].question != group[-1].question
    torch.testing.assert_close(states[0], states[1], atol=ROUNDING, rtol=ROUNDING)


@pytest.mark.parametrize("source", ["shipped", "untrained"])
@torch.no_grad()
def test_packed_logits_equal_separate_sequences(shipped, source):
    model, processor = shipped
    if source == "untrained":
        model = build_model(processor.tokenizer, torch.Generator().manual_seed(1))
    groups = list(group_by_image(load_easy_vqa("train")[:40]).values())[:3]
    assert len({len(group) for group in groups}) > 1, "the batch must need padding"
    encoded = encode_questions(groups, processor.tokenizer, model.config.image_token_id)
    batch = pack(model, encoded)
    pixels = torch.cat([_inputs(processor, group[0])["pixel_values"] for group in groups])
    packed = packed_logits(model, patch_features(model, pixels), batch)
    for row, group in enumerate(groups):
        at_answers = packed[row][batch.is_answer[row]]
        assert len(at_answers) == len(group)
        separate = torch.stack([model(**_inputs(processor, sample)).logits[0, -1] for sample in group])
        torch.testing.assert_close(at_answers, separate, atol=ROUNDING, rtol=ROUNDING)


def test_packed_labels_are_answer_and_end(shipped):
    model, processor = shipped
    samples = load_easy_vqa("train")[:2]
    encoded = encode_questions([samples], processor.tokenizer, model.config.image_token_id)
    labels = pack(model, encoded).labels[0]
    words = processor.tokenizer.convert_ids_to_tokens(labels[labels >= 0].tolist())
    assert words == [samples[0].answer, "</s>", samples[1].answer, "</s>"]


@pytest.mark.parametrize("answer", [None, "two words", "purple"])
def test_answers_outside_the_vocabulary_are_named(answer):
    sample = dataclasses.replace(load_easy_vqa("train")[0], answer=answer)
    with pytest.raises(ValueError, match=f"one word of the vocabulary, got {answer!r} for easy-vqa-train-000000"):
        encode_questions([[sample]], build_tokenizer(), image_token_id=VOCABULARY.index("<image>"))


def test_attributes_follow_from_the_questions():
    sample = load_easy_vqa("train")[0]

    def read(*pairs):
        group = [dataclasses.replace(sample, question=question, answer=answer) for question, answer in pairs]
        return tuple(read_attributes([group])[0].tolist())

    circle, red = SHAPES.index("circle"), COLORS.index("red")
    assert read(("what is the red shape?", "circle")) == (circle, red)
    assert read(("is there a circle?", "yes"), ("is no red shape present?", "no")) == (circle, red)
    assert read(("is there a red shape?", "no")) == (UNKNOWN, UNKNOWN)
    assert read(("is there a rectangle?", "no"), ("does the image not contain a triangle?", "yes")) == (circle, UNKNOWN)


@pytest.mark.slow
def test_miniature_training_lowers_both_losses_and_is_reproducible(tmp_path):
    samples = load_easy_vqa("train")[:200]
    tower = dataclasses.replace(TOWER, steps=20, images_per_step=16)
    decoder = dataclasses.replace(DECODER, steps=10, images_per_step=3)
    settings = {"samples": samples, "tower": tower, "decoder": decoder, "held_out": 2}
    first = train_tiny(tmp_path / "first", **settings)
    second = train_tiny(tmp_path / "second", **settings)
    assert sum(first.tower_loss[-5:]) < sum(first.tower_loss[:5])
    assert sum(first.decoder_loss[-3:]) < 0.7 * sum(first.decoder_loss[:3])
    assert first.decoder_loss == second.decoder_loss
    model = load_model(str(first.folder), dtype="float32").model
    assert sum(parameter.numel() for parameter in model.parameters()) == first.parameters


def test_training_refuses_a_filled_folder(tmp_path):
    (tmp_path / "file").write_text("kept")
    with pytest.raises(FileExistsError, match="new or empty folder"):
        train_tiny(tmp_path)


def test_evaluation_names_what_is_wrong(tmp_path, questions):
    with pytest.raises(ValueError, match="could not be loaded"):
        evaluate_tiny(tmp_path, questions)
    with pytest.raises(ValueError, match="at least one question, got none"):
        evaluate_tiny(WEIGHTS, [])
    hidden = [dataclasses.replace(questions[0], answer=None)]
    with pytest.raises(ValueError, match="must have answers"):
        evaluate_tiny(WEIGHTS, hidden)
