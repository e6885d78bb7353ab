"""The network in PyTorch: a GRU, and what its last state says."""

from functools import partial

import numpy as np
import torch
from torch import Tensor, nn

from contract.arrays import Array, FloatArray
from models.parity_rnn.training import DEFAULTS, UNITS, Chunk, TrainConfig, chunks, holds, initial_weights, starts

__all__ = ["ParityNet", "build", "train"]


class ParityNet(nn.Module):
    """A GRU of 8 units over any number of bits, and one sigmoid output."""

    def __init__(self) -> None:
        super().__init__()
        self.gru = nn.GRU(1, UNITS, batch_first=True)
        self.output = nn.Linear(UNITS, 1)

    def logits(self, bits: Tensor) -> Tensor:
        """[batch, time, 1] to [batch, time]: what each state says."""
        states, _ = self.gru(bits)
        logits: Tensor = self.output(states)[..., 0]
        return logits

    def forward(self, bits: Tensor) -> Tensor:
        """[batch, time, 1] to [batch, 1], the probability that the number of ones is odd."""
        states, _ = self.gru(bits)
        return torch.sigmoid(self.output(states[:, -1]))


def build() -> ParityNet:
    """The network, not trained."""
    return ParityNet()


def train(seed: int, config: TrainConfig = DEFAULTS) -> ParityNet:
    """The network, trained; the first start that holds on long sequences."""
    for rng in starts(seed, config):
        net = build()
        net.load_state_dict({name: torch.from_numpy(value) for name, value in initial_weights(rng).items()})
        optimizer = torch.optim.Adam(net.parameters(), config.learning_rate)
        for chunk in chunks(rng, config):
            _descend(net, optimizer, chunk)
            if holds(partial(_run, net), config):
                return net
    raise AssertionError("starts() has raised")


def _descend(net: ParityNet, optimizer: torch.optim.Optimizer, chunk: Chunk) -> None:
    cell = list(net.gru.parameters())
    for bits, odd, noise in zip(*map(torch.from_numpy, chunk), strict=True):
        state, states = torch.zeros(noise.shape[1:]), []
        for position, disturbance in enumerate(noise):
            state = torch.gru_cell(bits[:, position], state + disturbance, *cell)
            states.append(state)
        logits = net.output(torch.stack(states, 1))[..., 0]
        optimizer.zero_grad()
        torch.autograd.backward(nn.functional.binary_cross_entropy_with_logits(logits, odd))
        optimizer.step()


def _run(net: ParityNet, bits: FloatArray) -> Array:
    with torch.no_grad():
        return np.asarray(net.logits(torch.from_numpy(bits)).numpy())
