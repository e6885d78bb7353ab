"""Networks that see, most of them torchvision's."""

from collections.abc import Callable
from typing import Any

import torch
import torchvision
from torch import nn

from benchmarks.onnx_networks.network import Network, images, seeded

__all__ = ["VISION"]

_IMAGE = {0: "batch", 2: "height", 3: "width"}


class _Only(nn.Module):
    """A segmentation network's map of classes without the auxiliary one."""

    def __init__(self, net: nn.Module) -> None:
        super().__init__()
        self.net = net

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        """Scores of each class and pixel, [batch, classes, height, width]."""
        scores: torch.Tensor = self.net(image)["out"]
        return scores


class _Detector(nn.Module):
    """A detector for a batch of one: its lists and dicts as tensors."""

    def __init__(self, net: nn.Module) -> None:
        super().__init__()
        self.net = net

    def forward(self, image: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Boxes [found, 4], scores [found] and labels [found]."""
        found = self.net([image[0]])[0]
        return found["boxes"], found["scores"], found["labels"]


class _Block(nn.Sequential):
    def __init__(self, inside: int, outside: int) -> None:
        super().__init__(
            *(nn.Conv2d(inside, outside, 3, padding=1, bias=False), nn.BatchNorm2d(outside), nn.ReLU()),
            *(nn.Conv2d(outside, outside, 3, padding=1, bias=False), nn.BatchNorm2d(outside), nn.ReLU()),
        )


class _UNet(nn.Module):
    """Two levels down by pooling, two up by a transposed convolution and by bilinear resizing."""

    def __init__(self) -> None:
        super().__init__()
        self.down1, self.down2, self.bottom = _Block(3, 16), _Block(16, 32), _Block(32, 64)
        self.up2, self.join2 = nn.ConvTranspose2d(64, 32, 2, stride=2), _Block(64, 32)
        self.up1 = nn.Upsample(scale_factor=2, mode="bilinear", align_corners=False)
        self.join1, self.head = _Block(48, 16), nn.Conv2d(16, 4, 1)

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        """Scores of each class and pixel, [batch, 4, height, width]."""
        first = self.down1(image)
        second = self.down2(nn.functional.max_pool2d(first, 2))
        bottom = self.bottom(nn.functional.max_pool2d(second, 2))
        up = self.join2(torch.cat([self.up2(bottom), second], dim=1))
        scores: torch.Tensor = self.head(self.join1(torch.cat([self.up1(up), first], dim=1)))
        return scores


class _SuperResolution(nn.Sequential):
    """Three times the pixels by a pixel shuffle (Shi et al., 2016)."""

    def __init__(self) -> None:
        super().__init__(
            *(nn.Conv2d(1, 64, 5, padding=2), nn.Tanh(), nn.Conv2d(64, 32, 3, padding=1), nn.Tanh()),
            *(nn.Conv2d(32, 9, 3, padding=1), nn.PixelShuffle(3)),
        )


def _classifier(name: str, *, side: int = 64, is_fixed: bool = False, **options: Any) -> Network:
    """A classifier of torchvision; ``is_fixed``: its code takes images of one size."""
    build: Callable[..., nn.Module] = getattr(torchvision.models, name)
    axes = {0: "batch"} if is_fixed else _IMAGE
    return Network(
        name,
        seeded(lambda: build(weights=None, **options)),
        images(),
        {"image": axes, "scores": {0: "batch"}},
        ("scores",),
        (
            {"batch": 2, "height": side, "width": side},
            {"batch": 3, "height": side, "width": side}
            if is_fixed
            else {"batch": 3, "height": side + 32, "width": side + 64},
        ),
        has_fast_path=False,
    )


def _segmentation(name: str) -> Network:
    build: Callable[..., nn.Module] = getattr(torchvision.models.segmentation, name)
    return Network(
        name,
        seeded(lambda: _Only(build(weights=None, weights_backbone=None, num_classes=5))),
        images(),
        {"image": _IMAGE, "scores": _IMAGE},
        ("scores",),
        ({"batch": 2, "height": 64, "width": 64}, {"batch": 1, "height": 96, "width": 128}),
    )


def _ssdlite() -> Network:
    def build() -> nn.Module:
        detection = torchvision.models.detection
        return _Detector(
            detection.ssdlite320_mobilenet_v3_large(
                weights=None, weights_backbone=None, num_classes=5, detections_per_img=50
            )
        )

    sizes = {"batch": 1, "height": 320, "width": 320}
    return Network(
        "ssdlite320_mobilenet_v3_large",
        seeded(build),
        images(),
        {"image": {}, "boxes": {0: "found"}, "scores": {0: "found"}, "labels": {0: "found"}},
        ("boxes", "scores", "labels"),
        (sizes,),
        exporters=("torchscript",),
        why_not={"dynamo": "torch.export cannot follow its shapes, which depend on data"},
    )


VISION = (
    _classifier("resnet18"),
    _classifier("mobilenet_v2"),
    _classifier("mobilenet_v3_small"),
    _classifier("efficientnet_b0"),
    _classifier("shufflenet_v2_x1_0"),
    _classifier("densenet121"),
    _classifier("convnext_tiny"),
    _classifier("vit_b_16", side=224, is_fixed=True),
    _classifier("swin_t"),
    _segmentation("deeplabv3_mobilenet_v3_large"),
    _segmentation("lraspp_mobilenet_v3_large"),
    _ssdlite(),
    Network(
        "unet",
        seeded(_UNet),
        images(),
        {"image": _IMAGE, "scores": _IMAGE},
        ("scores",),
        ({"batch": 2, "height": 32, "width": 48}, {"batch": 3, "height": 64, "width": 32}),
    ),
    Network(
        "super_resolution",
        seeded(_SuperResolution),
        images(channels=1),
        {"image": _IMAGE, "larger": {0: "batch", 2: "3*height", 3: "3*width"}},
        ("larger",),
        ({"batch": 2, "height": 20, "width": 24}, {"batch": 1, "height": 33, "width": 17}),
    ),
)
"""Every network that sees."""
