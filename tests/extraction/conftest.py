"""Models with random weights, and a few samples with images of their own."""

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from extraction.datasets.sample import Sample
from extraction.model.family import BIDIRECTIONAL_PROMPT
from extraction.model.prompts import resolve_template
from extraction.passes.batch import make_batch
from extraction.passes.encode import Encoder
from tests.extraction.random_families import RANDOM_FAMILIES
from tests.extraction.random_models import RANDOM_MODELS

MODELS = {**RANDOM_MODELS, **RANDOM_FAMILIES}

QUESTIONS = ("what is the color of the circle ?", "Is there a red or blue thing on the left ?", "what is this ?")
SIZES = ((64, 40), (40, 64), (48, 48))


@pytest.fixture(autouse=True, scope="session")
def _one_thread():
    torch.set_num_threads(1)


@pytest.fixture(scope="session")
def samples(tmp_path_factory) -> list[Sample]:
    folder = tmp_path_factory.mktemp("images")
    generator = np.random.default_rng(0)
    made = []
    for i, (question, (width, height)) in enumerate(zip(QUESTIONS, SIZES, strict=True)):
        path: Path = folder / f"{i}.png"
        Image.fromarray(generator.integers(0, 255, (height, width, 3), dtype=np.uint8)).save(path)
        made.append(Sample(id=f"{i:03d}", image=path, question=question, answer="red", task="what"))
    return made


@pytest.fixture(scope="session")
def twins(samples) -> list[Sample]:
    """Six samples: every image twice, with different questions."""
    again = [
        Sample(id=f"{i + 3:03d}", image=samples[i].image, question=QUESTIONS[i - 1], answer="red", task="what")
        for i in range(3)
    ]
    return [*samples, *again]


@pytest.fixture(scope="session", params=MODELS)
def vlm(request):
    return MODELS[request.param]()


@pytest.fixture
def needs_prefix(vlm):
    if vlm.family.attention == BIDIRECTIONAL_PROMPT:
        pytest.skip("all tokens of the prompt attend to each other: no state is free of the question")


def implementations(vlm) -> tuple[str, ...]:
    """Attention that a model can have; where it caps logits, sdpa is none of them."""
    return ("eager",) if getattr(vlm.text_config, "attn_logit_softcapping", None) else ("eager", "sdpa")


@pytest.fixture(scope="session")
def encoder(vlm) -> Encoder:
    return encoder_of(vlm)


@pytest.fixture
def prepared(encoder, samples):
    """Two samples of different length, so that one is padded in a batch."""
    return [encoder.prepare(sample) for sample in samples[:2]]


@pytest.fixture
def batch(vlm, prepared):
    return make_batch(vlm, prepared)


def encoder_of(vlm, template: str = "vicuna_v1") -> Encoder:
    return Encoder.of(vlm, resolve_template(template, vlm.processor, vlm.family))
