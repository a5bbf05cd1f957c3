#!/bin/sh
# Builds the CPU library's sources with AddressSanitizer and UndefinedBehaviorSanitizer and runs them on awkward problems.
# Usage: cuda_ext/sanitize.sh [build directory]
set -eu
here=$(cd "$(dirname "$0")" && pwd)
build=${1:-"$here/../build/sanitize"}
mkdir -p "$build"
flags="-std=c++17 -O1 -g -fopenmp -fno-omit-frame-pointer -Wall -Wextra -Werror \
  -fsanitize=address,undefined,float-cast-overflow -fno-sanitize-recover=all"
avx2=""
objects="$build/baseline.o"
${CXX:-g++} $flags -DLCDC_KERNELS=kernels_baseline -c "$here/deform_cpu.cpp" -o "$build/baseline.o"
if [ "$(uname -m)" = x86_64 ]; then
  avx2=-DLCDC_HAS_AVX2
  objects="$objects $build/avx2.o"
  ${CXX:-g++} $flags -mavx2 -mfma -DLCDC_KERNELS=kernels_avx2 -c "$here/deform_cpu.cpp" -o "$build/avx2.o"
fi
${CXX:-g++} $flags $avx2 -DLCDC_VERSION='"sanitizers"' "$here/library_cpu.cpp" "$here/tests/sanitize.cpp" $objects \
  -o "$build/sanitize"
OMP_NUM_THREADS=2 ASAN_OPTIONS=detect_leaks=0 "$build/sanitize"
