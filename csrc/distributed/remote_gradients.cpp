#include "distributed/remote_gradients.h"

namespace nnlib::distributed {

void receive_tensors(const TensorList& tensors, int64_t worker, int64_t message, RecvRpcBackward::Send send) {
  Ref<Node> node(new RecvRpcBackward(worker, message, std::move(send)));
  for (const Tensor& t : tensors) set_gradient_edge(t, {node, node->add_input(t)});
}

SendRpcBackward::SendRpcBackward(const TensorList& tensors) {
  for (const Tensor& t : tensors) {
    NNLIB_CHECK(t.requires_grad(), "expected tensors that require a gradient");
    edges_.push_back(gradient_edge(t));
  }
}

void SendRpcBackward::check(const TensorList& grads) const {
  NNLIB_CHECK(grads.size() == edges_.size(), "expected ", edges_.size(), " gradients, but got ",
              grads.size());
  for (size_t i = 0; i < grads.size(); ++i) {
    if (!grads[i].defined()) continue;
    const InputMeta& meta = edges_[i].node->inputs[edges_[i].index];
    NNLIB_CHECK(grads[i].sizes() == meta.sizes && grads[i].dtype() == meta.dtype, "gradient ", i, " of ",
                grads[i].sizes(), " does not fit the tensor of ", meta.sizes, " that it is for");
  }
}

std::vector<std::pair<int64_t, int64_t>> RemotePass::announce(const SendRpcBackward& sent) {
  std::vector<std::pair<int64_t, int64_t>> ends;
  for (const Ref<Node>& node : pass_.announce(sent.edges()))
    if (auto* end = dynamic_cast<RecvRpcBackward*>(node.get())) ends.push_back({end->worker, end->message});
  return ends;
}

void RemotePass::feed(const SendRpcBackward& sent, TensorList grads) {
  sent.check(grads);
  GradStoreScope scope(store_.get());
  pass_.feed(sent.edges(), std::move(grads));
}

}  // namespace nnlib::distributed
