// Averages gradients over the ranks of a group while backward still runs.
// Li et al., "PyTorch Distributed: Experiences on Accelerating Data Parallel Training", VLDB 2020, section 3.
//
// Note [Life of a gradient]
// An operator that makes the gradient of a parameter makes it in the parameter's part of a bucket
// (GradientPlace in autograd/function.h). A hook on each parameter's AccumulateGrad tells the reducer that
// the gradient is complete; one that was made elsewhere is copied into the bucket. When all gradients of a
// bucket are there, and all earlier buckets have been started, the bucket's all-reduce starts. Buckets start
// in order of their index on every rank, whatever order the gradients come in: that is what makes ranks meet
// in the same collective. At the end of backward the reducer waits for the buckets; a gradient that is not in
// its bucket is copied back.
//
// With bucket_view gradients are views of the buckets for good. Without it their memory is only lent: whoever
// still holds a gradient when the bucket is filled again, or asks for its address, gets memory of his own
// (Storage::move_out), so that it keeps its values as any tensor does.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <unordered_map>
#include <vector>

#include "distributed/bucket.h"

namespace nnlib::distributed {

struct ReducerOptions {
  bool find_unused = false;   // look through the graph for parameters that will get no gradient
  bool static_graph = false;  // every iteration uses the same parameters, as often as the first one did
  bool bucket_view = false;   // gradients become views of the buckets
  bool skip_unused = false;   // with find_unused: no average of buckets that no parameter of this pass is in
};

// Replaces the all-reduce of a bucket; what it leaves in the bucket when the job is over is the result.
using CommHook = std::function<std::shared_ptr<Job>(Bucket&, bool is_last)>;
// Averages a sparse gradient (undefined where this rank has none) over the ranks and returns the result.
using SparseAverage = std::function<Tensor(const Tensor& grad, const Tensor& parameter)>;

// What the last averaged pass cost.
struct PassStats {
  int64_t buckets = 0, bytes = 0;
  int64_t copied = 0;        // bytes that were copied into buckets or out of them
  double communicating = 0;  // seconds that the communication thread had the buckets, added up
  double waited = 0;         // seconds that backward waited for it at the end
};

class Reducer : public std::enable_shared_from_this<Reducer> {
 public:
  static std::shared_ptr<Reducer> create(TensorList parameters, std::vector<std::string> names,
                                         std::vector<bool> sparse, const Assignment& assignment,
                                         std::shared_ptr<Group> group, ReducerOptions options);
  ~Reducer();

  // The next backward pass is to be averaged. `outputs` are what the module returned; they are looked at with
  // find_unused only. An error when the pass before has left gradients unreduced. `forwards` counts the
  // passes: ranks that skip a backward have another number.
  void prepare_for_backward(const TensorList& outputs, int64_t forwards = 0);
  // Whether no gradient has come since then.
  bool awaits_backward() const { return expecting_ && !any_came_; }
  // The next backward pass is local (no_sync).
  void expect_nothing() { expecting_ = false; }
  // An error, with the parameters' names, when the pass before has left gradients unreduced.
  void check_finished() const;

  void set_comm_hook(CommHook hook) { comm_hook_ = std::move(hook); }
  void set_sparse_average(SparseAverage average) { sparse_average_ = std::move(average); }

  // Takes part in another rank's pass with zeros.
  void shadow_pass();
  // What sums are divided by; 0 for the number of ranks.
  void set_divisor(int64_t divisor) { divisor_ = divisor; }

  // Positions of the parameters in the order in which their gradients came in the first averaged pass; never
  // known with find_unused, where passes differ.
  const std::vector<size_t>& arrival_order() const { return arrivals_; }
  bool arrivals_known() const { return arrivals_complete_; }
  // With static_graph: whether the first pass has been seen.
  bool graph_known() const { return graph_known_; }
  void rebuild(const Assignment& assignment, std::shared_ptr<Group> group);
  const std::vector<Bucket>& buckets() const { return buckets_; }
  const PassStats& stats() const { return stats_; }
  int64_t buckets_started() const { return next_; }
  const TensorList& parameters() const { return parameters_; }

 private:
  Reducer(TensorList parameters, std::vector<std::string> names, std::vector<bool> sparse,
          std::shared_ptr<Group> group, ReducerOptions options);
  void reset_pass();
  bool used_somewhere(size_t p) const { return used_somewhere_.empty() || used_somewhere_[p]; }
  void install(const Assignment& assignment);
  void on_gradient(size_t p);
  void mark_ready(size_t p);
  Tensor place(size_t p);
  Tensor lend(const Bucket& bucket, Slot& slot);
  void reclaim(Slot& slot);
  bool may_lend(const Slot& slot) const;
  void fill_slot(const Bucket& bucket, Slot& slot);
  void start_ready_buckets();
  void start(Bucket& bucket);
  bool all_unused(const Bucket& bucket) const;
  void at_end_of_backward(void (Reducer::*what)());
  void learn_static_graph();
  void start_usage();
  void wait_for(Bucket& bucket);
  void wait_for_usage();
  void finish();
  void wait(Job& job);
  void take_back(const Bucket& bucket, Slot& slot);
  void mark_unreachable(const TensorList& outputs);
  std::string names_of(const std::vector<size_t>& which) const;

  struct Place {
    size_t bucket, slot;
  };

  TensorList parameters_;
  std::vector<std::string> names_;
  std::vector<bool> sparse_;
  std::shared_ptr<Group> group_;
  ReducerOptions options_;
  CommHook comm_hook_;
  SparseAverage sparse_average_;
  std::vector<int64_t> hook_ids_;
  std::unordered_map<const TensorImpl*, size_t> positions_;

  std::vector<Bucket> buckets_;
  std::vector<Place> places_;
  std::vector<size_t> arrivals_;
  bool arrivals_complete_ = false;

  // Of the pass that is under way.
  int64_t divisor_ = 0;
  PassStats stats_;
  int64_t forwards_ = 0;
  bool expecting_ = false;
  bool any_came_ = false;
  size_t next_ = 0;           // the bucket to start next
  std::vector<char> ready_;   // by parameter
  std::vector<char> placed_;  // by parameter: its place was asked for
  int64_t copied_ = 0;
  std::vector<size_t> unused_;
  Tensor usage_;  // int32 by parameter: how many ranks used it
  std::shared_ptr<Job> usage_job_;

  // With static_graph: how often each parameter's hook runs in a pass, once known.
  bool graph_known_ = false;
  std::vector<int> runs_, expected_runs_;
  std::vector<char> used_somewhere_;
};

}  // namespace nnlib::distributed
