"""What both networks share: the hyperparameters, and the order in which training meets the images."""

from dataclasses import dataclass

import numpy as np

from contract.arrays import Array

__all__ = ["DEFAULTS", "TrainConfig", "batches"]


@dataclass(frozen=True, slots=True)
class TrainConfig:
    """Adam on cross-entropy, at a rate that falls to 0 in a straight line.

    A rate that stays where it begins leaves the last steps to chance: some seeds then end a percent lower.
    """

    epochs: int = 20
    batch: int = 32
    learning_rate: float = 0.004


DEFAULTS = TrainConfig()


def batches(seed: int, rows: int, config: TrainConfig) -> Array:
    """Positions int64 [steps, batch]: each epoch visits the rows in an order of its own, and drops an odd end."""
    rng = np.random.default_rng(seed)
    per_epoch = rows // config.batch
    orders = [rng.permutation(rows)[: per_epoch * config.batch] for _ in range(config.epochs)]
    return np.array(orders, np.int64).reshape(-1, config.batch)
