// Bilinear warp of a picture by a similarity, in one pass from bytes to bytes.

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstring>

#include "tensorflow/core/framework/op.h"
#include "tensorflow/core/framework/op_kernel.h"
#include "tensorflow/core/framework/shape_inference.h"

namespace {

using tensorflow::int32;
using tensorflow::uint8;

// Weights of neighbours have this many bits; two of them and a byte fit into 31.
constexpr int kBits = 11;
constexpr int32 kOne = 1 << kBits;
// Positions have this many binary places.
constexpr int kPlaces = 24;
constexpr double kUnit = 1 << kPlaces;
// Positions and steps above this would not fit into 64 bits.
constexpr float kFarthest = 1e7f;
constexpr int32 kHalf = 1 << (2 * kBits - 1);

// Pixels [height, width, C]; those outside of first..last count as 0.
struct Picture {
  const uint8* pixels;
  int64_t width;
  int32 first_x, first_y, last_x, last_y;
};

template <int C>
const uint8* At(const Picture& picture, int32 x, int32 y) {
  static const uint8 kBlack[C] = {};
  const bool shown = x >= picture.first_x && x <= picture.last_x && y >= picture.first_y && y <= picture.last_y;
  return shown ? picture.pixels + (y * picture.width + x) * C : kBlack;
}

template <int C>
void Warp(const Picture& picture, const float* inverse, int32 size, uint8* crop) {
  const bool broken = std::any_of(inverse, inverse + 6, [](float v) { return !(std::abs(v) < kFarthest); });
  if (broken) {
    std::memset(crop, 0, static_cast<size_t>(size) * size * C);
    return;
  }
  const int64_t step_x = std::llround(inverse[0] * kUnit), step_y = std::llround(inverse[1] * kUnit);
  const int64_t low_x = (picture.first_x - 1LL) << kPlaces, high_x = (picture.last_x + 1LL) << kPlaces;
  const int64_t low_y = (picture.first_y - 1LL) << kPlaces, high_y = (picture.last_y + 1LL) << kPlaces;
  const int32 stride = picture.width * C;
  for (int32 row = 0; row < size; ++row) {
    int64_t x = std::llround((row * inverse[2] + inverse[4]) * kUnit), y = std::llround((row * inverse[3] + inverse[5]) * kUnit);
    for (int32 column = 0; column < size; ++column, crop += C, x += step_x, y += step_y) {
      if (x <= low_x || x >= high_x || y <= low_y || y >= high_y) {
        std::memset(crop, 0, C);
        continue;
      }
      const int32 left = x >> kPlaces, top = y >> kPlaces;
      const int32 right = (x >> (kPlaces - kBits)) & (kOne - 1), below = (y >> (kPlaces - kBits)) & (kOne - 1);
      const int32 weight_d = right * below, weight_b = (right << kBits) - weight_d, weight_c = (below << kBits) - weight_d;
      const int32 weight_a = (1 << (2 * kBits)) - weight_b - weight_c - weight_d;
      const uint8 *a, *b, *c, *d;
      if (left >= picture.first_x && left < picture.last_x && top >= picture.first_y && top < picture.last_y) {
        a = picture.pixels + top * stride + left * C;
        b = a + C;
        c = a + stride;
        d = c + C;
      } else {
        a = At<C>(picture, left, top);
        b = At<C>(picture, left + 1, top);
        c = At<C>(picture, left, top + 1);
        d = At<C>(picture, left + 1, top + 1);
      }
      for (int k = 0; k < C; ++k) {
        crop[k] = (weight_a * a[k] + weight_b * b[k] + weight_c * c[k] + weight_d * d[k] + kHalf) >> (2 * kBits);
      }
    }
  }
}

class WarpOp : public tensorflow::OpKernel {
 public:
  explicit WarpOp(tensorflow::OpKernelConstruction* context) : OpKernel(context) {
    OP_REQUIRES_OK(context, context->GetAttr("size", &size_));
  }

  void Compute(tensorflow::OpKernelContext* context) override {
    const tensorflow::Tensor &pixels = context->input(0), &inverse = context->input(1), &frame = context->input(2);
    OP_REQUIRES(context, pixels.dims() == 3 && (pixels.dim_size(2) == 1 || pixels.dim_size(2) == 3),
                tensorflow::errors::InvalidArgument("pixels must be [H, W, 1 or 3], got ", pixels.shape().DebugString()));
    OP_REQUIRES(context, inverse.NumElements() == 6 && frame.NumElements() == 4,
                tensorflow::errors::InvalidArgument("inverse must be [3, 2] and frame [4]"));
    tensorflow::Tensor* crop = nullptr;
    OP_REQUIRES_OK(context, context->allocate_output(0, {size_, size_, pixels.dim_size(2)}, &crop));
    const auto shown = frame.flat<int32>();
    const int32 width = pixels.dim_size(1), height = pixels.dim_size(0);
    const Picture picture = {pixels.flat<uint8>().data(), width, std::max(shown(0), 0), std::max(shown(1), 0),
                             std::min(shown(2), width - 1), std::min(shown(3), height - 1)};
    const auto warp = pixels.dim_size(2) == 3 ? Warp<3> : Warp<1>;
    warp(picture, inverse.flat<float>().data(), size_, crop->flat<uint8>().data());
  }

 private:
  int32 size_;
};

}  // namespace

REGISTER_OP("HiuWarp")
    .Input("pixels: uint8")
    .Input("inverse: float")
    .Input("frame: int32")
    .Attr("size: int >= 1")
    .Output("crop: uint8")
    .SetShapeFn([](tensorflow::shape_inference::InferenceContext* context) {
      tensorflow::shape_inference::ShapeHandle pixels;
      TF_RETURN_IF_ERROR(context->WithRank(context->input(0), 3, &pixels));
      int32 size;
      TF_RETURN_IF_ERROR(context->GetAttr("size", &size));
      context->set_output(0, context->MakeShape({size, size, context->Dim(pixels, 2)}));
      return tensorflow::OkStatus();
    });

REGISTER_KERNEL_BUILDER(Name("HiuWarp").Device(tensorflow::DEVICE_CPU), WarpOp);
