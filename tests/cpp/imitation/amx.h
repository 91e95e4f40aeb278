// AMX: a thread's tiles and their products of bfloat16 numbers. The drivers configure and release them: a
// second configuration or release, or a thread that ends between the two, would do no harm on a processor,
// but is a mistake.
#pragma once

namespace imitation {

constexpr int kTiles = 8, kTileRows = 16, kTileBytes = 64;

struct Tile {
  uint8_t row[kTileRows][kTileBytes];
};

struct TileConfig {
  uint8_t palette, start_row, reserved[14];
  uint16_t bytes[16];
  uint8_t rows[16];

  void check() const {
    if (palette != 1) end("tiles of another palette than 1");
    if (start_row != 0) end("tiles that do not start at row 0");
    for (uint8_t byte : reserved) {
      if (byte) end("a reserved byte of the tiles' configuration is not 0");
    }
    for (int t = 0; t < 16; ++t) {
      if (bytes[t] > kTileBytes || rows[t] > kTileRows) end("a tile is too large");
      if ((bytes[t] != 0) != (rows[t] != 0)) end("a tile has rows or columns alone");
      if (bytes[t] && t >= kTiles) end("more than eight tiles are configured");
    }
  }
};
static_assert(sizeof(TileConfig) == 64);

class Tiles {
 public:
  ~Tiles() {
    if (configured_) end("a thread ends without _tile_release");
  }
  void configure(const void* p) {
    if (configured_) end("tiles are configured twice");
    memcpy(&config_, p, sizeof config_);
    config_.check();
    memset(tiles_, 0, sizeof tiles_);
    configured_ = true;
  }
  void release() {
    if (!configured_) end("tiles are released that were not configured");
    configured_ = false;
  }
  void zero(int t) { memset(&use(t), 0, sizeof(Tile)); }
  void load(int t, const void* from, int64_t stride) {
    zero(t);
    for (int i = 0; i < config_.rows[t]; ++i) {
      memcpy(use(t).row[i], static_cast<const char*>(from) + stride * i, config_.bytes[t]);
    }
  }
  void store(int t, void* to, int64_t stride) {
    const Tile& tile = use(t);
    for (int i = 0; i < config_.rows[t]; ++i) {
      memcpy(static_cast<char*>(to) + stride * i, tile.row[i], config_.bytes[t]);
    }
  }
  // c += a b: b's rows are pairs of k. All even elements of k are summed, all odd ones, then both and C.
  void multiply(int c, int a, int b) {
    Tile &sum = use(c), &left = use(a), &right = use(b);
    if (c == a || c == b || a == b) end("a tile is two operands of a product");
    const int m = config_.rows[c], n = config_.bytes[c] / 4, pairs = config_.rows[b];
    if (config_.rows[a] != m || config_.bytes[a] != pairs * 4 || config_.bytes[b] != config_.bytes[c] ||
        config_.bytes[c] % 4)
      end("the tiles of a product do not fit");
    for (int i = 0; i < m; ++i) {
      float even[kTileBytes / 4] = {}, odd[kTileBytes / 4] = {}, total[kTileBytes / 4];
      uint16_t x[kTileBytes / 2], y[kTileBytes / 2];
      memcpy(x, left.row[i], sizeof x);
      memcpy(total, sum.row[i], sizeof total);
      for (int p = 0; p < pairs; ++p) {
        memcpy(y, right.row[p], sizeof y);
        for (int j = 0; j < n; ++j) {
          even[j] = add_product(x[2 * p], y[2 * j], even[j]);
          odd[j] = add_product(x[2 * p + 1], y[2 * j + 1], odd[j]);
        }
      }
      for (int j = 0; j < n; ++j) total[j] = flushed(flushed(total[j]) + flushed(even[j] + odd[j]));
      memcpy(sum.row[i], total, sizeof total);
    }
  }

 private:
  Tile& use(int t) {
    if (!configured_) end("a tile is used without a configuration");
    if (t < 0 || t >= kTiles || config_.rows[t] == 0) end("a tile is used that was not configured");
    return tiles_[t];
  }

  bool configured_ = false;
  TileConfig config_ = {};
  Tile tiles_[kTiles] = {};
};
inline thread_local Tiles tiles;

}  // namespace imitation

NNLIB_IMITATED void _tile_loadconfig(const void* p) { imitation::tiles.configure(p); }
NNLIB_IMITATED void _tile_release() { imitation::tiles.release(); }
NNLIB_IMITATED void _tile_zero(int t) { imitation::tiles.zero(t); }
NNLIB_IMITATED void _tile_loadd(int t, const void* p, int64_t stride) { imitation::tiles.load(t, p, stride); }
NNLIB_IMITATED void _tile_stored(int t, void* p, int64_t stride) { imitation::tiles.store(t, p, stride); }
NNLIB_IMITATED void _tile_dpbf16ps(int c, int a, int b) { imitation::tiles.multiply(c, a, b); }
