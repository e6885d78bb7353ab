"""`showdown serve`."""

import sys
from argparse import Namespace
from dataclasses import fields, replace
from difflib import get_close_matches

from contract.errors import UsageError
from serving.flags import Flags, parse
from serving.serve import ServeOptions
from serving.serve import serve as run

__all__ = ["serve"]

_REST_PORT = 8501
"""The official image's choice, which tutorials show."""


def serve(options: Namespace) -> None:
    """Serves models until it is told to end."""
    flags = _flags(options.flags)
    if not any(flag.partition("=")[0] == "--rest_api_port" for flag in options.flags):
        flags = replace(flags, rest_api_port=_REST_PORT)
    own = ServeOptions(
        build_dir=options.build_dir,
        host=options.host,
        engine=options.engine,
        workers=options.workers,
        requires_manifest=options.require_manifest,
        token_file=options.token_file,
        tls_certificate=options.tls_cert,
        tls_key=options.tls_key,
        max_request_bytes=options.max_request_mb * 2**20,
        grace_seconds=options.grace_seconds,
        is_worker=options.is_worker,
    )
    again = [sys.executable, "-m", "cli.main", *sys.argv[1:], "--is_worker", "--engine=embedded"]
    if status := run(flags, own, again):
        sys.exit(status)


def _flags(arguments: list[str]) -> Flags:
    """The flags of tensorflow_model_server; ``--flag value`` is understood as well."""
    kinds = {field.name: field.metadata["kind"] for field in fields(Flags)}
    joined: list[str] = []
    for argument in arguments:
        before = joined[-1].removeprefix("--") if joined else ""
        if not argument.startswith("--") and kinds.get(before, "bool") != "bool":
            joined[-1] += f"={argument}"
        else:
            joined.append(argument)
    for argument in joined:
        name = argument.removeprefix("--").partition("=")[0]
        if not argument.startswith("--") or name not in kinds:
            close = get_close_matches(name, kinds, 1)
            hint = f"; did you mean --{close[0]}?" if close else "; see showdown serve --help"
            raise UsageError(f"unknown flag {argument}{hint}")
    parsed = parse(joined)
    if parsed.errors or parsed.unknown:
        raise UsageError(" ".join([*parsed.errors, *(f"{flag} wants a value: {flag}=..." for flag in parsed.unknown)]))
    return parsed.flags
