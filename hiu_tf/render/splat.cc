// The 3x3 splat of masks, and its gradient with respect to the vertices of the mesh (splat.py has the equations).

#include <algorithm>
#include <cstdint>
#include <vector>

#include "tensorflow/core/framework/common_shape_fns.h"
#include "tensorflow/core/framework/op.h"
#include "tensorflow/core/framework/op_kernel.h"
#include "tensorflow/core/framework/shape_inference.h"

namespace {

using tensorflow::int32;
using tensorflow::OpKernel;
using tensorflow::OpKernelConstruction;
using tensorflow::OpKernelContext;
using tensorflow::Tensor;
using tensorflow::errors::InvalidArgument;

// A picture [S, S] with a border of zeros, one pixel wide.
class Bordered {
 public:
  explicit Bordered(int64_t size) : width_(size + 2), values_(width_ * width_) {}

  // Row -1 .. S; columns -1 .. S of it may be read.
  float* Row(int64_t row) { return values_.data() + (row + 1) * width_ + 1; }

 private:
  int64_t width_;
  std::vector<float> values_;
};

// Runs work(b) for each picture of a batch on the device's threads.
template <typename Work>
void ForEachPicture(OpKernelContext* context, int64_t batch, int64_t cost, Work work) {
  const auto range = [&work](int64_t first, int64_t last) {
    for (int64_t b = first; b < last; ++b) work(b);
  };
  context->device()->tensorflow_cpu_worker_threads()->workers->ParallelFor(batch, cost, range);
}

class SplatOp : public OpKernel {
 public:
  explicit SplatOp(OpKernelConstruction* context) : OpKernel(context) {
    OP_REQUIRES_OK(context, context->GetAttr("side", &side_));
    OP_REQUIRES_OK(context, context->GetAttr("scale", &scale_));
  }

  void Compute(OpKernelContext* context) override {
    const Tensor& covered = context->input(0);
    OP_REQUIRES(context, covered.dims() == 3 && covered.dim_size(1) == covered.dim_size(2),
                InvalidArgument("covered must be [B, S, S], got ", covered.shape().DebugString()));
    Tensor* spread = nullptr;
    OP_REQUIRES_OK(context, context->allocate_output(0, covered.shape(), &spread));
    const int64_t size = covered.dim_size(1), area = size * size;
    const float* in = covered.flat<float>().data();
    float* out = spread->flat<float>().data();
    const auto work = [&](int64_t b) { Splat(in + b * area, size, out + b * area); };
    ForEachPicture(context, covered.dim_size(0), 4 * area, work);
  }

 private:
  void Splat(const float* covered, int64_t size, float* spread) const {
    Bordered down(size);  // weighted sum of three rows
    for (int64_t y = 0; y < size; ++y) {
      const float* row = covered + y * size;
      const float *above = y > 0 ? row - size : nullptr, *below = y + 1 < size ? row + size : nullptr;
      float* sum = down.Row(y);
      for (int64_t x = 0; x < size; ++x) sum[x] = row[x];
      if (above) for (int64_t x = 0; x < size; ++x) sum[x] += side_ * above[x];
      if (below) for (int64_t x = 0; x < size; ++x) sum[x] += side_ * below[x];
      float* result = spread + y * size;
      for (int64_t x = 0; x < size; ++x) result[x] = scale_ * (sum[x] + side_ * (sum[x - 1] + sum[x + 1]));
    }
  }

  float side_, scale_;
};

class SplatGradientOp : public OpKernel {
 public:
  explicit SplatGradientOp(OpKernelConstruction* context) : OpKernel(context) {
    OP_REQUIRES_OK(context, context->GetAttr("side", &side_));
    OP_REQUIRES_OK(context, context->GetAttr("scale", &scale_));
  }

  void Compute(OpKernelContext* context) override {
    const Tensor &upstream = context->input(0), &spread = context->input(1), &covered = context->input(2);
    const Tensor &triangle = context->input(3), &barycentrics = context->input(4), &faces = context->input(5);
    const auto same = [&upstream](const Tensor& other) { return other.shape() == upstream.shape(); };
    OP_REQUIRES(context, upstream.dims() == 3 && upstream.dim_size(1) == upstream.dim_size(2),
                InvalidArgument("upstream must be [B, S, S], got ", upstream.shape().DebugString()));
    OP_REQUIRES(context, same(spread) && same(covered) && same(triangle),
                InvalidArgument("spread, covered and triangle must have upstream's shape"));
    OP_REQUIRES(context, barycentrics.NumElements() == 3 * upstream.NumElements(),
                InvalidArgument("barycentrics must be [B, S, S, 3]"));
    OP_REQUIRES(context, faces.dims() == 2 && faces.dim_size(1) == 3, InvalidArgument("faces must be [F, 3]"));
    OP_REQUIRES(context, context->input(6).NumElements() == 1 && context->input(6).flat<int32>()(0) >= 0,
                InvalidArgument("vertices must be one number >= 0"));
    const int64_t vertices = context->input(6).flat<int32>()(0);
    const auto corners = faces.flat<int32>();
    for (int64_t i = 0; i < corners.size(); ++i) {
      OP_REQUIRES(context, corners(i) >= 0 && corners(i) < vertices,
                  InvalidArgument("face ", i / 3, " has vertex ", corners(i), " of ", vertices));
    }
    const int64_t batch = upstream.dim_size(0), size = upstream.dim_size(1), area = size * size;
    Tensor* gradient = nullptr;
    OP_REQUIRES_OK(context, context->allocate_output(0, {batch, vertices, 2}, &gradient));
    float* out = gradient->flat<float>().data();
    ForEachPicture(context, batch, 16 * area, [&](int64_t b) {
      const int64_t at = b * area;
      const Picture picture = {upstream.flat<float>().data() + at, spread.flat<float>().data() + at,
                               covered.flat<float>().data() + at, triangle.flat<int32>().data() + at,
                               barycentrics.flat<float>().data() + 3 * at};
      Distribute(picture, size, corners.data(), faces.dim_size(0), out + b * vertices * 2, vertices);
    });
  }

 private:
  struct Picture {
    const float *upstream, *spread, *covered;
    const int32* triangle;
    const float* barycentrics;
  };

  void Distribute(const Picture& picture, int64_t size, const int32* faces, int64_t count, float* gradient,
                  int64_t vertices) const {
    std::fill(gradient, gradient + 2 * vertices, 0.0f);
    Bordered felt(size);  // upstream where the splat is not clipped
    for (int64_t y = 0; y < size; ++y) {
      const float *upstream = picture.upstream + y * size, *spread = picture.spread + y * size;
      float* row = felt.Row(y);
      for (int64_t x = 0; x < size; ++x) row[x] = spread[x] < 1.0f ? upstream[x] : 0.0f;
    }
    const float slope = 4.0f * scale_ * side_;
    for (int64_t y = 0; y < size; ++y) {
      const float *above = felt.Row(y - 1), *row = felt.Row(y), *below = felt.Row(y + 1);
      for (int64_t x = 0; x < size; ++x) {
        const int64_t pixel = y * size + x;
        if (picture.covered[pixel] == 0.0f) continue;
        const auto column = [&](int64_t i) { return row[i] + side_ * (above[i] + below[i]); };
        const auto across = [&](const float* line) { return line[x] + side_ * (line[x - 1] + line[x + 1]); };
        const float along_x = slope * (column(x + 1) - column(x - 1));
        const float along_y = slope * (across(below) - across(above));
        const int32 face = picture.triangle[pixel];
        if ((along_x == 0.0f && along_y == 0.0f) || face < 0 || face >= count) continue;
        for (int k = 0; k < 3; ++k) {
          float* vertex = gradient + 2 * faces[3 * face + k];
          const float share = picture.barycentrics[3 * pixel + k];
          vertex[0] += share * along_x;
          vertex[1] += share * along_y;
        }
      }
    }
  }

  float side_, scale_;
};

}  // namespace

REGISTER_OP("HiuSplat")
    .Input("covered: float")
    .Attr("side: float")
    .Attr("scale: float")
    .Output("spread: float")
    .SetShapeFn(tensorflow::shape_inference::UnchangedShape);

REGISTER_OP("HiuSplatGradient")
    .Input("upstream: float")
    .Input("spread: float")
    .Input("covered: float")
    .Input("triangle: int32")
    .Input("barycentrics: float")
    .Input("faces: int32")
    .Input("vertices: int32")
    .Attr("side: float")
    .Attr("scale: float")
    .Output("gradient: float")
    .SetShapeFn([](tensorflow::shape_inference::InferenceContext* context) {
      tensorflow::shape_inference::ShapeHandle upstream;
      TF_RETURN_IF_ERROR(context->WithRank(context->input(0), 3, &upstream));
      tensorflow::shape_inference::DimensionHandle vertices;
      TF_RETURN_IF_ERROR(context->MakeDimForScalarInput(6, &vertices));
      context->set_output(0, context->MakeShape({context->Dim(upstream, 0), vertices, 2}));
      return tensorflow::OkStatus();
    });

REGISTER_KERNEL_BUILDER(Name("HiuSplat").Device(tensorflow::DEVICE_CPU), SplatOp);
REGISTER_KERNEL_BUILDER(Name("HiuSplatGradient").Device(tensorflow::DEVICE_CPU), SplatGradientOp);
