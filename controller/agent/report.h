#pragma once
// What leaves the pod: framed progress at most every two seconds, one result, and the termination message.

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <utility>

#include "resources/agent_protocol.h"

namespace dbrestore::agent {

class Report {
public:
    // Frames go to `output_fd`.
    Report(int output_fd, std::string step) : output_fd_(output_fd), step_(std::move(step)) {}

    // Drops what comes sooner than two seconds after the last one. Percent never goes back, since bytes of
    // finished workers cannot be read any more; the time left is worked out here.
    void progress(resources::Progress progress);
    // The same with words only.
    void progress(std::string summary, int64_t percent = 0);

    // Whether the next one would be told.
    bool is_due() const;

    // The last one that was told.
    int64_t percent() const { return percent_; }

    void finish(const resources::AgentResult& result, const std::string& termination_path);

private:
    void write(const std::string& frame) const;

    using SteadyClock = std::chrono::steady_clock;
    int output_fd_;
    std::string step_;
    int64_t sequence_ = 0, percent_ = 0;
    SteadyClock::time_point start_ = SteadyClock::now();
    std::optional<SteadyClock::time_point> last_;
};

}  // namespace dbrestore::agent
