"""The recorded cases that our server does not meet on purpose."""

__all__ = ["DEVIATIONS"]

DEVIATIONS: dict[str, str] = {}
"""The reason by the id of the case or scenario; a case listed here that is met after all fails."""
