// The truth of random.inl: Philox4x32-7, one counter at a time.
namespace nnlib::kernels::reference {
namespace {

void philox_4x32_7(uint64_t counter, uint64_t key, uint32_t* c) {
  c[0] = uint32_t(counter);
  c[1] = uint32_t(counter >> 32);
  c[2] = c[3] = 0;
  uint32_t k0 = uint32_t(key), k1 = uint32_t(key >> 32);
  for (int round = 0; round < 7; ++round) {
    const uint64_t p0 = uint64_t(c[0]) * 0xD2511F53u, p1 = uint64_t(c[2]) * 0xCD9E8D57u;
    c[0] = uint32_t(p1 >> 32) ^ c[1] ^ k0;
    c[2] = uint32_t(p0 >> 32) ^ c[3] ^ k1;
    c[1] = uint32_t(p1);
    c[3] = uint32_t(p0);
    k0 += 0x9E3779B9u;
    k1 += 0xBB67AE85u;
  }
}

void dropout_f32(int64_t n, const float* x, float* y, uint32_t threshold, float scale, uint64_t key,
                 uint64_t counter) {
  for (int64_t block = 0; block < n; block += 64, counter += 16) {
    for (int k = 0; k < 16; ++k) {
      uint32_t c[4];
      philox_4x32_7(counter + uint64_t(k), key, c);
      for (int q = 0; q < 4; ++q) {
        const int64_t i = block + 16 * q + k;
        if (i < n) y[i] = x[i] * (c[q] < threshold ? 0 : scale);
      }
    }
  }
}

}  // namespace
}  // namespace nnlib::kernels::reference
