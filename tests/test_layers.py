"""Who may import whom, room by room; decord, PyAV, h5py and the other heavy libraries are imported at home only."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

import lcdc_extract

PACKAGE = "lcdc_extract"
ROOT = Path(lcdc_extract.__file__).parent
GROUND = {"config", "errors", "files"}
ROOMS: dict[str, set[str]] = {
    "errors": set(),
    "files": set(),
    "config": {"errors"},
    "devices": {"errors"},
    "ops": {"config", "errors"},
    "network": {"config", "errors", "ops"},
    "video": GROUND,
    "features": GROUND,
    "labels": {"errors"},
    "plots": {"errors", "files", "labels"},
    "synth": GROUND,
    "weights": GROUND | {"network"},
    "extractor": {"config", "devices", "errors", "network", "weights"},
    "pipeline": {"config", "devices", "errors", "extractor", "features", "network", "ops", "video", "weights"},
    "score": GROUND | {"features", "labels", "plots"},
    "picture": {"errors", "files", "features", "plots", "video", "weights"},
    "train": GROUND | {"devices", "labels", "network", "ops", "plots", "synth", "video", "weights"},
    "terminal": {"errors"},
    "progress": {"features", "pipeline", "synth", "terminal", "train", "weights"},
}
"""What each room may import besides itself; from the bottom up, so nobody imports from above."""
DOORS = {"cli", "toolbox"}
"""They open into every room, and no room imports them; `lcdc inspect` speaks in the options of `lcdc-extract`."""

HOMES = {
    "decord": ("video/decord_video.py",),
    "av": (
        *("video/ffmpeg.py", "video/container.py", "video/shown.py", "video/av_video.py", "video/pictures.py"),
        "synth/encode.py",
    ),
    "h5py": ("features/",),
    "matplotlib": ("plots.py",),
    "tensorflow": ("weights/convert/tensorflow.py",),
    "safetensors": ("weights/",),
    "filelock": ("files.py",),
    "tqdm": ("progress/",),
}


def imports(source: str, module: str) -> set[str]:
    """Every module a source names, in whatever form: inside functions, relative, by importlib, lazily by the package.

    Args:
        source: Python.
        module: its dotted name, for relative imports.
    """
    found: set[str] = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            above = module.split(".")[: -node.level] if node.level else []
            base = ".".join([*above, *([node.module] if node.module else [])])
            found |= {base} | {f"{base}.{alias.name}" for alias in node.names}
        elif isinstance(node, ast.Call) and _name(node.func) in ("import_module", "__import__", "run_module"):
            assert node.args, f"{module}: an import whose module cannot be read"
            assert isinstance(node.args[0], ast.Constant), f"{module}: an import whose module cannot be read"
            found.add(str(node.args[0].value))
    homes = {f"{PACKAGE}.{name}": home for name, home in lcdc_extract._HOMES.items()}
    return {homes.get(name, name) for name in found}


def _name(function: ast.expr) -> str:
    return function.attr if isinstance(function, ast.Attribute) else getattr(function, "id", "")


def modules() -> list[tuple[str, str, set[str]]]:
    """(path below the package, room, imports) of every module but the package's own front, which names everything."""
    found = []
    for path in sorted(ROOT.rglob("*.py")):
        relative = path.relative_to(ROOT)
        if relative.parts != ("__init__.py",):
            dotted = ".".join([PACKAGE, *relative.with_suffix("").parts])
            found.append(
                (relative.as_posix(), relative.parts[0].removesuffix(".py"), imports(path.read_text(), dotted))
            )
    return found


@pytest.mark.parametrize(
    "source",
    [
        "import lcdc_extract.pipeline",
        "import lcdc_extract.pipeline.run as run",
        "from lcdc_extract import pipeline",
        "from lcdc_extract import extract",
        "from lcdc_extract.pipeline import extract",
        "from lcdc_extract.pipeline.run import extract",
        "def f():\n    from lcdc_extract.pipeline import extract",
        "if TYPE_CHECKING:\n    from lcdc_extract.pipeline import Event",
        "from .. import pipeline",
        "from ..pipeline import run",
        "import importlib\nimportlib.import_module('lcdc_extract.pipeline')",
        "__import__('lcdc_extract.pipeline')",
    ],
)
def test_every_form_of_import_is_seen(source: str) -> None:
    assert {name.split(".")[1] for name in imports(source, "lcdc_extract.network.head") if "." in name} == {"pipeline"}


def test_an_import_nobody_can_read_is_refused() -> None:
    with pytest.raises(AssertionError, match="cannot be read"):
        imports("import_module(name)", "lcdc_extract.network.head")


def test_rooms_import_what_they_may() -> None:
    wrong = []
    for path, room, names in modules():
        inside = {name.split(".")[1] for name in names if name.startswith(PACKAGE + ".")} & (set(ROOMS) | DOORS)
        allowed = set(ROOMS) | DOORS if room == "toolbox" else ROOMS.get(room, set(ROOMS)) | {room}
        wrong += [f"{path} imports {target}" for target in sorted(inside - allowed)]
    assert wrong == []


def test_rooms_are_in_order() -> None:
    """A room's own imports stand above it in the list, so there is no circle."""
    order = list(ROOMS)
    assert [room for room in order if not ROOMS[room] <= set(order[: order.index(room)])] == []


def test_every_module_has_a_room() -> None:
    parts = {path.name.removesuffix(".py") for path in ROOT.iterdir() if path.suffix == ".py" or path.is_dir()}
    assert parts - {"__init__", "__pycache__", "data"} == set(ROOMS) | DOORS


def test_the_heavy_libraries_stay_at_home() -> None:
    wrong = []
    for path, _, names in modules():
        libraries = {name.split(".")[0] for name in names} & set(HOMES)
        wrong += [f"{path} imports {name}" for name in sorted(libraries) if not path.startswith(HOMES[name])]
    assert wrong == []


def test_no_allowance_is_idle() -> None:
    """An import that is gone takes its permission with it."""
    used: dict[str, set[str]] = {room: set() for room in ROOMS}
    for _, room, names in modules():
        if room in ROOMS:
            used[room] |= {name.split(".")[1] for name in names if name.startswith(PACKAGE + ".")}
    assert {room: sorted(allowed - used[room]) for room, allowed in ROOMS.items() if allowed - used[room]} == {}
