// A pod's log and termination message, as a hostile dump's program may have written them beside the agent.
// The first line of the input is the termination message, the rest is the log; see signed_log for "+".

#include "fuzz/properties.h"
#include "resources/agent_protocol.h"
#include "resources/json_fields.h"

namespace dbrestore::fuzz {
namespace {

// Told without the parser: is there a line whose document the termination message vouches for?
bool is_vouched_for(std::string_view log, const std::string& digest) {
    while (!log.empty()) {
        std::string_view line = take_until(log, "\n");
        if (take_until(line, " ") != "DBRESTORE/1") continue;
        take_until(line, " ");
        if (take_until(line, " ") != "result" || take_until(line, " ") != digest) continue;
        if (base::sha256_hex(line) == digest) return true;
    }
    return false;
}

void check(std::string_view input) {
    std::string_view rest = input;
    const std::string_view first = take_until(rest, "\n");
    std::string digest;
    const std::string log = signed_log(rest, digest);
    const std::string termination = signed_termination(first, digest);

    const auto running = resources::parse_agent_report(log, termination, false);
    require(!running.result && !running.result_lost, "a pod that runs has no result, and has lost none");

    const auto report = resources::parse_agent_report(log, termination, true);
    require(report.result_lost == !report.result, "an ended pod has a result, or has lost it");
    if (!report.result) return;
    const auto ending = nlohmann::json::parse(termination, nullptr, false);
    require(is_vouched_for(log, resources::text_at(ending, "digest")),
            "only a result is believed that the termination message names", termination + "\n" + log);

    // What the agent writes of it is understood, and is the same.
    const std::string again = resources::result_frame(7, *report.result);
    const auto second =
        resources::parse_agent_report(again, resources::termination_message(*report.result), true);
    require(second.result.has_value(), "what was believed can be told again", again);
    require(resources::result_frame(7, *second.result) == again, "a result told again is the same", again);
    require(resources::termination_message(*report.result).size() <= 4096,
            "a termination message fits what Kubernetes keeps");
}

}  // namespace
}  // namespace dbrestore::fuzz

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
    dbrestore::fuzz::check(dbrestore::fuzz::text_of(data, size));
    return 0;
}
