"""Imports run one way; decord, PyAV, h5py and matplotlib are imported at home only."""

from __future__ import annotations

import ast
from pathlib import Path

import lcdc_extract

ROOT = Path(lcdc_extract.__file__).parent
LAYERS = [
    {"config", "errors"},
    {"files", "devices"},
    {"ops"},
    {"network", "video", "features", "weights", "labels", "plots", "synth"},
    {"pipeline", "score", "picture"},
    {"train"},
    {"terminal", "progress"},
    {"cli", "toolbox"},
]
"""From the bottom up: a module imports from its own layer or below."""

HOMES = {
    "decord": ("video/decoders.py",),
    "av": ("video/decoders.py", "synth/encode.py"),
    "h5py": ("features/",),
    "matplotlib": ("plots.py",),
}


def imports(path: Path) -> set[str]:
    names = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            names |= {f"{node.module}.{alias.name}" for alias in node.names}
    return names


def layer_of(part: str) -> int:
    return next(number for number, layer in enumerate(LAYERS) if part in layer)


def test_imports_run_one_way() -> None:
    wrong = []
    for path in ROOT.rglob("*.py"):
        part = path.relative_to(ROOT).parts[0].removesuffix(".py")
        if part == "__init__":
            continue
        for name in imports(path):
            target = name.split(".")[1] if name.startswith("lcdc_extract.") else ""
            known = any(target in layer for layer in LAYERS)
            if known and layer_of(target) > layer_of(part):
                wrong.append(f"{path.relative_to(ROOT)} imports {name}")
    assert wrong == []


def test_every_module_has_a_layer() -> None:
    parts = {path.name.removesuffix(".py") for path in ROOT.iterdir() if path.suffix == ".py" or path.is_dir()}
    assert parts - {"__init__", "__pycache__"} == set().union(*LAYERS)


def test_the_heavy_libraries_stay_at_home() -> None:
    for path in ROOT.rglob("*.py"):
        relative = path.relative_to(ROOT).as_posix()
        for library in imports(path) & set(HOMES):
            assert relative.startswith(HOMES[library]), f"{relative} imports {library}"
