"""The report: a row for each verified step."""

import json

import pytest

from export.report import report_path, write_report


def test_a_row_has_its_parity_its_size_and_where_it_is_published(tmp_path):
    checks = [{"runtime": "tensorflow_c", "verdict": "verified", "max_abs_diff": 1e-7}]
    parity, version = tmp_path / "parity.json", tmp_path / "version.json"
    parity.write_text(json.dumps({"hop": "saved_model", "checks": checks}))
    version.write_text(json.dumps({"version": 12}))
    artifact = tmp_path / "made" / "saved_model"
    (artifact / "variables").mkdir(parents=True)
    (artifact / "saved_model.pb").write_bytes(b"12345")
    (artifact / "variables" / "data").write_bytes(b"678")
    rows = [
        {"name": "network", "key": "000"},
        {"name": "servable", "key": "001", "artifact": "saved_model", "published": "serving/servable/{version}"},
    ]
    result = write_report(
        out=tmp_path,
        build=tmp_path / "build",
        model="toy",
        origin={"source": "toy"},
        config={"seed": 3},
        rows=rows,
        parity_000=parity,
        parity_001=parity,
        artifact_001=artifact.parent,
        version_001=version,
    )
    assert result == {"published": ["report/toy.json"]}
    assert json.loads(report_path(tmp_path / "build", "toy").read_text()) == {
        "model": "toy",
        "origin": {"source": "toy"},
        "config": {"seed": 3},
        "rows": [
            {"name": "network", "published": None, "size_bytes": None, "hop": "saved_model", "checks": checks},
            {
                "name": "servable",
                "published": "serving/servable/12",
                "size_bytes": 8,
                "hop": "saved_model",
                "checks": checks,
            },
        ],
    }


def test_a_file_that_was_refused_is_not_published(tmp_path):
    parity, made = tmp_path / "parity.json", tmp_path / "made"
    parity.write_text(json.dumps({"hop": "tflite.int8", "checks": []}))
    made.mkdir()
    (made / "refused.json").write_text(json.dumps({"by": "tflite_converter", "reason": "no such operator"}))
    row = {"name": "file", "key": "000", "artifact": "model.tflite", "published": "tflite/file"}
    write_report(
        out=tmp_path,
        build=tmp_path / "build",
        model="toy",
        origin={},
        config={},
        rows=[row],
        parity_000=parity,
        artifact_000=made,
    )
    [written] = json.loads(report_path(tmp_path / "build", "toy").read_text())["rows"]
    assert (written["published"], written["size_bytes"]) == (None, None)


@pytest.mark.slow  # exports
def test_the_report_of_an_export_names_what_is_there_with_its_size(exported):
    report = json.loads(report_path(exported, "or_gate").read_text())
    published = {row["published"]: row for row in report["rows"] if row["published"]}
    tflite = {f"tflite/{path.name}" for path in (exported / "tflite").glob("*.tflite")}
    servables = {f"serving/{path.name}/1" for path in (exported / "serving").iterdir() if path.is_dir()}
    assert set(published) == tflite | servables
    for name in tflite:
        assert published[name]["size_bytes"] == (exported / name).stat().st_size
    assert report["config"] == {"seed": 0, "exporter": "dynamo", "opset": None, "converter": None, "recipes": None}


@pytest.mark.slow
def test_every_step_of_an_export_is_verified_within_its_tolerance(exported):
    report = json.loads(report_path(exported, "or_gate").read_text())
    checks = [check for row in report["rows"] for check in row["checks"] if check["verdict"] == "verified"]
    assert len(report["rows"]) == 3 + 3 + 3 + 3 * 6
    assert {row["name"] for row in report["rows"]} >= {
        "or_gate_pytorch.onnx",
        "or_gate_pytorch by showdown",
        "or_gate_pytorch by onnx-tf",
    }
    assert len(checks) >= len(report["rows"])
    assert all(check["max_abs_diff"] <= check["tolerance"]["atol"] for check in checks)
    assert all(len(check["answers"]) == 4 for check in checks)
