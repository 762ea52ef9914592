"""The optimization that both stages share."""

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LambdaLR

WARMUP_FRACTION = 0.05


@dataclass(frozen=True, kw_only=True)
class StageSettings:
    """Settings of one stage of the training.

    Attributes:
        steps: Number of steps, fixed, so that a training can be repeated.
        images_per_step: Batch size.
        learning_rate: Peak of the schedule.
        weight_decay: Of AdamW.
        max_gradient_norm: Longer gradients are shortened to it.
        report_every: Steps between two lines of progress.
    """

    steps: int
    images_per_step: int
    learning_rate: float = 1.5e-3
    weight_decay: float = 0.01
    max_gradient_norm: float = math.inf
    report_every: int = 100


def fit(
    next_loss: Callable[[], Tensor],
    parameters: Iterable[nn.Parameter],
    settings: StageSettings,
    report: Callable[[str], None],
) -> list[float]:
    """Minimize a loss with AdamW.

    Args:
        next_loss: Draws a batch and computes its loss; called once a step.
        parameters: What is trained, in place.
        settings: Steps and optimizer.
        report: Called with a line of progress.

    Returns:
        The loss of every step.
    """
    parameters = list(parameters)
    optimizer = torch.optim.AdamW(parameters, lr=settings.learning_rate, weight_decay=settings.weight_decay)
    schedule = _cosine_with_warmup(optimizer, settings.steps)
    losses: list[float] = []
    for step in range(1, settings.steps + 1):
        loss = next_loss()
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(parameters, settings.max_gradient_norm)
        optimizer.step()
        schedule.step()
        losses.append(loss.item())
        if step % settings.report_every == 0:
            mean = sum(losses[-settings.report_every :]) / settings.report_every
            report(f"step {step}/{settings.steps}: loss {mean:.4f} nats")
    return losses


def _cosine_with_warmup(optimizer: Optimizer, steps: int) -> LambdaLR:
    """Rise linearly over the first 5 % of the steps, then fall to zero as half a cosine."""
    warmup = max(1, round(WARMUP_FRACTION * steps))

    def factor(step: int) -> float:
        rise = (step + 1) / warmup
        fall = 0.5 * (1 + math.cos(math.pi * max(0, step - warmup) / max(1, steps - warmup)))
        return min(rise, 1.0) * fall

    return LambdaLR(optimizer, factor)
