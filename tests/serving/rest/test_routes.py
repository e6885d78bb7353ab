"""Which call a method and a path are, as the expressions of http_rest_api_handler.cc have it."""

import pytest

from contract.errors import Code, StatusError
from serving.rest.routes import BadVersionError, Route, find_route

LAST = 2**63 - 1


@pytest.mark.parametrize(
    ("method", "path", "verb", "model", "version", "label"),
    [
        ("POST", "/v1/models/m:predict", "predict", "m", None, None),
        ("POST", "/v1/models/m:classify", "classify", "m", None, None),
        ("POST", "/v1/models/m:regress", "regress", "m", None, None),
        ("POST", "/v1/models/m/versions/3:predict", "predict", "m", 3, None),
        ("POST", "/v1/models/m/versions/003:predict", "predict", "m", 3, None),
        ("POST", f"/v1/models/m/versions/{LAST}:regress", "regress", "m", LAST, None),
        ("POST", "/v1/models/m/labels/stable:classify", "classify", "m", None, "stable"),
        ("POST", "/v1/models/m/labels/7:predict", "predict", "m", None, "7"),
        ("POST", "/V1/MODELS/M/VERSIONS/3:predict", "predict", "M", 3, None),
        ("POST", "/v1/models/m/Labels/Stable:predict", "predict", "m", None, "Stable"),
        ("POST", "/v1/models/a.b-c_d e:predict", "predict", "a.b-c_d e", None, None),
        ("POST", "/v1/models/a%2Fb%3Ac:predict", "predict", "a/b:c", None, None),
        ("POST", "/v1/models/m/labels/a%2fb:predict", "predict", "m", None, "a/b"),
        ("POST", "/v1/models/%C3%A9:predict", "predict", "é", None, None),
        ("POST", "/v1/models/\xc3\xa9:predict", "predict", "é", None, None),
        ("POST", "/v1/models/a+b:predict", "predict", "a+b", None, None),
        ("POST", "/v1/models/m?x=1:predict", "predict", "m?x=1", None, None),
        ("GET", "/v1/models/m", "", "m", None, None),
        ("GET", "/v1/models/m/versions/3", "", "m", 3, None),
        ("GET", "/v1/models/m/labels/stable", "", "m", None, "stable"),
        ("GET", "/v1/models/m/metadata", "metadata", "m", None, None),
        ("GET", "/v1/models/m/versions/3/metadata", "metadata", "m", 3, None),
        ("GET", "/v1/models/m/labels/stable/metadata", "metadata", "m", None, "stable"),
        ("GET", "/v1/models/m/METADATA", "", "m", None, None),
        ("GET", "/v1/models/metadata", "", "metadata", None, None),
        ("GET", "/v1/models/m?x=1", "", "m?x=1", None, None),
    ],
)
def test_what_is_a_call(method, path, verb, model, version, label):
    assert find_route(method, path) == Route(verb, model, version, label)


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("POST", "/v1/models/m"),
        ("POST", "/v1/models/m:Predict"),
        ("POST", "/v1/models/m:predict/"),
        ("POST", "/v1/models/m:predict?x=1"),
        ("POST", "/v1/models/m:explain"),
        ("POST", "/v1/models/:predict"),
        ("POST", "/v1/models/m/x:predict"),
        ("POST", "/v1/models/m/versions/:predict"),
        ("POST", "/v1/models/m/versions/-1:predict"),
        ("POST", "/v1/models/m/versions/1a:predict"),
        ("POST", "/v1/models/m/versions/\u0663:predict"),
        ("POST", "/v1/models/m/labels/:predict"),
        ("POST", "/v1/models/m/labels/a:b:predict"),
        ("POST", "/v1/models/m/versions/1/labels/a:predict"),
        ("POST", "/v1/models/m/metadata"),
        ("POST", "/v2/models/m:predict"),
        ("POST", "v1/models/m:predict"),
        ("POST", "/x/v1/models/m:predict"),
        ("POST", "/v1/models/m:predict\n"),
        ("GET", "/v1/models/m:predict"),
        ("GET", "/v1/models/m/"),
        ("GET", "/v1/models/"),
        ("GET", "/v1/models/m/x"),
        ("GET", "/v1/models/m/versions/"),
        ("GET", "/v1/models/m/metadata/"),
        ("GET", "/v1/models/m/metadata?x=1"),
        ("GET", "/v1/model/m"),
        ("GET", "/v1/"),
        ("PUT", "/v1/models/m:predict"),
        ("DELETE", "/v1/models/m"),
        ("HEAD", "/v1/models/m"),
        ("PATCH", "/v1/models/m"),
        ("get", "/v1/models/m"),
    ],
)
def test_what_is_malformed(method, path):
    with pytest.raises(StatusError) as caught:
        find_route(method, path)
    assert (caught.value.code, caught.value.message) == (
        Code.INVALID_ARGUMENT,
        f"Malformed request: {method} {path}",
    )


def test_a_path_without_a_model():
    with pytest.raises(StatusError, match=r"^INVALID_ARGUMENT: Missing model name in request\.$"):
        find_route("GET", "/v1/models")


@pytest.mark.parametrize("number", [LAST + 1, 2**64, 10**40])
@pytest.mark.parametrize(("method", "end"), [("POST", ":predict"), ("GET", ""), ("GET", "/metadata")])
def test_versions_that_are_too_large(method, end, number):
    with pytest.raises(BadVersionError):
        find_route(method, f"/v1/models/m/versions/{number}{end}")


def test_a_name_that_is_not_utf_8_stays_what_it_is():
    model = find_route("GET", "/v1/models/%ff").model
    with pytest.raises(UnicodeEncodeError):
        model.encode()
    assert model.encode(errors="surrogateescape") == b"\xff"


@pytest.mark.parametrize("method", ["GET", "POST"])
def test_long_paths_take_no_time(method):
    for middle in ("/" * 30_000, "a" * 30_000, "%41" * 10_000, "/versions/1" * 3000, ":predict" * 3000):
        path = f"/v1/models/m{middle}:predict"
        if method == "POST" and not set(middle) & set("/:"):
            assert find_route(method, path).verb == "predict"
        else:
            with pytest.raises(StatusError, match="Malformed request"):
                find_route(method, path)
