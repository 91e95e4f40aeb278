// The truth of optim.inl: computed in double, rounded where a value is stored.
namespace nnlib::kernels::reference {
namespace {

double with_decay(double p, double g, double sign, double decay) {
  return sign * g + (decay != 0 ? decay * p : 0);
}

template <class T>
void sgd(int64_t n, T* p, const T* g, T sign, T decay, T lr) {
  for (int64_t i = 0; i < n; ++i) p[i] = T(p[i] - lr * with_decay(p[i], g[i], sign, decay));
}

template <class T>
void sgd_momentum(int64_t n, T* p, const T* g, T* buf, T sign, T decay, T lr, T momentum, T fresh, bool first,
                  bool nesterov) {
  for (int64_t i = 0; i < n; ++i) {
    const double grad = with_decay(p[i], g[i], sign, decay);
    buf[i] = T(first ? grad : double(momentum) * buf[i] + fresh * grad);
    p[i] = T(p[i] - lr * (nesterov ? grad + double(momentum) * buf[i] : buf[i]));
  }
}

template <class T>
void adam(int64_t n, T* p, const T* g, T* m, T* v, T* vmax, T sign, T decay, T shrink, T fresh1, T beta2,
          T fresh2, T lr, T root_scale, T eps) {
  for (int64_t i = 0; i < n; ++i) {
    const double w = double(p[i]) * shrink, grad = sign * double(g[i]) + (decay != 0 ? decay * w : 0);
    m[i] = T(m[i] + fresh1 * (grad - m[i]));
    v[i] = T(double(beta2) * v[i] + fresh2 * grad * grad);
    T square = v[i];
    if (vmax) {
      // A NaN stays, wherever it stands.
      if (!(vmax[i] != vmax[i]) && !(square <= vmax[i])) vmax[i] = square;
      square = vmax[i];
    }
    p[i] = T(w - lr * (m[i] / (::sqrt(double(square)) * root_scale + eps)));
  }
}

template <class T>
void adagrad(int64_t n, T* p, const T* g, T* sum, T sign, T decay, T lr, T eps) {
  for (int64_t i = 0; i < n; ++i) {
    const double grad = with_decay(p[i], g[i], sign, decay);
    sum[i] = T(sum[i] + grad * grad);
    p[i] = T(p[i] - lr * (grad / (::sqrt(double(sum[i])) + eps)));
  }
}

template <class T>
void rmsprop(int64_t n, T* p, const T* g, T* v, T* mean, T* buf, T sign, T decay, T alpha, T fresh, T eps,
             T momentum, T lr) {
  for (int64_t i = 0; i < n; ++i) {
    const double grad = with_decay(p[i], g[i], sign, decay);
    v[i] = T(double(alpha) * v[i] + fresh * grad * grad);
    double square = v[i];
    if (mean) {
      mean[i] = T(mean[i] + fresh * (grad - mean[i]));
      square -= double(mean[i]) * mean[i];
    }
    double change = grad / (::sqrt(square) + eps);
    if (buf) {
      buf[i] = T(double(momentum) * buf[i] + change);
      change = buf[i];
    }
    p[i] = T(p[i] - lr * change);
  }
}

#define NNLIB_EACH(name)                     \
  constexpr auto* name##_f32 = &name<float>; \
  constexpr auto* name##_f64 = &name<double>;
NNLIB_EACH(sgd)
NNLIB_EACH(sgd_momentum)
NNLIB_EACH(adam)
NNLIB_EACH(adagrad)
NNLIB_EACH(rmsprop)
#undef NNLIB_EACH

}  // namespace
}  // namespace nnlib::kernels::reference
