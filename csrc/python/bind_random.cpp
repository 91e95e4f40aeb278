// Random numbers: csrc/ops/random.h.
#include "ops/random.h"

#include "ops/creation.h"
#include "python/bind.h"
#include "python/options.h"

namespace nnlib::python {

namespace {

using Gen = Ref<Generator>;

Tensor rand(const Dims& size, const Gen& g, NNLIB_OPTION_PARAMS) {
  check_strided(layout);
  return finish(ops::rand(size, dtype.value_or(default_dtype()), g), device, pin_memory, requires_grad);
}
Tensor randn(const Dims& size, const Gen& g, NNLIB_OPTION_PARAMS) {
  check_strided(layout);
  return finish(ops::randn(size, dtype.value_or(default_dtype()), g), device, pin_memory, requires_grad);
}
Tensor randint(int64_t low, int64_t high, const Dims& size, const Gen& g, NNLIB_OPTION_PARAMS) {
  check_strided(layout);
  return finish(ops::randint(low, high, size, dtype.value_or(Dtype::Int64), g), device, pin_memory,
                requires_grad);
}
Tensor randint_high(int64_t high, const Dims& size, const Gen& g, NNLIB_OPTION_PARAMS) {
  return randint(0, high, size, g, NNLIB_OPTION_ARGS);
}
Tensor randperm(int64_t n, const Gen& g, NNLIB_OPTION_PARAMS) {
  check_strided(layout);
  return finish(ops::randperm(n, dtype.value_or(Dtype::Int64), g), device, pin_memory, requires_grad);
}
Tensor normal(double mean, double std, const Dims& size, const Gen& g, NNLIB_OPTION_PARAMS) {
  check_strided(layout);
  return finish(ops::normal_(empty(size, dtype.value_or(default_dtype())), mean, std, g), device, pin_memory,
                requires_grad);
}

Tensor like(const Tensor& t, std::optional<Dtype> dtype, std::optional<MemoryFormat> format) {
  const Dtype d = dtype.value_or(t.dtype());
  if (!format || *format == MemoryFormat::Preserve) return empty_like(t, d);
  return empty(t.sizes(), d, *format);
}
#define LIKE_PARAMS const Gen &g, NNLIB_OPTION_PARAMS, std::optional<MemoryFormat> format
Tensor rand_like(const Tensor& t, LIKE_PARAMS) {
  check_strided(layout);
  return finish(ops::uniform_(like(t, dtype, format), 0, 1, g), device, pin_memory, requires_grad);
}
Tensor randn_like(const Tensor& t, LIKE_PARAMS) {
  check_strided(layout);
  return finish(ops::normal_(like(t, dtype, format), 0, 1, g), device, pin_memory, requires_grad);
}
Tensor randint_like(const Tensor& t, int64_t low, int64_t high, LIKE_PARAMS) {
  check_strided(layout);
  return finish(ops::random_from_to_(like(t, dtype, format), low, high, g), device, pin_memory,
                requires_grad);
}
Tensor randint_like_high(const Tensor& t, int64_t high, LIKE_PARAMS) {
  return randint_like(t, 0, high, g, NNLIB_OPTION_ARGS, format);
}
#undef LIKE_PARAMS

}  // namespace

void bind_random(Binder& b) {
#define GEN "Generator? generator=None"
#define OPTIONS ", *, " GEN ", " NNLIB_OPTIONS
#define LIKE OPTIONS ", memory_format? memory_format=None) -> Tensor"
  b.def<&rand>(
      "rand(int[] size" OPTIONS ") -> Tensor", kFunction | kIntoOut,
      "rand(*size, generator=None, dtype=None): uniform in [0, 1); PyTorch's values for the same seed.");
  b.def<&randn>("randn(int[] size" OPTIONS ") -> Tensor", kFunction | kIntoOut, R"(
randn(*size, generator=None, dtype=None): normal with mean 0 and variance 1; PyTorch's values for the same seed, to the
last digits. G. Box and M. Muller, "A note on the generation of random normal deviates", 1958.)");
  b.def<&randint_high>("randint(int high, int[] size" OPTIONS ") -> Tensor", kFunction | kIntoOut,
                       "randint(low=0, high, size, dtype=int64): uniform integers from low to high - 1.");
  b.def<&randint>("randint(int low, int high, int[] size" OPTIONS ") -> Tensor", kFunction | kIntoOut, "");
  b.def<&randperm>("randperm(int n" OPTIONS ") -> Tensor", kFunction | kIntoOut,
                   "randperm(n): 0 to n - 1 in random order.");
  b.def<&rand_like>("rand_like(Tensor input" LIKE, kFunction,
                    "rand_like(input): rand of its shape and dtype.");
  b.def<&randn_like>("randn_like(Tensor input" LIKE, kFunction,
                     "randn_like(input): randn of its shape and dtype.");
  b.def<&randint_like_high>("randint_like(Tensor input, int high" LIKE, kFunction,
                            "randint_like(input, low=0, high): randint of its shape and dtype.");
  b.def<&randint_like>("randint_like(Tensor input, int low, int high" LIKE, kFunction, "");

  b.def<&ops::normal_tensor_tensor>("normal(Tensor mean, Tensor std, *, " GEN ") -> Tensor",
                                    kFunction | kIntoOut,
                                    R"(
normal(mean, std, generator=None): normal numbers with these means and deviations, tensors or numbers;
normal(mean, std, size) of two numbers.)");
  b.def<&ops::normal_tensor_float>("normal(Tensor mean, float std=1, *, " GEN ") -> Tensor",
                                   kFunction | kIntoOut, "");
  b.def<&ops::normal_float_tensor>("normal(float mean, Tensor std, *, " GEN ") -> Tensor",
                                   kFunction | kIntoOut, "");
  b.def<&normal>("normal(float mean, float std, int[] size" OPTIONS ") -> Tensor", kFunction | kIntoOut, "");
  b.def<&ops::bernoulli>(
      "bernoulli(Tensor input, *, " GEN ") -> Tensor", kFunction | kMethod | kIntoOut,
      "bernoulli(input, generator=None): 1 with the probability that stands there, else 0.");
  b.def<&ops::bernoulli_p>("bernoulli(Tensor input, float p, *, " GEN ") -> Tensor", kFunction | kMethod, "");
  b.def<&ops::poisson>("poisson(Tensor input, " GEN ") -> Tensor", kFunction,
                       "poisson(input, generator=None): counts with these rates.");
  b.def<&ops::binomial>(
      "binomial(Tensor count, Tensor prob, " GEN ") -> Tensor", kFunction,
      "binomial(count, prob, generator=None): how many of count trials succeed, each with the "
      "probability prob. Both have one floating-point type and broadcast.");
  b.def<&ops::standard_gamma>("_standard_gamma(Tensor input, " GEN ") -> Tensor", kFunction | kPrivate,
                              "Gamma variables of these shapes.");
  b.def<&ops::sample_dirichlet>("_sample_dirichlet(Tensor input, " GEN ") -> Tensor", kFunction | kPrivate,
                                "Points of the simplex.");
  b.def<&ops::standard_gamma_grad>("_standard_gamma_grad(Tensor input, Tensor output) -> Tensor",
                                   kFunction | kPrivate, "The slope of gamma variables along their shapes.");
  b.def<&ops::dirichlet_grad>("_dirichlet_grad(Tensor x, Tensor alpha, Tensor total) -> Tensor",
                              kFunction | kPrivate, "The slope of a simplex's coordinates.");
  b.def<&ops::multinomial>(
      "multinomial(Tensor input, int num_samples, bool replacement=False, *, " GEN ") -> Tensor",
      kFunction | kMethod | kIntoOut,
      "multinomial(input, num_samples, replacement=False): indices drawn with these weights, row by row.");

  b.def<&ops::uniform_>("uniform_(Tensor input, float from=0, float to=1, *, " GEN ") -> Tensor", kMethod,
                        "uniform_(from=0, to=1): filled with uniform numbers in [from, to).");
  b.def<&ops::normal_>("normal_(Tensor input, float mean=0, float std=1, *, " GEN ") -> Tensor", kMethod,
                       "normal_(mean=0, std=1): filled with normal numbers.");
  b.def<&ops::bernoulli_tensor_>(
      "bernoulli_(Tensor input, Tensor p, *, " GEN ") -> Tensor", kMethod,
      "bernoulli_(p=0.5): filled with ones of probability p, a number or a tensor.");
  b.def<&ops::bernoulli_p_>("bernoulli_(Tensor input, float p=0.5, *, " GEN ") -> Tensor", kMethod, "");
  b.def<&ops::exponential_>("exponential_(Tensor input, float lambd=1, *, " GEN ") -> Tensor", kMethod,
                            "exponential_(lambd=1): filled with exponential numbers of this rate.");
  b.def<&ops::random_>(
      "random_(Tensor input, *, " GEN ") -> Tensor", kMethod,
      "random_(from=0, to=None): filled with integers from `from` to `to` - 1, or all that the type holds.");
  b.def<&ops::random_to_>("random_(Tensor input, int to, *, " GEN ") -> Tensor", kMethod, "");
  b.def<&ops::random_from_to_>("random_(Tensor input, int from, int? to, *, " GEN ") -> Tensor", kMethod, "");
  b.def<&ops::log_normal_>("log_normal_(Tensor input, float mean=1, float std=2, *, " GEN ") -> Tensor",
                           kMethod, "log_normal_(mean=1, std=2): filled with exp of normal numbers.");
  b.def<&ops::cauchy_>("cauchy_(Tensor input, float median=0, float sigma=1, *, " GEN ") -> Tensor", kMethod,
                       "cauchy_(median=0, sigma=1): filled with numbers of the Cauchy distribution.");
  b.def<&ops::geometric_>("geometric_(Tensor input, float p, *, " GEN ") -> Tensor", kMethod,
                          "geometric_(p): filled with the number of trials up to the first success.");
#undef LIKE
#undef OPTIONS
#undef GEN
}

}  // namespace nnlib::python
