"""Random controls cut as many edges of each sample as their knockout, and none of its edges."""

import dataclasses

import numpy as np
import pytest
import torch

from extraction import random_controls
from extraction.passes.batch import make_batch
from extraction.passes.blocks import allowed_pairs
from extraction.passes.capture import StatesPlan
from extraction.passes.control import with_controls
from extraction.passes.edges import Knockout, describe_condition
from extraction.passes.forward import ForwardPlan, run_batch
from extraction.passes.knockout import cut_of
from extraction.proof.knockout import KnockoutError, prove_knockout
from extraction.run.jobs import extract_baseline, extract_knockouts
from pid_jax.store import StoreError
from tests.extraction.random_models import LAYERS, random_llava
from tests.extraction.random_runs import random_run

CUT = Knockout(edges=(("image", "question"),), first=1, last=2)
EVERYTHING = Knockout(
    edges=tuple(("image", group) for group in ("system", "question", "suffix", "last")), first=0, last=LAYERS - 1
)


@pytest.mark.parametrize("cut", [CUT, Knockout(edges=(("question", "last"), ("last", "last")), first=0, last=1)])
def test_counts_are_matched_and_edges_are_others(batch, cut):
    groups = batch.groups
    allowed = allowed_pairs(groups, groups.positions)[:, 0] & groups.is_token[:, :, None]
    wanted = cut_of(cut, groups)[:, 0] & allowed
    for control in random_controls(cut, draws=3):
        found = cut_of(control, groups)[:, 0]
        assert torch.equal(found.sum(dim=(1, 2)), wanted.sum(dim=(1, 2)))
        assert not (found & wanted).any()
        assert not (found & ~allowed).any()
        assert not found.diagonal(dim1=1, dim2=2).any()


def test_draws_and_seeds_and_windows_differ(batch):
    controls = [
        *random_controls(CUT, draws=2),
        *random_controls(CUT, draws=1, seed=1),
        *random_controls(dataclasses.replace(CUT, last=3), draws=1),
    ]
    found = {cut_of(one, batch.groups).numpy().tobytes() for one in controls}
    assert len(found) == 4
    again = random_controls(CUT, draws=1)[0]
    assert torch.equal(cut_of(again, batch.groups), cut_of(controls[0], batch.groups))


def test_edges_do_not_depend_on_the_batch(vlm, prepared):
    (control,) = random_controls(CUT, draws=1)
    together = cut_of(control, make_batch(vlm, prepared).groups)[:, 0]
    for row, one in enumerate(prepared):
        size = len(one)
        alone = cut_of(control, make_batch(vlm, [one]).groups)[0, 0]
        assert torch.equal(together[row, -size:, -size:], alone)
    assert len({len(one) for one in prepared}) == 2


def test_every_query_may_lose_edges(encoder, twins, vlm):
    """Drawn over the whole prompt, and evenly: about the same share of the pairs of all groups."""
    batch = make_batch(vlm, [encoder.prepare(sample) for sample in twins])
    groups, counts = batch.groups, np.zeros((2, 2))
    image = groups.mask("image")[:, None, :].expand(-1, groups.positions, -1)
    candidates = allowed_pairs(groups, groups.positions)[:, 0] & groups.is_token[:, :, None]
    candidates = candidates & ~cut_of(CUT, groups)[:, 0] & ~torch.eye(groups.positions, dtype=torch.bool)
    for control in random_controls(CUT, draws=40):
        found = cut_of(control, groups)[:, 0]
        for k, keys in enumerate((image, ~image)):
            counts[k] += [int((found & keys).sum()), int((candidates & keys).sum())]
    shares = counts[:, 0] / counts[:, 1]
    np.testing.assert_allclose(shares[0], shares[1], rtol=0.1)


def test_names_and_condition():
    control = random_controls(dataclasses.replace(CUT, first=0, last=4, is_all=True), draws=2, seed=7)[1]
    assert control.name == "random-2-of-image-question@all"
    assert control.label == "Random control 2 of Image→Question cut, all layers"
    condition = describe_condition(control)
    assert condition["control"] == {"of": "image-question@all", "method": "random", "seed": 7, "draw": 2}
    assert condition["mask"] == "random-2-of-image-question"
    assert "control" not in describe_condition(CUT)


def test_of_single_heads():
    heads = Knockout(edges=CUT.edges, heads=((1, 0), (2, None)))
    (control,) = random_controls(heads, draws=1)
    assert (control.heads, control.blocks) == (heads.heads, (1, 2))
    assert control.name == "random-1-of-image-question@1.0+2.all"


@pytest.mark.parametrize("knockout", [CUT, Knockout(edges=CUT.edges, heads=((1, 0), (2, 3)))], ids=["blocks", "heads"])
def test_self_test_passes_on_all_models(vlm, prepared, knockout):
    proof = prove_knockout(vlm, random_controls(knockout, draws=1)[0], prepared)
    assert proof.weight_left == 0 < proof.weight_cut
    assert proof.tail_error < 1e-5


@pytest.mark.parametrize(
    ("change", "match"),
    [
        (lambda cut, own: cut | own, "edges of its knockout"),
        (lambda cut, own: cut & (torch.arange(cut.shape[-1]) % 2 == 0), "edges, its knockout"),
    ],
    ids=["cuts the knockout too", "half of the edges"],
)
def test_self_test_sees_controls_that_are_none(samples, change, match, prepared, vlm):
    (control,) = random_controls(CUT, draws=1)
    mask = control.mask
    wrong = dataclasses.replace(control, mask=lambda groups: change(mask(groups), cut_of(CUT, groups)[:, 0]))
    with pytest.raises(KnockoutError, match=match):
        prove_knockout(vlm, wrong, prepared)


def test_too_many_edges_for_a_control(batch):
    every_pair = Knockout(
        mask=lambda groups: (
            (groups.is_token[:, :, None] & groups.is_token[:, None, :]) & ~torch.eye(groups.positions, dtype=torch.bool)
        ),
        title="everything",
        first=0,
        last=0,
    )
    with pytest.raises(ValueError, match="only 0 others"):
        cut_of(random_controls(every_pair, draws=1)[0], batch.groups)


@pytest.mark.parametrize(
    ("arguments", "error", "match"),
    [
        (("cut",), TypeError, "knockout"),
        ((CUT, 0), ValueError, "draws"),
        ((CUT, 1.5), TypeError, "draws"),
        ((CUT, 1, -1), ValueError, "seed"),
        ((random_controls(CUT, 1)[0],), ValueError, "is a control"),
    ],
)
def test_bad_arguments(arguments, error, match):
    with pytest.raises(error, match=match):
        random_controls(*arguments)


def test_questions_that_share_an_image_get_their_own_edges(vlm, encoder, twins):
    six = [encoder.prepare(sample) for sample in twins]
    plan = ForwardPlan(states=StatesPlan(roles=("image", "last"), layers=tuple(range(LAYERS + 1))), max_new_tokens=1)
    (control,) = random_controls(CUT, draws=1)
    together = run_batch(vlm, six, plan, [control])[0].states
    alone = np.concatenate([run_batch(vlm, [one], plan, [control])[0].states for one in six])
    np.testing.assert_allclose(together, alone, atol=2e-5 * max(1.0, float(np.abs(alone).max())), rtol=0)
    assert np.abs(together[3, :, 0] - together[0, :, 0]).max() > 1e-4  # one image, other edges among its tokens


def test_stores_of_controls(samples, tmp_path):
    vlm = random_llava()
    settings = random_run(vlm, max_new_tokens=1)
    baseline = extract_baseline(vlm, samples, settings, tmp_path / "baseline")
    stores = extract_knockouts(vlm, samples, baseline, with_controls([CUT], 2, 3), tmp_path)
    assert list(stores) == ["image-question@1-2", *(f"random-{i}-of-image-question@1-2" for i in (1, 2))]
    control = stores["random-2-of-image-question@1-2"].manifest
    assert control.condition["control"]["seed"] == 3
    assert control.evidence["knockout"]["weight_left"] == 0
    with pytest.raises(StoreError, match="condition"):
        extract_knockouts(vlm, samples, baseline, random_controls(CUT, 1, seed=4), tmp_path)
