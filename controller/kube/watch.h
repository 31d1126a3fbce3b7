#pragma once
// Keeps a RecordStore equal to what the API server holds of one resource: list in pages, then watch from the
// list's resourceVersion, over and over (Kubernetes API concepts, "Efficient detection of changes").

#include <atomic>
#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <stop_token>
#include <string>
#include <variant>

#include "base/result.h"
#include "kube/backoff.h"
#include "kube/cache.h"
#include "kube/client.h"
#include "kube/transport.h"

namespace dbrestore::kube {

struct WatchFrame;

// Where a reflector is. From `watch` it goes back to `list` only when its position has expired
// or, after several attempts, proved useless.
enum class WatchState { list, list_more, watch };

struct WatchPosition {
    WatchState state = WatchState::list;
    std::string continue_token;    // list_more: the next page
    std::string resource_version;  // watch: the last seen
    int fruitless_watches = 0;     // in a row, without an event in them
};

// What came of the one thing that was done in a state.
struct PageListed {
    std::string continue_token, resource_version;
};
struct WatchEnded {  // in good order, as every watch does after timeoutSeconds
    std::string last_resource_version;
    bool too_short = false;  // at once and with nothing in it: must not become a busy loop
};
struct WatchBroke {
    std::string last_resource_version;
    bool progressed = false;  // something was received before
    base::Error error;
};
struct ListFailed {
    base::Error error;
};
using WatchOutcome = std::variant<PageListed, WatchEnded, WatchBroke, ListFailed>;

// Whether to wait before the next thing, and whether the waits grow from the beginning again.
enum class Pace { at_once, reset, back_off, reset_and_back_off };
struct WatchStep {
    WatchPosition next;
    Pace pace = Pace::at_once;
};

// The whole of the state machine. Pure.
WatchStep next_step(const WatchPosition& position, const WatchOutcome& outcome);

struct ReflectorOptions {
    std::string namespace_name;  // empty: all
    std::string label_selector;
    int page_limit = 200;  // bounds memory: a page is one document; halved while pages are too large to read
    std::chrono::seconds watch_timeout{120};  // asked of the server; see watch()
    std::chrono::milliseconds base_delay{200}, longest_delay{30'000};
    uint64_t seed = std::random_device{}();
    MonotonicNow now = std::chrono::steady_clock::now;
    // Waits, or returns early on a stop.
    std::function<void(std::chrono::milliseconds, std::stop_token)> sleep = sleep_unless_stopped;
};

struct ReflectorCounts {
    uint64_t lists = 0, watches = 0, events = 0, errors = 0;
};

class Reflector {
public:
    // Both must outlive it.
    Reflector(Http& http, RecordStore& store, Resource resource, ReflectorOptions options = {});

    // Until the stop, which it follows within a second. Give it a thread of its own: std::jthread.
    void run(std::stop_token stop);

    // One list page, or one watch to its end, and the wait after it. What run repeats.
    void step(std::stop_token stop);

    ReflectorCounts counts() const;  // from any thread
    const WatchPosition& position() const { return position_; }

private:
    WatchOutcome list_page(std::stop_token stop);
    WatchOutcome watch(std::stop_token stop);
    std::string list_target() const;
    std::string watch_target() const;
    std::string selector() const;
    void store_frame(const WatchFrame& frame);
    void pause(Pace pace, const WatchOutcome& outcome, std::stop_token stop);
    void report(const base::Error& error);

    Http& http_;
    RecordStore& store_;
    const Resource resource_;
    const ReflectorOptions options_;
    int page_limit_;
    Backoff backoff_;
    WatchPosition position_;
    std::atomic<uint64_t> lists_{0}, watches_{0}, events_{0}, errors_{0};
};

}  // namespace dbrestore::kube
