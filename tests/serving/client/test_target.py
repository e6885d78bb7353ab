"""Targets and the settings of a client; nothing here connects."""

from pathlib import Path

import pytest

from contract.errors import UsageError
from serving.client import Client, Tls
from serving.client.target import Target, TargetKind


@pytest.mark.parametrize(
    ("text", "kind", "address", "is_https", "prefix"),
    [
        ("localhost:8500", TargetKind.GRPC, "localhost:8500", False, ""),
        ("grpc://10.0.0.1:1", TargetKind.GRPC, "10.0.0.1:1", False, ""),
        ("[::1]:8500", TargetKind.GRPC, "[::1]:8500", False, ""),
        ("unix:/run/a.sock", TargetKind.GRPC, "unix:/run/a.sock", False, ""),
        ("unix:a.tflite", TargetKind.GRPC, "unix:a.tflite", False, ""),
        ("http://h:8501", TargetKind.REST, "h:8501", False, ""),
        ("http://h:8501/a/b/", TargetKind.REST, "h:8501", False, "/a/b"),
        ("http://h", TargetKind.REST, "h:80", False, ""),
        ("https://[::1]", TargetKind.REST, "[::1]:443", True, ""),
        ("build/m.tflite", TargetKind.TFLITE, "build/m.tflite", False, ""),
        ("http://h/m.tflite", TargetKind.REST, "h:80", False, "/m.tflite"),
    ],
)
def test_targets(text, kind, address, is_https, prefix):
    assert Target.parse(text) == Target(kind, text, address, is_https, prefix)


@pytest.mark.parametrize(
    "text",
    [
        *("", "localhost", "localhost:", "localhost:x", "localhost:0", "localhost:65536", "a b:1", "h:1/x", "m.onnx"),
        *(
            "unix:",
            "ftp://h:1",
            "ftp://h/m.tflite",
            "grpc://h",
            "http://",
            "http://h:x",
            "http://h:1?q",
            "http://a b:1",
        ),
    ],
)
def test_what_is_no_target(text):
    with pytest.raises(UsageError, match=r"wanted host:port, grpc://host:port, http://host:port"):
        Target.parse(text)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"target": "http://h:1", "tls": Tls()}, "'http://h:1' is not encrypted; leave tls out, or say https://"),
        ({"target": "m.tflite", "tls": Tls()}, "'m.tflite' is not encrypted; leave tls out"),
        ({"target": "h:1", "tls": Tls(Path("absent.pem"))}, "tls: absent.pem: No such file or directory"),
        ({"target": "https://h:1", "tls": Tls(Path("absent.pem"))}, "tls: absent.pem: No such file or directory"),
        ({"target": "https://h:1", "tls": Tls(Path(__file__))}, "tls: no certificate or key in PEM"),
        ({"target": "h:1", "token": "a\nb"}, "token: wanted printable ASCII"),
        ({"target": "h:1", "retries": -1}, "retries: wanted 0 or more, given -1"),
        ({"target": "h:1", "timeout": 0}, "timeout: wanted seconds above 0, or None, given 0"),
    ],
)
def test_settings_that_cannot_be(options, message):
    with pytest.raises(UsageError, match=message):
        Client(**options)


def test_a_certificate_needs_its_key():
    with pytest.raises(UsageError, match="go together"):
        Tls(certificate=Path("a.pem"))
