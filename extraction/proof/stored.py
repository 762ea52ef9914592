"""Proof, on real samples, that the model still makes the rows that a store has of them."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from extraction.model.load import VisionLanguageModel
from extraction.passes.capture import StatesPlan
from extraction.passes.edges import Knockout
from extraction.passes.encode import Prepared
from extraction.passes.forward import ForwardPlan, run_batch
from extraction.proof.knockout import KnockoutError, tolerance_of
from pid_jax.store import NORM, ActivationStore, tensor_name
from pid_jax.store.shard import read_tensor, shard_name


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """Rows made now, compared with stored ones.

    Attributes:
        error: Largest difference of a state, relative to the largest value of that state; None without states.
        tolerance: The largest difference that rounding explains.
        equal_answers: Number of samples with the stored answer.
        problem: Which state differs by more, with the sample, or the answers if all differ; empty if neither.
    """

    error: float | None
    tolerance: float
    equal_answers: int
    problem: str


def prove_baseline(vlm: VisionLanguageModel, prepared: Sequence[Prepared], baseline: ActivationStore) -> float | None:
    """Check that the model makes the rows of a baseline, before a knockout is compared with them.

    Returns:
        The largest difference of a state, relative to the largest value of that state; None without states.

    Raises:
        KnockoutError: If states differ by more than rounding, or all answers differ.
    """
    found = compare_rows(vlm, prepared, baseline)
    if found.problem:
        raise KnockoutError(
            f"The model does not make the rows that {baseline.path} has: {found.problem}. Images, weights or installed "
            "packages have changed since. Restore them, or extract the baseline again; nothing was extracted under a "
            "knockout."
        )
    return found.error


def compare_rows(
    vlm: VisionLanguageModel, prepared: Sequence[Prepared], store: ActivationStore, knockout: Knockout | None = None
) -> Comparison:
    """Run the model on samples again, and compare answers and every role and layer with the rows of a store.

    Batches, shared passes over images and float16 on disk round differently, so states may differ by what the precision
    of the model and the type on disk explain. Answers do not follow from the states alone, but from decoding too, so
    they are compared in any case: where two tokens tie, rounding decides, so one equal answer is enough.

    Args:
        vlm: The model.
        prepared: Samples with rows in the store.
        store: The store; other shards may be missing.
        knockout: The condition of the store.
    """
    plan = ForwardPlan(
        states=StatesPlan(roles=store.roles, layers=store.layers),
        max_new_tokens=store.manifest.settings["max_new_tokens"],
    )
    (made,) = run_batch(vlm, prepared, plan, [knockout])
    tolerance = tolerance_of(vlm) + float(np.finfo(store.manifest.settings["dtype"]).eps)
    worst, problem, answers = None, "", []
    for one, own, answer in zip(prepared, made.states, made.answers, strict=True):
        sample = one.sample.id
        index = store.manifest.ids.index(sample) // store.manifest.shard_size
        header = store.header(index)
        row = header.ids.index(sample)
        answers.append((sample, header.columns[row]["predicted"], answer))
        for slot, layer in enumerate(plan.states.slots):
            for r, role in enumerate(plan.states.roles):
                name = tensor_name(role, layer)
                if layer == NORM and role != "last":
                    continue
                stored = read_tensor(store.folder, shard_name(index), header, name)[row]
                error = _difference(stored.astype(np.float64), own[slot, r])
                if not problem and not error <= tolerance:
                    problem = (
                        f"sample {sample!r}, role {role!r}, layer {layer!r} differs by {error:.1e} of its largest "
                        f"value, and rounding explains at most {tolerance:.0e}"
                    )
                worst = max(error, worst or 0.0)
    equal = sum(before == now for _, before, now in answers)
    if not problem and not equal:
        problem = "; ".join(f"sample {i!r} was answered by {before!r}, now by {now!r}" for i, before, now in answers)
    return Comparison(error=worst, tolerance=tolerance, equal_answers=equal, problem=problem)


def _difference(stored: np.ndarray, found: np.ndarray) -> float:
    """Return the largest difference of a state, relative to its largest value."""
    largest = np.abs(stored).max().clip(min=np.finfo(np.float32).tiny)
    return float(np.abs(found - stored).max() / largest)
