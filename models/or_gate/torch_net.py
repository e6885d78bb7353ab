"""The network in PyTorch: define by run, autograd."""

import torch
from torch import Tensor, nn

from models.or_gate.data import training_rows
from models.or_gate.training import DEFAULTS, TrainConfig, Weights, initial_weights

__all__ = ["OrNet", "build", "gradients", "train"]


class OrNet(nn.Module):
    """Two inputs, two hidden sigmoid units, one sigmoid output."""

    def __init__(self) -> None:
        super().__init__()
        self.hidden = nn.Linear(2, 2)
        self.output = nn.Linear(2, 1)

    def forward(self, x: Tensor) -> Tensor:
        """[batch, 2] to [batch, 1], the probability of 1."""
        return torch.sigmoid(self.output(torch.sigmoid(self.hidden(x))))


def build() -> OrNet:
    """The network, not trained."""
    return OrNet()


def gradients(net: OrNet, x: Tensor, target: Tensor) -> dict[str, Tensor]:
    """Gradient of the mean binary cross-entropy with respect to each parameter, by autograd."""
    loss = nn.functional.binary_cross_entropy(net(x), target)
    parameters = dict(net.named_parameters())
    return dict(zip(parameters, torch.autograd.grad(loss, list(parameters.values())), strict=True))


def _start(seed: int) -> OrNet:
    net = build()
    start: Weights = initial_weights(seed)
    net.load_state_dict({name: torch.from_numpy(value) for name, value in start.items()})
    return net


def train(seed: int, config: TrainConfig = DEFAULTS) -> OrNet:
    """The network, trained; a step moves every parameter against its gradient."""
    net = _start(seed)
    x, target = map(torch.from_numpy, training_rows())
    for _ in range(config.steps):
        slope = gradients(net, x, target)
        with torch.no_grad():
            for name, parameter in net.named_parameters():
                parameter.sub_(config.learning_rate * slope[name])
    return net
