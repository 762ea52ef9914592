"""
Your own model
==============

Any network with two inputs can be taken apart layer by layer. This one is trained here, within seconds: it is
given the upper and the lower half of a handwritten digit, keeps a stream of states for each, and says which
digit it is from the lower stream. From the second layer on the lower stream reads the upper one, as the tokens
of a question read those of an image in a language model. What does each half tell about the network's
prediction, and where?
"""

import tempfile

import jax
import jax.numpy as jnp
import matplotlib.pyplot as plt
import numpy as np
import optax
from sklearn.datasets import load_digits

from pid_jax import PCA, ActivationStore, PIDSpec, compare_pid, estimate_pid
from pid_jax.store import NORM, Manifest, tensor_name

# %%
# A network of two streams
# ------------------------

LAYERS, WIDTH = 5, 48
digits = load_digits()
upper, lower = np.split(digits.images.reshape(-1, 64) / 16.0, 2, axis=1)
is_train = np.arange(len(upper)) % 2 == 0


def init(key):
    def matrix(key, rows, columns):
        return jax.random.normal(key, (rows, columns)) / np.sqrt(rows)

    keys = iter(jax.random.split(key, 3 + 3 * LAYERS))
    names = ("upper", "lower", "across")
    layers = [{name: matrix(next(keys), WIDTH, WIDTH) for name in names} for _ in range(LAYERS)]
    embeddings = {name: matrix(next(keys), 32, WIDTH) for name in names[:2]}
    return {"embeddings": embeddings, "layers": layers, "readout": matrix(next(keys), WIDTH, 10)}


def normed(states):
    return states / jnp.sqrt((states**2).mean(axis=-1, keepdims=True) + 1e-6)


def states_of(weights, upper, lower, is_cut=False):
    """Return the states of both streams at every layer, and the state that decides the prediction."""
    one, two = upper @ weights["embeddings"]["upper"], lower @ weights["embeddings"]["lower"]
    ones, twos = [one], [two]
    for place, layer in enumerate(weights["layers"]):
        read = 0 if is_cut or place == 0 else normed(one) @ layer["across"]
        one, two = one + jnp.tanh(normed(one) @ layer["upper"]), two + jnp.tanh(normed(two) @ layer["lower"] + read)
        ones.append(one)
        twos.append(two)
    return jnp.stack(ones), jnp.stack(twos), normed(two)


def loss(weights, upper, lower, labels):
    scores = states_of(weights, upper, lower)[-1] @ weights["readout"]
    return optax.softmax_cross_entropy_with_integer_labels(scores, labels).mean()


# %%
# It is trained on every second digit; everything below is about the others.

optimizer = optax.adamw(3e-3, weight_decay=1e-2)
weights = init(jax.random.key(0))
state = optimizer.init(weights)
train = upper[is_train], lower[is_train], digits.target[is_train]


@jax.jit
def step(weights, state):
    updates, state = optimizer.update(jax.grad(loss)(weights, *train), state, weights)
    return optax.apply_updates(weights, updates), state


for _ in range(300):
    weights, state = step(weights, state)

held_out = upper[~is_train], lower[~is_train]
ones, twos, last = (np.asarray(x) for x in states_of(weights, *held_out))
right = (last @ weights["readout"]).argmax(axis=1) == digits.target[~is_train]
print(f"accuracy on digits it has not seen: {right.mean():.3f}; states {ones.shape}")

# %%
# States on disk
# --------------
# Arrays are all that is needed. Where they come from long runs they are better kept in an activation store: it
# can be written by many processes, survives being killed at any moment, and checks every byte. Roles and names
# are your own.

ids = tuple(f"digit-{place:04d}" for place in np.flatnonzero(~is_train))
tensors = {tensor_name("upper", layer): one for layer, one in enumerate(ones)}
tensors |= {tensor_name("lower", layer): two for layer, two in enumerate(twos)}
tensors[tensor_name("lower", NORM)] = last
folder = tempfile.mkdtemp()
manifest = Manifest(ids=ids, shard_size=300, tensors=tuple(tensors), condition={"name": "baseline"})
store = ActivationStore.create(folder, manifest)
for shard in store.missing_shards():
    rows = slice(300 * shard, 300 * (shard + 1))
    columns = [{"task": "digits", "correct": bool(is_right)} for is_right in right[rows]]
    store.write_shard(shard, ids[rows], columns, {name: states[rows] for name, states in tensors.items()})
print("problems found:", ActivationStore.open(folder).verify())

# %%
# Atoms of every layer
# --------------------
# All layers are decomposed by one call. The target is the same for all, and has no leading axis.

store = ActivationStore.open(folder)
source_1 = np.stack([states for _, states in store.iter_layers("upper")])
source_2 = np.stack([states for _, states in store.iter_layers("lower")])
target = store.read(role="lower", layer=NORM)
spec = PIDSpec(reduction=PCA(dim=(8, 8, 6)))
estimate = estimate_pid(source_1, source_2, target, spec=spec, key=jax.random.key(0)).in_bits()
print(estimate)

# %%
colors = {"unique_1": "C0", "unique_2": "C1", "redundancy": "C2", "synergy": "C3"}
titles = {
    "unique_1": "upper half only",
    "unique_2": "lower half only",
    "redundancy": "both",
    "synergy": "only together",
}


def draw(axes, estimate, title):
    for name, color in colors.items():
        axes.plot(getattr(estimate.atoms, name), "o-", color=color, label=titles[name])
        axes.fill_between(
            range(LAYERS + 1), getattr(estimate.lower, name), getattr(estimate.upper, name), color=color, alpha=0.2
        )
    axes.set(title=title, xlabel="layer")


figure, axes = plt.subplots(figsize=(6, 3.6), layout="constrained")
draw(axes, estimate, "information about the network's own prediction")
axes.set_ylabel("bits")
axes.legend()
plt.show()

# %%
# What the upper stream alone tells becomes what both tell, as soon as the lower stream reads it.
#
# Is that what the network does?
# ------------------------------
# A decomposition does not say what a network uses. Cutting the connection does. Below, the lower stream cannot
# read the upper one; target, samples and components are as before, and so are the differences paired.

cut_ones, cut_twos, cut_last = (np.asarray(x) for x in states_of(weights, *held_out, is_cut=True))
cut_right = (cut_last @ weights["readout"]).argmax(axis=1) == digits.target[~is_train]
print(f"accuracy with the connection cut: {cut_right.mean():.3f}")
change = compare_pid(
    (ones, twos, last), (cut_ones, cut_twos, cut_last), spec=spec, key=jax.random.key(0), resamples=100
).in_bits()
print(change)

# %%
figure, (left, middle) = plt.subplots(1, 2, figsize=(8, 3.6), layout="constrained", sharey=True)
draw(left, change.baseline, "as trained")
draw(middle, change.intervention, "connection cut")
left.set_ylabel("bits")
left.legend()
plt.show()

# %%
# Then the prediction depends on the lower half alone. What the upper half still tells about it is what two halves
# of one digit have in common, and nothing is unique to the upper stream at any layer.
