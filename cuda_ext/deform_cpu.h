// The table of kernels that each compilation of deform_cpu.cpp provides.
#pragma once

#include "deform.h"

// `zeros` stands for a pixel outside the image: the channels of one group, all 0.
struct CpuKernels {
  void (*sample)(const Geometry&, const void* x, const void* offset, const void* zeros, void* columns, int threads);
  void (*grad_x)(const Geometry&, const void* grad_columns, const void* offset, void* grad_x, int threads);
  void (*grad_offset)(const Geometry&, const void* grad_columns, const void* x, const void* offset, const void* zeros,
                      void* grad_offset, int threads);
};
