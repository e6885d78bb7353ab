"""The other files for TensorFlow Serving: each is read by its proto, which refuses a field it does not have."""

import re
import shutil
import subprocess
from pathlib import Path

import pytest

from runtimes.tensorflow_protos import import_proto
from serving import config_protos
from serving.text_config import read_text_proto

FOLDER = Path(__file__).parents[2] / "serving_config"


def read(name, message_class):
    return read_text_proto(str(FOLDER / name), message_class)


def uncommented(name, tmp_path):
    """The file with its examples switched on: comments that are text protos themselves."""
    text = re.sub(r"^( *)# (\w+(?:: | \{).*)$", r"\1\2", (FOLDER / name).read_text(), flags=re.MULTILINE)
    path = tmp_path / name
    path.write_text(text)
    return str(path)


def test_models():
    server_config = import_proto("tensorflow_serving.config.model_server_config_pb2").ModelServerConfig
    assert len(read("models.config", server_config).model_config_list.config) == 3


def test_monitoring():
    prometheus = read("monitoring.config", config_protos.monitoring_config()).prometheus_config
    assert (prometheus.enable, prometheus.path) == (True, "/monitoring/prometheus/metrics")


def test_batching(tmp_path):
    message = read("batching.config", config_protos.batching_parameters())
    assert (message.max_batch_size.value, list(message.allowed_batch_sizes)) == (32, [])
    everything = read_text_proto(uncommented("batching.config", tmp_path), config_protos.batching_parameters())
    assert everything.allowed_batch_sizes[-1] == everything.max_batch_size.value
    assert everything.pad_variable_length_inputs
    assert everything.enable_large_batch_splitting.value


def test_platform(tmp_path):
    adapter = config_protos.saved_model_bundle_source_adapter_config()
    config_map = import_proto("tensorflow_serving.config.platform_config_pb2").PlatformConfigMap
    for path, batches in ((str(FOLDER / "platform.config"), False), (uncommented("platform.config", tmp_path), True)):
        read_adapter = adapter()
        platform = read_text_proto(path, config_map).platform_configs["tensorflow"]
        assert platform.source_adapter_config.Unpack(read_adapter)
        assert list(read_adapter.legacy_config.saved_model_tags) == ["serve"]
        assert read_adapter.legacy_config.HasField("batching_parameters") == batches


def test_ssl(tmp_path):
    message = read("ssl.config", config_protos.ssl_config())
    assert (message.server_key, message.client_verify) == ("TEXT OF server.key\n", False)
    everything = read_text_proto(uncommented("ssl.config", tmp_path), config_protos.ssl_config())
    assert (everything.custom_ca, everything.client_verify) == ("TEXT OF ca.crt\n", True)


@pytest.mark.skipif(not shutil.which("openssl"), reason="no openssl here")
def test_the_commands_for_certificates_write_such_a_file(tmp_path):
    commands = re.findall(r"^#   (.*)$", (FOLDER / "ssl.config").read_text(), flags=re.MULTILINE)
    subprocess.run(["sh", "-ec", "\n".join(commands)], cwd=tmp_path, check=True, capture_output=True)
    message = read_text_proto(str(tmp_path / "my_ssl.config"), config_protos.ssl_config())
    assert message.server_key == (tmp_path / "server.key").read_text()
    assert message.server_cert == (tmp_path / "server.crt").read_text()


def test_the_readme_has_a_line_for_each_file():
    lines = (FOLDER / "README.md").read_text().splitlines()
    named = [match[1] for line in lines if (match := re.match(r"\| `([^`]+)`", line))]
    assert sorted(named) == sorted(path.name for path in FOLDER.iterdir() if path.name != "README.md")
