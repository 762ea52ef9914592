"""
Arbitrary arrays
================

`pid_jax` decomposes what two sources tell about a target. All three are arrays with one row a sample; where
they come from does not matter. Here they are drawn from a system whose atoms are known, so that the estimate
can be compared with the truth. Then the same is done with measurements of patients.
"""

import jax
import matplotlib.pyplot as plt
import numpy as np
from sklearn.datasets import load_diabetes

from pid_jax import ConditionalIndependence, NoReduction, PIDSpec, bootstrap_pid, estimate_pid, permutation_test
from pid_jax.testing.systems import parallel_channels

# %%
# Three arrays
# ------------
# Both sources read a target of four coordinates through noise. `source_1` reads the first two well, `source_2`
# the third; nobody reads the fourth.

system = parallel_channels(snr_1=[4.0, 4.0, 0.5, 0.0], snr_2=[0.5, 0.5, 4.0, 0.0])
cov, dims = system.problem
samples = np.random.default_rng(0).multivariate_normal(np.zeros(sum(dims)), cov, size=1000)
source_1, source_2, target = np.split(samples, np.cumsum(dims)[:-1], axis=1)
print(f"rows are samples: {source_1.shape}, {source_2.shape}, {target.shape}")

# %%
# The estimate
# ------------
# A `PIDSpec` says how: variables as they come here, no principal components. The map to Gaussian latents is that
# of ranks (`Copula()`) unless another one is asked for. The key decides every random number.

spec = PIDSpec(reduction=NoReduction())
estimate = estimate_pid(source_1, source_2, target, spec=spec, key=jax.random.key(0))
print(estimate.in_bits())

# %%
# Every atom stands there with a 90 % interval, without the bias that a sample covariance has. `status` would say
# if a number were not to be had, and `gap` is a certificate of the optimization behind BROJA.
#
# How sure is that?
# -----------------
# `bootstrap_pid` takes the same arguments and has intervals at any level, and the replicates behind them.

bootstrap = bootstrap_pid(source_1, source_2, target, spec=spec, key=jax.random.key(0), level=0.95).in_bits()
names = ("redundancy", "unique_1", "unique_2", "synergy")
value, lower, upper = (
    np.array([getattr(part, name) for name in names]) for part in (bootstrap.estimate, bootstrap.lower, bootstrap.upper)
)
truth = np.array([getattr(system.atoms, name) for name in names]) / np.log(2)

figure, axes = plt.subplots(figsize=(6, 3.2), layout="constrained")
axes.errorbar(names, value, [value - lower, upper - value], fmt="o", capsize=4, label="estimate, 95 % interval")
axes.plot(names, truth, "_", markersize=28, color="black", label="truth")
axes.set_ylabel("bits")
axes.set_ylim(bottom=0)
axes.legend()
plt.show()

# %%
# Is there anything at all?
# -------------------------
# A test answers that, and needs no model of the data: rows of the target are permuted. Under
# `ConditionalIndependence(2)` `source_2` adds nothing to `source_1`.

anything = permutation_test(source_1, source_2, target, spec=spec, key=jax.random.key(0), resamples=199)
adds = permutation_test(
    source_1, source_2, target, spec=spec, key=jax.random.key(0), resamples=199, null=ConditionalIndependence(2)
)
print(f"anything: p = {float(anything.p_value.i_12):.3f}; source_2 adds something: p = {float(adds.p_value.i_12):.3f}")

# %%
# Measurements
# ------------
# 442 patients with diabetes (Efron, Hastie, Johnstone & Tibshirani 2004, as scikit-learn ships them). What do
# body (age, sex, body mass index, blood pressure) and six blood values tell about the progress of the disease one
# year later?

data = load_diabetes()
body, blood, progress = data.data[:, :4], data.data[:, 4:], data.target[:, None]
patients = estimate_pid(body, blood, progress, spec=spec, key=jax.random.key(0)).in_bits()
print(patients)

# %%
# Body and blood tell about equally much, most of it the same, and together more than either. With a target of one
# coordinate one of the two unique atoms is zero by necessity: there is one direction only in which a source can
# be ahead. Both intervals hold zero, so 442 samples do not decide which source it is. (Corrected atoms can be
# slightly negative, on purpose.) Sex takes two values here, to which ranks give two values as well; that is no
# Gaussian, and a limit of the method.
#
# Layers, tasks, seeds
# --------------------
# Leading axes are decomposed together: arrays of shape ``(layers, n, p)`` give atoms of shape ``(layers,)``. A
# variable that is the same in all layers may leave them out. The next page does that with the layers of a
# network.
