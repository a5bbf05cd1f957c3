#!/bin/sh
# Everything about the operator that needs a GPU, in one call of under ten minutes: build, tests, memory check, benchmark.
# Usage: benchmarks/gpu_check.sh [directory for the results]; needs nvcc, cmake, torch with CUDA, torchvision, pytest,
# hypothesis and rich, no network. LCDC_CUDA_ARCHITECTURES=90 shortens the build. Goes on after a failure and reports it.
set -u
cd "$(dirname "$0")/.."
results=${1:-benchmarks/results}
python=${PYTHON:-python3}
failed=""
mkdir -p "$results"

step() {
  name=$1
  shift
  echo "== $name"
  if "$@"; then echo "== $name: passed"; else echo "== $name: FAILED"; failed="$failed [$name]"; fi
}

build() {
  LCDC_CUDA=on cmake -S cuda_ext -B build/gpu -DCMAKE_INSTALL_PREFIX="$PWD" >build/gpu.log 2>&1 &&
    cmake --build build/gpu --parallel >>build/gpu.log 2>&1 && cmake --install build/gpu >>build/gpu.log 2>&1 ||
    { tail -n 30 build/gpu.log; return 1; }
}

memcheck() {  # every kernel and dtype once, and the positions outside the image
  if ! command -v compute-sanitizer >/dev/null; then echo "compute-sanitizer is not installed"; return 1; fi
  timeout 200 compute-sanitizer --tool memcheck --error-exitcode 9 --target-processes all \
    "$python" -m pytest -q -m gpu tests/ops -p no:cacheprovider \
    -k "every_dtype or out_of_the_ordinary or wild_positions or vector_width or deterministic"
}

mkdir -p build
export PYTHONPATH="$PWD" LCDC_REQUIRE_GPU=1
step "build" build
step "which implementation" "$python" -c "
from lcdc_extract import ops
print(ops.implementation('cuda'))
assert ops.implementation('cuda').startswith('native-cuda')"
step "tests on the GPU" timeout 240 "$python" -m pytest -q -m gpu tests/ops tests/network/test_gpu.py
step "compute-sanitizer memcheck" memcheck
step "benchmark" timeout 240 "$python" benchmarks/bench_ops.py --cuda-only --seconds 2 --out "$results"
if [ -n "$failed" ]; then echo "FAILED:$failed"; exit 1; fi
echo "all passed"
