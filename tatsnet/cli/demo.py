"""`tatsnet demo`: the page with three sliders."""

from __future__ import annotations

from pathlib import Path

from tatsnet.cli.errors import CommandError, shown
from tatsnet.cli.work import load_model, user_errors
from tatsnet.demo.app import SAMPLE, Demo
from tatsnet.demo.server import LOOPBACK, DenseClock, bound, serve
from tatsnet.demo.uploads import Limits, photo_of
from tatsnet.photos.files import read_file


def demo(photo: Path | None, model: Path | None, runtime: str, port: int, *, open_browser: bool) -> None:
    """Serve the page until Ctrl+C.

    Raises:
        CommandError: the photo or the model is not usable, or the port is taken.
    """
    path = photo or SAMPLE
    with user_errors(path):
        limits = Limits()
        data = read_file(path, limits.size_bytes)
        photo_of(data, str(path), limits)
    restorer = load_model(model, runtime)
    try:
        place = bound(port)
    except OSError as error:
        raise CommandError(f"port {port}: {error.strerror}; give another one with --port, or none") from error
    clock = DenseClock(restorer.architecture.network, restorer.runtime)
    name = "standard" if model is None else model.name
    app = Demo(restorer, name, (path.name, data), clock.seconds).app()
    print(f"http://{LOOPBACK}:{place.getsockname()[1]}/  shows {shown(path.name)}; Ctrl+C ends it", flush=True)
    with place:
        serve(app, place, open_browser=open_browser)
