"""Both networks learn parity, and hold on sequences that are longer than any they have seen."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow  # PyTorch and TensorFlow

HERE = Path(__file__).parent
ROOT = HERE.parents[2]
SEEDS = range(2)


@pytest.fixture(scope="module", params=["torch", "keras"])
def trained(request):
    """Networks of seeds 0, ..., and of seed 0 once more, in a process of its own."""
    command = [sys.executable, HERE / "train_networks.py", request.param, *map(str, [*SEEDS, 0])]
    environment = {
        **os.environ,
        "PYTHONPATH": str(ROOT),
        "CUDA_VISIBLE_DEVICES": "-1",
        "KERAS_BACKEND": "tensorflow",
    }
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]


def test_a_seed_gives_the_same_weights_again_and_another_seed_other_ones(trained):
    digests = [net["digest"] for net in trained]
    assert digests[-1] == digests[0]
    assert len(set(digests)) == len(SEEDS)


def test_every_sequence_is_right_also_of_lengths_that_training_never_saw(trained):
    for net in trained:
        assert [right for right, _ in net["right"]] == [of for _, of in net["right"]], net["seed"]
