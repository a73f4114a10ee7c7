"""Restores a photo by exported ONNX files: python onnx_restore.py FOLDER PHOTO OUT DEBLUR DENOISE DEJPEG."""

import json
import sys
from pathlib import Path

import numpy as np
import onnxruntime
from PIL import Image, ImageOps

if len(sys.argv) != 7:
    sys.exit(__doc__)
folder, photo, out, *levels = sys.argv[1:]
spec = json.loads((Path(folder) / "tasks.json").read_text())
wanted = np.array(levels, np.float32)
nearest = min(spec["tasks"], key=lambda known: np.abs(known["task"] - wanted).sum())
image = Image.open(photo)
is_deep = any(";16" in str(tile.args) for tile in image.tile)  # Pillow would cut 16-bit colours to 8 bits
is_animated = image.format not in ("JPEG", "MPO") and getattr(image, "n_frames", 1) > 1
if image.mode not in ("L", "RGB") or is_deep or is_animated or "transparency" in image.info:
    sys.exit(f"{photo}: not a single opaque photo of 8-bit RGB or grey; convert it first")
upright = ImageOps.exif_transpose(image)
rgb_HWC = np.asarray(upright.convert("RGB"), np.float32) / 255
values = {"image": rgb_HWC.transpose(2, 0, 1)[None], "task": np.array(nearest["task"], np.float32)}
for part in (*spec["shared"], spec["patterns"][nearest["pattern"]]):
    session = onnxruntime.InferenceSession(Path(folder) / part["file"])
    made = session.run(part["outputs"], {name: values[name] for name in part["inputs"]})
    values.update(zip(part["outputs"], made, strict=True))
restored_HWC = values["restored"][0].transpose(1, 2, 0)
restored = restored_HWC.mean(2) if image.mode == "L" else restored_HWC
saved = Image.fromarray((restored * 255).round().astype(np.uint8))
saved.save(out, quality=95, exif=upright.getexif(), icc_profile=image.info.get("icc_profile"))
