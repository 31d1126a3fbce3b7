#include "kube/lease.h"

#include <time.h>

#include <algorithm>
#include <utility>

#include "base/log.h"
#include "resources/json_fields.h"

namespace dbrestore::kube {

using base::ErrorKind;
using nlohmann::json;
using std::chrono::ceil;
using std::chrono::milliseconds;
using std::chrono::seconds;

namespace {

const Resource leases_resource{"coordination.k8s.io", "v1", "leases"};
constexpr const char* lease_manager = "dbrestore-leader";
constexpr int release_tries = 3;

LeaseDecision at(MonotonicTime due, MonotonicTime now, LeaseDecision decision) {
    if (now >= due) return decision;
    return WaitFirst{ceil<milliseconds>(due - now)};
}

LeaseDecision next_of_leader(const Election& e, const std::string& identity, const LeaseTimes& times,
                             MonotonicTime now) {
    if (now - *e.renewed >= times.renew_deadline)
        return GiveUp{"no renewal came through for " + std::to_string(times.renew_deadline.count()) + " s"};
    switch (e.last) {
        case Election::Last::failed:
            // It may have taken effect with its answer lost. Then this one is a conflict, and is read.
            return at(e.answered + times.failure_pause, now, WriteLease{});
        case Election::Last::conflict:
            return at(e.answered + times.failure_pause, now, ReadLease{});
        case Election::Last::read:
            if (!e.lease.holder.empty() && e.lease.holder != identity)
                return GiveUp{e.lease.holder + " holds the Lease"};
            return WriteLease{};
        case Election::Last::none:
        case Election::Last::written:
            break;
    }
    return at(*e.renewed + times.renew_interval, now, WriteLease{});
}

LeaseDecision next_of_follower(const Election& e, const std::string& identity, const LeaseTimes& times,
                               MonotonicTime now) {
    if (e.last == Election::Last::none) return ReadLease{};
    const MonotonicTime next_look = e.answered + times.look_interval;
    if (e.last != Election::Last::read) return at(next_look, now, ReadLease{});
    // Ours without our knowing: the answer to our own write was lost.
    if (e.lease.holder == identity) return WriteLease{};
    const MonotonicTime free = e.changed + e.claim;
    if (now >= free) return WriteLease{};
    if (free < next_look) return at(free, now, WriteLease{});
    return at(next_look, now, ReadLease{});
}

// Also notices that nothing changed, which is what lets a claim run out.
void note(Election& e, const LeaseRecord& lease, const LeaseTimes& times, MonotonicTime now) {
    if (lease.resource_version == e.lease.resource_version) return;
    // A holder whose Lease was deleted has not heard of it yet.
    if (!lease.resource_version.empty())
        e.claim = lease.holder.empty() ? seconds(0) : std::max(times.lease, lease.duration);
    e.lease = lease;
    e.changed = now;
}

// The elector's requests: one that hangs must not use up the time for the tries after it.
class Impatient final : public Http {
public:
    Impatient(Http& http, milliseconds timeout) : http_(http), timeout_(timeout) {}

    base::Result<Response> send(const Request& request, std::stop_token stop) override {
        return http_.send(hastened(request), std::move(stop));
    }
    base::Result<OpenedStream> open(const Request& request, std::stop_token stop) override {
        return http_.open(hastened(request), std::move(stop));
    }

private:
    Request hastened(Request request) const {
        request.timeout = std::min(request.timeout, timeout_);
        return request;
    }

    Http& http_;
    const milliseconds timeout_;
};

void report(const Election& before, const Election& now, const LeaseOutcome& outcome) {
    if (const auto* failed = std::get_if<LeaseFailed>(&outcome)) {
        // Once at the beginning of a bad time, not each second of it. A conflict is the guard at work.
        const bool loud = now.last == Election::Last::failed && before.last != Election::Last::failed;
        base::log(loud ? base::LogLevel::warning : base::LogLevel::debug, "the Lease cannot be reached",
                  {{"error", to_text(failed->error)}});
    } else if (now.renewed && !before.renewed) {
        base::log_info("leading", {{"identity", now.lease.holder},
                                   {"transitions", std::to_string(now.lease.transitions)}});
    } else if (!now.renewed && now.lease.holder != before.lease.holder) {
        base::log_info("following", {{"leader", now.lease.holder}});
    }
}

}  // namespace

LeaseRecord lease_from_json(const json& lease) {
    LeaseRecord record;
    record.resource_version = resources::text_at(lease, "metadata.resourceVersion");
    record.holder = resources::text_at(lease, "spec.holderIdentity");
    record.duration =
        seconds(std::clamp<int64_t>(resources::integer_at(lease, "spec.leaseDurationSeconds"), 0, INT32_MAX));
    record.acquired = resources::time_at(lease, "spec.acquireTime").value_or(base::Time{});
    record.renewed = resources::time_at(lease, "spec.renewTime").value_or(base::Time{});
    record.transitions = resources::integer_at(lease, "spec.leaseTransitions");
    return record;
}

json spec_to_json(const LeaseRecord& record) {
    // The API does not take an empty holder; null takes the field away.
    return {{"holderIdentity", record.holder.empty() ? json() : json(record.holder)},
            {"leaseDurationSeconds", record.duration.count()},
            {"acquireTime", base::format_time_micro(record.acquired)},
            {"renewTime", base::format_time_micro(record.renewed)},
            {"leaseTransitions", record.transitions}};
}

LeaseDecision next(const Election& election, const std::string& identity, const LeaseTimes& times,
                   MonotonicTime now) {
    return election.renewed ? next_of_leader(election, identity, times, now)
                            : next_of_follower(election, identity, times, now);
}

Election after(Election e, const LeaseOutcome& outcome, const LeaseTimes& times, MonotonicTime sent,
               MonotonicTime answered) {
    e.answered = answered;
    if (const auto* seen = std::get_if<LeaseSeen>(&outcome)) {
        e.last = Election::Last::read;
        note(e, seen->lease, times, answered);
    } else if (const auto* written = std::get_if<LeaseWritten>(&outcome)) {
        e.last = Election::Last::written;
        note(e, written->lease, times, answered);
        e.renewed = sent;
    } else {
        const ErrorKind kind = std::get<LeaseFailed>(outcome).error.kind;
        const bool outdated = kind == ErrorKind::conflict || kind == ErrorKind::not_found;
        // A read that failed after a conflict is still to be made: a write without it would be a conflict
        // again.
        if (outdated)
            e.last = Election::Last::conflict;
        else if (e.last != Election::Last::conflict)
            e.last = Election::Last::failed;
    }
    return e;
}

bool leads(const Election& election, const LeaseTimes& times, MonotonicTime now) {
    return election.renewed && now - *election.renewed < times.renew_deadline;
}

LeaseRecord taken(LeaseRecord record, const std::string& identity, const LeaseTimes& times, base::Time now) {
    if (record.holder != identity) {
        if (!record.resource_version.empty()) ++record.transitions;
        record.holder = identity;
        record.acquired = now;
    }
    record.duration = times.lease;
    // A clock that was set back must not make this a write that changes nothing: nobody would see it.
    record.renewed = now == record.renewed ? now + milliseconds(1) : now;
    return record;
}

LeaseRecord given_back(LeaseRecord record, base::Time now) {
    record.holder.clear();
    record.duration = seconds(1);
    record.renewed = now;
    return record;
}

MonotonicTime boot_time() {
    timespec time{};
    clock_gettime(CLOCK_BOOTTIME, &time);
    return MonotonicTime(seconds(time.tv_sec) + std::chrono::nanoseconds(time.tv_nsec));
}

Elector::Elector(Http& http, const base::Clock& clock, ElectorOptions options)
    : http_(http), clock_(clock), options_(std::move(options)) {}

std::optional<std::string> Elector::run(const std::stop_token& stop) {
    Impatient http(http_, options_.times.request_timeout);
    Client client(http, stop);
    while (!stop.stop_requested()) {
        went_round_ = options_.now();
        const LeaseDecision decision = next(election_, options_.identity, options_.times, went_round_);
        if (const auto* wait = std::get_if<WaitFirst>(&decision))
            options_.sleep(wait->delay, stop);  // perhaps much longer: decide anew
        else if (const auto* give_up = std::get_if<GiveUp>(&decision))
            return give_up->why;
        else
            request(client, decision);
    }
    went_round_ = MonotonicTime::max();
    return std::nullopt;
}

void Elector::request(Client& client, const LeaseDecision& decision) {
    const MonotonicTime sent = options_.now();
    const Election before = election_;
    const LeaseOutcome outcome =
        std::holds_alternative<WriteLease>(decision)
            ? write(client, taken(election_.lease, options_.identity, options_.times, clock_.now()))
            : read(client);
    learn(outcome, sent);
    report(before, election_, outcome);
}

LeaseOutcome Elector::read(Client& client) const {
    const auto lease = client.get(leases_resource, {options_.namespace_name, options_.name});
    if (lease) return LeaseSeen{lease_from_json(*lease)};
    if (lease.error().kind == ErrorKind::not_found) return LeaseSeen{};
    return LeaseFailed{lease.error()};
}

LeaseOutcome Elector::write(Client& client, const LeaseRecord& record) const {
    const bool exists = !record.resource_version.empty();
    json body = {{"metadata", {{"name", options_.name}}}, {"spec", spec_to_json(record)}};
    if (exists) {
        body["metadata"]["resourceVersion"] = record.resource_version;
    } else {
        body["apiVersion"] = "coordination.k8s.io/v1";
        body["kind"] = "Lease";
    }
    const auto lease = exists ? client.merge_patch(leases_resource, {options_.namespace_name, options_.name},
                                                   {}, body, lease_manager)
                              : client.create(leases_resource, options_.namespace_name, body);
    if (!lease) return LeaseFailed{lease.error()};
    return LeaseWritten{lease_from_json(*lease)};
}

void Elector::learn(const LeaseOutcome& outcome, MonotonicTime sent) {
    election_ = after(std::move(election_), outcome, options_.times, sent, options_.now());
    if (!election_.renewed) return;
    leads_until_ = *election_.renewed + options_.times.renew_deadline;
    {
        const std::lock_guard lock(mutex_);
        began_ = true;
    }
    changed_.notify_all();
}

void Elector::release() {
    leads_until_ = MonotonicTime::min();
    Impatient http(http_, options_.times.request_timeout);
    Client client(http);
    // Whether the last write took effect is unknown where its answer is missing, so a follower asks, too.
    bool known = election_.last == Election::Last::read || election_.last == Election::Last::written;
    for (int i = 0; i < release_tries; ++i) {
        if (!known) {
            const LeaseOutcome outcome = read(client);
            if (const auto* seen = std::get_if<LeaseSeen>(&outcome)) {
                election_.lease = seen->lease;
                known = true;
            }
        }
        if (known && election_.lease.holder != options_.identity) return;
        if (known &&
            std::holds_alternative<LeaseWritten>(write(client, given_back(election_.lease, clock_.now())))) {
            base::log_info("the Lease is given back");
            return;
        }
        known = false;
    }
    base::log_warning("the Lease could not be given back: the next leader waits until it has run out");
}

bool Elector::leads() const {
    return options_.now() < leads_until_.load();
}

bool Elector::hangs() const {
    const MonotonicTime last = went_round_;
    return last != MonotonicTime::max() && options_.now() - last > options_.times.lease;
}

bool Elector::wait_until_leading(const std::stop_token& stop) const {
    std::unique_lock lock(mutex_);
    return changed_.wait(lock, stop, [this] { return began_; });
}

base::Status LeaderGate::check(const Request& request) const {
    if (request.method == "GET" || leads_()) return base::success();
    return base::error(ErrorKind::unavailable,
                       request.method + " " + request.target + ": not the leader any more");
}

base::Result<Response> LeaderGate::send(const Request& request, std::stop_token stop) {
    if (auto checked = check(request); !checked) return checked.error();
    return http_.send(request, std::move(stop));
}

base::Result<OpenedStream> LeaderGate::open(const Request& request, std::stop_token stop) {
    if (auto checked = check(request); !checked) return checked.error();
    return http_.open(request, std::move(stop));
}

}  // namespace dbrestore::kube
