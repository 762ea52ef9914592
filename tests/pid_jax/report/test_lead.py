"""The first sentences of the page follow the numbers of the study."""

import numpy as np
import pytest

from pid_jax.report.lead import lead
from pid_jax.study.metrics.add import add_metrics
from tests.study_results import planted, planted_answer

BITS = 1 / np.log(2)


@pytest.fixture(scope="module")
def study():
    return add_metrics(planted(models={"one": 8}))


def test_three_sentences_with_the_numbers_of_the_metrics(study):
    end, cut, claims = lead(study)
    at = study.isel(model=0)
    whole = float(at["overall_metric"].sel(metric_name="information_last")) * BITS
    share = float(at["overall_metric"].sel(metric_name="language_share_last")) * 100
    assert f"both sources tell {whole:.2f} bits about the state" in end
    assert f"{share:.0f} % is what only language tells" in end
    effect = at["overall_effect"].sel(condition="image-question@all")
    for name, words in (("trapped_vision", "what only vision tells by"), ("compensatory_synergy", "synergy by")):
        change = f"{float(effect.sel(effect_name=name)) * BITS:.2f}".replace("-", "−")
        if change != "−0.00":
            assert f"{words} {change} bits" in cut
    counts = {
        kind: int((study["verdict"] == kind).sum()) for kind in ("supported", "contradicted", "not testable here")
    }
    assert f"Of {study.sizes['claim']} claims of the paper" in claims
    for kind, count in counts.items():
        assert (f"{count} {'is' if count == 1 else 'are'} {kind}" in claims) == (count > 0)


def test_models_that_differ_have_a_range():
    study = add_metrics(planted())
    values = study["overall_metric"].sel(metric_name="information_last").values * BITS
    assert f"{values.min():.2f} to {values.max():.2f} bits" in lead(study)[0]


def test_an_answer_has_its_entropy():
    assert "(the entropy of the answer is at most 3.00)" in lead(add_metrics(planted_answer()))[0]


def test_a_study_without_metrics_says_nothing():
    assert lead(planted()) == []


def test_a_study_without_cuts_says_nothing_about_them():
    sentences = lead(add_metrics(planted(cuts={})))
    assert len(sentences) == 2
    assert not any("cut" in sentence for sentence in sentences)
