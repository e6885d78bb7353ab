"""Which networks there are, without importing what they are made by."""

from dataclasses import dataclass

__all__ = ["CASES", "Case"]

_QUANTIZED = ("dynamic", "static")
_BOTH = ("dynamo", "torchscript")


@dataclass(frozen=True, slots=True)
class Case:
    """A network by one of its exporters.

    Attributes:
        network: its name.
        by: the exporter.
        variants: how ONNX Runtime's tools also quantize it.
    """

    network: str
    by: str
    variants: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        """Both names."""
        return f"{self.network}.{self.by}"

    @property
    def command(self) -> list[str]:
        """The module that makes it, and its arguments but the folder."""
        if self.by == "skl2onnx":
            return ["benchmarks.onnx_networks.tables", self.network]
        return ["benchmarks.onnx_networks.export", self.network, self.by]


_TORCH = {
    "resnet18": _BOTH,
    "mobilenet_v2": _BOTH,
    "mobilenet_v3_small": _BOTH,
    "efficientnet_b0": _BOTH,
    "shufflenet_v2_x1_0": _BOTH,
    "densenet121": _BOTH,
    "convnext_tiny": _BOTH,
    "vit_b_16": _BOTH,
    "swin_t": _BOTH,
    "deeplabv3_mobilenet_v3_large": _BOTH,
    "lraspp_mobilenet_v3_large": _BOTH,
    "ssdlite320_mobilenet_v3_large": ("torchscript",),
    "unet": _BOTH,
    "super_resolution": _BOTH,
    "lstm_tagger_lengths": ("torchscript",),
    "lstm_tagger": _BOTH,
    "gru_seq2seq": ("torchscript",),
    "gru_rescorer": ("dynamo",),
    "transformer_encoder": ("dynamo",),
    "causal_decoder": _BOTH,
    "audio_stft": _BOTH,
}
"""The networks of `benchmarks.onnx_networks.export`, and the exporters that can export them; a test compares both."""

_TABLES = ("gradient_boosting_classifier", "gradient_boosting_regressor", "random_forest", "sklearn_pipeline")

CASES = (
    *(
        Case(network, by, _QUANTIZED if by == exporters[0] else ())
        for network, exporters in _TORCH.items()
        for by in exporters
    ),
    *(Case(network, "skl2onnx") for network in _TABLES),
)
"""Every case of the table."""
