// Convolutions in float or double; one and two dimensions have leading sizes of 1. Any number of threads
// gives the same bits.
#pragma once
#include <cstdint>

#include "core/dtype.h"

namespace nnlib {
class Storage;
}

namespace nnlib::drivers {

struct ConvShape {
  int64_t batch, in_channels, out_channels, groups;
  int64_t in[3], kernel[3], out[3];
  // padding: on the low side; the high side follows from `out`. Negative padding cuts.
  int64_t stride[3], padding[3], dilation[3];

  int64_t in_group() const { return in_channels / groups; }
  int64_t out_group() const { return out_channels / groups; }
  int64_t in_pixels() const { return in[0] * in[1] * in[2]; }
  int64_t out_pixels() const { return out[0] * out[1] * out[2]; }
  int64_t taps() const { return kernel[0] * kernel[1] * kernel[2]; }
  // The share of a dimension's taps of all outputs that see pixels, and not padding.
  double seen(int d) const;
  // A 1x1 kernel that meets each pixel once: a product with the images as they are.
  bool pointwise() const {
    for (int d = 0; d < 3; ++d) {
      if (kernel[d] != 1 || stride[d] != 1 || padding[d] != 0 || out[d] != in[d]) return false;
    }
    return true;
  }
};

// The images of an input or an output in memory, dense: N, C, D, H, W or, with channels_last, N, D, H, W, C.
// Of the compute type or, where that is float, of 16 bits: these become float on the way in and are rounded
// on the way out, a part at a time.
struct ConvImages {
  const void* data;  // written to where it is an output
  Dtype dtype;
  bool channels_last;
  int64_t channels, pixels;
};
// Weights of any strides: output channel, input channel of a group, tap. Of bfloat16 images they are bfloat16
// numbers too, whatever type they have here. The storage that they lie in lets their packing be kept
// (packed_cache.h).
template <class T>
struct ConvWeights {
  const T* data;
  int64_t out_step, in_step, tap_step;
  Storage* owner = nullptr;
};

enum class ConvAlgorithm { Depthwise, Pointwise, ImplicitGemm, Winograd };
struct ConvChoice {
  ConvAlgorithm algorithm;
  const char* why;
};
// The algorithm that the shape asks for, `last`: of images with the channels last. conv_forward takes it
// unless the images lie so that a driver reads few channels from where they are. (double has neither
// depthwise nor Winograd kernels and takes ImplicitGemm instead.)
ConvChoice choose_conv(const ConvShape& s, bool last = false);

// Whether Winograd's algorithm may be taken: fewer multiplications, larger rounding errors. Of the process.
bool winograd();
void set_winograd(bool on);

// y[N, Co, *out] = x[N, Ci, *in] * w[Co, Ci / groups, *kernel] + bias[Co]; bias may be null.
template <class T>
void conv_forward(const ConvShape& s, const ConvImages& x, const ConvWeights<T>& w, const T* bias,
                  const ConvImages& y);

// gx: the gradient with respect to x, or the transposed convolution of gy; then bias[Ci] may be given.
template <class T>
void conv_input_grad(const ConvShape& s, const ConvImages& gy, const ConvWeights<T>& w, const T* bias,
                     const ConvImages& gx);

// gw: the gradient with respect to w, contiguous.
template <class T>
void conv_weight_grad(const ConvShape& s, const ConvImages& x, const ConvImages& gy, T* gw);

// gb[Co]: the sum of gy over the batch and the pixels.
template <class T>
void conv_bias_grad(const ConvShape& s, const ConvImages& gy, T* gb);

template <class T>
struct Strided;

namespace detail {
// The two above, with or without Winograd's algorithm.
template <class T>
void any_forward(const ConvShape& s, const ConvImages& x, const ConvWeights<T>& w, const T* bias,
                 const ConvImages& y, bool winograd);
template <class T>
void any_input_grad(const ConvShape& s, const ConvImages& gy, const ConvWeights<T>& w, const T* bias,
                    const ConvImages& gx, bool winograd);

// One algorithm each.
template <class T>
void gemm_forward(const ConvShape& s, const ConvImages& x, const ConvWeights<T>& w, const T* bias,
                  const ConvImages& y);
template <class T>
void gemm_input_grad(const ConvShape& s, const ConvImages& gy, const ConvWeights<T>& w, const T* bias,
                     const ConvImages& gx);
template <class T>
void gemm_weight_grad(const ConvShape& s, const ConvImages& x, const ConvImages& gy, T* gw);

// The input gradient by the product W^T gy, whose elements are added up where they land.
bool columns_suit_input_grad(const ConvShape& s);
template <class T>
void columns_input_grad(const ConvShape& s, const ConvImages& gy, const ConvWeights<T>& w, const T* bias,
                        const ConvImages& gx);

// Images of T with their channels last, whose lines of pixels are the rows of a matrix.
template <class T>
bool rows_suit(const ConvShape& s, const ConvImages& x, const ConvImages& y);
template <class T>
void rows_forward(const ConvShape& s, const ConvImages& x, const ConvWeights<T>& w, const T* bias,
                  const ConvImages& y);
// False where nothing was done.
template <class T>
bool rows_input_grad(const ConvShape& s, const ConvImages& gy, const ConvWeights<T>& w, const T* bias,
                     const ConvImages& gx);

// 1x1, stride 1, one group, images of T in one layout.
template <class T>
bool pointwise_suits(const ConvShape& s, const ConvImages& a, const ConvImages& b);
// y[image, to, pixel] = the sum over `from` of w(to, from) x[image, from, pixel] (+ bias[to]) where that is
// quicker: by bfloat16 tiles, or for few channels; false where nothing was done.
template <class T>
bool pointwise_product(int64_t batch, int64_t pixels, int64_t from_channels, const T* x, int64_t to_channels,
                       const Strided<T>& w, const T* bias, T* y);
// False where the images are too small for it, or not such.
template <class T>
bool pointwise_weight_grad(const ConvShape& s, const ConvImages& x, const ConvImages& gy, T* gw);

// One input channel a group, in planes.
void depthwise_forward(const ConvShape& s, const ConvImages& x, const ConvWeights<float>& w,
                       const float* bias, const ConvImages& y);
// One input and one output channel a group, in planes.
void depthwise_input_grad(const ConvShape& s, const ConvImages& gy, const ConvWeights<float>& w,
                          const float* bias, const ConvImages& gx);
// Any number of channels, best with few a group and strides; gx in planes of floats.
void groups_input_grad(const ConvShape& s, const ConvImages& gy, const ConvWeights<float>& w,
                       const float* bias, const ConvImages& gx);
// Any number of channels, best with few a group: planes are multiplied and summed.
void planes_weight_grad(const ConvShape& s, const ConvImages& x, const ConvImages& gy, float* gw);

// Winograd's algorithm, by tiles of `size` squared outputs, for square kernels of 2 to 5 taps, of stride and
// dilation 1 in two dimensions, and for convolutions that can be lifted to such (conv_winograd_lift.h). False
// where a value is not finite: then nothing is said of the output, which has to be computed in another way.
//
// The best size of a tile by a model of their times; 0 where a matrix product is better or has to be. `last`:
// of images with the channels last.
int64_t winograd_size(const ConvShape& s, bool last = false);
int64_t winograd_input_grad_size(const ConvShape& s, bool last = false);
int64_t winograd_weight_grad_size(const ConvShape& s, bool last = false);
// How many times quicker than a matrix product it is then, 1 where it is not taken.
double winograd_gain(const ConvShape& s, bool last = false);
double winograd_input_grad_gain(const ConvShape& s, bool last = false);
double winograd_weight_grad_gain(const ConvShape& s, bool last = false);
// Of two dimensions and dilation 1, with strides that WinoSteps suit. Images and weights are floats, in
// planes or with the channels last.
bool winograd_forward(const ConvShape& s, int64_t size, const float* x, const float* w, const float* bias,
                      float* y, bool x_last = false, bool y_last = false, bool w_last = false);
bool winograd_input_grad(const ConvShape& s, int64_t size, const float* gy, const float* w, const float* bias,
                         float* gx, bool gy_last = false, bool gx_last = false, bool w_last = false);
bool winograd_weight_grad(const ConvShape& s, int64_t size, const float* x, const float* gy, float* gw,
                          bool x_last = false, bool gy_last = false);

// Of any that is possible, on images of any layout and type.
bool winograd_images_forward(const ConvShape& s, int64_t size, const ConvImages& x,
                             const ConvWeights<float>& w, const float* bias, const ConvImages& y);
bool winograd_images_input_grad(const ConvShape& s, int64_t size, const ConvImages& gy,
                                const ConvWeights<float>& w, const float* bias, const ConvImages& gx);
bool winograd_images_weight_grad(const ConvShape& s, int64_t size, const ConvImages& x, const ConvImages& gy,
                                 float* gw);

// depth: in parts without padding in front and behind, where that is less work; otherwise false.
template <class T>
bool depth_forward(const ConvShape& s, const ConvImages& x, const ConvWeights<T>& w, const T* bias,
                   const ConvImages& y);
template <class T>
bool depth_input_grad(const ConvShape& s, const ConvImages& gy, const ConvWeights<T>& w, const T* bias,
                      const ConvImages& gx);
template <class T>
bool depth_weight_grad(const ConvShape& s, const ConvImages& x, const ConvImages& gy, T* gw);

// turned: of floats in planes, with the channels last meanwhile, where that is quicker; otherwise false.
bool turned_forward(const ConvShape& s, const ConvImages& x, const ConvWeights<float>& w, const float* bias,
                    const ConvImages& y);
bool turned_input_grad(const ConvShape& s, const ConvImages& gy, const ConvWeights<float>& w,
                       const float* bias, const ConvImages& gx);
bool turned_weight_grad(const ConvShape& s, const ConvImages& x, const ConvImages& gy, float* gw);
// depthwise_last: depthwise on images of floats with some blocks of channels last, read where they lie; false
// where they are others, or borders are most of them.
bool depthwise_last_forward(const ConvShape& s, const ConvImages& x, const ConvWeights<float>& w,
                            const float* bias, const ConvImages& y);
bool depthwise_last_input_grad(const ConvShape& s, const ConvImages& gy, const ConvWeights<float>& w,
                               const float* bias, const ConvImages& gx);
bool depthwise_last_weight_grad(const ConvShape& s, const ConvImages& x, const ConvImages& gy, float* gw);
// stretches: of floats with the channels last, few of them a group, read where they lie.
bool stretches_suit_forward(const ConvShape& s, const ConvImages& x, const ConvImages& y);
bool stretches_suit_input_grad(const ConvShape& s, const ConvImages& gy, const ConvImages& gx);
bool stretches_suit_weight_grad(const ConvShape& s, const ConvImages& x, const ConvImages& gy);
void stretches_forward(const ConvShape& s, const ConvImages& x, const ConvWeights<float>& w,
                       const float* bias, const ConvImages& y);
void stretches_input_grad(const ConvShape& s, const ConvImages& gy, const ConvWeights<float>& w,
                          const float* bias, const ConvImages& gx);
void stretches_weight_grad(const ConvShape& s, const ConvImages& x, const ConvImages& gy, float* gw);
// dots: of floats with the channels last, many of them to few, read where they lie.
bool dots_suit_forward(const ConvShape& s, const ConvImages& x, const ConvImages& y, bool winograd);
bool dots_suit_input_grad(const ConvShape& s, const ConvImages& gy, const ConvImages& gx, bool winograd);
bool dots_suit_weight_grad(const ConvShape& s, const ConvImages& x, const ConvImages& gy);
// How many times quicker than a product of gathered lines weight gradients are then.
double dots_weight_grad_gain(const ConvShape& s);
void dots_forward(const ConvShape& s, const ConvImages& x, const ConvWeights<float>& w, const float* bias,
                  const ConvImages& y);
void dots_input_grad(const ConvShape& s, const ConvImages& gy, const ConvWeights<float>& w, const float* bias,
                     const ConvImages& gx);
void dots_weight_grad(const ConvShape& s, const ConvImages& x, const ConvImages& gy, float* gw);

// Any number of channels a group, best with few: lanes are channels of the result, so that images have their
// channels last or are turned round. Planes have to be floats.
void pixels_forward(const ConvShape& s, const ConvImages& x, const ConvWeights<float>& w, const float* bias,
                    const ConvImages& y);
void pixels_input_grad(const ConvShape& s, const ConvImages& gy, const ConvWeights<float>& w,
                       const float* bias, const ConvImages& gx);
void pixels_weight_grad(const ConvShape& s, const ConvImages& x, const ConvImages& gy, float* gw);

}  // namespace detail

}  // namespace nnlib::drivers
