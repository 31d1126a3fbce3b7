#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>

#include "base/process.h"

namespace dbrestore::base {
namespace {

using namespace std::chrono_literals;

struct Outcome {
    ProcessEnd end;
    std::string out, err;
};

Outcome run(ProcessSpec spec) {
    Outcome outcome;
    spec.on_stdout = [&](std::string_view text) { outcome.out += text; };
    spec.on_stderr = [&](std::string_view text) { outcome.err += text; };
    const auto end = run_process(spec);
    EXPECT_TRUE(end) << end.error().message;
    if (end) outcome.end = *end;
    return outcome;
}

ProcessSpec shell(const std::string& script) {
    ProcessSpec spec;
    spec.arguments = {"sh", "-c", script};
    return spec;
}

TEST(Process, gives_exit_code_and_both_streams) {
    const Outcome o = run(shell("printf out; printf err >&2; exit 3"));
    EXPECT_EQ(o.end.exit_code, 3);
    EXPECT_EQ(o.end.signal, 0);
    EXPECT_FALSE(o.end.ok());
    EXPECT_EQ(to_text(o.end), "exit code 3");
    EXPECT_EQ(o.out, "out");
    EXPECT_EQ(o.err, "err");
    EXPECT_TRUE(run(shell("exit 0")).end.ok());
}

TEST(Process, tells_the_signal_that_ended_it) {
    const Outcome o = run(shell("kill -9 $$"));
    EXPECT_EQ(o.end.signal, SIGKILL);
    EXPECT_EQ(o.end.exit_code, -1);
    EXPECT_FALSE(o.end.ok());
    EXPECT_EQ(to_text(o.end), "signal 9");
}

TEST(Process, loses_nothing_of_a_long_output) {
    const Outcome o =
        run(shell("i=0; while [ $i -lt 20000 ]; do echo 0123456789012345678901234567890123456789; "
                  "i=$((i+1)); done; echo end >&2"));
    EXPECT_EQ(o.out.size(), 20000u * 41);
    EXPECT_EQ(o.err, "end\n");
}

TEST(Process, says_which_program_is_missing) {
    ProcessSpec spec;
    spec.arguments = {"no-such-program-here"};
    const auto end = run_process(spec);
    ASSERT_FALSE(end);
    EXPECT_EQ(end.error().kind, ErrorKind::not_found);
    EXPECT_NE(end.error().message.find("no-such-program-here"), std::string::npos);
    spec.arguments = {"/etc/passwd"};
    const auto refused = run_process(spec);
    ASSERT_FALSE(refused);
    EXPECT_EQ(refused.error().kind, ErrorKind::io);
}

TEST(Process, passes_arguments_as_they_are) {
    ProcessSpec spec;
    spec.arguments = {"printf", "%s|", "two words", "$HOME", "", "';"};
    EXPECT_EQ(run(spec).out, "two words|$HOME||';|");
}

TEST(Process, adds_to_the_environment_and_replaces_in_it) {
    ::setenv("DBRESTORE_TEST_KEPT", "kept", 1);
    ::setenv("DBRESTORE_TEST_REPLACED", "old", 1);
    ProcessSpec spec = shell(
        "printf '%s %s %s' \"$DBRESTORE_TEST_KEPT\" \"$DBRESTORE_TEST_REPLACED\" \"$DBRESTORE_TEST_ADDED\"");
    spec.environment = {{"DBRESTORE_TEST_REPLACED", "new"}, {"DBRESTORE_TEST_ADDED", "a b=c"}};
    EXPECT_EQ(run(spec).out, "kept new a b=c");
    EXPECT_STREQ(::getenv("DBRESTORE_TEST_REPLACED"), "old");
}

TEST(Process, starts_where_it_is_told) {
    ProcessSpec spec = shell("pwd");
    spec.working_directory = "/usr";
    EXPECT_EQ(run(spec).out, "/usr\n");
}

TEST(Process, has_neither_our_input_nor_our_files_but_those_it_is_given) {
    EXPECT_EQ(run(shell("wc -c")).out, "0\n");
    std::array<int, 2> fds{};
    ASSERT_EQ(::pipe2(fds.data(), O_CLOEXEC), 0);
    const UniqueFd read_end(fds[0]), write_end(fds[1]);
    const std::string number = std::to_string(fds[1]);
    EXPECT_EQ(run(shell("[ -e /proc/self/fd/" + number + " ] && echo open || echo closed")).out, "closed\n");
    ProcessSpec given = shell("[ -e /proc/self/fd/" + number + " ] && echo open || echo closed");
    given.inherited_fds = {fds[1]};
    EXPECT_EQ(run(given).out, "open\n");
}

TEST(Process, ends_when_on_tick_says_so) {
    ProcessSpec spec = shell("exec sleep 60");
    spec.tick = 20ms;
    int ticks = 0;
    spec.on_tick = [&](pid_t) { return ++ticks < 3; };
    const auto begin = std::chrono::steady_clock::now();
    const Outcome o = run(spec);
    EXPECT_TRUE(o.end.stopped);
    EXPECT_EQ(o.end.signal, SIGTERM);
    EXPECT_EQ(ticks, 3) << "it is not asked again";
    EXPECT_LT(std::chrono::steady_clock::now() - begin, 30s);
}

TEST(Process, ends_although_a_grandchild_holds_its_streams) {
    const auto begin = std::chrono::steady_clock::now();
    const Outcome o = run(shell("sleep 20 & echo $!; exit 4"));
    EXPECT_EQ(o.end.exit_code, 4);
    EXPECT_LT(std::chrono::steady_clock::now() - begin, 15s);
    ::kill(static_cast<pid_t>(std::stol(o.out)), SIGKILL);
}

TEST(Process, is_noticed_as_soon_as_it_has_ended) {
    const auto start = std::chrono::steady_clock::now();
    for (int i = 0; i < 20; ++i) EXPECT_TRUE(run(shell("exit 0")).end.ok());
    // Waiting for the next look at each of them would take four seconds.
    EXPECT_LT(std::chrono::steady_clock::now() - start, 3s);
}

TEST(Process, that_is_started_writes_to_the_given_file_and_is_ours_to_reap) {
    std::array<int, 2> fds{};
    ASSERT_EQ(::pipe2(fds.data(), O_CLOEXEC), 0);
    const UniqueFd read_end(fds[0]);
    UniqueFd write_end(fds[1]);
    const auto pid = start_process(shell("echo out; echo err >&2"), write_end.get());
    ASSERT_TRUE(pid);
    write_end.reset();
    std::string text;
    char buffer[64];
    for (ssize_t count = ::read(read_end.get(), buffer, sizeof buffer); count > 0;
         count = ::read(read_end.get(), buffer, sizeof buffer))
        text.append(buffer, static_cast<size_t>(count));
    EXPECT_EQ(text, "out\nerr\n");
    int status = 0;
    EXPECT_EQ(::waitpid(*pid, &status, 0), *pid);
    EXPECT_EQ(WEXITSTATUS(status), 0);
}

}  // namespace
}  // namespace dbrestore::base
