"""Text protos, with the texts that tensorflow_model_server 2.20 was recorded to answer."""

import errno
import logging
import os

import pytest

from contract.errors import Code, StatusError
from runtimes.tensorflow_protos import import_proto
from serving.config_protos import batching_parameters, ssl_config
from serving.text_config import TextConfigError, Where, read_text_proto


def model_server_config():
    return import_proto("tensorflow_serving.config.model_server_config_pb2").ModelServerConfig


def refused(path, message_class=None):
    with pytest.raises(TextConfigError) as caught:
        read_text_proto(str(path), message_class or model_server_config())
    assert isinstance(caught.value, StatusError)
    return caught.value


def test_a_file_is_read(tmp_path):
    file = tmp_path / "batching.config"
    file.write_text("# comment\nmax_batch_size { value: 8 }\nallowed_batch_sizes: 4\nallowed_batch_sizes: 8\n")
    for path in (str(file), f"file://{file}"):
        message = read_text_proto(path, batching_parameters())
        assert (message.max_batch_size.value, list(message.allowed_batch_sizes)) == (8, [4, 8])


@pytest.mark.parametrize("text", ["\n", "# nothing\n", "model_config_list { }\n"])
def test_a_file_with_nothing_in_it_is_the_empty_message(tmp_path, text):
    file = tmp_path / "m.config"
    file.write_text(text)
    assert not read_text_proto(str(file), model_server_config()).model_config_list.config


@pytest.mark.parametrize(
    ("make", "code", "number"),
    [
        (lambda path: None, Code.NOT_FOUND, errno.ENOENT),
        (lambda path: path.write_bytes(b""), Code.INVALID_ARGUMENT, errno.EINVAL),
        (lambda path: path.mkdir(), Code.NOT_FOUND, errno.ENODEV),
        (lambda path: path.symlink_to(path), Code.UNKNOWN, errno.ELOOP),
    ],
    ids=["missing", "empty", "a folder", "a circle of links"],
)
def test_what_cannot_be_opened_has_the_reason_of_the_system(tmp_path, make, code, number):
    path = tmp_path / "m.config"
    make(path)
    error = refused(path)
    assert (error.code, error.message, error.where) == (code, f"{path}; {os.strerror(number)}", None)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read all")
def test_a_file_without_permission(tmp_path):
    path = tmp_path / "m.config"
    path.write_text("x")
    path.chmod(0)
    error = refused(path)
    assert (error.code, error.message) == (Code.PERMISSION_DENIED, f"{path}; Permission denied")


def test_a_file_in_a_file(tmp_path):
    (tmp_path / "f").write_text("x")
    error = refused(tmp_path / "f" / "x")
    assert (error.code, error.message) == (Code.FAILED_PRECONDITION, f"{tmp_path}/f/x; Not a directory")


@pytest.mark.parametrize(
    ("data", "where"),
    [
        (b"nonsense", (1, 1, 'Message type "tensorflow.serving.ModelServerConfig" has no field named "nonsense".')),
        (
            b'\nmodel_config_list { config { nam: "x" } }\n',
            (2, 30, 'Message type "tensorflow.serving.ModelConfig" has no field named "nam".'),
        ),
        (b"model_config_list: 3", (1, 20, 'Expected "{".')),
        (b'# \xe9\nmodel_config_list { config { name: "\xe9" } }', (1, 3, "Not UTF-8: invalid continuation byte.")),
        (b'model_config_list {\n config { name: "\xff" } }', (2, 18, "Not UTF-8: invalid start byte.")),
    ],
)
def test_what_does_not_parse_is_logged_with_its_place(tmp_path, caplog, data, where):
    path = tmp_path / "m.config"
    path.write_bytes(data)
    with caplog.at_level(logging.ERROR):
        error = refused(path)
    assert (error.code, error.message) == (Code.INVALID_ARGUMENT, f"Invalid protobuf file: '{path}'")
    assert str(error) == f"INVALID_ARGUMENT: Invalid protobuf file: '{path}'"
    assert error.where == Where(*where)
    line, column, reason = where
    assert caplog.messages == [
        f"Error parsing text-format tensorflow.serving.ModelServerConfig: {line}:{column}: {reason}"
    ]


def test_a_number_where_a_wrapper_is_wanted(tmp_path):
    path = tmp_path / "b.txt"
    path.write_text("max_batch_size: 8\n")
    assert refused(path, batching_parameters()).where == Where(1, 17, 'Expected "{".')


@pytest.mark.parametrize(
    ("text", "where"),
    [
        ('server_key: "secret" client_verify: "secret"\n', (1, 37)),
        ('\nserver_key: "secret\nsecret"\n', (2, 13)),
    ],
)
def test_the_text_is_not_repeated_for_it_may_be_a_key(tmp_path, caplog, text, where):
    path = tmp_path / "ssl.config"
    path.write_text(text)
    error = refused(path, ssl_config())
    assert (error.where.line, error.where.column) == where
    assert "server_key" not in caplog.text
    assert "secret" not in caplog.text.split("SSLConfig")[1]
