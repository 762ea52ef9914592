"""Models with random weights, and a few samples with images of their own."""

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from extraction.batch import make_batch, prepare_sample
from extraction.datasets.sample import Sample
from extraction.prompts import TEMPLATES
from tests.extraction.random_models import random_llava, random_llava_next

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


@pytest.fixture(scope="session", params=["llava", "llava_next"])
def vlm(request):
    return {"llava": random_llava, "llava_next": random_llava_next}[request.param]()


@pytest.fixture(scope="session")
def template() -> str:
    return TEMPLATES["vicuna_v1"]


@pytest.fixture
def batch(vlm, samples, template):
    """Two samples of different length, so that one is padded."""
    return make_batch(vlm, [prepare_sample(sample, template) for sample in samples[:2]])
