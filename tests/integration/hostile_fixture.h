#pragma once
// Dumps that attack: what a restore of them must leave as it was.

#include <ostream>

#include "integration/agent_fixture.h"

namespace dbrestore::tests {

struct Attack {
    const char* name;
    const char* statements;  // each of which must fail; TRACE is a path
    const char* word;        // that the failure says
    const char* extension = "";
};

void PrintTo(const Attack& attack, std::ostream* out);

class HostileTest : public AgentTest {
protected:
    void SetUp() override;

    // Where an attack that succeeds leaves a file. The server's user may write there.
    std::string trace() const { return folder() + "/trace"; }
    std::string source(const std::string& name) const { return folder() + "/source/" + name; }

    // What must stay: as it is now.
    void remember();
    // A database `hostile`, made as a superuser by `statements`, as a dump in source/hostile.dump; the
    // database itself is gone afterwards. TRACE in them is the trace's path.
    void make_dump(const std::string& statements, const std::string& format = "-Fc");

    // A function public.seize() that does nothing in `hostile`, and `body` (of plpgsql) anywhere else, and a
    // table whose constraint calls it for its one row.
    static std::string seizing(const std::string& body);

    resources::AgentRequest asked(const std::string& step) const;

    // `prepare` ends for this reason, saying the word; after `rollback` the old data is served.
    void expect_clean_failure(const std::string& reason, const std::string& word);
    void expect_old_data_after_rollback();
    // The dump is restored whole, and nothing but the one database has changed.
    void expect_restored_without_harm();
    // No trace; roles, settings, databases and files of the server are what they were.
    void expect_no_harm();

    // With the private server while a step runs, as a superuser; waits for it.
    std::optional<agent::Session> private_session(const std::string& database) const;
    std::string private_folder() const;  // of its socket; empty while there is none

    std::vector<std::string> server_arguments_;  // also of the private server

private:
    std::string state();

    std::string content_, state_;
};

// Text in a dump's table of contents that begins so becomes another one, of whatever length; where it stands
// must not be asked for by an offset (in directory and tar format nothing is).
std::string with_text_replaced(std::string toc, const std::string& beginning, const std::string& text);

}  // namespace dbrestore::tests
