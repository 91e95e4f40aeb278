// Gradients with respect to the weights, as the matrix product im2col(x) gy^T summed over the pixels: lines
// of x are gathered a block of pixels at a time, gy is transposed once a block.
#include <memory>
#include <type_traits>

#include "core/parallel.h"
#include "ops/drivers/conv.h"
#include "ops/drivers/conv_frame.h"
#include "ops/drivers/conv_tiles.h"
#include "ops/drivers/gemm_block.h"

namespace nnlib::drivers::detail {

namespace {

// Rows (channel, tap) that a task takes at once.
constexpr int64_t kRows = 256;
// Tasks to aim for, and elements that their partial sums may take together.
constexpr int64_t kTasks = 32, kPartialSums = int64_t(1) << 21;
// Channels beside each other that are served in turn.
constexpr int64_t kTogether = 64;
// Output channels of a group that are so few that gathering lines of x costs more than reading them
// scattered.
constexpr int64_t kFewColumns = 32;
// Output channels whose packed pixels stay in the second-level cache while lines of x pass.
constexpr int64_t kNearColumns = 256;
// Pixels of a block for these: frames of long parts of planes.
constexpr int64_t kScatteredPixels = 1024;
// Pixels of a block for products of bfloat16: of k, so that adding to the sums costs little.
constexpr int64_t kTilePixels = 512;

int64_t tile_rows(float) { return kernels::table().lines_mr; }
int64_t tile_rows(double) { return tile_kernel<double>().mr; }
int64_t tile_columns(float) { return kernels::table().lines_nr; }
int64_t tile_columns(double) { return tile_kernel<double>().nr; }

// C (+)= A B, A as lines of lines_ld pixels.
void run_tile(int64_t kc, const float* a, const float* b, int64_t ldb, float* c, int64_t ldc, int64_t m,
              int64_t n, bool accumulate) {
  kernels::table().lines_tile_f32(kc, a, b, ldb, c, ldc, m, n, nullptr, accumulate);
}
void run_tile(int64_t kc, const double* a, const double* b, int64_t ldb, double* c, int64_t ldc, int64_t m,
              int64_t n, bool accumulate) {
  const TileKernel<double> tile = tile_kernel<double>();
  double* packed = scratch<Scratch::Rows, double>(tile.mr * kc);
  pack_panel(tile.mr, m, kc, a, kernels::table().lines_ld, 1, 1., packed);
  tile.run(kc, packed, b, ldb, c, ldc, m, n, nullptr, nullptr, accumulate);
}

// The same with lines of x as they lie in a frame, B in panels of ldb columns: pieces become runs.
void run_scattered(int64_t rows, int64_t co, const std::vector<int64_t>& offsets,
                   const std::vector<int64_t>& pieces, const float* framed, const float* b, int64_t ldb,
                   int64_t count, float* sum, bool accumulate) {
  std::vector<int64_t> runs;
  for (size_t p = 0; p < pieces.size(); p += 2) {
    if (!runs.empty() && runs.end()[-2] + runs.back() == pieces[p]) {
      runs.back() += pieces[p + 1];
    } else {
      runs.insert(runs.end(), {pieces[p], pieces[p + 1]});
    }
  }
  for (int64_t j = 0; j < co; j += ldb) {
    kernels::table().frame_dots_f32(rows, std::min(ldb, co - j), offsets.data(), int64_t(runs.size()) / 2,
                                    runs.data(), framed, b + j * count, ldb, sum + j, co, accumulate);
  }
}

// sum[rows, Co / g] over the pixel blocks [from, to), or what is added to it: rows of whole channels of one
// group.
template <class T>
void sum_pixels(const ConvShape& s, ConvFrame& frame, const PixelBlocks& blocks, const ConvImages& x,
                const ConvImages& gy, int64_t group, int64_t channel, int64_t channels, int64_t from,
                int64_t to, bool add, bool tiles, T* sum) {
  const int64_t taps = s.taps(), rows = channels * taps, co = s.out_group();
  if constexpr (std::is_same_v<T, float>) {
    if (tiles) {
      for (int64_t t = from; t < to; ++t) {
        sum_pixels_by_tiles(s, frame, x, gy, group, channel, channels, blocks.first(t), blocks.size(t),
                            add || t > from, sum);
      }
      return;
    }
  }
  const bool scattered = std::is_same_v<T, float> && co <= kFewColumns;
  const int64_t ld = kernels::table().lines_ld, most = tile_rows(T());
  const int64_t nr = scattered && co <= tile_columns(T()) / 2 ? tile_columns(T()) / 2 : tile_columns(T());
  const int64_t panels = (rows + most - 1) / most, mr = (rows + panels - 1) / panels;
  T* a = scratch<Scratch::PanelsA, T>(most * ld + kLineSlack);
  T* b = scratch<Scratch::PanelsB, T>((co + nr - 1) / nr * nr * blocks.block);
  std::vector<int64_t> pieces, offsets;
  for (int64_t t = from; t < to; ++t) {
    const int64_t first = blocks.first(t), count = blocks.size(t);
    for (int64_t j = 0; j < co; j += nr) {
      for_stretches(s, first, count, [&](int64_t image, int64_t pixel, int64_t offset, int64_t len) {
        pack_images(gy, nr, std::min(nr, co - j), len, address(gy, image, group * co + j, pixel),
                    channel_step(gy), pixel_step(gy), b + j * count + offset * nr);
      });
    }
    frame.place(first, count);
    const T* framed = frame.framed<T>(x, group * s.in_group() + channel, channels);
    pieces.clear();
    frame.pieces(first, count, &pieces);
    if constexpr (std::is_same_v<T, float>) {
      if (scattered) {
        offsets.clear();
        for (int64_t row = 0; row < rows; ++row) offsets.push_back(frame.row(row, 0));
        run_scattered(rows, co, offsets, pieces, framed, b, nr, count, sum, add || t > from);
        continue;
      }
    }
    const int64_t near = kNearColumns / nr * nr;  // whole panels
    for (int64_t j0 = 0; j0 < co; j0 += near) {
      const int64_t j1 = std::min(co, j0 + near);
      for (int64_t i = 0; i < rows; i += mr) {
        const int64_t m = std::min(mr, rows - i);
        offsets.clear();
        for (int64_t row = i; row < i + m; ++row) offsets.push_back(frame.row(row, 0));
        gather_lines(m, offsets.data(), int64_t(pieces.size()) / 2, pieces.data(), framed, a, ld);
        for (int64_t j = j0; j < j1; j += nr) {
          run_tile(count, a, b + j * count, nr, sum + i * co + j, co, m, std::min(nr, co - j),
                   add || t > from);
        }
      }
    }
  }
}

}  // namespace

// The sum over the batch is cut into a number of chunks that depends on the shape alone; their partial sums
// are added in order.
template <class T>
void gemm_weight_grad(const ConvShape& s, const ConvImages& x, const ConvImages& gy, T* gw) {
  const int64_t taps = s.taps(), k = s.in_group() * taps, co = s.out_group(), size = s.out_channels * k;
  const bool tiles =
      std::is_same_v<T, float> && x.dtype == gy.dtype && tiles_pay(x.dtype, co, k, s.batch * s.out_pixels());
  const bool scattered = std::is_same_v<T, float> && !tiles && co <= kFewColumns;
  const PixelBlocks blocks(s,
                           tiles       ? kTilePixels
                           : scattered ? kScatteredPixels
                                       : kernels::table().lines_ld,
                           1);
  const int64_t channels = balanced_block(s.in_group(), std::max<int64_t>(1, kRows / taps), 1);
  const int64_t parts = (s.in_group() + channels - 1) / channels;
  // Groups of channels that lie last share lines of the cache: a block of pixels serves several of them in
  // turn.
  const bool last = x.channels_last || gy.channels_last;
  const int64_t together = last ? std::clamp<int64_t>(kTogether / s.in_group(), 1, s.groups) : 1;
  const int64_t sets = (s.groups + together - 1) / together, tasks = sets * parts;
  const int64_t wanted = (kTasks + tasks - 1) / tasks;
  const int64_t most = std::clamp<int64_t>(blocks.count / 2, 1, std::max<int64_t>(1, kPartialSums / size));
  const int64_t chunks = std::min(wanted, most);
  T* sums = scratch<Scratch::Sums, T>(chunks * size);  // [chunk][group][row][Co / g]
  LoopLocal<ConvFrame> frames;
  parallel_for(0, chunks * tasks, 1, [&](int64_t first_task, int64_t last_task) {
    ConvFrame& frame = frames.get(s);
    for (int64_t t = first_task; t < last_task; ++t) {
      const int64_t chunk = t / tasks, set = t / parts % sets, channel = t % parts * channels;
      const int64_t from = blocks.count * chunk / chunks, to = blocks.count * (chunk + 1) / chunks;
      const int64_t step = together > 1 ? 1 : to - from;
      for (int64_t block = from; block < to; block += step) {
        for (int64_t group = set * together; group < std::min(s.groups, (set + 1) * together); ++group) {
          sum_pixels(s, frame, blocks, x, gy, group, channel, std::min(channels, s.in_group() - channel),
                     block, block + step, block > from, tiles,
                     sums + chunk * size + (group * k + channel * taps) * co);
        }
      }
    }
  });
  if (chunks > 1) {
    parallel_for(0, size, 4096, [&](int64_t first, int64_t last) {
      for (int64_t c = 1; c < chunks; ++c) {
        const T* more = sums + c * size;
        for (int64_t i = first; i < last; ++i) sums[i] += more[i];
      }
    });
  }
  const int64_t some = std::max<int64_t>(16, 65536 / k / 16 * 16), cuts = (co + some - 1) / some;
  parallel_for(0, s.groups * cuts, 1, [&](int64_t first, int64_t last) {
    for (int64_t t = first; t < last; ++t) {  // pack transposes
      const int64_t group = t / cuts, j = t % cuts * some;
      pack_panel(k, k, std::min(some, co - j), sums + group * k * co + j, co, 1, T(1),
                 gw + (group * co + j) * k);
    }
  });
}

#define NNLIB_INSTANTIATE(T) \
  template void gemm_weight_grad<T>(const ConvShape&, const ConvImages&, const ConvImages&, T*);
NNLIB_INSTANTIATE(float)
NNLIB_INSTANTIATE(double)
#undef NNLIB_INSTANTIATE

}  // namespace nnlib::drivers::detail
