"""A bearer token that clients have to show, by HTTP and by gRPC alike (RFC 6750)."""

import hmac
from collections.abc import Callable
from typing import Any

import grpc

from serving.rest.http import Answer, Pending, Request, Response
from serving.rest.json_writer import error_body

__all__ = ["TokenInterceptor", "with_token"]

_OPEN_PATHS = ("/healthz", "/readyz")
"""What a load balancer asks, which has no token."""

_OPEN_SERVICE = "/grpc.health.v1.Health/"

_REFUSED = "show the token of this server: Authorization: Bearer ..."


class TokenInterceptor(grpc.ServerInterceptor):
    """Refuses gRPC calls without the token; health checks need none."""

    def __init__(self, token: str) -> None:
        self._wanted = f"Bearer {token}"
        self._refuse = grpc.unary_unary_rpc_method_handler(
            lambda _request, context: context.abort(grpc.StatusCode.UNAUTHENTICATED, _REFUSED)
        )

    def intercept_service(self, continuation: Callable[[Any], Any], handler_call_details: Any) -> Any:
        """See `grpc.ServerInterceptor`."""
        if handler_call_details.method.startswith(_OPEN_SERVICE):
            return continuation(handler_call_details)
        shown = next((value for key, value in handler_call_details.invocation_metadata if key == "authorization"), "")
        return continuation(handler_call_details) if _is_equal(shown, self._wanted) else self._refuse


def with_token(answer: Answer, token: str) -> Answer:
    """Refuses HTTP requests without the token."""
    wanted = f"Bearer {token}"

    def guarded(request: Request) -> Response | Pending:
        if request.target in _OPEN_PATHS or _is_equal(request.header("authorization"), wanted):
            return answer(request)
        return Response(401, error_body(_REFUSED), headers="WWW-Authenticate: Bearer\r\n")

    return guarded


def _is_equal(shown: str, wanted: str) -> bool:
    return hmac.compare_digest(shown.encode(errors="replace"), wanted.encode())
