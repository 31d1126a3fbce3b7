#pragma once
// Time and chance, both from a seed: the same seed is the same run, on every machine.

#include <chrono>
#include <cstddef>
#include <cstdint>

#include "base/clock.h"

namespace dbrestore::simulation {

// splitmix64 (public domain, Sebastiano Vigna). The distributions of <random> differ between libraries.
class Random {
public:
    explicit Random(uint64_t seed) : state_(seed) {}

    uint64_t next() {
        uint64_t z = (state_ += 0x9E3779B97F4A7C15);
        z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9;
        z = (z ^ (z >> 27)) * 0x94D049BB133111EB;
        return z ^ (z >> 31);
    }
    size_t below(size_t bound) { return static_cast<size_t>(next() % bound); }
    bool chance(double probability) { return static_cast<double>(next() >> 11) * 0x1.0p-53 < probability; }

private:
    uint64_t state_;
};

// Wall time, which may jump, and monotonic time, which does not.
class SimulatedClock final : public base::Clock {
public:
    base::Time now() const override { return wall_; }
    std::chrono::steady_clock::time_point steady() const { return steady_; }

    void pass(std::chrono::milliseconds time) {
        wall_ += time;
        steady_ += time;
    }
    void jump(std::chrono::milliseconds distance) { wall_ += distance; }

private:
    base::Time wall_ = *base::parse_time("2026-11-22T12:00:00Z");
    std::chrono::steady_clock::time_point steady_{std::chrono::hours(1)};
};

}  // namespace dbrestore::simulation
