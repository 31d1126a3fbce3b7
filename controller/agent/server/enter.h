#pragma once
// How each step that works on the stopped database begins.

#include <chrono>
#include <memory>
#include <optional>

#include "agent/server/control_data.h"
#include "agent/server/private_server.h"
#include "agent/volume/journal.h"
#include "agent/volume/tree.h"

namespace dbrestore::agent {

struct Work {
    WorkFolder folder;
    Tree tree;
    std::optional<Journal> journal;  // as found

    explicit Work(const std::string& data_directory)
        : folder(data_directory), tree(data_directory, folder.tree()) {}
    bool is_of(const std::string& restore_uid) const {
        return journal && journal->restore_uid == restore_uid;
    }
};

// Takes the lock and reads the journal. Errors: those of WorkFolder.
std::optional<AgentResult> take_hold(const Context& context, Work& work);

// Why this Job must do nothing: its restore has ended here, or a later attempt or step of it was here. Such a
// Job was made by a controller that had been paused meanwhile. Reasons: TakenOver.
std::optional<AgentResult> refuse_too_late(const Context& context, const Work& work);

// The journal of this restore, under this attempt and pod from now on; saved. Errors: NotPrepared, and those
// of refuse_too_late.
std::optional<AgentResult> claim(const Context& context, Work& work);

// pg_control at a moment. Taken early, it leaves nothing to wait for.
struct ControlLook {
    std::string content;
    bool shut_down = false;  // cleanly
    std::chrono::steady_clock::time_point time;
};

// No look where the files are behind the stub already.
std::optional<AgentResult> look_at_control(const Context& context, const Work& work,
                                           std::optional<ControlLook>& look);

// A server that was stopped ends within seconds, also one whose pod was deleted by force. Reasons:
// DatabaseStillRunning.
std::optional<AgentResult> wait_for_server_to_end(const Context& context, const Work& work);

// Moves the files behind the stub if they are not there, after a proof that no server writes them: pg_control
// is what it was two seconds before, at the look that is given or at one of its own, and no server has files
// open. Tells whether the server had not been shut down cleanly.
std::optional<AgentResult> put_behind_stub(const Context& context, Work& work,
                                           std::optional<ControlLook> look, bool& was_unclean);

// On the database's files behind the stub.
std::optional<AgentResult> start_server(const Context& context, const Work& work,
                                        std::unique_ptr<PrivateServer>& server);

// Another state, or the same with other facts.
std::optional<AgentResult> save_journal(Work& work, Journal::State state);

}  // namespace dbrestore::agent
