#include "simulation/simulation.h"

#include <algorithm>
#include <iostream>

#include "resources/json_fields.h"

namespace dbrestore::simulation {

using namespace std::chrono_literals;
using resources::Phase;
using resources::present_at;
using resources::text_at;

namespace {

constexpr auto longest_stillness = 8h;
constexpr uint64_t most_steps_to_rest = 60'000;
constexpr size_t walk_steps = 1500;

// Registering all families takes longer than a restore.
op::Metrics& shared_metrics() {
    static op::Metrics metrics;
    return metrics;
}

}  // namespace

Simulation::Simulation(const RunSettings& settings)
    : settings_(settings),
      random_(settings.seed),
      store_(clock_),
      api_(store_),
      invariants_(store_, clock_, volumes_),
      cluster_(store_, api_, clock_, random_, volumes_, invariants_),
      people_(store_, cluster_, clock_, invariants_, volumes_),
      cues_(settings.scenario->cues) {
    store_.on_change = [this](const Collection& kind, const json* before, const json* after) {
        invariants_.changed(kind, before, after);
    };
    cluster_.at_agent_move = [this](const Key& pod) {
        const auto fault = at_point(PointKind::agent_move, 0);
        if (fault == Fault::agent_killed) return Cluster::AgentOrder::kill;
        if (fault == Fault::result_lost) return Cluster::AgentOrder::lose_result;
        if (fault == Fault::job_pod_deleted) store_.remove("pods", pod);
        return Cluster::AgentOrder::none;
    };
    cluster_.behaviour = settings.scenario->behaviour;
    invariants_.on_broken = [this](const std::string& what) { tell("BROKEN " + what); };
}

void Simulation::start_operator(size_t number) {
    if (operators_.size() <= number) operators_.resize(number + 1);
    OperatorProcess::Events events;
    events.at_call = [this, number](const kube::Request& request) {
        if (settings_.tell)
            tell("operator " + std::to_string(number) + " call " + std::to_string(points_[0]) + " " +
                 request.method + " " + request.target.substr(0, request.target.find('?')));
        return at_point(PointKind::call, number);
    };
    events.at_watch = [this, number](const kube::Request&) { return at_point(PointKind::watch, number); };
    events.asks = [this, number](const kube::Request& request) {
        invariants_.operator_is_acting = true;
        invariants_.acting_operator = number;
        invariants_.known_restores_version = operators_[number]->known_version(0);
        invariants_.operator_asks(request);
    };
    events.is_answered = [this, number](const kube::Request& request) {
        const Target target = parse_target(request.target);
        if (target.plural == "pods" && target.name.empty())
            invariants_.pods_looked_at(number, target.namespace_name);
    };
    operators_[number].reset();
    operators_[number] = std::make_unique<OperatorProcess>(api_, store_, clock_, shared_metrics(),
                                                           std::move(events), random_.next());
}

// Only the first operator's calls are points, so that a second one does not shift them.
std::optional<Fault> Simulation::at_point(PointKind kind, size_t number) {
    if (!counting_ || nested_) return std::nullopt;
    if (settings_.walk) return random_fault(kind, number);
    if (number != 0) return std::nullopt;
    const uint64_t point = points_[static_cast<size_t>(kind)]++;
    for (const auto& planned : settings_.planned) {
        if (planned.point != point || kind_of(planned.fault) != kind) continue;
        tell("fault " + to_text(planned));
        if (const auto left = befall(planned.fault, number)) return left;
    }
    return std::nullopt;
}

// What is left to be done by whoever asked.
std::optional<Fault> Simulation::befall(Fault fault, size_t number) {
    if (fault >= first_of_people && fault < first_at_agent) {
        people_.act(fault);
        return std::nullopt;
    }
    if (fault >= Fault::stale_restores && fault <= Fault::stale_all) {
        const auto first = static_cast<size_t>(fault) - static_cast<size_t>(Fault::stale_restores);
        const auto until = clock_.steady() + 90s;
        for (size_t kind = 0; kind < watched_kinds; ++kind) {
            if (fault == Fault::stale_all || kind == first) operators_[number]->make_stale(kind, until);
        }
        return std::nullopt;
    }
    if (fault == Fault::second_leader) {
        let_second_leader_work();
        return std::nullopt;
    }
    if (fault == Fault::clock_forward || fault == Fault::clock_back) {
        invariants_.clock_jumps();
        clock_.jump(fault == Fault::clock_forward ? 900s : -900s);
        return std::nullopt;
    }
    return fault;
}

std::optional<Fault> Simulation::random_fault(PointKind kind, size_t number) {
    if (calm_ || !random_.chance(trouble_)) return std::nullopt;
    static const auto faults = all_faults();
    const Fault fault = faults[random_.below(faults.size())];
    if (kind_of(fault) != kind) return std::nullopt;
    // People do few things in a day, and a namespace is deleted once.
    if (fault >= first_of_people && fault < first_at_agent && !random_.chance(0.1)) return std::nullopt;
    if (fault == Fault::namespace_deleted && !random_.chance(0.05)) return std::nullopt;
    if (fault == Fault::second_leader && operators_.size() > 1) return std::nullopt;
    tell("fault " + to_text(fault));
    return befall(fault, number);
}

// With caches of its own, as far as they are; it goes on as another process does, between two calls of ours.
void Simulation::let_second_leader_work() {
    nested_ = true;
    if (operators_.size() < 2) start_operator(1);
    for (int round = 0; round < 8; ++round) {
        for (size_t kind = 0; kind < watched_kinds; ++kind)
            while (operators_[1]->step_reflector(kind, all_events)) count_step();
        while (work(1, false) || work(1, true)) count_step();
    }
    nested_ = false;
}

bool Simulation::work(size_t number, bool on_a_restore) {
    invariants_.round_begins(number);
    return on_a_restore ? operators_[number]->work_on_a_restore() : operators_[number]->work_on_a_server();
}

void Simulation::count_step() {
    ++steps_;
    invariants_.operator_is_acting = false;
    invariants_.check();
    step_cues();
    if (settings_.tell) tell_phases();
}

void Simulation::tell(const std::string& what) const {
    if (settings_.tell) std::cout << base::format_time(clock_.now()) << " " << what << "\n";
}

void Simulation::tell_phases() {
    std::string now;
    for (const auto& [key, object] : store_.all("databaserestores").objects)
        now += key.name + " " + text_at(object.document, "status.phase") + " " +
               text_at(object.document, "status.step.name") + " ";
    for (const auto& [key, object] : store_.all("jobs").objects) now += key.name + " ";
    for (const auto& [key, object] : store_.all("pods").objects)
        now += key.name + (present_at(object.document, "metadata.deletionTimestamp") ? "(ending) " : " ");
    if (const json* server = store_.find("postgresservers", the_server))
        now += "lock " + text_at(*server, "status.activeRestore.name") + " fence " +
               text_at(*server, "status.fence.restoreName");
    if (now != told_) tell(now);
    told_ = now;
}

bool Simulation::step_operator(size_t number, size_t turn) {
    if (clock_.steady() < operator_back_) return false;
    const bool random = settings_.walk && !calm_;
    try {
        if (turn < watched_kinds)
            return operators_[number]->step_reflector(turn, random ? 1 + random_.below(4) : all_events);
        return work(number, turn % 2 == 0);
    } catch (const Killed&) {
        nested_ = false;
        start_operator(number);
        return true;
    }
}

bool Simulation::step_world(size_t turn) {
    invariants_.operator_is_acting = false;
    switch (turn) {
        case 0:
            return cluster_.move_stateful_sets();
        case 1:
            return cluster_.move_jobs();
        case 2:
            return cluster_.move_kubelet();
        case 3:
            return cluster_.move_garbage();
        default:
            return people_.mend();
    }
}

void Simulation::step_cues() {
    if (cues_.empty() && !settings_.scenario->operator_is_away) return;
    const json* restore = store_.find("databaserestores", the_restore);
    if (restore == nullptr) return;
    const auto phase = resources::phase_from_text(text_at(*restore, "status.phase"));
    if (settings_.scenario->operator_is_away && operator_back_ == decltype(operator_back_){} &&
        phase == Phase::preparing)
        operator_back_ = clock_.steady() + 10h;
    const auto cue = std::ranges::find_if(cues_, [&](const Cue& c) { return c.phase == phase; });
    if (cue == cues_.end()) return;
    const Fault act = cue->act;
    cues_.erase(cue);
    people_.act(act);
}

// The walk: whose turn it is, and how much of it, is drawn.
bool Simulation::step_randomly() {
    const size_t choice = random_.below(100);
    const size_t number = random_.below(operators_.size());
    if (choice < 35) return step_operator(number, random_.below(watched_kinds));
    if (choice < 60) return step_operator(number, watched_kinds + random_.below(2));
    if (choice < 90) return step_world(random_.below(5));
    clock_.pass(
        std::chrono::milliseconds(random_.chance(trouble_ / 4) ? 700'000 : 100 + random_.below(4000)));
    return true;
}

void Simulation::walk() {
    auto& b = cluster_.behaviour;
    trouble_ = std::array{0.0, 0.01, 0.04, 0.12}.at(random_.below(4));
    const double world = trouble_ * (random_.chance(0.5) ? 1 : 0);
    b.agent_killed = world / 2, b.result_lost = world, b.pod_stuck = world / 2, b.slow_end = world * 3;
    b.odd_result = world, b.not_ready = world / 4;
    if (random_.chance(0.4)) start_operator(1);
    if (random_.chance(0.3)) people_.wish(the_second_restore, settings_.scenario->retain_seconds);
    calm_ = false;
    for (size_t idle = 0; steps_ < walk_steps && idle < 4 * walk_steps; ++idle) {
        if (step_randomly()) count_step();
    }
    calm_ = true;
    b.calm();
    for (const auto& process : operators_) process->freshen();
}

bool Simulation::at_rest() const {
    if (people_.has_plans() || clock_.steady() < operator_back_) return false;
    if (!invariants_.namespace_deleted && !invariants_.overdue().empty()) return false;
    for (const auto& [key, object] : store_.all("databaserestores").objects) {
        if (!is_final(*resources::phase_from_text(text_at(object.document, "status.phase"))) ||
            present_at(object.document, "metadata.deletionTimestamp"))
            return false;
    }
    for (const auto& [key, object] : store_.all("postgresservers").objects) {
        if (present_at(object.document, "status.activeRestore") || is_listing(object.document) ||
            !resources::list_at(object.document, "metadata.finalizers").empty())
            return false;
    }
    for (const auto& [key, object] : store_.all("jobs").objects) {
        if (resources::list_at(object.document, "status.conditions").empty()) return false;
    }
    for (const auto& [key, object] : store_.all("namespaces").objects) {
        if (present_at(object.document, "metadata.deletionTimestamp")) return false;
    }
    return true;
}

// Everybody gets his turn, and nothing goes wrong any more but what was planned, until nothing changes.
void Simulation::settle() {
    const uint64_t steps_before = steps_;
    uint64_t version = store_.version();
    auto still_since = clock_.steady();
    auto tick = 250ms;
    while (steps_ - steps_before < most_steps_to_rest) {
        bool moved = false;
        for (size_t number = 0; number < operators_.size(); ++number) {
            for (size_t turn = 0; turn < watched_kinds + 2; ++turn) {
                for (int i = 0; i < 4 && step_operator(number, turn); ++i) count_step(), moved = true;
            }
        }
        for (size_t turn = 0; turn < 5; ++turn) {
            for (int i = 0; i < 4 && step_world(turn); ++i) count_step(), moved = true;
        }
        if (store_.version() != version || clock_.steady() < operator_back_) {
            version = store_.version();
            still_since = clock_.steady();
        }
        const auto still = clock_.steady() - still_since;
        if (still > (at_rest() ? std::chrono::steady_clock::duration(2min) : longest_stillness)) return;
        tick = moved ? 250ms : std::min<std::chrono::milliseconds>(tick * 2, 30s);
        clock_.pass(tick);
    }
    invariants_.broken("I5: no rest after " + std::to_string(most_steps_to_rest) + " steps");
}

// Nothing goes wrong yet, and nothing of it is a point.
void Simulation::play_before() {
    const auto& scenario = *settings_.scenario;
    cluster_.behaviour = {};
    for (const auto& name : scenario.before) {
        people_.wish({the_restore.namespace_name, name},
                     scenario.kept_seconds > 0 ? scenario.kept_seconds : scenario.retain_seconds);
        settle();
    }
    cluster_.behaviour = scenario.behaviour;
}

RunOutcome Simulation::run() {
    people_.set_up(*settings_.scenario);
    start_operator(0);
    settle();
    play_before();
    counting_ = true;
    if (settings_.scenario->has_stores) people_.bring_stores();
    people_.wish(the_restore, settings_.scenario->retain_seconds);
    for (const auto& next : settings_.scenario->then) {
        clock_.pass(2s);  // so that the queue goes by age, not by name
        people_.wish({the_restore.namespace_name, next}, settings_.scenario->retain_seconds);
    }
    step_cues();
    if (settings_.walk) walk();
    if (settings_.scenario->dump_claim_is_late) {
        for (size_t i = 0; i < 100; ++i) clock_.pass(1s), step_operator(0, i % 8), count_step();
        people_.bring_dump_claim();
    }
    settle();
    counting_ = settings_.walk ? false : counting_;
    invariants_.check_at_rest();
    RunOutcome outcome;
    if (const json* restore = store_.find("databaserestores", the_restore))
        outcome.end = text_at(*restore, "status.phase");
    clock_.pass(std::chrono::seconds(settings_.scenario->retain_seconds + 1));  // what was kept expires
    cluster_.behaviour = {};
    settle();
    outcome.points = points_;
    counting_ = false;
    clock_.pass(25h);  // also what was kept of vanished restores
    settle();
    invariants_.check_expired();
    invariants_.check_lists();
    if (!invariants_.namespace_deleted && invariants_.broken_promises().empty()) {
        // I8: whatever happened, the next restore succeeds.
        people_.wish(the_fresh_restore, 0);
        settle();
        invariants_.check_at_rest();
        const json* fresh = store_.find("databaserestores", the_fresh_restore);
        if (fresh == nullptr || text_at(*fresh, "status.phase") != "Succeeded")
            invariants_.broken("I8: the next restore ends " +
                               (fresh == nullptr ? "gone" : text_at(*fresh, "status.phase")));
    }
    outcome.steps = steps_;
    outcome.broken = invariants_.broken_promises();
    return outcome;
}

}  // namespace dbrestore::simulation
