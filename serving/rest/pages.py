"""Pages beside the API: health, readiness, and one for people at ``/``."""

import html
import json
from collections.abc import Callable, Mapping
from typing import Any

from serving.manager.core import ServerCore
from serving.rest.http import Request, Response
from serving.rest.json_tensor import dtype_name
from serving.servable import DEFAULT_SIGNATURE, Signature

__all__ = ["pages"]

_HTML = "text/html; charset=utf-8"

_STYLE = """
:root { color-scheme: light dark; font: 16px/1.5 system-ui, sans-serif }
body { max-width: 60rem; margin: 2rem auto; padding: 0 1rem }
table { border-collapse: collapse; width: 100%; margin-bottom: 1rem }
th, td { text-align: left; padding: .35rem .8rem .35rem 0; border-bottom: 1px solid #8884; vertical-align: top }
code, pre { font: .9em ui-monospace, monospace }
pre { overflow-x: auto; padding: .8rem; background: #8881; border-radius: .4rem }
.END, .UNLOADING { opacity: .6 }
"""


def pages(core: ServerCore, is_serving: Callable[[], bool]) -> Callable[[Request], Response | None]:
    """Answers ``/``, ``/healthz`` and ``/readyz``.

    Args:
        core: the models.
        is_serving: whether new calls are welcome.
    """

    def answer(request: Request) -> Response | None:
        if request.method not in ("GET", "HEAD"):
            return None
        if request.target == "/healthz":
            return Response(200, b"ok\n", "text/plain")
        if request.target == "/readyz":
            return _readiness(core, is_serving())
        if request.target == "/":
            return Response(200, _front_page(core, request.header("host", "localhost")).encode(), _HTML)
        return None

    return answer


def _readiness(core: ServerCore, is_serving: bool) -> Response:
    """200 where every model of the config has a version that can be used, and the server is not about to end."""
    available = core.available()
    is_ready = is_serving and None not in available.values()
    body = json.dumps({"ready": is_ready, "draining": not is_serving, "models": available}, indent=2)
    return Response(200 if is_ready else 503, f"{body}\n".encode())


def _front_page(core: ServerCore, host: str) -> str:
    names = core.available()
    sections = "".join(_model(core, name, host) for name in sorted(names)) or "<p>No models are configured.</p>"
    return (
        "<!doctype html><html lang=en><meta charset=utf-8><meta name=viewport content='width=device-width'>"
        f"<title>showdown serve</title><style>{_STYLE}</style><h1>{len(names)} "
        f"{'model' if len(names) == 1 else 'models'}</h1>{sections}</html>"
    )


def _model(core: ServerCore, name: str, host: str) -> str:
    rows = "".join(
        f"<tr class={state.state.name}><td>{version}<td>{state.state.name}"
        f"<td>{html.escape(str(state.error)) if state.error else ''}"
        for version, state in core.states.of(name).items()
    )
    head = f"<h2>{html.escape(name)}</h2>"
    if not rows:
        return f"{head}<p>No version lies in its base path.</p>"
    table = f"<table><tr><th>version<th>state<th>error{rows}</table>"
    if core.available().get(name) is None:
        return head + table
    with core.lease_version(name, None) as lease:
        signatures = lease.servable.signatures
    return f"{head}{table}{_signatures(signatures)}{_example(name, signatures.get(DEFAULT_SIGNATURE), host)}"


def _signatures(signatures: Mapping[str, Signature]) -> str:
    rows = "".join(
        f"<tr><td><code>{html.escape(name)}</code><td>{_tensors(signature.definition.inputs)}"
        f"<td>{_tensors(signature.definition.outputs)}"
        for name, signature in sorted(signatures.items())
        if signature.inputs
    )
    return f"<table><tr><th>signature<th>inputs<th>outputs{rows}</table>" if rows else ""


def _tensors(infos: Mapping[str, Any]) -> str:
    found = []
    for alias, info in sorted(infos.items()):
        shape = ", ".join("?" if dim.size < 0 else str(dim.size) for dim in info.tensor_shape.dim)
        shown = "..." if info.tensor_shape.unknown_rank else shape
        found.append(f"<code>{html.escape(alias)}</code> {dtype_name(info.dtype)}[{shown}]")
    return "<br>".join(found)


def _example(name: str, signature: Signature | None, host: str) -> str:
    """A request that can be copied, for a signature with one input of numbers."""
    if signature is None or len(signature.infos) != 1:
        return ""
    (info,) = signature.infos.values()
    if info.tensor_shape.unknown_rank or len(info.tensor_shape.dim) not in (1, 2):
        return ""
    sizes = [dim.size for dim in info.tensor_shape.dim][1:]
    row = json.dumps([0.5] * max(1, sizes[0])) if sizes else "0.5"
    command = f"curl -d '{{\"instances\": [{row}]}}' http://{host}/v1/models/{name}:predict"
    return f"<pre>{html.escape(command)}</pre>"
