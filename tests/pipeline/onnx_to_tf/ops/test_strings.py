"""Text: against ONNX Runtime or onnx's reference."""

from typing import Any

import numpy as np
import onnx
import pytest

pytestmark = pytest.mark.slow


def model(op_type: str, inputs: dict[str, tuple[int, Any]], outputs: list[str], opset: int, **attributes: Any) -> Any:
    """One node."""
    helper = onnx.helper
    graph = helper.make_graph(
        [helper.make_node(op_type, list(inputs), outputs, **attributes)],
        "g",
        [helper.make_tensor_value_info(name, *kind) for name, kind in inputs.items()],
        [helper.make_tensor_value_info(name, 0, None) for name in outputs],
    )
    for output, dtype in zip(graph.output, _OUTPUTS[op_type], strict=False):
        output.type.tensor_type.elem_type = dtype
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=9)


_OUTPUTS = {
    "StringConcat": [8],
    "StringSplit": [8, 7],
    "StringNormalizer": [8],
    "RegexFullMatch": [9],
    "TfIdfVectorizer": [1],
}


def texts(*values: Any) -> Any:
    """An array of texts."""
    return np.array(values, dtype=object)


def test_concat_broadcasts(check: Any) -> None:
    """A row and a column, of unknown length."""
    proto = model("StringConcat", {"x": (8, ["n", 1]), "y": (8, ["m"])}, ["z"], 20)
    check(proto, {"x": texts(["a"], ["ß"]), "y": texts("x", "", "yz")})


@pytest.mark.parametrize(
    ("delimiter", "limit"), [(None, None), ("", 1), ("", 2), ("", 3), (",", None), (",", 1), (", ", 2)]
)
def test_split(check: Any, delimiter: str | None, limit: int | None) -> None:
    """At white space or a delimiter, with a limit or without."""
    attributes: dict[str, Any] = {} if delimiter is None else {"delimiter": delimiter}
    if limit is not None:
        attributes["maxsplit"] = limit
    proto = model("StringSplit", {"x": (8, ["n", 2])}, ["y", "z"], 20, **attributes)
    given = {"x": texts(["a b  c", "a,b,,c"], ["a, b, c", " x  y "], ["", "plain"])}
    check(proto, given, {"x": texts(["a", "b"])}, reference=True)


@pytest.mark.parametrize("action", ["NONE", "LOWER", "UPPER"])
@pytest.mark.parametrize("is_exact", [0, 1])
@pytest.mark.parametrize("shape", [["n"], [1, "n"]])
def test_normalizer(check: Any, action: str, is_exact: int, shape: list[Any]) -> None:
    """Stop words compared exactly or not; nothing left gives one empty text."""
    proto = model(
        "StringNormalizer",
        {"x": (8, shape)},
        ["y"],
        10,
        case_change_action=action,
        is_case_sensitive=is_exact,
        stopwords=["Monday", "tuesday"],
        locale="C",
    )
    words = texts("monday", "Monday", "Tuesday", "friday", "Sunday")
    only = texts("Monday", "tuesday")
    check(proto, {"x": words if shape == ["n"] else words[None]}, {"x": only if shape == ["n"] else only[None]})


@pytest.mark.parametrize("pattern", ["[a-z]+", r".*\d", "(?i)abc"])
def test_full_match(check: Any, pattern: str) -> None:
    """As a whole, not a part."""
    proto = model("RegexFullMatch", {"x": (8, ["n"])}, ["y"], 20, pattern=pattern)
    check(proto, {"x": texts("abc", "abc1", "ABC", "")})


@pytest.mark.parametrize("mode", ["TF", "IDF", "TFIDF"])
@pytest.mark.parametrize("skips", [0, 1, 5])
@pytest.mark.parametrize(("shortest", "longest"), [(1, 1), (1, 2), (2, 2), (1, 3), (3, 3)])
@pytest.mark.parametrize("is_text", [False, True])
def test_tf_idf(check: Any, mode: str, skips: int, shortest: int, longest: int, is_text: bool) -> None:
    """Entries and pairs and triples, at distances, in batches and alone."""
    pool = [2, 3, 5, 4, 5, 6, 7, 8, 6, 7, 2, 3, 5]
    attributes: dict[str, Any] = {"pool_strings": [f"w{x}" for x in pool]} if is_text else {"pool_int64s": pool}
    shared = {
        "mode": mode,
        "min_gram_length": shortest,
        "max_gram_length": longest,
        "max_skip_count": skips,
        "ngram_counts": [0, 4, 10],
        "ngram_indexes": [0, 1, 2, 3, 5, 4, 6, 7],
        "weights": [1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0],
    }
    rows = np.array([[1, 1, 3, 3, 3, 7], [8, 6, 7, 5, 6, 8], [2, 3, 5, 6, 7, 9]], np.int64)
    if is_text:
        rows = np.vectorize(lambda x: f"w{x}", otypes=[object])(rows)
    proto = model("TfIdfVectorizer", {"x": (8 if is_text else 7, ["n", "m"])}, ["y"], 9, **attributes, **shared)
    check(proto, {"x": rows}, {"x": rows[:1, :3]})
