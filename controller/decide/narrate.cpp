#include "decide/narrate.h"

#include <algorithm>

namespace dbrestore::decide {

using resources::Phase;
using resources::RestoreStatus;
using resources::Truth;

namespace {

// 32 KiB is the API's own bound; a list of errors is cut long before.
constexpr size_t max_message_bytes = 4000;

// Half a character would be no UTF-8, and no JSON could be made of it.
std::string cut(const std::string& text) {
    if (text.size() <= max_message_bytes) return text;
    size_t end = max_message_bytes;
    while (end > 0 && (static_cast<unsigned char>(text[end]) & 0xC0) == 0x80) --end;
    return text.substr(0, end);
}

}  // namespace

void note(RestoreStatus& status, const World& world, const char* type, Truth truth, const std::string& reason,
          const std::string& message) {
    // The API refuses a condition without a reason.
    resources::set_condition(status.conditions, {type, truth, reason.empty() ? "Unspecified" : reason,
                                                 cut(message), world.restore.meta.generation, world.now});
}

void summarize(RestoreStatus& status, const World& world, const std::string& reason,
               const std::string& message) {
    const std::string phase = to_text(status.phase);
    const std::string& shown = reason.empty() ? phase : reason;
    status.observed_generation = world.restore.meta.generation;
    const bool final = is_final(status.phase), succeeded = status.phase == Phase::succeeded;
    note(status, world, "Succeeded",
         !final      ? Truth::unknown
         : succeeded ? Truth::yes
                     : Truth::no,
         shown, message);
    // The others repeat it for their readers: kubectl wait (Complete, Failed), and kstatus in Flux, Helm and
    // Argo CD, which takes Stalled=True for failed. The message stands only where it holds.
    const auto repeat = [&](const char* type, bool holds) {
        note(status, world, type, holds ? Truth::yes : Truth::no, shown, holds ? message : "");
    };
    repeat("Complete", succeeded);
    repeat("Failed", final && !succeeded);
    repeat("Reconciling", !final);
    repeat("Stalled", final && !succeeded);
    for (const char* type : {"Validated", "DatabaseStopped", "DataRestored", "DatabaseReady"}) {
        if (resources::find_condition(status.conditions, type) == nullptr)
            note(status, world, type, Truth::unknown, "NotYet", "this step was not reached yet");
    }
}

Plan save(const World& world, RestoreStatus status, const std::string& reason, const std::string& message) {
    summarize(status, world, reason, message);
    Plan plan;
    plan.why = message;
    if (status != world.restore.status) plan.actions.push_back(SaveRestore{std::move(status)});
    return plan;
}

Plan enter(const World& world, RestoreStatus status, Phase phase, const std::string& why) {
    status.phase = phase;
    if (status.progress)
        status.progress = resources::Progress{to_text(phase), why, 0, 0, 0, 0, 0, std::nullopt};
    Plan plan = save(world, std::move(status), {}, why);
    plan.actions.push_back(Speak{phase == Phase::rolling_back, to_text(phase), why});
    return plan;
}

Plan wait(const std::string& why, std::chrono::milliseconds again) {
    return {{}, why, false, again};
}
Plan look_fresh(const std::string& why) {
    return {{}, why, true, std::nullopt};
}
void look_again(Plan& plan, std::chrono::milliseconds after) {
    plan.look_again_after = plan.look_again_after ? std::min(*plan.look_again_after, after) : after;
}

Plan finish(const World& world, RestoreStatus status, Phase phase, const std::string& reason,
            const std::string& message) {
    status.phase = phase;
    status.completion_time = world.now;
    status.step.reset();
    if (status.progress) {
        if (phase == Phase::succeeded) status.progress->percent = 100;
        status.progress->summary = phase == Phase::succeeded   ? "done"
                                   : phase == Phase::cancelled ? "cancelled"
                                                               : "failed";
        status.progress->eta_seconds.reset();
    }
    Plan plan = save(world, std::move(status), reason, message);
    plan.actions.push_back(Speak{phase != Phase::succeeded, reason, message});
    return plan;
}

}  // namespace dbrestore::decide
