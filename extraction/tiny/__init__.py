"""A small trained LLaVA (1.7 M parameters) that answers easy-VQA, for offline use and tests."""

from pathlib import Path

WEIGHTS: Path = Path(__file__).parent / "weights"
"""Folder of the shipped model, for `from_pretrained`."""
