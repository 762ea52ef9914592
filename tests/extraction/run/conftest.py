"""A model with random weights, and the settings of a run with it."""

import pytest

from extraction.run.settings import RunSettings
from tests.extraction.random_models import random_llava
from tests.extraction.random_runs import random_run


@pytest.fixture(scope="module")
def llava():
    return random_llava()


@pytest.fixture
def settings(llava) -> RunSettings:
    return random_run(llava, batch_size=2, shard_size=4, max_new_tokens=2)
