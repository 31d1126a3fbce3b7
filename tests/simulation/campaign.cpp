#include "simulation/campaign.h"

#include <iostream>

namespace dbrestore::simulation {

namespace {

std::string text_of(const std::vector<PlannedFault>& faults) {
    std::string text;
    for (const auto& fault : faults) text += (text.empty() ? "" : ",") + to_text(fault);
    return text;
}

}  // namespace

std::vector<const Scenario*> Campaign::chosen() const {
    if (settings_.scenario != nullptr) return {settings_.scenario};
    std::vector<const Scenario*> all;
    for (const auto& scenario : scenarios()) all.push_back(&scenario);
    return all;
}

bool Campaign::is_enough() const {
    if (settings_.first_only && !failures_.empty()) return true;
    const std::chrono::duration<double> passed = std::chrono::steady_clock::now() - start_;
    return settings_.budget_seconds > 0 && passed.count() > settings_.budget_seconds;
}

void Campaign::note(const RunOutcome& outcome, const std::string& arguments) {
    ++runs_;
    steps_ += outcome.steps;
    if (outcome.broken.empty()) return;
    failures_.push_back(settings_.program + " " + arguments + "  # " + outcome.broken[0]);
    std::cout << failures_.back() << std::endl;
}

RunOutcome Campaign::play(const Scenario& scenario, const std::vector<PlannedFault>& faults) {
    RunOutcome outcome = Simulation({&scenario, faults, false, 1, settings_.tell}).run();
    if (faults.empty() && outcome.broken.empty() && !outcome.end.empty() &&
        outcome.end != to_text(scenario.ends))
        outcome.broken.push_back("without faults it ends " + outcome.end);
    note(outcome,
         "--run --scenario " + scenario.name + (faults.empty() ? "" : " --faults " + text_of(faults)));
    return outcome;
}

void Campaign::walk(uint64_t seed) {
    Random random(seed);
    const auto& all = scenarios();
    const Scenario& scenario =
        settings_.scenario != nullptr ? *settings_.scenario : all[random.below(all.size())];
    note(Simulation({&scenario, {}, true, random.next(), settings_.tell}).run(),
         "--seed " + std::to_string(seed) +
             (settings_.scenario == nullptr ? "" : " --scenario " + scenario.name));
}

void Campaign::walk_steps() {
    uint64_t seed = settings_.seeds.first;
    while (steps_ < settings_.steps && !is_enough()) walk(seed++);
    std::cout << "seeds " << settings_.seeds.first << ".." << seed - 1 << "\n";
}

std::vector<PlannedFault> Campaign::singles_of(const Scenario& scenario) {
    const RunOutcome clean = play(scenario, {});
    std::vector<PlannedFault> all;
    for (const Fault fault : all_faults()) {
        for (uint64_t point = 0; point < clean.points.at(static_cast<size_t>(kind_of(fault))); ++point)
            all.push_back({point, fault});
    }
    return all;
}

void Campaign::singles(const Scenario& scenario) {
    const auto all = singles_of(scenario);
    for (const auto& single : all) {
        if (is_enough()) return;
        const bool asked = single.fault == settings_.fault.value_or(single.fault) &&
                           single.point >= settings_.range.first && single.point <= settings_.range.second;
        if (asked) play(scenario, {single});
    }
}

void Campaign::sample_singles(const Scenario& scenario) {
    Random random(settings_.seed);
    const RunOutcome clean = play(scenario, {});
    for (const Fault fault : all_faults()) {
        const uint64_t points = clean.points.at(static_cast<size_t>(kind_of(fault)));
        for (uint64_t i = 0; i < settings_.sample && points > 0 && !is_enough(); ++i)
            play(scenario, {{random.below(points), fault}});
    }
}

void Campaign::pairs(const Scenario& scenario) {
    const auto all = singles_of(scenario);
    const uint64_t count = all.size(), last = std::min(settings_.range.second, count * count - 1);
    for (uint64_t pair = settings_.range.first; pair <= last; ++pair) {
        const auto &first = all[pair / count], &second = all[pair % count];
        if (is_enough()) {
            std::cout << "stopped before --pairs --scenario " << scenario.name << " --range " << pair << ".."
                      << last << "\n";
            return;
        }
        if (first.point <= second.point || kind_of(first.fault) != kind_of(second.fault))
            play(scenario, {first, second});
    }
}

void Campaign::sample_pairs() {
    Random random(settings_.seed);
    const auto all = chosen();
    std::vector<std::vector<PlannedFault>> singles;
    for (const Scenario* scenario : all) singles.push_back(singles_of(*scenario));
    for (uint64_t i = 0; i < settings_.sample && !is_enough(); ++i) {
        const size_t which = random.below(all.size());
        const auto& points = singles[which];
        play(*all[which], {points[random.below(points.size())], points[random.below(points.size())]});
    }
}

void Campaign::list() const {
    for (const auto& scenario : scenarios()) std::cout << "scenario " << scenario.name << "\n";
    for (const Fault fault : all_faults()) std::cout << "fault " << to_text(fault) << "\n";
}

bool Campaign::run() {
    if (settings_.what == "--list") {
        list();
        return true;
    }
    if (settings_.what == "--steps") walk_steps();
    if (settings_.what == "--seeds") {
        for (uint64_t seed = settings_.seeds.first; seed <= settings_.seeds.second && !is_enough(); ++seed)
            walk(seed);
    }
    if (settings_.what == "--run") {
        for (const Scenario* scenario : chosen())
            if (!is_enough()) play(*scenario, settings_.faults);
    }
    if (settings_.what == "--singles") {
        for (const Scenario* scenario : chosen())
            settings_.sample > 0 ? sample_singles(*scenario) : singles(*scenario);
    }
    if (settings_.what == "--pairs" && settings_.sample > 0) sample_pairs();
    if (settings_.what == "--pairs" && settings_.sample == 0) {
        for (const Scenario* scenario : chosen()) pairs(*scenario);
    }
    const std::chrono::duration<double> passed = std::chrono::steady_clock::now() - start_;
    std::cout << runs_ << " runs, " << steps_ << " steps, "
              << static_cast<uint64_t>(static_cast<double>(steps_) / std::max(passed.count(), 0.001))
              << " steps a second, " << failures_.size() << " failures\n";
    return failures_.empty();
}

}  // namespace dbrestore::simulation
