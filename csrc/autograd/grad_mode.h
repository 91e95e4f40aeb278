// Per-thread switches of gradient recording.
#pragma once
#include "core/tensor.h"

namespace nnlib {

struct GradMode {
  static bool enabled() { return state().grad; }
  static void set_enabled(bool on) { state().grad = on; }
  static bool inference() { return t_inference; }
  static void set_inference(bool on) { t_inference = on; }

 private:
  struct State {
    bool grad = true;
  };
  static State& state();
};

struct GradGuard {
  explicit GradGuard(bool on) : before_(GradMode::enabled()) { GradMode::set_enabled(on); }
  ~GradGuard() { GradMode::set_enabled(before_); }

 private:
  bool before_;
};
struct NoGradGuard : GradGuard {
  NoGradGuard() : GradGuard(false) {}
};

// Anomaly detection: nodes remember where they were made, and a NaN in backward is an error.
struct AnomalyMode {
  static bool enabled();
  static bool check_nan();
  static void set(bool on, bool check_nan);
};

}  // namespace nnlib
