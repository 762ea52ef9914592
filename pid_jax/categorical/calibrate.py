"""Predictions whose claims equal what they are worth: tempered towards, or away from, the class frequencies."""

import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Float

_BISECTIONS = 40
_COLDEST, _HOTTEST = -4.0, 7.0  # log temperatures
_NOTHING = 1e-5  # nats, below which predictions are the class frequencies


def temper(
    log_probabilities: Float[Array, "n K"], log_classes: Float[Array, "K"], temperature: Float[Array, ""]
) -> Float[Array, "n K"]:
    """Return p(y) [p(y | x) / p(y)]^(1 / T), normalized."""
    return jax.nn.softmax(log_classes + (log_probabilities - log_classes) / temperature)


def claimed_information(posteriors: Float[Array, "n K"], classes: Float[Array, "K"]) -> Float[Array, ""]:
    """Return the information in nats that posteriors have where they are true.

    They are scaled by class first, so that their mean is the frequency of each class.
    """
    return raked_information(rake(posteriors / len(posteriors), classes), classes)


def raked_information(table: Float[Array, "M K"], classes: Float[Array, "K"]) -> Float[Array, ""]:
    """Return the information in nats of a joint table with the given class probabilities."""
    marginal = table.sum(axis=1, keepdims=True)
    ratio = jnp.where(table > 0, table / jnp.where(table > 0, marginal * classes, 1), 1)
    return jnp.sum(table * jnp.log(ratio))


def rake(table: Float[Array, "M K"], classes: Float[Array, "K"]) -> Float[Array, "M K"]:
    """Scale a table by class, so that its class probabilities are those given."""
    total = table.sum(axis=0)
    return table * jnp.where(total > 0, classes / jnp.where(total > 0, total, 1), 0)


def calibrate(
    log_probabilities: Float[Array, "n K"], classes: Float[Array, "K"], information: Float[Array, ""]
) -> tuple[Float[Array, "n K"], Float[Array, ""]]:
    """Temper predictions so that the information they claim is that given.

    Args:
        log_probabilities: Log probabilities of the classes for each sample.
        classes: Frequencies of the classes; one that is 0 gets no probability, whatever is predicted.
        information: What the predictions are worth, in nats; 0 or less makes them the frequencies.

    Returns:
        Posteriors, and the temperature: above 1 where the predictions claimed too much.

    Source: Guo, Pleiss, Sun & Weinberger (2017), ICML, for the temperature of predictions.
    """
    log_classes = jnp.log(jnp.where(classes > 0, classes, 1e-300))
    # A low temperature would raise the floor of an absent class above all others.
    log_probabilities = jnp.where(classes > 0, log_probabilities, log_classes)

    def halve(ends: tuple[Array, Array], _: None) -> tuple[tuple[Array, Array], None]:
        low, high = ends
        middle = (low + high) / 2
        claims_more = (
            claimed_information(temper(log_probabilities, log_classes, jnp.exp(middle)), classes) > information
        )
        return (jnp.where(claims_more, middle, low), jnp.where(claims_more, high, middle)), None

    ends = (jnp.asarray(_COLDEST, log_probabilities.dtype), jnp.asarray(_HOTTEST, log_probabilities.dtype))
    temperature = jnp.exp(lax.scan(halve, ends, None, length=_BISECTIONS)[0][1])
    tempered = temper(log_probabilities, log_classes, temperature)
    knows = information > _NOTHING
    return jnp.where(knows, tempered, classes), jnp.where(knows, temperature, jnp.inf)
