"""Restores a photo by exported ONNX files: python onnx_restore.py FOLDER PHOTO OUT DEBLUR DENOISE DEJPEG."""

import json
import sys
from pathlib import Path

import numpy as np
import onnxruntime
from PIL import Image

folder, photo, out, *levels = sys.argv[1:]
spec = json.loads((Path(folder) / "tasks.json").read_text())
wanted = np.array(levels, np.float32)
nearest = min(spec["tasks"], key=lambda known: np.abs(known["task"] - wanted).sum())
rgb_HWC = np.asarray(Image.open(photo).convert("RGB"), np.float32) / 255
values = {"image": rgb_HWC.transpose(2, 0, 1)[None], "task": np.array(nearest["task"], np.float32)}
for part in (*spec["shared"], spec["patterns"][nearest["pattern"]]):
    session = onnxruntime.InferenceSession(Path(folder) / part["file"])
    made = session.run(part["outputs"], {name: values[name] for name in part["inputs"]})
    values.update(zip(part["outputs"], made, strict=True))
restored_HWC = values["restored"][0].transpose(1, 2, 0)
Image.fromarray((restored_HWC * 255).round().astype(np.uint8)).save(out)
