// The C interface on processors: checks the problem, picks the instruction set, calls the kernels.
#include <algorithm>
#include <vector>

#include "deform_cpu.h"
#include "lcdc.h"
#include "problem.h"

extern const CpuKernels kernels_baseline[4];
#if defined(LCDC_HAS_AVX2)
extern const CpuKernels kernels_avx2[4];
#endif

namespace {

bool has_avx2() {
#if defined(LCDC_HAS_AVX2)
  static const bool found = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
  return found;
#else
  return false;
#endif
}

const CpuKernels& kernels_for(const LcdcProblem& problem) {
#if defined(LCDC_HAS_AVX2)
  if (has_avx2()) return kernels_avx2[problem.dtype];
#endif
  return kernels_baseline[problem.dtype];
}

// A thread that gets less than about 0.1 ms of work costs more than it brings.
int useful_threads(const Geometry& g, int threads) {
  constexpr int64_t kValuesPerThread = 1 << 17;
  const int64_t values = static_cast<int64_t>(count_places(g)) * g.channels;
  return static_cast<int>(std::clamp<int64_t>(values / kValuesPerThread, 1, std::max(threads, 1)));
}

std::vector<double> zero_pixel(const Geometry& g) { return std::vector<double>(g.channels, 0.0); }

}  // namespace

LCDC_API int lcdc_cpu_sample(const LcdcProblem* problem, const void* x, const void* offset, void* columns, int threads) {
  Geometry g;
  if (const int code = prepare(*problem, &g)) return code;
  kernels_for(*problem).sample(g, x, offset, zero_pixel(g).data(), columns, useful_threads(g, threads));
  return 0;
}

LCDC_API int lcdc_cpu_grad_x(const LcdcProblem* problem, const void* grad_columns, const void* offset, void* grad_x,
                             int threads) {
  Geometry g;
  if (const int code = prepare(*problem, &g)) return code;
  kernels_for(*problem).grad_x(g, grad_columns, offset, grad_x, useful_threads(g, threads));
  return 0;
}

LCDC_API int lcdc_cpu_grad_offset(const LcdcProblem* problem, const void* grad_columns, const void* x, const void* offset,
                                  void* grad_offset, int threads) {
  Geometry g;
  if (const int code = prepare(*problem, &g)) return code;
  kernels_for(*problem).grad_offset(g, grad_columns, x, offset, zero_pixel(g).data(), grad_offset, useful_threads(g, threads));
  return 0;
}

LCDC_API const char* lcdc_cpu_message(void) { return message; }
LCDC_API const char* lcdc_cpu_version(void) { return LCDC_VERSION; }
LCDC_API const char* lcdc_cpu_build(void) { return has_avx2() ? "avx2" : "baseline"; }
