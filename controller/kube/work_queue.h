#pragma once
// Keys that want attention. A key is in the queue once, however often it was added, and with one worker at a
// time; added while it is being worked on, it comes again afterwards (the semantics of client-go's
// workqueue).

#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <mutex>
#include <optional>
#include <set>

#include "kube/backoff.h"
#include "resources/kubernetes.h"

namespace dbrestore::kube {

using resources::Key;

struct WorkQueueOptions {
    std::chrono::milliseconds base_delay{5};
    std::chrono::milliseconds longest_delay{1'000'000};
    MonotonicNow now = std::chrono::steady_clock::now;
    // Seconds from add to get, and from get to done. Called on the worker's thread without any lock held.
    std::function<void(double seconds)> waited, worked;
};

struct WorkQueueStats {
    size_t depth = 0;  // ready, not those that wait for their time
    size_t delayed = 0, processing = 0;
    uint64_t adds = 0, retries = 0;
    double unfinished_seconds = 0;       // of all keys in work, together
    double longest_running_seconds = 0;  // of the oldest of them
};

// Safe from any thread.
class WorkQueue {
public:
    explicit WorkQueue(WorkQueueOptions options = {}) : options_(std::move(options)) {}

    void add(const Key& key);
    // Of two times for one key the earlier counts.
    void add_after(const Key& key, std::chrono::milliseconds delay);
    // After 5 ms, 10 ms, 20 ms … until forget.
    void add_rate_limited(const Key& key);
    void forget(const Key& key);
    int failures(const Key& key) const;  // add_rate_limited since the last forget

    // Waits for a key; it belongs to the caller until done(key). Nothing: shut down and empty.
    std::optional<Key> get();
    // The same without waiting.
    std::optional<Key> try_get();
    void done(const Key& key);

    // Takes no more keys, drops those that wait for their time, hands out the rest.
    void shut_down();
    // The same, and waits until no key is in work. Workers must go on calling get.
    void shut_down_and_drain();

    WorkQueueStats stats() const;

private:
    using TimePoint = std::chrono::steady_clock::time_point;

    void add_locked(const Key& key);
    void delay_locked(const Key& key, std::chrono::milliseconds delay);
    void release_due();
    Key take(std::unique_lock<std::mutex>& lock);

    const WorkQueueOptions options_;
    mutable std::mutex mutex_;
    std::condition_variable ready_, idle_;

    // A key is in dirty_ from add to get. It is in queue_ if and only if it is in dirty_ and not in
    // processing_.
    std::deque<Key> queue_;
    std::map<Key, TimePoint> dirty_;                 // since when
    std::map<Key, TimePoint> processing_;            // since when
    std::map<Key, TimePoint> delayed_;               // until when
    std::set<std::pair<TimePoint, Key>> due_order_;  // the same, by time
    std::map<Key, int> failures_;
    uint64_t adds_ = 0, retries_ = 0;
    bool shutting_down_ = false;
};

}  // namespace dbrestore::kube
