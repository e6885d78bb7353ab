"""Which of several converters' SavedModels goes on. Standard library only."""

import json
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from contract.errors import ParityError
from contract.files import write_json
from pipeline.stage import Result

__all__ = ["choose"]


def choose(*, out: Path, converters: Sequence[str], **made: Path) -> Result:
    """Takes the SavedModel of the first converter that passed.

    Args:
        out: gets ``saved_model/``, ``outputs.npz`` with its answers, and ``parity.json``, which also names the
            ``converter`` and says ``why``.
        converters: their names, the preferred one first.
        **made: ``saved_model_<n>``, the folder that holds the SavedModel of the converter at that place, and
            ``verified_<n>``, the folder with its parity.json and outputs.npz.

    Raises:
        ParityError: none passed; gives the reason of each.
    """
    reasons: dict[str, str] = {}
    for position, converter in enumerate(converters):
        verified = made[f"verified_{position}"]
        parity = json.loads((verified / "parity.json").read_text(encoding="utf-8"))
        if reason := _reason(parity):
            reasons[converter] = reason
            continue
        shutil.copytree(made[f"saved_model_{position}"] / "saved_model", out / "saved_model")
        shutil.copyfile(verified / "outputs.npz", out / "outputs.npz")
        why = _why(converters, reasons)
        write_json(
            out / "parity.json", {"hop": parity["hop"], "converter": converter, "why": why, "checks": parity["checks"]}
        )
        return {"note": f"{converter}: {why}"} if len(converters) > 1 else {}
    raise ParityError("no converter passed: " + "; ".join(f"{name}: {reason}" for name, reason in reasons.items()))


def _reason(parity: dict[str, Any]) -> str:
    """Why a SavedModel cannot be taken; nothing where each runtime verified it."""
    reasons = (check.get("reason", check["verdict"]) for check in parity["checks"] if check["verdict"] != "verified")
    return "; ".join(map(str, reasons))


def _why(converters: Sequence[str], reasons: dict[str, str]) -> str:
    if reasons:
        return "; ".join(f"{name} did not pass: {reason}" for name, reason in reasons.items())
    if len(converters) == 1:
        return "the only one that was asked for"
    return f"preferred to {', '.join(converters[1:])}, and it passed"
