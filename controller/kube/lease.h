#pragma once
// Which of several operators works: the holder of a Lease (coordination.k8s.io). As client-go does it, with
// two differences: a slow request costs a try and not the leadership, and a former leader that does not know
// yet that it is one cannot write (LeaderGate).
//
// Nobody's wall clock decides anything. A leader counts from the moment before it sent its last renewal that
// succeeded; the others count from the moment after they saw that renewal, which is later, and wait longer.
// So the leader has stopped before anybody else may begin, unless their clocks differ in speed by half.

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <functional>
#include <mutex>
#include <nlohmann/json.hpp>
#include <optional>
#include <stop_token>
#include <string>
#include <variant>

#include "base/clock.h"
#include "base/result.h"
#include "kube/backoff.h"
#include "kube/client.h"
#include "kube/transport.h"

namespace dbrestore::kube {

using MonotonicTime = std::chrono::steady_clock::time_point;

// As it lies in the cluster. The times are the holder's wall clock: for people only.
struct LeaseRecord {
    std::string resource_version;  // empty: there is no such Lease
    std::string holder;            // empty: nobody, it was given back
    std::chrono::seconds duration{0};
    base::Time acquired{}, renewed{};
    int64_t transitions = 0;
};
LeaseRecord lease_from_json(const nlohmann::json& lease);
nlohmann::json spec_to_json(const LeaseRecord& record);

struct LeaseTimes {
    std::chrono::seconds lease{15};           // a holder that was not seen to renew for so long is gone
    std::chrono::seconds renew_deadline{10};  // a leader that could not renew for so long stops being one
    std::chrono::milliseconds renew_interval{2'000};   // of the leader
    std::chrono::milliseconds look_interval{1'000};    // of the others
    std::chrono::milliseconds failure_pause{500};      // of the leader, before it tries again
    std::chrono::milliseconds request_timeout{2'500};  // so three tries fit before the deadline
};

// What one process knows, and whether it leads.
struct Election {
    enum class Last { none, read, written, conflict, failed };

    LeaseRecord lease;              // as last read or written
    MonotonicTime changed{};        // when this process first had it like that
    std::chrono::seconds claim{0};  // for so long after that its holder may believe to lead; 0: nobody does
    Last last = Last::none;         // what came of the last request
    MonotonicTime answered{};       // when that was
    std::optional<MonotonicTime> renewed;  // a leader's: before its last write that succeeded was sent
};

// What came of the one request that was made.
struct LeaseSeen {
    LeaseRecord lease;
};
struct LeaseWritten {
    LeaseRecord lease;
};
struct LeaseFailed {
    base::Error error;
};
using LeaseOutcome = std::variant<LeaseSeen, LeaseWritten, LeaseFailed>;

// What to do now.
struct ReadLease {};
struct WriteLease {};  // take or renew: always on condition that it is still as it was read
struct WaitFirst {
    std::chrono::milliseconds delay;
};
struct GiveUp {
    std::string why;
};
using LeaseDecision = std::variant<ReadLease, WriteLease, WaitFirst, GiveUp>;

// The whole of the state machine. Pure.
LeaseDecision next(const Election& election, const std::string& identity, const LeaseTimes& times,
                   MonotonicTime now);
Election after(Election election, const LeaseOutcome& outcome, const LeaseTimes& times, MonotonicTime sent,
               MonotonicTime answered);
bool leads(const Election& election, const LeaseTimes& times, MonotonicTime now);

// What WriteLease writes, and what a leader leaves behind that goes in good order.
LeaseRecord taken(LeaseRecord before, const std::string& identity, const LeaseTimes& times, base::Time now);
LeaseRecord given_back(LeaseRecord before, base::Time now);

// Never goes back, and goes on while the machine sleeps, which steady_clock does not.
MonotonicTime boot_time();

struct ElectorOptions {
    std::string namespace_name;
    std::string name = "dbrestore-leader";
    std::string identity;  // no other process, past or future, may have the same
    LeaseTimes times;
    MonotonicNow now = boot_time;
    // Waits, or returns early on a stop.
    std::function<void(std::chrono::milliseconds, std::stop_token)> sleep = sleep_unless_stopped;
};

class Elector {
public:
    // Both must outlive it.
    Elector(Http& http, const base::Clock& clock, ElectorOptions options);

    // Until the stop: nothing; or until it leads no longer: why. Then the process must end, at once: whatever
    // it still has in hand belongs to somebody else. Give it a thread of its own: std::jthread.
    std::optional<std::string> run(const std::stop_token& stop);

    // Gives the Lease back, after run has returned and the work has ended, so that the next leader need not
    // wait.
    void release();

    // Safe from any thread. False from the moment on at which somebody else may begin, although this process
    // was asleep meanwhile.
    bool leads() const;
    // Safe from any thread. True while `run` has not gone round for the time of a lease: a round is one
    // request or one pause, of two seconds and a half at most.
    bool hangs() const;
    // Waits until it leads for the first time; false where the stop came first.
    bool wait_until_leading(const std::stop_token& stop) const;

private:
    LeaseOutcome read(Client& client) const;
    LeaseOutcome write(Client& client, const LeaseRecord& record) const;
    void request(Client& client, const LeaseDecision& decision);
    void learn(const LeaseOutcome& outcome, MonotonicTime sent);

    Http& http_;
    const base::Clock& clock_;
    const ElectorOptions options_;
    Election election_;  // the thread that runs, then the one that releases
    std::atomic<MonotonicTime> leads_until_{MonotonicTime::min()};
    std::atomic<MonotonicTime> went_round_{MonotonicTime::max()};  // max: it does not run
    mutable std::mutex mutex_;
    mutable std::condition_variable_any changed_;
    bool began_ = false;
};

// Between a client and the API server: lets nothing but GET through while `leads` is false, so that a leader
// that slept through its Lease does no harm with what it was about to do.
class LeaderGate final : public Http {
public:
    // Both must outlive it.
    LeaderGate(Http& http, std::function<bool()> leads) : http_(http), leads_(std::move(leads)) {}

    base::Result<Response> send(const Request& request, std::stop_token stop = {}) override;
    base::Result<OpenedStream> open(const Request& request, std::stop_token stop = {}) override;

private:
    base::Status check(const Request& request) const;

    Http& http_;
    const std::function<bool()> leads_;
};

}  // namespace dbrestore::kube
