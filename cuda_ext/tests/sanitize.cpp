// Runs the C interface on processors with awkward problems, for AddressSanitizer and UndefinedBehaviorSanitizer.
// Every buffer has exactly its size, so that one element too far is an error. Also checks that both instruction sets agree.
#include <cmath>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <limits>
#include <random>
#include <vector>

#include "../deform_cpu.h"
#include "../lcdc.h"

extern const CpuKernels kernels_baseline[4];
#if defined(LCDC_HAS_AVX2)
extern const CpuKernels kernels_avx2[4];
#endif

namespace {

std::mt19937 random_bits(0);
int failures = 0;

void expect(bool holds, const char* what) {
  if (holds) return;
  std::printf("FAILED: %s\n", what);
  ++failures;
}

template <typename Real>
std::vector<Real> offsets(int64_t count) {
  constexpr Real kHuge = std::numeric_limits<Real>::max(), kInfinity = std::numeric_limits<Real>::infinity();
  const Real awkward[] = {0, -0.0f, 0.5, -1, 1, 2, -2.5, 100, -100, Real(2147483648.0), Real(-2147483649.0), Real(1e18),
                          kHuge, -kHuge, kInfinity, -kInfinity, std::numeric_limits<Real>::quiet_NaN(),
                          std::numeric_limits<Real>::denorm_min(), Real(0.999999), Real(-0.999999)};
  std::vector<Real> values(count);
  for (Real& value : values) value = awkward[random_bits() % (sizeof(awkward) / sizeof(awkward[0]))];
  return values;
}

std::vector<uint8_t> noise(int64_t bytes) {  // any bit pattern is a number of any type, NaN and infinity included
  std::vector<uint8_t> values(bytes);
  for (uint8_t& value : values) value = static_cast<uint8_t>(random_bits());
  return values;
}

template <typename Real>
void run(const LcdcProblem& p, int64_t value_bytes) {
  const int64_t taps = p.kernel[0] * p.kernel[1], sites = p.batch * p.out_height * p.out_width;
  const auto offset = offsets<Real>(sites * 2 * taps * p.offset_groups);
  const auto x = noise(p.batch * p.height * p.width * p.channels * value_bytes);
  const auto grad = noise(sites * taps * p.channels * value_bytes);
  for (const int threads : {1, 3, 0}) {
    std::vector<uint8_t> columns(grad.size());
    std::vector<Real> grad_x(p.batch * p.height * p.width * p.channels), grad_offset(offset.size());
    expect(lcdc_cpu_sample(&p, x.data(), offset.data(), columns.data(), threads) == 0, lcdc_cpu_message());
    expect(lcdc_cpu_grad_x(&p, grad.data(), offset.data(), grad_x.data(), threads) == 0, lcdc_cpu_message());
    expect(lcdc_cpu_grad_offset(&p, grad.data(), x.data(), offset.data(), grad_offset.data(), threads) == 0,
           lcdc_cpu_message());
  }
}

LcdcProblem problem(int64_t dtype, int64_t border, int64_t batch, int64_t group_channels, int64_t groups, int64_t taps) {
  LcdcProblem p{};
  p.dtype = dtype;
  p.border = border;
  p.batch = batch;
  p.channels = group_channels * groups;
  p.offset_groups = groups;
  p.height = 4;
  p.width = 3;
  p.out_height = 3;
  p.out_width = 5;
  p.kernel[0] = taps;
  p.kernel[1] = p.stride[0] = p.stride[1] = 2;
  p.padding[0] = 3;
  p.dilation[0] = 1;
  p.dilation[1] = 4;
  const int64_t channels = 2 * p.kernel[0] * p.kernel[1] * groups, size = p.out_height * p.out_width;
  const int64_t strides[4] = {channels * size, size, p.out_width, 1};
  for (int axis = 0; axis < 4; ++axis) p.offset_stride[axis] = strides[axis];
  return p;
}

void run_everything() {
  for (const int64_t dtype : {LCDC_FLOAT32, LCDC_FLOAT64, LCDC_FLOAT16, LCDC_BFLOAT16}) {
    for (const int64_t border : {LCDC_BORDER_ZERO, LCDC_BORDER_RELEASED}) {
      for (const int64_t batch : {0, 1, 4}) {
        for (const int64_t channels : {1, 7, 64, 65, 130}) {
          for (const int64_t groups : {1, 2}) {
            const LcdcProblem p = problem(dtype, border, batch, channels, groups, 1 + channels % 3);
            dtype == LCDC_FLOAT64 ? run<double>(p, 8) : run<float>(p, dtype == LCDC_FLOAT32 ? 4 : 2);
          }
        }
      }
    }
  }
}

void refuse_everything() {
  const LcdcProblem good = problem(LCDC_FLOAT32, LCDC_BORDER_ZERO, 1, 4, 1, 1);
  int64_t LcdcProblem::*const fields[] = {&LcdcProblem::dtype, &LcdcProblem::border, &LcdcProblem::batch,
                                          &LcdcProblem::channels, &LcdcProblem::height, &LcdcProblem::width,
                                          &LcdcProblem::out_height, &LcdcProblem::out_width,
                                          &LcdcProblem::offset_groups};
  for (const auto field : fields) {
    for (const int64_t value : {INT64_MIN, int64_t{-1}, int64_t{1} << 31, INT64_MAX}) {
      LcdcProblem bad = good;
      bad.*field = value;
      expect(lcdc_cpu_sample(&bad, nullptr, nullptr, nullptr, 1) != 0, "a size out of range is refused");
    }
  }
  for (const auto pair : {&LcdcProblem::kernel, &LcdcProblem::stride, &LcdcProblem::padding, &LcdcProblem::dilation}) {
    for (const int64_t value : {INT64_MIN, int64_t{-1}, int64_t{INT32_MAX} + 1, INT64_MAX}) {
      LcdcProblem bad = good;
      (bad.*pair)[1] = value;
      expect(lcdc_cpu_grad_x(&bad, nullptr, nullptr, nullptr, 1) != 0, "a setting out of range is refused");
    }
  }
}

#if defined(LCDC_HAS_AVX2)
void compare_instruction_sets() {
  const Geometry g{2, 5, 6, 5, 6, 1, 1, {1, 1}, {0, 0}, {1, 1}, 1, 37, false, {60, 30, 6, 1}};
  std::normal_distribution<float> normal;
  std::vector<float> x(2 * 30 * 37), offset(120), zeros(37), results[2];
  for (float& value : x) value = normal(random_bits);
  for (float& value : offset) value = 2 * normal(random_bits);
  const CpuKernels* tables[] = {kernels_baseline, kernels_avx2};
  for (int set = 0; set < 2; ++set) {
    results[set].resize(3 * x.size());
    tables[set][LCDC_FLOAT32].sample(g, x.data(), offset.data(), zeros.data(), results[set].data(), 2);
    tables[set][LCDC_FLOAT32].grad_x(g, x.data(), offset.data(), results[set].data() + x.size(), 2);
    tables[set][LCDC_FLOAT32].grad_offset(g, x.data(), x.data(), offset.data(), zeros.data(),
                                          results[set].data() + 2 * x.size(), 2);
  }
  for (size_t i = 0; i < results[0].size(); ++i) {
    expect(std::fabs(results[0][i] - results[1][i]) < 1e-4f, "both instruction sets give the same values");
  }
}
#endif

}  // namespace

int main() {
  run_everything();
  refuse_everything();
#if defined(LCDC_HAS_AVX2)
  if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma")) compare_instruction_sets();
#endif
  std::printf("%s: %s\n", lcdc_cpu_build(), failures == 0 ? "passed" : "FAILED");
  return failures == 0 ? 0 : 1;
}
