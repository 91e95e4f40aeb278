// Runs the backward graph on the calling thread.
// Reverse-mode differentiation: Griewank and Walther, "Evaluating Derivatives", 2008, chapter 3.
#pragma once
#include "autograd/node.h"

namespace nnlib {

struct BackwardOptions {
  bool retain_graph = false;
  bool create_graph = false;
  bool accumulate = true;  // into the leaves' .grad; otherwise the gradients of `inputs` are returned
};

// Propagates `grads` from `roots`. With `inputs`, only what leads to them is computed; their gradients are
// returned (undefined where none arrived) when accumulate is off.
TensorList run_backward(const std::vector<Edge>& roots, TensorList grads, const std::vector<Edge>& inputs,
                        const BackwardOptions& options);

// A pass whose gradients come in parts and over time, from other processes. Edges are announced first; a node
// runs when every announced edge and every node that lead to it have given it their gradients.
class PartialPass {
 public:
  explicit PartialPass(bool retain_graph);
  ~PartialPass();
  // Each of these edges will be fed once. Gives the nodes that no earlier announcement has reached.
  std::vector<Ref<Node>> announce(const std::vector<Edge>& edges);
  // Gradients for announced edges (undefined: none came); runs the nodes that are ready then.
  void feed(const std::vector<Edge>& edges, TensorList grads);

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

// Runs f when the backward pass that is under way on this thread ends; an error outside of one.
void queue_callback(std::function<void()> f);
// Whether this thread is inside a backward pass, and whether that adds gradients to the leaves' .grad.
bool in_backward();
bool in_accumulating_backward();

// The switches of a thread that are not autograd's own (autocast), as a number, for the threads that help in
// its pass. Set by csrc/ops.
extern uint64_t (*thread_switches)();
extern void (*set_thread_switches)(uint64_t switches);
// Called now and then during a pass; may throw (Ctrl-C). Set by the Python layer.
extern void (*check_interrupt)();
// Where the code is now, for anomaly detection. Set by the Python layer.
extern std::string (*current_trace)();
// Says on the error stream or as a warning where the failing step was made. Set by the Python layer.
extern void (*report_anomaly)(const std::string& text);

}  // namespace nnlib
