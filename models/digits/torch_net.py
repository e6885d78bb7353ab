"""The network in PyTorch."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from models.digits.data import training_rows
from models.digits.training import DEFAULTS, TrainConfig, batches

__all__ = ["DigitsNet", "build", "train"]


class DigitsNet(nn.Module):
    """Two convolutions, each halved by a maximum, and a dense layer: 4,610 parameters."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(1, 16, 3, padding=1)
        self.conv2 = nn.Conv2d(16, 24, 3, padding=1)
        self.output = nn.Linear(24 * 2 * 2, 10)

    def logits(self, image: Tensor) -> Tensor:
        """[batch, 8, 8] to [batch, 10], before the softmax."""
        x = image.reshape(-1, 1, 8, 8)  # one channel, where torch wants it; onnx-tf lacks the Unsqueeze of unsqueeze(1)
        x = nn.functional.max_pool2d(torch.relu(self.conv1(x)), 2)
        x = nn.functional.max_pool2d(torch.relu(self.conv2(x)), 2)
        scores: Tensor = self.output(x.flatten(1))
        return scores

    def forward(self, image: Tensor) -> Tensor:
        """[batch, 8, 8], 0 to 1, to [batch, 10], the probability of each digit."""
        return torch.softmax(self.logits(image), dim=1)


def build() -> DigitsNet:
    """The network, not trained."""
    return DigitsNet()


def _start(seed: int) -> DigitsNet:
    with torch.random.fork_rng(devices=[]):  # leaves the caller's generator as it was
        torch.manual_seed(seed)
        return build()


@contextmanager
def _one_thread() -> Iterator[None]:
    """Sums in one order whatever the machine, and no threads that wait for each other between such small operations."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


@_one_thread()
def train(seed: int, config: TrainConfig = DEFAULTS) -> DigitsNet:
    """The network, trained."""
    net = _start(seed)
    images, classes = (torch.tensor(rows) for rows in training_rows())
    order = torch.from_numpy(batches(seed, len(classes), config))
    optimizer = torch.optim.Adam(net.parameters(), lr=config.learning_rate)
    rate = torch.optim.lr_scheduler.LinearLR(optimizer, start_factor=1.0, end_factor=0.0, total_iters=len(order))
    for rows in order:
        optimizer.zero_grad()
        nn.functional.cross_entropy(net.logits(images[rows]), classes[rows]).backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        rate.step()
    return net
