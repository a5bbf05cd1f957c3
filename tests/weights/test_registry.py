"""Names, digests, and the order of places."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest

from lcdc_extract.errors import WeightsError
from lcdc_extract.files import sha256_of
from lcdc_extract.weights import registry as registry_module
from lcdc_extract.weights import resolve
from lcdc_extract.weights.registry import (
    cache_folder,
    find_file,
    package_folder,
    read_registry,
    registries,
    registry,
    user_folder,
)
from lcdc_extract.weights.resolve import resolve_weights
from tests.weights.samples import small_file


@pytest.fixture(scope="module")
def weights_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("file") / "lab.safetensors"
    small_file(path)
    return path


def fields(path: Path, **changes: Any) -> dict[str, Any]:
    return {
        "file": path.name,
        "sha256": sha256_of(path),
        "size": path.stat().st_size,
        "variant": "paper",
        "trained_on": "nothing",
        "licence": "MIT",
    } | changes


def register(folder: Path, **entries: dict[str, Any]) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    lines = ['schema = "lcdc-registry/1"']
    for name, values in entries.items():
        lines.append(f'[weights."{name}"]')
        lines += [f"{key} = {value!r}" for key, value in values.items()]
    path = folder / "registry.toml"
    path.write_text("\n".join(lines).replace("True", "true"))
    return path


def test_the_registry_of_the_package_is_good() -> None:
    assert (package_folder() / "README.md").is_file()
    text = (package_folder() / "README.md").read_text()
    for entry in read_registry(package_folder() / "registry.toml").values():
        assert f"## {entry.name}" in text


def test_a_name_is_loaded_and_its_digest_checked(own_folders: Path, weights_file: Path) -> None:
    shutil.copy(weights_file, own_folders)
    register(own_folders, lab=fields(weights_file))
    weights = resolve_weights("lab")
    assert (weights.name, weights.sha256) == ("lab", sha256_of(weights_file))
    with (own_folders / "lab.safetensors").open("r+b") as file:
        file.seek(-1, 2)
        file.write(b"\x01")
    with pytest.raises(WeightsError, match=r"has the SHA-256 .*, expected .*: it is damaged or another file"):
        resolve_weights("lab")


def test_the_digest_is_checked_before_anything_is_parsed(own_folders: Path, weights_file: Path) -> None:
    register(own_folders, lab=fields(weights_file))
    (own_folders / "lab.safetensors").write_bytes((2).to_bytes(8, "little") + b"{}")
    with pytest.raises(WeightsError, match="has the SHA-256"):
        resolve_weights("lab")


def test_the_entry_must_say_the_right_variant(own_folders: Path, weights_file: Path) -> None:
    shutil.copy(weights_file, own_folders)
    register(own_folders, lab=fields(weights_file, variant="released"))
    with pytest.raises(WeightsError, match=r"is a paper network; its entry .* says released\. If it is right"):
        resolve_weights("lab")


def test_order_of_places(
    own_folders: Path, tmp_path: Path, weights_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shipped = tmp_path / "shipped"
    for folder in (shipped, cache_folder(), user_folder(), own_folders):
        folder.mkdir(parents=True, exist_ok=True)
        shutil.copy(weights_file, folder)
    monkeypatch.setattr(registry_module, "package_folder", lambda: shipped)
    register(shipped, lab=fields(weights_file, trained_on="shipped"))
    for folder in (own_folders, user_folder(), shipped, cache_folder()):
        assert find_file(registry()["lab"]) == folder / "lab.safetensors"
        (folder / "lab.safetensors").unlink()
    assert find_file(registry()["lab"]) is None
    with pytest.raises(WeightsError, match=r"lab is registered, but its file lab\.safetensors is not on this machine"):
        resolve_weights("lab")
    for folder, owner in ((user_folder(), "mine"), (own_folders, "the lab's")):
        register(folder, lab=fields(weights_file, trained_on=owner))
        assert registry()["lab"].trained_on == owner
    assert list(registries()) == [folder / "registry.toml" for folder in (own_folders, user_folder(), shipped)]


def test_a_path_wins_and_an_unregistered_file_needs_no_entry(
    own_folders: Path, weights_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copy(weights_file, own_folders / "mine.safetensors")
    assert resolve_weights("mine").name == "mine"
    assert resolve_weights(str(weights_file)).name == "lab"
    with pytest.raises(WeightsError, match="is a directory"):
        resolve_weights(str(own_folders))
    monkeypatch.setenv("LCDC_WEIGHTS", str(weights_file))
    with pytest.raises(WeightsError, match=r"LCDC_WEIGHTS is .*, which is not a directory"):
        resolve_weights("mine")


def test_the_default(own_folders: Path, weights_file: Path) -> None:
    with pytest.raises(WeightsError, match=r"(?s)neither a file nor a name .*untrained"):
        resolve_weights("nobody")
    shutil.copy(weights_file, own_folders)
    register(own_folders, **{resolve.DEFAULT: fields(weights_file)})
    weights = resolve_weights(None)
    assert (weights.name, weights.sha256) == ("lcdc-synth", sha256_of(weights_file))
    assert resolve_weights("untrained").name == "untrained"


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"file": "../../secret.safetensors"}, "without a folder"),
        ({"file": "/etc/passwd"}, "without a folder"),
        ({"file": "..safetensors"}, "without a folder"),
        ({"file": "weights.pkl"}, "without a folder"),
        ({"url": "file:///etc/passwd"}, "an http or https address"),
        ({"url": "https://"}, "an http or https address"),
        ({"sha256": "abc"}, "64 hexadecimal digits"),
        ({"size": 0}, "a number of bytes"),
        ({"size": "10"}, "expected int"),
        ({"size": True}, "expected int"),
        ({"variant": "other"}, "one of paper, released, custom"),
        ({"colour": "red"}, r"unknown fields \['colour'\]"),
        ({"name": "other"}, r"unknown fields \['name'\]"),
    ],
)
def test_bad_entries(own_folders: Path, weights_file: Path, changes: dict[str, Any], message: str) -> None:
    register(own_folders, lab=fields(weights_file, **changes))
    with pytest.raises(WeightsError, match=f"(?s)registry.toml.*'lab'.*{message}"):
        resolve_weights("lab")


@pytest.mark.parametrize("name", ["../lab", "a b", "", ".hidden"])
def test_bad_names(own_folders: Path, weights_file: Path, name: str) -> None:
    register(own_folders, **{name: fields(weights_file)})
    with pytest.raises(WeightsError, match="name is"):
        registry()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("schema = ", "cannot be read"),
        ('schema = "other/9"', "expected 'lcdc-registry/1'"),
        ('schema = "lcdc-registry/1"\n[weights]\nlab = 3', "expected a table"),
        ('schema = "lcdc-registry/1"\n[weights.lab]\nfile = "a.safetensors"', "missing fields"),
    ],
)
def test_bad_registries(own_folders: Path, text: str, message: str) -> None:
    (own_folders / "registry.toml").write_text(text)
    with pytest.raises(WeightsError, match=message):
        registry()
