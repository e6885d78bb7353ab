"""Trains the OR network in frameworks and writes what came out; run as a program, because it imports them.

``train_networks.py FILE NETWORK...`` writes an .npz file with the entries ``<network>/<seed>/<what>/<name>``, where
what is ``gradients`` at the seeded start, ``weights`` after training, ``table`` for the answers to the four rows of the
truth table, and ``table after one step``. Weights and gradients have the names and shapes of
`models.or_gate.training.Weights`.
"""

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from models.or_gate.data import training_rows
from models.or_gate.training import TrainConfig

SEEDS = range(20)
TABLE = np.array([[0, 0], [0, 1], [1, 0], [1, 1]], np.float32)
ONE_STEP = TrainConfig(steps=1)

Arrays = dict[str, NDArray[Any]]
Write = Callable[[int, str, Arrays], None]


def pytorch(write: Write) -> None:
    """The network in PyTorch."""
    import torch

    from models.or_gate import torch_net

    def table(net: torch_net.OrNet) -> Arrays:
        with torch.no_grad():
            return {"y": net(torch.from_numpy(TABLE)).numpy()}

    x, target = map(torch.from_numpy, training_rows())
    for seed in SEEDS:
        start = torch_net.train(seed, TrainConfig(steps=0))
        write(seed, "gradients", {name: value.numpy() for name, value in torch_net.gradients(start, x, target).items()})
        net = torch_net.train(seed)
        write(seed, "weights", {name: value.numpy() for name, value in net.state_dict().items()})
        write(seed, "table", table(net))
        write(seed, "table after one step", table(torch_net.train(seed, ONE_STEP)))


def keras(write: Write) -> None:
    """The network in Keras."""
    import tensorflow as tf

    from models.or_gate import keras_net

    x, target = map(tf.constant, training_rows())
    for seed in SEEDS:
        start = keras_net.train(seed, TrainConfig(steps=0))
        paths = [variable.path for variable in start.trainable_variables]
        slopes = keras_net.gradients(start, x, target)
        write(seed, "gradients", _by_unit(dict(zip(paths, (slope.numpy() for slope in slopes), strict=True))))
        net = keras_net.train(seed)
        write(seed, "weights", _by_unit({variable.path: variable.numpy() for variable in net.variables}))
        write(seed, "table", {"y": net(TABLE).numpy()})
        write(seed, "table after one step", {"y": keras_net.train(seed, ONE_STEP)(TABLE).numpy()})


def static_graph(write: Write) -> None:
    """The network as a static graph."""
    import tensorflow as tf

    from models.or_gate import static_graph as graph
    from pipeline.static_graph import restore

    v1 = tf.compat.v1
    with tf.Graph().as_default(), v1.Session() as session:
        x = v1.placeholder(tf.float32, (None, 2))
        y = graph.forward({"x": x})

        def table(weights: Arrays) -> Arrays:
            restore(session, weights)
            answer: Arrays = session.run(y, {x: TABLE})
            return answer

        for seed in SEEDS:
            write(seed, "gradients", _by_unit(graph.gradients(seed, *training_rows())))
            weights = graph.train(seed)
            write(seed, "weights", _by_unit(weights))
            write(seed, "table", table(weights))
            write(seed, "table after one step", table(graph.train(seed, ONE_STEP)))


def _by_unit(values: Arrays) -> Arrays:
    """TensorFlow's names and kernels, [inputs, outputs], to PyTorch's, [outputs, inputs]."""
    renamed = {name.replace("/", ".").replace("kernel", "weight"): value for name, value in values.items()}
    return {name: value.T if name.endswith("weight") else value for name, value in renamed.items()}


def main(file: Path, networks: list[str]) -> None:
    """Trains each network from every seed."""
    results: Arrays = {}
    for network in networks:

        def write(seed: int, what: str, values: Arrays, network: str = network) -> None:
            results.update({f"{network}/{seed}/{what}/{name}": value for name, value in values.items()})

        {"pytorch": pytorch, "keras": keras, "static_graph": static_graph}[network](write)
    np.savez(file, **results)


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2:])
