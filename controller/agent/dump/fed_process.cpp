#include "agent/dump/fed_process.h"

#include <fcntl.h>
#include <unistd.h>

#include <array>
#include <thread>

#include "base/files.h"

namespace dbrestore::agent {

base::Result<Pipe> make_pipe() {
    std::array<int, 2> fds{};
    if (::pipe2(fds.data(), O_CLOEXEC) != 0) return base::io_error("cannot make a pipe");
    return Pipe{base::UniqueFd{fds[0]}, base::UniqueFd{fds[1]}};
}

FedEnd run_fed(const base::ProcessSpec& spec, base::UniqueFd write_end,
               const std::function<base::Status(int)>& feed, const std::function<void()>& close_read_end) {
    base::Status fed = base::success();
    std::thread feeder([&] {
        fed = feed(write_end.get());
        write_end.reset();
    });
    auto end = base::run_process(spec);
    close_read_end();
    feeder.join();
    return {std::move(end), std::move(fed)};
}

}  // namespace dbrestore::agent
