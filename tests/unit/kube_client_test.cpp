#include <gtest/gtest.h>

#include "kube/client.h"
#include "support/fake_http.h"

namespace dbrestore::kube {
namespace {

using base::ErrorKind;
using nlohmann::json;
using test::FakeHttp;

const Resource kPods{"", "v1", "pods"};
const Resource kRestores{"dbrestore.dev", "v1alpha1", "databaserestores"};
const Key kKey{"shop", "friday"};

class ClientTest : public ::testing::Test {
protected:
    json sent_body(size_t index) const { return json::parse(server_.requests.at(index).body); }

    FakeHttp server_;
    Client client_{server_};
};

TEST(Paths, FollowGroupVersionNamespaceAndName) {
    EXPECT_EQ(collection_path(kPods, ""), "/api/v1/pods");
    EXPECT_EQ(collection_path(kPods, "shop"), "/api/v1/namespaces/shop/pods");
    EXPECT_EQ(object_path(kRestores, kKey, "status"),
              "/apis/dbrestore.dev/v1alpha1/namespaces/shop/databaserestores/friday/status");
    EXPECT_EQ(object_path({"", "v1", "nodes"}, {"", "n1"}), "/api/v1/nodes/n1");
    EXPECT_EQ(object_path(kPods, {"a/b", "../x?y"}), "/api/v1/namespaces/a%2Fb/pods/..%2Fx%3Fy");
}

TEST_F(ClientTest, GetsAnObject) {
    server_.respond(200, R"({"kind": "DatabaseRestore"})");
    const auto object = client_.get(kRestores, kKey);
    ASSERT_TRUE(object);
    EXPECT_EQ((*object)["kind"], "DatabaseRestore");
    EXPECT_EQ(server_.requests[0].method, "GET");
    EXPECT_EQ(server_.target(0), "/apis/dbrestore.dev/v1alpha1/namespaces/shop/databaserestores/friday");
}

TEST_F(ClientTest, ListsAPageWithSelectorsEncoded) {
    server_.respond(200,
                    R"({"metadata": {"resourceVersion": "7", "continue": "more/=="}, "items": [{"a": 1}]})");
    ListOptions options;
    options.label_selector = "app=x,tier in (a)";
    options.limit = 2;
    const auto page = client_.list(kPods, "shop", options);
    ASSERT_TRUE(page);
    EXPECT_EQ(page->items.size(), 1u);
    EXPECT_EQ(page->resource_version, "7");
    EXPECT_EQ(page->continue_token, "more/==");
    EXPECT_EQ(server_.target(0),
              "/api/v1/namespaces/shop/pods?limit=2&labelSelector=app%3Dx%2Ctier%20in%20%28a%29");
}

TEST_F(ClientTest, ListsAllPages) {
    server_.respond(200, R"({"metadata": {"continue": "t1"}, "items": [1, 2]})");
    server_.respond(200, R"({"metadata": {}, "items": [3]})");
    const auto all = client_.list_all(kPods, "");
    ASSERT_TRUE(all);
    EXPECT_EQ(*all, (std::vector<json>{1, 2, 3}));
    EXPECT_EQ(server_.target(1), "/api/v1/pods?limit=500&continue=t1");
}

TEST_F(ClientTest, StartsTheListOverOnceWhenItExpiredBetweenPages) {
    server_.respond(200, R"({"metadata": {"continue": "t1"}, "items": [1]})").respond(410);
    server_.respond(200, R"({"metadata": {}, "items": [8, 9]})");
    EXPECT_EQ(*client_.list_all(kPods, ""), (std::vector<json>{8, 9}));

    server_.respond(200, R"({"metadata": {"continue": "t1"}, "items": [1]})").respond(410);
    server_.respond(200, R"({"metadata": {"continue": "t2"}, "items": [1]})").respond(410);
    EXPECT_EQ(client_.list_all(kPods, "").error().kind, ErrorKind::expired);
}

TEST_F(ClientTest, CreatesByPost) {
    server_.respond(201, R"({"metadata": {"uid": "u"}})");
    ASSERT_TRUE(client_.create(kPods, "shop", {{"metadata", {{"name", "p"}}}}));
    EXPECT_EQ(server_.requests[0].method, "POST");
    EXPECT_EQ(server_.target(0), "/api/v1/namespaces/shop/pods");
    EXPECT_EQ(server_.header(0, "Content-Type"), "application/json");
    EXPECT_EQ(sent_body(0)["metadata"]["name"], "p");
}

TEST_F(ClientTest, AppliesWithItsFieldManager) {
    server_.respond(200, "{}").respond(200, "{}");
    ASSERT_TRUE(
        client_.apply(kRestores, kKey, "status", {{"status", {{"phase", "Failed"}}}}, {"dbrestore", true}));
    ASSERT_TRUE(client_.apply(kRestores, kKey, "", json::object(), {"dbrestore-lock", false}));
    EXPECT_EQ(server_.requests[0].method, "PATCH");
    EXPECT_EQ(
        server_.target(0),
        "/apis/dbrestore.dev/v1alpha1/namespaces/shop/databaserestores/friday/status?fieldManager=dbrestore&"
        "force=true");
    EXPECT_EQ(server_.header(0, "Content-Type"), "application/apply-patch+yaml");
    EXPECT_NE(server_.target(1).find("?fieldManager=dbrestore-lock&force=false"), std::string::npos);
}

TEST_F(ClientTest, ScalesByMergePatch) {
    server_.respond(200, "{}");
    const Resource workloads{"apps", "v1", "statefulsets"};
    ASSERT_TRUE(
        client_.merge_patch(workloads, {"shop", "db"}, "scale", {{"spec", {{"replicas", 0}}}}, "dbrestore"));
    EXPECT_EQ(server_.target(0),
              "/apis/apps/v1/namespaces/shop/statefulsets/db/scale?fieldManager=dbrestore");
    EXPECT_EQ(server_.header(0, "Content-Type"), "application/merge-patch+json");
    EXPECT_EQ(sent_body(0)["spec"]["replicas"], 0);
}

TEST_F(ClientTest, DeletesInTheBackgroundAndOnlyTheOneThatIsMeant) {
    server_.respond(200, "{}").respond(202, "").respond(
        409, R"({"message": "the UID in the precondition differs"})");
    ASSERT_TRUE(client_.remove(kPods, kKey));
    EXPECT_EQ(server_.requests[0].method, "DELETE");
    EXPECT_EQ(sent_body(0)["propagationPolicy"], "Background");
    EXPECT_FALSE(sent_body(0).contains("preconditions"));
    ASSERT_TRUE(client_.remove(kPods, kKey, {"uid-1"}));
    EXPECT_EQ(sent_body(1)["preconditions"]["uid"], "uid-1");
    EXPECT_EQ(client_.remove(kPods, kKey, {"uid-1"}).error().kind, ErrorKind::conflict);
}

TEST_F(ClientTest, ReadsAPodsLogAsItIs) {
    server_.respond(200, std::string("line\n\xff\0", 7));
    const auto log = client_.pod_log(kKey, {"agent", 50, 4096});
    ASSERT_TRUE(log);
    EXPECT_EQ(*log, std::string("line\n\xff\0", 7));
    EXPECT_EQ(server_.target(0),
              "/api/v1/namespaces/shop/pods/friday/log?container=agent&tailLines=50&limitBytes=4096");
}

TEST_F(ClientTest, SaysWhatAnAnswerMeansAndWhatWasAsked) {
    const std::vector<std::pair<int, ErrorKind>> table{
        {301, ErrorKind::invalid},     {400, ErrorKind::invalid},     {401, ErrorKind::refused},
        {403, ErrorKind::refused},     {404, ErrorKind::not_found},   {405, ErrorKind::invalid},
        {408, ErrorKind::unavailable}, {409, ErrorKind::conflict},    {410, ErrorKind::expired},
        {413, ErrorKind::invalid},     {422, ErrorKind::invalid},     {429, ErrorKind::unavailable},
        {500, ErrorKind::unavailable}, {503, ErrorKind::unavailable}, {504, ErrorKind::unavailable},
    };
    for (const auto& [status, kind] : table) {
        server_.respond(status, R"({"kind": "Status", "message": "pods \"x\" are wrong"})", 7);
        const auto answer = client_.get(kPods, kKey);
        ASSERT_FALSE(answer) << status;
        EXPECT_EQ(answer.error().kind, kind) << status;
        EXPECT_EQ(answer.error().message, "GET /api/v1/namespaces/shop/pods/friday: " +
                                              std::to_string(status) + " pods \"x\" are wrong");
        EXPECT_EQ(answer.error().retry_after_seconds, 7);
    }
    EXPECT_EQ(server_.requests.size(), table.size()) << "nothing is repeated";
}

TEST_F(ClientTest, ShortensAnErrorThatIsNoStatusDocument) {
    server_.respond(502, "<html>\n" + std::string(100'000, 'x'));
    const auto answer = client_.get(kPods, kKey);
    EXPECT_LT(answer.error().message.size(), 1200u);
    EXPECT_EQ(answer.error().message.find('\n'), std::string::npos);
}

TEST_F(ClientTest, AnAnswerThatIsNoJsonObjectIsInvalid) {
    for (const char* body : {"", "[]", "null", "{\"a\":", "\xff\xfe"}) {
        server_.respond(200, body);
        EXPECT_EQ(client_.get(kPods, kKey).error().kind, ErrorKind::invalid) << body;
    }
    server_.respond(200, R"({"metadata": 5, "items": "none"})");
    EXPECT_EQ(client_.list(kPods, "")->items.size(), 0u);
}

TEST_F(ClientTest, PassesOnThatNoAnswerCame) {
    server_.fail(ErrorKind::unavailable);
    EXPECT_EQ(client_.get(kPods, kKey).error().kind, ErrorKind::unavailable);
}

}  // namespace
}  // namespace dbrestore::kube
