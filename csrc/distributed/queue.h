// The queue between those who ask for a collective and the thread that runs it.
//
// One queue belongs to one process group. Python calls and the reducer's gradient hooks push jobs, each
// without the GIL; the communication thread (src/_comm.pyx) pops them in program order. Header only, and of
// standard types only: both extension modules compile it, and hand a queue over through a capsule.
#pragma once

#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <deque>
#include <memory>
#include <mutex>
#include <string>
#include <utility>

namespace nnlib::distributed {

// One collective on its way. The reducer fills in the numbers; a job made by Python carries its Python
// object in `owner` instead, which the communication thread alone looks at.
class Job {
 public:
  int32_t dtype = 0;      // as in core/dtype.h
  int32_t reduce_op = 0;  // as in rank_reduce.h
  int64_t count = 0;
  int64_t forwards = 0;         // forward passes of the module whose gradients these are; 0: not said
  void* data = nullptr;         // reduced in place
  void* owner = nullptr;        // a PyObject* that the queue's user counts
  std::shared_ptr<void> alive;  // whatever must outlive the transfer

  // Waits at most that long; true when the job is over, well or badly.
  bool wait(double seconds) {
    std::unique_lock<std::mutex> lock(mutex_);
    return over_.wait_for(lock, std::chrono::duration<double>(seconds),
                          [this] { return state_ != kWaiting; });
  }
  // The thread says that it has taken the job up.
  void begin() { began_ = Clock::now(); }
  // How long the thread had it; of a job that is over.
  double seconds() const { return std::chrono::duration<double>(ended_ - began_).count(); }
  void finish() { settle(kDone, {}); }
  void fail(std::string why) { settle(kFailed, std::move(why)); }
  bool is_over() const { return state() != kWaiting; }
  bool has_failed() const { return state() == kFailed; }
  std::string error() const {
    std::lock_guard<std::mutex> lock(mutex_);
    return error_;
  }

 private:
  using Clock = std::chrono::steady_clock;
  enum State { kWaiting, kDone, kFailed };
  State state() const {
    std::lock_guard<std::mutex> lock(mutex_);
    return state_;
  }
  void settle(State state, std::string why) {
    {
      std::lock_guard<std::mutex> lock(mutex_);
      if (state_ != kWaiting) return;
      state_ = state;
      ended_ = Clock::now();
      error_ = std::move(why);
    }
    over_.notify_all();
  }

  mutable std::mutex mutex_;
  std::condition_variable over_;
  State state_ = kWaiting;
  Clock::time_point began_ = Clock::now(), ended_;
  std::string error_;
};

class Queue {
 public:
  // After close() nothing is taken any more: the job fails at once, with the reason.
  void push(std::shared_ptr<Job> job) {
    {
      std::lock_guard<std::mutex> lock(mutex_);
      if (!closed_) {
        jobs_.push_back(std::move(job));
        ++unfinished_;
      }
    }
    if (job) {
      job->fail(reason());
    } else {
      changed_.notify_all();
    }
  }

  // The next job; null when none came in time, or when the queue is closed and empty.
  std::shared_ptr<Job> pop(double seconds) {
    std::unique_lock<std::mutex> lock(mutex_);
    changed_.wait_for(lock, std::chrono::duration<double>(seconds),
                      [this] { return closed_ || !jobs_.empty(); });
    if (jobs_.empty()) return nullptr;
    std::shared_ptr<Job> job = std::move(jobs_.front());
    jobs_.pop_front();
    return job;
  }

  // The thread says that a job it popped is over.
  void done() {
    {
      std::lock_guard<std::mutex> lock(mutex_);
      --unfinished_;
    }
    changed_.notify_all();
  }

  // Waits until every pushed job is over.
  bool drain(double seconds) {
    std::unique_lock<std::mutex> lock(mutex_);
    return changed_.wait_for(lock, std::chrono::duration<double>(seconds),
                             [this] { return unfinished_ == 0; });
  }

  void close(std::string why) {
    {
      std::lock_guard<std::mutex> lock(mutex_);
      if (closed_) return;
      closed_ = true;
      reason_ = std::move(why);
    }
    changed_.notify_all();
  }

  bool closed() const {
    std::lock_guard<std::mutex> lock(mutex_);
    return closed_;
  }
  std::string reason() const {
    std::lock_guard<std::mutex> lock(mutex_);
    return reason_;
  }

 private:
  mutable std::mutex mutex_;
  std::condition_variable changed_;
  std::deque<std::shared_ptr<Job>> jobs_;
  int64_t unfinished_ = 0;
  bool closed_ = false;
  std::string reason_;
};

}  // namespace nnlib::distributed
