"""Who answers: the servers, and the environment of those that are none of ours."""

import re
import shutil
import subprocess
import sys
import sysconfig
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from contract.store import versions

ROOT = Path(__file__).resolve().parents[2]

MODEL = "or_gate_pytorch"

BASE = ROOT / "build" / "serving" / MODEL

PEERS = ROOT / "build" / "peers-venv"

REQUIREMENTS = ROOT / "benchmarks" / "serving_peers" / "requirements.txt"

OURS = "showdown-model-server"

FLASK = "Flask, gunicorn"

FASTAPI = "FastAPI, uvicorn"

GRPCIO = "grpcio, TensorFlow"

FLOOR = "grpcio, empty handler"

TF_SERVING = "TensorFlow Serving"

PEERS_OF = {"REST": (FLASK, FASTAPI), "gRPC": (GRPCIO,)}

KINDS = ("REST", "gRPC")
WORKERS = 2


@dataclass(frozen=True, slots=True)
class Server:
    """How a server is started, and where it answers.

    Args:
        command: gives the command line from a REST port and a gRPC port, of which it may use one.
        rest: the path of its REST predict, empty where it has none.
        has_answer: False where the answer has no numbers.
    """

    name: str
    command: Callable[[int, int], Sequence[str | Path]]
    rest: str = ""
    grpc: bool = False
    has_answer: bool = True
    environment: Mapping[str, str] = field(default_factory=dict)

    def kinds(self) -> tuple[str, ...]:
        """``REST``, ``gRPC`` or both."""
        return tuple(kind for kind, has in zip(KINDS, (self.rest, self.grpc), strict=True) if has)


def servers(version: Path) -> list[Server]:
    """Those that this machine has; TensorFlow Serving is among them where it is on PATH."""
    bin_ = Path(sys.executable).parent
    python = {"MODEL": str(version), "CUDA_VISIBLE_DEVICES": "-1", "TF_CPP_MIN_LOG_LEVEL": "2"}

    def model_server(program: str | Path) -> Callable[[int, int], Sequence[str | Path]]:
        flags = (f"--model_name={MODEL}", f"--model_base_path={BASE}")
        return lambda rest, grpc_: [program, f"--port={grpc_}", f"--rest_api_port={rest}", *flags]

    def peer(module: str) -> Callable[[int, int], Sequence[str | Path]]:
        return lambda _, grpc_: [sys.executable, "-m", f"benchmarks.serving_peers.{module}", str(grpc_)]

    def gunicorn(rest: int, _: int) -> Sequence[str | Path]:
        options = (f"--bind=127.0.0.1:{rest}", f"--workers={WORKERS}", "--threads=4", "--timeout=120")
        return [PEERS / "bin/gunicorn", *options, "benchmarks.serving_peers.flask_app:app"]

    def uvicorn(rest: int, _: int) -> Sequence[str | Path]:
        options = (f"--port={rest}", f"--workers={WORKERS}", "--no-access-log", f"--app-dir={ROOT}")
        return [PEERS / "bin/uvicorn", *options, "benchmarks.serving_peers.fastapi_app:app"]

    path = f"/v1/models/{MODEL}:predict"
    found = [
        Server(OURS, model_server(bin_ / OURS), rest=path, grpc=True),
        Server(FLASK, gunicorn, rest="/predict/tensorflow", environment=python),
        Server(FASTAPI, uvicorn, rest="/predict", environment=python),
        Server(GRPCIO, peer("grpc_tensorflow"), grpc=True, environment=python),
        Server(FLOOR, peer("grpc_floor"), grpc=True, has_answer=False),
    ]
    if theirs := shutil.which("tensorflow_model_server"):
        found.append(Server(TF_SERVING, model_server(theirs), rest=path, grpc=True))
    return found


def install_peers() -> None:
    """Makes ``build/peers-venv``: requirements.txt of the peers, and behind it all that the project has."""
    stamp = PEERS / "stamp"
    ours = sysconfig.get_path("purelib")
    wanted = f"{sys.executable}\n{ours}\n{REQUIREMENTS.read_text(encoding='utf-8')}"
    if stamp.is_file() and stamp.read_text(encoding="utf-8") == wanted:
        return
    print("installing the peers into build/peers-venv/", file=sys.stderr, flush=True)
    uv = ROOT / "scripts" / "uv"
    target = PEERS / "bin" / "python"
    commands: list[list[str | Path]] = [
        [uv, "venv", "--quiet", "--clear", "--no-project", "--python", sys.executable, PEERS],
        [uv, "pip", "install", "--quiet", "--python", target, "--compile-bytecode", "--requirements", REQUIREMENTS],
    ]
    for command in commands:
        if status := subprocess.run(command, cwd=ROOT, check=False).returncode:
            raise SystemExit(f"the peers could not be installed, exit status {status}: {' '.join(map(str, command))}")
    [site] = PEERS.glob("lib/python*/site-packages")
    (site / "showdown.pth").write_text(f"import site; site.addsitedir({ours!r})\n", encoding="utf-8")
    stamp.write_text(wanted, encoding="utf-8")


def newest_version() -> Path:
    """The folder of the SavedModel that servers pick.

    Raises:
        SystemExit: `make export` has published none.
    """
    found = versions(BASE)
    if not found:
        raise SystemExit(f"no SavedModel in {BASE}: run `make export` first")
    return found[max(found)]


def versions_of_peers() -> dict[str, str]:
    """What requirements.txt of the peers pins."""
    return dict(re.findall(r"^([\w-]+)==(\S+)", REQUIREMENTS.read_text(encoding="utf-8"), re.MULTILINE))
