#pragma once
// Child processes. Arguments are passed as they are, never through a shell.

#include <sys/types.h>

#include <chrono>
#include <functional>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "base/unique_fd.h"

namespace dbrestore::base {

struct ProcessSpec {
    std::vector<std::string> arguments;              // the first is the program, found through PATH
    std::map<std::string, std::string> environment;  // added to (or replacing in) our own
    std::string working_directory;                   // empty: ours
    std::vector<int> inherited_fds;                  // stay open in the child under the same number
    // Called in the parent for what the child writes; empty: the stream goes to /dev/null.
    std::function<void(std::string_view)> on_stdout;
    std::function<void(std::string_view)> on_stderr;
    // Called at least every `tick` while the child runs; false ends it (SIGTERM, later SIGKILL).
    std::function<bool(pid_t)> on_tick;
    std::chrono::milliseconds tick{1000};
};

struct ProcessEnd {
    int exit_code = -1;  // -1 where a signal ended it
    int signal = 0;
    bool stopped = false;  // on_tick said so
    bool ok() const { return exit_code == 0; }
};

// Runs the program to its end; the child dies with us (PR_SET_PDEATHSIG). Errors: not_found where there is no
// such program; io.
Result<ProcessEnd> run_process(const ProcessSpec& spec);

// Starts the program and leaves it running; both streams go to `output_fd`. The caller reaps it. Same errors.
Result<pid_t> start_process(const ProcessSpec& spec, int output_fd);

// "exit code 1" or "signal 9".
std::string to_text(const ProcessEnd& end);

}  // namespace dbrestore::base
