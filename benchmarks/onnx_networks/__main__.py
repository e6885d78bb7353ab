"""Converts real networks by both of torch's exporters and from scikit-learn, and prints how equal they are."""

import argparse
import json
import sys
import tempfile
from pathlib import Path

from benchmarks.onnx_networks.running import Row, run_case, wanted
from benchmarks.onnx_networks.table import markdown


def main() -> int:
    """The command line; exit status 1 where a network is not equal."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.onnx_networks", description=__doc__)
    parser.add_argument("-k", metavar="REGEX", default="", help="only networks whose name this is found in")
    parser.add_argument("--no-variants", action="store_true", help="leave out what ONNX Runtime's tools quantize")
    parser.add_argument(
        "--json", action="store_true", help="print a line of JSON for each network instead of the table"
    )
    arguments = parser.parse_args()

    rows: list[Row] = []
    for case in wanted(arguments.k):
        with tempfile.TemporaryDirectory() as folder:
            for row in run_case(case, Path(folder), variants=not arguments.no_variants):
                rows.append(row)
                if arguments.json:
                    print(json.dumps(row.to_dict()), flush=True)
                else:
                    print(f"{case.name} {row.variant}: {'equal' if row.is_equal else row.result}", file=sys.stderr)
    if not arguments.json:
        print(markdown(rows))
    return 0 if all(row.is_equal for row in rows) else 1


if __name__ == "__main__":
    sys.exit(main())
