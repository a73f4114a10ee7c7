"""A registered network carries all it needs: it loads by alias in a process that has neither project nor library."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).parents[2]

# The library as far as serving knows it; that the real one keeps to it is held by its own tests and by mypy.
LIBRARY = """
from pathlib import Path

class Restorer:
    @classmethod
    def load(cls, folder):
        restorer = cls()
        restorer.gain = float((Path(folder) / "weights" / "gain.txt").read_text())
        return restorer

    def encode(self, rgb_HWC):
        assert rgb_HWC.dtype == "float32" and rgb_HWC.max() <= 1
        return rgb_HWC

    def effect(self, encoded, task):
        return encoded * self.gain + task[0]
"""

REGISTER = """
import json, sys
from pathlib import Path
from pipeline.tracking import open_tracker

root, versions = Path(sys.argv[1]), []
tracker = open_tracker("tatsnet", root)
for gain, aliases in (("0.5", ["knee", "best"]), ("0.25", ["best"])):
    (root / "net" / "weights" / "gain.txt").write_text(gain)
    run = tracker.start("extract", stage="extract")
    versions.append(tracker.register(run.id, "tatsnet", root / "net", tags={"psnr_db": gain}, aliases=aliases))
print(json.dumps(versions))
"""

SERVE = """
import json, sys
import mlflow, numpy as np, pandas as pd

mlflow.set_tracking_uri(sys.argv[1])
photo = np.full((5, 4, 3), 200, np.uint8)
knee, best = (mlflow.pyfunc.load_model(f"models:/tatsnet@{alias}") for alias in ("knee", "best"))
one = best.predict({"image": photo, "task": (0.1, 0, 0)})
table = best.predict(pd.DataFrame({"image": [photo.tolist()], "task": [{"deblur": 0.2}]}))
refused = 0
for asked in (
    {"image": photo}, {"image": photo / 255, "task": (0, 0, 0)}, {"image": photo[0], "task": (0, 0, 0)},
    {"image": photo.astype(int) + 100, "task": (0, 0, 0)}, {"image": photo, "task": (0, 0)},
    {"image": photo, "task": (0, 0, 1.5)}, {"image": photo, "task": (0, 0, float("nan"))},
):
    try:
        best.predict(asked)
    except ValueError:
        refused += 1
client = mlflow.MlflowClient()
print(json.dumps({
    "versions": {a: int(client.get_model_version_by_alias("tatsnet", a).version) for a in ("knee", "best")},
    "tags": client.get_model_version("tatsnet", "1").tags,
    "one": [str(one.dtype), list(one.shape), int(one[0, 0, 0])], "table": int(table[0][0, 0, 0]), "refused": refused,
    "library": sys.modules["tatsnet.restorer"].__file__, "project": "pipeline" in sys.modules,
}))
"""


def run(code: str, argument: str, path: list[Path], cwd: Path) -> str:
    env = {name: value for name, value in os.environ.items() if name != "MLFLOW_TRACKING_URI"}
    env["PYTHONPATH"] = os.pathsep.join(map(str, path))
    done = subprocess.run([sys.executable, "-c", code, argument], cwd=cwd, env=env, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()[-1]


@pytest.mark.slow
def test_a_network_is_served_from_the_registry_alone(tmp_path: Path) -> None:
    (tmp_path / "net" / "weights").mkdir(parents=True)
    (tmp_path / "library" / "tatsnet").mkdir(parents=True)
    (tmp_path / "library" / "tatsnet" / "__init__.py").touch()
    (tmp_path / "library" / "tatsnet" / "restorer.py").write_text(LIBRARY)
    assert json.loads(run(REGISTER, str(tmp_path), [tmp_path / "library", REPOSITORY], tmp_path)) == ["1", "2"]

    served = json.loads(run(SERVE, f"sqlite:///{tmp_path / 'mlflow.db'}", [], tmp_path / "net"))
    assert served["versions"] == {"knee": 1, "best": 2}
    assert served["tags"] == {"psnr_db": "0.5"}
    assert served["one"] == ["uint8", [5, 4, 3], round(200 * 0.25 + 25.5)]
    assert served["table"] == round(200 * 0.25 + 51)
    assert served["refused"] == 7
    assert str(tmp_path / "mlartifacts") in served["library"]
    assert not served["project"]
    assert not list((tmp_path / "mlartifacts").rglob("*.pkl"))
