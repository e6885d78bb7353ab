"""Programs of torch.export in PyTorch, and what a .pt2 file may not hold."""

import contextlib
import io
import json
import pickle
import struct
import subprocess
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from contract.errors import RuntimeRefusedError, ShowdownError, SpecError, UsageError
from contract.tensor_spec import TensorSpec
from runtimes import load

pytestmark = pytest.mark.slow


class Network(nn.Module):
    """Several inputs of several dtypes, by position and by keyword; weights, buffers and a constant."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(3)
        self.table, self.norm, self.head = nn.Embedding(11, 4), nn.BatchNorm1d(4), nn.Linear(4, 3)
        self.register_buffer("kept_out", torch.arange(3.0), persistent=False)
        self.constant = torch.tensor([1.0, -2.0, 0.5])

    def forward(self, ids, x, *, mask, half):
        rows = self.norm((self.table(ids) * mask[..., None]).sum(1))
        logits = self.head(rows) * self.constant + self.kept_out
        return {"logits": logits, "x": x, "any": mask.any(1), "half": half * 2, "best": logits.argmax(-1)}


def inputs_of(batch, time):
    rng = np.random.default_rng(batch * 100 + time)
    return {
        "ids": rng.integers(0, 11, (batch, time)),
        "x": rng.random((batch, 2), np.float32),
        "mask": rng.random((batch, time)) < 0.5,
        "half": rng.random(3).astype(np.float16),
    }


def tensors(inputs):
    return {name: torch.from_numpy(value) for name, value in inputs.items()}


def exported(path, module, *args, dynamic_shapes=None, **kwargs):
    torch.export.save(torch.export.export(module.eval(), args, kwargs, dynamic_shapes=dynamic_shapes), path)
    return path


@pytest.fixture(scope="module")
def file(tmp_path_factory):
    batch, time = torch.export.Dim("batch"), torch.export.Dim("time", max=50)
    given = tensors(inputs_of(3, 5))
    return exported(
        tmp_path_factory.mktemp("pt2") / "net.pt2",
        Network(),
        given["ids"],
        given["x"],
        mask=given["mask"],
        half=given["half"],
        dynamic_shapes={"ids": {0: batch, 1: time}, "x": {0: batch}, "mask": {0: batch, 1: time}, "half": None},
    )


def test_specs_are_the_program_s(file):
    with load("torch", file) as session:
        assert session.runtime == "torch"
        assert not session.quantization
        batch, time = session.inputs[0].shape
        assert batch != time
        assert session.inputs == (
            TensorSpec("ids", "int64", (batch, time)),
            TensorSpec("x", "float32", (batch, 2)),
            TensorSpec("mask", "bool", (batch, time)),
            TensorSpec("half", "float16", (3,)),
        )
        assert session.outputs == (
            TensorSpec("logits", "float32", (batch, 3)),
            TensorSpec("x", "float32", (batch, 2)),
            TensorSpec("any", "bool", (batch,)),
            TensorSpec("half", "float16", (3,)),
            TensorSpec("best", "int64", (batch,)),
        )


@pytest.mark.parametrize(("batch", "time"), [(3, 5), (1, 5), (8, 1), (2, 50)])
def test_answers_are_the_module_s_bit_for_bit(file, batch, time):
    inputs = inputs_of(batch, time)
    with torch.no_grad():
        expected = Network().eval()(**tensors(inputs))
    with load("torch", file) as session:
        found = session.run(inputs)
    assert list(found) == list(expected)
    for name, value in found.items():
        assert value.dtype == expected[name].numpy().dtype
        np.testing.assert_array_equal(value, expected[name].numpy())


def test_results_belong_to_the_caller(file):
    inputs = inputs_of(2, 3)
    with load("torch", file) as session:
        first = session.run(inputs)
        first["x"][:] = np.nan  # an input that is given back
        first["logits"][:] = np.nan
        second = session.run(inputs)
    assert not np.isnan(inputs["x"]).any()
    assert not np.isnan(second["logits"]).any()


class Writer(nn.Module):
    def __init__(self):
        super().__init__()
        self.register_buffer("w", torch.ones(2))

    def forward(self, xs):
        xs[0].add_(1)
        return xs[0] + xs[1], self.w, self.w, None


def test_a_tuple_has_names_and_inputs_are_not_written_into(tmp_path):
    path = exported(tmp_path / "w.pt2", Writer(), [torch.zeros(2), torch.zeros(2)])
    inputs = {"xs_0": np.zeros(2, np.float32), "xs_1": np.zeros(2, np.float32)}
    for value in inputs.values():
        value.setflags(write=False)
    with load("torch", path) as session:
        assert [spec.name for spec in session.inputs] == ["xs_0", "xs_1"]
        names = [spec.name for spec in session.outputs]
        assert len(set(names)) == len(names) == 3
        for _ in range(2):
            results = session.run(inputs)
            assert [value.tolist() for value in results.values()] == [[1, 1]] * 3
            results[names[1]][:] = 7  # a weight that is given back
    assert not inputs["xs_0"].any()


def test_wrong_inputs(file):
    inputs = inputs_of(2, 3)
    wrong = (
        (
            {name: inputs[name] for name in ("ids", "x", "mask")},
            "the inputs are ids, x, mask, half; given: ids, x, mask",
        ),
        ({**inputs, "ids": inputs["ids"].astype(np.int32)}, r"input ids: wanted ids int64\[.*\], given int32\[2, 3\]"),
        (
            {**inputs, "x": inputs["x"][:1]},
            r"input x: wanted x float32\[\w+, 2\] where \w+ is 2, given float32\[1, 2\]",
        ),
        (inputs_of(2, 51), r"Guard failed: ids\.size\(\)\[1\] <= 50"),
        ({**inputs, "ids": inputs["ids"] + 11}, "index out of range"),
    )
    with load("torch", file) as session:
        for given, message in wrong:
            with pytest.raises(SpecError, match=rf"net\.pt2: .*{message}"):
                session.run(given)


def test_closed(file):
    session = load("torch", file)
    session.close()
    session.close()
    with pytest.raises(ValueError, match="closed"):
        session.run(inputs_of(2, 3))


class Scaled(nn.Module):
    def forward(self, x, factor, unused=None):
        return x * factor


class Plain(nn.Module):
    def forward(self, x):
        return x * 2


def test_borders_that_are_no_arrays_are_named(tmp_path):
    path = exported(tmp_path / "n.pt2", Scaled(), torch.ones(2), 3)
    with pytest.raises(RuntimeRefusedError, match=r"n\.pt2: input factor is 3, no tensor; export the program"):
        load("torch", path)
    path = exported(tmp_path / "b.pt2", Plain(), torch.ones(2, dtype=torch.bfloat16))
    with pytest.raises(RuntimeRefusedError, match=r"b\.pt2: input x is bfloat16, which numpy does not have"):
        load("torch", path)
    with pytest.raises(RuntimeRefusedError, match=r"z\.pt2: tensor x: axis 0 "):
        load("torch", exported(tmp_path / "z.pt2", Plain(), torch.ones(0, 2)))


class Branches(nn.Module):
    """What runs a graph of its own, sizes that are computed, and an operator with text."""

    def forward(self, x):
        with torch.no_grad():
            flat = x.reshape(-1)
        turned = torch.cond(x.sum() > 0, lambda x: x + 1, lambda x: x - 1, (x,))
        return torch.einsum("bi,bj->bij", turned, x), torch.nn.functional.pad(flat, (0, x.shape[0] % 3))


def test_graphs_within_a_graph(tmp_path):
    dims = {"x": {0: torch.export.Dim("batch"), 1: 2 * torch.export.Dim("half")}}
    path = exported(tmp_path / "b.pt2", Branches(), torch.ones(3, 4), dynamic_shapes=dims)
    with load("torch", path) as session:
        for shape in ((3, 4), (5, 6)):
            x = -np.random.default_rng(1).random(shape, np.float32)
            with torch.no_grad():
                expected = Branches()(torch.from_numpy(x))
            for found, wanted in zip(session.run({"x": x}).values(), expected, strict=True):
                np.testing.assert_array_equal(found, wanted.numpy())


def test_files_that_are_none(tmp_path):
    with pytest.raises(UsageError, match=r"absent\.pt2: there is no such file"):
        load("torch", tmp_path / "absent.pt2")
    with pytest.raises(UsageError, match="a folder, not a model file"):
        load("torch", tmp_path)
    path = tmp_path / "text.pt2"
    for content in (b"", b"hello world\n", pickle.dumps({})):
        path.write_bytes(content)
        with pytest.raises(RuntimeRefusedError, match=r"text\.pt2: damaged or no archive of torch\.export: "):
            load("torch", path)


def test_torchscript_is_refused(tmp_path):
    path = tmp_path / "script.pt2"
    with pytest.warns(DeprecationWarning, match="torch.jit"):
        torch.jit.save(torch.jit.script(Plain()), path)
    assert_refused(path, "")


def assert_refused(path, message):
    with pytest.raises(RuntimeRefusedError) as caught:
        load("torch", path)
    text = str(caught.value)
    assert text.startswith(f"{path}: ")
    assert message in text
    assert "\n" not in text
    assert len(text) < 1000


def test_truncated_anywhere(file, tmp_path):
    content = file.read_bytes()
    path = tmp_path / "cut.pt2"
    for size in np.linspace(0, len(content) - 1, 60, dtype=int):
        path.write_bytes(content[:size])
        assert_refused(path, "damaged or no archive of torch.export")


def test_a_changed_byte_is_found(file, tmp_path):
    content = file.read_bytes()
    path = tmp_path / "flipped.pt2"
    with zipfile.ZipFile(file) as archive:
        entries = [entry for entry in archive.infolist() if entry.file_size]
    for entry in entries:
        # A local header has 30 bytes, the last four of them the lengths of the two texts that follow it.
        header = content[entry.header_offset : entry.header_offset + 30]
        at = entry.header_offset + 30 + sum(struct.unpack("<HH", header[-4:]))
        changed = bytearray(content)
        changed[at + entry.file_size // 2] ^= 0x10
        path.write_bytes(changed)
        assert_refused(path, f"the checksum of '{entry.filename}' is wrong")


def file_of(path, name):
    with zipfile.ZipFile(path) as archive:
        return archive.read(name)


def rewritten(source, path, changes=None, *, method=zipfile.ZIP_STORED, text=None):
    """Copies an archive with entries replaced or added (below its folder), and a text of its program replaced."""
    with zipfile.ZipFile(source) as archive:
        entries = {name: archive.read(name) for name in archive.namelist()}
    root = next(iter(entries)).partition("/")[0]
    for name, content in (changes or {}).items():
        entries[name if name.startswith("/") else f"{root}/{name}"] = content
    if text:
        program = entries[f"{root}/models/model.json"].decode()
        assert text[0] in program
        entries[f"{root}/models/model.json"] = program.replace(*text).encode()
    with zipfile.ZipFile(path, "w", method) as archive:
        for name, content in entries.items():
            archive.writestr(name, content)
    return path


def test_a_rewritten_archive_loads(file, tmp_path):
    """Else the refusals below would show nothing."""
    with load("torch", rewritten(file, tmp_path / "same.pt2", {"extra/notes.txt": b"fine"})) as session:
        session.run(inputs_of(2, 3))


class Bomb:
    """A pickle that creates a file when it is read."""

    def __init__(self, canary):
        self.canary = canary

    def __reduce__(self):
        return Path.touch, (self.canary,)


def saved(value):
    buffer = io.BytesIO()
    torch.save(value, buffer)
    return buffer.getvalue()


def test_the_bombs_are_live(file, tmp_path):
    """What is refused below does run code in torch itself."""
    canary = tmp_path / "canary"
    for hostile in hostile_pickles(file, tmp_path, canary):
        with contextlib.suppress(Exception):  # whatever comes of the rest, the code has run
            torch.export.load(hostile)
        assert canary.exists(), hostile
        canary.unlink()


def hostile_pickles(file, tmp_path, canary):
    bomb = saved(Bomb(canary))
    weights = json.loads(file_of(file, "net/data/weights/model_weights_config.json"))
    name = next(iter(weights["config"]))
    weights["config"][name]["use_pickle"] = True
    constants = json.loads(file_of(file, "net/data/constants/model_constants_config.json"))
    constants["config"]["constant"].update(path_name="opaque_obj_0", use_pickle=True)
    path_name = weights["config"][name]["path_name"]
    contents = {
        "sample_inputs": {"data/sample_inputs/model.pt": bomb},
        "weight": {
            "data/weights/model_weights_config.json": json.dumps(weights).encode(),
            f"data/weights/{path_name}": bomb,
        },
        "constant": {
            "data/constants/model_constants_config.json": json.dumps(constants).encode(),
            "data/constants/opaque_obj_0": pickle.dumps(Bomb(canary)),
        },
        "old_weights": {"data/weights/model.pt": bomb},
        "old_constants": {"data/constants/model.pt": bomb},
    }
    return [rewritten(file, tmp_path / f"{key}.pt2", changes) for key, changes in contents.items()]


def test_no_pickle_is_read(file, tmp_path):
    canary = tmp_path / "canary"
    for hostile in hostile_pickles(file, tmp_path, canary):
        assert_refused(hostile, "code")
        assert not canary.exists(), hostile


CODE = "__import__('pathlib').Path('canary').touch()"


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("Symbol('", f"{CODE} or Symbol('", "is no size, and torch would run it as code"),
        ("Symbol('", "Symbol(''.join.__class__.__name__+'", "is no size"),
        ('"guards_code": [', f'"guards_code": ["{CODE} or True", ', "is no size, and torch would run it as code"),
        ('"name": "logits"', f'"name": "a={CODE};b"', "is no name, and torch would write it into code"),
        ('"name": "ids"', f'"name": "ids={CODE}"', "is no name"),
        ('"torch.ops.aten.embedding.default"', '"torch.os.system"', "its operator 'torch.os.system' is none of"),
        ('"torch.ops.aten.embedding.default"', '"torch.ops.aten.save.default"', "its operator 'torch.ops.aten.save"),
        ('{"as_int": 1}', '{"as_operator": "torch.os.system"}', "its program has a Python object (as_operator)"),
        ('\\\\\\"mask', f'\\\\\\"mask={CODE}', "is no name of an input or output"),
        ("builtins.dict", "collections.defaultdict", "its inputs or outputs are a collections.defaultdict"),
        ('"tensor_values": {', '"tensor_values": {"metadata": {"as_expr": {"expr_str": "exec()"}}, ', "is no size"),
        ('"tensor_values": {', '"tensor_values": {"\\u0022+f()+\\u0022": {}, ', "is no name"),
    ],
)
def test_no_text_is_run(file, tmp_path, monkeypatch, old, new, message):
    monkeypatch.chdir(tmp_path)
    if '"name": "logits"' in old:
        # The name of some node.
        program = json.loads(file_of(file, "net/models/model.json"))
        node = program["graph_module"]["graph"]["nodes"][0]["outputs"][0]["as_tensor"]["name"]
        old = f'"name": "{node}"'
    assert_refused(rewritten(file, tmp_path / "hostile.pt2", text=(old, new)), message)
    assert not (tmp_path / "canary").exists()


def test_sizes_and_guards_are_live(file, tmp_path):
    """What is refused above does run in torch itself."""
    for text in (("Symbol('", f"{CODE} or Symbol('"), ('"guards_code": [', f'"guards_code": ["{CODE} or True", ')):
        hostile = rewritten(file, tmp_path / "hostile.pt2", text=text)
        program = (
            f"import torch; p = torch.export.load({str(hostile)!r}); "
            "p.module()(*p.example_inputs[0], **p.example_inputs[1])"
        )
        subprocess.run([sys.executable, "-c", program], capture_output=True, check=False, cwd=tmp_path)
        assert (tmp_path / "canary").exists(), text
        (tmp_path / "canary").unlink()


@pytest.mark.parametrize("name", ["../../evil", "extra/../../evil", "/evil", "a\\b"])
def test_entries_that_lie_outside(file, tmp_path, name):
    assert_refused(rewritten(file, tmp_path / "out.pt2", {name: b""}), "lies outside the archive")


@pytest.mark.parametrize(
    "name", ["data/aotinductor/model/a.so", "models/other.json", "data/constants/custom_obj_0", "run.py"]
)
def test_entries_that_are_not_a_program_s(file, tmp_path, name):
    assert_refused(rewritten(file, tmp_path / "more.pt2", {name: b""}), f"its entry '{name}' is none of a program")


def test_entries_that_have_one_name(file, tmp_path):
    path = rewritten(file, tmp_path / "twice.pt2")
    with pytest.warns(UserWarning, match="Duplicate name"), zipfile.ZipFile(path, "a") as archive:
        archive.writestr("net/archive_format", b"pt2")
    assert_refused(path, "not one folder in which each has a name of its own")


def test_what_unpacks_to_more_than_it_is(file, tmp_path):
    bomb = {"extra/zeros": bytes(50_000_000)}
    path = rewritten(file, tmp_path / "bomb.pt2", bomb, method=zipfile.ZIP_DEFLATED)
    assert_refused(path, "an archive of torch compresses nothing")
    assert path.stat().st_size < 1_000_000
    inner = io.BytesIO()
    with zipfile.ZipFile(inner, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("a/data.pkl", bytes(50_000_000))
    path = rewritten(file, tmp_path / "inner.pt2", {"data/sample_inputs/model.pt": inner.getvalue()})
    assert_refused(path, "an archive of torch compresses nothing")


def test_a_shape_without_values(file, tmp_path):
    config = json.loads(file_of(file, "net/data/weights/model_weights_config.json"))
    entry = next(iter(config["config"].values()))
    entry["tensor_meta"]["sizes"] = [{"as_int": 10**6}, {"as_int": 10**6}]
    changes = {
        "data/weights/model_weights_config.json": json.dumps(config).encode(),
        f"data/weights/{entry['path_name']}": b"",
    }
    assert_refused(rewritten(file, tmp_path / "empty.pt2", changes), "but no values")
    changes.popitem()
    assert_refused(rewritten(file, tmp_path / "large.pt2", changes), "torch does not load it: ")


def test_the_form_of_torch_2_6(file, tmp_path):
    path = rewritten(file, tmp_path / "old.pt2", {"serialized_exported_program.json": b"{}"})
    assert_refused(path, "its entry 'serialized_exported_program.json'")
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("version", "8.8")
        archive.writestr("serialized_exported_program.json", "{}")
    assert_refused(path, "its weights are pickles, as torch 2.6 and older wrote them")


@pytest.mark.parametrize("program", [b"", b"[]", b"{}", b'"\xff"', b"[" * 100_000, b'{"graph_module": {}}'])
def test_programs_that_are_none(file, tmp_path, program):
    assert_refused(rewritten(file, tmp_path / "none.pt2", {"models/model.json": program}), "")


def test_another_schema(file, tmp_path):
    path = rewritten(file, tmp_path / "new.pt2", text=('"major": 8', '"major": 99'))
    assert_refused(path, "does not match our current schema version")


def test_every_refusal_is_a_showdown_error():
    assert issubclass(RuntimeRefusedError, ShowdownError)
