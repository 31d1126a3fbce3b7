#include "kube/backoff.h"

#include <algorithm>
#include <condition_variable>
#include <mutex>
#include <utility>

namespace dbrestore::kube {

using std::chrono::milliseconds;

void sleep_unless_stopped(milliseconds delay, std::stop_token stop) {
    std::mutex mutex;
    std::condition_variable_any never;
    std::unique_lock lock(mutex);
    never.wait_for(lock, std::move(stop), delay, [] { return false; });
}

milliseconds exponential_delay(milliseconds base, milliseconds longest, int failures) {
    milliseconds delay = std::min(base, longest);
    for (int i = 0; i < failures && delay < longest; ++i) delay = std::min(delay * 2, longest);
    return delay;
}

milliseconds Backoff::next() {
    const milliseconds delay = exponential_delay(base_, longest_, failures_);
    if (delay < longest_) ++failures_;
    std::uniform_int_distribution<milliseconds::rep> spread(delay.count() / 2, delay.count());
    return milliseconds(spread(random_));
}

}  // namespace dbrestore::kube
