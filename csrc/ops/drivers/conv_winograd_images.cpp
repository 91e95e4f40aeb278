// Winograd's algorithm on images and weights of any layout and type, and for convolutions that have to be
// lifted: what a plain convolution of floats can not read where it lies is read into planes, and written from
// them, some images at a time.
#include "core/parallel.h"
#include "ops/drivers/conv_layout.h"
#include "ops/drivers/conv_winograd.h"
#include "ops/drivers/conv_winograd_lift.h"

namespace nnlib::drivers::detail {

namespace {

// Elements of the planes that are held at once, and elements that are worth waking a thread.
constexpr int64_t kPiece = 1 << 21, kSerialElements = 16384;

// A convolution, the plain one that computes it, and both's images.
struct Pieces {
  Pieces(const Lift& l, const ConvImages& a, const ConvImages& b)
      : lift(l), x(a), y(b), x_direct(direct(l.x, a)), y_direct(direct(l.y, b)) {
    const int64_t held = (x_direct ? 0 : l.x.elements()) + (y_direct ? 0 : l.y.elements());
    most = held == 0 ? l.s.batch : std::clamp<int64_t>(kPiece / held, 1, l.s.batch);
  }
  // Images of floats that the plain convolution reads or writes where they are.
  static bool direct(const LiftedImages& side, const ConvImages& t) {
    return t.dtype == Dtype::Float32 && side.same(t.channels_last);
  }
  static float* first_of(const ConvImages& t, int64_t image) {
    return reinterpret_cast<float*>(address(t, image, 0, 0));
  }
  template <Scratch Room>
  const float* read(const LiftedImages& side, const ConvImages& t, int64_t first, int64_t count) const {
    if (direct(side, t)) return first_of(t, first);
    float* room = scratch<Room, float>(count * side.elements());
    side.read(t, first, count, room);
    return room;
  }
  // Whether the plain convolution's have their channels last.
  bool x_last() const { return x_direct ? x.channels_last : lift.x.stays_last(x); }
  bool y_last() const { return y_direct ? y.channels_last : lift.y.stays_last(y); }

  // Calls f(plain convolution of some images, the first of these, how many) until it says false.
  template <class F>
  bool each(F f) const {
    for (int64_t first = 0; first < lift.s.batch; first += most) {
      const int64_t count = std::min(most, lift.s.batch - first);
      ConvShape part = lift.plain;
      part.batch = lift.plain.batch / lift.s.batch * count;
      if (!f(part, first, count)) return false;
    }
    return true;
  }

  const Lift& lift;
  const ConvImages &x, &y;
  bool x_direct, y_direct;
  int64_t most;
};

// The weights of the plain convolution: where they lie, maybe with the input channels last, or read.
struct PlainWeights {
  PlainWeights(const Lift& lift, const ConvWeights<float>& w) : data(w.data), last(false) {
    const int64_t taps = lift.s.taps(), inputs = lift.s.in_group();
    const bool dense = lift.same_weights() && w.out_step == inputs * taps;
    if (dense && w.tap_step == 1 && w.in_step == taps) return;
    last = dense && w.in_step == 1 && w.tap_step == inputs;
    if (last) return;
    float* room = scratch<Scratch::Kernels, float>(lift.weights_size());
    lift.read_weights(w, room);
    data = room;
  }
  const float* data;
  bool last;
};

// One of a convolution's two sets of images.
struct Side {
  const LiftedImages& lifted;
  const ConvImages& images;
  bool direct;
};

// to = the plain convolution of `from` + bias, some images at a time: convolve(plain convolution, in, bias,
// out).
template <class F>
bool by_pieces(const Pieces& pieces, const Side& from, const Side& to, const float* bias, F convolve) {
  return pieces.each([&](const ConvShape& part, int64_t first, int64_t count) {
    const float* in = pieces.read<Scratch::ImagesIn>(from.lifted, from.images, first, count);
    float* out = to.direct ? Pieces::first_of(to.images, first)
                           : scratch<Scratch::ImagesOut, float>(count * to.lifted.elements());
    if (!convolve(part, in, to.direct ? bias : nullptr, out)) return false;
    if (!to.direct) to.lifted.write(out, first, count, bias, to.images);
    return true;
  });
}

}  // namespace

bool winograd_images_forward(const ConvShape& s, int64_t size, const ConvImages& x,
                             const ConvWeights<float>& w, const float* bias, const ConvImages& y) {
  const Lift lift(s, false);
  const Pieces pieces(lift, x, y);
  const PlainWeights kernels(lift, w);
  return by_pieces(pieces, {lift.x, x, pieces.x_direct}, {lift.y, y, pieces.y_direct}, bias,
                   [&](const ConvShape& part, const float* in, const float* added, float* out) {
                     return winograd_forward(part, size, in, kernels.data, added, out, pieces.x_last(),
                                             pieces.y_last(), kernels.last);
                   });
}

bool winograd_images_input_grad(const ConvShape& s, int64_t size, const ConvImages& gy,
                                const ConvWeights<float>& w, const float* bias, const ConvImages& gx) {
  const Lift lift(s, true);
  if (const std::optional<ConvShape> back =
          lift.turned_whole()) {  // it adds up nothing after the convolution
    const ConvWeights<float> turned{w.data + (s.taps() - 1) * w.tap_step, w.in_step, w.out_step, -w.tap_step};
    return winograd_images_forward(*back, size, gy, turned, bias, gx);
  }
  const Pieces pieces(lift, gx, gy);
  const PlainWeights kernels(lift, w);
  return by_pieces(pieces, {lift.y, gy, pieces.y_direct}, {lift.x, gx, pieces.x_direct}, bias,
                   [&](const ConvShape& part, const float* in, const float* added, float* out) {
                     return winograd_input_grad(part, size, in, kernels.data, added, out, pieces.y_last(),
                                                pieces.x_last(), kernels.last);
                   });
}

// The sums of the pieces are added in order.
bool winograd_images_weight_grad(const ConvShape& s, int64_t size, const ConvImages& x, const ConvImages& gy,
                                 float* gw) {
  const Lift lift(s, false);
  const Pieces pieces(lift, x, gy);
  // Rooms for the plain weights, where they differ, and for the sums of a piece, where there are several.
  const int64_t elements = lift.weights_size(), own = lift.same_weights() ? 0 : elements;
  float* room = scratch<Scratch::Kernels, float>(own + (pieces.most < s.batch ? elements : 0));
  float* total = own == 0 ? gw : room;
  const bool finite = pieces.each([&](const ConvShape& part, int64_t first, int64_t count) {
    const float* in = pieces.read<Scratch::ImagesIn>(lift.x, x, first, count);
    const float* g = pieces.read<Scratch::ImagesOut>(lift.y, gy, first, count);
    float* sum = first == 0 ? total : room + own;
    if (!winograd_weight_grad(part, size, in, g, sum, pieces.x_last(), pieces.y_last())) return false;
    if (first > 0) kernels::table().add_f32(elements, total, sum, total);
    return true;
  });
  if (finite && !lift.same_weights()) lift.write_weights(total, gw);
  return finite;
}

}  // namespace nnlib::drivers::detail
