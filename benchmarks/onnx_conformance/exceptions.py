"""The operator tests that are not passed, each with its reason: read by the tests and by the documentation."""

__all__ = ["EXCEPTIONS"]

EXCEPTIONS: dict[str, str] = {}
"""Name of the test to the reason."""
