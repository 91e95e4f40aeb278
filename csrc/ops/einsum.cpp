// Sums of products over named dimensions, reduced to batched matrix products of two operands at a time.
#include <algorithm>
#include <map>
#include <numeric>

#include "core/shape.h"
#include "ops/elementwise.h"
#include "ops/linear.h"
#include "ops/reduce.h"
#include "ops/shape.h"

namespace nnlib::ops {

namespace {

// One operand's or the output's subscripts: letters, and -1 for the ellipsis.
using Labels = std::vector<int>;
constexpr int kEllipsis = -1;

Labels parse_labels(const std::string& text, size_t start) {
  Labels labels;
  for (size_t i = 0; i < text.size(); ++i) {
    const char c = text[i];
    if (c == ' ') continue;
    if (c == '.') {
      NNLIB_CHECK(text.compare(i, 3, "...") == 0, "einsum(): found '.' at index ", start + i,
                  " that is not part of any ellipsis");
      NNLIB_CHECK(std::count(labels.begin(), labels.end(), kEllipsis) == 0, "einsum(): found '.' at index ",
                  start + i, " for which an ellipsis was already found");
      labels.push_back(kEllipsis);
      i += 2;
      continue;
    }
    NNLIB_CHECK(std::isalpha(static_cast<unsigned char>(c)), "einsum(): invalid subscript given at index ",
                start + i, " in the equation string, subscripts must be in [a-zA-Z]");
    labels.push_back(c);
  }
  return labels;
}

struct Equation {
  std::vector<Labels> inputs;
  Labels output;
  bool explicit_output = false;
};

Equation parse_equation(const std::string& text) {
  Equation e;
  const size_t arrow = text.find("->");
  const std::string left = text.substr(0, arrow);
  size_t at = 0;
  while (true) {
    const size_t comma = left.find(',', at);
    e.inputs.push_back(parse_labels(left.substr(at, comma == std::string::npos ? comma : comma - at), at));
    if (comma == std::string::npos) break;
    at = comma + 1;
  }
  if (arrow != std::string::npos) {
    e.explicit_output = true;
    e.output = parse_labels(text.substr(arrow + 2), arrow + 2);
  } else {  // the ellipsis, then the letters that occur once, in order
    std::map<int, int> count;
    bool ellipsis = false;
    for (const Labels& l : e.inputs) {
      for (int c : l) {
        if (c == kEllipsis) ellipsis = true;
        if (c != kEllipsis) ++count[c];
      }
    }
    if (ellipsis) e.output.push_back(kEllipsis);
    for (const auto& [letter, n] : count) {
      if (n == 1) e.output.push_back(letter);
    }
  }
  return e;
}

// Which dimension of the common layout each label has: the output's first, in its order, then those summed
// over.
struct Layout {
  std::map<int, int64_t> place;  // of a letter
  int64_t ellipsis_place = 0, ellipsis_dims = 0, out_dims = 0, dims = 0;
};

int64_t ellipsis_dims(const Labels& labels, const Tensor& t, size_t operand) {
  const bool has = std::count(labels.begin(), labels.end(), kEllipsis) > 0;
  const int64_t letters = int64_t(labels.size()) - has;
  NNLIB_CHECK(
      has ? letters <= t.dim() : letters == t.dim(), "einsum(): the number of subscripts in the equation (",
      letters,
      has ? ") is more than the number of dimensions (" : ") does not match the number of dimensions (",
      t.dim(), ") for operand ", operand, has ? "" : " and no ellipsis was given");
  return has ? t.dim() - letters : 0;
}

Layout make_layout(const Equation& e, const TensorList& operands) {
  Layout l;
  for (size_t i = 0; i < operands.size(); ++i) {
    l.ellipsis_dims = std::max(l.ellipsis_dims, ellipsis_dims(e.inputs[i], operands[i], i));
  }
  bool placed_ellipsis = false;
  for (int c : e.output) {
    if (c == kEllipsis) {
      placed_ellipsis = true;
      l.ellipsis_place = l.dims;
      l.dims += l.ellipsis_dims;
      continue;
    }
    NNLIB_CHECK(l.place.count(c) == 0, "einsum(): output subscript ", char(c),
                " appears more than once in the output");
    const bool known = std::any_of(e.inputs.begin(), e.inputs.end(),
                                   [c](const Labels& in) { return std::count(in.begin(), in.end(), c) > 0; });
    NNLIB_CHECK(known, "einsum(): output subscript ", char(c),
                " does not appear in the equation for any input operand");
    l.place[c] = l.dims++;
  }
  l.out_dims = l.dims;
  if (!placed_ellipsis) {  // summed over
    l.ellipsis_place = l.dims;
    l.dims += l.ellipsis_dims;
  }
  for (const Labels& in : e.inputs) {
    for (int c : in) {
      if (c != kEllipsis && l.place.count(c) == 0) l.place[c] = l.dims++;
    }
  }
  return l;
}

// The operand with its dimensions in the common layout, of size 1 where it has none.
Tensor into_layout(const Layout& l, Labels labels, Tensor t) {
  std::vector<int64_t> from(size_t(l.dims), -1);  // dimension of t for each of the layout
  int64_t d = 0;
  const int64_t letters = int64_t(labels.size()) - std::count(labels.begin(), labels.end(), kEllipsis);
  for (size_t i = 0; i < labels.size(); ++i) {
    if (labels[i] == kEllipsis) {
      const int64_t own = t.dim() - letters;
      for (int64_t k = 0; k < own; ++k) from[size_t(l.ellipsis_place + l.ellipsis_dims - own + k)] = d++;
      continue;
    }
    from[size_t(l.place.at(labels[i]))] = d++;
  }
  Dims order;
  for (int64_t f : from) {
    if (f >= 0) order.push_back(f);
  }
  Tensor r = permute(t, order);
  for (size_t i = 0; i < from.size(); ++i) {
    if (from[i] < 0) r = unsqueeze(r, int64_t(i));
  }
  return r;
}

// A label that stands twice in one operand means its diagonal.
void take_diagonals(Labels& labels, Tensor& t, size_t operand) {
  for (size_t i = 0; i < labels.size(); ++i) {
    for (size_t j = i + 1; j < labels.size(); ++j) {
      if (labels[j] != labels[i] || labels[i] == kEllipsis) continue;
      const auto dim_of = [&](size_t at) {
        int64_t d = 0;
        for (size_t k = 0; k < at; ++k)
          d += labels[k] == kEllipsis ? t.dim() - int64_t(labels.size()) + 1 : 1;
        return d;
      };
      const int64_t a = dim_of(i), b = dim_of(j);
      NNLIB_CHECK(t.size(a) == t.size(b), "einsum(): subscript ", char(labels[i]),
                  " is repeated for operand ", operand, " but the sizes don't match, ", t.size(b),
                  " != ", t.size(a));
      t = movedim(diagonal(t, 0, a, b), {-1}, {a});
      labels.erase(labels.begin() + int64_t(j));
      --j;
    }
  }
}

// The product of two operands in the common layout, summed over the given dimensions, which stay with size 1.
// `alike`: all operands have one type, and what differs is a sum's.
Tensor product_of_two(Tensor a, Tensor b, const std::vector<bool>& summed, bool alike) {
  Dims both, only_a, only_b, inner;
  int64_t n_both = 1, n_a = 1, n_b = 1, n_inner = 1;
  const int64_t dims = a.dim();
  for (int64_t d = 0; d < dims; ++d) {
    const bool in_a = a.size(d) != 1, in_b = b.size(d) != 1;
    if (summed[size_t(d)]) {
      if (in_a && !in_b) a = sum(a, Dims{d}, true);
      if (!in_a && in_b) b = sum(b, Dims{d}, true);
      inner.push_back(d);
      n_inner *= a.size(d);
    } else if (in_a && in_b) {
      both.push_back(d);
      n_both *= a.size(d);
    } else if (in_a) {
      only_a.push_back(d);
      n_a *= a.size(d);
    } else {
      only_b.push_back(d);
      n_b *= b.size(d);
    }
  }
  if (alike && a.dtype() != b.dtype()) {
    a = cast(a, Dtype::Int64);
    b = cast(b, Dtype::Int64);
  }
  const auto joined = [](std::initializer_list<const Dims*> lists) {
    Dims order;
    for (const Dims* l : lists) {
      for (int64_t d : *l) order.push_back(d);
    }
    return order;
  };
  const Tensor left = reshape(permute(a, joined({&both, &only_a, &inner, &only_b})), {n_both, n_a, n_inner});
  const Tensor right = reshape(permute(b, joined({&both, &inner, &only_b, &only_a})), {n_both, n_inner, n_b});
  const Dims order = joined({&both, &only_a, &inner, &only_b});
  Dims sizes, back(size_t(dims), 0);
  for (size_t i = 0; i < order.size(); ++i) {
    const int64_t d = order[i];
    sizes.push_back(summed[size_t(d)] ? 1 : std::max(a.size(d) == 1 ? b.size(d) : a.size(d), int64_t(0)));
    back[size_t(d)] = int64_t(i);
  }
  return permute(reshape(bmm(left, right), sizes), back);
}

void check_sizes(const Equation& e, const Layout& l, const TensorList& operands) {
  std::vector<int64_t> seen(size_t(l.dims), 1);
  for (size_t i = 0; i < operands.size(); ++i) {
    for (int64_t d = 0; d < l.dims; ++d) {
      const int64_t s = operands[i].size(d);
      if (s == 1) continue;
      int letter = 0;
      for (const auto& [c, place] : l.place) {
        if (place == d) letter = c;
      }
      NNLIB_CHECK(seen[size_t(d)] == 1 || seen[size_t(d)] == s, "einsum(): ",
                  letter ? std::string("subscript ") + char(letter) : std::string("ellipsis dimension"),
                  " has size ", s, " for operand ", i, " which does not broadcast with previously seen size ",
                  seen[size_t(d)]);
      seen[size_t(d)] = s;
    }
  }
}

}  // namespace

Tensor einsum(const std::string& equation, const TensorList& operands) {
  NNLIB_CHECK(!operands.empty(), "einsum(): must provide at least one operand");
  Equation e = parse_equation(equation);
  NNLIB_CHECK(e.inputs.size() >= operands.size(),
              "einsum(): more operands were provided than specified in the equation");
  NNLIB_CHECK(e.inputs.size() <= operands.size(),
              "einsum(): fewer operands were provided than specified in the equation");
  TensorList ops = operands;
  for (size_t i = 0; i < ops.size(); ++i) {
    ellipsis_dims(e.inputs[i], ops[i], i);
    take_diagonals(e.inputs[i], ops[i], i);
  }
  const Layout l = make_layout(e, ops);
  for (size_t i = 0; i < ops.size(); ++i) ops[i] = into_layout(l, e.inputs[i], ops[i]);
  check_sizes(e, l, ops);
  // A dimension is summed with the last operand that has it.
  std::vector<size_t> last(size_t(l.dims), 0);
  for (size_t i = 0; i < ops.size(); ++i) {
    for (int64_t d = 0; d < l.dims; ++d) {
      if (ops[i].size(d) != 1) last[size_t(d)] = i;
    }
  }
  const bool alike =
      std::all_of(ops.begin(), ops.end(), [&](const Tensor& t) { return t.dtype() == ops[0].dtype(); });
  Tensor result = ops[0];
  Dims alone;
  for (int64_t d = l.out_dims; d < l.dims; ++d) {
    // Beside others a dimension of one is no sum: integers keep their type.
    if (last[size_t(d)] == 0 && (ops.size() == 1 || result.size(d) != 1)) alone.push_back(d);
  }
  if (!alone.empty()) result = sum(result, alone, true);
  for (size_t i = 1; i < ops.size(); ++i) {
    std::vector<bool> summed(size_t(l.dims), false);
    for (int64_t d = l.out_dims; d < l.dims; ++d) summed[size_t(d)] = last[size_t(d)] == i;
    result = product_of_two(result, ops[i], summed, alike);
  }
  Dims sizes;
  for (int64_t d = 0; d < l.out_dims; ++d) sizes.push_back(result.size(d));
  return reshape(result, sizes);
}

Tensor tensordot(const Tensor& self, const Tensor& other, const Dims& dims_self, const Dims& dims_other) {
  NNLIB_CHECK(dims_self.size() == dims_other.size(), "both dimension lists should have the same length");
  Tensor a = self, b = other;
  std::vector<bool> taken_a(size_t(a.dim()), false), taken_b(size_t(b.dim()), false);
  Dims inner_a, inner_b;
  int64_t k = 1;
  for (size_t i = 0; i < dims_self.size(); ++i) {
    const int64_t x = wrap_dim(dims_self[i], a.dim(), false), y = wrap_dim(dims_other[i], b.dim(), false);
    NNLIB_CHECK(!taken_a[size_t(x)] && !taken_b[size_t(y)], "dim ", taken_a[size_t(x)] ? x : y,
                " appears multiple times in the list of dims");
    if (a.size(x) == 1 && b.size(y) != 1) b = sum(b, Dims{y}, true, b.dtype());
    if (b.size(y) == 1 && a.size(x) != 1) a = sum(a, Dims{x}, true, a.dtype());
    NNLIB_CHECK(a.size(x) == b.size(y), "contracted dimensions need to match, but first has size ", a.size(x),
                " in dim ", x, " and second has size ", b.size(y), " in dim ", y);
    taken_a[size_t(x)] = taken_b[size_t(y)] = true;
    inner_a.push_back(x);
    inner_b.push_back(y);
    k *= a.size(x);
  }
  Dims order_a, order_b = inner_b, sizes;
  int64_t m = 1, n = 1;
  for (int64_t d = 0; d < a.dim(); ++d) {
    if (taken_a[size_t(d)]) continue;
    order_a.push_back(d);
    sizes.push_back(a.size(d));
    m *= a.size(d);
  }
  for (int64_t d : inner_a) order_a.push_back(d);
  for (int64_t d = 0; d < b.dim(); ++d) {
    if (taken_b[size_t(d)]) continue;
    order_b.push_back(d);
    sizes.push_back(b.size(d));
    n *= b.size(d);
  }
  return reshape(mm(reshape(permute(a, order_a), {m, k}), reshape(permute(b, order_b), {k, n})), sizes);
}

}  // namespace nnlib::ops
