"""Weights of one's own under a name: written on one machine, fetched and loaded on another."""

from __future__ import annotations

import dataclasses
import shutil
from pathlib import Path

import pytest
import torch

from lcdc_extract.config import PAPER
from lcdc_extract.errors import WeightsError
from lcdc_extract.files import acquire, sha256_of
from lcdc_extract.weights.file import layer_state
from lcdc_extract.weights.register import register
from lcdc_extract.weights.registry import Entry, cache_folder, read_registry, registry, user_folder
from lcdc_extract.weights.resolve import resolve_weights
from tests.weights.samples import small_file
from tests.weights.test_command import lcdc
from tests.weights.test_fetch import Server, server  # noqa: F401  # a fixture

URL = "https://weights.invalid/kitchen.safetensors"


@pytest.fixture(scope="module")
def kitchen(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("kitchen") / "weights.safetensors"
    stated = {"training_data": "fifty kitchens", "licence": "CC BY 4.0"}
    small_file(path, storage="int8", trained=True, provenance=stated)
    return path


def move_to(machine: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("LCDC_WEIGHTS", raising=False)
    monkeypatch.setenv("XDG_DATA_HOME", str(machine / "data"))
    monkeypatch.setenv("XDG_CACHE_HOME", str(machine / "cache"))


def test_from_one_machine_to_another(
    server: Server,  # noqa: F811
    kitchen: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    server.content = kitchen.read_bytes()
    move_to(tmp_path / "A", monkeypatch)
    done = lcdc("register", "kitchen-1.0", kitchen, "--url", server.url)
    assert done.exit_code == 0, done.output
    written = user_folder() / "registry.toml"
    assert str(written) in done.output
    assert resolve_weights("kitchen-1.0").sha256 == sha256_of(kitchen)  # without fetching
    assert server.asked == []

    move_to(tmp_path / "B", monkeypatch)
    user_folder().mkdir(parents=True)
    shutil.copy(written, user_folder())
    with pytest.raises(WeightsError, match=r"Get it with: lcdc weights fetch kitchen-1\.0"):
        resolve_weights("kitchen-1.0")
    fetched = lcdc("fetch", "kitchen-1.0")
    assert fetched.exit_code == 0, fetched.output
    assert (cache_folder() / "kitchen-1.0.safetensors").read_bytes() == server.content
    weights = resolve_weights("kitchen-1.0")
    assert (weights.name, weights.sha256) == ("kitchen-1.0", sha256_of(kitchen))
    expected = layer_state(resolve_weights(str(kitchen)).network)
    assert all(torch.equal(tensor, expected[name]) for name, tensor in layer_state(weights.network).items())


def test_the_entry_is_what_the_file_says(own_folders: Path, kitchen: Path) -> None:
    entry, path = register("kitchen", kitchen, url=URL)
    assert path == own_folders / "registry.toml"
    assert read_registry(path) == {"kitchen": entry}
    assert entry == Entry(
        name="kitchen",
        file="kitchen.safetensors",
        sha256=sha256_of(kitchen),
        size=kitchen.stat().st_size,
        variant="paper",
        trained_on="fifty kitchens",
        licence="CC BY 4.0",
        url=URL,
    )
    assert (own_folders / "kitchen.safetensors").read_bytes() == kitchen.read_bytes()
    other, _ = register("other", kitchen, trained_on='"three" kitchens\n\\ \x7f é', licence="MIT")
    assert registry()["other"] == other
    assert (other.trained_on, other.licence) == ('"three" kitchens\n\\ \x7f é', "MIT")


def test_weights_that_state_nothing(own_folders: Path) -> None:
    network = small_file(own_folders / "plain.safetensors", dataclasses.replace(PAPER, stride_position="3x3"))
    entry, _ = register("plain", own_folders / "plain.safetensors")  # already where it belongs
    assert (entry.trained_on, entry.licence, entry.url) == ("not stated", "not stated", "")
    assert entry.variant == network.config.variant
    assert not resolve_weights("plain").info.trained


WRITTEN = """\
# ours
schema = "lcdc-registry/1"

# the first one
[ weights . 'kitchen' ]  # old
# to be replaced
file = "old.safetensors"
sha256 = "0000000000000000000000000000000000000000000000000000000000000000"
size = 3
variant = "released"
trained_on = "one kitchen"
licence = "MIT"

# the second one
[weights.hall]
file = "hall.safetensors"  # large
sha256 = "0000000000000000000000000000000000000000000000000000000000000000"
size = 4
variant = "paper"
trained_on = "[weights.kitchen]"
licence = "MIT"
# the end
"""


def test_everything_else_in_the_registry_stays(own_folders: Path, kitchen: Path) -> None:
    path = own_folders / "registry.toml"
    path.write_text(WRITTEN)
    before = read_registry(path)
    with pytest.raises(WeightsError, match=r"kitchen is registered already, in .*registry\.toml"):
        register("kitchen", kitchen)
    assert path.read_text() == WRITTEN
    assert not (own_folders / "kitchen.safetensors").exists()

    entry, _ = register("kitchen", kitchen, overwrite=True)
    register("garden", kitchen)
    after = read_registry(path)
    assert list(after) == ["kitchen", "hall", "garden"]
    assert (after["kitchen"], after["hall"]) == (entry, before["hall"])
    comments = [line for line in WRITTEN.splitlines() if line.startswith("#")]
    assert [line for line in path.read_text().splitlines() if line.startswith("#")] == comments
    assert '# the second one\n[weights.hall]\nfile = "hall.safetensors"  # large\n' in path.read_text()


def test_an_entry_in_another_form_is_refused_and_not_damaged(own_folders: Path, kitchen: Path) -> None:
    path = own_folders / "registry.toml"
    fields = 'file = "a.safetensors", size = 1, variant = "paper", trained_on = "", licence = ""'
    text = f'schema = "lcdc-registry/1"\n[weights]\nkitchen = {{ {fields}, sha256 = "{"0" * 64}" }}\n'
    path.write_text(text)
    with pytest.raises(WeightsError, match=r"kitchen of .* is written in an unusual way\. Remove it by hand"):
        register("kitchen", kitchen, overwrite=True)
    assert path.read_text() == text
    register("hall", kitchen)
    assert set(read_registry(path)) == {"kitchen", "hall"}


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("lcdc-synth", ["--overwrite"], "lcdc-synth is a name of the package itself"),
        ("untrained", ["--overwrite"], "untrained is a name of the package itself"),
        ("../kitchen", [], "expected letters, digits"),
        ("kitchen", ["--url", "ftp://weights.invalid/w.safetensors"], "expected an http or https address"),
    ],
)
def test_bad_names_and_addresses(own_folders: Path, kitchen: Path, name: str, options: list[str], message: str) -> None:
    result = lcdc("register", name, kitchen, *options)
    assert result.exit_code == 2
    assert message in result.output
    assert not list(own_folders.iterdir())


def test_what_is_no_weights_file_is_not_registered(own_folders: Path, tmp_path: Path, kitchen: Path) -> None:
    (tmp_path / "w.safetensors").write_bytes(kitchen.read_bytes()[:-100])
    (tmp_path / "w.txt").write_text("not weights")
    for name in ("w.safetensors", "w.txt", "missing.safetensors"):
        with pytest.raises(WeightsError, match=name):
            register("kitchen", tmp_path / name)
    assert not list(own_folders.iterdir())


def test_a_name_that_is_taken_is_said_as_it_is_typed(own_folders: Path, kitchen: Path) -> None:
    assert lcdc("register", "kitchen", kitchen).exit_code == 0
    again = lcdc("register", "kitchen", kitchen)
    assert again.exit_code == 2
    assert "Choose another name, or --overwrite" in again.output
    assert lcdc("register", "kitchen", kitchen, "--overwrite", "--licence", "MIT").exit_code == 0
    assert registry()["kitchen"].licence == "MIT"


def test_a_registry_that_cannot_be_written(
    own_folders: Path, tmp_path: Path, kitchen: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with (
        acquire(own_folders / "registry.toml.lock"),
        pytest.raises(WeightsError, match=r"another process writes .*registry\.toml; try again"),
    ):
        register("kitchen", kitchen)
    (own_folders / "registry.toml").mkdir()
    with pytest.raises(WeightsError, match=r"registry\.toml cannot be written: .*Name another folder by LCDC_WEIGHTS"):
        register("kitchen", kitchen)
    monkeypatch.delenv("LCDC_WEIGHTS")
    (tmp_path / "data").write_text("a file in the way")
    with pytest.raises(WeightsError, match=r"cannot be written: .*Not a directory"):
        register("kitchen", kitchen)
    (own_folders / "registry.toml").rmdir()
    (own_folders / "registry.toml").write_text("schema = ")
    monkeypatch.setenv("LCDC_WEIGHTS", str(own_folders))
    with pytest.raises(WeightsError, match="cannot be read"):
        register("kitchen", kitchen)
