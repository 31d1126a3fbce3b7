#pragma once
// A server that archives to a pgBackRest repository in a folder, with one writer of numbered rows.

#include <set>

#include "integration/agent_fixture.h"

namespace dbrestore::tests {

class PointInTimeTest : public AgentTest {
protected:
    // A small cluster: its segments are 1 MB.
    std::string cluster() override;
    // The server runs, has a backup, and the table `rows` is empty.
    void SetUp() override;

    std::string repository() const { return folder() + "/repository"; }
    // pgBackRest as the database's own pod runs it. Fails the test where it does.
    void pgbackrest(const std::vector<std::string>& arguments);
    void back_up();

    // One commit a row, a few milliseconds apart; returns the last number.
    int64_t write_rows(int64_t count);
    int64_t last_row();
    // When the row was committed, to the microsecond.
    std::string committed_at(int64_t number);
    int64_t timeline();
    // All WAL that there is lies in the archive afterwards.
    void archive_all();

    // What lies in the archive of this timeline.
    std::set<std::string> archived(int64_t timeline) const;

    resources::AgentRequest request_for(const std::string& step, const resources::PointInTime& target) const;
    AgentRun run_for(const std::string& step, const resources::PointInTime& target) {
        return run(request_for(step, target));
    }
    // The stopped server is taken there by all steps of a restore of this UID. Fails the test where one does.
    void restore_to(const resources::PointInTime& target, const std::string& uid = "a-1");
    // What the restore of `undone_uid` keeps comes back, by all steps of another one of this UID.
    void undo(const std::string& undone_uid, const std::string& uid);
    // The same of a server that runs, and runs again afterwards.
    void restore_running_to(const resources::PointInTime& target, const std::string& uid = "a-1");
    void undo_running(const std::string& undone_uid, const std::string& uid);
    resources::AgentRequest request_to_undo(const std::string& step, const std::string& undone_uid) const;
    AgentRun run_undo(const std::string& step, const std::string& undone_uid) {
        return run(request_to_undo(step, undone_uid));
    }
    // The folder in which a restore keeps the old files is there.
    bool keeps_files(const std::string& uid) const;
    // Prepares in vain, and takes it back: the old rows are served. Gives the reason.
    std::string refusal(const resources::PointInTime& target);
};

resources::PointInTime at_time(const std::string& time, int64_t timeline = 0);

}  // namespace dbrestore::tests
