#include "kube/work_queue.h"

#include <algorithm>
#include <cassert>
#include <utility>

namespace dbrestore::kube {

namespace {

double in_seconds(std::chrono::steady_clock::duration duration) {
    return std::chrono::duration<double>(duration).count();
}

}  // namespace

void WorkQueue::add(const Key& key) {
    const std::lock_guard lock(mutex_);
    add_locked(key);
}

void WorkQueue::add_after(const Key& key, std::chrono::milliseconds delay) {
    const std::lock_guard lock(mutex_);
    delay_locked(key, delay);
}

void WorkQueue::add_rate_limited(const Key& key) {
    const std::lock_guard lock(mutex_);
    ++retries_;
    delay_locked(key, exponential_delay(options_.base_delay, options_.longest_delay, failures_[key]++));
}

void WorkQueue::forget(const Key& key) {
    const std::lock_guard lock(mutex_);
    failures_.erase(key);
}

int WorkQueue::failures(const Key& key) const {
    const std::lock_guard lock(mutex_);
    const auto at = failures_.find(key);
    return at == failures_.end() ? 0 : at->second;
}

std::optional<Key> WorkQueue::get() {
    std::unique_lock lock(mutex_);
    for (;;) {
        release_due();
        if (!queue_.empty()) return take(lock);
        if (shutting_down_) return std::nullopt;
        if (due_order_.empty())
            ready_.wait(lock);
        else
            ready_.wait_for(lock, due_order_.begin()->first - options_.now());
    }
}

std::optional<Key> WorkQueue::try_get() {
    std::unique_lock lock(mutex_);
    release_due();
    if (queue_.empty()) return std::nullopt;
    return take(lock);
}

void WorkQueue::done(const Key& key) {
    double worked_seconds = 0;
    {
        const std::lock_guard lock(mutex_);
        const auto at = processing_.find(key);
        assert(at != processing_.end() && "done without get");
        worked_seconds = in_seconds(options_.now() - at->second);
        processing_.erase(at);
        if (dirty_.contains(key)) {
            queue_.push_back(key);
            ready_.notify_one();
        }
        if (processing_.empty() && queue_.empty()) idle_.notify_all();
    }
    if (options_.worked) options_.worked(worked_seconds);
}

void WorkQueue::shut_down() {
    const std::lock_guard lock(mutex_);
    shutting_down_ = true;
    delayed_.clear();
    due_order_.clear();
    ready_.notify_all();
}

void WorkQueue::shut_down_and_drain() {
    shut_down();
    std::unique_lock lock(mutex_);
    idle_.wait(lock, [this] { return processing_.empty() && queue_.empty(); });
}

WorkQueueStats WorkQueue::stats() const {
    const std::lock_guard lock(mutex_);
    const TimePoint now = options_.now();
    WorkQueueStats stats{queue_.size(), delayed_.size(), processing_.size(), adds_, retries_, 0, 0};
    for (const auto& [key, since] : processing_) {
        stats.unfinished_seconds += in_seconds(now - since);
        stats.longest_running_seconds = std::max(stats.longest_running_seconds, in_seconds(now - since));
    }
    return stats;
}

void WorkQueue::add_locked(const Key& key) {
    if (shutting_down_ || !dirty_.try_emplace(key, options_.now()).second) return;
    ++adds_;
    if (processing_.contains(key)) return;  // done() will queue it
    queue_.push_back(key);
    ready_.notify_one();
}

void WorkQueue::delay_locked(const Key& key, std::chrono::milliseconds delay) {
    if (shutting_down_) return;
    if (delay <= std::chrono::milliseconds(0)) return add_locked(key);
    const TimePoint due = options_.now() + delay;
    const auto [at, is_new] = delayed_.try_emplace(key, due);
    if (!is_new) {
        if (at->second <= due) return;
        due_order_.erase({at->second, key});
        at->second = due;
    }
    due_order_.insert({due, key});
    ready_.notify_one();  // whoever waits must not sleep past it
}

void WorkQueue::release_due() {
    const TimePoint now = options_.now();
    while (!due_order_.empty() && due_order_.begin()->first <= now) {
        const Key key = due_order_.begin()->second;
        due_order_.erase(due_order_.begin());
        delayed_.erase(key);
        add_locked(key);
    }
}

// Unlocks, since the observer runs without the lock.
Key WorkQueue::take(std::unique_lock<std::mutex>& lock) {
    Key key = std::move(queue_.front());
    queue_.pop_front();
    const auto added = dirty_.find(key);
    assert(added != dirty_.end() && !processing_.contains(key));
    const TimePoint now = options_.now();
    const double waited_seconds = in_seconds(now - added->second);
    dirty_.erase(added);
    processing_.emplace(key, now);
    lock.unlock();
    if (options_.waited) options_.waited(waited_seconds);
    return key;
}

}  // namespace dbrestore::kube
