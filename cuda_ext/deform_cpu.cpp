// The kernels for processors. Compiled once per instruction set (LCDC_KERNELS names the copy); mirrors deform_cuda.cu.
// Neither the standard library's templates nor anything else with external linkage may be used here: see deform.h.
#include "deform_cpu.h"

#include <cstring>

namespace {

struct Half {
  uint16_t bits;
};
struct BFloat16 {
  uint16_t bits;
};

inline float as_float(uint32_t bits) {
  float value;
  std::memcpy(&value, &bits, sizeof(value));
  return value;
}

inline uint32_t as_bits(float value) {
  uint32_t bits;
  std::memcpy(&bits, &value, sizeof(bits));
  return bits;
}

inline float load(float value) { return value; }
inline double load(double value) { return value; }
inline float load(BFloat16 value) { return as_float(static_cast<uint32_t>(value.bits) << 16); }

inline float load(Half value) {
  const uint32_t sign = (value.bits & 0x8000u) << 16, magnitude = value.bits & 0x7fffu;
  const uint32_t rebias = magnitude >= 0x7c00u ? 224u << 23 : 112u << 23;  // infinity and NaN keep the largest exponent
  const uint32_t subnormal = as_bits(static_cast<float>(static_cast<int32_t>(magnitude)) * 0x1p-24f);
  return as_float(sign | (magnitude < 0x0400u ? subnormal : (magnitude << 13) + rebias));
}

inline void store(float value, float* to) { *to = value; }
inline void store(double value, double* to) { *to = value; }

inline void store(float value, BFloat16* to) {
  const uint32_t bits = as_bits(value);
  const uint32_t rounded = (bits + 0x7fffu + ((bits >> 16) & 1u)) >> 16;  // to nearest, ties to even
  to->bits = static_cast<uint16_t>((bits & 0x7fffffffu) > 0x7f800000u ? 0x7fc0u : rounded);
}

inline void store(float value, Half* to) {
  const uint32_t bits = as_bits(value), sign = (bits >> 16) & 0x8000u, magnitude = bits & 0x7fffffffu;
  // Adding 0.5 lines the last place up with the smallest half, so the hardware rounds.
  const uint32_t subnormal = as_bits(as_float(magnitude) + 0.5f) - as_bits(0.5f);
  const uint32_t normal = (magnitude + 0xfffu + ((magnitude >> 13) & 1u) - (112u << 23)) >> 13;
  uint32_t half = magnitude < (113u << 23) ? subnormal : normal;
  half = magnitude >= as_bits(65520.0f) ? 0x7c00u : half;
  half = magnitude > 0x7f800000u ? 0x7e00u : half;
  to->bits = static_cast<uint16_t>(sign | half);
}

// Pointers to the four corners; one outside points at `zeros`.
template <typename T, typename Real>
struct Pixels {
  const T* at[4];

  Pixels(const Geometry& g, const Corners<Real>& corners, const T* image, const T* zeros) {
    const int64_t pixel_stride = static_cast<int64_t>(g.groups) * g.channels;
    for (int corner = 0; corner < 4; ++corner) {
      at[corner] = corners.pixel[corner] < 0 ? zeros : image + corners.pixel[corner] * pixel_stride;
    }
  }
};

template <typename T, typename Real>
void sample(const Geometry& g, const void* x_, const void* offset_, const void* zeros, void* columns_, int threads) {
  const T* x = static_cast<const T*>(x_);
  const Real* offset = static_cast<const Real*>(offset_);
  T* columns = static_cast<T*>(columns_);
  const int64_t places = count_places(g);
#pragma omp parallel for num_threads(threads) schedule(static)
  for (int64_t index = 0; index < places; ++index) {
    const Place place = place_at(g, static_cast<uint32_t>(index));
    const Corners<Real> corners = corners_of(g, place, offset);
    const Pixels<T, Real> pixels(g, corners, x + image_start(g, place), static_cast<const T*>(zeros));
    const T *a = pixels.at[0], *b = pixels.at[1], *c = pixels.at[2], *d = pixels.at[3];
    const Real wa = corners.weight(0), wb = corners.weight(1), wc = corners.weight(2), wd = corners.weight(3);
    T* out = columns + index * g.channels;
#pragma omp simd
    for (int32_t i = 0; i < g.channels; ++i) {
      store(wa * load(a[i]) + wb * load(b[i]) + wc * load(c[i]) + wd * load(d[i]), &out[i]);
    }
  }
}

// Channels [first, last) of one group of one image: every addition to one element of grad_x in the order of the places.
template <typename T, typename Real>
void scatter(const Geometry& g, const T* grad_columns, const Real* offset, Real* grad_x, Place place, int32_t first,
             int32_t last) {
  const int64_t pixel_stride = static_cast<int64_t>(g.groups) * g.channels;
  Real* image = grad_x + image_start(g, place);
  for (place.row = 0; place.row < g.out_height; ++place.row) {
    for (place.column = 0; place.column < g.out_width; ++place.column) {
      for (place.tap = 0; place.tap < g.taps; ++place.tap) {
        const T* grad = grad_columns + static_cast<int64_t>(index_of(g, place)) * g.channels;
        const Corners<Real> corners = corners_of(g, place, offset);
        for (int corner = 0; corner < 4; ++corner) {
          if (corners.pixel[corner] < 0) continue;
          Real* to = image + corners.pixel[corner] * pixel_stride;
          const Real weight = corners.weight(corner);
#pragma omp simd
          for (int32_t i = first; i < last; ++i) to[i] += weight * load(grad[i]);
        }
      }
    }
  }
}

template <typename T, typename Real>
void grad_x(const Geometry& g, const void* grad_columns, const void* offset, void* grad_x, int threads) {
  constexpr int32_t kSlice = 64;  // channels; several slices per image keep all threads busy on a small batch
  const int32_t slices = g.batch >= threads ? 1 : (g.channels + kSlice - 1) / kSlice;
  const int32_t width = slices == 1 ? g.channels : kSlice;
  const int64_t tasks = static_cast<int64_t>(g.batch) * g.groups * slices;
#pragma omp parallel for num_threads(threads) schedule(static)
  for (int64_t task = 0; task < tasks; ++task) {
    const int64_t image_group = task / slices;
    const Place place{static_cast<int32_t>(image_group / g.groups), 0, 0, 0,
                      static_cast<int32_t>(image_group % g.groups)};
    const int32_t first = static_cast<int32_t>(task % slices) * width;
    const int32_t last = first + width < g.channels ? first + width : g.channels;
    scatter(g, static_cast<const T*>(grad_columns), static_cast<const Real*>(offset), static_cast<Real*>(grad_x), place,
            first, last);
  }
}

template <typename T, typename Real>
void grad_offset(const Geometry& g, const void* grad_columns_, const void* x_, const void* offset_, const void* zeros,
                 void* grad_offset_, int threads) {
  const T* grad_columns = static_cast<const T*>(grad_columns_);
  const T* x = static_cast<const T*>(x_);
  const Real* offset = static_cast<const Real*>(offset_);
  Real* grad_offset = static_cast<Real*>(grad_offset_);
  const int64_t places = count_places(g);
#pragma omp parallel for num_threads(threads) schedule(static)
  for (int64_t index = 0; index < places; ++index) {
    const Place place = place_at(g, static_cast<uint32_t>(index));
    const Corners<Real> corners = corners_of(g, place, offset);
    const Pixels<T, Real> pixels(g, corners, x + image_start(g, place), static_cast<const T*>(zeros));
    const T* grad = grad_columns + index * g.channels;
    const T *a = pixels.at[0], *b = pixels.at[1], *c = pixels.at[2], *d = pixels.at[3];
    Real dot_a = 0, dot_b = 0, dot_c = 0, dot_d = 0;
#pragma omp simd reduction(+ : dot_a, dot_b, dot_c, dot_d)
    for (int32_t i = 0; i < g.channels; ++i) {
      const Real value = load(grad[i]);
      dot_a += value * load(a[i]);
      dot_b += value * load(b[i]);
      dot_c += value * load(c[i]);
      dot_d += value * load(d[i]);
    }
    const Real dots[4] = {dot_a, dot_b, dot_c, dot_d};
    Real along_rows = 0, along_columns = 0;
    for (int corner = 0; corner < 4; ++corner) {
      along_rows += corners.row_slope(corner) * dots[corner];
      along_columns += corners.column_slope(corner) * dots[corner];
    }
    grad_offset[2 * index] = along_rows;
    grad_offset[2 * index + 1] = along_columns;
  }
}

template <typename T, typename Real>
constexpr CpuKernels kernels_for() {
  return {sample<T, Real>, grad_x<T, Real>, grad_offset<T, Real>};
}

}  // namespace

// In the order of LcdcDtype.
extern const CpuKernels LCDC_KERNELS[4] = {kernels_for<float, float>(), kernels_for<double, double>(),
                                           kernels_for<Half, float>(), kernels_for<BFloat16, float>()};
