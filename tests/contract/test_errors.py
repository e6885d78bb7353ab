"""The error tree against the one that its module's docstring draws, and the codes against gRPC's."""

import inspect
import re

import grpc
import pytest

import contract.errors
from contract.errors import Code, ShowdownError, StageError, StatusError

# Depth, class and code of each line of the drawn tree; the root stands without a star.
DRAWN = re.findall(r"^    ( *)(?:\* )?(\w+)  +(\S+(?: \S+)*)  +\S", contract.errors.__doc__ or "", re.MULTILINE)
CLASSES = {
    name: kind for name, kind in inspect.getmembers(contract.errors, inspect.isclass) if issubclass(kind, ShowdownError)
}

OWN_CODE = ("StageError", "StatusError")
"""Classes whose objects have codes of their own."""


def drawn_parent(place):
    depth = len(DRAWN[place][0])
    above = [name for indent, name, _ in DRAWN[:place] if len(indent) < depth]
    return above[-1] if depth else "ShowdownError"


def test_every_class_is_drawn():
    assert DRAWN[0][1] == "ShowdownError"
    assert {name for _, name, _ in DRAWN} == CLASSES.keys()


@pytest.mark.parametrize("place", range(1, len(DRAWN)), ids=[name for _, name, _ in DRAWN[1:]])
def test_class_has_the_drawn_parent(place):
    name = DRAWN[place][1]
    assert CLASSES[name].__bases__ == (CLASSES[drawn_parent(place)],)


@pytest.mark.parametrize(("name", "code"), [(name, code) for _, name, code in DRAWN if name not in OWN_CODE])
def test_class_has_the_drawn_code(name, code):
    assert CLASSES[name].code is Code[code]
    assert CLASSES[name]("reason").code is Code[code]


def test_a_stage_error_has_the_code_of_its_cause():
    assert {name: code for _, name, code in DRAWN}["StageError"] == "of its cause"
    error = StageError("to_onnx", "no such operator", code=Code.UNIMPLEMENTED, log="to_onnx.log")
    assert (error.code, error.stage, error.log) == (Code.UNIMPLEMENTED, "to_onnx", "to_onnx.log")
    assert str(error) == "to_onnx: no such operator"
    assert StageError("a", "b", code=Code.INTERNAL).log is None


def test_a_status_error_has_its_own_code_and_message():
    assert {name: code for _, name, code in DRAWN}["StatusError"] == "its own"
    error = StatusError(Code.NOT_FOUND, "no such\nmodel")
    assert (error.code, error.message, str(error)) == (Code.NOT_FOUND, "no such\nmodel", "NOT_FOUND: no such\nmodel")


def test_all_names_the_whole_module():
    public = {
        name
        for name, value in vars(contract.errors).items()
        if inspect.isclass(value) and value.__module__ == "contract.errors"
    }
    assert set(contract.errors.__all__) == public


def test_codes_are_grpc_s():
    assert {code.name: code.value for code in Code} == {code.name: code.value[0] for code in grpc.StatusCode}
