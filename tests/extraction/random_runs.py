"""Settings of runs with models that have random weights."""

from typing import Any

from extraction.datasets.load import DataSettings
from extraction.model.load import VisionLanguageModel
from extraction.model.prompts import resolve_template
from extraction.run.settings import ModelSettings, RunSettings


def random_run(vlm: VisionLanguageModel, **others: Any) -> RunSettings:
    """Settings of a run; its samples are given, not read."""
    return RunSettings(
        model=ModelSettings(name="random"),
        data=DataSettings(reader="jsonl", path="unused.jsonl"),
        template=resolve_template("vicuna_v1", vlm.processor, vlm.family),
        **others,
    )
