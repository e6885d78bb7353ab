"""How an answer is compared with the recorded one: tests/golden/tf_serving/README.md says the rules."""

import json
import re
from collections.abc import Iterator
from decimal import Decimal
from typing import Any

__all__ = ["differences"]

Json = dict[str, Any]

ANY = "<ANY>"

_NUMBER = "<NUMBER>"


def differences(case: Json, answer: Json) -> list[str]:
    """What of an answer is not as ``case["expect"]`` wants it: a line for each place, none if nothing differs.

    Args:
        case: a case, or a step of a scenario, with its placeholders but `<ANY>` filled in.
        answer: what came, in the form of ``case["expect"]``.
    """
    want = case["expect"]
    if case.get("runtime_text"):
        [decisive] = {"code", "status"} & want.keys()
        want, answer = {decisive: want[decisive]}, {decisive: answer.get(decisive)}
    if case.get("key_order") == "any" and "body" in want and "body" in answer:
        want, answer = {**want, "body": _parsed(want["body"])}, {**answer, "body": _parsed(answer["body"])}
    if case.get("rest", {}).get("only_lines") and "body" in want and "body" in answer:
        want = {**want, "body": sorted(want["body"].replace(ANY, _NUMBER).split("\n"))}
        answer = {**answer, "body": _matching_lines(answer["body"], case["rest"]["only_lines"])}
    return list(_differences("", want, answer))


def _matching_lines(page: str, expression: str) -> list[str]:
    """The lines of a page of metrics in which the expression is found, sorted, numbers at their ends made equal."""
    lines = {re.sub(r"(?<=[ }])[-+0-9.e]+$", _NUMBER, line) for line in page.split("\n")}
    return sorted(line for line in lines if re.search(expression, line)) or [""]


def _differences(where: str, want: Any, got: Any) -> Iterator[str]:
    if isinstance(want, dict) and isinstance(got, dict):
        for key in [*want, *(key for key in got if key not in want)]:
            place = f"{where}.{key}" if where else key
            if key not in got:
                yield f"{place}: wanted {want[key]!r}, got none"
            elif key not in want:
                yield f"{place}: wanted none, got {got[key]!r}"
            else:
                yield from _differences(place, want[key], got[key])
    elif isinstance(want, list) and isinstance(got, list) and len(want) == len(got):
        for index, (one, other) in enumerate(zip(want, got, strict=True)):
            yield from _differences(f"{where}[{index}]", one, other)
    elif not _equal(want, got):
        yield f"{where}: wanted {want!r}, got {got!r}"


def _equal(want: Any, got: Any) -> bool:
    if isinstance(want, str) and isinstance(got, str) and ANY in want:
        return re.fullmatch(".*".join(map(re.escape, want.split(ANY))), got, re.DOTALL) is not None
    return type(want) is type(got) and repr(want) == repr(got)  # 0 and -0 are equal, but are printed differently


def _parsed(body: str) -> Any:
    """What a body holds, numbers as they are printed; the body itself if it is no JSON."""
    try:
        return json.loads(body, object_pairs_hook=_object, parse_float=Decimal, parse_int=Decimal)
    except ValueError:
        return body


def _object(pairs: list[tuple[str, Any]]) -> dict[str, list[Any]]:
    """An object without the order of its keys, with every value of a key that is there twice."""
    found: dict[str, list[Any]] = {}
    for key, value in pairs:
        found.setdefault(key, []).append(value)
    return found
