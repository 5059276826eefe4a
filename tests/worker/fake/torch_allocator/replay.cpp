// Does what standard input says with torch's own CUDA caching allocator, and prints what it counts after each step.
//   malloc KEY SIZE | free KEY | empty | reset
// Address (0: none, -1: no room), allocated, reserved, requested, their peaks, retries, device mallocs and frees.

#include <c10/cuda/CUDACachingAllocator.h>
#include <c10/cuda/PeerToPeerAccess.h>

#include <iostream>
#include <string>
#include <unordered_map>

namespace allocator = c10::cuda::CUDACachingAllocator;

int64_t take(std::unordered_map<int64_t, void*>& live, int64_t key, size_t size) {
  try {
    auto* address = allocator::raw_alloc(size);
    if (address) live[key] = address;
    return reinterpret_cast<int64_t>(address);
  } catch (const c10::OutOfMemoryError&) {
    return -1;
  }
}

int main() {
  c10::cuda::detail::init_p2p_access_cache(1);
  allocator::init(1);
  std::unordered_map<int64_t, void*> live;
  std::string what;
  while (std::cin >> what) {
    int64_t key = 0, address = 0;
    size_t size = 0;
    if (what == "malloc") {
      std::cin >> key >> size;
      address = take(live, key, size);
    } else if (what == "free") {
      std::cin >> key;
      if (live.count(key)) allocator::raw_delete(live[key]);
      live.erase(key);
    } else if (what == "empty") {
      allocator::emptyCache();
    } else if (what == "reset") {
      allocator::get()->resetPeakStats(0);
    }
    const auto counted = allocator::getDeviceStats(0);
    const auto &allocated = counted.allocated_bytes[0], &reserved = counted.reserved_bytes[0],
               &requested = counted.requested_bytes[0];
    std::cout << address << ' ' << allocated.current << ' ' << reserved.current << ' ' << requested.current << ' '
              << allocated.peak << ' ' << reserved.peak << ' ' << requested.peak << ' ' << counted.num_alloc_retries
              << ' ' << counted.num_device_alloc << ' ' << counted.num_device_free << '\n';
  }
}
