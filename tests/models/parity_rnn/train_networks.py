"""Trains the networks of a framework for some seeds, and prints how they answer as JSON: a program of its own.

``python train_networks.py torch 0 1 0``
"""

import hashlib
import importlib
import json
import sys

import numpy as np

from contract.arrays import Array, Tensors


def digest(weights: list[Array]) -> str:
    return hashlib.sha256(b"".join(np.ascontiguousarray(weight).tobytes() for weight in weights)).hexdigest()


def main(framework: str, seeds: list[int]) -> None:
    """A line for each seed: a digest of the weights, and how many rows of the evaluation are right, by call."""
    module = importlib.import_module(f"models.parity_rnn.{framework}_net")
    data = importlib.import_module("models.parity_rnn.data")
    if framework == "torch":
        import torch

        torch.set_num_threads(1)
    for seed in seeds:
        net = module.train(seed)

        def answer(inputs: Tensors, net=net) -> Array:
            [value] = inputs.values()
            if framework == "torch":
                with torch.no_grad():
                    return np.asarray(net(torch.from_numpy(value)).numpy())
            return np.asarray(net(value, training=False))

        weights = [v.numpy() for v in net.state_dict().values()] if framework == "torch" else net.get_weights()
        right = [
            [int(((answer(inputs)[:, 0] > 0.5) == classes).sum()), len(classes)]
            for inputs, classes in data.evaluation()
        ]
        print(json.dumps({"seed": seed, "digest": digest(weights), "right": right}), flush=True)


if __name__ == "__main__":
    main(sys.argv[1], [int(seed) for seed in sys.argv[2:]])
