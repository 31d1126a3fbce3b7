#include "operator/let_go.h"

#include <gtest/gtest.h>

#include "support/fake_http.h"

namespace dbrestore::op {
namespace {

using base::ErrorKind;
using nlohmann::json;

json namespace_of(bool going) {
    json document{{"metadata", {{"name", "shop"}}}};
    if (going) document["metadata"]["deletionTimestamp"] = "2026-11-22T12:00:00Z";
    return document;
}

json object(const std::string& name, const std::vector<std::string>& finalizers) {
    return {{"metadata",
             {{"namespace", "shop"}, {"name", name}, {"resourceVersion", "7"}, {"finalizers", finalizers}}}};
}

json list_of(const std::vector<json>& items) {
    return {{"metadata", {{"resourceVersion", "9"}}}, {"items", items}};
}

class LetGo : public ::testing::Test {
protected:
    void respond(const std::vector<json>& answers) {
        for (const auto& answer : answers) server_.respond(200, answer.dump());
    }

    test::FakeHttp server_;
    kube::Client client_{server_};
};

TEST_F(LetGo, ChangesNothingInANamespaceThatStays) {
    respond({namespace_of(false)});
    EXPECT_TRUE(let_go_of_namespace(client_, "shop"));
    EXPECT_EQ(server_.requests.size(), 1u);
}

TEST_F(LetGo, RemovesOurFinalizersAndNoOthersFromWhatIsInANamespaceThatGoes) {
    const json patched = object("any", {});
    respond({namespace_of(true), list_of({object("r", {"dbrestore.dev/restore", "somebody/else"})}), patched,
             list_of({object("s", {"dbrestore.dev/restore"}), object("t", {"somebody/else"})}), patched});
    const auto let_go = let_go_of_namespace(client_, "shop");
    ASSERT_TRUE(let_go) << to_text(let_go.error());
    ASSERT_EQ(server_.requests.size(), 5u);
    EXPECT_EQ(json::parse(server_.requests[2].body)["metadata"],
              (json{{"finalizers", {"somebody/else"}}, {"resourceVersion", "7"}}));
    EXPECT_NE(server_.requests[4].target.find("/postgresservers/s?"), std::string::npos);
    EXPECT_EQ(json::parse(server_.requests[4].body)["metadata"]["finalizers"], json::array());
}

TEST_F(LetGo, TellsWhatItCouldNotDo) {
    respond({namespace_of(true)});
    server_.respond(403, R"({"message":"no longer"})");
    const auto let_go = let_go_of_namespace(client_, "shop");
    ASSERT_FALSE(let_go);
    EXPECT_EQ(let_go.error().kind, ErrorKind::refused);
}

}  // namespace
}  // namespace dbrestore::op
