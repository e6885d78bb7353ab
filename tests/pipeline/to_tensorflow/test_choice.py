import json

import pytest

from contract.errors import ParityError
from pipeline.to_tensorflow.choice import choose


@pytest.fixture
def candidate(tmp_path):
    def made(position, *checks):
        saved_model, verified = tmp_path / f"convert{position}", tmp_path / f"verify{position}"
        (saved_model / "saved_model").mkdir(parents=True)
        (saved_model / "saved_model" / "saved_model.pb").write_bytes(bytes([position]))
        verified.mkdir()
        (verified / "parity.json").write_text(json.dumps({"hop": "to_tensorflow", "checks": list(checks)}))
        (verified / "outputs.npz").write_bytes(bytes([position]))
        return {f"saved_model_{position}": saved_model, f"verified_{position}": verified}

    return made


VERIFIED = {"runtime": "tensorflow_c", "verdict": "verified", "max_abs_diff": 0.0}
FAILED = {"runtime": "tensorflow_c", "verdict": "failed", "reason": "y is off"}
REFUSED = {"runtime": "first", "verdict": "refused", "reason": "Frob is not known"}


def chosen(folder):
    parity = json.loads((folder / "parity.json").read_text())
    assert (folder / "outputs.npz").read_bytes() == (folder / "saved_model" / "saved_model.pb").read_bytes()
    return parity["converter"], parity["why"]


def test_the_preferred_one_where_both_pass(tmp_path, candidate):
    made = {**candidate(0, VERIFIED), **candidate(1, VERIFIED)}
    choose(out=tmp_path, converters=["first", "second"], **made)
    assert chosen(tmp_path) == ("first", "preferred to second, and it passed")


@pytest.mark.parametrize("check", [FAILED, REFUSED])
def test_the_next_one_where_the_preferred_one_does_not_pass(tmp_path, candidate, check):
    made = {**candidate(0, check), **candidate(1, VERIFIED)}
    choose(out=tmp_path, converters=["first", "second"], **made)
    assert chosen(tmp_path) == ("second", f"first did not pass: {check['reason']}")


def test_the_only_one(tmp_path, candidate):
    choose(out=tmp_path, converters=["first"], **candidate(0, VERIFIED))
    assert chosen(tmp_path) == ("first", "the only one that was asked for")


def test_none_passed(tmp_path, candidate):
    made = {**candidate(0, FAILED), **candidate(1, REFUSED)}
    with pytest.raises(ParityError, match="no converter passed: first: y is off; second: Frob is not known"):
        choose(out=tmp_path, converters=["first", "second"], **made)
    assert not (tmp_path / "saved_model").exists()
