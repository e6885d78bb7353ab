"""`showdown convert`."""

import contextlib
import json
import logging
import os
import sys
import time
from argparse import Namespace
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from cli.axes import fixed_axes, tried_sizes
from cli.paths import shown
from contract.errors import ParityError, UsageError
from contract.files import storage_errors

if TYPE_CHECKING:
    from pipeline.onnx_to_tf import Conversion, Coverage, Options, Verification

__all__ = ["convert"]


def convert(options: Namespace) -> None:
    """Converts an ONNX file, looks for the first node that differs, or lists what is converted."""
    _check(options)
    if not options.debug:
        # What a pass could not infer is no news to somebody who sees the result.
        logging.getLogger("onnx_ir").setLevel(logging.CRITICAL)
    with _step("start TensorFlow"):
        _start()
    from pipeline.onnx_to_tf import coverage, load_operators

    own = [load_operators(file) for file in options.operators]
    chosen = _options(options, own)
    if options.coverage:
        _show_coverage(coverage(chosen.registry()), options)
        return
    if options.output is None:
        _bisect(options, chosen)
        return
    _convert(options, chosen)


def _check(options: Namespace) -> None:
    """Finds what can be found out before TensorFlow is there, and reads the sizes of axes."""
    if options.coverage:
        return
    if options.file is None:
        raise UsageError("what shall be converted? give a FILE.onnx, or --coverage")
    if not options.file.is_file():
        what = "a folder, not an ONNX file" if options.file.is_dir() else "there is no such file"
        raise UsageError(f"{options.file}: {what}")
    if options.output is None and not options.bisect:
        raise UsageError("where to? give a folder with -o, or --bisect to compare alone")
    options.static = fixed_axes(options.static) if options.static else {}
    options.axis = dict(map(tried_sizes, options.axis))
    for file in (*options.input, *options.operators):
        if not file.is_file():
            raise UsageError(f"{file}: there is no such file")


def _start() -> None:
    os.environ.setdefault("CUDA_VISIBLE_DEVICES", "-1")  # looking for a GPU costs seconds
    from runtimes.quiet import quiet_start

    with quiet_start():
        import pipeline.onnx_to_tf  # noqa: F401 - TensorFlow writes to standard error while it loads


def _options(options: Namespace, own: list[Any]) -> "Options":
    from pipeline.onnx_to_tf import Options, Parts

    return Options(
        static=options.static,
        tflite=options.tflite,
        force=options.force,
        as_defined=options.as_defined,
        families=[one.family for one in own],
        references=[reference for one in own for reference in one.references],
        axis_sizes=options.axis,
        inputs=options.input,
        parts=Parts(rtol=options.rtol, atol=options.atol),
    )


def _convert(options: Namespace, chosen: "Options") -> None:
    from pipeline.onnx_to_tf import convert, first_difference

    started = time.perf_counter()
    try:
        with storage_errors(options.output, "-o"):
            done = convert(options.file, options.output, chosen, progress=_step)
    except ParityError as err:
        if not options.bisect:
            raise ParityError(f"{err}; --bisect finds the first node that differs") from err
        with _step("bisect"):
            found = first_difference(options.file, chosen)
        raise ParityError(f"{err}; {found or 'no single node differs by more than that'}") from err
    seconds = time.perf_counter() - started
    if options.json:
        print(json.dumps({"file": str(options.file), **done.to_dict(), "seconds": round(seconds, 3)}, indent=2))
    else:
        _show(done)


def _bisect(options: Namespace, chosen: "Options") -> None:
    from pipeline.onnx_to_tf import first_difference

    with _step("bisect"):
        found = first_difference(options.file, chosen)
    if options.json:
        print(json.dumps({"file": str(options.file), "difference": found and found.to_dict()}, indent=2))
    if found is not None:
        raise ParityError(str(found))
    if not options.json:
        print("no node differs")


def _show(done: "Conversion") -> None:
    for path, verification in ((done.saved_model, done.verification), (done.tflite, done.tflite_verification)):
        if path is None or verification is None:
            continue
        print(f"{shown(path)}: {_verified(verification)}")
        for note in verification.notes:
            print(f"  {note}")


def _verified(verification: "Verification") -> str:
    instead = f" (not ONNX Runtime: {verification.reason})" if verification.reason else ""
    return (
        f"verified in {verification.runtime} against {verification.reference}{instead}, max |difference| "
        f"{verification.max_abs_diff:.1e} over {verification.values:,} values at {'; '.join(verification.calls)}"
    )


def _show_coverage(table: "Coverage", options: Namespace) -> None:
    if options.json:
        print(json.dumps(table.to_dict(), indent=2))
        return
    from cli.table import print_table

    rows = [
        (row.op_type, row.domain, _versions(row.converted), _versions(row.expanded), _versions(row.missing))
        for row in table.rows
    ]
    print_table(("operator", "domain", "versions", "by ONNX's definition", "missing"), rows)
    for domain, (known, total) in table.counts().items():
        print(f"{domain}: {known} of {total} operators")


def _versions(versions: tuple[int, ...]) -> str:
    return ", ".join(map(str, versions))


@contextlib.contextmanager
def _step(name: str) -> Iterator[None]:
    """Shows on standard error what runs, on a terminal, and how long it took where that was over a second."""
    started = time.perf_counter()
    if sys.stderr.isatty():
        from rich.console import Console

        with Console(stderr=True).status(f"{name} ..."):
            yield
    else:
        yield
    seconds = time.perf_counter() - started
    if seconds > 1:
        print(f"{name:20} {seconds:6.1f} s", file=sys.stderr, flush=True)
