"""Masks know their samples: boxes of objects are cut, and each row gets its own."""

import numpy as np
import pytest
import torch

from extraction import image_boxes
from extraction.passes.batch import make_batch
from extraction.passes.capture import StatesPlan
from extraction.passes.edges import Knockout
from extraction.passes.forward import ForwardPlan, run_batch
from extraction.passes.knockout import cut_of
from extraction.proof.knockout import prove_knockout
from tests.extraction.conftest import encoder_of
from tests.extraction.random_models import LAYERS, random_llava, random_llava_next

BOXES = {"000": (0.0, 0.0, 0.5, 0.5), "001": (0.5, 0.5, 1.0, 1.0), "002": ()}


@pytest.fixture(scope="module")
def llava():
    return random_llava()


@pytest.fixture
def three(llava, samples):
    return [encoder_of(llava).prepare(sample) for sample in samples]


def _own_boxes(groups):
    inside = image_boxes(groups, [BOXES.get(sample.id, ()) for sample in groups.samples])
    return groups.mask("question")[:, :, None] & inside[:, None, :]


CUT = Knockout(mask=_own_boxes, title="objects", first=1, last=3)


def test_patches_that_a_box_touches(llava, three):
    groups = make_batch(llava, three).groups
    side = 4
    marked = image_boxes(groups, [BOXES[sample.id] for sample in groups.samples])
    grids = [marked[row][groups.mask("image")[row]].reshape(side, side) for row in range(3)]
    quarter = torch.zeros(side, side, dtype=torch.bool)
    quarter[:2, :2] = True
    assert torch.equal(grids[0], quarter)
    assert torch.equal(grids[1], quarter.flip(0, 1))
    assert not grids[2].any()
    assert not (marked & ~groups.mask("image")).any()
    tiny, two = image_boxes(groups, [(0.26, 0.51, 0.27, 0.52), [(0, 0, 0.1, 0.1), (0.9, 0, 1, 0.1)], ()])[:2]
    assert tiny[groups.mask("image")[0]].nonzero().tolist() == [[2 * side + 1]]
    assert two[groups.mask("image")[1]].nonzero().tolist() == [[0], [side - 1]]


def test_each_row_has_its_own_mask_in_any_order(llava, three):
    together = cut_of(CUT, make_batch(llava, three).groups)[:, 0]
    back = cut_of(CUT, make_batch(llava, three[::-1]).groups)[:, 0].flip(0)
    assert torch.equal(together, back)
    assert [bool(one.any()) for one in together] == [True, True, False]


def test_samples_without_a_box_are_left_alone(llava, three):
    plan = ForwardPlan(states=StatesPlan(roles=("question", "last"), layers=tuple(range(LAYERS + 1))), max_new_tokens=1)
    base, cut = (result.states for result in run_batch(llava, three, plan, [None, CUT]))
    changes = np.abs(cut - base).max(axis=(1, 2, 3))
    assert changes[:2].min() > 1e-3
    assert changes[2] < 1e-5


def test_questions_that_share_an_image_have_masks_of_their_own(llava, twins):
    """The samples of questions that follow an image are those of the questions, not of the image's first one."""
    six = [encoder_of(llava).prepare(sample) for sample in twins]
    plan = ForwardPlan(states=StatesPlan(roles=("last",), layers=(LAYERS,)), max_new_tokens=1)
    shared, alone = (
        run_batch(llava, six, ForwardPlan(states=plan.states, max_new_tokens=1, share_images=share), [CUT])[0].states
        for share in (True, False)
    )
    np.testing.assert_allclose(shared, alone, atol=1e-5)
    seen = []

    def last_only(groups):
        seen.append([sample.id for sample in groups.samples])
        return groups.mask("last")[:, :, None] & groups.mask("question")[:, None, :]

    own = Knockout(mask=last_only, title="own", first=0, last=0)
    run_batch(llava, six, plan, [own])
    assert seen == [[sample.id for sample in twins]]


def test_self_test_passes(llava, three):
    proof = prove_knockout(llava, CUT, three[:2])
    assert proof.weight_left == 0 < proof.weight_cut


@pytest.mark.parametrize(
    ("boxes", "match"),
    [
        ([(0, 0, 1, 1)], "entry for each of 3 rows"),
        ([(0, 0, 64, 64), (), ()], "divide pixels"),
        ([(0.5, 0, 0.4, 1), (), ()], "left < right"),
        ([(0, 0, 1), (), ()], "left, top, right, bottom"),
    ],
)
def test_boxes_that_make_no_sense(llava, three, boxes, match):
    with pytest.raises(ValueError, match=match):
        image_boxes(make_batch(llava, three).groups, boxes)


def test_images_in_several_parts_are_refused(samples):
    vlm = random_llava_next()
    groups = make_batch(vlm, [encoder_of(vlm).prepare(sample) for sample in samples]).groups
    with pytest.raises(ValueError, match="square grid"):
        image_boxes(groups, [(0, 0, 1, 1)] * 3)
