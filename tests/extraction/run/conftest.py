"""A model with random weights, and the settings of a run with it."""

import pytest

from extraction.datasets.load import DataSettings
from extraction.model.prompts import resolve_template
from extraction.run.settings import ModelSettings, RunSettings
from tests.extraction.random_models import random_llava


@pytest.fixture(scope="module")
def llava():
    return random_llava()


@pytest.fixture
def settings(llava) -> RunSettings:
    return RunSettings(
        model=ModelSettings(name="random"),
        data=DataSettings(reader="jsonl", path="unused.jsonl"),
        template=resolve_template("vicuna_v1", llava.processor, llava.family),
        batch_size=2,
        shard_size=4,
        max_new_tokens=2,
    )
