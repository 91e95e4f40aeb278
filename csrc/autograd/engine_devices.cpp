// A backward pass over the nodes of several devices: each device has one node under way at most, so that its
// nodes run one after the other on its team, and different devices compute at once.
#include <bit>
#include <condition_variable>
#include <exception>

#include "autograd/task.h"
#include "core/parallel.h"
#include "core/team.h"

namespace nnlib {

namespace {

class DevicePass {
 public:
  explicit DevicePass(Task& task)
      : task_(task),
        grad_(GradMode::enabled()),
        store_(current_grad_store()),
        switches_(thread_switches ? thread_switches() : 0) {
    for (int d = 0; d < kMaxDevices; ++d)
      if (task.devices >> d & 1) devices_.push_back(d);
  }

  void run() {
    const int members = std::min<int>((int)devices_.size(), process_threads());
    run_team(-1, members, [](void* pass, int member) { static_cast<DevicePass*>(pass)->work(member); }, this);
    if (error_) std::rethrow_exception(error_);
  }

 private:
  // Nodes of no device run on the caller, which sees to Ctrl-C too. Whoever has nothing of its own takes what
  // is ready of a device whose thread has not begun.
  int choose(int member) {
    if (member == 0 && can_run(-1)) return -1;
    if (can_run(devices_[(size_t)member])) return devices_[(size_t)member];
    for (int d : devices_)
      if (can_run(d)) return d;
    return kNothing;
  }
  bool can_run(int device) {
    auto found = task_.ready_of.find(device);
    return found != task_.ready_of.end() && !found->second.empty() && !(busy_ >> (device + 1) & 1);
  }
  bool over() {
    if (error_) return true;
    if (running_ > 0) return false;
    for (const auto& [device, queue] : task_.ready_of)
      if (!queue.empty()) return false;
    return true;
  }

  void work(int member) {
    Task* const before = t_task;
    t_task = &task_;
    GradGuard mode(grad_);
    GradStoreScope store(store_);
    const uint64_t own = thread_switches ? thread_switches() : 0;
    if (own != switches_) set_thread_switches(switches_);
    std::unique_lock<std::mutex> lock(task_.mutex);
    try {
      while (!over()) {
        const int device = choose(member);
        if (device == kNothing)
          changed_.wait_for(lock, std::chrono::milliseconds(50));
        else
          run_one(device, lock);
        if (member == 0) {
          lock.unlock();
          task_.poll();
          lock.lock();
        }
      }
    } catch (...) {
      if (!lock.owns_lock()) lock.lock();
      if (!error_) error_ = std::current_exception();
    }
    t_task = before;
    if (own != switches_) set_thread_switches(own);
    changed_.notify_all();
  }
  void run_one(int device, std::unique_lock<std::mutex>& lock) {
    Task::Queue& queue = task_.ready_of[device];
    const Ref<Node> node = queue.top();
    queue.pop();
    const Busy busy(*this, device, lock);
    task_.run_node(node, &lock);
  }

  struct Busy {
    DevicePass& pass;
    const __uint128_t bit;
    std::unique_lock<std::mutex>& lock;
    Busy(DevicePass& p, int device, std::unique_lock<std::mutex>& l)
        : pass(p), bit(__uint128_t(1) << (device + 1)), lock(l) {
      pass.busy_ |= bit;
      ++pass.running_;
    }
    ~Busy() {
      if (!lock.owns_lock()) lock.lock();
      pass.busy_ &= ~bit;
      --pass.running_;
      pass.changed_.notify_all();
    }
  };

  static constexpr int kNothing = -2;
  Task& task_;
  const bool grad_;
  GradStore* const store_;
  const uint64_t switches_;  // the caller's
  std::vector<int> devices_;
  std::condition_variable changed_;
  __uint128_t busy_ = 0;  // bit 0 for no device, then one for each
  int running_ = 0;
  std::exception_ptr error_;
};

}  // namespace

void Task::run_at_once() { DevicePass(*this).run(); }

}  // namespace nnlib
