"""Runs ONNX's operator tests against a converter and prints how many it passes, and why it fails the others."""

import argparse
import json
import re
import sys
from collections import Counter
from dataclasses import asdict

from benchmarks.onnx_conformance.cases import cases
from benchmarks.onnx_conformance.running import Outcome, run_cases
from pipeline.to_tensorflow.converter import CONVERTERS


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.onnx_conformance", description=__doc__)
    parser.add_argument("--converter", choices=sorted(CONVERTERS), default="showdown")
    parser.add_argument("--expanded", action="store_true", help="the tests named _expanded instead of the others")
    parser.add_argument("-k", metavar="REGEX", default="", help="only tests whose name this is found in")
    parser.add_argument("-j", type=int, default=2, metavar="N", help="processes; default: 2")
    parser.add_argument("--python", default=sys.executable, metavar="PATH", help="an interpreter with another onnx")
    parser.add_argument("--tflite", action="store_true", help="run a TFLite file, of built-in operators alone")
    parser.add_argument(
        "--as-defined",
        metavar="NAME,NAME",
        default="",
        help="operators of which not our function is used, but the definition that the installed onnx has",
    )
    parser.add_argument("--json", action="store_true", help="print every outcome as a line of JSON")
    arguments = parser.parse_args()

    names = [c.name for c in cases() if c.is_expanded == arguments.expanded and re.search(arguments.k, c.name)]

    def show(outcome: Outcome) -> None:
        if arguments.json:
            print(json.dumps(asdict(outcome)), flush=True)
        elif outcome.status != "passed":
            print(f"{outcome.name}: {outcome.status}: {outcome.reason[:400]}", flush=True)

    outcomes = run_cases(
        names,
        converter=arguments.converter,
        processes=arguments.j,
        python=arguments.python,
        target="tflite" if arguments.tflite else "saved_model",
        as_defined=[name for name in arguments.as_defined.split(",") if name],
        done=show,
    )
    counts = Counter(outcome.status for outcome in outcomes)
    summary = ", ".join(f"{counts[status]} {status}" for status in sorted(counts) if status != "passed")
    print(
        f"{arguments.converter}: {counts['passed']} of {len(outcomes)} pass{summary and '; ' + summary}",
        file=sys.stderr,
    )


if __name__ == "__main__":
    main()
