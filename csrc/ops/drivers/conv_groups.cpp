// Input gradients of strided convolutions whose groups have few channels, in planes: one frame of gy serves
// all phases of the stride, which are multiplied straight from it. As a product for each phase, frames and
// tiles that are small each took most of the time.
#include <vector>

#include "core/parallel.h"
#include "ops/drivers/conv_depthwise.h"
#include "ops/drivers/scratch.h"

namespace nnlib::drivers::detail {

namespace {

// Pixels of gy that are served at once: what is made of them stays in the near caches.
constexpr int64_t kBand = 384;

// Rows of a panel: the kernel's tile, or four where the last tile would be as good as empty.
int64_t panel_rows(int64_t rows) {
  const int64_t mr = kernels::table().direct_mr, rest = rows % mr;
  return rest > 0 && rest <= 2 && mr < 8 ? std::min<int64_t>(4, mr) : mr;
}

// One phase: its pixels and, packed, the weights of the taps that reach them.
struct GroupPhase {
  AxisPhase z, y, x;
  PhaseTaps taps;
  std::vector<int64_t> offsets;  // of all channels' taps in the frame
  int64_t k, weights;            // lines of a panel, and where the panels of the first group begin
};

class GroupsBack {
 public:
  GroupsBack(const ConvShape& s, const ConvWeights<float>& w)
      : s_(s), back_(s), mr_(kernels::table().direct_mr), step_(panel_rows(s.in_group())) {
    panels_ = (s.in_group() + step_ - 1) / step_;
    ConvFrame frame(back_.shape);
    frame.place(0, 1);
    int64_t size = 0;
    back_.for_phases([&](const AxisPhase& z, const AxisPhase& y, const AxisPhase& x) {
      GroupPhase p{z, y, x, {}, {}, 0, size};
      back_.list(frame, z, y, x, &p.taps);
      p.k = s.out_group() * int64_t(p.taps.tap.size());
      size += s.groups * panels_ * p.k * mr_;
      phases_.push_back(p);
    });
    packed_ = scratch<Scratch::Weights, float>(size + 1);
    parallel_for(0, s.groups, 4, [&](int64_t first, int64_t last) {
      for (int64_t g = first; g < last; ++g) {
        for (const GroupPhase& p : phases_) pack(p, g, w);
      }
    });
  }
  const ConvShape& shape() const { return back_.shape; }

  // What one thread needs besides.
  struct Local {
    explicit Local(const GroupsBack& all) : frame(all.back_.shape), phases(all.phases_) {}
    ConvFrame frame;
    std::vector<GroupPhase> phases;
    std::vector<int64_t> vectors;
  };

  void run(Local& local, int64_t image, int64_t group, const ConvImages& gy, const float* bias,
           float* gx) const {
    const ConvShape& b = back_.shape;
    const int64_t ci = s_.in_group(), co = s_.out_group(), stride = s_.stride[2];
    for_bands(b, kBand, [&](int64_t pixel, int64_t rows, int64_t cols) {
      if (local.frame.place(image * b.out_pixels() + pixel, (rows - 1) * b.out[2] + cols))
        list(local, rows, cols);
      const int64_t line = local.frame.line_size(), ld = (rows - 1) * line + cols;
      const float* framed = local.frame.framed<float>(gy, group * co, co);
      float* c = scratch<Scratch::Output, float>(stride * ci * ld);
      const int64_t q[3] = {pixel / (b.out[1] * b.out[2]), pixel / b.out[2] % b.out[1], pixel % b.out[2]};
      for (const GroupPhase& p : local.phases) {
        if (q[0] >= p.z.count) continue;
        multiply(p, group, local, framed, bias ? bias + group * ci : nullptr, c + p.x.pixel * ci * ld, ld);
        if (p.x.pixel + 1 < int64_t(back_.phases[2].size())) continue;
        const int64_t count = std::min(rows, p.y.count - q[1]), at_x = q[2] * stride,
                      length = std::min(s_.in[2] - at_x, cols * stride);
        std::vector<const float*> sources(static_cast<size_t>(stride));
        for (int64_t i = 0; i < ci; ++i) {
          float* plane = gx + (image * s_.in_channels + group * ci + i) * s_.in_pixels() +
                         (q[0] * s_.stride[0] + p.z.pixel) * s_.in[1] * s_.in[2] + at_x;
          for (int64_t r = 0; r < count; ++r) {
            for (int64_t f = 0; f < stride; ++f) sources[size_t(f)] = c + (f * ci + i) * ld + r * line;
            merge_phases(stride, length, cols, sources.data(),
                         plane + ((q[1] + r) * s_.stride[1] + p.y.pixel) * s_.in[2]);
          }
        }
      }
    });
  }

 private:
  void pack(const GroupPhase& p, int64_t group, const ConvWeights<float>& w) {
    const int64_t ci = s_.in_group(), co = s_.out_group();
    float* to = packed_ + p.weights + group * panels_ * p.k * mr_;
    for (int64_t i = 0; i < ci; i += step_) {
      const int64_t n = std::min(step_, ci - i);
      for (int64_t o = group * co; o < (group + 1) * co; ++o) {
        for (int64_t tap : p.taps.tap) {
          const float* from = w.data + o * w.out_step + i * w.in_step + tap * w.tap_step;
          for (int64_t r = 0; r < mr_; ++r) to[r] = r < n ? from[r * w.in_step] : 0.f;
          to += mr_;
        }
      }
    }
  }
  // Where the taps lie in a frame that was placed anew, and the vectors of its lines: these follow each
  // other, so that a vector may hold the end of one and, past what no pixel sees, the beginning of the next.
  void list(Local& local, int64_t rows, int64_t cols) const {
    for (GroupPhase& p : local.phases) {
      back_.list(local.frame, p.z, p.y, p.x, &p.taps);
      p.offsets.clear();
      for (int64_t o = 0; o < s_.out_group(); ++o) {
        for (int64_t at : p.taps.offset) p.offsets.push_back(o * local.frame.channel_size() + at);
      }
    }
    const int64_t width = kernels::table().lines_nr / 2, length = (rows - 1) * local.frame.line_size() + cols;
    local.vectors.clear();
    for (int64_t at = 0; at < length; at += width)
      local.vectors.insert(local.vectors.end(), {at, at, std::min(width, length - at)});
  }
  void multiply(const GroupPhase& p, int64_t group, const Local& local, const float* framed,
                const float* bias, float* c, int64_t ld) const {
    const float* panel = packed_ + p.weights + group * panels_ * p.k * mr_;
    for (int64_t i = 0; i < s_.in_group(); i += step_, panel += p.k * mr_) {
      kernels::table().conv_direct_f32(
          p.k, panel, mr_, p.offsets.data(), framed, int64_t(local.vectors.size()) / 3, local.vectors.data(),
          c + i * ld, ld, std::min(step_, s_.in_group() - i), bias ? bias + i : nullptr, false);
    }
  }

  const ConvShape& s_;
  DepthwiseBack back_;
  int64_t mr_, step_, panels_ = 0;
  std::vector<GroupPhase> phases_;
  float* packed_ = nullptr;
};

}  // namespace

void groups_input_grad(const ConvShape& s, const ConvImages& gy, const ConvWeights<float>& w,
                       const float* bias, const ConvImages& gx) {
  const GroupsBack groups(s, w);
  float* out = const_cast<float*>(planes<float>(gx));
  LoopLocal<GroupsBack::Local> locals;
  parallel_for(0, s.batch * s.groups, 1, [&](int64_t first, int64_t last) {
    GroupsBack::Local& local = locals.get(groups);
    for (int64_t t = first; t < last; ++t) groups.run(local, t % s.batch, t / s.batch, gy, bias, out);
  });
}

}  // namespace nnlib::drivers::detail
