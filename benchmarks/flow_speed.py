"""Fitting flows to 33 layers of three variables, against flowjax, zuko and nflows fitted one by one.

All fit one RealNVP of the same size to every variable of every layer (16 dims, 5000 samples, maximum likelihood) and
choose by a tenth of the samples that they hold out; what counts is the likelihood of 2000 samples more that no fit has
seen, the same for all. Samples are normal scores, what pid_jax has in front of its flows. The peers fit a few of the
99, one after another as a loop over layers would, and their time is scaled up. CPU seconds of all threads, compilation
included and imports not, each in a process of its own.
"""

from collections.abc import Callable
from importlib import import_module
from typing import Any

import numpy as np
from scipy.special import ndtri
from scipy.stats import multivariate_normal

from benchmarks.floors import coupling_operations, floor_seconds
from benchmarks.measure import Cost, repeats_apart
from benchmarks.record import write_results
from pid_jax.testing.warps import warped_gaussian

LAYERS, SAMPLES, TEST, DIM = 33, 5000, 2000, 16
COUPLINGS, WIDTH, BATCH, HELD_OUT = 6, 64, 256, 500
# Chosen for the test likelihood on another draw (seed 0), for the peers among 6 to 20 epochs, rates of 5e-3 and 1e-2,
# decays of 1e-4 and 1. With fewer epochs they are less likely, with 20 they gain less than .01 nats.
EPOCHS, RATE, DECAY = 14, 1e-2, 1.0
OWN: dict[str, Any] = {
    "couplings": COUPLINGS,
    "width": WIDTH,
    "epochs": 4,
    "batch_size": BATCH,
    "learning_rate": RATE,
    "weight_decay": DECAY,
    "input_noise": 0.0,
    "validation_fraction": HELD_OUT / SAMPLES,
    "evaluations": 1,
}
REPEATS, PEER_LAYERS = 3, [0, LAYERS - 1]

Evaluate = Callable[[], float]  # the mean negative log-likelihood of a variable's test samples, in nats


def pid_jax(train: list[np.ndarray], test: list[np.ndarray], objective: str = "Joint") -> tuple[Evaluate, int]:
    """Fit all layers."""
    import jax

    from pid_jax.flow.fit import fit_flow
    from pid_jax.settings.gaussianize import Joint, Marginal, RealNVP, Standardize

    goal = Marginal() if objective == "Marginal" else Joint()
    fit = fit_flow(*train, spec=RealNVP(marginals=Standardize(), objective=goal, **OWN), key=jax.random.key(0))

    def evaluate() -> float:
        latents = fit.transform(*test)
        blocks = np.split(np.arange(3 * DIM), 3)
        log_det = fit.log_prob(*test) - _normal(np.concatenate(latents, axis=-1), fit.mean, fit.cov)
        each = [_normal(z, fit.mean[:, at], fit.cov[:, at[:, None], at]) for z, at in zip(latents, blocks, strict=True)]
        return -float((sum(each) + log_det)[PEER_LAYERS].mean()) / 3

    return evaluate, 3 * LAYERS


def _normal(z: np.ndarray, mean: np.ndarray, cov: np.ndarray) -> np.ndarray:
    """Compute log-densities of a normal in every layer."""
    return np.stack([multivariate_normal(m, c).logpdf(x) for x, m, c in zip(z, mean, cov, strict=True)])


def flowjax(train: list[np.ndarray], test: list[np.ndarray]) -> tuple[Evaluate, int]:
    """Fit some with flowjax, as its documentation does."""
    import jax
    import jax.numpy as jnp
    import optax
    from flowjax.bijections import Affine
    from flowjax.distributions import StandardNormal
    from flowjax.flows import coupling_flow
    from flowjax.train import fit_to_data

    flows = []
    for x in _chosen(train):
        for_flow, for_fit = jax.random.split(jax.random.key(0))
        base = StandardNormal((DIM,))
        sizes: dict[str, Any] = {"flow_layers": COUPLINGS, "nn_width": WIDTH, "nn_depth": 1}
        flow = coupling_flow(for_flow, base_dist=base, transformer=Affine(), **sizes)
        steps = EPOCHS * ((SAMPLES - HELD_OUT) // BATCH)
        schedule = optax.cosine_onecycle_schedule(steps, RATE, pct_start=0.3)
        optimizer = optax.chain(optax.clip_by_global_norm(5.0), optax.adamw(schedule, weight_decay=DECAY))
        settings = {"max_epochs": EPOCHS, "max_patience": EPOCHS, "batch_size": BATCH, "val_prop": HELD_OUT / SAMPLES}
        flow, _ = fit_to_data(
            for_fit, flow, jnp.asarray(x, jnp.float32), optimizer=optimizer, show_progress=False, **settings
        )
        flows.append(flow)

    def evaluate() -> float:
        pairs = zip(flows, _chosen(test), strict=True)
        return float(np.mean([-flow.log_prob(jnp.asarray(x, jnp.float32)).mean() for flow, x in pairs]))

    return evaluate, len(flows)


def zuko(train: list[np.ndarray], test: list[np.ndarray]) -> tuple[Evaluate, int]:
    """Fit some with zuko."""
    import zuko as library

    def make() -> Any:
        return library.flows.RealNVP(DIM, transforms=COUPLINGS, hidden_features=(WIDTH,), randmask=True)

    return _with_torch(train, test, make, lambda flow, x: flow().log_prob(x))


def nflows(train: list[np.ndarray], test: list[np.ndarray]) -> tuple[Evaluate, int]:
    """Fit some with nflows: its couplings with a plain network of one hidden layer, and random orders between them."""
    import torch
    from nflows.distributions import StandardNormal
    from nflows.flows import Flow
    from nflows.nn.nets import MLP
    from nflows.transforms import ActNorm, AffineCouplingTransform, CompositeTransform, RandomPermutation

    def network(inputs: int, outputs: int) -> Any:
        return _WithContext(MLP((inputs,), (outputs,), [WIDTH], activation=torch.nn.functional.relu))

    class _WithContext(torch.nn.Module):
        """Takes the context that couplings hand on, and leaves it."""

        def __init__(self, plain: torch.nn.Module) -> None:
            super().__init__()
            self.plain = plain

        def forward(self, x: torch.Tensor, context: None = None) -> torch.Tensor:
            return self.plain(x)

    def make() -> Any:
        mask = [1, -1] * (DIM // 2)
        # No scale of its couplings can be above 1: ActNorm makes up for that.
        steps = [
            (RandomPermutation(DIM), AffineCouplingTransform(mask, network), ActNorm(DIM)) for _ in range(COUPLINGS)
        ]
        return Flow(CompositeTransform([part for step in steps for part in step]), StandardNormal([DIM]))

    return _with_torch(train, test, make, lambda flow, x: flow.log_prob(x))


def _with_torch(
    train: list[np.ndarray], test: list[np.ndarray], make: Callable[[], Any], log_prob: Callable[[Any, Any], Any]
) -> tuple[Evaluate, int]:
    """Fit some by the training loop of zuko's documentation, which is that of nflows too."""
    import torch

    torch.set_num_threads(1)  # networks are small, and a second thread would mostly wait busily
    flows = []
    for x in _chosen(train):
        torch.manual_seed(0)
        data = torch.as_tensor(np.asarray(x, np.float32))
        order = torch.randperm(len(data))
        seen, held_out = data[order[HELD_OUT:]], data[order[:HELD_OUT]]
        flow = make()
        optimizer = torch.optim.AdamW(flow.parameters(), lr=RATE, weight_decay=DECAY)
        steps = len(seen) // BATCH
        schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, RATE, total_steps=EPOCHS * steps)
        best, kept = np.inf, {}
        for _ in range(EPOCHS):
            for rows in torch.randperm(len(seen))[: steps * BATCH].reshape(steps, BATCH):
                loss = -log_prob(flow, seen[rows]).mean()
                optimizer.zero_grad()
                loss.backward()
                torch.nn.utils.clip_grad_norm_(flow.parameters(), 5.0)
                optimizer.step()
                schedule.step()
            with torch.no_grad():
                loss = float(-log_prob(flow, held_out).mean())
            if loss < best:
                best, kept = loss, {name: value.clone() for name, value in flow.state_dict().items()}
        flow.load_state_dict(kept)
        flows.append(flow)

    def evaluate() -> float:
        pairs = zip(flows, _chosen(test), strict=True)
        with torch.no_grad():
            found = [log_prob(flow, torch.as_tensor(np.asarray(x, np.float32))).mean() for flow, x in pairs]
        return -float(np.mean(found))

    return evaluate, len(flows)


FITTERS: dict[str, Callable[[list[np.ndarray], list[np.ndarray]], tuple[Evaluate, int]]] = {
    "pid_jax": pid_jax,
    "pid_jax, marginal": lambda train, test: pid_jax(train, test, "Marginal"),
    "flowjax": flowjax,
    "zuko": zuko,
    "nflows": nflows,
}
# Imported before the clock starts: the time of the few fits of a peer is scaled up, and an import is not one of them.
IMPORTS = {
    "flowjax": ("optax", "flowjax.flows", "flowjax.train"),
    "zuko": ("torch", "zuko"),
    "nflows": ("torch", "nflows.flows", "nflows.nn.nets"),
}


def data(seed: int = 100) -> tuple[list[np.ndarray], list[np.ndarray]]:
    """Draw layers that drift, every coordinate already normal by its ranks; samples to fit to, and others to test."""
    drawn = warped_gaussian("coupled", DIM, SAMPLES + TEST, seed, layers=LAYERS, strength=0.5)
    target = np.broadcast_to(drawn.target, drawn.source_1.shape)
    ranks = [x.argsort(axis=1).argsort(axis=1) for x in (drawn.source_1, drawn.source_2, target)]
    scores = [ndtri((r + 0.5) / (SAMPLES + TEST)) for r in ranks]
    return [x[:, :SAMPLES] for x in scores], [x[:, SAMPLES:] for x in scores]


def _chosen(scores: list[np.ndarray]) -> list[np.ndarray]:
    """Take every variable of the layers that the peers fit."""
    return [x[layer] for layer in PEER_LAYERS for x in scores]


def measure(name: str) -> dict[str, float]:
    """Measure one way in this process."""
    for module in IMPORTS.get(name, ("pid_jax.flow.fit",)):
        import_module(module)
    train, test = data()
    with Cost() as cost:
        evaluate, fits = FITTERS[name](train, test)
    scale = 3 * LAYERS / fits
    return {
        "CPU seconds": cost.cpu * scale,
        "wall seconds": cost.wall * scale,
        "fits": fits,
        "test nats": evaluate(),
        "memory GB": cost.peak / 1000,
    }


def floor() -> float:
    """Count the floating point operations of the matrix products of all fits, over the speed of one core's sgemm."""
    seen = OWN["epochs"] * (SAMPLES - HELD_OUT)
    return floor_seconds(3 * LAYERS * coupling_operations(DIM, COUPLINGS, WIDTH, seen), dtype="float32")


def main() -> None:
    found = repeats_apart(measure, FITTERS, REPEATS)
    own = np.array([one["CPU seconds"] for one in found["pid_jax"]])
    rows: list[dict[str, Any]] = []
    for name, runs in found.items():
        times = np.array([one["CPU seconds"] for one in runs]) / own
        means = {key: np.mean([one[key] for one in runs]) for key in runs[0]}
        ratios = f"{times.min():.1f} to {times.max():.1f}"
        rows.append({"library": name, **means, "times pid_jax's CPU": ratios})
    rows.append({"library": "floor: matrix products at the speed of sgemm", "CPU seconds": floor()})
    text = (
        f"CPU seconds of all threads, compilation included; repeats in turns: {REPEATS}, on a machine that others use "
        "too: compare by the ratios."
    )
    title = "Fitting flows to 33 layers of three variables"
    peers = ("flax", "optax", "distrax", "flowjax", "zuko", "nflows", "torch")
    write_results("flow_speed", title, text, {"99 flows": rows}, *peers, runs=found)


if __name__ == "__main__":
    main()
