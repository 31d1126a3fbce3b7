#pragma once
// How long to wait after failures, shared by watch, lease and work queue.

#include <chrono>
#include <cstdint>
#include <functional>
#include <random>
#include <stop_token>

namespace dbrestore::kube {

// Time that never goes back, injected so that tests need not wait.
using MonotonicNow = std::function<std::chrono::steady_clock::time_point()>;

// Returns early on a stop.
void sleep_unless_stopped(std::chrono::milliseconds delay, std::stop_token stop);

// base * 2^failures, at most `longest`.
std::chrono::milliseconds exponential_delay(std::chrono::milliseconds base, std::chrono::milliseconds longest,
                                            int failures);

// Exponential delays, each drawn from [delay/2, delay] so that clients that failed together do not return
// together.
class Backoff {
public:
    Backoff(std::chrono::milliseconds base, std::chrono::milliseconds longest, uint64_t seed)
        : base_(base), longest_(longest), random_(seed) {}

    std::chrono::milliseconds next();
    void reset() { failures_ = 0; }

private:
    std::chrono::milliseconds base_, longest_;
    std::mt19937_64 random_;
    int failures_ = 0;
};

}  // namespace dbrestore::kube
