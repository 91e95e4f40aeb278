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
    const double w = double(p[i]) * shrink, grad = with_decay(w, g[i], sign, decay);
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

template <class T>
void adamax(int64_t n, T* p, const T* g, T* m, T* u, T sign, T decay, T fresh1, T beta2, T eps, T lr) {
  for (int64_t i = 0; i < n; ++i) {
    const double grad = with_decay(p[i], g[i], sign, decay);
    m[i] = T(m[i] + fresh1 * (grad - m[i]));
    const double kept = double(beta2) * u[i], size = ::fabs(grad) + eps;
    u[i] = T(kept != kept || kept > size ? kept : size);
    p[i] = T(p[i] - lr * (m[i] / double(u[i])));
  }
}

template <class T>
void nadam(int64_t n, T* p, const T* g, T* m, T* v, T sign, T decay, T shrink, T fresh1, T beta2, T fresh2,
           T lr_g, T lr_m, T root_scale, T eps) {
  for (int64_t i = 0; i < n; ++i) {
    const double w = double(p[i]) * shrink, grad = with_decay(w, g[i], sign, decay);
    m[i] = T(m[i] + fresh1 * (grad - m[i]));
    v[i] = T(double(beta2) * v[i] + fresh2 * grad * grad);
    p[i] = T(w - (lr_g * grad + double(lr_m) * m[i]) / (::sqrt(double(v[i])) * root_scale + eps));
  }
}

template <class T>
void radam(int64_t n, T* p, const T* g, T* m, T* v, T sign, T decay, T shrink, T fresh1, T beta2, T fresh2,
           T lr, T eps, bool rectified) {
  for (int64_t i = 0; i < n; ++i) {
    const double w = double(p[i]) * shrink, grad = with_decay(w, g[i], sign, decay);
    m[i] = T(m[i] + fresh1 * (grad - m[i]));
    v[i] = T(double(beta2) * v[i] + fresh2 * grad * grad);
    p[i] = T(w - lr * (rectified ? m[i] / (::sqrt(double(v[i])) + eps) : double(m[i])));
  }
}

template <class T>
void adadelta(int64_t n, T* p, const T* g, T* v, T* u, T sign, T decay, T rho, T fresh, T eps, T lr) {
  for (int64_t i = 0; i < n; ++i) {
    const double grad = with_decay(p[i], g[i], sign, decay);
    v[i] = T(double(rho) * v[i] + fresh * grad * grad);
    const double change = ::sqrt(double(u[i]) + eps) / ::sqrt(double(v[i]) + eps) * grad;
    u[i] = T(double(rho) * u[i] + fresh * change * change);
    p[i] = T(p[i] - lr * change);
  }
}

template <class T>
void asgd(int64_t n, T* p, const T* g, T* ax, T sign, T decay, T shrink, T lr, T mu) {
  for (int64_t i = 0; i < n; ++i) {
    const double now = double(p[i]) * shrink - lr * with_decay(p[i], g[i], sign, decay);
    ax[i] = T(mu != 1 ? ax[i] + mu * (now - ax[i]) : now);
    p[i] = T(now);
  }
}

template <class T>
void rprop(int64_t n, T* p, const T* g, T* prev, T* size, T sign, T less, T more, T least, T most) {
  for (int64_t i = 0; i < n; ++i) {
    const T grad = sign * g[i], agreement = grad * prev[i];
    T step = size[i] * (agreement > 0 ? more : agreement < 0 ? less : 1);
    step = step < least ? least : step;
    size[i] = step > most ? most : step;
    prev[i] = agreement < 0 ? 0 : grad;
    p[i] = T(double(p[i]) - ((prev[i] > 0) - (prev[i] < 0)) * double(size[i]));
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
NNLIB_EACH(adamax)
NNLIB_EACH(nadam)
NNLIB_EACH(radam)
NNLIB_EACH(adadelta)
NNLIB_EACH(asgd)
NNLIB_EACH(rprop)
#undef NNLIB_EACH

}  // namespace
}  // namespace nnlib::kernels::reference
