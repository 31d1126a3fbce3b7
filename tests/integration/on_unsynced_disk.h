#pragma once
// Makes of a fixture of the agent one whose data directory is the root of a volume that loses what was not
// synced, from the first replace_data() on that comes after use_disk().

#include <algorithm>
#include <map>
#include <memory>

#include "agent/volume/journal.h"
#include "integration/agent_faults.h"
#include "integration/unsynced_disk.h"

namespace dbrestore::tests {

// How much of what was not synced the disk has written nevertheless, and what the file system promises.
struct PowerCut {
    const char* name;
    bool some_survive;
    // Nothing reaches the disk by itself while a test runs.
    const char* mount_options;
};
inline constexpr PowerCut power_cuts[] = {
    {"nothing else survives", false, "commit=600"},
    {"some blocks survive", true, "commit=600"},
    {"nothing else survives, data=writeback", false, "commit=600,data=writeback"},
    {"some blocks survive, data=writeback", true, "commit=600,data=writeback"},
};

// With what to try the point of this number: one way in a sample, otherwise both on one kind of mount.
inline std::vector<PowerCut> power_cuts_at(size_t number) {
    if (all_faults()) return {power_cuts[number % 2 * 2], power_cuts[number % 2 * 2 + 1]};
    return {power_cuts[(number + faults_seed()) % std::size(power_cuts)]};
}

template <typename Fixture>
class OnUnsyncedDisk : public Fixture {
protected:
    void use_disk() {
        disk_ = std::make_unique<UnsyncedDisk>(this->folder() + "/unsynced", this->data_directory());
        this->server_arguments_ = {"-c", "fsync=on"};
    }

    void TearDown() override {
        this->kill_server();
        disk_.reset();
        Fixture::TearDown();
    }

    void replace_data(const std::string& cluster_folder) override {
        if (!disk_) return Fixture::replace_data(cluster_folder);
        std::string& image = images_[cluster_folder];
        if (image.empty()) {
            image = this->folder() + "/image-" + std::to_string(images_.size());
            make_disk_image(cluster_folder + "/data", image);
        }
        disk_->insert(image, cut_.mount_options);
    }

    // To be called while the step stands still, or after it.
    void cut_power(uint32_t seed) {
        disk_->cut_power(cut_.some_survive ? std::optional(seed) : std::nullopt);
    }
    void power_on() { disk_->power_on(); }

    // The volume remembers that the restore has.
    void expect_ended(bool succeeded) {
        const auto ledger = agent::WorkFolder(this->data_directory()).ledger();
        ASSERT_TRUE(ledger);
        EXPECT_EQ(std::ranges::count_if(*ledger,
                                        [&](const agent::LedgerEntry& entry) {
                                            return entry.restore_uid == this->restore_uid_ &&
                                                   entry.succeeded == succeeded;
                                        }),
                  1);
    }

    PowerCut cut_ = power_cuts[0];

private:
    std::unique_ptr<UnsyncedDisk> disk_;
    std::map<std::string, std::string> images_;
};

}  // namespace dbrestore::tests
