"""How long `showdown export` takes, against what nobody can avoid: importing the frameworks that it uses.

``.venv/bin/python benchmarks/export.py --runs 5 --out samples.json``

One round measures, one after the other and in the same environment:

* imports: ``import tensorflow`` and ``import torch, onnxscript``, two processes side by side
* cold: an export into an empty build folder
* unchanged: the same command again
* one change: an export after the code of one stage has changed, in a copy of the tree
* workers: each worker's start until its frameworks are imported, all of them side by side
"""

import argparse
import importlib.metadata
import json
import os
import platform
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))  # run as a script, this folder is on the path and not the one above

from pipeline.worker import PRELOADS  # noqa: E402

IMPORTS = ("import tensorflow", "import torch, onnxscript")
LIBRARIES = ("tensorflow", "keras", "torch", "onnxscript", "onnx", "onnx-tf", "numpy")
CHANGED = Path("export", "tflite.py")
_SLOWEST = 10


@dataclass(frozen=True, slots=True)
class Sample:
    """Wall-clock and CPU seconds of a command, its children included."""

    seconds: float
    cpu: float


def measure(
    commands: Mapping[str, Sequence[str | Path]], environment: Mapping[str, str], folder: Path, *, status: int = 0
) -> dict[str, Sample]:
    """Runs commands side by side in a folder; ``all`` is until the last has ended, and the CPU of all together."""
    started = time.perf_counter()
    processes = {
        name: subprocess.Popen(
            list(map(str, command)),
            cwd=folder,
            env=dict(environment),
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            # A worker ends its process group when its input ends.
            start_new_session=True,
        )
        for name, command in commands.items()
    }
    for process in processes.values():
        assert process.stdin is not None
        process.stdin.close()
    names = {process.pid: name for name, process in processes.items()}
    samples: dict[str, Sample] = {}
    while len(samples) < len(processes):
        pid, ended, usage = os.wait4(-1, 0)
        processes[names[pid]].returncode = os.waitstatus_to_exitcode(ended)
        samples[names[pid]] = Sample(time.perf_counter() - started, usage.ru_utime + usage.ru_stime)
    for name, process in processes.items():
        if process.returncode != status:
            raise SystemExit(f"{name} ended with exit status {process.returncode}: {commands[name]}")
    samples["all"] = Sample(max(s.seconds for s in samples.values()), sum(s.cpu for s in samples.values()))
    return samples


def export(build: Path, environment: Mapping[str, str], tree: Path = ROOT) -> Sample:
    """Runs the export of a tree into a build folder."""
    command: list[str | Path] = [sys.executable, "-m", "cli.main", "export", "--build-dir", build]
    return measure({"export": command}, environment, tree)["all"]


def copy_tree(target: Path) -> Path:
    """Copies what git tracks, and what it would track."""
    command = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    listed = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    for name in listed.split("\0"):
        if name and (ROOT / name).is_file():
            (target / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / name, target / name)
    return target


def stage_seconds(build: Path) -> dict[str, float]:
    """How long each stage of the last export ran, by its name."""
    records = (build / "cache" / "or_gate").glob("*/*/stage.json")
    return {path.parent.parent.name: json.loads(path.read_text(encoding="utf-8"))["seconds"] for path in records}


def environment_of(*, with_bytecode: bool, scratch: Path) -> dict[str, str]:
    """This process's environment; without bytecode, every module is compiled anew in every process."""
    environment = dict(os.environ)
    if not with_bytecode:
        environment |= {"PYTHONPYCACHEPREFIX": str(scratch / "no bytecode"), "PYTHONDONTWRITEBYTECODE": "1"}
    return environment


def run(runs: int, *, with_bytecode: bool) -> dict[str, list[Any]]:
    """Measures; the first round, which fills the file system's cache and writes bytecode, does not count."""
    samples: dict[str, list[Any]] = defaultdict(list)
    with tempfile.TemporaryDirectory(prefix="showdown-benchmark-") as name:
        scratch = Path(name)
        environment = environment_of(with_bytecode=with_bytecode, scratch=scratch)
        tree = copy_tree(scratch / "tree")
        export(tree / "build", environment, tree)
        for number in range(runs + 1):
            build = scratch / f"build {number}"
            imports = measure({code: [sys.executable, "-c", code] for code in IMPORTS}, environment, scratch)
            cold = export(build, environment)
            stages = stage_seconds(build)
            unchanged = export(build, environment)
            with (tree / CHANGED).open("a", encoding="utf-8") as file:
                file.write(f"# {number}\n")
            changed = export(tree / "build", environment, tree)
            # Without requests a worker imports, and then ends its process group.
            commands = {worker: [sys.executable, "-m", "pipeline.worker", worker] for worker in PRELOADS}
            workers = measure(commands, environment, ROOT, status=-9)
            shutil.rmtree(build)
            print(
                f"round {number} of {runs}{' (does not count)' if number == 0 else ''}: imports "
                f"{imports['all'].seconds:.2f} s, cold {cold.seconds:.2f} s, unchanged {unchanged.seconds:.3f} s, "
                f"one change {changed.seconds:.2f} s",
                file=sys.stderr,
            )
            if number:
                samples["imports"].append({code: asdict(sample) for code, sample in imports.items()})
                samples["cold"].append(asdict(cold))
                samples["unchanged"].append(asdict(unchanged))
                samples["one change"].append(asdict(changed))
                samples["workers"].append({worker: asdict(sample) for worker, sample in workers.items()})
                samples["stages"].append(stages)
    return samples


def median(samples: Sequence[Mapping[str, float]], key: str = "seconds") -> float:
    """The median of a number of each sample."""
    return statistics.median(sample[key] for sample in samples)


def report(samples: Mapping[str, list[Any]]) -> list[str]:
    """The lines to print: medians, ratios, and where the time of a cold export goes."""
    imports = [sample["all"] for sample in samples["imports"]]
    base = median(imports)
    lines = [f"{'median':28} {'wall s':>8} {'CPU s':>8} {'× imports':>10}"]
    for name, rows in (("imports", imports), *((name, samples[name]) for name in ("cold", "unchanged", "one change"))):
        wall = median(rows)
        lines.append(f"{name:28} {wall:8.3f} {median(rows, 'cpu'):8.2f} {wall / base:10.3f}")
    ratios = [cold["seconds"] / other["seconds"] for cold, other in zip(samples["cold"], imports, strict=True)]
    lines.append(
        f"cold : imports, round by round: median {statistics.median(ratios):.2f}, {min(ratios):.2f} to "
        f"{max(ratios):.2f}, n = {len(ratios)}"
    )
    lines += ["", f"{'worker, imports only':28} {'wall s':>8} {'CPU s':>8}"]
    for worker in PRELOADS:
        rows = [sample[worker] for sample in samples["workers"]]
        lines.append(f"{worker:28} {median(rows):8.3f} {median(rows, 'cpu'):8.2f}")
    stages = {name: statistics.median(row[name] for row in samples["stages"]) for name in samples["stages"][0]}
    slowest = sorted(stages, key=stages.__getitem__, reverse=True)[:_SLOWEST]
    lines += ["", f"{'stage':36} {'wall s':>8}", *(f"{name:36} {stages[name]:8.3f}" for name in slowest)]
    lines.append(f"{f'all {len(stages)}, run side by side':36} {sum(stages.values()):8.3f}")
    return lines


def machine() -> dict[str, Any]:
    """Where this was measured."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except FileNotFoundError:
        lines = []
    model = next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), "")
    return {"cpu": model or platform.processor(), "cores": os.cpu_count(), "platform": platform.platform()}


def main() -> None:
    """Measures and prints; saves every sample where asked to."""
    parser = argparse.ArgumentParser(description="Measures showdown export against the imports it cannot avoid.")
    parser.add_argument("--runs", type=int, default=5, metavar="N", help="rounds that count; default: 5")
    parser.add_argument("--without-bytecode", action="store_true", help="compile every module anew, on both sides")
    parser.add_argument("--out", type=Path, metavar="FILE", help="write every sample to a JSON file")
    options = parser.parse_args()
    if options.runs < 1:
        parser.error(f"--runs is {options.runs}; 1 is the least")
    load = os.getloadavg()[0]
    samples = run(options.runs, with_bytecode=not options.without_bytecode)
    about = {
        "command": [Path(sys.executable).name, *sys.argv],
        "machine": {**machine(), "load before": round(load, 2)},
        "versions": {
            "python": platform.python_version(),
            **{name: importlib.metadata.version(name) for name in LIBRARIES},
        },
        "runs": options.runs,
    }
    print("\n".join(report(samples)))
    print()
    for key, value in about.items():
        print(f"{key}: {', '.join(f'{k} {v}' for k, v in value.items()) if isinstance(value, dict) else value}")
    if options.out:
        options.out.write_text(json.dumps({**about, "samples": samples}, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
