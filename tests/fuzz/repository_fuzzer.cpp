// What pgBackRest tells of a repository, and the history of a timeline out of its archive.

#include <algorithm>

#include "agent/point_in_time/backup_set.h"
#include "fuzz/properties.h"

namespace dbrestore::fuzz {
namespace {

// The timeline, its history, and the target as JSON; after each a line "--". Then what info tells.
void check(std::string_view text) {
    const int64_t id = std::strtoll(std::string(take_until(text, "\n--\n")).c_str(), nullptr, 10);
    const auto timeline = agent::timeline_from_history(id, take_until(text, "\n--\n"));
    if (timeline) {
        require(id == 1 || !timeline->forks.empty(), "every timeline but the first has a parent");
        for (const auto& fork : timeline->forks)
            require(fork.parent > 0 && fork.parent < id, "ancestors are older");
    }
    const auto target =
        resources::point_in_time_from_json(nlohmann::json::parse(take_until(text, "\n--\n"), nullptr, false));
    std::vector<agent::BackupSet> sets;
    if (agent::backup_sets_from_info(std::string(text), "shop", sets) || !timeline) return;
    for (const auto& set : sets) {
        require(set.label.find_first_not_of("0123456789-_FDI") == std::string::npos && set.label[0] != '-',
                "a label is one argument and no path", set.label);
        require(set.start_lsn <= set.stop_lsn, "a backup ends after it begins", set.label);
    }
    const agent::Identity identity{"7000000000000000001", "15"};
    agent::BackupSet chosen;
    if (agent::choose_backup_set(sets, identity, *timeline, target, chosen)) return;
    require(chosen.system_identifier == identity.system_identifier && chosen.version == identity.version,
            "the backup is this server's", chosen.label);
    require(!chosen.damaged, "the backup is whole", chosen.label);
    const auto lsn = agent::lsn_from_text(target.lsn);
    require(!lsn || chosen.stop_lsn <= *lsn, "the backup ended before the target", chosen.label);
}

}  // namespace
}  // namespace dbrestore::fuzz

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
    dbrestore::fuzz::check(dbrestore::fuzz::text_of(data, size));
    return 0;
}
