// A backward pass under way: which nodes are ready, and the gradients that have reached the others. Internal
// to engine.cpp and engine_devices.cpp.
#pragma once
#include <chrono>
#include <mutex>
#include <queue>
#include <unordered_map>
#include <unordered_set>

#include "autograd/engine.h"
#include "autograd/function.h"

namespace nnlib {

// A gradient that waits for its node, where nodes of several devices run at once: sums are made in the order
// of the nodes that gave them, whichever was first.
struct Contribution {
  uint32_t index;  // the input of the node
  Device device;   // of the node that gave it
  uint64_t sequence;
  size_t position;
  Tensor grad;
};

struct Task {
  const BackwardOptions& options;
  std::unordered_map<Node*, int> dependencies;
  std::unordered_map<Node*, TensorList> buffers;
  uint64_t devices = 0;  // a bit for each device that has a node
  bool at_once = false;  // nodes of several devices run at the same time; contributions take buffers' place
  std::unordered_map<Node*, std::vector<Contribution>> contributions;
  std::unordered_set<Node*> needed;  // with inputs: the nodes that lead to one
  bool all_needed = true;
  std::unordered_map<Node*, std::vector<std::pair<uint32_t, size_t>>>
      captures;  // node -> (its input, result)
  TensorList captured;
  std::vector<std::function<void()>> callbacks;
  Task* outer = nullptr;

  struct Later {
    bool operator()(const Ref<Node>& a, const Ref<Node>& b) const { return a->sequence < b->sequence; }
  };
  using Queue = std::priority_queue<Ref<Node>, std::vector<Ref<Node>>, Later>;
  Queue ready;
  std::unordered_map<int, Queue> ready_of;  // by device, in place of `ready` where nodes run at once
  std::mutex mutex;                         // of all this, where nodes run at once
  std::chrono::steady_clock::time_point last_check = std::chrono::steady_clock::now();

  explicit Task(const BackwardOptions& o) : options(o) {}
  // Lets Ctrl-C end what takes long.
  void poll() {
    const auto now = std::chrono::steady_clock::now();
    if (!check_interrupt || now - last_check <= std::chrono::milliseconds(100)) return;
    check_interrupt();
    last_check = now;
  }
  bool runs(Node* n) const { return all_needed || needed.count(n); }

  void make_ready(const Ref<Node>& n) { (at_once ? ready_of[n->device.index] : ready).push(n); }
  void add(Tensor& into, Tensor&& g);

  void collect(const Edge& e, Tensor&& g, const Node* from = nullptr, size_t position = 0) {
    if (at_once) {
      contributions[e.node.get()].push_back({e.index, from ? from->device : Device{},
                                             from ? from->sequence : UINT64_MAX, position, std::move(g)});
      return;
    }
    TensorList& buffer = buffers[e.node.get()];
    if (buffer.empty()) buffer.resize(e.node->inputs.size());
    add(buffer[e.index], std::move(g));
  }

  // Adds what leads from the roots to the nodes that are not `seen` yet.
  void count_dependencies(const std::vector<Edge>& roots, std::unordered_set<Node*>& seen,
                          std::vector<Ref<Node>>* reached = nullptr);
  // Marks the nodes from which an input's node can be reached.
  void mark_needed(const std::vector<Edge>& roots, const std::vector<Edge>& inputs);
  // Runs what is ready, on this thread.
  void run();
  // The same, with a thread for each device (engine_devices.cpp).
  void run_at_once();
  // Runs one node. Where nodes run at once, the caller holds `lock`; it is open while the node computes.
  void run_node(const Ref<Node>& node, std::unique_lock<std::mutex>* lock = nullptr);

  void run_callbacks() {
    for (size_t i = 0; i < callbacks.size(); i++) callbacks[i]();  // one may add another
    callbacks.clear();
  }

 private:
  TensorList take_gradients(Node* n, std::unique_lock<std::mutex>* lock);
  void run_hooks(Node* n, TensorList& grads);
  void validate(Node* n, TensorList& out);
};

// The pass that this thread runs nodes of.
extern thread_local Task* t_task;

}  // namespace nnlib
