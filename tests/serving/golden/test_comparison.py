"""The comparison reports every difference that the rules of the recorded data do not allow, and no other."""

import pytest

from tests.serving.golden.comparison import differences
from tests.serving.golden.recorded import Json

REST: Json = {"status": 200, "content_type": "application/json", "body": '{\n "a": 1.0,\n "b": [2, 3]\n}'}
GRPC: Json = {"code": "OK", "message": "", "response": {"outputs": {"y": {"float_val": [4.5, 5.0]}}, "version": "3"}}
REFUSED: Json = {"code": "NOT_FOUND", "message": "no /models/m/1 here"}
PAGE = '# TYPE :a counter\n:a{x="1"} 5\n:a{x="2"} 7e+06\n:b{} 3\n'


def compared(expect, answer, **rules):
    return differences({"expect": expect, **rules}, answer)


@pytest.mark.parametrize("answer", [REST, GRPC, REFUSED, {"state": "exit", "exit": 255, "stdout": "no\n"}])
def test_an_equal_answer_has_no_difference(answer):
    assert compared(answer, answer) == []


@pytest.mark.parametrize(
    ("expect", "change"),
    [
        (REST, {"status": 201}),
        (REST, {"content_type": "text/plain"}),
        (REST, {"content_type": None}),
        (REST, {"body": REST["body"] + "\n"}),
        (REST, {"body": REST["body"].replace("1.0", "1.00")}),
        (REST, {"body": REST["body"].replace(" ", "")}),
        (REST, {"body": '{\n "b": [2, 3],\n "a": 1.0\n}'}),
        ({**REST, "headers": {"Allow": None}}, {"headers": {"Allow": "GET"}}),
        ({**REST, "headers": {"Allow": "GET"}}, {"headers": {"Allow": None}}),
        (GRPC, {"code": "UNKNOWN"}),
        (GRPC, {"message": "x"}),
        (GRPC, {"response": {"outputs": {"y": {"float_val": [4.5, 5.5]}}, "version": "3"}}),
        (GRPC, {"response": {"outputs": {"y": {"float_val": [5.0, 4.5]}}, "version": "3"}}),
        (GRPC, {"response": {"outputs": {"y": {"float_val": [4.5]}}, "version": "3"}}),
        (GRPC, {"response": {"outputs": {"y": {"float_val": [4.5, 5.0]}}}}),
        (GRPC, {"response": {"outputs": {"y": {"float_val": [4.5, 5.0]}}, "version": "3", "more": ""}}),
        (GRPC, {"response": {"outputs": {"y": {"float_val": [4.5, 5.0]}}, "version": 3}}),
        (REFUSED, {"message": "no /models/m/1 here, sorry"}),
        (REFUSED, {"response": {}}),
        ({"code": "OK", "message": "", "response": {"x": 0.0}}, {"response": {"x": -0.0}}),
        ({"state": "exit", "exit": 255, "stdout": ""}, {"exit": "signal 6"}),
        ({"state": "exit", "exit": 255, "stdout": ""}, {"stdout": "x"}),
    ],
)
def test_a_different_answer_is_reported(expect, change):
    found = compared(expect, {**expect, **change})
    assert found
    assert all(line.startswith(next(iter(change))) for line in found)


def test_a_missing_answer_is_reported():
    assert compared(REST, {"failed": "ConnectionRefusedError()"})[-1] == (
        "failed: wanted none, got 'ConnectionRefusedError()'"
    )


def test_the_place_and_both_values_are_named():
    answer = {**GRPC, "response": {"outputs": {"y": {"float_val": [4.5, 6.0]}}, "version": "3"}}
    assert compared(GRPC, answer) == ["response.outputs.y.float_val[1]: wanted 5.0, got 6.0"]


@pytest.mark.parametrize("got", ["at /models here", "at  here", "at a\nb here"])
def test_any_stands_for_any_text(got):
    assert compared({"message": "at <ANY> here"}, {"message": got}) == []


@pytest.mark.parametrize("got", ["at /models there", "look at x here", "at here", None])
def test_what_stands_around_any_must_match(got):
    assert compared({"message": "at <ANY> here"}, {"message": got}) != []


def test_text_around_any_is_no_expression():
    assert compared({"message": "a.c <ANY>"}, {"message": "abc x"}) != []


@pytest.mark.parametrize(
    ("body", "differs"),
    [
        ('{"b": [2, 3], "a": 1.0}', False),
        ('{"b": [3, 2], "a": 1.0}', True),
        ('{"a": 1, "b": [2, 3]}', True),
        ('{"a": 1.00, "b": [2, 3]}', True),
        ('{"a": 1.0, "a": 1.0, "b": [2, 3]}', True),
        ('{"a": 1.0}', True),
        ('{"a": 1.0, "b": [2, 3], "c": {}}', True),
        ('{"a": 1.0, "b": [2, 3]', True),
        ("", True),
    ],
)
def test_keys_in_any_order(body, differs):
    assert bool(compared(REST, {**REST, "body": body}, key_order="any")) == differs


def test_an_empty_object_is_no_empty_list():
    assert compared({"body": "{}"}, {"body": "[]"}, key_order="any") != []


@pytest.mark.parametrize("change", [{"status": 500}, {"content_type": "x"}])
def test_any_order_of_keys_loosens_only_the_body(change):
    assert compared(REST, {**REST, **change}, key_order="any") != []


def test_of_a_text_of_the_runtime_only_the_code_counts():
    assert compared(REFUSED, {**REFUSED, "message": "other"}, runtime_text=True) == []
    assert compared(REST, {**REST, "body": "other"}, runtime_text=True) == []


@pytest.mark.parametrize(
    ("expect", "answer"),
    [
        (REFUSED, {**REFUSED, "code": "INTERNAL"}),
        (REST, {**REST, "status": 400}),
        (REST, {"failed": "ConnectionRefusedError()"}),
    ],
)
def test_a_code_differs_also_with_a_text_of_the_runtime(expect, answer):
    assert compared(expect, answer, runtime_text=True) != []


@pytest.mark.parametrize(
    ("page", "differs"),
    [
        (PAGE, False),
        (PAGE.replace("} 5", "} 6.5"), False),
        (PAGE.replace(":b{} 3", ":b{} 3\n:c{} 1"), False),
        (PAGE + ':a{x="3"} 1\n', True),
        (PAGE.replace('x="2"', 'x="3"'), True),
        (PAGE.replace("} 5", "} many"), True),
        (PAGE.replace("counter", "gauge"), True),
        ("", True),
    ],
)
def test_only_the_wanted_lines_of_a_page_of_metrics_count(page, differs):
    expect = {**REST, "body": '# TYPE :a counter\n:a{x="1"} <ANY>\n:a{x="2"} <ANY>'}
    assert bool(compared(expect, {**REST, "body": page}, rest={"only_lines": ":a"})) == differs


def test_a_page_of_metrics_may_have_none_of_the_lines():
    assert compared({**REST, "body": ""}, {**REST, "body": PAGE}, rest={"only_lines": "^# HELP"}) == []
    assert compared({**REST, "body": ""}, {**REST, "body": PAGE}, rest={"only_lines": "^# TYPE"}) != []
