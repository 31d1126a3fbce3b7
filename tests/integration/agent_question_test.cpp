// The restore's own question to the restored data.

#include "integration/agent_fixture.h"

namespace dbrestore::tests {
namespace {

class AgentQuestion : public AgentTest {
protected:
    AgentRun ask(const std::string& query, const std::optional<std::string>& expect) {
        auto asked = request("verify");
        asked.verification = resources::Verification{query, expect};
        return run(asked);
    }
};

TEST_F(AgentQuestion, ARightAnswerLetsTheRestoreGoOnAndAWrongOneSaysBoth) {
    start_server();
    const std::string lines = sql("SELECT count(*) FROM shop.order_lines");
    sql("DELETE FROM shop.order_lines");
    sql("REVOKE ALL ON DATABASE shop FROM PUBLIC");
    stop_server();
    ASSERT_TRUE(run_step("prepare").is_done());
    const AgentRun right = ask("SELECT count(*) FROM shop.order_lines", lines);
    EXPECT_TRUE(right.is_done()) << to_text(right);
    EXPECT_TRUE(ask("SELECT 1 WHERE false", std::nullopt).is_done()) << "it must only succeed";
    const AgentRun wrong = ask("SELECT count(*) FROM shop.order_lines", "0");
    EXPECT_EQ(wrong.result.reason, "VerificationFailed");
    EXPECT_NE(wrong.result.message.find("must give \"0\", and gives \"" + lines + "\""), std::string::npos)
        << to_text(wrong);
    EXPECT_NE(ask("SELECT 1 WHERE false", "1").result.message.find("gives no row"), std::string::npos);
    EXPECT_EQ(ask("SELECT nonsense", std::nullopt).result.reason, "VerificationFailed");
    // It changes nothing, and is nobody.
    EXPECT_EQ(ask("DELETE FROM shop.order_lines RETURNING 1", std::nullopt).result.reason,
              "VerificationFailed");
    EXPECT_EQ(ask("SELECT 1; SELECT 2", std::nullopt).result.reason, "VerificationFailed");
    EXPECT_TRUE(ask("SELECT current_setting('is_superuser')", "off").is_done());
    EXPECT_EQ(ask("SELECT pg_read_file('PG_VERSION')", std::nullopt).result.reason, "VerificationFailed");
    ASSERT_TRUE(run_step("commit").is_done());
    start_server();
    EXPECT_EQ(sql("SELECT count(*) FROM pg_roles WHERE rolname LIKE 'dbrestore%'"), "0");
}

}  // namespace
}  // namespace dbrestore::tests
