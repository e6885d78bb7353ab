"""The network by hand, forward and backward, in float64: the oracle that no framework biases."""

import numpy as np

from contract.arrays import FloatArray, Tensors
from models.or_gate.data import training_rows
from models.or_gate.training import DEFAULTS, TrainConfig, Weights, initial_weights

__all__ = ["forward", "gradients", "loss", "train"]


def _sigmoid(z: FloatArray) -> FloatArray:
    # exp(-|z|) never overflows, whichever sign z has.
    e = np.exp(-np.abs(z))
    return np.where(z >= 0, 1 / (1 + e), e / (1 + e))


def _layers(weights: Weights, x: FloatArray) -> tuple[FloatArray, FloatArray]:
    hidden = _sigmoid(x @ weights["hidden.weight"].T + weights["hidden.bias"])
    return hidden, _sigmoid(hidden @ weights["output.weight"].T + weights["output.bias"])


def forward(weights: Weights, inputs: Tensors) -> Tensors:
    """``x`` [batch, 2] to ``y`` [batch, 1], the probability of 1."""
    return {"y": _layers(weights, inputs["x"].astype(np.float64))[1]}


def loss(weights: Weights, x: FloatArray, target: FloatArray) -> float:
    """Mean binary cross-entropy."""
    y = _layers(weights, x)[1]
    return float(-np.mean(target * np.log(y) + (1 - target) * np.log(1 - y)))


def gradients(weights: Weights, x: FloatArray, target: FloatArray) -> Weights:
    """Gradient of `loss` with respect to each weight, by the chain rule.

    Args:
        weights: float, shapes as in `Weights`.
        x: [batch, 2].
        target: [batch, 1], 0 or 1.
    """
    hidden, y = _layers(weights, x)
    # The derivative of cross-entropy behind a sigmoid is y - target: the sigmoid's own derivative cancels.
    d_output = (y - target) / len(x)
    d_hidden = d_output @ weights["output.weight"] * hidden * (1 - hidden)
    return {
        "hidden.weight": d_hidden.T @ x,
        "hidden.bias": d_hidden.sum(axis=0),
        "output.weight": d_output.T @ hidden,
        "output.bias": d_output.sum(axis=0),
    }


def train(seed: int, config: TrainConfig = DEFAULTS) -> Weights:
    """The trained weights, float64."""
    weights = {name: value.astype(np.float64) for name, value in initial_weights(seed).items()}
    x, target = (rows.astype(np.float64) for rows in training_rows())
    for _ in range(config.steps):
        slope = gradients(weights, x, target)
        weights = {name: value - config.learning_rate * slope[name] for name, value in weights.items()}
    return weights
