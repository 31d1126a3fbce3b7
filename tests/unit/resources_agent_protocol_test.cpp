// Frames in a log that runs beside untrusted data.

#include <gtest/gtest.h>

#include <algorithm>

#include "base/digest.h"
#include "resources/agent_protocol.h"

namespace dbrestore::resources {
namespace {

AgentResult a_result() {
    AgentResult r;
    r.outcome = AgentResult::Outcome::retryable;
    r.reason = "DiskAway";
    r.message = "two\nlines, \"quotes\" and ünïcode";
    r.findings = {{"Space", PreflightFinding::Outcome::warning, "little"},
                  {"Dump", PreflightFinding::Outcome::failed, "torn"}};
    r.waiting_for = {"Dump"};
    r.uid = 999;
    r.gid = 0;
    r.bytes = 1LL << 40;
    r.estimated_seconds = 12;
    r.what_is_lost = {"orders since noon"};
    r.server_version = "15.8";
    return r;
}

AgentResult failed_with(const std::string& message) {
    AgentResult r;
    r.reason = "Why";
    r.message = message;
    return r;
}

TEST(AgentReport, gives_back_what_was_sent) {
    const Progress progress{"prepare", "table shop.orders", 42, 10, 20, 3, 7, 90};
    const std::string log =
        "noise\n" + progress_frame(1, progress) + "more noise\n" + result_frame(2, a_result());
    const AgentReport report = parse_agent_report(log, termination_message(a_result()), true);
    ASSERT_TRUE(report.progress && report.result);
    EXPECT_EQ(*report.progress, progress);
    EXPECT_EQ(result_frame(0, *report.result), result_frame(0, a_result()));
    EXPECT_FALSE(report.result_lost);
}

TEST(AgentReport, the_newest_progress_counts) {
    const AgentReport report = parse_agent_report(
        progress_frame(1, {"a", "", 1, 0, 0, 0, 0, {}}) + progress_frame(2, {"a", "", 2, 0, 0, 0, 0, {}}), "",
        false);
    EXPECT_EQ(report.progress->percent, 2);
    EXPECT_FALSE(report.result_lost) << "it still runs";
}

TEST(AgentReport, believes_no_result_that_the_termination_message_does_not_name) {
    AgentResult forged = a_result();
    forged.outcome = AgentResult::Outcome::done;
    const std::string log = result_frame(2, a_result()) + result_frame(3, forged);
    const AgentReport report = parse_agent_report(log, termination_message(a_result()), true);
    ASSERT_TRUE(report.result);
    EXPECT_EQ(report.result->outcome, AgentResult::Outcome::retryable);
    for (const char* termination : {"", "{}", "not JSON", "[]", "{\"digest\": 7}", "{\"digest\": \"\"}"}) {
        const AgentReport without = parse_agent_report(log, termination, true);
        EXPECT_FALSE(without.result) << termination;
        EXPECT_TRUE(without.result_lost) << termination;
    }
    EXPECT_FALSE(parse_agent_report(log, termination_message(a_result()), false).result)
        << "a container that runs has no result";
}

std::string framed(const std::string& document) {
    return "DBRESTORE/1 1 progress " + base::sha256_hex(document) + " " + document + "\n";
}

TEST(AgentReport, skips_whatever_does_not_frame_correctly) {
    const std::string good = progress_frame(1, {"prepare", "here", 5, 0, 0, 0, 0, {}});
    const std::vector<std::string> hostile{
        "",
        "\n\n\n",
        "DBRESTORE/1",
        "DBRESTORE/1 1 progress",
        "DBRESTORE/1 1 progress \n",
        "DBRESTORE/2" + good.substr(11),
        " " + good,
        good.substr(0, good.size() / 2) + "\n",            // torn
        good.substr(0, good.size() - 3) + "X}\n",          // another document under the same digest
        "DBRESTORE/1 1 progress 0000 {\"percent\": 9}\n",  // a digest that is none
        framed("[1, 2]"),
        framed("7"),
        framed("null"),
        framed("{"),
        framed(""),
        framed(std::string("{\"percent\": \0}", 14)),
        framed("{\"summary\": \"\xff\xfe\"}"),  // no UTF-8
        std::string(300, '\xff') + "\n",
        std::string("\0\0\0\n", 4),
        framed(std::string(100000, '[') + std::string(100000, ']')),     // deep
        framed("{\"summary\": \"" + std::string(2 << 20, 'x') + "\"}"),  // huge
    };
    for (const auto& line : hostile) {
        const AgentReport alone = parse_agent_report(line, "", false);
        EXPECT_FALSE(alone.progress) << line.substr(0, 80);
        const AgentReport after = parse_agent_report(line + "\n" + good, "", false);
        ASSERT_TRUE(after.progress) << line.substr(0, 80);
        EXPECT_EQ(after.progress->percent, 5);
    }
}

TEST(AgentReport, fields_of_the_wrong_type_count_as_absent) {
    const AgentReport report = parse_agent_report(
        framed(R"({"percent": "many", "bytesDone": 18446744073709551615, "summary": 7, "etaSeconds": []})"),
        "", false);
    ASSERT_TRUE(report.progress);
    EXPECT_EQ(report.progress->percent, 0);
    EXPECT_EQ(report.progress->summary, "");
}

TEST(AgentReport, a_frame_without_its_line_end_is_a_frame) {
    std::string log = result_frame(1, a_result());
    log.pop_back();
    EXPECT_TRUE(parse_agent_report(log, termination_message(a_result()), true).result);
}

TEST(Frames, survive_foreign_bytes_and_are_one_line) {
    const AgentResult r = failed_with("file \xff\xfe named\nso");
    const std::string frame = result_frame(1, r);
    EXPECT_EQ(std::ranges::count(frame, '\n'), 1);
    const AgentReport report = parse_agent_report(frame, termination_message(r), true);
    ASSERT_TRUE(report.result);
    EXPECT_NE(report.result->message.find("named\nso"), std::string::npos);
}

TEST(TerminationMessage, is_at_most_2048_bytes_and_always_JSON) {
    for (const std::string& message :
         {std::string(), std::string("short"), std::string(5000, 'x'), std::string(5000, '"'),
          std::string(5000, '\x01'), std::string(5001, '\xff')}) {
        const AgentResult r = failed_with(message);
        const std::string text = termination_message(r);
        EXPECT_LE(text.size(), 2048u);
        const auto document = nlohmann::json::parse(text, nullptr, false);
        ASSERT_TRUE(document.is_object()) << text;
        EXPECT_EQ(document["outcome"], "failed");
        EXPECT_EQ(document["reason"], "Why");
        EXPECT_TRUE(parse_agent_report(result_frame(1, r), text, true).result);
    }
}

TEST(Request, comes_back_as_it_was_sent) {
    AgentRequest r;
    r.step = "prepare";
    r.restore_name = "n";
    r.restore_uid = "u";
    r.attempt = 3;
    r.data_directory = "/data";
    r.server_arguments = {"-c", "a=b c"};
    r.host = "10.0.0.7";
    r.port = 6000;
    r.user = "ü";
    r.database_key = "db";
    r.password_key = "pw";
    r.backup_name = "a b.dump";
    r.jobs = 4;
    r.new_database = "new";
    r.old_database = "old";
    r.role = "role";
    const auto back = request_from_text(to_json(r).dump());
    ASSERT_TRUE(back);
    EXPECT_EQ(to_json(*back), to_json(r));
    for (const char* text : {"", "[]", "7", "{"}) {
        const auto bad = request_from_text(text);
        ASSERT_FALSE(bad) << text;
        EXPECT_EQ(bad.error().kind, base::ErrorKind::invalid);
    }
}

}  // namespace
}  // namespace dbrestore::resources
