#include "base/process.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>

#include "base/files.h"

namespace dbrestore::base {

namespace {

using SteadyClock = std::chrono::steady_clock;
constexpr std::chrono::seconds kill_after{10};

struct Pipe {
    UniqueFd read, write;
};

Result<Pipe> make_pipe() {
    std::array<int, 2> fds{};
    if (::pipe2(fds.data(), O_CLOEXEC) != 0) return io_error("cannot make a pipe");
    return Pipe{UniqueFd{fds[0]}, UniqueFd{fds[1]}};
}

// Everything that allocates is prepared here, before fork: between fork and exec only async-signal-safe calls
// are allowed.
struct Prepared {
    std::vector<std::string> environment_text;
    std::vector<char*> arguments, environment;
};

Prepared prepare(const ProcessSpec& spec) {
    Prepared p;
    for (char** entry = environ; *entry != nullptr; ++entry) {
        const std::string_view text(*entry);
        if (!spec.environment.contains(std::string(text.substr(0, text.find('=')))))
            p.environment_text.emplace_back(text);
    }
    for (const auto& [key, value] : spec.environment)
        p.environment_text.push_back(std::string(key).append("=").append(value));
    for (auto& text : p.environment_text) p.environment.push_back(text.data());
    p.environment.push_back(nullptr);
    for (const auto& argument : spec.arguments) p.arguments.push_back(const_cast<char*>(argument.c_str()));
    p.arguments.push_back(nullptr);
    return p;
}

// Input from nowhere; output to these, or to nowhere where they are negative.
bool connect_streams(int out, int err) {
    const int null = ::open("/dev/null", O_RDWR | O_CLOEXEC);
    return null >= 0 && ::dup2(null, STDIN_FILENO) >= 0 &&
           ::dup2(out >= 0 ? out : null, STDOUT_FILENO) >= 0 &&
           ::dup2(err >= 0 ? err : null, STDERR_FILENO) >= 0;
}

[[noreturn]] void exec_child(const ProcessSpec& spec, const Prepared& prepared, pid_t parent, int out,
                             int err, int failure) {
    ::prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (::getppid() != parent) ::_exit(127);  // the parent died before prctl took effect
    sigset_t none;
    ::sigemptyset(&none);
    ::sigprocmask(SIG_SETMASK, &none, nullptr);
    ::signal(SIGPIPE, SIG_DFL);
    if (connect_streams(out, err) &&
        (spec.working_directory.empty() || ::chdir(spec.working_directory.c_str()) == 0)) {
        for (const int fd : spec.inherited_fds) ::fcntl(fd, F_SETFD, 0);
        ::execvpe(prepared.arguments[0], prepared.arguments.data(), prepared.environment.data());
    }
    const int code = errno;
    [[maybe_unused]] const ssize_t ignored = ::write(failure, &code, sizeof code);
    ::_exit(127);
}

Result<pid_t> spawn(const ProcessSpec& spec, int out, int err) {
    const Prepared prepared = prepare(spec);
    auto failure = make_pipe();
    if (!failure) return failure.error();
    const pid_t parent = ::getpid();
    const pid_t pid = ::fork();
    if (pid < 0) return io_error("cannot fork");
    if (pid == 0) exec_child(spec, prepared, parent, out, err, failure->write.get());
    failure->write.reset();
    int code = 0;
    ssize_t count = 0;
    do count = ::read(failure->read.get(), &code, sizeof code);
    while (count < 0 && errno == EINTR);
    if (count == sizeof code) {
        ::waitpid(pid, nullptr, 0);
        Error failed = io_error("cannot run " + spec.arguments[0], code);
        if (code == ENOENT) failed.kind = ErrorKind::not_found;
        return failed;
    }
    return pid;
}

// False at the end of the stream.
bool drain(const UniqueFd& fd, const std::function<void(std::string_view)>& sink) {
    char buffer[16384];
    const ssize_t count = ::read(fd.get(), buffer, sizeof buffer);
    if (count < 0) return errno == EINTR || errno == EAGAIN;
    if (count == 0) return false;
    sink({buffer, static_cast<size_t>(count)});
    return true;
}

// Calls on_tick, and ends a child that must stop.
class Ticker {
public:
    Ticker(const ProcessSpec& spec, pid_t pid)
        : spec_(spec), pid_(pid), next_(SteadyClock::now() + spec.tick) {}

    void maybe_tick() {
        const auto now = SteadyClock::now();
        if (now < next_ || !spec_.on_tick) return;
        next_ = now + spec_.tick;
        if (!stopped_ && !spec_.on_tick(pid_)) {
            stopped_ = true;
            kill_at_ = now + kill_after;
            ::kill(pid_, SIGTERM);
        } else if (stopped_ && now >= kill_at_) {
            ::kill(pid_, SIGKILL);
        }
    }
    bool stopped() const { return stopped_; }

private:
    const ProcessSpec& spec_;
    pid_t pid_;
    SteadyClock::time_point next_, kill_at_;
    bool stopped_ = false;
};

}  // namespace

Result<ProcessEnd> run_process(const ProcessSpec& spec) {
    auto out = make_pipe();
    auto err = make_pipe();
    if (!out) return out.error();
    if (!err) return err.error();
    const auto pid =
        spawn(spec, spec.on_stdout ? out->write.get() : -1, spec.on_stderr ? err->write.get() : -1);
    if (!pid) return pid.error();
    out->write.reset();
    err->write.reset();
    Ticker ticker(spec, *pid);
    bool out_open = static_cast<bool>(spec.on_stdout), err_open = static_cast<bool>(spec.on_stderr);
    ProcessEnd end;
    int wait_status = 0;
    const int wait_ms = static_cast<int>(std::min<long long>(spec.tick.count(), 200));
    // Readable once the child has ended, so that its end wakes us at once; a kernel without leaves it to
    // wait_ms.
    const UniqueFd ended{static_cast<int>(::syscall(SYS_pidfd_open, *pid, 0))};
    while (true) {
        std::array<pollfd, 3> polled{pollfd{out_open ? out->read.get() : -1, POLLIN, 0},
                                     pollfd{err_open ? err->read.get() : -1, POLLIN, 0},
                                     pollfd{ended.get(), POLLIN, 0}};
        ::poll(polled.data(), polled.size(), wait_ms);
        if (polled[0].revents != 0) out_open = drain(out->read, spec.on_stdout);
        if (polled[1].revents != 0) err_open = drain(err->read, spec.on_stderr);
        ticker.maybe_tick();
        // A grandchild may hold the pipes open for long, so the end of the child is what ends the loop; what
        // it wrote before it ended is in the pipes by then.
        if (polled[0].revents == 0 && polled[1].revents == 0 &&
            ::waitpid(*pid, &wait_status, WNOHANG) == *pid)
            break;
    }
    end.stopped = ticker.stopped();
    if (WIFEXITED(wait_status)) end.exit_code = WEXITSTATUS(wait_status);
    if (WIFSIGNALED(wait_status)) end.signal = WTERMSIG(wait_status);
    // What arrived between the last poll and the end.
    ::fcntl(out->read.get(), F_SETFL, O_NONBLOCK);
    ::fcntl(err->read.get(), F_SETFL, O_NONBLOCK);
    const auto drain_rest = [](const UniqueFd& fd, const std::function<void(std::string_view)>& sink) {
        char buffer[16384];
        for (ssize_t count = ::read(fd.get(), buffer, sizeof buffer); count > 0;
             count = ::read(fd.get(), buffer, sizeof buffer)) {
            sink({buffer, static_cast<size_t>(count)});
        }
    };
    if (out_open) drain_rest(out->read, spec.on_stdout);
    if (err_open) drain_rest(err->read, spec.on_stderr);
    return end;
}

Result<pid_t> start_process(const ProcessSpec& spec, int output_fd) {
    return spawn(spec, output_fd, output_fd);
}

std::string to_text(const ProcessEnd& end) {
    return end.signal != 0 ? "signal " + std::to_string(end.signal)
                           : "exit code " + std::to_string(end.exit_code);
}

}  // namespace dbrestore::base
