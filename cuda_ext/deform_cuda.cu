// The kernels and the C interface for CUDA; mirrors deform_cpu.cpp. Nothing here allocates or synchronises.
#include <cuda_bf16.h>
#include <cuda_fp16.h>
#include <cuda_runtime.h>

#include "deform.h"
#include "lcdc.h"
#include "problem.h"

namespace {

constexpr int kWarp = 32;
constexpr int kWarpsPerBlock = 8;
constexpr int kScatterThreads = 128;
constexpr int kWantedBlocks = 512;  // grad_x splits images only while it has fewer than this many blocks

__device__ float load(float value) { return value; }
__device__ double load(double value) { return value; }
__device__ float load(__half value) { return __half2float(value); }
__device__ float load(__nv_bfloat16 value) { return __bfloat162float(value); }

__device__ void store(float value, float* to) { *to = value; }
__device__ void store(double value, double* to) { *to = value; }
__device__ void store(float value, __half* to) { *to = __float2half_rn(value); }
__device__ void store(float value, __nv_bfloat16* to) { *to = __float2bfloat16_rn(value); }

// `kCount` neighbouring channels, moved by one access of up to 16 bytes.
template <typename T, int kCount>
struct alignas(sizeof(T) * kCount) Vector {
  T at[kCount];
};

// A corner outside the image reads zeros, so what x holds elsewhere, even NaN, cannot reach the result.
template <typename T, int kCount>
__device__ Vector<T, kCount> read_corner(const Geometry& g, const T* image, int32_t pixel, int32_t channel) {
  using Values = Vector<T, kCount>;
  if (pixel < 0) return Values{};
  const int64_t pixel_stride = static_cast<int64_t>(g.groups) * g.channels;
  return *reinterpret_cast<const Values*>(image + pixel * pixel_stride + channel);
}

// One warp per place, its lanes side by side along the channels.
template <typename T, typename Real, int kCount>
__global__ void __launch_bounds__(kWarp* kWarpsPerBlock)
    sample(const Geometry g, const T* __restrict__ x, const Real* __restrict__ offset, T* __restrict__ columns) {
  const uint32_t index = blockIdx.x * kWarpsPerBlock + threadIdx.y;
  if (index >= count_places(g)) return;
  const Place place = place_at(g, index);
  const Corners<Real> corners = corners_of(g, place, offset);
  const T* image = x + image_start(g, place);
  T* out = columns + static_cast<int64_t>(index) * g.channels;
  for (int32_t channel = threadIdx.x * kCount; channel < g.channels; channel += kWarp * kCount) {
    Vector<T, kCount> pixels[4], result;
#pragma unroll
    for (int corner = 0; corner < 4; ++corner) {
      pixels[corner] = read_corner<T, kCount>(g, image, corners.pixel[corner], channel);
    }
#pragma unroll
    for (int i = 0; i < kCount; ++i) {
      Real sum = 0;
#pragma unroll
      for (int corner = 0; corner < 4; ++corner) sum += corners.weight(corner) * load(pixels[corner].at[i]);
      store(sum, &result.at[i]);
    }
    *reinterpret_cast<Vector<T, kCount>*>(out + channel) = result;
  }
}

// One thread per channel of one group of one image. With one block of rows per image (gridDim.z == 1) no other thread adds to
// its elements, and it adds in the order of the places: deterministic. With more, the blocks meet in atomic additions.
template <typename T, typename Real>
__global__ void __launch_bounds__(kScatterThreads)
    grad_x(const Geometry g, const T* __restrict__ grad_columns, const Real* __restrict__ offset, Real* grad_x) {
  const int32_t channel = blockIdx.y * kScatterThreads + threadIdx.x;
  if (channel >= g.channels) return;
  Place place{static_cast<int32_t>(blockIdx.x / g.groups), 0, 0, 0, static_cast<int32_t>(blockIdx.x % g.groups)};
  const int64_t pixel_stride = static_cast<int64_t>(g.groups) * g.channels;
  Real* to = grad_x + image_start(g, place) + channel;
  for (place.row = blockIdx.z; place.row < g.out_height; place.row += gridDim.z) {
    for (place.column = 0; place.column < g.out_width; ++place.column) {
      for (place.tap = 0; place.tap < g.taps; ++place.tap) {
        const Real grad = load(grad_columns[static_cast<int64_t>(index_of(g, place)) * g.channels + channel]);
        const Corners<Real> corners = corners_of(g, place, offset);
#pragma unroll
        for (int corner = 0; corner < 4; ++corner) {
          if (corners.pixel[corner] < 0) continue;
          Real* element = to + corners.pixel[corner] * pixel_stride;
          const Real term = corners.weight(corner) * grad;
          if (gridDim.z == 1) {
            *element += term;
          } else {
            atomicAdd(element, term);
          }
        }
      }
    }
  }
}

// One warp per place; the lanes' sums meet in a fixed order.
template <typename T, typename Real, int kCount>
__global__ void __launch_bounds__(kWarp* kWarpsPerBlock)
    grad_offset(const Geometry g, const T* __restrict__ grad_columns, const T* __restrict__ x,
                const Real* __restrict__ offset, Real* __restrict__ grad_offset) {
  const uint32_t index = blockIdx.x * kWarpsPerBlock + threadIdx.y;
  if (index >= count_places(g)) return;
  const Place place = place_at(g, index);
  const Corners<Real> corners = corners_of(g, place, offset);
  const T* image = x + image_start(g, place);
  const T* grad = grad_columns + static_cast<int64_t>(index) * g.channels;
  Real along_rows = 0, along_columns = 0;
  for (int32_t channel = threadIdx.x * kCount; channel < g.channels; channel += kWarp * kCount) {
    const auto grads = *reinterpret_cast<const Vector<T, kCount>*>(grad + channel);
#pragma unroll
    for (int corner = 0; corner < 4; ++corner) {
      const auto pixel = read_corner<T, kCount>(g, image, corners.pixel[corner], channel);
      Real dot = 0;
#pragma unroll
      for (int i = 0; i < kCount; ++i) dot += load(grads.at[i]) * load(pixel.at[i]);
      along_rows += corners.row_slope(corner) * dot;
      along_columns += corners.column_slope(corner) * dot;
    }
  }
#pragma unroll
  for (int lane = kWarp / 2; lane > 0; lane /= 2) {
    along_rows += __shfl_xor_sync(0xffffffffu, along_rows, lane);
    along_columns += __shfl_xor_sync(0xffffffffu, along_columns, lane);
  }
  if (threadIdx.x == 0) {
    grad_offset[2 * static_cast<int64_t>(index)] = along_rows;
    grad_offset[2 * static_cast<int64_t>(index) + 1] = along_columns;
  }
}

int report(cudaError_t error) {
  if (error != cudaSuccess) std::snprintf(message, sizeof(message), "CUDA: %s", cudaGetErrorString(error));
  return error == cudaSuccess ? 0 : kInvalid;
}

// Makes `device` current, and gives the caller its own device back.
class DeviceGuard {
 public:
  explicit DeviceGuard(int device) {
    error_ = cudaGetDevice(&previous_);
    if (error_ == cudaSuccess && previous_ != device) {
      error_ = cudaSetDevice(device);
      switched_ = error_ == cudaSuccess;
    }
  }
  ~DeviceGuard() {
    if (switched_) cudaSetDevice(previous_);
  }
  DeviceGuard(const DeviceGuard&) = delete;
  DeviceGuard& operator=(const DeviceGuard&) = delete;
  cudaError_t error() const { return error_; }

 private:
  int previous_ = 0;
  bool switched_ = false;
  cudaError_t error_ = cudaSuccess;
};

// Calls launch(geometry) on the device, unless there is nothing to do.
template <typename Launch>
int run(const LcdcProblem& problem, int device, Launch launch) {
  Geometry g;
  if (const int code = prepare(problem, &g)) return code;
  if (g.batch == 0) return 0;
  const DeviceGuard guard(device);
  if (const int code = report(guard.error())) return code;
  launch(g);
  return report(cudaGetLastError());
}

template <typename T, typename Real>
struct Types {
  using Value = T;
  using Accumulator = Real;
};

template <typename Call>
void for_dtype(int64_t dtype, Call call) {
  if (dtype == LCDC_FLOAT32) call(Types<float, float>{});
  if (dtype == LCDC_FLOAT64) call(Types<double, double>{});
  if (dtype == LCDC_FLOAT16) call(Types<__half, float>{});
  if (dtype == LCDC_BFLOAT16) call(Types<__nv_bfloat16, float>{});
}

template <typename T>
constexpr int kVector = 16 / sizeof(T);

template <typename T>
bool vectors_fit(const Geometry& g, const void* a, const void* b) {
  const auto address = reinterpret_cast<uintptr_t>(a) | reinterpret_cast<uintptr_t>(b);
  return g.channels % kVector<T> == 0 && address % 16 == 0;
}

const dim3 kPlaceBlock(kWarp, kWarpsPerBlock);
dim3 place_grid(const Geometry& g) { return dim3((count_places(g) + kWarpsPerBlock - 1) / kWarpsPerBlock); }

}  // namespace

LCDC_API int lcdc_cuda_sample(const LcdcProblem* problem, const void* x, const void* offset, void* columns, int device,
                              void* stream) {
  return run(*problem, device, [=](const Geometry& g) {
    for_dtype(problem->dtype, [=](auto types) {
      using T = typename decltype(types)::Value;
      using Real = typename decltype(types)::Accumulator;
      const auto kernel = vectors_fit<T>(g, x, columns) ? sample<T, Real, kVector<T>> : sample<T, Real, 1>;
      kernel<<<place_grid(g), kPlaceBlock, 0, static_cast<cudaStream_t>(stream)>>>(
          g, static_cast<const T*>(x), static_cast<const Real*>(offset), static_cast<T*>(columns));
    });
  });
}

LCDC_API int lcdc_cuda_grad_x(const LcdcProblem* problem, const void* grad_columns, const void* offset, void* grad_x_,
                              int deterministic, int device, void* stream) {
  return run(*problem, device, [=](const Geometry& g) {
    dim3 grid(g.batch * g.groups, (g.channels + kScatterThreads - 1) / kScatterThreads);
    const int64_t blocks = static_cast<int64_t>(grid.x) * grid.y;
    if (!deterministic && blocks < kWantedBlocks) {
      const int64_t parts = (kWantedBlocks + blocks - 1) / blocks;
      grid.z = static_cast<unsigned>(parts < g.out_height ? parts : g.out_height);
    }
    for_dtype(problem->dtype, [=](auto types) {
      using T = typename decltype(types)::Value;
      using Real = typename decltype(types)::Accumulator;
      grad_x<T, Real><<<grid, kScatterThreads, 0, static_cast<cudaStream_t>(stream)>>>(
          g, static_cast<const T*>(grad_columns), static_cast<const Real*>(offset), static_cast<Real*>(grad_x_));
    });
  });
}

LCDC_API int lcdc_cuda_grad_offset(const LcdcProblem* problem, const void* grad_columns, const void* x,
                                   const void* offset, void* grad_offset_, int device, void* stream) {
  return run(*problem, device, [=](const Geometry& g) {
    for_dtype(problem->dtype, [=](auto types) {
      using T = typename decltype(types)::Value;
      using Real = typename decltype(types)::Accumulator;
      const auto kernel =
          vectors_fit<T>(g, grad_columns, x) ? grad_offset<T, Real, kVector<T>> : grad_offset<T, Real, 1>;
      kernel<<<place_grid(g), kPlaceBlock, 0, static_cast<cudaStream_t>(stream)>>>(
          g, static_cast<const T*>(grad_columns), static_cast<const T*>(x), static_cast<const Real*>(offset),
          static_cast<Real*>(grad_offset_));
    });
  });
}

LCDC_API const char* lcdc_cuda_message(void) { return message; }
LCDC_API const char* lcdc_cuda_version(void) { return LCDC_VERSION; }
LCDC_API const char* lcdc_cuda_build(void) { return LCDC_CUDA_BUILD; }

LCDC_API int lcdc_cuda_probe(int device) {
  const DeviceGuard guard(device);
  if (const int code = report(guard.error())) return code;
  cudaFuncAttributes attributes;
  const int code = report(cudaFuncGetAttributes(&attributes, sample<float, float, 1>));
  cudaGetLastError();  // a failure here must not surface in somebody else's next check
  return code;
}
