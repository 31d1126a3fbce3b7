#include <gtest/gtest.h>

#include <nlohmann/json.hpp>
#include <sstream>
#include <thread>

#include "base/clock.h"
#include "base/log.h"

namespace dbrestore::base {
namespace {

// The lines that were logged meanwhile, each of them JSON.
template <typename Act>
std::vector<nlohmann::json> logged(Act&& act) {
    ::testing::internal::CaptureStderr();
    act();
    std::istringstream text(::testing::internal::GetCapturedStderr());
    std::vector<nlohmann::json> lines;
    for (std::string line; std::getline(text, line);) lines.push_back(nlohmann::json::parse(line));
    return lines;
}

TEST(Log, is_one_JSON_document_a_line) {
    const auto lines = logged([] { log_info("two\nlines \"quoted\"", {{"job", "a\tb"}}); });
    ASSERT_EQ(lines.size(), 1u);
    EXPECT_EQ(lines[0]["level"], "info");
    EXPECT_EQ(lines[0]["message"], "two\nlines \"quoted\"");
    EXPECT_EQ(lines[0]["job"], "a\tb");
    EXPECT_TRUE(parse_time(lines[0]["time"].get<std::string>()));
}

TEST(Log, carries_the_fields_of_its_scopes_while_they_last) {
    const auto lines = logged([] {
        const LogScope outer({{"restore", "shop/bring-it-back"}});
        {
            const LogScope inner({{"step", "prepare"}, {"attempt", "2"}});
            log_warning("inside");
        }
        log_info("outside");
        std::thread([] { log_info("elsewhere"); }).join();
    });
    ASSERT_EQ(lines.size(), 3u);
    EXPECT_EQ(lines[0]["restore"], "shop/bring-it-back");
    EXPECT_EQ(lines[0]["step"], "prepare");
    EXPECT_EQ(lines[0]["attempt"], "2");
    EXPECT_EQ(lines[1]["restore"], "shop/bring-it-back");
    EXPECT_FALSE(lines[1].contains("step"));
    EXPECT_FALSE(lines[2].contains("restore")) << "a scope is its thread's own";
}

TEST(Log, survives_foreign_bytes) {
    const auto lines = logged([] { log_error("\xff\xfe", {{"file", "\xc3"}}); });
    ASSERT_EQ(lines.size(), 1u);
    EXPECT_EQ(lines[0]["level"], "error");
}

TEST(Log, is_silent_below_its_level) {
    set_log_level(LogLevel::warning);
    const auto lines = logged([] {
        log_info("quiet");
        log_warning("loud");
    });
    set_log_level(LogLevel::info);
    ASSERT_EQ(lines.size(), 1u);
    EXPECT_EQ(lines[0]["message"], "loud");
}

TEST(Log, knows_the_names_of_its_levels) {
    LogLevel level = LogLevel::info;
    EXPECT_TRUE(parse_log_level("debug", level));
    EXPECT_EQ(level, LogLevel::debug);
    EXPECT_FALSE(parse_log_level("loud", level));
    EXPECT_EQ(level, LogLevel::debug);
}

TEST(Log, lines_of_several_threads_do_not_mix) {
    const auto lines = logged([] {
        std::vector<std::thread> threads;
        for (int t = 0; t < 4; ++t) {
            threads.emplace_back([] {
                for (int i = 0; i < 200; ++i) log_info(std::string(300, 'x'));
            });
        }
        for (auto& thread : threads) thread.join();
    });
    EXPECT_EQ(lines.size(), 800u);
}

}  // namespace
}  // namespace dbrestore::base
