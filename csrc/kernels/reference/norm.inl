// The truth of norm.inl: sums in double.
namespace nnlib::kernels::reference {
namespace {

float norm_sum_f32(int64_t n, const float* x) {
  double s = 0;
  for (int64_t i = 0; i < n; ++i) s += x[i];
  return float(s);
}

float norm_square_deviation_f32(int64_t n, const float* x, float mean) {
  double s = 0;
  for (int64_t i = 0; i < n; ++i) s += (double(x[i]) - mean) * (double(x[i]) - mean);
  return float(s);
}

void norm_apply_f32(int64_t n, const float* x, float a, float b, float* y) {
  for (int64_t i = 0; i < n; ++i) y[i] = float(double(a) * x[i] + b);
}

void norm_affine_grad_sums_f32(int64_t n, const float* g, const float* x, const float* weight, float mean,
                               float* out) {
  double s = 0, t = 0;
  for (int64_t i = 0; i < n; ++i) {
    const double gw = double(g[i]) * (weight ? weight[i] : 1.0);
    s += gw;
    t += gw * (double(x[i]) - mean);
  }
  out[0] = float(s);
  out[1] = float(t);
}

void norm_grad_sums_f32(int64_t n, const float* g, const float* x, float mean, float* out) {
  norm_affine_grad_sums_f32(n, g, x, nullptr, mean, out);
}

void norm_affine_grad_f32(int64_t n, const float* g, const float* x, const float* weight, float a, float b,
                          float c, float* gx) {
  for (int64_t i = 0; i < n; ++i) {
    gx[i] = float(a * (double(g[i]) * (weight ? weight[i] : 1.0) + double(b) * x[i] + c));
  }
}

void norm_grad_f32(int64_t n, const float* g, const float* x, float a, float b, float c, float* gx) {
  for (int64_t i = 0; i < n; ++i) gx[i] = float(double(a) * g[i] + double(b) * x[i] + c);
}

void norm_affine_f32(int64_t n, const float* x, float mean, float rstd, const float* weight,
                     const float* bias, float* y) {
  for (int64_t i = 0; i < n; ++i) {
    const double xhat = (double(x[i]) - mean) * rstd;
    y[i] = float(xhat * (weight ? weight[i] : 1.0) + (bias ? bias[i] : 0.0));
  }
}

void norm_param_grad_f32(int64_t n, const float* g, const float* x, float mean, float rstd,
                         float* grad_weight, float* grad_bias) {
  for (int64_t i = 0; i < n; ++i) {
    if (grad_weight) grad_weight[i] = float(grad_weight[i] + double(g[i]) * (double(x[i]) - mean) * rstd);
    if (grad_bias) grad_bias[i] += g[i];
  }
}

void col_square_deviation_f32(int64_t n, const float* x, const float* mean, float* sum) {
  for (int64_t i = 0; i < n; ++i)
    sum[i] = float(sum[i] + (double(x[i]) - mean[i]) * (double(x[i]) - mean[i]));
}

void col_apply_f32(int64_t n, const float* x, const float* a, const float* b, float* y) {
  for (int64_t i = 0; i < n; ++i) y[i] = float(double(a[i]) * x[i] + b[i]);
}

void col_grad_sums_f32(int64_t n, const float* g, const float* x, const float* mean, float* sum_g,
                       float* sum_gx) {
  for (int64_t i = 0; i < n; ++i) {
    sum_g[i] += g[i];
    sum_gx[i] = float(sum_gx[i] + double(g[i]) * (double(x[i]) - mean[i]));
  }
}

void col_grad_f32(int64_t n, const float* g, const float* x, const float* a, const float* b, const float* c,
                  float* gx) {
  for (int64_t i = 0; i < n; ++i) gx[i] = float(double(a[i]) * g[i] + double(b[i]) * x[i] + c[i]);
}

}  // namespace
}  // namespace nnlib::kernels::reference
