"""`showdown export` and `showdown verify`."""

import json
import sys
import time
from argparse import Namespace
from collections.abc import Callable, Collection
from pathlib import Path

from cli.paths import shown
from contract.errors import ManifestError, UsageError
from contract.listing import all_leftovers, damages, published
from contract.store import remove_leftovers
from export.chain import chain
from export.config import ExportConfig
from export.report import report_path
from export.stages import Plan
from models import load_spec
from pipeline.engine import build_lock, run
from pipeline.stage import Stage

__all__ = ["export", "verify"]


def export(options: Namespace) -> None:
    """Runs the chain for a model."""
    spec = load_spec(options.model)
    config = ExportConfig(
        seed=options.seed, exporter=options.exporter, opset=options.opset, converter=options.converter
    )
    if options.keep is not None and options.keep < 1:
        raise UsageError(f"--keep is {options.keep}; the newest version always stays, so 1 is the least")
    _run(Plan(spec, config, options.build_dir, options.keep), options, lambda stage: False)


def verify(options: Namespace) -> None:
    """Checks every published file of a model, and runs every verification again."""
    spec = load_spec(options.model)
    path = report_path(options.build_dir, spec.name)
    if not path.is_file():
        raise UsageError(f"{spec.name} has not been exported to {options.build_dir}; run `showdown export {spec.name}`")
    config = ExportConfig.from_dict(json.loads(path.read_text(encoding="utf-8"))["config"])
    count = _check_published(options.build_dir, [spec.servable(network) for network in spec.networks])
    print(f"{count} published artifacts are as their manifests say", file=sys.stderr)
    _run(Plan(spec, config, options.build_dir), options, lambda stage: stage.name.startswith("verify."))


def _check_published(build: Path, servables: Collection[str]) -> int:
    found = [artifact for artifact in published(build) if artifact.servable in servables]
    for artifact in found:
        for damage in damages(artifact):
            raise ManifestError(damage)
    return len(found)


def _run(plan: Plan, options: Namespace, again: Callable[[Stage], bool]) -> None:
    from cli.progress import observer

    started = time.perf_counter()
    output = sys.stderr if options.json else sys.stdout

    def waiting(holder: str) -> None:
        print(f"waiting for process {holder}, which uses {plan.build}", file=sys.stderr)

    with build_lock(plan.build, waiting):
        remove_leftovers(all_leftovers(plan.build))
        stages = chain(plan)
        with observer(stages, output) as progress:
            run(stages, build=plan.build, model=plan.spec.name, observer=progress, again=again)
        report = report_path(plan.build, plan.spec.name)
        content = json.loads(report.read_text(encoding="utf-8"))
    seconds = time.perf_counter() - started
    if options.json:
        print(json.dumps(content, indent=2))
    elif progress.ran:
        from cli.summary import print_summary

        print_summary(content, plan.build, seconds)
    else:
        done = f"Nothing to do: all {len(stages)} stages are up to date ({seconds:.2f} s)."
        print(f"{done} Published in {shown(plan.build)}/")
