// Devices: shares of this machine's cores, "cpu:0", "cpu:1", ..., each with a team of threads of its own. All
// see the same memory; what a device means is who computes. A tensor carries its device's number; "cpu" alone
// (-1) is no share: such tensors go with those of any device, and all cores may work for them.
#pragma once
#include <cstdint>
#include <vector>

namespace nnlib {

struct Device {
  int16_t index = -1;
  bool operator==(const Device& o) const { return index == o.index; }
  bool operator!=(const Device& o) const { return index != o.index; }
  // Whether an operator may take tensors of both.
  bool goes_with(const Device& o) const { return index < 0 || o.index < 0 || index == o.index; }
};

constexpr int kMaxDevices = 64;

// Divides the cores that this process may run on into n devices; 0 goes back to the default, one for each
// NUMA node. More devices than cores share cores.
void set_device_partition(int n);
int device_count();
// Throws when there is no such device. Until set_device_partition is called, a number past the last divides
// the cores anew, so that there is.
void require_device(Device d);
std::vector<int> device_cores(int device);
// How many threads the team of a device that was required has: one for each core, unless the process has a
// number of threads of its own, which the devices divide then.
int device_threads(int device);
void number_of_threads_changed();

// What this thread is computing for.
struct CurrentDevice {
  int16_t tensors = -1;  // the device of the tensors made now
  int16_t team = -1;     // the device whose team computes; -1: all threads of the process
};
extern thread_local CurrentDevice t_device;
// Whether any tensor or thread was ever given to a device: programs without devices skip what they need.
bool devices_in_use();

// An operator on tensors of a device: its team computes, and results are there.
class DeviceScope {
 public:
  explicit DeviceScope(Device d) : before_(t_device) {
    t_device.tensors = d.index;
    if (d.index >= 0) t_device.team = d.index;
  }
  ~DeviceScope() { t_device = before_; }
  DeviceScope(const DeviceScope&) = delete;

 private:
  CurrentDevice before_;
};

// Python code that an operator or a backward pass calls: the team stays, but tensors that it makes are "cpu".
class TeamScope {
 public:
  TeamScope() : before_(t_device) { t_device.tensors = -1; }
  ~TeamScope() { t_device = before_; }
  TeamScope(const TeamScope&) = delete;

 private:
  CurrentDevice before_;
};

// The calling thread computes on a device's team from now on (-1: as any thread); gives what was before.
int set_thread_team(int device);
// Keeps the calling thread on a device's cores, where the shares are apart and the process has them to
// itself.
void pin_thread(int device);

}  // namespace nnlib
