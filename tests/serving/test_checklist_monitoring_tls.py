"""Labels that no recorded page shows, and TLS for gRPC."""

import shutil
import subprocess
import sys
from pathlib import Path

import grpc
import pytest

from serving import protos
from tests.serving.golden.recorded import Program
from tests.serving.golden.server import Server

pytestmark = pytest.mark.slow

OURS = Program("showdown-model-server", str(Path(sys.executable).with_name("showdown-model-server")), deviates=True)

FLAGS = (
    *("--port=<GRPC>", "--rest_api_port=<REST>"),
    *("--model_name=m", "--model_base_path=<MODELS>/half_plus_two"),
)

needs_openssl = pytest.mark.skipif(not shutil.which("openssl"), reason="certificates are made by openssl")


@pytest.fixture
def serve(tmp_path):
    """Starts a server with files and waits until it listens."""
    started = []

    def start(*flags, **files):
        started.append(Server(OURS, {"flags": [*FLAGS, *flags], "files": files}, tmp_path))
        ready = started[-1].start({"expect": {"state": "ready"}}, "<GRPC>", "<REST>")
        assert ready["state"] == "ready", started[-1].report()
        return started[-1]

    yield start
    for server in started:
        server.kill()


def test_the_thread_pool_has_the_name_of_the_batching_file(serve):
    server = serve(
        "--monitoring_config_file=<BASE>/monitoring",
        "--enable_batching=true",
        "--batching_parameters_file=<BASE>/batching",
        monitoring="prometheus_config { enable: true }\n",
        batching='thread_pool_name { value: "mine" }\n',
    )
    predict = {"method": "POST", "path": "/v1/models/m:predict", "body": '{"instances": [1.0]}'}
    assert server.ask({"rest": predict})["status"] == 200
    page = server.ask({"rest": {"method": "GET", "path": "/monitoring/prometheus/metrics"}})["body"]
    assert ':tensorflow:serving:batching_session:queuing_latency_count{thread_pool_name="mine"} 1' in page


@pytest.fixture(scope="module")
def certificates(tmp_path_factory):
    """PEM texts: an authority, and what it has signed for the server and for a client."""
    folder = tmp_path_factory.mktemp("certificates")

    def openssl(*arguments):
        subprocess.run(["openssl", *arguments], cwd=folder, check=True, capture_output=True)

    key = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes")
    openssl("req", "-x509", *key, "-keyout", "ca.key", "-out", "ca.pem", "-subj", "/CN=ca", "-days", "2")
    (folder / "names").write_text("subjectAltName=DNS:localhost,IP:127.0.0.1\n")
    for name in ("server", "client"):
        openssl("req", "-new", *key, "-keyout", f"{name}.key", "-out", "request", "-subj", f"/CN={name}")
        sign = ("-CA", "ca.pem", "-CAkey", "ca.key", "-CAcreateserial", "-days", "2", "-extfile", "names")
        openssl("x509", "-req", "-in", "request", "-out", f"{name}.pem", *sign)
    return {path.name: path.read_text() for path in folder.iterdir()}


def ssl_config(certificates, **more):
    """A text SSLConfig."""
    fields = {"server_key": certificates["server.key"], "server_cert": certificates["server.pem"], **more}
    return "".join(f"{name}: {_text(value)}\n" for name, value in fields.items())


def _text(value):
    return value if value == "true" else '"' + value.replace("\n", "\\n") + '"'


def state(channel):
    """What GetModelStatus answers, or the code of its error."""
    messages = protos.get_model_status
    request = messages.GetModelStatusRequest()
    request.model_spec.name = "m"
    call = channel.unary_unary(
        "/tensorflow.serving.ModelService/GetModelStatus",
        messages.GetModelStatusRequest.SerializeToString,
        messages.GetModelStatusResponse.FromString,
    )
    with channel:
        try:
            return call(request, timeout=20).model_version_status[0].state
        except grpc.RpcError as err:
            return err.code()


@needs_openssl
def test_tls_is_for_grpc_and_not_for_http(serve, certificates, tmp_path):
    server = serve("--ssl_config_file=<BASE>/ssl", "--grpc_socket_path=<BASE>/s.sock", ssl=ssl_config(certificates))
    trusting = grpc.ssl_channel_credentials(certificates["ca.pem"].encode())
    tcp = f"127.0.0.1:{server.filled('<GRPC>')}"
    assert state(grpc.secure_channel(tcp, trusting)) == 30
    name = [("grpc.ssl_target_name_override", "localhost"), ("grpc.default_authority", "localhost")]
    assert state(grpc.secure_channel(f"unix:{tmp_path}/s.sock", trusting, name)) == 30
    assert state(grpc.insecure_channel(tcp)) is grpc.StatusCode.UNAVAILABLE
    assert state(grpc.secure_channel(tcp, grpc.ssl_channel_credentials())) is grpc.StatusCode.UNAVAILABLE
    assert server.ask({"rest": {"method": "GET", "path": "/v1/models/m"}})["status"] == 200


@needs_openssl
def test_a_client_has_to_show_its_certificate_where_it_is_wanted(serve, certificates):
    config = ssl_config(certificates, custom_ca=certificates["ca.pem"], client_verify="true")
    tcp = f"127.0.0.1:{serve('--ssl_config_file=<BASE>/ssl', ssl=config).filled('<GRPC>')}"
    ca, key, chain = (certificates[name].encode() for name in ("ca.pem", "client.key", "client.pem"))
    assert state(grpc.secure_channel(tcp, grpc.ssl_channel_credentials(ca, key, chain))) == 30
    assert state(grpc.secure_channel(tcp, grpc.ssl_channel_credentials(ca))) is grpc.StatusCode.UNAVAILABLE
