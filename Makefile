# `make demo` and `make test` set everything up by themselves, in .venv.
PYTHON ?= python3
BIN := .venv/bin
STAMP := .venv/installed
CLIP ?= demo/clip.mp4

.PHONY: demo test test-all lint bench bench-ops bench-decoding bench-damage sanitize clean

demo: $(STAMP)  ## features of the bundled clip, or of CLIP=path/to/any.mp4, and a picture of them
	mkdir -p demo-output
	$(BIN)/lcdc-extract "$(CLIP)" --out demo-output/feats.h5 --overwrite
	$(BIN)/lcdc inspect demo-output/feats.h5
	$(BIN)/lcdc plot demo-output/feats.h5 --out demo-output/picture.png

test: $(STAMP)  ## everything but the slow tests
	$(BIN)/python -m pytest -m "not slow" $(PYTEST)

test-all: $(STAMP)
	$(BIN)/python -m pytest $(PYTEST)

lint: $(STAMP)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

bench: $(STAMP)  ## speed and memory, as ratios within this run
	$(BIN)/python benchmarks/bench_extract.py

bench-ops: $(STAMP)  ## the compiled operator against plain PyTorch
	$(BIN)/python benchmarks/bench_ops.py

bench-decoding: $(STAMP)  ## many kinds of video files, against the ffmpeg program: the table of docs/decoding.md
	$(BIN)/python benchmarks/decoding_inputs.py

bench-damage: $(STAMP)  ## damaged video files: what is noticed
	$(BIN)/python benchmarks/decoding_damage.py

sanitize:  ## the operator's C++ code under AddressSanitizer and UndefinedBehaviorSanitizer
	cuda_ext/sanitize.sh

clean:
	rm -rf .venv build dist demo-output .pytest_cache .mypy_cache .ruff_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

$(STAMP): pyproject.toml constraints.txt $(wildcard cuda_ext/*)
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable ".[test]"
	touch $@
