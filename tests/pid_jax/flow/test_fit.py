"""Fits of flows: what they find, what they do not depend on, what they leave, what they refuse."""

import json

import jax
import numpy as np
import pytest
from safetensors import safe_open
from safetensors.numpy import save_file

from pid_jax.flow.fit import fit_flow
from pid_jax.flow.fitted import FlowFit, latents_of
from pid_jax.flow.recipe import choose_settings
from pid_jax.settings.gaussianize import Joint, Marginal, RealNVP, Standardize

LAYERS, N = 3, 400
SPEC = RealNVP(couplings=4, width=16, epochs=60, batch_size=N, evaluations=6, weight_decay=1.0, input_noise=0.1)


def banana(rng: np.random.Generator) -> list[np.ndarray]:
    """Two correlated Gaussian pairs, each bent in its own way: raw samples hide part of the correlation."""
    first = rng.normal(size=(LAYERS, N, 2))
    second = 0.8 * first + 0.6 * rng.normal(size=first.shape)
    bent_1 = np.stack([first[..., 0], first[..., 1] + 1.5 * (first[..., 0] ** 2 - 1)], axis=-1)
    bent_2 = np.stack([second[..., 0] - 1.5 * (second[..., 1] ** 2 - 1), second[..., 1]], axis=-1)
    return [bent_1, bent_2, rng.normal(size=(N, 1))]


@pytest.fixture(scope="module")
def variables() -> list[np.ndarray]:
    return banana(np.random.default_rng(0))


@pytest.fixture(scope="module")
def fit(variables) -> FlowFit:
    return fit_flow(*variables, spec=SPEC, key=jax.random.key(0))


def information(cov: np.ndarray) -> np.ndarray:
    """I(first; second) of the latents."""
    parts = cov[..., :2, :2], cov[..., 2:4, 2:4], cov[..., :4, :4]
    one, two, both = (np.linalg.slogdet(part)[1] for part in parts)
    return 0.5 * (one + two - both)


@pytest.mark.slow
def test_joint_flow_finds_the_information_that_raw_samples_hide(fit, variables):
    """Two correlations of .8 are −log(1 − .64) = 1.02 nats; a sample of 400 has a standard error of .06."""
    truth = -np.log(1 - 0.64)
    joined = np.concatenate(variables[:2], axis=-1)
    raw = information(np.stack([np.cov(x.T) for x in joined]))
    assert np.abs(information(fit.cov) - truth).max() < 0.25
    assert np.abs(raw - truth).min() > 0.4


@pytest.mark.slow
def test_result_describes_the_latents_of_all_samples(fit, variables):
    latents = latents_of(fit, *variables)
    np.testing.assert_allclose(fit.mean, latents.mean(axis=1), atol=1e-6)
    np.testing.assert_allclose(fit.cov, np.stack([np.cov(z.T) for z in latents]), atol=1e-6)
    assert fit.train_curve.shape == fit.validation_curve.shape == (LAYERS, 6)
    assert np.all(fit.train_curve[:, -1] < fit.train_curve[:, 0])
    np.testing.assert_array_equal(fit.rejected_steps, 0)
    assert fit.is_held_out.sum() == 40
    assert "held-out negative log-likelihood" in repr(fit)


@pytest.mark.slow
def test_maps_are_undone_and_densities_have_all_jacobians(fit, variables):
    latents = fit.transform(*variables)
    for x, back in zip(variables, fit.inverse(*latents), strict=True):
        np.testing.assert_allclose(back, np.broadcast_to(x, back.shape), atol=2e-3)
    scaled = fit_flow(*(1000 * x for x in variables), spec=SPEC, key=jax.random.key(0))
    shift = scaled.log_prob(*(1000 * x for x in variables)) - fit.log_prob(*variables)
    np.testing.assert_allclose(shift, -5 * np.log(1000), atol=0.05)


@pytest.mark.slow
def test_samples_of_the_model_are_like_those_it_was_fitted_to(fit, variables):
    drawn = fit.sample(5000, jax.random.key(1))
    assert [x.shape for x in drawn] == [(LAYERS, 5000, 2), (LAYERS, 5000, 2), (LAYERS, 5000, 1)]
    for x, original in zip(drawn, variables, strict=True):
        quantiles = [np.quantile(array, (0.1, 0.5, 0.9), axis=-2) for array in (x, original)]
        expected = np.broadcast_to(quantiles[1].reshape(3, -1, x.shape[-1]), quantiles[0].shape)
        np.testing.assert_allclose(quantiles[0], expected, atol=0.6)


@pytest.mark.slow
def test_files_hold_everything(fit, variables, tmp_path):
    again = FlowFit.load(fit.save(tmp_path / "fit.safetensors"))
    np.testing.assert_array_equal(again.log_prob(*variables), fit.log_prob(*variables))
    assert again.spec == fit.spec
    for name in ("cov", "train_curve", "is_held_out", "is_learned"):
        np.testing.assert_array_equal(getattr(again, name), getattr(fit, name))
    (tmp_path / "text.safetensors").write_text("no fit")
    for path, problem in (("text", "cannot be read"), ("missing", "does not exist")):
        with pytest.raises(ValueError, match=rf"{path}\.safetensors {problem}"):
            FlowFit.load(tmp_path / f"{path}.safetensors")


@pytest.mark.slow
@pytest.mark.parametrize(("layers", "is_read"), [(1, True), (2, False)])
def test_files_of_earlier_versions_are_read_or_refused(fit, variables, tmp_path, layers, is_read):
    """Their settings have fields that were removed; only the number of hidden layers has to do with fitted maps."""
    with safe_open(fit.save(tmp_path / "fit.safetensors"), framework="numpy") as file:
        header = json.loads(file.metadata()["pid_jax"])
        arrays = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118  not a dict
    header["schema"] = "pid_jax.FlowFit/3"
    earlier = {"sharing": {"method": "Separate"}, "folds": None, "clip_norm": 5.0, "keep_best": False, "patience": 10}
    header["spec"] |= {**earlier, "layer_batch": None, "hidden_layers": layers}
    arrays |= {name: np.full(LAYERS, 60) for name in ("best_epoch", "stopped_epoch")}
    path = tmp_path / "earlier.safetensors"
    save_file(arrays, path, metadata={"pid_jax": json.dumps(header)})
    if is_read:
        again = FlowFit.load(path)
        assert again.spec == fit.spec
        np.testing.assert_array_equal(again.log_prob(*variables), fit.log_prob(*variables))
    else:
        with pytest.raises(ValueError, match=r"earlier\.safetensors .*2 hidden layers"):
            FlowFit.load(path)


@pytest.mark.slow
def test_order_and_subset_of_problems_change_nothing(fit, variables):
    first, second, third = variables
    order = [2, 0]
    some = fit_flow(first[order], second[order], third, spec=SPEC, key=jax.random.key(0))
    np.testing.assert_allclose(information(some.cov), information(fit.cov)[order], atol=1e-5)


@pytest.mark.slow
def test_progress_reaches_the_end_and_settings_are_filled_in(variables):
    told = []
    spec = RealNVP(epochs=4, evaluations=2, width=8, couplings=2, marginals=Standardize(), objective=Marginal())
    fit = fit_flow(*variables, spec=spec, key=jax.random.key(0), progress=lambda *step: told.append(step))
    assert told[-1] == (2 * LAYERS, 2 * LAYERS)
    assert [done for done, _ in told] == sorted(done for done, _ in told)
    assert fit.spec.weight_decay is not None
    assert FlowFit.__name__ in repr(fit)


def test_the_rate_is_chosen_like_other_settings_and_can_be_given():
    rates = [choose_settings(RealNVP(), n, (8, 8, 8)).learning_rate for n in (100_000, 5000, 1000, 400)]
    assert len(set(rates)) > 1
    assert None not in rates
    assert choose_settings(RealNVP(learning_rate=1e-4), 1000, (8, 8, 8)).learning_rate == 1e-4


@pytest.mark.slow
def test_discrete_variables_keep_their_scores(variables):
    first, second, third = variables
    rounded = np.round(third[:, :1])
    fit = fit_flow(first[:1], second[:1], rounded, spec=SPEC, key=jax.random.key(0))
    assert fit.is_learned.tolist() == [[True, True, False]]
    scores = fit.transform(first[:1], second[:1], rounded)[2]
    assert len(np.unique(scores)) == len(np.unique(rounded))
    with pytest.raises(ValueError, match=r"Copula\(\)"):
        fit_flow(np.round(first), np.round(second), key=jax.random.key(0))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda a, b, c: (a, b[..., [0, 1, 0]], c), r"variable 1 has columns that repeat others.*PCA\(\)"),
        (lambda a, b, c: (a, 0 * b, c), "variable 1 has 6 constant columns"),
        (lambda a, b, c: (a, b[:, 1:], c), "must be paired"),
        (lambda a, b, c: (a[:, :20], b[:, :20], c[:20]), "20 samples, of which 20 are held out, are too few"),
        (lambda a, b, c: (a,), "needs two variables or more, got 1"),
    ],
)
def test_bad_samples_are_refused(variables, change, message):
    with pytest.raises(ValueError, match=message):
        fit_flow(*change(*variables), spec=SPEC, key=jax.random.key(0))


@pytest.mark.slow
def test_wrong_arguments_are_refused(fit, variables):
    with pytest.raises(TypeError, match=r"spec.*RealNVP"):
        fit_flow(*variables, spec=Joint(), key=jax.random.key(0))
    with pytest.raises(TypeError, match=r"key.*JAX.*key"):
        fit_flow(*variables, spec=SPEC, key=0)
    with pytest.raises(ValueError, match="this fit has 3 variables, got 2 arrays"):
        fit.transform(*variables[:2])
    with pytest.raises(ValueError, match=r"\(3, 400, 1\).*\(3, 'm', 2\)"):
        fit.log_prob(variables[0], variables[1][..., :1], variables[2])
