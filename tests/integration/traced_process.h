#pragma once
// Runs a program under ptrace, counts the system calls by which it changes files or steers other processes,
// and lets one of them fail, or kills the program in its place. Its children are not traced: what they call
// is theirs.
//
// strace can inject faults too, but it cannot tell an open for writing from one for reading, or a file from a
// pipe, so that the number of a call would depend on time.

#include <functional>
#include <map>
#include <string>
#include <vector>

namespace dbrestore::tests {

enum class Fault {
    none,
    kill,           // SIGKILL in place of the n-th call that changes files
    no_space,       // ENOSPC from it
    io_error,       // EIO from it
    kill_steering,  // SIGKILL in place of the n-th message to a server, signal or fork
};
const char* to_text(Fault fault);

struct TracedEnd {
    std::vector<std::string> file_calls;      // such as "rename /data/base"
    std::vector<std::string> steering_calls;  // "sendto", "kill", "clone"
    bool injected = false;
    int exit_code = -1, signal = 0;

    // Those that this fault counts.
    const std::vector<std::string>& calls_of(Fault fault) const {
        return fault == Fault::kill_steering ? steering_calls : file_calls;
    }
};

struct TracedSpec {
    std::vector<std::string> arguments;
    std::map<std::string, std::string> environment;
    std::string traced_program;      // counted from the exec of it on, so that what starts it does not count
    std::string out_path, err_path;  // of its streams, which do not count either
    std::function<void()> at_fault = {};  // just before it, while the program stands still
};

// `number` counts from 1.
TracedEnd run_traced(const TracedSpec& spec, Fault fault = Fault::none, size_t number = 0);

}  // namespace dbrestore::tests
