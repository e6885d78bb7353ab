"""TLS on both protocols: whom the client trusts, who it is, and what the server is called."""

import shutil
import ssl
import subprocess
from pathlib import Path

import grpc
import pytest

from contract.errors import Code, StatusError
from serving.client import Client, Tls

pytestmark = [
    pytest.mark.slow,  # starts a server
    pytest.mark.skipif(not shutil.which("openssl"), reason="certificates are made by openssl"),
]


@pytest.fixture(scope="module")
def certificates(tmp_path_factory):
    """A folder with ca.pem, and server.pem and client.pem with their keys that it has signed."""
    folder: Path = tmp_path_factory.mktemp("certificates")

    def openssl(*arguments):
        subprocess.run(["openssl", *arguments], cwd=folder, check=True, capture_output=True)

    key = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes")
    openssl("req", "-x509", *key, "-keyout", "ca.key", "-out", "ca.pem", "-subj", "/CN=ca", "-days", "2")
    for name, names in (("server", "DNS:model.example"), ("client", "DNS:somebody")):
        (folder / "names").write_text(f"subjectAltName={names}\n")
        openssl("req", "-new", *key, "-keyout", f"{name}.key", "-out", "request", "-subj", f"/CN={name}")
        sign = ("-CA", "ca.pem", "-CAkey", "ca.key", "-CAcreateserial", "-days", "2", "-extfile", "names")
        openssl("x509", "-req", "-in", "request", "-out", f"{name}.pem", *sign)
    return folder


@pytest.fixture
def server(certificates, make_fake):
    key, chain, roots = (certificates.joinpath(name).read_bytes() for name in ("server.key", "server.pem", "ca.pem"))
    credentials = grpc.ssl_server_credentials([(key, chain)], roots, require_client_auth=True)
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cafile=certificates / "ca.pem")
    context.load_cert_chain(certificates / "server.pem", certificates / "server.key")
    context.verify_mode = ssl.CERT_REQUIRED
    return make_fake(credentials=credentials, context=context)


@pytest.mark.parametrize("kind", ["grpc", "rest"])
def test_both_sides_show_who_they_are(kind, server, certificates):
    tls = Tls(certificates / "ca.pem", certificates / "client.pem", certificates / "client.key", "model.example")
    with Client(server.target(kind), model="half_plus_two", tls=tls, token="t") as client:
        assert client.predict([1])["y"].tolist() == [4.5]
    assert server.headers["authorization"] == "Bearer t"


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")  # of the refused handshake
@pytest.mark.parametrize("kind", ["grpc", "rest"])
def test_a_server_that_is_not_trusted(kind, server, certificates):
    client = (certificates / "client.pem", certificates / "client.key")
    for tls in (Tls(None, *client, "model.example"), Tls(certificates / "ca.pem", *client, "other.example")):
        with Client(server.target(kind), model="half_plus_two", tls=tls, retries=0) as one:
            with pytest.raises(StatusError) as caught:
                one.predict([1])
            assert caught.value.code is Code.UNAVAILABLE
            assert "do its certificate and tls= fit?" in caught.value.message
