"""`showdown doctor`."""

import json
from argparse import Namespace
from collections.abc import Sequence
from pathlib import Path

from contract.errors import RuntimeAbsentError
from diagnosis.examination import examine
from diagnosis.finding import Finding, State

__all__ = ["doctor"]

_ROOT = Path(__file__).resolve().parent.parent


def doctor(options: Namespace) -> None:
    """Says what is missing for the chain to run, and what would add to it."""
    findings = list(examine(_ROOT, options.build_dir))
    failed = [finding for finding in findings if finding.state is State.FAILED]
    if options.json:
        print(json.dumps({"can_run": not failed, "findings": [found.to_dict() for found in findings]}, indent=2))
    else:
        _print(findings)
    if failed:
        names = ", ".join(f"{finding.part} {finding.name}" for finding in failed)
        remedies = "; ".join(dict.fromkeys(finding.remedy for finding in failed if finding.remedy))
        raise RuntimeAbsentError(f"the chain cannot run here: {names}: {remedies}")


def _print(findings: Sequence[Finding]) -> None:
    from cli.table import print_table

    rows = [
        [
            found.part,
            found.name,
            found.state.value,
            f"{found.detail} — {found.remedy}" if found.remedy else found.detail,
        ]
        for found in findings
    ]
    print_table(("part", "name", "state", ""), rows)
