"""Where a client calls: a target as text, and the files of TLS."""

import re
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import Self
from urllib.parse import urlsplit

from contract.errors import UsageError

__all__ = ["Target", "TargetKind", "Tls"]

_HOST_PORT = re.compile(r"(\[[0-9A-Fa-f:.%\w]+\]|[^\s:/\[\]]+):(\d{1,5})")
_MAX_PORT = 65535
_FORMS = "host:port, grpc://host:port, http://host:port, https://host:port, unix:/path or a .tflite file"


class TargetKind(Enum):
    """How a target is called."""

    GRPC = "gRPC"
    REST = "REST"
    TFLITE = "TFLite"


@dataclass(frozen=True, slots=True)
class Tls:
    """The files of an encrypted connection, all in PEM.

    Attributes:
        root_certificates: whom to trust; None for those of the system.
        certificate: the client's own chain, for a server that wants to know its clients.
        key: the private key of ``certificate``.
        server_name: the name that the server's certificate has to show, where it is not the host of the target.

    Raises:
        UsageError: a certificate without its key, or a key without its certificate.
    """

    root_certificates: Path | None = None
    certificate: Path | None = None
    key: Path | None = None
    server_name: str | None = None

    def __post_init__(self) -> None:
        if (self.certificate is None) != (self.key is None):
            raise UsageError("tls: the client's certificate and its key go together")

    def read(self, path: Path | None) -> bytes | None:
        """The bytes of one of the files.

        Raises:
            UsageError: it cannot be read.
        """
        try:
            return None if path is None else Path(path).read_bytes()
        except OSError as err:
            raise UsageError(f"tls: {path}: {err.strerror}") from err


@dataclass(frozen=True, slots=True)
class Target:
    """A target, taken apart.

    Attributes:
        kind: how it is called.
        text: as it was given, for messages.
        address: what gRPC connects to, ``host:port`` of a URL, or the path of a file.
        is_https: whether REST is encrypted.
        prefix: what stands before ``/v1`` in the path of a URL.
    """

    kind: TargetKind
    text: str
    address: str
    is_https: bool = False
    prefix: str = ""

    @classmethod
    def parse(cls, text: str) -> Self:
        """Reads a target.

        Raises:
            UsageError: it is none.
        """
        if text.startswith(("http://", "https://")):
            return cls._url(text)
        if text.startswith("unix:") and len(text) > len("unix:"):
            return cls(TargetKind.GRPC, text, text)
        address = text.removeprefix("grpc://")
        if _is_host_port(address):
            return cls(TargetKind.GRPC, text, address)
        if text.endswith(".tflite") and "://" not in text:
            return cls(TargetKind.TFLITE, text, text)
        raise UsageError(f"target {text!r}: wanted {_FORMS}")

    @classmethod
    def _url(cls, text: str) -> Self:
        url = urlsplit(text)
        is_https = url.scheme == "https"
        address = url.netloc if _is_host_port(url.netloc) else f"{url.netloc}:{443 if is_https else 80}"
        if not _is_host_port(address) or url.query or url.fragment:
            raise UsageError(f"target {text!r}: wanted {_FORMS}")
        return cls(TargetKind.REST, text, address, is_https, url.path.rstrip("/"))


def _is_host_port(text: str) -> bool:
    found = _HOST_PORT.fullmatch(text)
    return found is not None and 0 < int(found[2]) <= _MAX_PORT
