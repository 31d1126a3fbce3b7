// journal.json and ledger.json on the volume: a crash, a full disk or a person may leave anything there.

#include "agent/volume/journal.h"
#include "fuzz/properties.h"

namespace dbrestore::fuzz {
namespace {

void check(const std::string& input) {
    if (const auto journal = agent::journal_from_text(input)) {
        const std::string text = agent::to_text(*journal);
        const auto again = agent::journal_from_text(text);
        require(again && agent::to_text(*again) == text, "a journal comes back as it was", text);
        require(again->restore_uid == journal->restore_uid && again->attempt == journal->attempt &&
                    again->pod_uid == journal->pod_uid && again->state == journal->state,
                "the epoch comes back as it was", text);
    }
    if (const auto ledger = agent::ledger_from_text(input)) {
        const std::string text = agent::to_text(*ledger);
        const auto again = agent::ledger_from_text(text);
        require(again && again->size() == ledger->size() && agent::to_text(*again) == text,
                "a ledger comes back as it was", text);
    }
}

}  // namespace
}  // namespace dbrestore::fuzz

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
    dbrestore::fuzz::check(std::string(dbrestore::fuzz::text_of(data, size)));
    return 0;
}
