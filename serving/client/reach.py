"""The errors of a server that does not answer."""

from contract.errors import Code, StatusError

__all__ = ["too_late", "unreachable"]


def unreachable(target: str, reason: str) -> StatusError:
    """UNAVAILABLE in one line, with the remedy."""
    is_certificate = any(word in reason.lower() for word in ("certificate", "handshake", "verification", "ssl"))
    remedy = "do its certificate and tls= fit?" if is_certificate else "is it running? start one by `make serve`"
    return StatusError(Code.UNAVAILABLE, f"cannot reach {target}: {remedy} ({reason})")


def too_late(target: str, timeout: float | None) -> StatusError:
    """DEADLINE_EXCEEDED in one line; ``timeout`` is what was left for this attempt."""
    within = "" if timeout is None else f" within {timeout:.3g} s"
    return StatusError(Code.DEADLINE_EXCEEDED, f"no answer from {target}{within}")
