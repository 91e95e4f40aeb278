// The ends of a backward pass that crosses processes.
#pragma once

#include <unordered_map>

#include "autograd/engine.h"
#include "autograd/variable.h"

namespace nnlib::distributed {

// Stands where tensors came in from another process: hands their gradients over to it.
struct RecvRpcBackward final : Node {
  using Send = std::function<void(const TensorList&)>;
  RecvRpcBackward(int64_t worker, int64_t message, Send send)
      : worker(worker), message(message), send(std::move(send)) {}
  std::string name() const override { return "RecvRpcBackward"; }
  TensorList apply(TensorList&& grads) override {
    send(grads);
    return {};
  }

  const int64_t worker, message;  // where the tensors came from, and in which message
  const Send send;
};

// Tensors without history become outputs of a RecvRpcBackward.
void receive_tensors(const TensorList& tensors, int64_t worker, int64_t message, RecvRpcBackward::Send send);

// Stands where tensors went out to another process, or where a pass begins.
class SendRpcBackward {
 public:
  explicit SendRpcBackward(const TensorList& tensors);
  const std::vector<Edge>& edges() const { return edges_; }
  // Raises unless these gradients fit the tensors that went out.
  void check(const TensorList& grads) const;

 private:
  std::vector<Edge> edges_;
};

// This process's share of a pass. Gradients of leaves go into the store.
class RemotePass {
 public:
  RemotePass(std::shared_ptr<GradStore> store, bool retain_graph)
      : store_(std::move(store)), pass_(retain_graph) {}
  // `sent` will be fed once; what it leads to in other processes, as (worker, message), when it is new.
  std::vector<std::pair<int64_t, int64_t>> announce(const SendRpcBackward& sent);
  void feed(const SendRpcBackward& sent, TensorList grads);

 private:
  std::shared_ptr<GradStore> store_;
  PartialPass pass_;
};

}  // namespace nnlib::distributed
