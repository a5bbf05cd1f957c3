// Checks a problem and narrows it to the 32-bit numbers the kernels count with.
#pragma once

#include <cstdint>
#include <cstdio>

#include "deform.h"
#include "lcdc.h"

namespace {

constexpr int kInvalid = 1;
constexpr int64_t kLimit = INT32_MAX;

thread_local char message[256] = "";

int refuse(const char* name, int64_t got, const char* expected) {
  std::snprintf(message, sizeof(message), "%s is %lld; expected %s", name, static_cast<long long>(got), expected);
  return kInvalid;
}

// True where a * b stays within the limit; both are at least 0.
bool fits(int64_t a, int64_t b) { return b == 0 || a <= kLimit / b; }

int check_sizes(const LcdcProblem& p) {
  const struct {
    const char* name;
    int64_t value, least;
  } sizes[] = {
      {"batch", p.batch, 0},           {"channels", p.channels, 1},         {"height", p.height, 1},
      {"width", p.width, 1},           {"out_height", p.out_height, 1},     {"out_width", p.out_width, 1},
      {"kernel rows", p.kernel[0], 1}, {"kernel columns", p.kernel[1], 1},  {"stride rows", p.stride[0], 1},
      {"stride columns", p.stride[1], 1}, {"padding rows", p.padding[0], 0},  {"padding columns", p.padding[1], 0},
      {"dilation rows", p.dilation[0], 1}, {"dilation columns", p.dilation[1], 1}, {"offset groups", p.offset_groups, 1},
  };
  for (const auto& size : sizes) {
    if (size.value < size.least) return refuse(size.name, size.value, size.least ? "at least 1" : "at least 0");
    if (size.value > kLimit) return refuse(size.name, size.value, "less than 2^31");
  }
  return 0;
}

// Positions before the offset is added, and the numbers of pixels and of places, must be 32-bit numbers.
int check_ranges(const LcdcProblem& p) {
  if (!fits(p.height, p.width)) return refuse("height", p.height, "height * width under 2^31");
  for (int axis = 0; axis < 2; ++axis) {
    const int64_t out = axis == 0 ? p.out_height : p.out_width;
    if (!fits(out, p.stride[axis]) || !fits(p.kernel[axis], p.dilation[axis]) ||
        out * p.stride[axis] + p.kernel[axis] * p.dilation[axis] > kLimit) {
      return refuse("stride", p.stride[axis], "output * stride + kernel * dilation under 2^31");
    }
  }
  int64_t places = 1;
  for (const int64_t factor : {p.kernel[0], p.kernel[1], p.offset_groups, p.out_height, p.out_width, p.batch}) {
    if (!fits(places, factor)) return refuse("batch", p.batch, "batch * output sites * taps * offset groups under 2^31");
    places *= factor;
  }
  return 0;
}

// Fills `geometry` or returns non-zero with `message` set.
int prepare(const LcdcProblem& p, Geometry* geometry) {
  if (p.dtype < LCDC_FLOAT32 || p.dtype > LCDC_BFLOAT16) return refuse("dtype", p.dtype, "0 to 3");
  if (p.border < LCDC_BORDER_ZERO || p.border > LCDC_BORDER_RELEASED) return refuse("border", p.border, "0 or 1");
  if (const int code = check_sizes(p)) return code;
  if (p.channels % p.offset_groups != 0) return refuse("channels", p.channels, "a multiple of the offset groups");
  if (const int code = check_ranges(p)) return code;
  const auto narrow = [](int64_t value) { return static_cast<int32_t>(value); };
  *geometry = Geometry{narrow(p.batch),
                       narrow(p.height),
                       narrow(p.width),
                       narrow(p.out_height),
                       narrow(p.out_width),
                       narrow(p.kernel[0] * p.kernel[1]),
                       narrow(p.kernel[1]),
                       {narrow(p.stride[0]), narrow(p.stride[1])},
                       {narrow(p.padding[0]), narrow(p.padding[1])},
                       {narrow(p.dilation[0]), narrow(p.dilation[1])},
                       narrow(p.offset_groups),
                       narrow(p.channels / p.offset_groups),
                       p.border == LCDC_BORDER_RELEASED,
                       {p.offset_stride[0], p.offset_stride[1], p.offset_stride[2], p.offset_stride[3]}};
  return 0;
}

}  // namespace
