#include "integration/hostile_fixture.h"

#include <filesystem>

#include "agent/text.h"
#include "base/files.h"

namespace dbrestore::tests {

namespace {

namespace fs = std::filesystem;

// All that a role may have gained, and all that works beyond the one database.
constexpr const char* state_query = R"sql(
SELECT string_agg(line, E'\n' ORDER BY line) FROM (
    SELECT 'role ' || a::text AS line FROM pg_authid a
    UNION ALL SELECT 'member ' || m::text FROM pg_auth_members m
    UNION ALL SELECT 'setting ' || coalesce(datname, '') || ' ' || s.setrole || ' ' || setconfig::text
        FROM pg_db_role_setting s LEFT JOIN pg_database d ON d.oid = setdatabase WHERE datname IS DISTINCT FROM 'dbrestore_old_0a1b2c3d'
    UNION ALL SELECT 'database ' || datname || ' ' || datdba || ' ' || datistemplate || ' ' || datallowconn || ' ' || datconnlimit
        || ' ' || datcollate || ' ' || datctype || ' ' || encoding || ' ' || coalesce(datacl::text, '')
        FROM pg_database WHERE datname <> 'dbrestore_old_0a1b2c3d'
    UNION ALL SELECT 'tablespace ' || spcname || ' ' || coalesce(spcacl, acldefault('t', spcowner))::text FROM pg_tablespace
    UNION ALL SELECT 'subscription ' || subname FROM pg_subscription
    UNION ALL SELECT 'slot ' || slot_name FROM pg_replication_slots
    UNION ALL SELECT 'prepared ' || gid FROM pg_prepared_xacts
    UNION ALL SELECT 'file ' || sourcefile || ' ' || name || ' ' || coalesce(setting, '') FROM pg_file_settings
) AS lines)sql";

}  // namespace

void PrintTo(const Attack& attack, std::ostream* out) {
    *out << attack.name;
}

void HostileTest::SetUp() {
    AgentTest::SetUp();
    start_server();
    remember();
}

void HostileTest::remember() {
    content_ = fingerprint();
    state_ = state();
}

std::string HostileTest::state() {
    return sql(state_query, "postgres");
}

void HostileTest::make_dump(const std::string& statements, const std::string& format) {
    sql("CREATE DATABASE hostile", "postgres");
    sql(agent::replaced(statements, "TRACE", trace()), "hostile");
    dump("hostile.dump", "hostile", {format});
    sql("DROP DATABASE hostile", "postgres");
    stop_server();
}

std::string HostileTest::seizing(const std::string& body) {
    return "CREATE FUNCTION public.seize() RETURNS boolean LANGUAGE plpgsql AS $seize$ BEGIN "
           "IF current_database() = 'hostile' THEN RETURN true; END IF;" +
           body +
           "; RETURN true; END $seize$;"
           "CREATE TABLE public.bait (a int CHECK (public.seize())); INSERT INTO public.bait VALUES (1);";
}

resources::AgentRequest HostileTest::asked(const std::string& step) const {
    auto request = this->request(step);
    request.backup_name = "hostile.dump";
    for (const auto& argument : server_arguments_) request.server_arguments.push_back(argument);
    return request;
}

void HostileTest::expect_clean_failure(const std::string& reason, const std::string& word) {
    const AgentRun ran = run(asked("prepare"));
    EXPECT_EQ(ran.result.reason, reason) << to_text(ran);
    EXPECT_NE(ran.result.message.find(word), std::string::npos) << to_text(ran);
    expect_old_data_after_rollback();
}

void HostileTest::expect_old_data_after_rollback() {
    const AgentRun undone = run(asked("rollback"));
    ASSERT_TRUE(undone.is_done()) << to_text(undone);
    EXPECT_EQ(undone.result.message.find("may be left"), std::string::npos) << to_text(undone);
    start_server(server_arguments_);
    EXPECT_EQ(difference(content_, fingerprint()), "");
    expect_no_harm();
}

void HostileTest::expect_restored_without_harm() {
    for (const char* step : {"prepare", "verify", "commit"}) {
        const AgentRun ran = run(asked(step));
        ASSERT_TRUE(ran.is_done()) << step << ": " << to_text(ran);
    }
    start_server(server_arguments_);
    sql("ALTER DATABASE dbrestore_old_0a1b2c3d ALLOW_CONNECTIONS true", "postgres");
    EXPECT_EQ(difference(content_, fingerprint("dbrestore_old_0a1b2c3d")), "");
    expect_no_harm();
}

std::string HostileTest::private_folder() const {
    for (const auto& entry : fs::directory_iterator(folder() + "/tmp")) {
        if (fs::exists(entry.path() / ".s.PGSQL.5432")) return entry.path().string();
    }
    return {};
}

std::optional<agent::Session> HostileTest::private_session(const std::string& database) const {
    std::optional<agent::Session> session;
    wait_for([&] {
        const std::string place = private_folder();
        auto opened = place.empty() ? base::Result<agent::Session>(base::error(base::ErrorKind::io, ""))
                                    : agent::Session::open({place, 5432, superuser, "", database});
        if (opened) session = std::move(*opened);
        return session.has_value();
    });
    EXPECT_TRUE(session) << "no private server takes a connection to " << database;
    return session;
}

void HostileTest::expect_no_harm() {
    EXPECT_FALSE(fs::exists(trace())) << "a program ran, or a file was written";
    EXPECT_EQ(difference(state_, state()), "");
}

std::string with_text_replaced(std::string toc, const std::string& beginning, const std::string& text) {
    const size_t at = toc.find(beginning);
    EXPECT_NE(at, std::string::npos) << beginning;
    if (at == std::string::npos || at < 4) return toc;
    const auto byte = [&](size_t i) { return static_cast<unsigned char>(toc[at - 4 + i]); };
    const size_t length = byte(0) | size_t{byte(1)} << 8 | size_t{byte(2)} << 16 | size_t{byte(3)} << 24;
    std::string head;
    for (int shift = 0; shift < 32; shift += 8) head += static_cast<char>(text.size() >> shift);
    return toc.replace(at - 4, length + 4, head + text);
}

}  // namespace dbrestore::tests
