"""Conversions that are expected to fail, or may: they are tried all the same, and the reason goes into the report."""

import json
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from contract.errors import ConversionError
from contract.files import write_json
from pipeline.stage import Result
from pipeline.worker import call_stage

__all__ = ["REFUSED", "expect_refusal", "read_refusal"]

REFUSED = "refused.json"
"""What a conversion leaves in place of its file: who refused, and why."""


def read_refusal(folder: Path) -> dict[str, Any] | None:
    """The verdict of a conversion that left `REFUSED`, as a check of parity.json; None if it left its file."""
    path = folder / REFUSED
    if not path.is_file():
        return None
    refusal = json.loads(path.read_text(encoding="utf-8"))
    return {"runtime": refusal["by"], "verdict": "refused", "reason": refusal["reason"]}


def expect_refusal(
    *, out: Path, hop: str, by: str, reason: str, call: str, params: Mapping[str, Any], **inputs: Path
) -> Result:
    """Calls another stage function, and writes ``parity.json`` with why it failed.

    Args:
        out: folder to write into.
        hop: the hop that ends here.
        by: who is expected to refuse.
        reason: what the spec says of it.
        call: the stage function.
        params: its parameters.
        **inputs: its files.

    Raises:
        ConversionError: it does not fail: the spec is out of date.
    """
    attempt = out / "attempt"
    attempt.mkdir()
    try:
        call_stage(call, {"out": attempt, **params, **inputs})
    except ConversionError as err:
        shutil.rmtree(attempt)
        check = {"runtime": by, "verdict": "refused", "reason": f"{reason} ({err})"}
        write_json(out / "parity.json", {"hop": hop, "checks": [check]})
        return {"note": f"{by} refused"}
    raise ConversionError(f"{by} does {hop} for this network by now: take its refusal out of the model's spec")
