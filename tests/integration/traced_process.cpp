#include "integration/traced_process.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/ptrace.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/user.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstddef>
#include <filesystem>

#include "base/unique_fd.h"

namespace dbrestore::tests {

namespace {

constexpr int syscall_stop = SIGTRAP | 0x80;

// Where a call says what it works on.
enum class Subject { path_first, path_second, path_for_writing, path_second_for_writing, file };

struct KnownCall {
    const char* name;
    Subject subject;
};

const std::map<uint64_t, KnownCall>& file_calls() {
    static const std::map<uint64_t, KnownCall> calls{
        {SYS_open, {"open", Subject::path_for_writing}},
        {SYS_openat, {"open", Subject::path_second_for_writing}},
        {SYS_creat, {"creat", Subject::path_first}},
        {SYS_write, {"write", Subject::file}},
        {SYS_pwrite64, {"write", Subject::file}},
        {SYS_writev, {"write", Subject::file}},
        {SYS_pwritev, {"write", Subject::file}},
        {SYS_sendfile, {"sendfile", Subject::file}},
        {SYS_fsync, {"fsync", Subject::file}},
        {SYS_fdatasync, {"fsync", Subject::file}},
        {SYS_ftruncate, {"truncate", Subject::file}},
        {SYS_truncate, {"truncate", Subject::path_first}},
        {SYS_fallocate, {"fallocate", Subject::file}},
        {SYS_fchmod, {"chmod", Subject::file}},
        {SYS_chmod, {"chmod", Subject::path_first}},
        {SYS_fchmodat, {"chmod", Subject::path_second}},
        {SYS_rename, {"rename", Subject::path_first}},
        {SYS_renameat, {"rename", Subject::path_second}},
        {SYS_renameat2, {"rename", Subject::path_second}},
        {SYS_unlink, {"unlink", Subject::path_first}},
        {SYS_unlinkat, {"unlink", Subject::path_second}},
        {SYS_rmdir, {"rmdir", Subject::path_first}},
        {SYS_mkdir, {"mkdir", Subject::path_first}},
        {SYS_mkdirat, {"mkdir", Subject::path_second}},
        {SYS_link, {"link", Subject::path_first}},
        {SYS_linkat, {"link", Subject::path_second}},
        {SYS_symlink, {"symlink", Subject::path_first}},
        {SYS_symlinkat, {"symlink", Subject::path_first}},
    };
    return calls;
}

const std::map<uint64_t, const char*>& steering_calls() {
    static const std::map<uint64_t, const char*> calls{
        {SYS_sendto, "sendto"}, {SYS_kill, "kill"},   {SYS_clone, "clone"},
        {SYS_clone3, "clone"},  {SYS_vfork, "clone"}, {SYS_fork, "clone"},
    };
    return calls;
}

std::string text_in(pid_t pid, uint64_t address) {
    const base::UniqueFd memory{
        ::open(("/proc/" + std::to_string(pid) + "/mem").c_str(), O_RDONLY | O_CLOEXEC)};
    std::string text;
    for (char c = 0; text.size() < 4096 &&
                     ::pread(memory.get(), &c, 1, static_cast<off_t>(address + text.size())) == 1 && c != 0;)
        text += c;
    return text;
}

std::string file_of(pid_t pid, uint64_t fd) {
    std::error_code ignored;
    return std::filesystem::read_symlink(
               "/proc/" + std::to_string(pid) + "/fd/" + std::to_string(static_cast<int>(fd)), ignored)
        .string();
}

bool is_for_writing(uint64_t flags) {
    return (flags & (O_WRONLY | O_RDWR | O_CREAT | O_TRUNC)) != 0;
}

// Empty where the call is none of those that change files.
std::string file_call(pid_t pid, const __ptrace_syscall_info& info) {
    const auto found = file_calls().find(info.entry.nr);
    if (found == file_calls().end()) return {};
    const auto& [name, subject] = found->second;
    const auto* argument = info.entry.args;
    std::string path;
    switch (subject) {
        case Subject::path_for_writing:
            if (!is_for_writing(argument[1])) return {};
            path = text_in(pid, argument[0]);
            break;
        case Subject::path_second_for_writing:
            if (!is_for_writing(argument[2])) return {};
            path = text_in(pid, argument[1]);
            break;
        case Subject::path_first:
            path = text_in(pid, argument[0]);
            break;
        case Subject::path_second:
            path = text_in(pid, argument[1]);
            break;
        case Subject::file:
            path = file_of(pid, argument[0]);
            // The two streams, sockets and pipes.
            if (argument[0] <= STDERR_FILENO || !path.starts_with('/')) return {};
            break;
    }
    if (path.starts_with("/dev/null") || path.starts_with("/proc/")) return {};
    return std::string(name) + " " + path;
}

pid_t start_stopped(const TracedSpec& spec) {
    std::vector<std::string> words = spec.arguments, settings;
    for (char** entry = environ; *entry != nullptr; ++entry) {
        const std::string text(*entry);
        const std::string name = text.substr(0, text.find('='));
        // The leak checker traces its own process, and only one can.
        if (name != "ASAN_OPTIONS" && !spec.environment.contains(name)) settings.push_back(text);
    }
    for (const auto& [name, value] : spec.environment) settings.push_back(std::string(name) + "=" + value);
    settings.emplace_back("ASAN_OPTIONS=detect_leaks=0");
    std::vector<char*> arguments, environment;
    for (auto& word : words) arguments.push_back(word.data());
    for (auto& setting : settings) environment.push_back(setting.data());
    arguments.push_back(nullptr);
    environment.push_back(nullptr);
    const int flags = O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC;
    const base::UniqueFd out{::open(spec.out_path.c_str(), flags, 0644)};
    const base::UniqueFd err{::open(spec.err_path.c_str(), flags, 0644)};
    const pid_t pid = ::fork();
    if (pid != 0) return pid;
    ::dup2(out.get(), STDOUT_FILENO);
    ::dup2(err.get(), STDERR_FILENO);
    if (::ptrace(PTRACE_TRACEME, 0, nullptr, nullptr) == 0) {
        ::raise(SIGSTOP);
        ::execvpe(arguments[0], arguments.data(), environment.data());
    }
    ::_exit(127);
}

class Tracer {
public:
    Tracer(const TracedSpec& spec, Fault fault, size_t number)
        : spec_(spec), fault_(fault), number_(number) {}

    TracedEnd run() {
        pid_ = start_stopped(spec_);
        int status = 0;
        EXPECT_EQ(::waitpid(pid_, &status, __WALL), pid_);
        EXPECT_TRUE(WIFSTOPPED(status)) << "cannot trace: this needs the right to use ptrace";
        ::ptrace(PTRACE_SETOPTIONS, pid_, nullptr,
                 PTRACE_O_TRACESYSGOOD | PTRACE_O_TRACEEXEC | PTRACE_O_EXITKILL);
        int signal = 0;
        while (true) {
            ::ptrace(counting_ ? PTRACE_SYSCALL : PTRACE_CONT, pid_, nullptr, signal);
            if (::waitpid(pid_, &status, __WALL) != pid_ || !WIFSTOPPED(status)) break;
            signal = at_stop(status);
        }
        if (WIFEXITED(status)) end_.exit_code = WEXITSTATUS(status);
        if (WIFSIGNALED(status)) end_.signal = WTERMSIG(status);
        return std::move(end_);
    }

private:
    // The signal to go on with.
    int at_stop(int status) {
        if (status >> 8 == (SIGTRAP | (PTRACE_EVENT_EXEC << 8))) {
            std::error_code ignored;
            const auto running =
                std::filesystem::read_symlink("/proc/" + std::to_string(pid_) + "/exe", ignored);
            counting_ = counting_ || running == spec_.traced_program;
            return 0;
        }
        if (WSTOPSIG(status) != syscall_stop) return WSTOPSIG(status);
        __ptrace_syscall_info info{};
        ::ptrace(static_cast<__ptrace_request>(PTRACE_GET_SYSCALL_INFO), pid_, sizeof info, &info);
        if (info.op == PTRACE_SYSCALL_INFO_ENTRY) at_entry(info);
        if (info.op == PTRACE_SYSCALL_INFO_EXIT && failing_) {
            failing_ = false;
            const long code = fault_ == Fault::no_space ? ENOSPC : EIO;
            ::ptrace(PTRACE_POKEUSER, pid_, offsetof(user_regs_struct, rax), -code);
        }
        return 0;
    }

    void at_entry(const __ptrace_syscall_info& info) {
        const auto steering = steering_calls().find(info.entry.nr);
        const std::string call = file_call(pid_, info);
        if (steering != steering_calls().end()) end_.steering_calls.emplace_back(steering->second);
        if (!call.empty()) end_.file_calls.push_back(call);
        const bool counts =
            fault_ == Fault::kill_steering ? steering != steering_calls().end() : !call.empty();
        if (!counts || fault_ == Fault::none || end_.calls_of(fault_).size() != number_) return;
        end_.injected = true;
        if (spec_.at_fault) spec_.at_fault();
        if (fault_ == Fault::no_space || fault_ == Fault::io_error) {
            failing_ = true;
            ::ptrace(PTRACE_POKEUSER, pid_, offsetof(user_regs_struct, orig_rax), -1L);
        } else {
            ::kill(pid_, SIGKILL);  // the call is not made: the kernel looks before it begins it
        }
    }

    const TracedSpec& spec_;
    Fault fault_;
    size_t number_;
    pid_t pid_ = -1;
    bool counting_ = false, failing_ = false;
    TracedEnd end_;
};

}  // namespace

const char* to_text(Fault fault) {
    constexpr std::array names{"none", "kill", "no_space", "io_error", "kill_steering"};
    return names.at(static_cast<size_t>(fault));
}

TracedEnd run_traced(const TracedSpec& spec, Fault fault, size_t number) {
    return Tracer(spec, fault, number).run();
}

}  // namespace dbrestore::tests
