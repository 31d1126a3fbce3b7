#pragma once
// A program that reads from a pipe what is made for it meanwhile.

#include <functional>

#include "base/process.h"
#include "base/unique_fd.h"

namespace dbrestore::agent {

struct Pipe {
    base::UniqueFd read_end, write_end;
};

// Errors: io.
base::Result<Pipe> make_pipe();

struct FedEnd {
    base::Result<base::ProcessEnd> end;
    base::Status fed;  // what `feed` returned
};

// `feed` writes into the pipe in a thread of its own; `close_read_end` is called once the program has ended,
// so that a feeder that still writes gets EPIPE.
FedEnd run_fed(const base::ProcessSpec& spec, base::UniqueFd write_end,
               const std::function<base::Status(int write_fd)>& feed,
               const std::function<void()>& close_read_end);

}  // namespace dbrestore::agent
