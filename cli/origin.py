"""What the options of `showdown export` say of the model."""

import os
from argparse import Namespace
from pathlib import Path

from cli.axes import tried_sizes
from contract.errors import UsageError
from export.origin import Origin

__all__ = ["importable_from_here", "origin_of"]


def origin_of(options: Namespace) -> Origin:
    """The model that is asked for.

    Raises:
        UsageError: an option is of another form.
    """
    return Origin(
        source=options.model,
        name=options.name or "",
        calibration=_absolute(options.calibration),
        axis_sizes=dict(map(tried_sizes, options.axis)),
        tolerances=dict(map(_tolerance, options.tolerance)),
        weights=_absolute(options.weights),
        framework=options.framework,
        inputs=tuple(options.input),
        outputs=tuple(options.output),
    )


def importable_from_here() -> None:
    """Lets the workers import what a user's Python finds in the working directory."""
    paths = [str(Path.cwd()), *filter(None, [os.environ.get("PYTHONPATH")])]
    os.environ["PYTHONPATH"] = os.pathsep.join(dict.fromkeys(paths))


def _absolute(path: Path | None) -> str:
    return str(path.resolve()) if path else ""


def _tolerance(text: str) -> tuple[str, float]:
    hop, _, part = text.partition("=")
    try:
        return hop, float(part)
    except ValueError as err:
        raise UsageError(f"--tolerance {text!r}: write HOP=PART, such as tflite.int8=0.3") from err
