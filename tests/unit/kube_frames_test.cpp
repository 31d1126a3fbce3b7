#include <gtest/gtest.h>

#include <random>

#include "kube/frames.h"

namespace dbrestore::kube {
namespace {

using base::ErrorKind;

std::vector<std::string> lines_of(LineSplitter& splitter) {
    std::vector<std::string> lines;
    while (const auto line = splitter.next()) lines.emplace_back(*line);
    return lines;
}

TEST(LineSplitter, JoinsPiecesAndKeepsTheTornEnd) {
    LineSplitter splitter(100);
    splitter.append("on");
    EXPECT_TRUE(lines_of(splitter).empty());
    splitter.append("e\ntwo\n\n\nthr");
    EXPECT_EQ(lines_of(splitter), (std::vector<std::string>{"one", "two"}));
    splitter.append("ee\nfour");
    EXPECT_EQ(lines_of(splitter), std::vector<std::string>{"three"});
    EXPECT_FALSE(splitter.too_long());
}

TEST(LineSplitter, ALineThatIsTooLongIsNotHandedOutWithOrWithoutItsEnd) {
    LineSplitter open(5);
    open.append("ok\nlonger");
    EXPECT_EQ(lines_of(open), std::vector<std::string>{"ok"});
    EXPECT_TRUE(open.too_long());

    LineSplitter closed(5);
    closed.append("12345\nlonger\nok\n");
    EXPECT_EQ(lines_of(closed), std::vector<std::string>{"12345"});
    EXPECT_TRUE(closed.too_long());
}

TEST(LineSplitter, GivesTheSameLinesHoweverTheyAreCut) {
    std::string text;
    for (int i = 0; i < 200; ++i) text += "line " + std::to_string(i * i) + "\n";
    LineSplitter whole(100);
    whole.append(text);
    const auto expected = lines_of(whole);
    std::mt19937 random(3);
    for (int round = 0; round < 50; ++round) {
        LineSplitter cut(100);
        std::vector<std::string> lines;
        for (size_t at = 0; at < text.size();) {
            const size_t size = 1 + random() % 37;
            cut.append(std::string_view(text).substr(at, size));
            at += size;
            for (auto& line : lines_of(cut)) lines.push_back(std::move(line));
        }
        EXPECT_EQ(lines, expected);
    }
}

TEST(List, IsCutIntoObjects) {
    std::string page = R"({"kind":"PodList","metadata":{"resourceVersion":"42","continue":"next"},"items":[
        {"metadata":{"namespace":"shop","name":"a","resourceVersion":"7"},"spec":{"deep":[{"x":"}]"}]}},
        {"metadata":{"name":"clusterwide","resourceVersion":"41"}}]})";
    std::vector<ListedObject> objects;
    const auto head = parse_list(page, [&](const ListedObject& object) { objects.push_back(object); });
    ASSERT_TRUE(head) << head.error().message;
    EXPECT_EQ(head->resource_version, "42");
    EXPECT_EQ(head->continue_token, "next");
    ASSERT_EQ(objects.size(), 2u);
    EXPECT_EQ(objects[0].identity.key, (Key{"shop", "a"}));
    EXPECT_EQ(objects[0].identity.resource_version, 7u);
    EXPECT_EQ(objects[0].object["spec"]["deep"][0]["x"], "}]");
    EXPECT_EQ(objects[1].identity.key, (Key{"", "clusterwide"}));
}

TEST(List, MayHaveItsMembersInAnyOrderAndNoItems) {
    for (std::string page : {R"({"items":[],"metadata":{"resourceVersion":"1"}})",
                             R"({"items":null,"metadata":{"resourceVersion":"1"},"extra":[1,{"a":2}]})",
                             R"({"metadata":{"resourceVersion":"1"}})"}) {
        const auto head = parse_list(page, [](const ListedObject&) { FAIL(); });
        ASSERT_TRUE(head) << page;
        EXPECT_EQ(head->resource_version, "1");
    }
}

TEST(List, ThatIsNoneIsAnError) {
    const std::string deep = R"({"metadata":{"resourceVersion":"1"},"items":[)" + std::string(100'000, '[');
    for (std::string page :
         {std::string(), std::string("null"), std::string("[]"), std::string("{"),
          std::string("\xff\x00\x01", 3), std::string("<html>"), std::string(R"({"metadata":{},"items":[]})"),
          std::string(R"({"metadata":{"resourceVersion":"abc"},"items":[]})"),
          std::string(R"({"metadata":{"resourceVersion":"1"},"items":{}})"),
          std::string(R"({"metadata":{"resourceVersion":"1"},"items":[5]})"),
          std::string(R"({"metadata":{"resourceVersion":"1"},"items":[{}]})"),
          std::string(
              R"({"metadata":{"resourceVersion":"1"},"items":[{"metadata":{"resourceVersion":"1"}}]})"),
          std::string(R"({"metadata":{"resourceVersion":"1"},"items":[{"metadata":{"name":"a","resour)"),
          deep}) {
        const auto head = parse_list(page, [](const ListedObject&) {});
        ASSERT_FALSE(head) << page.substr(0, 100);
        EXPECT_EQ(head.error().kind, ErrorKind::invalid);
    }
}

TEST(WatchFrame, TellsWhatHappenedToWhichObject) {
    const std::string object =
        R"("object":{"metadata":{"namespace":"n","name":"a","resourceVersion":"9"},"x":1}})";
    const auto added = parse_watch_frame(R"({"type":"ADDED",)" + object);
    ASSERT_TRUE(added) << added.error().message;
    EXPECT_EQ(added->type, FrameType::put);
    EXPECT_EQ(added->object.identity.key, (Key{"n", "a"}));
    EXPECT_EQ(added->resource_version, "9");
    EXPECT_EQ(added->object.object["x"], 1);
    EXPECT_EQ(parse_watch_frame(R"({"type":"MODIFIED",)" + object)->type, FrameType::put);
    EXPECT_EQ(parse_watch_frame(R"({"type":"DELETED",)" + object)->type, FrameType::erase);

    const auto bookmark = parse_watch_frame(
        R"({"object":{"kind":"Pod","metadata":{"resourceVersion":"77"}},"type":"BOOKMARK"})");
    ASSERT_TRUE(bookmark) << bookmark.error().message;
    EXPECT_EQ(bookmark->type, FrameType::bookmark);
    EXPECT_EQ(bookmark->object.identity.resource_version, 77u);
}

TEST(WatchFrame, ErrorEventsAreErrors) {
    const auto gone = parse_watch_frame(R"({"type":"ERROR","object":{"code":410,"message":"too old"}})");
    EXPECT_EQ(gone.error().kind, ErrorKind::expired);
    EXPECT_NE(gone.error().message.find("too old"), std::string::npos);
    EXPECT_EQ(parse_watch_frame(R"({"type":"ERROR","object":{"code":500}})").error().kind,
              ErrorKind::unavailable);
    EXPECT_EQ(parse_watch_frame(R"({"type":"ERROR"})").error().kind, ErrorKind::unavailable);
}

TEST(WatchFrame, HostileLinesAreErrorsAndNothingWorse) {
    const std::string object = R"({"metadata":{"name":"a","resourceVersion":"9"}})";
    const std::vector<std::string> lines{
        "",
        " ",
        "x",
        "null",
        "5",
        "\"ADDED\"",
        "[]",
        "{}",
        "{",
        R"({"type":"ADDED"})",
        R"({"type":5,"object":{}})",
        R"({"type":"ADDED","object":[]})",
        R"({"type":"ADDED","object":{}})",
        R"({"type":"DANCED","object":)" + object + "}",
        R"({"type":"ADDED","object":{"metadata":{"resourceVersion":"9"}}})",
        R"({"type":"ADDED","object":{"metadata":{"name":"a"}}})",
        R"({"type":"ADDED","object":{"metadata":{"name":"a","resourceVersion":9}}})",
        R"({"type":"ADDED","object":{"metadata":{"name":"a","resourceVersion":"9"},)",
        R"({"type":"ADDED","object":{"metadata":{"name":"a","resourceVersion":"9"},"x":tru}})",
        std::string(
            "{\"type\":\"ADDED\",\"object\":{\"metadata\":{\"name\":\"\xff\",\"resourceVersion\":\"9\"}}}"),
        R"({"type":"ADDED","object":{"a":)" + std::string(100'000, '['),
        std::string(1000, '\0')};
    for (const std::string& line : lines) {
        const auto frame = parse_watch_frame(line);
        ASSERT_FALSE(frame) << line.substr(0, 100);
        EXPECT_EQ(frame.error().kind, ErrorKind::invalid) << line.substr(0, 100);
    }
}

// Each prefix and many damaged copies of a good line: whatever comes out, nothing crashes.
TEST(WatchFrame, SurvivesDamage) {
    const std::string good = R"({"type":"MODIFIED","object":{"kind":"Pod",)"
                             R"("metadata":{"namespace":"n","name":"a","resourceVersion":"9"},)"
                             R"("spec":{"list":[1,2.5,null,true,"\u00e9\n"]}}})";
    ASSERT_TRUE(parse_watch_frame(good));
    for (size_t size = 0; size < good.size(); ++size)
        EXPECT_FALSE(parse_watch_frame(good.substr(0, size))) << size;
    std::mt19937 random(11);
    int accepted = 0;
    for (int round = 0; round < 20'000; ++round) {
        std::string line = good;
        for (int i = 0; i < 3; ++i) line[random() % line.size()] = static_cast<char>(random());
        accepted += parse_watch_frame(line) ? 1 : 0;
    }
    EXPECT_LT(accepted, 20'000);
}

}  // namespace
}  // namespace dbrestore::kube
