"""Images and questions that samples get from others."""

from collections import Counter
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from extraction.datasets.replacement import replace_part
from extraction.datasets.sample import Sample


def _samples(images: list[int], task: str = "t") -> list[Sample]:
    """One sample for each number, which is that of its image and of its question."""
    return [
        Sample(id=f"{task}{i:03d}", image=Path(f"{n}.png"), question=f"q{n} ", answer=str(i), task=task)
        for i, n in enumerate(images)
    ]


@given(
    tasks=st.lists(st.lists(st.integers(0, 4), min_size=2, max_size=12), min_size=1, max_size=3),
    part=st.sampled_from(("image", "question")),
    seed=st.integers(0, 100),
    draw=st.integers(1, 3),
)
def test_laws(tasks, part, seed, draw):
    """A permutation within the task without a fixed sample, whatever the order of the samples."""
    samples = [sample for k, images in enumerate(tasks) for sample in _samples(images, f"t{k}-")]
    ids = frozenset(sample.id for sample in samples)
    found = replace_part(samples, part, seed, draw, ids)
    by_id = {sample.id: sample for sample in samples}
    assert sorted(found.partners) == sorted(found.partners.values()) == sorted(ids)
    for old, new in zip(samples, found.samples, strict=True):
        source = by_id[found.partners[old.id]]
        assert (new.id, new.task, new.answer, new.problem) == (old.id, old.task, old.answer, None)
        assert source.id != old.id
        assert source.task == old.task
        assert getattr(new, part) == getattr(source, part)
        other = "question" if part == "image" else "image"
        assert getattr(new, other) == getattr(old, other)
    again = replace_part(samples[::-1], part, seed, draw, ids)
    assert again.partners == found.partners, "the order of the samples does not matter"


def test_every_other_sample_is_as_likely_and_draws_differ():
    """Also those with the same image: what is absent must not say which one it is not."""
    samples = _samples([0, 0, 0, 1, 2])
    ids = frozenset(sample.id for sample in samples)
    count = 400
    draws = [replace_part(samples, "image", seed, draw, ids).partners for seed in (0, 1) for draw in range(count // 2)]
    partners = Counter(one["t000"] for one in draws)
    assert set(partners) == ids - {"t000"}
    error = (count * 0.25 * 0.75) ** 0.5
    assert all(abs(times - count / 4) < 4 * error for times in partners.values())
    assert len({tuple(sorted(one.items())) for one in draws}) == 24, "all cycles of five samples"
    questions = [replace_part(samples, "question", 0, draw, ids).partners for draw in range(20)]
    assert questions != draws[:20], "images and questions are drawn apart"


def test_samples_that_cannot_or_do_not_take_part():
    samples = [*_samples([0, 1, 2]), *_samples([0], "alone"), *_samples([5], "broken")]
    broken = Sample(id="broken", image=None, question="", answer=None, task="t", problem="no image")
    ids = frozenset(sample.id for sample in samples) - {"t001", "broken000"}
    found = replace_part([*samples, broken], "question", 0, 1, ids)
    problems = {sample.id: sample.problem for sample in found.samples if sample.problem}
    assert set(problems) == {"t001", "alone000", "broken000", "broken"}
    assert "baseline" in problems["t001"]
    assert "alone" in problems["alone000"]
    assert problems["broken"] == "no image"
    assert found.partners == {"t000": "t002", "t002": "t000"}
