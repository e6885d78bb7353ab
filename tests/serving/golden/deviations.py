"""The recorded cases that our server does not meet on purpose; docs/serving-compatibility.md tells the same."""

__all__ = ["DEVIATIONS"]

_VERSION = "we state the version of the library that computes, which is not 2.20.0"

DEVIATIONS: dict[str, str] = {
    "cli-001": _VERSION,
    "cli-002": _VERSION,
    "rest_predict-107": "numpy 1 has at most 32 dimensions, the request has 71: refused with 400",
}
"""The reason by the id of the case or scenario; a case listed here that is met after all fails."""
