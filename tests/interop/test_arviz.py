"""ArviZ reads draws, and finds the same agreement of chains."""

import json
import subprocess

import jax
import numpy as np
import pytest

from pid_jax import NUTS, NoGaussianization, NoReduction, PIDSpec, posterior_pid

pytestmark = pytest.mark.long

READ = """
import json, sys
import arviz_stats, xarray
tree = xarray.open_datatree(sys.argv[1])
found = {"rhat": arviz_stats.rhat(tree), "ess": arviz_stats.ess(tree)}
print(json.dumps({name: {str(k): v.values.tolist() for k, v in one.items()} for name, one in found.items()}))
"""


@pytest.mark.filterwarnings("ignore:chains may not have mixed")
def test_arviz_agrees_on_the_chains(request, tmp_path):
    python = request.config.getoption("--interop")
    if python is None:
        pytest.skip("needs --interop, as `make test-interop` gives it")
    rng = np.random.default_rng(0)
    target = rng.normal(size=(2, 300, 1))
    sources = [target + rng.normal(size=target.shape) for _ in range(2)]
    spec = PIDSpec(reduction=NoReduction(), gaussianize=NoGaussianization())
    sampler = NUTS(warmup=200, chains=2)
    found = posterior_pid(*sources, target, spec=spec, key=jax.random.key(0), draws=400, sampler=sampler)
    found.to_arviz(axes="layer").to_netcdf(tmp_path / "draws.nc")
    done = subprocess.run([python, "-c", READ, tmp_path / "draws.nc"], capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    theirs = json.loads(done.stdout)
    for name, own in vars(found.r_hat).items():
        np.testing.assert_allclose(own, theirs["rhat"][name], rtol=1e-9)
        np.testing.assert_allclose(getattr(found.effective_samples, name), theirs["ess"][name], rtol=0.1)
