"""Small trained LLaVAs (1.4 and 1.7 M parameters) for offline use and tests; they run in float32."""

from pathlib import Path

_HERE = Path(__file__).parents[1] / "tiny"

SHIPPED: dict[str, Path] = {
    "tiny": _HERE / "weights",
    "tiny-gqa-8": _HERE / "weights_gqa_8",
    "tiny-gqa-6": _HERE / "weights_gqa_6",
}
"""Folders of the shipped models, for `from_pretrained`, by the names that `load_model` takes.

"tiny" answers easy-VQA; the others answer the six GQA tasks about generated scenes, with 8 and 6 decoder layers.
"""

WEIGHTS: Path = SHIPPED["tiny"]
"""Folder of the model for easy-VQA."""
