"""PyTorch's files: weights alone and whole programs, bit for bit; and what is not loaded."""

import pickle
from pathlib import Path

import numpy as np
import pytest

from contract.errors import FormatError, SpecError, UsageError

pytestmark = pytest.mark.slow  # PyTorch


@pytest.fixture
def build():
    """Makes a network from a seed: several dtypes, a buffer, a transposed and an empty weight."""
    import torch

    class Net(torch.nn.Module):
        def __init__(self, seed: int) -> None:
            super().__init__()
            torch.manual_seed(seed)
            self.first, self.norm, self.last = torch.nn.Linear(3, 4), torch.nn.BatchNorm1d(4), torch.nn.Linear(4, 2)
            self.small = torch.nn.Parameter(torch.randn(2, 3).half().T)
            self.register_buffer("none", torch.zeros(0, 3))

        def forward(self, x):
            return self.last(torch.relu(self.norm(self.first(x))))

    return lambda seed: Net(seed).eval()


def same(first, second) -> bool:
    ours, theirs = first.state_dict(), second.state_dict()
    assert ours.keys() == theirs.keys()
    return all(
        ours[name].dtype == theirs[name].dtype
        and ours[name].contiguous().numpy().tobytes() == theirs[name].contiguous().numpy().tobytes()
        for name in ours
    )


def test_weights_round_trip_bit_for_bit_as_safetensors(build, tmp_path):
    from pipeline.saving.torch_files import load_weights, save_weights

    net, other = build(0), build(1)
    assert not same(net, other)
    save_weights(tmp_path / "net.safetensors", net)
    load_weights(tmp_path / "net.safetensors", other)
    assert same(net, other)
    assert [path.name for path in tmp_path.iterdir()] == ["net.safetensors"]


@pytest.mark.parametrize("suffix", [".pt", ".pth", ".bin"])
@pytest.mark.parametrize("key", ["", "state_dict", "model_state_dict", "model"])
def test_weights_round_trip_bit_for_bit_through_torch_save(build, tmp_path, suffix, key):
    import torch

    from pipeline.saving.torch_files import load_weights

    net, other = build(0), build(1)
    path = tmp_path / f"net{suffix}"
    torch.save({key: net.state_dict(), "epoch": 3} if key else net.state_dict(), path)
    load_weights(path, other)
    assert same(net, other)


def test_a_weight_that_two_layers_share_is_written_once_and_loaded_into_both(tmp_path):
    import torch
    from safetensors import safe_open

    from pipeline.saving.torch_files import load_weights, save_weights

    def tied(seed):
        torch.manual_seed(seed)
        net = torch.nn.Sequential(torch.nn.Linear(3, 3), torch.nn.Linear(3, 3))
        net[1].weight = net[0].weight
        return net

    save_weights(tmp_path / "tied.safetensors", tied(0))
    with safe_open(tmp_path / "tied.safetensors", framework="np") as file:
        assert len(file.keys()) == 3
    net = tied(1)
    load_weights(tmp_path / "tied.safetensors", net)
    assert same(net, tied(0))
    assert net[0].weight is net[1].weight


# The transposed weight shares its storage with nothing that is whole.
@pytest.mark.filterwarnings("ignore:No complete tensor found in the group:UserWarning")
def test_a_program_round_trips_with_every_axis_that_is_dynamic(build, tmp_path):
    import torch

    from pipeline.saving.torch_files import save_program
    from runtimes import load

    net = build(0)
    save_program(tmp_path / "net.pt2", net, {"x": torch.zeros(2, 3)}, {"x": {0: "batch"}})
    for batch in (1, 5):
        x = np.random.default_rng(batch).normal(size=(batch, 3)).astype(np.float32)
        with load("torch", tmp_path / "net.pt2") as session, torch.no_grad():
            [answer] = session.run({"x": x}).values()
            np.testing.assert_array_equal(answer, net(torch.from_numpy(x)).numpy())


class Hostile:
    """Writes a file when it is unpickled."""

    def __init__(self, canary: Path) -> None:
        self.canary = canary

    def __reduce__(self):
        return Path.touch, (self.canary,)


@pytest.mark.parametrize("wrap", [lambda bad: bad, lambda bad: {"state_dict": bad}])
def test_a_hostile_pickle_is_refused_and_its_code_not_run(build, tmp_path, wrap):
    import torch

    from pipeline.saving.torch_files import load_weights

    canary, path, net = tmp_path / "canary", tmp_path / "net.pt", build(0)
    for write in (lambda value: torch.save(value, path), lambda value: path.write_bytes(pickle.dumps(value))):
        write(wrap(Hostile(canary)))
        with pytest.raises(
            FormatError, match=r"net\.pt: cannot be read as weights alone.*save them as \.safetensors"
        ) as err:
            load_weights(path, net)
        assert "\n" not in str(err.value)
        assert not canary.exists()
    assert same(net, build(0))


@pytest.mark.parametrize("cut", [0, 1, 7, 100, -1])
@pytest.mark.parametrize("suffix", [".safetensors", ".pt"])
def test_a_truncated_file_is_one_line(build, tmp_path, suffix, cut):
    import torch

    from pipeline.saving.torch_files import load_weights, save_weights

    path, net = tmp_path / f"net{suffix}", build(0)
    if suffix == ".pt":
        torch.save(net.state_dict(), path)
    else:
        save_weights(path, net)
    path.write_bytes(path.read_bytes()[:cut])
    with pytest.raises(FormatError, match=rf"net\{suffix}: ") as caught:
        load_weights(path, net)
    assert "\n" not in str(caught.value)


def test_weights_of_another_network_are_named(build, tmp_path):
    import torch
    from safetensors.torch import save_file

    from pipeline.saving.torch_files import load_weights

    net, path = build(0), tmp_path / "net.safetensors"
    for change, message in (
        ({"last.weight": None}, "missing last.weight"),
        ({f"more.{i}": torch.zeros(1) for i in range(5)}, r"unknown more\.0, more\.1, more\.2 and 2 more"),
        ({"last.weight": torch.zeros(2, 9)}, r"last\.weight is \[2, 9\], the network has \[2, 4\]"),
    ):
        weights = {name: value.contiguous() for name, value in net.state_dict().items()} | change
        save_file({name: value for name, value in weights.items() if value is not None}, path)
        with pytest.raises(SpecError, match=f"its weights are not those of Net: {message}"):
            load_weights(path, net)


def test_other_files_are_refused(build, tmp_path):
    import torch

    from pipeline.saving.torch_files import load_weights, save_program, save_weights

    net = build(0)
    with pytest.raises(UsageError, match="there is no such file"):
        load_weights(tmp_path / "absent.pt", net)
    (tmp_path / "net.h5").touch()
    with pytest.raises(UsageError, match=r"are \.safetensors, \.pt, \.pth, \.bin files"):
        load_weights(tmp_path / "net.h5", net)
    torch.save({"epoch": 3}, tmp_path / "no_weights.pt")
    with pytest.raises(FormatError, match="holds epoch, but no state dict"):
        load_weights(tmp_path / "no_weights.pt", net)
    with pytest.raises(UsageError, match=r"saved as \.safetensors"):
        save_weights(tmp_path / "net.pt", net)
    with pytest.raises(UsageError, match=r"saved as \.pt2"):
        save_program(tmp_path / "net.pt", net, {"x": torch.zeros(2, 3)})
