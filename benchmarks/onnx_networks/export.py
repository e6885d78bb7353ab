"""Exports a network by one of torch's exporters, with the inputs it is checked with; run as a process."""

import sys
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import torch

from benchmarks.onnx_networks.network import Network, settled
from benchmarks.onnx_networks.sequences import SEQUENCES
from benchmarks.onnx_networks.vision import VISION

__all__ = ["NETWORKS", "export"]

NETWORKS = {network.name: network for network in (*VISION, *SEQUENCES)}
"""Every network by its name."""


def export(network: Network, exporter: str, folder: Path) -> None:
    """Writes ``model.onnx``, and ``call_0.npz``, ... with inputs for each of the network's sizes.

    Args:
        network: to export.
        exporter: ``dynamo`` or ``torchscript``.
        folder: to write into.
    """
    torch.backends.mha.set_fastpath_enabled(network.has_fast_path)
    net = network.build()
    calls = [network.example(sizes) for sizes in network.sizes]
    settled(net, calls[0])
    names = list(calls[0])
    options: dict[str, Any] = {"input_names": names, "output_names": list(network.outputs), "verbose": False}
    arguments = tuple(calls[0].values())
    if exporter == "dynamo":
        dims = {axis: torch.export.Dim.DYNAMIC for axes in network.axes.values() for axis in axes.values()}
        shapes = tuple({at: dims[axis] for at, axis in network.axes[name].items()} for name in names)
        torch.onnx.export(
            net, arguments, folder / "model.onnx", dynamo=True, dynamic_shapes=shapes, external_data=False, **options
        )
    else:
        torch.onnx.export(
            net,
            arguments,
            folder / "model.onnx",
            dynamo=False,
            dynamic_axes=dict(network.axes),
            opset_version=17,
            **options,
        )
    for position, call in enumerate(calls):
        np.savez(folder / f"call_{position}.npz", **{name: tensor.numpy() for name, tensor in call.items()})


if __name__ == "__main__":
    warnings.filterwarnings("ignore")
    export(NETWORKS[sys.argv[1]], sys.argv[2], Path(sys.argv[3]))
