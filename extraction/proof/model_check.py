"""All self-tests of a model at once, on two images and questions that need no data."""

from collections.abc import Callable
from dataclasses import asdict

from PIL import Image

from extraction.datasets.sample import Sample
from extraction.errors import SampleError
from extraction.model.checks import Checked
from extraction.model.family import BIDIRECTIONAL_PROMPT
from extraction.model.load import VisionLanguageModel
from extraction.model.processors import probe_image
from extraction.passes.edges import Knockout
from extraction.passes.encode import Encoder, Prepared
from extraction.proof.knockout import KnockoutError, prove_knockout
from extraction.proof.parity import ParityError, prove_parity
from extraction.proof.prefix import PrefixError, prove_prefix
from pid_jax.store.info import describe_parity

_QUESTIONS = ("What is this?", "What is the color of the thing on the left of the image?")


def check_model(vlm: VisionLanguageModel, template: str) -> list[Checked]:
    """Run the self-tests of an extraction: states, passes over images that questions share, and a knockout.

    Args:
        vlm: The model.
        template: Resolved prompt template.

    Returns:
        What was measured, or why a test failed. Where no prompt can be made, one entry that says why.
    """
    encoder = Encoder.of(vlm, template)
    try:
        prepared = [encoder.prepare(sample) for sample in _make_samples()]
    except SampleError as error:
        return [Checked(subject="prompt", finding=f"{error}: give another --template", is_failed=True)]
    tests: dict[str, Callable[[], str]] = {
        "states": lambda: _check_states(vlm, prepared),
        "shared images": lambda: _check_prefix(vlm, encoder, prepared),
        "knockout": lambda: _check_knockout(vlm, prepared),
    }
    found: list[Checked] = []
    for subject, test in tests.items():
        try:
            found.append(Checked(subject=subject, finding=test()))
        except (ParityError, PrefixError, KnockoutError) as error:
            found.append(Checked(subject=subject, finding=str(error), is_failed=True))
    return found


def _make_samples() -> list[Sample]:
    image = probe_image()
    turned = image.transpose(Image.Transpose.ROTATE_90)
    return [
        Sample(id=f"test image {i + 1}", image=one, question=question, answer=None, task="")
        for i, (one, question) in enumerate(zip((image, turned), _QUESTIONS, strict=True))
    ]


def _check_states(vlm: VisionLanguageModel, prepared: list[Prepared]) -> str:
    proof = prove_parity(vlm, prepared)
    if proof is None:
        raise ParityError(f"states of both test images are not finite in {vlm.model.dtype}: use float32 or bfloat16")
    return describe_parity(asdict(proof))


def _check_prefix(vlm: VisionLanguageModel, encoder: Encoder, prepared: list[Prepared]) -> str:
    if vlm.family.attention == BIDIRECTIONAL_PROMPT:
        return "none: the image attends to the question, so its states are those of an image under this question"
    proof = prove_prefix(vlm, encoder, prepared)
    if proof is None:
        return "none: the template has the question before the image"
    return f"states of an image differ by {proof.image_error:.0e} between two questions, so they share a pass"


def _check_knockout(vlm: VisionLanguageModel, prepared: list[Prepared]) -> str:
    everywhere = Knockout(edges=(("image", "question"),), first=0, last=len(vlm.layers) - 1, is_all=True)
    if not all(one.prefix for one in prepared) and vlm.family.attention != BIDIRECTIONAL_PROMPT:
        return "not tested: the template has the question before the image"
    proof = prove_knockout(vlm, everywhere, prepared)
    return (
        f"{everywhere.name}: weight on cut edges {proof.weight_cut:.2f} before, {proof.weight_left:g} after; sdpa and "
        f"eager agree to {proof.agreement:.0e}, the short pass and the whole one to {proof.tail_error:.0e}"
    )
