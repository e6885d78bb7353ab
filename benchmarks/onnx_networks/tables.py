"""Models of scikit-learn, by skl2onnx; run as a process."""

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from skl2onnx import to_onnx
from sklearn.compose import ColumnTransformer
from sklearn.datasets import load_digits
from sklearn.decomposition import PCA
from sklearn.ensemble import GradientBoostingClassifier, GradientBoostingRegressor, RandomForestClassifier
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import Normalizer, StandardScaler

__all__ = ["TABLES", "export_table"]


def _columns() -> Any:
    """Each half of the columns prepared in its own way."""
    return ColumnTransformer(
        [
            ("scaled", make_pipeline(SimpleImputer(), StandardScaler()), list(range(32))),
            ("projected", make_pipeline(Normalizer(), PCA(8, random_state=0)), list(range(32, 64))),
        ]
    )


TABLES: dict[str, Callable[[], Any]] = {
    "gradient_boosting_classifier": lambda: GradientBoostingClassifier(n_estimators=20, random_state=0),
    "gradient_boosting_regressor": lambda: GradientBoostingRegressor(n_estimators=50, random_state=0),
    "random_forest": lambda: RandomForestClassifier(n_estimators=50, max_depth=8, random_state=0),
    "sklearn_pipeline": lambda: make_pipeline(_columns(), LogisticRegression(max_iter=300)),
}
"""Each estimator by its name, not fitted yet; all see the digits that come with scikit-learn."""


def export_table(name: str, folder: Path) -> None:
    """Fits an estimator and writes ``model.onnx`` and two calls."""
    images, labels = load_digits(return_X_y=True)
    rows = images.astype(np.float32)
    estimator = TABLES[name]().fit(rows[:600], labels[:600])
    options = {} if name.endswith("regressor") else {"zipmap": False}
    model = to_onnx(estimator, rows[:1], options=options, target_opset={"": 18, "ai.onnx.ml": 3})
    (folder / "model.onnx").write_bytes(model.SerializeToString())
    np.savez(folder / "call_0.npz", X=rows[600:640])
    np.savez(folder / "call_1.npz", X=rows[700:717])


if __name__ == "__main__":
    export_table(sys.argv[1], Path(sys.argv[2]))
