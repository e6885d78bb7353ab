"""What both networks share: the start, the sequences, and when training is done.

Parity is hard to learn by descent: about half of all starts end in a network that counts up to twelve and no further.
So a start that does not hold on long sequences within a few hundred steps is given up for the next one.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from contract.arrays import Array, FloatArray
from contract.errors import ConversionError
from models.parity_rnn.data import SEEN, parity, random_bits

__all__ = ["DEFAULTS", "UNITS", "Chunk", "TrainConfig", "Weights", "chunks", "holds", "initial_weights", "starts"]

UNITS = 8
"""Of the recurrent cell."""

Weights = dict[str, Array]
"""As torch.nn.GRU has them, gates in the order reset, update, new; and ``output.weight``, ``output.bias``."""

_CHECKED_LENGTH, _CHECKED_ROWS = 100, 160


@dataclass(frozen=True, slots=True)
class TrainConfig:
    """Adam on the binary cross-entropy at every position of a sequence.

    Attributes:
        learning_rate: of Adam.
        batch: sequences a step.
        noise: standard deviation of what is added to the state at each position, in the end; it grows in a straight
            line over the first half. A state that survives it lies in a deep valley, which long sequences need.
        steps: a start that has not been found good by then is given up.
        check_every: steps between two looks at long sequences.
        margin: the least logit, on the right side, of a network that is good.
        starts: how many are tried before training is said to have failed.
    """

    learning_rate: float = 0.01
    batch: int = 64
    noise: float = 0.2
    steps: int = 700
    check_every: int = 50
    margin: float = 2.0
    starts: int = 40


DEFAULTS = TrainConfig()


class Chunk(NamedTuple):
    """Some steps of training, float32.

    Attributes:
        bits: [steps, batch, time, 1].
        odd: parity up to each position, [steps, batch, time].
        noise: [steps, time, batch, units].
    """

    bits: FloatArray
    odd: FloatArray
    noise: FloatArray


def starts(seed: int, config: TrainConfig) -> Iterator[np.random.Generator]:
    """A generator of random numbers for each start.

    Raises:
        ConversionError: none of them was good.
    """
    for start in range(config.starts):
        yield np.random.default_rng((seed, start))
    raise ConversionError(f"none of {config.starts} starts from seed {seed} learned parity; choose another --seed")


def initial_weights(rng: np.random.Generator) -> Weights:
    """Uniform, as torch has it, but for gates that are open and a state that turns without shrinking."""
    bound = UNITS**-0.5
    shapes = {
        "gru.weight_ih_l0": (3 * UNITS, 1),
        "gru.weight_hh_l0": (3 * UNITS, UNITS),
        "gru.bias_ih_l0": (3 * UNITS,),
        "gru.bias_hh_l0": (3 * UNITS,),
        "output.weight": (1, UNITS),
        "output.bias": (1,),
    }
    weights = {name: rng.uniform(-bound, bound, shape).astype(np.float32) for name, shape in shapes.items()}
    reset, update, new = slice(UNITS), slice(UNITS, 2 * UNITS), slice(2 * UNITS, None)
    weights["gru.weight_hh_l0"][new] = 1.5 * np.linalg.qr(rng.standard_normal((UNITS, UNITS)))[0]
    weights["gru.bias_ih_l0"][reset] += 2
    weights["gru.bias_ih_l0"][update] -= 3
    return weights


def chunks(rng: np.random.Generator, config: TrainConfig) -> Iterator[Chunk]:
    """What a start is trained on, in pieces of ``check_every`` steps."""
    time = SEEN[-1]
    for first in range(0, config.steps, config.check_every):
        steps = np.arange(first, first + config.check_every)
        bits = np.stack([random_bits(rng, config.batch, time) for _ in steps])
        spread = config.noise * np.minimum(1, 2 * steps / config.steps)
        noise = spread[:, None, None, None] * rng.standard_normal((len(steps), time, config.batch, UNITS))
        odd = np.stack([parity(rows) for rows in bits])
        yield Chunk(bits, odd.astype(np.float32), noise.astype(np.float32))


def holds(logits: Callable[[FloatArray], Array], config: TrainConfig) -> bool:
    """Whether a network is right, with a margin, at every position of long sequences.

    Args:
        logits: gives [rows, time] for bits [rows, time, 1].
        config: has the margin.
    """
    bits = random_bits(np.random.default_rng(3), _CHECKED_ROWS, _CHECKED_LENGTH)
    bits[:8] = 0
    bits[:4, 0] = 1  # a single one, long ago
    side = 2 * parity(bits) - 1
    return bool((side * logits(bits)).min() > config.margin)
