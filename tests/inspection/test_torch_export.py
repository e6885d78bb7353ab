"""What is told of a .pt2 archive without opening its pickles."""

import json
import subprocess
import sys
import zipfile

import pytest

from contract.errors import FormatError
from inspection import Kind, inspect, torch_export


def look_into(path):
    """Any: each test knows of which kind its files are."""
    return inspect(path)


EXPORT = """
import sys, torch

class Net(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.hidden, self.output = torch.nn.Linear(2, 3), torch.nn.Linear(3, 1)
        self.register_buffer("scale", torch.ones(1, dtype=torch.float64))

    def forward(self, x):
        return torch.sigmoid(self.output(torch.sigmoid(self.hidden(x)))) * self.scale

program = torch.export.export(Net(), (torch.zeros(3, 2),), dynamic_shapes={"x": {0: torch.export.Dim("batch")}})
torch.export.save(program, sys.argv[1])
"""


@pytest.mark.slow
def test_what_torch_writes_is_read(tmp_path):
    path = tmp_path / "net.pt2"
    subprocess.run([sys.executable, "-c", EXPORT, path], check=True, capture_output=True)
    found = look_into(path).content
    [x, y] = found.inputs_and_outputs
    assert (x.direction, x.name, x.dtype, x.shape[1:]) == ("input", "x", "float32", (2,))
    assert isinstance(x.shape[0], str)
    assert (y.direction, y.dtype, y.shape) == ("output", "float64", (x.shape[0], 1))
    counts = {one.operator: one.count for one in found.operators}
    assert counts == {"aten.linear.default": 2, "aten.sigmoid.default": 2, "aten.mul.Tensor": 1}
    assert {one.name: (one.dtype, one.shape, one.size_bytes) for one in found.weights} == {
        "hidden.weight": ("float32", (3, 2), 24),
        "hidden.bias": ("float32", (3,), 12),
        "output.weight": ("float32", (1, 3), 12),
        "output.bias": ("float32", (1,), 4),
        "scale": ("float64", (1,), 8),
    }
    assert found.torch.startswith("2.")
    assert "models/net.json" in {one.file for one in found.files} or "models/model.json" in {
        one.file for one in found.files
    }


@pytest.mark.slow
def test_the_dtypes_are_torch_s():
    printed = subprocess.run(
        [
            sys.executable,
            "-c",
            "from torch._export.serde.schema import ScalarType as S; print(*(f'{s.value}={s.name}' for s in S))",
        ],
        check=True,
        capture_output=True,
        text=True,
    ).stdout
    theirs = dict(pair.split("=") for pair in printed.split())
    names = {"BYTE": "uint8", "CHAR": "int8", "SHORT": "int16", "INT": "int32", "LONG": "int64", "HALF": "float16"}
    names |= {"FLOAT": "float32", "DOUBLE": "float64"}
    names |= {"COMPLEXHALF": "complex32", "COMPLEXFLOAT": "complex64", "COMPLEXDOUBLE": "complex128"}
    wanted = {int(number): names.get(name, name.lower()) for number, name in theirs.items() if name != "UNKNOWN"}
    ours = {
        number: name.replace("_", "") if name.startswith("float8") else name
        for number, name in torch_export._DTYPES.items()
    }
    assert ours == wanted


def test_a_program_s_form(small):
    found = look_into(small["pt2"]).content
    assert (found.torch, found.schema, found.opsets, found.nodes) == ("2.13.0", "8.20", {"aten": 10}, 4)
    assert [(t.direction, t.name, t.dtype, t.shape, t.program) for t in found.inputs_and_outputs] == [
        ("input", "x", "float32", ("s77", 2), "model"),
        ("input", "4", "int", None, "model"),
        ("output", "y", "bfloat16", ("Mul(2, s77)",), "model"),
    ]
    assert {one.operator for one in found.operators} == {
        "aten.linear.default",
        "aten.relu.default",
        "aten.neg.default",
        "higher_order.cond",
    }
    assert [(one.name, one.shape, one.size_bytes) for one in found.weights] == [("a", (2, 2), 16)]
    assert {one.file: one.size_bytes for one in found.files}["data/weights/weight_0"] == 16


def test_the_form_of_older_archives(tmp_path, make):
    path = tmp_path / "old.pt2"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("version", "3")
        archive.writestr("serialized_exported_program.json", json.dumps(make.pt2_program()))
        archive.writestr("serialized_state_dict.pt", b"a pickle")
    found = look_into(path)
    assert found.kind is Kind.PT2
    assert (found.content.nodes, found.content.weights) == (4, ())


def test_pickles_of_an_archive_are_listed_and_not_opened(tmp_path, make):
    poison = b"\x80\x02cos\nsystem\nX\x05\0\0\0false\x85R."
    path = make.write_pt2(tmp_path / "m.pt2", make.pt2_program(), extra={"net/data/sample_inputs/model.pt": poison})
    assert {one.file: one.size_bytes for one in look_into(path).content.files}["data/sample_inputs/model.pt"] == len(
        poison
    )


@pytest.mark.parametrize(
    "change",
    [
        {"graph_module": {}},
        {"graph_module": []},
        {"schema_version": None},
        {"opset_version": {"aten": "x"}},
        {
            "graph_module": {
                "graph": {"nodes": [3], "tensor_values": {}},
                "signature": {"input_specs": [], "output_specs": []},
            }
        },
    ],
)
def test_another_form_is_named(tmp_path, make, change):
    path = make.write_pt2(tmp_path / "m.pt2", make.pt2_program(**change))
    with pytest.raises(FormatError, match=r"m\.pt2: a damaged torch.export archive: its program has not the form of"):
        look_into(path)


def test_a_list_of_weights_in_another_form_is_named(tmp_path, make):
    extra = {"net/data/constants/model_constants_config.json": b'{"config": {"a": {"tensor_meta": {}}}}'}
    path = make.write_pt2(tmp_path / "m.pt2", make.pt2_program(), extra=extra)
    with pytest.raises(FormatError, match="its list of weights has not the form"):
        look_into(path)


@pytest.mark.parametrize("name", ["../evil", "net/../../evil", "/evil", "net\\..\\evil"])
def test_an_entry_outside_the_archive_is_named(tmp_path, make, name):
    path = make.write_pt2(tmp_path / "m.pt2", make.pt2_program(), extra={name: b""})
    with pytest.raises(FormatError, match=r"its entry '.*evil' lies outside the archive"):
        look_into(path)


def test_a_bomb_is_not_unpacked(tmp_path, make, monkeypatch):
    monkeypatch.setattr(torch_export, "MAX_JSON_BYTES", 100_000)
    path = make.write_pt2(tmp_path / "m.pt2", {"a": "0" * 200_000}, method=zipfile.ZIP_DEFLATED)
    with pytest.raises(FormatError, match=r"its model\.json unpacks to 200,009 bytes; over 100,000 are not read"):
        look_into(path)


def test_the_limit_is_for_all_entries_together(tmp_path, make, monkeypatch):
    program = make.pt2_program()
    path = make.write_pt2(tmp_path / "m.pt2", program, extra={"net/models/second.json": b"[" + b" " * 90_000 + b"]"})
    monkeypatch.setattr(torch_export, "MAX_JSON_BYTES", 90_500)
    with pytest.raises(FormatError, match=r"its second\.json unpacks to 90,002 bytes"):
        look_into(path)


def test_an_entry_that_lies_about_its_size_is_damaged(tmp_path, make):
    path = make.write_pt2(tmp_path / "m.pt2", {"a": "0" * 200_000}, method=zipfile.ZIP_DEFLATED)
    content = path.read_bytes()
    real, told = (200_009).to_bytes(4, "little"), (50).to_bytes(4, "little")
    assert content.count(real) == 2
    path.write_bytes(content.replace(real, told))
    with pytest.raises(FormatError, match=r"its model\.json (cannot be unpacked: Bad CRC-32|is no JSON)"):
        look_into(path)


def test_a_method_that_torch_never_uses_is_refused(tmp_path, make):
    path = make.write_pt2(tmp_path / "m.pt2", make.pt2_program(), method=zipfile.ZIP_LZMA)
    with pytest.raises(FormatError, match="compressed by method 14, which torch never does"):
        look_into(path)


def test_half_an_archive(small, write):
    with pytest.raises(FormatError, match="its zip directory is damaged: File is not a zip file"):
        look_into(write("half.pt2", small["pt2"].read_bytes()[:700]))


def test_another_zip_file_is_no_archive(tmp_path):
    for name, reason in (("m.pt2", "it is no archive of torch.export"), ("m.zip", "of no kind that is known here")):
        with zipfile.ZipFile(tmp_path / name, "w") as archive:
            archive.writestr("readme", "")
        with pytest.raises(FormatError, match=reason):
            look_into(tmp_path / name)
