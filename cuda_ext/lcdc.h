// The C interface of the deformable sampler: plain pointers and sizes, no PyTorch, no Python.
//
// columns[n, row, column, tap, c] = x[n, (row, column) * stride - padding + tap * dilation + offset, c]      (12), (13)
//
// x and columns are contiguous with channels last. The offset may have any strides; it is float32, or float64 where x is.
// A convolution is `columns` times its weight; the warp of equation (16) is a 1x1 kernel.
// Every function returns 0, or another number after which lcdc_*_message() says what was wrong, on the same thread.
#pragma once

#include <stdint.h>

#if defined(__cplusplus)
#define LCDC_API extern "C" __attribute__((visibility("default")))
#else
#define LCDC_API
#endif

enum LcdcDtype { LCDC_FLOAT32, LCDC_FLOAT64, LCDC_FLOAT16, LCDC_BFLOAT16 };

enum LcdcBorder {
  LCDC_BORDER_ZERO,      // every corner outside the image contributes 0
  LCDC_BORDER_RELEASED,  // 0 outside [0, size); the last row and column count in full up to the edge
};

typedef struct {
  int64_t dtype, border;
  int64_t batch, channels, height, width;  // of x
  int64_t out_height, out_width;
  int64_t kernel[2], stride[2], padding[2], dilation[2];  // (rows, columns)
  int64_t offset_groups;
  int64_t offset_stride[4];  // in elements: batch, channel, row, column; channel = 2 * (group * taps + tap) + (0: dy, 1: dx)
} LcdcProblem;

// x (N, H, W, C), offset (N, 2 * taps * groups, Ho, Wo) -> columns (N, Ho, Wo, taps, C), dtype of x.
LCDC_API int lcdc_cpu_sample(const LcdcProblem*, const void* x, const void* offset, void* columns, int threads);
LCDC_API int lcdc_cuda_sample(const LcdcProblem*, const void* x, const void* offset, void* columns, int device, void* stream);

// -> grad_x (N, H, W, C), zeroed by the caller. In the type that accumulates: float32, or float64 where x is.
// `deterministic` keeps CUDA from splitting an image's sites over blocks that meet in atomic additions.
LCDC_API int lcdc_cpu_grad_x(const LcdcProblem*, const void* grad_columns, const void* offset, void* grad_x, int threads);
LCDC_API int lcdc_cuda_grad_x(const LcdcProblem*, const void* grad_columns, const void* offset, void* grad_x,
                              int deterministic, int device, void* stream);

// -> grad_offset (N, Ho, Wo, taps, groups, 2), in the type that accumulates.
LCDC_API int lcdc_cpu_grad_offset(const LcdcProblem*, const void* grad_columns, const void* x, const void* offset,
                                  void* grad_offset, int threads);
LCDC_API int lcdc_cuda_grad_offset(const LcdcProblem*, const void* grad_columns, const void* x, const void* offset,
                                   void* grad_offset, int device, void* stream);

LCDC_API const char* lcdc_cpu_message(void);
LCDC_API const char* lcdc_cuda_message(void);

// "0.1.0"; what the library was built for, or which instruction set it chose.
LCDC_API const char* lcdc_cpu_version(void);
LCDC_API const char* lcdc_cuda_version(void);
LCDC_API const char* lcdc_cpu_build(void);
LCDC_API const char* lcdc_cuda_build(void);

// 0 where this library can run on the device: there is one, the driver is new enough, the architecture is in the binary.
LCDC_API int lcdc_cuda_probe(int device);
