"""The REST API: routes a request to its handler, JSON in and JSON out.

Source: http_server.cc and http_rest_api_handler.cc of TensorFlow Serving.
"""

import logging
import re
import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from functools import lru_cache, partial
from http import HTTPStatus
from typing import Any

from contract.errors import Code, StatusError
from runtimes.tensor import Tensor
from serving import protos
from serving.handlers.classify import run_classify
from serving.handlers.model_info import get_model_metadata, get_model_status
from serving.handlers.predict import run_signature
from serving.handlers.regress import regress
from serving.handlers.settings import Settings
from serving.manager.core import ServerCore
from serving.manager.manager import Lease
from serving.rest import examples_body, predict_body, status_body
from serving.rest.http import Pending, Request, Response, html_page
from serving.rest.json_reader import parse
from serving.rest.json_writer import error_body
from serving.rest.routes import BadVersionError, Route, find_route
from serving.servable import DEFAULT_SIGNATURE, Signature

__all__ = ["RestFace", "RestOptions"]

_log = logging.getLogger(__name__)

_HTTP = {
    Code.OK: 200,
    Code.CANCELLED: 499,
    Code.UNKNOWN: 500,
    Code.INVALID_ARGUMENT: 400,
    Code.DEADLINE_EXCEEDED: 504,
    Code.NOT_FOUND: 404,
    Code.ALREADY_EXISTS: 409,
    Code.PERMISSION_DENIED: 403,
    Code.RESOURCE_EXHAUSTED: 429,
    Code.FAILED_PRECONDITION: 400,
    Code.ABORTED: 409,
    Code.OUT_OF_RANGE: 400,
    Code.UNIMPLEMENTED: 501,
    Code.INTERNAL: 500,
    Code.UNAVAILABLE: 503,
    Code.DATA_LOSS: 500,
    Code.UNAUTHENTICATED: 401,
}

_SHORT = 256
"""Characters of a path that is remembered."""

_BAD_ESCAPE = re.compile(r"%(?![0-9a-fA-F]{2})")

_CORS = (
    "Access-Control-Allow-Origin: *\r\nAccess-Control-Allow-Methods: POST, GET\r\n"
    "Access-Control-Allow-Headers: Content-Type\r\n"
)


@dataclass(frozen=True, slots=True)
class RestOptions:
    """How the REST API answers.

    Attributes:
        timeout: seconds of an inference call, None for no limit.
        allows_cors: add the headers that let pages of other hosts call.
        metrics_path: of the Prometheus page, empty for none.
        extra: answers to paths outside ``/v1/``, tried first.
    """

    timeout: float | None = 30.0
    allows_cors: bool = False
    metrics_path: str = ""
    extra: Callable[[Request], Response | None] = lambda _: None


class RestFace:
    """Answers requests; threads may use it at the same time."""

    def __init__(self, core: ServerCore, settings: Settings, options: RestOptions) -> None:
        """Answers for the models of a core.

        Args:
            core: the models.
            settings: how calls are answered, and where they are counted.
            options: how the API answers.
        """
        self._core = core
        self._settings = settings
        self._options = options
        self._headers = _CORS if options.allows_cors else ""

    def __call__(self, request: Request) -> Response | Pending:
        """Answers a request, or prepares the answer."""
        target = request.target
        if target[:4].lower() != "/v1/":
            return self._answer_other(request)
        if "%" in target and _BAD_ESCAPE.search(target):
            return _page(HTTPStatus.BAD_REQUEST)
        if request.method == "OPTIONS":
            origin = request.header("origin")
            is_known = "http://" in origin or "https://" in origin
            return Response(200 if is_known else 400, b"", "text/html; charset=ISO-8859-1", self._headers)
        return self._answer_api(request)

    def _answer_other(self, request: Request) -> Response:
        options = self._options
        found = options.extra(request)
        if found is not None:
            return found
        path, query, _ = request.target.partition("?")
        if options.metrics_path and path == options.metrics_path:
            if query:
                return Response(400, b"", "text/plain")
            return Response(200, self._settings.metrics.expose().encode(errors="surrogateescape"), "text/plain")
        return _page(HTTPStatus.NOT_FOUND)

    def _answer_api(self, request: Request) -> Response | Pending:
        start = time.perf_counter()
        route = Route("", "", None, None)
        try:
            route = _find_known(request.method, request.target)
            if route.verb == "predict":
                return _Predict(self, start, route, self._begin_predict(route, request.body))
        except BadVersionError:
            return Response(400, b"", headers=self._headers)
        except Exception as err:  # noqa: BLE001  the server goes on, and the caller gets an answer
            return self._failed(route, err)
        if route.verb in ("classify", "regress"):
            return _Slow(partial(self._finish, start, route, partial(self._examples, route, request.body)))
        return self._finish(start, route, partial(self._info, route))

    def _finish(self, start: float, route: Route, compute: Callable[[], bytes]) -> Response:
        """Computes a body, and counts the request."""
        try:
            body = compute()
        except Exception as err:  # noqa: BLE001  the server goes on, and the caller gets an answer
            return self._failed(route, err)
        metrics = self._settings.metrics
        metrics.request_count.add((route.model, "OK"))
        verb = "" if route.verb == "metadata" else route.verb
        metrics.request_latency.record((route.model, verb, "REST"), (time.perf_counter() - start) * 1e6)
        return Response(200, body, headers=self._headers)

    def _failed(self, route: Route, error: Exception) -> Response:
        """The answer to a call that has failed, for whatever reason."""
        if isinstance(error, StatusError):
            status = error
        elif isinstance(error, MemoryError):
            status = StatusError(Code.RESOURCE_EXHAUSTED, "There is not enough memory for this request")
        else:
            _log.error("A call failed", exc_info=error)
            status = StatusError(Code.INTERNAL, f"{type(error).__name__}: {error}")
        self._settings.metrics.request_count.add((route.model, status.code.name))
        return Response(_HTTP[status.code], error_body(status.message), headers=self._headers)

    def _begin_predict(self, route: Route, body: bytes) -> "_Parsed":
        """Everything before the run."""
        document = parse(body)
        name = predict_body.signature_name(document) or DEFAULT_SIGNATURE
        with ExitStack() as until_failure:
            lease = until_failure.enter_context(self._lease(route))
            signature = lease.servable.signatures.get(name)
            if signature is None:
                raise StatusError(Code.INVALID_ARGUMENT, f'Serving signature name: "{name}" not found in signature def')
            if not signature.inputs:
                raise StatusError(Code.INVALID_ARGUMENT, f"Failed to get input map for signature: {name}")
            layout, inputs = predict_body.inputs(document, signature.infos)
            until_failure.pop_all()  # from here on the run gives the lease back
        return _Parsed(lease, signature, layout, inputs)

    def _lease(self, route: Route) -> Lease:
        version = route.version
        if route.label is not None:
            version = self._core.version_of_label(route.model, route.label)
        return self._core.lease_version(route.model, version)

    def _run_predict(self, route: Route, parsed: "_Parsed") -> bytes:
        with parsed.lease:
            outputs = run_signature(
                route.model,
                parsed.lease.servable,
                self._settings,
                parsed.signature,
                parsed.inputs,
                (),
                self._options.timeout,
            )
        return predict_body.outputs(parsed.layout, outputs)

    def _examples(self, route: Route, body: bytes) -> bytes:
        """Classify and Regress."""
        document = parse(body)
        name = predict_body.signature_name(document)
        is_classify = route.verb == "classify"
        kind = protos.classification.ClassificationRequest if is_classify else protos.regression.RegressionRequest
        request = kind()
        self._fill_spec(request.model_spec, route)
        try:
            request.model_spec.signature_name = name
        except UnicodeEncodeError:  # it is no text, so no signature of ours
            raise StatusError(Code.INVALID_ARGUMENT, f"No signature was found with the name: {name}") from None
        request.input.CopyFrom(examples_body.examples(document))
        if is_classify:
            labels, _ = run_classify(self._core, self._settings, request, self._options.timeout)
            return examples_body.classifications(labels)
        response = regress(self._core, self._settings, request, self._options.timeout)
        return examples_body.regressions(response.result)

    def _info(self, route: Route) -> bytes:
        """Status and metadata."""
        if route.verb == "metadata":
            request = protos.get_model_metadata.GetModelMetadataRequest(metadata_field=["signature_def"])
            self._fill_spec(request.model_spec, route)
            return status_body.metadata(get_model_metadata(self._core, request))
        request = protos.get_model_status.GetModelStatusRequest()
        self._fill_spec(request.model_spec, route)
        return status_body.model_status(get_model_status(self._core, request))

    @staticmethod
    def _fill_spec(spec: Any, route: Route) -> None:
        try:
            spec.name = route.model
            if route.label is not None:
                spec.version_label = route.label
        except (UnicodeEncodeError, ValueError):
            # A name that is not UTF-8 cannot be one of ours.
            what = (
                f"Could not find any versions of model {route.model}"
                if not route.verb
                else (f"Servable not found for request: Latest({route.model})")
            )
            raise StatusError(Code.NOT_FOUND, what) from None
        if route.version is not None:
            spec.version.value = route.version


@dataclass(slots=True)
class _Parsed:
    """A Predict request that is ready to run."""

    lease: Lease
    signature: Signature
    layout: predict_body.Format
    inputs: dict[str, Tensor]


@dataclass(slots=True)
class _Predict:
    """See `Pending`."""

    face: RestFace
    start: float
    route: Route
    parsed: _Parsed

    def is_quick(self) -> bool:
        signature = self.parsed.signature
        return self.parsed.lease.servable.is_quick(signature.feeds, signature.fetches)

    def finish(self) -> Response:
        return self.face._finish(self.start, self.route, lambda: self.face._run_predict(self.route, self.parsed))


@dataclass(frozen=True, slots=True)
class _Slow:
    """See `Pending`."""

    finish: Callable[[], Response]

    def is_quick(self) -> bool:
        return False


_find_cached = lru_cache(maxsize=1024)(find_route)


def _find_known(method: str, target: str) -> Route:
    """`find_route`, which most requests have asked before."""
    return _find_cached(method, target) if len(target) <= _SHORT else find_route(method, target)


def _page(status: HTTPStatus) -> Response:
    return Response(status, html_page(status), "text/html")
