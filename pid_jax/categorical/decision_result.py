"""The result of decomposing a model's own decision: atoms of every task, and the share of every sample in them."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import jax
import numpy as np

from pid_jax.categorical.result import AMOUNTS, AnswerPID
from pid_jax.decompose.result import span
from pid_jax.gaussian.information import Information

if TYPE_CHECKING:
    import xarray as xr

TASK = "task"


@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class DecisionPID(
    AnswerPID,
    amounts=(*AMOUNTS, "uncalibrated"),
    axes={
        "pointwise": ("sample",),
        "ids": ("sample",),
        "task_index": ("sample",),
        "cell_loss": (..., "source"),
        "temperature": (..., "predictor"),
        "shift": (..., "predictor"),
    },
    flat=("atoms", "information"),
):
    """Decompositions of a model's information about its answer from the image (source_1) and the question (source_2).

    Arrays have one leading axis, the tasks; samples of all tasks follow each other in those of samples.

    Attributes:
        atoms: Redundancy, unique_1 (image), unique_2 (question), synergy.
        information: I_1, I_2, I_12, of recalibrated posteriors.
        entropy: Entropy of the answer, which no information exceeds.
        status: `Status` of each task.
        standard_error: Standard errors of atoms and informations: the scatter of samples, and the width of the
            certified interval of the union information.
        lower: Lower ends of the intervals.
        upper: Upper ends.
        pointwise: Share of every sample in each quantity (n,); these are signed, and their mean over a task is its
            estimate. NaN where the status of the task is not `OK`.
        ids: Ids of the samples (n,).
        task_index: Task of every sample (n,), a number into `tasks`.
        tasks: Names of the tasks (T,).
        counts: Samples of each task (T,).
        union_lower: Certified lower bound of the union information that the recalibrated posteriors have.
        union_upper: Certified upper bound; its distance from the lower one is the gap of the solver, and what each
            source loses by being cut into cells.
        cell_loss: What each source loses by being cut into cells (T, 2).
        claimed: Informations that the posteriors claim as they are: H(answer) minus their mean entropy.
        uncalibrated: Informations that they have as they are: H(answer) minus their cross-entropy. May be negative,
            also −inf. The recalibrated posteriors claim what they have, `information`.
        temperature: Temperature of p_image, p_question and p_both (T, 3): above 1 where they claimed too much, infinite
            where they know nothing of the answer. That of p_both is 1 for the model's own answer.
        shift: Total variation (T, 3) between the mean of each posterior, as it is, and the frequencies of answers.
        classes: Labels of all candidate answers.
        answer: "model" or "gold".
        method: How a modality was made absent.
        draws: Replacements that posteriors are averages of.
        level: Probability with which an interval covers the truth, given the model's posteriors.
        notes: What was left out, and what limits the estimate, in plain words.
        settings: Everything that was chosen, JSON-ready.
        unit: "nats" or "bits".
    """

    ids: np.ndarray
    task_index: np.ndarray
    tasks: np.ndarray
    counts: np.ndarray
    uncalibrated: Information
    shift: np.ndarray
    answer: str
    method: str
    draws: int

    def of_task(self, task: str) -> "DecisionPID":
        """Keep one task and its samples; the axis of tasks stays.

        Raises:
            ValueError: If there is no such task.
        """
        if task not in self.tasks:
            raise ValueError(f"task must be one of {self.tasks.tolist()}, got {task!r}.")
        index = self.tasks.tolist().index(task)
        rows = np.flatnonzero(self.task_index == index)
        return replace(
            self.take(index).reshape((1,)),
            pointwise=jax.tree.map(lambda values: values[rows], self.pointwise),
            ids=self.ids[rows],
            task_index=np.zeros(len(rows), int),
        )

    def to_xarray(self, axes: Sequence[str] | None = None) -> "xr.Dataset":
        """Return a labeled data set, with tasks and ids as coordinates.

        Args:
            axes: Name of the axis of tasks, "task" if not given.

        Raises:
            ValueError: If the names do not fit.
        """
        names = [TASK] if axes is None else [axes] if isinstance(axes, str) else list(axes)
        data = super().to_xarray(names)
        return data.assign_coords({names[0]: self.tasks.astype(object), "sample": self.ids.astype(object)})

    def __repr__(self) -> str:
        """Show one task in full, or the range of many."""
        tasks, samples = ", ".join(self.tasks.tolist()), len(self.ids)
        whose = "the model's answer" if self.answer == "model" else "the gold answer"
        head = f"DecisionPID of {tasks}: {whose}, n = {samples}, absent modality {self._how}"
        names = ("image", "question", "both")
        parts = [f"{name} {span(self.temperature[:, k])}" for k, name in enumerate(names)]
        return self._describe(head, f"  {'temperature:':<13}{', '.join(parts)}")

    @property
    def _how(self) -> str:
        return f"{self.method} ({self.draws} draws)" if self.draws > 1 else self.method
