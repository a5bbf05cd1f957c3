// Where a tap reads, with which weights, and the derivatives of both: written once for C++ and CUDA.
//
// One *place* is one (image, output row, output column, tap, offset group), counted in that order. It owns one position in x
// and `channels` contiguous values of the columns, so the columns of place p start at p * channels.
#pragma once

#include <cstdint>

#if defined(__CUDACC__)
#define LCDC_INLINE __host__ __device__ __forceinline__
#else
#define LCDC_INLINE inline
#endif

struct Geometry {
  int32_t batch, height, width, out_height, out_width, taps, kernel_columns;
  int32_t stride[2], padding[2], dilation[2];
  int32_t groups, channels;  // offset groups, channels in each
  bool released_border;
  int64_t offset_stride[4];
};

// Internal linkage: this header is compiled once per instruction set, and the linker must not mix the copies.
namespace {

struct Place {
  int32_t image, row, column, tap, group;
};

LCDC_INLINE uint32_t count_places(const Geometry& g) {
  return static_cast<uint32_t>(g.batch) * g.out_height * g.out_width * g.taps * g.groups;
}

LCDC_INLINE Place place_at(const Geometry& g, uint32_t index) {
  const uint32_t site = index / (static_cast<uint32_t>(g.taps) * g.groups);
  const uint32_t inner = index - site * (static_cast<uint32_t>(g.taps) * g.groups);
  const uint32_t line = site / g.out_width;
  const uint32_t image = line / g.out_height;
  return {static_cast<int32_t>(image), static_cast<int32_t>(line - image * g.out_height),
          static_cast<int32_t>(site - line * g.out_width), static_cast<int32_t>(inner / g.groups),
          static_cast<int32_t>(inner % g.groups)};
}

LCDC_INLINE uint32_t index_of(const Geometry& g, const Place& p) {
  const uint32_t site = (static_cast<uint32_t>(p.image) * g.out_height + p.row) * g.out_width + p.column;
  return (site * g.taps + p.tap) * g.groups + p.group;
}

// Elements between the start of x and channel 0 of the place's image and group.
LCDC_INLINE int64_t image_start(const Geometry& g, const Place& p) {
  return (static_cast<int64_t>(p.image) * g.height * g.width * g.groups + p.group) * g.channels;
}

// The four pixels around a position: top left, top right, bottom left, bottom right.
template <typename Real>
struct Corners {
  int32_t pixel[4];  // row * width + column, or -1 for one that contributes 0
  Real down, right;  // distance from the top left pixel
  bool row_moves, column_moves;  // false where the position is clamped, so that its derivative is 0

  LCDC_INLINE Real weight(int corner) const {
    return (corner & 2 ? down : 1 - down) * (corner & 1 ? right : 1 - right);
  }
  LCDC_INLINE Real row_slope(int corner) const {
    const Real across = corner & 1 ? right : 1 - right;
    return row_moves ? (corner & 2 ? across : -across) : Real(0);
  }
  LCDC_INLINE Real column_slope(int corner) const {
    const Real along = corner & 2 ? down : 1 - down;
    return column_moves ? (corner & 1 ? along : -along) : Real(0);
  }
};

// Comparisons with NaN are false, and a position becomes an integer only once it is known to lie in the image.
template <typename Real>
LCDC_INLINE Corners<Real> corners_around(const Geometry& g, Real row, Real column) {
  Corners<Real> corners{{-1, -1, -1, -1}, 0, 0, false, false};
  const bool after_start = g.released_border ? row >= 0 && column >= 0 : row > -1 && column > -1;
  if (!(after_start && row < g.height && column < g.width)) return corners;
  corners.row_moves = !(g.released_border && row >= g.height - 1);
  corners.column_moves = !(g.released_border && column >= g.width - 1);
  if (!corners.row_moves) row = g.height - 1;
  if (!corners.column_moves) column = g.width - 1;
  const int32_t top = static_cast<int32_t>(row) - (row < 0);  // the floor of a number above -1
  const int32_t left = static_cast<int32_t>(column) - (column < 0);
  corners.down = row - top;
  corners.right = column - left;
  const bool has_top = top >= 0, has_bottom = top + 1 < g.height, has_left = left >= 0, has_right = left + 1 < g.width;
  const int32_t first = top * g.width + left;
  if (has_top && has_left) corners.pixel[0] = first;
  if (has_top && has_right) corners.pixel[1] = first + 1;
  if (has_bottom && has_left) corners.pixel[2] = first + g.width;
  if (has_bottom && has_right) corners.pixel[3] = first + g.width + 1;
  return corners;
}

// Equation (13): the position n + k + D[g, n, k].
template <typename Real>
LCDC_INLINE Corners<Real> corners_of(const Geometry& g, const Place& p, const Real* offset) {
  const int64_t channel = 2 * (static_cast<int64_t>(p.group) * g.taps + p.tap);
  const Real* shift = offset + p.image * g.offset_stride[0] + channel * g.offset_stride[1] +
                      p.row * g.offset_stride[2] + p.column * g.offset_stride[3];
  const int32_t tap_row = p.tap / g.kernel_columns;
  const int32_t tap_column = p.tap - tap_row * g.kernel_columns;
  const int32_t row = p.row * g.stride[0] - g.padding[0] + tap_row * g.dilation[0];
  const int32_t column = p.column * g.stride[1] - g.padding[1] + tap_column * g.dilation[1];
  return corners_around(g, row + shift[0], column + shift[g.offset_stride[1]]);
}

}  // namespace
