"""What a network of the table is."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import torch

__all__ = ["Network", "images", "seeded", "settled"]

Sizes = Mapping[str, int]


@dataclass(frozen=True, slots=True)
class Network:
    """A network with random weights, and the calls that it is checked with.

    Attributes:
        name: in the table.
        build: makes the module, in evaluation mode.
        example: inputs by name, in the order of ``forward``, for sizes of the dynamic axes.
        axes: the dynamic axes of each input and output: position to name.
        outputs: names of the outputs.
        sizes: of the dynamic axes; the model is exported with the first, and checked with each.
        exporters: of ``dynamo`` and ``torchscript``, those that export it.
        rtol: what a value may be off, in parts of the largest value of its output.
        has_fast_path: whether torch's fused attention may be traced: it leaves shapes dynamic that the other fixes, but
            torchscript's exporter does not have it in every form.
        why_not: for an exporter that is left out, its own reason.
    """

    name: str
    build: Callable[[], torch.nn.Module]
    example: Callable[[Sizes], dict[str, torch.Tensor]]
    axes: Mapping[str, Mapping[int, str]]
    outputs: tuple[str, ...]
    sizes: tuple[Sizes, ...]
    exporters: tuple[str, ...] = ("dynamo", "torchscript")
    rtol: float = 1e-4
    has_fast_path: bool = True
    why_not: Mapping[str, str] = field(default_factory=dict)


def seeded(build: Callable[[], torch.nn.Module]) -> Callable[[], torch.nn.Module]:
    """The same random weights each time, in evaluation mode.

    Weights that the network begins with at 0, such as those of a head, are random too: or it would answer 0 to all.
    """

    def built() -> torch.nn.Module:
        torch.manual_seed(0)
        net = build().eval()
        with torch.no_grad():
            for weights in net.parameters():
                if not weights.any():
                    weights.normal_(std=0.05)
        return net

    return built


def settled(net: torch.nn.Module, example: Mapping[str, torch.Tensor]) -> None:
    """Gives batch normalization the statistics of an example: with those it begins with, deep networks go silent.

    A channel that hardly varies keeps the layer's mean variance: divided by its own, rounding would become the signal.
    """

    def settle(norm: torch.nn.Module, inputs: tuple[torch.Tensor]) -> None:
        mean, variance = inputs[0].mean(dim=(0, 2, 3)), inputs[0].var(dim=(0, 2, 3), correction=0)
        norm.running_mean, norm.running_var = mean, variance.clamp(min=variance.mean().item())

    norms = [module for module in net.modules() if isinstance(module, torch.nn.BatchNorm2d)]
    if not norms:
        return
    hooks = [norm.register_forward_pre_hook(settle) for norm in norms]
    with torch.no_grad():
        net(*example.values())
    for hook in hooks:
        hook.remove()


def images(name: str = "image", channels: int = 3) -> Callable[[Sizes], dict[str, torch.Tensor]]:
    """Seeded random images, [batch, channels, height, width] in 0 to 1."""

    def example(sizes: Sizes) -> dict[str, torch.Tensor]:
        shape = (sizes.get("batch", 1), channels, sizes["height"], sizes["width"])
        return {name: torch.rand(shape, generator=torch.Generator().manual_seed(1))}

    return example
