// The truth of optim.inl: computed in double, rounded where a value is stored.
namespace nnlib::kernels::reference {
namespace {

double with_decay(float p, float g, float sign, float decay) {
  return double(sign) * g + (decay != 0 ? double(decay) * p : 0);
}

void sgd_f32(int64_t n, float* p, const float* g, float sign, float decay, float lr) {
  for (int64_t i = 0; i < n; ++i) p[i] = float(p[i] - lr * with_decay(p[i], g[i], sign, decay));
}

void sgd_momentum_f32(int64_t n, float* p, const float* g, float* buf, float sign, float decay, float lr,
                      float momentum, float fresh, bool first, bool nesterov) {
  for (int64_t i = 0; i < n; ++i) {
    const double grad = with_decay(p[i], g[i], sign, decay);
    buf[i] = float(first ? grad : double(momentum) * buf[i] + fresh * grad);
    p[i] = float(p[i] - lr * (nesterov ? grad + double(momentum) * buf[i] : buf[i]));
  }
}

void adam_f32(int64_t n, float* p, const float* g, float* m, float* v, float* vmax, float sign, float decay,
              float shrink, float fresh1, float beta2, float fresh2, float lr, float root_scale, float eps) {
  for (int64_t i = 0; i < n; ++i) {
    const double w = double(p[i]) * shrink, grad = sign * double(g[i]) + (decay != 0 ? decay * w : 0);
    m[i] = float(m[i] + fresh1 * (grad - m[i]));
    v[i] = float(double(beta2) * v[i] + fresh2 * grad * grad);
    float square = v[i];
    if (vmax) {
      // A NaN stays, wherever it stands.
      if (!(vmax[i] != vmax[i]) && !(square <= vmax[i])) vmax[i] = square;
      square = vmax[i];
    }
    p[i] = float(w - lr * (m[i] / (::sqrt(double(square)) * root_scale + eps)));
  }
}

void adagrad_f32(int64_t n, float* p, const float* g, float* sum, float sign, float decay, float lr,
                 float eps) {
  for (int64_t i = 0; i < n; ++i) {
    const double grad = with_decay(p[i], g[i], sign, decay);
    sum[i] = float(sum[i] + grad * grad);
    p[i] = float(p[i] - lr * (grad / (::sqrt(double(sum[i])) + eps)));
  }
}

void rmsprop_f32(int64_t n, float* p, const float* g, float* v, float* mean, float* buf, float sign,
                 float decay, float alpha, float fresh, float eps, float momentum, float lr) {
  for (int64_t i = 0; i < n; ++i) {
    const double grad = with_decay(p[i], g[i], sign, decay);
    v[i] = float(double(alpha) * v[i] + fresh * grad * grad);
    double square = v[i];
    if (mean) {
      mean[i] = float(mean[i] + fresh * (grad - mean[i]));
      square -= double(mean[i]) * mean[i];
    }
    double change = grad / (::sqrt(square) + eps);
    if (buf) {
      buf[i] = float(double(momentum) * buf[i] + change);
      change = buf[i];
    }
    p[i] = float(p[i] - lr * change);
  }
}

}  // namespace
}  // namespace nnlib::kernels::reference
