"""`showdown export`, `showdown verify` and `showdown evaluate`."""

import json
import sys
import time
from argparse import Namespace
from collections.abc import Callable, Collection
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cli.origin import importable_from_here, origin_of
from cli.paths import shown
from contract.errors import ManifestError, UsageError
from contract.files import write_json
from contract.hints import hint
from contract.listing import all_leftovers, damages, published
from contract.store import remove_leftovers
from export.chain import chain
from export.config import ExportConfig
from export.origin import Origin, model_of
from export.report import report_path, stages_path
from export.stages import Plan
from models import model_names
from pipeline.engine import build_lock, run
from pipeline.stage import Stage

__all__ = ["evaluate", "export", "verify"]


def export(options: Namespace) -> None:
    """Runs the chain for a model."""
    if options.keep is not None and options.keep < 1:
        raise UsageError(f"--keep is {options.keep}; the newest version always stays, so 1 is the least")
    config = ExportConfig(
        seed=options.seed,
        exporter=options.exporter,
        opset=options.opset,
        converter=options.converter,
        recipes=tuple(options.recipes.split(",")) if options.recipes else None,
    )
    plan = _plan(origin_of(options), config, options.build_dir, options.keep)
    if plan.left_out:
        print(
            f"showdown: warning: the recipes {', '.join(plan.left_out)} are left out: they need representative "
            "inputs to measure ranges on; give some with --calibration FILE.npz",
            file=sys.stderr,
        )
    _show(_run(plan, options, lambda stage: False), plan, options)


def verify(options: Namespace) -> None:
    """Checks every published file of a model, and runs every verification again."""
    plan = _earlier(options)
    count = _check_published(plan)
    print(f"{count} published artifacts are as their manifests say", file=sys.stderr)
    _show(_run(plan, options, lambda stage: stage.name.startswith("verify.")), plan, options)


def evaluate(options: Namespace) -> None:
    """Shows how many rows of the model's labelled data each network and each published file gets right."""
    plan = _earlier(options)
    _check_published(plan)
    report = _run(plan, options, lambda stage: False, quiet=True).report
    rows = [row for row in report["rows"] if any(check.get("accuracy") for check in row["checks"])]
    if not rows:
        raise UsageError(
            f"{plan.model.name} has no labelled data; write evaluation() in its data module, as models/digits/ has it"
        )
    if options.json:
        print(json.dumps({"model": plan.model.name, "rows": rows}, indent=2))
        return
    from cli.summary import print_accuracy

    print_accuracy(rows)


@dataclass(frozen=True, slots=True)
class _Outcome:
    """What a run of the chain gave: its report, whether anything ran, the number of stages, and how long it took."""

    report: dict[str, Any]
    ran: bool
    stages: int
    seconds: float


def _plan(origin: Origin, config: ExportConfig, build: Path, keep: int | None = None) -> Plan:
    if origin.is_factory:
        importable_from_here()
    return Plan(model_of(origin), config, build, keep)


def _earlier(options: Namespace) -> Plan:
    """The plan of the last export of a model.

    Raises:
        UsageError: it has not been exported.
    """
    path = report_path(options.build_dir, Path(options.model).name)
    if not path.is_file():
        known = sorted(report.stem for report in path.parent.glob("[!.]*.json"))
        meant = hint(options.model, known or model_names())
        if options.model in model_names() or Path(options.model).is_file():
            meant = f"`showdown export {options.model}` makes one"
        raise UsageError(f"no export of {options.model!r} in {options.build_dir}; {meant}")
    report = json.loads(path.read_text(encoding="utf-8"))
    return _plan(Origin.from_dict(report["origin"]), ExportConfig.from_dict(report["config"]), options.build_dir)


def _check_published(plan: Plan) -> int:
    servables: Collection[str] = [plan.model.servable(network.name) for network in plan.model.networks]
    found = [artifact for artifact in published(plan.build) if artifact.servable in servables]
    for artifact in found:
        for damage in damages(artifact):
            raise ManifestError(damage)
    return len(found)


def _run(plan: Plan, options: Namespace, again: Callable[[Stage], bool], *, quiet: bool = False) -> _Outcome:
    from cli.progress import observer

    started = time.perf_counter()
    output = sys.stderr if options.json or quiet else sys.stdout

    def waiting(holder: str) -> None:
        print(f"waiting for process {holder}, which uses {plan.build}", file=sys.stderr)

    with build_lock(plan.build, waiting):
        remove_leftovers(all_leftovers(plan.build))
        stages = chain(plan)
        with observer(stages, output) as progress:
            entries = run(stages, build=plan.build, model=plan.model.name, observer=progress, again=again)
        report = json.loads(report_path(plan.build, plan.model.name).read_text(encoding="utf-8"))
        seconds = time.perf_counter() - started
        if progress.ran:
            ran = progress.names
            write_json(
                stages_path(plan.build),
                {
                    **report,
                    "seconds": round(seconds, 3),
                    "stages": [
                        {
                            "name": stage.name,
                            "worker": stage.worker,
                            "ran": stage.name in ran,
                            "seconds": round(entries[stage.name].seconds, 3),
                            "memory_before_bytes": entries[stage.name].memory.before_bytes,
                            "memory_peak_bytes": entries[stage.name].memory.peak_bytes,
                        }
                        for stage in stages
                    ],
                },
            )
    return _Outcome(report, progress.ran, len(stages), seconds)


def _show(outcome: _Outcome, plan: Plan, options: Namespace) -> None:
    if options.json:
        print(json.dumps(outcome.report, indent=2))
    elif outcome.ran:
        from cli.summary import print_summary

        print_summary(outcome.report, plan.build, outcome.seconds)
    else:
        done = f"Nothing to do: all {outcome.stages} stages are up to date ({outcome.seconds:.2f} s)."
        print(f"{done} Published in {shown(plan.build)}/")
